//! A spec's text with its keys in the order of the language and its white space tidy; nothing else changes.
//!
//! Bytes are moved by their place in the text and never printed anew, so that quotes, numbers, flow style, anchors and block scalars stay as
//! written, and so does the indentation. Maps whose names are the user's, such as `layers` and `data.sets`, and lists keep their order. A
//! comment belongs to the entry below it, or to the line that it stands on; the comment that a file begins with stays where it is. A map is
//! left in its order where moving is not safe: an alias would come before its anchor, a comment stands between the entries of a flow map, a
//! key is written with `?`, or a comment would come between `-` and its entry.
//!
//! Line breaks stay as they are, `\r\n` too: git and the editor decide those, and a formatter that changed them would touch every line. A text
//! with `\r` alone is left as it is, and one that ends without a line break in a `|+`.

mod block;
mod flow;
mod order;
mod read;
mod tidy;

use super::language::Language;
use super::tree::{self, Node, Yaml};
use crate::diag::{Code, Diagnostic, Source};
use order::Keys;
use read::{Piece, WHITE, What};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The text in order. Formatting what comes back changes nothing more.
///
/// # Errors
/// What is wrong with the text as YAML. What is wrong with it as a spec does not matter here.
pub fn format(text: &str, file: &str) -> Result<String, Vec<Diagnostic>> {
    let before = node(text, file)?;
    let (mark, body) = text.strip_prefix('\u{feff}').map_or(("", text), |body| ("\u{feff}", body));
    if is_left(body) {
        return Ok(text.to_owned());
    }
    let formatted = format!("{mark}{}", tidy::tidy(&ordered(body)));
    let same = node(&formatted, file).is_ok_and(|after| same(&before, &after)) && written(text) == written(&formatted);
    if same {
        return Ok(formatted);
    }
    let error = Diagnostic::error(Code::Internal, format!("`{file}` would say something else when formatted"));
    Err(vec![error.note("nothing was written").help("please report this with the file")])
}

/// Whether a text is left as it is: its lines end in `\r` alone, as nobody writes them any more, or it ends inside a last line of a block scalar
/// that keeps its line breaks, so that a line break there would say something.
fn is_left(text: &str) -> bool {
    let lone = text.split("\r\n").any(|part| part.contains('\r'));
    lone || (!text.ends_with('\n') && read::read(text).is_some_and(|root| root.keeps()))
}

/// What a text says.
fn node(text: &str, file: &str) -> Result<Node, Vec<Diagnostic>> {
    let source = Arc::new(Source { name: file.to_owned(), text: text.to_owned() });
    match tree::read(&source) {
        (Some(root), errors) if errors.is_empty() => Ok(root),
        (None, errors) if errors.is_empty() => Err(vec![tree::absent(file)]),
        (_, errors) => Err(errors),
    }
}

/// Whether two trees say the same; the order of keys says nothing.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.yaml, &b.yaml) {
        (Yaml::Scalar { text: a, plain: p }, Yaml::Scalar { text: b, plain: q }) => a == b && p == q,
        (Yaml::List(a), Yaml::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Yaml::Map(x), Yaml::Map(y)) => {
            let found: BTreeMap<&str, &Node> = y.iter().map(|entry| (entry.key.as_str(), &entry.value)).collect();
            x.len() == y.len()
                && x.iter().all(|entry| found.get(entry.key.as_str()).is_some_and(|b| same(&entry.value, b)))
        }
        _ => false,
    }
}

/// How often each byte that is not white space is written, comments included: moving changes none of it.
fn written(text: &str) -> [usize; 256] {
    let mut counts = [0; 256];
    text.bytes().filter(|byte| !WHITE.contains(&char::from(*byte))).for_each(|byte| counts[usize::from(byte)] += 1);
    counts
}

/// The text with all entries in order.
fn ordered(text: &str) -> String {
    let Some(root) = read::read(text) else { return text.to_owned() };
    let layout = Layout { text, unique: read::anchors_are_unique(text) };
    let edits = layout.edits(&root, Keys::Record(&Language::installed().spec), true);
    layout.apply(0..text.len(), &edits)
}

/// Other text for a part of the text.
struct Edit {
    range: Range<usize>,
    text: String,
}

/// A text whose entries are put in order.
struct Layout<'t> {
    text: &'t str,
    /// Whether every anchor has a name of its own.
    unique: bool,
}

impl Layout<'_> {
    /// What changes in a value, in the order of the text.
    fn edits(&self, piece: &Piece, keys: Keys<'_>, root: bool) -> Vec<Edit> {
        match &piece.what {
            What::Scalar { .. } | What::Alias => Vec::new(),
            What::List(items) => {
                let edits = |(i, item)| self.edits(item, keys.item(i), false);
                items.iter().enumerate().flat_map(edits).collect()
            }
            What::Map { pairs, flow } => {
                let keys = keys.of_map(pairs);
                let inner = |pair: &read::Pair| self.edits(&pair.value, keys.value(pair.name()), false);
                let edits: Vec<Edit> = pairs.iter().flat_map(inner).collect();
                let Some(order) = keys.order(pairs).filter(|order| self.may_move(pairs, order)) else { return edits };
                let moved = match flow {
                    Some(open) => self.flow(*open..piece.range.end, pairs, &order, &edits),
                    None => self.block(pairs, &order, &edits, root),
                };
                moved.unwrap_or(edits)
            }
        }
    }

    /// Whether every alias keeps the anchor that it has.
    fn may_move(&self, pairs: &[read::Pair], order: &[usize]) -> bool {
        if !self.unique {
            // Of two anchors of one name the nearer one counts: what has to do with anchors keeps its order.
            let named = |at: &&usize| pairs[**at].anchors().next().or(pairs[**at].aliases().next()).is_some();
            return order.iter().filter(named).is_sorted();
        }
        let mut anchors = BTreeSet::new();
        let theirs: BTreeSet<usize> = pairs.iter().flat_map(read::Pair::anchors).collect();
        order.iter().all(|at| {
            anchors.extend(pairs[*at].anchors());
            pairs[*at].aliases().all(|alias| anchors.contains(&alias) || !theirs.contains(&alias))
        })
    }

    /// A part of the text with what changes inside it.
    fn apply(&self, range: Range<usize>, edits: &[Edit]) -> String {
        let mut out = String::new();
        let mut at = range.start;
        let first = edits.partition_point(|edit| edit.range.start < range.start);
        for edit in edits[first..].iter().take_while(|edit| edit.range.end <= range.end) {
            out.push_str(&self.text[at..edit.range.start]);
            out.push_str(&edit.text);
            at = edit.range.end;
        }
        out.push_str(&self.text[at..range.end]);
        out
    }
}

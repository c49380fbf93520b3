//! `extends: base.yaml`: the tree of a spec laid over those of its bases, each with places in its own file.
//!
//! Files are read by whoever asks for the spec; here a base is what a function gives for its path.

use super::Language;
use super::merge;
use super::tree::{self, Entry, Node, Yaml};
use crate::diag::{Code, Diagnostic, Result, Source};
use std::path::Path;
use std::sync::Arc;

/// Most bases that stand over each other.
const MAX_BASES: usize = 8;

/// A base as it was read.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its name in diagnostics.
    pub name: String,
    /// The same for every path that leads to the same file.
    pub identity: String,
    /// Its text.
    pub text: String,
}

/// How bases are read.
pub struct Bases<'a> {
    /// The identity of the spec itself.
    pub identity: String,
    /// Reads a base; the path starts from the folder of the spec.
    pub read: &'a dyn Fn(&str) -> Result<Base>,
}

/// Lays a tree over its bases, which come along; without a tree when one of them is missing, so that nothing more can be said. What is wrong
/// goes to `diagnostics`.
pub(super) fn resolve(
    language: &Language,
    root: Node,
    bases: Option<&Bases<'_>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Option<Node>, Vec<Arc<Source>>) {
    let mut sources: Vec<Arc<Source>> = Vec::new();
    let mut layers = vec![root];
    let mut seen: Vec<String> = bases.iter().map(|bases| bases.identity.clone()).collect();
    let mut folder = String::new();
    while let Some(written) = layers.last_mut().and_then(take) {
        let place = written.value.place.first_line();
        let next = Layer { folder: &folder, written: &written, seen: &seen }.read(bases);
        let (source, identity, prefix) = match next {
            Ok(next) => next,
            Err(error) => {
                diagnostics.push(error);
                return (None, sources);
            }
        };
        sources.push(Arc::clone(&source));
        let (tree, mut errors) = tree::read(&source);
        let told = !errors.is_empty();
        diagnostics.append(&mut errors);
        let Some(mut tree) = tree.filter(|tree| matches!(tree.yaml, Yaml::Map(_))) else {
            if !told {
                let error = Diagnostic::error(Code::BaseMissing, format!("the base `{}` is no spec", source.name));
                diagnostics.push(place.on(error, "").help("a base is a map of sections, like any spec"));
            }
            return (None, sources);
        };
        settle(&mut tree, &Arc::from(prefix.as_str()));
        layers.push(tree);
        seen.push(identity);
        folder = prefix;
    }
    (layers.into_iter().rev().reduce(|base, child| merge::record(&language.spec, base, child)), sources)
}

/// Takes `extends` out where an override from the command line put it, which comes too late for it.
pub(super) fn refuse(root: &mut Node) -> Option<Diagnostic> {
    let entry = take(root)?;
    let error = Diagnostic::error(Code::Usage, "`extends` is no value that can be overridden");
    Some(entry.key_place.on(error, "").help("write it into the spec, or give the values of that base one by one"))
}

/// Takes `extends` out of a map.
fn take(root: &mut Node) -> Option<Entry> {
    let Yaml::Map(entries) = &mut root.yaml else { return None };
    let at = entries.iter().position(|entry| entry.key == "extends")?;
    Some(entries.remove(at))
}

/// Says of every value of a base which folder its paths start from.
fn settle(node: &mut Node, home: &Arc<str>) {
    node.home = Some(Arc::clone(home));
    match &mut node.yaml {
        Yaml::Scalar { .. } => {}
        Yaml::List(items) => items.iter_mut().for_each(|item| settle(item, home)),
        Yaml::Map(entries) => entries.iter_mut().for_each(|entry| settle(&mut entry.value, home)),
    }
}

/// A path of a file whose paths start from `home`, as a path from the folder of the spec.
pub(super) fn from_spec(home: &str, path: &str) -> String {
    if home.is_empty() || Path::new(path).is_absolute() || path.contains("://") {
        return path.to_owned();
    }
    Path::new(home).join(path).to_string_lossy().into_owned()
}

/// What a file says of its base.
struct Layer<'a> {
    /// Its folder, from that of the spec.
    folder: &'a str,
    written: &'a Entry,
    seen: &'a [String],
}

impl Layer<'_> {
    /// The base, its identity, and its folder from that of the spec.
    fn read(&self, bases: Option<&Bases<'_>>) -> Result<(Arc<Source>, String, String)> {
        let place = self.written.value.place.first_line();
        let wrong = |code: Code, message: String, label: &str| place.on(Diagnostic::error(code, message), label);
        let Some(path) = self.written.value.text().filter(|path| !path.is_empty() && !path.contains("${")) else {
            let message = "`extends` takes the path of a spec".to_owned();
            return Err(wrong(Code::WrongType, message, "expected a path")
                .help("write `extends: base.yaml`; one base may extend another, and variables cannot stand here"));
        };
        let Some(bases) = bases else {
            let message = format!("the base `{path}` cannot be read: this spec is a text without a folder");
            return Err(wrong(Code::BaseMissing, message, "").help("read the spec from its file"));
        };
        let full = from_spec(self.folder, path);
        let base = (bases.read)(&full).map_err(|cause| {
            let error = wrong(Code::BaseMissing, format!("the base `{path}` cannot be read"), "");
            let error = cause.notes().iter().fold(error.note(cause.message()), |error, note| error.note(note.clone()));
            error.help(match cause.code() {
                Code::LfsPointer => "run `git lfs pull`",
                _ => "check the path; it starts at the folder of the file that it stands in",
            })
        })?;
        if self.seen.contains(&base.identity) {
            let message = format!("`{}` extends itself", base.name);
            let error = wrong(Code::Cycle, message, "the circle closes here");
            return Err(error.help("take `extends` out of one of the files"));
        }
        if self.seen.len() > MAX_BASES {
            let message = format!("more than {MAX_BASES} specs extend one another");
            return Err(wrong(Code::YamlLimit, message, "the limit is reached here").help("merge some of them by hand"));
        }
        let folder = Path::new(&full).parent().map(|folder| folder.to_string_lossy().into_owned());
        let source = Arc::new(Source { name: base.name, text: base.text });
        Ok((source, base.identity, folder.unwrap_or_default()))
    }
}

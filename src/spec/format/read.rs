//! Text → the places of its keys and values as they are written, aliases and merge keys included. The text has been read before and is good.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::BTreeSet;
use std::ops::Range;

/// White space of YAML; other characters that are called so elsewhere are text.
pub(super) const WHITE: &[char] = &[' ', '\t', '\r', '\n'];

/// A key or a value.
#[derive(Debug)]
pub(super) struct Piece {
    /// From its anchor, if it has one, to its end; of a block, from its first key or item.
    pub(super) range: Range<usize>,
    pub(super) what: What,
    /// Anchors on it and in it.
    anchors: Vec<usize>,
    /// Anchors that aliases in it repeat.
    aliases: Vec<usize>,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum What {
    Scalar {
        text: String,
        plain: bool,
        /// Whether blank lines below it are part of it: `|+`.
        keeps: bool,
    },
    Alias,
    List(Vec<Piece>),
    Map {
        pairs: Vec<Pair>,
        /// Place behind the opening brace of a flow map.
        flow: Option<usize>,
    },
}

/// An entry of a map.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Piece,
    pub(super) value: Piece,
}

impl Piece {
    /// Whether nothing is written.
    pub(super) fn is_absent(&self) -> bool {
        matches!(&self.what, What::Scalar { text, plain: true, .. } if text.is_empty())
    }

    /// Whether it has an anchor or one is in it.
    pub(super) fn is_anchored(&self) -> bool {
        !self.anchors.is_empty()
    }

    /// Whether blank lines below it would be part of it.
    pub(super) fn keeps(&self) -> bool {
        match &self.what {
            What::Scalar { keeps, .. } => *keeps,
            What::Alias => false,
            What::List(items) => items.last().is_some_and(Self::keeps),
            What::Map { pairs, .. } => pairs.last().is_some_and(|pair| pair.value.keeps()),
        }
    }

    /// Every scalar in it that takes several lines.
    pub(super) fn long_scalars(&self, text: &str, found: &mut Vec<Range<usize>>) {
        match &self.what {
            What::Scalar { .. } if text[self.range.clone()].contains('\n') => found.push(self.range.clone()),
            What::Scalar { .. } | What::Alias => {}
            What::List(items) => items.iter().for_each(|item| item.long_scalars(text, found)),
            What::Map { pairs, .. } => {
                let parts = pairs.iter().flat_map(|pair| [&pair.key, &pair.value]);
                parts.for_each(|part| part.long_scalars(text, found));
            }
        }
    }
}

impl Pair {
    /// Its key, if that is a word.
    pub(super) fn name(&self) -> &str {
        match &self.key.what {
            What::Scalar { text, .. } => text,
            _ => "",
        }
    }

    /// End of what is written.
    pub(super) fn end(&self) -> usize {
        if self.value.is_absent() { self.key.range.end } else { self.value.range.end.max(self.key.range.end) }
    }

    /// Anchors in it.
    pub(super) fn anchors(&self) -> impl Iterator<Item = usize> + '_ {
        self.key.anchors.iter().chain(&self.value.anchors).copied()
    }

    /// Anchors that aliases in it repeat.
    pub(super) fn aliases(&self) -> impl Iterator<Item = usize> + '_ {
        self.key.aliases.iter().chain(&self.value.aliases).copied()
    }
}

/// Whether no two words that look like anchors are the same.
pub(super) fn anchors_are_unique(text: &str) -> bool {
    let end = |c: char| WHITE.contains(&c) || ",[]{}".contains(c);
    let mut seen = BTreeSet::new();
    text.split('&').skip(1).all(|rest| seen.insert(rest.split(end).next().unwrap_or_default()))
}

/// The first document of a text.
pub(super) fn read(text: &str) -> Option<Piece> {
    let mut offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    offsets.push(text.len());
    let reader = Reader { text, offsets };
    let mut stack: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let span = reader.bytes(span);
        let done = match event {
            Event::Scalar(value, style, anchor, _) => reader.scalar(&value, style, anchor, span),
            Event::Alias(id) => Piece { range: span, what: What::Alias, anchors: vec![], aliases: vec![id] },
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                let map = matches!(event, Event::MappingStart(..));
                stack.push(Open { span, anchor, map, children: Vec::new() });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => reader.collection(stack.pop()?, span),
            _ => continue,
        };
        match stack.last_mut() {
            Some(open) => open.children.push(done),
            None => return Some(done),
        }
    }
    None
}

/// A list or a map whose end has not come yet.
struct Open {
    span: Range<usize>,
    anchor: usize,
    map: bool,
    children: Vec<Piece>,
}

struct Reader<'t> {
    text: &'t str,
    /// Byte offset of every character, and of the end.
    offsets: Vec<usize>,
}

impl Reader<'_> {
    fn bytes(&self, span: Span) -> Range<usize> {
        let byte = |index: usize| self.offsets.get(index).copied().unwrap_or(self.text.len());
        let (start, end) = (byte(span.start.index()), byte(span.end.index()));
        start..end.max(start)
    }

    fn scalar(&self, value: &str, style: ScalarStyle, anchor: usize, span: Range<usize>) -> Piece {
        let anchors = if anchor == 0 { vec![] } else { vec![anchor] };
        let plain = style == ScalarStyle::Plain;
        let (range, keeps) = match style {
            ScalarStyle::Literal | ScalarStyle::Folded => self.block_scalar(value, anchor != 0, &span),
            _ => (span.start..span.start + self.text[span.clone()].trim_end_matches(WHITE).len(), false),
        };
        Piece { range, what: What::Scalar { text: value.to_owned(), plain, keeps }, anchors, aliases: vec![] }
    }

    /// From the end of the line with `|` or `>` on: the parser's place begins at the first visible character and may end before lines that
    /// count. Also whether it keeps blank lines below it.
    fn block_scalar(&self, value: &str, anchored: bool, span: &Range<usize>) -> (Range<usize>, bool) {
        let text = self.text;
        let visible = |to: usize| text[..to].trim_end_matches(WHITE).len();
        let line = |at: usize| before_break(text, line_end(text, at));
        let header = match (anchored, value.trim_matches(WHITE).is_empty()) {
            (true, _) => span.start,
            (_, true) => visible(span.end),
            _ => visible(line_start(text, span.start)),
        };
        let start = line(header);
        let mut end = line(visible(span.end).max(start));
        // `+` keeps the empty lines at the end, and spaces in them may count.
        let keeps = text[line_start(text, header)..start].contains('+');
        let mut at = line_end(text, end);
        while at < text.len() && text[at..line_end(text, at)].trim_matches(WHITE).is_empty() {
            if keeps || line(at) > at {
                end = line(at);
            }
            at = line_end(text, at);
        }
        (start..end, keeps)
    }

    fn collection(&self, open: Open, closing: Range<usize>) -> Piece {
        let own = (open.anchor != 0).then_some(open.anchor);
        let anchors = own.into_iter().chain(open.children.iter().flat_map(|child| child.anchors.clone())).collect();
        let aliases = open.children.iter().flat_map(|child| child.aliases.clone()).collect();
        // The parser's places of braces include the white space behind them.
        let visible = |span: &Range<usize>| span.start + self.text[span.clone()].trim_end_matches(WHITE).len();
        let inside = visible(&open.span);
        let brace = |mark: char| self.text[open.span.start..inside].ends_with(mark);
        let is_flow = brace('{') || brace('[');
        // Behind a comma at the end, the closing place of a map is that of the comma.
        let mut end = visible(&closing);
        let rest = &self.text[end..];
        if brace('{') && !self.text[..end].ends_with('}') && rest.trim_start_matches(WHITE).starts_with('}') {
            end += rest.len() - rest.trim_start_matches(WHITE).len() + 1;
        }
        let written = |child: &&Piece| !child.is_absent();
        let last = open.children.iter().filter(written).map(|child| child.range.end).max();
        let first = open.children.first().filter(written).map_or(open.span.end, |child| child.range.start);
        let range = if is_flow { open.span.start..end } else { first..last.unwrap_or(first).max(first) };
        let flow = brace('{').then_some(inside);
        let what = if open.map { What::Map { pairs: pairs(open.children), flow } } else { What::List(open.children) };
        Piece { range, what, anchors, aliases }
    }
}

fn pairs(children: Vec<Piece>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        pairs.push(Pair { key, value });
    }
    pairs
}

/// Start of the line that a place stands on.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// End of the line that a place stands on, behind its line break.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

/// The end of a line without its line break.
pub(super) fn before_break(text: &str, end: usize) -> usize {
    let line = &text[..end];
    line.strip_suffix("\r\n").or_else(|| line.strip_suffix('\n')).unwrap_or(line).len()
}

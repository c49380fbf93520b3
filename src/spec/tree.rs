//! YAML text → tree with a place for every key and value, from parser events.
//!
//! Events, unlike a loaded document, still show duplicate keys, tags and aliases. All of them are reported, not only the
//! first: a stray `*` or a broken tag is blanked in a copy of the text, and the copy is read again.

use super::place::Place;
use crate::diag::{Code, Diagnostic, Source};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Deepest nesting that is read.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most nodes that are read, those that aliases repeat included.
const MAX_NODES: usize = 100_000;
/// Largest text that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// Most text and values that aliases may repeat, in bytes.
const MAX_REPEATED: usize = 4 << 20;
/// Most broken tags and aliases that are reported.
const MAX_REPAIRS: usize = 32;

/// A YAML value.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) yaml: Yaml,
    /// Folder that a relative path starts from, seen from that of the spec; `None` in the spec itself and on the command line.
    pub(crate) home: Option<Arc<str>>,
}

/// What a value is. Scalars keep their text; what they mean is decided where they are read.
#[derive(Debug, Clone)]
pub(crate) enum Yaml {
    /// `plain` is `false` for quoted and block scalars, which are always text.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn new(place: Place, yaml: Yaml) -> Self {
        Self { place, yaml, home: None }
    }

    /// A value that is not there.
    pub(crate) fn empty(place: Place) -> Self {
        Self::new(place, Yaml::Scalar { text: String::new(), plain: true })
    }

    /// Whether it is an empty value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.yaml, Yaml::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// The entries of a map.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.yaml {
            Yaml::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// Text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.yaml {
            Yaml::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Bytes of text and number of values, for limits.
    pub(crate) fn weight(&self) -> usize {
        match &self.yaml {
            Yaml::Scalar { text, .. } => text.len() + 1,
            Yaml::List(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Yaml::Map(entries) => 1 + entries.iter().map(|entry| entry.key.len() + entry.value.weight()).sum::<usize>(),
        }
    }

    /// Nodes in it, itself included, and levels.
    fn size(&self) -> (usize, usize) {
        let of = |children: &mut dyn Iterator<Item = &Node>| {
            children.map(Node::size).fold((1, 1), |(n, d), (m, e)| (n + m, d.max(e + 1)))
        };
        match &self.yaml {
            Yaml::Scalar { .. } => (1, 1),
            Yaml::List(items) => of(&mut items.iter()),
            Yaml::Map(entries) => of(&mut entries.iter().map(|entry| &entry.value)),
        }
    }
}

/// What is told of a text without a value in it.
pub(crate) fn absent(file: &str) -> Diagnostic {
    Diagnostic::error(Code::YamlSyntax, format!("`{file}` holds no YAML"))
}

/// Reads one YAML document. The errors are in the order of the text; the tree is there if there is anything to show.
pub(crate) fn read(source: &Arc<Source>) -> (Option<Node>, Vec<Diagnostic>) {
    if source.text.len() > MAX_BYTES {
        let message = format!("the spec is larger than {MAX_BYTES} bytes");
        return (None, vec![Diagnostic::error(Code::YamlLimit, message)]);
    }
    read_shown(source, &source.text)
}

/// Reads `text` and points into `source`, which has the same length.
pub(crate) fn read_shown(source: &Arc<Source>, text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let mut text = text.to_owned();
    let mut repaired = Vec::new();
    loop {
        let mut builder = Builder::new(source);
        let (repair, fatal) = match builder.run(&text) {
            Ok(()) => (None, None),
            Err(Stop::Limit(diagnostic)) => (None, Some(diagnostic)),
            Err(Stop::Scan(error)) => match builder.repair(&text, &error) {
                Some(repair) => (Some(repair), None),
                None => (None, Some(builder.syntax(&error))),
            },
        };
        if let Some((position, diagnostic)) = repair {
            repaired.push(diagnostic);
            if repaired.len() < MAX_REPAIRS {
                text.replace_range(position..=position, "_");
                continue;
            }
            return (None, repaired);
        }
        let mut errors = repaired;
        errors.append(&mut builder.errors);
        errors.extend(fatal);
        return (builder.root, errors);
    }
}

enum Stop {
    Scan(ScanError),
    Limit(Diagnostic),
}

enum Frame {
    List {
        items: Vec<Node>,
    },
    Map {
        entries: Vec<Entry>,
        index: BTreeMap<String, Place>,
        merges: Vec<Node>,
        pending: Option<(String, Place, bool)>,
    },
}

struct Open {
    frame: Frame,
    start: usize,
    anchor: usize,
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    /// Byte offset of every character, and of the end.
    offsets: Vec<usize>,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    /// Bytes that aliases have repeated.
    repeated: usize,
    /// Byte offset of the event that is being read.
    at: usize,
    documents: usize,
    root: Option<Node>,
    errors: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    fn new(source: &'a Arc<Source>) -> Self {
        let mut offsets: Vec<usize> = source.text.char_indices().map(|(at, _)| at).collect();
        offsets.push(source.text.len());
        Self {
            source,
            offsets,
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: 0,
            repeated: 0,
            at: 0,
            documents: 0,
            root: None,
            errors: Vec::new(),
        }
    }

    fn byte(&self, index: usize) -> usize {
        self.offsets.get(index).copied().unwrap_or(self.source.text.len())
    }

    fn place(&self, start: usize, end: usize) -> Place {
        Place { source: Arc::clone(self.source), range: start..end.max(start) }
    }

    fn span(&self, span: Span) -> Place {
        let (start, end) = (self.byte(span.start.index()), self.byte(span.end.index()));
        let text = self.source.text.get(start..end).unwrap_or_default();
        self.place(start, start + text.trim_end().len())
    }

    fn run(&mut self, text: &str) -> Result<(), Stop> {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(Stop::Scan)?;
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event, span: Span) -> Result<(), Stop> {
        self.at = self.byte(span.start.index());
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 2 {
                    let error =
                        Diagnostic::error(Code::YamlSyntax, "a spec is one YAML document, this file holds more");
                    self.errors.push(self.span(span).on(error, "the second one starts here"));
                }
            }
            Event::Alias(id) => self.alias(id, span)?,
            Event::Scalar(text, style, anchor, tag) => {
                let place = self.span(span);
                if tag.is_some() {
                    self.tag(&place);
                }
                let plain = style == ScalarStyle::Plain;
                self.count(1, 1)?;
                self.complete(Node::new(place, Yaml::Scalar { text: text.into_owned(), plain }), anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Frame::List { items: Vec::new() }, span, anchor, tag.is_some())?;
            }
            Event::MappingStart(anchor, tag) => {
                let frame = Frame::Map { entries: vec![], index: BTreeMap::new(), merges: vec![], pending: None };
                self.open(frame, span, anchor, tag.is_some())?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, depth: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        let message = if self.nodes > MAX_NODES {
            format!("the spec holds more than {MAX_NODES} values")
        } else if self.repeated > MAX_REPEATED {
            format!("aliases repeat more than {MAX_REPEATED} bytes")
        } else if self.stack.len() + depth > MAX_DEPTH {
            format!("the spec is nested deeper than {MAX_DEPTH} levels")
        } else {
            return Ok(());
        };
        let error = Diagnostic::error(Code::YamlLimit, message);
        Err(Stop::Limit(self.place(self.at, self.at).on(error, "the limit is reached here")))
    }

    fn open(&mut self, frame: Frame, span: Span, anchor: usize, tagged: bool) -> Result<(), Stop> {
        let place = self.span(span);
        if tagged {
            self.tag(&place);
        }
        self.count(1, 1)?;
        self.stack.push(Open { frame, start: place.range.start, anchor });
        Ok(())
    }

    fn close(&mut self, span: Span) {
        let Some(open) = self.stack.pop() else { return };
        let closing = self.span(span);
        // A block has no closing mark: the parser puts its end at the next thing, after blanks and comments.
        let end =
            |last: Option<usize>| if closing.range.is_empty() { last.unwrap_or(open.start) } else { closing.range.end };
        let (yaml, end) = match open.frame {
            Frame::List { items } => {
                let end = end(items.last().map(|item| item.place.range.end));
                (Yaml::List(items), end)
            }
            Frame::Map { mut entries, mut index, merges, .. } => {
                let end = end(entries.iter().map(|entry| entry.value.place.range.end).max());
                for merge in merges {
                    self.merge(merge, &mut entries, &mut index);
                }
                (Yaml::Map(entries), end)
            }
        };
        self.complete(Node::new(self.place(open.start, end), yaml), open.anchor);
    }

    fn merge(&mut self, merge: Node, entries: &mut Vec<Entry>, index: &mut BTreeMap<String, Place>) {
        match merge.yaml {
            Yaml::Map(found) => {
                for entry in found {
                    if !index.contains_key(&entry.key) {
                        index.insert(entry.key.clone(), entry.key_place.clone());
                        entries.push(entry);
                    }
                }
            }
            Yaml::List(items) if items.iter().all(|item| matches!(item.yaml, Yaml::Map(_))) => {
                for item in items {
                    self.merge(item, entries, index);
                }
            }
            _ => {
                let error = Diagnostic::error(Code::WrongType, "`<<` merges maps, this is not one");
                self.errors.push(merge.place.on(error, "expected a map, an alias of one, or a list of them"));
            }
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let place = self.span(span);
        // What it would repeat is counted before it is repeated.
        let known = self.anchors.get(&id).map(|node| (node.size(), node.weight()));
        if let Some(((nodes, depth), weight)) = known {
            self.repeated = self.repeated.saturating_add(weight);
            self.count(nodes, depth)?;
        }
        let node = if let Some(node) = self.anchors.get(&id) {
            node.clone()
        } else {
            let error = Diagnostic::error(Code::YamlAlias, "an alias stands inside the value that it repeats");
            self.errors.push(place.on(error, "this would never end"));
            Node::empty(place)
        };
        self.complete(node, 0);
        Ok(())
    }

    /// A value is complete: it goes into what is open around it, as a key, a value or an item.
    fn complete(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        let (entries, index, merges, pending) = match &mut open.frame {
            Frame::List { items } => return items.push(node),
            Frame::Map { entries, index, merges, pending } => (entries, index, merges, pending),
        };
        match pending.take() {
            None => {
                if let Yaml::Scalar { text, plain } = node.yaml {
                    *pending = Some((text, node.place, plain));
                } else {
                    let error = Diagnostic::error(Code::WrongType, "a key is a word, not a list or a map");
                    self.errors.push(node.place.first_line().on(error, ""));
                    *pending = Some((String::new(), node.place, false));
                }
            }
            Some((key, _, true)) if key == "<<" => merges.push(node),
            Some((key, key_place, _)) => {
                if let Some(first) = index.get(&key) {
                    let error =
                        Diagnostic::error(Code::YamlDuplicateKey, format!("the key `{key}` stands twice in one map"));
                    let error = key_place.on(first.on(error, "first here"), "again here");
                    self.errors.push(error.help("remove one of them"));
                } else {
                    index.insert(key.clone(), key_place.clone());
                    entries.push(Entry { key, key_place, value: node });
                }
            }
        }
    }

    /// Reports a tag that the parser took off the value at `place`.
    fn tag(&mut self, place: &Place) {
        let before = self.source.text.get(..place.range.start).unwrap_or_default().trim_end();
        let word = before.rfind(|c: char| c.is_whitespace() || "[{,".contains(c)).map_or(0, |at| at + 1);
        let word = if before[word..].starts_with('!') { self.place(word, before.len()) } else { place.first_line() };
        let written = self.source.text.get(word.range.clone()).unwrap_or_default().to_owned();
        self.errors.push(tag_error(&word, &written));
    }

    /// The `*` or `!` that made the parser give up, and what to say about it.
    fn repair(&self, text: &str, error: &ScanError) -> Option<(usize, Diagnostic)> {
        let info = error.info();
        let at = self.byte(error.marker().index());
        let marks: &[char] = if info.contains("alias") || info.contains("unknown anchor") {
            &['*']
        } else if info.contains("tag") {
            &['!']
        } else {
            return None;
        };
        let bytes = text.as_bytes();
        let is_mark = |position: usize| bytes.get(position).is_some_and(|byte| marks.contains(&char::from(*byte)));
        // The marker is at the mark, or somewhere in the word that follows it.
        let position = if is_mark(at) { at } else { (0..at.min(bytes.len())).rev().take(80).find(|p| is_mark(*p))? };
        let rest = text.get(position..)?;
        let length = rest.find(|c: char| c.is_whitespace() || ",]}".contains(c)).unwrap_or(rest.len());
        let written = &rest[..length];
        let place = self.place(position, position + length);
        let diagnostic = if marks == ['!'] {
            tag_error(&place, written)
        } else {
            let message = format!("`{written}` is an alias in YAML, and no anchor has its name");
            place
                .on(Diagnostic::error(Code::YamlAlias, message), "quote it to get a pattern")
                .help(format!("write `\"{written}\"`"))
        };
        Some((position, diagnostic))
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let info = error.info();
        let at = self.byte(error.marker().index());
        let limit = info.contains("recursion") || info.contains("limit");
        let code = if limit { Code::YamlLimit } else { Code::YamlSyntax };
        // At the end of the text there is nothing to point at: the last visible character is shown.
        let text = &self.source.text;
        let visible = text.get(..at).unwrap_or_default().trim_end().len();
        let at = if text.get(at..).is_none_or(|rest| rest.trim().is_empty()) { visible.saturating_sub(1) } else { at };
        let at = text.floor_char_boundary(at);
        let end = text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |c| at + c.len_utf8());
        let diagnostic = Diagnostic::error(code, format!("the text is not YAML: {info}"));
        let diagnostic = self.place(at, end).on(diagnostic, "the parser stopped here");
        let start = text.get(..at).unwrap_or_default().rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        if line.contains("${") {
            diagnostic.help("between brackets a variable must be quoted: `\"${name}\"`")
        } else if info.contains("tab") {
            diagnostic.help("indent with spaces")
        } else if info.contains("mapping values are not allowed") {
            diagnostic.help("check the indentation; a text with `: ` in it must be quoted")
        } else {
            diagnostic.help("check the indentation, brackets and quotes above this place")
        }
    }
}

fn tag_error(place: &Place, written: &str) -> Diagnostic {
    let message = format!("`{written}` is a tag in YAML, not text");
    place
        .on(Diagnostic::error(Code::YamlTag, message), "quote it to get a pattern")
        .help(format!("write `\"{written}\"`"))
}

//! Where things stand: byte ranges in a text, and the table from JSON pointer to place.

use crate::diag::{Diagnostic, Source};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A byte range in a text.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The spec file or the command line.
    pub(crate) source: Arc<Source>,
    /// Bytes in it.
    pub(crate) range: Range<usize>,
}

impl Place {
    /// The range with a label, on a diagnostic.
    pub(crate) fn on(&self, diagnostic: Diagnostic, text: impl Into<String>) -> Diagnostic {
        diagnostic.span(&self.source, self.range.clone(), text)
    }

    /// The part on the first line, since carets over many lines hide more than they show.
    pub(crate) fn first_line(&self) -> Self {
        let text = self.source.text.get(self.range.clone()).unwrap_or_default();
        let length = text.lines().next().unwrap_or_default().trim_end().len();
        Self { source: Arc::clone(&self.source), range: self.range.start..self.range.start + length }
    }

    fn is_long(&self) -> bool {
        self.source.text.get(self.range.clone()).unwrap_or_default().trim_end().contains('\n')
    }
}

/// Appends an escaped step to a JSON pointer (RFC 6901).
pub(crate) fn join(pointer: &str, step: &str) -> String {
    format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
}

/// Places of every key and value of a spec by JSON pointer.
#[derive(Debug, Clone, Default)]
pub struct Places {
    values: BTreeMap<String, (Option<Place>, Place)>,
    /// Pointer into the typed spec → pointer into the text, where a short form makes them differ.
    aliases: BTreeMap<String, String>,
}

impl Places {
    pub(crate) fn insert(&mut self, pointer: String, key: Option<Place>, value: Place) {
        self.values.insert(pointer, (key, value));
    }

    pub(crate) fn alias(&mut self, typed: String, written: String) {
        if typed != written {
            self.aliases.insert(typed, written);
        }
    }

    /// The place of a pointer: its key, its value, or, for what is not written, the nearest thing around it.
    /// A value that takes several lines is shown by its key or its first line.
    pub fn find(&self, pointer: &str, key: bool) -> Option<(Arc<Source>, Range<usize>)> {
        let mut pointer = self.written(pointer);
        let mut exact = true;
        loop {
            if let Some((key_place, value)) = self.values.get(pointer.as_str()) {
                let place = match key_place {
                    Some(place) if (key && exact) || value.is_long() => place.clone(),
                    _ => value.first_line(),
                };
                return Some((place.source, place.range));
            }
            exact = false;
            let cut = pointer.rfind('/')?;
            pointer.truncate(cut);
        }
    }

    /// Follows the aliases: the longest prefix with an alias is replaced.
    fn written(&self, pointer: &str) -> String {
        if self.values.contains_key(pointer) {
            return pointer.to_owned();
        }
        let mut end = pointer.len();
        loop {
            if let Some(written) = self.aliases.get(&pointer[..end]) {
                return format!("{written}{}", &pointer[end..]);
            }
            match pointer[..end].rfind('/') {
                Some(cut) => end = cut,
                None => return pointer.to_owned(),
            }
        }
    }
}

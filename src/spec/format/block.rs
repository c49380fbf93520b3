//! Block maps: entries on lines of their own.

use super::read::{Pair, WHITE, before_break, line_end, line_start};
use super::{Edit, Layout};
use std::ops::Range;

/// The lines of an entry.
struct Chunk {
    /// Whole lines of comments and blanks above its key.
    lead: Range<usize>,
    /// From its key to the end of its last line, without the line break.
    body: Range<usize>,
    /// Whether blank lines below it would be part of its value.
    keeps: bool,
}

impl Layout<'_> {
    /// The entries of a block map in another order, or `None` where they cannot be moved as whole lines.
    pub(super) fn block(&self, pairs: &[Pair], order: &[usize], edits: &[Edit], root: bool) -> Option<Vec<Edit>> {
        let mut chunks = self.chunks(pairs)?;
        if order.last().is_some_and(|last| chunks[*last].keeps && *last + 1 < chunks.len()) {
            // What follows the map would become part of the value.
            return None;
        }
        let line = line_start(self.text, pairs.first()?.key.range.start);
        let first = chunks.first_mut()?;
        // Behind `- ` the first entry shares its line.
        let shared = first.lead.start > line;
        let indent = " ".repeat(first.body.start - line);
        let mut touches = false;
        if root {
            let header = self.header(&first.lead);
            touches = header > first.lead.start && header == line;
            first.lead.start = header;
            let last = chunks.last_mut()?;
            last.body.end = self.with_foot(last.body.end, 0);
        }
        let region = chunks.first()?.lead.start..chunks.last()?.body.end;
        let mut leads: Vec<String> = chunks.iter().map(|chunk| self.text[chunk.lead.clone()].to_owned()).collect();
        let newline = self.newline();
        pass_blank_on(&mut leads, order[0], newline);
        if shared && !leads[order[0]].is_empty() {
            return None;
        }
        if touches && !leads[order[0]].is_empty() {
            // Else the comment of the entry would become one with that of the file.
            leads[order[0]].insert_str(0, newline);
        }
        let mut text = String::new();
        for (n, i) in order.iter().enumerate() {
            if n > 0 {
                text.push_str(newline);
            }
            let taken = n > 0 && chunks[order[n - 1]].keeps;
            text.push_str(if taken { without_blank(&leads[*i]) } else { &leads[*i] });
            if n > 0 || !shared {
                text.push_str(&indent);
            }
            text.push_str(&self.apply(chunks[*i].body.clone(), edits));
        }
        Some(vec![Edit { range: region, text }])
    }

    fn newline(&self) -> &'static str {
        if self.text.split('\n').next().is_some_and(|line| line.ends_with('\r')) { "\r\n" } else { "\n" }
    }

    fn chunks(&self, pairs: &[Pair]) -> Option<Vec<Chunk>> {
        let text = self.text;
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut column = 0;
        for pair in pairs {
            let key = pair.key.range.start;
            let line = line_start(text, key);
            let prefix = &text[line..key];
            let alone = prefix.bytes().all(|byte| byte == b' ');
            let lead = match chunks.last_mut() {
                None => {
                    column = prefix.len();
                    if !prefix.bytes().all(|byte| byte == b' ' || byte == b'-') {
                        return None;
                    }
                    if alone { self.comments_above(line)..line } else { key..key }
                }
                Some(above) => {
                    let gap = line_end(text, above.body.end);
                    let empty = |line: &str| {
                        line.trim_matches(WHITE).is_empty() || line.trim_start_matches(WHITE).starts_with('#')
                    };
                    if !alone || prefix.len() != column || !text.get(gap..line)?.lines().all(empty) {
                        return None;
                    }
                    above.body.end = self.with_foot(above.body.end, column);
                    line_end(text, above.body.end)..line
                }
            };
            let body = key..before_break(text, line_end(text, pair.end()));
            chunks.push(Chunk { lead, body, keeps: pair.value.keeps() });
        }
        Some(chunks)
    }

    /// Start of the comments and blank lines directly above a line.
    fn comments_above(&self, line: usize) -> usize {
        let mut start = line;
        while start > 0 {
            let above = line_start(self.text, start - 1);
            let text = self.text[above..start].trim_matches(WHITE);
            if !text.is_empty() && !text.starts_with('#') {
                break;
            }
            start = above;
        }
        start
    }

    /// The end of an entry with the comments below it that are indented deeper than its key.
    fn with_foot(&self, end: usize, column: usize) -> usize {
        let (mut foot, mut at) = (end, line_end(self.text, end));
        while at < self.text.len() {
            let next = line_end(self.text, at);
            let line = &self.text[at..next];
            let visible = line.trim_start_matches(WHITE);
            if visible.starts_with('#') && line.len() - visible.len() > column {
                foot = before_break(self.text, next);
            } else if !visible.is_empty() {
                break;
            }
            at = next;
        }
        foot
    }

    /// End of the comment that a file begins with: at its last blank line, or, if there is none, at the first key.
    fn header(&self, lead: &Range<usize>) -> usize {
        let text = &self.text[lead.clone()];
        let mut header = None;
        let (mut at, mut commented) = (lead.start, false);
        for line in text.split_inclusive('\n') {
            at += line.len();
            if line.trim_matches(WHITE).is_empty() {
                header = commented.then_some(at);
            } else {
                commented = true;
            }
        }
        header.unwrap_or(lead.end)
    }
}

/// The entry that comes first has no blank line above it; the one that was first takes it.
fn pass_blank_on(leads: &mut [String], first: usize, newline: &str) {
    let kept = without_blank(&leads[first]).to_owned();
    let had = kept.len() < leads[first].len();
    leads[first] = kept;
    if had && first != 0 && !leads[0].lines().next().is_some_and(|line| line.trim_matches(WHITE).is_empty()) {
        leads[0].insert_str(0, newline);
    }
}

/// Without the blank lines at its start.
fn without_blank(lead: &str) -> &str {
    let mut kept = lead;
    while let Some((_, rest)) = kept.split_once('\n').filter(|(line, _)| line.trim_matches(WHITE).is_empty()) {
        kept = rest;
    }
    kept
}

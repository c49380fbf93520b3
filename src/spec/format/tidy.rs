//! White space: none at the end of a line, no two blank lines in a row, one line break at the end. Inside scalars nothing changes.

use super::read::{self, WHITE};
use std::ops::Range;

/// The text with its white space in order.
pub(super) fn tidy(text: &str) -> String {
    let mut scalars: Vec<Range<usize>> = Vec::new();
    if let Some(root) = read::read(text) {
        root.long_scalars(text, &mut scalars);
    }
    let mut scalars = scalars.iter().peekable();
    let mut out = String::new();
    let mut at = 0;
    // Blank lines that are written once something follows.
    let mut blank = None;
    for whole in text.split_inclusive('\n') {
        let line = &whole[..read::before_break(whole, whole.len())];
        let end = at + line.len();
        at += whole.len();
        while scalars.next_if(|scalar| scalar.end < end).is_some() {}
        let inside = scalars.peek().is_some_and(|scalar| scalar.start < end);
        let visible = if inside { line } else { line.trim_end_matches(WHITE) };
        if visible.is_empty() && !inside {
            blank = blank.or(Some(&whole[line.len()..]));
            continue;
        }
        out.push_str(blank.take().filter(|_| !out.is_empty()).unwrap_or_default());
        out.push_str(visible);
        out.push_str(&whole[line.len()..]);
    }
    if !out.ends_with('\n') {
        out.push_str(if out.contains("\r\n") { "\r\n" } else { "\n" });
    }
    out
}

//! Text of pages as Markdown: what HTML and Markdown would take for markup is marked as text. Pages are written for a terminal, with code in
//! backticks, blocks between fences, lists and tables.

/// A stretch of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// Prose.
    Text(&'a str),
    /// What stands between backticks.
    Code(&'a str),
}

/// The stretches of a line; a backtick without a partner is prose.
pub(super) fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((code, behind)) = after.split_once('`') else { break };
        if !before.is_empty() {
            found.push(Piece::Text(before));
        }
        found.push(Piece::Code(code));
        rest = behind;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

/// Prose that is neither a tag nor emphasis.
pub(super) fn prose(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('*', "\\*")
}

/// What a cell of a table may hold.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Whether each line of a page is outside its fenced blocks; the fences are inside.
pub(super) fn outside(page: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut fenced = false;
    page.lines().map(move |line| {
        let fence = line.starts_with("```");
        let outside = !fenced && !fence;
        fenced ^= fence;
        (outside, line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_prose() {
        assert_eq!(pieces("a `b` c"), [Piece::Text("a "), Piece::Code("b"), Piece::Text(" c")]);
        assert_eq!(pieces("`b``c`"), [Piece::Code("b"), Piece::Code("c")]);
        assert_eq!(pieces("one ` alone"), [Piece::Text("one ` alone")]);
        assert_eq!(prose("a<b & c*d"), "a&lt;b &amp; c\\*d");
        let lines: Vec<bool> = outside("a\n```yaml\nb\n```\nc").map(|(outside, _)| outside).collect();
        assert_eq!(lines, [true, false, false, false, true]);
    }
}

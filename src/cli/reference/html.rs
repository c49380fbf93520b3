//! The reference as one HTML page that needs nothing else: the Markdown of `page`, which is read here, with a search that filters headings.
//! Without scripts it is a plain page.

use super::escape::{Piece, outside, pieces};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(super) fn page(markdown: &str) -> String {
    let blocks = blocks(markdown);
    let title = blocks.iter().find_map(|block| match block {
        Block::Heading { level: 1, text, .. } => Some(text.as_str()),
        _ => None,
    });
    let title = escaped(title.unwrap_or_default());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<label for=\"search\">Search</label>\n<input id=\"search\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\" \
         placeholder=\"sgd, freeze, P0204 …\">\n<output id=\"found\" for=\"search\"></output>\n</header>\n<div id=\"columns\">\n\
         {}<main>\n{}</main>\n</div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        navigation(&blocks),
        body(&blocks)
    )
}

/// A part of the page, as the generator of the Markdown writes it.
#[derive(Debug, PartialEq)]
enum Block {
    Heading { level: usize, id: String, text: String },
    Paragraph(String),
    List(Vec<String>),
    Code { language: String, text: String },
    Table { head: Vec<String>, rows: Vec<Vec<String>> },
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut id = String::new();
    for (outside, line) in outside(markdown) {
        if !outside {
            code_line(line, &mut found);
        } else if let Some(anchor) = line.strip_prefix("<a id=\"").and_then(|rest| rest.strip_suffix("\"></a>")) {
            id = anchor.to_owned();
        } else if line.starts_with('#') {
            let text = line.trim_start_matches('#');
            found.push(Block::Heading {
                level: line.len() - text.len(),
                id: std::mem::take(&mut id),
                text: text.trim().to_owned(),
            });
        } else if let Some(row) = line.strip_prefix('|') {
            table_row(row, &mut found);
        } else if let Some(item) = line.strip_prefix("- ") {
            match found.last_mut() {
                Some(Block::List(items)) => items.push(item.to_owned()),
                _ => found.push(Block::List(vec![item.to_owned()])),
            }
        } else if line.trim().is_empty() {
            found.push(Block::Paragraph(String::new()));
        } else {
            match found.last_mut() {
                Some(Block::Paragraph(text)) if !text.is_empty() => {
                    text.push(' ');
                    text.push_str(line.trim());
                }
                Some(Block::List(items)) if line.starts_with(' ') => {
                    if let Some(item) = items.last_mut() {
                        item.push(' ');
                        item.push_str(line.trim());
                    }
                }
                _ => found.push(Block::Paragraph(line.trim().to_owned())),
            }
        }
    }
    found.retain(|block| *block != Block::Paragraph(String::new()));
    found
}

/// A fence begins a block where none is open; `language` of a closed one is marked by a newline at its end.
fn code_line(line: &str, found: &mut Vec<Block>) {
    if let Some(Block::Code { language, text }) = found.last_mut()
        && !language.ends_with('\n')
    {
        if line.starts_with("```") {
            language.push('\n');
        } else {
            text.push_str(line);
            text.push('\n');
        }
        return;
    }
    found.push(Block::Code { language: line.trim_start_matches('`').to_owned(), text: String::new() });
}

fn table_row(row: &str, found: &mut Vec<Block>) {
    const BAR: char = '\u{1}';
    let hidden = row.trim().trim_end_matches('|').replace("\\|", &BAR.to_string());
    let cells: Vec<String> = hidden.split('|').map(|cell| cell.trim().replace(BAR, "|")).collect();
    match found.last_mut() {
        Some(Block::Table { .. }) if cells.iter().all(|cell| cell.chars().all(|c| c == '-')) => {}
        Some(Block::Table { rows, .. }) => rows.push(cells),
        _ => found.push(Block::Table { head: cells, rows: Vec::new() }),
    }
}

/// Parts and their entries, for the side of the page.
fn navigation(blocks: &[Block]) -> String {
    let mut out = String::from("<nav aria-label=\"Contents\">\n<details open>\n<summary>Contents</summary>\n");
    let mut open = false;
    for block in blocks {
        let Block::Heading { level, id, text } = block else { continue };
        let name = inline(text.split([':', '(']).next().unwrap_or(text).trim());
        match level {
            2 => {
                out.push_str(if open { "</ul>\n" } else { "" });
                open = true;
                let _ = write!(out, "<a class=\"part\" href=\"#{id}\">{name}</a>\n<ul>\n");
            }
            3 => {
                let _ = writeln!(out, "<li><a href=\"#{id}\">{name}</a></li>");
            }
            _ => {}
        }
    }
    out.push_str(if open { "</ul>\n" } else { "" });
    out + "</details>\n</nav>\n"
}

/// Everything, an entry to an `article`, so that the search can hide it.
fn body(blocks: &[Block]) -> String {
    let mut out = String::new();
    let mut open = false;
    // The list of contents of the Markdown is the navigation here.
    let start = blocks.iter().position(|block| matches!(block, Block::Heading { level: 2, .. })).unwrap_or(0);
    for (at, block) in blocks.iter().enumerate().filter(|(at, block)| *at >= start || !matches!(block, Block::List(_)))
    {
        if let Block::Heading { level, .. } = block
            && at > 0
        {
            out.push_str(if open { "</article>\n" } else { "" });
            open = *level > 2;
            out.push_str(if open { "<article>\n" } else { "" });
        }
        out.push_str(&html(block));
    }
    out + if open { "</article>\n" } else { "" }
}

fn html(block: &Block) -> String {
    match block {
        Block::Heading { level, id, text } if id.is_empty() => format!("<h{level}>{}</h{level}>\n", inline(text)),
        Block::Heading { level, id, text } => {
            let link = format!("<a class=\"anchor\" href=\"#{id}\" aria-label=\"link to this part\">#</a>");
            format!("<h{level} id=\"{id}\">{} {link}</h{level}>\n", inline(text))
        }
        Block::Paragraph(text) => format!("<p>{}</p>\n", inline(text)),
        Block::List(items) => {
            let items: String = items.iter().map(|item| format!("<li>{}</li>\n", inline(item))).collect();
            format!("<ul>\n{items}</ul>\n")
        }
        Block::Code { language, text } => {
            format!("<pre class=\"{}\"><code>{}</code></pre>\n", language.trim(), escaped(text))
        }
        Block::Table { head, rows } => table(head, rows),
    }
}

/// Where a row stands on lines of its own, cells say what they are; the first and the meaning need not.
fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let titles: String = head.iter().map(|cell| format!("<th>{}</th>", inline(cell))).collect();
    let cell = |(at, cell): (usize, &String)| match head.get(at).filter(|name| at > 0 && *name != "meaning") {
        Some(name) => format!("<td data-head=\"{name}\">{}</td>", inline(cell)),
        None => format!("<td>{}</td>", inline(cell)),
    };
    let row = |row: &Vec<String>| format!("<tr>{}</tr>\n", row.iter().enumerate().map(cell).collect::<String>());
    let rows: String = rows.iter().map(row).collect();
    format!("<div class=\"wide\"><table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n")
}

/// Prose, code, anchors and links of a line. Prose comes escaped, code does not.
fn inline(line: &str) -> String {
    let mut out = String::new();
    let mut rest = pieces(line).into_iter().peekable();
    while let Some(piece) = rest.next() {
        match piece {
            Piece::Code(code) => {
                let _ = write!(out, "<code>{}</code>", escaped(code));
            }
            Piece::Text(text) => {
                // `[`code`](#id)`: the bracket stands at the end of one stretch of prose, the target at the start of the next.
                let linked = text.ends_with('[') && matches!(rest.peek(), Some(Piece::Code(_)));
                let prose = if linked { &text[..text.len() - 1] } else { text };
                out.push_str(&links(&prose.replace("\\*", "*")));
                if linked && let (Some(Piece::Code(code)), Some(Piece::Text(after))) = (rest.next(), rest.peek_mut()) {
                    match after.strip_prefix("](#").and_then(|after| after.split_once(')')) {
                        Some((id, behind)) => {
                            let _ = write!(out, "<a href=\"#{id}\"><code>{}</code></a>", escaped(code));
                            *after = behind;
                        }
                        None => {
                            let _ = write!(out, "[<code>{}</code>", escaped(code));
                        }
                    }
                }
            }
        }
    }
    out
}

/// Links of prose without code.
fn links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let link =
            after.split_once("](#").and_then(|(name, after)| after.split_once(')').map(|(id, end)| (name, id, end)));
        out.push_str(before);
        if let Some((name, id, end)) = link.filter(|(name, ..)| !name.contains('[')) {
            let _ = write!(out, "<a href=\"#{id}\">{name}</a>");
            rest = end;
        } else {
            out.push('[');
            rest = after;
        }
    }
    out + rest
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_generator_writes_is_read() {
        let text = "# T\n\n<a id=\"x.y\"></a>\n## `x` | a\n\nOne\ntwo `a<b` [`c`](#c), [d](#d) [N, C] a&lt;b \\*.\n\n- i\n  j\n- k\n\n```yaml\n- a: <b>\n\n```\n\n\
                    | k | v |\n|---|---|\n| <a id=\"q\"></a>`a \\| b` | [`c`](#c) |\n";
        let page = body(&blocks(text));
        for part in [
            "<h1>T</h1>",
            "<h2 id=\"x.y\"><code>x</code> | a ",
            "<p>One two <code>a&lt;b</code> <a href=\"#c\"><code>c</code></a>, <a href=\"#d\">d</a> [N, C] a&lt;b *.</p>",
            "<li>i j</li>\n<li>k</li>",
            "<pre class=\"yaml\"><code>- a: &lt;b&gt;\n\n</code></pre>",
            "<th>k</th><th>v</th>",
            "<td><a id=\"q\"></a><code>a | b</code></td><td data-head=\"v\"><a href=\"#c\"><code>c</code></a></td>",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}

//! Long lines cut down to what is said of them: nobody reads a line of a thousand characters, and what draws carets counts columns in 16 bits.

use std::ops::Range;

/// Longest line that is shown whole, in bytes.
const LONG: usize = 500;
/// What is kept of a long line before and behind its labels, and of one label, in bytes.
const AROUND: usize = 40;
const WITHIN: usize = 120;

/// The text with its long lines cut down and the ranges in it; `None` when no line is long. Columns of cut lines are those of what is left.
pub(super) fn excerpt(text: &str, ranges: &[Range<usize>]) -> Option<(String, Vec<Range<usize>>)> {
    if !text.lines().any(|line| line.len() > LONG) {
        return None;
    }
    let mut out = String::new();
    let mut moved: Vec<(Option<usize>, Option<usize>)> = vec![(None, None); ranges.len()];
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let kept = kept(text, start..end, ranges);
        if kept.start > start {
            out.push('…');
        }
        let at = |place: usize| out.len() + place.clamp(kept.start, kept.end) - kept.start;
        for (range, (from, to)) in ranges.iter().zip(&mut moved) {
            if from.is_none() && range.start < end {
                *from = Some(at(range.start));
            }
            if to.is_none() && range.end <= end {
                *to = Some(at(range.end));
            }
        }
        out.push_str(&text[kept.clone()]);
        if kept.end < end {
            out.push_str("…\n");
        }
        start = end;
    }
    let last = out.len();
    let whole = |(from, to): (Option<usize>, Option<usize>)| {
        let from = from.unwrap_or(last);
        from..to.unwrap_or(last).max(from)
    };
    Some((out, moved.into_iter().map(whole).collect()))
}

/// What is kept of a line.
fn kept(text: &str, line: Range<usize>, ranges: &[Range<usize>]) -> Range<usize> {
    if line.len() <= LONG {
        return line;
    }
    let here = || ranges.iter().filter(|range| range.start < line.end && range.end >= line.start);
    let first = here().map(|range| range.start.max(line.start)).min().unwrap_or(line.start);
    let last =
        here().map(|range| range.end.min(range.start + WITHIN)).max().unwrap_or(first).clamp(first, first + WITHIN);
    let from = text.floor_char_boundary(first.saturating_sub(AROUND).max(line.start));
    from..text.ceil_char_boundary((last + AROUND).min(line.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_stay() {
        assert_eq!(excerpt("a: 1\nb: 2\n", std::slice::from_ref(&(3..4))), None);
    }

    #[test]
    fn labels_stay_on_what_they_point_at() {
        let text = format!("first\n{}é{{key: 1}}{}\nlast: 2", "é".repeat(70_000), "x".repeat(70_000));
        let (key, last) = (text.find("key").unwrap(), text.find("last").unwrap());
        let (shown, ranges) = excerpt(&text, &[key..key + 3, last..last + 4, text.len()..text.len()]).unwrap();
        assert!(shown.len() < 400 && shown.lines().count() == 3, "{shown}");
        assert_eq!((&shown[ranges[0].clone()], &shown[ranges[1].clone()]), ("key", "last"));
        assert_eq!(ranges[2], shown.len()..shown.len());
        // A label over the whole line is cut with it.
        let (shown, ranges) = excerpt(&text, std::slice::from_ref(&(6..last - 1))).unwrap();
        assert!(shown.len() < 400 && shown.is_char_boundary(ranges[0].start) && shown.is_char_boundary(ranges[0].end));
    }
}

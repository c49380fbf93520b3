//! Did-you-mean: the nearest names by edit distance.

/// Longest name that is compared, in characters; nobody mistypes a longer one, and the work grows with its square.
const LONGEST: usize = 100;

/// The candidates within a third of the name's length in edits, nearest first, at most three.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let length = name.chars().take(LONGEST + 1).count();
    if length > LONGEST {
        return Vec::new();
    }
    // Names of one character are all one edit apart.
    let limit = if length == 1 { 0 } else { length.div_ceil(3).max(1) };
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| candidate.chars().take(2 * LONGEST).count().abs_diff(length) <= limit)
        .filter_map(|candidate| Some((distance(&name, &candidate.to_lowercase(), limit)?, candidate)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(3);
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Names for a sentence: "`a`, `b` or `c`"; empty for none.
pub fn either<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours cost one each. `None` above the limit.
fn distance(a: &[char], b: &str, limit: usize) -> Option<usize> {
    let b: Vec<char> = b.chars().collect();
    // The rows of the two characters before and of this one.
    let (mut before, mut above, mut row) =
        (vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>(), vec![0; b.len() + 1]);
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row[j] = best;
        }
        // A swap reaches back two rows: only when both are over the limit nothing below can be within it.
        let over = |row: &[usize]| row.iter().all(|edits| *edits > limit);
        if over(&row) && over(&above) {
            return None;
        }
        (before, above, row) = (above, row, before);
    }
    Some(above[b.len()]).filter(|edits| *edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typos_and_keeps_strangers_out() {
        assert_eq!(nearest("momentun", ["momentum", "lr", "nesterov"]), ["momentum"]);
        assert_eq!(nearest("trian", ["train", "test"]), ["train"]);
        assert_eq!(nearest("Cosin", ["cosine", "cousin", "sine"]), ["cosine", "cousin"]);
        assert_eq!(nearest("", ["a", "ab"]), ["a"]);
        assert_eq!(nearest("G", ["a", "g"]), ["g"]);
        assert!(nearest("learning_rate", ["lr", "momentum"]).is_empty());
        let long = "x".repeat(1 << 20);
        assert!(nearest(&long, [long.as_str()]).is_empty() && nearest("x", [long.as_str()]).is_empty());
    }
    #[test]
    fn names_stand_in_a_sentence() {
        assert_eq!(either::<&str>(&[]), "");
        assert_eq!([either(&["a"]), either(&["a", "b"])], ["`a`", "`a` or `b`"]);
        assert_eq!(either(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}

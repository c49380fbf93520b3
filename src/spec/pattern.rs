//! gitignore-style patterns over names of parameters.
//!
//! The last pattern that matches decides; a leading `!` takes back. `*` stands for any characters, dots and slashes included,
//! `?` for one. A pattern without either matches the exact name, or a module and all that is below it.

use std::collections::BTreeSet;

/// An ordered list of patterns.
#[derive(Debug, Clone)]
pub struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    takes_back: bool,
    glob: Vec<char>,
    wild: bool,
}

/// A pattern without a say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overruled {
    /// Its index.
    pub pattern: usize,
    /// Indices of the things that it matches.
    pub matched: Vec<usize>,
    /// Indices of the patterns that decide on them.
    pub by: BTreeSet<usize>,
}

/// Indices of the things that a pattern matches.
fn matched(pattern: &Pattern, all: &[Vec<String>]) -> Vec<usize> {
    let things = all.iter().enumerate();
    things.filter(|(_, names)| names.iter().any(|name| pattern.matches(name))).map(|(thing, _)| thing).collect()
}

impl Pattern {
    fn new(text: &str) -> Self {
        let (takes_back, glob) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        Self { takes_back, glob: glob.chars().collect(), wild: glob.contains(['*', '?']) }
    }

    fn matches(&self, name: &str) -> bool {
        if self.wild {
            return glob(&self.glob, name);
        }
        let mut rest = name.chars();
        let prefix = self.glob.iter().all(|expected| rest.next() == Some(*expected));
        prefix && !self.glob.is_empty() && matches!(rest.next(), None | Some('.' | '/'))
    }
}

/// Whether the whole name fits; linear in name × pattern, with no recursion.
fn glob(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where the last `*` was and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl Patterns {
    /// Patterns in the order of the spec.
    pub fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|text| Pattern::new(text)).collect())
    }

    /// Whether something with these names is selected. A pattern matches it if it matches any of the names.
    pub fn matches(&self, names: &[String]) -> bool {
        let hit = self.0.iter().rev().find(|pattern| names.iter().any(|name| pattern.matches(name)));
        hit.is_some_and(|pattern| !pattern.takes_back)
    }

    /// The pattern that decides on something with these names: the last one that matches any of them.
    pub fn decides(&self, names: &[String]) -> Option<usize> {
        self.0.iter().rposition(|pattern| names.iter().any(|name| pattern.matches(name)))
    }

    /// The patterns that match some of these things and have no say on any, since later ones decide the other way.
    pub fn overruled(&self, all: &[Vec<String>]) -> Vec<Overruled> {
        let decided: Vec<Option<usize>> = all.iter().map(|names| self.decides(names)).collect();
        let mut found = Vec::new();
        for (index, pattern) in self.0.iter().enumerate() {
            let matched: Vec<usize> = matched(pattern, all);
            let by: BTreeSet<usize> = matched.iter().filter_map(|thing| decided[*thing]).collect();
            if !by.is_empty() && by.iter().all(|other| self.0[*other].takes_back != pattern.takes_back) {
                found.push(Overruled { pattern: index, matched, by });
            }
        }
        found
    }

    /// The patterns that take back, and match nothing that one before them selects.
    pub fn needless(&self, all: &[Vec<String>]) -> Vec<(usize, Vec<usize>)> {
        let mut found = Vec::new();
        for (index, pattern) in self.0.iter().enumerate().filter(|(_, pattern)| pattern.takes_back) {
            let matched = matched(pattern, all);
            let selects = |other: &Pattern, thing: &usize| {
                !other.takes_back && all[*thing].iter().any(|name| other.matches(name))
            };
            let selected = self.0[..index].iter().any(|other| matched.iter().any(|thing| selects(other, thing)));
            if !matched.is_empty() && !selected {
                found.push((index, matched));
            }
        }
        found
    }

    /// Indices of the patterns that match none of these things, each given by its names.
    pub fn unused(&self, all: &[Vec<String>]) -> Vec<usize> {
        let matches_any = |pattern: &Pattern| all.iter().flatten().any(|name| pattern.matches(name));
        self.0.iter().enumerate().filter(|(_, pattern)| !matches_any(pattern)).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(patterns: &[&str], name: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        Patterns::new(&patterns).matches(&[name.to_owned()])
    }

    #[test]
    fn the_last_match_wins() {
        assert!(selects(&["*"], "layer4.0.conv1.weight"));
        assert!(!selects(&["*", "!layer4"], "layer4.0.conv1.weight"));
        assert!(selects(&["*", "!layer4", "layer4.*.weight"], "layer4.0.conv1.weight"));
        assert!(!selects(&[], "a") && !selects(&["!a"], "a"));
    }

    #[test]
    fn stars_cross_dots_and_slashes() {
        assert!(selects(&["*conv?.weight"], "/layer4/layer4.0/conv1.weight"));
        assert!(!selects(&["conv?.weight"], "layer4.conv1.weight"));
        assert!(!selects(&["conv?"], "conv") && selects(&["conv?"], "convé"));
        assert!(selects(&["a**b*"], "ab") && !selects(&["a*b"], "abc"));
    }

    #[test]
    fn a_bare_name_is_a_module() {
        assert!(selects(&["layer4"], "layer4.0.conv1.weight") && selects(&["layer4"], "layer4"));
        assert!(!selects(&["layer4"], "layer40.weight") && !selects(&["layer"], "layer4.weight"));
        assert!(selects(&["/fc"], "/fc/Gemm.weight"));
        assert!(!selects(&[""], "a") && !selects(&["!"], "a"));
    }

    #[test]
    fn any_of_several_names_counts() {
        let patterns = Patterns::new(&["*".to_owned(), "!fc".to_owned()]);
        assert!(!patterns.matches(&["onnx::MatMul_12".to_owned(), "fc.weight".to_owned()]));
        let all = [vec!["val_1".to_owned(), "fc.weight".to_owned()]];
        assert_eq!(Patterns::new(&["fc".to_owned(), "nope".to_owned(), "!val_*".to_owned()]).unused(&all), [1]);
    }

    #[test]
    fn a_pattern_whose_matches_others_decide_has_no_say() {
        let all: Vec<Vec<String>> = ["a.w", "a.b", "b.w"].iter().map(|name| vec![(*name).to_owned()]).collect();
        let of = |patterns: &[&str]| Patterns::new(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>());
        let overruled = |patterns: &[&str]| -> Vec<(usize, Vec<usize>)> {
            let found = of(patterns).overruled(&all);
            found.into_iter().map(|found| (found.pattern, found.by.into_iter().collect())).collect()
        };
        assert_eq!(overruled(&["a", "!a.w", "!a.b"]), [(0, vec![1, 2])]);
        assert_eq!(overruled(&["!a", "*"]), [(0, vec![1])]);
        // A part of it is left, or another one says the same.
        assert_eq!(overruled(&["a", "!a.w"]), []);
        assert_eq!(overruled(&["a.w", "*", "a"]), []);
        assert_eq!(overruled(&["nothing", "!*"]), []);
        assert_eq!(of(&["!a", "b", "!b.w"]).needless(&all), [(0, vec![0, 1])]);
        assert_eq!(of(&["*", "!a", "!a.w", "!nothing"]).needless(&all), []);
    }

    #[test]
    fn many_stars_stay_fast() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!selects(&[pattern.as_str()], &"a".repeat(5000)));
    }
}

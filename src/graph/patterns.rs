//! What is said of patterns over parameters: those that match nothing, and those that others make void.

use crate::diag::{Code, Diagnostic, either, nearest};
use crate::spec::pattern::Patterns;
use std::collections::BTreeSet;

/// Names of modules that are listed where no name is near.
const LISTED: usize = 6;

/// What patterns select.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Things {
    /// Of the network.
    Parameters,
    /// Of the network's graph.
    Nodes,
}

impl Things {
    fn one(self) -> &'static str {
        match self {
            Self::Parameters => "parameter",
            Self::Nodes => "node",
        }
    }

    /// What lists them.
    fn listed(self) -> &'static str {
        match self {
            Self::Parameters => "`pipe inspect MODEL` lists the parameters",
            Self::Nodes => "`pipe inspect MODEL --nodes` lists the nodes",
        }
    }
}

/// Every pattern that matches none of these parameters, each given by its names, the first one first. `at` is the pointer of the list.
/// A bare `*` is no mistake where there is nothing to match.
pub(crate) fn unmatched(patterns: &[String], all: &[Vec<String>], at: &str) -> Vec<Diagnostic> {
    unmatched_of(Things::Parameters, patterns, all, at)
}

/// As [`unmatched`], of any things.
pub(crate) fn unmatched_of(things: Things, patterns: &[String], all: &[Vec<String>], at: &str) -> Vec<Diagnostic> {
    let unused = Patterns::new(patterns).unused(all).into_iter().filter(|index| patterns[*index] != "*");
    unused.map(|index| nothing(things, patterns, index, all, at)).collect()
}

fn nothing(things: Things, patterns: &[String], index: usize, all: &[Vec<String>], at: &str) -> Diagnostic {
    let bare = bare(&patterns[index]);
    let listed = things.listed();
    let problem = Diagnostic::error(Code::PatternEmpty, format!("the pattern `{bare}` matches no {}", things.one()));
    let place = format!("{at}/{index}");
    let near = near(bare, all);
    if let Some(first) = near.first() {
        let problem = problem.at(place, format!("did you mean `{first}`?"));
        let others = if near.len() > 1 { format!("near: {}; ", either(&near)) } else { String::new() };
        return problem.help(format!("{others}{listed}"));
    }
    let problem = problem.at(place, "nothing has such a name");
    let mut modules: Vec<&str> = Vec::new();
    for name in all.iter().filter_map(|names| names.first()) {
        let module = name.split(['.', '/']).find(|part| !part.is_empty()).unwrap_or(name);
        if !modules.contains(&module) {
            modules.push(module);
        }
    }
    let more = if modules.len() > LISTED { " and others" } else { "" };
    modules.truncate(LISTED);
    let modules: Vec<String> = modules.iter().map(|module| format!("`{module}`")).collect();
    problem.help(match modules.as_slice() {
        [] => format!("the source model has no {}s", things.one()),
        modules => format!("names begin with {}{more}; {listed}", modules.join(", ")),
    })
}

/// The text without the mark that takes back: how it is read depends on the key that it stands under.
fn bare(pattern: &str) -> &str {
    pattern.strip_prefix('!').unwrap_or(pattern)
}

/// Names and modules near a pattern, in the form that it has: `layer4.*` for `layr4.*`, `*.weight` for `*.wieght`.
fn near(pattern: &str, all: &[Vec<String>]) -> Vec<String> {
    let (before, rest) = pattern.strip_prefix("*.").map_or(("", pattern), |rest| ("*.", rest));
    let stem = rest.trim_end_matches('*').trim_end_matches(['.', '/']);
    let after = &rest[stem.len()..];
    if stem.is_empty() || stem.contains(['*', '?']) {
        return Vec::new();
    }
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for name in all.iter().flatten() {
        // What stands behind `*.` is the end of a name, what stands before `.*` a module.
        let cuts = || name.match_indices(['.', '/']).map(|(at, _)| at);
        if before.is_empty() {
            known.extend(cuts().map(|at| &name[..at]));
        } else {
            known.extend(cuts().map(|at| &name[at + 1..]));
        }
        if before.is_empty() && after.is_empty() {
            known.insert(name);
        }
    }
    nearest(stem, known).into_iter().map(|name| format!("{before}{name}{after}")).collect()
}

/// Every pattern that has no say on any parameter, as a warning that shows what decides instead.
pub(crate) fn void(patterns: &[String], all: &[Vec<String>], at: &str) -> Vec<Diagnostic> {
    let rules = Patterns::new(patterns);
    let names = |things: &[usize]| -> Vec<&str> {
        things.iter().filter_map(|thing| all[*thing].first()).map(String::as_str).collect()
    };
    let mut found = Vec::new();
    // A bare `*` is there to be taken back from, even if in the end nothing of it is left.
    let overruled: Vec<_> = rules.overruled(all).into_iter().filter(|void| patterns[void.pattern] != "*").collect();
    for void in &overruled {
        let warning = decides_nothing(&patterns[void.pattern], &names(&void.matched));
        let warning = warning.at(format!("{at}/{}", void.pattern), "overruled");
        let warning =
            void.by.iter().fold(warning, |warning, by| warning.at(format!("{at}/{by}"), "comes later and decides"));
        found.push(warning.help("the last pattern that matches decides: take this one out, or write it behind"));
    }
    for (index, matched) in rules.needless(all) {
        if overruled.iter().any(|void| void.pattern == index) {
            continue;
        }
        let bare = bare(&patterns[index]);
        let warning =
            Diagnostic::warning(Code::PatternVoid, format!("the pattern `!{bare}` takes back what nothing selects"));
        let warning = warning.note(matches(&names(&matched)));
        let warning = warning.at(format!("{at}/{index}"), "nothing before it selects them");
        found.push(warning.help(format!("to select all but these, write `[\"*\", \"!{bare}\"]`")));
    }
    found
}

/// A warning about a pattern whose parameters something else decides on.
pub(crate) fn decides_nothing(pattern: &str, names: &[&str]) -> Diagnostic {
    Diagnostic::warning(Code::PatternVoid, format!("the pattern `{}` decides nothing", bare(pattern)))
        .note(matches(names))
}

fn matches(names: &[&str]) -> String {
    format!("it matches {}", some(names))
}

/// The first of some names, and how many there are beside them.
pub(crate) fn some(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<Vec<String>> {
        let names = ["layer1.conv.weight", "layer1.conv.bias", "layer2.conv.weight", "fc.weight"];
        names.iter().map(|name| vec![(*name).to_owned()]).collect()
    }

    #[test]
    fn near_names_have_the_form_of_the_pattern() {
        let near = |pattern: &str| near(pattern, &names());
        assert_eq!(near("fc.wieght"), ["fc.weight"]);
        assert_eq!(near("layr1.*"), ["layer1.*", "layer2.*"]);
        assert_eq!(near("*.wieght"), ["*.weight"]);
        assert_eq!(near("layer1.cnov"), ["layer1.conv", "layer2.conv"]);
        assert!(near("*").is_empty() && near("a*b").is_empty() && near("encoder.*").is_empty());
    }

    #[test]
    fn without_a_near_name_the_modules_are_listed() {
        let found = unmatched(&["encoder.*".to_owned(), "*".to_owned()], &names(), "/freeze/params");
        assert_eq!(found.len(), 1);
        let help = "names begin with `layer1`, `layer2`, `fc`; `pipe inspect MODEL` lists the parameters";
        assert_eq!(found[0].help_text(), Some(help));
        assert!(unmatched(&["*".to_owned()], &[], "/freeze/params").is_empty());
    }
}

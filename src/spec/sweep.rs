//! The trials of a sweep: the spec with other values, each read and checked like the spec itself, so that a wrong value has its caret where
//! it stands in the list.

use super::language::Language;
use super::tree::{Entry, Node, Yaml};
use super::walk::{self, Walker};
use super::{Draw, Spec, read, sets, validate, vars};
use crate::diag::{Code, Diagnostic, Severity};
use crate::world::rng::Key;

/// Most trials of a sweep.
const MAX_TRIALS: usize = 10_000;

/// A spec with other values.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Path of keys and value, in the order of the text.
    pub values: Vec<(String, String)>,
    /// What is run.
    pub spec: Spec,
}

impl Trial {
    /// Such as `lr=0.001 seed=1`: the last key of each path, or more of it where that is not enough.
    pub fn name(&self) -> String {
        let short = |path: &str| {
            let mut steps = path.split('.').rev();
            let mut name = steps.next().unwrap_or_default().to_owned();
            for step in steps {
                let ends = |(other, _): &&(String, String)| {
                    other != path && format!(".{other}").ends_with(&format!(".{name}"))
                };
                if !name.starts_with(|c: char| c.is_ascii_digit()) && !self.values.iter().any(|value| ends(&value)) {
                    break;
                }
                name = format!("{step}.{name}");
            }
            name
        };
        let named: Vec<String> = self.values.iter().map(|(path, value)| format!("{}={value}", short(path))).collect();
        named.join(" ")
    }
}

/// A path, where it stands, and the value it gets.
type Assigned<'t> = (&'t Entry, Node);

/// All trials, in order. `root` is the tree of the spec before variables went in.
pub(super) fn trials(language: &Language, spec: &Spec, root: &Node, diagnostics: &mut Vec<Diagnostic>) -> Vec<Trial> {
    let Some(sweep) = root.get("sweep") else { return Vec::new() };
    let combinations = match (sweep.value.get("grid"), &spec.sweep) {
        (Some(grid), _) => grid_of(grid, diagnostics),
        (None, Some(sweep_spec)) => match (sweep.value.get("random"), &sweep_spec.random) {
            (Some(random), Some(drawn)) => random_of(&random.value, spec.seed, drawn.trials, &drawn.over, diagnostics),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let mut made = Vec::new();
    for combination in combinations {
        let values = combination.iter().map(|(entry, value)| (entry.key.clone(), shown(value))).collect();
        if let Some(spec) = one(language, root, &combination, diagnostics) {
            made.push(Trial { values, spec });
        }
    }
    made
}

/// Reads the spec with some values put in. What is wrong with a value is told once, however many trials have it.
fn one(language: &Language, root: &Node, values: &[Assigned], diagnostics: &mut Vec<Diagnostic>) -> Option<Spec> {
    let mut root = root.clone();
    if let Yaml::Map(entries) = &mut root.yaml {
        entries.retain(|entry| entry.key != "sweep");
    }
    let mut found = Vec::new();
    for (entry, value) in values {
        let lost = sets::assign(&mut root, &entry.key, value.clone(), |_| entry.key_place.clone());
        if let Some((message, place)) = lost {
            let error = Diagnostic::error(Code::UnknownName, format!("`{}` is not a path of the spec", entry.key));
            found.push(
                place.on(error.note(message), "").help("a path is written as for `--set`, such as `optimizer.sgd.lr`"),
            );
        }
    }
    let mut walker = Walker::new(language.builds);
    let mut spec = None;
    found.extend(vars::substitute(&mut root));
    walk::index(&root, &mut walker.places);
    if let Some(value) = read(&mut walker, &language.spec, &root)
        && walker.errors.is_empty()
    {
        spec = serde_json::from_value::<Spec>(value).ok();
        found.extend(spec.iter().flat_map(validate::validate));
    }
    found.append(&mut walker.errors);
    let mut good = true;
    for problem in found.into_iter().filter(|problem| problem.severity() == Severity::Error) {
        good = false;
        let problem = problem.locate(|pointer, key| walker.places.find(pointer, key));
        let same = |other: &Diagnostic| other.message() == problem.message() && other.labels() == problem.labels();
        if !diagnostics.iter().any(same) {
            diagnostics.push(problem);
        }
    }
    spec.filter(|_| good)
}

fn grid_of<'t>(grid: &'t Entry, diagnostics: &mut Vec<Diagnostic>) -> Vec<Vec<Assigned<'t>>> {
    let mut combinations: Vec<Vec<Assigned>> = vec![Vec::new()];
    for entry in grid.value.entries().unwrap_or_default() {
        let Yaml::List(values) = &entry.value.yaml else { continue };
        if combinations.len().saturating_mul(values.len()) > MAX_TRIALS {
            let error =
                Diagnostic::error(Code::OutOfRange, format!("the grid has more than {MAX_TRIALS} combinations"));
            diagnostics.push(grid.key_place.on(error, "").help("leave some values out, or draw some with `random`"));
            return Vec::new();
        }
        let with = |before: &Vec<Assigned<'t>>, value: &Node| {
            before.iter().cloned().chain([(entry, value.clone())]).collect::<Vec<_>>()
        };
        combinations =
            combinations.iter().flat_map(|before| values.iter().map(move |value| with(before, value))).collect();
    }
    combinations
}

/// Each value is a function of seed, path and number of the trial.
fn random_of<'t>(
    random: &'t Node,
    seed: u64,
    trials: usize,
    draws: &std::collections::BTreeMap<String, Draw>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Vec<Assigned<'t>>> {
    let entries = random.get("over").and_then(|over| over.value.entries()).unwrap_or_default();
    if trials > MAX_TRIALS {
        let error = Diagnostic::error(Code::OutOfRange, format!("more than {MAX_TRIALS} trials"));
        diagnostics.push(random.place.first_line().on(error, ""));
        return Vec::new();
    }
    let key = Key::new(seed).named("sweep");
    let value = |entry: &Entry, trial: usize| {
        let uniform = key.named(&entry.key).with(trial as u64).rng().uniform();
        let draw = draws.get(&entry.key)?;
        let place = entry.value.place.clone();
        if let Some(Yaml::List(values)) = entry.value.get("choice").map(|choice| &choice.value.yaml) {
            return values.get((uniform * values.len() as f64) as usize).cloned();
        }
        let number = if let Some((low, high)) = draw.uniform {
            rounded(low + uniform * (high - low))
        } else if let Some((low, high)) = draw.log_uniform {
            rounded((low.ln() + uniform * (high.ln() - low.ln())).exp())
        } else {
            let (low, high) = draw.integer?;
            (low + (uniform * (high - low + 1) as f64) as i64).to_string()
        };
        Some(Node::new(place, Yaml::Scalar { text: number, plain: true }))
    };
    (0..trials).map(|trial| entries.iter().filter_map(|entry| Some((entry, value(entry, trial)?))).collect()).collect()
}

/// Four digits are enough to try, and can be read.
fn rounded(value: f64) -> String {
    format!("{value:.3e}").parse::<f64>().unwrap_or(value).to_string()
}

/// A value as one line.
fn shown(node: &Node) -> String {
    match &node.yaml {
        Yaml::Scalar { text, .. } => text.clone(),
        Yaml::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Yaml::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", entry.key, shown(&entry.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::parse;

    const BASE: &str = "
version: 1
name: swept
seed: 4
vars: {size: 8}
model: {input: {x: [2]}}
layers: {net: {stack: [linear: '${size}', relu, linear: 2]}}
data:
  sets: {train: {npz: train.npz}}
  validation: {from: train, fraction: 0.2}
loss: cross_entropy
optimizer: {sgd: {lr: 0.1}}
schedule: {epochs: 2, batch: 4}
";

    fn base() -> String {
        BASE.replace("'${size}'", "\"${size}\"")
    }

    #[test]
    fn a_grid_is_every_combination() {
        let sweep = "sweep: {grid: {optimizer.sgd.lr: [0.1, 0.2], vars.size: [4, 8, 16]}, metric: validation.loss}\n";
        let parsed = parse(&(base() + sweep), "s", &[]);
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let names: Vec<String> = parsed.trials.iter().map(super::Trial::name).collect();
        assert_eq!(
            names,
            ["lr=0.1 size=4", "lr=0.1 size=8", "lr=0.1 size=16", "lr=0.2 size=4", "lr=0.2 size=8", "lr=0.2 size=16"]
        );
        let units = |trial: usize| parsed.trials[trial].spec.layers["net"].stack[0].layer.config["units"].clone();
        assert_eq!((units(0), units(5)), (4.into(), 16.into()));
        assert!(parsed.trials.iter().all(|trial| trial.spec.sweep.is_none()));
    }

    #[test]
    fn draws_are_counted_and_lie_within_their_bounds() {
        let sweep = "
sweep:
  random:
    trials: 50
    over:
      optimizer.sgd.lr: {log_uniform: [1e-4, 1]}
      layers.net.stack.0.linear: {integer: [2, 4]}
      schedule.batch: {choice: [4, 8]}
  metric: validation.loss
";
        let parsed = parse(&(base() + sweep), "s", &[]);
        assert!(parsed.diagnostics.iter().all(|found| found.code().id() == "P0207"), "{:?}", parsed.diagnostics);
        let column = |at: usize| parsed.trials.iter().map(move |trial| trial.values[at].1.as_str());
        let rates: Vec<f64> = column(0).map(|text| text.parse().unwrap()).collect();
        assert!(rates.iter().all(|rate| (1e-4..=1.0).contains(rate)));
        let small = rates.iter().filter(|rate| **rate < 1e-2).count();
        assert!((15..=35).contains(&small), "half of them lie below the middle of the logarithms: {small}");
        for units in ["2", "3", "4"] {
            assert!(column(1).any(|drawn| drawn == units), "{units}");
        }
        assert!(column(2).any(|batch| batch == "4") && column(2).any(|batch| batch == "8"));
        let again = parse(&(base() + sweep), "s", &[]);
        assert!(parsed.trials.iter().zip(&again.trials).all(|(a, b)| a.values == b.values));
    }

    #[test]
    fn names_are_as_long_as_they_must_be() {
        let sweep = "sweep: {grid: {layers.net.stack.0.linear: [4], layers.net.stack.2.linear: [2], seed: [1]}, metric: validation.loss}\n";
        let parsed = parse(&(base() + sweep), "s", &[]);
        assert_eq!(parsed.trials[0].name(), "stack.0.linear=4 stack.2.linear=2 seed=1");
    }
}

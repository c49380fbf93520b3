//! Datasets of a plan: opened, limited, split, and checked against the network and the losses.

use super::Plan;
use super::fit::shaping;
use crate::data::{self, Dataset, Pipeline};
use crate::diag::{Code, Diagnostic, Label};
use crate::parts::Chosen;
use crate::parts::losses;
use crate::parts::sources::Declared;
use crate::parts::transforms::{ItemType, Transforms};
use crate::spec::{Spec, Transforming, join};
use crate::world::rng::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Opens every dataset and takes the validation set apart. Gives those that could be opened, and what is wrong with the others.
pub(super) fn open(spec: &Spec, base: &Path) -> (BTreeMap<String, Arc<Dataset>>, Vec<Diagnostic>) {
    let mut sets = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, set) in &spec.data.sets {
        let Some(opened) = declared(spec, base, name) else { continue };
        match opened {
            Ok(dataset) => drop(sets.insert(name.clone(), Arc::new(dataset))),
            Err(problem) => problems.push(problem.within(&set.source.at)),
        }
    }
    if let Some(validation) = &spec.data.validation
        && let Some(from) = sets.get(&validation.from)
    {
        let key = Key::new(spec.seed).named("split");
        match data::split(from, "validation", validation.fraction, validation.stratify, key) {
            Ok((rest, part)) => {
                sets.insert(validation.from.clone(), Arc::new(rest));
                sets.insert("validation".to_owned(), Arc::new(part));
            }
            Err(problem) => problems.push(problem.at("/data/validation", "")),
        }
    }
    (sets, problems)
}

/// Opens one dataset of a spec, as it is before any split; `None` for a name that it does not have.
pub(super) fn declared(spec: &Spec, base: &Path, name: &str) -> Option<Result<Dataset, Diagnostic>> {
    let set = spec.data.sets.get(name)?;
    let opened = set.source.build().and_then(|source| source.open(base));
    Some(opened.map(|samples| Dataset::new(name, samples, set.limit, spec.data.on_error)))
}

/// Transforms of a dataset: its own, or the common ones; `train` takes those of training.
pub(super) fn transforms<'s>(spec: &'s Spec, set: &str) -> &'s [Chosen<Transforms>] {
    let both = both(spec, set);
    if set == "train" { &both.train } else { &both.eval }
}

/// Transforms with which a dataset is evaluated: its own, or the common ones.
pub(super) fn eval_transforms<'s>(spec: &'s Spec, set: &str) -> &'s [Chosen<Transforms>] {
    &both(spec, set).eval
}

fn both<'s>(spec: &'s Spec, set: &str) -> &'s Transforming {
    // The validation set is made of samples of another one.
    let source = match &spec.data.validation {
        Some(validation) if set == "validation" => &validation.from,
        _ => set,
    };
    let own = spec.data.sets.get(source).and_then(|set| set.transforms.as_ref());
    own.unwrap_or(&spec.data.transforms)
}

/// Name of the first transform of a dataset that draws random numbers.
pub(super) fn first_random(spec: &Spec, set: &str) -> Option<String> {
    let chosen = transforms(spec, set);
    let pipeline = Pipeline::build(chosen, Key::new(0)).ok()?;
    pipeline.first_random().and_then(|index| chosen.get(index)).map(|chosen| chosen.kind.clone())
}

/// What is said of data that is not on this machine where it need not be.
pub(super) fn not_looked_at(problem: &Diagnostic) -> Diagnostic {
    let warning = Diagnostic::warning(problem.code(), format!("{}; the data was not looked at", problem.message()));
    let warning = problem.labels().iter().fold(warning, |warning, label| match label {
        Label::Pointer { pointer, text, .. } => warning.at(pointer, text),
        Label::Span { source, range, text } => warning.span(source, range.clone(), text),
    });
    warning.help("`pipe check --data` makes this an error")
}

/// Where a dataset comes from in the spec.
pub(super) fn source_at(spec: &Spec, set: &str) -> String {
    spec.data.sets.get(set).map_or("/data/validation".to_owned(), |set| set.source.at.clone())
}

/// Names of all datasets, whether their data is there or not, in order.
fn names(spec: &Spec) -> BTreeSet<&str> {
    let own = spec.data.sets.keys().map(String::as_str);
    own.chain(spec.data.validation.as_ref().map(|_| "validation")).collect()
}

/// What the samples of a dataset are: as they are found, or where the data is absent as the source declares them.
fn item(spec: &Spec, sets: &BTreeMap<String, Arc<Dataset>>, name: &str) -> Declared {
    if let Some(set) = sets.get(name) {
        return Declared::Item(set.item_type());
    }
    let from = spec.data.validation.as_ref().filter(|_| name == "validation").map_or(name, |split| &split.from);
    let source = spec.data.sets.get(from).and_then(|set| set.source.build().ok());
    source.map_or(Declared::Unknown, |source| source.declares())
}

fn ends_in_an_image(spec: &Spec, set: &str) -> Diagnostic {
    let error = Diagnostic::error(Code::DataShape, format!("the samples of `{set}` end as images, not as numbers"));
    match transforms(spec, set).last() {
        Some(last) => error.at_key(&last.at, "leaves an image").help("put `to_tensor` behind it"),
        None => error.at(source_at(spec, set), "gives images").help("write `transforms: [to_tensor]`"),
    }
}

/// Shape of a sample after the transforms, the same for every dataset; `None` where no dataset is there and no source declares one.
pub(super) fn sample_shape(
    spec: &Spec,
    sets: &BTreeMap<String, Arc<Dataset>>,
) -> Result<Option<Vec<usize>>, Vec<Diagnostic>> {
    let mut problems: Vec<Diagnostic> = Vec::new();
    let mut shape: Option<(&str, Vec<usize>)> = None;
    for name in names(spec) {
        let Declared::Item(item) = item(spec, sets, name) else { continue };
        let found = match shape_of(spec, name, &item) {
            Ok(found) => found,
            Err(problem) => {
                // What is wrong with common transforms is said once.
                if !problems.iter().any(|told| told.message() == problem.message()) {
                    problems.push(problem);
                }
                continue;
            }
        };
        match &shape {
            Some((other, first)) if *first != found => {
                let message = format!("samples of `{name}` have shape {found:?}, those of `{other}` {first:?}");
                let error = Diagnostic::error(Code::DataShape, message);
                let error = error.at(shaping(spec, name).at, format!("makes {found:?} of `{name}`"));
                let error = error.at(shaping(spec, other).at, format!("makes {first:?} of `{other}`"));
                problems.push(error.help("all datasets go into one model: end them in one shape"));
            }
            Some(_) => {}
            None => shape = Some((name, found)),
        }
    }
    if problems.is_empty() { Ok(shape.map(|(_, shape)| shape)) } else { Err(problems) }
}

/// Shape of the samples of one dataset after its transforms.
fn shape_of(spec: &Spec, name: &str, item: &ItemType) -> Result<Vec<usize>, Diagnostic> {
    let chosen = transforms(spec, name);
    let pipeline = Pipeline::build(chosen, Key::new(0))?;
    if name != "train"
        && let Some(random) = pipeline.first_random().and_then(|index| chosen.get(index))
    {
        let message = format!("`{}` is random, and `{name}` is evaluated", random.kind);
        let error = Diagnostic::error(Code::Conflict, message).at_key(&random.at, "draws random numbers");
        let set =
            if spec.data.sets.contains_key(name) { join("/data/sets", name) } else { "/data/validation".to_owned() };
        let error = error.at_key(set, "is evaluated with it");
        return Err(error.help("put random transforms under `transforms: {train: […], eval: […]}`, in `train` only"));
    }
    match pipeline.shape(item)? {
        ItemType::Array { shape } => Ok(shape),
        ItemType::Image { .. } => Err(ends_in_an_image(spec, name)),
    }
}

/// The transforms that the export carries: those of the first evaluated dataset, else those of evaluation in general. `None` when samples
/// are not images. With them the channels of the images.
pub(super) fn exported<'s>(
    spec: &'s Spec,
    sets: &BTreeMap<String, Arc<Dataset>>,
) -> Option<(&'s [Chosen<Transforms>], usize)> {
    let (name, set) = sets.iter().find(|(name, _)| *name != "train").or(sets.iter().next())?;
    let ItemType::Image { channels, .. } = set.item_type() else { return None };
    Some((eval_transforms(spec, name), channels))
}

/// Transforms that an export would carry, if samples are images, with the channels that these may have: where the data is absent and
/// its source does not say, they may be grey or in colour.
pub(super) fn exportable<'s>(
    spec: &'s Spec,
    sets: &BTreeMap<String, Arc<Dataset>>,
) -> Option<(&'s [Chosen<Transforms>], Vec<usize>)> {
    let names = names(spec);
    let name = names.iter().find(|name| **name != "train").or(names.first())?;
    let channels = match item(spec, sets, name) {
        Declared::Item(ItemType::Image { channels, .. }) => vec![channels],
        Declared::Unknown => vec![3, 1],
        Declared::Item(ItemType::Array { .. }) | Declared::Numbers => return None,
    };
    Some((eval_transforms(spec, name), channels))
}

impl Plan {
    /// Transforms of a dataset.
    pub fn transforms(&self, set: &str) -> &[Chosen<Transforms>] {
        transforms(&self.spec, set)
    }

    /// Width of a row of targets when the losses read values, 0 when they read classes.
    pub fn target_width(&self) -> usize {
        match self.objective.terms.first() {
            Some(term) if term.loss.labels() == losses::Labels::Values => term.units.iter().product::<usize>().max(1),
            _ => 0,
        }
    }

    /// Transforms with which a dataset is evaluated.
    pub fn eval_transforms(&self, set: &str) -> &[Chosen<Transforms>] {
        eval_transforms(&self.spec, set)
    }

    /// The transforms that the export carries, and the channels of the images; `None` when samples are not images.
    pub fn eval_pipeline(&self) -> Option<crate::diag::Result<(Pipeline, usize)>> {
        let (chosen, channels) = exported(&self.spec, &self.sets)?;
        Some(Pipeline::build(chosen, Key::new(0)).map(|pipeline| (pipeline, channels)))
    }
}

//! Datasets of a plan: opened, limited, split, and checked against the network and the losses.

use super::Plan;
use super::fit::shaping;
use crate::data::{self, Dataset, Pipeline};
use crate::diag::{Code, Diagnostic, Label};
use crate::parts::Chosen;
use crate::parts::losses;
use crate::parts::transforms::{ItemType, Transforms};
use crate::spec::{Spec, Transforming, join};
use crate::world::rng::Key;
use std::collections::BTreeMap;
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

/// What a source gives as far as the text says: `None` for one whose files decide.
fn declared_item(spec: &Spec, set: &str) -> Option<Declared> {
    let source = &spec.data.sets.get(set)?.source;
    match source.kind.as_str() {
        "image_folder" | "cifar10" => Some(Declared::Pictures),
        "csv" if source.config.get("image").is_some_and(|image| !image.is_null()) => Some(Declared::Pictures),
        "csv" => Some(Declared::Numbers),
        _ => None,
    }
}

/// What samples are, known without the data.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Declared {
    /// Colour images of any size.
    Pictures,
    /// Arrays.
    Numbers,
}

/// Shape of a sample after the transforms as far as it is known where there is no data.
pub(super) fn sample_shape_without_data(spec: &Spec) -> Result<Option<Vec<usize>>, Vec<Diagnostic>> {
    if declared_item(spec, "train") != Some(Declared::Pictures) {
        return Ok(None);
    }
    let one = |error| vec![error];
    let pipeline = Pipeline::build(transforms(spec, "train"), Key::new(0)).map_err(one)?;
    match pipeline.shape(&ItemType::Image { h: None, w: None, channels: 3 }).map_err(one)? {
        ItemType::Array { shape } => Ok(Some(shape)),
        ItemType::Image { .. } => Err(vec![ends_in_an_image(spec, "train")]),
    }
}

fn ends_in_an_image(spec: &Spec, set: &str) -> Diagnostic {
    let error = Diagnostic::error(Code::DataShape, format!("the samples of `{set}` end as images, not as numbers"));
    match transforms(spec, set).last() {
        Some(last) => error.at_key(&last.at, "leaves an image").help("put `to_tensor` behind it"),
        None => error.at(source_at(spec, set), "gives images").help("write `transforms: [to_tensor]`"),
    }
}

/// Shape of a sample after the transforms, the same for every dataset.
pub(super) fn sample_shape(
    spec: &Spec,
    sets: &BTreeMap<String, Arc<Dataset>>,
) -> Result<Option<Vec<usize>>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut shape: Option<(&String, Vec<usize>)> = None;
    for (name, dataset) in sets {
        let found = match shape_of(spec, name, dataset) {
            Ok(found) => found,
            Err(problem) => {
                problems.push(problem);
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
    problems.dedup_by(|a, b| a.to_string() == b.to_string());
    if problems.is_empty() { Ok(shape.map(|(_, shape)| shape)) } else { Err(problems) }
}

/// Shape of the samples of one dataset after its transforms.
fn shape_of(spec: &Spec, name: &str, dataset: &Dataset) -> Result<Vec<usize>, Diagnostic> {
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
    match pipeline.shape(&dataset.item_type())? {
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

/// Transforms that an export would carry, if samples are images, with the channels that these may have. Data that is absent is what the
/// text says of it; where the text does not say, it may be grey or in colour.
pub(super) fn exportable<'s>(
    spec: &'s Spec,
    sets: &BTreeMap<String, Arc<Dataset>>,
) -> Option<(&'s [Chosen<Transforms>], &'static [usize])> {
    let mut names: Vec<&str> = spec.data.sets.keys().map(String::as_str).collect();
    names.extend(spec.data.validation.as_ref().map(|_| "validation"));
    names.sort_unstable();
    let name = names.iter().find(|name| **name != "train").or(names.first())?;
    let source = spec.data.validation.as_ref().filter(|_| *name == "validation").map_or(*name, |from| &from.from);
    let channels: &[usize] = match (sets.get(*name).map(|set| set.item_type()), declared_item(spec, source)) {
        (Some(ItemType::Image { channels: 1, .. }), _) => &[1],
        (Some(ItemType::Image { .. }), _) | (None, Some(Declared::Pictures)) => &[3],
        (None, None) => &[3, 1],
        (Some(ItemType::Array { .. }), _) | (None, Some(Declared::Numbers)) => return None,
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

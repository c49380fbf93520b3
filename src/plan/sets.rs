//! Datasets of a plan: opened, limited, split, and checked against the network and the losses.

use super::Plan;
use crate::data::{self, Dataset, Pipeline};
use crate::diag::{Code, Diagnostic, Label};
use crate::graph::Objective;
use crate::parts::Chosen;
use crate::parts::losses;
use crate::parts::sources::Labels;
use crate::parts::transforms::{ItemType, Transforms};
use crate::spec::{Spec, Transforming};
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
            Err(problem) if problem.labels().is_empty() => problems.push(problem.at(&set.source.at, "")),
            Err(problem) => problems.push(problem),
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

/// Shape of a sample after the transforms as far as it is known where there is no data: sources of images give images of any size.
pub(super) fn sample_shape_without_data(spec: &Spec) -> Result<Option<Vec<usize>>, Vec<Diagnostic>> {
    let Some(train) = spec.data.sets.get("train") else { return Ok(None) };
    let pictures = match train.source.kind.as_str() {
        "image_folder" | "cifar10" => true,
        "csv" => train.source.config.get("image").is_some_and(|image| !image.is_null()),
        _ => false,
    };
    if !pictures {
        return Ok(None);
    }
    let one = |error| vec![error];
    let pipeline = Pipeline::build(transforms(spec, "train"), Key::new(0)).map_err(one)?;
    match pipeline.shape(&ItemType::Image { h: None, w: None, channels: 3 }).map_err(one)? {
        ItemType::Array { shape } => Ok(Some(shape)),
        ItemType::Image { .. } => Err(vec![ends_in_an_image("train")]),
    }
}

fn ends_in_an_image(set: &str) -> Diagnostic {
    Diagnostic::error(Code::DataShape, format!("the transforms of `{set}` end in an image, not in numbers"))
        .at("/data/transforms", "")
        .help("add `to_tensor` after the transforms of images")
}

/// Shape of a sample after the transforms, the same for every dataset; `None` when it is not known before decoding.
pub(super) fn sample_shape(
    spec: &Spec,
    sets: &BTreeMap<String, Arc<Dataset>>,
) -> Result<Option<Vec<usize>>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut shape: Option<(String, Vec<usize>)> = None;
    for (name, dataset) in sets {
        let mut item = dataset.item_type();
        let pipeline = match Pipeline::build(transforms(spec, name), Key::new(0)) {
            Ok(pipeline) => pipeline,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if name != "train"
            && let Some(index) = pipeline.first_random()
        {
            let chosen = &transforms(spec, name)[index];
            problems.push(
                Diagnostic::error(Code::Conflict, format!("`{}` is random, and `{name}` is evaluated", chosen.kind))
                    .at(&chosen.at, "")
                    .help("put random transforms under `transforms: {train: […], eval: […]}`, in `train` only"),
            );
            continue;
        }
        match pipeline.shape(&item) {
            Ok(next) => item = next,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        }
        let found = match &item {
            ItemType::Array { shape } => Some(shape.clone()),
            ItemType::Image { .. } => None,
        };
        let Some(found) = found else {
            problems.push(ends_in_an_image(name));
            continue;
        };
        match &shape {
            Some((other, first)) if *first != found => problems.push(
                Diagnostic::error(
                    Code::DataShape,
                    format!("samples of `{name}` have shape {found:?}, those of `{other}` {first:?}"),
                )
                .at("/data/transforms", ""),
            ),
            Some(_) => {}
            None => shape = Some((name.clone(), found)),
        }
    }
    problems.dedup_by(|a, b| a.to_string() == b.to_string());
    if problems.is_empty() { Ok(shape.map(|(_, shape)| shape)) } else { Err(problems) }
}

/// Labels of datasets that are not what the losses read.
pub(super) fn check_labels(
    spec: &Spec,
    sets: &BTreeMap<String, Arc<Dataset>>,
    objective: &Objective,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let kind = |term: &&crate::graph::TermPlan| term.loss.labels();
    if let Some(first) = objective.terms.first()
        && let Some(other) = objective.terms.iter().find(|other| kind(other) != first.loss.labels())
    {
        let message = format!("`{}` and `{}` do not read the same kind of labels", first.name, other.name);
        let error = Diagnostic::error(Code::NotSupported, message);
        let (first, other) = (format!("/loss/{}", first.name), format!("/loss/{}", other.name));
        let error = error.at_key(first, "classes here, numbers there").at_key(other, "");
        problems.push(error.help("datasets have one kind of labels in this version"));
    }
    let train_names = sets.get("train").map(|set| set.labels().names().to_vec()).unwrap_or_default();
    for (name, dataset) in sets {
        let at = spec.data.sets.get(name).map_or("/data/validation".to_owned(), |set| set.source.at.clone());
        for term in &objective.terms {
            let units: usize = term.units.iter().product();
            let problem = match (term.loss.labels(), dataset.labels()) {
                (_, Labels::None) => Some(format!("`{name}` has no labels, and `{}` reads them", term.name)),
                (losses::Labels::Classes, Labels::Values { .. }) => {
                    Some(format!("labels of `{name}` are numbers, and `{}` reads classes", term.name))
                }
                (losses::Labels::Classes, Labels::Classes { ids, names }) => {
                    ids.iter().find(|id| **id < 0 || **id >= units as i64).map(|id| {
                        let label = usize::try_from(*id).ok().and_then(|id| names.get(id)).cloned().unwrap_or_default();
                        let label = if label.is_empty() { String::new() } else { format!(" (`{label}`)") };
                        format!(
                            "label {id}{label} of `{name}` is outside 0..{units}, the units of branch `{}`",
                            term.branch
                        )
                    })
                }
                (losses::Labels::Values, Labels::Values { width, .. }) if *width != units => Some(format!(
                    "labels of `{name}` have {width} values, and branch `{}` has {units} units",
                    term.branch
                )),
                (losses::Labels::Values, Labels::Classes { ids, .. }) => (units != 1
                    || ids.iter().any(|id| !(0..=1).contains(id)))
                .then(|| {
                    format!("labels of `{name}` are classes, and `{}` reads {units} values for each sample", term.name)
                }),
                _ => None,
            };
            if let Some(text) = problem {
                problems.push(
                    Diagnostic::error(Code::LabelRange, text)
                        .at(&at, "")
                        .help("give the branch as many units as there are classes, or choose a loss for these labels"),
                );
            }
        }
        let names = dataset.labels().names();
        if !train_names.is_empty() && !names.is_empty() && !same_classes(names, &train_names) {
            problems.push(
                Diagnostic::error(Code::LabelRange, format!("the classes of `{name}` are not those of `train`"))
                    .at(&at, "")
                    .note(format!("`{name}`: {}; `train`: {}", names.join(", "), train_names.join(", ")))
                    .help("give both sets the same class folders or label values"),
            );
        }
    }
    problems
}

/// Whether the classes of two sets are numbered alike. Where classes are bare numbers, the largest ones may be missing from a small set.
fn same_classes(a: &[String], b: &[String]) -> bool {
    let numbered = |names: &[String]| names.iter().enumerate().all(|(i, name)| *name == i.to_string());
    a == b || (numbered(a) && numbered(b))
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

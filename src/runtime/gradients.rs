//! The gradient of every trained parameter at one batch that a file holds, for comparison with other frameworks.
//!
//! Feeds and gradients are safetensors files. A feed has the name of the model's input; `labels` are the classes `i64[N]`, or values of
//! the output's size, which are zeros where none are fed. A gradient has the name of its initializer; the loss stands in the metadata.

use super::execute::label_kinds;
use super::step::{Column, Micro, Step, Targets};
use super::weights::Weights;
use crate::diag::{Code, Diagnostic, Result, nearest};
use crate::graph::TrainGraph;
use crate::ir::{DType, Tensor, TensorType};
use crate::kernels::Device;
use crate::native::Options;
use crate::parts::losses::Labels;
use crate::plan::Plan;
use crate::world;
use crate::world::rng::Key;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Feed that holds the labels.
const LABELS: &str = "labels";

/// A batch from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Feeds {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

impl Feeds {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// `P0502` when it is none, or holds an element type that ONNX does not have; `P0503` when it holds no row.
    pub fn read(path: &Path) -> Result<Self> {
        Self::decode(path, &world::read(path)?)
    }

    /// A batch from the bytes of a file; `path` is what messages name.
    fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        let broken = |why: String| {
            Diagnostic::error(Code::DataCorrupt, format!("`{}` cannot be read as safetensors", path.display()))
                .note(why)
        };
        let file = SafeTensors::deserialize(bytes).map_err(|error| broken(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let tensor = element_type(view.dtype())
                .and_then(|dtype| Tensor::from_bytes(dtype, view.shape().to_vec(), view.data().to_vec()))
                .ok_or_else(|| broken(format!("tensor `{name}` is {:?}", view.dtype())))?;
            // Kernels take it that a truth value is one of two bytes.
            if tensor.dtype() == DType::Bool && tensor.bytes().iter().any(|byte| *byte > 1) {
                return Err(broken(format!("tensor `{name}` is bool and holds bytes other than 0 and 1")));
            }
            tensors.insert(name.to_owned(), tensor);
        }
        let feeds = Self { path: path.to_owned(), tensors };
        if feeds.tensors.is_empty() || feeds.tensors.values().any(Tensor::is_empty) {
            let problem = Diagnostic::error(Code::DataEmpty, format!("`{}` holds no rows", path.display()));
            return Err(problem.help("feed every input of the model, and `labels`, for at least one row"));
        }
        Ok(feeds)
    }

    /// Rows of the batch: the first dimension of its first tensor.
    pub fn rows(&self) -> usize {
        self.tensors.values().find_map(|tensor| tensor.shape().first().copied()).unwrap_or(1)
    }

    fn missing(&self, message: String) -> Diagnostic {
        let there: Vec<String> = self.tensors.keys().map(|name| format!("`{name}`")).collect();
        Diagnostic::error(Code::DataColumn, message).note(format!("`{}` has {}", self.path.display(), there.join(", ")))
    }

    /// What an input of the step is fed.
    fn column(&self, name: &str, ty: &TensorType) -> Result<Column> {
        let wanted = ty.shape().unwrap_or_default();
        let Some(tensor) = self.tensors.get(name) else {
            let problem = self.missing(format!("nothing is fed to input `{name}`"));
            return Err(problem.help(format!("add a tensor `{name}`, {}{wanted:?}", ty.dtype)));
        };
        if (tensor.dtype(), tensor.shape()) != (ty.dtype, wanted.as_slice()) {
            let (dtype, shape) = (tensor.dtype(), tensor.shape());
            let message = format!("`{name}` is {dtype}{shape:?}, and the model takes {}{wanted:?}", ty.dtype);
            let problem = Diagnostic::error(Code::DataShape, message);
            return Err(problem.help("`--dim NAME=N` sets a free dimension of the model, `--batch` its first one"));
        }
        Ok(match tensor.to_vec() {
            Some(floats) => Column::F32(floats),
            None => Column::Other(tensor.clone()),
        })
    }

    /// Classes of the rows, each below `classes`.
    fn classes(&self, tensor: Option<&Tensor>, rows: usize, classes: usize) -> Result<Targets> {
        let Some(tensor) = tensor else {
            let problem = self.missing("the cross entropy has no labels".to_owned());
            return Err(problem.help(format!("add a tensor `{LABELS}`, i64[{rows}], of classes below {classes}")));
        };
        let labels = tensor.to_ints().filter(|_| tensor.shape() == [rows]);
        let labels = labels.ok_or_else(|| ill_shaped(tensor, &format!("i64[{rows}]")))?;
        if let Some(label) = labels.iter().find(|label| !usize::try_from(**label).is_ok_and(|label| label < classes)) {
            let message = format!("label {label} is outside 0..{classes}, the classes of the output");
            return Err(Diagnostic::error(Code::LabelRange, message));
        }
        Ok(Targets::Classes(labels))
    }
}

fn ill_shaped(tensor: &Tensor, wanted: &str) -> Diagnostic {
    let (dtype, shape) = (tensor.dtype(), tensor.shape());
    Diagnostic::error(Code::DataShape, format!("`{LABELS}` is {dtype}{shape:?}, and the loss reads {wanted}"))
}

/// Reads feeds from their bytes, asks each tensor for all that a step may ask of it, and forgets them; for tests of the reader.
///
/// # Errors
/// As [`Feeds::read`], and when a tensor does not have its own shape and type.
#[doc(hidden)]
pub fn read_feeds(bytes: &[u8]) -> Result<()> {
    let feeds = Feeds::decode(Path::new("feeds"), bytes)?;
    let rows = feeds.rows();
    for (name, tensor) in &feeds.tensors {
        feeds.column(name, &TensorType::fixed(tensor.dtype(), tensor.shape()))?;
        // Any tensor may be named as the labels are: most do not fit, and are told so.
        let _ = (feeds.classes(Some(tensor), rows, 3), values(Some(tensor), rows, 3));
    }
    Ok(())
}

/// Values of the rows; zeros where none are fed.
fn values(tensor: Option<&Tensor>, rows: usize, units: usize) -> Result<Targets> {
    let Some(tensor) = tensor else { return Ok(Targets::Values(vec![0.0; rows * units])) };
    let values = tensor.to_vec().filter(|_| tensor.shape().first() == Some(&rows) && tensor.len() == rows * units);
    Ok(Targets::Values(values.ok_or_else(|| ill_shaped(tensor, &format!("f32[{rows}, {units}]")))?))
}

fn element_type(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}

/// What one step of a plan's last phase finds before anything is updated.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Objective.
    pub loss: f64,
    /// Gradients by the name of the initializer.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Gradients {
    /// Runs the step of a plan's last phase, on the processor.
    ///
    /// # Errors
    /// `P0506` for an input that is not fed or a feed that is no input, `P0505` for one that does not have the input's shape and type,
    /// `P0504` for labels that the loss cannot use.
    pub fn of(plan: &Plan, feeds: &Feeds, threads: usize) -> std::result::Result<Self, Vec<Diagnostic>> {
        let one = |error: Diagnostic| vec![error];
        let Some(phase) = plan.phases.last() else {
            return Err(one(Diagnostic::error(Code::Internal, "a plan without phases")));
        };
        if plan.target.device == Device::Cuda {
            return Err(one(Diagnostic::error(
                Code::NotSupported,
                "gradients are read where the processor runs a step",
            )
            .help("leave out `--device`")));
        }
        let train = phase.graphs.full.clone();
        let micro = micro(plan, &train, feeds)?;
        run(plan, train, &micro, threads).map_err(one)
    }

    /// Writes a safetensors file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |error: safetensors::SafeTensorError| {
            Diagnostic::error(Code::Internal, "cannot encode gradients").note(error.to_string())
        };
        let mut views = Vec::new();
        for (name, tensor) in &self.tensors {
            views.push((name, TensorView::new(Dtype::F32, tensor.shape().to_vec(), tensor.bytes()).map_err(failed)?));
        }
        let metadata = HashMap::from([("loss".to_owned(), self.loss.to_string())]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(failed)?;
        world::write_atomic(path, |out| out.write_all(&bytes))
    }

    /// `P0601`, a warning, where the loss or a gradient is NaN or infinite.
    pub fn warning(&self) -> Option<Diagnostic> {
        let bad = self.tensors.iter().filter(|(_, tensor)| !crate::autodiff::is_finite(tensor));
        let bad: Vec<String> = bad.map(|(name, _)| format!("`{name}`")).collect();
        let message = match (self.loss.is_finite(), bad.len()) {
            (true, 0) => return None,
            (true, _) => "gradients are NaN or infinite".to_owned(),
            (false, _) => format!("the loss is {}", self.loss),
        };
        let warning =
            Diagnostic::warning(Code::NotFinite, message).help("`pipe run` names the first value that is not finite");
        Some(if bad.is_empty() { warning } else { warning.note(format!("gradients of {}", bad.join(", "))) })
    }

    /// √Σg² over all of them.
    pub fn norm(&self) -> f64 {
        let elements = self.tensors.values().filter_map(Tensor::to_vec::<f32>).flatten();
        elements.map(|g| f64::from(g).powi(2)).sum::<f64>().sqrt()
    }
}

/// The batch in the form that a step takes; everything that is wrong with it at once.
fn micro(plan: &Plan, train: &TrainGraph, feeds: &Feeds) -> std::result::Result<Micro, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut data = Vec::new();
    for name in &train.data {
        let ty = train.graph.find(name).and_then(|value| train.graph.ty(value));
        let ty = ty.ok_or_else(|| vec![Diagnostic::error(Code::Internal, format!("no input `{name}`"))])?;
        match feeds.column(name, &ty) {
            Ok(column) => data.push(column),
            Err(problem) => problems.push(problem),
        }
    }
    let batch = train.batch;
    // An input may have the name of the labels; these then go by that of their own input.
    let own = train.terms.first().map_or(LABELS, |term| term.labels.as_str());
    let labels = if train.data.iter().any(|name| name == LABELS) { own } else { LABELS };
    let fed = feeds.tensors.get(labels);
    let targets = match plan.objective.terms.first() {
        Some(term) if term.loss.labels() == Labels::Classes => feeds.classes(fed, batch, term.units.iter().product()),
        term => values(fed, batch, term.map_or(0, |term| term.units.iter().product())),
    };
    let known: BTreeSet<&str> = train.data.iter().map(String::as_str).chain([labels]).collect();
    for name in feeds.tensors.keys().filter(|name| !known.contains(name.as_str())) {
        let problem = Diagnostic::error(Code::DataColumn, format!("the model has no input `{name}`"));
        problems.push(match nearest(name, known.iter().copied()).first() {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("it reads {}", known.iter().copied().collect::<Vec<_>>().join(", "))),
        });
    }
    match targets {
        Ok(targets) if problems.is_empty() => {
            let key = Key::new(plan.spec.seed).named("bench").named("dropout");
            let keys = (0..batch).map(|row| key.with(row as u64).bits() as i64).collect();
            Ok(Micro { data, targets, weights: vec![1.0; batch], keys })
        }
        targets => {
            problems.extend(targets.err());
            Err(problems)
        }
    }
}

fn run(plan: &Plan, train: TrainGraph, micro: &Micro, threads: usize) -> Result<Gradients> {
    let mut weights = Weights::default();
    let states = train.states.iter().map(|state| &state.name);
    for name in train.params.iter().map(|(input, _)| input).chain(states) {
        weights.adopt(&plan.network.graph, name)?;
    }
    let params = train.params.clone();
    let terms = train.terms.len();
    let options = Options { threads, ..Options::default() };
    let mut step = Step::new(train, &label_kinds(plan), &options)?;
    let made =
        step.run(&weights, micro, (&vec![1.0 / micro.weights.len() as f64; terms], &vec![1.0; terms]), &mut [])?;
    let tensors = params.into_iter().map(|(name, gradient)| Ok((name, made.tensor(&gradient)?)));
    Ok(Gradients { loss: made.terms()?.iter().sum(), tensors: tensors.collect::<Result<_>>()? })
}

//! Sessions: a graph that ONNX Runtime has loaded, and the buffers that it reads and writes.

use super::binding::Place;
use super::cuda::Gpu;
use super::failure::{failed, failed_on};
use super::profile::Profile;
use super::{arena, operator};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{DType, Graph, Tensor, onnx};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::SessionInputValue;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{DynTensor, Shape, TensorElementType, ValueType};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Element type and dimensions of a tensor, −1 where a dimension is not known.
pub type TensorType = (DType, Vec<i64>);

/// ONNX Runtime, and whether its sessions share the memory of [`arena`].
struct Loaded {
    environment: Environment,
    arena: bool,
}

static LOADED: OnceLock<Result<Loaded>> = OnceLock::new();

static CUDA: AtomicBool = AtomicBool::new(false);

/// From now on the first session of the process loads the library that can use a GPU, if there is one.
pub fn prefer_cuda() {
    CUDA.store(true, Ordering::Relaxed);
}

/// Loads ONNX Runtime once for the process.
fn loaded() -> Result<&'static Loaded> {
    let loaded = LOADED.get_or_init(|| {
        // Without a library for the GPU graphs can still be looked at; who wants to run one there is told why not.
        let found = match CUDA.load(Ordering::Relaxed).then(super::locate_cuda) {
            Some(Ok(found)) => found,
            Some(Err(_)) | None => super::locate::locate()?,
        };
        let wrong = |error: String| {
            Diagnostic::error(Code::RuntimeWrong, format!("cannot use ONNX Runtime at `{}`", found.path.display()))
                .note(error)
                .help("`pipe doctor` shows what was found; `pipe setup` installs the version that pipe needs")
        };
        let builder = ort::init_from(&found.path).map_err(|error| wrong(error.to_string()))?;
        let environment = builder.with_telemetry(false).build().map_err(|error| wrong(error.to_string()))?;
        let arena = arena::register(&environment);
        Ok(Loaded { environment, arena })
    });
    loaded.as_ref().map_err(Clone::clone)
}

/// Version of the loaded library and how it was built, such as `ORT Build Info: …`.
///
/// # Errors
/// `P0003` or `P0004` when there is no usable library.
pub fn build_info() -> Result<&'static str> {
    loaded().map(|_| ort::info())
}

/// Adds the CUDA provider, on the stream of [`super::cuda::gpu`].
fn on_gpu(builder: SessionBuilder, cuda: Cuda, gpu: &Gpu) -> std::result::Result<SessionBuilder, String> {
    let provider = ort::ep::CUDA::default()
        .with_tf32(cuda.tf32)
        .with_conv_algorithm_search(ort::ep::cuda::ConvAlgorithmSearch::Heuristic)
        .with_conv_max_workspace(true)
        // Doubling, which is the default, ends with a piece of 1 GiB of which a step may need a little.
        .with_arena_extend_strategy(ort::ep::ArenaExtendStrategy::SameAsRequested);
    #[expect(unsafe_code, reason = "the crate cannot know how long the stream lives")]
    // SAFETY: the stream is never destroyed.
    let provider = unsafe { provider.with_compute_stream(gpu.stream_pointer()) };
    let text = |error: ort::Error<SessionBuilder>| error.to_string();
    let builder = builder.with_config_entry("session.record_ep_graph_assignment_info", "1").map_err(text)?;
    let builder = builder.with_execution_providers([provider.build().error_on_failure()]).map_err(text)?;
    builder.with_deterministic_compute(cuda.deterministic).map_err(text)
}

/// How much ONNX Runtime rewrites a graph before it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Off,
    /// Constant folding and removal of what is redundant.
    Basic,
    /// Fusions and memory layouts as well.
    #[default]
    All,
}

/// How a session runs on a GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cuda {
    /// Products of f32 may be rounded to 10 bits of mantissa (TF32), which is several times as fast.
    pub tf32: bool,
    /// Only kernels that give the same bits every time.
    pub deterministic: bool,
}

/// How a session is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Runs on the GPU, on the stream of [`super::cuda::gpu`]; none is the processor.
    pub cuda: Option<Cuda>,
    /// Threads inside an operator; 0 is one for each core.
    pub threads: usize,
    /// Rewriting.
    pub level: Level,
    /// Sizes for symbolic dimensions by name.
    pub dims: Vec<(String, usize)>,
    /// Times every operator; the file's path starts with this. See [`Session::end_profile`].
    pub profile: Option<PathBuf>,
}

/// A loaded graph.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    on_gpu: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        // At the end of a run ONNX Runtime leaves memory of the host to be given back on the stream. If the session is gone by then, its
        // allocator goes with that, inside a callback in which the driver allows no calls, and the process ends.
        if self.on_gpu
            && let Ok(gpu) = super::cuda::gpu()
        {
            let _ = gpu.wait();
        }
    }
}

impl Session {
    /// Loads a graph.
    ///
    /// # Errors
    /// `P0003`/`P0004` without a usable library, `P0602` when it refuses the graph.
    pub fn build(graph: &Graph, options: &Options) -> Result<Self> {
        Self::from_bytes(&onnx::encode(graph), options)
    }

    /// Loads an encoded model.
    ///
    /// # Errors
    /// As [`Session::build`].
    pub fn from_bytes(bytes: &[u8], options: &Options) -> Result<Self> {
        let loaded = loaded()?;
        let gpu = options.cuda.map(|_| super::cuda::gpu()).transpose()?;
        let level = match options.level {
            Level::Off => GraphOptimizationLevel::Disable,
            Level::Basic => GraphOptimizationLevel::Level1,
            Level::All => GraphOptimizationLevel::All,
        };
        let build = || -> std::result::Result<ort::session::Session, String> {
            let text = |error: ort::Error<ort::session::builder::SessionBuilder>| error.to_string();
            let mut builder = ort::session::Session::builder(&loaded.environment).map_err(|error| error.to_string())?;
            builder = builder.with_optimization_level(level).map_err(text)?;
            builder = builder.with_intra_threads(options.threads).map_err(text)?;
            builder = builder.with_intra_op_spinning(false).map_err(text)?;
            // The pattern is one block of the peak's size beside the memory of the first run: 1.66 times the memory of a step of ResNet-50
            // and no less time.
            builder = builder.with_memory_pattern(false).map_err(text)?;
            builder = builder.with_log_level(ort::logging::LogLevel::Fatal).map_err(text)?;
            let domain = operator::domain(options.cuda).map_err(|error| error.to_string())?;
            builder = builder.with_operators(domain).map_err(text)?;
            if let Some((cuda, gpu)) = options.cuda.zip(gpu) {
                builder = on_gpu(builder, cuda, gpu)?;
            }
            // Memory that the provider pins must be its own: it frees it where the driver allows no calls.
            if loaded.arena && options.cuda.is_none() {
                builder = builder.with_env_allocators().map_err(text)?;
            }
            for (name, size) in &options.dims {
                builder = builder.with_dimension_override(name, *size as i64).map_err(text)?;
            }
            if let Some(prefix) = &options.profile {
                builder = builder.with_profiling(prefix).map_err(text)?;
            }
            builder.commit_from_memory(bytes).map_err(|error| error.to_string())
        };
        // The first session makes the domain of our operators known to the process; two at once get in each other's way there.
        static KNOWN: Mutex<bool> = Mutex::new(false);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = if *known {
            drop(known);
            build()
        } else {
            build().inspect(|_| *known = true)
        };
        let on_gpu = options.cuda.is_some();
        inner.map(|inner| Self { inner, on_gpu }).map_err(|error| failed_on(on_gpu, "load a graph", &error))
    }

    /// The session as ONNX Runtime's functions take it.
    pub(super) fn pointer(&self) -> *mut ort::sys::OrtSession {
        self.inner.ptr().cast_mut()
    }

    /// Whether it runs on the GPU.
    pub(super) fn on_gpu(&self) -> bool {
        self.on_gpu
    }

    /// Has ONNX Runtime take memory of the GPU for the values of a run as one piece, where that can be had. What it takes bit by bit, as it is
    /// asked for, are pieces that cannot be joined.
    pub fn reserve(&self, bytes: u64) {
        let Some(bytes) = usize::try_from(bytes).ok().filter(|bytes| self.on_gpu && *bytes > 0) else { return };
        let info = MemoryInfo::new(AllocationDevice::CUDA, 0, AllocatorType::Device, MemoryType::Default);
        let allocator = info.and_then(|info| Allocator::new(&self.inner, info));
        // Where it does not fit, a run may yet do with less, or says what is missing.
        let _ = allocator.map(|allocator| allocator.alloc::<u8>(bytes).map(drop));
    }

    /// Names and types of the outputs, dimensions −1 where they are not known.
    pub fn outputs(&self) -> Vec<(String, Option<TensorType>)> {
        self.inner.outputs().iter().map(|outlet| (outlet.name().to_owned(), tensor_type(outlet.dtype()))).collect()
    }

    /// Names and types of the inputs, dimensions −1 where they are not known.
    pub fn inputs(&self) -> Vec<(String, Option<TensorType>)> {
        self.inner.inputs().iter().map(|outlet| (outlet.name().to_owned(), tensor_type(outlet.dtype()))).collect()
    }

    /// Runs the graph once. All outputs are computed.
    ///
    /// # Errors
    /// `P0602` with ONNX Runtime's words, `P0606` when memory ran out.
    pub fn run(&mut self, feeds: &[(&str, &Buffer)]) -> Result<Outputs<'_>> {
        let inputs: Vec<(String, SessionInputValue)> =
            feeds.iter().map(|(name, buffer)| ((*name).to_owned(), SessionInputValue::from(&buffer.0))).collect();
        let on_gpu = self.on_gpu;
        self.inner.run(inputs).map(|inner| Outputs { inner }).map_err(|error| failed_on(on_gpu, "run a graph", &error))
    }

    /// Ends timing and reads what was found; runs go on without it.
    ///
    /// # Errors
    /// `P0602` when ONNX Runtime cannot write the profile, `P0002` or `P0009` when it cannot be read.
    pub fn end_profile(&mut self) -> Result<Profile> {
        let path = self.inner.end_profiling().map_err(|error| failed("end a profile", &error))?;
        Profile::read(Path::new(&path))
    }

    /// Runs the graph on constants and copies every output, in order; for tests and small things.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn call(&mut self, feeds: &[(&str, Tensor)]) -> Result<Vec<Tensor>> {
        let buffers: Vec<(&str, Buffer)> =
            feeds.iter().map(|(name, tensor)| Ok((*name, Buffer::from_tensor(tensor)?))).collect::<Result<_>>()?;
        let names: Vec<String> = self.outputs().into_iter().map(|(name, _)| name).collect();
        let feeds: Vec<(&str, &Buffer)> = buffers.iter().map(|(name, buffer)| (*name, buffer)).collect();
        let outputs = self.run(&feeds)?;
        names.iter().map(|name| outputs.tensor(name)).collect()
    }
}

fn tensor_type(ty: &ValueType) -> Option<TensorType> {
    match ty {
        ValueType::Tensor { ty, shape, .. } => Some((dtype(*ty)?, shape.iter().copied().collect())),
        _ => None,
    }
}

pub(super) fn dtype(ty: TensorElementType) -> Option<DType> {
    Some(match ty {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Uint8 => DType::U8,
        TensorElementType::Int8 => DType::I8,
        TensorElementType::Uint16 => DType::U16,
        TensorElementType::Int16 => DType::I16,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::String => DType::Str,
        TensorElementType::Bool => DType::Bool,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Float64 => DType::F64,
        TensorElementType::Uint32 => DType::U32,
        TensorElementType::Uint64 => DType::U64,
        TensorElementType::Bfloat16 => DType::Bf16,
        _ => return None,
    })
}

pub(super) fn element(ty: DType) -> TensorElementType {
    match ty {
        DType::F32 => TensorElementType::Float32,
        DType::U8 => TensorElementType::Uint8,
        DType::I8 => TensorElementType::Int8,
        DType::U16 => TensorElementType::Uint16,
        DType::I16 => TensorElementType::Int16,
        DType::I32 => TensorElementType::Int32,
        DType::I64 => TensorElementType::Int64,
        DType::Str => TensorElementType::String,
        DType::Bool => TensorElementType::Bool,
        DType::F16 => TensorElementType::Float16,
        DType::F64 => TensorElementType::Float64,
        DType::U32 => TensorElementType::Uint32,
        DType::U64 => TensorElementType::Uint64,
        DType::Bf16 => TensorElementType::Bfloat16,
    }
}

/// A tensor in ONNX Runtime's memory that may be read and written between runs.
#[derive(Debug)]
pub struct Buffer(DynTensor);

impl Buffer {
    /// An uninitialised buffer.
    ///
    /// # Errors
    /// `P0606` when memory ran out.
    pub fn new(dtype: DType, shape: &[usize]) -> Result<Self> {
        loaded()?;
        let dims = Shape::new(shape.iter().map(|d| *d as i64));
        DynTensor::new(&Allocator::default(), element(dtype), dims)
            .map(Self)
            .map_err(|error| failed("allocate a tensor", &error))
    }

    /// A copy of a constant.
    ///
    /// # Errors
    /// `P0606` when memory ran out.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let mut buffer = Self::new(tensor.dtype(), tensor.shape())?;
        buffer.bytes_mut().copy_from_slice(tensor.bytes());
        Ok(buffer)
    }

    /// Its bytes.
    #[expect(unsafe_code, reason = "the crate gives typed views only; the pointer and the size are ONNX Runtime's own")]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let size = byte_size(&self.0);
        if size == 0 {
            return &mut [];
        }
        // SAFETY: `data_ptr_mut` points at `size` bytes that this tensor owns on the CPU, borrowed as long as `self`.
        unsafe { std::slice::from_raw_parts_mut(self.0.data_ptr_mut().cast(), size) }
    }

    /// Its elements, empty when it is not f32.
    pub fn f32(&self) -> &[f32] {
        self.0.try_extract_tensor::<f32>().map_or(&[], |(_, data)| data)
    }

    /// Its elements, empty when it is not f32.
    pub fn f32_mut(&mut self) -> &mut [f32] {
        self.0.try_extract_tensor_mut::<f32>().map_or(&mut [], |(_, data)| data)
    }

    /// Its elements, empty when it is not i64.
    pub fn i64_mut(&mut self) -> &mut [i64] {
        self.0.try_extract_tensor_mut::<i64>().map_or(&mut [], |(_, data)| data)
    }

    /// Its dimensions.
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape().iter().map(|d| *d as usize).collect()
    }

    /// Where it lies, for a [`Binding`](super::Binding).
    pub fn place(&self) -> Place {
        let dtype = dtype(*self.0.data_type()).unwrap_or(DType::F32);
        Place { address: self.0.data_ptr() as u64, dtype, shape: self.shape() }
    }

    /// A copy.
    pub fn to_tensor(&self) -> Option<Tensor> {
        copy(&self.0)
    }
}

fn byte_size(tensor: &DynTensor) -> usize {
    let count = tensor.shape().num_elements();
    dtype(*tensor.data_type()).map_or(0, |ty| ty.size() * count)
}

#[expect(unsafe_code, reason = "as `Buffer::bytes_mut`, for reading")]
fn copy(tensor: &DynTensor) -> Option<Tensor> {
    let ty = dtype(*tensor.data_type())?;
    let shape: Vec<usize> = tensor.shape().iter().map(|d| *d as usize).collect();
    let size = byte_size(tensor);
    let bytes = if size == 0 {
        Vec::new()
    } else {
        // SAFETY: `data_ptr` points at `size` bytes that this tensor owns on the CPU; an empty tensor is not read.
        unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), size).to_vec() }
    };
    Tensor::from_bytes(ty, shape, bytes)
}

/// What a run made, read in place.
pub struct Outputs<'s> {
    inner: ort::session::SessionOutputs<'s>,
}

impl Outputs<'_> {
    /// Elements of an f32 output.
    ///
    /// # Errors
    /// `P0009` when there is no such output: a bug of the caller.
    pub fn f32(&self, name: &str) -> Result<&[f32]> {
        let missing = || Diagnostic::error(Code::Internal, format!("no f32 output `{name}`"));
        let value = self.inner.get(name).ok_or_else(missing)?;
        value.try_extract_tensor::<f32>().map(|(_, data)| data).map_err(|error| missing().note(error.to_string()))
    }

    /// Copy of an output.
    ///
    /// # Errors
    /// `P0009` when there is no such output: a bug of the caller.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let missing = || Diagnostic::error(Code::Internal, format!("no output `{name}`"));
        let value = self.inner.get(name).ok_or_else(missing)?;
        let tensor = value.view().downcast::<ort::value::DynTensorValueType>().map_err(|_| missing())?;
        copy(&tensor).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Dim, TensorType};

    #[test]
    fn runs_own_and_standard_operators_and_probes_shapes() {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), crate::ir::OPSET);
        let dims = vec![Dim::Symbol("N".to_owned()), Dim::Known(3)];
        let x = graph.add_input("x", TensorType { dtype: DType::F32, dims });
        let keys = graph.add_input("keys", TensorType { dtype: DType::I64, dims: vec![Dim::Symbol("N".to_owned())] });
        let mut b = Builder::new(&mut graph, "t");
        let y = b.relu(x);
        let attrs = [("ratio", crate::ir::Attr::Float(0.0)), ("layer", crate::ir::Attr::Int(1))];
        let y = b.node(crate::ir::DOMAIN, "CountedDropout", &[Some(y), Some(keys)], &attrs, 1)[0];
        graph.outputs.push(y);
        super::super::probe(&mut graph, &[("N".to_owned(), 2)]).unwrap();
        assert_eq!(graph.shape(y), Some(vec![2, 3]));
        let mut session = Session::build(&graph, &Options { threads: 1, ..Options::default() }).unwrap();
        let x = Tensor::new([2, 3], &[1.0f32, -1.0, 2.0, -3.0, 4.0, 0.5]);
        let out = session.call(&[("x", x), ("keys", Tensor::vector(&[5i64, 6]))]).unwrap();
        assert_eq!(out[0].to_vec::<f32>().unwrap(), [1.0, 0.0, 2.0, 0.0, 4.0, 0.5]);
    }

    #[test]
    fn what_follows_a_value_of_unknown_rank_loads() {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), crate::ir::OPSET);
        let n = || Dim::Symbol("N".to_owned());
        let x = graph.add_input("x", TensorType { dtype: DType::F32, dims: vec![n(), Dim::Known(3)] });
        let keys = graph.add_input("keys", TensorType { dtype: DType::I64, dims: vec![n()] });
        let weights = graph.add_initializer("w", Tensor::new([3, 1], &[1.0f32, 1.0, 1.0]));
        let mut b = Builder::new(&mut graph, "t");
        let attrs = [("ratio", crate::ir::Attr::Float(0.0))];
        // The first does not know its rows, and tells ONNX Runtime nothing.
        let y = b.node(crate::ir::DOMAIN, "CountedDropout", &[Some(x), Some(keys)], &attrs, 1)[0];
        let y = b.node(crate::ir::DOMAIN, "Gelu", &[Some(y)], &[], 1)[0];
        let y = b.op("MatMul", &[y, weights]);
        graph.outputs.push(y);
        let mut session = Session::build(&graph, &Options { threads: 1, ..Options::default() }).unwrap();
        let x = Tensor::new([1, 3], &[0.0f32, 50.0, -50.0]);
        let out = session.call(&[("x", x), ("keys", Tensor::vector(&[5i64]))]).unwrap();
        assert_eq!(out[0].to_vec::<f32>().unwrap(), [50.0]);
    }
}

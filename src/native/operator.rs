//! Registers the kernels of [`crate::kernels`] with ONNX Runtime, through one generic adapter.

use super::cuda::{Float, Form};
use super::session::{Cuda, dtype, element};
use crate::ir::{DOMAIN, DType};
use crate::kernels::{self, Arg, Attributes};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{DynTensorValueType, Shape, SymbolicDimensions, TensorElementType, ValueType};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// The domain with all own operators, made once for the processor and once for each way to run on a GPU.
#[expect(clippy::arc_with_non_send_sync, reason = "`Shared` says why it may be shared; sessions take an `Arc`")]
pub(super) fn domain(cuda: Option<Cuda>) -> ort::Result<Arc<OperatorDomain>> {
    static DOMAINS: Mutex<Vec<(Option<Cuda>, Shared)>> = Mutex::new(Vec::new());
    let mut domains = DOMAINS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = domains.iter().find(|(key, _)| *key == cuda) {
        return Ok(Arc::clone(&known.0));
    }
    let mut domain = OperatorDomain::new(DOMAIN)?;
    for operator in kernels::OPERATORS {
        domain = match operator.name {
            kernels::AFTER => domain.add(Adapter::<VIEW>(*operator))?,
            _ if operator.in_place => domain.add(Adapter::<OVER>(*operator))?,
            _ => domain.add(Adapter::<APART>(*operator))?,
        };
        let Some((Cuda { tf32, deterministic }, halves)) = cuda.zip(operator.cuda) else { continue };
        let floats: &[Float] = if halves.inputs.is_empty() { &[Float::F32] } else { &Float::ALL };
        for float in floats.iter().copied() {
            domain = match operator.name {
                kernels::AFTER => domain.add(Form::<VIEW> { operator: *operator, float, tf32, deterministic })?,
                _ => domain.add(Form::<APART> { operator: *operator, float, tf32, deterministic })?,
            };
        }
    }
    let made = Shared(Arc::new(domain));
    let shared = Arc::clone(&made.0);
    domains.push((cuda, made));
    Ok(shared)
}

struct Shared(Arc<OperatorDomain>);

#[expect(unsafe_code, reason = "the domain is only read after it was filled; ONNX Runtime reads it from any thread")]
// SAFETY: an `OperatorDomain` is a pointer to a list that is not changed after `domain` filled it.
unsafe impl Send for Shared {}
#[expect(unsafe_code, reason = "as for `Send`")]
// SAFETY: as for `Send`.
unsafe impl Sync for Shared {}

/// The output has a place of its own.
const APART: u8 = 0;
/// It is the first input.
pub(super) const VIEW: u8 = 1;
/// It may take the place of the first input, where that is not read any more.
const OVER: u8 = 2;

/// `PLACE` is where the output lies.
struct Adapter<const PLACE: u8>(kernels::Operator);

impl<const PLACE: u8> Operator for Adapter<PLACE> {
    type Kernel<'attr> = Run<PLACE>;

    const ALIASES: &[(u32, u32)] = if PLACE == VIEW { &[(0, 0)] } else { &[] };
    const INPLACES: &[(u32, u32)] = if PLACE == OVER { &[(0, 0)] } else { &[] };

    fn name(&self) -> &str {
        self.0.name
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        self.0.inputs.iter().map(|ty| OperatorInput::required(element(*ty))).collect::<Vec<_>>()
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Run<PLACE>> {
        (self.0.kernel)(&FromKernel(context)).map(|kernel| Run { kernel }).map_err(ort::Error::new)
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        infer(&self.0, context)
    }
}

/// Tells ONNX Runtime the type and shape of an operator's output, where those of its inputs are known. It asks one of the forms of an operator
/// for all of them, so that the type is that of the floats that come in.
pub(super) fn infer(operator: &kernels::Operator, context: &mut ShapeInferenceContext) -> ort::Result<()> {
    let kernel = (operator.kernel)(&FromInference(context)).map_err(ort::Error::new)?;
    let mut shapes: Vec<Vec<usize>> = Vec::new();
    let mut float = DType::F32;
    for ty in context.inputs() {
        let ValueType::Tensor { ty, shape, .. } = ty else { return Ok(()) };
        if let Some(half @ (DType::F16 | DType::Bf16)) = dtype(ty) {
            float = half;
        }
        // ONNX Runtime gives no dimensions where it does not know how many there are, as of a single number, which is then left to it.
        if shape.is_empty() {
            return Ok(());
        }
        match shape.iter().map(|d| usize::try_from(*d)).collect() {
            Ok(dims) => shapes.push(dims),
            // A free dimension: the output's shape is not known before running.
            Err(_) => return Ok(()),
        }
    }
    let views: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    let output = kernel.shape(&views).map_err(ort::Error::new)?;
    let ty = ValueType::Tensor {
        ty: element(operator.output(float)),
        dimension_symbols: SymbolicDimensions::empty(output.len()),
        shape: Shape::new(output.iter().map(|d| *d as i64)),
    };
    context.set_output(0, &ty)
}

pub(super) struct FromKernel<'c, 'k>(pub(super) &'c KernelContext<'k>);

impl Attributes for FromKernel<'_, '_> {
    fn int(&self, name: &str) -> Option<i64> {
        self.0.get(name)
    }
    fn float(&self, name: &str) -> Option<f32> {
        self.0.get(name)
    }
    fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.0.get(name)
    }
}

struct FromInference<'c>(&'c ShapeInferenceContext);

impl Attributes for FromInference<'_> {
    fn int(&self, name: &str) -> Option<i64> {
        self.0.attr(name).ok()
    }
    fn float(&self, name: &str) -> Option<f32> {
        self.0.attr(name).ok()
    }
    fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.0.attr(name).ok()
    }
}

struct Run<const PLACE: u8> {
    kernel: Box<dyn kernels::Kernel>,
}

impl<const PLACE: u8> Kernel for Run<PLACE> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let kernel = &mut self.kernel;
        // A panic must not cross the C boundary.
        catch_unwind(AssertUnwindSafe(|| {
            if PLACE == VIEW && is_there(context)? { Ok(()) } else { run::<PLACE>(kernel.as_mut(), context) }
        }))
        .unwrap_or_else(|_| Err(ort::Error::new("a kernel of pipe panicked: a bug in pipe")))
    }
}

/// Whether the output lies where the first input does.
fn is_there(context: &ComputeContext) -> ort::Result<bool> {
    let value = context.input(0)?.ok_or_else(|| ort::Error::new("an input is missing"))?;
    let ValueType::Tensor { shape, .. } = value.dtype() else { return Ok(false) };
    let output = context.output(0, shape.iter().copied().collect::<Vec<_>>())?;
    let output = output.ok_or_else(|| ort::Error::new("the output is missing"))?;
    let [x, y] =
        [value.downcast::<DynTensorValueType>()?.data_ptr(), output.downcast::<DynTensorValueType>()?.data_ptr()];
    Ok(x == y)
}

fn run<const PLACE: u8>(kernel: &mut dyn kernels::Kernel, context: &ComputeContext) -> ort::Result<()> {
    let count = context.num_inputs()?;
    let mut values = Vec::with_capacity(count);
    for i in 0..count {
        let value = context.input(i)?.ok_or_else(|| ort::Error::new("an input is missing"))?;
        let (ty, shape) = match value.dtype() {
            ValueType::Tensor { ty, shape, .. } => (dtype(*ty), shape.iter().map(|d| *d as usize).collect::<Vec<_>>()),
            _ => return Err(ort::Error::new("an input is not a tensor")),
        };
        values.push((value, ty, shape));
    }
    let shapes: Vec<&[usize]> = values.iter().map(|(_, _, shape)| shape.as_slice()).collect();
    let shape = kernel.shape(&shapes).map_err(ort::Error::new)?;
    let dims: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
    let mut output = context.output(0, dims)?.ok_or_else(|| ort::Error::new("the output is missing"))?;
    let (_, out) = output.try_extract_tensor_mut::<f32>()?;
    // Where the output lies over the first input, that is not looked at as an input: what it holds is in the output.
    let first = match context.input(0)? {
        Some(value) if PLACE == OVER => Some(value.downcast::<DynTensorValueType>()?.data_ptr()),
        _ => None,
    };
    let over = !out.is_empty() && first.is_some_and(|first| first.cast() == out.as_ptr());
    let mut args = Vec::with_capacity(count);
    for (value, ty, shape) in values.iter().skip(usize::from(over)) {
        args.push(match ty {
            Some(DType::F32) => Arg::F32(value.try_extract_tensor()?.1, shape),
            Some(DType::I64) => Arg::I64(value.try_extract_tensor()?.1, shape),
            _ => return Err(ort::Error::new("an input is neither f32 nor i64")),
        });
    }
    let parallel = |count: usize, task: &(dyn Fn(usize) + Sync)| {
        // A panic in a task would cross the C boundary of the pool: it is caught and noticed after the loop.
        let failed = std::sync::atomic::AtomicBool::new(false);
        let guarded = |i: usize| {
            if catch_unwind(AssertUnwindSafe(|| task(i))).is_err() {
                failed.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        };
        let ran = context.par_for(count, 0, guarded);
        assert!(ran.is_ok() && !failed.into_inner(), "parallel part of a kernel");
    };
    let made = match values.first() {
        Some((_, _, shape)) if over => kernel.update(shape, &args, out, &parallel),
        _ => kernel.compute(&args, out, &parallel),
    };
    made.map_err(ort::Error::new)
}

//! Registers the CUDA forms of own operators with ONNX Runtime.

use super::convolution::{Choice, Prepared};
use super::device::{Gpu, gpu};
use super::module::{Function, Memory};
use crate::ir::DType;
use crate::kernels::cuda::{Launch, Work, source};
use crate::kernels::{Kernel, Operator};
use crate::native::operator::{FromKernel, VIEW};
use crate::native::session::{dtype, element};
use ort::ep::cuda::resource::CuBLASHandle;
use ort::operator::{
    ComputeContext, Kernel as OrtKernel, KernelContext, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::{DynTensorValueType, ValueType};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An element type of an own operator on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::native) enum Float {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The half of f32 with its exponent.
    Bf16,
}

impl Float {
    pub(in crate::native) const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// As an element type of a graph.
    pub(in crate::native) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::Bf16,
        }
    }
}

/// An own operator over one float type, as a session with given options runs it.
/// `PLACE` is where the output lies.
#[derive(Clone, Copy)]
pub(in crate::native) struct Form<const PLACE: u8> {
    pub(in crate::native) operator: Operator,
    pub(in crate::native) float: Float,
    pub(in crate::native) tf32: bool,
    pub(in crate::native) deterministic: bool,
}

impl<const PLACE: u8> ort::operator::Operator for Form<PLACE> {
    type Kernel<'attr> = Run;

    const ALIASES: &[(u32, u32)] = if PLACE == VIEW { &[(0, 0)] } else { &[] };

    fn name(&self) -> &str {
        self.operator.name
    }

    fn execution_provider_type(&self) -> Option<&str> {
        Some("CUDAExecutionProvider")
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        self.operator.types(self.float.dtype()).into_iter().map(|ty| OperatorInput::required(element(ty)))
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(element(self.operator.output(self.float.dtype())))]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Run> {
        let kernel = (self.operator.kernel)(&FromKernel(context)).map_err(ort::Error::new)?;
        let choice = Choice { float: self.float, tf32: self.tf32, deterministic: self.deterministic };
        Ok(Run { kernel, choice, ready: None })
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        crate::native::operator::infer(&self.operator, context)
    }
}

/// What a node does, for the shapes that it last had.
struct Ready {
    shapes: Vec<Vec<usize>>,
    output: Vec<i64>,
    work: Task,
}

enum Task {
    /// The output is empty.
    Nothing,
    Launches(Vec<(Function, Launch)>, usize),
    Convolution(Prepared),
    /// Copies the first input where the output lies elsewhere: so many bytes.
    First(usize),
}

pub(in crate::native) struct Run {
    kernel: Box<dyn Kernel>,
    choice: Choice,
    ready: Option<Ready>,
}

impl OrtKernel for Run {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        // A panic must not cross the C boundary.
        catch_unwind(AssertUnwindSafe(|| self.run(context)))
            .unwrap_or_else(|_| Err(ort::Error::new("a kernel of pipe panicked: a bug in pipe")))
    }
}

impl Run {
    fn run(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let gpu = gpu().map_err(|error| ort::Error::new(error.message().to_owned()))?;
        let count = context.num_inputs()?;
        let (mut addresses, mut shapes) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for i in 0..count {
            let value = context.input(i)?.ok_or_else(|| ort::Error::new("an input is missing"))?;
            let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
                return Err(ort::Error::new("an input is not a tensor"));
            };
            dtype(*ty).ok_or_else(|| ort::Error::new("an input has an unknown type"))?;
            shapes.push(shape.iter().map(|d| *d as usize).collect::<Vec<_>>());
            let tensor = value.downcast::<DynTensorValueType>()?;
            addresses.push(tensor.data_ptr() as u64);
        }
        let mut ready = match self.ready.take().filter(|ready| ready.shapes == shapes) {
            Some(ready) => ready,
            None => self.prepare(gpu, shapes, context.resource(CuBLASHandle).ok()).map_err(ort::Error::new)?,
        };
        let made = context.output(0, ready.output.clone())?.ok_or_else(|| ort::Error::new("the output is missing"))?;
        let made = made.downcast::<DynTensorValueType>()?;
        let output = made.data_ptr() as u64;
        let done = match &mut ready.work {
            Task::Nothing => Ok(()),
            Task::Launches(launches, scratch) => gpu.with_scratch(*scratch, |scratch| {
                let memory = Memory { inputs: &addresses, outputs: &[output], scratch };
                launches.iter().try_for_each(|(function, launch)| {
                    let launched = gpu.launch(*function, launch.grid, launch.block, &launch.arguments, &memory);
                    launched.map_err(|error| format!("`{}`: {error}", launch.function))
                })
            }),
            Task::Convolution(prepared) => match addresses[..] {
                [first, second] => prepared.settle(gpu, [first, second], output).and_then(|()| {
                    gpu.with_scratch(prepared.workspace, |scratch| prepared.run([first, second], output, scratch))
                }),
                _ => Err("a convolution takes two inputs".to_owned()),
            },
            Task::First(bytes) => match addresses.first() {
                Some(first) if *first != output => gpu.copy(output, *first, *bytes),
                _ => Ok(()),
            },
        };
        self.ready = Some(ready);
        done.map_err(ort::Error::new)
    }

    /// `products` is the session's handle of cuBLAS.
    fn prepare(
        &self,
        gpu: &'static Gpu,
        shapes: Vec<Vec<usize>>,
        products: Option<*const ()>,
    ) -> Result<Ready, String> {
        if let Some(handle) = products.filter(|handle| !handle.is_null()) {
            gpu.give_workspace(handle);
        }
        let views: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let output = self.kernel.shape(&views)?;
        let work = if output.contains(&0) {
            Task::Nothing
        } else {
            match self.kernel.cuda(&views)? {
                Work::Launches(launches, scratch) => {
                    let found = launches.into_iter().map(|launch| {
                        let source = source(launch.source, self.choice.float.dtype());
                        Ok((gpu.kernel(&source, launch.function)?, launch))
                    });
                    Task::Launches(found.collect::<Result<_, String>>()?, scratch)
                }
                Work::Convolution(convolution) => Task::Convolution(Prepared::new(gpu, &convolution, self.choice)?),
                Work::First => Task::First(output.iter().product::<usize>() * self.choice.float.dtype().size()),
            }
        };
        Ok(Ready { output: output.iter().map(|size| *size as i64).collect(), shapes, work })
    }
}

//! Own operators of the domain `pipe`: plain Rust kernels, and for each its reference form in standard operators.
//!
//! A kernel splits its work over outputs or over blocks of a fixed size, never by the number of threads, so that its bits do not depend on that,
//! and allocates nothing in a step beyond buffers that are kept. Absence: nothing here knows ONNX Runtime; `native` registers the table.

mod after;
mod batch_norm_apply;
mod batch_norm_data_grad;
mod batch_norm_statistics;
mod batch_norm_sums;
mod buffers;
mod column_sums;
mod conv;
mod conv_attributes;
mod conv_data_grad;
mod conv_weight_grad;
mod counted_dropout;
pub mod cuda;
mod cudnn_forms;
mod disjoint;
mod gate_grad;
mod gather_grad;
mod gelu;
mod gelu_grad;
mod geometry;
mod grid_sample_grad;
mod layer_norm_data_grad;
mod layer_norm_sums;
mod layout;
mod matrix_transpose;
mod max_pool_grad;
mod narrow;
mod normal;
mod planes;
mod prefer;
mod product;
pub(crate) mod recurrent;
mod running_statistic;
pub mod sgemm;
mod shifts;
mod softmax_grad;
mod tiles;

pub use after::AFTER;
pub(crate) use conv_attributes::same_pads;
pub(crate) use gather_grad::zeros_at_run_time;
pub use prefer::{is_for_cudnn, is_of_batch, on_cuda, prefer};

use crate::ir::{Builder, DOMAIN, DType, Graph, Node, ValueId};

/// What runs a graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU through CUDA.
    Cuda,
}

/// An input of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Arg<'a> {
    /// Floats and their shape.
    F32(&'a [f32], &'a [usize]),
    /// Integers and their shape.
    I64(&'a [i64], &'a [usize]),
}

impl<'a> Arg<'a> {
    /// Its dimensions.
    pub fn shape(&self) -> &'a [usize] {
        match self {
            Arg::F32(_, shape) | Arg::I64(_, shape) => shape,
        }
    }
}

/// Runs `task(0..count)` on some threads, each index once.
pub type Parallel<'a> = &'a dyn Fn(usize, &(dyn Fn(usize) + Sync));

/// A kernel of one node, which keeps its attributes.
pub trait Kernel: Send {
    /// Shape of the output.
    ///
    /// # Errors
    /// A sentence when the inputs do not fit.
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String>;
    /// Fills the output, whose size is that of [`Kernel::shape`] and whose content is arbitrary.
    ///
    /// # Errors
    /// A sentence when the inputs do not fit.
    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String>;
    /// The same where the output holds the first input, of this shape; `others` are the other inputs.
    ///
    /// # Errors
    /// A sentence when the inputs do not fit.
    fn update(
        &mut self,
        _shape: &[usize],
        _others: &[Arg],
        _output: &mut [f32],
        _parallel: Parallel,
    ) -> Result<(), String> {
        Err("it does not work in place".to_owned())
    }
    /// What it does on a GPU for inputs of these shapes, none of them empty.
    ///
    /// # Errors
    /// A sentence when there is no such form.
    fn cuda(&self, _inputs: &[&[usize]]) -> Result<cuda::Work, String> {
        Err("it has no form for CUDA".to_owned())
    }
}

/// Attributes of a node, however they are stored.
pub trait Attributes {
    /// Integer, or nothing.
    fn int(&self, name: &str) -> Option<i64>;
    /// Float, or nothing.
    fn float(&self, name: &str) -> Option<f32>;
    /// Integers, or nothing.
    fn ints(&self, name: &str) -> Option<Vec<i64>>;
}

impl Attributes for Node {
    fn int(&self, name: &str) -> Option<i64> {
        match self.attrs.get(name) {
            Some(crate::ir::Attr::Int(value)) => Some(*value),
            _ => None,
        }
    }
    fn float(&self, name: &str) -> Option<f32> {
        match self.attrs.get(name) {
            Some(crate::ir::Attr::Float(value)) => Some(*value),
            _ => None,
        }
    }
    fn ints(&self, name: &str) -> Option<Vec<i64>> {
        Node::ints(self, name).map(<[i64]>::to_vec)
    }
}

/// Makes a kernel from the attributes of a node, or says what is wrong with them.
pub type Make = fn(&dyn Attributes) -> Result<Box<dyn Kernel>, String>;

/// An own operator with one f32 output.
#[derive(Clone, Copy)]
pub struct Operator {
    /// Name in the domain `pipe`.
    pub name: &'static str,
    /// Types of its inputs, all required.
    pub inputs: &'static [DType],
    /// Makes the kernel of a node.
    pub kernel: Make,
    /// Whether on the processor its output may take the place of its first input, which it does not need afterwards: [`Kernel::update`].
    pub in_place: bool,
    /// What of it may be in half precision on a GPU; `None` where it is not there at all.
    pub cuda: Option<Halves>,
    /// Emits what it computes in standard operators; `None` for those that draw random numbers or walk through time.
    pub reference: Option<fn(&mut Builder, &Node) -> ValueId>,
}

/// Values of an own operator that are f32 on the processor and f32, f16 or bfloat16 on a GPU, all of one type. It computes in f32.
#[derive(Debug, Clone, Copy)]
pub struct Halves {
    /// Which inputs are such; the other floats are f32.
    pub inputs: &'static [usize],
    /// Whether the output is.
    pub output: bool,
}

impl Operator {
    /// Types of the inputs in a form whose own floats have a type; one that has no such form is f32 throughout.
    pub fn types(&self, float: DType) -> Vec<DType> {
        let half = |i: usize| self.cuda.is_some_and(|halves| halves.inputs.contains(&i));
        self.inputs.iter().enumerate().map(|(i, ty)| if half(i) { float } else { *ty }).collect()
    }

    /// Type of the output in that form.
    pub fn output(&self, float: DType) -> DType {
        if self.cuda.is_some_and(|halves| halves.output) { float } else { DType::F32 }
    }
}

/// All own operators, sorted by name.
pub const OPERATORS: &[Operator] = &[
    after::OPERATOR,
    batch_norm_apply::OPERATOR,
    batch_norm_data_grad::OPERATOR,
    batch_norm_statistics::OPERATOR,
    batch_norm_sums::OPERATOR,
    column_sums::OPERATOR,
    conv::OPERATOR,
    conv_data_grad::OPERATOR,
    conv_weight_grad::OPERATOR,
    counted_dropout::OPERATOR,
    gate_grad::OPERATOR,
    gather_grad::OPERATOR,
    gelu::OPERATOR,
    gelu_grad::OPERATOR,
    grid_sample_grad::OPERATOR,
    layer_norm_data_grad::OPERATOR,
    layer_norm_sums::OPERATOR,
    matrix_transpose::OPERATOR,
    max_pool_grad::OPERATOR,
    recurrent::gru::OPERATOR,
    recurrent::lstm::OPERATOR,
    recurrent::rnn::OPERATOR,
    running_statistic::OPERATOR,
    softmax_grad::OPERATOR,
];

/// Whether an own operator may write over its first input.
pub fn works_in_place(name: &str) -> bool {
    OPERATORS.iter().any(|operator| operator.name == name && operator.in_place)
}

/// Whether a convolution with weights [M, C/group, kernel…] has groups so narrow that it runs plane by plane, in own operators.
pub fn is_narrow(group: usize, weights: &[usize]) -> bool {
    matches!(weights, [outputs, channels, ..] if geometry::narrow(group, *channels, outputs / group.max(1)))
}

/// Replaces every own operator that has a reference form by it.
pub fn lower(graph: &mut Graph) {
    lower_if(graph, |_, _, _| true);
}

/// Does so where `wanted` says of the graph, the node and its operator.
fn lower_if(graph: &mut Graph, wanted: impl Fn(&Graph, &Node, &Operator) -> bool) {
    let nodes = std::mem::take(&mut graph.nodes);
    for node in nodes {
        let own = OPERATORS.iter().find(|operator| node.domain == DOMAIN && node.op == operator.name);
        let own = own.filter(|operator| wanted(graph, &node, operator));
        let (Some(reference), Some(output)) = (own.and_then(|operator| operator.reference), node.output(0)) else {
            graph.nodes.push(node);
            continue;
        };
        let made = reference(&mut Builder::new(graph, format!("{}/reference", node.name)), &node);
        for maker in graph.nodes.iter_mut().rev().take(1) {
            for slot in &mut maker.outputs {
                if *slot == Some(made) {
                    *slot = Some(output);
                }
            }
        }
    }
}

#[cfg(test)]
mod conv_tests;

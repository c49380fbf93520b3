//! After: x, once another value is there.
//!
//! Inputs: x f32 and the other f32, of any shapes; output: x. Nothing is computed: ONNX Runtime gives the output the memory of x. What reads it
//! runs later than what makes the other value, and is not merged with nodes that read x itself.

use super::cuda::Work;
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};

/// Its name. What is called so has its first input as output, in one place.
pub const AFTER: &str = "After";

pub(super) const OPERATOR: Operator = Operator {
    name: AFTER,
    inputs: &[DType::F32; 2],
    kernel: |_| Ok(Box::new(After)),
    in_place: false,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

struct After;

impl Kernel for After {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [x, _] => Ok(x.to_vec()),
            _ => Err(format!("x and another value, not {inputs:?}")),
        }
    }

    /// Where the two do not lie in one place after all.
    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], _: Parallel) -> Result<(), String> {
        match inputs {
            [Arg::F32(x, _), _] if x.len() == output.len() => output.copy_from_slice(x),
            _ => return Err("its buffers do not have one size".to_owned()),
        }
        Ok(())
    }

    fn cuda(&self, _: &[&[usize]]) -> Result<Work, String> {
        Ok(Work::First)
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    b.identity(node.inputs[0].unwrap_or(ValueId(0)))
}

//! MaxPoolGrad: the gradient of a MaxPool's input. Each output's gradient goes to the input that was the largest of its window.
//!
//! Inputs: dy f32 [N, C, outputs…] in one to three spatial dimensions and the node's `Indices`, i64 positions in the whole flattened input;
//! output [N, C, shape…]. Attributes as in MaxPool, `pads` explicit, and `shape`, the spatial size of x.

use super::conv_attributes::{ConvAttributes, sizes};
use super::cuda::{self, Argument, Launch, Work};
use super::disjoint::Disjoint;
use super::gather_grad::zeros_at_run_time;
use super::{Arg, Attributes, Halves, Kernel, Operator, Parallel};
use crate::ir::{Attr, Builder, DType, Node, ValueId};

pub(super) const OPERATOR: Operator = Operator {
    name: "MaxPoolGrad",
    inputs: &[DType::F32, DType::I64],
    kernel: |attributes| Ok(Box::new(MaxPoolGrad::read(attributes)?)),
    in_place: false,
    cuda: Some(Halves { inputs: &[0], output: true }),
    reference: Some(reference),
};

struct MaxPoolGrad {
    attrs: ConvAttributes,
    /// Spatial size of x.
    shape: Vec<usize>,
}

impl MaxPoolGrad {
    fn read(attributes: &dyn Attributes) -> Result<Self, String> {
        let shape = sizes("shape", &attributes.ints("shape").ok_or("it has no shape")?, 0)?;
        let attrs = ConvAttributes::read(attributes)?;
        if shape.len() != attrs.kernel.len() {
            return Err(format!("a kernel {:?} over {shape:?}", attrs.kernel));
        }
        Ok(Self { attrs, shape })
    }
}

impl Kernel for MaxPoolGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [dy @ [n, c, rest @ ..], indices] if dy == indices && rest.len() == self.shape.len() => {
                Ok([&[*n, *c], &self.shape[..]].concat())
            }
            _ => Err(format!("dy and indices of one shape, not {inputs:?}")),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(dy, dy_shape), Arg::I64(indices, i_shape)] = inputs else {
            return Err("it takes f32 and i64".to_owned());
        };
        let shape = self.shape(&[dy_shape, i_shape])?;
        let planes = shape[0] * shape[1];
        let (plane, each) = (shape[2..].iter().product::<usize>(), dy_shape[2..].iter().product::<usize>());
        if output.len() != planes * plane || dy.len() != planes * each || indices.len() != dy.len() {
            return Err("its buffers do not have the size of their shapes".to_owned());
        }
        let parts = Disjoint::new(output);
        parallel(planes, &|at| {
            #[expect(unsafe_code, reason = "each plane is written by one task")]
            // SAFETY: planes do not overlap and each index is run once.
            let dx = unsafe { parts.part(at * plane, plane) };
            dx.fill(0.0);
            let rows = at * each..(at + 1) * each;
            for (dy, index) in dy[rows.clone()].iter().zip(&indices[rows]) {
                // An index lies in its own plane.
                if let Some(slot) = usize::try_from(*index).ok().and_then(|i| dx.get_mut(i.wrapping_sub(at * plane))) {
                    *slot += dy;
                }
            }
        });
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let shape = self.shape(inputs)?;
        let three = |list: &[usize], fill: usize| {
            let mut three = [fill; 3];
            three[3 - list.len()..].copy_from_slice(list);
            three.map(|size| Argument::Int(size as i32))
        };
        let total: usize = shape.iter().product();
        let mut arguments =
            vec![Argument::Input(0), Argument::Input(1), Argument::Output(0), Argument::Long(total as i64)];
        let lists = [
            (&self.shape[..], 1),
            (&inputs[0][2..], 1),
            (&self.attrs.kernel[..], 1),
            (&self.attrs.strides[..], 1),
            (&self.attrs.dilations[..], 1),
            (&self.attrs.begin[..], 0),
        ];
        arguments.extend(lists.into_iter().flat_map(|(list, fill)| three(list, fill)));
        let launch =
            Launch::new(include_str!("cuda/max_pool_grad.cu"), "max_pool_grad", cuda::blocks(total), arguments);
        Ok(Work::Launches(vec![launch], 0))
    }
}

/// Each output has one index, so that ties go to the first; windows that overlap add up.
fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, indices] = [0, 1].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let outputs = b.graph.shape(dy).unwrap_or_default();
    let dtype = b.graph.dtype(dy).unwrap_or(DType::F32);
    let mut shape: Vec<i64> = outputs.iter().take(2).map(|size| *size as i64).collect();
    shape.extend(node.ints("shape").unwrap_or_default());
    let count = shape.iter().product::<i64>() as usize;
    let zeros = zeros_at_run_time(b, indices, dtype, &[count]);
    let (indices, updates) = (b.reshape(indices, &[-1]), b.reshape(dy, &[-1]));
    let attrs = [("axis", Attr::Int(0)), ("reduction", Attr::Str(b"add".to_vec()))];
    let flat = b.op_with("ScatterElements", &[zeros, indices, updates], &attrs);
    b.reshape(flat, &shape)
}

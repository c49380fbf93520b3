//! Conv: a convolution of narrow groups, y[n, m, o] = Σ_{c, k} w[m, c, k] · x[n, c, o·s + k·d − p], whose weights are trained.
//!
//! Inputs: x f32 [N, C, spatial…] in one to three spatial dimensions, w f32 [M, C/group, kernel…]; output [N, M, spatial…].
//! Attributes as in Conv, `pads` explicit. ONNX Runtime is fast on such convolutions only where the weights are constants.

use super::conv_attributes::ConvAttributes;
use super::cuda::{Convolution, Direction, Work};
use super::disjoint::Disjoint;
use super::geometry::Geometry;
use super::narrow::{self, Way};
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};

pub(super) const OPERATOR: Operator = Operator {
    name: "Conv",
    inputs: &[DType::F32, DType::F32],
    kernel: |attributes| Ok(Box::new(Conv { attrs: ConvAttributes::read(attributes)? })),
    in_place: false,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

struct Conv {
    attrs: ConvAttributes,
}

impl Kernel for Conv {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [x, w] = inputs else { return Err("it takes x and w".to_owned()) };
        if x.len() < 3 || w.len() != x.len() || w[2..] != self.attrs.kernel || w[1] * self.attrs.group != x[1] {
            return Err(format!("x {x:?} and w {w:?} in {} groups", self.attrs.group));
        }
        Ok([&[x[0], w[0]], &self.attrs.output(&x[2..])?[..]].concat())
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, x_shape), Arg::F32(w, w_shape)] = inputs else { return Err("it takes f32".to_owned()) };
        let y_shape = self.shape(&[x_shape, w_shape])?;
        let g = Geometry::new(&self.attrs, x_shape, &y_shape)?;
        if x.len() != g.x_len() || w.len() != g.dw_len() || output.len() != g.dy_len() {
            return Err("its buffers do not have the size of their shapes".to_owned());
        }
        narrow::run(&g, Way::Forward, x, w, &Disjoint::new(output), parallel);
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let [x, w] = inputs else { return Err("it takes x and w".to_owned()) };
        let work = Convolution::new(Direction::Forward, &self.attrs, x, &self.shape(&[x, w])?);
        work.map(Work::Convolution).ok_or_else(|| format!("pads {:?} and {:?}", self.attrs.begin, self.attrs.end))
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let inputs: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
    let attrs: Vec<_> = node.attrs.iter().map(|(name, attr)| (name.as_str(), attr.clone())).collect();
    b.op_with("Conv", &inputs, &attrs)
}

//! ConvDataGrad: the gradient of a convolution's input:
//! dx[n, c, i] = Σ_{m, k} w[m, c, k] · dy[n, m, o] over the o with o·s + k·d − p = i.
//!
//! Inputs: dy f32 [N, M, spatial…] in one to three spatial dimensions, w f32 [M, C/group, kernel…]; output [N, C, shape…].
//! Attributes as in Conv, `pads` explicit, and `shape`, the spatial size of x. On a CPU narrow groups only are run here, where ONNX Runtime's grouped
//! ConvTranspose does the same at a hundredth of the speed of the machine.

use super::conv_attributes::{ConvAttributes, ints, sizes};
use super::cuda::{Convolution, Direction, Work};
use super::disjoint::Disjoint;
use super::geometry::Geometry;
use super::narrow::{self, Way};
use super::{Arg, Attributes, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};

pub(super) const OPERATOR: Operator = Operator {
    name: "ConvDataGrad",
    inputs: &[DType::F32, DType::F32],
    kernel: |attributes| Ok(Box::new(ConvDataGrad::new(attributes)?)),
    in_place: false,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

struct ConvDataGrad {
    attrs: ConvAttributes,
    /// Spatial size of x.
    shape: Vec<usize>,
}

impl ConvDataGrad {
    fn new(attributes: &dyn Attributes) -> Result<Self, String> {
        let shape = sizes("shape", &attributes.ints("shape").ok_or("it has no shape")?, 0)?;
        Ok(Self { attrs: ConvAttributes::read(attributes)?, shape })
    }
}

impl Kernel for ConvDataGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [dy, w] = inputs else { return Err("it takes dy and w".to_owned()) };
        let fits = dy.len() == self.shape.len() + 2
            && w.len() == dy.len()
            && w[2..] == self.attrs.kernel
            && dy[1] == w[0]
            && self.attrs.output(&self.shape)? == dy[2..];
        if !fits {
            return Err(format!("dy {dy:?} and w {w:?} for an input of {:?}", self.shape));
        }
        Ok([&[dy[0], w[1] * self.attrs.group], &self.shape[..]].concat())
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(dy, dy_shape), Arg::F32(w, w_shape)] = inputs else { return Err("it takes f32".to_owned()) };
        let x_shape = self.shape(&[dy_shape, w_shape])?;
        let g = Geometry::new(&self.attrs, &x_shape, dy_shape)?;
        if dy.len() != g.dy_len() || w.len() != g.dw_len() || output.len() != g.x_len() {
            return Err("its buffers do not have the size of their shapes".to_owned());
        }
        narrow::run(&g, Way::Backward, dy, w, &Disjoint::new(output), parallel);
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let [dy, w] = inputs else { return Err("it takes dy and w".to_owned()) };
        let work = Convolution::new(Direction::Data, &self.attrs, &self.shape(&[dy, w])?, dy);
        work.map(Work::Convolution).ok_or_else(|| format!("pads {:?} and {:?}", self.attrs.begin, self.attrs.end))
    }
}

/// A convolution where that is faster, else a transposed one.
fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let inputs: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
    let (&[dy, w], Ok(attrs)) = (&inputs[..], ConvAttributes::read(node)) else { return ValueId(0) };
    let shape: Vec<usize> = node.ints("shape").unwrap_or_default().iter().map(|size| *size as usize).collect();
    let output = b.graph.shape(dy).map(|dims| dims[2..].to_vec()).unwrap_or_default();
    if let Some(dx) = as_convolution(b, &attrs, &output, dy, w) {
        return dx;
    }
    // What the stride left over is padded, what reaches past the input is cut.
    let (end, extra): (Vec<usize>, Vec<usize>) = (0..attrs.kernel.len())
        .map(|i| {
            let full = (output[i].max(1) - 1) * attrs.strides[i] + attrs.extent(i);
            let wanted = shape[i] + attrs.begin[i];
            (full.saturating_sub(wanted), wanted.saturating_sub(full))
        })
        .unzip();
    let mut list = attrs.list(&attrs.begin, &end);
    if extra.iter().any(|pad| *pad > 0) {
        list.push(("output_padding", ints(&extra)));
    }
    b.op_with("ConvTranspose", &[dy, w], &list)
}

/// With stride 1 dX is a convolution of dy with the transposed weights, taps in reverse order. ONNX Runtime does that up to twice as fast as a
/// ConvTranspose, but on small planes, where it is the other way round.
fn as_convolution(
    b: &mut Builder,
    attrs: &ConvAttributes,
    output: &[usize],
    dy: ValueId,
    w: ValueId,
) -> Option<ValueId> {
    const SMALL_PLANE: usize = 196;
    let pointwise = attrs.kernel.iter().all(|size| *size == 1);
    let small = output.iter().product::<usize>() < SMALL_PLANE;
    if attrs.group != 1 || attrs.strides.iter().any(|stride| *stride != 1) || (small && !pointwise) {
        return None;
    }
    let rank = attrs.kernel.len();
    let mirrored = |pads: &[usize]| -> Option<Vec<usize>> {
        (0..rank).map(|i| (attrs.extent(i) - 1).checked_sub(pads[i])).collect()
    };
    let (begin, end) = (mirrored(&attrs.begin)?, mirrored(&attrs.end)?);
    let swapped: Vec<i64> = [1, 0].into_iter().chain(2..rank as i64 + 2).collect();
    let mut weights = b.transpose(w, &swapped);
    if !pointwise {
        let axes: Vec<i64> = (2..rank as i64 + 2).collect();
        weights = b.slice(weights, &vec![-1; rank], &vec![i64::MIN + 1; rank], &axes, &vec![-1; rank]);
    }
    Some(b.op_with("Conv", &[dy, weights], &attrs.list(&begin, &end)))
}

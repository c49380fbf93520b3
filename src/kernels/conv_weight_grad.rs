//! ConvWeightGrad: the gradient of a convolution's weights, dw[m, c, k] = Σ_{n, o} dy[n, m, o] · x[n, c, o·s + k·d − p].
//!
//! Inputs: x f32 [N, C, spatial…], dy f32 [N, M, spatial…] in one to three spatial dimensions; output [M, C/group, kernel…].
//! Attributes: `kernel_shape`, `strides`, `dilations`, `pads` (begin…, end…) and `group`, as in Conv, all explicit.
//!
//! The sum over images and positions is walked in one fixed order; tasks share out tiles of the output, so that the bits do not
//! depend on the number of threads. A tile gathers its columns of x (im2col) for a few hundred positions at a time and multiplies
//! them with dy; a 1×1 convolution multiplies x where it lies. Depthwise convolutions are dot products of planes.

use super::conv_attributes::ConvAttributes;
use super::cuda::{Convolution, Direction, Work};
use super::disjoint::Disjoint;
use super::geometry::Geometry;
use super::{Arg, Attributes, Halves, Kernel, Operator, Parallel, planes, tiles};
use crate::ir::{Attr, Builder, DType, Node, ValueId};

pub(super) const OPERATOR: Operator = Operator {
    name: "ConvWeightGrad",
    inputs: &[DType::F32, DType::F32],
    kernel: |attributes| Ok(Box::new(ConvWeightGrad::new(attributes)?)),
    in_place: false,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

/// The kernel of one node.
pub(super) struct ConvWeightGrad {
    attrs: ConvAttributes,
}

impl ConvWeightGrad {
    pub(super) fn new(attributes: &dyn Attributes) -> Result<Self, String> {
        Ok(Self { attrs: ConvAttributes::read(attributes)? })
    }
}

impl Kernel for ConvWeightGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [x, dy] = inputs else { return Err("it takes x and dy".to_owned()) };
        Geometry::new(&self.attrs, x, dy).map(|geometry| {
            let mut shape = vec![geometry.outputs, geometry.channels / geometry.group];
            shape.extend(&self.attrs.kernel);
            shape
        })
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, x_shape), Arg::F32(dy, dy_shape)] = inputs else { return Err("it takes f32".to_owned()) };
        let geometry = Geometry::new(&self.attrs, x_shape, dy_shape)?;
        if x.len() != geometry.x_len() || dy.len() != geometry.dy_len() || output.len() != geometry.dw_len() {
            return Err("its buffers do not have the size of their shapes".to_owned());
        }
        if x.is_empty() || dy.is_empty() {
            output.fill(0.0);
            return Ok(());
        }
        let parts = Disjoint::new(output);
        if geometry.is_narrow() {
            planes::run(&geometry, x, dy, &parts, parallel);
        } else {
            tiles::run(&geometry, x, dy, &parts, parallel);
        }
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let [x, dy] = inputs else { return Err("it takes x and dy".to_owned()) };
        let work = Convolution::new(Direction::Weights, &self.attrs, x, dy);
        work.map(Work::Convolution).ok_or_else(|| format!("pads {:?} and {:?}", self.attrs.begin, self.attrs.end))
    }
}

/// A convolution of x by dy with batch and channels exchanged, strides and dilations too. The groups of x stand side by side among
/// the exchanged channels, and dy's channels choose theirs: one grouped convolution. The shape of x must be static.
fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let ints = |name: &str| node.ints(name).map(<[i64]>::to_vec).unwrap_or_default();
    let (x, dy) = (node.inputs[0].unwrap_or(ValueId(0)), node.inputs[1].unwrap_or(ValueId(0)));
    let kernel = ints("kernel_shape");
    let rank = kernel.len();
    let group = node.int("group", 1).max(1);
    let shape: Vec<i64> = b.graph.shape(x).unwrap_or_default().iter().map(|size| *size as i64).collect();
    let swapped: Vec<i64> = [1, 0].into_iter().chain(2..rank as i64 + 2).collect();
    let images = if group == 1 {
        b.transpose(x, &swapped)
    } else {
        let (n, c) = (shape[0], shape[1]);
        let split = b.reshape(x, &[&[n, group, c / group], &shape[2..]].concat());
        let perm: Vec<i64> = [2, 1, 0].into_iter().chain(3..rank as i64 + 3).collect();
        let moved = b.transpose(split, &perm);
        b.reshape(moved, &[&[c / group, group * n], &shape[2..]].concat())
    };
    let filters = b.transpose(dy, &swapped);
    let attrs = [
        ("strides", Attr::Ints(ints("dilations"))),
        ("dilations", Attr::Ints(ints("strides"))),
        ("pads", Attr::Ints(ints("pads"))),
        ("group", Attr::Int(group)),
    ];
    let wide = b.op_with("Conv", &[images, filters], &attrs);
    // Where the stride leaves a rest, the exchanged convolution goes on past the kernel.
    let axes: Vec<i64> = (2..rank as i64 + 2).collect();
    let cut = b.slice(wide, &vec![0; rank], &kernel, &axes, &vec![1; rank]);
    b.transpose(cut, &swapped)
}

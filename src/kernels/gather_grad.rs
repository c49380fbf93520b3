//! GatherGrad: the gradient of a Gather's data, zeros of `shape` to which the rows of dy are added at their indices.
//!
//! Inputs: dy f32 [outer…, count…, inner…] and indices i64 of any shape with `count` elements, negative ones from the end; output of
//! `shape`. Attributes: `shape` and `axis`. Rows with one index are added in their order, so that the bits do not depend on threads. In
//! standard operators this is a ScatterElements, whose indices are as large as dy, and which uses one thread, or atomics on a GPU.

use super::conv_attributes::sizes;
use super::cuda::{self, Argument, Launch, Work};
use super::disjoint::Disjoint;
use super::{Arg, Attributes, Halves, Kernel, Operator, Parallel};
use crate::ir::{Attr, Builder, DType, Node, ValueId};

pub(super) const OPERATOR: Operator = Operator {
    name: "GatherGrad",
    inputs: &[DType::F32, DType::I64],
    kernel: |attributes| Ok(Box::new(GatherGrad::read(attributes)?)),
    in_place: false,
    cuda: Some(Halves { inputs: &[], output: false }),
    reference: Some(reference),
};

/// Elements of a row that a task adds at least.
const PART: usize = 64;

struct GatherGrad {
    shape: Vec<usize>,
    axis: usize,
}

/// Sizes of the three parts of a shape: in front of the axis, along it, behind it.
struct Parts {
    outer: usize,
    size: usize,
    inner: usize,
    count: usize,
}

impl GatherGrad {
    fn read(attributes: &dyn Attributes) -> Result<Self, String> {
        let shape = sizes("shape", &attributes.ints("shape").ok_or("it has no shape")?, 0)?;
        let axis = usize::try_from(attributes.int("axis").unwrap_or(0)).ok().filter(|axis| *axis < shape.len());
        Ok(Self { axis: axis.ok_or_else(|| format!("its axis does not lie in {shape:?}"))?, shape })
    }

    fn parts(&self, dy: &[usize], indices: &[usize]) -> Result<Parts, String> {
        let (outer, inner) = (self.shape[..self.axis].iter().product(), self.shape[self.axis + 1..].iter().product());
        let count = indices.iter().product();
        let parts = Parts { outer, size: self.shape[self.axis], inner, count };
        if dy.iter().product::<usize>() != outer * count * inner {
            return Err(format!("dy {dy:?} and indices {indices:?} for {:?}", self.shape));
        }
        Ok(parts)
    }
}

impl Kernel for GatherGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [dy, indices] = inputs else { return Err("it takes dy and indices".to_owned()) };
        self.parts(dy, indices).map(|_| self.shape.clone())
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(dy, dy_shape), Arg::I64(indices, i_shape)] = inputs else {
            return Err("it takes f32 and i64".to_owned());
        };
        let Parts { outer, size, inner, count } = self.parts(dy_shape, i_shape)?;
        if output.len() != outer * size * inner || dy.len() != outer * count * inner || indices.len() != count {
            return Err("its buffers do not have the size of their shapes".to_owned());
        }
        let row = |index: i64| usize::try_from(if index < 0 { index + size as i64 } else { index }).ok();
        let rows: Option<Vec<usize>> = indices.iter().map(|index| row(*index).filter(|row| *row < size)).collect();
        let rows = rows.ok_or_else(|| format!("an index outside a dimension of {size}"))?;
        let columns = inner.div_ceil(PART);
        let out = Disjoint::new(output);
        parallel(outer * columns, &|task| {
            let (block, from) = (task / columns.max(1), task % columns.max(1) * PART);
            let width = PART.min(inner - from);
            let place = |row: usize| (block * size + row) * inner + from;
            #[expect(unsafe_code, reason = "each column of a block is written by one task")]
            // SAFETY: the columns of tasks do not overlap and each index is run once.
            let part = |row: usize| unsafe { out.part(place(row), width) };
            (0..size).for_each(|row| part(row).fill(0.0));
            for (t, row) in rows.iter().enumerate() {
                let dy = &dy[(block * count + t) * inner + from..][..width];
                part(*row).iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
            }
        });
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        const SOURCE: &str = include_str!("cuda/gather_grad.cu");
        let [dy, indices] = inputs else { return Err("it takes dy and indices".to_owned()) };
        let Parts { outer, size, inner, count } = self.parts(dy, indices)?;
        if count > 1 << 20 || outer > 65_535 {
            return Err(format!("{count} indices into {outer} blocks"));
        }
        let (total, n) = (outer * size * inner, Argument::Int(count as i32));
        let (next, first) = (Argument::Scratch(0), Argument::Scratch((4 * count).next_multiple_of(256)));
        let (dy, indices, dx) = (Argument::Input(0), Argument::Input(1), Argument::Output(0));
        let (size, inner_size) = (Argument::Long(size as i64), Argument::Long(inner as i64));
        let columns = inner.div_ceil(cuda::BLOCK as usize).min(1024);
        let launches = vec![
            Launch::new(SOURCE, "gather_grad_zero", cuda::blocks(total), vec![dx, Argument::Long(total as i64)]),
            Launch::new(SOURCE, "gather_grad_links", count, vec![indices, next, first, n, size]),
            Launch::over(
                SOURCE,
                "gather_grad_sum",
                [count, columns, outer],
                vec![dy, indices, next, first, dx, n, size, inner_size],
            ),
        ];
        Ok(Work::Launches(launches, 2 * (4 * count).next_multiple_of(256)))
    }
}

/// The zeros depend on integers known only at run time (i − i for the first of them). Constant zeros would be folded into a constant of the
/// whole size, which stays in memory and has to be copied; these are written once and scattered into in place.
pub(crate) fn zeros_at_run_time(b: &mut Builder, integers: ValueId, dtype: DType, shape: &[usize]) -> ValueId {
    let flat = b.reshape(integers, &[-1]);
    let first = b.slice(flat, &[0], &[1], &[0], &[1]);
    let zero = b.sub(first, first);
    let zero = b.cast(zero, dtype);
    let dims: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
    let dims = b.ints(&dims);
    b.op("Expand", &[zero, dims])
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, indices] = [0, 1].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let shape = node.ints("shape").map(<[i64]>::to_vec).unwrap_or_default();
    let axis = usize::try_from(node.int("axis", 0)).unwrap_or(0);
    let count = b.graph.shape(indices).unwrap_or_default().iter().product::<usize>() as i64;
    let dtype = b.graph.dtype(dy).unwrap_or(DType::F32);
    let sizes: Vec<usize> = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
    let (mut flat, mut column) = (shape.clone(), vec![1; shape.len()]);
    (flat[axis], column[axis]) = (count, count);
    let rows = b.reshape(dy, &flat);
    let zeros = zeros_at_run_time(b, indices, dtype, &sizes);
    let indices = b.reshape(indices, &column);
    let dims = b.ints(&flat);
    let indices = b.op("Expand", &[indices, dims]);
    let attrs = [("axis", Attr::Int(axis as i64)), ("reduction", Attr::Str(b"add".to_vec()))];
    b.op_with("ScatterElements", &[zeros, indices, rows], &attrs)
}

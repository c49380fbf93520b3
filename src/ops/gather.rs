//! Indexing: Gather, GatherElements, GatherND, ScatterElements, ScatterND, TopK.
//!
//! What was read from several places is summed there. The sum is a ScatterElements, which is sequential on CPU and hence
//! gives the same bits on any number of threads.

use super::case::{Case, any, apart, case};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, DOMAIN, DType, Tensor, TensorType, ValueId};
use crate::kernels;

pub(super) const RULES: &[Rule] = &[
    Rule::new("Gather", gather).stops(&[1]),
    Rule::new("GatherElements", |ctx| {
        let (dy, indices, shape) = (ctx.dy0()?, ctx.x(1)?, ctx.x_shape(0)?);
        let axis = ctx.axis(0, shape.len())?;
        Ok(vec![Some(scatter_add(ctx, &shape, axis, indices, dy)?)])
    })
    .stops(&[1]),
    Rule::new("GatherND", gather_nd).stops(&[1]),
    Rule::new("ScatterElements", |ctx| {
        let axis = ctx.axis(0, ctx.x_shape(0)?.len())? as i64;
        scatter(ctx, "ScatterElements", "GatherElements", &[("axis", Attr::Int(axis))])
    })
    .stops(&[1]),
    Rule::new("ScatterND", |ctx| scatter(ctx, "ScatterND", "GatherND", &[])).stops(&[1]),
    Rule::new("TopK", |ctx| {
        let (dy, indices, shape) = (ctx.dy0()?, ctx.y(1)?, ctx.x_shape(0)?);
        let axis = ctx.axis(-1, shape.len())?;
        Ok(vec![Some(scatter_add(ctx, &shape, axis, indices, dy)?)])
    })
    .stops(&[1]),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Gather", "rows with repeats", &[any(&[4, 3])], |b, x| {
        let indices = b.constant(Tensor::new([2, 3], &[0i64, 3, 0, -1, 0, 2]));
        b.op("Gather", &[x[0], indices])
    }),
    case("Gather", "middle axis", &[any(&[2, 4, 3])], |b, x| {
        let indices = b.ints(&[1, -4, 1]);
        b.op_with("Gather", &[x[0], indices], &[("axis", Attr::Int(1))])
    }),
    case("Gather", "one constant index drops the axis", &[any(&[2, 4, 3])], |b, x| {
        let index = b.constant(Tensor::scalar(-2i64));
        b.op_with("Gather", &[x[0], index], &[("axis", Attr::Int(-2))])
    }),
    case("Gather", "one index of type i32", &[any(&[1, 1])], |b, x| {
        let index = b.constant(Tensor::new([1], &[0i32]));
        b.op("Gather", &[x[0], index])
    }),
    case("GatherElements", "", &[any(&[3, 4])], |b, x| {
        let indices = b.constant(Tensor::new([2, 2], &[0i64, -1, 0, 2]));
        b.op_with("GatherElements", &[x[0], indices], &[("axis", Attr::Int(1))])
    }),
    case("GatherND", "rows", &[any(&[2, 3, 4])], |b, x| {
        let indices = b.constant(Tensor::new([3, 2], &[0i64, 2, 1, -3, 0, 2]));
        b.op("GatherND", &[x[0], indices])
    }),
    case("GatherND", "in batches", &[any(&[2, 3, 4])], |b, x| {
        let indices = b.constant(Tensor::new([2, 5, 1], &[0i64, 2, -1, 0, 0, 1, 1, 2, 0, 1]));
        b.op_with("GatherND", &[x[0], indices], &[("batch_dims", Attr::Int(1))])
    }),
    case("ScatterElements", "overwriting", &[any(&[3, 4]), any(&[2, 2])], |b, x| {
        let indices = b.constant(Tensor::new([2, 2], &[0i64, -1, 3, 1]));
        b.op_with("ScatterElements", &[x[0], indices, x[1]], &[("axis", Attr::Int(1))])
    }),
    case("ScatterElements", "adding", &[any(&[3, 4]), any(&[2, 2])], |b, x| {
        let indices = b.constant(Tensor::new([2, 2], &[0i64, 0, 1, 0]));
        b.op_with("ScatterElements", &[x[0], indices, x[1]], &[("reduction", Attr::Str(b"add".to_vec()))])
    }),
    case("ScatterND", "overwriting", &[any(&[4, 3]), any(&[2, 3])], |b, x| {
        let indices = b.constant(Tensor::new([2, 1], &[2i64, 0]));
        b.op("ScatterND", &[x[0], indices, x[1]])
    }),
    case("TopK", "", &[apart(&[3, 7])], |b, x| {
        let k = b.ints(&[2]);
        b.node("", "TopK", &[Some(x[0]), Some(k)], &[], 2)[0]
    }),
    case("TopK", "smallest of the first axis", &[apart(&[5, 2])], |b, x| {
        let k = b.ints(&[3]);
        let attrs = [("axis", Attr::Int(0)), ("largest", Attr::Int(0))];
        b.node("", "TopK", &[Some(x[0]), Some(k)], &attrs, 2)[0]
    }),
];

/// Zeros of `shape` with `updates` added at `indices` along an axis.
fn scatter_add(ctx: &mut Ctx, shape: &[usize], axis: usize, indices: ValueId, updates: ValueId) -> Result<ValueId> {
    let (like, given) = (ctx.x(0)?, ctx.node.input(1));
    // TopK's second input is the number of elements; its indices are an output.
    let source = if ctx.node.op == "TopK" { Some(indices) } else { given };
    let filled = source.and_then(|value| ctx.graph().shape(value)).is_some_and(|shape| !shape.contains(&0));
    let zeros = match source.filter(|_| filled) {
        Some(source) => {
            let dtype = ctx.dtype(like);
            kernels::zeros_at_run_time(ctx.b, source, dtype, shape)
        }
        None => ctx.zeros(like, shape),
    };
    let attrs = [("axis", Attr::Int(axis as i64)), ("reduction", Attr::Str(b"add".to_vec()))];
    Ok(ctx.b.op_with("ScatterElements", &[zeros, indices, updates], &attrs))
}

/// y = x[…, indices, …]: rows of dy are added at their indices. A single constant index is a padding.
fn gather(ctx: &mut Ctx) -> Gradients {
    let (dy, indices, shape, index_shape) = (ctx.dy0()?, ctx.x(1)?, ctx.x_shape(0)?, ctx.x_shape(1)?);
    let axis = ctx.axis(0, shape.len())?;
    let size = shape[axis];
    let constant = ctx.graph().constant(indices).and_then(crate::ir::Tensor::to_ints);
    if let Some([index]) = constant.as_deref() {
        let at = if *index < 0 { *index + size as i64 } else { *index };
        if !(0..size as i64).contains(&at) {
            return Err(ctx.invalid(format!("index {index} into a dimension of size {size}")));
        }
        let mut flat = shape.clone();
        flat[axis] = 1;
        let rows = ctx.b.reshape_to(dy, &flat);
        let mut pads = vec![0; 2 * shape.len()];
        pads[axis] = at;
        pads[shape.len() + axis] = size as i64 - 1 - at;
        return Ok(vec![Some(ctx.b.pad_zero(rows, &pads))]);
    }
    if index_shape.contains(&0) {
        let x = ctx.x(0)?;
        return Ok(vec![Some(ctx.zeros(x, &shape))]);
    }
    let wide = match ctx.dtype(indices) {
        DType::I64 => indices,
        _ => ctx.b.cast(indices, DType::I64),
    };
    ctx.b.graph.set_type(wide, Some(TensorType::fixed(DType::I64, &index_shape)));
    let sizes = shape.iter().map(|size| *size as i64).collect();
    let attrs = [("axis", Attr::Int(axis as i64)), ("shape", Attr::Ints(sizes))];
    Ok(vec![Some(ctx.b.node(DOMAIN, "GatherGrad", &[Some(dy), Some(wide)], &attrs, 1)[0])])
}

/// Index tuples become positions in the flattened tensor, which are then scattered as for Gather.
fn gather_nd(ctx: &mut Ctx) -> Gradients {
    let (dy, indices, shape, index_shape) = (ctx.dy0()?, ctx.x(1)?, ctx.x_shape(0)?, ctx.x_shape(1)?);
    let batch = usize::try_from(ctx.node.int("batch_dims", 0)).unwrap_or(usize::MAX);
    let depth = index_shape.last().copied().unwrap_or(0);
    if batch.checked_add(depth).is_none_or(|used| used > shape.len()) || depth == 0 || batch >= index_shape.len() {
        return Err(ctx.invalid(format!("batch_dims {batch} with indices {index_shape:?} into {shape:?}")));
    }
    let batches: usize = shape[..batch].iter().product();
    let rows: usize = shape[batch..batch + depth].iter().product();
    let width: usize = shape[batch + depth..].iter().product();
    let tuples: usize = index_shape[batch..index_shape.len() - 1].iter().product();
    // Negative coordinates count from the end of their own dimension.
    let sizes: Vec<i64> = shape[batch..batch + depth].iter().map(|size| *size as i64).collect();
    let strides: Vec<i64> = (0..depth).map(|i| sizes[i + 1..].iter().product()).collect();
    let (sizes, strides, zero) = (ctx.b.ints(&sizes), ctx.b.ints(&strides), ctx.b.ints(&[0]));
    let negative = ctx.b.less(indices, zero);
    let wrapped = ctx.b.add(indices, sizes);
    let front = ctx.b.select(negative, wrapped, indices);
    let weighted = ctx.b.mul(front, strides);
    let rows_at = ctx.b.reduce_sum(weighted, &[-1], false);
    let column = ctx.b.reshape_to(rows_at, &[batches, tuples, 1]);
    let spread = ctx.b.expand(column, &[batches, tuples, width]);
    let updates = ctx.b.reshape_to(dy, &[batches, tuples, width]);
    let summed = scatter_add(ctx, &[batches, rows, width], 1, spread, updates)?;
    Ok(vec![Some(ctx.b.reshape_to(summed, &shape))])
}

/// y = x with updates at the indices: what was overwritten gets no gradient, the updates get what stands at their place.
/// With `reduction: add` x keeps all of dy. Indices without reduction must be distinct, as ONNX demands.
fn scatter(ctx: &mut Ctx, op: &str, read: &str, attrs: &[(&str, Attr)]) -> Gradients {
    let (dy, x, indices) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let reduction = ctx.node.text("reduction").unwrap_or("none");
    if !matches!(reduction, "none" | "add") {
        return Err(ctx.unsupported(format!("reduction `{reduction}`; `none` and `add` are covered")));
    }
    let dx = match (ctx.wants(0), reduction) {
        (false, _) => None,
        (true, "add") => Some(dy),
        (true, _) => {
            let shape = ctx.x_shape(2)?;
            let zeros = ctx.zeros(x, &shape);
            Some(ctx.b.op_with(op, &[dy, indices, zeros], attrs))
        }
    };
    let du = ctx.wants(2).then(|| ctx.b.op_with(read, &[dy, indices], attrs));
    Ok(vec![dx, None, du])
}

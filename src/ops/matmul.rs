//! Gemm and MatMul.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Rule, sum_to};
use crate::ir::{Attr, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("Gemm", gemm), Rule::new("MatMul", matmul)];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Gemm", "transA=0 transB=0", &[any(&[3, 4]), any(&[4, 5]), any(&[5])], |b, x| {
        let attrs = [("transA", Attr::Int(0)), ("transB", Attr::Int(0))];
        b.op_with("Gemm", x, &[&attrs[..], &[("alpha", Attr::Float(0.5)), ("beta", Attr::Float(-2.0))]].concat())
    }),
    case("Gemm", "transA=0 transB=1", &[any(&[3, 4]), any(&[5, 4]), any(&[3, 1])], |b, x| {
        let attrs = [("transA", Attr::Int(0)), ("transB", Attr::Int(1))];
        b.op_with("Gemm", x, &[&attrs[..], &[("alpha", Attr::Float(0.5)), ("beta", Attr::Float(-2.0))]].concat())
    }),
    case("Gemm", "transA=1 transB=0", &[any(&[4, 3]), any(&[4, 5]), any(&[])], |b, x| {
        let attrs = [("transA", Attr::Int(1)), ("transB", Attr::Int(0))];
        b.op_with("Gemm", x, &[&attrs[..], &[("alpha", Attr::Float(0.5)), ("beta", Attr::Float(-2.0))]].concat())
    }),
    case("Gemm", "transA=1 transB=1", &[any(&[4, 3]), any(&[5, 4]), any(&[3, 5])], |b, x| {
        let attrs = [("transA", Attr::Int(1)), ("transB", Attr::Int(1))];
        b.op_with("Gemm", x, &[&attrs[..], &[("alpha", Attr::Float(0.5)), ("beta", Attr::Float(-2.0))]].concat())
    }),
    case("Gemm", "plain, without C", &[any(&[1, 4]), any(&[4, 1])], |b, x| b.op("Gemm", x)),
    case("MatMul", "matrices", &[any(&[2, 3]), any(&[3, 4])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "vector, vector", &[any(&[3]), any(&[3])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "vector, matrix", &[any(&[3]), any(&[3, 2])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "matrix, vector", &[any(&[2, 3]), any(&[3])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "vector, batch", &[any(&[3]), any(&[2, 3, 4])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "batch, vector", &[any(&[5, 2, 3]), any(&[3])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "batch, matrix", &[any(&[2, 5, 3]), any(&[3, 4])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "matrix, batch", &[any(&[4, 3]), any(&[2, 3, 5])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "batch of one, batch", &[any(&[1, 4, 3]), any(&[2, 3, 1])], |b, x| b.matmul(x[0], x[1])),
    case("MatMul", "batches broadcast both ways", &[any(&[2, 1, 4, 3]), any(&[5, 3, 2])], |b, x| b.matmul(x[0], x[1])),
];

/// y = α·A′B′ + β·C, where A′ is A or Aᵀ: dA′ = α·dy·B′ᵀ, dB′ = α·A′ᵀ·dy, dC = β·dy summed to C's shape.
fn gemm(ctx: &mut Ctx) -> Gradients {
    let (dy, a, b) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let (alpha, beta) = (ctx.node.float("alpha", 1.0), ctx.node.float("beta", 1.0));
    let (ta, tb) = (ctx.node.int("transA", 0) != 0, ctx.node.int("transB", 0) != 0);
    let product = |ctx: &mut Ctx, left: ValueId, right: ValueId, tl: bool, tr: bool| {
        let mut attrs = vec![("transA", Attr::Int(i64::from(tl))), ("transB", Attr::Int(i64::from(tr)))];
        if alpha != 1.0 {
            attrs.push(("alpha", Attr::Float(alpha)));
        }
        ctx.b.op_with("Gemm", &[left, right], &attrs)
    };
    let da = ctx.wants(0).then(|| if ta { product(ctx, b, dy, tb, true) } else { product(ctx, dy, b, false, !tb) });
    let db = ctx.wants(1).then(|| if tb { product(ctx, dy, a, true, ta) } else { product(ctx, a, dy, !ta, false) });
    let dc = if ctx.wants(2) {
        let (c, from, to) = (ctx.x(2)?, ctx.y_shape()?, ctx.x_shape(2)?);
        let summed = sum_to(ctx.b, dy, &from, &to);
        Some(if beta == 1.0 { summed } else { ctx.scale(c, summed, f64::from(beta)) })
    } else {
        None
    };
    Ok(vec![da, db, dc])
}

/// y = A·B over the last two dimensions, batches broadcast, a vector as a row on the left or a column on the right.
fn matmul(ctx: &mut Ctx) -> Gradients {
    let (dy, a, b) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let (a_given, b_given) = (ctx.x_shape(0)?, ctx.x_shape(1)?);
    if a_given.is_empty() || b_given.is_empty() {
        return Err(ctx.invalid("an operand is a scalar".to_owned()));
    }
    let a_shape = if a_given.len() == 1 { vec![1, a_given[0]] } else { a_given.clone() };
    let b_shape = if b_given.len() == 1 { vec![b_given[0], 1] } else { b_given.clone() };
    let (m, n) = (a_shape[a_shape.len() - 2], b_shape[b_shape.len() - 1]);
    let batch = batch_shape(&a_shape, &b_shape);
    let mut y_shape = batch.clone();
    y_shape.extend([m, n]);
    let as_matrix = |ctx: &mut Ctx, value, given: &[usize], shape: &[usize]| {
        if given == shape { value } else { ctx.b.reshape_to(value, shape) }
    };
    let a = as_matrix(ctx, a, &a_given, &a_shape);
    let b = as_matrix(ctx, b, &b_given, &b_shape);
    let dy = if a_given.len() == 1 || b_given.len() == 1 { ctx.b.reshape_to(dy, &y_shape) } else { dy };
    if b_shape.len() == 2 {
        // A linear layer: all rows of A in one product, which reads its operands transposed without copying them.
        let k = b_shape[0];
        let rows: usize = a_shape[..a_shape.len() - 1].iter().product();
        let flat = a_shape.len() > 2;
        let dy = if flat { ctx.b.reshape_to(dy, &[rows, n]) } else { dy };
        let da = ctx.wants(0).then(|| {
            let da = ctx.b.gemm(dy, b, false, true);
            if flat || a_given.len() == 1 { ctx.b.reshape_to(da, &a_given) } else { da }
        });
        let db = ctx.wants(1).then(|| {
            let a = if flat { ctx.b.reshape_to(a, &[rows, k]) } else { a };
            let db = ctx.b.gemm(a, dy, true, false);
            if b_given.len() == 1 { ctx.b.reshape_to(db, &b_given) } else { db }
        });
        return Ok(vec![da, db]);
    }
    let side = |ctx: &mut Ctx, left: ValueId, right: ValueId, shape: &[usize], given: &[usize]| {
        let product = ctx.b.matmul(left, right);
        let mut from = batch.clone();
        from.extend(&shape[shape.len() - 2..]);
        let summed = sum_to(ctx.b, product, &from, shape);
        as_matrix(ctx, summed, shape, given)
    };
    let da = ctx.wants(0).then(|| {
        let bt = swap_last(ctx, b, b_shape.len());
        side(ctx, dy, bt, &a_shape, &a_given)
    });
    let db = ctx.wants(1).then(|| {
        let at = swap_last(ctx, a, a_shape.len());
        side(ctx, at, dy, &b_shape, &b_given)
    });
    Ok(vec![da, db])
}

/// Broadcast of what stands before the last two dimensions.
fn batch_shape(a: &[usize], b: &[usize]) -> Vec<usize> {
    let (a, b) = (&a[..a.len() - 2], &b[..b.len() - 2]);
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |j| shape[j]);
    (0..rank).map(|i| if at(a, i) == 1 { at(b, i) } else { at(a, i) }).collect()
}

fn swap_last(ctx: &mut Ctx, value: ValueId, rank: usize) -> ValueId {
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    perm.swap(rank - 1, rank - 2);
    ctx.b.transpose(value, &perm)
}

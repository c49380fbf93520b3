//! FusedMatMul: α · A′ · B′ with transposed matrices or batches. And its older name, TransposeMatMul.
//!
//! `transA` swaps the last two dimensions; `transBatchA` moves the first dimension to the last but one, so that the dimensions after
//! it are the batch. A vector is never transposed.

use super::super::case::{Case, any, case};
use super::{Ctx, Expanded, Expansion, contrib};
use crate::diag::Result;
use crate::ir::{Attr, Builder, ValueId};

pub(super) const EXPANSIONS: &[Expansion] =
    &[Expansion::contrib("FusedMatMul", expand), Expansion::contrib("TransposeMatMul", expand)];

pub(super) const CASES: &[Case] = &[
    case("FusedMatMul", "", &[any(&[2, 3, 4]), any(&[4, 5])], |b, x| product(b, x, &[], 1.0)),
    case("FusedMatMul", "transA, α", &[any(&[2, 4, 3]), any(&[2, 4, 5])], |b, x| product(b, x, &["transA"], 0.3)),
    case("FusedMatMul", "transB", &[any(&[2, 3, 4]), any(&[5, 4])], |b, x| product(b, x, &["transB"], -2.0)),
    case("FusedMatMul", "transA, transB", &[any(&[4, 3]), any(&[5, 4])], |b, x| {
        product(b, x, &["transA", "transB"], 1.5)
    }),
    case("FusedMatMul", "vector", &[any(&[4]), any(&[5, 4])], |b, x| product(b, x, &["transA", "transB"], 0.5)),
    case("FusedMatMul", "transBatchA, transBatchB", &[any(&[3, 2, 4]), any(&[4, 2, 5])], |b, x| {
        product(b, x, &["transBatchA", "transBatchB"], 0.5)
    }),
    case("FusedMatMul", "batches and matrices transposed", &[any(&[4, 2, 6, 3]), any(&[5, 2, 6, 4])], |b, x| {
        product(b, x, &["transA", "transB", "transBatchA", "transBatchB"], 0.5)
    }),
    case("TransposeMatMul", "", &[any(&[2, 3, 4]), any(&[2, 5, 4])], |b, x| {
        let attrs = [("alpha", Attr::Float(0.7)), ("transB", Attr::Int(1))];
        contrib(b, "TransposeMatMul", &[Some(x[0]), Some(x[1])], &attrs, 1)[0]
    }),
];

fn product(b: &mut Builder, x: &[ValueId], flags: &[&'static str], alpha: f32) -> ValueId {
    let mut attrs = vec![("alpha", Attr::Float(alpha))];
    attrs.extend(flags.iter().map(|flag| (*flag, Attr::Int(1))));
    contrib(b, "FusedMatMul", &[Some(x[0]), Some(x[1])], &attrs, 1)[0]
}

fn expand(ctx: &mut Ctx) -> Expanded {
    let a = side(ctx, 0, "transA", "transBatchA")?;
    let b = side(ctx, 1, "transB", "transBatchB")?;
    let (like, alpha) = (ctx.x(0)?, ctx.node.float("alpha", 1.0));
    let mut y = ctx.b.matmul(a, b);
    if alpha != 1.0 {
        y = ctx.scale(like, y, f64::from(alpha));
    }
    Ok(vec![Some(y)])
}

fn side(ctx: &mut Ctx, index: usize, matrix: &str, batch: &str) -> Result<ValueId> {
    let (x, rank) = (ctx.x(index)?, ctx.x_shape(index)?.len());
    let (matrix, batch) = (ctx.node.int(matrix, 0) != 0, ctx.node.int(batch, 0) != 0);
    if rank < 2 {
        return Ok(x);
    }
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    if batch {
        perm[..rank - 1].rotate_left(1);
    }
    if matrix {
        perm.swap(rank - 2, rank - 1);
    }
    let moved = perm.iter().enumerate().any(|(at, from)| at as i64 != *from);
    Ok(if moved { ctx.b.transpose(x, &perm) } else { x })
}

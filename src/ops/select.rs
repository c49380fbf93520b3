//! Choices and copies: Cast, CastLike, Dropout (at inference), Trilu, Where, and `pipe::CountedDropout`.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Rule};
use crate::ir::{Attr, DOMAIN};

pub(super) const RULES: &[Rule] = &[
    Rule::new("Cast", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let dtype = ctx.dtype(x);
        Ok(vec![Some(ctx.b.cast(dy, dtype))])
    }),
    Rule::new("CastLike", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let dtype = ctx.dtype(x);
        Ok(vec![Some(ctx.b.cast(dy, dtype))])
    })
    .stops(&[1]),
    Rule::new("CountedDropout", counted_dropout).stops(&[1]).domain(DOMAIN),
    Rule::new("Dropout", dropout).stops(&[1, 2]),
    Rule::new("Trilu", |ctx| {
        let (dy, upper) = (ctx.dy0()?, ctx.node.int("upper", 1));
        let inputs = [Some(dy), ctx.node.input(1)];
        let used = if inputs[1].is_some() { 2 } else { 1 };
        Ok(vec![Some(ctx.b.node("", "Trilu", &inputs[..used], &[("upper", Attr::Int(upper))], 1)[0])])
    })
    .stops(&[1]),
    Rule::new("Where", |ctx| {
        let (dy, condition, y) = (ctx.dy0()?, ctx.x(0)?, ctx.y(0)?);
        let zero = ctx.scalar(y, 0.0);
        let da = ctx.wants(1).then(|| ctx.b.select(condition, dy, zero));
        let db = ctx.wants(2).then(|| ctx.b.select(condition, zero, dy));
        Ok(vec![None, da, db])
    })
    .broadcast()
    .stops(&[0]),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Cast", "there and back", &[any(&[2, 3])], |b, x| {
        let wide = b.cast(x[0], crate::ir::DType::F64);
        let square = b.mul(wide, wide);
        let dtype = b.graph.dtype(x[0]).unwrap_or(crate::ir::DType::F32);
        b.cast(square, dtype)
    }),
    case("CastLike", "there and back", &[any(&[2, 3])], |b, x| {
        let like = b.constant(crate::ir::Tensor::scalar(0f64));
        let wide = b.op("CastLike", &[x[0], like]);
        let square = b.mul(wide, wide);
        b.op("CastLike", &[square, x[0]])
    }),
    case("CountedDropout", "", &[any(&[3, 40])], |b, x| {
        let keys = b.ints(&[5, -6, 7]);
        let attrs = [("ratio", Attr::Float(0.3)), ("layer", Attr::Int(2))];
        b.node(DOMAIN, "CountedDropout", &[Some(x[0]), Some(keys)], &attrs, 1)[0]
    }),
    case("Dropout", "at inference", &[any(&[2, 3])], |b, x| b.op("Dropout", x)),
    case("Trilu", "upper", &[any(&[2, 3, 4])], |b, x| b.op("Trilu", x)),
    case("Trilu", "lower, shifted", &[any(&[4, 3])], |b, x| {
        let k = b.constant(crate::ir::Tensor::scalar(-1i64));
        b.op_with("Trilu", &[x[0], k], &[("upper", Attr::Int(0))])
    }),
    case("Where", "broadcast", &[any(&[2, 1, 4]), any(&[3, 1])], |b, x| {
        let condition =
            b.constant(crate::ir::Tensor::new([3, 4], &[0u8, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0].map(|c| c != 0)));
        b.select(condition, x[0], x[1])
    }),
];

/// The same keys give the same mask: dx = dy·mask/(1−p) is the operator itself on dy.
fn counted_dropout(ctx: &mut Ctx) -> Gradients {
    let (dy, keys) = (ctx.dy0()?, ctx.x(1)?);
    let attrs: Vec<(&str, Attr)> = ctx.node.attrs.iter().map(|(name, attr)| (name.as_str(), attr.clone())).collect();
    Ok(vec![Some(ctx.b.node(DOMAIN, "CountedDropout", &[Some(dy), Some(keys)], &attrs, 1)[0])])
}

/// At inference it copies. In training mode its mask restarts with every session, so that no run could be resumed exactly.
fn dropout(ctx: &mut Ctx) -> Gradients {
    let dy = ctx.dy0()?;
    if let Some(flag) = ctx.node.input(2) {
        let Some(training) = ctx.graph().constant(flag).map(|t| t.bytes().iter().any(|byte| *byte != 0)) else {
            return Err(ctx.unsupported("`training_mode` is computed at run time; a constant is covered"));
        };
        let ratio = ctx.node.input(1).map_or(Some(0.5), |ratio| ctx.graph().constant(ratio)?.to_scalar());
        if training && ratio != Some(0.0) {
            return Err(
                ctx.unsupported("`training_mode` draws from a generator that is not counted; inference is covered")
            );
        }
    }
    Ok(vec![Some(dy)])
}

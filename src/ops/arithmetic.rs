//! Elementwise arithmetic with broadcasting: Add, Sub, Mul, Div, Neg, Identity.

use super::{Ctx, Gradients, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule::new("Add", |ctx| {
        let dy = ctx.dy0()?;
        Ok(vec![Some(dy), Some(dy)])
    })
    .broadcast(),
    Rule::new("Div", div).broadcast(),
    Rule::new("Identity", |ctx| Ok(vec![Some(ctx.dy0()?)])),
    Rule::new("Mul", |ctx| {
        let (dy, a, b) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
        let da = ctx.wants(0).then(|| ctx.b.mul(dy, b));
        let db = ctx.wants(1).then(|| ctx.b.mul(dy, a));
        Ok(vec![da, db])
    })
    .broadcast(),
    Rule::new("Neg", |ctx| {
        let dy = ctx.dy0()?;
        Ok(vec![Some(ctx.b.neg(dy))])
    }),
    Rule::new("Sub", |ctx| {
        let dy = ctx.dy0()?;
        let db = ctx.wants(1).then(|| ctx.b.neg(dy));
        Ok(vec![Some(dy), db])
    })
    .broadcast(),
];

/// y = a/b: da = dy/b, db = −dy·y/b.
fn div(ctx: &mut Ctx) -> Gradients {
    let (dy, b, y) = (ctx.dy0()?, ctx.x(1)?, ctx.y(0)?);
    let da = ctx.b.div(dy, b);
    let db = ctx.wants(1).then(|| {
        let product = ctx.b.mul(da, y);
        ctx.b.neg(product)
    });
    Ok(vec![ctx.wants(0).then_some(da), db])
}

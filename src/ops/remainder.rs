//! Mod of floats (`fmod`): y = a − b·trunc(a/b).

use super::case::{Case, case, positive};
use super::{Ctx, Gradients, Rule};
use crate::ir::Attr;

pub(super) const RULES: &[Rule] = &[Rule::new("Mod", remainder).broadcast()];

/// Graphs for the sweep: quotients stay away from whole numbers, where the remainder jumps.
pub(super) const CASES: &[Case] = &[
    case("Mod", "quotient 2, broadcast", &[positive(&[2, 3])], |b, x| {
        // a = 2·(x + 3) + x/2 and b = x + 3.
        let (three, two, half) = (fixed(b, x[0], 3.0), fixed(b, x[0], 2.0), fixed(b, x[0], 0.5));
        let below = b.add(x[0], three);
        let (twice, rest) = (b.mul(below, two), b.mul(x[0], half));
        let above = b.add(twice, rest);
        b.op_with("Mod", &[above, below], &[("fmod", Attr::Int(1))])
    }),
    case("Mod", "below zero, one divisor", &[positive(&[2, 3]), positive(&[1])], |b, x| {
        // a = −(b + x/8) lies between −2b and −b, as x/8 < 0.4 ≤ b.
        let eighth = fixed(b, x[0], 0.125);
        let rest = b.mul(x[0], eighth);
        let sum = b.add(x[1], rest);
        let above = b.neg(sum);
        b.op_with("Mod", &[above, x[1]], &[("fmod", Attr::Int(1))])
    }),
];

fn fixed(b: &mut crate::ir::Builder, like: crate::ir::ValueId, value: f64) -> crate::ir::ValueId {
    super::case::scalar(b, like, value)
}

/// da = dy, db = −dy·trunc(a/b), where trunc(a/b) is the whole number next to (a − y)/b.
fn remainder(ctx: &mut Ctx) -> Gradients {
    if ctx.node.int("fmod", 0) == 0 {
        return Err(ctx.unsupported("`fmod` is not set, which floats need"));
    }
    let (dy, a, b, y) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?, ctx.y(0)?);
    let db = ctx.wants(1).then(|| {
        let whole = ctx.b.sub(a, y);
        let quotient = ctx.b.div(whole, b);
        let quotient = ctx.b.op("Round", &[quotient]);
        let product = ctx.b.mul(dy, quotient);
        ctx.b.neg(product)
    });
    Ok(vec![Some(dy), db])
}

//! FusedConv: an activation of `Conv`, with an optional tensor added before it.

use super::super::case::{Case, Draw, Input, any, case, positive};
use super::{Ctx, Expanded, Expansion, contrib};
use crate::diag::Result;
use crate::ir::{Attr, Builder, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib("FusedConv", expand)];

pub(super) const CASES: &[Case] = &[
    case("FusedConv", "Sigmoid", &[any(&[2, 3, 5, 4]), any(&[4, 3, 2, 2]), any(&[4])], |b, x| {
        conv(b, &[Some(x[0]), Some(x[1]), Some(x[2])], "Sigmoid", &[])
    }),
    case("FusedConv", "Tanh, Z, no bias", &[any(&[2, 3, 5, 4]), any(&[4, 3, 2, 2]), any(&[2, 4, 4, 3])], |b, x| {
        conv(b, &[Some(x[0]), Some(x[1]), None, Some(x[2])], "Tanh", &[])
    }),
    case("FusedConv", "LeakyRelu, left of its kink", &[positive(&[1, 3, 5, 4]), NEGATIVE], |b, x| {
        conv(b, &[Some(x[0]), Some(x[1])], "LeakyRelu", &[0.3])
    }),
    case("FusedConv", "Clip that never clips", &[any(&[1, 3, 5, 4]), any(&[2, 3, 1, 1])], |b, x| {
        conv(b, &[Some(x[0]), Some(x[1])], "Clip", &[-50.0, 50.0])
    }),
    case("FusedConv", "HardSigmoid in its slope", &[any(&[1, 3, 5, 4]), any(&[2, 3, 1, 1])], |b, x| {
        conv(b, &[Some(x[0]), Some(x[1])], "HardSigmoid", &[0.01, 0.5])
    }),
];

const NEGATIVE: Input = Input { shape: &[2, 3, 1, 1], draw: Draw::Uniform(-2.0, -0.4) };

fn conv(b: &mut Builder, inputs: &[Option<ValueId>], activation: &str, params: &[f32]) -> ValueId {
    let mut attrs = vec![("activation", Attr::Str(activation.as_bytes().to_vec()))];
    if !params.is_empty() {
        attrs.push(("activation_params", Attr::Floats(params.to_vec())));
    }
    contrib(b, "FusedConv", inputs, &attrs, 1)[0]
}

fn expand(ctx: &mut Ctx) -> Expanded {
    let names = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
    let attrs: Vec<(&str, Attr)> =
        names.iter().filter_map(|name| Some((*name, ctx.node.attrs.get(*name)?.clone()))).collect();
    let (x, w, bias) = (ctx.x(0)?, ctx.x(1)?, ctx.node.input(2));
    let mut inputs = vec![Some(x), Some(w)];
    inputs.extend(bias.map(Some));
    let mut y = ctx.b.node("", "Conv", &inputs, &attrs, 1)[0];
    if let Some(z) = ctx.node.input(3) {
        y = ctx.b.add(y, z);
    }
    let params = match ctx.node.attrs.get("activation_params") {
        Some(Attr::Floats(params)) => params.clone(),
        _ => Vec::new(),
    };
    let shape = Shape { first: params.first().copied(), second: params.get(1).copied() };
    Ok(vec![Some(activation(ctx, y, &shape)?)])
}

/// The parameters of an activation that a fused node states.
pub(super) struct Shape {
    /// α, or the lower bound of `Clip`.
    pub(super) first: Option<f32>,
    /// β, or the upper bound of `Clip`.
    pub(super) second: Option<f32>,
}

/// The activation that the attribute `activation` names, of a value.
pub(super) fn activation(ctx: &mut Ctx, y: ValueId, shape: &Shape) -> Result<ValueId> {
    let like = ctx.x(0)?;
    let with = |name: &'static str, value: Option<f32>| value.map(|value| (name, Attr::Float(value)));
    match ctx.node.text("activation").unwrap_or_default() {
        "" => Ok(y),
        name @ ("Relu" | "Sigmoid" | "Tanh" | "Softplus" | "Softsign") => Ok(ctx.b.op(name, &[y])),
        name @ ("LeakyRelu" | "Elu" | "ThresholdedRelu") => {
            let attrs: Vec<(&str, Attr)> = with("alpha", shape.first).into_iter().collect();
            Ok(ctx.b.op_with(name, &[y], &attrs))
        }
        "HardSigmoid" => {
            let attrs: Vec<(&str, Attr)> =
                with("alpha", shape.first).into_iter().chain(with("beta", shape.second)).collect();
            Ok(ctx.b.op_with("HardSigmoid", &[y], &attrs))
        }
        "Clip" => match (shape.first, shape.second) {
            (Some(low), Some(high)) => {
                let (low, high) = (ctx.scalar(like, f64::from(low)), ctx.scalar(like, f64::from(high)));
                Ok(ctx.b.op("Clip", &[y, low, high]))
            }
            _ => Err(ctx.unsupported("its activation `Clip` has no bounds")),
        },
        other => Err(ctx.unsupported(format!("its activation is `{other}`; covered are Relu, Sigmoid, Tanh, Softplus, Softsign, LeakyRelu, Elu, ThresholdedRelu, HardSigmoid, Clip"))),
    }
}

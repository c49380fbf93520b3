//! FusedGemm: an activation of `Gemm`.

use super::super::case::{Case, any, case};
use super::fused_conv::{Shape, activation};
use super::{Ctx, Expanded, Expansion, contrib};
use crate::ir::{Attr, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib("FusedGemm", expand)];

pub(super) const CASES: &[Case] = &[
    case("FusedGemm", "Tanh", &[any(&[3, 4]), any(&[5, 4]), any(&[5])], |b, x| {
        let inputs: Vec<Option<ValueId>> = x.iter().copied().map(Some).collect();
        let attrs = [
            ("activation", Attr::Str(b"Tanh".to_vec())),
            ("transB", Attr::Int(1)),
            ("alpha", Attr::Float(0.5)),
            ("beta", Attr::Float(-2.0)),
        ];
        contrib(b, "FusedGemm", &inputs, &attrs, 1)[0]
    }),
    case("FusedGemm", "LeakyRelu, without C", &[any(&[4, 3]), any(&[4, 5])], |b, x| {
        let attrs = [
            ("activation", Attr::Str(b"LeakyRelu".to_vec())),
            ("activation_alpha", Attr::Float(0.25)),
            ("transA", Attr::Int(1)),
        ];
        contrib(b, "FusedGemm", &[Some(x[0]), Some(x[1])], &attrs, 1)[0]
    }),
    case("FusedGemm", "Sigmoid", &[any(&[3, 4]), any(&[4, 5]), any(&[3, 5])], |b, x| {
        let inputs: Vec<Option<ValueId>> = x.iter().copied().map(Some).collect();
        contrib(b, "FusedGemm", &inputs, &[("activation", Attr::Str(b"Sigmoid".to_vec()))], 1)[0]
    }),
];

fn expand(ctx: &mut Ctx) -> Expanded {
    let names = ["alpha", "beta", "transA", "transB"];
    let attrs: Vec<(&str, Attr)> =
        names.iter().filter_map(|name| Some((*name, ctx.node.attrs.get(*name)?.clone()))).collect();
    let inputs = ctx.node.inputs.clone();
    let y = ctx.b.node("", "Gemm", &inputs, &attrs, 1)[0];
    let stated = |name| ctx.node.attrs.contains_key(name).then(|| ctx.node.float(name, 0.0));
    let shape = Shape { first: stated("activation_alpha"), second: stated("activation_beta") };
    Ok(vec![Some(activation(ctx, y, &shape)?)])
}

//! Conv and ConvTranspose in one to three dimensions, with groups, strides, dilations, asymmetric and automatic pads.
//!
//! Each is the transpose of the other: dX of one is the other on dy. dX of a Conv is `ConvDataGrad(dy, w)` and the weight gradient
//! `ConvWeightGrad(x, dy)`, own operators whose standard forms are chosen where those are faster.

use super::case::{Case, any, case};
use super::window::Window;
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, Builder, DOMAIN, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("Conv", conv), Rule::new("ConvTranspose", conv_transpose)];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Conv", "1×1", &[any(&[2, 3, 4, 5]), any(&[4, 3, 1, 1]), any(&[4])], |b, x| of(b, "Conv", x, 1, "", &[])),
    case("Conv", "1×1, stride 2", &[any(&[2, 3, 5, 4]), any(&[4, 3, 1, 1])], |b, x| {
        of(b, "Conv", x, 1, "", &[("strides", &[2, 2])])
    }),
    case("Conv", "3×3, stride 2, asymmetric pads", &[any(&[2, 3, 6, 7]), any(&[4, 3, 3, 3]), any(&[4])], |b, x| {
        of(b, "Conv", x, 1, "", &[("strides", &[2, 2]), ("pads", &[1, 0, 2, 1])])
    }),
    case("Conv", "stride that does not divide", &[any(&[1, 2, 8, 9]), any(&[3, 2, 3, 2]), any(&[3])], |b, x| {
        of(b, "Conv", x, 1, "", &[("strides", &[3, 4])])
    }),
    case("Conv", "grouped", &[any(&[2, 4, 5, 5]), any(&[6, 2, 3, 3]), any(&[6])], |b, x| {
        of(b, "Conv", x, 2, "", &[("pads", &[1, 1, 1, 1])])
    }),
    case("Conv", "depthwise", &[any(&[2, 4, 5, 6]), any(&[4, 1, 3, 3]), any(&[4])], |b, x| {
        of(b, "Conv", x, 4, "", &[("pads", &[1, 1, 1, 1]), ("strides", &[2, 1])])
    }),
    case("Conv", "depthwise, two outputs a channel", &[any(&[1, 3, 5, 6]), any(&[6, 1, 3, 2])], |b, x| {
        of(b, "Conv", x, 3, "", &[])
    }),
    case("Conv", "dilated", &[any(&[1, 2, 9, 8]), any(&[3, 2, 3, 3]), any(&[3])], |b, x| {
        of(b, "Conv", x, 1, "", &[("dilations", &[2, 3]), ("pads", &[2, 1, 0, 1])])
    }),
    case("Conv", "7×7, stride 2", &[any(&[1, 3, 11, 12]), any(&[2, 3, 7, 7]), any(&[2])], |b, x| {
        of(b, "Conv", x, 1, "", &[("strides", &[2, 2]), ("pads", &[3, 3, 3, 3])])
    }),
    case("Conv", "1d", &[any(&[2, 3, 9]), any(&[4, 3, 3]), any(&[4])], |b, x| {
        of(b, "Conv", x, 1, "", &[("strides", &[2]), ("pads", &[1, 0])])
    }),
    case("Conv", "3d", &[any(&[1, 2, 4, 5, 4]), any(&[3, 2, 2, 3, 2]), any(&[3])], |b, x| {
        of(b, "Conv", x, 1, "", &[("strides", &[1, 2, 2]), ("pads", &[0, 1, 0, 1, 1, 1])])
    }),
    case("Conv", "SAME_UPPER", &[any(&[1, 2, 7, 6]), any(&[3, 2, 4, 3]), any(&[3])], |b, x| {
        of(b, "Conv", x, 1, "SAME_UPPER", &[("strides", &[2, 2])])
    }),
    case("Conv", "SAME_LOWER", &[any(&[1, 2, 7, 6]), any(&[3, 2, 4, 3])], |b, x| {
        of(b, "Conv", x, 1, "SAME_LOWER", &[("strides", &[2, 3])])
    }),
    case("Conv", "VALID", &[any(&[1, 2, 7, 6]), any(&[3, 2, 4, 3])], |b, x| {
        of(b, "Conv", x, 1, "VALID", &[("strides", &[2, 1])])
    }),
    case("Conv", "kernel as large as the input", &[any(&[2, 3, 4, 4]), any(&[5, 3, 4, 4]), any(&[5])], |b, x| {
        of(b, "Conv", x, 1, "", &[])
    }),
    case("Conv", "everything of size 1", &[any(&[1, 1, 1, 1]), any(&[1, 1, 1, 1]), any(&[1])], |b, x| {
        of(b, "Conv", x, 1, "", &[])
    }),
    case("Conv", "pads wider than needed", &[any(&[1, 1, 3, 3]), any(&[2, 1, 2, 2])], |b, x| {
        of(b, "Conv", x, 1, "", &[("pads", &[2, 2, 2, 2]), ("strides", &[3, 2])])
    }),
    case("Conv", "a plane of 15 × 14", &[any(&[1, 2, 15, 14]), any(&[3, 2, 3, 2]), any(&[3])], |b, x| {
        of(b, "Conv", x, 1, "", &[("pads", &[1, 0, 2, 1])])
    }),
    case("Conv", "a plane of 20 × 20, dilated", &[any(&[1, 1, 20, 20]), any(&[2, 1, 3, 3])], |b, x| {
        of(b, "Conv", x, 1, "", &[("dilations", &[2, 1]), ("pads", &[3, 1, 2, 1])])
    }),
    case("ConvTranspose", "plain", &[any(&[2, 3, 4, 5]), any(&[3, 4, 3, 2]), any(&[4])], |b, x| {
        of(b, "ConvTranspose", x, 1, "", &[])
    }),
    case(
        "ConvTranspose",
        "stride 2, pads, output_padding",
        &[any(&[1, 3, 4, 5]), any(&[3, 2, 3, 3]), any(&[2])],
        |b, x| {
            of(
                b,
                "ConvTranspose",
                x,
                1,
                "",
                &[("strides", &[2, 2]), ("pads", &[1, 0, 1, 1]), ("output_padding", &[1, 0])],
            )
        },
    ),
    case("ConvTranspose", "grouped, dilated", &[any(&[1, 4, 3, 4]), any(&[4, 3, 2, 3]), any(&[6])], |b, x| {
        of(b, "ConvTranspose", x, 2, "", &[("dilations", &[2, 1]), ("strides", &[1, 2])])
    }),
    case("ConvTranspose", "output_padding beyond the pads", &[any(&[1, 2, 3]), any(&[2, 2, 2]), any(&[2])], |b, x| {
        of(b, "ConvTranspose", x, 1, "", &[("dilations", &[3]), ("strides", &[2]), ("output_padding", &[1])])
    }),
    case("ConvTranspose", "1d, depthwise", &[any(&[2, 3, 5]), any(&[3, 1, 4])], |b, x| {
        of(b, "ConvTranspose", x, 3, "", &[("strides", &[3]), ("pads", &[1, 2])])
    }),
    case("ConvTranspose", "3d", &[any(&[1, 2, 2, 3, 2]), any(&[2, 2, 2, 2, 3])], |b, x| {
        of(b, "ConvTranspose", x, 1, "", &[("strides", &[2, 1, 2])])
    }),
    case("ConvTranspose", "output_shape", &[any(&[1, 2, 4, 4]), any(&[2, 3, 3, 3])], |b, x| {
        of(b, "ConvTranspose", x, 1, "", &[("strides", &[2, 2]), ("output_shape", &[8, 7])])
    }),
    case("ConvTranspose", "SAME_UPPER", &[any(&[1, 2, 4, 3]), any(&[2, 3, 3, 3]), any(&[3])], |b, x| {
        of(b, "ConvTranspose", x, 1, "SAME_UPPER", &[("strides", &[2, 2])])
    }),
    case("ConvTranspose", "SAME_LOWER", &[any(&[1, 2, 4, 3]), any(&[2, 3, 3, 4]), any(&[3])], |b, x| {
        of(b, "ConvTranspose", x, 1, "SAME_LOWER", &[("strides", &[2, 1])])
    }),
];

fn conv(ctx: &mut Ctx) -> Gradients {
    let (dy, x, w) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let (x_shape, w_shape, y_shape) = (ctx.x_shape(0)?, ctx.x_shape(1)?, ctx.y_shape()?);
    let group = group(ctx, &x_shape, &w_shape)?;
    let window = Window::read(ctx, &w_shape[2..], &x_shape[2..])?;
    let dx = ctx.wants(0).then(|| {
        let mut attrs = window.attrs(&window.end, group);
        attrs.push(("shape", super::window::ints(&x_shape[2..])));
        ctx.b.node(DOMAIN, "ConvDataGrad", &[Some(dy), Some(w)], &attrs, 1)[0]
    });
    let dw = ctx.wants(1).then(|| weight_grad(ctx, &window, group, x, dy));
    Ok(vec![dx, dw, bias_grad(ctx, dy, y_shape.len())])
}

fn conv_transpose(ctx: &mut Ctx) -> Gradients {
    let (mut dy, x, w) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let (x_shape, w_shape, y_shape) = (ctx.x_shape(0)?, ctx.x_shape(1)?, ctx.y_shape()?);
    let group = group(ctx, &x_shape, &w_shape)?;
    let db = bias_grad(ctx, dy, y_shape.len());
    let mut window = transposed_window(ctx, &w_shape[2..], &x_shape[2..], &y_shape[2..])?;
    // Outputs past the last tap (output_padding) hold the bias alone: less padding for the convolution that goes back, or a cut.
    let rank = window.kernel.len();
    let mut cut = vec![0i64; 2 * y_shape.len()];
    for i in 0..rank {
        let full = (x_shape[2 + i].max(1) - 1) * window.strides[i] + window.extent(i);
        let reached = y_shape[2 + i] + window.begin[i];
        window.end[i] = full.saturating_sub(reached);
        cut[y_shape.len() + 2 + i] = -(reached.saturating_sub(full) as i64);
    }
    if cut.iter().any(|pad| *pad != 0) {
        dy = ctx.b.pad_zero(dy, &cut);
    }
    let dx = ctx.wants(0).then(|| ctx.b.op_with("Conv", &[dy, w], &window.attrs(&window.end, group)));
    let dw = ctx.wants(1).then(|| weight_grad(ctx, &window, group, dy, x));
    Ok(vec![dx, dw, db])
}

/// Pads of a transposed convolution: explicit, or what `output_shape` and `auto_pad` make of them.
fn transposed_window(ctx: &Ctx, kernel: &[usize], input: &[usize], output: &[usize]) -> Result<Window> {
    let auto_pad = ctx.node.text("auto_pad").unwrap_or("NOTSET").to_owned();
    let given = ctx.node.ints("output_shape").is_some();
    // The definition resolves the pads from the size of the output.
    if !given && matches!(auto_pad.as_str(), "NOTSET" | "" | "VALID") {
        return Window::read(ctx, kernel, input);
    }
    let extra = ctx.node.ints("output_padding").map(<[i64]>::to_vec).unwrap_or_default();
    let mut window = Window::read_without_pads(ctx, kernel, input)?;
    for i in 0..kernel.len() {
        let extra = extra.get(i).and_then(|pad| usize::try_from(*pad).ok()).unwrap_or(0);
        let full = (input[i].max(1) - 1) * window.strides[i] + window.extent(i) + extra;
        let total = full.saturating_sub(output[i]);
        let small = total / 2;
        window.begin[i] = if auto_pad == "SAME_UPPER" { small } else { total - small };
        window.end[i] = total - window.begin[i];
    }
    Ok(window)
}

fn group(ctx: &Ctx, x_shape: &[usize], w_shape: &[usize]) -> Result<usize> {
    if x_shape.len() < 3 || w_shape.len() != x_shape.len() {
        return Err(ctx.invalid(format!("input {x_shape:?} with weights {w_shape:?}")));
    }
    let group = ctx.node.int("group", 1);
    usize::try_from(group).ok().filter(|group| *group > 0).ok_or_else(|| ctx.invalid(format!("group {group}")))
}

fn weight_grad(ctx: &mut Ctx, window: &Window, group: usize, x: ValueId, dy: ValueId) -> ValueId {
    let attrs = window.attrs(&window.end, group);
    ctx.b.node(DOMAIN, "ConvWeightGrad", &[Some(x), Some(dy)], &attrs, 1)[0]
}

/// Sum over the batch and the spatial dimensions.
fn bias_grad(ctx: &mut Ctx, dy: ValueId, rank: usize) -> Option<ValueId> {
    let axes: Vec<i64> = std::iter::once(0).chain(2..rank as i64).collect();
    ctx.wants(2).then(|| ctx.b.reduce_sum(dy, &axes, false))
}

/// A convolution of a case.
fn of(b: &mut Builder, op: &str, x: &[ValueId], group: i64, auto_pad: &str, lists: &[(&str, &[i64])]) -> ValueId {
    let mut attrs: Vec<(&str, Attr)> = lists.iter().map(|(name, list)| (*name, Attr::Ints(list.to_vec()))).collect();
    attrs.push(("group", Attr::Int(group)));
    if !auto_pad.is_empty() {
        attrs.push(("auto_pad", Attr::Str(auto_pad.as_bytes().to_vec())));
    }
    b.op_with(op, x, &attrs)
}

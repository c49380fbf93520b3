//! BatchNormalization with given statistics, and with those of the batch (`training_mode`).
//!
//! x̂ = (x − μ)·r, r = 1/√(σ² + ε), y = γ·x̂ + β, over all dimensions but the channels. The gradients are `pipe`'s own operators:
//! in standard ones they pass a dozen times over the memory of a layer, in these five times.
//! Source: Ioffe, Szegedy, "Batch normalization", 2015; the form of dx with batch statistics is torch's.

use super::case::{Case, any, case, constant, positive};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, Builder, DOMAIN, DType, Tensor, TensorType, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("BatchNormalization", batch_norm).stops(&[3, 4])];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("BatchNormalization", "given statistics", &[any(&[3, 4, 2, 5]), any(&[4]), any(&[4])], |b, x| {
        let (mean, variance) =
            (constant(b, x[0], &[4], &[0.1, -0.5, 1.0, 0.0]), constant(b, x[0], &[4], &[1.0, 0.5, 2.0, 0.1]));
        b.op_with("BatchNormalization", &[x[0], x[1], x[2], mean, variance], &[("epsilon", Attr::Float(1e-3))])
    }),
    case("BatchNormalization", "given statistics, rows", &[any(&[3, 4]), any(&[4]), any(&[4])], |b, x| {
        let (mean, variance) = (constant(b, x[0], &[4], &[0.0; 4]), constant(b, x[0], &[4], &[1.0; 4]));
        b.op("BatchNormalization", &[x[0], x[1], x[2], mean, variance])
    }),
    case("BatchNormalization", "of the batch", &[any(&[3, 4, 2, 5]), positive(&[4]), any(&[4])], |b, x| {
        batch(b, x, 4, 0.0, 3)
    }),
    case("BatchNormalization", "of the batch, moving averages", &[any(&[4, 2, 3]), any(&[2]), any(&[2])], |b, x| {
        batch(b, x, 2, 0.9, 3)
    }),
    case("BatchNormalization", "of the batch, rows, one channel", &[any(&[6, 1]), any(&[1]), any(&[1])], |b, x| {
        batch(b, x, 1, 0.0, 3)
    }),
    case(
        "BatchNormalization",
        "of the batch, two layers",
        &[any(&[4, 2, 3]), positive(&[2]), positive(&[2])],
        |b, x| {
            let y = batch(b, x, 2, 0.0, 3);
            let bent = b.tanh(y);
            batch(b, &[bent, x[2], x[1]], 2, 0.0, 3)
        },
    ),
];

fn batch_norm(ctx: &mut Ctx) -> Gradients {
    if ctx.dy.iter().skip(1).any(Option::is_some) {
        return Err(ctx.unsupported("the loss depends on the batch statistics themselves; the first output is covered"));
    }
    let (dy, x, scale, shape) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?, ctx.x_shape(0)?);
    if shape.len() < 2 {
        return Err(ctx.unsupported(format!("an input of rank {}; ranks from 2 are covered", shape.len())));
    }
    let training = ctx.node.int("training_mode", 0) != 0;
    let channels = shape[1];
    let mut column = vec![1; shape.len()];
    column[1] = channels;
    let axes: Vec<i64> = std::iter::once(0).chain(2..shape.len() as i64).collect();
    let (mean, variance) = if training { batch_statistics(ctx, &axes, channels)? } else { (ctx.x(3)?, ctx.x(4)?) };

    let epsilon = ctx.node.float("epsilon", 1e-5);
    let attrs = [("epsilon", Attr::Float(epsilon))];
    let wants_sums = ctx.wants(1) || ctx.wants(2) || (training && ctx.wants(0));
    let sums = wants_sums.then(|| {
        let inputs = [dy, x, mean, variance].map(Some);
        ctx.b.node(DOMAIN, "BatchNormSums", &inputs, &attrs, 1)[0]
    });
    let row = |ctx: &mut Ctx, row: i64| {
        let sums = sums.filter(|_| ctx.wants(1 + row as usize))?;
        let row = ctx.b.slice(sums, &[row], &[row + 1], &[0], &[1]);
        Some(ctx.b.reshape_to(row, &[channels]))
    };
    let (dscale, dbias) = (row(ctx, 0), row(ctx, 1));
    let dx = ctx.wants(0).then(|| {
        if let (true, Some(sums)) = (training, sums) {
            let inputs = [dy, x, scale, mean, variance, sums].map(Some);
            return ctx.b.node(DOMAIN, "BatchNormDataGrad", &inputs, &attrs, 1)[0];
        }
        let epsilon = ctx.scalar(x, f64::from(epsilon));
        let shifted = ctx.b.add(variance, epsilon);
        let deviation = ctx.b.sqrt(shifted);
        let gain = ctx.b.div(scale, deviation);
        let gain = ctx.b.reshape_to(gain, &column);
        ctx.b.mul(dy, gain)
    });
    Ok(vec![dx, dscale, dbias])
}

/// Mean and biased variance of the batch: with momentum 0 the node's own outputs are exactly these, otherwise they are computed again.
///
/// ONNX Runtime writes the two outputs into the buffers of inputs 3 and 4, constants included, and merges small equal constants:
/// nodes whose constants are equal would overwrite each other's statistics before the gradient reads them. With momentum 0 the
/// constants do not matter, so that each node gets its own, which equal no others.
fn batch_statistics(ctx: &mut Ctx, axes: &[i64], channels: usize) -> Result<(ValueId, ValueId)> {
    let x = ctx.x(0)?;
    if ctx.node.float("momentum", 0.9) == 0.0 {
        for (input, part) in [(3, 0.140_625), (4, 0.578_125)] {
            let value = ctx.index as f32 + part;
            let dtype = ctx.dtype(x);
            let tensor = match dtype {
                DType::F64 => Tensor::new([channels], &vec![f64::from(value); channels]),
                _ => Tensor::new([channels], &vec![value; channels]),
            };
            let own = ctx.b.constant(tensor);
            ctx.replace_input(input, own);
        }
        let dtype = ctx.dtype(x);
        let ty = TensorType::fixed(dtype, &[channels]);
        return Ok((ctx.extra_output(1, ty.clone()), ctx.extra_output(2, ty)));
    }
    let mean = ctx.b.reduce_mean(x, axes, true);
    let centred = ctx.b.sub(x, mean);
    let square = ctx.b.mul(centred, centred);
    let variance = ctx.b.reduce_mean(square, axes, false);
    Ok((ctx.b.reshape_to(mean, &[channels]), variance))
}

/// A normalisation of a case by the statistics of the batch.
fn batch(b: &mut Builder, x: &[ValueId], channels: usize, momentum: f32, outputs: usize) -> ValueId {
    let (mean, variance) = (vec![0.0; channels], vec![0.0; channels]);
    let (mean, variance) = (constant(b, x[0], &[channels], &mean), constant(b, x[0], &[channels], &variance));
    let inputs = [x[0], x[1], x[2], mean, variance].map(Some);
    let attrs = [("training_mode", Attr::Int(1)), ("momentum", Attr::Float(momentum))];
    b.node("", "BatchNormalization", &inputs, &attrs, outputs)[0]
}

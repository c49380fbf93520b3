//! AveragePool, GlobalAveragePool, GlobalMaxPool, MaxPool.

use super::window::{Window, ints};
use super::{Ctx, Gradients, Rule};
use crate::ir::{Attr, DType, TensorType, ValueId};

pub(super) const RULES: &[Rule] = &[
    Rule::new("AveragePool", average_pool),
    Rule::new("GlobalAveragePool", |ctx| {
        let (dy, x, shape) = (ctx.dy0()?, ctx.x(0)?, ctx.x_shape(0)?);
        let count: usize = shape.iter().skip(2).product();
        let part = ctx.scale(x, dy, 1.0 / count.max(1) as f64);
        Ok(vec![Some(ctx.b.expand(part, &shape))])
    }),
    Rule::new("GlobalMaxPool", global_max_pool),
    Rule::new("MaxPool", max_pool),
];

/// ONNX Runtime's `Indices` are positions in the whole flattened input, and each output has one of them, so that ties go to the
/// first; windows that overlap add up.
fn max_pool(ctx: &mut Ctx) -> Gradients {
    let (dy, x, x_shape, y_shape) = (ctx.dy0()?, ctx.x(0)?, ctx.x_shape(0)?, ctx.y_shape()?);
    if ctx.node.int("storage_order", 0) != 0 {
        return Err(ctx.unsupported("`storage_order: 1`, indices in column-major order"));
    }
    let indices = ctx.extra_output(1, TensorType::fixed(DType::I64, &y_shape));
    let count = x_shape.iter().product();
    let zeros = ctx.zeros(x, &[count]);
    let indices = ctx.b.reshape(indices, &[-1]);
    let updates = ctx.b.reshape(dy, &[-1]);
    let attrs = [("axis", Attr::Int(0)), ("reduction", Attr::Str(b"add".to_vec()))];
    let flat = ctx.b.op_with("ScatterElements", &[zeros, indices, updates], &attrs);
    Ok(vec![Some(ctx.b.reshape_to(flat, &x_shape))])
}

/// The maxima of a channel share the gradient evenly, as in torch's `amax`.
fn global_max_pool(ctx: &mut Ctx) -> Gradients {
    let (dy, x, y) = (ctx.dy0()?, ctx.x(0)?, ctx.y(0)?);
    let axes: Vec<i64> = (2..ctx.x_shape(0)?.len() as i64).collect();
    let dtype = ctx.dtype(x);
    let hit = ctx.b.equal(x, y);
    let mask = ctx.b.cast(hit, dtype);
    let count = if axes.is_empty() { mask } else { ctx.b.reduce_sum(mask, &axes, true) };
    let share = ctx.b.div(dy, count);
    Ok(vec![Some(ctx.b.mul(mask, share))])
}

/// Every output gives each of its inputs dy/divisor: a transposed convolution with ones, channel by channel.
fn average_pool(ctx: &mut Ctx) -> Gradients {
    let (dy, x, x_shape, y_shape) = (ctx.dy0()?, ctx.x(0)?, ctx.x_shape(0)?, ctx.y_shape()?);
    let Some(kernel) = ctx.node.ints("kernel_shape") else {
        return Err(ctx.invalid("it has no kernel_shape".to_owned()));
    };
    let kernel: Vec<usize> = kernel.iter().filter_map(|size| usize::try_from(*size).ok()).collect();
    if x_shape.len() < 3 || kernel.len() != x_shape.len() - 2 || kernel.contains(&0) {
        return Err(ctx.invalid(format!("kernel_shape {kernel:?} for the shape {x_shape:?}")));
    }
    let window = Window::read(ctx, &kernel, &x_shape[2..])?;
    let divided = divided(ctx, &window, dy, x, &x_shape, &y_shape);
    if tiles(&window, &x_shape[2..], &y_shape[2..]) {
        return Ok(vec![Some(repeated(ctx, divided, &kernel, &x_shape, &y_shape))]);
    }
    let planes = x_shape[0] * x_shape[1];
    let flat = ctx.b.reshape_to(divided, &[&[planes, 1], &y_shape[2..]].concat());
    let one = ctx.scalar(x, 1.0);
    let ones = ctx.b.expand(one, &[&[1, 1], &kernel[..]].concat());
    let (end, extra) = window.transposed(&x_shape[2..], &y_shape[2..]);
    let mut attrs = window.attrs(&end, 1);
    if extra.iter().any(|pad| *pad > 0) {
        attrs.push(("output_padding", ints(&extra)));
    }
    let spread = ctx.b.op_with("ConvTranspose", &[flat, ones], &attrs);
    Ok(vec![Some(ctx.b.reshape_to(spread, &x_shape))])
}

/// dy over the divisor of each window. Pooling an image of ones gives (taps inside)/(divisor), whatever the runtime's convention for
/// padding and `ceil_mode`; the taps inside are counted here.
fn divided(ctx: &mut Ctx, window: &Window, dy: ValueId, x: ValueId, x_shape: &[usize], y_shape: &[usize]) -> ValueId {
    let rank = window.kernel.len();
    let whole = (0..rank).all(|i| {
        window.begin[i] == 0 && (y_shape[2 + i].max(1) - 1) * window.strides[i] + window.extent(i) <= x_shape[2 + i]
    });
    if whole {
        let taps: usize = window.kernel.iter().product();
        return ctx.scale(x, dy, 1.0 / taps as f64);
    }
    let one = ctx.scalar(x, 1.0);
    let ones = ctx.b.expand(one, &[&[1, 1], &x_shape[2..]].concat());
    let attrs: Vec<(&str, Attr)> = ctx.node.attrs.iter().map(|(name, attr)| (name.as_str(), attr.clone())).collect();
    let share = ctx.b.op_with("AveragePool", &[ones], &attrs);
    let mut weight = share;
    for i in 0..rank {
        let mut shape = vec![1; rank + 2];
        shape[2 + i] = y_shape[2 + i];
        let taps: Vec<f32> = (0..y_shape[2 + i])
            .map(|at| {
                let inside = |tap: &usize| {
                    let place = at * window.strides[i] + tap * window.dilations[i];
                    (window.begin[i]..window.begin[i] + x_shape[2 + i]).contains(&place)
                };
                (0..window.kernel[i]).filter(inside).count().max(1) as f32
            })
            .collect();
        let taps = ctx.b.constant(crate::ir::Tensor::new(shape, &taps));
        let dtype = ctx.dtype(x);
        let taps = if dtype == DType::F32 { taps } else { ctx.b.cast(taps, dtype) };
        weight = ctx.b.div(weight, taps);
    }
    ctx.b.mul(dy, weight)
}

/// Whether the windows cover the input once, without gaps.
fn tiles(window: &Window, input: &[usize], output: &[usize]) -> bool {
    (0..window.kernel.len()).all(|i| {
        window.strides[i] == window.kernel[i]
            && (window.dilations[i] == 1 || window.kernel[i] == 1)
            && window.begin[i] == 0
            && output[i] * window.kernel[i] == input[i]
    })
}

/// Each element repeated `kernel` times along its dimension.
fn repeated(ctx: &mut Ctx, value: ValueId, kernel: &[usize], x_shape: &[usize], y_shape: &[usize]) -> ValueId {
    let (mut split, mut wide) = (y_shape[..2].to_vec(), y_shape[..2].to_vec());
    for (size, copies) in y_shape[2..].iter().zip(kernel) {
        split.extend([*size, 1]);
        wide.extend([*size, *copies]);
    }
    let value = ctx.b.reshape_to(value, &split);
    let value = ctx.b.expand(value, &wide);
    ctx.b.reshape_to(value, x_shape)
}

//! AveragePool, GlobalAveragePool, GlobalMaxPool, MaxPool, MaxUnpool.

use super::case::{Case, any, apart, case};
use super::window::{Window, ints};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, Builder, DOMAIN, DType, Tensor, TensorType, ValueId};

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
    Rule::new("MaxUnpool", max_unpool).stops(&[1, 2]),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("AveragePool", "tiles", &[any(&[2, 3, 4, 6])], |b, x| average(b, x, &[2, 3], &[2, 3], &[0, 0, 0, 0], 0, 0)),
    case("AveragePool", "overlap", &[any(&[2, 3, 7, 5])], |b, x| average(b, x, &[3, 2], &[2, 1], &[0, 0, 0, 0], 0, 0)),
    case("AveragePool", "pads left out", &[any(&[2, 3, 5, 6])], |b, x| {
        average(b, x, &[3, 3], &[2, 2], &[1, 0, 1, 1], 0, 0)
    }),
    case("AveragePool", "pads counted", &[any(&[2, 3, 5, 6])], |b, x| {
        average(b, x, &[3, 3], &[2, 2], &[1, 1, 0, 1], 0, 1)
    }),
    case("AveragePool", "ceil", &[any(&[1, 2, 6, 7])], |b, x| average(b, x, &[3, 2], &[2, 2], &[0, 0, 0, 0], 1, 0)),
    case("AveragePool", "ceil, pads counted", &[any(&[1, 2, 6, 7])], |b, x| {
        average(b, x, &[3, 3], &[2, 3], &[1, 1, 1, 1], 1, 1)
    }),
    case("AveragePool", "gaps between windows", &[any(&[1, 2, 8, 7])], |b, x| {
        average(b, x, &[2, 1], &[3, 2], &[0, 0, 0, 0], 0, 0)
    }),
    case("AveragePool", "1d", &[any(&[2, 3, 9])], |b, x| average(b, x, &[4], &[3], &[1, 2], 0, 0)),
    case("AveragePool", "3d", &[any(&[1, 2, 4, 5, 3])], |b, x| {
        average(b, x, &[2, 3, 2], &[1, 2, 1], &[0, 1, 0, 0, 1, 1], 0, 0)
    }),
    case("AveragePool", "SAME_UPPER", &[any(&[1, 2, 5, 6])], |b, x| {
        let attrs = [("kernel_shape", Attr::Ints(vec![3, 2])), ("strides", Attr::Ints(vec![2, 2]))];
        b.op_with("AveragePool", x, &[&attrs[..], &[("auto_pad", Attr::Str(b"SAME_UPPER".to_vec()))]].concat())
    }),
    case("GlobalAveragePool", "", &[any(&[2, 3, 4, 5])], |b, x| b.op("GlobalAveragePool", x)),
    case("GlobalAveragePool", "1d", &[any(&[2, 3, 1])], |b, x| b.op("GlobalAveragePool", x)),
    case("GlobalMaxPool", "", &[apart(&[2, 3, 2, 3])], |b, x| b.op("GlobalMaxPool", x)),
    case("MaxPool", "overlap", &[apart(&[2, 2, 5, 5])], |b, x| maximum(b, x, &[3, 3], &[2, 2], &[1, 1, 1, 1], 0)),
    case("MaxPool", "tiles", &[apart(&[1, 2, 4, 6])], |b, x| maximum(b, x, &[2, 2], &[2, 2], &[0, 0, 0, 0], 0)),
    case("MaxPool", "ceil", &[apart(&[1, 1, 6, 5])], |b, x| maximum(b, x, &[3, 2], &[2, 2], &[0, 0, 0, 0], 1)),
    case("MaxPool", "1d", &[apart(&[2, 3, 7])], |b, x| maximum(b, x, &[3], &[1], &[2, 0], 0)),
    case("MaxPool", "3d", &[apart(&[1, 2, 4, 3, 5])], |b, x| {
        maximum(b, x, &[2, 2, 2], &[2, 1, 2], &[0, 0, 0, 0, 0, 1], 0)
    }),
    case("MaxPool", "dilated", &[apart(&[1, 2, 7, 6])], |b, x| {
        let attrs = [
            ("kernel_shape", Attr::Ints(vec![3, 2])),
            ("strides", Attr::Ints(vec![2, 1])),
            ("dilations", Attr::Ints(vec![2, 3])),
            ("pads", Attr::Ints(vec![1, 0, 2, 1])),
        ];
        b.op_with("MaxPool", x, &attrs)
    }),
    case("MaxPool", "SAME_LOWER", &[apart(&[1, 2, 7, 6])], |b, x| {
        let attrs = [
            ("kernel_shape", Attr::Ints(vec![3, 2])),
            ("strides", Attr::Ints(vec![2, 1])),
            ("auto_pad", Attr::Str(b"SAME_LOWER".to_vec())),
        ];
        b.op_with("MaxPool", x, &attrs)
    }),
    case("MaxUnpool", "", &[any(&[1, 2, 2, 2])], |b, x| {
        let indices = b.constant(Tensor::new([1, 2, 2, 2], &[0i64, 3, 9, 14, 17, 18, 24, 31]));
        let attrs = [("kernel_shape", Attr::Ints(vec![2, 2])), ("strides", Attr::Ints(vec![2, 2]))];
        b.op_with("MaxUnpool", &[x[0], indices], &attrs)
    }),
    case("MaxUnpool", "after its MaxPool", &[apart(&[1, 2, 4, 4])], |b, x| {
        let attrs = [("kernel_shape", Attr::Ints(vec![2, 2])), ("strides", Attr::Ints(vec![2, 2]))];
        let pooled = b.node("", "MaxPool", &[Some(x[0])], &attrs, 2);
        b.op_with("MaxUnpool", &pooled, &attrs)
    }),
];

/// Every element came from its index, which is a position in the whole flattened output (ONNX Runtime knows the size of that before
/// running unless it is given as an input). Of equal indices the last one is kept; all of
/// them get the gradient, as in torch.
fn max_unpool(ctx: &mut Ctx) -> Gradients {
    let (dy, indices, shape) = (ctx.dy0()?, ctx.x(1)?, ctx.x_shape(0)?);
    let flat = ctx.b.reshape(dy, &[-1]);
    let taken = ctx.b.op("Gather", &[flat, indices]);
    Ok(vec![Some(ctx.b.reshape_to(taken, &shape))])
}

/// ONNX Runtime's `Indices` are positions in the whole flattened input, and each output has one of them, so that ties go to the
/// first; windows that overlap add up.
fn max_pool(ctx: &mut Ctx) -> Gradients {
    let (dy, x, x_shape, y_shape) = (ctx.dy0()?, ctx.x(0)?, ctx.x_shape(0)?, ctx.y_shape()?);
    if ctx.node.int("storage_order", 0) != 0 {
        return Err(ctx.unsupported("`storage_order: 1`, indices in column-major order"));
    }
    let indices = ctx.extra_output(1, TensorType::fixed(DType::I64, &y_shape));
    if y_shape.contains(&0) {
        return Ok(vec![Some(ctx.zeros(x, &x_shape))]);
    }
    let kernel = kernel(ctx, &x_shape)?;
    let window = Window::read(ctx, &kernel, &x_shape[2..])?;
    let mut attrs = window.attrs(&window.end, 1);
    attrs.push(("shape", super::window::ints(&x_shape[2..])));
    Ok(vec![Some(ctx.b.node(DOMAIN, "MaxPoolGrad", &[Some(dy), Some(indices)], &attrs, 1)[0])])
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
    let kernel = kernel(ctx, &x_shape)?;
    let window = Window::read(ctx, &kernel, &x_shape[2..])?;
    let divided = divided(ctx, &window, dy, x, &x_shape, &y_shape);
    Ok(vec![Some(spread(ctx, divided, &window, &x_shape, &y_shape)?)])
}

/// The kernel of a pooling, checked against the shape of its input.
pub(super) fn kernel(ctx: &Ctx, x_shape: &[usize]) -> Result<Vec<usize>> {
    let Some(kernel) = ctx.node.ints("kernel_shape") else {
        return Err(ctx.invalid("it has no kernel_shape".to_owned()));
    };
    let kernel: Vec<usize> = kernel.iter().filter_map(|size| usize::try_from(*size).ok()).collect();
    if x_shape.len() < 3 || kernel.len() != x_shape.len() - 2 || kernel.contains(&0) {
        return Err(ctx.invalid(format!("kernel_shape {kernel:?} for the shape {x_shape:?}")));
    }
    Ok(kernel)
}

/// Sums what stands at each window over the windows that an input belongs to.
pub(super) fn spread(
    ctx: &mut Ctx,
    value: ValueId,
    window: &Window,
    x_shape: &[usize],
    y_shape: &[usize],
) -> Result<ValueId> {
    let x = ctx.x(0)?;
    if tiles(window, &x_shape[2..], &y_shape[2..]) {
        return Ok(repeated(ctx, value, &window.kernel, x_shape, y_shape));
    }
    let planes = x_shape[0] * x_shape[1];
    let flat = ctx.b.reshape_to(value, &[&[planes, 1], &y_shape[2..]].concat());
    let one = ctx.scalar(x, 1.0);
    let ones = ctx.b.expand(one, &[&[1, 1], &window.kernel[..]].concat());
    let (end, extra) = window.transposed(&x_shape[2..], &y_shape[2..]);
    let mut attrs = window.attrs(&end, 1);
    if extra.iter().any(|pad| *pad > 0) {
        attrs.push(("output_padding", ints(&extra)));
    }
    let sums = ctx.b.op_with("ConvTranspose", &[flat, ones], &attrs);
    Ok(ctx.b.reshape_to(sums, x_shape))
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

/// An average pooling of a case.
fn average(
    b: &mut Builder,
    x: &[ValueId],
    kernel: &[i64],
    strides: &[i64],
    pads: &[i64],
    ceil: i64,
    count: i64,
) -> ValueId {
    let attrs = [
        ("kernel_shape", Attr::Ints(kernel.to_vec())),
        ("strides", Attr::Ints(strides.to_vec())),
        ("pads", Attr::Ints(pads.to_vec())),
        ("ceil_mode", Attr::Int(ceil)),
        ("count_include_pad", Attr::Int(count)),
    ];
    b.op_with("AveragePool", x, &attrs)
}

/// A maximum pooling of a case.
fn maximum(b: &mut Builder, x: &[ValueId], kernel: &[i64], strides: &[i64], pads: &[i64], ceil: i64) -> ValueId {
    let attrs = [
        ("kernel_shape", Attr::Ints(kernel.to_vec())),
        ("strides", Attr::Ints(strides.to_vec())),
        ("pads", Attr::Ints(pads.to_vec())),
        ("ceil_mode", Attr::Int(ceil)),
    ];
    b.op_with("MaxPool", x, &attrs)
}

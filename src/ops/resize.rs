//! Resize in its modes nearest, linear and cubic, with all coordinate transformations but `tf_crop_and_resize`.
//!
//! Resizing is linear in x and goes axis by axis: y = x·W. ONNX Runtime itself makes W, by resizing the identity matrix with the
//! node's own attributes, and dx = dy·Wᵀ. Whole multiples of the nearest neighbour are sums of blocks.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, Builder, DType, Tensor, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("Resize", resize).stops(&[1, 2, 3])];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Resize", "nearest, twice", &[any(&[2, 3, 4, 5])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 2.0, 3.0], "nearest", "half_pixel", "")
    }),
    case("Resize", "nearest, asymmetric, floor", &[any(&[1, 2, 4, 3])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 2.0, 2.0], "nearest", "asymmetric", "floor")
    }),
    case("Resize", "nearest, asymmetric, ceil", &[any(&[1, 2, 4, 3])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 2.0, 2.0], "nearest", "asymmetric", "ceil")
    }),
    case("Resize", "nearest, not a multiple", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 1.7, 0.6], "nearest", "half_pixel", "")
    }),
    case("Resize", "linear, up", &[any(&[2, 2, 3, 4])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 2.0, 2.0], "linear", "half_pixel", "")
    }),
    case("Resize", "linear, aligned corners, sizes", &[any(&[1, 2, 4, 5])], |b, x| {
        let sizes = b.ints(&[1, 2, 7, 3]);
        let attrs = [text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")];
        b.node("", "Resize", &[Some(x[0]), None, None, Some(sizes)], &attrs, 1)[0]
    }),
    case("Resize", "linear, antialiased", &[any(&[1, 1, 7, 9])], |b, x| {
        let sizes = b.ints(&[1, 1, 3, 4]);
        let attrs = [text("mode", "linear"), ("antialias", Attr::Int(1)), ("exclude_outside", Attr::Int(1))];
        b.node("", "Resize", &[Some(x[0]), None, None, Some(sizes)], &attrs, 1)[0]
    }),
    case("Resize", "linear, one axis", &[any(&[2, 3, 5])], |b, x| {
        let sizes = b.ints(&[8]);
        let attrs = [text("mode", "linear"), ("axes", Attr::Ints(vec![-1]))];
        b.node("", "Resize", &[Some(x[0]), None, None, Some(sizes)], &attrs, 1)[0]
    }),
    case("Resize", "cubic", &[any(&[1, 2, 5, 4])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 1.6, 2.0], "cubic", "half_pixel", "")
    }),
];

fn text(name: &'static str, value: &str) -> (&'static str, Attr) {
    (name, Attr::Str(value.as_bytes().to_vec()))
}

/// A resizing of a case.
fn scaled(b: &mut Builder, x: &[ValueId], scales: &[f32], mode: &str, coordinates: &str, nearest: &str) -> ValueId {
    let scales = b.constant(Tensor::vector(scales));
    let mut attrs = vec![text("mode", mode), text("coordinate_transformation_mode", coordinates)];
    if !nearest.is_empty() {
        attrs.push(text("nearest_mode", nearest));
    }
    b.node("", "Resize", &[Some(x[0]), None, Some(scales)], &attrs, 1)[0]
}

/// An axis that changes, with the scale that the node gives for it, if it gives scales.
struct Axis {
    at: usize,
    scale: Option<f32>,
}

fn resize(ctx: &mut Ctx) -> Gradients {
    let (mut dy, x, from, to) = (ctx.dy0()?, ctx.x(0)?, ctx.x_shape(0)?, ctx.y_shape()?);
    let axes = changed(ctx, &from, &to)?;
    let mut shape = to.clone();
    for axis in axes {
        let (size, wide) = (from[axis.at], to[axis.at]);
        let before: usize = shape[..axis.at].iter().product();
        let after: usize = shape[axis.at + 1..].iter().product();
        if repeats(ctx, size, wide, axis.scale) {
            let blocks = ctx.b.reshape_to(dy, &[before, size, wide / size, after]);
            dy = ctx.b.reduce_sum(blocks, &[2], false);
        } else {
            let weights = weights(ctx, x, size, wide, axis.scale);
            let columns = ctx.b.reshape_to(dy, &[before, wide, after]);
            dy = ctx.b.matmul(weights, columns);
        }
        shape[axis.at] = size;
        dy = ctx.b.reshape_to(dy, &shape);
    }
    Ok(vec![Some(dy)])
}

/// The axes that the node resizes.
fn changed(ctx: &Ctx, from: &[usize], to: &[usize]) -> Result<Vec<Axis>> {
    let coordinates = ctx.node.text("coordinate_transformation_mode").unwrap_or("half_pixel");
    if coordinates == "tf_crop_and_resize" {
        return Err(ctx.unsupported("coordinate_transformation_mode `tf_crop_and_resize`"));
    }
    let policy = ctx.node.text("keep_aspect_ratio_policy").unwrap_or("stretch");
    if policy != "stretch" {
        return Err(ctx.unsupported(format!("keep_aspect_ratio_policy `{policy}`; `stretch` is covered")));
    }
    let named = match ctx.node.ints("axes") {
        Some(axes) => ctx.axes(axes, from.len())?.into_iter().map(|axis| axis as usize).collect(),
        None => (0..from.len()).collect::<Vec<_>>(),
    };
    // An empty tensor of scales is an omitted one.
    let scales = match ctx.node.input(2).filter(|value| ctx.graph().shape(*value) != Some(vec![0])) {
        Some(value) => match ctx.graph().constant(value).and_then(Tensor::to_vec::<f32>) {
            Some(scales) if scales.len() == named.len() => Some(scales),
            Some(scales) => return Err(ctx.invalid(format!("{} scales for {} axes", scales.len(), named.len()))),
            None => return Err(ctx.unsupported("scales that are computed at run time")),
        },
        None => None,
    };
    if from.len() != to.len() || from.contains(&0) {
        return Err(ctx.invalid(format!("shapes {from:?} and {to:?}")));
    }
    let axis = |(i, at): (usize, usize)| Axis { at, scale: scales.as_ref().map(|scales| scales[i]) };
    let moves = |axis: &Axis| from[axis.at] != to[axis.at] || axis.scale.is_some_and(|scale| scale != 1.0);
    Ok(named.into_iter().enumerate().map(axis).filter(moves).collect())
}

/// Whether each element is repeated a whole number of times.
fn repeats(ctx: &Ctx, size: usize, wide: usize, scale: Option<f32>) -> bool {
    let nearest = ctx.node.text("nearest_mode").unwrap_or("round_prefer_floor");
    let blocks = match ctx.node.text("coordinate_transformation_mode").unwrap_or("half_pixel") {
        "half_pixel" => nearest.starts_with("round"),
        "asymmetric" => nearest == "floor",
        _ => false,
    };
    let whole = wide.is_multiple_of(size) && scale.is_none_or(|scale| scale == (wide / size) as f32);
    ctx.node.text("mode").unwrap_or("nearest") == "nearest" && blocks && whole
}

/// W [size, wide]: row i is the resized i-th unit vector.
fn weights(ctx: &mut Ctx, x: ValueId, size: usize, wide: usize, scale: Option<f32>) -> ValueId {
    let mut unit = vec![0.0f32; size * size];
    for i in 0..size {
        unit[i * size + i] = 1.0;
    }
    let unit = ctx.b.constant(Tensor::new([1, 1, size, size], &unit));
    let dtype = ctx.dtype(x);
    let unit = if dtype == DType::F32 { unit } else { ctx.b.cast(unit, dtype) };
    let attrs: Vec<(&str, Attr)> = ctx
        .node
        .attrs
        .iter()
        .filter(|(name, _)| *name != "axes")
        .map(|(name, attr)| (name.as_str(), attr.clone()))
        .collect();
    let inputs = if let Some(scale) = scale {
        let scales = ctx.b.constant(Tensor::vector(&[1.0, 1.0, 1.0, scale]));
        [Some(unit), None, Some(scales), None]
    } else {
        let sizes = ctx.b.ints(&[1, 1, size as i64, wide as i64]);
        [Some(unit), None, None, Some(sizes)]
    };
    let used = if scale.is_some() { 3 } else { 4 };
    let resized = ctx.b.node("", "Resize", &inputs[..used], &attrs, 1)[0];
    ctx.b.reshape_to(resized, &[size, wide])
}

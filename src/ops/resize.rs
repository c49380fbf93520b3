//! Resize in its modes nearest, linear and cubic, with all coordinate transformations, anti-aliasing and aspect ratio policies.
//!
//! Resizing is linear in x and goes axis by axis: y = x·W. ONNX Runtime itself makes W, by resizing the identity matrix with the
//! node's own attributes, and dx = dy·Wᵀ. Whole multiples of the nearest neighbour are sums of blocks. What `tf_crop_and_resize` reads from
//! outside is a constant and has no gradient.
//!
//! A policy gives all axes one scale s and rounds s·size, whereas a node with scales takes the floor. Where that is one element short, the
//! identity is resized with copies of its last element behind it, as which an edge is read anyway.

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
    case("Resize", "cubic, coefficient, outside excluded", &[any(&[1, 2, 5, 4])], |b, x| {
        let attrs = [text("mode", "cubic"), ("cubic_coeff_a", Attr::Float(-0.5)), ("exclude_outside", Attr::Int(1))];
        sized(b, x, None, &[1, 2, 8, 3], &attrs)
    }),
    case("Resize", "cubic, antialiased", &[any(&[1, 1, 7, 9])], |b, x| {
        sized(b, x, None, &[1, 1, 3, 5], &[text("mode", "cubic"), ("antialias", Attr::Int(1))])
    }),
    case("Resize", "cubic, aligned corners", &[any(&[1, 1, 5, 4])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 1.6, 2.0], "cubic", "align_corners", "")
    }),
    case("Resize", "nearest, floor", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 1.7, 0.6], "nearest", "half_pixel", "floor")
    }),
    case("Resize", "nearest, ceil", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 1.7, 0.6], "nearest", "half_pixel", "ceil")
    }),
    case("Resize", "nearest, round_prefer_ceil", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 2.5, 0.5], "nearest", "asymmetric", "round_prefer_ceil")
    }),
    case("Resize", "nearest, round_prefer_floor", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 2.5, 0.5], "nearest", "asymmetric", "round_prefer_floor")
    }),
    case("Resize", "nearest, aligned corners", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 1.5, 0.5], "nearest", "align_corners", "")
    }),
    case("Resize", "nearest, pytorch_half_pixel", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 0.25, 1.5], "nearest", "pytorch_half_pixel", "")
    }),
    case("Resize", "linear, asymmetric", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 1.7, 0.6], "linear", "asymmetric", "")
    }),
    case("Resize", "linear, pytorch_half_pixel", &[any(&[1, 2, 4, 6])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 0.25, 1.5], "linear", "pytorch_half_pixel", "")
    }),
    case("Resize", "linear, volume", &[any(&[1, 1, 2, 3, 4])], |b, x| {
        scaled(b, x, &[1.0, 1.0, 2.0, 1.5, 0.5], "linear", "half_pixel", "")
    }),
    case("Resize", "linear, not_larger", &[any(&[1, 2, 5, 7])], |b, x| {
        let attrs = [text("mode", "linear"), text("keep_aspect_ratio_policy", "not_larger"), axes()];
        sized(b, x, None, &[9, 9], &attrs)
    }),
    case("Resize", "nearest, not_smaller", &[any(&[1, 2, 5, 7])], |b, x| {
        sized(b, x, None, &[3, 5], &[text("keep_aspect_ratio_policy", "not_smaller"), axes()])
    }),
    case("Resize", "cubic, not_smaller", &[any(&[1, 2, 5, 7])], |b, x| {
        let attrs = [text("mode", "cubic"), text("keep_aspect_ratio_policy", "not_smaller"), axes()];
        sized(b, x, None, &[9, 9], &attrs)
    }),
    case("Resize", "linear, aligned corners, not_smaller", &[any(&[1, 2, 5, 7])], |b, x| {
        let corners = text("coordinate_transformation_mode", "align_corners");
        sized(
            b,
            x,
            None,
            &[9, 9],
            &[text("mode", "linear"), corners, text("keep_aspect_ratio_policy", "not_smaller"), axes()],
        )
    }),
    case("Resize", "linear, cropped", &[any(&[1, 2, 5, 7])], |b, x| {
        let attrs = [text("mode", "linear"), crop(), ("extrapolation_value", Attr::Float(0.5))];
        sized(b, x, Some(&[0.0, 0.0, 0.1, 0.2, 1.0, 1.0, 0.9, 1.2]), &[1, 2, 6, 7], &attrs)
    }),
    case("Resize", "nearest, cropped axes", &[any(&[1, 2, 5, 7])], |b, x| {
        sized(b, x, Some(&[0.1, 0.2, 0.9, 1.2]), &[6, 4], &[crop(), axes()])
    }),
    case("Resize", "cubic, cropped", &[any(&[1, 1, 5, 7])], |b, x| {
        sized(b, x, Some(&[0.0, 0.0, 0.1, 0.2, 1.0, 1.0, 0.9, 1.0]), &[1, 1, 6, 4], &[text("mode", "cubic"), crop()])
    }),
];

fn axes() -> (&'static str, Attr) {
    ("axes", Attr::Ints(vec![2, 3]))
}

fn crop() -> (&'static str, Attr) {
    text("coordinate_transformation_mode", "tf_crop_and_resize")
}

/// A resizing of a case to sizes, of a region.
fn sized(b: &mut Builder, x: &[ValueId], region: Option<&[f32]>, sizes: &[i64], attrs: &[(&str, Attr)]) -> ValueId {
    let region = region.map(|region| b.constant(Tensor::vector(region)));
    let sizes = b.ints(sizes);
    b.node("", "Resize", &[Some(x[0]), region, None, Some(sizes)], attrs, 1)[0]
}

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

/// An axis that changes.
struct Axis {
    at: usize,
    /// The scale, if coordinates follow from it and not from the sizes.
    scale: Option<f32>,
    /// What part of it is resized, as fractions.
    crop: Option<[f32; 2]>,
    /// Copies of the last element that stand behind it.
    copies: usize,
}

fn resize(ctx: &mut Ctx) -> Gradients {
    let (mut dy, x, from, to) = (ctx.dy0()?, ctx.x(0)?, ctx.x_shape(0)?, ctx.y_shape()?);
    let axes = changed(ctx, &from, &to)?;
    let mut shape = to.clone();
    for axis in axes {
        let (size, wide) = (from[axis.at], to[axis.at]);
        let before: usize = shape[..axis.at].iter().product();
        let after: usize = shape[axis.at + 1..].iter().product();
        if repeats(ctx, size, wide, &axis) {
            let blocks = ctx.b.reshape_to(dy, &[before, size, wide / size, after]);
            dy = ctx.b.reduce_sum(blocks, &[2], false);
        } else {
            let weights = weights(ctx, x, size, wide, &axis);
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
    if from.len() != to.len() || from.contains(&0) || to.contains(&0) {
        return Err(ctx.invalid(format!("shapes {from:?} and {to:?}")));
    }
    let named = match ctx.node.ints("axes") {
        Some(axes) => ctx.axes(axes, from.len())?.into_iter().map(|axis| axis as usize).collect(),
        None => (0..from.len()).collect::<Vec<_>>(),
    };
    let coordinates = ctx.node.text("coordinate_transformation_mode").unwrap_or("half_pixel");
    let crops = match coordinates {
        "tf_crop_and_resize" => {
            Some(floats(ctx, 1, "roi", 2 * named.len())?.ok_or_else(|| ctx.invalid("it has no roi".to_owned()))?)
        }
        _ => None,
    };
    let scales = match floats(ctx, 2, "scales", named.len())? {
        Some(scales) => Some(scales),
        // Coordinates of aligned corners and of a crop follow from the sizes alone.
        None if matches!(coordinates, "align_corners" | "tf_crop_and_resize") => None,
        None => policy(ctx, from, &named)?.map(|scale| vec![scale; named.len()]),
    };
    let mut axes = Vec::new();
    for (i, at) in named.iter().copied().enumerate() {
        let scale = scales.as_ref().map(|scales| scales[i]);
        let crop = crops.as_ref().map(|crops| [crops[i], crops[named.len() + i]]);
        let moves = from[at] != to[at]
            || scale.is_some_and(|scale| scale != 1.0)
            || crop.is_some_and(|crop| crop != [0.0, 1.0]);
        if moves {
            let copies = copies(ctx, from[at], to[at], scale)?;
            axes.push(Axis { at, scale, crop, copies });
        }
    }
    Ok(axes)
}

/// Floats of a constant input, of which there must be `count`; an empty tensor is an omitted one.
fn floats(ctx: &Ctx, i: usize, what: &str, count: usize) -> Result<Option<Vec<f32>>> {
    let Some(value) = ctx.node.input(i).filter(|value| ctx.graph().shape(*value) != Some(vec![0])) else {
        return Ok(None);
    };
    match ctx.graph().constant(value).and_then(Tensor::to_vec::<f32>) {
        Some(values) if values.len() == count => Ok(Some(values)),
        Some(values) => Err(ctx.invalid(format!("{} {what} where {count} are wanted", values.len()))),
        None => Err(ctx.unsupported(format!("{what} computed at run time; constants are covered"))),
    }
}

/// The common scale of a policy that keeps the aspect ratio: the smallest or largest of all ratios.
fn policy(ctx: &Ctx, from: &[usize], named: &[usize]) -> Result<Option<f32>> {
    let larger = match ctx.node.text("keep_aspect_ratio_policy").unwrap_or("stretch") {
        "stretch" => return Ok(None),
        "not_larger" => false,
        "not_smaller" => true,
        other => return Err(ctx.invalid(format!("keep_aspect_ratio_policy `{other}`"))),
    };
    let sizes = ctx.constant_ints(3)?.filter(|sizes| sizes.len() == named.len());
    let Some(sizes) = sizes else { return Err(ctx.invalid("it has no size for each axis".to_owned())) };
    let ratios = sizes.iter().zip(named).map(|(size, axis)| *size as f32 / from[*axis] as f32);
    Ok(if larger { ratios.reduce(f32::max) } else { ratios.reduce(f32::min) })
}

/// How many copies of the last element make the floor of a scaled size reach the wanted one.
fn copies(ctx: &Ctx, size: usize, wide: usize, scale: Option<f32>) -> Result<usize> {
    let Some(scale) = scale else { return Ok(0) };
    let reached = |copies: usize| (scale * (size + copies) as f32) as usize;
    // A scale below 1 gains an element for every 1/scale copies.
    let most = if scale > 0.0 { (2.0 / scale).ceil().min(4096.0) as usize } else { 0 };
    let Some(copies) = (0..=most).find(|copies| reached(*copies) >= wide) else {
        return Err(ctx.invalid(format!("size {wide} out of {size} with the scale {scale}")));
    };
    let edges = ctx.node.int("exclude_outside", 0) != 0 || ctx.node.int("antialias", 0) != 0;
    if copies > 0 && edges {
        return Err(ctx.unsupported(
            "`keep_aspect_ratio_policy` with a size rounded up, together with `antialias` or `exclude_outside`",
        ));
    }
    Ok(copies)
}

/// Whether each element is repeated a whole number of times.
fn repeats(ctx: &Ctx, size: usize, wide: usize, axis: &Axis) -> bool {
    let nearest = ctx.node.text("nearest_mode").unwrap_or("round_prefer_floor");
    let blocks = match ctx.node.text("coordinate_transformation_mode").unwrap_or("half_pixel") {
        "half_pixel" => nearest.starts_with("round"),
        "asymmetric" => nearest == "floor",
        _ => false,
    };
    let whole = wide.is_multiple_of(size) && axis.scale.is_none_or(|scale| scale == (wide / size) as f32);
    ctx.node.text("mode").unwrap_or("nearest") == "nearest" && blocks && whole
}

/// W [size, wide]: row i is the resized i-th unit vector.
fn weights(ctx: &mut Ctx, x: ValueId, size: usize, wide: usize, axis: &Axis) -> ValueId {
    let long = size + axis.copies;
    let mut unit = vec![0.0f32; size * long];
    for i in 0..long {
        unit[i.min(size - 1) * long + i] = 1.0;
    }
    let unit = ctx.b.constant(Tensor::new([1, 1, size, long], &unit));
    let dtype = ctx.dtype(x);
    let unit = if dtype == DType::F32 { unit } else { ctx.b.cast(unit, dtype) };
    let attrs: Vec<(&str, Attr)> = ctx
        .node
        .attrs
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "axes" | "keep_aspect_ratio_policy" | "extrapolation_value"))
        .map(|(name, attr)| (name.as_str(), attr.clone()))
        .collect();
    let crop = axis.crop.map(|[start, end]| {
        let region = Tensor::vector(&[0.0, 0.0, 0.0, start, 1.0, 1.0, 1.0, end]);
        ctx.b.constant(region)
    });
    let mut inputs = vec![Some(unit), crop];
    if let Some(scale) = axis.scale {
        inputs.push(Some(ctx.b.constant(Tensor::vector(&[1.0, 1.0, 1.0, scale]))));
    } else {
        inputs.extend([None, Some(ctx.b.ints(&[1, 1, size as i64, wide as i64]))]);
    }
    let mut resized = ctx.b.node("", "Resize", &inputs, &attrs, 1)[0];
    if axis.copies > 0 {
        resized = ctx.b.slice(resized, &[0], &[wide as i64], &[3], &[1]);
    }
    ctx.b.reshape_to(resized, &[size, wide])
}

//! GridSample on images in all modes and on volumes where they are not cubic; an own operator makes both gradients.

use super::case::{Case, Draw, Input, any, case};
use super::{Ctx, Gradients, Rule};
use crate::ir::{Attr, Builder, DOMAIN, DType, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("GridSample", grid_sample)];

/// Graphs for the sweep. Coordinates reach outside; where weights have kinks they are drawn away from them.
pub(super) const CASES: &[Case] = &[
    case("GridSample", "linear, zeros", &[any(&[2, 3, 3, 3]), INSIDE], |b, x| of(b, x, "bilinear", "zeros", 0)),
    case("GridSample", "linear, zeros, aligned", &[any(&[1, 2, 5, 5]), ALIGNED], |b, x| {
        of(b, x, "bilinear", "zeros", 1)
    }),
    case("GridSample", "linear, border", &[any(&[2, 3, 3, 3]), INSIDE], |b, x| of(b, x, "bilinear", "border", 0)),
    case("GridSample", "linear, border, aligned", &[any(&[1, 2, 5, 5]), ALIGNED], |b, x| {
        of(b, x, "bilinear", "border", 1)
    }),
    case("GridSample", "linear, reflection", &[any(&[2, 3, 3, 3]), INSIDE], |b, x| {
        of(b, x, "bilinear", "reflection", 0)
    }),
    case("GridSample", "linear, reflection, aligned", &[any(&[1, 2, 5, 5]), ALIGNED], |b, x| {
        of(b, x, "bilinear", "reflection", 1)
    }),
    case("GridSample", "nearest, zeros", &[any(&[2, 3, 3, 3])], |b, x| fixed(b, x, "nearest", "zeros")),
    case("GridSample", "nearest, border", &[any(&[2, 3, 3, 3])], |b, x| fixed(b, x, "nearest", "border")),
    case("GridSample", "nearest, reflection", &[any(&[2, 3, 3, 3])], |b, x| fixed(b, x, "nearest", "reflection")),
    case("GridSample", "cubic, zeros", &[any(&[2, 3, 3, 3]), INSIDE], |b, x| of(b, x, "bicubic", "zeros", 0)),
    case("GridSample", "cubic, border", &[any(&[2, 3, 3, 3]), INSIDE], |b, x| of(b, x, "bicubic", "border", 0)),
    case("GridSample", "cubic, reflection, aligned", &[any(&[1, 2, 5, 5]), ALIGNED], |b, x| {
        of(b, x, "bicubic", "reflection", 1)
    }),
    case("GridSample", "volume, linear", &[any(&[1, 2, 3, 3, 3]), VOLUME], |b, x| of(b, x, "bilinear", "zeros", 0)),
    case("GridSample", "volume, linear, reflection", &[any(&[1, 2, 3, 3, 3]), VOLUME], |b, x| {
        of(b, x, "bilinear", "reflection", 0)
    }),
];

/// With 3 elements elements and borders stand at multiples of 1/3.
const KINKS: &[f64] = &[
    -2.0,
    -5.0 / 3.0,
    -4.0 / 3.0,
    -1.0,
    -2.0 / 3.0,
    -1.0 / 3.0,
    0.0,
    1.0 / 3.0,
    2.0 / 3.0,
    1.0,
    4.0 / 3.0,
    5.0 / 3.0,
    2.0,
];
const INSIDE: Input = Input { shape: &[2, 3, 4, 2], draw: Draw::Away(KINKS) };
const VOLUME: Input = Input { shape: &[1, 2, 2, 3, 3], draw: Draw::Away(KINKS) };
/// With 5 elements and aligned corners, at multiples of 1/2.
const ALIGNED: Input =
    Input { shape: &[1, 3, 4, 2], draw: Draw::Away(&[-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]) };

fn grid_sample(ctx: &mut Ctx) -> Gradients {
    let (dy, x, grid) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let (x_shape, grid_shape) = (ctx.x_shape(0)?, ctx.x_shape(1)?);
    if ctx.dtype(x) != DType::F32 {
        return Err(ctx.unsupported("only f32 is covered"));
    }
    let mode = match ctx.node.text("mode").unwrap_or("bilinear") {
        "bilinear" | "linear" => 0,
        "nearest" => 1,
        "bicubic" | "cubic" if x_shape.len() == 4 => 2,
        mode => {
            return Err(ctx.unsupported(format!(
                "mode `{mode}` of shape {x_shape:?}; covered are bilinear, nearest, and bicubic of images"
            )));
        }
    };
    let padding = match ctx.node.text("padding_mode").unwrap_or("zeros") {
        "zeros" => 0,
        "border" => 1,
        "reflection" => 2,
        padding => {
            return Err(ctx.unsupported(format!("padding_mode `{padding}`; covered are zeros, border, reflection")));
        }
    };
    if !matches!(x_shape.len(), 4 | 5) {
        return Err(ctx.unsupported(format!("the shape {x_shape:?}; images and volumes are covered")));
    }
    let attrs = [
        ("mode", Attr::Int(mode)),
        ("padding", Attr::Int(padding)),
        ("align_corners", Attr::Int(ctx.node.int("align_corners", 0))),
    ];
    let packed = ctx.b.node(DOMAIN, "GridSampleGrad", &[Some(x), Some(grid), Some(dy)], &attrs, 1)[0];
    let sizes: Vec<i64> = [&x_shape, &grid_shape].iter().map(|shape| shape.iter().product::<usize>() as i64).collect();
    let sizes = ctx.b.ints(&sizes);
    let parts = ctx.b.node("", "Split", &[Some(packed), Some(sizes)], &[("axis", Attr::Int(0))], 2);
    let dx = ctx.b.reshape_to(parts[0], &x_shape);
    let dgrid = ctx.wants(1).then(|| ctx.b.reshape_to(parts[1], &grid_shape));
    Ok(vec![Some(dx), dgrid])
}

/// A sampling of a case.
fn of(b: &mut Builder, x: &[ValueId], mode: &str, padding: &str, aligned: i64) -> ValueId {
    let attrs = [
        ("mode", Attr::Str(mode.as_bytes().to_vec())),
        ("padding_mode", Attr::Str(padding.as_bytes().to_vec())),
        ("align_corners", Attr::Int(aligned)),
    ];
    b.op_with("GridSample", x, &attrs)
}

/// A sampling of a case at a constant grid.
fn fixed(b: &mut Builder, x: &[ValueId], mode: &str, padding: &str) -> ValueId {
    let points: Vec<f32> = (0..48).map(|i| (i * 37 % 48) as f32 / 15.0 - 1.57).collect();
    let grid = super::case::constant(b, x[0], &[2, 3, 4, 2], &points);
    of(b, &[x[0], grid], mode, padding, 0)
}

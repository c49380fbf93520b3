//! The ONNX form of a chain of transforms, for models that carry their preprocessing.
//!
//! Resize with `antialias` and `exclude_outside=1` stays within one level of Pillow's; without the latter, borders differ by up to 11.

use super::resample::Interpolation;
use super::{ItemType, Transform};
use crate::diag::Result;
use crate::ir::{Attr, Builder, DType, ValueId};

/// Emits a whole chain. For images, `x` is uint8 [1, H, W, C], for arrays f32 [N, …]; no size of `input` is baked in.
/// Pass an `input` without sizes to learn whether the chain makes one size of images of any size; with sizes, it is right for those.
/// The result is what the model's input takes, f32. `None` when ONNX cannot reproduce the chain.
pub fn emit_chain(
    transforms: &[Box<dyn Transform>],
    b: &mut Builder,
    x: ValueId,
    input: &ItemType,
) -> Result<Option<ValueId>> {
    let mut value = x;
    let mut ty = input.clone();
    if let ItemType::Image { .. } = input {
        let pixels = b.transpose(x, &[0, 3, 1, 2]);
        value = b.cast(pixels, DType::F32);
    }
    for transform in transforms {
        if transform.random() {
            return Ok(None);
        }
        let Ok(made) = transform.shape(&ty) else { return Ok(None) };
        let Some(next) = transform.emit(b, value, &ty)? else { return Ok(None) };
        (value, ty) = (next, made);
    }
    Ok(Some(value))
}

/// Height and width of [1, C, H, W] as int64 [2].
pub(super) fn sides(b: &mut Builder, x: ValueId) -> ValueId {
    b.op_with("Shape", &[x], &[("start", Attr::Int(2)), ("end", Attr::Int(4))])
}

/// Resize to `target`, int64 [2], rounded to whole levels as Pillow does.
pub(super) fn resize_to(
    b: &mut Builder,
    x: ValueId,
    target: ValueId,
    interpolation: Interpolation,
    antialias: bool,
) -> ValueId {
    let outer = b.op_with("Shape", &[x], &[("start", Attr::Int(0)), ("end", Attr::Int(2))]);
    let sizes = b.concat(&[outer, target], 0);
    let word = |text: &str| Attr::Str(text.as_bytes().to_vec());
    let mut attrs = vec![("coordinate_transformation_mode", word("half_pixel"))];
    match interpolation {
        Interpolation::Nearest => {
            // floor((i + ½)·scale), which is what Pillow reads.
            attrs.extend([("mode", word("nearest")), ("nearest_mode", word("round_prefer_ceil"))]);
        }
        Interpolation::Bilinear => attrs.push(("mode", word("linear"))),
        Interpolation::Bicubic => attrs.extend([("mode", word("cubic")), ("cubic_coeff_a", Attr::Float(-0.5))]),
    }
    if interpolation != Interpolation::Nearest && antialias {
        attrs.extend([("antialias", Attr::Int(1)), ("exclude_outside", Attr::Int(1))]);
    }
    let resized = b.node("", "Resize", &[Some(x), None, None, Some(sizes)], &attrs, 1)[0];
    if interpolation == Interpolation::Nearest {
        return resized;
    }
    let rounded = b.op("Round", &[resized]);
    let (low, high) = (b.scalar(DType::F32, 0.0), b.scalar(DType::F32, 255.0));
    b.op("Clip", &[rounded, low, high])
}

/// Pads with 0 around the middle where a side is shorter than `target`, int64 [2].
pub(super) fn pad_to(b: &mut Builder, x: ValueId, target: ValueId) -> ValueId {
    let sides = sides(b, x);
    let lacking = b.sub(target, sides);
    let none = b.ints(&[0]);
    let lacking = b.op("Max", &[lacking, none]);
    let two = b.ints(&[2]);
    let before = b.div(lacking, two);
    let after = b.sub(lacking, before);
    let outer = b.ints(&[0, 0]);
    let pads = b.concat(&[outer, before, outer, after], 0);
    b.op("Pad", &[x, pads])
}

/// Cuts `size` from `first` on, both int64 [2] for height and width.
pub(super) fn crop_to(b: &mut Builder, x: ValueId, first: ValueId, size: ValueId) -> ValueId {
    let end = b.add(first, size);
    let axes = b.ints(&[2, 3]);
    b.op("Slice", &[x, first, end, axes])
}

//! Resampling of pixels as Pillow does it: separable filters whose support grows with the reduction, rounded to u8 after each pass.
//!
//! Bilinear is fast_image_resize's port of Pillow's filter, within one level of it; bicubic is Pillow's to the bit, and so is nearest, whose
//! loop adds up its coordinates.

use super::{Image, LARGEST_SIDE, cubic};
use crate::diag::{Code, Diagnostic, Result};
use fast_image_resize::images::{CroppedImage, Image as Pixels, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use schemars::JsonSchema;
use serde::Deserialize;

/// How pixels are interpolated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Interpolation {
    /// Triangle filter.
    #[default]
    Bilinear,
    /// The pixel that the centre falls on.
    Nearest,
    /// Cubic filter with a = −1/2.
    Bicubic,
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Window {
    /// All of an image.
    pub(super) fn whole(image: &Image) -> Self {
        Self { top: 0, left: 0, height: image.height, width: image.width }
    }
}

/// Resamples a window of an image to `height` × `width`; pixels outside the window have no influence.
pub(super) fn resample(
    image: &Image,
    window: Window,
    (height, width): (usize, usize),
    interpolation: Interpolation,
    antialias: bool,
) -> Result<Image> {
    if interpolation == Interpolation::Nearest {
        return Ok(nearest(image, window, height, width));
    }
    let pass = |image: &Image, window: Window, (height, width): (usize, usize)| match interpolation {
        Interpolation::Bicubic if height == window.height => Ok(cubic::along_rows(image, window, width, antialias)),
        Interpolation::Bicubic => Ok(cubic::along_columns(image, window, height, antialias)),
        _ => bilinear(image, window, (height, width), antialias),
    };
    if window.height == height || window.width == width {
        return pass(image, window, (height, width));
    }
    let first = if rows_first(window, height, width) { (window.height, width) } else { (height, window.width) };
    let half = pass(image, window, first)?;
    pass(&half, Window::whole(&half), (height, width))
}

/// Pillow's order of the passes since 13.0: along rows first, unless the height shrinks by more than twice as many pixels as the width.
/// What the first pass rounds and, where a cubic overshoots, clips shows after the second.
fn rows_first(window: Window, height: usize, width: usize) -> bool {
    let less = |from: usize, to: usize| from as isize - to as isize;
    let shrinks = less(window.height, height);
    shrinks <= 0 || shrinks <= 2 * less(window.width, width)
}

fn bilinear(image: &Image, window: Window, (height, width): (usize, usize), antialias: bool) -> Result<Image> {
    let filter = FilterType::Bilinear;
    let algorithm = if antialias { ResizeAlg::Convolution(filter) } else { ResizeAlg::Interpolation(filter) };
    let kind = if image.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let run = || -> std::result::Result<Image, String> {
        let side = |n: usize| u32::try_from(n).map_err(|error| error.to_string());
        let source = ImageRef::new(side(image.width)?, side(image.height)?, &image.data, kind)
            .map_err(|error| error.to_string())?;
        let source = CroppedImage::new(
            &source,
            side(window.left)?,
            side(window.top)?,
            side(window.width)?,
            side(window.height)?,
        )
        .map_err(|error| error.to_string())?;
        let mut target = Pixels::new(side(width)?, side(height)?, kind);
        let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
        Resizer::new().resize(&source, &mut target, &options).map_err(|error| error.to_string())?;
        Ok(Image { height, width, channels: image.channels, data: target.into_vec() })
    };
    run().map_err(|cause| {
        let message = format!("an image of {} × {} cannot be resized to {height} × {width}", image.height, image.width);
        Diagnostic::error(Code::DataShape, message).note(cause)
    })
}

/// Positions that Pillow's nearest reads: floor of coordinates that are added up.
fn positions(start: usize, length: usize, count: usize) -> Vec<usize> {
    let scale = length as f64 / count as f64;
    let mut at = scale * 0.5;
    (0..count)
        .map(|_| {
            let position = start + (at as usize).min(length - 1);
            at += scale;
            position
        })
        .collect()
}

fn nearest(image: &Image, window: Window, height: usize, width: usize) -> Image {
    let columns = positions(window.left, window.width, width);
    let mut data = Vec::with_capacity(height * width * image.channels);
    for row in positions(window.top, window.height, height) {
        let line = &image.data[row * image.stride()..(row + 1) * image.stride()];
        for column in &columns {
            data.extend_from_slice(&line[column * image.channels..(column + 1) * image.channels]);
        }
    }
    Image { height, width, channels: image.channels, data }
}

/// Copies a window of an image that may reach beyond it; what lies outside is 0.
pub(super) fn cut(image: &Image, top: isize, left: isize, (height, width): (usize, usize)) -> Image {
    let mut out = Image::filled(height, width, image.channels, 0);
    let columns = overlap(left, width, image.width);
    let rows = overlap(top, height, image.height);
    let (stride, c) = (image.stride(), image.channels);
    for row in rows {
        let from = row * stride;
        // Both differences are inside the window by the definition of the overlap.
        let to = (row as isize - top) as usize * width * c + (columns.start as isize - left) as usize * c;
        let length = columns.len() * c;
        if length > 0 {
            out.data[to..to + length]
                .copy_from_slice(&image.data[from + columns.start * c..from + columns.start * c + length]);
        }
    }
    out
}

/// Positions of an axis of `size` that a window of `length` from `start` covers.
fn overlap(start: isize, length: usize, size: usize) -> std::ops::Range<usize> {
    let first = start.max(0) as usize;
    let last = (start + length as isize).clamp(0, size as isize) as usize;
    first.min(last)..last
}

/// torchvision's size for a shorter side of `side`: the longer one is truncated.
pub(super) fn shorter_side(height: usize, width: usize, side: usize) -> Result<(usize, usize)> {
    let (short, long) = (height.min(width), height.max(width));
    let longer = (side * long) / short.max(1);
    if longer > LARGEST_SIDE {
        let message = format!("an image of {height} × {width} would become {longer} pixels long with `resize: {side}`");
        return Err(Diagnostic::error(Code::DataShape, message));
    }
    Ok(if height <= width { (side, longer) } else { (longer, side) })
}

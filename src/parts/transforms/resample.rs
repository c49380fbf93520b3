//! Resampling as Pillow does it: antialiased convolution on bytes, or the nearest pixel.

use super::size::MAX_SIDE;
use super::{Image, shape_error};
use crate::diag::Result;
use fast_image_resize as fir;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// How pixels between pixels are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Triangle filter, widened when shrinking (antialias).
    #[default]
    Bilinear,
    /// Keys' cubic with a = −1/2, widened when shrinking (antialias).
    Bicubic,
    /// The nearest pixel; no antialias.
    Nearest,
}

/// Bytes of the largest image that a resize may make; more is taken for a mistake.
const MAX_BYTES: usize = 1 << 30;

thread_local! {
    // It holds the buffer between the horizontal and the vertical pass.
    static RESIZER: RefCell<fir::Resizer> = RefCell::new(fir::Resizer::new());
}

/// The image at another size.
///
/// # Errors
/// `P0505` for a size that no image has, or more than four channels.
pub(super) fn resample(image: Image, height: usize, width: usize, interpolation: Interpolation) -> Result<Image> {
    let Image { height: from_height, width: from_width, channels, .. } = image;
    if (from_height, from_width) == (height, width) {
        return Ok(image);
    }
    let bytes = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels));
    let Some(bytes) = bytes.filter(|bytes| (1..=MAX_BYTES).contains(bytes)) else {
        return Err(shape_error(format!(
            "an image of {from_height} × {from_width} would become {height} × {width}, which is too large"
        )));
    };
    let filter = match interpolation {
        Interpolation::Nearest => return Ok(nearest(&image, height, width)),
        Interpolation::Bilinear => fir::FilterType::Bilinear,
        Interpolation::Bicubic => fir::FilterType::CatmullRom,
    };
    let pixel = match channels {
        1 => fir::PixelType::U8,
        2 => fir::PixelType::U8x2,
        3 => fir::PixelType::U8x3,
        4 => fir::PixelType::U8x4,
        _ => return Err(shape_error(format!("images have 1 to 4 channels to be resized, not {channels}"))),
    };
    let failed = |error: &dyn std::fmt::Display| {
        shape_error(format!("an image of {from_height} × {from_width} cannot become {height} × {width}"))
            .note(error.to_string())
    };
    let side = |side: usize| u32::try_from(side).map_err(|error| failed(&error));
    let source = fir::images::ImageRef::new(side(from_width)?, side(from_height)?, &image.data, pixel)
        .map_err(|error| failed(&error))?;
    let target = fir::images::Image::from_vec_u8(side(width)?, side(height)?, vec![0; bytes], pixel);
    let mut target = target.map_err(|error| failed(&error))?;
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(filter)).use_alpha(false);
    RESIZER
        .with(|resizer| match resizer.try_borrow_mut() {
            Ok(mut resizer) => resizer.resize(&source, &mut target, &options),
            Err(_) => fir::Resizer::new().resize(&source, &mut target, &options),
        })
        .map_err(|error| failed(&error))?;
    Ok(Image { height, width, channels, data: target.into_vec() })
}

/// Which of `from` pixels each of `to` pixels takes. Pillow adds the step up in f64, rounding included.
fn nearest_indices(from: usize, to: usize) -> Vec<usize> {
    let step = from as f64 / to as f64;
    let mut position = step * 0.5;
    (0..to)
        .map(|_| {
            let index = (position as usize).min(from - 1);
            position += step;
            index
        })
        .collect()
}

fn nearest(image: &Image, height: usize, width: usize) -> Image {
    let channels = image.channels;
    let columns = nearest_indices(image.width, width);
    let mut data = Vec::with_capacity(height * width * channels);
    for row in nearest_indices(image.height, height) {
        let row = &image.data[row * image.width * channels..][..image.width * channels];
        for column in &columns {
            data.extend_from_slice(&row[column * channels..][..channels]);
        }
    }
    Image { height, width, channels, data }
}

/// Height and width once the shorter side is `side`: the longer one is rounded down, as torchvision does.
///
/// # Errors
/// `P0505` when that is no image's size.
pub(super) fn shorter_side(height: usize, width: usize, side: usize) -> Result<(usize, usize)> {
    let (short, long) = (height.min(width), height.max(width));
    let other = side.checked_mul(long).and_then(|product| product.checked_div(short));
    match other {
        Some(other) if other <= MAX_SIDE * 4 => Ok(if height <= width { (side, other) } else { (other, side) }),
        _ => Err(shape_error(format!("an image of {height} × {width} is too long to get a shorter side of {side}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_takes_the_pixel_under_the_centre() {
        assert_eq!(nearest_indices(4, 2), [1, 3]);
        assert_eq!(nearest_indices(2, 4), [0, 0, 1, 1]);
        assert_eq!(nearest_indices(1, 3), [0, 0, 0]);
        assert_eq!(nearest_indices(5, 3), [0, 2, 4]);
    }

    #[test]
    fn the_longer_side_is_rounded_down() {
        assert_eq!(shorter_side(500, 375, 256).unwrap(), (341, 256));
        assert_eq!(shorter_side(375, 500, 256).unwrap(), (256, 341));
        assert_eq!(shorter_side(1, 60_000, 256).unwrap_err().code().id(), "P0505");
        assert_eq!(shorter_side(0, 5, 256).unwrap_err().code().id(), "P0505");
    }

    #[test]
    fn a_flat_image_stays_flat_whatever_its_channels() {
        for channels in 1..=4 {
            for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Nearest] {
                let image = Image { height: 7, width: 1, channels, data: vec![77; 7 * channels] };
                let resized = resample(image, 3, 9, interpolation).unwrap();
                assert_eq!((resized.height, resized.width), (3, 9));
                assert!(resized.data.iter().all(|byte| *byte == 77) && resized.data.len() == 27 * channels);
            }
        }
    }
}

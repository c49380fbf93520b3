//! Pillow's bicubic filter to the last bit: weights of 22 bits, sums in i32, rounded and clipped to u8 after each pass.
//!
//! A cubic overshoots, so what one pass is off by a level the next can make two. Source: Keys, "Cubic convolution interpolation for
//! digital image processing", 1981, with a = −1/2; Pillow 13's `Resample.c` for bounds and rounding.

use super::Image;
use super::resample::Window;

/// Bits of a weight behind the point: 32 less 8 for the pixel and 2 for overshooting.
const BITS: u32 = 22;

/// What makes a pixel: weights of source pixels from `first` on.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// Resamples the rows of a window to `width`.
pub(super) fn along_rows(image: &Image, window: Window, width: usize, antialias: bool) -> Image {
    let (taps, channels) = (taps(window.width, width, antialias), image.channels);
    let mut data = Vec::with_capacity(window.height * width * channels);
    for row in 0..window.height {
        let line = line(image, window, row);
        if channels == 1 { along_row::<1>(line, &taps, &mut data) } else { along_row::<3>(line, &taps, &mut data) }
    }
    Image { height: window.height, width, channels, data }
}

fn along_row<const CHANNELS: usize>(line: &[u8], taps: &[Taps], data: &mut Vec<u8>) {
    for Taps { first, weights } in taps {
        let mut sums = [1 << (BITS - 1); CHANNELS];
        for (pixel, weight) in line[first * CHANNELS..].chunks_exact(CHANNELS).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(*value) * weight;
            }
        }
        data.extend(sums.map(clip));
    }
}

/// Resamples the columns of a window to `height`.
pub(super) fn along_columns(image: &Image, window: Window, height: usize, antialias: bool) -> Image {
    let mut data = Vec::with_capacity(height * window.width * image.channels);
    let mut sums = vec![0; window.width * image.channels];
    for Taps { first, weights } in taps(window.height, height, antialias) {
        sums.fill(1 << (BITS - 1));
        for (row, weight) in (first..).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(line(image, window, row)) {
                *sum += i32::from(*value) * weight;
            }
        }
        data.extend(sums.iter().map(|sum| clip(*sum)));
    }
    Image { height, width: window.width, channels: image.channels, data }
}

/// Row of a window.
fn line(image: &Image, window: Window, row: usize) -> &[u8] {
    &image.data[(window.top + row) * image.stride() + window.left * image.channels..][..window.width * image.channels]
}

fn clip(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// The filter reaches two source pixels to each side, or with `antialias` two of the larger pixels of a reduction.
fn taps(from: usize, to: usize, antialias: bool) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let reach = if antialias { scale.max(1.0) } else { 1.0 };
    let support = 2.0 * reach;
    let pixel = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        // The conversions truncate, and turn what is below 0 into 0.
        let first = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let shares: Vec<f64> = (first..end).map(|x| cubic((x as f64 - centre + 0.5) * (1.0 / reach))).collect();
        let total: f64 = shares.iter().sum();
        let weights = shares.iter().map(|share| (share / total * f64::from(1 << BITS)).round() as i32).collect();
        Taps { first, weights }
    };
    (0..to).map(pixel).collect()
}

fn cubic(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
        _ => 0.0,
    }
}

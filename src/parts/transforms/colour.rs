//! Arithmetic on colours as Pillow's `ImageEnhance` and its HSV conversion do it, rounding included.

use super::Image;
use super::grayscale::luma;

/// `from + factor · (to − from)` in f32, cut to a byte; Pillow's `Image.blend`, where `to` is the image.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    // The cast cuts below 0 and above 255, and drops the fraction.
    (f32::from(from) + factor * f32::from(i16::from(to) - i16::from(from))) as u8
}

fn per_byte(image: &mut Image, from: u8, factor: f32) {
    let mut table = [0; 256];
    for (byte, out) in (0..=255).zip(&mut table) {
        *out = blend(from, byte, factor);
    }
    for byte in &mut image.data {
        *byte = table[usize::from(*byte)];
    }
}

/// Brightness: away from black.
pub(super) fn blend_black(image: &mut Image, factor: f32) {
    per_byte(image, 0, factor);
}

/// Contrast: away from the rounded mean of the luma.
pub(super) fn blend_mean(image: &mut Image, factor: f32) {
    let sum: u64 = match image.channels {
        3 => image.data.chunks_exact(3).map(|pixel| u64::from(luma(pixel))).sum(),
        _ => image.data.iter().map(|byte| u64::from(*byte)).sum(),
    };
    let mean = (sum as f64 / (image.height * image.width) as f64 + 0.5) as u8;
    per_byte(image, mean, factor);
}

/// Saturation: away from the luma. Grey images stay.
pub(super) fn blend_grey(image: &mut Image, factor: f32) {
    if image.channels == 3 {
        for pixel in image.data.chunks_exact_mut(3) {
            let grey = luma(pixel);
            for byte in pixel {
                *byte = blend(grey, *byte, factor);
            }
        }
    }
}

/// Hue: turned by a share of the circle, in 255ths of it, wrapping at 256 as torchvision does. Grey images stay.
pub(super) fn turn_hue(image: &mut Image, factor: f64) {
    let turn = (factor * 255.0) as i32 as u8;
    if image.channels == 3 {
        for pixel in image.data.chunks_exact_mut(3) {
            let [hue, saturation, value] = hsv([pixel[0], pixel[1], pixel[2]]);
            pixel.copy_from_slice(&rgb([hue.wrapping_add(turn), saturation, value]));
        }
    }
}

/// Pillow's conversion to HSV: f32 values, f64 in between.
fn hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let span = f32::from(most - least);
    let saturation = span / f32::from(most);
    let [rc, gc, bc] = [r, g, b].map(|byte| f32::from(most - byte) / span);
    let hue = if r == most {
        bc - gc
    } else if g == most {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let hue = ((f64::from(hue) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

/// Pillow's conversion from HSV.
fn rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let turns = f64::from(f32::from(hue) * 6.0) / 255.0;
    let sector = turns.floor();
    let rest = f64::from((turns - f64::from(sector as f32)) as f32);
    let share = f64::from((f64::from(saturation) / 255.0) as f32);
    let bright = f64::from(value);
    let byte = |x: f64| x.round() as u8;
    let p = byte(bright * (1.0 - share));
    let q = byte(bright * (1.0 - share * rest));
    let t = byte(bright * (1.0 - share * (1.0 - rest)));
    match sector as u8 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::image;
    use super::*;

    fn after(change: impl Fn(&mut Image), data: &[u8]) -> Vec<u8> {
        let mut image = image(1, data.len() / 3, 3, data);
        change(&mut image);
        image.data
    }

    #[test]
    fn blends_have_closed_forms() {
        assert_eq!(after(|i| blend_black(i, 0.5), &[10, 21, 255]), [5, 10, 127]);
        assert_eq!(after(|i| blend_black(i, 1e9), &[0, 1, 255]), [0, 255, 255]);
        // Mean 50: 50 + 2 · (0 − 50) is below 0.
        assert_eq!(after(|i| blend_mean(i, 2.0), &[0, 0, 0, 100, 100, 100]), [0, 0, 0, 150, 150, 150]);
        assert_eq!(after(|i| blend_grey(i, 0.0), &[255, 0, 0]), [76, 76, 76]);
        assert_eq!(after(|i| blend_grey(i, 1.0), &[255, 3, 0]), [255, 3, 0]);
    }

    #[test]
    fn a_third_of_the_circle_makes_red_green() {
        assert_eq!(after(|i| turn_hue(i, 1.0 / 3.0), &[255, 0, 0]), [0, 255, 0]);
        assert_eq!(after(|i| turn_hue(i, -1.0 / 3.0), &[9, 9, 9]), [9, 9, 9]);
    }
}

//! Colour arithmetic on u8 as Pillow does it: luma, blending, HSV.
//!
//! Source: Pillow's `Convert.c` and `Blend.c`; every rounding here is one of theirs.

use super::Image;

/// Luma of ITU-R 601 in 16-bit fixed point, rounded.
pub(super) fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
}

/// `from + factor · (to − from)`: truncated inside [0, 1], truncated and clipped outside.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let mixed = f32::from(from) + factor * (f32::from(to) - f32::from(from));
    // `as` clips and truncates.
    mixed as u8
}

/// Pillow's brightness: blends with black.
pub(super) fn brightness(image: &mut Image, factor: f32) {
    let table: Vec<u8> = (0..=255).map(|value| blend(0, value, factor)).collect();
    map(image, &table);
}

/// Pillow's contrast: blends with the rounded mean luma.
pub(super) fn contrast(image: &mut Image, factor: f32) {
    let sum: u64 = match image.channels {
        3 => image.data.chunks_exact(3).map(|p| u64::from(luma(p[0], p[1], p[2]))).sum(),
        _ => image.data.iter().map(|value| u64::from(*value)).sum(),
    };
    let count = (image.height * image.width).max(1);
    let mean = (sum as f64 / count as f64 + 0.5) as u8;
    let table: Vec<u8> = (0..=255).map(|value| blend(mean, value, factor)).collect();
    map(image, &table);
}

fn map(image: &mut Image, table: &[u8]) {
    for value in &mut image.data {
        *value = table[usize::from(*value)];
    }
}

/// Pillow's colour: blends with the grey image.
pub(super) fn saturation(image: &mut Image, factor: f32) {
    if image.channels == 3 {
        for p in image.data.chunks_exact_mut(3) {
            let grey = luma(p[0], p[1], p[2]);
            for value in p {
                *value = blend(grey, *value, factor);
            }
        }
    }
}

/// Shifts the hue by `factor` of a turn, in 255ths, wrapping as torchvision does.
pub(super) fn hue(image: &mut Image, factor: f64) {
    // Truncated towards zero, then taken modulo 256.
    let shift = (factor * 255.0) as i64 as u8;
    if image.channels == 3 {
        for p in image.data.chunks_exact_mut(3) {
            let [h, s, v] = to_hsv([p[0], p[1], p[2]]);
            p.copy_from_slice(&to_rgb([h.wrapping_add(shift), s, v]));
        }
    }
}

/// RGB to HSV, each in 0 … 255.
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let s = range / f32::from(most);
    let [rc, gc, bc] = [r, g, b].map(|value| f32::from(most - value) / range);
    let h = if r == most {
        bc - gc
    } else if g == most {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let h = ((f64::from(h) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(h) * 255.0) as u8, (f64::from(s) * 255.0) as u8, most]
}

/// HSV to RGB.
fn to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let turn = f64::from(h) * 6.0 / 255.0;
    let sector = turn.floor();
    let f = f64::from((turn - f64::from(sector as f32)) as f32);
    let s = f64::from((f64::from(s) / 255.0) as f32);
    let value = f64::from(v);
    let p = (value * (1.0 - s)).round() as u8;
    let q = (value * (1.0 - s * f)).round() as u8;
    let t = (value * (1.0 - s * (1.0 - f))).round() as u8;
    match sector as u8 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

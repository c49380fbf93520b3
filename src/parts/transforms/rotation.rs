//! `rotation`: by a random angle.

use super::{Image, Item, ItemType, Transform, flip, out_of_range};
use crate::diag::Result;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Rotation>("rotation", Some("degrees"), DOC),
    build: |value| {
        let this: Rotation = decode(value)?;
        let (low, high) = this.range();
        if !(low <= high && low.is_finite() && high.is_finite()) {
            return Err(out_of_range(format!("`degrees` goes from {low} to {high}; it has to rise")).at("degrees", ""));
        }
        Ok(Box::new(this))
    },
};

const DOC: &str = "\
Turns an image about its centre by a random angle, counter-clockwise; the size stays, corners become 0.

A number d stands for angles in [−d, d]. Pixels are those nearest, as Pillow finds them. Source: torchvision's RandomRotation.

```yaml
transforms: [rotation: 15]
```";

/// Configuration of `rotation`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Largest angle either way, or from … to.
    #[schemars(extend("unit" = "degrees"))]
    degrees: Degrees,
}

/// Angles.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Degrees {
    /// Either way.
    Around(f64),
    /// From … to.
    Range([f64; 2]),
}

impl Rotation {
    fn range(&self) -> (f64, f64) {
        match self.degrees {
            Degrees::Around(degrees) => (-degrees, degrees),
            Degrees::Range([low, high]) => (low, high),
        }
    }
}

/// Pillow's `rotate` with nearest pixels and without growing the image.
pub(super) fn rotate(mut image: Image, degrees: f64) -> Image {
    let degrees = degrees.rem_euclid(360.0);
    if degrees == 0.0 {
        return image;
    }
    if degrees == 180.0 {
        flip::horizontal(&mut image);
        flip::vertical(&mut image);
        return image;
    }
    let (h, w, c) = (image.height, image.width, image.channels);
    if h == w && (degrees == 90.0 || degrees == 270.0) {
        return quarter(&image, degrees == 90.0);
    }
    // Pillow rounds the matrix to 15 digits, so that 90° has exact zeros.
    let round = |x: f64| (x * 1e15).round_ties_even() / 1e15;
    let angle = -degrees.to_radians();
    let (a, b) = (round(angle.cos()), round(angle.sin()));
    let (d, e) = (round(-angle.sin()), round(angle.cos()));
    let (cx, cy) = (w as f64 / 2.0, h as f64 / 2.0);
    let x0 = a * -cx + b * -cy + cx;
    let y0 = d * -cx + e * -cy + cy;
    // Its fixed-point loop: 16 bits of fraction, started at pixel centres.
    let fix = |v: f64| (v * 65_536.0 + 0.5).floor() as i64;
    let (ax, ay, bx, by) = (fix(a), fix(d), fix(b), fix(e));
    let (mut row_x, mut row_y) = (fix(x0 + a * 0.5 + b * 0.5), fix(y0 + d * 0.5 + e * 0.5));
    let mut out = Image::filled(h, w, c, 0);
    for line in out.data.chunks_exact_mut((w * c).max(1)) {
        let (mut x, mut y) = (row_x, row_y);
        for pixel in line.chunks_exact_mut(c) {
            let (column, row) = (x >> 16, y >> 16);
            if (0..w as i64).contains(&column) && (0..h as i64).contains(&row) {
                let at = (row as usize * w + column as usize) * c;
                pixel.copy_from_slice(&image.data[at..at + c]);
            }
            x += ax;
            y += ay;
        }
        row_x += bx;
        row_y += by;
    }
    out
}

/// A square image turned by 90° counter-clockwise, or clockwise.
fn quarter(image: &Image, counter: bool) -> Image {
    let (n, c) = (image.width, image.channels);
    let mut data = Vec::with_capacity(image.data.len());
    for row in 0..n {
        for column in 0..n {
            let (r, k) = if counter { (column, n - 1 - row) } else { (n - 1 - column, row) };
            data.extend_from_slice(&image.data[(r * n + k) * c..(r * n + k + 1) * c]);
        }
    }
    Image { data, ..*image }
}

impl Transform for Rotation {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let image = item.into_image("rotation")?;
        let (low, high) = self.range();
        Ok(Item::Image(rotate(image, rng.range(low, high))))
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        input.image("rotation")?;
        Ok(input.clone())
    }
}

//! GridSampleGrad: gradients of ONNX's GridSample, on images and volumes.
//!
//! Inputs: x f32 [N, C, (D,) H, W]; grid f32 [N, (Do,) Ho, Wo, 2 or 3]; dy f32 [N, C, (Do,) Ho, Wo]. Attributes: `mode` 0 linear, 1 nearest, 2 cubic
//! (images only); `padding` 0 zeros, 1 border, 2 reflection; `align_corners`. Output: gradient of x, then that of grid, in one vector.
//!
//! An output is Σ over taps of weights times x; the weights are products over the axes, so that each axis is described by its taps alone.
//! Each image is walked by one task in one fixed order, hence the bits do not depend on the number of threads.

mod taps;
#[cfg(test)]
mod tests;

use super::disjoint::Disjoint;
use super::{Arg, Attributes, Kernel, Operator, Parallel};
use crate::ir::DType;
use taps::{Axis, Taps};

pub(super) const OPERATOR: Operator = Operator {
    name: "GridSampleGrad",
    inputs: &[DType::F32, DType::F32, DType::F32],
    kernel: |attributes: &dyn Attributes| {
        let (mode, padding) = (attributes.int("mode").unwrap_or(0), attributes.int("padding").unwrap_or(0));
        if !(0..=2).contains(&mode) || !(0..=2).contains(&padding) {
            return Err(format!("mode {mode}, padding {padding}"));
        }
        let aligned = attributes.int("align_corners").unwrap_or(0) != 0;
        Ok(Box::new(GridSampleGrad { axis: Axis { mode, padding, aligned } }))
    },
    in_place: false,
    cuda: None,
    reference: None,
};

struct GridSampleGrad {
    axis: Axis,
}

/// Sizes with three spatial dimensions; an image has one plane.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    images: usize,
    channels: usize,
    input: [usize; 3],
    positions: usize,
    /// Spatial dimensions, 2 or 3.
    rank: usize,
}

impl Sizes {
    fn new(x: &[usize], grid: &[usize], dy: &[usize]) -> Result<Self, String> {
        let rank = x.len().saturating_sub(2);
        let fits = matches!(rank, 2 | 3)
            && grid.len() == x.len()
            && dy.len() == x.len()
            && grid[rank + 1] == rank
            && grid[0] == x[0]
            && dy[..2] == x[..2]
            && dy[2..] == grid[1..=rank];
        if !fits {
            return Err(format!("x {x:?}, grid {grid:?} and dy {dy:?}"));
        }
        let mut input = [1; 3];
        input[3 - rank..].copy_from_slice(&x[2..]);
        Ok(Self { images: x[0], channels: x[1], input, positions: grid[1..=rank].iter().product(), rank })
    }

    fn plane(&self) -> usize {
        self.input.iter().product()
    }

    fn x_len(&self) -> usize {
        self.images * self.channels * self.plane()
    }

    fn grid_len(&self) -> usize {
        self.images * self.positions * self.rank
    }
}

impl Kernel for GridSampleGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [x, grid, dy] = inputs else { return Err("it takes x, grid and dy".to_owned()) };
        let sizes = Sizes::new(x, grid, dy)?;
        Ok(vec![sizes.x_len() + sizes.grid_len()])
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, x_shape), Arg::F32(grid, grid_shape), Arg::F32(dy, dy_shape)] = inputs else {
            return Err("it takes f32".to_owned());
        };
        let sizes = Sizes::new(x_shape, grid_shape, dy_shape)?;
        output.fill(0.0);
        if x.is_empty() || dy.is_empty() {
            return Ok(());
        }
        let (dx_len, grid_len) = (sizes.channels * sizes.plane(), sizes.positions * sizes.rank);
        let dy_len = sizes.channels * sizes.positions;
        let parts = Disjoint::new(output);
        let axis = self.axis;
        parallel(sizes.images, &|image| {
            #[expect(unsafe_code, reason = "the gradients of an image are written by one task")]
            // SAFETY: images have different parts of both gradients, which stand one after the other.
            let (dx, dgrid) =
                unsafe { (parts.part(image * dx_len, dx_len), parts.part(sizes.x_len() + image * grid_len, grid_len)) };
            let image = Image {
                sizes,
                x: &x[image * dx_len..][..dx_len],
                grid: &grid[image * grid_len..][..grid_len],
                dy: &dy[image * dy_len..][..dy_len],
            };
            image.walk(axis, dx, dgrid);
        });
        Ok(())
    }
}

/// Inputs of one image.
struct Image<'a> {
    sizes: Sizes,
    x: &'a [f32],
    grid: &'a [f32],
    dy: &'a [f32],
}

impl Image<'_> {
    fn walk(&self, axis: Axis, dx: &mut [f32], dgrid: &mut [f32]) {
        let rank = self.sizes.rank;
        for (at, (point, dpoint)) in self.grid.chunks_exact(rank).zip(dgrid.chunks_exact_mut(rank)).enumerate() {
            // The last coordinate of the space, the width, comes first in a point.
            let taps: [Taps; 3] = std::array::from_fn(|i| match 2 - i {
                place if place < rank => axis.taps(point[place], self.sizes.input[i]),
                _ => Taps::whole(),
            });
            let slopes = self.point(&taps, at, dx);
            dpoint.iter_mut().enumerate().for_each(|(place, slope)| *slope = slopes[2 - place]);
        }
    }

    /// Adds one position to the gradient of x; the gradients of its coordinates.
    fn point(&self, taps: &[Taps; 3], at: usize, dx: &mut [f32]) -> [f32; 3] {
        let [_, height, width] = self.sizes.input;
        let (plane, positions) = (self.sizes.plane(), self.sizes.positions);
        let mut slopes = [0.0; 3];
        for (z, wz, sz) in taps[0].iter() {
            for (y, wy, sy) in taps[1].iter() {
                for (x, wx, sx) in taps[2].iter() {
                    let place = (z * height + y) * width + x;
                    let weight = wz * wy * wx;
                    let mut sum = 0.0;
                    for channel in 0..self.sizes.channels {
                        let dy = self.dy[channel * positions + at];
                        dx[channel * plane + place] += dy * weight;
                        sum += dy * self.x[channel * plane + place];
                    }
                    slopes[0] += sum * sz * wy * wx;
                    slopes[1] += sum * wz * sy * wx;
                    slopes[2] += sum * wz * wy * sx;
                }
            }
        }
        slopes
    }
}

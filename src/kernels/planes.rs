//! ConvWeightGrad of narrow groups: every element of dw is a dot product of a plane of dy with a shifted plane of x.
//!
//! Planes of x are copied with their padding and split by the phase of the stride, so that a shift by any tap is contiguous and both
//! operands can be read from end to end.

use super::Parallel;
use super::buffers::Buffers;
use super::disjoint::Disjoint;
use super::geometry::Geometry;

/// Lanes of a dot product, summed in a fixed order at the end.
const LANES: usize = 16;

/// A padded plane split by phase: `rows × pitch` for each of the `phases`.
struct Layout {
    phases: [usize; 2],
    rows: usize,
    pitch: usize,
}

impl Layout {
    fn new(g: &Geometry) -> Self {
        let reach = |i: usize| (g.kernel[i] - 1) * g.dilations[i] / g.strides[i];
        // One row more than is needed takes the shift along the last row.
        let (rows, pitch) = (g.output[1] + reach(1) + 1, g.output[2] + reach(2));
        Self { phases: [g.strides[1].min(taps_reach(g, 1)), g.strides[2].min(taps_reach(g, 2))], rows, pitch }
    }

    /// Floats of one phase.
    fn phase(&self) -> usize {
        self.rows * self.pitch
    }

    fn len(&self) -> usize {
        self.phases[0] * self.phases[1] * self.phase()
    }
}

/// Phases of the stride that any tap meets lie below this.
fn taps_reach(g: &Geometry, i: usize) -> usize {
    (g.kernel[i] - 1) * g.dilations[i] + 1
}

pub(super) fn run(g: &Geometry, x: &[f32], dy: &[f32], dw: &Disjoint, buffers: &Buffers, parallel: Parallel) {
    let layout = Layout::new(g);
    let (channels, outputs) = (g.group_channels(), g.group_outputs());
    let length = g.output[1] * layout.pitch;
    // A slice of x for each depth, one slice of dy.
    parallel(g.group, &|group| {
        buffers.with(layout.len() + length, |buffer| {
            let (plane, gradient) = buffer.split_at_mut(layout.len());
            #[expect(unsafe_code, reason = "each group is written by one task")]
            // SAFETY: groups do not overlap in dw and each index is run once.
            let out = unsafe {
                let size = outputs * channels * g.taps();
                dw.part(group * size, size)
            };
            out.fill(0.0);
            for image in 0..g.images {
                for channel in 0..channels {
                    let source = &x[(image * g.channels + group * channels + channel) * g.plane()..][..g.plane()];
                    for depth in 0..g.input[0] {
                        let slice = &source[depth * g.input[1] * g.input[2]..][..g.input[1] * g.input[2]];
                        split(g, &layout, slice, plane);
                        for output in 0..outputs {
                            let dy =
                                &dy[(image * g.outputs + group * outputs + output) * g.positions()..][..g.positions()];
                            let out = &mut out[(output * channels + channel) * g.taps()..][..g.taps()];
                            add_slice(g, &layout, depth, plane, dy, gradient, out);
                        }
                    }
                }
            }
        });
    });
}

/// Adds what one depth slice of x gives to the taps of one pair of channels.
fn add_slice(
    g: &Geometry,
    layout: &Layout,
    depth: usize,
    plane: &[f32],
    dy: &[f32],
    gradient: &mut [f32],
    out: &mut [f32],
) {
    let area = g.output[1] * g.output[2];
    for (od, dy) in dy.chunks_exact(area).enumerate() {
        let Some(kd) = (0..g.kernel[0]).find(|kd| g.source(0, od, *kd) == Some(depth)) else { continue };
        for (row, line) in dy.chunks_exact(g.output[2]).zip(gradient.chunks_exact_mut(layout.pitch)) {
            line[..g.output[2]].copy_from_slice(row);
            line[g.output[2]..].fill(0.0);
        }
        let out = &mut out[kd * g.kernel[1] * g.kernel[2]..][..g.kernel[1] * g.kernel[2]];
        for (tap, sum) in out.iter_mut().enumerate() {
            let at = [tap / g.kernel[2] * g.dilations[1], tap % g.kernel[2] * g.dilations[2]];
            let phase = at[0] % g.strides[1] * layout.phases[1] + at[1] % g.strides[2];
            let start = phase * layout.phase() + at[0] / g.strides[1] * layout.pitch + at[1] / g.strides[2];
            *sum += dot(gradient, &plane[start..]);
        }
    }
}

/// Copies a slice with its padding, split by phase: `plane[phase][row][column]` is x at `row·stride + phase − pad`.
fn split(g: &Geometry, layout: &Layout, slice: &[f32], plane: &mut [f32]) {
    let width = g.input[2];
    for (number, part) in plane.chunks_exact_mut(layout.phase()).enumerate() {
        let (vertical, horizontal) = (number / layout.phases[1], number % layout.phases[1]);
        for (row, line) in part.chunks_exact_mut(layout.pitch).enumerate() {
            let place = (row * g.strides[1] + vertical).checked_sub(g.begin[1]).filter(|h| *h < g.input[1]);
            let Some(h) = place else {
                line.fill(0.0);
                continue;
            };
            let source = &slice[h * width..][..width];
            // Columns of this phase that lie in x.
            let first = g.begin[2].saturating_sub(horizontal).div_ceil(g.strides[2]).min(line.len());
            let last = (width + g.begin[2]).saturating_sub(horizontal).div_ceil(g.strides[2]).clamp(first, line.len());
            line[..first].fill(0.0);
            line[last..].fill(0.0);
            if first < last {
                let start = first * g.strides[2] + horizontal - g.begin[2];
                for (to, from) in line[first..last].iter_mut().zip(source[start..].iter().step_by(g.strides[2])) {
                    *to = *from;
                }
            }
        }
    }
}

/// Σ a·b over the length of `a`.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    let mut lanes = [0.0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

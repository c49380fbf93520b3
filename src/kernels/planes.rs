//! ConvWeightGrad of narrow groups: every element of dw is a dot product of a plane of dy with a shifted plane of x.
//!
//! Both operands are read from end to end, since a shift by any tap is contiguous in the layout of x.

use super::Parallel;
use super::buffers;
use super::disjoint::Disjoint;
use super::geometry::Geometry;
use super::layout::Layout;
use super::shifts::{self, Shift};

pub(super) fn run(g: &Geometry, x: &[f32], dy: &[f32], dw: &Disjoint, parallel: Parallel) {
    let layout = Layout::of_taps(g);
    let shifts: Vec<Shift> = g.slice_taps().map(|(tap, at)| Shift { start: layout.offset(at), tap }).collect();
    let (channels, outputs) = (g.group_channels(), g.group_outputs());
    // Slices of dy stand in the pitch of x with zeros between; blocks read past the end of the last shifted plane.
    let length = shifts::padded(g.output[1] * layout.pitch);
    let room = layout.len() + shifts::BLOCK;
    let (area_x, area_y) = (g.input[1] * g.input[2], g.output[1] * g.output[2]);
    parallel(g.group, &|group| {
        buffers::with(room + g.output[0] * outputs * length, |buffer| {
            let (plane, gradients) = buffer.split_at_mut(room);
            plane[layout.len()..].fill(0.0);
            #[expect(unsafe_code, reason = "each group is written by one task")]
            // SAFETY: groups do not overlap in dw and each index is run once.
            let out = unsafe {
                let size = outputs * channels * g.taps();
                dw.part(group * size, size)
            };
            out.fill(0.0);
            for image in 0..g.images {
                let planes = &dy[(image * g.outputs + group * outputs) * g.positions()..][..outputs * g.positions()];
                for (slice, gradient) in planes.chunks_exact(area_y).zip(gradients.chunks_exact_mut(length)) {
                    spread(slice, g.output[2], gradient, layout.pitch);
                }
                for channel in 0..channels {
                    let source = &x[(image * g.channels + group * channels + channel) * g.plane()..][..g.plane()];
                    for (depth, slice) in source.chunks_exact(area_x).enumerate() {
                        layout.split(slice, plane);
                        // Slices of dy that a tap along the depth brings to this slice of x.
                        let met = (0..g.output[0] * g.kernel[0]).map(|i| (i / g.kernel[0], i % g.kernel[0]));
                        for (od, kd) in met.filter(|(od, kd)| g.source(0, *od, *kd) == Some(depth)) {
                            for output in 0..outputs {
                                let gradient = &gradients[(output * g.output[0] + od) * length..][..length];
                                let at = ((output * channels + channel) * g.kernel[0] + kd) * shifts.len();
                                shifts::dots(gradient, plane, &shifts, &mut out[at..][..shifts.len()]);
                            }
                        }
                    }
                }
            }
        });
    });
}

/// Copies rows of `width` to the distance `pitch`, zeros between and after.
fn spread(rows: &[f32], width: usize, out: &mut [f32], pitch: usize) {
    let count = rows.len() / width;
    for (row, line) in rows.chunks_exact(width).zip(out.chunks_exact_mut(pitch)) {
        line[..width].copy_from_slice(row);
        line[width..].fill(0.0);
    }
    out[count * pitch..].fill(0.0);
}

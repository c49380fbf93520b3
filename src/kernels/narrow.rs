//! Convolutions of narrow groups and their data gradient, plane by plane: every plane of the result is a sum of shifted planes.
//!
//! Forward, planes of x are split by the phase of the stride and summed into one plane of y. Backward, planes of dy are summed
//! into each phase of dx. A plane is small and stays in the first-level cache; sums run over taps in their order, then channels.

use super::Parallel;
use super::buffers;
use super::disjoint::Disjoint;
use super::geometry::Geometry;
use super::layout::Layout;
use super::shifts::{self, Shift};

/// Tasks that the planes are shared out to, for machines with many cores.
const TASKS: usize = 128;

/// Which way a convolution is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// y from x.
    Forward,
    /// dx from dy.
    Backward,
}

/// A phase of the result.
struct Phase {
    /// Row and column where it starts, and rows and columns that it has; they are `step` apart.
    first: [usize; 2],
    size: [usize; 2],
    /// The shifted source planes that sum to it: where they start and which tap of a kernel slice weighs them.
    shifts: Vec<Shift>,
}

/// How planes of the result come from planes of the source.
struct Scheme {
    source: Layout,
    step: [usize; 2],
    phases: Vec<Phase>,
}

impl Scheme {
    fn new(g: &Geometry, way: Way) -> Self {
        match way {
            Way::Forward => Self::forward(g),
            Way::Backward => Self::backward(g),
        }
    }

    fn forward(g: &Geometry) -> Self {
        let source = Layout::of_taps(g);
        let shifts = g.slice_taps().map(|(tap, at)| Shift { start: source.offset(at), tap }).collect();
        Self { source, step: [1, 1], phases: vec![Phase { first: [0, 0], size: [g.output[1], g.output[2]], shifts }] }
    }

    /// dx at h = q·s + r sums the taps whose place r + p − k·d is a multiple of s: dy at q + (r + p − k·d) / s.
    fn backward(g: &Geometry) -> Self {
        let strides = [g.strides[1], g.strides[2]];
        let step = strides.map(|s| s as isize);
        let dilations = [g.dilations[1] as isize, g.dilations[2] as isize];
        let begin = [g.begin[1] as isize, g.begin[2] as isize];
        let (input, output) = ([g.input[1], g.input[2]], [g.output[1], g.output[2]]);
        let kernel = [g.kernel[1] as isize, g.kernel[2] as isize];
        // Shifts lie between these, whatever the phase.
        let lowest = [0, 1].map(|i| (begin[i] - (kernel[i] - 1) * dilations[i]).div_euclid(step[i]));
        let highest = [0, 1].map(|i| (begin[i] + step[i] - 1).div_euclid(step[i]));
        let before = lowest.map(|low| (-low).max(0) as usize);
        let across = [0, 1].map(|i| input[i].div_ceil(strides[i]) + highest[i].max(0) as usize);
        let source = Layout {
            size: output,
            begin: before,
            strides: [1, 1],
            phases: [1, 1],
            // One row more takes the shift along the last row.
            rows: before[0] + across[0] + 1,
            pitch: before[1] + across[1],
        };
        let mut phases = Vec::new();
        for first in (0..strides[0]).flat_map(|a| (0..strides[1]).map(move |b| [a, b])) {
            let size = [0, 1].map(|i| input[i].saturating_sub(first[i]).div_ceil(strides[i]));
            let place = |i: usize, at: usize| first[i] as isize + begin[i] - at as isize;
            let shifts = g.slice_taps().filter_map(|(tap, at)| {
                let places = [place(0, at[0]), place(1, at[1])];
                let met = [0, 1].iter().all(|i| places[*i].rem_euclid(step[*i]) == 0);
                let shift = [0, 1].map(|i| (places[i].div_euclid(step[i]) + before[i] as isize) as usize);
                met.then(|| Shift { start: source.offset(shift), tap })
            });
            phases.push(Phase { first, size, shifts: shifts.collect() });
        }
        Self { source, step: strides, phases }
    }

    /// Floats of the largest sum.
    fn sum(&self) -> usize {
        let rows = self.phases.iter().map(|phase| phase.size[0]).max().unwrap_or(0);
        shifts::padded(rows * self.source.pitch)
    }
}

/// Fills `result` (y or dx) from `source` (x or dy) and the weights [M, C/group, kernel…].
pub(super) fn run(g: &Geometry, way: Way, source: &[f32], w: &[f32], result: &Disjoint, parallel: Parallel) {
    let scheme = Scheme::new(g, way);
    let (from, to) = match way {
        Way::Forward => (g.group_channels(), g.group_outputs()),
        Way::Backward => (g.group_outputs(), g.group_channels()),
    };
    let (depth_from, depth_to) = match way {
        Way::Forward => (g.input[0], g.output[0]),
        Way::Backward => (g.output[0], g.input[0]),
    };
    let area = |size: [usize; 3]| size[1] * size[2];
    let (area_from, area_to) = match way {
        Way::Forward => (area(g.input), area(g.output)),
        Way::Backward => (area(g.output), area(g.input)),
    };
    let pairs = g.images * g.group;
    let each = pairs.div_ceil(TASKS).max(1);
    let slices = from * depth_from;
    let plane = scheme.source.len();
    // Blocks read past the end of the last shifted plane.
    let room = slices * plane + shifts::BLOCK;
    parallel(pairs.div_ceil(each), &|task| {
        buffers::with(room + scheme.sum(), |buffer| {
            let (planes, sum) = buffer.split_at_mut(room);
            planes[slices * plane..].fill(0.0);
            for pair in task * each..((task + 1) * each).min(pairs) {
                for (slice, part) in (0..slices).zip(planes.chunks_exact_mut(plane)) {
                    scheme.source.split(&source[(pair * slices + slice) * area_from..][..area_from], part);
                }
                for target in 0..to * depth_to {
                    #[expect(unsafe_code, reason = "each plane of the result is written by one task")]
                    // SAFETY: planes do not overlap, pairs of an image and a group are shared out, and each is met once.
                    let out = unsafe { result.part((pair * to * depth_to + target) * area_to, area_to) };
                    let (channel, depth) = (target / depth_to, target % depth_to);
                    let terms = (0..from).flat_map(|other| {
                        (0..g.kernel[0]).filter_map(move |kd| {
                            let at = match way {
                                Way::Forward => g.source(0, depth, kd),
                                Way::Backward => (0..depth_from).find(|od| g.source(0, *od, kd) == Some(depth)),
                            }?;
                            let (c, m) = if way == Way::Forward { (other, channel) } else { (channel, other) };
                            let output = pair % g.group * g.group_outputs() + m;
                            let slice = g.kernel[1] * g.kernel[2];
                            let weights = ((output * g.group_channels() + c) * g.kernel[0] + kd) * slice;
                            Some((other * depth_from + at, &w[weights..][..slice]))
                        })
                    });
                    fill(&scheme, planes, &terms, sum, out, area_shape(g, way));
                }
            }
        });
    });
}

/// Columns of a plane of the result.
fn area_shape(g: &Geometry, way: Way) -> usize {
    if way == Way::Forward { g.output[2] } else { g.input[2] }
}

/// Makes one plane of the result from its terms: source slices with the kernel slices that weigh their shifts.
fn fill<'a>(
    scheme: &Scheme,
    planes: &[f32],
    terms: &(impl Iterator<Item = (usize, &'a [f32])> + Clone),
    sum: &mut [f32],
    out: &mut [f32],
    width: usize,
) {
    let (pitch, plane) = (scheme.source.pitch, scheme.source.len());
    for phase in &scheme.phases {
        let [rows, columns] = phase.size;
        let sum = &mut sum[..shifts::padded(rows * pitch)];
        let mut add = false;
        for (slice, weights) in terms.clone() {
            shifts::sum(sum, &planes[slice * plane..], &phase.shifts, weights, add);
            add = true;
        }
        if !add {
            sum.fill(0.0);
        }
        for (row, line) in (0..rows).zip(sum.chunks_exact(pitch)) {
            let out = &mut out[(phase.first[0] + row * scheme.step[0]) * width + phase.first[1]..];
            if scheme.step[1] == 1 {
                out[..columns].copy_from_slice(&line[..columns]);
            } else {
                for (to, from) in out.iter_mut().step_by(scheme.step[1]).zip(&line[..columns]) {
                    *to = *from;
                }
            }
        }
    }
}

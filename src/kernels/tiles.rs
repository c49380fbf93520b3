//! ConvWeightGrad by matrix products: each task makes one tile of dw, [output channels] × [columns], a column being an input channel
//! with a tap.

use super::Parallel;
use super::buffers::Buffers;
use super::disjoint::Disjoint;
use super::geometry::Geometry;
use std::ops::Range;

/// Positions that are gathered at a time, so that the columns of a tile stay in the second-level cache.
const DEPTH: usize = 512;
/// Columns of a tile at least and at most.
const COLUMNS: (usize, usize) = (96, 288);
/// Output channels of a tile at most.
const OUTPUTS: usize = 256;
/// Tiles that are wanted, for machines with many cores. It must not depend on the machine, since bits depend on the tiles.
const WANTED: usize = 16;

/// How dw is cut.
struct Cut {
    /// Output channels of a tile.
    rows: usize,
    /// Columns of a tile.
    columns: usize,
    /// Tiles of a group along both.
    grid: [usize; 2],
}

impl Cut {
    fn new(geometry: &Geometry) -> Self {
        let columns = geometry.group_channels() * geometry.taps();
        let outputs = geometry.group_outputs();
        let wide = columns.div_ceil(WANTED).next_multiple_of(16).clamp(COLUMNS.0, COLUMNS.1).min(columns);
        let across = columns.div_ceil(wide);
        // Where there are few columns, output channels are shared out too.
        let wanted = WANTED.div_ceil(across * geometry.group);
        let high = outputs.div_ceil(wanted).next_multiple_of(16).clamp(48, OUTPUTS).min(outputs);
        Self { rows: high, columns: wide, grid: [outputs.div_ceil(high), across] }
    }
}

pub(super) fn run(g: &Geometry, x: &[f32], dy: &[f32], dw: &Disjoint, buffers: &Buffers, parallel: Parallel) {
    let cut = Cut::new(g);
    let all = g.group_channels() * g.taps();
    let depth = DEPTH.min(g.images * g.positions());
    let sizes = [cut.rows * cut.columns, cut.columns * depth, cut.rows * depth];
    parallel(g.group * cut.grid[0] * cut.grid[1], &|task| {
        let (group, task) = (task / (cut.grid[0] * cut.grid[1]), task % (cut.grid[0] * cut.grid[1]));
        let (row, column) = (task / cut.grid[1] * cut.rows, task % cut.grid[1] * cut.columns);
        let tile = Tile {
            g,
            x,
            dy,
            group,
            rows: row..(row + cut.rows).min(g.group_outputs()),
            columns: column..(column + cut.columns).min(all),
        };
        buffers.with(sizes.iter().sum(), |buffer| {
            let (sum, buffer) = buffer.split_at_mut(sizes[0]);
            let (columns, rows) = buffer.split_at_mut(sizes[1]);
            tile.sum(sum, columns, rows);
            for (i, line) in sum.chunks_exact(tile.columns.len()).take(tile.rows.len()).enumerate() {
                let at = (group * g.group_outputs() + tile.rows.start + i) * all + tile.columns.start;
                #[expect(unsafe_code, reason = "tiles of dw do not overlap")]
                // SAFETY: the tiles partition dw, and each is made by one task.
                let out = unsafe { dw.part(at, line.len()) };
                out.copy_from_slice(line);
            }
        });
    });
}

/// Positions, counted over all images, that are gathered together with the one at `start`: whole images when they are small, equal
/// parts of one image when they are large.
fn chunk(g: &Geometry, start: usize) -> Range<usize> {
    let positions = g.positions();
    let total = g.images * positions;
    if positions >= DEPTH {
        let image = start / positions * positions;
        let part = positions.div_ceil(positions.div_ceil(DEPTH));
        let begin = image + (start - image) / part * part;
        begin..(begin + part).min(image + positions)
    } else {
        let part = DEPTH / positions * positions;
        let begin = start / part * part;
        begin..(begin + part).min(total)
    }
}

struct Tile<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    dy: &'a [f32],
    group: usize,
    /// Output channels within the group.
    rows: Range<usize>,
    /// Columns within the group.
    columns: Range<usize>,
}

impl Tile<'_> {
    /// Σ over all chunks of positions, in order.
    fn sum(&self, sum: &mut [f32], columns: &mut [f32], rows: &mut [f32]) {
        let positions = self.g.positions();
        let total = self.g.images * positions;
        let mut at = 0;
        while at < total {
            let chunk = chunk(self.g, at);
            let image = chunk.start / positions;
            let single = chunk.end <= (image + 1) * positions;
            let first = self.group * self.g.group_outputs() + self.rows.start;
            let lhs: (&[f32], usize) = if single {
                let start = (image * self.g.outputs + first) * positions + (chunk.start - image * positions);
                (&self.dy[start..], positions)
            } else {
                self.gather_rows(&chunk, rows);
                (&*rows, chunk.len())
            };
            let rhs: (&[f32], usize) = if single && self.g.is_pointwise() {
                let channel = self.group * self.g.group_channels() + self.columns.start;
                let start = (image * self.g.channels + channel) * positions + (chunk.start - image * positions);
                (&self.x[start..], positions)
            } else {
                self.gather_columns(&chunk, columns);
                (&*columns, chunk.len())
            };
            product(sum, [self.rows.len(), self.columns.len(), chunk.len()], lhs, rhs, at > 0);
            at = chunk.end;
        }
    }

    /// dy for whole images side by side: a row for each output channel.
    fn gather_rows(&self, chunk: &Range<usize>, rows: &mut [f32]) {
        let positions = self.g.positions();
        for (row, line) in self.rows.clone().zip(rows.chunks_exact_mut(chunk.len())) {
            let channel = self.group * self.g.group_outputs() + row;
            for (image, part) in (chunk.start / positions..).zip(line.chunks_exact_mut(positions)) {
                part.copy_from_slice(&self.dy[(image * self.g.outputs + channel) * positions..][..positions]);
            }
        }
    }

    /// x under each tap: a row for each column of dw.
    fn gather_columns(&self, chunk: &Range<usize>, columns: &mut [f32]) {
        let g = self.g;
        let taps = g.taps();
        for (column, line) in self.columns.clone().zip(columns.chunks_exact_mut(chunk.len())) {
            let (channel, tap) = (self.group * g.group_channels() + column / taps, column % taps);
            let tap = [tap / (g.kernel[1] * g.kernel[2]), tap / g.kernel[2] % g.kernel[1], tap % g.kernel[2]];
            let inside = g.inside(tap[2]);
            let mut at = chunk.start;
            while at < chunk.end {
                // One row of the output, or the part of it that lies in the chunk.
                let (line_number, from) = (at / g.output[2], at % g.output[2]);
                let to = g.output[2].min(from + chunk.end - at);
                let out = &mut line[at - chunk.start..][..to - from];
                let (image, od, oh) = (
                    line_number / (g.output[0] * g.output[1]),
                    line_number / g.output[1] % g.output[0],
                    line_number % g.output[1],
                );
                match (g.source(0, od, tap[0]), g.source(1, oh, tap[1])) {
                    (Some(d), Some(h)) => {
                        let start = (((image * g.channels + channel) * g.input[0] + d) * g.input[1] + h) * g.input[2];
                        let source = &self.x[start..][..g.input[2]];
                        copy_row(g, source, tap[2], inside.clone(), from..to, out);
                    }
                    _ => out.fill(0.0),
                }
                at += to - from;
            }
        }
    }
}

/// Fills `out`, the output positions `wanted` of a row, from a row of x; `inside` are those whose tap lies in x.
fn copy_row(g: &Geometry, source: &[f32], tap: usize, inside: Range<usize>, wanted: Range<usize>, out: &mut [f32]) {
    let first = inside.start.clamp(wanted.start, wanted.end);
    let last = inside.end.clamp(first, wanted.end);
    out[..first - wanted.start].fill(0.0);
    out[last - wanted.start..].fill(0.0);
    if first == last {
        return;
    }
    let out = &mut out[first - wanted.start..last - wanted.start];
    let start = first * g.strides[2] + tap * g.dilations[2] - g.begin[2];
    if g.strides[2] == 1 {
        out.copy_from_slice(&source[start..start + out.len()]);
    } else {
        for (to, from) in out.iter_mut().zip(source[start..].iter().step_by(g.strides[2])) {
            *to = *from;
        }
    }
}

/// sum [m, n] (+)= lhs [m, k] · rhs [n, k]ᵀ, each operand with the distance between its rows.
fn product(sum: &mut [f32], [m, n, k]: [usize; 3], lhs: (&[f32], usize), rhs: (&[f32], usize), add: bool) {
    let fits =
        |slice: &[f32], rows: usize, pitch: usize, width: usize| rows > 0 && slice.len() >= (rows - 1) * pitch + width;
    assert!(fits(sum, m, n, n) && fits(lhs.0, m, lhs.1, k) && fits(rhs.0, n, rhs.1, k), "operands of a product");
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: the assertion above holds every element that the strides reach within its slice; `sum` is borrowed mutably and hence
    // does not alias the operands.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            sum.as_mut_ptr(),
            1,
            n as isize,
            add,
            lhs.0.as_ptr(),
            1,
            lhs.1 as isize,
            rhs.0.as_ptr(),
            rhs.1 as isize,
            1,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

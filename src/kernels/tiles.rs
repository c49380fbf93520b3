//! ConvWeightGrad by matrix products: each task makes one tile of dw, [output channels] × [columns], a column being an input channel
//! with a tap.

use super::Parallel;
use super::buffers;
use super::disjoint::Disjoint;
use super::geometry::Geometry;
use super::product::{Matrix, product};
use std::ops::Range;

/// Positions that are gathered at a time, so that the columns of a tile stay in the second-level cache.
const DEPTH: usize = 784;
/// Columns and output channels of a tile at most.
const COLUMNS: usize = 288;
const OUTPUTS: usize = 256;
/// Tasks that are wanted, for machines with many cores. It must not depend on the machine, since bits depend on the tasks.
const WANTED: usize = 16;

/// How the work is cut: dw into tiles, and where these are few, images into parts that are summed at the end.
struct Cut {
    /// Output channels of a tile.
    rows: usize,
    /// Columns of a tile.
    columns: usize,
    /// Tiles of a group along both.
    grid: [usize; 2],
    /// Parts of the images.
    parts: usize,
}

impl Cut {
    fn new(geometry: &Geometry) -> Self {
        let even = |size: usize, most: usize| size.div_ceil(size.div_ceil(most)).next_multiple_of(8).min(size);
        let (outputs, columns) = (geometry.group_outputs(), geometry.group_channels() * geometry.taps());
        let (rows, wide) = (even(outputs, OUTPUTS), even(columns, COLUMNS));
        let grid = [outputs.div_ceil(rows), columns.div_ceil(wide)];
        let parts = WANTED.div_ceil(geometry.group * grid[0] * grid[1]).min(geometry.images);
        Self { rows, columns: wide, grid, parts }
    }

    fn tiles(&self) -> usize {
        self.grid[0] * self.grid[1]
    }
}

/// Distance of gathered rows: rows that are a power of two apart would fall on one another in the cache.
fn pitch(width: usize) -> usize {
    let wide = width.next_multiple_of(16);
    if wide.is_multiple_of(128) { wide + 16 } else { wide }
}

pub(super) fn run(g: &Geometry, x: &[f32], dy: &[f32], dw: &Disjoint, parallel: Parallel) {
    let cut = Cut::new(g);
    if cut.parts == 1 {
        add_up(g, &cut, x, dy, dw, parallel);
        return;
    }
    let size = g.dw_len();
    buffers::with(cut.parts * size, |sums| {
        add_up(g, &cut, x, dy, &Disjoint::new(sums), parallel);
        let each = size.div_ceil(WANTED);
        parallel(size.div_ceil(each), &|task| {
            #[expect(unsafe_code, reason = "each part of dw is written by one task")]
            // SAFETY: ranges of `each` elements do not overlap and each index is run once.
            let out = unsafe { dw.part(task * each, each) };
            out.copy_from_slice(&sums[task * each..][..out.len()]);
            for part in 1..cut.parts {
                for (out, more) in out.iter_mut().zip(&sums[part * size + task * each..]) {
                    *out += more;
                }
            }
        });
    });
}

/// Fills `sums`, a dw for each part of the images.
fn add_up(g: &Geometry, cut: &Cut, x: &[f32], dy: &[f32], sums: &Disjoint, parallel: Parallel) {
    let all = g.group_channels() * g.taps();
    let depth = pitch(DEPTH.min(g.images * g.positions()));
    let sizes = [cut.rows * cut.columns, cut.columns * depth, cut.rows * depth];
    let images = g.images.div_ceil(cut.parts);
    parallel(g.group * cut.tiles() * cut.parts, &|task| {
        let (part, task) = (task / (g.group * cut.tiles()), task % (g.group * cut.tiles()));
        let (group, task) = (task / cut.tiles(), task % cut.tiles());
        let (row, column) = (task / cut.grid[1] * cut.rows, task % cut.grid[1] * cut.columns);
        let tile = Tile {
            g,
            x,
            dy,
            group,
            images: (part * images).min(g.images)..((part + 1) * images).min(g.images),
            rows: row..(row + cut.rows).min(g.group_outputs()),
            columns: column..(column + cut.columns).min(all),
        };
        buffers::with(sizes.iter().sum(), |buffer| {
            let (sum, buffer) = buffer.split_at_mut(sizes[0]);
            let (columns, rows) = buffer.split_at_mut(sizes[1]);
            tile.sum(sum, columns, rows);
            let [down, right] = strides(tile.rows.len(), tile.columns.len());
            for (i, row) in tile.rows.clone().enumerate() {
                let at = (group * g.group_outputs() + row) * all + tile.columns.start;
                #[expect(unsafe_code, reason = "tiles of dw do not overlap")]
                // SAFETY: the tiles partition each dw, and each is made by one task.
                let out = unsafe { sums.part(part * g.dw_len() + at, tile.columns.len()) };
                for (out, sum) in out.iter_mut().zip(sum[i * down..].iter().step_by(right)) {
                    *out = *sum;
                }
            }
        });
    });
}

/// Positions, counted over all images, that are gathered from `start` on: whole images when they are small, equal parts of one image
/// when they are large. None lies at or after `end`.
fn chunk(g: &Geometry, start: usize, end: usize) -> Range<usize> {
    let positions = g.positions();
    if positions >= DEPTH {
        let image = start / positions * positions;
        let part = positions.div_ceil(positions.div_ceil(DEPTH));
        let begin = image + (start - image) / part * part;
        begin..(begin + part).min(image + positions)
    } else {
        let part = DEPTH / positions * positions;
        start..(start + part).min(end)
    }
}

struct Tile<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    dy: &'a [f32],
    group: usize,
    images: Range<usize>,
    /// Output channels within the group.
    rows: Range<usize>,
    /// Columns within the group.
    columns: Range<usize>,
}

impl Tile<'_> {
    /// Σ over all chunks of positions, in order.
    fn sum(&self, sum: &mut [f32], columns: &mut [f32], rows: &mut [f32]) {
        let positions = self.g.positions();
        let (begin, end) = (self.images.start * positions, self.images.end * positions);
        if begin == end {
            sum.fill(0.0);
        }
        let mut at = begin;
        while at < end {
            let chunk = chunk(self.g, at, end);
            let image = chunk.start / positions;
            let single = chunk.end <= (image + 1) * positions;
            let first = self.group * self.g.group_outputs() + self.rows.start;
            let lhs: (&[f32], usize) = if single {
                let start = (image * self.g.outputs + first) * positions + (chunk.start - image * positions);
                (&self.dy[start..], positions)
            } else {
                gather(self.dy, self.g.outputs, positions, first..first + self.rows.len(), &chunk, rows);
                (&*rows, pitch(chunk.len()))
            };
            let rhs: (&[f32], usize) = if single && self.g.is_pointwise() {
                let channel = self.group * self.g.group_channels() + self.columns.start;
                let start = (image * self.g.channels + channel) * positions + (chunk.start - image * positions);
                (&self.x[start..], positions)
            } else {
                self.gather_columns(&chunk, columns);
                (&*columns, pitch(chunk.len()))
            };
            multiply(sum, [self.rows.len(), self.columns.len(), chunk.len()], lhs, rhs, at > begin);
            at = chunk.end;
        }
    }

    /// x under each tap: a row for each column of dw.
    fn gather_columns(&self, chunk: &Range<usize>, columns: &mut [f32]) {
        let g = self.g;
        let taps = g.taps();
        if g.is_pointwise() {
            let first = self.group * g.group_channels();
            gather(
                self.x,
                g.channels,
                g.positions(),
                first + self.columns.start..first + self.columns.end,
                chunk,
                columns,
            );
            return;
        }
        for (column, line) in self.columns.clone().zip(columns.chunks_exact_mut(pitch(chunk.len()))) {
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

/// Planes of whole images side by side: a row for each of some channels.
fn gather(from: &[f32], all: usize, plane: usize, channels: Range<usize>, chunk: &Range<usize>, rows: &mut [f32]) {
    for (channel, line) in channels.zip(rows.chunks_exact_mut(pitch(chunk.len()))) {
        for (image, part) in (chunk.start / plane..).zip(line[..chunk.len()].chunks_exact_mut(plane)) {
            part.copy_from_slice(&from[(image * all + channel) * plane..][..plane]);
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

/// Distances of rows and columns in a sum [m, n]: the longer side is contiguous, as the gemm crate is fastest.
fn strides(m: usize, n: usize) -> [usize; 2] {
    if m > n { [n, 1] } else { [1, m] }
}

/// sum [m, n] (+)= lhs [m, k] · rhs [n, k]ᵀ, each operand with the distance between its rows, the sum with its [`strides`].
fn multiply(sum: &mut [f32], [m, n, k]: [usize; 3], lhs: (&[f32], usize), rhs: (&[f32], usize), add: bool) {
    let (lhs, rhs) = (Matrix::rows(lhs.0, lhs.1), Matrix::rows(rhs.0, rhs.1));
    if strides(m, n) == [n, 1] {
        product(sum, [m, n, k], lhs, rhs.transposed(), add);
    } else {
        product(sum, [n, m, k], rhs, lhs.transposed(), add);
    }
}

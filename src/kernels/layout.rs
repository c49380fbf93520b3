//! A plane copied with its padding and split by the phase of a stride, so that a shift by any tap is contiguous.

use super::geometry::Geometry;

/// `phases[0] · phases[1]` parts of `rows × pitch` floats; part (a, b) holds the plane at `row · stride + (a, b) − begin`.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Size of the plane.
    pub(super) size: [usize; 2],
    /// Zeros before the plane.
    pub(super) begin: [usize; 2],
    pub(super) strides: [usize; 2],
    /// Phases of the stride that are kept, the first ones.
    pub(super) phases: [usize; 2],
    pub(super) rows: usize,
    pub(super) pitch: usize,
}

impl Layout {
    /// The layout of a slice of x under the taps of a kernel. One row more than is needed takes the shift along the last row.
    pub(super) fn of_taps(g: &Geometry) -> Self {
        let reach = |i: usize| (g.kernel[i] - 1) * g.dilations[i];
        Self {
            size: [g.input[1], g.input[2]],
            begin: [g.begin[1], g.begin[2]],
            strides: [g.strides[1], g.strides[2]],
            // Phases that any tap meets.
            phases: [1, 2].map(|i| g.strides[i].min(reach(i) + 1)),
            rows: g.output[1] + reach(1) / g.strides[1] + 1,
            pitch: g.output[2] + reach(2) / g.strides[2],
        }
    }

    /// Floats of one phase.
    pub(super) fn phase(&self) -> usize {
        self.rows * self.pitch
    }

    /// Floats of all phases.
    pub(super) fn len(&self) -> usize {
        self.phases[0] * self.phases[1] * self.phase()
    }

    /// Where position (0, 0) shifted by `at` lies.
    pub(super) fn offset(&self, at: [usize; 2]) -> usize {
        let phase = at[0] % self.strides[0] * self.phases[1] + at[1] % self.strides[1];
        phase * self.phase() + at[0] / self.strides[0] * self.pitch + at[1] / self.strides[1]
    }

    /// Fills `parts`, of [`Layout::len`] floats, from a plane.
    pub(super) fn split(&self, plane: &[f32], parts: &mut [f32]) {
        let width = self.size[1];
        for (number, part) in parts.chunks_exact_mut(self.phase()).enumerate() {
            let (vertical, horizontal) = (number / self.phases[1], number % self.phases[1]);
            // Columns of this phase that lie in the plane.
            let first = self.begin[1].saturating_sub(horizontal).div_ceil(self.strides[1]).min(self.pitch);
            let last = (width + self.begin[1]).saturating_sub(horizontal).div_ceil(self.strides[1]);
            let last = last.clamp(first, self.pitch);
            let start = (first * self.strides[1] + horizontal).saturating_sub(self.begin[1]);
            for (row, line) in part.chunks_exact_mut(self.pitch).enumerate() {
                let place = (row * self.strides[0] + vertical).checked_sub(self.begin[0]).filter(|h| *h < self.size[0]);
                let Some(h) = place.filter(|_| first < last) else {
                    line.fill(0.0);
                    continue;
                };
                let source = &plane[h * width..][..width];
                line[..first].fill(0.0);
                line[last..].fill(0.0);
                let inner = &mut line[first..last];
                if self.strides[1] == 1 {
                    inner.copy_from_slice(&source[start..start + inner.len()]);
                } else {
                    for (to, from) in inner.iter_mut().zip(source[start..].iter().step_by(self.strides[1])) {
                        *to = *from;
                    }
                }
            }
        }
    }
}

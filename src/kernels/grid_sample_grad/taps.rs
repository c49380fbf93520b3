//! Which elements of an axis a coordinate reads, with what weights, and how these change with the coordinate.

/// Elements read along one axis: index, weight, and derivative of the weight with respect to the coordinate of the grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taps {
    taps: [(usize, f32, f32); 4],
    count: usize,
}

impl Taps {
    /// The only plane of an image.
    pub(super) fn whole() -> Self {
        Self { taps: [(0, 1.0, 0.0); 4], count: 1 }
    }

    fn none() -> Self {
        Self { taps: [(0, 0.0, 0.0); 4], count: 0 }
    }

    /// Adds an element unless it lies outside.
    fn push(&mut self, at: f32, size: usize, weight: f32, slope: f32) {
        if at >= 0.0 && at < size as f32 {
            self.taps[self.count] = (at as usize, weight, slope);
            self.count += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, f32, f32)> + '_ {
        self.taps[..self.count].iter().copied()
    }
}

/// How coordinates become elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// 0 linear, 1 nearest, 2 cubic.
    pub(super) mode: i64,
    /// 0 zeros, 1 border, 2 reflection.
    pub(super) padding: i64,
    pub(super) aligned: bool,
}

/// The cubic kernel's parameter, as in ONNX Runtime and torch.
const CUBIC: f32 = -0.75;

impl Axis {
    /// Elements for the coordinate `point` in [−1, 1] of an axis of that size. A coordinate that is not a number reads nothing.
    pub(super) fn taps(self, point: f32, size: usize) -> Taps {
        let scale = if self.aligned { (size as f32 - 1.0) / 2.0 } else { size as f32 / 2.0 };
        let at = if self.aligned { (point + 1.0) * scale } else { (point + 1.0) * scale - 0.5 };
        let mut taps = Taps::none();
        if self.mode == 2 {
            let first = at.floor();
            for (i, (weight, slope)) in cubic(at - first).into_iter().enumerate() {
                // Each element is padded by itself.
                let (at, _) = self.pad(first - 1.0 + i as f32, size);
                taps.push(at.round_ties_even(), size, weight, slope * scale);
            }
            return taps;
        }
        let (at, slope) = self.pad(at, size);
        if self.mode == 1 {
            taps.push(at.round_ties_even(), size, 1.0, 0.0);
            return taps;
        }
        let (first, slope) = (at.floor(), slope * scale);
        taps.push(first, size, first + 1.0 - at, -slope);
        taps.push(first + 1.0, size, at - first, slope);
        taps
    }

    /// A coordinate brought inside, and the derivative of that.
    fn pad(self, at: f32, size: usize) -> (f32, f32) {
        let last = size as f32 - 1.0;
        match self.padding {
            0 => (at, 1.0),
            1 => clamp(at, last),
            _ => {
                let (low, span) = if self.aligned { (0.0, last) } else { (-0.5, size as f32) };
                if span <= 0.0 {
                    return (0.0, 0.0);
                }
                let (from, sign) = if at < low { (low - at, -1.0) } else { (at - low, 1.0) };
                let (turns, rest) = ((from / span).floor(), from % span);
                let back = turns % 2.0 != 0.0;
                let (at, sign) = if back { (span - rest + low, -sign) } else { (rest + low, sign) };
                let (at, inside) = clamp(at, last);
                (at, sign * inside)
            }
        }
    }
}

/// Cut to [0, last]; at and past the ends the derivative is 0, as in torch.
fn clamp(at: f32, last: f32) -> (f32, f32) {
    if at <= 0.0 {
        (0.0, 0.0)
    } else if at >= last {
        (last, 0.0)
    } else {
        (at, 1.0)
    }
}

/// Weights of four neighbours and their derivatives, t from the second.
fn cubic(t: f32) -> [(f32, f32); 4] {
    let a = CUBIC;
    let near = |t: f32| (((a + 2.0) * t - (a + 3.0)) * t * t + 1.0, (3.0 * (a + 2.0) * t - 2.0 * (a + 3.0)) * t);
    let far = |t: f32| (((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a, (3.0 * a * t - 10.0 * a) * t + 8.0 * a);
    let turned = |(weight, slope): (f32, f32)| (weight, -slope);
    [far(t + 1.0), near(t), turned(near(1.0 - t)), turned(far(2.0 - t))]
}

//! Weighted sums of shifted copies of one plane, sum[i] (+)= Σ_t w[tap_t] · plane[start_t + i], and their transpose, dot products of
//! one plane with shifted copies of another, out[tap_t] += Σ_i a[i] · plane[start_t + i].

use pulp::{Arch, Simd, WithSimd};

/// A shifted copy: where it starts in the plane and which weight it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) start: usize,
    pub(super) tap: usize,
}

/// Floats of a block; sums have whole blocks, and planes that many floats past the last one that counts.
pub(super) const BLOCK: usize = 64;

/// Rounds up to whole blocks.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(BLOCK)
}

/// Adds the shifted copies up, in their order for every element. `sum` has whole blocks.
///
/// # Panics
/// Where a shifted copy ends before the sum does.
pub(super) fn sum(sum: &mut [f32], plane: &[f32], shifts: &[Shift], weights: &[f32], add: bool) {
    Arch::new().dispatch(Sum { out: sum, plane, shifts, weights, add });
}

struct Sum<'a> {
    out: &'a mut [f32],
    plane: &'a [f32],
    shifts: &'a [Shift],
    weights: &'a [f32],
    add: bool,
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut at = 0;
        // AVX-512 takes a block in four registers, narrower machines in more.
        while at + 4 * S::F32_LANES <= self.out.len() {
            let (out, _) = S::as_mut_simd_f32s(&mut self.out[at..at + 4 * S::F32_LANES]);
            let mut block = if self.add { [out[0], out[1], out[2], out[3]] } else { [simd.splat_f32s(0.0); 4] };
            for shift in self.shifts {
                let weight = simd.splat_f32s(self.weights[shift.tap]);
                let (source, _) = S::as_simd_f32s(&self.plane[shift.start + at..][..4 * S::F32_LANES]);
                block[0] = simd.mul_add_e_f32s(weight, source[0], block[0]);
                block[1] = simd.mul_add_e_f32s(weight, source[1], block[1]);
                block[2] = simd.mul_add_e_f32s(weight, source[2], block[2]);
                block[3] = simd.mul_add_e_f32s(weight, source[3], block[3]);
            }
            out.copy_from_slice(&block);
            at += 4 * S::F32_LANES;
        }
    }
}

/// Adds the dot products of `a`, which has whole blocks, with the shifted copies. What lies in a shifted copy opposite a zero of `a`
/// must be finite.
///
/// # Panics
/// Where a shifted copy ends before `a` does.
pub(super) fn dots(a: &[f32], plane: &[f32], shifts: &[Shift], out: &mut [f32]) {
    Arch::new().dispatch(Dots { a, plane, shifts, out });
}

struct Dots<'a> {
    a: &'a [f32],
    plane: &'a [f32],
    shifts: &'a [Shift],
    out: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (a, _) = S::as_simd_f32s(self.a);
        // Five dot products at a time read `a` once: a row of a 5×5 kernel.
        let groups = self.shifts.chunks_exact(5);
        for shift in groups.remainder() {
            let (b, _) = S::as_simd_f32s(&self.plane[shift.start..][..self.a.len()]);
            let mut sums = [simd.splat_f32s(0.0); 2];
            for (a, b) in a.chunks_exact(2).zip(b.chunks_exact(2)) {
                sums[0] = simd.mul_add_e_f32s(a[0], b[0], sums[0]);
                sums[1] = simd.mul_add_e_f32s(a[1], b[1], sums[1]);
            }
            self.out[shift.tap] += simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]));
        }
        for group in groups {
            let [b0, b1, b2, b3, b4] =
                [0, 1, 2, 3, 4].map(|t| S::as_simd_f32s(&self.plane[group[t].start..][..self.a.len()]).0);
            let mut sums = [simd.splat_f32s(0.0); 5];
            for (((((a, b0), b1), b2), b3), b4) in a.iter().zip(b0).zip(b1).zip(b2).zip(b3).zip(b4) {
                sums[0] = simd.mul_add_e_f32s(*a, *b0, sums[0]);
                sums[1] = simd.mul_add_e_f32s(*a, *b1, sums[1]);
                sums[2] = simd.mul_add_e_f32s(*a, *b2, sums[2]);
                sums[3] = simd.mul_add_e_f32s(*a, *b3, sums[3]);
                sums[4] = simd.mul_add_e_f32s(*a, *b4, sums[4]);
            }
            for (shift, sum) in group.iter().zip(sums) {
                self.out[shift.tap] += simd.reduce_sum_f32s(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_definition() {
        let plane: Vec<f32> = (0..400).map(|i| (i * 37 % 101) as f32 * 0.01).collect();
        let weights = [0.5, -1.25, 2.0, 0.125];
        let shifts = [(3, 0), (0, 2), (17, 1), (130, 3)].map(|(start, tap)| Shift { start, tap });
        let mut made = vec![1.0; padded(100)];
        assert_eq!(made.len(), 128);
        sum(&mut made, &plane, &shifts, &weights, true);
        for (i, made) in made.iter().enumerate() {
            let wanted: f32 = 1.0 + shifts.iter().map(|s| weights[s.tap] * plane[s.start + i]).sum::<f32>();
            assert!((made - wanted).abs() < 1e-5, "{i}: {made} for {wanted}");
        }
        let mut fresh = vec![f32::NAN; padded(100)];
        sum(&mut fresh, &plane, &shifts, &weights, false);
        assert!(fresh.iter().zip(&made).all(|(a, b)| (a + 1.0 - b).abs() < 1e-5));
    }

    #[test]
    fn dots_are_the_transpose() {
        let a: Vec<f32> = (0..padded(100)).map(|i| if i < 100 { (i * 13 % 29) as f32 - 14.0 } else { 0.0 }).collect();
        let plane: Vec<f32> = (0..400).map(|i| (i * 37 % 101) as f32 * 0.01).collect();
        let shifts: Vec<Shift> = (0..9).map(|tap| Shift { start: tap * 17 % 40, tap }).collect();
        let mut made = [1.0f32; 9];
        dots(&a, &plane, &shifts, &mut made);
        for shift in &shifts {
            let wanted: f32 = 1.0 + a.iter().zip(&plane[shift.start..]).map(|(a, b)| a * b).sum::<f32>();
            let made = made[shift.tap];
            assert!((made - wanted).abs() < 1e-2, "{shift:?}: {made} for {wanted}");
        }
    }
}

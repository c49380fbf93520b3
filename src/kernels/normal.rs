//! The normal distribution and its density, over whole slices at once.
//!
//! Plain arithmetic without branches, which the compiler turns into the instructions of the processor that [`pulp`] found.

/// e^x to two units of the last place; beyond −87.3 and 88 that of these bounds.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding this leaves the whole part in the last bits.
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-87.336_54, 88.02);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let whole = shifted - MAGIC;
    // ln 2 in two parts, so that nothing is lost.
    let r = whole.mul_add(-0.693_359_4, x);
    let r = whole.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 5.000_000_3e-1);
    let p = p.mul_add(r * r, r) + 1.0;
    // A product, so that NaN stays.
    let power = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127).wrapping_shl(23);
    p * f32::from_bits(power)
}

/// Φ(x), to 1.3e-7 of its value and the rounding of x²/2.
///
/// Source: Press et al., "Numerical recipes", third edition, 6.2.2: erfc as e^(−z² + polynomial).
#[inline(always)]
pub(super) fn distribution(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / z.mul_add(0.5, 1.0);
    let p = 0.170_872_77f32;
    let p = p.mul_add(t, -0.822_152_23);
    let p = p.mul_add(t, 1.488_515_9);
    let p = p.mul_add(t, -1.135_203_98);
    let p = p.mul_add(t, 0.278_868_07);
    let p = p.mul_add(t, -0.186_288_06);
    let p = p.mul_add(t, 0.096_784_18);
    let p = p.mul_add(t, 0.374_091_96);
    let p = p.mul_add(t, 1.000_023_7);
    let p = p.mul_add(t, -1.265_512_23);
    let above = 0.5 * t * exp((-z).mul_add(z, p));
    if x < 0.0 { above } else { 1.0 - above }
}

/// Φ′(x).
#[inline(always)]
pub(super) fn density(x: f32) -> f32 {
    const HEIGHT: f32 = 0.398_942_3;
    HEIGHT * exp(-0.5 * x * x)
}

/// tanh x, to a few units of the last place of 1.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let twice = exp(-2.0 * x.abs());
    let y = (1.0 - twice) / (1.0 + twice);
    if x < 0.0 { -y } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest difference to a function over [−12, 12].
    fn furthest(made: fn(f32) -> f32, wanted: fn(f64) -> f64) -> f64 {
        let points = (-12_000..=12_000).map(|i| f32::from(i as i16) / 1000.0);
        points.map(|x| (f64::from(made(x)) - wanted(f64::from(x))).abs()).fold(0.0, f64::max)
    }

    /// Φ by its Taylor series, which double precision bears up to 6.
    fn series(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > 1e-18 {
            term *= x * x / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
    }

    #[test]
    fn functions_are_those_of_double_precision() {
        assert!(furthest(distribution, series) < 2e-7);
        assert!(furthest(density, |x| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()) < 1e-7);
        assert!(furthest(tanh, f64::tanh) < 3e-7);
        for x in [-80.0f32, -10.3, -1.0, -1e-5, 0.0, 0.5, 3.0, 40.7, 88.0] {
            assert!((f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs() < 3e-7, "{x}");
        }
        assert!(exp(f32::NAN).is_nan() && distribution(f32::NAN).is_nan());
        // Far below, where Φ is small, its own digits are right.
        assert!((f64::from(distribution(-4.0)) / 3.167_124_183_311_986e-5 - 1.0).abs() < 2e-6);
    }
}

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

/// Φ(x), to 3.5e-7 of its value and the rounding of x²/2, and Φ′(x).
///
/// Below 0 Φ is e^(−x²/2) times a smooth function of t = 1/(1 + |x|/√8), here t times a polynomial of degree 8 that is 4.3e-8 of its value away
/// where e^(−x²/2) is a normal number. Source of t: Press et al., "Numerical recipes", third edition, 6.2.2; of the coefficients: a fit by
/// weighted least squares to erfc(z)·e^(z²)/2t, z = |x|/√2, in 40 digits.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    const HEIGHT: f32 = 0.398_942_3;
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / x.abs().mul_add(0.353_553_4, 1.0);
    let p = -0.029_496_53f32;
    let p = p.mul_add(t, 0.142_101_68);
    let p = p.mul_add(t, -0.243_213_68);
    let p = p.mul_add(t, 0.138_589_7);
    let p = p.mul_add(t, -0.013_005_508);
    let p = p.mul_add(t, 0.101_212_66);
    let p = p.mul_add(t, 0.121_585_15);
    let p = p.mul_add(t, 0.141_183_05);
    let p = p.mul_add(t, 0.141_043_47);
    let above = t * p * bell;
    (if x < 0.0 { above } else { 1.0 - above }, HEIGHT * bell)
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

    /// Φ(−x) by its continued fraction, for x from 3 on.
    fn fraction(x: f64) -> f64 {
        let below = (1..200).rev().fold(x, |below, n| x + f64::from(n) / below);
        (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt() / below
    }

    #[test]
    fn functions_are_those_of_double_precision() {
        assert!(furthest(|x| normal(x).0, series) < 2e-7);
        assert!(furthest(|x| normal(x).1, |x| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()) < 1e-7);
        assert!(furthest(tanh, f64::tanh) < 3e-7);
        for x in [-80.0f32, -10.3, -1.0, -1e-5, 0.0, 0.5, 3.0, 40.7, 88.0] {
            assert!((f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs() < 3e-7, "{x}");
        }
        assert!(exp(f32::NAN).is_nan() && normal(f32::NAN).0.is_nan());
        // Far below, where Φ is small, its own digits are right, but for what the rounding of x²/2 makes of them.
        let mut furthest = 0.0f64;
        for i in 0..12_500 {
            let x = -f32::from(i as i16) / 1000.0;
            let wide = f64::from(x);
            let wanted = if x > -3.0 { series(wide) } else { fraction(-wide) };
            let rounded = (wide * wide / 2.0 - f64::from(0.5 * x * x)).exp();
            furthest = furthest.max((f64::from(normal(x).0) / (wanted * rounded) - 1.0).abs());
        }
        assert!(furthest < 4e-7, "{furthest}");
        assert!((fraction(4.0) / 3.167_124_183_311_992e-5 - 1.0).abs() < 1e-12);
        assert!(normal(20.0).0 == 1.0 && normal(f32::INFINITY).0 == 1.0 && normal(f32::NEG_INFINITY).0 < 1e-37);
    }
}

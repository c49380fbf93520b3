//! Activation functions of recurrent operators with their derivatives.

/// The functions with the defaults of α and β, by code; the names are those of ONNX, without regard to case.
pub(crate) const FUNCTIONS: [(&str, f32, f32); 11] = [
    ("Sigmoid", 0.0, 0.0),
    ("Tanh", 0.0, 0.0),
    ("Relu", 0.0, 0.0),
    ("HardSigmoid", 0.2, 0.5),
    ("Affine", 1.0, 0.0),
    ("LeakyRelu", 0.01, 0.0),
    ("ThresholdedRelu", 1.0, 0.0),
    ("ScaledTanh", 1.0, 1.0),
    ("Elu", 1.0, 0.0),
    ("Softsign", 0.0, 0.0),
    ("Softplus", 0.0, 0.0),
];

/// How many of α and β a function takes.
pub(crate) fn parameters(code: usize) -> (bool, bool) {
    (matches!(code, 3..=8), matches!(code, 3 | 4 | 7))
}

/// A function with its parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activation {
    code: usize,
    alpha: f32,
    beta: f32,
    /// Arguments are cut to [−clip, clip].
    clip: f32,
}

impl Activation {
    pub(super) fn new(code: i64, alpha: f32, beta: f32, clip: f32) -> Result<Self, String> {
        match usize::try_from(code).ok().filter(|code| *code < FUNCTIONS.len()) {
            Some(code) => Ok(Self { code, alpha, beta, clip }),
            None => Err(format!("activation {code}")),
        }
    }

    /// Replaces every x by f(x) and fills `slope` with f′(x).
    pub(super) fn run(&self, x: &mut [f32], slope: &mut [f32]) {
        let limited = self.clip < f32::INFINITY;
        if !limited {
            self.unclipped(x, slope);
            return;
        }
        let clip = self.clip;
        // One part at a time, so that what was cut is remembered without a buffer.
        for (x, slope) in x.chunks_mut(64).zip(slope.chunks_mut(64)) {
            let inside: u64 = x.iter().enumerate().map(|(i, x)| u64::from(x.abs() <= clip) << i).sum();
            for x in x.iter_mut() {
                *x = x.clamp(-clip, clip);
            }
            self.unclipped(x, slope);
            slope.iter_mut().enumerate().for_each(|(i, slope)| *slope *= (inside >> i & 1) as f32);
        }
    }

    fn unclipped(&self, x: &mut [f32], slope: &mut [f32]) {
        let (a, b) = (self.alpha, self.beta);
        match self.code {
            0 => each(x, slope, sigmoid_with_slope),
            1 => each(x, slope, |x| {
                let y = tanh(x);
                (y, 1.0 - y * y)
            }),
            2 => each(x, slope, |x| if x > 0.0 { (x, 1.0) } else { (0.0, 0.0) }),
            3 => each(x, slope, |x| {
                let y = a * x + b;
                if y <= 0.0 {
                    (0.0, 0.0)
                } else if y >= 1.0 {
                    (1.0, 0.0)
                } else {
                    (y, a)
                }
            }),
            4 => each(x, slope, |x| (a * x + b, a)),
            5 => each(x, slope, |x| if x >= 0.0 { (x, 1.0) } else { (a * x, a) }),
            6 => each(x, slope, |x| if x > a { (x, 1.0) } else { (0.0, 0.0) }),
            7 => each(x, slope, |x| {
                let y = tanh(b * x);
                (a * y, a * b * (1.0 - y * y))
            }),
            8 => each(x, slope, |x| if x >= 0.0 { (x, 1.0) } else { (a * x.exp_m1(), a * x.exp()) }),
            9 => each(x, slope, |x| {
                let below = 1.0 / (1.0 + x.abs());
                (x * below, below * below)
            }),
            _ => each(x, slope, |x| (x.max(0.0) + (-x.abs()).exp().ln_1p(), sigmoid(x))),
        }
    }
}

#[inline(always)]
fn each(x: &mut [f32], slope: &mut [f32], function: impl Fn(f32) -> (f32, f32)) {
    for (x, slope) in x.iter_mut().zip(slope) {
        (*x, *slope) = function(*x);
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn sigmoid_with_slope(x: f32) -> (f32, f32) {
    let y = sigmoid(x);
    (y, y * (1.0 - y))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// e^x to two units in the last place, without a branch, so that the loops around it become vector code: x = n·ln 2 + r, a polynomial
/// in r (Moshier, "Cephes", expf), and n into the exponent. Outside ±87 it stays at the last value inside.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding and subtracting 1.5·2²³ rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    y * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_that_of_the_library() {
        for i in -8700..=8700 {
            let x = i as f32 / 100.0;
            let (made, wanted) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((made - wanted).abs() <= 3e-7 * wanted, "{x}: {made} for {wanted}");
        }
        assert!(exp(-1e30) > 0.0 && exp(1e30).is_finite());
    }

    /// Against difference quotients in f64, α and β not the default ones; no x is near a kink.
    #[test]
    fn slopes_are_derivatives() {
        for (code, function) in FUNCTIONS.iter().enumerate() {
            let activation = Activation::new(code as i64, 0.3, 0.6, f32::INFINITY).unwrap();
            for x in [-3.1f32, -0.7, -0.04, 0.07, 0.5, 2.9] {
                let at = |x: f32| {
                    let (mut y, mut slope) = ([x], [0.0]);
                    activation.run(&mut y, &mut slope);
                    (f64::from(y[0]), f64::from(slope[0]))
                };
                let step = 1.0 / 64.0;
                let quotient = (8.0 * (at(x + step).0 - at(x - step).0) - at(x + 2.0 * step).0 + at(x - 2.0 * step).0)
                    / (12.0 * f64::from(step));
                assert!((at(x).1 - quotient).abs() < 2e-5, "{} at {x}: {} for {quotient}", function.0, at(x).1);
            }
        }
        assert!(Activation::new(11, 0.0, 0.0, 1.0).is_err() && Activation::new(-1, 0.0, 0.0, 1.0).is_err());
    }

    #[test]
    fn clipped_arguments_have_no_slope() {
        let (mut x, mut slope) = ([-2.0, 0.5, 2.0], [9.0; 3]);
        Activation::new(4, 2.0, 0.0, 1.0).unwrap().run(&mut x, &mut slope);
        assert_eq!((x, slope), ([-2.0, 1.0, 2.0], [0.0, 2.0, 0.0]));
    }
}

//! Initial values of new parameters, drawn from the counted generator.

mod constant;
mod gain;
mod kaiming_normal;
mod kaiming_uniform;
mod normal;
mod ones;
mod xavier_normal;
mod xavier_uniform;
mod zeros;

use super::head::head;
use super::{Family, Kind, Row};
use crate::world::rng::Rng;

/// Fan of a weight as torch counts it: for [out, in, k…] fan_in = in·∏k, fan_out = out·∏k.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fans {
    /// Inputs of one output.
    pub fan_in: usize,
    /// Outputs of one input.
    pub fan_out: usize,
}

/// An initialiser of a weight.
pub trait Initializer: Send + Sync {
    /// Fills a weight of the given fans in element order.
    fn fill(&self, fans: Fans, weight: &mut [f32], rng: &mut Rng);
}

/// The family of initialisers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Initializers;

impl Family for Initializers {
    type Item = dyn Initializer;
    const NAME: &'static str = "initialiser";
    fn rows() -> &'static [Row<dyn Initializer>] {
        const ROWS: &[Row<dyn Initializer>] = &[
            Row {
                kind: Kind::of::<constant::Constant>("constant", Some("value"), head!("constant.rs")),
                build: constant::build,
            },
            Row {
                kind: Kind::of::<gain::Kaiming>("kaiming_normal", None, head!("kaiming_normal.rs")),
                build: kaiming_normal::build,
            },
            Row {
                kind: Kind::of::<gain::Kaiming>("kaiming_uniform", None, head!("kaiming_uniform.rs")),
                build: kaiming_uniform::build,
            },
            Row { kind: Kind::of::<normal::Normal>("normal", Some("std"), head!("normal.rs")), build: normal::build },
            Row { kind: Kind::of::<ones::Ones>("ones", None, head!("ones.rs")), build: ones::build },
            Row {
                kind: Kind::of::<xavier_normal::XavierNormal>("xavier_normal", Some("gain"), head!("xavier_normal.rs")),
                build: xavier_normal::build,
            },
            Row {
                kind: Kind::of::<xavier_uniform::XavierUniform>(
                    "xavier_uniform",
                    Some("gain"),
                    head!("xavier_uniform.rs"),
                ),
                build: xavier_uniform::build,
            },
            Row { kind: Kind::of::<zeros::Zeros>("zeros", None, head!("zeros.rs")), build: zeros::build },
        ];
        ROWS
    }
}

impl Fans {
    /// Fans of a weight [out, in, k…]; of a vector, its length both ways.
    #[must_use]
    pub fn of(shape: &[usize]) -> Self {
        match shape {
            [out, inputs, kernel @ ..] => {
                let window: usize = kernel.iter().product();
                Self { fan_in: inputs * window, fan_out: out * window }
            }
            [len] => Self { fan_in: *len, fan_out: *len },
            [] => Self { fan_in: 1, fan_out: 1 },
        }
    }

    /// fan_in + fan_out, at least 1.
    fn sum(self) -> f64 {
        (self.fan_in as f64 + self.fan_out as f64).max(1.0)
    }
}

fn draw_uniform(bound: f64, weight: &mut [f32], rng: &mut Rng) {
    weight.fill_with(|| rng.range(-bound, bound) as f32);
}

fn draw_normal(mean: f64, std: f64, weight: &mut [f32], rng: &mut Rng) {
    weight.fill_with(|| (mean + std * rng.normal()) as f32);
}

#[cfg(test)]
mod tests {
    use super::{Fans, Initializer};
    use crate::diag::Result;
    use crate::world::rng::Key;
    use serde_json::Value;

    /// What a weight is drawn from.
    #[derive(Clone, Copy, PartialEq)]
    pub(super) enum Shape {
        Normal,
        Uniform,
    }

    /// Asserts the moments of a distribution around 0 for configurations and the deviations that they should give.
    pub(super) fn check(build: fn(&Value) -> Result<Box<dyn Initializer>>, shape: Shape, cases: &[(Value, f64)]) {
        for (config, deviation) in cases {
            let (mean, found, largest) = moments(build(config).unwrap().as_ref());
            assert!(mean.abs() < 0.03 * deviation, "{config}: mean {mean}");
            assert!((found / deviation - 1.0).abs() < 0.02, "{config}: {found} is not {deviation}");
            // U(−b, b) has the deviation b/√3.
            let edge = 1.72 * deviation < largest && largest <= 3.0_f64.sqrt() * deviation;
            assert!(edge == (shape == Shape::Uniform), "{config}: largest {largest}");
        }
    }

    /// Mean, standard deviation and largest magnitude of a weight with fan_in 50 and fan_out 200.
    pub(super) fn moments(initializer: &dyn Initializer) -> (f64, f64, f64) {
        let fans = Fans { fan_in: 50, fan_out: 200 };
        let mut weight = vec![f32::NAN; 40_000];
        initializer.fill(fans, &mut weight, &mut Key::new(1).rng());
        let mut again = vec![f32::NAN; 40_000];
        initializer.fill(fans, &mut again, &mut Key::new(1).rng());
        assert_eq!(weight, again);
        let mean = weight.iter().map(|w| f64::from(*w)).sum::<f64>() / weight.len() as f64;
        let variance = weight.iter().map(|w| (f64::from(*w) - mean).powi(2)).sum::<f64>() / weight.len() as f64;
        (mean, variance.sqrt(), weight.iter().fold(0.0, |top, w| top.max(f64::from(w.abs()))))
    }

    #[test]
    fn fans_are_torchs() {
        assert_eq!(Fans::of(&[8, 4, 3, 3]), Fans { fan_in: 36, fan_out: 72 });
        assert_eq!(Fans::of(&[10, 512]), Fans { fan_in: 512, fan_out: 10 });
        assert_eq!(Fans::of(&[7]), Fans { fan_in: 7, fan_out: 7 });
    }
}

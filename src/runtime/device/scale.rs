//! The factor on the loss in half precision: it keeps gradients inside the range of f16, and steps move it.

use serde::{Deserialize, Serialize};

/// Bytes of `Scaler` in `update.cu`.
pub(super) const SCALER: usize = 16;

/// `Scaler` in `update.cu`, and what a checkpoint keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[u64; 2]", into = "[u64; 2]")]
pub(in crate::runtime) struct LossScale {
    scale: f64,
    /// Good steps since it last changed.
    good: u64,
}

impl LossScale {
    /// Where a phase begins.
    pub(in crate::runtime) fn new(scale: f64) -> Self {
        Self { scale, good: 0 }
    }

    /// Whether steps can have made it.
    pub(in crate::runtime) fn is_possible(self) -> bool {
        self.scale.is_finite() && self.scale >= 1.0 && i64::try_from(self.good).is_ok()
    }

    pub(super) fn to_bytes(self) -> [u8; SCALER] {
        let [scale, good] = <[u64; 2]>::from(self).map(u64::to_ne_bytes);
        std::array::from_fn(|i| if i < 8 { scale[i] } else { good[i - 8] })
    }

    pub(super) fn from_bytes(bytes: [u8; SCALER]) -> Self {
        [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]))).into()
    }
}

/// The factor as its bits: what is read back must be what was written.
impl From<[u64; 2]> for LossScale {
    fn from([scale, good]: [u64; 2]) -> Self {
        Self { scale: f64::from_bits(scale), good }
    }
}

impl From<LossScale> for [u64; 2] {
    fn from(LossScale { scale, good }: LossScale) -> Self {
        [scale.to_bits(), good]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_from_the_device_and_from_json() {
        let scale = LossScale { scale: 2f64.powi(97), good: 1999 };
        assert_eq!(LossScale::from_bytes(scale.to_bytes()), scale);
        assert_eq!(scale.to_bytes()[8..], 1999i64.to_ne_bytes());
        let text = serde_json::to_string(&scale).unwrap();
        assert_eq!(serde_json::from_str::<LossScale>(&text).unwrap(), scale);
    }

    #[test]
    fn what_no_step_makes_is_told_apart() {
        assert!(LossScale::new(65_536.0).is_possible() && LossScale::new(1.0).is_possible());
        for scale in [0.0, 0.5, -2.0, f64::INFINITY, f64::NAN] {
            assert!(!LossScale::new(scale).is_possible(), "{scale}");
        }
        assert!(!LossScale { scale: 2.0, good: u64::MAX }.is_possible());
    }
}

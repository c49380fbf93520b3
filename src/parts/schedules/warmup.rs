//! Linear warmup before another curve.

use crate::diag::{Code, Diagnostic, Result};

/// Steps of a warmup: a share of the phase below 1, a number of steps from 1 on.
pub(super) fn steps(warmup: f64, total: u64) -> u64 {
    if warmup < 1.0 { (warmup * total as f64).round() as u64 } else { warmup as u64 }
}

/// Factor of the warmup at a step, `None` when it is over: (step + 1)/(n + 1), so that neither the first step is lost nor the rate
/// stands still where the curve takes over.
pub(super) fn factor(step: u64, warmup: u64) -> Option<f64> {
    (step < warmup).then(|| (step + 1) as f64 / (warmup + 1) as f64)
}

/// Progress of the curve after the warmup, in [0, 1].
pub(super) fn progress(step: u64, total: u64, warmup: u64) -> f64 {
    let left = total.saturating_sub(warmup).max(1);
    (step.saturating_sub(warmup) as f64 / left as f64).min(1.0)
}

/// Refuses a negative warmup.
pub(super) fn check(warmup: f64) -> Result<()> {
    if warmup >= 0.0 {
        return Ok(());
    }
    Err(Diagnostic::error(Code::OutOfRange, "`warmup` is negative")
        .help("write a share such as `5%`, or a number of steps"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_steps() {
        assert_eq!((steps(0.05, 200), steps(30.0, 200), steps(0.0, 200)), (10, 30, 0));
        assert_eq!(factor(0, 4), Some(0.2));
        assert_eq!(factor(4, 4), None);
        assert!((progress(4, 10, 4)).abs() < 1e-12 && (progress(10, 10, 4) - 1.0).abs() < 1e-12);
    }
}

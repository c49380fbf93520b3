//! The clock, for reports only: no time ever reaches weights, metrics or exports.
#![expect(clippy::disallowed_methods, reason = "this file is the door to the clock")]

use std::time::Instant;

/// Seconds since it was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Option<Instant>);

impl Clock {
    /// A clock that runs from now.
    pub fn start() -> Self {
        Self(Some(Instant::now()))
    }

    /// A clock that stays at 0, for tests.
    pub fn stopped() -> Self {
        Self(None)
    }

    /// Seconds, monotonic.
    pub fn seconds(&self) -> f64 {
        self.0.map_or(0.0, |origin| origin.elapsed().as_secs_f64())
    }
}

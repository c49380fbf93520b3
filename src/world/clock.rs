//! Seconds that passed. Nothing that a run computes may depend on them.
#![expect(clippy::disallowed_methods, reason = "this file is the door to the clock")]

/// A point in time.
#[derive(Debug, Clone, Copy)]
pub struct Instant(std::time::Instant);

/// Now.
pub fn now() -> Instant {
    Instant(std::time::Instant::now())
}

impl Instant {
    /// Seconds since then.
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

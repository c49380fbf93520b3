//! Working memory that a kernel keeps between calls, one buffer for each task that runs at the same time.

use std::sync::Mutex;

/// A stock of buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<f32>>>);

impl Buffers {
    /// Runs a task with a buffer of at least `len` floats of arbitrary content.
    pub(super) fn with(&self, len: usize, task: impl FnOnce(&mut [f32])) {
        let stock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut buffer = stock().pop().unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        task(&mut buffer[..len]);
        stock().push(buffer);
    }
}

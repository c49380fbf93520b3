//! Working memory of kernels, one buffer for each task that runs at the same time.
//!
//! The stock belongs to the process: nodes run one after the other, so that they need what the largest of them needs, and not the sum.

use std::sync::{Mutex, PoisonError};

static STOCK: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// Runs a task with a buffer of `len` floats of arbitrary content.
pub(super) fn with<R>(len: usize, task: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = take(&mut STOCK.lock().unwrap_or_else(PoisonError::into_inner), len);
    if buffer.len() < len {
        buffer.clear();
        buffer.resize(len, 0.0);
    }
    let done = task(&mut buffer[..len]);
    STOCK.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    done
}

/// The smallest buffer that is large enough, else the largest one.
fn take(stock: &mut Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let fits = (0..stock.len()).filter(|at| stock[*at].len() >= len).min_by_key(|at| stock[*at].len());
    let at = fits.or_else(|| (0..stock.len()).max_by_key(|at| stock[*at].len()));
    at.map(|at| stock.swap_remove(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_that_fits_is_taken_and_else_the_largest() {
        let mut stock: Vec<Vec<f32>> = [4, 9, 6].map(|len| vec![0.0; len]).into();
        assert_eq!(take(&mut stock, 5).len(), 6);
        assert_eq!(take(&mut stock, 10).len(), 9);
        assert_eq!(take(&mut stock, 0).len(), 4);
        assert!(take(&mut stock, 1).is_empty());
    }

    #[test]
    fn a_task_may_take_more_while_it_has_some() {
        with(3, |outer| {
            outer.fill(1.0);
            with(5, |inner| inner.fill(2.0));
            assert_eq!(outer, [1.0; 3]);
        });
    }
}

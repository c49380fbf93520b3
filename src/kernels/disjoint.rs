//! Parts of one slice that several threads write at once.

use super::Parallel;
use std::marker::PhantomData;

/// A mutable slice whose parts may be handed to different threads.
pub(crate) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "kernels write disjoint parts of their output in parallel")]
// SAFETY: the pointer is used only through `part`, whose callers promise that parts do not overlap.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    /// Borrows a slice.
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// `len` elements from `at`, cut at the end of the slice.
    ///
    /// # Safety
    /// No two parts that live at the same time may overlap.
    #[expect(unsafe_code, clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub(crate) unsafe fn part(&self, at: usize, len: usize) -> &mut [f32] {
        let at = at.min(self.len);
        let len = len.min(self.len - at);
        // SAFETY: the range lies within the borrowed slice, and by contract nobody else holds it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}

/// Fills a slice in stretches of a size, the last one shorter, each by one task; `fill` is told the place of its first element.
pub(super) fn in_parts(slice: &mut [f32], size: usize, parallel: Parallel, fill: impl Fn(usize, &mut [f32]) + Sync) {
    let size = size.max(1);
    let count = slice.len().div_ceil(size);
    let parts = Disjoint::new(slice);
    parallel(count, &|task| {
        #[expect(unsafe_code, reason = "each part is written by one task")]
        // SAFETY: parts of `size` elements do not overlap and each index is run once.
        let part = unsafe { parts.part(task * size, size) };
        fill(task * size, part);
    });
}

/// Elements that are copied at a time: they stay in the nearest cache.
const PIECE: usize = 1 << 11;

/// Puts `source`, from the place `at` on, into `slice` piece by piece and lets `change` work on each; without a source on what is there, at once.
pub(super) fn for_each_piece(source: Option<&[f32]>, at: usize, slice: &mut [f32], change: impl Fn(usize, &mut [f32])) {
    let Some(source) = source else { return change(at, slice) };
    for (number, piece) in slice.chunks_mut(PIECE).enumerate() {
        let at = at + number * PIECE;
        piece.copy_from_slice(&source[at..][..piece.len()]);
        change(at, piece);
    }
}

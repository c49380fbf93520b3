//! Matrix products of kernels, with the `gemm` crate on the calling thread.

/// A matrix in a slice: its elements, and how far apart its rows and its columns are.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) elements: &'a [f32],
    pub(super) row: usize,
    pub(super) column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that stand `pitch` elements apart.
    pub(super) fn rows(elements: &'a [f32], pitch: usize) -> Self {
        Self { elements, row: pitch, column: 1 }
    }

    /// The transpose.
    pub(super) fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    /// Whether all of a matrix of that size lies in the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.elements.len()
    }
}

/// out [m, n], dense, (+)= a [m, k] · b [k, n].
pub(super) fn product(out: &mut [f32], [m, n, k]: [usize; 3], a: Matrix, b: Matrix, add: bool) {
    assert!(out.len() >= m * n && a.holds(m, k) && b.holds(k, n), "operands of a product");
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: the assertion above holds every element that the strides reach within its slice; `out` is borrowed mutably and hence
    // does not alias the operands.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.elements.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.elements.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

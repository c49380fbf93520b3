//! How fast this processor multiplies f32 matrices with the product that own kernels use: the ceiling that steps are compared with.

use rayon::prelude::*;

/// Side of the square matrices; three of them leave every cache but the last.
const SIDE: usize = 1024;

/// One square product on every thread of the rayon pool that this is called in; returns its floating-point operations.
pub fn square_products(operands: &mut [Operands]) -> f64 {
    operands.par_iter_mut().for_each(Operands::multiply);
    operands.len() as f64 * 2.0 * (SIDE as f64).powi(3)
}

/// The matrices of one thread.
pub struct Operands {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Default for Operands {
    fn default() -> Self {
        let filled = |value: f32| vec![value; SIDE * SIDE];
        Self { a: filled(0.5), b: filled(0.25), c: filled(0.0) }
    }
}

impl Operands {
    fn multiply(&mut self) {
        let pitch = SIDE as isize;
        #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
        // SAFETY: each matrix holds SIDE² elements, which is all that the strides reach; `c` is borrowed mutably and aliases none.
        unsafe {
            gemm::gemm(
                SIDE,
                SIDE,
                SIDE,
                self.c.as_mut_ptr(),
                1,
                pitch,
                false,
                self.a.as_ptr(),
                1,
                pitch,
                self.b.as_ptr(),
                1,
                pitch,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_product() {
        let mut operands = [Operands::default()];
        assert_eq!(square_products(&mut operands), 2.0 * 1024f64.powi(3));
        assert!(operands[0].c.iter().all(|c| *c == 128.0));
    }
}

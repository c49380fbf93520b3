//! CountedDropout: y = x·m/(1−p) with a mask m that is a pure function of (key of the row, attribute `layer`, position).
//!
//! Inputs: x f32 [N, …], keys i64 [N]; attributes `ratio` (p) and `layer`. Because the mask depends on nothing else, its gradient is
//! the same operator on dy with the same keys, no mask is stored, and a resumed run drops the same units (DESIGN D10).
//! Source: Srivastava et al., "Dropout", JMLR 15, 2014.

use super::cuda::{self, Argument, Launch, Work};
use super::disjoint::Disjoint;
use super::{Arg, Attributes, Halves, Kernel, Operator, Parallel};
use crate::ir::DType;
use crate::world::rng::Key;

pub(super) const OPERATOR: Operator = Operator {
    name: "CountedDropout",
    inputs: &[DType::F32, DType::I64],
    kernel: |attributes: &dyn Attributes| {
        let ratio = attributes.float("ratio").unwrap_or(0.5);
        if !(0.0..1.0).contains(&ratio) {
            return Err(format!("ratio {ratio} is not in [0, 1)"));
        }
        Ok(Box::new(CountedDropout { ratio, layer: attributes.int("layer").unwrap_or(0) as u64 }))
    },
    in_place: true,
    cuda: Some(Halves { inputs: &[0], output: true }),
    reference: None,
};

struct CountedDropout {
    ratio: f32,
    layer: u64,
}

impl Kernel for CountedDropout {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [x, keys] if x.first() == keys.first() => Ok(x.to_vec()),
            _ => Err("it takes x [N, …] and keys [N]".to_owned()),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, shape), Arg::I64(keys, _)] = inputs else { return Err("it takes f32 and i64".to_owned()) };
        self.pass(Some(x), shape, keys, output, parallel)
    }

    fn update(&mut self, shape: &[usize], others: &[Arg], y: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::I64(keys, _)] = others else { return Err("it takes f32 and i64".to_owned()) };
        self.pass(None, shape, keys, y, parallel)
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let shape = self.shape(inputs)?;
        let rows = shape.first().copied().unwrap_or(1);
        let width = shape.iter().product::<usize>() / rows.max(1);
        let threshold = (f64::from(self.ratio) * 4_294_967_296.0) as i64;
        let arguments = vec![
            Argument::Input(0),
            Argument::Input(1),
            Argument::Output(0),
            Argument::Long(rows as i64),
            Argument::Long(width as i64),
            Argument::Long(self.layer as i64),
            Argument::Long(threshold),
            Argument::Float(1.0 / (1.0 - self.ratio)),
        ];
        let blocks = cuda::blocks(rows * width.div_ceil(2));
        let launch = Launch::new(include_str!("cuda/counted_dropout.cu"), "counted_dropout", blocks, arguments);
        Ok(Work::Launches(vec![launch], 0))
    }
}

impl CountedDropout {
    /// Without `x`, `y` holds it.
    fn pass(
        &self,
        x: Option<&[f32]>,
        shape: &[usize],
        keys: &[i64],
        y: &mut [f32],
        parallel: Parallel,
    ) -> Result<(), String> {
        let rows = shape.first().copied().unwrap_or(0);
        if rows == 0 || y.is_empty() {
            return Ok(());
        }
        if keys.len() != rows || x.is_some_and(|x| x.len() != y.len()) {
            return Err("it takes a key for every row".to_owned());
        }
        let width = y.len() / rows;
        let scale = 1.0 / (1.0 - self.ratio);
        // A unit is dropped when its 32 uniform bits lie below ratio·2^32.
        let threshold = (f64::from(self.ratio) * 4_294_967_296.0) as u64;
        let layer = self.layer;
        let parts = Disjoint::new(y);
        parallel(rows, &|row| {
            #[expect(unsafe_code, reason = "each row is written by one task")]
            // SAFETY: rows do not overlap and each index is run once.
            let out = unsafe { parts.part(row * width, width) };
            let mut rng = Key::new(keys[row] as u64).with(layer).rng();
            if let Some(x) = x {
                out.copy_from_slice(&x[row * width..][..width]);
            }
            for pair in out.chunks_mut(2) {
                let bits = rng.bits();
                for (i, y) in pair.iter_mut().enumerate() {
                    let draw = (bits >> (32 * i)) & 0xffff_ffff;
                    *y = if draw < threshold { 0.0 } else { *y * scale };
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop(ratio: f32, keys: &[i64], x: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        let shape = [keys.len(), x.len() / keys.len()];
        CountedDropout { ratio, layer: 3 }
            .compute(&[Arg::F32(x, &shape), Arg::I64(keys, &[keys.len()])], &mut y, &|n, task| (0..n).for_each(task))
            .unwrap();
        y
    }

    #[test]
    fn keeps_the_mean_and_depends_on_the_key_alone() {
        let x = vec![1.0; 40_000];
        let y = drop(0.25, &[7, 8], &x);
        let mean = y.iter().sum::<f32>() / y.len() as f32;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!(y.iter().all(|v| *v == 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(drop(0.25, &[8], &x[..20_000]), y[20_000..]);
        assert_ne!(y[..20_000], y[20_000..]);
    }

    #[test]
    fn ratio_zero_is_the_identity() {
        assert_eq!(drop(0.0, &[1], &[1.0, -2.0, 3.0]), [1.0, -2.0, 3.0]);
    }
}

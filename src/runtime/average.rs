//! The exponential moving average of what a phase moves (`optimizer.ema`): parameters and running statistics.
//!
//! After the first step the average is the value itself; after every later one a ← a + (1 − decay)·(w − a). That is what
//! `torch.optim.swa_utils.AveragedModel` does with `get_ema_multi_avg_fn(decay)` and `use_buffers=True`. Micro-batches of one step count
//! once. The parameters are averaged in the optimizer's second pass (`update`), the statistics here, right after it.

use super::weights::Weights;
use crate::diag::Result;
use crate::ir::Tensor;
use std::collections::BTreeMap;

/// Moves an average towards the values; one that is empty stays so.
pub(super) fn toward(decay: f64, average: &mut [f32], values: &[f32]) {
    let share = (1.0 - decay) as f32;
    for (a, w) in average.iter_mut().zip(values) {
        // As torch's `lerp`, which starts from the nearer end.
        *a = if share < 0.5 { *a + share * (w - *a) } else { *w - (w - *a) * (1.0 - share) };
    }
}

/// Averages of the running statistics of a phase.
#[derive(Debug)]
pub(super) struct Statistics {
    decay: f64,
    /// Average by name, empty before the first step.
    values: BTreeMap<String, Vec<f32>>,
}

impl Statistics {
    /// Goes on from the averages that there are.
    pub(super) fn new<'n>(
        decay: f64,
        names: impl Iterator<Item = &'n String>,
        averages: &BTreeMap<String, Tensor>,
    ) -> Self {
        let value = |name: &String| averages.get(name).and_then(Tensor::to_vec::<f32>).unwrap_or_default();
        Self { decay, values: names.map(|name| (name.clone(), value(name))).collect() }
    }

    /// One optimizer step, at the statistics behind it.
    pub(super) fn step(&mut self, weights: &Weights) -> Result<()> {
        for (name, average) in &mut self.values {
            let now = weights.get(name)?.f32();
            if average.is_empty() {
                average.extend_from_slice(now);
            } else {
                toward(self.decay, average, now);
            }
        }
        Ok(())
    }

    /// Takes over the averages that a device made, where there are any by now.
    pub(super) fn take_back(&mut self, name: &str, value: Vec<f32>) {
        if let Some(slot) = self.values.get_mut(name) {
            *slot = value;
        }
    }

    /// The averages so far by name.
    pub(super) fn values(&self) -> impl Iterator<Item = (&String, &[f32])> {
        self.values.iter().map(|(name, value)| (name, value.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Graph;

    #[test]
    fn it_moves_as_torchs_lerp() {
        // Five steps of w = 1, 0, 0, 0, 0 from their first: decay⁴.
        for decay in [0.9, 0.25] {
            let mut average = [1.0f32];
            (0..4).for_each(|_| toward(decay, &mut average, &[0.0]));
            assert!((f64::from(average[0]) - decay.powi(4)).abs() < 1e-7, "{average:?}");
        }
        // 1 + 0.001·1 and −3 + 0.001·8
        let mut average = [1.0f32, -3.0];
        toward(0.999, &mut average, &[2.0, 5.0]);
        assert_eq!(average, [1.001, -2.992]);
        toward(0.5, &mut [], &[1.0]);
    }

    #[test]
    fn statistics_are_averaged_from_their_first_step() {
        let mut graph = Graph::default();
        graph.add_initializer("mean", Tensor::vector(&[8.0f32]));
        let mut weights = Weights::default();
        weights.adopt(&graph, "mean").unwrap();
        let name = "mean".to_owned();
        let mut statistics = Statistics::new(0.5, std::iter::once(&name), &BTreeMap::new());
        for now in [4.0f32, 2.0, 0.0] {
            weights.set("mean", &[now]).unwrap();
            statistics.step(&weights).unwrap();
        }
        // 4, then (4 + 2)/2, then (3 + 0)/2
        assert_eq!(statistics.values().next().unwrap().1, [1.5]);
    }
}

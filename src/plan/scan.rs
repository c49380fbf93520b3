//! A look at every sample that a run would read.

use super::{Plan, sets};
use crate::data::Pipeline;
use crate::diag::Diagnostic;
use crate::world::rng::Key;

impl Plan {
    /// Decodes every sample of every dataset and transforms it, and tells which a run would stop at: one diagnostic for each dataset and
    /// each way in which samples are wrong.
    pub fn scan(&self) -> Vec<Diagnostic> {
        let evaluated = self.evaluated();
        let mut found = Vec::new();
        for (name, set) in &self.sets {
            let at = sets::source_at(&self.spec, name);
            let mut ways = vec![self.transforms(name)];
            if evaluated.contains(name) && self.eval_transforms(name) != ways[0] {
                ways.push(self.eval_transforms(name));
            }
            for chosen in ways {
                let key = Key::new(self.spec.seed).named("augment").named(name);
                // What cannot be built has been reported by now.
                let Ok(pipeline) = Pipeline::build(chosen, key) else { continue };
                found.extend(set.scan(&pipeline).into_iter().map(|problem| problem.at(&at, "of this data")));
            }
        }
        // Samples that cannot be read are the same for all transforms.
        let mut told: Vec<Diagnostic> = Vec::new();
        for problem in found {
            let same = |other: &Diagnostic| other.message() == problem.message() && other.labels() == problem.labels();
            if !told.iter().any(same) {
                told.push(problem);
            }
        }
        told
    }
}

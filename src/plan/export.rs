//! What `export:` asks for, checked before anything is trained.

use super::sets;
use crate::data::{Dataset, Pipeline};
use crate::diag::{Code, Diagnostic};
use crate::graph::Network;
use crate::spec::Spec;
use crate::world::rng::Key;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names in `export.outputs` that are no branches.
pub(super) fn outputs(spec: &Spec, network: &Network) -> Vec<Diagnostic> {
    let named = spec.export.outputs.iter().enumerate();
    named
        .filter_map(|(index, name)| {
            network.branch(Some(name)).err().map(|error| error.at(format!("/export/outputs/{index}"), ""))
        })
        .collect()
}

/// Why `preprocess: true` cannot be had. The data need not be there.
pub(super) fn preprocess(spec: &Spec, sets: &BTreeMap<String, Arc<Dataset>>) -> Option<Diagnostic> {
    if spec.export.preprocess != Some(true) {
        return None;
    }
    let asked = |problem: Diagnostic| problem.at("/export/preprocess", "asked for here");
    let Some((chosen, channels)) = sets::exportable(spec, sets) else {
        let problem = Diagnostic::error(Code::NotSupported, "only the preprocessing of images can be exported");
        return Some(
            asked(problem).help("leave `preprocess` out: `model.onnx` takes the samples as the data holds them"),
        );
    };
    // Transforms that cannot even be built have been reported by now.
    let pipeline = Pipeline::build(chosen, Key::new(0)).ok()?;
    let refused: Option<Vec<Diagnostic>> = channels.iter().map(|channels| pipeline.carried(*channels).err()).collect();
    refused?.into_iter().next().map(asked)
}

//! First values of parameters: of new layers, and of source parameters that start anew.

use super::names::Names;
use super::patterns;
use crate::diag::Diagnostic;
use crate::ir::{Graph, Tensor, ValueId};
use crate::parts::initializers::Fans;
use crate::parts::layers::Start;
use crate::spec::pattern::Patterns;
use crate::world::rng::{Key, Rng};
use std::collections::BTreeSet;

/// Fans of a weight [out, in, k…] as torch counts them.
pub(super) fn fans(shape: &[usize]) -> Fans {
    let window: usize = shape.iter().skip(2).product();
    Fans { fan_in: shape.get(1).copied().unwrap_or(1) * window, fan_out: shape.first().copied().unwrap_or(1) * window }
}

/// Fills a parameter with torch's default.
pub(super) fn start(start: Start, data: &mut [f32], rng: &mut Rng) {
    match start {
        Start::Constant(value) => data.fill(value),
        Start::Uniform { bound } => {
            let bound = f64::from(bound);
            for x in data {
                *x = rng.range(-bound, bound) as f32;
            }
        }
    }
}

/// Draws source parameters anew, as torch initialises the layers that own them: convolution and linear weights and biases
/// U(±1/√fan_in), normalisation scales 1 and biases 0. Returns which these are: they are pretrained no longer.
///
/// # Errors
/// `P0304` for each pattern that matches nothing.
pub(super) fn reinitialize(
    graph: &mut Graph,
    names: &Names,
    chosen: &[String],
    seed: u64,
    warnings: &mut Vec<Diagnostic>,
) -> Result<BTreeSet<ValueId>, Vec<Diagnostic>> {
    let mut anew = BTreeSet::new();
    if chosen.is_empty() {
        return Ok(anew);
    }
    let rules = Patterns::new(chosen);
    let all: Vec<Vec<String>> = names.params().iter().map(|param| param.names.clone()).collect();
    let problems = patterns::unmatched(chosen, &all, "/model/reinitialize");
    if !problems.is_empty() {
        return Err(problems);
    }
    warnings.extend(patterns::void(chosen, &all, "/model/reinitialize"));
    for param in names.params() {
        if !rules.matches(&param.names) {
            continue;
        }
        let Some(node) = graph.nodes.iter().find(|node| node.inputs.contains(&Some(param.value))) else { continue };
        let position = node.inputs.iter().position(|input| *input == Some(param.value)).unwrap_or(0);
        let fan_in = node.input(1).and_then(|weight| graph.constant(weight)).map(|weight| {
            match (node.op.as_str(), weight.shape()) {
                ("Gemm", [rows, columns]) => {
                    if node.int("transB", 0) == 1 {
                        *columns
                    } else {
                        *rows
                    }
                }
                ("MatMul", [rows, _]) => *rows,
                (_, shape) => fans(shape).fan_in,
            }
        });
        let begin = match (node.op.as_str(), position) {
            ("BatchNormalization" | "LayerNormalization" | "InstanceNormalization" | "GroupNormalization", 1) => {
                Start::Constant(1.0)
            }
            ("Conv" | "Gemm" | "MatMul" | "ConvTranspose", _) => {
                Start::Uniform { bound: 1.0 / (fan_in.unwrap_or(1).max(1) as f32).sqrt() }
            }
            ("PRelu", _) => Start::Constant(0.25),
            ("Gather", 0) => Start::Uniform { bound: 3.0f32.sqrt() },
            _ => Start::Constant(0.0),
        };
        let mut data = vec![0.0f32; param.shape.iter().product()];
        start(begin, &mut data, &mut Key::new(seed).named("init").named(&param.name).rng());
        graph.initializers.insert(param.value, Tensor::new(param.shape.clone(), &data));
        anew.insert(param.value);
    }
    Ok(anew)
}

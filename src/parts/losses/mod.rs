//! Data terms of the objective.

mod balance;
mod binary_cross_entropy;
mod cross_entropy;
#[cfg(test)]
mod evaluate;
mod mse;

pub use balance::{balanced, is_balanced, put};

use super::head::head;
use super::{Family, Kind, Row};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, ValueId};

/// What labels a loss reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// `i64[N]`: class indices in 0..units.
    Classes,
    /// `f32[N, units]`: target values. Where a dataset has classes and the output one unit, the class index as a number.
    Values,
}

/// A term of the objective: a weighted sum over samples, divided outside by its total weight.
pub trait Loss: Send + Sync {
    /// What it reads.
    fn labels(&self) -> Labels;
    /// Weight that a sample of this class adds to the total beside its sample weight (1 without class weights).
    fn class_weight(&self, class: i64) -> f64 {
        let _ = class;
        1.0
    }
    /// Whether the outputs are scores of classes, so that metrics of classes make sense.
    fn classifies(&self) -> bool {
        true
    }
    /// Whether an output of this shape ([N, …]) fits.
    ///
    /// # Errors
    /// `P0307`, or `P0203` when a configured list does not have an entry per unit.
    fn check(&self, output: &[usize]) -> Result<()>;
    /// Emits the per-sample losses, `f32[N]`, not yet weighted by sample, class weights included.
    /// `output` is f32 of `shape`, `[N, units]` or `[N]` for one unit, `labels` as [`Loss::labels`] says. N is a stand-in and must not
    /// be baked in.
    fn build(&self, b: &mut Builder, output: ValueId, labels: ValueId, shape: &[usize]) -> Result<ValueId>;
}

/// The family of losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses;

impl Family for Losses {
    type Item = dyn Loss;
    const NAME: &'static str = "loss";
    fn rows() -> &'static [Row<dyn Loss>] {
        const ROWS: &[Row<dyn Loss>] = &[
            Row {
                kind: Kind::of::<binary_cross_entropy::BinaryCrossEntropy>(
                    "binary_cross_entropy",
                    Some("pos_weight"),
                    head!("binary_cross_entropy.rs"),
                ),
                build: binary_cross_entropy::build,
            },
            Row {
                kind: Kind::of::<cross_entropy::CrossEntropy>("cross_entropy", None, head!("cross_entropy.rs")),
                build: cross_entropy::build,
            },
            Row { kind: Kind::of::<mse::Mse>("mse", None, head!("mse.rs")), build: mse::build },
        ];
        ROWS
    }
}

/// `P0307` that says what a loss needs and what came in.
fn refuse(loss: &str, needs: &str, output: &[usize]) -> Diagnostic {
    let sizes = output.iter().skip(1).map(|size| format!(", {size}")).collect::<String>();
    let came = if output.is_empty() { "[]".to_owned() } else { format!("[N{sizes}]") };
    Diagnostic::error(Code::ShapeMismatch, format!("`{loss}` needs {needs}, but the output is {came}"))
}

/// Units of an output [N] or [N, units].
fn units(loss: &str, output: &[usize]) -> Result<usize> {
    match output {
        [_] => Ok(1),
        [_, units] if *units > 0 => Ok(*units),
        _ => Err(refuse(loss, "[N, units]", output).help("end the branch in `flatten` and `linear`")),
    }
}

/// The output as [N, units].
fn rows(b: &mut Builder, output: ValueId, shape: &[usize]) -> (ValueId, usize) {
    match shape {
        [_, units, ..] => (output, *units),
        _ => (b.unsqueeze(output, &[1]), 1),
    }
}

/// Units above which a mean is taken in parts.
const LONG: usize = 1 << 16;

/// Mean over the units of each sample, [N, units] to [N]. One sum of millions in f32 loses digits, so long rows are averaged in parts of
/// one length first.
fn mean(b: &mut Builder, x: ValueId, units: usize) -> ValueId {
    let part =
        (1..=units.isqrt()).rev().find(|part| units.is_multiple_of(*part)).filter(|part| units > LONG && *part > 1);
    let Some(part) = part else { return b.reduce_mean(x, &[1], false) };
    let parts = b.reshape(x, &[0, part as i64, (units / part) as i64]);
    let means = b.reduce_mean(parts, &[2], false);
    b.reduce_mean(means, &[1], false)
}

/// `P0203` unless a list has an entry for each unit.
fn entries(key: &str, len: usize, units: usize) -> Result<()> {
    if len == units {
        return Ok(());
    }
    let text = format!("`{key}` has {len} entries, but the output has {units} units");
    let error = Diagnostic::error(Code::OutOfRange, text).at(key, format!("{len} entries"));
    Err(error.help("write one entry for each unit, in label order"))
}

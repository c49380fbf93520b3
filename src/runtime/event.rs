//! What a run says while it runs. `report` folds these into a terminal and files.

use crate::diag::Diagnostic;
use serde::Serialize;
use std::collections::BTreeMap;

/// Scores of one dataset: numbers by metric, and matrices apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Metric → value; `loss` and every term are always there.
    pub numbers: BTreeMap<String, f64>,
    /// Metric → matrix, rows are true classes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub matrices: BTreeMap<String, Vec<Vec<u64>>>,
}

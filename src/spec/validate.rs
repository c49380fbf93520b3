//! x
pub(crate) fn validate(_spec: &super::Spec) -> Vec<crate::diag::Diagnostic> { vec![] }

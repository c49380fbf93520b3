//! x
/// x
pub fn to_yaml(_spec: &super::Spec) -> crate::diag::Result<String> { Ok(String::new()) }

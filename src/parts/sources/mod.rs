//! Data sources.

use super::{Family, Row};

/// A data source.
pub trait Source: Send + Sync {}

/// The family of sources.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sources;

impl Family for Sources {
    type Item = dyn Source;
    const NAME: &'static str = "source";
    fn rows() -> &'static [Row<dyn Source>] {
        &[]
    }
}

//! Data transforms.

use super::{Family, Row};

/// A data transform.
pub trait Transform: Send + Sync {}

/// The family of transforms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transforms;

impl Family for Transforms {
    type Item = dyn Transform;
    const NAME: &'static str = "transform";
    fn rows() -> &'static [Row<dyn Transform>] {
        &[]
    }
}

//! Attention of opset 23.

use super::Site;
use crate::diag::Result;
use crate::ir::Node;

/// Not decomposed yet in general.
pub(super) fn attention(site: &mut Site<'_>, node: Node) -> Result<()> {
    Err(site.refuse(&node, "has no form in opset 18"))
}

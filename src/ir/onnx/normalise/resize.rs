//! Upsample and the forms of Resize.

use super::{Site, inputs::constant_floats};
use crate::diag::Result;
use crate::ir::{Attr, Node, Tensor, ValueId};

/// Upsample: scales as an attribute (7) or input (9), coordinates as they were before Resize could say them.
pub(super) fn upsample(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if let Some(Attr::Floats(scales)) = node.attrs.remove("scales") {
        let scales = site.constant("scales", Tensor::vector(&scales));
        node.inputs.truncate(1);
        node.inputs.push(Some(scales));
    }
    legacy(site, node, true)
}

/// The first Resize, which is Upsample that may also shrink.
pub(super) fn resize_10(site: &mut Site<'_>, node: Node) -> Result<()> {
    legacy(site, node, false)
}

fn legacy(site: &mut Site<'_>, mut node: Node, grows: bool) -> Result<()> {
    let (x, scales) = (Site::required(&node, 0)?, Site::required(&node, 1)?);
    let linear = match node.text("mode").unwrap_or("nearest") {
        "nearest" => false,
        "linear" | "bilinear" => true,
        mode => return Err(site.refuse(&node, &format!("has the mode `{mode}`"))),
    };
    let known = constant_floats(site, Some(scales));
    // Nearest took the floor when growing and the ceiling when shrinking; one node cannot do both.
    let nearest = match known {
        _ if linear => "floor",
        Some(scales) if scales.iter().all(|scale| *scale >= 1.0) => "floor",
        Some(scales) if scales.iter().all(|scale| *scale <= 1.0) => "ceil",
        None if grows => "floor",
        _ => return Err(site.refuse(&node, "grows some axes and shrinks others, or by scales that are not constant")),
    };
    "Resize".clone_into(&mut node.op);
    let text = |text: &str| Attr::Str(text.as_bytes().to_vec());
    node.attrs.insert("mode".to_owned(), text(if linear { "linear" } else { "nearest" }));
    node.attrs.insert("coordinate_transformation_mode".to_owned(), text("asymmetric"));
    node.attrs.insert("nearest_mode".to_owned(), text(nearest));
    node.inputs = vec![Some(x), None, Some(scales)];
    site.keep(node);
    Ok(())
}

/// From 13 on, only one of scales and sizes may stand; before, an empty tensor stood for the other.
pub(super) fn resize_11(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if node.text("coordinate_transformation_mode") == Some("tf_half_pixel_for_nn") {
        return Err(site.refuse(&node, "has the coordinates `tf_half_pixel_for_nn`"));
    }
    if node.input(3).is_some() && node.inputs.len() > 2 {
        let empty = node.input(2).and_then(|id| site.graph.constant(id)).is_none_or(Tensor::is_empty);
        if !empty {
            return Err(site.refuse(&node, "has both scales and sizes"));
        }
        node.inputs[2] = None;
    }
    resize_13(site, node)
}

/// An empty region or an empty list of scales means none.
pub(super) fn resize_13(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    for index in [1, 2, 3] {
        let empty = |id: ValueId| site.graph.constant(id).is_some_and(Tensor::is_empty);
        if node.input(index).is_some_and(empty) {
            node.inputs[index] = None;
        }
    }
    site.keep(node);
    Ok(())
}

/// Opset 19 added coordinates that 18 does not have.
pub(super) fn resize_19(site: &mut Site<'_>, node: Node) -> Result<()> {
    if node.text("coordinate_transformation_mode") == Some("half_pixel_symmetric") {
        return Err(site.refuse(&node, "has the coordinates `half_pixel_symmetric`"));
    }
    site.keep(node);
    Ok(())
}

/// `RoiAlign`: the default coordinates changed in 16.
pub(super) fn roi_align(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let mode = Attr::Str(b"output_half_pixel".to_vec());
    node.attrs.insert("coordinate_transformation_mode".to_owned(), mode);
    site.keep(node);
    Ok(())
}

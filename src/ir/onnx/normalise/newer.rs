//! Operators that are newer than opset 18 or gained something after it.

use super::Site;
use crate::diag::Result;
use crate::ir::{Attr, DType, Node, Tensor};

/// Gelu: x/2 · (1 + erf(x/√2)), or the approximation by tanh.
pub(super) fn gelu(site: &mut Site<'_>, node: Node) -> Result<()> {
    let x = Site::required(&node, 0)?;
    let Some(output) = node.output(0) else { return Ok(()) };
    let curve = if node.text("approximate") == Some("tanh") {
        let cube = site.float_like("cube", x, 0.044_715);
        let scale = site.float_like("scale", x, (2.0 / std::f64::consts::PI).sqrt());
        let square = site.op("Mul", &[x, x], &[]);
        let third = site.op("Mul", &[square, x], &[]);
        let third = site.op("Mul", &[third, cube], &[]);
        let inner = site.op("Add", &[x, third], &[]);
        let inner = site.op("Mul", &[inner, scale], &[]);
        site.op("Tanh", &[inner], &[])
    } else {
        let root = site.float_like("root", x, std::f64::consts::SQRT_2);
        let inner = site.op("Div", &[x, root], &[]);
        site.op("Erf", &[inner], &[])
    };
    let one = site.float_like("one", x, 1.0);
    let half = site.float_like("half", x, 0.5);
    let weight = site.op("Add", &[curve, one], &[]);
    let scaled = site.op("Mul", &[x, weight], &[]);
    site.op_to(output, "Mul", &[scaled, half], &[]);
    Ok(())
}

/// `AveragePool`: opset 19 added dilations.
pub(super) fn average_pool(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if node.ints("dilations").is_some_and(|dilations| dilations.iter().any(|d| *d != 1)) {
        return Err(site.refuse(&node, "is dilated"));
    }
    node.attrs.remove("dilations");
    site.keep(node);
    Ok(())
}

/// Cast: `saturate` and `round_mode` are about 8-bit floats, which are not read.
pub(super) fn cast(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if node.op == "Cast" && DType::from_onnx(i32::try_from(node.int("to", 0)).unwrap_or(0)).is_none() {
        return Err(site.refuse(&node, "casts to a type that opset 18 does not have"));
    }
    node.attrs.remove("saturate");
    node.attrs.remove("round_mode");
    site.keep(node);
    Ok(())
}

/// Quantisation: by blocks and to types of less than 8 bits is newer than 18.
pub(super) fn quantize(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if node.int("block_size", 0) != 0 {
        return Err(site.refuse(&node, "works in blocks"));
    }
    let own = matches!(node.int("output_dtype", 0), 0 | 1) && node.op == "DequantizeLinear"
        || node.op == "QuantizeLinear" && (node.input(2).is_some() || matches!(node.int("output_dtype", 0), 0 | 2));
    if !own {
        return Err(site.refuse(&node, "states another output type than opset 18 gives"));
    }
    for name in ["block_size", "output_dtype", "saturate", "precision"] {
        node.attrs.remove(name);
    }
    site.keep(node);
    Ok(())
}

/// `GridSample`: two modes have other names; volumes are newer than 18.
pub(super) fn grid_sample(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let x = Site::required(&node, 0)?;
    if site.rank(x).is_some_and(|rank| rank != 4) {
        return Err(site.refuse(&node, "samples from something else than images"));
    }
    let mode = match node.text("mode") {
        Some("linear") | None => "bilinear",
        Some("cubic") => "bicubic",
        Some("nearest") => "nearest",
        Some(mode) => return Err(site.refuse(&node, &format!("has the mode `{mode}`"))),
    };
    node.attrs.insert("mode".to_owned(), Attr::Str(mode.as_bytes().to_vec()));
    site.keep(node);
    Ok(())
}

/// DFT: the axis goes back to an attribute, with its other default.
pub(super) fn dft(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let axis = match node.input(2) {
        None => Some(-2),
        Some(axis) => site.graph.constant(axis).and_then(Tensor::to_ints).and_then(|axis| axis.first().copied()),
    };
    let Some(axis) = axis else { return Err(site.refuse(&node, "has an axis that is not constant")) };
    node.inputs.truncate(2);
    node.attrs.insert("axis".to_owned(), Attr::Int(axis));
    site.keep(node);
    Ok(())
}

/// Pad: opset 19 added `wrap`.
pub(super) fn pad(site: &mut Site<'_>, node: Node) -> Result<()> {
    if node.text("mode") == Some("wrap") {
        return Err(site.refuse(&node, "wraps around"));
    }
    site.keep(node);
    Ok(())
}

/// `ReduceMax` and `ReduceMin`: opset 20 added bool, which goes through bytes.
pub(super) fn reduce_bool(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let x = Site::required(&node, 0)?;
    let Some(output) = node.output(0).filter(|_| site.dtype(x) == Some(DType::Bool)) else {
        site.keep(node);
        return Ok(());
    };
    let bytes = site.op("Cast", &[x], &[("to", Attr::Int(DType::U8 as i64))]);
    let made = site.graph.fresh(&format!("{}/bytes", site.graph.name(output)));
    node.inputs[0] = Some(bytes);
    node.outputs = vec![Some(made)];
    site.keep(node);
    site.op_to(output, "Cast", &[made], &[("to", Attr::Int(DType::Bool as i64))]);
    Ok(())
}

/// Scan of opset 8 runs over a batch of sequences, which no later form does.
pub(super) fn scan_8(site: &mut Site<'_>, node: Node) -> Result<()> {
    Err(site.refuse(&node, "runs over a batch of sequences"))
}

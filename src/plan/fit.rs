//! Whether what the transforms make of a sample is what the model takes: shape, number of dimensions and type.

use super::sets;
use crate::diag::{Code, Diagnostic};
use crate::graph::Network;
use crate::ir::DType;
use crate::parts::Chosen;
use crate::parts::transforms::{ItemType, Transforms};
use crate::spec::{Spec, join};

/// What a spec says about the shape of a dataset's samples.
pub(super) struct Shaping<'s> {
    /// Where it is decided: the transform that sets it, else the last one, else the source.
    pub(super) at: String,
    /// The last transform that gives all images one size.
    sizing: Option<&'s Chosen<Transforms>>,
    /// The last transform that says how many channels there are.
    colouring: Option<&'s Chosen<Transforms>>,
    /// Whether the transforms begin with images.
    pictures: bool,
    /// Where the samples come from.
    source: String,
}

/// Finds out which part of a spec decides on the shape of a dataset's samples.
pub(super) fn shaping<'s>(spec: &'s Spec, set: &str) -> Shaping<'s> {
    let chosen = sets::transforms(spec, set);
    let makes = |chosen: &Chosen<Transforms>, side: Option<usize>| {
        let input = ItemType::Image { h: side, w: side, channels: 3 };
        chosen.build().ok().and_then(|transform| transform.shape(&input).ok())
    };
    let sizes = |made: Option<ItemType>| matches!(made, Some(ItemType::Image { h: Some(_), w: Some(_), .. }));
    let sizing = chosen.iter().rev().find(|chosen| sizes(makes(chosen, None)));
    // Large enough for any crop.
    let pictures = chosen.first().is_some_and(|first| makes(first, Some(1 << 16)).is_some());
    let source = sets::source_at(spec, set);
    let at = sizing.or(chosen.last()).map_or_else(|| source.clone(), |chosen| chosen.at.clone());
    let colouring = chosen.iter().rev().find(|chosen| chosen.kind == "grayscale");
    Shaping { at, sizing, colouring, pictures, source }
}

/// What does not fit, with the place that makes it and the place that takes it.
pub(super) fn check(spec: &Spec, network: &Network, sample: Option<&[usize]>) -> Option<Diagnostic> {
    let input = network.graph.name(network.input);
    let shaping = shaping(spec, "train");
    let at_input = match &spec.model.source {
        None => join("/model/input", input),
        Some(_) => match spec.model.inputs.keys().next() {
            Some(role) => join("/model/inputs", role),
            None => "/model/source".to_owned(),
        },
    };
    if let Some(dtype) = network.graph.dtype(network.input).filter(|dtype| *dtype != DType::F32) {
        let message = format!("the samples are f32, and `{input}` takes {dtype}");
        let error = Diagnostic::error(Code::DataShape, message).at(&at_input, format!("takes {dtype}"));
        let error = error.at(&shaping.at, "makes f32");
        return Some(error.help("export the model with an input of type float32"));
    }
    let (made, taken) = (sample?, network.sample.as_slice());
    if made == taken {
        return None;
    }
    let message = format!("the samples have shape {made:?}, and `{input}` takes {taken:?}");
    let at = match (made, taken) {
        // Only the channels differ.
        ([_, made @ ..], [_, taken @ ..]) if made == taken && shaping.pictures => match shaping.colouring {
            Some(chosen) => &chosen.at,
            None => &shaping.source,
        },
        _ => &shaping.at,
    };
    let error = Diagnostic::error(Code::DataShape, message).at(at, format!("makes {made:?}"));
    let mut help = advice(&shaping, made, taken);
    if spec.model.source.is_none() {
        help = format!("{help}; or write `input: {{{input}: {made:?}}}`");
    }
    Some(error.at(at_input, format!("takes {taken:?}")).help(help))
}

/// What to write instead.
fn advice(shaping: &Shaping, made: &[usize], taken: &[usize]) -> String {
    let (true, &[channels, height, width]) = (shaping.pictures, made) else {
        return if shaping.pictures {
            "images end in [channels, height, width]".to_owned()
        } else {
            format!("give the data the shape {taken:?}, or choose the arrays or columns that have it")
        };
    };
    let &[wanted, rows, columns] = taken else {
        return format!("images have the shape [channels, height, width], and this input takes {taken:?}");
    };
    if taken == [height, width, channels] && made != taken {
        return "export the model with channels first, [N, channels, height, width]".to_owned();
    }
    let mut advice = Vec::new();
    if (height, width) != (rows, columns) {
        let both = format!("[{rows}, {columns}]");
        advice.push(match shaping.sizing.map(|chosen| chosen.kind.as_str()) {
            None => format!("put `resize: {both}` before `to_tensor`"),
            Some("resize") => format!("write `resize: {both}`"),
            Some(kind) if rows == columns => format!("write `{kind}: {rows}`"),
            Some(kind) => format!("write `{kind}: {both}`"),
        });
    }
    if channels != wanted {
        advice.push(match wanted {
            1 | 3 if shaping.colouring.is_some() => format!("write `grayscale: {wanted}`"),
            1 | 3 => format!("put `grayscale: {wanted}` before `to_tensor`"),
            _ => format!("images have 1 or 3 channels, not {wanted}"),
        });
    }
    advice.join(", and ")
}

//! Graphs for the sweep.

use crate::ir::{Attr, Builder, Tensor, ValueId};
use crate::ops::case::{Case, Draw, Input, any, case, constant};

/// Uniform in [−0.4, 0.4], so that sums stay on one side of the kinks of an activation.
const fn small(shape: &'static [usize]) -> Input {
    Input { shape, draw: Draw::Uniform(-0.4, 0.4) }
}

pub(in crate::ops) const CASES: &[Case] = &[
    case("LSTM", "weights alone", &[any(&[3, 2, 3]), any(&[1, 8, 3]), any(&[1, 8, 2])], |b, x| {
        of(b, "LSTM", &[x[0], x[1], x[2]].map(Some), &[true; 3], &[])
    }),
    case("LSTM", "one step, bias", &[any(&[1, 3, 2]), any(&[1, 8, 2]), any(&[1, 8, 2]), any(&[1, 16])], |b, x| {
        of(b, "LSTM", &[x[0], x[1], x[2], x[3]].map(Some), &[true; 3], &[])
    }),
    case(
        "LSTM",
        "reverse, lengths, initial states",
        &[any(&[4, 3, 2]), any(&[1, 8, 2]), any(&[1, 8, 2]), any(&[1, 16]), any(&[1, 3, 2]), any(&[1, 3, 2])],
        |b, x| {
            let lengths = lengths(b, &[2, 4, 1]);
            let inputs = [x[0], x[1], x[2], x[3], lengths, x[4], x[5]].map(Some);
            of(b, "LSTM", &inputs, &[true; 3], &[text("direction", "reverse")])
        },
    ),
    case(
        "LSTM",
        "bidirectional, lengths, initial states, peepholes",
        &[
            any(&[3, 3, 2]),
            any(&[2, 8, 2]),
            any(&[2, 8, 2]),
            any(&[2, 16]),
            any(&[2, 3, 2]),
            any(&[2, 3, 2]),
            any(&[2, 6]),
        ],
        |b, x| {
            let lengths = lengths(b, &[3, 0, 2]);
            let inputs = [x[0], x[1], x[2], x[3], lengths, x[4], x[5], x[6]].map(Some);
            of(b, "LSTM", &inputs, &[true; 3], &[text("direction", "bidirectional")])
        },
    ),
    case(
        "LSTM",
        "the last cell state alone, many rows",
        &[any(&[3, 19, 1]), any(&[1, 4, 1]), any(&[1, 4, 1])],
        |b, x| of(b, "LSTM", &[x[0], x[1], x[2]].map(Some), &[false, false, true], &[]),
    ),
    case(
        "LSTM",
        "input_forget, peepholes",
        &[any(&[3, 2, 2]), any(&[1, 8, 2]), any(&[1, 8, 2]), any(&[1, 6])],
        |b, x| {
            let inputs = [Some(x[0]), Some(x[1]), Some(x[2]), None, None, None, None, Some(x[3])];
            of(b, "LSTM", &inputs, &[true; 3], &[("input_forget", Attr::Int(1))])
        },
    ),
    case("LSTM", "clip", &[small(&[3, 2, 2]), small(&[1, 8, 2]), small(&[1, 8, 2])], |b, x| {
        let bias = bias(b, x[0], &[3.0, -0.1, 0.2, -3.0, 0.1, -0.2, 3.0, 0.0]);
        of(b, "LSTM", &[x[0], x[1], x[2], bias].map(Some), &[true; 3], &[("clip", Attr::Float(1.5))])
    }),
    case("LSTM", "activations with α and β", &[small(&[2, 2, 2]), small(&[2, 8, 2]), small(&[2, 8, 2])], |b, x| {
        let one = [0.1, -0.1, 0.2, 8.0, -8.0, 0.1, 1.5, 1.5];
        let bias = bias(b, x[0], &[&one[..], &one[..]].concat());
        let attrs = [
            text("direction", "bidirectional"),
            names(&["HardSigmoid", "ScaledTanh", "Affine", "hardsigmoid", "Elu", "Softsign"]),
            ("activation_alpha", Attr::Floats(vec![0.25, 1.1, 0.7, 0.15, 0.9])),
            ("activation_beta", Attr::Floats(vec![0.4, 0.6, 0.1, 0.45])),
        ];
        of(b, "LSTM", &[x[0], x[1], x[2], bias].map(Some), &[true; 3], &attrs)
    }),
    case("GRU", "weights alone", &[any(&[3, 2, 3]), any(&[1, 6, 3]), any(&[1, 6, 2])], |b, x| {
        of(b, "GRU", &[x[0], x[1], x[2]].map(Some), &[true; 2], &[])
    }),
    case(
        "GRU",
        "linear before reset, bias",
        &[any(&[3, 9, 1]), any(&[1, 6, 1]), any(&[1, 6, 2]), any(&[1, 12])],
        |b, x| {
            let attrs = [("linear_before_reset", Attr::Int(1))];
            of(b, "GRU", &[x[0], x[1], x[2], x[3]].map(Some), &[true; 2], &attrs)
        },
    ),
    case(
        "GRU",
        "reverse, lengths, initial state",
        &[any(&[4, 3, 2]), any(&[1, 6, 2]), any(&[1, 6, 2]), any(&[1, 12]), any(&[1, 3, 2])],
        |b, x| {
            let lengths = lengths(b, &[2, 4, 1]);
            let inputs = [x[0], x[1], x[2], x[3], lengths, x[4]].map(Some);
            of(b, "GRU", &inputs, &[true; 2], &[text("direction", "reverse")])
        },
    ),
    case(
        "GRU",
        "bidirectional, lengths, initial state, linear before reset",
        &[any(&[3, 3, 2]), any(&[2, 6, 2]), any(&[2, 6, 2]), any(&[2, 12]), any(&[2, 3, 2])],
        |b, x| {
            let lengths = lengths(b, &[3, 0, 2]);
            let inputs = [x[0], x[1], x[2], x[3], lengths, x[4]].map(Some);
            let attrs = [text("direction", "bidirectional"), ("linear_before_reset", Attr::Int(1))];
            of(b, "GRU", &inputs, &[true; 2], &attrs)
        },
    ),
    case("GRU", "all states alone", &[any(&[2, 2, 2]), any(&[1, 6, 2]), any(&[1, 6, 2])], |b, x| {
        of(b, "GRU", &[x[0], x[1], x[2]].map(Some), &[true, false], &[])
    }),
    case("GRU", "clip, activations", &[small(&[2, 2, 2]), small(&[1, 6, 2]), small(&[1, 6, 2])], |b, x| {
        let bias = bias(b, x[0], &[0.2, 3.0, -0.1, -3.0, 0.9, -0.9]);
        let attrs = [names(&["Sigmoid", "LeakyRelu"]), ("clip", Attr::Float(1.8))];
        of(b, "GRU", &[x[0], x[1], x[2], bias].map(Some), &[true; 2], &attrs)
    }),
    case("RNN", "weights alone", &[any(&[3, 2, 3]), any(&[1, 2, 3]), any(&[1, 2, 2])], |b, x| {
        of(b, "RNN", &[x[0], x[1], x[2]].map(Some), &[true; 2], &[])
    }),
    case(
        "RNN",
        "reverse, lengths, initial state",
        &[any(&[4, 3, 2]), any(&[1, 2, 2]), any(&[1, 2, 2]), any(&[1, 4]), any(&[1, 3, 2])],
        |b, x| {
            let lengths = lengths(b, &[2, 4, 1]);
            let inputs = [x[0], x[1], x[2], x[3], lengths, x[4]].map(Some);
            of(b, "RNN", &inputs, &[true; 2], &[text("direction", "reverse")])
        },
    ),
    case(
        "RNN",
        "bidirectional, the last state alone",
        &[any(&[3, 2, 2]), any(&[2, 2, 2]), any(&[2, 2, 2]), any(&[2, 4]), any(&[2, 2, 2])],
        |b, x| {
            let inputs = [Some(x[0]), Some(x[1]), Some(x[2]), Some(x[3]), None, Some(x[4])];
            of(b, "RNN", &inputs, &[false, true], &[text("direction", "bidirectional")])
        },
    ),
    case("RNN", "Relu", &[small(&[3, 2, 2]), small(&[1, 4, 2]), small(&[1, 4, 4])], |b, x| {
        let bias = bias(b, x[0], &[2.5, -2.5, 2.5, 2.5]);
        of(b, "RNN", &[x[0], x[1], x[2], bias].map(Some), &[true; 2], &[names(&["Relu"])])
    }),
    case("RNN", "Softplus", &[any(&[2, 2, 2]), any(&[1, 2, 2]), any(&[1, 2, 2])], |b, x| {
        of(b, "RNN", &[x[0], x[1], x[2]].map(Some), &[true; 2], &[names(&["Softplus"])])
    }),
    case("RNN", "ThresholdedRelu", &[small(&[2, 2, 2]), small(&[1, 2, 2]), small(&[1, 2, 2])], |b, x| {
        let bias = bias(b, x[0], &[2.5, 0.4]);
        let attrs = [names(&["ThresholdedRelu"]), ("activation_alpha", Attr::Floats(vec![1.3]))];
        of(b, "RNN", &[x[0], x[1], x[2], bias].map(Some), &[true; 2], &attrs)
    }),
];

fn text(name: &'static str, value: &str) -> (&'static str, Attr) {
    (name, Attr::Str(value.as_bytes().to_vec()))
}

fn names(functions: &[&str]) -> (&'static str, Attr) {
    ("activations", Attr::Strs(functions.iter().map(|name| name.as_bytes().to_vec()).collect()))
}

fn lengths(b: &mut Builder, lengths: &[i32]) -> ValueId {
    b.constant(Tensor::vector(lengths))
}

/// Biases of W [directions, gates·hidden] with zeros for R.
fn bias(b: &mut Builder, like: ValueId, values: &[f32]) -> ValueId {
    let width = if values.len() == 16 { 8 } else { values.len() };
    let both: Vec<f32> = values.chunks(width).flat_map(|part| part.iter().copied().chain(vec![0.0; width])).collect();
    constant(b, like, &[values.len() / width, 2 * width], &both)
}

/// A recurrent node whose wanted outputs are put together in one vector.
fn of(b: &mut Builder, op: &str, inputs: &[Option<ValueId>], wanted: &[bool], attrs: &[(&str, Attr)]) -> ValueId {
    let hidden = inputs[2].and_then(|r| b.graph.shape(r)).map_or(0, |shape| shape[2]);
    let attrs = [attrs, &[("hidden_size", Attr::Int(hidden as i64))]].concat();
    let outputs = b.node("", op, inputs, &attrs, wanted.len());
    if let Some(node) = b.graph.nodes.last_mut() {
        node.outputs.iter_mut().zip(wanted).filter(|(_, wanted)| !**wanted).for_each(|(output, _)| *output = None);
    }
    let flat: Vec<ValueId> =
        outputs.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(y, _)| b.reshape(*y, &[-1])).collect();
    b.concat(&flat, 0)
}

//! Convolutions and their gradients in the forms that cuDNN has: pads as wide behind as in front, and a transposed convolution as the gradient
//! of a convolution's input. What pads differ by is put around the input, or cut from its gradient.

use super::conv_attributes::{ConvAttributes, ints, same_pads};
use super::cuda::{Convolution, Direction};
use crate::ir::{Attr, Builder, DOMAIN, DType, Graph, Node, TensorType, ValueId};

/// A node as a convolution of x, or a gradient of one.
pub(super) struct Form {
    direction: Direction,
    attrs: ConvAttributes,
    /// Spatial size of x.
    shape: Vec<usize>,
    /// Zeros to put in front of x and behind it.
    more: [Vec<usize>; 2],
}

impl Form {
    /// Of a node whose shapes are known; none for other nodes, shapes that do not fit, sizes of 0, and a transposed one whose pads are to be
    /// found out.
    pub(super) fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let shape = |value: Option<ValueId>| graph.shape(value?);
        let [first, second, output] = [shape(node.input(0))?, shape(node.input(1))?, shape(node.output(0))?];
        let (direction, attrs, x, dy) = match (node.domain.as_str(), node.op.as_str()) {
            ("", "Conv") => (Direction::Forward, explicit(node, &second, &first)?, first, output),
            ("", "ConvTranspose") => {
                let mut attrs = explicit(node, &second, &[])?;
                // The pads behind leave of the output what is wanted, `output_padding` included.
                attrs.end = (0..attrs.kernel.len())
                    .map(|i| {
                        let full = first.get(2 + i)?.checked_sub(1)? * attrs.strides[i] + attrs.extent(i);
                        Some(full.saturating_sub(output.get(2 + i)? + attrs.begin[i]))
                    })
                    .collect::<Option<_>>()?;
                (Direction::Data, attrs, output, first)
            }
            (DOMAIN, "ConvDataGrad") => (Direction::Data, ConvAttributes::read(node).ok()?, output, first),
            (DOMAIN, "ConvWeightGrad") => (Direction::Weights, ConvAttributes::read(node).ok()?, first, second),
            _ => return None,
        };
        // A model may say what it likes of a node that nobody has run.
        let [n, channels, ..] = x[..] else { return None };
        let weights = shape(if direction == Direction::Weights { node.output(0) } else { node.input(1) })?;
        let fits = dy.len() == x.len() && x.len() == attrs.kernel.len() + 2 && dy[0] == n;
        if !fits || weights != [&[dy[1], channels / attrs.group], &attrs.kernel[..]].concat() {
            return None;
        }
        let none = vec![0; x.len() - 2];
        let mut form = Self { direction, attrs, shape: x[2..].to_vec(), more: [none.clone(), none] };
        if Convolution::new(direction, &form.attrs, &x, &dy).is_none() {
            form.even();
            let wider = [&x[..2], &form.padded()].concat();
            Convolution::new(direction, &form.attrs, &wider, &dy)?;
        }
        Some(form)
    }

    /// Takes from the pads what is not there on both sides.
    fn even(&mut self) {
        let (begin, end) = (self.attrs.begin.clone(), self.attrs.end.clone());
        let least: Vec<usize> = begin.iter().zip(&end).map(|(a, b)| *a.min(b)).collect();
        let rest = |pads: Vec<usize>| pads.iter().zip(&least).map(|(pad, least)| pad - least).collect();
        self.more = [rest(begin), rest(end)];
        (self.attrs.begin, self.attrs.end) = (least.clone(), least);
    }

    fn is_even(&self) -> bool {
        self.more.iter().flatten().all(|pad| *pad == 0)
    }

    /// Spatial size of x with what is put around it.
    fn padded(&self) -> Vec<usize> {
        (0..self.shape.len()).map(|i| self.more[0][i] + self.shape[i] + self.more[1][i]).collect()
    }

    fn attributes(&self) -> Vec<(&'static str, Attr)> {
        let mut list = self.attrs.list(&self.attrs.begin, &self.attrs.end);
        if self.direction == Direction::Data {
            list.push(("shape", ints(&self.padded())));
        }
        list
    }

    /// Emits it; the value of the node's output. None where the node is this already.
    pub(super) fn emit(&self, b: &mut Builder, node: &Node) -> Option<ValueId> {
        if node.domain == DOMAIN && self.is_even() {
            return None;
        }
        let (first, second, output) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let ty = b.graph.ty(output)?;
        let data = self.direction == Direction::Data;
        let x = if data { first } else { self.wider(b, first)? };
        let (name, inner) = match self.direction {
            Direction::Forward => ("Conv", ty.clone()),
            Direction::Weights => ("ConvWeightGrad", ty.clone()),
            Direction::Data => {
                let channels = b.graph.shape(output)?[..2].to_vec();
                ("ConvDataGrad", TensorType::fixed(ty.dtype, &[channels, self.padded()].concat()))
            }
        };
        let mut made = b.node(DOMAIN, name, &[Some(x), Some(second)], &self.attributes(), 1)[0];
        b.graph.set_type(made, Some(inner));
        if data && !self.is_even() {
            let axes: Vec<i64> = (2..self.shape.len() as i64 + 2).collect();
            let starts: Vec<i64> = self.more[0].iter().map(|pad| *pad as i64).collect();
            let ends: Vec<i64> = starts.iter().zip(&self.shape).map(|(start, size)| start + *size as i64).collect();
            made = b.slice(made, &starts, &ends, &axes, &vec![1; axes.len()]);
            b.graph.set_type(made, Some(ty.clone()));
        }
        // A bias is added by a node of its own.
        if let (Some(bias), "") = (node.input(2), node.domain.as_str()) {
            let mut wide = vec![1; self.shape.len() + 1];
            wide[0] = b.graph.shape(bias)?.into_iter().product();
            let wide = b.reshape_to(bias, &wide);
            made = b.add(made, wide);
            b.graph.set_type(made, Some(ty));
        }
        Some(made)
    }

    /// x with zeros around it. There is no Pad in bfloat16.
    fn wider(&self, b: &mut Builder, x: ValueId) -> Option<ValueId> {
        if self.is_even() {
            return Some(x);
        }
        let (dtype, shape) = (b.graph.dtype(x)?, b.graph.shape(x)?);
        let padded = [&shape[..2], &self.padded()].concat();
        let sizes = |list: &[usize]| [0, 0].into_iter().chain(list.iter().map(|pad| *pad as i64)).collect::<Vec<i64>>();
        let pads = [sizes(&self.more[0]), sizes(&self.more[1])].concat();
        let typed = |b: &mut Builder, value: ValueId, dtype: DType, shape: &[usize]| {
            b.graph.set_type(value, Some(TensorType::fixed(dtype, shape)));
        };
        let through = if dtype == DType::Bf16 { DType::F32 } else { dtype };
        let mut made = x;
        if through != dtype {
            made = b.cast(made, through);
            typed(b, made, through, &shape);
        }
        made = b.pad_zero(made, &pads);
        typed(b, made, through, &padded);
        if through != dtype {
            made = b.cast(made, dtype);
            typed(b, made, dtype, &padded);
        }
        Some(made)
    }
}

/// Attributes of a standard operator with weights of a shape, whose pads are said, or follow from an input of a shape.
fn explicit(node: &Node, weights: &[usize], input: &[usize]) -> Option<ConvAttributes> {
    let auto_pad = node.text("auto_pad").unwrap_or_default();
    let mut with_kernel = node.clone();
    with_kernel.attrs.insert("kernel_shape".to_owned(), ints(weights.get(2..)?));
    if !matches!(auto_pad, "" | "NOTSET") {
        with_kernel.attrs.remove("pads");
    }
    let mut attrs = ConvAttributes::read(&with_kernel).ok().filter(|_| node.ints("output_shape").is_none())?;
    match auto_pad {
        "" | "NOTSET" | "VALID" => {}
        "SAME_UPPER" | "SAME_LOWER" => {
            for i in 0..attrs.kernel.len() {
                let pads = same_pads(*input.get(2 + i)?, attrs.strides[i], attrs.extent(i), auto_pad == "SAME_UPPER");
                (attrs.begin[i], attrs.end[i]) = pads;
            }
        }
        _ => return None,
    }
    Some(attrs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{OPSET, Tensor};
    use crate::native::{Options, Session, probe};
    use crate::world::rng::Key;

    /// Operator, shapes of x, w and maybe a bias, groups, lists of integers, and whether pads are uneven.
    type Sample = (&'static str, &'static [&'static [usize]], i64, &'static [(&'static str, &'static [i64])], bool);

    const SAMPLES: &[Sample] = &[
        ("Conv", &[&[2, 3, 6, 7], &[4, 3, 3, 3], &[4]], 1, &[("pads", &[1, 1, 1, 1])], false),
        ("Conv", &[&[2, 3, 6, 7], &[4, 3, 3, 3], &[4]], 1, &[("pads", &[0, 0, 1, 1]), ("strides", &[2, 2])], true),
        ("Conv", &[&[2, 4, 8, 8], &[4, 1, 3, 3]], 4, &[("pads", &[2, 0, 0, 1]), ("strides", &[2, 1])], true),
        ("Conv", &[&[2, 3, 9], &[4, 3, 3], &[4]], 1, &[("pads", &[2, 0])], true),
        ("Conv", &[&[1, 2, 4, 5, 4], &[3, 2, 2, 3, 2]], 1, &[("pads", &[0, 1, 0, 1, 1, 1])], true),
        // The stride leaves out what the pads behind add.
        ("Conv", &[&[1, 2, 7, 7], &[3, 2, 3, 3]], 1, &[("pads", &[0, 0, 1, 1]), ("strides", &[2, 2])], false),
        ("ConvTranspose", &[&[2, 3, 4, 5], &[3, 4, 3, 2], &[4]], 1, &[], false),
        (
            "ConvTranspose",
            &[&[1, 3, 4, 5], &[3, 2, 3, 3], &[2]],
            1,
            &[("strides", &[2, 2]), ("pads", &[1, 0, 1, 1]), ("output_padding", &[1, 0])],
            true,
        ),
        ("ConvTranspose", &[&[1, 4, 3, 4], &[4, 3, 2, 3], &[6]], 2, &[("pads", &[0, 2, 1, 0])], true),
        ("ConvTranspose", &[&[2, 3, 5], &[3, 1, 4]], 3, &[("strides", &[3]), ("pads", &[1, 2])], true),
    ];

    fn outputs(graph: &Graph, shapes: &[&[usize]]) -> Vec<f32> {
        let mut rng = Key::new(3).rng();
        let mut draw = |shape: &[usize]| {
            let count = shape.iter().product();
            Tensor::new(shape, &(0..count).map(|_| rng.range(-1.0, 1.0) as f32).collect::<Vec<_>>())
        };
        let feeds: Vec<(String, Tensor)> =
            shapes.iter().enumerate().map(|(i, shape)| (format!("x{i}"), draw(shape))).collect();
        let feeds: Vec<(&str, Tensor)> = feeds.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
        let mut session = Session::build(graph, &Options::default()).unwrap();
        session.call(&feeds).unwrap()[0].to_vec().unwrap()
    }

    #[test]
    fn automatic_pads_are_found_and_shapes_that_do_not_fit_are_left() {
        let conv = |w: &[usize], auto_pad: &str, y: &[usize]| {
            let mut graph = Graph::default();
            let inputs = [("x", &[1, 3, 7, 6][..]), ("w", w)]
                .map(|(name, shape)| graph.add_input(name, TensorType::fixed(DType::F32, shape)));
            let attrs = [("strides", ints(&[2, 2])), ("auto_pad", Attr::Str(auto_pad.as_bytes().to_vec()))];
            let made = Builder::new(&mut graph, "c").op_with("Conv", &inputs, &attrs);
            graph.set_type(made, Some(TensorType::fixed(DType::F32, y)));
            Form::of(&graph, &graph.nodes[0]).map(|form| (form.attrs.begin, form.more))
        };
        let y = [1, 4, 4, 3];
        let found = conv(&[4, 3, 4, 3], "SAME_UPPER", &y);
        assert_eq!(found, Some((vec![1, 0], [vec![0, 0], vec![1, 1]])));
        // The stride leaves out what pads as wide behind as in front add.
        assert_eq!(conv(&[4, 3, 4, 3], "SAME_LOWER", &y), Some((vec![2, 1], [vec![0, 0], vec![0, 0]])));
        // Other channels, another rank.
        assert_eq!(conv(&[4, 2, 4, 3], "SAME_UPPER", &y), None);
        assert_eq!(conv(&[4, 3, 4], "SAME_UPPER", &[1, 4, 4]), None);
    }

    #[test]
    fn a_form_gives_what_the_node_gives() {
        for (op, shapes, group, lists, uneven) in SAMPLES {
            let mut graph = Graph::default();
            graph.opsets.insert(String::new(), OPSET);
            let inputs: Vec<ValueId> = (0..shapes.len())
                .map(|i| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, shapes[i])))
                .collect();
            let mut attrs: Vec<(&str, Attr)> =
                lists.iter().map(|(name, list)| (*name, Attr::Ints(list.to_vec()))).collect();
            attrs.push(("group", Attr::Int(*group)));
            let y = Builder::new(&mut graph, "standard").op_with(op, &inputs, &attrs);
            graph.outputs = vec![y];
            probe(&mut graph, &[]).unwrap();
            let wanted = outputs(&graph, shapes);
            let node = graph.nodes[0].clone();
            let form = Form::of(&graph, &node).unwrap();
            assert_eq!(form.is_even(), !uneven, "{op} {shapes:?} {lists:?}");
            let made = form.emit(&mut Builder::new(&mut graph, "own"), &node).unwrap();
            assert_eq!(graph.shape(made), graph.shape(y), "{op} {shapes:?} {lists:?}");
            graph.outputs = vec![made];
            graph.prune(true);
            assert!(graph.nodes.iter().all(|node| node.op != *op || node.domain == DOMAIN));
            let apart = outputs(&graph, shapes).iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{op} {shapes:?} {lists:?}: {apart}");
        }
    }
}

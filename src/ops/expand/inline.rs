//! Copies a body of `If`, `Loop` or `Scan` into the graph around it.

use super::Ctx;
use super::known::known;
use crate::diag::Result;
use crate::ir::onnx::{Body, rename_captures};
use crate::ir::{Attr, Node, Tensor, ValueId};
use std::collections::BTreeMap;

/// Most steps that are written out.
pub(super) const MOST_STEPS: usize = 64;
/// Most nodes that all steps of one node may become.
const MOST_NODES: usize = 1 << 14;
/// Most bytes of inner bodies that all steps of one node may copy.
const MOST_BYTES: usize = 64 << 20;

/// A body that is copied once or several times.
pub(super) struct Inline {
    body: Body,
    /// What stands for the body's constants, by value; they are shared by all copies.
    constants: BTreeMap<ValueId, ValueId>,
    copied: usize,
    bytes: usize,
}

impl Inline {
    /// The body in an attribute of the node.
    pub(super) fn of(ctx: &Ctx, attribute: &str) -> Result<Self> {
        match ctx.node.attrs.get(attribute) {
            Some(Attr::Graph { bytes, .. }) => {
                Ok(Self { body: Body::decode(bytes)?, constants: BTreeMap::new(), copied: 0, bytes: 0 })
            }
            _ => Err(ctx.invalid(format!("it has no `{attribute}`"))),
        }
    }

    /// How many values the body makes.
    pub(super) fn outputs(&self) -> usize {
        self.body.graph.outputs.len()
    }

    /// Emits the body with these inputs; returns its outputs.
    pub(super) fn copy(&mut self, ctx: &mut Ctx, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        let (body, scope) = (&self.body.graph, ctx.b.scope().to_owned());
        let own = body.inputs.len() - self.body.outside.len();
        if inputs.len() != own {
            return Err(ctx.invalid(format!("its body takes {own} inputs, not {}", inputs.len())));
        }
        self.copied += body.nodes.len();
        if self.copied > MOST_NODES {
            return Err(ctx.unsupported(format!("written out it has more than {MOST_NODES} nodes")));
        }
        self.bytes += body.nodes.iter().flat_map(Node::bodies).map(|(bytes, _)| bytes.len()).sum::<usize>();
        if self.bytes > MOST_BYTES {
            return Err(ctx.unsupported(format!("written out its bodies take more than {} MiB", MOST_BYTES >> 20)));
        }
        let mut map: BTreeMap<ValueId, ValueId> = body.inputs.iter().copied().zip(inputs.iter().copied()).collect();
        for (inner, name) in body.inputs[own..].iter().zip(&self.body.outside) {
            let outer = ctx.graph().find(name).ok_or_else(|| ctx.invalid(format!("nothing makes `{name}`")))?;
            map.insert(*inner, outer);
        }
        for (value, tensor) in &body.initializers {
            let outer = *self.constants.entry(*value).or_insert_with(|| {
                ctx.b.graph.add_initializer(&format!("{scope}/{}", body.name(*value)), tensor.clone())
            });
            map.insert(*value, outer);
        }
        for node in &body.nodes {
            for output in node.outputs.iter().flatten() {
                map.insert(*output, ctx.b.graph.fresh(&format!("{scope}/{}", body.name(*output))));
            }
            let values = |values: &[Option<ValueId>]| {
                values.iter().map(|value| value.and_then(|value| map.get(&value).copied())).collect()
            };
            let mut copy = Node { inputs: values(&node.inputs), outputs: values(&node.outputs), ..node.clone() };
            copy.name = copy.output(0).map_or_else(String::new, |output| ctx.graph().name(output).to_owned());
            for attr in copy.attrs.values_mut() {
                if let Attr::Graph { bytes, .. } = attr {
                    let names = map
                        .iter()
                        .map(|(from, to)| (body.name(*from).to_owned(), ctx.graph().name(*to).to_owned()))
                        .collect();
                    *attr = rename_captures(bytes, &names)?;
                }
            }
            ctx.b.graph.nodes.push(copy);
        }
        let outputs: Option<Vec<ValueId>> = body.outputs.iter().map(|output| map.get(output).copied()).collect();
        outputs.ok_or_else(|| ctx.invalid("nothing makes an output of its body".to_owned()))
    }
}

/// A condition or trip count, which must be known before running.
pub(super) fn fixed(ctx: &Ctx, value: ValueId, what: &str) -> Result<i64> {
    let name = ctx.graph().name(value);
    known(ctx.graph(), value).ok_or_else(|| ctx.unsupported(format!("its {what} (`{name}`) is computed at run time")))
}

/// The values of all steps side by side along a new axis: output `index` of the node.
pub(super) fn stack(ctx: &mut Ctx, steps: &[ValueId], axis: i64, index: usize) -> Result<ValueId> {
    if steps.is_empty() {
        // Of no steps nothing is left but the type.
        let ty = ctx.node.output(index).and_then(|output| ctx.graph().ty(output));
        let empty = ty.and_then(|ty| Tensor::from_bytes(ty.dtype, ty.shape()?, Vec::new()));
        return match empty {
            Some(empty) => Ok(ctx.b.constant(empty)),
            None => Err(ctx.unsupported("it runs no step and stacks values of a shape that is not known")),
        };
    }
    let apart: Vec<ValueId> = steps.iter().map(|step| ctx.b.unsqueeze(*step, &[axis])).collect();
    Ok(ctx.b.concat(&apart, axis))
}

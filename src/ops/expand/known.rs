//! Integers that are known before running: constants, and what is computed from static shapes. Conditions and trip counts of exported
//! graphs mostly are.

use crate::ir::{Dim, Graph, Node, Tensor, ValueId};

/// Longest chain of nodes that is followed.
const DEPTH: usize = 32;

/// Follows values back through a graph.
pub(super) struct Known<'g> {
    graph: &'g Graph,
    producers: Vec<Option<usize>>,
}

impl<'g> Known<'g> {
    pub(super) fn of(graph: &'g Graph) -> Self {
        Self { graph, producers: graph.producers() }
    }

    /// The one integer or truth value that `value` always is.
    pub(super) fn one(&self, value: ValueId) -> Option<i64> {
        match self.ints(value, DEPTH)?.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    fn ints(&self, value: ValueId, depth: usize) -> Option<Vec<i64>> {
        if let Some(tensor) = self.graph.constant(value) {
            return tensor.to_ints().or_else(|| truths(tensor));
        }
        let node = &self.graph.nodes[self.producers[value.0 as usize]?];
        let depth = depth.checked_sub(1).filter(|_| node.domain.is_empty() && node.output(0) == Some(value))?;
        let input = |index: usize| self.ints(node.input(index)?, depth);
        match node.op.as_str() {
            "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => input(0),
            // From truth values or integers to either: 0 and 1 stay what they are.
            "Cast" => {
                input(0).filter(|ints| matches!(node.int("to", 0), 6 | 7) || ints.iter().all(|i| matches!(i, 0 | 1)))
            }
            "Shape" => self.shape(node),
            "Size" => Some(vec![self.graph.shape(node.input(0)?)?.iter().product::<usize>() as i64]),
            "Not" => Some(input(0)?.into_iter().map(|truth| i64::from(truth == 0)).collect()),
            "Gather" if node.int("axis", 0) == 0 => {
                let (from, at) = (input(0)?, input(1)?);
                let place = |at: i64| usize::try_from(if at < 0 { at + from.len() as i64 } else { at }).ok();
                at.into_iter().map(|at| from.get(place(at)?).copied()).collect()
            }
            "Concat" => {
                let parts: Option<Vec<Vec<i64>>> = (0..node.inputs.len()).map(input).collect();
                Some(parts?.concat())
            }
            op => {
                let (a, b) = (input(0)?, input(1)?);
                let count = a.len().max(b.len());
                let at = |side: &[i64], i: usize| side.get(if side.len() == 1 { 0 } else { i }).copied();
                (0..count).map(|i| binary(op, at(&a, i)?, at(&b, i)?)).collect()
            }
        }
    }

    fn shape(&self, node: &Node) -> Option<Vec<i64>> {
        let dims = self.graph.ty(node.input(0)?)?.dims;
        let rank = dims.len() as i64;
        let bound = |name: &str, default: i64| {
            let at = node.int(name, default);
            (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize
        };
        let known = |dim: &Dim| match dim {
            Dim::Known(size) => i64::try_from(*size).ok(),
            Dim::Symbol(_) => None,
        };
        dims.get(bound("start", 0)..bound("end", rank))?.iter().map(known).collect()
    }
}

fn truths(tensor: &Tensor) -> Option<Vec<i64>> {
    Some(tensor.to_vec::<bool>()?.into_iter().map(i64::from).collect())
}

fn binary(op: &str, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        "Add" => a.checked_add(b)?,
        "Sub" => a.checked_sub(b)?,
        "Mul" => a.checked_mul(b)?,
        "Div" => a.checked_div(b)?,
        "Min" => a.min(b),
        "Max" => a.max(b),
        "Equal" => i64::from(a == b),
        "Less" => i64::from(a < b),
        "LessOrEqual" => i64::from(a <= b),
        "Greater" => i64::from(a > b),
        "GreaterOrEqual" => i64::from(a >= b),
        "And" => i64::from(a != 0 && b != 0),
        "Or" => i64::from(a != 0 || b != 0),
        "Xor" => i64::from((a != 0) != (b != 0)),
        _ => return None,
    })
}

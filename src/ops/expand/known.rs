//! Lists that are known before running: constants, and what is computed from them and from static shapes. Conditions and trip counts of
//! exported graphs mostly are.

use crate::ir::{DType, Dim, Graph, Node, Tensor, ValueId};
use std::collections::BTreeMap;

/// Longest list that is followed; conditions and trip counts come from shapes.
const LONGEST: usize = 1 << 12;

/// A tensor's elements in order, without its shape.
#[derive(Debug, Clone, PartialEq)]
enum List {
    /// Integers or truth values, each in the range of its type.
    Whole(DType, Vec<i64>),
    /// f32, computed as ONNX Runtime computes it.
    Real(Vec<f32>),
}

/// The one integer or truth value that `value` always is.
///
/// Every node that it depends on is looked at once, so that the time is that of the graph's size whatever its form.
pub(super) fn known(graph: &Graph, value: ValueId) -> Option<i64> {
    let producers = graph.producers();
    let mut needed = vec![false; graph.nodes.len()];
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        let Some(index) = producers[value.0 as usize].filter(|_| graph.constant(value).is_none()) else { continue };
        let node = &graph.nodes[index];
        if !std::mem::replace(&mut needed[index], true) && !matches!(node.op.as_str(), "Shape" | "Size") {
            open.extend(node.inputs.iter().flatten());
        }
    }
    let mut lists = BTreeMap::new();
    for index in (0..graph.nodes.len()).filter(|index| needed[*index]) {
        let node = &graph.nodes[index];
        let inputs: Vec<Option<List>> = node.inputs.iter().map(|input| list(graph, &lists, (*input)?)).collect();
        let made = (node.domain.is_empty()).then(|| evaluate(graph, node, &inputs)).flatten();
        if let (Some(output), Some(made)) = (node.output(0), made) {
            lists.insert(output, made);
        }
    }
    match list(graph, &lists, value)? {
        List::Whole(_, whole) if whole.len() == 1 => Some(whole[0]),
        _ => None,
    }
}

fn list(graph: &Graph, lists: &BTreeMap<ValueId, List>, value: ValueId) -> Option<List> {
    match graph.constant(value) {
        Some(tensor) if tensor.len() <= LONGEST => read(tensor),
        Some(_) => None,
        None => lists.get(&value).cloned(),
    }
}

fn read(tensor: &Tensor) -> Option<List> {
    Some(match tensor.dtype() {
        DType::F32 => List::Real(tensor.to_vec()?),
        DType::Bool => List::Whole(DType::Bool, tensor.to_vec::<bool>()?.into_iter().map(i64::from).collect()),
        dtype => List::Whole(dtype, tensor.to_ints()?),
    })
}

fn evaluate(graph: &Graph, node: &Node, inputs: &[Option<List>]) -> Option<List> {
    let input = |index: usize| inputs.get(index).cloned().flatten();
    match node.op.as_str() {
        "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => input(0),
        "Cast" => cast(&input(0)?, DType::from_onnx(i32::try_from(node.int("to", 0)).ok()?)?),
        "Shape" => Some(List::Whole(DType::I64, shape(graph, node)?)),
        "Size" => {
            let shape = graph.shape(node.input(0)?)?;
            let size = shape.iter().try_fold(1i64, |size, dim| size.checked_mul(i64::try_from(*dim).ok()?))?;
            Some(List::Whole(DType::I64, vec![size]))
        }
        "Not" => match input(0)? {
            List::Whole(DType::Bool, all) => Some(truths(all.into_iter().map(|truth| truth == 0))),
            _ => None,
        },
        "Neg" => binary("Sub", &zeros_like(&input(0)?), &input(0)?),
        "Gather" if node.int("axis", 0) == 0 => gather(graph, node, &input(0)?, &input(1)?),
        "Slice" => slice(graph, node, inputs),
        "Concat" => {
            let mut parts = inputs.iter().cloned();
            let first = parts.next()??;
            parts.try_fold(first, |all, part| join(all, part?)).filter(|all| all.len() <= LONGEST)
        }
        "ReduceProd" => match input(0)? {
            // Over all axes, or over the only one.
            List::Whole(DType::I64, all) if rank(graph, node) == Some(1) => {
                let product = all.into_iter().try_fold(1i64, i64::checked_mul)?;
                Some(List::Whole(DType::I64, vec![product]))
            }
            _ => None,
        },
        "Where" => {
            let (List::Whole(_, asked), a, b) = (input(0)?, input(1)?, input(2)?) else { return None };
            match asked.as_slice() {
                [truth] if a.len() == b.len() => Some(if *truth == 0 { b } else { a }),
                _ => None,
            }
        }
        "Min" | "Max" => {
            let mut parts = inputs.iter().cloned();
            let first = parts.next()??;
            parts.try_fold(first, |all, part| binary(&node.op, &all, &part?))
        }
        op => match inputs {
            [Some(a), Some(b)] => binary(op, a, b),
            _ => None,
        },
    }
}

impl List {
    fn len(&self) -> usize {
        match self {
            Self::Whole(_, all) => all.len(),
            Self::Real(all) => all.len(),
        }
    }

    fn at(&self, places: impl Iterator<Item = Option<usize>>) -> Option<Self> {
        Some(match self {
            Self::Whole(dtype, all) => {
                Self::Whole(*dtype, places.map(|place| all.get(place?).copied()).collect::<Option<_>>()?)
            }
            Self::Real(all) => Self::Real(places.map(|place| all.get(place?).copied()).collect::<Option<_>>()?),
        })
    }
}

fn truths(all: impl Iterator<Item = bool>) -> List {
    List::Whole(DType::Bool, all.map(i64::from).collect())
}

fn zeros_like(list: &List) -> List {
    match list {
        List::Whole(dtype, all) => List::Whole(*dtype, vec![0; all.len()]),
        // −0.0 − x is −x, its sign included.
        List::Real(all) => List::Real(vec![-0.0; all.len()]),
    }
}

fn join(a: List, b: List) -> Option<List> {
    match (a, b) {
        (List::Whole(one, a), List::Whole(other, b)) if one == other => Some(List::Whole(one, [a, b].concat())),
        (List::Real(a), List::Real(b)) => Some(List::Real([a, b].concat())),
        _ => None,
    }
}

fn rank(graph: &Graph, node: &Node) -> Option<usize> {
    Some(graph.ty(node.input(0)?)?.dims.len())
}

fn cast(list: &List, to: DType) -> Option<List> {
    match (list, to) {
        (List::Whole(_, all), DType::Bool) => Some(truths(all.iter().map(|whole| *whole != 0))),
        (List::Whole(_, all), DType::I32 | DType::I64) => in_range(to, all.clone()),
        (List::Whole(_, all), DType::F32) => Some(List::Real(all.iter().map(|whole| *whole as f32).collect())),
        (List::Real(_), DType::F32) => Some(list.clone()),
        // What lies beyond the range is not defined.
        (List::Real(all), DType::I32 | DType::I64) if all.iter().all(|real| real.abs() < 2e9) => {
            Some(List::Whole(to, all.iter().map(|real| *real as i64).collect()))
        }
        (List::Real(all), DType::Bool) => Some(truths(all.iter().map(|real| *real != 0.0))),
        _ => None,
    }
}

/// Sums beyond the range of 32 bits wrap around in a kernel; they are left to it.
fn in_range(dtype: DType, all: Vec<i64>) -> Option<List> {
    let fits = |whole: &i64| match dtype {
        DType::I64 => true,
        DType::I32 => i32::try_from(*whole).is_ok(),
        _ => false,
    };
    all.iter().all(fits).then_some(List::Whole(dtype, all))
}

fn shape(graph: &Graph, node: &Node) -> Option<Vec<i64>> {
    let dims = graph.ty(node.input(0)?)?.dims;
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

/// Only from a list: of a matrix, rows are gathered.
fn gather(graph: &Graph, node: &Node, from: &List, at: &List) -> Option<List> {
    let List::Whole(_, at) = at else { return None };
    let size = from.len() as i64;
    let place = |at: &i64| usize::try_from(if *at < 0 { at + size } else { *at }).ok();
    (rank(graph, node)? == 1).then(|| from.at(at.iter().map(place))).flatten()
}

/// A piece of a list, forwards or backwards.
fn slice(graph: &Graph, node: &Node, inputs: &[Option<List>]) -> Option<List> {
    let from = inputs.first()?.as_ref()?;
    let one = |index: usize, default: Option<i64>| match inputs.get(index) {
        Some(Some(List::Whole(_, all))) if all.len() == 1 => Some(all[0]),
        Some(Some(_)) => None,
        Some(None) | None => default.filter(|_| node.input(index).is_none()),
    };
    let (start, end, axis, step) = (one(1, None)?, one(2, None)?, one(3, Some(0))?, one(4, Some(1))?);
    if rank(graph, node)? != 1 || !matches!(axis, 0 | -1) || step == 0 {
        return None;
    }
    let size = from.len() as i64;
    let front = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
    let mut places = Vec::new();
    if step > 0 {
        let (mut at, end) = (front(start).clamp(0, size), front(end).clamp(0, size));
        while at < end {
            places.push(usize::try_from(at).ok());
            at = at.saturating_add(step);
        }
    } else {
        let (mut at, end) = (front(start).clamp(-1, size - 1), front(end).clamp(-1, size - 1));
        while at > end {
            places.push(usize::try_from(at).ok());
            at = at.saturating_add(step);
        }
    }
    from.at(places.into_iter())
}

fn binary(op: &str, a: &List, b: &List) -> Option<List> {
    let count = match (a.len(), b.len()) {
        (1, count) | (count, 1) => count,
        (a, b) if a == b => a,
        _ => return None,
    };
    let place = |side: usize, at: usize| if side == 1 { 0 } else { at };
    match (a, b) {
        (List::Whole(one, a), List::Whole(other, b)) if one == other => {
            let pair = |at: usize| (a[place(a.len(), at)], b[place(b.len(), at)]);
            let all = (0..count).map(pair);
            let logic = *one == DType::Bool;
            match op {
                "And" if logic => Some(truths(all.map(|(a, b)| a != 0 && b != 0))),
                "Or" if logic => Some(truths(all.map(|(a, b)| a != 0 || b != 0))),
                "Xor" if logic => Some(truths(all.map(|(a, b)| a != b))),
                "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Min" | "Max" => {
                    in_range(*one, all.map(|(a, b)| whole(op, a, b)).collect::<Option<_>>()?)
                }
                _ => compare(op, all),
            }
        }
        (List::Real(a), List::Real(b)) => {
            let pair = |at: usize| (a[place(a.len(), at)], b[place(b.len(), at)]);
            let all = (0..count).map(pair);
            match op {
                "Add" | "Sub" | "Mul" | "Div" => {
                    Some(List::Real(all.map(|(a, b)| real(op, a, b)).collect::<Option<_>>()?))
                }
                _ => compare(op, all),
            }
        }
        _ => None,
    }
}

fn compare<T: PartialOrd>(op: &str, all: impl Iterator<Item = (T, T)>) -> Option<List> {
    Some(match op {
        "Equal" => truths(all.map(|(a, b)| a == b)),
        "Less" => truths(all.map(|(a, b)| a < b)),
        "LessOrEqual" => truths(all.map(|(a, b)| a <= b)),
        "Greater" => truths(all.map(|(a, b)| a > b)),
        "GreaterOrEqual" => truths(all.map(|(a, b)| a >= b)),
        _ => return None,
    })
}

fn whole(op: &str, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        "Add" => a.checked_add(b)?,
        "Sub" => a.checked_sub(b)?,
        "Mul" => a.checked_mul(b)?,
        "Div" => a.checked_div(b)?,
        // The sign of the divisor, or of the dividend with `fmod`: told apart by nothing here, so only where both are the same.
        "Mod" if a >= 0 && b > 0 => a % b,
        "Min" => a.min(b),
        "Max" => a.max(b),
        _ => return None,
    })
}

fn real(op: &str, a: f32, b: f32) -> Option<f32> {
    Some(match op {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::known;
    use crate::ir::{Attr, Builder, DType, Graph, Tensor, TensorType, ValueId};

    fn of(emit: impl Fn(&mut Builder) -> ValueId) -> Option<i64> {
        let mut graph = Graph::default();
        let value = emit(&mut Builder::new(&mut graph, "t"));
        known(&graph, value)
    }

    fn cast(b: &mut Builder, value: ValueId, to: i64) -> ValueId {
        b.op_with("Cast", &[value], &[("to", Attr::Int(to))])
    }

    #[test]
    fn numbers_are_computed_in_their_own_type() {
        let half = |b: &mut Builder, to: i64| {
            let (one, two) = (b.constant(Tensor::scalar(1i64)), b.constant(Tensor::scalar(2i64)));
            let (one, two) = (cast(b, one, to), cast(b, two, to));
            let (quotient, zero) = (b.op("Div", &[one, two]), b.constant(Tensor::scalar(0i64)));
            let zero = cast(b, zero, to);
            b.op("Greater", &[quotient, zero])
        };
        assert_eq!(of(|b| half(b, 7)), Some(0), "1 ÷ 2 of integers");
        assert_eq!(of(|b| half(b, 1)), Some(1), "1 ÷ 2 of floats");
        assert_eq!(of(|b| half(b, 11)), None, "f64 is not followed");
        let sum = |to: i64| {
            of(move |b| {
                let large = b.constant(Tensor::scalar(i64::from(i32::MAX)));
                let large = cast(b, large, to);
                b.add(large, large)
            })
        };
        assert_eq!((sum(7), sum(6)), (Some(2 * i64::from(i32::MAX)), None));
        let truth = of(|b| {
            let three = b.constant(Tensor::scalar(3i64));
            let truth = cast(b, three, 9);
            cast(b, truth, 7)
        });
        assert_eq!(truth, Some(1));
        let low = |values: [i64; 3]| {
            of(move |b| {
                let all = values.map(|value| b.constant(Tensor::scalar(value)));
                b.op("Min", &all)
            })
        };
        assert_eq!([low([3, 2, 1]), low([1, 3, 2]), low([2, 1, 3])], [Some(1); 3]);
    }

    #[test]
    fn pieces_of_shapes_are_followed() {
        let piece = |start: i64, end: i64, step: i64| {
            let mut graph = Graph::default();
            let x = graph.add_input("x", TensorType::fixed(DType::F32, &[2, 3, 5, 7]));
            let mut b = Builder::new(&mut graph, "t");
            let shape = b.op("Shape", &[x]);
            let given = [b.ints(&[start]), b.ints(&[end]), b.ints(&[0]), b.ints(&[step])];
            let piece = b.op("Slice", &[shape, given[0], given[1], given[2], given[3]]);
            let product = b.op_with("ReduceProd", &[piece], &[("keepdims", Attr::Int(0))]);
            for value in [shape, piece] {
                graph.set_type(value, Some(TensorType::fixed(DType::I64, &[4])));
            }
            known(&graph, product)
        };
        assert_eq!(piece(2, i64::MAX, 1), Some(35));
        assert_eq!(piece(-3, -1, 1), Some(15));
        assert_eq!(piece(-1, i64::MIN, -2), Some(21));
        assert_eq!(piece(4, 4, 1), Some(1));
        assert_eq!(piece(0, 4, 0), None);
    }

    #[test]
    fn a_ladder_of_sums_takes_no_time() {
        // Followed path by path, 2^60 of them.
        let sum = of(|b| (0..60).fold(b.constant(Tensor::scalar(1i64)), |rung, _| b.op("Max", &[rung, rung])));
        assert_eq!(sum, Some(1));
        // Doubled 40 times a list is longer than memory.
        let length = |times: usize| {
            of(|b| {
                let first = b.ints(&[1]);
                let all =
                    (0..times).fold(first, |list, _| b.op_with("Concat", &[list, list], &[("axis", Attr::Int(0))]));
                b.op_with("ReduceMax", &[all], &[("keepdims", Attr::Int(0))])
            })
        };
        assert_eq!(length(40), None);
    }
}

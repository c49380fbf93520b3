//! Functions that exporters write out in standard operators, as one own operator each.
//!
//! A training step keeps what a gradient reads: of a GELU in five nodes that is most of their results, of one node its input.
//! Done in the training form only; what is exported stays as it was.

use crate::ir::{Attr, Builder, DOMAIN, DType, Graph, Node, ValueId};

/// How far a constant may lie from what it stands for.
const NEAR: f64 = 1e-4;

/// Puts a Gelu in the place of every x/2·(1 + erf(x/√2)) and x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), however their products are ordered.
/// The nodes inside stay where others read them, for `prune` to find. Types must be known.
pub(super) fn gather(graph: &mut Graph) {
    let made = graph.producers();
    let found: Vec<(usize, ValueId, bool)> = (0..graph.nodes.len())
        .filter_map(|index| gelu(graph, &made, index).map(|(x, tanh)| (index, x, tanh)))
        .collect();
    for (index, x, tanh) in found {
        let Some(y) = graph.nodes[index].output(0) else { continue };
        let scope = graph.nodes[index].title();
        let count = graph.nodes.len();
        let attrs = [("tanh", Attr::Int(i64::from(tanh)))];
        Builder::new(graph, scope).node(DOMAIN, "Gelu", &[Some(x)], &attrs, 1);
        if let Some(mut node) = graph.nodes.split_off(count).pop() {
            node.outputs = vec![Some(y)];
            node.metadata.clone_from(&graph.nodes[index].metadata);
            graph.nodes[index] = node;
        }
    }
}

/// x and whether by tanh, where a node gives the last product of a GELU.
fn gelu(graph: &Graph, made: &[Option<usize>], index: usize) -> Option<(ValueId, bool)> {
    let view = View { graph, made };
    let node = &graph.nodes[index];
    let y = node.output(0)?;
    if graph.dtype(y) != Some(DType::F32) {
        return None;
    }
    // The three factors: x, one half and 1 + the function.
    let factors = view.factors(y, 2);
    let half: f64 = factors.iter().filter_map(|factor| view.scalar(*factor)).product();
    let moving: Vec<ValueId> = factors.iter().copied().filter(|factor| view.scalar(*factor).is_none()).collect();
    let [a, b] = moving[..] else { return None };
    if factors.len() != 3 || !near(half, 0.5) {
        return None;
    }
    [(a, b), (b, a)].into_iter().find_map(|(x, sum)| {
        let inner = view.other(sum, "Add", |value| near(value, 1.0))?;
        let node = view.maker(inner)?;
        let argument = node.input(0)?;
        match node.op.as_str() {
            "Erf" => view.is_scaled(argument, x, std::f64::consts::FRAC_1_SQRT_2).then_some((x, false)),
            "Tanh" => view.is_bent(argument, x).then_some((x, true)),
            _ => None,
        }
    })
}

fn near(value: f64, wanted: f64) -> bool {
    (value / wanted - 1.0).abs() < NEAR
}

struct View<'a> {
    graph: &'a Graph,
    made: &'a [Option<usize>],
}

impl<'a> View<'a> {
    /// The node of ONNX's own domain that makes a value.
    fn maker(&self, value: ValueId) -> Option<&'a Node> {
        let node = &self.graph.nodes[self.made[value.0 as usize]?];
        node.domain.is_empty().then_some(node)
    }

    /// A constant of one element.
    fn scalar(&self, value: ValueId) -> Option<f64> {
        self.graph.constant(value)?.to_scalar()
    }

    /// The two operands of a node of some kind that makes a value.
    fn operands(&self, value: ValueId, op: &str) -> Option<[ValueId; 2]> {
        let node = self.maker(value).filter(|node| node.op == op)?;
        Some([node.input(0)?, node.input(1)?])
    }

    /// Factors of a value, products taken apart so often.
    fn factors(&self, value: ValueId, depth: usize) -> Vec<ValueId> {
        match self.operands(value, "Mul").filter(|_| depth > 0) {
            Some(operands) => operands.iter().flat_map(|operand| self.factors(*operand, depth - 1)).collect(),
            None => vec![value],
        }
    }

    /// The operand beside a constant that fits.
    fn other(&self, value: ValueId, op: &str, fits: impl Fn(f64) -> bool) -> Option<ValueId> {
        let [a, b] = self.operands(value, op)?;
        [(a, b), (b, a)].into_iter().find(|(_, scalar)| self.scalar(*scalar).is_some_and(&fits)).map(|(other, _)| other)
    }

    /// Whether a value is x times a number.
    fn is_scaled(&self, value: ValueId, x: ValueId, by: f64) -> bool {
        let divided = self.operands(value, "Div").filter(|[a, _]| *a == x).and_then(|[_, b]| self.scalar(b));
        self.other(value, "Mul", |factor| near(factor, by)) == Some(x)
            || divided.is_some_and(|divisor| near(1.0 / divisor, by))
    }

    /// Whether a value is √(2/π)·(x + 0.044715·x³).
    fn is_bent(&self, value: ValueId, x: ValueId) -> bool {
        let root = (2.0 / std::f64::consts::PI).sqrt();
        let Some(sum) = self.other(value, "Mul", |factor| near(factor, root)) else { return false };
        let Some([a, b]) = self.operands(sum, "Add") else { return false };
        let cube = if a == x { b } else { a };
        let Some(power) = self.other(cube, "Mul", |factor| near(factor, 0.044_715)).filter(|_| a == x || b == x) else {
            return false;
        };
        let by_power = self.operands(power, "Pow").is_some_and(|[base, to]| base == x && self.scalar(to) == Some(3.0));
        by_power || self.factors(power, 2) == [x; 3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{OPSET, TensorType};
    use crate::native::probe;

    /// Operators that are left of what is written out.
    fn left(write: impl Fn(&mut Builder, ValueId) -> ValueId) -> Vec<String> {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let x = graph.add_input("x", TensorType::fixed(DType::F32, &[2, 3]));
        let y = write(&mut Builder::new(&mut graph, "gelu"), x);
        graph.outputs = vec![y];
        probe(&mut graph, &[]).unwrap();
        gather(&mut graph);
        graph.prune(false);
        graph.verify("gathered").unwrap();
        graph.nodes.iter().map(|node| format!("{}{}", node.op, node.int("tanh", 0))).collect()
    }

    fn erf(b: &mut Builder, x: ValueId, by: f64) -> ValueId {
        let (root, one) = (b.scalar(DType::F32, by), b.scalar(DType::F32, 1.0));
        let scaled = b.div(x, root);
        let erf = b.erf(scaled);
        b.add(erf, one)
    }

    /// The products of x, the sum and one half.
    type Order = fn(&mut Builder, ValueId, ValueId, ValueId) -> ValueId;

    #[test]
    fn a_gelu_by_erf_is_found_in_every_order() {
        let root = std::f64::consts::SQRT_2;
        let half = |b: &mut Builder| b.scalar(DType::F32, 0.5);
        let orders: [Order; 3] = [
            |b, x, sum, half| {
                let product = b.mul(x, sum);
                b.mul(product, half)
            },
            |b, x, sum, half| {
                let product = b.mul(x, half);
                b.mul(product, sum)
            },
            |b, x, sum, half| {
                let product = b.mul(half, sum);
                b.mul(x, product)
            },
        ];
        for order in orders {
            let found = left(|b, x| {
                let (sum, half) = (erf(b, x, root), half(b));
                order(b, x, sum, half)
            });
            assert_eq!(found, ["Gelu0"]);
        }
        let other = left(|b, x| {
            let (sum, half) = (erf(b, x, 1.5), half(b));
            orders[0](b, x, sum, half)
        });
        assert_eq!(other, ["Div0", "Erf0", "Add0", "Mul0", "Mul0"]);
    }

    #[test]
    fn a_gelu_by_tanh_is_found() {
        let found = left(|b, x| {
            let [root, cubic, three, one, half] =
                [0.797_884_56, 0.044_715, 3.0, 1.0, 0.5].map(|value| b.scalar(DType::F32, value));
            let cube = b.op("Pow", &[x, three]);
            let cube = b.mul(cube, cubic);
            let sum = b.add(x, cube);
            let inner = b.mul(sum, root);
            let tanh = b.tanh(inner);
            let sum = b.add(tanh, one);
            let product = b.mul(x, half);
            b.mul(product, sum)
        });
        assert_eq!(found, ["Gelu1"]);
    }

    #[test]
    fn what_others_read_stays() {
        let found = left(|b, x| {
            let (sum, half) = (erf(b, x, std::f64::consts::SQRT_2), b.scalar(DType::F32, 0.5));
            let product = b.mul(x, sum);
            let y = b.mul(product, half);
            b.add(y, sum)
        });
        assert_eq!(found, ["Div0", "Erf0", "Add0", "Gelu0", "Add0"]);
    }
}

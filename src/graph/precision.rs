//! Mixed precision: products of matrices and convolutions, forward and backward, read and write half precision; all else stays single.
//!
//! Casts stand in front of and behind each such node, one for each value that is read; weights stay f32, which makes them the master copy.
//! Norms, softmax, losses, sums and the optimizer are single, as under `torch.autocast`.

use crate::ir::{Attr, Builder, TensorType};
use crate::ir::{DOMAIN, DType, Graph, Node, ValueId};
use crate::spec::Precision;
use std::collections::BTreeMap;

/// Lowers a graph whose types are known.
pub(super) fn lower(graph: &mut Graph, precision: Precision) {
    let half = match precision {
        Precision::F32 | Precision::Tf32 => return,
        Precision::F16 => DType::F16,
        Precision::Bf16 => DType::Bf16,
    };
    let mut cast: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        let single = node.inputs.iter().flatten().all(|value| graph.dtype(*value) == Some(DType::F32));
        if !is_product(&node) || !single {
            graph.nodes.push(node);
            continue;
        }
        for input in node.inputs.iter_mut().flatten() {
            *input = *cast.entry(*input).or_insert_with(|| to(graph, *input, half));
        }
        let mut back = Vec::new();
        for output in node.outputs.iter_mut().flatten() {
            let wide = *output;
            let name = graph.name(wide).to_owned();
            let narrow = graph.fresh(&format!("{name}/half"));
            set(graph, narrow, wide, half);
            *output = narrow;
            back.push((narrow, wide));
        }
        graph.nodes.push(node);
        for (narrow, wide) in back {
            let made =
                Builder::new(graph, "precision").op_with("Cast", &[narrow], &[("to", Attr::Int(DType::F32 as i64))]);
            if let Some(last) = graph.nodes.last_mut() {
                last.outputs.iter_mut().filter(|slot| **slot == Some(made)).for_each(|slot| *slot = Some(wide));
            }
            // What a product gave is read by other products as it is.
            cast.insert(wide, narrow);
        }
    }
}

fn is_product(node: &Node) -> bool {
    match node.domain.as_str() {
        "" => matches!(node.op.as_str(), "MatMul" | "Gemm" | "Conv" | "ConvTranspose"),
        DOMAIN => matches!(node.op.as_str(), "ConvDataGrad" | "ConvWeightGrad"),
        _ => false,
    }
}

fn to(graph: &mut Graph, value: ValueId, dtype: DType) -> ValueId {
    let made = Builder::new(graph, "precision").cast(value, dtype);
    set(graph, made, value, dtype);
    made
}

/// Gives a value the shape of another and a type.
fn set(graph: &mut Graph, value: ValueId, like: ValueId, dtype: DType) {
    let shape = graph.shape(like);
    graph.set_type(value, shape.map(|shape| TensorType::fixed(dtype, &shape)));
}

//! Einsum with distinct labels in each operand: the gradient of an operand is the product of dy and the other operands, summed to
//! its labels.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, Builder, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("Einsum", einsum)];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Einsum", "batched product", &[any(&[2, 3, 4]), any(&[2, 4, 5])], |b, x| of(b, "bij,bjk->bik", x)),
    case("Einsum", "attention scores", &[any(&[2, 3, 2, 4]), any(&[2, 5, 2, 4])], |b, x| {
        of(b, "b i h d, b j h d -> b h i j", x)
    }),
    case("Einsum", "implicit output", &[any(&[2, 3]), any(&[3, 4])], |b, x| of(b, "ab,bc", x)),
    case("Einsum", "a label of one operand alone", &[any(&[2, 3, 4]), any(&[2])], |b, x| of(b, "abc,a->b", x)),
    case("Einsum", "one operand", &[any(&[2, 3, 4])], |b, x| of(b, "abc->ca", x)),
];

fn of(b: &mut Builder, equation: &str, x: &[ValueId]) -> ValueId {
    b.op_with("Einsum", x, &[("equation", Attr::Str(equation.as_bytes().to_vec()))])
}

/// Labels of the operands and of the result.
fn read(ctx: &Ctx) -> Result<(Vec<Vec<char>>, Vec<char>)> {
    let equation = ctx.node.text("equation").unwrap_or_default().replace(' ', "");
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let operands: Vec<Vec<char>> = left.split(',').map(|labels| labels.chars().collect()).collect();
    let output: Vec<char> = if let Some(right) = right {
        right.chars().collect()
    } else {
        // By definition: the labels that occur once, in alphabetical order.
        let mut all: Vec<char> = operands.iter().flatten().copied().collect();
        all.sort_unstable();
        let once = |label: &char| all.iter().filter(|other| *other == label).count() == 1;
        all.iter().copied().filter(|label| once(label)).collect()
    };
    let plain = |labels: &Vec<char>| {
        labels.iter().enumerate().all(|(i, c)| c.is_ascii_alphabetic() && !labels[..i].contains(c))
    };
    if !operands.iter().all(plain) || !plain(&output) {
        return Err(
            ctx.unsupported(format!("equation `{equation}`: `...` and a label twice in one operand are not covered"))
        );
    }
    if operands.len() != ctx.node.inputs.len() {
        return Err(ctx.invalid(format!("equation `{equation}` for {} operands", ctx.node.inputs.len())));
    }
    Ok((operands, output))
}

fn einsum(ctx: &mut Ctx) -> Gradients {
    let dy = ctx.dy0()?;
    let (operands, output) = read(ctx)?;
    let mut grads = vec![None; operands.len()];
    for (i, labels) in operands.iter().enumerate() {
        if !ctx.wants(i) {
            continue;
        }
        let shape = ctx.x_shape(i)?;
        if shape.len() != labels.len() {
            return Err(ctx.invalid(format!("operand {i} has {} labels and the shape {shape:?}", labels.len())));
        }
        let mut inputs = vec![dy];
        let mut terms: Vec<String> = vec![output.iter().collect()];
        for (j, other) in operands.iter().enumerate().filter(|(j, _)| *j != i) {
            inputs.push(ctx.x(j)?);
            terms.push(other.iter().collect());
        }
        // A label that stands nowhere else was summed over this operand alone: the gradient is the same all along it.
        let known: Vec<char> = labels.iter().copied().filter(|c| terms.iter().any(|term| term.contains(*c))).collect();
        let equation = format!("{}->{}", terms.join(","), known.iter().collect::<String>());
        let mut grad = of(ctx.b, &equation, &inputs);
        if known.len() < labels.len() {
            let thin: Vec<usize> =
                labels.iter().zip(&shape).map(|(c, size)| if known.contains(c) { *size } else { 1 }).collect();
            let thin = ctx.b.reshape_to(grad, &thin);
            grad = ctx.b.expand(thin, &shape);
        }
        grads[i] = Some(grad);
    }
    Ok(grads)
}

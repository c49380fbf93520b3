//! Concat, Slice, Split.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Rule};
use crate::ir::{Attr, ValueId};

pub(super) const RULES: &[Rule] = &[
    Rule::new("Concat", concat),
    Rule::new("Slice", slice).stops(&[1, 2, 3, 4]),
    Rule::new("Split", split).stops(&[1]),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Concat", "", &[any(&[2, 3]), any(&[2, 1]), any(&[2, 2])], |b, x| b.concat(x, -1)),
    case("Concat", "one value twice", &[any(&[2, 3])], |b, x| b.concat(&[x[0], x[0]], 0)),
    case("Slice", "contiguous", &[any(&[5, 6])], |b, x| b.slice(x[0], &[1, -4], &[4, i64::MAX], &[0, 1], &[1, 1])),
    case("Slice", "stride that divides", &[any(&[6, 2])], |b, x| b.slice(x[0], &[0], &[6], &[0], &[2])),
    case("Slice", "stride that does not", &[any(&[3, 8])], |b, x| b.slice(x[0], &[1], &[8], &[1], &[3])),
    case("Slice", "reversed", &[any(&[5, 2])], |b, x| b.slice(x[0], &[-1], &[i64::MIN], &[0], &[-1])),
    case("Slice", "backwards by two", &[any(&[7, 6])], |b, x| b.slice(x[0], &[5, 4], &[0, 0], &[0, 1], &[-2, -3])),
    case("Slice", "one element by a huge step", &[any(&[4])], |b, x| b.slice(x[0], &[1], &[4], &[0], &[1 << 40])),
    case("Split", "equal parts, one unused", &[any(&[2, 6])], |b, x| {
        let parts = b.node("", "Split", &[Some(x[0])], &[("axis", Attr::Int(1)), ("num_outputs", Attr::Int(3))], 3);
        b.mul(parts[0], parts[2])
    }),
    case("Split", "given sizes", &[any(&[5, 2])], |b, x| {
        let sizes = b.ints(&[1, 4]);
        let parts = b.node("", "Split", &[Some(x[0]), Some(sizes)], &[("axis", Attr::Int(0))], 2);
        b.mul(parts[0], parts[1])
    }),
];

/// Each input gets its slice.
fn concat(ctx: &mut Ctx) -> Gradients {
    let (dy, axis) = (ctx.dy0()?, ctx.axis(0, ctx.y_shape()?.len())?);
    let mut start = 0;
    let mut grads = Vec::with_capacity(ctx.node.inputs.len());
    for i in 0..ctx.node.inputs.len() {
        let end = start + ctx.x_shape(i)?[axis] as i64;
        grads.push(ctx.wants(i).then(|| ctx.b.slice(dy, &[start], &[end], &[axis as i64], &[1])));
        start = end;
    }
    Ok(grads)
}

/// The gradients of the parts are put together again; a part that nobody read gets zeros.
fn split(ctx: &mut Ctx) -> Gradients {
    let (x, axis) = (ctx.x(0)?, ctx.axis(0, ctx.x_shape(0)?.len())?);
    let mut parts = Vec::with_capacity(ctx.node.outputs.len());
    for i in 0..ctx.node.outputs.len() {
        if let Some(dy) = ctx.dy[i] {
            parts.push(dy);
        } else {
            let shape = ctx.shape(ctx.y(i)?)?;
            parts.push(ctx.zeros(x, &shape));
        }
    }
    Ok(vec![Some(if parts.len() == 1 { parts[0] } else { ctx.b.concat(&parts, axis as i64) })])
}

/// One dimension of a slice: elements `first`, `first + step`, …, `count` of them, of `size`; in reverse order when `flipped`.
#[derive(Debug, PartialEq)]
struct Range {
    first: usize,
    step: usize,
    count: usize,
    flipped: bool,
}

impl Range {
    /// ONNX's clamping of starts and ends.
    fn new(size: usize, start: i64, end: i64, step: i64) -> Self {
        let n = i128::from(size as u64);
        let (start, end, step) = (i128::from(start), i128::from(end), i128::from(step));
        let from_front = |at: i128| if at < 0 { at + n } else { at };
        let (start, end) = (from_front(start), from_front(end));
        if step > 0 {
            let (start, end) = (start.clamp(0, n), end.clamp(0, n));
            let count = ((end - start).max(0) + step - 1) / step;
            Self { first: start as usize, step: step.min(n.max(1)) as usize, count: count as usize, flipped: false }
        } else {
            let (start, end) = (start.clamp(-1, n - 1), end.clamp(-1, n - 1));
            let stride = -step;
            let count = ((start - end).max(0) + stride - 1) / stride;
            let last = if count > 0 { start - (count - 1) * stride } else { 0 };
            Self {
                first: last.max(0) as usize,
                step: stride.min(n.max(1)) as usize,
                count: count as usize,
                flipped: true,
            }
        }
    }
}

/// Elements go back to where they were taken from, zeros elsewhere.
fn slice(ctx: &mut Ctx) -> Gradients {
    let (mut dy, shape) = (ctx.dy0()?, ctx.x_shape(0)?);
    let (Some(starts), Some(ends)) = (ctx.constant_ints(1)?, ctx.constant_ints(2)?) else {
        return Err(ctx.invalid("it has no starts or ends".to_owned()));
    };
    let axes = match ctx.constant_ints(3)? {
        Some(axes) => ctx.axes(&axes, shape.len())?,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = ctx.constant_ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let count = starts.len();
    if ends.len() != count || axes.len() != count || steps.len() != count || steps.contains(&0) || count > shape.len() {
        return Err(ctx.invalid(format!("starts {starts:?}, ends {ends:?}, axes {axes:?}, steps {steps:?}")));
    }
    let mut pads = vec![0; 2 * shape.len()];
    let mut current = ctx.y_shape()?;
    for i in 0..count {
        let axis = axes[i] as usize;
        let size = shape[axis];
        let range = Range::new(size, starts[i], ends[i], steps[i]);
        if range.flipped && range.count > 1 {
            dy = ctx.b.slice(dy, &[-1], &[i64::MIN], &[axis as i64], &[-1]);
        }
        let mut taken = range.count;
        if range.step > 1 && range.count > 1 {
            dy = spread(ctx, dy, &mut current, axis, range.step);
            taken = current[axis];
        }
        pads[axis] = range.first as i64;
        // Negative where the last element's gap reaches past the end.
        pads[shape.len() + axis] = size as i64 - range.first as i64 - taken as i64;
    }
    let dx = if pads.iter().all(|pad| *pad == 0) { dy } else { ctx.b.pad_zero(dy, &pads) };
    Ok(vec![Some(dx)])
}

/// Puts `step − 1` zeros after each element along an axis.
fn spread(ctx: &mut Ctx, value: ValueId, shape: &mut [usize], axis: usize, step: usize) -> ValueId {
    let mut split = shape.to_vec();
    split.insert(axis + 1, 1);
    let wide = ctx.b.reshape_to(value, &split);
    let mut pads = vec![0; 2 * split.len()];
    pads[split.len() + axis + 1] = step as i64 - 1;
    let padded = ctx.b.pad_zero(wide, &pads);
    shape[axis] *= step;
    ctx.b.reshape_to(padded, shape)
}

#[cfg(test)]
mod tests {
    use super::Range;

    /// Against the definition: walk from start to end.
    #[test]
    fn ranges_are_those_of_python() {
        for size in [0usize, 1, 2, 5, 7] {
            for start in -9i64..9 {
                for end in -9i64..9 {
                    for step in [-8i64, -3, -2, -1, 1, 2, 3, 8] {
                        let n = size as i64;
                        let wrap = |at: i64| if at < 0 { at + n } else { at };
                        let (mut at, stop) = if step > 0 {
                            (wrap(start).clamp(0, n), wrap(end).clamp(0, n))
                        } else {
                            (wrap(start).clamp(-1, n - 1), wrap(end).clamp(-1, n - 1))
                        };
                        let mut taken = Vec::new();
                        while (step > 0 && at < stop) || (step < 0 && at > stop) {
                            taken.push(at as usize);
                            at += step;
                        }
                        let range = Range::new(size, start, end, step);
                        let mut walked: Vec<usize> = (0..range.count).map(|i| range.first + i * range.step).collect();
                        if range.flipped {
                            walked.reverse();
                        }
                        if range.count <= 1 {
                            assert_eq!(range.count, taken.len());
                            assert_eq!(walked.first(), taken.first(), "{size} {start}:{end}:{step}");
                        } else {
                            assert_eq!(walked, taken, "{size} {start}:{end}:{step}");
                        }
                    }
                }
            }
        }
        assert_eq!(Range::new(4, i64::MIN, i64::MAX, 1), Range { first: 0, step: 1, count: 4, flipped: false });
        assert_eq!(Range::new(4, i64::MAX, i64::MIN, -1), Range { first: 0, step: 1, count: 4, flipped: true });
        assert_eq!(Range::new(4, i64::MAX, i64::MIN, i64::MIN), Range { first: 3, step: 4, count: 1, flipped: true });
    }
}

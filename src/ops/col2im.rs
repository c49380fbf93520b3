//! Col2Im: blocks summed into an image. The gradient picks, for every place of every block, the image's gradient there; places in the
//! padding get zero.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, Tensor};

pub(super) const RULES: &[Rule] = &[Rule::new("Col2Im", col2im).stops(&[1, 2])];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Col2Im", "overlapping", &[any(&[2, 12, 12])], |b, x| {
        let (image, block) = (b.ints(&[4, 5]), b.ints(&[2, 2]));
        b.op("Col2Im", &[x[0], image, block])
    }),
    case("Col2Im", "strides, pads, dilations", &[any(&[1, 12, 6])], |b, x| {
        let (image, block) = (b.ints(&[5, 6]), b.ints(&[2, 3]));
        let attrs = [
            ("strides", Attr::Ints(vec![2, 2])),
            ("pads", Attr::Ints(vec![1, 0, 0, 1])),
            ("dilations", Attr::Ints(vec![2, 1])),
        ];
        b.op_with("Col2Im", &[x[0], image, block], &attrs)
    }),
    case("Col2Im", "one dimension", &[any(&[2, 6, 3])], |b, x| {
        let (image, block) = (b.ints(&[4]), b.ints(&[3]));
        b.op_with("Col2Im", &[x[0], image, block], &[("pads", Attr::Ints(vec![1, 0]))])
    }),
];

/// Along one dimension: where each place of the block lands, position by position; `None` in the padding.
fn line(image: i64, block: i64, stride: i64, dilation: i64, pads: [i64; 2]) -> Vec<Vec<Option<i64>>> {
    let reach = dilation * (block - 1) + 1;
    let positions = (image + pads[0] + pads[1] - reach) / stride + 1;
    let land = |place: i64, position: i64| {
        let at = position * stride - pads[0] + place * dilation;
        (0..image).contains(&at).then_some(at)
    };
    (0..block).map(|place| (0..positions).map(|position| land(place, position)).collect()).collect()
}

fn col2im(ctx: &mut Ctx) -> Gradients {
    let (dy, shape) = (ctx.dy0()?, ctx.x_shape(0)?);
    let (image, block) = (ctx.constant_ints(1)?.unwrap_or_default(), ctx.constant_ints(2)?.unwrap_or_default());
    let ([batch, columns, length], places) = (&shape[..], block.iter().product::<i64>()) else {
        return Err(ctx.invalid(format!("blocks of shape {shape:?}")));
    };
    let picked = indices(ctx, &image, &block)?;
    let pixels: i64 = image.iter().product();
    if picked.len() as i64 != places * *length as i64 || *columns as i64 % places != 0 {
        return Err(ctx.invalid(format!("{shape:?} are no blocks {block:?} of an image {image:?}")));
    }
    let channels = *columns as i64 / places;
    let mut flat = ctx.b.reshape(dy, &[*batch as i64, channels, pixels]);
    if picked.contains(&pixels) {
        flat = ctx.b.pad_zero(flat, &[0, 0, 0, 0, 0, 1]);
    }
    let picked = ctx.b.constant(Tensor::vector(&picked));
    let blocks = ctx.b.op_with("Gather", &[flat, picked], &[("axis", Attr::Int(2))]);
    Ok(vec![Some(ctx.b.reshape_to(blocks, &shape))])
}

/// For every place of a block and every position, the flat index into the image; the number of pixels in the padding.
fn indices(ctx: &Ctx, image: &[i64], block: &[i64]) -> Result<Vec<i64>> {
    let rank = image.len();
    let given = |name: &str, count: usize, default: i64| match ctx.node.ints(name) {
        Some(values) if values.len() == count => Ok(values.to_vec()),
        None => Ok(vec![default; count]),
        Some(values) => Err(ctx.invalid(format!("`{name}` is {values:?}"))),
    };
    let (strides, dilations) = (given("strides", rank, 1)?, given("dilations", rank, 1)?);
    let pads = given("pads", 2 * rank, 0)?;
    let positive = |values: &[i64]| values.iter().all(|value| *value > 0);
    if block.len() != rank || rank == 0 || ![image, block, &strides, &dilations].into_iter().all(positive) {
        return Err(ctx.invalid(format!("blocks {block:?} of an image {image:?}, steps {strides:?} and {dilations:?}")));
    }
    let pixels: i64 = image.iter().product();
    // Rows of the table so far: places of the block; columns: positions.
    let mut table: Vec<Vec<Option<i64>>> = vec![vec![Some(0)]];
    for axis in 0..rank {
        let next = line(image[axis], block[axis], strides[axis], dilations[axis], [pads[axis], pads[rank + axis]]);
        let join = |before: &Vec<Option<i64>>, after: &Vec<Option<i64>>| {
            let pair = |a: &Option<i64>, b: &Option<i64>| Some((*a)? * image[axis] + (*b)?);
            before.iter().flat_map(|a| after.iter().map(move |b| pair(a, b))).collect::<Vec<_>>()
        };
        table = table.iter().flat_map(|before| next.iter().map(move |after| join(before, after))).collect();
    }
    Ok(table.into_iter().flatten().map(|at| at.unwrap_or(pixels)).collect())
}

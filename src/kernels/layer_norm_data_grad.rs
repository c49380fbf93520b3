//! LayerNormDataGrad: the gradient of a LayerNormalization's input, dx = r·(g − mean g − x̂·mean(g·x̂)), g = γ·dy, x̂ = (x − μ)·r.
//!
//! Inputs: dy and x f32 of one shape, scale γ f32 of its last dimensions, mean μ and inverse deviation r f32, those dimensions of size 1;
//! output as x. Means go over the dimensions of the scale. A row is read twice, the second time from the cache.
//! Source: Ba, Kiros, Hinton, "Layer normalization", 2016.

use super::cuda::{Argument, Launch, Work};
use super::disjoint::in_parts;
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "LayerNormDataGrad",
    inputs: &[DType::F32; 5],
    kernel: |_| Ok(Box::new(LayerNormDataGrad)),
    in_place: true,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

/// Rows of a task.
const ROWS: usize = 8;

struct LayerNormDataGrad;

/// Rows and their width, where dy, x, the shape that is normalised and the statistics fit each other.
pub(super) fn rows(dy: &[usize], x: &[usize], over: &[usize], statistics: [&[usize]; 2]) -> Result<[usize; 2], String> {
    let at = x.len().saturating_sub(over.len());
    let mut kept = x.to_vec();
    kept[at..].fill(1);
    if dy == x && !over.is_empty() && x[at..] == *over && statistics.iter().all(|shape| *shape == kept) {
        Ok([x[..at].iter().product(), over.iter().product()])
    } else {
        Err(format!("dy {dy:?}, x {x:?} over {over:?} with statistics {statistics:?}"))
    }
}

impl Kernel for LayerNormDataGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [dy, x, scale, mean, inverse] = inputs else {
            return Err("it takes dy, x, scale, mean and inverse deviation".to_owned());
        };
        rows(dy, x, scale, [mean, inverse]).map(|_| x.to_vec())
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [
            Arg::F32(dy, dy_shape),
            Arg::F32(x, x_shape),
            Arg::F32(scale, over),
            Arg::F32(mean, m_shape),
            Arg::F32(inverse, i_shape),
        ] = inputs
        else {
            return Err("it takes f32".to_owned());
        };
        let [_, width] = rows(dy_shape, x_shape, over, [m_shape, i_shape])?;
        pass(Some(dy), [x, scale, mean, inverse], width, output, parallel);
        Ok(())
    }

    fn update(&mut self, shape: &[usize], others: &[Arg], dx: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, x_shape), Arg::F32(scale, over), Arg::F32(mean, m_shape), Arg::F32(inverse, i_shape)] = others
        else {
            return Err("it takes f32".to_owned());
        };
        let [_, width] = rows(shape, x_shape, over, [m_shape, i_shape])?;
        pass(None, [x, scale, mean, inverse], width, dx, parallel);
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let [dy, x, over, mean, inverse] = inputs else { return Err("it takes five inputs".to_owned()) };
        let [rows, width] = rows(dy, x, over, [mean, inverse])?;
        if rows > 1 << 30 || width > 1 << 30 {
            return Err(format!("{rows} rows of {width}"));
        }
        let mut arguments: Vec<Argument> = (0..5).map(Argument::Input).collect();
        arguments.extend([Argument::Output(0), Argument::Int(width as i32)]);
        Ok(Work::Launches(vec![Launch::new(SOURCE, "layer_norm_data_grad", rows, arguments)], 0))
    }
}

pub(super) const SOURCE: &str = concat!(include_str!("cuda/sums.cu"), include_str!("cuda/layer_norm.cu"));

/// Without `dy`, `dx` holds it.
fn pass(dy: Option<&[f32]>, [x, scale, mean, inverse]: [&[f32]; 4], width: usize, dx: &mut [f32], parallel: Parallel) {
    in_parts(dx, ROWS * width, parallel, |from, rows| {
        // Without columns there is nothing to fill.
        for (row, dx) in rows.chunks_exact_mut(width.max(1)).enumerate() {
            let at = from + row * width;
            if let Some(dy) = dy {
                dx.copy_from_slice(&dy[at..][..width]);
            }
            let (mean, inverse) = (mean[at / width], inverse[at / width]);
            Arch::new().dispatch(Row { x: &x[at..][..width], scale, dx, mean, inverse });
        }
    });
}

/// `dx` holds dy.
struct Row<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    dx: &'a mut [f32],
    mean: f32,
    inverse: f32,
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_rest) = S::as_simd_f32s(self.x);
        let (scale, scale_rest) = S::as_simd_f32s(self.scale);
        let width = self.dx.len() as f32;
        let (dx, dx_rest) = S::as_mut_simd_f32s(self.dx);
        let [mean, inverse] = [self.mean, self.inverse].map(|value| simd.splat_f32s(value));
        let normal = |x: f32| (x - self.mean) * self.inverse;
        let (mut totals, mut products) = ([simd.splat_f32s(0.0); 2], [simd.splat_f32s(0.0); 2]);
        for (i, ((dy, x), scale)) in dx.iter().zip(x).zip(scale).enumerate() {
            let g = simd.mul_f32s(*dy, *scale);
            totals[i % 2] = simd.add_f32s(totals[i % 2], g);
            let normal = simd.mul_f32s(simd.sub_f32s(*x, mean), inverse);
            products[i % 2] = simd.mul_add_e_f32s(g, normal, products[i % 2]);
        }
        let fold = |v: [S::f32s; 2]| simd.reduce_sum_f32s(simd.add_f32s(v[0], v[1]));
        let (mut total, mut product) = (fold(totals), fold(products));
        for ((dy, x), scale) in dx_rest.iter().zip(x_rest).zip(scale_rest) {
            total += dy * scale;
            product += dy * scale * normal(*x);
        }
        let (total, product) = (total / width, product / width);
        let [total_s, product_s] = [total, product].map(|value| simd.splat_f32s(value));
        for ((dx, x), scale) in dx.iter_mut().zip(x).zip(scale) {
            let normal = simd.mul_f32s(simd.sub_f32s(*x, mean), inverse);
            let centred = simd.sub_f32s(simd.mul_f32s(*dx, *scale), total_s);
            *dx = simd.mul_f32s(simd.sub_f32s(centred, simd.mul_f32s(normal, product_s)), inverse);
        }
        for ((dx, x), scale) in dx_rest.iter_mut().zip(x_rest).zip(scale_rest) {
            *dx = (*dx * scale - total - normal(*x) * product) * self.inverse;
        }
    }
}

/// x̂
pub(super) fn normal(b: &mut Builder, x: ValueId, mean: ValueId, inverse: ValueId) -> ValueId {
    let centred = b.sub(x, mean);
    b.mul(centred, inverse)
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, x, scale, mean, inverse] = [0, 1, 2, 3, 4].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let over = b.graph.shape(scale).unwrap_or_default().len() as i64;
    let axes: Vec<i64> = (-over..0).collect();
    let normal = normal(b, x, mean, inverse);
    let g = b.mul(dy, scale);
    let mean = b.reduce_mean(g, &axes, true);
    let product = b.mul(g, normal);
    let along = b.reduce_mean(product, &axes, true);
    let along = b.mul(normal, along);
    let centred = b.sub(g, mean);
    let rest = b.sub(centred, along);
    b.mul(rest, inverse)
}

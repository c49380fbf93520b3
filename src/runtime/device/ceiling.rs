//! How fast the device multiplies matrices.

use crate::diag::Result;
use crate::graph::Target;
use crate::ir::{Builder, DType, Graph, OPSET, TensorType};
use crate::native::cuda::{DeviceBuffer, gpu};
use crate::native::{Binding, Place};
use crate::native::{Options, Session};
use crate::spec::Precision;
use crate::world::clock;

/// Rows and columns of the matrices.
const SIZE: usize = 8192;
/// Products that are timed; the fastest counts.
const PRODUCTS: usize = 8;

/// Floating-point operations a second of a product of two large matrices in the numbers of a target.
pub(in crate::runtime) fn ceiling(target: Target) -> Result<f64> {
    let dtype = match target.precision {
        Precision::F32 | Precision::Tf32 => DType::F32,
        Precision::F16 => DType::F16,
        Precision::Bf16 => DType::Bf16,
    };
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    let shape = [SIZE, SIZE];
    let [a, b] = ["a", "b"].map(|name| graph.add_input(name, TensorType::fixed(dtype, &shape)));
    let y = Builder::new(&mut graph, "ceiling").op("MatMul", &[a, b]);
    graph.rename(y, "y");
    graph.outputs.push(y);
    let mut session = Session::build(&graph, &Options { cuda: target.cuda(), ..Options::default() })?;
    let bytes = SIZE * SIZE * dtype.size();
    // Zeros are faster than real numbers: every element is a small one with other low bits.
    let last = dtype.size() - 1;
    let byte = |at: usize| if at % dtype.size() == last { 0x3c } else { (at.wrapping_mul(2_654_435_761) >> 13) as u8 };
    let mut factor = DeviceBuffer::zeros(bytes)?;
    factor.write(0, &(0..bytes).map(byte).collect::<Vec<u8>>())?;
    let product = DeviceBuffer::zeros(bytes)?;
    let place = |buffer: &DeviceBuffer| Place { address: buffer.address(), dtype, shape: shape.to_vec() };
    let inputs = ["a", "b"].map(|name| (name.to_owned(), place(&factor)));
    let mut binding = Binding::new(&session, &inputs, &[("y".to_owned(), place(&product))])?;
    let mut best = f64::INFINITY;
    for _ in 0..PRODUCTS {
        let began = clock::now();
        binding.run(&mut session)?;
        gpu()?.wait()?;
        best = best.min(began.seconds());
    }
    Ok(2.0 * (SIZE as f64).powi(3) / best)
}

//! Convolutions and their gradients, by cuDNN.
//!
//! Which algorithm is used is what cuDNN says is best for the sizes, so that it is the same in every run on a machine; of those that give other
//! bits every time none is used where `deterministic` asks for it.

use super::cudnn::{Cudnn, checked};
use super::device::Gpu;
use super::operator::Float;
use crate::kernels::cuda::{Convolution, Direction};
use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdFilterAlgo_t,
    cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionDescriptor_t, cudnnConvolutionFwdAlgo_t,
    cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionMode_t, cudnnDataType_t, cudnnDeterminism_t,
    cudnnFilterDescriptor_t, cudnnMathType_t, cudnnStatus_t, cudnnTensorDescriptor_t, cudnnTensorFormat_t,
};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// Scratch memory that an algorithm may ask for.
const WORKSPACE: usize = 1 << 30;
/// Algorithms that cuDNN is asked for.
const ASKED: usize = 10;

/// What an algorithm is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) float: Float,
    pub(super) tf32: bool,
    pub(super) deterministic: bool,
}

enum Algorithm {
    Forward(cudnnConvolutionFwdAlgo_t),
    Data(cudnnConvolutionBwdDataAlgo_t),
    Weights(cudnnConvolutionBwdFilterAlgo_t),
}

/// A convolution that is ready to run.
pub(super) struct Prepared {
    cudnn: &'static Cudnn,
    x: cudnnTensorDescriptor_t,
    y: cudnnTensorDescriptor_t,
    w: cudnnFilterDescriptor_t,
    convolution: cudnnConvolutionDescriptor_t,
    algorithm: Algorithm,
    pub(super) workspace: usize,
}

#[expect(unsafe_code, reason = "descriptors that one owner has")]
// SAFETY: the descriptors belong to this value alone.
unsafe impl Send for Prepared {}

/// Takes the first answer of cuDNN's order that may be used.
macro_rules! choose {
    ($answer:ty, $choice:expr, $ask:expr, $($sizes:expr),+) => {{
        let mut count: c_int = 0;
        let mut found = [MaybeUninit::<$answer>::zeroed(); ASKED];
        #[expect(unsafe_code, reason = "a call of cuDNN")]
        // SAFETY: there is room for as many answers as are asked for; what is not written is zero, which every field allows.
        let found = unsafe {
            checked($ask($($sizes),+, ASKED as c_int, &raw mut count, found.as_mut_ptr().cast()))?;
            found.map(|answer| answer.assume_init())
        };
        found.into_iter().take(usize::try_from(count).unwrap_or(0)).find(|answer| {
            answer.status == cudnnStatus_t::CUDNN_STATUS_SUCCESS
                && answer.memory <= WORKSPACE
                && (!$choice.deterministic || answer.determinism == cudnnDeterminism_t::CUDNN_DETERMINISTIC)
        })
    }};
}

impl Prepared {
    /// Chooses an algorithm.
    pub(super) fn new(gpu: &'static Gpu, of: &Convolution, choice: Choice) -> Result<Self, String> {
        let mut this = Self {
            cudnn: gpu.convolutions()?,
            x: ptr::null_mut(),
            y: ptr::null_mut(),
            w: ptr::null_mut(),
            convolution: ptr::null_mut(),
            algorithm: Algorithm::Forward(cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM),
            workspace: 0,
        };
        this.describe(of, choice)?;
        this.choose(of.direction, choice)?;
        Ok(this)
    }

    fn describe(&mut self, of: &Convolution, choice: Choice) -> Result<(), String> {
        let ty = match choice.float {
            Float::F32 => cudnnDataType_t::CUDNN_DATA_FLOAT,
            Float::F16 => cudnnDataType_t::CUDNN_DATA_HALF,
            Float::Bf16 => cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        };
        let math = match (choice.float, choice.tf32) {
            (Float::F32, false) => cudnnMathType_t::CUDNN_FMA_MATH,
            (Float::F32, true) => cudnnMathType_t::CUDNN_DEFAULT_MATH,
            _ => cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        };
        let strides = |dims: &[i32]| {
            let mut strides = vec![1; dims.len()];
            (1..dims.len()).rev().for_each(|i| strides[i - 1] = strides[i] * dims[i]);
            strides
        };
        let (f, rank) = (&self.cudnn.functions, of.x.len() as c_int);
        #[expect(unsafe_code, reason = "calls of cuDNN")]
        // SAFETY: the lists have the lengths that are said; descriptors are destroyed when this value is dropped.
        unsafe {
            checked((f.create_tensor)(&raw mut self.x))?;
            checked((f.create_tensor)(&raw mut self.y))?;
            checked((f.create_filter)(&raw mut self.w))?;
            checked((f.create_convolution)(&raw mut self.convolution))?;
            for (descriptor, dims) in [(self.x, &of.x), (self.y, &of.dy)] {
                let strides = strides(dims);
                checked((f.set_tensor)(descriptor, ty, rank, dims.as_ptr(), strides.as_ptr()))?;
            }
            let format = cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
            checked((f.set_filter)(self.w, ty, format, rank, of.w.as_ptr()))?;
            checked((f.set_convolution)(
                self.convolution,
                rank - 2,
                of.pads.as_ptr(),
                of.strides.as_ptr(),
                of.dilations.as_ptr(),
                cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
                cudnnDataType_t::CUDNN_DATA_FLOAT,
            ))?;
            checked((f.set_group)(self.convolution, of.group))?;
            checked((f.set_math)(self.convolution, math))
        }
    }

    fn choose(&mut self, direction: Direction, choice: Choice) -> Result<(), String> {
        let (f, handle) = (self.cudnn.functions, self.cudnn.handle);
        let (x, y, w, convolution) = (self.x, self.y, self.w, self.convolution);
        let none = || "cuDNN has no algorithm for these sizes".to_owned();
        let (memory, math);
        match direction {
            Direction::Forward => {
                let best = choose!(
                    cudnnConvolutionFwdAlgoPerf_t,
                    choice,
                    (f.forward_algorithms),
                    handle,
                    x,
                    w,
                    convolution,
                    y
                )
                .ok_or_else(none)?;
                (self.algorithm, memory, math) = (Algorithm::Forward(best.algo), best.memory, best.mathType);
            }
            Direction::Data => {
                let best = choose!(
                    cudnnConvolutionBwdDataAlgoPerf_t,
                    choice,
                    (f.data_algorithms),
                    handle,
                    w,
                    y,
                    convolution,
                    x
                )
                .ok_or_else(none)?;
                (self.algorithm, memory, math) = (Algorithm::Data(best.algo), best.memory, best.mathType);
            }
            Direction::Weights => {
                let best = choose!(
                    cudnnConvolutionBwdFilterAlgoPerf_t,
                    choice,
                    (f.filter_algorithms),
                    handle,
                    x,
                    y,
                    convolution,
                    w
                )
                .ok_or_else(none)?;
                (self.algorithm, memory, math) = (Algorithm::Weights(best.algo), best.memory, best.mathType);
            }
        }
        self.workspace = memory;
        #[expect(unsafe_code, reason = "a call of cuDNN")]
        // SAFETY: the descriptor is alive.
        checked(unsafe { (f.set_math)(convolution, math) })
    }

    /// Runs it on the stream.
    pub(super) fn run(&self, inputs: [u64; 2], output: u64, scratch: u64) -> Result<(), String> {
        let (f, handle, size) = (&self.cudnn.functions, self.cudnn.handle, self.workspace);
        let (one, zero) = (1.0f32, 0.0f32);
        let (alpha, beta) = ((&raw const one).cast::<c_void>(), (&raw const zero).cast::<c_void>());
        let [a, b] = inputs.map(|address| address as *const c_void);
        let (out, scratch) = (output as *mut c_void, scratch as *mut c_void);
        let (x, y, w, convolution) = (self.x, self.y, self.w, self.convolution);
        #[expect(unsafe_code, reason = "calls of cuDNN")]
        // SAFETY: the addresses hold tensors of the described sizes, and the scratch memory has the size that the algorithm wants.
        let status = unsafe {
            match self.algorithm {
                Algorithm::Forward(algorithm) => {
                    (f.forward)(handle, alpha, x, a, w, b, convolution, algorithm, scratch, size, beta, y, out)
                }
                Algorithm::Data(algorithm) => {
                    (f.data)(handle, alpha, w, b, y, a, convolution, algorithm, scratch, size, beta, x, out)
                }
                Algorithm::Weights(algorithm) => {
                    (f.filter)(handle, alpha, x, a, y, b, convolution, algorithm, scratch, size, beta, w, out)
                }
            }
        };
        checked(status)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let f = &self.cudnn.functions;
        #[expect(unsafe_code, reason = "calls of cuDNN")]
        // SAFETY: each descriptor that is there was made by `describe` and is destroyed once.
        unsafe {
            for tensor in [self.x, self.y].into_iter().filter(|tensor| !tensor.is_null()) {
                let _ = (f.destroy_tensor)(tensor);
            }
            if !self.w.is_null() {
                let _ = (f.destroy_filter)(self.w);
            }
            if !self.convolution.is_null() {
                let _ = (f.destroy_convolution)(self.convolution);
            }
        }
    }
}

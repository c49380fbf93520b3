//! The functions of cuDNN that are used, from the library that ONNX Runtime uses: one process must not hold two versions of it.

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as DataAlgorithm, cudnnConvolutionBwdDataAlgoPerf_t as DataFound,
    cudnnConvolutionBwdFilterAlgo_t as FilterAlgorithm, cudnnConvolutionBwdFilterAlgoPerf_t as FilterFound,
    cudnnConvolutionDescriptor_t as Convolution, cudnnConvolutionFwdAlgo_t as ForwardAlgorithm,
    cudnnConvolutionFwdAlgoPerf_t as ForwardFound, cudnnConvolutionMode_t as Mode, cudnnDataType_t as DataType,
    cudnnFilterDescriptor_t as Filter, cudnnHandle_t, cudnnMathType_t as MathType, cudnnStatus_t as Status,
    cudnnTensorDescriptor_t as Tensor, cudnnTensorFormat_t as Format,
};
use std::ffi::{c_int, c_void};

macro_rules! functions {
    ($($field:ident = $name:literal : fn($($argument:ty),* $(,)?);)*) => {
        /// Functions by what they do.
        #[derive(Clone, Copy)]
        pub(super) struct Functions {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> Status,)*
        }

        impl Functions {
            fn load(library: &libloading::Library) -> Result<Self, String> {
                #[expect(unsafe_code, reason = "functions of a loaded library")]
                // SAFETY: the types are those of cuDNN's headers; the library is never unloaded.
                unsafe {
                    Ok(Self { $($field: *library.get($name).map_err(|error| error.to_string())?,)* })
                }
            }
        }
    };
}

functions! {
    create = b"cudnnCreate": fn(*mut cudnnHandle_t);
    set_stream = b"cudnnSetStream": fn(cudnnHandle_t, *mut c_void);
    create_tensor = b"cudnnCreateTensorDescriptor": fn(*mut Tensor);
    set_tensor = b"cudnnSetTensorNdDescriptor": fn(Tensor, DataType, c_int, *const c_int, *const c_int);
    destroy_tensor = b"cudnnDestroyTensorDescriptor": fn(Tensor);
    create_filter = b"cudnnCreateFilterDescriptor": fn(*mut Filter);
    set_filter = b"cudnnSetFilterNdDescriptor": fn(Filter, DataType, Format, c_int, *const c_int);
    destroy_filter = b"cudnnDestroyFilterDescriptor": fn(Filter);
    create_convolution = b"cudnnCreateConvolutionDescriptor": fn(*mut Convolution);
    set_convolution = b"cudnnSetConvolutionNdDescriptor":
        fn(Convolution, c_int, *const c_int, *const c_int, *const c_int, Mode, DataType);
    set_group = b"cudnnSetConvolutionGroupCount": fn(Convolution, c_int);
    set_math = b"cudnnSetConvolutionMathType": fn(Convolution, MathType);
    destroy_convolution = b"cudnnDestroyConvolutionDescriptor": fn(Convolution);
    forward_algorithms = b"cudnnGetConvolutionForwardAlgorithm_v7":
        fn(cudnnHandle_t, Tensor, Filter, Convolution, Tensor, c_int, *mut c_int, *mut ForwardFound);
    data_algorithms = b"cudnnGetConvolutionBackwardDataAlgorithm_v7":
        fn(cudnnHandle_t, Filter, Tensor, Convolution, Tensor, c_int, *mut c_int, *mut DataFound);
    filter_algorithms = b"cudnnGetConvolutionBackwardFilterAlgorithm_v7":
        fn(cudnnHandle_t, Tensor, Tensor, Convolution, Filter, c_int, *mut c_int, *mut FilterFound);
    find_forward = b"cudnnFindConvolutionForwardAlgorithmEx":
        fn(cudnnHandle_t, Tensor, *const c_void, Filter, *const c_void, Convolution, Tensor, *mut c_void, c_int, *mut c_int,
           *mut ForwardFound, *mut c_void, usize);
    find_data = b"cudnnFindConvolutionBackwardDataAlgorithmEx":
        fn(cudnnHandle_t, Filter, *const c_void, Tensor, *const c_void, Convolution, Tensor, *mut c_void, c_int, *mut c_int,
           *mut DataFound, *mut c_void, usize);
    find_filter = b"cudnnFindConvolutionBackwardFilterAlgorithmEx":
        fn(cudnnHandle_t, Tensor, *const c_void, Tensor, *const c_void, Convolution, Filter, *mut c_void, c_int, *mut c_int,
           *mut FilterFound, *mut c_void, usize);
    forward = b"cudnnConvolutionForward":
        fn(cudnnHandle_t, *const c_void, Tensor, *const c_void, Filter, *const c_void, Convolution, ForwardAlgorithm,
           *mut c_void, usize, *const c_void, Tensor, *mut c_void);
    data = b"cudnnConvolutionBackwardData":
        fn(cudnnHandle_t, *const c_void, Filter, *const c_void, Tensor, *const c_void, Convolution, DataAlgorithm,
           *mut c_void, usize, *const c_void, Tensor, *mut c_void);
    filter = b"cudnnConvolutionBackwardFilter":
        fn(cudnnHandle_t, *const c_void, Tensor, *const c_void, Tensor, *const c_void, Convolution, FilterAlgorithm,
           *mut c_void, usize, *const c_void, Filter, *mut c_void);
}

/// cuDNN with a handle on the stream.
pub(super) struct Cudnn {
    pub(super) functions: Functions,
    pub(super) handle: cudnnHandle_t,
    _library: libloading::Library,
}

#[expect(unsafe_code, reason = "a handle that one thread at a time uses")]
// SAFETY: work is given to the stream under the lock of the scratch memory; descriptors belong to their owners.
unsafe impl Send for Cudnn {}
#[expect(unsafe_code, reason = "as for `Send`")]
// SAFETY: as for `Send`.
unsafe impl Sync for Cudnn {}

impl Cudnn {
    /// The library by the name under which it is loaded.
    pub(super) fn open(stream: *mut c_void) -> Result<Self, String> {
        let name = if cfg!(windows) { "cudnn64_9.dll" } else { "libcudnn.so.9" };
        #[expect(unsafe_code, reason = "calls of cuDNN")]
        // SAFETY: the library is NVIDIA's and is kept; the handle is never destroyed, nor is the stream.
        unsafe {
            let library = libloading::Library::new(name).map_err(|error| error.to_string())?;
            let functions = Functions::load(&library)?;
            let mut handle = std::ptr::null_mut();
            checked((functions.create)(&raw mut handle))?;
            checked((functions.set_stream)(handle, stream))?;
            Ok(Self { functions, handle, _library: library })
        }
    }
}

/// A status of cuDNN.
pub(super) fn checked(status: Status) -> Result<(), String> {
    if status == Status::CUDNN_STATUS_SUCCESS { Ok(()) } else { Err(format!("cuDNN: {status:?}")) }
}

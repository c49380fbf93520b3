//! What is said when ONNX Runtime fails.

use crate::diag::{Code, Diagnostic};
use std::fmt::Display;

/// What ONNX Runtime, the driver, cuBLAS and cuDNN say when memory ran out.
const OUT_OF_MEMORY: [&str; 7] = [
    "bad_alloc",
    "Failed to allocate memory",
    "out of memory",
    "OUT_OF_MEMORY",
    "CUDA failure 2:",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
];
/// What the same say of the GPU, and what own operators do.
const OF_GPU: [&str; 6] = ["CUDA", "CUBLAS", "CUDNN", "cuda", "memory of the GPU", "GPU="];

/// ONNX Runtime's words for something that it could not do, on the GPU or on the processor.
pub(super) fn failed_on(gpu: bool, what: &str, error: &impl Display) -> Diagnostic {
    let text = error.to_string();
    let ran_out = OUT_OF_MEMORY.iter().any(|words| text.contains(words)) || text.contains("not enough memory");
    if !ran_out {
        return Diagnostic::error(Code::RunFailed, format!("ONNX Runtime could not {what}")).note(text);
    }
    let of = if gpu || OF_GPU.iter().any(|words| text.contains(words)) { " of the GPU" } else { "" };
    Diagnostic::error(Code::OutOfMemory, format!("not enough memory{of} to {what}"))
        .note(text)
        .help("lower `schedule.batch` (and raise `accumulate` to keep the step the same)")
}

/// The same, where nothing is known of a GPU.
pub(super) fn failed(what: &str, error: &impl Display) -> Diagnostic {
    failed_on(false, what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_ran_out_is_told_from_other_failures_and_the_gpu_from_the_processor() {
        let arena = "/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:359 void* onnxruntime::BFCArena::\
                     AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 8589934592";
        let cases = [
            (true, arena, Code::OutOfMemory, "not enough memory of the GPU to run a graph"),
            (false, arena, Code::OutOfMemory, "not enough memory to run a graph"),
            (false, "std::bad_alloc", Code::OutOfMemory, "not enough memory to run a graph"),
            (
                false,
                "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);",
                Code::OutOfMemory,
                "GPU",
            ),
            (false, "CUDA out of memory", Code::OutOfMemory, "GPU"),
            (true, "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED", Code::OutOfMemory, "GPU"),
            (true, "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", Code::OutOfMemory, "GPU"),
            (true, "`gelu`: CUDA_ERROR_OUT_OF_MEMORY: out of memory", Code::OutOfMemory, "GPU"),
            (false, "node `x`: not enough memory of the GPU to hold 512 MiB more", Code::OutOfMemory, "GPU"),
            (true, "CUDA failure 209: no kernel image is available", Code::RunFailed, "could not run a graph"),
            (
                true,
                "CUDA failure 700: an illegal memory access was encountered",
                Code::RunFailed,
                "could not run a graph",
            ),
        ];
        for (gpu, text, code, message) in cases {
            let problem = failed_on(gpu, "run a graph", &text);
            assert_eq!(problem.code(), code, "{text}");
            assert!(problem.message().contains(message), "{text}: {}", problem.message());
            assert_eq!(problem.notes(), [text]);
        }
    }
}

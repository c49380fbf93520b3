//! Memory in which cuBLAS works, given to the handles of ONNX Runtime.
//!
//! A handle without such memory takes some while it is recorded, as part of what is recorded: the step could not be repeated as a whole
//! (cuBLAS, "CUDA Graphs Support").

use super::memory::DeviceBuffer;
use std::ffi::{c_int, c_void};

/// What cuBLAS recommends for devices of compute capability 9.0 and later; older ones take less.
const SIZE: usize = 32 << 20;

/// One piece of memory for all handles: their work is on one stream.
pub(super) struct Workspace {
    set: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> c_int,
    memory: DeviceBuffer,
    _library: libloading::Library,
}

impl Workspace {
    /// With the library by the name under which it is loaded.
    pub(super) fn new() -> Result<Self, String> {
        let name = if cfg!(windows) { "cublas64_13.dll" } else { "libcublas.so.13" };
        let memory = DeviceBuffer::new(SIZE).map_err(|error| error.message().to_owned())?;
        #[expect(unsafe_code, reason = "a function of a loaded library")]
        // SAFETY: the library is NVIDIA's and is kept; the type is that of its header.
        unsafe {
            let library = libloading::Library::new(name).map_err(|error| error.to_string())?;
            let set = *library.get(b"cublasSetWorkspace_v2").map_err(|error| error.to_string())?;
            Ok(Self { set, memory, _library: library })
        }
    }

    /// Lets a handle of cuBLAS work in it. The handle forgets it when its stream is set, which ONNX Runtime does while it loads a session.
    pub(super) fn give(&self, handle: *const ()) {
        #[expect(unsafe_code, reason = "a call of cuBLAS")]
        // SAFETY: the handle is that of the session that runs; the memory is never freed, and its users come one after the other.
        let _ = unsafe { (self.set)(handle.cast_mut().cast(), self.memory.address() as *mut c_void, SIZE) };
    }
}

//! The device with its streams, taken up once for the process.

use super::cublas::Workspace;
use super::cudnn::Cudnn;
use super::memory::DeviceBuffer;
use super::module::Modules;
use crate::diag::{Code, Diagnostic, Result};
use cudarc::driver::sys::{CUcontext, CUdevice_attribute, CUresult, CUstream};
use cudarc::driver::{DriverError, result};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A device.
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// Compute capability, such as (9, 0).
    pub capability: (i32, i32),
    context: CUcontext,
    pub(super) stream: CUstream,
    pub(super) copies: CUstream,
    pub(super) modules: Mutex<Modules>,
    /// Memory that kernels use while they run, one after the other on the stream.
    scratch: Mutex<Scratch>,
    convolutions: OnceLock<std::result::Result<Cudnn, String>>,
    products: Mutex<Option<Workspace>>,
}

#[derive(Default)]
struct Scratch {
    now: Option<DeviceBuffer>,
    /// Whether recorded work may use what was scratch memory before.
    keep: bool,
    kept: Vec<DeviceBuffer>,
}

#[expect(unsafe_code, reason = "pointers of the driver, which it lets any thread use")]
// SAFETY: contexts and streams may be used from any thread that has made the context current, which `Gpu::enter` does.
unsafe impl Send for Gpu {}
#[expect(unsafe_code, reason = "as for `Send`")]
// SAFETY: as for `Send`.
unsafe impl Sync for Gpu {}
/// The first device that the driver shows; `CUDA_VISIBLE_DEVICES` chooses.
///
/// # Errors
/// `P0010` or `P0011` when there is no driver or no device.
pub fn gpu() -> Result<&'static Gpu> {
    static GPU: OnceLock<Result<Gpu>> = OnceLock::new();
    GPU.get_or_init(open).as_ref().map_err(Clone::clone)
}

/// Sees that a GPU and a library that uses it are there; looked for once in a process.
///
/// # Errors
/// `P0010` with what is missing, `P0011` without a driver or a device.
pub fn ready() -> Result<()> {
    static READY: OnceLock<Result<()>> = OnceLock::new();
    // A machine without a driver wants to hear that first.
    READY.get_or_init(|| gpu().and_then(|_| crate::native::locate_cuda().map(|_| ()))).clone()
}

/// Whether a GPU can be used.
pub fn is_usable() -> bool {
    // The cheapest question first: most machines have no driver.
    super::libraries::driver().library.is_some() && ready().is_ok()
}

fn open() -> Result<Gpu> {
    let unusable = |error: DriverError| {
        Diagnostic::error(Code::NoGpu, "no GPU can be used")
            .note(describe(error))
            .help("`pipe doctor` shows what was found; `--device cpu` trains on the processor")
    };
    super::libraries::preload()?;
    let make = || -> std::result::Result<Gpu, DriverError> {
        result::init()?;
        let device = result::device::get(0)?;
        let name = result::device::get_name(device)?;
        #[expect(unsafe_code, reason = "calls of the driver")]
        // SAFETY: the device is a valid one; its primary context is the one that ONNX Runtime uses too, and is never given back.
        let (context, capability) = unsafe {
            let context = result::primary_ctx::retain(device)?;
            result::ctx::set_current(context)?;
            let number = |attribute| result::device::get_attribute(device, attribute);
            let major = number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
            (context, (major, number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?))
        };
        Ok(Gpu {
            name,
            capability,
            context,
            stream: result::stream::create(result::stream::StreamKind::NonBlocking)?,
            copies: result::stream::create(result::stream::StreamKind::NonBlocking)?,
            modules: Mutex::default(),
            scratch: Mutex::default(),
            convolutions: OnceLock::new(),
            products: Mutex::default(),
        })
    };
    make().map_err(unusable)
}

impl Gpu {
    /// Makes the context current on this thread.
    pub(super) fn enter(&self) -> Result<()> {
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the context is never given back.
        let entered = unsafe { result::ctx::set_current(self.context) };
        entered.map_err(|error| failed("use the GPU", error))
    }

    /// The stream on which everything runs, as ONNX Runtime wants it.
    pub(in crate::native) fn stream_pointer(&self) -> *mut () {
        self.stream.cast()
    }

    /// Waits until everything on the stream is done.
    ///
    /// # Errors
    /// `P0602` when something on it failed.
    pub fn wait(&self) -> Result<()> {
        self.enter()?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the stream is never destroyed.
        let done = unsafe { result::stream::synchronize(self.stream) };
        done.map_err(|error| failed("run on the GPU", error))
    }

    /// Bytes that are free and bytes in all.
    pub fn memory(&self) -> Option<(usize, usize)> {
        self.enter().ok()?;
        result::mem_get_info().ok()
    }

    /// Runs something with scratch memory of a size, which whoever comes next on the stream may overwrite.
    pub(super) fn with_scratch<T>(
        &self,
        size: usize,
        run: impl FnOnce(u64) -> std::result::Result<T, String>,
    ) -> std::result::Result<T, String> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if size > scratch.now.as_ref().map_or(0, DeviceBuffer::size) {
            // What runs may use the old one.
            self.wait().map_err(|error| error.message().to_owned())?;
            let old = scratch.now.take().filter(|_| scratch.keep);
            scratch.kept.extend(old);
            let size = size.next_multiple_of(1 << 20);
            scratch.now = Some(DeviceBuffer::new(size).map_err(|error| error.message().to_owned())?);
        }
        run(scratch.now.as_ref().map_or(0, DeviceBuffer::address))
    }

    /// Copies memory of the device on the stream.
    pub(super) fn copy(&self, to: u64, from: u64, bytes: usize) -> std::result::Result<(), String> {
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: both places are tensors of that many bytes, alive until what is on the stream is done.
        let copied = unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream) };
        copied.map_err(describe)
    }

    /// Keeps scratch memory where it is from now on: recorded work knows its address.
    pub(super) fn keep_scratch(&self) {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).keep = true;
    }

    /// cuDNN on the stream.
    pub(super) fn convolutions(&self) -> std::result::Result<&Cudnn, String> {
        self.convolutions.get_or_init(|| Cudnn::open(self.stream.cast())).as_ref().map_err(Clone::clone)
    }

    /// Gives a handle of cuBLAS memory to work in, if that can be had: it works without, and is not recorded then.
    pub(super) fn give_workspace(&self, handle: *const ()) {
        let mut products = self.products.lock().unwrap_or_else(PoisonError::into_inner);
        if products.is_none() {
            *products = Workspace::new().ok();
        }
        if let Some(workspace) = &*products {
            workspace.give(handle);
        }
    }
}

/// What the driver says.
pub(super) fn describe(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy().into_owned());
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    match (name, text) {
        (Ok(name), Ok(text)) => format!("{name}: {text}"),
        _ => format!("{:?}", error.0),
    }
}

/// A call of the driver that failed.
pub(super) fn failed(what: &str, error: DriverError) -> Diagnostic {
    if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return Diagnostic::error(Code::OutOfMemory, format!("not enough memory of the GPU to {what}"))
            .help("lower `schedule.batch` (and raise `accumulate` to keep the step the same)");
    }
    Diagnostic::error(Code::RunFailed, format!("the GPU could not {what}")).note(describe(error))
}

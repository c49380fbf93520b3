//! Inputs and outputs of a session bound to memory that its caller has, so that a run copies nothing, may write where it reads, and on a GPU
//! need not be waited for.

use super::failure::failed_on;
use super::session::{Session, element};
use crate::diag::Result;
use crate::ir::DType;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::{AsPointer, sys};
use std::ffi::{CString, c_char};
use std::ptr;

/// A tensor in memory of what runs the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub address: u64,
    /// Its element type.
    pub dtype: DType,
    /// Its dimensions.
    pub shape: Vec<usize>,
}

/// What a session reads and writes. The memory must live as long as the binding is run.
pub struct Binding {
    on_gpu: bool,
    pointer: *mut sys::OrtIoBinding,
    options: *mut sys::OrtRunOptions,
    values: Vec<*mut sys::OrtValue>,
}

#[expect(unsafe_code, reason = "pointers that one owner has")]
// SAFETY: the binding belongs to this value alone.
unsafe impl Send for Binding {}

type Status = sys::OrtStatusPtr;

/// Turns a status of ONNX Runtime into a diagnostic.
pub(super) fn checked(on_gpu: bool, what: &str, status: Status) -> Result<()> {
    if status.0.is_null() {
        return Ok(());
    }
    #[expect(unsafe_code, reason = "the crate keeps its own function for this to itself")]
    // SAFETY: the status is not null; its text lives until it is released, and it is released once.
    let text = unsafe {
        let text = std::ffi::CStr::from_ptr((ort::api().GetErrorMessage)(status.0)).to_string_lossy().into_owned();
        (ort::api().ReleaseStatus)(status.0);
        text
    };
    Err(failed_on(on_gpu, what, &text))
}

impl Binding {
    /// Binds every input and output of a session by name.
    ///
    /// # Errors
    /// `P0602` when ONNX Runtime refuses one.
    pub fn new(session: &Session, inputs: &[(String, Place)], outputs: &[(String, Place)]) -> Result<Self> {
        let on_gpu = session.on_gpu();
        let mut this = Self { on_gpu, pointer: ptr::null_mut(), options: ptr::null_mut(), values: Vec::new() };
        let api = ort::api();
        let session = session.pointer();
        #[expect(unsafe_code, reason = "the crate copies what it did not allocate itself")]
        // SAFETY: the session is alive; what is made here is released when this value is dropped.
        unsafe {
            checked(on_gpu, "bind memory", (api.CreateIoBinding)(session, &raw mut this.pointer))?;
            checked(on_gpu, "bind memory", (api.CreateRunOptions)(&raw mut this.options))?;
            // Without it every run would wait for the device.
            let (key, value) = (c"disable_synchronize_execution_providers", c"1");
            checked(on_gpu, "bind memory", (api.AddRunConfigEntry)(this.options, key.as_ptr(), value.as_ptr()))?;
        }
        for (name, place) in inputs {
            let value = this.tensor(place)?;
            this.bind(name, value, api.BindInput)?;
        }
        for (name, place) in outputs {
            let value = this.tensor(place)?;
            this.bind(name, value, api.BindOutput)?;
        }
        Ok(this)
    }

    fn tensor(&mut self, place: &Place) -> Result<*const sys::OrtValue> {
        let device = if self.on_gpu { AllocationDevice::CUDA } else { AllocationDevice::CPU };
        let info = MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default);
        let info = info.map_err(|error| failed_on(self.on_gpu, "bind memory", &error))?;
        let dims: Vec<i64> = place.shape.iter().map(|size| *size as i64).collect();
        let bytes = place.shape.iter().product::<usize>() * place.dtype.size();
        let mut value = ptr::null_mut();
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: the caller says that the memory is there and stays; ONNX Runtime copies the dimensions.
        let made = unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                info.ptr(),
                place.address as *mut _,
                bytes,
                dims.as_ptr(),
                dims.len(),
                element(place.dtype).into(),
                &raw mut value,
            )
        };
        checked(self.on_gpu, "bind memory", made)?;
        self.values.push(value);
        Ok(value)
    }

    fn bind(
        &mut self,
        name: &str,
        value: *const sys::OrtValue,
        bind: unsafe extern "system" fn(*mut sys::OrtIoBinding, *const c_char, *const sys::OrtValue) -> Status,
    ) -> Result<()> {
        let name = CString::new(name).map_err(|error| failed_on(self.on_gpu, "bind memory", &error))?;
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: the binding and the value are alive.
        let status = unsafe { bind(self.pointer, name.as_ptr(), value) };
        checked(self.on_gpu, "bind memory", status)
    }

    /// Runs the session; on a GPU its work is given to it and not waited for.
    ///
    /// # Errors
    /// `P0602` with ONNX Runtime's words, `P0606` when memory ran out.
    pub fn run(&mut self, session: &mut Session) -> Result<()> {
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: the session and the binding are alive and used by nobody else.
        let status = unsafe { (ort::api().RunWithBinding)(session.pointer(), self.options, self.pointer) };
        checked(self.on_gpu, "run a graph", status)
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        let api = ort::api();
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: each was made by `new` and is released once.
        unsafe {
            if !self.pointer.is_null() {
                (api.ReleaseIoBinding)(self.pointer);
            }
            if !self.options.is_null() {
                (api.ReleaseRunOptions)(self.options);
            }
            for value in &self.values {
                (api.ReleaseValue)(*value);
            }
        }
    }
}

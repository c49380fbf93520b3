//! Inputs and outputs of a session bound to memory of the device, so that a run copies nothing and need not be waited for.

use crate::diag::Result;
use crate::ir::DType;
use crate::native::failure::failed_on;
use crate::native::session::{Session, element};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::{AsPointer, sys};
use std::ffi::{CString, c_char};
use std::ptr;

/// A tensor in memory of the device.
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
    pointer: *mut sys::OrtIoBinding,
    options: *mut sys::OrtRunOptions,
    values: Vec<*mut sys::OrtValue>,
}

#[expect(unsafe_code, reason = "pointers that one owner has")]
// SAFETY: the binding belongs to this value alone.
unsafe impl Send for Binding {}

type Status = sys::OrtStatusPtr;

/// Turns a status of ONNX Runtime into a diagnostic.
pub(super) fn checked(what: &str, status: Status) -> Result<()> {
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
    Err(failed_on(true, what, &text))
}

impl Binding {
    /// Binds every input and output of a session by name.
    ///
    /// # Errors
    /// `P0602` when ONNX Runtime refuses one.
    pub fn new(session: &Session, inputs: &[(String, Place)], outputs: &[(String, Place)]) -> Result<Self> {
        let mut this = Self { pointer: ptr::null_mut(), options: ptr::null_mut(), values: Vec::new() };
        let api = ort::api();
        let session = session.pointer();
        #[expect(unsafe_code, reason = "the crate copies what it did not allocate itself")]
        // SAFETY: the session is alive; what is made here is released when this value is dropped.
        unsafe {
            checked("bind memory", (api.CreateIoBinding)(session, &raw mut this.pointer))?;
            checked("bind memory", (api.CreateRunOptions)(&raw mut this.options))?;
            // Without it every run would wait for the device.
            let (key, value) = (c"disable_synchronize_execution_providers", c"1");
            checked("bind memory", (api.AddRunConfigEntry)(this.options, key.as_ptr(), value.as_ptr()))?;
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
        let device = AllocationDevice::CUDA;
        let info = MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default);
        let info = info.map_err(|error| failed_on(true, "bind memory", &error))?;
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
        checked("bind memory", made)?;
        self.values.push(value);
        Ok(value)
    }

    fn bind(
        &mut self,
        name: &str,
        value: *const sys::OrtValue,
        bind: unsafe extern "system" fn(*mut sys::OrtIoBinding, *const c_char, *const sys::OrtValue) -> Status,
    ) -> Result<()> {
        let name = CString::new(name).map_err(|error| failed_on(true, "bind memory", &error))?;
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: the binding and the value are alive.
        let status = unsafe { bind(self.pointer, name.as_ptr(), value) };
        checked("bind memory", status)
    }

    /// Gives the session its work and does not wait for it.
    ///
    /// # Errors
    /// `P0602` with ONNX Runtime's words, `P0606` when memory ran out.
    pub fn run(&mut self, session: &mut Session) -> Result<()> {
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: the session and the binding are alive and used by nobody else.
        let status = unsafe { (ort::api().RunWithBinding)(session.pointer(), self.options, self.pointer) };
        checked("run a graph", status)
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

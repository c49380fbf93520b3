//! Kernels: compiled by NVRTC for the device at hand when they are first wanted, and launched.

use super::device::{Gpu, describe};
use crate::kernels::cuda::Argument;
use cudarc::driver::result;
use cudarc::driver::sys::{CUfunction, CUmodule};
use cudarc::nvrtc;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{CStr, CString, c_void};
use std::sync::PoisonError;

/// What was compiled so far, by the digest of its source; modules are never unloaded.
#[derive(Default)]
pub(in crate::native) struct Modules(BTreeMap<[u8; 32], CUmodule>);

/// A compiled function.
#[derive(Debug, Clone, Copy)]
pub struct Function(CUfunction);

#[expect(unsafe_code, reason = "a handle that any thread may use")]
// SAFETY: modules are never unloaded, and functions may be launched from any thread.
unsafe impl Send for Function {}
#[expect(unsafe_code, reason = "as for `Send`")]
// SAFETY: as for `Send`.
unsafe impl Sync for Function {}

/// Addresses that arguments of a launch stand for.
#[derive(Debug, Default)]
pub(super) struct Memory<'a> {
    pub(super) inputs: &'a [u64],
    pub(super) outputs: &'a [u64],
    pub(super) scratch: u64,
}

/// Whether NVRTC is there.
pub fn has_compiler() -> bool {
    #[expect(unsafe_code, reason = "looks whether a library can be loaded")]
    // SAFETY: loads a library of the vendor.
    unsafe {
        nvrtc::sys::is_culib_present()
    }
}

/// Machine code of a source for a compute capability.
///
/// # Errors
/// The compiler's words.
pub fn compile(source: &str, capability: (i32, i32)) -> Result<Vec<u8>, String> {
    let text = CString::new(source).map_err(|error| error.to_string())?;
    let program = nvrtc::result::create_program(&text, None).map_err(|error| format!("NVRTC: {error:?}"))?;
    let options = [format!("--gpu-architecture=sm_{}{}", capability.0, capability.1), "--std=c++17".to_owned()];
    #[expect(unsafe_code, reason = "calls of NVRTC")]
    // SAFETY: the program is alive until it is destroyed at the end; the buffer has the size that NVRTC says.
    unsafe {
        let compiled = nvrtc::result::compile_program(program, &options);
        let made = match compiled {
            Ok(()) => {
                let mut size = 0;
                let sized = nvrtc::sys::nvrtcGetCUBINSize(program, &raw mut size).result();
                let mut code = vec![0u8; size];
                let read = nvrtc::sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()).result();
                sized.and(read).map(|()| code).map_err(|error| format!("NVRTC: {error:?}"))
            }
            Err(error) => {
                let log = nvrtc::result::get_program_log(program).unwrap_or_default();
                let bytes: Vec<u8> = log.iter().map(|c| *c as u8).collect();
                let log = CStr::from_bytes_until_nul(&bytes).map(|log| log.to_string_lossy().into_owned());
                Err(format!("NVRTC: {error:?}: {}", log.unwrap_or_default()))
            }
        };
        let _ = nvrtc::result::destroy_program(program);
        made
    }
}

impl Gpu {
    /// A function of a source, which is compiled when it is first asked for.
    ///
    /// # Errors
    /// What the compiler or the driver says.
    pub fn kernel(&self, source: &str, name: &str) -> Result<Function, String> {
        self.enter().map_err(|error| error.message().to_owned())?;
        let told = |error| format!("`{name}`: {}", describe(error));
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let module = match modules.0.entry(*blake3::hash(source.as_bytes()).as_bytes()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                let code = compile(source, self.capability)?;
                #[expect(unsafe_code, reason = "a call of the driver")]
                // SAFETY: the code is what NVRTC made for this device.
                let module = unsafe { result::module::load_data(code.as_ptr().cast()) };
                *place.insert(module.map_err(told)?)
            }
        };
        let name = CString::new(name).map_err(|error| error.to_string())?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the module is never unloaded.
        let function = unsafe { result::module::get_function(module, name) };
        function.map(Function).map_err(told)
    }

    /// Calls a function over a row of blocks.
    ///
    /// # Errors
    /// `P0602` when the driver refuses.
    pub fn call(
        &self,
        function: Function,
        blocks: usize,
        block: u32,
        arguments: &[Argument],
    ) -> crate::diag::Result<()> {
        self.enter()?;
        let grid = [blocks.max(1) as u32, 1, 1];
        self.launch(function, grid, block, arguments, &Memory::default()).map_err(|error| {
            crate::diag::Diagnostic::error(crate::diag::Code::RunFailed, "the GPU could not be given work").note(error)
        })
    }

    /// Launches a function on the stream.
    ///
    /// # Errors
    /// What the driver says.
    pub(super) fn launch(
        &self,
        function: Function,
        grid: [u32; 3],
        block: u32,
        arguments: &[Argument],
        memory: &Memory,
    ) -> Result<(), String> {
        // Every argument in eight bytes of its own; the driver reads as many of them as the function's type says.
        let mut slots: Vec<[u8; 8]> = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let mut slot = [0u8; 8];
            match *argument {
                Argument::Input(i) => slot = memory.inputs.get(i).ok_or("an input is missing")?.to_ne_bytes(),
                Argument::Output(i) => slot = memory.outputs.get(i).ok_or("an output is missing")?.to_ne_bytes(),
                Argument::Scratch(at) => slot = (memory.scratch + at as u64).to_ne_bytes(),
                Argument::Int(value) => slot[..4].copy_from_slice(&value.to_ne_bytes()),
                Argument::Long(value) => slot = value.to_ne_bytes(),
                Argument::Float(value) => slot[..4].copy_from_slice(&value.to_ne_bytes()),
                Argument::Double(value) => slot = value.to_ne_bytes(),
            }
            slots.push(slot);
        }
        let mut pointers: Vec<*mut c_void> = slots.iter_mut().map(|slot| slot.as_mut_ptr().cast()).collect();
        let [x, y, z] = grid;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the arguments have the types of the function's source, which stands beside the code that made them; the pointers live
        // through the call, which copies them.
        let launched =
            unsafe { result::launch_kernel(function.0, (x, y, z), (block, 1, 1), 0, self.stream, &mut pointers) };
        launched.map_err(describe)
    }
}

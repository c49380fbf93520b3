//! Kernels: compiled by NVRTC for the device at hand when they are first wanted, and launched.

use super::device::{Gpu, describe};
use crate::kernels::cuda::{Argument, Launch};
use cudarc::driver::result;
use cudarc::driver::sys::CUfunction;
use cudarc::nvrtc;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::sync::PoisonError;

/// What was compiled so far: functions by the digest of their source and their name.
#[derive(Default)]
pub(in crate::native) struct Modules(BTreeMap<([u8; 32], String), Function>);

/// A compiled function.
#[derive(Debug, Clone, Copy)]
pub struct Function(CUfunction);

#[expect(unsafe_code, reason = "a handle that any thread may use")]
// SAFETY: modules are never unloaded, and functions may be launched from any thread.
unsafe impl Send for Function {}
#[expect(unsafe_code, reason = "as for `Send`")]
// SAFETY: as for `Send`.
unsafe impl Sync for Function {}

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
    /// The function that a launch names.
    ///
    /// # Errors
    /// What the compiler or the driver says.
    pub fn function(&self, launch: &Launch) -> Result<Function, String> {
        self.enter().map_err(|error| error.message().to_owned())?;
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (*blake3::hash(launch.source.as_bytes()).as_bytes(), launch.function.to_string());
        if let Some(function) = modules.0.get(&key) {
            return Ok(*function);
        }
        let code = compile(&launch.source, self.capability)?;
        let name = CString::new(launch.function.as_bytes()).map_err(|error| error.to_string())?;
        #[expect(unsafe_code, reason = "calls of the driver")]
        // SAFETY: the code is what NVRTC made for this device; the module is never unloaded.
        let function = unsafe {
            result::module::load_data(code.as_ptr().cast())
                .and_then(|module| result::module::get_function(module, name))
        };
        let function = function.map(Function).map_err(|error| format!("`{}`: {}", launch.function, describe(error)))?;
        modules.0.insert(key, function);
        Ok(function)
    }

    /// A function of a source.
    ///
    /// # Errors
    /// What the compiler or the driver says.
    pub fn kernel(&self, source: &str, name: &str) -> Result<Function, String> {
        let launch = Launch {
            source: source.to_owned().into(),
            function: name.to_owned().into(),
            grid: [1; 3],
            block: 1,
            arguments: Vec::new(),
        };
        self.function(&launch)
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
        let launch = Launch {
            source: "".into(),
            function: "".into(),
            grid: [blocks.max(1) as u32, 1, 1],
            block,
            arguments: arguments.to_vec(),
        };
        self.launch(function, &launch, &[], &[], 0).map_err(|error| {
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
        launch: &Launch,
        inputs: &[u64],
        outputs: &[u64],
        scratch: u64,
    ) -> Result<(), String> {
        // Every argument in eight bytes of its own; the driver reads as many of them as the function's type says.
        let mut slots: Vec<[u8; 8]> = Vec::with_capacity(launch.arguments.len());
        for argument in &launch.arguments {
            let mut slot = [0u8; 8];
            match *argument {
                Argument::Input(i) => slot = inputs.get(i).ok_or("an input is missing")?.to_ne_bytes(),
                Argument::Output(i) => slot = outputs.get(i).ok_or("an output is missing")?.to_ne_bytes(),
                Argument::Scratch(at) => slot = (scratch + at as u64).to_ne_bytes(),
                Argument::Int(value) => slot[..4].copy_from_slice(&value.to_ne_bytes()),
                Argument::Long(value) => slot = value.to_ne_bytes(),
                Argument::Float(value) => slot[..4].copy_from_slice(&value.to_ne_bytes()),
                Argument::Double(value) => slot = value.to_ne_bytes(),
            }
            slots.push(slot);
        }
        let mut pointers: Vec<*mut c_void> = slots.iter_mut().map(|slot| slot.as_mut_ptr().cast()).collect();
        let [x, y, z] = launch.grid;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the arguments have the types of the function's source, which stands beside the code that made them; the pointers live
        // through the call, which copies them.
        let launched = unsafe {
            result::launch_kernel(function.0, (x, y, z), (launch.block, 1, 1), 0, self.stream, &mut pointers)
        };
        launched.map_err(|error| format!("`{}`: {}", launch.function, describe(error)))
    }
}

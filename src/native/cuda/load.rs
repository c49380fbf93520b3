//! Loads the libraries of NVIDIA for the whole process, from wherever they lie.
//!
//! A library that is loaded already is found by its name when another one asks for it. So ONNX Runtime's provider and cuDNN, which look for
//! theirs in the system's folders only, use those that lie here.

use super::libraries::{DRIVER, Driver, LIBRARIES, Library, Missing, OLDEST_DRIVER, Places, Survey, missing};
use crate::diag::{Code, Diagnostic, Result};
use std::error::Error;
use std::ffi::{c_int, c_uint};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// CUDA 13.0, as the driver counts.
const OLDEST_CUDA: c_int = 13_000;

/// What `cuInit` says on a machine without a device.
const NO_DEVICE: c_int = 100;

/// Loads the driver and all libraries that were found, once for the process, and sees that there is a device.
///
/// # Errors
/// `P0011` without a driver or a device, or when the driver is too old for CUDA 13; `P0010` with every library that is missing or cannot be
/// loaded, and the packages that bring them.
pub fn preload() -> Result<()> {
    static LOADED: OnceLock<Result<Vec<libloading::Library>>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let places = Places::of_this_machine();
        let driver = load_driver(&places.driver())?;
        usable(&driver)?;
        let mut loaded = load(&places.survey(&LIBRARIES))?;
        loaded.push(driver);
        Ok(loaded)
    });
    loaded.as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Loads a library; its names can be seen by those that are loaded later.
fn open(path: &Path) -> std::result::Result<libloading::Library, String> {
    #[expect(unsafe_code, reason = "loading a library runs its initialisers; there is no safe way")]
    // SAFETY: the libraries of the table are NVIDIA's, whose initialisers may run at any time and on any thread; none is ever unloaded once
    // this module has handed it out.
    #[cfg(unix)]
    let opened = unsafe {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL).map(libloading::Library::from)
    };
    #[expect(unsafe_code, reason = "as above, on systems where names are always seen")]
    // SAFETY: as above.
    #[cfg(not(unix))]
    let opened = unsafe { libloading::Library::new(path) };
    opened.map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

fn load_driver(driver: &Driver) -> Result<libloading::Library> {
    let help = format!(
        "install the NVIDIA driver {OLDEST_DRIVER} or newer; a container must be started with access to the GPU (`--gpus all`)"
    );
    let Some(path) = &driver.library else {
        let diagnostic = Diagnostic::error(Code::NoGpu, format!("there is no NVIDIA driver: `{DRIVER}` was not found"));
        let kernel = driver.version.as_ref().map(|version| format!("the kernel has the driver {version}"));
        return Err(kernel.into_iter().fold(diagnostic, Diagnostic::note).help(help));
    };
    open(path).map_err(|reason| {
        let message = format!("the NVIDIA driver's library `{}` cannot be loaded", path.display());
        Diagnostic::error(Code::NoGpu, message).note(reason).help(help)
    })
}

/// Asks the driver whether it is new enough and has a device.
fn usable(driver: &libloading::Library) -> Result<()> {
    let update = format!("install the NVIDIA driver {OLDEST_DRIVER} or newer");
    let cuda = number(driver, "cuDriverGetVersion")?;
    if cuda < OLDEST_CUDA {
        let message = format!("the NVIDIA driver is too old: it runs CUDA {}.{}", cuda / 1000, cuda % 1000 / 10);
        return Err(Diagnostic::error(Code::NoGpu, message).note("CUDA 13 is needed").help(update));
    }
    let none = || {
        Diagnostic::error(Code::NoGpu, "there is no NVIDIA GPU that this process may use")
            .help("`nvidia-smi` lists the devices; `CUDA_VISIBLE_DEVICES` may hide them, and a container may not have been given any")
    };
    match start(driver)? {
        0 if number(driver, "cuDeviceGetCount")? > 0 => Ok(()),
        0 | NO_DEVICE => Err(none()),
        code => Err(Diagnostic::error(Code::NoGpu, format!("CUDA does not start: error {code} of `cuInit`")).help(
            format!("see whether `nvidia-smi` works, restart the machine after an update of the driver, or {update}"),
        )),
    }
}

/// Starts CUDA in this process; what the driver answers.
fn start(driver: &libloading::Library) -> Result<c_int> {
    #[expect(unsafe_code, reason = "a function of a loaded library")]
    // SAFETY: `cuInit` has this type in every version of the driver and may be called again.
    let answer = unsafe { driver.get::<unsafe extern "C" fn(c_uint) -> c_int>("cuInit").map(|init| init(0)) };
    answer.map_err(|_| not_a_driver("cuInit"))
}

/// A number that the driver tells, 0 when it does not.
fn number(driver: &libloading::Library, function: &str) -> Result<c_int> {
    let mut number: c_int = 0;
    #[expect(unsafe_code, reason = "a function of a loaded library")]
    // SAFETY: the callers name functions of the driver that take a place for a number and give a status.
    let answer =
        unsafe { driver.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(function).map(|ask| ask(&raw mut number)) };
    answer.map(|status| if status == 0 { number } else { 0 }).map_err(|_| not_a_driver(function))
}

fn not_a_driver(function: &str) -> Diagnostic {
    Diagnostic::error(Code::NoGpu, format!("`{DRIVER}` is not the NVIDIA driver: it has no `{function}`"))
        .help("`pipe doctor` shows where it lies")
}

/// Loads what was found.
fn load(survey: &Survey) -> Result<Vec<libloading::Library>> {
    let mut loaded = Vec::new();
    let mut pending: Vec<(&Library, &PathBuf, String)> =
        survey.iter().filter_map(|(library, path)| Some((*library, path.as_ref()?, String::new()))).collect();
    // The table has those first on which others stand; a library that asks for a later one is tried again, since what asks for what
    // differs between versions.
    loop {
        let before = loaded.len();
        pending.retain_mut(|(_, path, reason)| match open(path) {
            Ok(library) => {
                loaded.push(library);
                false
            }
            Err(error) => {
                *reason = error;
                true
            }
        });
        if loaded.len() == before {
            break;
        }
    }
    let missing: Vec<Missing> = missing(survey).into_iter().filter(|missing| missing.needed.required()).collect();
    pending.retain(|(library, ..)| library.needed.required());
    if missing.is_empty() && pending.is_empty() { Ok(loaded) } else { Err(incomplete(&missing, &pending)) }
}

fn incomplete(missing: &[Missing], failed: &[(&Library, &PathBuf, String)]) -> Diagnostic {
    let message = if missing.is_empty() {
        "libraries that training on a GPU needs cannot be loaded"
    } else {
        "libraries that training on a GPU needs are missing"
    };
    let mut packages: Vec<&str> = missing.iter().map(|missing| missing.package).collect();
    for (library, ..) in failed {
        if !packages.contains(&library.package) {
            packages.push(library.package);
        }
    }
    let notes = missing.iter().map(ToString::to_string);
    // The loader begins with the path in most cases, not in all.
    let reasons = failed.iter().map(|(_, path, reason)| {
        let path = path.display().to_string();
        if reason.starts_with(&path) { reason.clone() } else { format!("{path}: {reason}") }
    });
    notes.chain(reasons).fold(Diagnostic::error(Code::CudaMissing, message), Diagnostic::note).help(format!(
        "run `pip install {}` in the Python environment that is active when pipe runs, or install CUDA 13 and cuDNN 9 in the system; \
         `pipe doctor --all` lists every library",
        packages.join(" ")
    ))
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::super::libraries::Needed;
    use super::*;
    use crate::native::disk::{Disk, ELF};
    use crate::world::process;

    /// Compiles a library of that name, which asks for others by name. Names are made up, so that no real library takes them for its own.
    fn compile(disk: &Disk, name: &str, code: &str, asks_for: &[&str]) -> PathBuf {
        let source = disk.put(&format!("{name}.c"), code.as_bytes());
        let (target, soname) = (disk.at(name).display().to_string(), format!("-Wl,-soname,{name}"));
        let mut arguments = vec!["-shared", "-fPIC", "-Wl,--no-as-needed", &soname, "-o", &target];
        let source = source.display().to_string();
        arguments.push(&source);
        let others: Vec<String> = asks_for.iter().map(|other| disk.at(other).display().to_string()).collect();
        arguments.extend(others.iter().map(String::as_str));
        let finished = process::run("cc", &arguments).unwrap().unwrap();
        assert!(finished.success, "{}", finished.stderr);
        disk.at(name)
    }

    #[test]
    fn a_library_finds_the_one_that_was_loaded_before_it() {
        static TABLE: [Library; 3] = [
            Library { name: "libpipefakeupper.so.7", package: "upper~=7.0", needed: Needed::Convolutions },
            Library { name: "libpipefakelower.so.7", package: "lower~=7.0", needed: Needed::Load },
            Library { name: "libpipefakefft.so.7", package: "fft~=7.0", needed: Needed::Fft },
        ];
        let disk = Disk::new();
        let lower = compile(&disk, "libpipefakelower.so.7", "int pipe_fake_lower(void) { return 7; }", &[]);
        let code = "int pipe_fake_lower(void); int pipe_fake_upper(void) { return pipe_fake_lower() + 1; }";
        let upper = compile(&disk, "libpipefakeupper.so.7", code, &["libpipefakelower.so.7"]);
        let mut survey: Survey = vec![(&TABLE[0], Some(upper.clone())), (&TABLE[1], None), (&TABLE[2], None)];

        let error = load(&survey).unwrap_err();
        assert_eq!(error.code(), Code::CudaMissing);
        assert_eq!(error.notes()[0], "`libpipefakelower.so.7`: `pip install lower~=7.0`");
        assert!(error.notes()[1].contains(&upper.display().to_string()), "{error:?}");
        assert!(error.notes()[1].contains("libpipefakelower.so.7: cannot open"), "{error:?}");
        assert_eq!(error.notes().len(), 2, "the library that no training needs is not asked for");
        assert!(error.help_text().unwrap().contains("`pip install lower~=7.0 upper~=7.0`"), "{error:?}");

        survey[1].1 = Some(lower);
        let loaded = load(&survey).unwrap();
        assert_eq!(loaded.len(), 2);
        #[expect(unsafe_code, reason = "a function of a loaded library")]
        // SAFETY: the function was compiled above with this type.
        let eight = unsafe {
            let loaded = loaded.last().unwrap();
            loaded.get::<unsafe extern "C" fn() -> c_int>("pipe_fake_upper").map(|function| function()).unwrap()
        };
        assert_eq!(eight, 8);
    }

    #[test]
    fn a_broken_library_is_named_with_the_reason() {
        static TABLE: [Library; 2] = [
            Library { name: "libpipefakebroken.so.7", package: "broken~=7.0", needed: Needed::Load },
            Library { name: "libpipefakeneedless.so.7", package: "needless~=7.0", needed: Needed::Fft },
        ];
        let disk = Disk::new();
        let broken = disk.put("libpipefakebroken.so.7", ELF);
        let survey: Survey = vec![(&TABLE[0], Some(broken.clone())), (&TABLE[1], Some(broken))];
        let error = load(&survey).unwrap_err();
        assert_eq!(error.message(), "libraries that training on a GPU needs cannot be loaded");
        assert_eq!(error.notes().len(), 1, "{error:?}");
        assert!(error.notes()[0].contains("libpipefakebroken.so.7: "), "{error:?}");
        assert!(load(&survey[1..].to_vec()).unwrap().is_empty(), "without Fourier transforms training works");
    }

    #[test]
    fn a_machine_without_a_driver_is_told_so() {
        let error = load_driver(&Driver::default()).unwrap_err();
        assert_eq!((error.code(), error.notes().len()), (Code::NoGpu, 0));
        assert!(error.message().contains("libcuda.so.1") && error.help_text().unwrap().contains("580"), "{error:?}");
        let container = Driver { library: None, version: Some("580.65.06".to_owned()) };
        let error = load_driver(&container).unwrap_err();
        assert!(error.notes()[0].contains("580.65.06") && error.help_text().unwrap().contains("--gpus"), "{error:?}");
        let disk = Disk::new();
        let broken = Driver { library: Some(disk.put("libcuda.so.1", ELF)), version: None };
        let error = load_driver(&broken).unwrap_err();
        assert!(error.code() == Code::NoGpu && error.message().contains("cannot be loaded"), "{error:?}");
    }

    /// What is said of a driver that gives these answers. Its names stay its own: a real driver may be in the process.
    fn told(disk: &Disk, name: &str, version: c_int, init: c_int, devices: c_int) -> Result<()> {
        let code = format!(
            "int cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}\n\
             int cuInit(unsigned flags) {{ return flags ? 1 : {init}; }}\n\
             int cuDeviceGetCount(int *n) {{ *n = {devices}; return 0; }}\n"
        );
        let path = compile(disk, name, &code, &[]);
        #[expect(unsafe_code, reason = "loading a library")]
        // SAFETY: the library was compiled above and has no initialisers.
        let driver = unsafe { libloading::Library::new(path) }.unwrap();
        usable(&driver)
    }

    #[test]
    fn the_driver_is_asked_for_its_version_and_for_devices() {
        let disk = Disk::new();
        assert_eq!(told(&disk, "libpipefakegood.so", 13_000, 0, 1).map_err(|e| e.message().to_owned()), Ok(()));
        for (name, version, init, devices, expected) in [
            ("libpipefakeold.so", 12_040, 0, 1, "it runs CUDA 12.4"),
            ("libpipefakehidden.so", 13_010, NO_DEVICE, 0, "no NVIDIA GPU"),
            ("libpipefakeempty.so", 13_010, 0, 0, "no NVIDIA GPU"),
            ("libpipefakemixed.so", 13_010, 803, 0, "error 803"),
        ] {
            let error = told(&disk, name, version, init, devices).unwrap_err();
            assert_eq!(error.code(), Code::NoGpu);
            assert!(error.message().contains(expected) && error.help_text().is_some(), "{error:?}");
        }
        let path = compile(&disk, "libpipefakeother.so", "int other(void) { return 0; }", &[]);
        let error = usable(&open(&path).unwrap()).unwrap_err();
        assert!(error.message().contains("cuDriverGetVersion"), "{error:?}");
    }
}

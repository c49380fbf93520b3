//! Which libraries of NVIDIA training on a GPU stands on, and where they lie on this machine.
//!
//! ONNX Runtime's provider for CUDA does not hold them, and the system's loader does not find those of Python packages. Places in order:
//! `LD_LIBRARY_PATH`, the Python environments at hand (`nvidia/*/lib` of their packages, `lib` as conda has it), the folders of CUDA 13, those
//! of the system and of its loader. The libraries of one package come from one folder, since they check each other's version. Nothing is
//! loaded here; [`preload`] does that.

use crate::native::places::{self, file_name};
use crate::world;
use std::fmt;
use std::path::{Path, PathBuf};

pub use super::load::preload;

/// The oldest driver that runs CUDA 13, by the first part of its version.
pub const OLDEST_DRIVER: u32 = 580;

/// File name of the driver's library.
pub const DRIVER: &str = "libcuda.so.1";

/// What a library is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// The provider cannot be loaded without it.
    Load,
    /// Kernels that are compiled when a run starts.
    Kernels,
    /// Convolutions and normalisations.
    Convolutions,
    /// Fourier transforms, which no model needs that can be trained.
    Fft,
}

impl Needed {
    /// Whether training on a GPU is refused without it.
    pub fn required(self) -> bool {
        self != Self::Fft
    }
}

/// A library of NVIDIA.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// The name by which it is loaded (its soname). One that has more numbers behind it counts too.
    pub name: &'static str,
    /// The package at PyPI that brings it, with its version, as `pip install` takes it.
    pub package: &'static str,
    /// What for.
    pub needed: Needed,
}

const RUNTIME: &str = "nvidia-cuda-runtime~=13.0";
const CUBLAS: &str = "nvidia-cublas~=13.0";
const CURAND: &str = "nvidia-curand~=10.0";
const NVRTC: &str = "nvidia-cuda-nvrtc~=13.0";
const CUDNN: &str = "nvidia-cudnn-cu13~=9.0";
const CUFFT: &str = "nvidia-cufft~=12.0";

const fn library(name: &'static str, package: &'static str, needed: Needed) -> Library {
    Library { name, package, needed }
}

/// All of them but the driver, those first on which others stand.
pub static LIBRARIES: [Library; 15] = [
    library("libcudart.so.13", RUNTIME, Needed::Load),
    library("libcublasLt.so.13", CUBLAS, Needed::Load),
    library("libcublas.so.13", CUBLAS, Needed::Load),
    library("libcurand.so.10", CURAND, Needed::Load),
    library("libnvrtc-builtins.so.13", NVRTC, Needed::Kernels),
    library("libnvrtc.so.13", NVRTC, Needed::Kernels),
    library("libcudnn_graph.so.9", CUDNN, Needed::Convolutions),
    library("libcudnn_ops.so.9", CUDNN, Needed::Convolutions),
    library("libcudnn_engines_runtime_compiled.so.9", CUDNN, Needed::Convolutions),
    library("libcudnn_engines_precompiled.so.9", CUDNN, Needed::Convolutions),
    library("libcudnn_heuristic.so.9", CUDNN, Needed::Convolutions),
    library("libcudnn_cnn.so.9", CUDNN, Needed::Convolutions),
    library("libcudnn_adv.so.9", CUDNN, Needed::Convolutions),
    library("libcudnn.so.9", CUDNN, Needed::Convolutions),
    library("libcufft.so.12", CUFFT, Needed::Fft),
];

/// Every library with the file that would be loaded.
pub type Survey = Vec<(&'static Library, Option<PathBuf>)>;

/// The driver of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// Its library.
    pub library: Option<PathBuf>,
    /// Version of its part in the kernel, where the kernel says so.
    pub version: Option<String>,
}

impl Driver {
    /// Whether the kernel's part is older than [`OLDEST_DRIVER`]. A newer library may have been put on top of it, so this is a hint.
    pub fn is_old(&self) -> bool {
        let major = self.version.as_deref().and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        major.is_some_and(|major| major < OLDEST_DRIVER)
    }
}

/// Libraries of one package that were not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What `pip install` takes.
    pub package: &'static str,
    /// Their names.
    pub libraries: Vec<&'static str>,
    /// What for.
    pub needed: Needed,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, rest) = self.libraries.split_first().unwrap_or((&"", &[]));
        write!(f, "`{first}`")?;
        match rest {
            [] => {}
            [other] => write!(f, " and `{other}`")?,
            others => write!(f, " and {} more", others.len())?,
        }
        write!(f, ": `pip install {}`", self.package)?;
        if self.needed.required() { Ok(()) } else { f.write_str(" (only for Fourier transforms)") }
    }
}

/// The places to search; tests build their own.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    pub(super) libraries: Vec<PathBuf>,
    pub(super) driver: Vec<PathBuf>,
    /// The file in which the kernel tells the version of the driver.
    pub(super) version: PathBuf,
}

impl Places {
    pub(super) fn of_this_machine() -> Self {
        let mut shared = places::system();
        shared.extend(loader_folders(Path::new("/etc")));
        let mut libraries = places::library_path();
        let mut driver = libraries.clone();
        libraries.extend(places::pythons().iter().flat_map(|prefix| python_folders(prefix)));
        libraries.extend(toolkit_folders(Path::new("/usr/local")));
        libraries.extend(shared.clone());
        driver.extend(shared);
        driver.extend(["/usr/local/nvidia/lib64", "/usr/lib/wsl/lib", "/run/opengl-driver/lib"].map(PathBuf::from));
        Self {
            libraries: places::without_repeats(libraries),
            driver: places::without_repeats(driver),
            version: PathBuf::from("/proc/driver/nvidia/version"),
        }
    }

    pub(super) fn survey(&self, table: &'static [Library]) -> Survey {
        let listed: Vec<Vec<PathBuf>> =
            self.libraries.iter().map(|folder| world::list_dir(folder).unwrap_or_default()).collect();
        let of_package = |package: &str| -> Vec<&'static Library> {
            table.iter().filter(|library| library.package == package).collect()
        };
        let found_in = |package: &str, files: &[PathBuf]| {
            of_package(package).into_iter().filter(|library| file_of(library, files).is_some()).count()
        };
        // The first folder with all libraries of the package, else the first with any.
        let folder_of = |package: &str| {
            let all = of_package(package).len();
            let whole = listed.iter().find(|files| found_in(package, files) == all);
            whole.or_else(|| listed.iter().find(|files| found_in(package, files) > 0))
        };
        table.iter().map(|library| (library, folder_of(library.package).and_then(|f| file_of(library, f)))).collect()
    }

    pub(super) fn driver(&self) -> Driver {
        let library = self.driver.iter().map(|folder| folder.join(DRIVER)).find(|path| world::is_file(path));
        let head = world::read_head(&self.version, 4096).unwrap_or_default();
        Driver { library, version: driver_version(&String::from_utf8_lossy(&head)) }
    }
}

/// Looks for every library.
pub fn survey() -> Survey {
    Places::of_this_machine().survey(&LIBRARIES)
}

/// Looks for the driver.
pub fn driver() -> Driver {
    Places::of_this_machine().driver()
}

/// What was not found, by package.
pub fn missing(survey: &[(&'static Library, Option<PathBuf>)]) -> Vec<Missing> {
    let mut missing: Vec<Missing> = Vec::new();
    for (library, _) in survey.iter().filter(|(_, path)| path.is_none()) {
        match missing.iter_mut().find(|missing| missing.package == library.package) {
            Some(missing) => missing.libraries.push(library.name),
            None => missing.push(Missing {
                package: library.package,
                libraries: vec![library.name],
                needed: library.needed,
            }),
        }
    }
    missing
}

/// The file of a library among those of a folder: that of its name, else the last with more numbers behind it.
fn file_of(library: &Library, files: &[PathBuf]) -> Option<PathBuf> {
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let fits = |path: &&PathBuf| {
        let rest = file_name(path).strip_prefix(library.name).map(str::to_owned);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && digits(&rest)) && world::is_file(path)
    };
    let exact = files.iter().filter(|path| file_name(path) == library.name).find(|path| fits(path));
    exact.or_else(|| files.iter().rev().find(fits)).cloned()
}

/// The folders of a Python prefix that may hold libraries of NVIDIA: those of its packages, and its own `lib`, where conda puts them.
fn python_folders(prefix: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for packages in places::site_packages(prefix) {
        let installed = |name: &str| {
            let all = world::list_dir(&packages).unwrap_or_default();
            all.iter().any(|path| file_name(path).starts_with(name))
        };
        // cuDNN 9 for CUDA 12 has the same file names in the same folder.
        let other_cudnn = installed("nvidia_cudnn_cu12-") && !installed("nvidia_cudnn_cu13-");
        let brought = world::list_dir(&packages.join("nvidia")).unwrap_or_default();
        let brought = brought.into_iter().filter(|folder| !(other_cudnn && file_name(folder) == "cudnn"));
        folders.extend(brought.map(|folder| folder.join("lib")).filter(|lib| world::is_folder(lib)));
    }
    folders.push(prefix.join("lib"));
    folders
}

/// The library folders of CUDA 13 below a folder, the one that the system has chosen first, then the newest.
fn toolkit_folders(local: &Path) -> Vec<PathBuf> {
    let mut versions = world::list_dir(local).unwrap_or_default();
    versions.retain(|path| file_name(path) == "cuda-13" || file_name(path).starts_with("cuda-13."));
    versions.reverse();
    let chosen = local.join("cuda");
    [chosen].into_iter().chain(versions).map(|toolkit| toolkit.join("lib64")).collect()
}

/// The folders that the system's loader was told of, in `ld.so.conf` and `ld.so.conf.d` below a folder.
fn loader_folders(etc: &Path) -> Vec<PathBuf> {
    let mut files = vec![etc.join("ld.so.conf")];
    files.extend(world::list_dir(&etc.join("ld.so.conf.d")).unwrap_or_default());
    let text =
        |path: &PathBuf| String::from_utf8_lossy(&world::read_head(path, 1 << 16).unwrap_or_default()).into_owned();
    let text: String = files.iter().filter(|path| path.extension().is_some_and(|e| e == "conf")).map(text).collect();
    text.lines().map(str::trim).filter(|line| line.starts_with('/')).map(PathBuf::from).collect()
}

/// The version in what the kernel says, such as `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 …`.
fn driver_version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let numbers = |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    line.split_whitespace().find(numbers).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::disk::{Disk, ELF};

    fn found(survey: &Survey, name: &str) -> Option<PathBuf> {
        survey.iter().find(|(library, _)| library.name == name).unwrap().1.clone()
    }

    fn put_all(disk: &Disk, folder: &str, package: &str) {
        for library in LIBRARIES.iter().filter(|library| library.package == package) {
            disk.put(&format!("{folder}/{}", library.name), ELF);
        }
    }

    #[test]
    fn libraries_of_a_python_environment_are_found() {
        let disk = Disk::new();
        let nvidia = "venv/lib/python3.12/site-packages/nvidia";
        for package in [RUNTIME, CUBLAS, CURAND, NVRTC, CUFFT] {
            put_all(&disk, &format!("{nvidia}/cu13/lib"), package);
        }
        put_all(&disk, &format!("{nvidia}/cudnn/lib"), CUDNN);
        let places = Places { libraries: python_folders(&disk.at("venv")), ..Places::default() };
        let survey = places.survey(&LIBRARIES);
        assert_eq!(found(&survey, "libcudnn.so.9"), Some(disk.at(&format!("{nvidia}/cudnn/lib/libcudnn.so.9"))));
        assert_eq!(missing(&survey), []);
        assert_eq!(survey.len(), LIBRARIES.len());

        let packages = "venv/lib/python3.12/site-packages";
        let without_cudnn = || {
            let survey = Places { libraries: python_folders(&disk.at("venv")), ..Places::default() }.survey(&LIBRARIES);
            missing(&survey).iter().any(|missing| missing.package == CUDNN)
        };
        disk.put(&format!("{packages}/nvidia_cudnn_cu12-9.10.2.21.dist-info/METADATA"), b"");
        assert!(without_cudnn(), "cuDNN for CUDA 12 is none");
        disk.put(&format!("{packages}/nvidia_cudnn_cu13-9.13.0.50.dist-info/METADATA"), b"");
        assert!(!without_cudnn());
    }

    #[test]
    fn libraries_of_the_system_are_found() {
        let disk = Disk::new();
        disk.put("usr/cuda/lib64/libcublas.so.12", ELF);
        put_all(&disk, "usr/cuda-13.0/lib64", CUBLAS);
        put_all(&disk, "usr/cuda-13.1/lib64", CUBLAS);
        disk.put("usr/cuda-13.1/lib64/libnvrtc-builtins.so.13.1", ELF);
        disk.put("usr/cuda-13.1/lib64/libnvrtc.so.13.1.80", ELF);
        disk.put("usr/cuda-13.1/lib64/libcudart.so.13.old", ELF);
        disk.put("etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n");
        let opt = disk.at("opt/curand");
        disk.put("etc/ld.so.conf.d/curand.conf", format!("# CUDA\n{}\n", opt.display()).as_bytes());
        disk.put("etc/ld.so.conf.d/README", b"/no/conf");
        put_all(&disk, "opt/curand", CURAND);
        let mut libraries = toolkit_folders(&disk.at("usr"));
        libraries.extend(loader_folders(&disk.at("etc")));
        assert_eq!(libraries.last(), Some(&opt));
        let survey = Places { libraries, ..Places::default() }.survey(&LIBRARIES);
        assert_eq!(found(&survey, "libcublas.so.13"), Some(disk.at("usr/cuda-13.1/lib64/libcublas.so.13")));
        let builtins = disk.at("usr/cuda-13.1/lib64/libnvrtc-builtins.so.13.1");
        assert_eq!(found(&survey, "libnvrtc-builtins.so.13"), Some(builtins));
        assert_eq!(found(&survey, "libnvrtc.so.13"), Some(disk.at("usr/cuda-13.1/lib64/libnvrtc.so.13.1.80")));
        assert_eq!(found(&survey, "libcurand.so.10"), Some(opt.join("libcurand.so.10")));
        assert_eq!(found(&survey, "libcudart.so.13"), None, "a file with another ending is no library");
    }

    #[test]
    fn one_package_comes_from_one_folder() {
        let disk = Disk::new();
        disk.put("first/libcublas.so.13", ELF);
        let places = Places { libraries: vec![disk.at("first"), disk.at("second")], ..Places::default() };
        let survey = places.survey(&LIBRARIES);
        assert_eq!(found(&survey, "libcublas.so.13"), Some(disk.at("first/libcublas.so.13")));
        assert_eq!(found(&survey, "libcublasLt.so.13"), None);
        put_all(&disk, "second", CUBLAS);
        let survey = places.survey(&LIBRARIES);
        for name in ["libcublas.so.13", "libcublasLt.so.13"] {
            assert_eq!(found(&survey, name), Some(disk.at("second").join(name)), "the folder that has them all");
        }
    }

    #[test]
    fn what_is_missing_is_told_by_package() {
        let missing = missing(&Places::default().survey(&LIBRARIES));
        let packages: Vec<&str> = missing.iter().map(|missing| missing.package).collect();
        assert_eq!(packages, [RUNTIME, CUBLAS, CURAND, NVRTC, CUDNN, CUFFT]);
        let said: Vec<String> = missing.iter().map(ToString::to_string).collect();
        assert_eq!(said[0], "`libcudart.so.13`: `pip install nvidia-cuda-runtime~=13.0`");
        assert_eq!(said[1], "`libcublasLt.so.13` and `libcublas.so.13`: `pip install nvidia-cublas~=13.0`");
        assert_eq!(said[4], "`libcudnn_graph.so.9` and 7 more: `pip install nvidia-cudnn-cu13~=9.0`");
        assert_eq!(said[5], "`libcufft.so.12`: `pip install nvidia-cufft~=12.0` (only for Fourier transforms)");
    }

    #[test]
    fn the_driver_is_found_and_its_version_read() {
        let disk = Disk::new();
        let version = disk.at("proc/version");
        let places = Places { driver: vec![disk.at("none"), disk.at("lib")], version, ..Places::default() };
        assert_eq!(places.driver(), Driver::default());
        let library = disk.put("lib/libcuda.so.1", ELF);
        for (text, expected, old) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n",
                "535.104.05",
                true,
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (root@x)  Sun Jul 27\n\
                 GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
                "580.65.06",
                false,
            ),
        ] {
            disk.put("proc/version", text.as_bytes());
            let driver = places.driver();
            assert_eq!(driver, Driver { library: Some(library.clone()), version: Some(expected.to_owned()) });
            assert_eq!(driver.is_old(), old);
        }
        assert_eq!(driver_version("NVRM version: unknown\nGCC version: 12.2.0\n"), None);
    }
}

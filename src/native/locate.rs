//! Where the ONNX Runtime library lies on this machine.
//!
//! Places in order: the variables `PIPE_ORT` and `ORT_DYLIB_PATH`, the folder of the executable, the user's data folder
//! (what `pipe setup` installs), the active Python environments, the library folders of the system. A variable that is
//! set is binding: if it does not lead to a library, that is an error and nothing else is tried. Nothing is loaded here;
//! what a file says about itself is its name and its first bytes.

use super::places::{self, file_name};
use super::provision::{self, Build};
use crate::diag::{Code, Diagnostic, Result};
use crate::world::{self, env};
use std::fmt;
use std::path::{Path, PathBuf};

/// The oldest ONNX Runtime that can be used, as (major, minor).
pub const OLDEST: (u32, u32) = (1, 31);

/// File of the provider for CUDA, which ONNX Runtime looks for beside its own library.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";

/// Variables that name the library, the stronger one first.
pub const VARIABLES: [&env::Variable; 2] = [&env::PIPE_ORT, &env::ORT_DYLIB_PATH];

/// The library that will be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Path of the library file.
    pub path: PathBuf,
    /// Which kind of place it was found in.
    pub origin: Origin,
}

/// A kind of place, in the order of search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Named by this environment variable.
    Variable(&'static str),
    /// Beside the executable or in the `lib` folder next to it.
    Executable,
    /// Installed by `pipe setup`.
    Data,
    /// The `onnxruntime` package of a Python environment.
    Python,
    /// A library folder of the system.
    System,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "`{name}`"),
            Self::Executable => f.write_str("beside pipe"),
            Self::Data => f.write_str("pipe setup"),
            Self::Python => f.write_str("Python package"),
            Self::System => f.write_str("system"),
        }
    }
}

/// What lies at a candidate path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing.
    Absent,
    /// A file that is not a shared library of this system.
    NotALibrary,
    /// A library whose file name gives a version below [`OLDEST`].
    TooOld(u32, u32),
    /// A library without the provider for CUDA beside it, where one is wanted.
    WithoutCuda,
    /// A library that may be loaded; its version if the file name gives one.
    Usable(Option<(u32, u32)>),
}

/// A path that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The file, or the folder in which no library lies.
    pub path: PathBuf,
    /// Which kind of place it is.
    pub origin: Origin,
    /// What lies there.
    pub status: Status,
}

/// The places to search; tests build their own.
#[derive(Debug, Clone, Default)]
struct Places {
    variables: Vec<(&'static str, PathBuf)>,
    executable: Option<PathBuf>,
    data: Vec<PathBuf>,
    /// Prefixes of Python environments, such as a virtual environment's folder.
    pythons: Vec<PathBuf>,
    system: Vec<PathBuf>,
}

/// Finds the library.
///
/// # Errors
/// `P0003` when there is none, `P0004` when only unusable ones were found or a variable names an unusable one.
pub fn locate() -> Result<Found> {
    choose(&look(&Places::of_this_machine(Build::Cpu)), Build::Cpu)
}

/// Finds a build with the provider for CUDA, in the same places. What the provider itself needs is in [`super::cuda::libraries`].
///
/// # Errors
/// `P0010` when there is none or a variable names a library without it, `P0003` or `P0004` when a variable names something else.
pub fn locate_cuda() -> Result<Found> {
    choose(&with_provider(look(&Places::of_this_machine(Build::Cuda))), Build::Cuda)
}

/// Every place with what lies there, in the order of search, for `pipe doctor`.
pub fn candidates() -> Vec<Candidate> {
    look(&Places::of_this_machine(Build::Cpu))
}

impl Places {
    /// `build` is what is wanted; for the processor the one with CUDA will do.
    fn of_this_machine(build: Build) -> Self {
        let builds = if build == Build::Cuda { &[Build::Cuda][..] } else { &[Build::Cpu, Build::Cuda] };
        let named = |variable: &&env::Variable| Some((variable.name(), PathBuf::from(env::variable(variable)?)));
        let variables = VARIABLES.iter().filter_map(named).collect();
        let mut system = places::library_path();
        system.extend(
            ["/usr/local/lib", "/usr/local/lib64", "/opt/onnxruntime/lib", "/opt/homebrew/lib"].map(PathBuf::from),
        );
        system.extend(places::system());
        Self {
            variables,
            executable: env::executable_folder(),
            data: builds.iter().filter_map(|build| provision::folder(*build)).collect(),
            pythons: places::pythons(),
            system: places::without_repeats(system),
        }
    }
}

fn look(places: &Places) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (name, path) in &places.variables {
        let origin = Origin::Variable(name);
        // A folder stands for the library in it.
        match if world::is_file(path) { Vec::new() } else { libraries_in(path) } {
            inside if inside.is_empty() => found.push(judge(path.clone(), origin)),
            inside => found.extend(inside.into_iter().map(|path| judge(path, origin))),
        }
    }
    let mut search = |folder: &Path, origin: Origin| {
        let libraries = libraries_in(folder);
        if libraries.is_empty() {
            found.push(Candidate { path: folder.to_owned(), origin, status: Status::Absent });
        }
        found.extend(libraries.into_iter().map(|path| judge(path, origin)));
    };
    if let Some(folder) = &places.executable {
        search(folder, Origin::Executable);
        if let Some(parent) = folder.parent() {
            search(&parent.join("lib"), Origin::Executable);
        }
    }
    for folder in &places.data {
        search(folder, Origin::Data);
    }
    for prefix in &places.pythons {
        for packages in places::site_packages(prefix) {
            search(&packages.join("onnxruntime/capi"), Origin::Python);
        }
    }
    for folder in &places.system {
        search(folder, Origin::System);
    }
    found
}

/// The ONNX Runtime libraries in a folder, the newest first, a file without a version in its name last.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let mut paths = world::list_dir(folder).unwrap_or_default();
    paths.retain(|path| is_library_name(&file_name(path)));
    paths.sort_by_key(|path| std::cmp::Reverse(version_in(&file_name(path))));
    // `libonnxruntime.so` and `libonnxruntime.so.1` are usually links to the versioned file beside them.
    places::without_links(paths)
}

/// `libonnxruntime.so`, `libonnxruntime.so.1.31.1`, `libonnxruntime.1.31.1.dylib`, `onnxruntime.dll`.
fn is_library_name(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libonnxruntime.") else { return name == "onnxruntime.dll" };
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    rest == "so"
        || rest == "dylib"
        || rest.strip_prefix("so.").is_some_and(digits)
        || rest.strip_suffix(".dylib").is_some_and(digits)
}

/// Major and minor version in a library's file name.
fn version_in(name: &str) -> Option<(u32, u32)> {
    let mut numbers = name.split('.').filter_map(|part| part.parse::<u32>().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn judge(path: PathBuf, origin: Origin) -> Candidate {
    let status = if !world::is_file(&path) {
        Status::Absent
    } else if !world::read_head(&path, 4).is_ok_and(|head| is_shared_library(&head)) {
        Status::NotALibrary
    } else {
        // A link such as `libonnxruntime.so` tells its version only through its target.
        let target = world::canonical(&path).map(|real| file_name(&real)).unwrap_or_default();
        match version_in(&file_name(&path)).or_else(|| version_in(&target)) {
            Some((major, minor)) if (major, minor) < OLDEST => Status::TooOld(major, minor),
            version => Status::Usable(version),
        }
    };
    Candidate { path, origin, status }
}

/// First bytes of an ELF, Mach-O (64 bit or universal) or PE file.
fn is_shared_library(head: &[u8]) -> bool {
    head == b"\x7fELF"
        || head == [0xcf, 0xfa, 0xed, 0xfe]
        || head == [0xca, 0xfe, 0xba, 0xbe]
        || head.starts_with(b"MZ")
}

/// Passes over the libraries that have no provider for CUDA.
fn with_provider(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    for candidate in &mut candidates {
        let usable = matches!(candidate.status, Status::Usable(_));
        if usable && !world::is_file(&candidate.path.with_file_name(PROVIDER)) {
            candidate.status = Status::WithoutCuda;
        }
    }
    candidates
}

fn choose(candidates: &[Candidate], build: Build) -> Result<Found> {
    let binding = candidates.iter().find(|candidate| matches!(candidate.origin, Origin::Variable(_)));
    if let Some(Candidate { origin, .. }) = binding {
        let named: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.origin == *origin).collect();
        return first_usable(&named).ok_or_else(|| variable_is_wrong(*origin, named[0], build));
    }
    let all: Vec<&Candidate> = candidates.iter().collect();
    first_usable(&all).ok_or_else(|| nothing_usable(candidates, build))
}

fn first_usable(candidates: &[&Candidate]) -> Option<Found> {
    let usable = candidates.iter().find(|candidate| matches!(candidate.status, Status::Usable(_)))?;
    Some(Found { path: usable.path.clone(), origin: usable.origin })
}

fn variable_is_wrong(origin: Origin, candidate: &Candidate, build: Build) -> Diagnostic {
    let path = candidate.path.display();
    let (code, what) = match candidate.status {
        Status::Absent => {
            (Code::RuntimeMissing, format!("{origin} names `{path}`, where no ONNX Runtime library lies"))
        }
        Status::NotALibrary => (Code::RuntimeWrong, format!("{origin} names `{path}`, which is not a shared library")),
        Status::TooOld(major, minor) => {
            (Code::RuntimeWrong, format!("{origin} names `{path}`, which is ONNX Runtime {major}.{minor}"))
        }
        Status::WithoutCuda => {
            (Code::CudaMissing, format!("{origin} names `{path}`, which has no `{PROVIDER}` beside it"))
        }
        Status::Usable(_) => (Code::Internal, format!("{origin} names `{path}`, which was taken for unusable")),
    };
    Diagnostic::error(code, what).help(format!(
        "unset {origin} to search the usual places, or let it name a library of ONNX Runtime {}.{} or newer{}",
        OLDEST.0,
        OLDEST.1,
        if build == Build::Cuda { " that was built with CUDA" } else { "" }
    ))
}

fn nothing_usable(candidates: &[Candidate], build: Build) -> Diagnostic {
    let rejected = candidates.iter().filter_map(|candidate| {
        let path = candidate.path.display();
        match candidate.status {
            Status::TooOld(major, minor) => Some(format!("`{path}` is version {major}.{minor}")),
            Status::NotALibrary => Some(format!("`{path}` is not a shared library")),
            Status::WithoutCuda => Some(format!("`{path}` has no `{PROVIDER}` beside it")),
            Status::Absent | Status::Usable(_) => None,
        }
    });
    let rejected: Vec<String> = rejected.collect();
    let (code, message, help) = match build {
        Build::Cuda => (
            Code::CudaMissing,
            "no build of ONNX Runtime with CUDA was found".to_owned(),
            "`pipe setup --cuda` installs it for this user",
        ),
        Build::Cpu => {
            let help = "`pipe setup` installs it for this user; `pipe doctor` lists where it was looked for";
            if rejected.is_empty() {
                (Code::RuntimeMissing, "ONNX Runtime was not found".to_owned(), help)
            } else {
                let message = format!("no ONNX Runtime {}.{} or newer was found", OLDEST.0, OLDEST.1);
                (Code::RuntimeWrong, message, help)
            }
        }
    };
    rejected.into_iter().fold(Diagnostic::error(code, message), Diagnostic::note).help(help)
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Disk, ELF};
    use super::*;

    fn found(places: &Places) -> Result<Found> {
        choose(&look(places), Build::Cpu)
    }

    fn found_cuda(places: &Places) -> Result<Found> {
        choose(&with_provider(look(places)), Build::Cuda)
    }

    #[test]
    fn nothing_anywhere_asks_for_setup() {
        let disk = Disk::new();
        let places = Places { data: vec![disk.at("data")], system: vec![disk.at("lib")], ..Places::default() };
        let error = found(&places).unwrap_err();
        assert_eq!(error.code(), Code::RuntimeMissing);
        assert!(error.help_text().unwrap().contains("pipe setup"), "{error:?}");
        assert!(look(&places).iter().all(|candidate| candidate.status == Status::Absent));
    }

    #[test]
    fn the_order_of_places_is_kept() {
        let disk = Disk::new();
        let system = disk.put("usr/lib/libonnxruntime.so.1.31.1", ELF);
        let mut places = Places {
            executable: Some(disk.at("app/bin")),
            data: vec![disk.at("data")],
            pythons: vec![disk.at("venv")],
            system: vec![disk.at("usr/lib")],
            ..Places::default()
        };
        assert_eq!(found(&places).unwrap(), Found { path: system, origin: Origin::System });
        let python = disk.put("venv/lib/python3.12/site-packages/onnxruntime/capi/libonnxruntime.so.1.31.1", ELF);
        assert_eq!(found(&places).unwrap(), Found { path: python, origin: Origin::Python });
        let data = disk.put("data/libonnxruntime.so.1.31.1", ELF);
        assert_eq!(found(&places).unwrap(), Found { path: data, origin: Origin::Data });
        let lib = disk.put("app/lib/libonnxruntime.so", ELF);
        assert_eq!(found(&places).unwrap(), Found { path: lib, origin: Origin::Executable });
        let beside = disk.put("app/bin/libonnxruntime.so", ELF);
        assert_eq!(found(&places).unwrap(), Found { path: beside, origin: Origin::Executable });
        let named = disk.put("own/ort.so", ELF);
        places.variables = vec![("ORT_DYLIB_PATH", named.clone())];
        assert_eq!(found(&places).unwrap(), Found { path: named, origin: Origin::Variable("ORT_DYLIB_PATH") });
    }

    #[test]
    fn a_variable_is_binding() {
        let disk = Disk::new();
        disk.put("lib/libonnxruntime.so.1.31.1", ELF);
        let mut places = Places { system: vec![disk.at("lib")], ..Places::default() };
        let mut with = |path: PathBuf| {
            places.variables = vec![("PIPE_ORT", path)];
            found(&places)
        };
        assert_eq!(with(disk.at("gone.so")).unwrap_err().code(), Code::RuntimeMissing);
        assert_eq!(with(disk.put("notes.txt", b"not a library")).unwrap_err().code(), Code::RuntimeWrong);
        assert_eq!(with(disk.put("empty.so", b"")).unwrap_err().code(), Code::RuntimeWrong);
        let old = with(disk.put("old/libonnxruntime.so.1.19.2", ELF)).unwrap_err();
        assert_eq!(old.code(), Code::RuntimeWrong);
        assert!(old.message().contains("1.19"), "{old:?}");
        assert_eq!(with(disk.at("lib")).unwrap().path, disk.at("lib/libonnxruntime.so.1.31.1"), "a folder is searched");
    }

    #[test]
    fn the_stronger_variable_wins() {
        let disk = Disk::new();
        let (a, b) = (disk.put("a.so", ELF), disk.put("b.so", ELF));
        let places = Places { variables: vec![("PIPE_ORT", a.clone()), ("ORT_DYLIB_PATH", b)], ..Places::default() };
        assert_eq!(found(&places).unwrap().path, a);
    }

    #[test]
    fn old_and_broken_libraries_are_passed_over_and_named() {
        let disk = Disk::new();
        disk.put("one/libonnxruntime.so.1.20.0", ELF);
        disk.put("two/libonnxruntime.so", b"version https://git-lfs");
        let mut places = Places { system: vec![disk.at("one"), disk.at("two")], ..Places::default() };
        let error = found(&places).unwrap_err();
        assert_eq!(error.code(), Code::RuntimeWrong);
        assert_eq!(error.notes().len(), 2, "{error:?}");
        let good = disk.put("three/libonnxruntime.so.1.40.0", ELF);
        places.system.push(disk.at("three"));
        assert_eq!(found(&places).unwrap().path, good);
    }

    #[test]
    fn a_build_with_cuda_has_its_provider_beside_it() {
        let disk = Disk::new();
        let processor = disk.put("data/libonnxruntime.so.1.31.1", ELF);
        disk.put("lib/libonnxruntime.so.1.20.0", ELF);
        disk.put(&format!("lib/{PROVIDER}"), ELF);
        let mut places = Places {
            data: vec![disk.at("data")],
            pythons: vec![disk.at("venv")],
            system: vec![disk.at("lib")],
            ..Places::default()
        };
        let error = found_cuda(&places).unwrap_err();
        assert_eq!(error.code(), Code::CudaMissing);
        assert!(error.help_text().unwrap().contains("pipe setup --cuda"), "{error:?}");
        let passed_over = [("data/", "has no `libonnxruntime_providers_cuda.so`"), ("lib/", "is version 1.20")];
        for (note, (place, reason)) in error.notes().iter().zip(passed_over) {
            assert!(note.contains(place) && note.contains(reason), "{note}");
        }
        assert_eq!(error.notes().len(), 2);
        assert_eq!(found(&places).unwrap().path, processor);

        let capi = "venv/lib/python3.12/site-packages/onnxruntime/capi";
        let python = disk.put(&format!("{capi}/libonnxruntime.so.1.31.1"), ELF);
        assert_eq!(found_cuda(&places).unwrap_err().code(), Code::CudaMissing, "a package without CUDA");
        disk.put(&format!("{capi}/{PROVIDER}"), ELF);
        assert_eq!(found_cuda(&places).unwrap(), Found { path: python, origin: Origin::Python });
        disk.put(&format!("data/{PROVIDER}"), ELF);
        assert_eq!(found_cuda(&places).unwrap(), Found { path: processor, origin: Origin::Data });

        let named = disk.put("own/libonnxruntime.so.1.31.1", ELF);
        places.variables = vec![("PIPE_ORT", named.clone())];
        let error = found_cuda(&places).unwrap_err();
        assert_eq!(error.code(), Code::CudaMissing, "a variable is binding");
        assert!(error.message().starts_with("`PIPE_ORT` names"), "{error:?}");
        assert!(error.help_text().unwrap().contains("built with CUDA"), "{error:?}");
        disk.put(&format!("own/{PROVIDER}"), ELF);
        assert_eq!(found_cuda(&places).unwrap().path, named);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_has_the_version_of_its_target() {
        let disk = Disk::new();
        let target = disk.put("lib/libonnxruntime.so.1.20.0", ELF);
        world::create_dir_all(&disk.at("links")).unwrap();
        std::os::unix::fs::symlink(target, disk.at("links/libonnxruntime.so")).unwrap();
        let places = Places { system: vec![disk.at("links")], ..Places::default() };
        let statuses: Vec<Status> = look(&places).iter().map(|candidate| candidate.status).collect();
        assert_eq!(statuses, [Status::TooOld(1, 20)]);
    }

    #[test]
    fn the_newest_of_a_folder_comes_first() {
        let disk = Disk::new();
        for version in ["1.9.0", "1.31.1", "1.32.0"] {
            disk.put(&format!("lib/libonnxruntime.so.{version}"), ELF);
        }
        let names: Vec<String> = libraries_in(&disk.at("lib")).iter().map(|path| file_name(path)).collect();
        assert_eq!(names, ["libonnxruntime.so.1.32.0", "libonnxruntime.so.1.31.1", "libonnxruntime.so.1.9.0"]);
    }

    #[test]
    fn names_of_libraries() {
        for name in ["libonnxruntime.so", "libonnxruntime.so.1", "libonnxruntime.1.31.1.dylib", "onnxruntime.dll"] {
            assert!(is_library_name(name), "{name}");
        }
        for name in
            ["libonnxruntime_providers_shared.so", "libonnxruntime.so.bak", "libonnxruntime.a", "onnxruntime.py"]
        {
            assert!(!is_library_name(name), "{name}");
        }
        assert_eq!(version_in("libonnxruntime.so.1.31.1"), Some((1, 31)));
        assert_eq!(version_in("libonnxruntime.1.31.1.dylib"), Some((1, 31)));
        assert_eq!(version_in("libonnxruntime.so"), None);
    }
}

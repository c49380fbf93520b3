//! File access with diagnostics instead of bare I/O errors.
#![expect(clippy::disallowed_methods, reason = "this file is the door to the file system")]

use super::lfs;
use crate::diag::{Code, Diagnostic, Result};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

pub(super) fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::Io, format!("cannot {verb} `{}`", path.display())).note(error.to_string());
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            diagnostic.help("check the path; relative paths start at the folder of the spec")
        }
        std::io::ErrorKind::PermissionDenied => diagnostic.help("check the permissions of the file and of its folder"),
        std::io::ErrorKind::StorageFull => {
            diagnostic.help("free some space, or point the run at another disk with `--out`")
        }
        _ => diagnostic,
    }
}

/// The whole file; the pointer of a file that git-lfs keeps is an error.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(|error| failed("read", path, &error))?;
    lfs::refuse(path, &bytes)?;
    Ok(bytes)
}

/// The whole file, refused when it is larger than `limit` bytes.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|error| failed("read", path, &error))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed("read", path, &error))?;
    if bytes.len() as u64 > limit {
        return Err(Diagnostic::error(Code::Io, format!("`{}` is larger than {limit} bytes", path.display())));
    }
    lfs::refuse(path, &bytes)?;
    Ok(bytes)
}

/// At most `count` bytes from the start of a file.
pub fn read_head(path: &Path, count: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(count).read_to_end(&mut bytes))
        .map_err(|error| failed("read", path, &error))?;
    Ok(bytes)
}

/// The bytes of a file from one place to another.
pub fn read_between(path: &Path, start: u64, end: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut read = || -> std::io::Result<usize> {
        let mut file = File::open(path)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start))?;
        file.take(end.saturating_sub(start)).read_to_end(&mut bytes)
    };
    read().map_err(|error| failed("read", path, &error))?;
    Ok(bytes)
}

/// The path without links and `..`, if it exists.
pub fn canonical(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// A new empty folder in the system's place for temporary files, deleted when the value is dropped.
pub fn scratch_folder() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("pipe-").tempdir().map_err(|error| {
        Diagnostic::error(Code::Io, "cannot create a temporary folder")
            .note(error.to_string())
            .help("set `TMPDIR` to a folder that can be written to")
    })
}

/// The whole file as UTF-8.
pub fn read_to_string(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|error| {
        Diagnostic::error(Code::Io, format!("`{}` is not UTF-8", path.display())).note(error.to_string())
    })
}

/// Creates a folder and its parents.
pub fn create_dir_all(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| failed("create", path, &error))
}

/// Creates a folder; `false` when something has its name already.
pub fn create_dir(path: &Path) -> Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed("create", path, &error)),
    }
}

/// How the names of files begin that [`write_atomic`] has not renamed yet; a process that dies leaves them behind.
pub const UNFINISHED: &str = ".writing-";

/// Writes a file so that a crash leaves either the old bytes or the new ones: temporary file, fsync, rename, fsync of the folder.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    write_as(path, None, write).map_err(|error| failed("write", path, &error))
}

/// Writes other bytes into a file that is there, as [`write_atomic`] does: its permissions stay, and a link still leads to it.
///
/// # Errors
/// `P0002` also for a file that may not be written.
pub fn rewrite_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let attempt = || {
        let file = path.canonicalize()?;
        let permissions = fs::metadata(&file)?.permissions();
        if permissions.readonly() {
            return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, "the file is read-only"));
        }
        write_as(&file, Some(permissions), |out| out.write_all(bytes))
    };
    attempt().map_err(|error| failed("write", path, &error))
}

fn write_as(
    path: &Path,
    permissions: Option<fs::Permissions>,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // As any new file: the user's umask decides who may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(|error| {
        // The name of the temporary file says nothing to anybody.
        let text = error.to_string();
        std::io::Error::new(error.kind(), text.split(" at path ").next().unwrap_or_default())
    })?;
    {
        let mut buffered = std::io::BufWriter::new(file.as_file_mut());
        write(&mut buffered)?;
        buffered.flush()?;
    }
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file in memory without a copy. Another process that changes the file under it changes the bytes; entries of the cache are
/// written once and renamed into place, so nobody does.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl Mapped {
    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Maps a file.
pub fn map(path: &Path) -> Result<Mapped> {
    let file = File::open(path).map_err(|error| failed("read", path, &error))?;
    #[expect(unsafe_code, reason = "memory mapping is unsafe because files may change; see `Mapped`")]
    // SAFETY: the map is read-only; files of the cache and of models are not rewritten in place by pipe.
    let mapped = unsafe { memmap2::Mmap::map(&file) };
    let mapped = mapped.map(Mapped).map_err(|error| failed("map", path, &error))?;
    lfs::refuse(path, mapped.bytes())?;
    Ok(mapped)
}

/// Removes a file or a folder with all that is in it; nothing there is fine.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
        _ => Ok(()),
    }
}

/// A file that grows.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    out: std::io::BufWriter<File>,
    bytes: u64,
}

impl Appender {
    /// Opens a file, made if it is not there, and cuts it after `keep` bytes.
    pub fn open(path: &Path, keep: u64) -> Result<Self> {
        let open = || -> std::io::Result<(File, u64)> {
            let mut file = fs::OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
            let bytes = keep.min(file.metadata()?.len());
            file.set_len(bytes)?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(bytes))?;
            sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|error| failed("write", path, &error))?;
        Ok(Self { path: path.to_path_buf(), out: std::io::BufWriter::new(file), bytes })
    }

    /// Appends bytes; they may stay in memory until [`Appender::sync`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| failed("write", &self.path, &error))
    }

    /// Makes everything durable; the size of the file.
    pub fn sync(&mut self) -> Result<u64> {
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_data())
            .map_err(|error| failed("write", &self.path, &error))?;
        Ok(self.bytes)
    }
}

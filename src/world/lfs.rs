//! Pointers of git-lfs: small texts that stand where a file would be whose bytes were not fetched.
//!
//! Whoever needs the bytes is told to fetch them; whoever needs the SHA-256 of the file has it, since it is what a pointer says.
//! Source: the git-lfs specification, version 1.
#![expect(clippy::disallowed_methods, reason = "this file is a part of the door to the file system")]

use super::files::failed;
use crate::diag::{Code, Diagnostic, Result, bytes as size};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How every pointer begins.
const HEAD: &[u8] = b"version https://git-lfs.github.com/spec/";
/// A pointer is smaller than this.
const LIMIT: u64 = 1024;

/// What a pointer says of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pointer {
    sha256: String,
    bytes: u64,
}

/// Whether these bytes of a whole file are a pointer.
fn is_pointer(bytes: &[u8]) -> bool {
    (bytes.len() as u64) < LIMIT && bytes.starts_with(HEAD)
}

fn parse(bytes: &[u8]) -> Option<Pointer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let sha256 = value("oid sha256:").filter(|oid| oid.len() == 64 && oid.bytes().all(|c| c.is_ascii_hexdigit()))?;
    Some(Pointer { sha256: sha256.to_ascii_lowercase(), bytes: value("size ")?.parse().ok()? })
}

/// An error if the bytes of a file are a pointer.
pub(super) fn refuse(path: &Path, bytes: &[u8]) -> Result<()> {
    if !is_pointer(bytes) {
        return Ok(());
    }
    let pointer = parse(bytes);
    let of = pointer.as_ref().map_or_else(String::new, |pointer| format!(" for {}", size(pointer.bytes)));
    let error = Diagnostic::error(
        Code::LfsPointer,
        format!("`{}` is a git-lfs pointer{of}, and its bytes are needed", path.display()),
    );
    let error = match pointer {
        Some(Pointer { sha256, .. }) => error.note(format!("the sha256 of the file is {sha256}")),
        None => error,
    };
    Err(error.help("run `git lfs pull`"))
}

/// The same for a file that is about to be read in parts.
pub(super) fn refuse_file(path: &Path, file: &File) -> Result<()> {
    let failed = |error: std::io::Error| failed("read", path, &error);
    let data = file.metadata().map_err(failed)?;
    if !data.is_file() || data.len() >= LIMIT {
        return Ok(());
    }
    refuse(path, &std::fs::read(path).map_err(failed)?)
}

/// SHA-256 of a file as lowercase hex. A pointer has that of the file that it stands for.
///
/// # Errors
/// `P0002` when it cannot be read, `P0007` for a pointer that does not say it.
pub fn sha256(path: &Path) -> Result<String> {
    let failed = |error: std::io::Error| failed("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut first = true;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        if std::mem::take(&mut first) && is_pointer(&buffer[..count]) {
            match parse(&buffer[..count]) {
                Some(pointer) => return Ok(pointer.sha256),
                None => refuse(path, &buffer[..count])?,
            }
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world;

    #[test]
    fn a_pointer_has_the_hash_of_its_file_and_no_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let put = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
        put(b"abc");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap(), abc);
        assert!(world::read(&path).is_ok());
        put(format!("version https://git-lfs.github.com/spec/v1\noid sha256:{abc}\nsize 3\n").as_bytes());
        assert_eq!(sha256(&path).unwrap(), abc);
        for refused in [
            world::read(&path).map(drop),
            world::map(&path).map(drop),
            world::open(&path).map(drop),
            world::digest(&path).map(drop),
            world::read_to_string(&path).map(drop),
            world::open_within(folder.path(), Path::new("model.onnx")).map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!((error.code(), error.help_text()), (Code::LfsPointer, Some("run `git lfs pull`")));
            assert!(error.message().contains("model.onnx` is a git-lfs pointer for 3 B"), "{}", error.message());
        }
        // A text that only begins like one says no hash.
        put(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n");
        assert_eq!(sha256(&path).unwrap_err().code(), Code::LfsPointer);
        // A large file that begins so is a file.
        let mut large = b"version https://git-lfs.github.com/spec/v1\n".to_vec();
        large.resize(4096, b' ');
        put(&large);
        assert!(world::read(&path).is_ok() && world::open(&path).is_ok());
    }
}

//! Digests of files, remembered by what the file system says of them, so that data that did not change is not read again.
//!
//! A digest is believed while size, time of change and number of the file are the same, and only if the file had been left alone for some
//! seconds when it was read: a write within the clock's tick would not show.
#![expect(clippy::disallowed_methods, reason = "this file is a part of the door to the file system")]

use super::files::{failed, write_atomic};
use crate::diag::Result;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a file must have been left alone.
const SETTLED: Duration = Duration::from_secs(3);
/// Larger files are mapped rather than read at once.
const LARGE: u64 = 1 << 20;

/// What was found out about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    state: State,
    digest: [u8; 32],
}

/// What the file system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: u64,
    changed: u128,
    number: u64,
}

/// The digests that a process remembers, and the file that keeps them.
#[derive(Debug, Default)]
struct Memory {
    file: Option<PathBuf>,
    known: BTreeMap<PathBuf, Known>,
    news: bool,
}

static MEMORY: Mutex<Memory> = Mutex::new(Memory { file: None, known: BTreeMap::new(), news: false });

/// From now on digests are remembered in this file, which need not be there.
pub fn remember_digests(file: &Path) {
    let known = fs::read(file).map(|bytes| parse(&bytes)).unwrap_or_default();
    if let Ok(mut memory) = MEMORY.lock() {
        memory.known.extend(known);
        memory.file = Some(file.to_path_buf());
    }
}

/// Writes what was learnt since [`remember_digests`]. A folder that cannot be written to costs time next time, nothing else.
pub fn keep_digests() {
    let Ok(mut memory) = MEMORY.lock() else { return };
    let Some(file) = memory.file.clone().filter(|_| memory.news) else { return };
    // Another process may have learnt something meanwhile.
    let mut all = fs::read(&file).map(|bytes| parse(&bytes)).unwrap_or_default();
    all.extend(memory.known.clone());
    let folder = file.parent().map(Path::to_path_buf).unwrap_or_default();
    if fs::create_dir_all(folder).is_ok() && write_atomic(&file, |out| print(out, &all)).is_ok() {
        memory.news = false;
    }
}

/// BLAKE3 digest of the bytes of a file.
///
/// # Errors
/// When it cannot be read.
pub fn digest(path: &Path) -> Result<[u8; 32]> {
    let failed = |error: std::io::Error| failed("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let state = State::of(&file.metadata().map_err(failed)?);
    let place = if path.is_absolute() { path.to_path_buf() } else { std::path::absolute(path).map_err(failed)? };
    if let Ok(memory) = MEMORY.lock()
        && let Some(known) = memory.known.get(&place).filter(|known| known.state == state)
    {
        return Ok(known.digest);
    }
    let digest = if state.bytes < LARGE {
        *blake3::hash(&super::read(path)?).as_bytes()
    } else {
        *blake3::hash(super::map(path)?.bytes()).as_bytes()
    };
    if state.settled()
        && let Ok(mut memory) = MEMORY.lock()
        && memory.file.is_some()
    {
        memory.known.insert(place, Known { state, digest });
        memory.news = true;
    }
    Ok(digest)
}

impl State {
    fn of(data: &Metadata) -> Self {
        let changed = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(data);
        #[cfg(not(unix))]
        let number = 0;
        Self { bytes: data.len(), changed: changed.unwrap_or_default().as_nanos(), number }
    }

    fn settled(self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_nanos().saturating_sub(self.changed) > SETTLED.as_nanos()
    }
}

/// A line a file: digest, bytes, time, number, path; lines that are none are passed over.
fn parse(bytes: &[u8]) -> BTreeMap<PathBuf, Known> {
    let mut known = BTreeMap::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let mut fields = line.splitn(5, ' ');
        let mut next = || fields.next();
        let (Some(digest), Some(bytes), Some(changed), Some(number), Some(path)) =
            (next(), next(), next(), next(), next())
        else {
            continue;
        };
        let (Ok(digest), Ok(bytes), Ok(changed), Ok(number)) =
            (blake3::Hash::from_hex(digest), bytes.parse(), changed.parse(), number.parse())
        else {
            continue;
        };
        let state = State { bytes, changed, number };
        known.insert(PathBuf::from(path), Known { state, digest: *digest.as_bytes() });
    }
    known
}

fn print(out: &mut dyn Write, known: &BTreeMap<PathBuf, Known>) -> std::io::Result<()> {
    for (path, Known { state, digest }) in known {
        // A path that is no text, or more than a line, is hashed every time.
        let Some(path) = path.to_str().filter(|path| !path.contains('\n')) else { continue };
        let State { bytes, changed, number } = state;
        writeln!(out, "{} {bytes} {changed} {number} {path}", blake3::Hash::from_bytes(*digest).to_hex())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(path: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_file_that_did_not_change_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, data) = (folder.path().join("cache/digests"), folder.path().join("a b.txt"));
        fs::write(&data, b"one").unwrap();
        age(&data, 60);
        remember_digests(&kept);
        let one = digest(&data).unwrap();
        assert_eq!(one, *blake3::hash(b"one").as_bytes());
        keep_digests();
        // Same size and time: what the file system says did not change, so the bytes are not looked at.
        let told = fs::metadata(&data).unwrap().modified().unwrap();
        let file = File::options().write(true).open(&data).unwrap();
        (&file).write_all(b"two").unwrap();
        file.set_modified(told).unwrap();
        assert_eq!(digest(&data).unwrap(), one);
        age(&data, 30);
        assert_eq!(digest(&data).unwrap(), *blake3::hash(b"two").as_bytes());
        // What was written a moment ago may change again without showing, and is not remembered.
        age(&data, 0);
        digest(&data).unwrap();
        keep_digests();
        let known = parse(&fs::read(&kept).unwrap());
        assert_eq!(known.len(), 1);
        assert_ne!(known.values().next().unwrap().state, State::of(&fs::metadata(&data).unwrap()));
        assert!(parse(b"nonsense\n1 2 3 4\n").is_empty());
    }
}

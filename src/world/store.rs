//! A folder of entries that are made once and read often, found by the digest of everything that they depend on.
//!
//! An entry is a file `<kind>/<key>.bin` and beside it `<key>.json`, which says what it is. The description is renamed into place last:
//! an entry without one, or with a file of another size, is none and is made again. Several processes may share a store: who makes an
//! entry holds its lock, the others wait for it and then find the entry. Removing an entry that another process has mapped takes nothing
//! away from it.
#![expect(clippy::disallowed_methods, reason = "this file is a part of the door to the file system")]

use super::entries::{list_dir, list_entries};
use super::files::{self, Mapped, UNFINISHED, failed};
use super::lock::{Lock, lock, wait};
use crate::diag::{Code, Diagnostic, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A key and what it was made of: the name of each thing that an entry depends on, with a digest of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What the entry is, such as `train phase 1`.
    pub what: String,
    /// The spec that asked for it; not part of the key.
    pub of: String,
    /// Digests by name.
    pub parts: BTreeMap<String, String>,
}

impl Key {
    /// A key without parts yet.
    pub fn new(what: impl Into<String>, of: impl Into<String>) -> Self {
        Self { what: what.into(), of: of.into(), parts: BTreeMap::new() }
    }

    /// Adds what the entry depends on.
    #[must_use]
    pub fn part(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.parts.insert(name.to_owned(), blake3::hash(bytes.as_ref()).to_hex()[..32].to_owned());
        self
    }

    /// The digest of all parts, the name of its file.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, digest) in &self.parts {
            for text in [name, digest] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hasher.finalize().to_hex()[..40].to_owned()
    }

    /// Names of the parts that are not the same in both keys.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names = self.parts.keys().chain(other.parts.keys());
        let mut found: Vec<String> =
            names.filter(|name| self.parts.get(*name) != other.parts.get(*name)).cloned().collect();
        found.sort();
        found.dedup();
        found
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct About {
    #[serde(flatten)]
    key: Key,
    bytes: u64,
}

/// An entry, as a list shows it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Family of entries, such as `features`.
    pub kind: String,
    /// Name of its file.
    pub digest: String,
    /// What it was made of.
    pub key: Key,
    /// Bytes of the entry.
    pub bytes: u64,
    /// When it was last made or read.
    pub used: SystemTime,
}

/// What [`Store::collect`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Entries that were removed.
    pub entries: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of those that stay.
    pub left: u64,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// A store in a folder, which is made with the first entry.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the bytes of an entry lie.
    pub fn path(&self, kind: &str, digest: &str) -> PathBuf {
        self.root.join(kind).join(format!("{digest}.bin"))
    }

    fn about_path(&self, kind: &str, digest: &str) -> PathBuf {
        self.root.join(kind).join(format!("{digest}.json"))
    }

    /// Whether an entry is there and whole as far as its size tells.
    pub fn has(&self, kind: &str, key: &Key) -> bool {
        self.about(kind, &key.digest()).is_some()
    }

    fn about(&self, kind: &str, digest: &str) -> Option<About> {
        let about: About = serde_json::from_slice(&fs::read(self.about_path(kind, digest)).ok()?).ok()?;
        let size = fs::metadata(self.path(kind, digest)).ok()?.len();
        (size == about.bytes).then_some(about)
    }

    /// The bytes of an entry, which counts as used; `None` when there is none or it is not whole.
    pub fn open(&self, kind: &str, key: &Key) -> Option<Mapped> {
        let digest = key.digest();
        self.about(kind, &digest)?;
        let mapped = files::map(&self.path(kind, &digest)).ok()?;
        // A store that cannot be written to can still be read.
        let _ = File::options()
            .append(true)
            .open(self.about_path(kind, &digest))
            .and_then(|file| file.set_modified(SystemTime::now()));
        Some(mapped)
    }

    /// Takes the right to make an entry; `None` while somebody else has it.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn try_make(&self, kind: &str, key: &Key) -> Result<Option<Lock>> {
        lock(&self.lock_path(kind, key)?)
    }

    /// Waits for the right to make an entry.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn make(&self, kind: &str, key: &Key) -> Result<Lock> {
        wait(&self.lock_path(kind, key)?)
    }

    fn lock_path(&self, kind: &str, key: &Key) -> Result<PathBuf> {
        let folder = self.root.join(kind);
        files::create_dir_all(&folder)?;
        Ok(folder.join(format!("{}.lock", key.digest())))
    }

    /// Writes an entry, over an older one if there is one.
    ///
    /// # Errors
    /// When it cannot be written; then there is no such entry.
    pub fn put(&self, kind: &str, key: &Key, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        let digest = key.digest();
        let path = self.path(kind, &digest);
        files::create_dir_all(&self.root.join(kind))?;
        files::write_atomic(&path, write)?;
        let bytes = fs::metadata(&path).map_err(|error| failed("read", &path, &error))?.len();
        let about = serde_json::to_vec(&About { key: key.clone(), bytes })
            .map_err(|error| Diagnostic::error(Code::Internal, "cannot describe an entry").note(error.to_string()))?;
        files::write_atomic(&self.about_path(kind, &digest), |out| out.write_all(&about))
    }

    /// All whole entries, those used last first.
    ///
    /// # Errors
    /// When the folder cannot be listed; no folder is an empty store.
    pub fn list(&self) -> Result<Vec<Stored>> {
        let mut found = Vec::new();
        if !super::is_folder(&self.root) {
            return Ok(found);
        }
        for (folder, _) in list_entries(&self.root)?.into_iter().filter(|(_, folder)| *folder) {
            let kind = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for path in list_dir(&folder)? {
                let digest = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                if path.extension().is_none_or(|end| end != "json") {
                    continue;
                }
                let Some(About { key, bytes }) = self.about(&kind, &digest) else { continue };
                let Ok(used) = fs::metadata(&path).and_then(|data| data.modified()) else { continue };
                found.push(Stored { kind: kind.clone(), digest, key, bytes, used });
            }
        }
        found.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.digest.cmp(&b.digest)));
        Ok(found)
    }

    /// Removes what is torn or left over, and the entries that were used longest ago until the others take at most `limit` bytes. What
    /// somebody is making stays.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn collect(&self, limit: u64) -> Result<Collected> {
        let mut done = Collected::default();
        let entries = self.list()?;
        for entry in &entries {
            if done.left.saturating_add(entry.bytes) > limit && self.remove(&entry.kind, &entry.digest)? {
                done.entries += 1;
                done.bytes += entry.bytes;
            } else {
                done.left += entry.bytes;
            }
        }
        self.sweep()?;
        Ok(done)
    }

    /// Removes an entry that turned out not to hold what it should.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, kind: &str, key: &Key) -> Result<()> {
        files::remove(&self.about_path(kind, &key.digest()))
    }

    /// Removes an entry unless somebody is making it.
    fn remove(&self, kind: &str, digest: &str) -> Result<bool> {
        let guard = self.root.join(kind).join(format!("{digest}.lock"));
        if super::is_file(&guard) && lock(&guard)?.is_none() {
            return Ok(false);
        }
        // The description first: without it there is no entry.
        for path in [self.about_path(kind, digest), self.path(kind, digest), guard] {
            files::remove(&path)?;
        }
        Ok(true)
    }

    /// Removes files that belong to no entry and to nobody who is making one.
    fn sweep(&self) -> Result<()> {
        if !super::is_folder(&self.root) {
            return Ok(());
        }
        for (folder, _) in list_entries(&self.root)?.into_iter().filter(|(_, folder)| *folder) {
            let kind = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for path in list_dir(&folder)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let left_over = name.starts_with(UNFINISHED) && old(&path);
                let digest = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                if left_over {
                    files::remove(&path)?;
                } else if !name.starts_with('.') && self.about(&kind, &digest).is_none() && old(&path) {
                    self.remove(&kind, &digest)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a file has not been written to for an hour: nobody is at work on it.
fn old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new("thing", "spec").part("input", text)
    }

    fn put(store: &Store, text: &str, bytes: &[u8]) {
        store.put("steps", &key(text), |out| out.write_all(bytes)).unwrap();
    }

    #[test]
    fn a_key_is_its_parts() {
        let one = Key::new("a", "b").part("x", "1").part("y", "2");
        assert_eq!(one.digest(), Key::new("c", "d").part("y", "2").part("x", "1").digest());
        let other = Key::new("a", "b").part("x", "1").part("y", "3").part("z", "4");
        assert_ne!(one.digest(), other.digest());
        assert_eq!(one.differences(&other), ["y", "z"]);
    }

    #[test]
    fn what_is_put_is_found_until_it_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("cache"));
        assert!(store.list().unwrap().is_empty() && store.open("steps", &key("a")).is_none());
        put(&store, "a", b"hello");
        assert_eq!(store.open("steps", &key("a")).unwrap().bytes(), b"hello");
        assert!(!store.has("steps", &key("b")) && !store.has("other", &key("a")));
        let path = store.path("steps", &key("a").digest());
        fs::write(&path, b"hell").unwrap();
        assert!(!store.has("steps", &key("a")) && store.open("steps", &key("a")).is_none());
    }

    #[test]
    fn the_oldest_go_first_and_torn_ones_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        for (age, text) in ["a", "b", "c"].into_iter().enumerate() {
            put(&store, text, &[0; 10]);
            let file = File::options().append(true).open(store.about_path("steps", &key(text).digest())).unwrap();
            let time = SystemTime::now() - std::time::Duration::from_secs(100 * (3 - age as u64));
            file.set_modified(time).unwrap();
        }
        // Reading an entry makes it the last used one.
        store.open("steps", &key("a")).unwrap();
        assert_eq!(store.collect(25).unwrap(), Collected { entries: 1, bytes: 10, left: 20 });
        assert!(store.has("steps", &key("a")) && !store.has("steps", &key("b")) && store.has("steps", &key("c")));
        assert_eq!(store.collect(0).unwrap(), Collected { entries: 2, bytes: 20, left: 0 });
    }

    #[test]
    fn one_at_a_time_makes_an_entry() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let making = store.try_make("steps", &key("a")).unwrap().unwrap();
        assert!(store.try_make("steps", &key("a")).unwrap().is_none(), "somebody makes it");
        assert!(store.try_make("steps", &key("b")).unwrap().is_some(), "another one");
        put(&store, "a", b"x");
        assert_eq!(store.collect(0).unwrap().entries, 0, "what is being made stays");
        drop(making);
        assert_eq!(store.collect(0).unwrap().entries, 1);
        assert!(store.make("steps", &key("a")).is_ok());
    }
}

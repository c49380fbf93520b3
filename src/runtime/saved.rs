//! What a step made, as an entry of the store: a JSON value and named runs of bytes.
//!
//! Layout: magic number, BLAKE3 digest of all that follows, length (u64, little-endian) and text of a JSON head, the bytes of each part
//! one after the other.

use crate::diag::{Code, Diagnostic, Result};
use crate::world::{Mapped, Store, StoreKey as Key};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Range;

const MAGIC: &[u8; 8] = b"pipestep";

/// What a step made.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Saved {
    /// Numbers and names.
    pub(super) value: Value,
    /// Bytes by name, in order.
    pub(super) parts: Vec<(String, Vec<u8>)>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    value: Value,
    parts: Vec<(String, usize)>,
}

/// What a step made, read from a store.
#[derive(Debug)]
pub(super) struct Found {
    mapped: Mapped,
    /// Numbers and names.
    pub(super) value: Value,
    parts: Parts,
}

/// Names of the parts and where in the entry they lie.
type Parts = Vec<(String, Range<usize>)>;

impl Found {
    /// Takes it from a store; `None` when it is not there or not as it was put.
    pub(super) fn get(store: &Store, kind: &str, key: &Key) -> Option<Self> {
        let mapped = store.open(kind, key)?;
        let (value, parts) = decode(mapped.bytes())?;
        Some(Self { mapped, value, parts })
    }

    /// The bytes of a part, none when there is no such part.
    pub(super) fn part(&self, name: &str) -> &[u8] {
        self.parts().find(|(part, _)| *part == name).map_or(&[], |(_, bytes)| bytes)
    }

    /// All parts in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.parts.iter().map(|(name, range)| (name.as_str(), &self.mapped.bytes()[range.clone()]))
    }
}

impl Saved {
    /// Puts it into a store.
    pub(super) fn put(&self, store: &Store, kind: &str, key: &Key) -> Result<()> {
        let parts = self.parts.iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect();
        let head = serde_json::to_vec(&Head { value: self.value.clone(), parts })
            .map_err(|error| Diagnostic::error(Code::Internal, "cannot describe an entry").note(error.to_string()))?;
        let length = (head.len() as u64).to_le_bytes();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&length).update(&head);
        self.parts.iter().for_each(|(_, bytes)| {
            hasher.update(bytes);
        });
        store.put(kind, key, |out| {
            out.write_all(MAGIC)?;
            out.write_all(hasher.finalize().as_bytes())?;
            out.write_all(&length)?;
            out.write_all(&head)?;
            self.parts.iter().try_for_each(|(_, bytes)| out.write_all(bytes))
        })
    }
}

/// Value and parts of an entry, `None` when a byte of it is not what it was.
fn decode(bytes: &[u8]) -> Option<(Value, Parts)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (digest, rest) = rest.split_at_checked(32)?;
    if blake3::hash(rest).as_bytes() != digest {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (head, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let Head { value, parts: sizes } = serde_json::from_slice(head).ok()?;
    let mut start = bytes.len() - rest.len();
    let mut parts = Vec::new();
    for (name, size) in sizes {
        let end = start.checked_add(size).filter(|end| *end <= bytes.len())?;
        parts.push((name, start..end));
        start = end;
    }
    Some((value, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let key = Key::new("a", "b").part("c", "d");
        let saved = Saved {
            value: serde_json::json!({"steps": 3, "score": 0.1}),
            parts: vec![("one".to_owned(), vec![1, 2, 3]), ("two".to_owned(), Vec::new())],
        };
        assert!(Found::get(&store, "steps", &key).is_none());
        saved.put(&store, "steps", &key).unwrap();
        let found = Found::get(&store, "steps", &key).unwrap();
        assert_eq!(found.value, saved.value);
        let parts: Vec<(String, Vec<u8>)> =
            found.parts().map(|(name, part)| (name.to_owned(), part.to_vec())).collect();
        assert_eq!(parts, saved.parts);
        assert_eq!((found.part("one"), found.part("three")), ([1, 2, 3].as_slice(), [].as_slice()));
        let mut bytes = crate::world::read(&store.path("steps", &key.digest())).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(decode(&bytes).is_none(), "byte {at}");
            bytes[at] ^= 1;
            assert!(decode(&bytes[..at]).is_none(), "cut at {at}");
        }
    }
}

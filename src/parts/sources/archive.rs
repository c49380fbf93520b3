//! Whole files that may be gzipped, with a bound on what they unpack to.

use super::corrupt;
use crate::diag::Result;
use crate::world;
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::Path;

/// Unpacked bytes that any file may have, and how many times its packed size beyond that.
const ALWAYS: u64 = 256 << 20;
const RATIO: u64 = 64;

/// The most bytes that a packed file of `size` bytes may unpack to.
pub(super) fn unpack_limit(size: u64) -> u64 {
    ALWAYS.max(size.saturating_mul(RATIO))
}

/// The content of a file; unpacked when it starts with gzip's magic number.
///
/// # Errors
/// `P0002` when it cannot be read, `P0502` when its gzip stream is broken or unpacks to an absurd size.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let packed = world::read(path)?;
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Ok(packed);
    }
    let limit = unpack_limit(packed.len() as u64);
    let mut bytes = Vec::new();
    MultiGzDecoder::new(packed.as_slice())
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| corrupt(path, format!("gzip: {error}")))?;
    if bytes.len() as u64 > limit {
        return Err(corrupt(path, format!("gzip: {} bytes unpack to more than {limit}", packed.len())));
    }
    Ok(bytes)
}

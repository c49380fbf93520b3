//! Whole files that may be gzipped, with a bound on what they unpack to.

use super::corrupt;
use crate::diag::Result;
use crate::world;
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::Path;

/// The most bytes that `packed` bytes may unpack to: what fits any dataset of small files, or 64 times its size.
pub(super) fn unpack_limit(packed: u64) -> u64 {
    (1 << 30).max(packed.saturating_mul(64))
}

/// The content of a file, unpacked when it starts with gzip's magic number.
///
/// # Errors
/// `P0002` when it cannot be read, `P0502` when its gzip stream is broken or unpacks to an absurd size.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let packed = world::read(path)?;
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Ok(packed);
    }
    unpack(&packed, unpack_limit(packed.len() as u64)).map_err(|cause| corrupt(path, cause))
}

fn unpack(packed: &[u8], limit: u64) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(packed).take(limit + 1).read_to_end(&mut bytes).map_err(|error| format!("gzip: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("gzip: {} bytes unpack to more than {limit}", packed.len()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn members_are_joined_and_bombs_refused() {
        let mut two = gzip(b"one ");
        two.extend(gzip(b"two"));
        assert_eq!(unpack(&two, 7).unwrap(), b"one two");
        assert!(unpack(&two, 6).unwrap_err().contains("more than 6"));
        let bomb = gzip(&vec![0; 1 << 20]);
        assert!(bomb.len() < 2048);
        assert!(unpack(&bomb, 1 << 16).is_err());
        assert!(unpack(&bomb[..bomb.len() - 9], 1 << 20).is_err(), "cut short");
    }
}

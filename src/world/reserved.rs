//! Addresses that take memory only where something is written.

use memmap2::MmapOptions;

/// A stretch of zeroed memory for whoever shares it out. Pages come when they are first written.
#[derive(Debug)]
pub struct Reserved(memmap2::MmapRaw);

impl Reserved {
    /// Reserves addresses; none where the system does not hand out so many without memory behind them.
    pub fn new(bytes: usize) -> Option<Self> {
        if !cfg!(unix) {
            return None;
        }
        let map = MmapOptions::new().len(bytes).no_reserve_swap().map_anon().ok()?;
        // With large pages products of matrices miss fewer addresses. A system that has none goes without.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Some(Self(map.into()))
    }

    /// The pointer to a byte, which must not lie behind the end.
    pub fn at(&self, byte: usize) -> *mut u8 {
        self.0.as_mut_ptr().wrapping_add(byte)
    }

    /// Its length.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

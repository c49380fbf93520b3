//! Hostile input for the tests of the readers.

/// Calls `check` with `rounds` damaged copies: one to three bytes changed, every fourth also cut short. The seed is fixed.
pub(super) fn bytes(original: &[u8], rounds: usize, mut check: impl FnMut(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    for round in 0..rounds {
        let mut damaged = original.to_vec();
        for _ in 0..=below(3) {
            let at = below(damaged.len());
            damaged[at] = below(256) as u8;
        }
        if round % 4 == 3 {
            damaged.truncate(below(original.len()));
        }
        check(&damaged);
    }
}

//! Memory for sessions: what Redis of one environment may hold.
//!
//! A session is about 2 KiB there, encrypted value, key and overhead together. Redis refuses what
//! does not fit and evicts nothing, so the figure must be beyond what people can fill by logging in.

use crate::MIB;

/// The least: about 16,000 sessions.
pub const LEAST: u64 = 32 * MIB;
/// The most: about 250,000 sessions.
pub const MOST: u64 = 512 * MIB;

/// A 64th of the environment's memory, within [`LEAST`] and [`MOST`].
pub fn sessions_memory(memory_bytes: u64) -> u64 {
    (memory_bytes / 64 / MIB * MIB).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_have_their_bounds() {
        let gib = |count: u64| count << 30;
        let of = [0, gib(1), gib(4), gib(16), gib(1024), u64::MAX].map(sessions_memory);
        assert_eq!(of, [LEAST, LEAST, 64 * MIB, 256 * MIB, MOST, MOST]);
    }
}

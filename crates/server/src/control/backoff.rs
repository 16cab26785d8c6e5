//! The pause after failures: it doubles from 5 s up to 5 minutes, and jitter keeps what failed together
//! from coming back together. Measured by a clock that never jumps.

use std::time::Duration;

/// Failures in a row of one environment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures {
    pub count: u32,
    /// Nothing is tried by itself before, as time since the start.
    pub until: Duration,
}

const FIRST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(300);

/// How long to wait after `failures` failures in a row. The same seed gives the same pause; it lies
/// between four fifths and six fifths of the plain one.
pub fn pause(failures: u32, seed: u64) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let plain = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(MOST);
    // SplitMix64: neighbouring seeds must not give neighbouring pauses.
    let mut bits = seed.wrapping_add(u64::from(failures).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let part = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    plain.mul_f64(0.8 + 0.4 * part)
}

impl Failures {
    /// One more failure.
    pub fn after(before: Option<&Self>, now: Duration, seed: u64) -> Self {
        let count = before.map_or(0, |it| it.count) + 1;
        Self { count, until: now + pause(count, seed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_by_seed() {
        assert_eq!(pause(0, 7), Duration::ZERO);
        for failures in 1..40 {
            let plain = (5.0 * 2_f64.powi(failures as i32 - 1)).min(300.0);
            for seed in 0..50 {
                let seconds = pause(failures, seed).as_secs_f64();
                assert!((plain * 0.8..=plain * 1.2).contains(&seconds), "{failures} {seed}: {seconds}");
            }
        }
        let different: std::collections::BTreeSet<_> = (0..50).map(|seed| pause(3, seed)).collect();
        assert!(different.len() > 45, "{different:?}");
        assert_eq!(pause(3, 9), pause(3, 9));
    }
}

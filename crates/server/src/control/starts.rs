//! How often operations may begin without a person's word: a few at once, and then so many a second. Whatever
//! goes wrong with very much at once, or again and again, is put right little by little. Pure; measured by a
//! clock that never jumps.

use std::time::Duration;

/// Operations that may begin at once.
const AT_ONCE: f64 = 20.0;
/// Operations that may begin each second in the long run.
const EACH_SECOND: f64 = 2.0;

/// A bucket that fills by the clock and is emptied by what begins.
#[derive(Debug)]
pub(super) struct Starts {
    left: f64,
    at: Duration,
}

impl Default for Starts {
    fn default() -> Self {
        Self { left: AT_ONCE, at: Duration::ZERO }
    }
}

impl Starts {
    /// How many may begin at `now`, as time since the start.
    pub fn room(&mut self, now: Duration) -> usize {
        self.left = (self.left + now.saturating_sub(self.at).as_secs_f64() * EACH_SECOND).min(AT_ONCE);
        self.at = self.at.max(now);
        self.left.max(0.0) as usize
    }

    /// So many have begun.
    pub fn begun(&mut self, many: usize) {
        self.left -= many as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_slowly_and_not_beyond_its_brim() {
        let (mut starts, s) = (Starts::default(), Duration::from_secs);
        assert_eq!(starts.room(s(0)), 20);
        starts.begun(20);
        assert_eq!((starts.room(s(0)), starts.room(s(3)), starts.room(s(3))), (0, 6, 6));
        starts.begun(5);
        assert_eq!(starts.room(s(3)), 1);
        // In however many small pieces it is asked, no more than two a second begin.
        let mut begun = 0;
        for tick in 0..400 {
            let room = starts.room(s(3) + Duration::from_millis(tick * 25));
            starts.begun(room);
            begun += room;
        }
        assert!((20..=21).contains(&begun), "{begun} in ten seconds");
        assert_eq!(starts.room(s(100_000)), 20);
    }
}

//! A distribution of durations, in microseconds with three digits.

use std::time::Duration;

use hdrhistogram::Histogram;

/// An hour in microseconds: longer than any limit of a client.
const LONGEST: u64 = 3_600_000_000;

/// How long things took; more than an hour is an hour.
#[derive(Debug, Clone)]
pub struct Times {
    histogram: Histogram<u64>,
}

impl Default for Times {
    fn default() -> Self {
        Times { histogram: Histogram::new(3).expect("three digits are allowed") }
    }
}

impl Times {
    /// One more.
    pub fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // Not `saturating_record`, which cuts at what the histogram holds so far instead of growing.
        self.histogram.record(micros.min(LONGEST)).expect("it grows by itself, and an hour is far from its end");
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The time that this share of them (0 to 1) did not exceed; None if there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_micros(self.histogram.value_at_quantile(share)))
    }

    /// The same of `all` who came, of which only the counted ones came to an end: the others count as
    /// longer than any. None if that share of all did not come to an end.
    pub fn quantile_of(&self, share: f64, all: u64) -> Option<Duration> {
        let rank = (share * all as f64).ceil().max(1.0);
        if all == 0 || rank > self.count() as f64 {
            return None;
        }
        self.quantile(rank / self.count() as f64)
    }

    /// The longest.
    pub fn longest(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_micros(self.histogram.max()))
    }

    /// How many took longer than this.
    pub fn longer_than(&self, time: Duration) -> u64 {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.count() - self.histogram.count_between(0, micros)
    }

    /// All of another one, too.
    pub fn add(&mut self, other: &Times) {
        // Both grow on demand, so there is always room.
        let _ = self.histogram.add(&other.histogram);
    }
}

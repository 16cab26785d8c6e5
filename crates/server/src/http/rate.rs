//! How often one may ask: a bucket per token or session, one for all who show none.

use std::num::NonZeroU32;

use axum::http::StatusCode;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Limits;
use super::problem::Refused;

/// Buckets from which on empty ones are swept.
const MANY: usize = 1000;

/// The buckets.
pub struct Rate {
    known: DefaultKeyedRateLimiter<String>,
    others: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
}

impl Rate {
    /// With so many requests at once, and so many a second in the long run.
    pub fn new(limits: &Limits) -> Self {
        let quota = |(burst, each_second): (u32, u32)| {
            let one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
            RateLimiter::keyed(Quota::per_second(one(each_second)).allow_burst(one(burst)))
        };
        Self { known: quota(limits.rate), others: quota(limits.rate_others), clock: DefaultClock::default() }
    }

    /// Takes one from the bucket of `who`; the empty word is everybody who shows nothing.
    pub fn check(&self, who: &str) -> Result<(), Refused> {
        let buckets = if who.is_empty() { &self.others } else { &self.known };
        if buckets.len() > MANY {
            buckets.retain_recent();
        }
        let Err(until) = buckets.check_key(&who.to_owned()) else { return Ok(()) };
        let seconds = until.wait_time_from(self.clock.now()).as_secs_f64().ceil() as u64;
        let detail = "too many requests in a short time";
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "E0935", detail, "wait as long as Retry-After says");
        Err(refused.retry_after(seconds))
    }
}

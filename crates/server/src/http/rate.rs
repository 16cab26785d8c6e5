//! How often one may ask: a bucket per token or session, and per address for those who show none, so that
//! nobody keeps others from logging in. Both are bounded: when very many addresses ask at once, those share one.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use axum::http::StatusCode;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Limits;
use super::problem::Refused;

/// Buckets of tokens and sessions from which on full ones are swept.
const MANY: usize = 1000;
/// Buckets of addresses, at most: about a megabyte.
const ADDRESSES: usize = 10_000;
/// The address whose bucket all share for whom there is none.
const REST: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Who asks, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub enum Asks<'a> {
    /// The number of a good token or session.
    Known(&'a str),
    /// Nothing good is shown; the address it comes from.
    From(Option<IpAddr>),
}

/// The buckets.
pub struct Rate {
    known: DefaultKeyedRateLimiter<String>,
    others: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl Rate {
    /// With so many requests at once, and so many a second in the long run.
    pub fn new(limits: &Limits) -> Self {
        let quota = |(burst, each_second): (u32, u32)| {
            let one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
            Quota::per_second(one(each_second)).allow_burst(one(burst))
        };
        Self {
            known: RateLimiter::keyed(quota(limits.rate)),
            others: RateLimiter::keyed(quota(limits.rate_others)),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one from the bucket of who asks.
    pub fn check(&self, who: Asks<'_>) -> Result<(), Refused> {
        let taken = match who {
            Asks::Known(id) => {
                if self.known.len() > MANY {
                    self.known.retain_recent();
                }
                self.known.check_key(&id.to_owned())
            }
            Asks::From(address) => {
                if self.others.len() >= ADDRESSES {
                    self.others.retain_recent();
                }
                let full = self.others.len() >= ADDRESSES;
                self.others.check_key(&address.filter(|_| !full).map_or(REST, network))
            }
        };
        let Err(until) = taken else { return Ok(()) };
        let seconds = until.wait_time_from(self.clock.now()).as_secs_f64().ceil() as u64;
        let detail = "too many requests in a short time";
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "E0935", detail, "wait as long as Retry-After says");
        Err(refused.retry_after(seconds))
    }
}

/// The address of one client: of IPv6 the first half, for one client has all of the second.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_buckets_of_their_own_and_there_are_only_so_many() {
        let rate = Rate::new(&Limits { rate_others: (2, 1), ..Limits::default() });
        let from = |text: &str| rate.check(Asks::From(Some(text.parse().unwrap()))).is_ok();
        assert!(from("192.0.2.1") && from("192.0.2.1") && !from("192.0.2.1"));
        assert!(
            from("192.0.2.2") && from("::ffff:192.0.2.2") && !from("192.0.2.2"),
            "the same in both ways to write it"
        );
        assert!(from("2001:db8::1") && from("2001:db8::2") && !from("2001:db8::3") && from("2001:db8:0:1::1"));
        assert!((0..2).all(|_| rate.check(Asks::From(None)).is_ok()) && rate.check(Asks::From(None)).is_err());
        assert!(rate.check(Asks::Known("a token")).is_ok());
        for n in 0..(2 * ADDRESSES as u32) {
            let _ = rate.check(Asks::From(Some(IpAddr::V4((0x0a00_0000 + n).into()))));
        }
        assert!(rate.others.len() <= ADDRESSES + 1, "{}", rate.others.len());
    }
}

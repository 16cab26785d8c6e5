//! Positions in PostgreSQL's write-ahead log, and the timelines they are on.
//!
//! A position names a byte; "up to a position" always means: what ended at or before it, nothing that begins
//! at or after it. Both types hold only what PostgreSQL can write.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte position in the write-ahead log, written `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

/// The text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a position in the write-ahead log such as 16/B374D848")]
pub struct LsnError(String);

impl Lsn {
    /// The position of a byte number.
    pub const fn new(byte: u64) -> Self {
        Self(byte)
    }
    /// Its byte number.
    pub const fn byte(self) -> u64 {
        self.0
    }
    /// So many bytes later; none past the end of all positions.
    pub const fn plus(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(byte) => Some(Self(byte)),
            None => None,
        }
    }
    /// Bytes from `earlier` to here; 0 if that is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

fn hex(text: &str) -> Option<u32> {
    let fits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

impl FromStr for Lsn {
    type Err = LsnError;
    fn from_str(text: &str) -> Result<Self, LsnError> {
        let read = || {
            let (high, low) = text.split_once('/')?;
            Some(Self(u64::from(hex(high)?) << 32 | u64::from(hex(low)?)))
        };
        read().ok_or_else(|| LsnError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A line of history of a database; each restore that is opened begins a new one. From 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(NonZeroU32);

impl Timeline {
    /// The one that every database begins with.
    pub const FIRST: Timeline = Timeline(NonZeroU32::MIN);

    /// The timeline of a number; there is no timeline 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
    /// Its number.
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn positions_are_read_and_written_as_postgresql_does() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!(lsn.byte(), 0x16_B374_D848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert_eq!("0/0".parse::<Lsn>().unwrap(), Lsn::new(0));
        assert_eq!("ffffffff/ffffffff".parse::<Lsn>().unwrap(), Lsn::new(u64::MAX));
        for bad in ["", "/", "0/", "/0", "0", "0/0/0", "+1/0", "0/ 1", "100000000/0", "0/123456789", "g/0", "0x1/0"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_has_ends() {
        assert_eq!(Lsn::new(5).plus(3), Some(Lsn::new(8)));
        assert_eq!(Lsn::new(u64::MAX).plus(1), None);
        assert_eq!(Lsn::new(8).since(Lsn::new(5)), 3);
        assert_eq!(Lsn::new(5).since(Lsn::new(8)), 0);
    }

    #[test]
    fn there_is_no_timeline_zero() {
        assert_eq!(Timeline::new(0), None);
        assert!(serde_json::from_str::<Timeline>("0").is_err());
        assert_eq!(serde_json::from_str::<Timeline>("3").unwrap().number(), 3);
    }

    proptest! {
        #[test]
        fn text_and_order_are_those_of_the_number(one: u64, other: u64) {
            let (a, b) = (Lsn::new(one), Lsn::new(other));
            prop_assert_eq!(a.to_string().parse::<Lsn>().unwrap(), a);
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
        }

        #[test]
        fn no_text_makes_it_fall(text in ".{0,40}") {
            if let Ok(lsn) = text.parse::<Lsn>() {
                prop_assert!(lsn.to_string().eq_ignore_ascii_case(&trimmed(&text)));
            }
        }
    }

    /// Without leading zeros, as PostgreSQL writes.
    fn trimmed(text: &str) -> String {
        let part = |part: &str| {
            if part.trim_start_matches('0').is_empty() { "0".into() } else { part.trim_start_matches('0').to_owned() }
        };
        text.split_once('/').map(|(high, low)| format!("{}/{}", part(high), part(low))).unwrap_or_default()
    }
}

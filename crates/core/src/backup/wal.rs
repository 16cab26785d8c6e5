//! Segments of the write-ahead log: files of 16 MiB, named by timeline and number.
//!
//! 16 MiB is PostgreSQL's default and what every data directory of ours is made with. A name of another size
//! is refused, because everything that is reckoned from it would be wrong.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::lsn::{Lsn, Timeline};

/// Bytes of a segment.
pub const SEGMENT_BYTES: u64 = 16 << 20;
/// Segments with one high half of the position.
const PER_HALF: u64 = (1 << 32) / SEGMENT_BYTES;

/// One segment, written `000000010000001600000B37` and the like. Ordered by timeline, then by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    timeline: Timeline,
    number: u64,
}

/// The text names no segment of 16 MiB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a WAL segment of 16 MiB")]
pub struct SegmentError(String);

impl Segment {
    /// The segment that holds the byte at `lsn`.
    pub const fn holding(timeline: Timeline, lsn: Lsn) -> Self {
        Self { timeline, number: lsn.byte() / SEGMENT_BYTES }
    }
    /// The segment of a number, which counts from the first byte of all.
    pub const fn numbered(timeline: Timeline, number: u64) -> Option<Self> {
        if number <= u64::MAX / SEGMENT_BYTES { Some(Self { timeline, number }) } else { None }
    }
    /// Its timeline.
    pub const fn timeline(self) -> Timeline {
        self.timeline
    }
    /// Its number.
    pub const fn number(self) -> u64 {
        self.number
    }
    /// Its first byte.
    pub const fn start(self) -> Lsn {
        Lsn::new(self.number * SEGMENT_BYTES)
    }
    /// The byte after its last; of the very last segment its last byte.
    pub const fn end(self) -> Lsn {
        Lsn::new(self.start().byte().saturating_add(SEGMENT_BYTES))
    }
    /// The one after it on the same timeline.
    pub const fn next(self) -> Option<Self> {
        Self::numbered(self.timeline, self.number + 1)
    }
}

impl FromStr for Segment {
    type Err = SegmentError;
    fn from_str(text: &str) -> Result<Self, SegmentError> {
        let read = || {
            let upper = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
            if text.len() != 24 || !text.bytes().all(upper) {
                return None;
            }
            let part = |from: usize| u32::from_str_radix(text.get(from..from + 8)?, 16).ok();
            let low = u64::from(part(16)?);
            let number = u64::from(part(8)?) * PER_HALF + low;
            (low < PER_HALF).then_some(())?;
            Self::numbered(Timeline::new(part(0)?)?, number)
        };
        read().ok_or_else(|| SegmentError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.number / PER_HALF, self.number % PER_HALF);
        f.pad(&format!("{:08X}{high:08X}{low:08X}", self.timeline.number()))
    }
}

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_as_postgresql_writes_them() {
        // SELECT pg_walfile_name('16/B374D848') on timeline 1.
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        let segment = Segment::holding(Timeline::FIRST, lsn);
        assert_eq!(segment.to_string(), "0000000100000016000000B3");
        assert_eq!(segment.start().to_string(), "16/B3000000");
        assert_eq!(segment.end().to_string(), "16/B4000000");
        let last: Segment = "0000000200000016000000FF".parse().unwrap();
        assert_eq!(last.next().unwrap().to_string(), "000000020000001700000000");
        for bad in [
            "",
            "000000000000001600000000",
            "000000010000001600000100",
            "00000001000000160000000b",
            "0000000100000016000000B3.partial",
            "00000001.history",
            "+00000010000001600000000",
        ] {
            assert!(bad.parse::<Segment>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_last_segment_has_no_next() {
        let last: Segment = "00000001FFFFFFFF000000FF".parse().unwrap();
        assert_eq!(last.next(), None);
        assert_eq!(last.end(), Lsn::new(u64::MAX));
    }

    proptest! {
        #[test]
        fn a_segment_holds_its_positions(timeline in 1u32.., byte: u64) {
            let timeline = Timeline::new(timeline).unwrap();
            let lsn = Lsn::new(byte);
            let segment = Segment::holding(timeline, lsn);
            prop_assert!(segment.start() <= lsn && lsn <= segment.end());
            prop_assert_eq!(segment.to_string().parse::<Segment>().unwrap(), segment);
            if let Some(next) = segment.next() {
                prop_assert_eq!(next.start(), segment.end());
                prop_assert!(next.to_string() > segment.to_string());
            }
        }

        #[test]
        fn no_name_makes_it_fall(name in "[0-9A-Fa-f]{0,26}|.{0,30}") {
            if let Ok(segment) = name.parse::<Segment>() {
                prop_assert_eq!(segment.to_string(), name);
            }
        }
    }
}

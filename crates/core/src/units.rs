//! Quantities people write: sizes, durations, money.
//!
//! Each has one canonical text ([`std::fmt::Display`]) that reads back to the same value; all
//! arithmetic is checked, so no text can overflow.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {kind}; {hint}")]
pub struct UnitError {
    /// What was expected, such as `a size`.
    pub kind: &'static str,
    /// The text that was given, cut at 40 characters.
    pub found: String,
    /// How to write it.
    pub hint: &'static str,
}

/// A number of bytes, written `8GiB`, `512MiB`, `2GB` or `1024B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Suffixes of [`ByteSize`], largest first within binary and decimal.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// A size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }
    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// Splits `15m` into the digits' value and the suffix; no sign, no blank at either end.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].strip_prefix(' ').unwrap_or(&text[end..])))
}

fn unit_error(kind: &'static str, found: &str, hint: &'static str) -> UnitError {
    UnitError { kind, found: found.chars().take(40).collect(), hint }
}

impl FromStr for ByteSize {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let read = || {
            let (number, suffix) = split(text)?;
            let (_, factor) = SIZES.iter().find(|(name, _)| *name == suffix)?;
            number.checked_mul(*factor).map(Self)
        };
        read().ok_or_else(|| {
            unit_error(
                "a size",
                text,
                "write a whole number and a unit: KiB, MiB, GiB, TiB, kB, MB, GB or TB, such as 8GiB",
            )
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |factor: u64| self.0 != 0 && self.0.is_multiple_of(factor);
        let (name, factor) = SIZES.iter().find(|(_, factor)| whole(*factor)).unwrap_or(&("B", 1));
        f.pad(&format!("{}{name}", self.0 / factor))
    }
}

/// A length of time in whole seconds, written `60s`, `15m`, `4h` or `14d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// Suffixes of [`Span`], largest first.
const TIMES: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl Span {
    /// One day.
    pub const DAY: Span = Span(86_400);
    /// The longest; keeps sums with Unix seconds inside `i64`.
    const MAX: u64 = i64::MAX as u64 / 2;
    /// A span of so many seconds.
    pub const fn from_seconds(seconds: u32) -> Self {
        Self(seconds as u64)
    }
    /// Seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let read = || {
            let (number, suffix) = split(text)?;
            let (_, factor) = TIMES.iter().find(|(name, _)| *name == suffix)?;
            number.checked_mul(*factor).filter(|seconds| *seconds <= Self::MAX).map(Self)
        };
        read().ok_or_else(|| {
            unit_error("a length of time", text, "write a whole number and s, m, h, d or w, such as 15m")
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |factor: u64| self.0 != 0 && self.0.is_multiple_of(factor);
        // Weeks are read and shown as days: 14d is what people write back.
        let (name, factor) = TIMES[1..].iter().find(|(_, factor)| whole(*factor)).unwrap_or(&("s", 1));
        f.pad(&format!("{}{name}", self.0 / factor))
    }
}

/// An amount of money, never negative, written `900 EUR` or `12.50 EUR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: [u8; 3],
}

impl Money {
    /// Hundredths of the currency's unit.
    pub const fn minor(self) -> i64 {
        self.minor
    }
    /// ISO 4217 code.
    pub fn currency(&self) -> &str {
        std::str::from_utf8(&self.currency).unwrap_or("XXX")
    }
}

impl FromStr for Money {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let read = || {
            let (amount, code) = text.split_once(' ')?;
            let (whole, cents) = match amount.split_once('.') {
                Some((whole, cents)) if cents.len() == 2 && digits(cents) => (whole, cents.parse().ok()?),
                Some(_) => return None,
                None => (amount, 0_i64),
            };
            if !digits(whole) || !code.bytes().all(|b| b.is_ascii_uppercase()) {
                return None;
            }
            let minor = whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(cents)?;
            Some(Self { minor, currency: code.as_bytes().try_into().ok()? })
        };
        read().ok_or_else(|| {
            unit_error(
                "an amount of money",
                text,
                "write an amount, a space and the currency's three letters, such as 900 EUR or 12.50 EUR",
            )
        })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, cents) = (self.minor / 100, self.minor % 100);
        let text = match cents {
            0 => format!("{whole} {}", self.currency()),
            _ => format!("{whole}.{cents:02} {}", self.currency()),
        };
        f.pad(&text)
    }
}

macro_rules! as_text {
    ($name:ident, $pattern:literal, $example:literal, $what:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": $what,
                    "pattern": $pattern,
                    "examples": [$example],
                })
            }
        }
    };
}

as_text!(ByteSize, "^[0-9]+ ?([KMGT]iB|kB|[MGT]B|B)$", "8GiB", "A number of bytes.");
as_text!(Span, "^[0-9]+ ?[smhdw]$", "15m", "A length of time.");
as_text!(Money, "^[0-9]+(\\.[0-9]{2})? [A-Z]{3}$", "900 EUR", "An amount of money.");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round<T: FromStr<Err = UnitError> + fmt::Display + fmt::Debug + PartialEq>(value: &T) {
        assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(value));
    }

    proptest! {
        #[test]
        fn every_value_reads_back_from_its_text(number: u64, shift in 0..64_u32, minor in 0..=i64::MAX, code in "[A-Z]{3}") {
            // Shifted, so that small numbers and round ones are as frequent as large ones.
            for number in [number >> shift, number << shift, (number >> shift).saturating_mul(3_600)] {
                round(&ByteSize(number));
                round(&Span(number.min(Span::MAX)));
            }
            round(&Money { minor: minor >> shift.min(62), currency: code.as_bytes().try_into().unwrap() });
        }

        #[test]
        fn no_text_panics_and_what_is_read_is_canonical(text in "[0-9]{0,22}[. ]?[0-9]{0,3}[ a-zA-Z]{0,4}|.{0,12}") {
            text.parse::<ByteSize>().iter().for_each(round);
            text.parse::<Span>().iter().for_each(round);
            text.parse::<Money>().iter().for_each(round);
        }
    }

    #[test]
    fn edges_read_back() {
        for number in [0, 1, 59, 60, 999, 1_000, 1_024, u64::MAX] {
            round(&ByteSize(number));
            round(&Span(number.min(Span::MAX)));
        }
        for minor in [0, 1, 99, 100, 101, i64::MAX] {
            round(&Money { minor, currency: *b"EUR" });
        }
    }

    #[test]
    fn texts_people_write_are_read() {
        assert_eq!("8GiB".parse(), Ok(ByteSize(8 << 30)));
        assert_eq!("512 MiB".parse(), Ok(ByteSize(512 << 20)));
        assert_eq!("2GB".parse(), Ok(ByteSize(2_000_000_000)));
        assert_eq!("14d".parse(), Ok(Span(14 * 86_400)));
        assert_eq!("2w".parse::<Span>().unwrap().to_string(), "14d");
        assert_eq!("12.50 EUR".parse(), Ok(Money { minor: 1_250, currency: *b"EUR" }));
        assert_eq!("900 EUR".parse::<Money>().unwrap().currency(), "EUR");
    }

    #[test]
    fn other_texts_are_refused_and_nothing_overflows() {
        for bad in ["", "8", "GiB", "-1GiB", "1.5GiB", "8gib", "8GiB ", "99999999999TiB", "8  GiB", "\u{664}GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?}");
        }
        for bad in ["", "60", "s", "-1s", "1M", "1h30m", "99999999999999999999d", "15250284452472w"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "900",
            "900EUR",
            "900 eur",
            "-1 EUR",
            "1.5 EUR",
            "1.505 EUR",
            ". EUR",
            "9 EURO",
            "99999999999999999 EUR",
            "1 \u{20ac}",
        ] {
            assert!(bad.parse::<Money>().is_err(), "{bad:?}");
        }
    }
}

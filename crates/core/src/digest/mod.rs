//! Digests: short names for "exactly this input".

mod feed;

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// SHA-256 cut to 16 bytes, shown as hex. Used to compare, never to keep a secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Digest of raw bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::cut(Sha256::digest(bytes).as_slice())
    }

    /// Digest of a value. Structs are told in field order and all maps of ours are ordered, so
    /// equal values give equal digests; renaming an enum's variant, or adding a field, gives others.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        let mut digester = Digester::default();
        digester.add(value);
        digester.digest()
    }

    /// Digest of a value's JSON, for names that are kept on disk and must outlive releases.
    pub fn of_json<T: Serialize>(value: &T) -> Self {
        let json = serde_json::to_vec(value).expect("our own types have string keys");
        Self::of_bytes(&json)
    }

    fn cut(full: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&full[..16]);
        Self(bytes)
    }

    /// First eight hex digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

/// Makes one digest of many values, told one after the other.
#[derive(Default)]
pub struct Digester(feed::Feed);

impl Digester {
    /// Tells the next value.
    pub fn add<T: Serialize + ?Sized>(&mut self, value: &T) {
        value.serialize(&mut self.0).expect("our own types never refuse to be serialised");
    }

    /// The digest of all values.
    pub fn digest(self) -> Digest {
        Digest::cut(&self.0.finish())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).try_for_each(|digit| f.write_char(digit))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl Serialize for Digest {
    /// Hex for people; bytes where a digest goes into another.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match s.is_human_readable() {
            true => s.collect_str(self),
            false => s.serialize_bytes(&self.0),
        }
    }
}
impl std::str::FromStr for Digest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a digest of 32 hex digits");
        if text.len() != 32 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 16];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_digest_reads_back_from_its_text() {
        let digest = Digest::of_bytes(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223", "SHA-256 of FIPS 180-2, cut");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(serde_json::from_str::<Digest>(&serde_json::to_string(&digest).unwrap()).unwrap(), digest);
        for bad in ["", "ba78", "BA7816bf8f01cfea414140de5dae222é", "zz7816bf8f01cfea414140de5dae2223"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_near_is_told_apart() {
        #[derive(Serialize)]
        struct Two<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            one: Option<u8>,
            other: &'a [&'a str],
        }
        let two = |one, other| Digest::of(&Two { one, other });
        let map = |pairs: &[(&'static str, u8)]| Digest::of(&pairs.iter().copied().collect::<BTreeMap<_, _>>());
        let all = [
            two(None, &[]),
            two(Some(0), &[]),
            two(Some(1), &[]),
            two(None, &[""]),
            two(None, &["", ""]),
            two(None, &["ab"]),
            two(None, &["a", "b"]),
            two(None, &["\u{1}a"]),
            map(&[]),
            map(&[("a", 1)]),
            map(&[("a", 1), ("b", 0)]),
            Digest::of(&(1_u64 << 40)),
            Digest::of(&-1_i64),
            Digest::of("x".repeat(255).as_str()),
            Digest::of("x".repeat(256).as_str()),
            Digest::of("x".repeat(257).as_str()),
        ];
        let kinds: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(kinds.len(), all.len(), "{all:?}");
        assert_eq!(two(Some(7), &["a"]), two(Some(7), &["a"]));
    }
}

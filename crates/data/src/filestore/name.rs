//! Names of the filestore's files and of their objects.
//!
//! The rule: whatever reaches a path or an object's name went through [`FileName`], which holds nothing but twenty
//! bytes. Names come from Odoo's folder and from a database, and both may be hostile.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;
use serde::{Deserialize, Serialize};

/// Below this the objects lie, as `files/<2 hex>/<sha1>`.
pub(super) const FILES: &str = "files";
/// Below this lies what was found under a name that it does not have.
pub(super) const WRONG: &str = "wrong";

/// A file by what it holds: the SHA-1 of its content, which is its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName([u8; 20]);

/// The text is not forty hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-1 in lower case")]
pub struct NotASha1;

impl FileName {
    /// Of a digest.
    pub fn new(sha1: [u8; 20]) -> Self {
        Self(sha1)
    }

    /// Of `ir_attachment.store_fname`: `<2 hex>/<sha1>`, or `<3 hex>/<sha1>` as Odoo before 8.0 wrote and 14.0
    /// still reads. The folder must be the beginning of the name.
    pub fn of_store_fname(text: &str) -> Option<Self> {
        let (folder, name) = text.split_once('/')?;
        let name: Self = name.parse().ok()?;
        name.may_lie_in(folder).then_some(name)
    }

    /// Of an object's name; none if it is not one of ours.
    pub(super) fn of_object(object: &Path) -> Option<Self> {
        let name = Self::of_store_fname(object.as_ref().strip_prefix(FILES)?.strip_prefix('/')?)?;
        (name.object() == *object).then_some(name)
    }

    /// Whether Odoo puts it into a folder of this name.
    pub(super) fn may_lie_in(&self, folder: &str) -> bool {
        matches!(folder.len(), 2 | 3) && self.to_string().starts_with(folder)
    }

    /// Its twenty bytes.
    pub fn bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// Its object: `files/<2 hex>/<sha1>`.
    pub fn object(&self) -> Path {
        let hex = self.to_string();
        Path::from_iter([FILES, &hex[..2], &hex])
    }

    /// The object of content `found` that lay under this name: `wrong/<2 hex>/<name>/<sha1 of the content>`.
    pub fn wrong_object(&self, found: &Self) -> Path {
        let hex = self.to_string();
        Path::from_iter([WRONG, &hex[..2], &hex, &found.to_string()])
    }
}

impl FromStr for FileName {
    type Err = NotASha1;

    fn from_str(text: &str) -> Result<Self, NotASha1> {
        let digits = text.as_bytes();
        if digits.len() != 40 {
            return Err(NotASha1);
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(NotASha1),
        };
        let mut sha1 = [0; 20];
        for (byte, pair) in sha1.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (value(pair[0])? << 4) | value(pair[1])?;
        }
        Ok(Self(sha1))
    }
}

impl TryFrom<String> for FileName {
    type Error = NotASha1;

    fn try_from(text: String) -> Result<Self, NotASha1> {
        text.parse()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text of somebody else's for a person: one line, no control characters, not long.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut kept: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";

    #[test]
    fn only_odoos_names_are_names() {
        let name: FileName = HEX.parse().unwrap();
        assert_eq!(name.to_string(), HEX);
        assert_eq!(name.object().as_ref(), format!("files/0a/{HEX}"));
        assert_eq!(FileName::of_object(&name.object()), Some(name));
        assert_eq!(FileName::of_store_fname(&format!("0a/{HEX}")), Some(name));
        assert_eq!(FileName::of_store_fname(&format!("0a1/{HEX}")), Some(name));
        let upper = HEX.to_uppercase();
        for bad in [
            format!("0b/{HEX}"),
            format!("0a/{upper}"),
            format!("0a/{HEX}0"),
            format!("0a//{HEX}"),
            format!("../{HEX}"),
            format!("/0a/{HEX}"),
            format!("0a/{HEX}\n"),
            "0a/../../etc/passwd".to_owned(),
            HEX.to_owned(),
            String::new(),
        ] {
            assert_eq!(FileName::of_store_fname(&bad), None, "{bad:?}");
        }
        for bad in [format!("files/{HEX}"), format!("files/0a1/{HEX}"), format!("wrong/0a/{HEX}")] {
            assert_eq!(FileName::of_object(&Path::from(bad.as_str())), None, "{bad}");
        }
    }

    #[test]
    fn it_is_text_in_json() {
        let name: FileName = HEX.parse().unwrap();
        let text = serde_json::to_string(&name).unwrap();
        assert_eq!(text, format!("\"{HEX}\""));
        assert_eq!(serde_json::from_str::<FileName>(&text).unwrap(), name);
        assert!(serde_json::from_str::<FileName>("\"../x\"").is_err());
    }
}

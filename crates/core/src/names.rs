//! Names that people choose. Each is a newtype that can only hold a safe value: `FromStr` checks,
//! `Deserialize` goes through it, the JSON Schema carries the same bounds.
//!
//! Length budget: PostgreSQL cuts identifiers at 63 bytes. The longest name derived from an
//! environment is a database role, `<environment>_monitor` (+8), so 40 characters leave room for
//! clones (`<environment>_restore_<14 digits>`, +23). Hyphens become underscores in SQL.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {found:?} {problem}")]
pub struct NameError {
    /// What kind of name was expected.
    pub kind: &'static str,
    /// The text that was given, cut at 80 characters.
    pub found: String,
    /// What is wrong with it and what is allowed.
    pub problem: String,
}

fn name_error(kind: &'static str, found: &str, problem: impl Into<String>) -> NameError {
    NameError { kind, found: found.chars().take(80).collect(), problem: problem.into() }
}

/// Lower-case letters, digits and single hyphens; starts with a letter, ends with a letter or digit.
fn check_label(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(name_error(kind, text, "is empty"));
    }
    if text.len() > max {
        return Err(name_error(kind, text, format!("is {} characters long, the limit is {max}", text.len())));
    }
    let bytes = text.as_bytes();
    let allowed = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    if let Some(bad) = text.chars().find(|c| !c.is_ascii() || !allowed(&(*c as u8))) {
        return Err(name_error(kind, text, format!("has the character {bad:?}; use a-z, 0-9 and hyphens")));
    }
    if !bytes[0].is_ascii_lowercase() {
        return Err(name_error(kind, text, "must start with a letter a-z"));
    }
    if bytes[bytes.len() - 1] == b'-' || text.contains("--") {
        return Err(name_error(kind, text, "may not end with a hyphen or hold two in a row"));
    }
    Ok(())
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The most characters it may have.
            pub const MAX: usize = $max;
            /// A valid example, used by the schema and the tests.
            pub const EXAMPLE: &'static str = $example;
            /// The name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check_label($kind, text, Self::MAX)?;
                Ok(Self(text.into()))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{:?}", &*self.0) }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(&self.0) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": "^[a-z](-?[a-z0-9])*$",
                    "minLength": 1,
                    "maxLength": $max,
                    "examples": [$example],
                })
            }
        }
    };
}

label!(
    /// Name of an estate: all that one repository declares.
    EstateName, "estate name", 40, "acme"
);
label!(
    /// Name of an environment: one Odoo with its data tier.
    EnvironmentName, "environment name", 40, "prod"
);
label!(
    /// Name of a peak: a dated surge with a multiplier.
    PeakName, "peak name", 60, "black-friday"
);
label!(
    /// Name of a pool that several small environments share.
    PoolName, "pool name", 40, "small"
);

impl EnvironmentName {
    /// The environment's name as it may stand inside an SQL identifier (hyphens to underscores).
    pub fn sql_stem(&self) -> String {
        self.as_str().replace('-', "_")
    }
    /// Name of the Odoo database, of its filestore folder, and of the `dbfilter`.
    pub fn database(&self) -> String {
        self.sql_stem()
    }

    /// What the name already means to a part of the data path, if it means anything: a well-formed
    /// name that no environment can have.
    pub fn taken(&self) -> Option<&'static str> {
        match self.as_str() {
            "postgres" | "template0" | "template1" => Some("a database that every PostgreSQL has"),
            "pgbouncer" => Some("the console of PgBouncer"),
            "all" | "sameuser" | "samerole" | "samegroup" | "replication" => {
                Some("a word of PostgreSQL's access rules, not a database")
            }
            "true" | "false" | "none" => Some("a value, not a name, in Odoo's configuration"),
            "proxy" | "notice" | "estate" => Some("a part of the estate itself"),
            _ => None,
        }
    }
}

/// Technical name of an Odoo module, such as `sale_management`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(std::sync::Arc<str>);

impl ModuleName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModuleName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        const KIND: &str = "module name";
        if text.is_empty() || text.len() > 64 {
            return Err(name_error(KIND, text, "must have 1 to 64 characters"));
        }
        let ok = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !ok || !text.as_bytes()[0].is_ascii_lowercase() {
            return Err(name_error(
                KIND,
                text,
                "must be like `sale_management`: a-z, 0-9 and _, starting with a letter",
            ));
        }
        Ok(Self(text.into()))
    }
}
impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
impl Serialize for ModuleName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for ModuleName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
impl JsonSchema for ModuleName {
    fn schema_name() -> Cow<'static, str> {
        "ModuleName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$", "examples": ["sale_management"] })
    }
}

/// A DNS host name that users type, lower case, without port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(std::sync::Arc<str>);

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = NameError;
    /// RFC 1123: labels of 1-63 letters, digits and inner hyphens, 253 characters in all.
    fn from_str(text: &str) -> Result<Self, NameError> {
        const KIND: &str = "host name";
        if text.is_empty() || text.len() > 253 {
            return Err(name_error(KIND, text, "must have 1 to 253 characters"));
        }
        for label in text.split('.') {
            let ok = (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-');
            if !ok {
                return Err(name_error(
                    KIND,
                    text,
                    "must be labels of a-z, 0-9 and inner hyphens joined by dots, such as erp.acme.example",
                ));
            }
        }
        Ok(Self(text.into()))
    }
}
impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
impl Serialize for HostName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
impl JsonSchema for HostName {
    fn schema_name() -> Cow<'static, str> {
        "HostName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
            "maxLength": 253,
            "examples": ["erp.acme.example"],
        })
    }
}

/// Name of a bucket of an S3 store: what Amazon lets buckets be called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(std::sync::Arc<str>);

impl BucketName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        const KIND: &str = "bucket name";
        if !(3..=63).contains(&text.len()) {
            return Err(name_error(KIND, text, "must have 3 to 63 characters"));
        }
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if !text.split('.').all(part) {
            return Err(name_error(
                KIND,
                text,
                "must be made of a-z, 0-9 and inner hyphens and dots, such as acme-far",
            ));
        }
        Ok(Self(text.into()))
    }
}
impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
impl Serialize for BucketName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for BucketName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
impl JsonSchema for BucketName {
    fn schema_name() -> Cow<'static, str> {
        "BucketName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
            "minLength": 3,
            "maxLength": 63,
            "examples": ["acme-far"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_valid_and_the_longest_fit_postgresql() {
        assert!(EstateName::EXAMPLE.parse::<EstateName>().is_ok());
        assert!(PeakName::EXAMPLE.parse::<PeakName>().is_ok());
        let longest: EnvironmentName = "e".repeat(EnvironmentName::MAX).parse().unwrap();
        assert!(longest.sql_stem().len() + "_restore_20261127060000".len() <= 63);
    }

    #[test]
    fn buckets_are_called_as_stores_let_them() {
        for good in ["abc", "acme-far", "a.b.c", "1-2", &"x".repeat(63)] {
            assert!(good.parse::<BucketName>().is_ok(), "{good:?}");
        }
        for bad in ["", "ab", "-ab", "ab-", "a..b", ".ab", "ab.", "Abc", "a_b", "a/b", "a b", "a\nb", &"x".repeat(64)] {
            assert!(bad.parse::<BucketName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for bad in
            ["", "a b", "a;b", "a'b", "../a", "a\nb", "{{a}}", "-a", "a-", "a--b", "Ab", "1a", "é", &"x".repeat(41)]
        {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad:?} was accepted");
            assert!(bad.parse::<ModuleName>().is_err() || bad.len() == 41, "{bad:?} was accepted as module");
        }
        for bad in ["", "a b", "a;b", "a..b", "-a.b", "a-.b", "A.b", "a/b", "a:80", "`x`", "a\nb"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?} was accepted as host");
        }
    }
}

//! Where backups go.
//!
//! Values come from the estate file and the secrets, so nothing here is trusted: [`Place::check`] is called before
//! anything is opened. The rule: a key never shows in `Debug` or `Display`, and never travels without TLS but to
//! this machine.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use object_store::path::Path;
use reqwest::Url;
use secrecy::SecretString;

use super::ObjectsError;

/// Longest prefix, in bytes: S3 allows 1,024 for a whole name.
const LONGEST_PREFIX: usize = 512;

/// A place that objects are kept in.
#[derive(Clone, Debug)]
pub enum Place {
    /// A folder of this machine, absolute. It exists: a mount that is missing must not fill the disk below it.
    Folder(PathBuf),
    /// A bucket of an S3 store.
    S3(S3Place),
}

/// A bucket of an S3 store, and what is needed to use it.
#[derive(Clone)]
pub struct S3Place {
    /// Base URL, `https://host[:port]`; `http://` only for a loopback address.
    pub endpoint: String,
    /// Region that requests are signed for.
    pub region: String,
    /// Bucket; it exists.
    pub bucket: String,
    /// Folder-like beginning of all names in the bucket; may be empty.
    pub prefix: String,
    /// Certificates (PEM) of the only authorities that the store's certificate may come from; without, the system's.
    pub authority_pem: Option<String>,
    /// What requests are signed with.
    pub keys: Keys,
}

/// An access key and its secret.
#[derive(Clone)]
pub struct Keys {
    /// Identifier of the key; the store writes it into its logs.
    pub access: String,
    /// The secret.
    pub secret: SecretString,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl fmt::Debug for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, bucket, prefix, authority_pem, keys } = self;
        f.debug_struct("S3Place")
            .field("endpoint", endpoint)
            .field("region", region)
            .field("bucket", bucket)
            .field("prefix", prefix)
            .field("own_authority", &authority_pem.is_some())
            .field("keys", keys)
            .finish()
    }
}

/// How people are told of it: `/folder` or `s3://bucket/prefix at https://host`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::S3(place) => place.fmt(f),
        }
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{prefix} at {}", self.bucket, self.endpoint)
    }
}

impl Place {
    /// Whether the place could be used, by its words alone: nothing is asked of disk or network.
    ///
    /// # Errors
    /// [`ObjectsError::Place`] with what is wrong.
    pub fn check(&self) -> Result<(), ObjectsError> {
        match self {
            Self::Folder(folder) if folder.is_absolute() => Ok(()),
            Self::Folder(folder) => Err(wrong(&folder.display(), "a folder is given by its absolute path")),
            Self::S3(place) => place.check(),
        }
    }
}

impl S3Place {
    /// As [`Place::check`].
    ///
    /// # Errors
    /// [`ObjectsError::Place`] with what is wrong; it never repeats a key.
    pub fn check(&self) -> Result<(), ObjectsError> {
        let Self { endpoint: _, region, bucket, prefix, authority_pem: _, keys } = self;
        self.url()?;
        if !bucket_name(bucket) {
            return Err(wrong(bucket, "a bucket's name is 3 to 63 lower-case letters, digits, dots and hyphens"));
        }
        if region.is_empty() || region.len() > 64 || !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(wrong(region, "a region is letters, digits and hyphens"));
        }
        // It stands in a header between commas and slashes.
        let readable = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b',' | b'=');
        if keys.access.is_empty() || keys.access.len() > 128 || !keys.access.bytes().all(readable) {
            return Err(wrong(bucket, "the access key is empty or not plain ASCII without '/', ',' and '='"));
        }
        below(prefix).map(drop)
    }

    /// The endpoint, checked.
    pub(super) fn url(&self) -> Result<Url, ObjectsError> {
        // Words only: what was written may hold a password.
        let wrong = |why| wrong(&format_args!("bucket {:?}", self.bucket), why);
        let url = Url::parse(&self.endpoint).map_err(|_| wrong("the endpoint is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the endpoint holds a user or password; keys are secrets"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("the endpoint is scheme, host and port only; folders go into the prefix"));
        }
        match (url.scheme(), url.host_str()) {
            ("https", Some(host)) if !host.is_empty() => Ok(url),
            ("http", Some(host)) if loopback(host) => Ok(url),
            ("http", _) => Err(wrong("without TLS only a loopback address may be used; write https://")),
            _ => Err(wrong("the endpoint must begin with https://")),
        }
    }
}

/// A literal address only: what a name means is somebody else's answer.
fn loopback(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn bucket_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| plain(b) || matches!(b, b'.' | b'-'))
        && !name.contains("..")
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
}

/// A folder-like part of a name: no empty part, no `.` or `..`, no control character.
pub(super) fn below(text: &str) -> Result<Path, ObjectsError> {
    let refuse = || wrong(&format_args!("{text:?}"), "not usable as the beginning of names");
    if text.len() > LONGEST_PREFIX || text.chars().any(|c| c.is_control() || c == '\\') {
        return Err(refuse());
    }
    Path::parse(text).map_err(|_| refuse())
}

fn wrong(what: &dyn fmt::Display, why: &'static str) -> ObjectsError {
    ObjectsError::Place { what: what.to_string().escape_debug().collect(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(endpoint: &str) -> S3Place {
        S3Place {
            endpoint: endpoint.into(),
            region: "eu-central-1".into(),
            bucket: "far".into(),
            prefix: "shop/production".into(),
            authority_pem: Some("-----BEGIN".into()),
            keys: Keys { access: "AKIAPLAIN".into(), secret: SecretString::from("wJalr/secret") },
        }
    }

    #[test]
    fn an_endpoint_needs_tls_but_on_loopback() {
        for fine in ["https://s3.example", "https://s3.example:9000/", "http://127.0.0.1:7070", "http://[::1]:7070"] {
            place(fine).check().unwrap();
        }
        for bad in [
            "http://s3.example",
            "http://localhost:7070",
            "http://127.0.0.1.example",
            "http://10.0.0.1",
            "ftp://s3.example",
            "https://",
            "https://u:hunter2@s3.example",
            "https://s3.example/bucket",
            "https://s3.example?x=1",
            "s3.example",
            "",
        ] {
            let error = place(bad).check().expect_err(bad);
            assert_eq!(error.code(), "E1000");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn words_are_checked() {
        for bucket in ["ab", "Far", "far_1", "-far", "far-", "a..b", "far/x", "far\n", ""] {
            let bad = S3Place { bucket: bucket.into(), ..place("https://s3.example") };
            assert!(bad.check().is_err(), "{bucket:?}");
        }
        for prefix in ["a//b", "../a", "a/./b", "a\\b", "a\nb", &"x".repeat(513)] {
            let bad = S3Place { prefix: prefix.into(), ..place("https://s3.example") };
            assert!(bad.check().is_err(), "{prefix:?}");
        }
        for (access, region) in [("", "eu"), ("a b", "eu"), ("a/b", "eu"), ("a\r\nx: y", "eu"), ("a", "e/u"), ("a", "")]
        {
            let keys = Keys { access: access.into(), secret: SecretString::from("s") };
            let bad = S3Place { keys, region: region.into(), ..place("https://s3.example") };
            assert!(bad.check().is_err(), "{access:?} {region:?}");
        }
        assert!(Place::Folder("relative".into()).check().is_err());
        Place::Folder("/var/backup".into()).check().unwrap();
    }

    #[test]
    fn no_key_is_shown() {
        let place = Place::S3(place("https://s3.example"));
        let shown = format!("{place} {place:?} {place:#?}");
        assert!(shown.contains("s3://far/shop/production at https://s3.example"), "{shown}");
        assert!(!shown.contains("wJalr") && !shown.contains("AKIA") && !shown.contains("BEGIN"), "{shown}");
    }
}

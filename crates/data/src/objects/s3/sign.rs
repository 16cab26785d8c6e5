//! Signature version 4 of S3 requests, over `hmac` and `sha2`.
//!
//! The rule: what is signed is what is sent. Path and query come encoded by [`encode`] and [`query`], and the
//! caller sends exactly these.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// All but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// Who signs, for which region.
pub(super) struct Signer<'a> {
    pub access: &'a str,
    pub secret: &'a SecretString,
    pub region: &'a str,
    pub service: &'a str,
}

/// A request, as far as it is signed.
pub(super) struct Asked<'a> {
    pub method: &'a str,
    /// Encoded.
    pub path: &'a str,
    /// Encoded, sorted.
    pub query: &'a str,
    /// Lower-case names with trimmed values, sorted by name.
    pub headers: &'a [(String, String)],
    /// SHA-256 of the body, in hexadecimal.
    pub body_hash: &'a str,
    /// The time that `x-amz-date` says.
    pub at: Timestamp,
}

impl Signer<'_> {
    /// The value of the header `authorization`.
    pub fn authorization(&self, asked: &Asked<'_>) -> String {
        let mut canonical = format!("{}\n{}\n{}\n", asked.method, asked.path, asked.query);
        let mut names = String::new();
        for (name, value) in asked.headers {
            let _ = writeln!(canonical, "{name}:{value}");
            if !names.is_empty() {
                names.push(';');
            }
            names.push_str(name);
        }
        let _ = write!(canonical, "\n{names}\n{}", asked.body_hash);
        let time = stamp(asked.at);
        let day = &time[..8];
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let signed = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(canonical.as_bytes()));
        let mut key = mac(format!("AWS4{}", self.secret.expose_secret()).as_bytes(), day);
        for part in [self.region, self.service, "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex(&mac(&key, &signed));
        let access = self.access;
        format!("AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

/// The value of `x-amz-date`.
pub(super) fn stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// SHA-256 in hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A name as part of a path.
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, ENCODED_PATH).to_string()
}

/// Encoded and sorted parameters.
pub(super) fn query(parameters: &[(&str, &str)]) -> String {
    let one = |text| utf8_percent_encode(text, ENCODED).to_string();
    let mut all: Vec<String> = parameters.iter().map(|(name, value)| format!("{}={}", one(name), one(value))).collect();
    all.sort();
    all.join("&")
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// The signature for the bucket, day and key of the examples in Amazon's S3 reference, "Authenticating
    /// Requests: Using the Authorization Header".
    fn example(method: &str, path: &str, query: &str, more: &[(&str, &str)], body_hash: &str) -> String {
        let secret = SecretString::from("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let signer = Signer { access: "AKIAIOSFODNN7EXAMPLE", secret: &secret, region: "us-east-1", service: "s3" };
        let mut headers: Vec<(String, String)> = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-content-sha256", body_hash),
            ("x-amz-date", "20130524T000000Z"),
        ]
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        headers.sort();
        let at = "2013-05-24T00:00:00Z".parse().unwrap();
        let asked = Asked { method, path, query, headers: &headers, body_hash, at };
        let whole = signer.authorization(&asked);
        assert!(
            whole.starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,")
        );
        whole.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_published_examples_come_out() {
        assert_eq!(
            example("GET", "/test.txt", "", &[("range", "bytes=0-9")], EMPTY),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(
            example(
                "PUT",
                &encode("/test$file.text"),
                "",
                &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
                &hash(b"Welcome to Amazon S3.")
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            example("GET", "/", &query(&[("lifecycle", "")]), &[], EMPTY),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            example("GET", "/", &query(&[("prefix", "J"), ("max-keys", "2")]), &[], EMPTY),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn the_published_vanilla_request_comes_out() {
        let secret = SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signer = Signer { access: "AKIDEXAMPLE", secret: &secret, region: "us-east-1", service: "service" };
        let headers = [
            ("host".to_owned(), "example.amazonaws.com".to_owned()),
            ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()),
        ];
        let at = "2015-08-30T12:36:00Z".parse().unwrap();
        let ask = |query| Asked { method: "GET", path: "/", query, headers: &headers, body_hash: EMPTY, at };
        assert!(
            signer
                .authorization(&ask(""))
                .ends_with("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
        );
        // Unsorted parameters are sorted; the published case get-vanilla-query-order-key-case.
        assert!(
            signer
                .authorization(&ask(&query(&[("Param2", "value2"), ("Param1", "value1")])))
                .ends_with("Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")
        );
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encode("a b/ü+*~'%"), "a%20b/%C3%BC%2B%2A~%27%25");
        assert_eq!(query(&[("prefix", "a/b c")]), "prefix=a%2Fb%20c");
        assert_eq!(hash(b""), EMPTY);
        assert_eq!(stamp("2026-11-24T03:04:05.6Z".parse().unwrap()), "20261124T030405Z");
    }
}

//! The XML of S3's answers, read by a parser into what we need of them.

use jiff::Timestamp;
use quick_xml::de;
use quick_xml::escape::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Retention, RetentionMode};

/// What a store says to what it refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Refusal {
    pub code: String,
    pub message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersioningConfiguration {
    pub status: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ObjectLockConfiguration {
    pub object_lock_enabled: Option<String>,
    pub rule: Option<LockRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LockRule {
    pub default_retention: Option<DefaultRetention>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DefaultRetention {
    pub mode: Option<String>,
    pub days: Option<u32>,
    pub years: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ObjectRetention {
    pub mode: Option<String>,
    pub retain_until_date: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LegalHold {
    pub status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DeleteResult {
    pub deleted: Vec<BulkLine>,
    pub error: Vec<BulkLine>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct BulkLine {
    pub key: String,
    pub version_id: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListVersionsResult {
    pub encoding_type: Option<String>,
    pub is_truncated: bool,
    pub next_key_marker: Option<String>,
    pub next_version_id_marker: Option<String>,
    pub version: Vec<VersionLine>,
    pub delete_marker: Vec<VersionLine>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionLine {
    pub key: String,
    pub version_id: Option<String>,
    #[serde(default)]
    pub is_latest: bool,
    pub last_modified: Option<Timestamp>,
    #[serde(default)]
    pub size: u64,
}

/// Reads an answer whose outermost element is `root`, or what some stores write in its place.
pub(super) fn read<T: DeserializeOwned>(root: &str, body: &[u8]) -> Option<T> {
    let also = if root == "Retention" { "ObjectLockRetention" } else { root };
    let text = std::str::from_utf8(body).ok()?;
    // The parser takes any outermost element, and a proxy's page must not pass for an empty answer.
    let found = outermost(body)?;
    (found == root || found == also).then(|| de::from_str(text).ok()).flatten()
}

/// The local name of the outermost element, if this may be an answer of S3.
pub(in crate::objects) fn outermost(body: &[u8]) -> Option<String> {
    let mut reader = quick_xml::Reader::from_str(std::str::from_utf8(body).ok()?);
    loop {
        match reader.read_event().ok()? {
            quick_xml::events::Event::Start(start) | quick_xml::events::Event::Empty(start) => {
                return String::from_utf8(start.local_name().as_ref().to_vec()).ok();
            }
            quick_xml::events::Event::Decl(_) | quick_xml::events::Event::Comment(_) => {}
            quick_xml::events::Event::Text(text) if text.iter().all(u8::is_ascii_whitespace) => {}
            // No S3 answer has a document type; none is read.
            _ => return None,
        }
    }
}

/// The body of PutObjectRetention.
pub(super) fn retention(retention: &Retention) -> String {
    let Retention { mode, until } = retention;
    format!(
        "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode>\
         <RetainUntilDate>{until}</RetainUntilDate></Retention>",
        mode.word()
    )
}

/// The body of PutObjectLockConfiguration.
pub(super) fn default_retention(default: super::DefaultRetention) -> String {
    let super::DefaultRetention { mode, days } = default;
    format!(
        "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>{}</Mode><Days>{days}</Days>\
         </DefaultRetention></Rule></ObjectLockConfiguration>",
        mode.word()
    )
}

/// The body of PutObjectLegalHold.
pub(super) fn legal_hold(on: bool) -> String {
    let status = if on { "ON" } else { "OFF" };
    format!("<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{status}</Status></LegalHold>")
}

/// The body of DeleteObjects; `None` if a name cannot be written in XML.
pub(super) fn bulk(objects: &[(String, String)]) -> Option<String> {
    let mut body = String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>false</Quiet>");
    for (key, version) in objects {
        if key.chars().chain(version.chars()).any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
            return None;
        }
        body.push_str("<Object><Key>");
        body.push_str(&escape(key.as_str()));
        body.push_str("</Key><VersionId>");
        body.push_str(&escape(version.as_str()));
        body.push_str("</VersionId></Object>");
    }
    body.push_str("</Delete>");
    Some(body)
}

impl ObjectRetention {
    /// Absent if the answer holds none; an error in words if it cannot be understood.
    pub fn checked(&self) -> Result<Option<Retention>, &'static str> {
        let (Some(mode), Some(until)) = (&self.mode, &self.retain_until_date) else { return Ok(None) };
        let mode = RetentionMode::parse(mode).ok_or("the retention has an unknown mode")?;
        let until = until.parse().map_err(|_| "the retention's end is not a time")?;
        Ok(Some(Retention { mode, until }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_markers_may_alternate() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>far</Name><IsTruncated>true</IsTruncated>
            <NextKeyMarker>b</NextKeyMarker><NextVersionIdMarker>2</NextVersionIdMarker>
            <Version><Key>a&amp;b</Key><VersionId>1</VersionId><IsLatest>false</IsLatest><LastModified>2026-11-24T01:02:03.000Z</LastModified><ETag>"x"</ETag><Size>7</Size><Owner><ID>o</ID></Owner></Version>
            <DeleteMarker><Key>a&amp;b</Key><VersionId>2</VersionId><IsLatest>true</IsLatest></DeleteMarker>
            <Version><Key>b</Key><VersionId>null</VersionId></Version></ListVersionsResult>"#;
        let list: ListVersionsResult = read("ListVersionsResult", body).unwrap();
        assert!(list.is_truncated);
        assert_eq!(list.next_version_id_marker.as_deref(), Some("2"));
        let keys: Vec<_> = list.version.iter().map(|line| (line.key.as_str(), line.size)).collect();
        assert_eq!(keys, [("a&b", 7), ("b", 0)]);
        assert!(list.delete_marker[0].is_latest);
    }

    #[test]
    fn what_is_not_the_answer_is_not_read() {
        let page = b"<html><body><p>Welcome to the proxy</p></body></html>";
        assert!(read::<VersioningConfiguration>("VersioningConfiguration", page).is_none());
        assert!(read::<DeleteResult>("DeleteResult", b"<Error><Code>SlowDown</Code></Error>").is_none());
        for broken in [&b""[..], b"<", b"{}", b"\xff\xfe", b"<DeleteResult><Deleted>", b"plain"] {
            assert!(read::<DeleteResult>("DeleteResult", broken).is_none(), "{broken:?}");
        }
        // An entity of a document type is not expanded.
        let bomb = br#"<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><VersioningConfiguration><Status>&a;</Status></VersioningConfiguration>"#;
        assert!(read::<VersioningConfiguration>("VersioningConfiguration", bomb).is_none());
        // The control: the same without those is read.
        let fine: VersioningConfiguration = read(
            "VersioningConfiguration",
            b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        )
        .unwrap();
        assert_eq!(fine.status.as_deref(), Some("Enabled"));
    }

    #[test]
    fn names_do_not_leave_their_element() {
        let body = bulk(&[("a</Key><Key>b&".to_owned(), "v\"1".to_owned())]).unwrap();
        assert!(body.contains("a&lt;/Key&gt;&lt;Key&gt;b&amp;"), "{body}");
        assert!(bulk(&[("a\u{1}".to_owned(), "v".to_owned())]).is_none());
    }

    #[test]
    fn a_retention_is_read_or_refused() {
        let of = |mode: &str, until: &str| ObjectRetention {
            mode: Some(mode.into()),
            retain_until_date: Some(until.into()),
        };
        let read = of("COMPLIANCE", "2026-11-24T01:02:03.000Z").checked().unwrap().unwrap();
        assert_eq!(read.mode, RetentionMode::Compliance);
        assert_eq!(read.until, "2026-11-24T01:02:03Z".parse().unwrap());
        assert!(of("FOREVER", "2026-11-24T01:02:03Z").checked().is_err());
        assert!(of("COMPLIANCE", "soon").checked().is_err());
        assert_eq!(ObjectRetention { mode: None, retain_until_date: None }.checked().unwrap(), None);
    }
}

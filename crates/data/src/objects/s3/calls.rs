//! One function per call.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use reqwest::Method;

use super::xml;
use super::{
    BulkOutcome, BulkRefusal, Call, DefaultRetention, Fault, Marker, ObjectLock, Retention, RetentionMode, S3, Version,
    Versioning, Versions, of_code,
};
use crate::objects::error::printable;
use crate::objects::{ObjectsError, Trouble};

/// Most versions that one bulk deletion takes.
const BULK: usize = 1000;
const BYPASS: (&str, &str) = ("x-amz-bypass-governance-retention", "true");

/// Every call fails with [`ObjectsError::Store`] as its trouble says.
impl S3 {
    /// Whether the bucket keeps versions.
    pub async fn versioning(&self) -> Result<Versioning, ObjectsError> {
        let mut call = self.call("ask whether versions are kept".into(), Method::GET, "");
        call.query = &[("versioning", "")];
        let read: xml::VersioningConfiguration = self.ask(&call, "VersioningConfiguration").await?;
        match read.status.as_deref() {
            None | Some("") => Ok(Versioning::Never),
            Some("Enabled") => Ok(Versioning::Enabled),
            Some("Suspended") => Ok(Versioning::Suspended),
            Some(_) => Err(self.garbled(&call, "unknown status")),
        }
    }

    /// Object Lock of the bucket; `None` if it has none.
    pub async fn object_lock(&self) -> Result<Option<ObjectLock>, ObjectsError> {
        let mut call = self.call("ask whether objects can be locked".into(), Method::GET, "");
        call.query = &[("object-lock", "")];
        let read: xml::ObjectLockConfiguration = match self.ask(&call, "ObjectLockConfiguration").await {
            Err(fault) if fault.code == "ObjectLockConfigurationNotFoundError" => return Ok(None),
            read => read?,
        };
        if read.object_lock_enabled.as_deref() != Some("Enabled") {
            return Ok(None);
        }
        let Some(rule) = read.rule.and_then(|rule| rule.default_retention) else {
            return Ok(Some(ObjectLock { default: None }));
        };
        let mode = rule.mode.as_deref().and_then(RetentionMode::parse);
        let days = rule.days.or(rule.years.map(|years| years.saturating_mul(365)));
        match (mode, days) {
            (Some(mode), Some(days)) => Ok(Some(ObjectLock { default: Some(DefaultRetention { mode, days }) })),
            _ => Err(self.garbled(&call, "a default retention without mode or length")),
        }
    }

    /// Makes the bucket, with versions and Object Lock or without both.
    pub async fn create(&self, lockable: bool) -> Result<(), ObjectsError> {
        let mut call = self.call("make the bucket".into(), Method::PUT, "");
        if lockable {
            call.headers.push(("x-amz-bucket-object-lock-enabled", "true".into()));
        }
        self.send(&call).await?;
        Ok(())
    }

    /// Sets what the bucket locks by itself from now on.
    pub async fn put_default_retention(&self, default: DefaultRetention) -> Result<(), ObjectsError> {
        let body = xml::default_retention(default);
        let mut call = self.call("set what the bucket locks by itself".into(), Method::PUT, "");
        call.query = &[("object-lock", "")];
        call.body = body.as_bytes();
        self.send(&call).await?;
        Ok(())
    }

    /// Writes an object, locked if a retention is given, and returns its version.
    pub async fn put(&self, key: &str, body: &[u8], retention: Option<Retention>) -> Result<String, ObjectsError> {
        let mut call = self.call(format!("write {key}"), Method::PUT, key);
        call.body = body;
        // It would be two versions.
        call.doubles = true;
        if let Some(Retention { mode, until }) = retention {
            call.headers.push(("x-amz-object-lock-mode", mode.word().into()));
            call.headers.push(("x-amz-object-lock-retain-until-date", until.to_string()));
        }
        let reply = self.send(&call).await?;
        let version = reply.headers.get("x-amz-version-id").and_then(|version| version.to_str().ok());
        version.map(str::to_owned).ok_or_else(|| self.garbled(&call, "no version is named"))
    }

    /// Reads one version, at most `limit` bytes.
    pub async fn get_version(&self, key: &str, version: &str, limit: usize) -> Result<Vec<u8>, ObjectsError> {
        let query = [("versionId", version)];
        let mut call = self.call(format!("read version {version} of {key}"), Method::GET, key);
        call.query = &query;
        call.limit = limit;
        Ok(self.send(&call).await?.body)
    }

    /// The retention of a version; `None` if it has none.
    pub async fn retention(&self, key: &str, version: &str) -> Result<Option<Retention>, ObjectsError> {
        let query = [("retention", ""), ("versionId", version)];
        let mut call = self.call(format!("read the lock of {key}"), Method::GET, key);
        call.query = &query;
        let read: xml::ObjectRetention = match self.ask(&call, "Retention").await {
            Err(fault) if fault.code == "NoSuchObjectLockConfiguration" => return Ok(None),
            Err(fault) if matches!(fault.trouble, Trouble::Garbled | Trouble::Unsupported) => {
                return self.retention_by_head(key, version).await;
            }
            read => read?,
        };
        read.checked().map_err(|why| self.garbled(&call, why))
    }

    /// For stores without GetObjectRetention: the headers of the version say the same.
    async fn retention_by_head(&self, key: &str, version: &str) -> Result<Option<Retention>, ObjectsError> {
        let query = [("versionId", version)];
        let mut call = self.call(format!("read the lock of {key}"), Method::HEAD, key);
        call.query = &query;
        let reply = self.send(&call).await?;
        let header = |name| reply.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let read = xml::ObjectRetention {
            mode: header("x-amz-object-lock-mode"),
            retain_until_date: header("x-amz-object-lock-retain-until-date"),
        };
        read.checked().map_err(|why| self.garbled(&call, why))
    }

    /// Sets the retention of a version; `bypass` asks to weaken one of mode GOVERNANCE.
    pub async fn put_retention(
        &self,
        key: &str,
        version: &str,
        retention: Retention,
        bypass: bool,
    ) -> Result<(), ObjectsError> {
        let (query, body) = ([("retention", ""), ("versionId", version)], xml::retention(&retention));
        let mut call = self.call(format!("change the lock of {key}"), Method::PUT, key);
        call.query = &query;
        call.body = body.as_bytes();
        bypassing(&mut call, bypass);
        self.send(&call).await?;
        Ok(())
    }

    /// Whether a version is under a legal hold.
    pub async fn legal_hold(&self, key: &str, version: &str) -> Result<bool, ObjectsError> {
        let query = [("legal-hold", ""), ("versionId", version)];
        let mut call = self.call(format!("read the legal hold of {key}"), Method::GET, key);
        call.query = &query;
        let read: xml::LegalHold = match self.ask(&call, "LegalHold").await {
            Err(fault) if fault.code == "NoSuchObjectLockConfiguration" => return Ok(false),
            read => read?,
        };
        match read.status.as_deref() {
            Some("ON") => Ok(true),
            Some("OFF") | None => Ok(false),
            Some(_) => Err(self.garbled(&call, "unknown status")),
        }
    }

    /// Puts a version under a legal hold, or lifts it.
    pub async fn put_legal_hold(&self, key: &str, version: &str, on: bool) -> Result<(), ObjectsError> {
        let (query, body) = ([("legal-hold", ""), ("versionId", version)], xml::legal_hold(on));
        let mut call = self.call(format!("change the legal hold of {key}"), Method::PUT, key);
        call.query = &query;
        call.body = body.as_bytes();
        self.send(&call).await?;
        Ok(())
    }

    /// Deletes one version for good. A version that is not there is success, as S3 has it.
    pub async fn delete_version(&self, key: &str, version: &str, bypass: bool) -> Result<(), ObjectsError> {
        let query = [("versionId", version)];
        let mut call = self.call(format!("delete version {version} of {key}"), Method::DELETE, key);
        call.query = &query;
        bypassing(&mut call, bypass);
        self.send(&call).await?;
        Ok(())
    }

    /// Deletes an object as people do: where versions are kept, it is only hidden by a marker, whose version is
    /// returned.
    pub async fn delete(&self, key: &str) -> Result<Option<String>, ObjectsError> {
        let mut call = self.call(format!("delete {key}"), Method::DELETE, key);
        call.doubles = true;
        let reply = self.send(&call).await?;
        let version = reply.headers.get("x-amz-version-id").and_then(|version| version.to_str().ok());
        Ok(version.map(str::to_owned))
    }

    /// Deletes versions for good, given as name and version, by as few calls as it takes. A store may refuse some,
    /// or a whole call.
    pub async fn delete_versions(
        &self,
        versions: &[(String, String)],
        bypass: bool,
    ) -> Result<Vec<BulkOutcome>, ObjectsError> {
        let mut outcomes = Vec::with_capacity(versions.len());
        for some in versions.chunks(BULK) {
            let mut call = self.call(format!("delete {} versions", some.len()), Method::POST, "");
            let Some(body) = xml::bulk(some) else {
                return Err(self.fault(&call, Trouble::Rejected, "", "a name cannot be written in XML").into());
            };
            call.query = &[("delete", "")];
            call.body = body.as_bytes();
            bypassing(&mut call, bypass);
            let read: xml::DeleteResult = self.ask(&call, "DeleteResult").await?;
            outcomes.extend(outcomes_of(some, read));
        }
        Ok(outcomes)
    }

    /// A page of the versions whose whole names begin with `prefix`.
    pub async fn versions(&self, prefix: &str, from: Option<&Marker>) -> Result<Versions, ObjectsError> {
        let mut query = vec![("versions", ""), ("encoding-type", "url"), ("prefix", prefix)];
        if let Some(Marker { key, version }) = from {
            query.push(("key-marker", key));
            query.extend(version.as_deref().map(|version| ("version-id-marker", version)));
        }
        let mut call = self.call(format!("list the versions of {prefix}"), Method::GET, "");
        call.query = &query;
        let read: xml::ListVersionsResult = self.ask(&call, "ListVersionsResult").await?;
        let encoded = read.encoding_type.as_deref() == Some("url");
        let name = |text: &str| if encoded { decoded(text) } else { Some(text.to_owned()) };
        let unreadable = || self.garbled(&call, "a name is not UTF-8");
        let mut versions = Vec::with_capacity(read.version.len() + read.delete_marker.len());
        let lines = read.version.iter().map(|line| (line, false));
        for (line, marker) in lines.chain(read.delete_marker.iter().map(|line| (line, true))) {
            versions.push(Version {
                key: name(&line.key).ok_or_else(unreadable)?,
                version: line.version_id.clone().unwrap_or_else(|| "null".into()),
                latest: line.is_latest,
                marker,
                modified: line.last_modified,
                bytes: line.size,
            });
        }
        let next = match (read.is_truncated, &read.next_key_marker) {
            (false, _) => None,
            (true, Some(key)) => {
                Some(Marker { key: name(key).ok_or_else(unreadable)?, version: read.next_version_id_marker })
            }
            (true, None) => return Err(self.garbled(&call, "there is more, and not where")),
        };
        // A store that goes in circles would be listed for ever.
        if next.is_some() && next.as_ref() == from {
            return Err(self.garbled(&call, "the same page again"));
        }
        Ok(Versions { versions, next })
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, call: &Call<'_>, root: &str) -> Result<T, Fault> {
        let reply = self.send(call).await?;
        xml::read(root, &reply.body)
            .ok_or_else(|| self.fault(call, Trouble::Garbled, "", &format!("this is no {root}")))
    }

    fn garbled(&self, call: &Call<'_>, why: &str) -> ObjectsError {
        self.fault(call, Trouble::Garbled, "", why).into()
    }
}

fn bypassing(call: &mut Call<'_>, bypass: bool) {
    if bypass {
        call.headers.push((BYPASS.0, BYPASS.1.into()));
    }
}

/// Form encoding, as S3 encodes names in lists.
fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

fn outcomes_of(asked: &[(String, String)], read: xml::DeleteResult) -> Vec<BulkOutcome> {
    let mut told: HashMap<(String, String), Option<BulkRefusal>> = HashMap::new();
    for line in read.deleted {
        told.insert((line.key, line.version_id.unwrap_or_default()), None);
    }
    // A version that is told both ways was refused.
    for line in read.error {
        let code = line.code.unwrap_or_default();
        let said = printable(&format!("{code}: {}", line.message.unwrap_or_default()));
        let refusal = BulkRefusal { trouble: of_code(&code).unwrap_or(Trouble::Rejected), said };
        told.insert((line.key, line.version_id.unwrap_or_default()), Some(refusal));
    }
    // A refusal without a version is one of all that were asked of this name; a deletion without one says nothing.
    let whole = |key: &String| told.get(&(key.clone(), String::new())).filter(|told| told.is_some());
    let untold = || BulkRefusal { trouble: Trouble::Garbled, said: "the answer does not name it".into() };
    let one = |(key, version): &(String, String)| BulkOutcome {
        key: key.clone(),
        version: version.clone(),
        refused: told
            .get(&(key.clone(), version.clone()))
            .or_else(|| whole(key))
            .cloned()
            .unwrap_or_else(|| Some(untold())),
    };
    asked.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_answer_leaves_out_was_not_deleted() {
        let line = |key: &str, code: Option<&str>| xml::BulkLine {
            key: key.into(),
            version_id: (!key.ends_with('-')).then(|| "1".into()),
            code: code.map(str::to_owned),
            message: Some("no".into()),
        };
        let read = xml::DeleteResult {
            deleted: vec![line("a", None), line("c", None), line("e-", None)],
            error: ["b", "c", "f-"].map(|key| line(key, Some("AccessDenied"))).into(),
        };
        let asked: Vec<_> = ["a", "b", "c", "d", "e-", "f-"].map(|key| (key.to_owned(), "1".to_owned())).into();
        let refused: Vec<_> =
            outcomes_of(&asked, read).into_iter().map(|outcome| outcome.refused.map(|why| why.trouble)).collect();
        let (denied, garbled) = (Some(Trouble::Refused), Some(Trouble::Garbled));
        assert_eq!(refused, [None, denied, denied, garbled, garbled, denied]);
    }

    #[test]
    fn encoded_names_are_decoded() {
        assert_eq!(decoded("a+b%2Bc%C3%BC%0A").as_deref(), Some("a b+cü\n"));
        assert_eq!(decoded("%ff"), None);
    }
}

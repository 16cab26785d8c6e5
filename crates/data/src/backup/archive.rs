//! What really lies in a repository, by its own list of names.

use std::collections::BTreeMap;

use serde::Deserialize;
use springtide_core::backup::{Archive, Line, RepoKey, Segment, Timeline};

use super::error::EngineError;
use super::{PgBackRest, SetContinuity};

/// A file in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path below what was listed.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    size: u64,
}

/// Reads the answer of `repo-ls`.
fn entries(said: &str) -> Result<Vec<Entry>, EngineError> {
    let all: BTreeMap<String, RawEntry> = serde_json::from_str(said)
        .map_err(|error| EngineError::Answer { command: "repo-ls", words: error.to_string() })?;
    let files = all.into_iter().filter(|(_, entry)| entry.kind == "file");
    Ok(files.map(|(name, entry)| Entry { name, size: entry.size }).collect())
}

/// The segment of an archived file such as `0000000100000000/000000010000000000000003-<SHA-1>.zst`.
fn segment(name: &str) -> Option<Segment> {
    let (folder, file) = name.split_once('/')?;
    let (segment, rest) = file.split_once('-')?;
    let sha = rest.split('.').next()?;
    let known = sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    (known && segment.starts_with(folder)).then(|| segment.parse().ok())?
}

/// The timeline of a history's name such as `00000002.history`.
fn history(name: &str) -> Option<Timeline> {
    let number = name.strip_suffix(".history").filter(|number| number.len() == 8)?;
    Timeline::new(u32::from_str_radix(number, 16).ok()?)
}

impl PgBackRest {
    /// The files below a path of a repository.
    pub(super) async fn names(&self, repo: RepoKey, path: &str) -> Result<Vec<Entry>, EngineError> {
        let words = ["--recurse".to_owned(), "--output=json".to_owned(), path.to_owned()];
        entries(&self.call(self.look("repo-ls", repo, &words), None).await?)
    }

    /// A file of a repository, decrypted.
    pub(super) async fn file(&self, repo: RepoKey, path: &str) -> Result<String, EngineError> {
        self.call(self.look("repo-get", repo, &[path.to_owned()]), None).await
    }

    pub(super) async fn archive_of(&self, repo: RepoKey) -> Result<Archive, EngineError> {
        let Some(name) = self.info(repo).await?.archives.remove(&repo) else { return Ok(Archive::default()) };
        let path = format!("archive/{}/{name}", self.site.conf.environment);
        let mut archive = Archive { name, ..Archive::default() };
        for entry in self.names(repo, &path).await? {
            // An empty file holds no log.
            if let Some(segment) = segment(&entry.name).filter(|_| entry.size > 0) {
                if !archive.segments.insert(segment) {
                    archive.doubled.insert(segment);
                }
            } else if let Some(timeline) = history(&entry.name) {
                let text = self.file(repo, &format!("{path}/{}", entry.name)).await?;
                let line = Line::parse(timeline, &text)
                    .map_err(|error| EngineError::Damaged { repo, words: error.to_string() })?;
                archive.lines.insert(timeline, line);
            }
        }
        Ok(archive)
    }

    pub(super) async fn continuity_of(&self, repo: RepoKey) -> Result<Vec<SetContinuity>, EngineError> {
        // The list first: log that comes in between only adds.
        let sets = self.info(repo).await?.sets;
        let archive = self.archive_of(repo).await?;
        let newest = archive.newest_timeline().unwrap_or(Timeline::FIRST);
        let line = archive.line(newest);
        let of = |set: &springtide_core::backup::BackupSet| {
            // A set of a line that was left is judged by its own.
            let line = if line.holds(set.timeline, set.stop_lsn) { line.clone() } else { archive.line(set.timeline) };
            let continuity = archive.continuity(&line, set.start_lsn);
            SetContinuity { label: set.label.clone(), timeline: line.timeline(), continuity }
        };
        Ok(sets.iter().filter(|set| set.archive == archive.name).map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn names_of_the_archive() {
        let name = format!("0000000100000000/000000010000000000000003-{SHA}.zst");
        assert_eq!(segment(&name).unwrap().number(), 3);
        assert!(segment(&format!("0000000100000000/000000010000000000000003-{SHA}")).is_some());
        for bad in [
            format!("0000000100000001/000000010000000000000003-{SHA}.zst"),
            format!("0000000100000000/000000010000000000000003.partial-{SHA}.zst"),
            "0000000100000000/000000010000000000000003.00000028.backup".into(),
            "0000000100000000/000000010000000000000003-0123.zst".into(),
            "archive.info".into(),
        ] {
            assert_eq!(segment(&bad), None, "{bad}");
        }
        assert_eq!(history("0000000A.history").unwrap().number(), 10);
        assert_eq!(history("00000000.history"), None);
        assert_eq!(history("x.history"), None);
    }

    #[test]
    fn only_files_are_listed() {
        let said = r#"{".":{"type":"path"},"a":{"type":"path"},"a/b":{"type":"file","size":7,"time":1},"l":{"type":"link","destination":"a"}}"#;
        assert_eq!(entries(said).unwrap(), [Entry { name: "a/b".into(), size: 7 }]);
        assert!(entries("nothing").is_err());
    }
}

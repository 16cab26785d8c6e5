//! Reading a whole repository against its checksums.
//!
//! pgBackRest's `verify` ends well when it found damage, so its lines are read; it does not see a segment that is
//! gone, so the archive's names are gone through; and it does not tell when one of two copies of a file that names
//! others is gone, so their names are looked for. Its word "ok" alone is never enough, and no word at all is an error.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use springtide_core::backup::{Continuity, RepoKey};

use super::PgBackRest;
use super::call::MOVE_SECONDS;
use super::error::{EngineError, shorten};

/// Something in a repository that is not as it was put there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// A file's path in the repository, a segment or a set.
    pub object: String,
    /// What is wrong with it.
    pub words: String,
}

fn finding(object: impl Into<String>, words: impl Into<String>) -> Finding {
    Finding { object: object.into(), words: words.into() }
}

/// What lines of a repository without damage begin with. Anything else is told: the program has many words for damage,
/// and a new one must not pass for health.
const HARMLESS: [&str; 10] = [
    "verify command begin",
    "verify command end",
    "archiveId: ",
    "archive path ",
    "no archives exist",
    "no backups exist",
    "stanza: ",
    "statistics: ",
    "option ",
    "http ",
];

/// What a message is about: what it quotes, else its first path.
fn object_in(words: &str) -> &str {
    let quoted = words.split('\'').nth(1).filter(|word| word.contains('/'));
    let path = || words.split_whitespace().map(|word| word.trim_end_matches(':')).find(|word| word.contains('/'));
    let object = quoted.or_else(path).unwrap_or_default();
    let below = RepoKey::ALL.iter().find_map(|key| object.strip_prefix(key.folder_at()));
    below.map_or(object, |below| below.trim_start_matches('/'))
}

/// Reads the output of `verify`; none if it never came to its end.
fn findings(output: &str) -> Option<Vec<Finding>> {
    let mut found = Vec::new();
    let mut status = None;
    for line in output.lines() {
        if let Some(word) = line.trim().strip_prefix("status: ") {
            status = Some(word == "ok");
            continue;
        }
        // "2026-11-24 03:15:00.123 P01   INFO: invalid checksum 'x'"
        let Some((head, words)) = line.split_once(": ") else { continue };
        let mut fields = head.split_whitespace().rev();
        let level = fields.next().unwrap_or_default();
        let told = matches!(level, "INFO" | "WARN" | "DETAIL" | "ERROR");
        let entry = told && fields.next().is_some_and(|process| process.starts_with('P'));
        if entry && !HARMLESS.iter().any(|start| words.starts_with(start)) {
            found.push(finding(object_in(words), shorten(words)));
        }
    }
    match status {
        Some(true) => {}
        Some(false) if found.is_empty() => {
            found.push(finding("", "the engine says that something is damaged, and not what"))
        }
        Some(false) => {}
        None => return None,
    }
    Some(found)
}

impl PgBackRest {
    pub(super) async fn verify_all(&self, repo: RepoKey) -> Result<Vec<Finding>, EngineError> {
        let sets = self.info(repo).await?.sets;
        let mut found = BTreeSet::new();
        self.names_of_copies(repo, &sets.iter().map(|set| set.label.as_str()).collect::<Vec<_>>(), &mut found).await?;
        for set in self.continuity_of(repo).await? {
            match set.continuity {
                Continuity::Whole { .. } => {}
                Continuity::Gap { missing, count, up_to, .. } => {
                    let words =
                        format!("{count} segments are gone from here on; a restore can end before {up_to} only");
                    found.insert(finding(missing.to_string(), words));
                }
                Continuity::Nothing { wanted } => {
                    found.insert(finding(
                        wanted.to_string(),
                        format!("set {} cannot be replayed without it", set.label),
                    ));
                }
            }
        }
        self.site.make_folders()?;
        let words = ["--output=text", "--verbose", "--log-level-console=detail", "--log-level-file=off"];
        let mut call = self.look("verify", repo, &[]);
        call.words = words.map(str::to_owned).into();
        call.seconds = MOVE_SECONDS;
        let output = self.call(call, None).await?;
        let read = findings(&self.site.mask(&output)).ok_or_else(|| EngineError::Answer {
            command: "verify",
            words: "it ended without saying whether all is well".into(),
        })?;
        found.extend(read);
        Ok(found.into_iter().collect())
    }

    /// Files of which two are kept, so that one can be lost: also the loss of the spare is told.
    async fn names_of_copies(
        &self,
        repo: RepoKey,
        labels: &[&str],
        found: &mut BTreeSet<Finding>,
    ) -> Result<(), EngineError> {
        let environment = &self.site.conf.environment;
        let mut wanted = vec![("archive", "archive.info".to_owned()), ("backup", "backup.info".to_owned())];
        wanted.extend(labels.iter().map(|label| ("backup", format!("{label}/backup.manifest"))));
        for folder in ["archive", "backup"] {
            let path = format!("{folder}/{environment}");
            let there = self.names(repo, &path).await?;
            let size = |name: &str| there.iter().find(|entry| entry.name == name).map(|entry| entry.size);
            for (_, name) in wanted.iter().filter(|(of, _)| *of == folder) {
                let copy = format!("{name}.copy");
                let whole = |name: &str| size(name).is_some_and(|size| size > 0);
                for gone in [name, &copy].into_iter().filter(|name| !whole(name)) {
                    found.insert(finding(format!("{path}/{gone}"), "it is gone or empty"));
                }
                // The same text, encrypted twice, is of one length.
                if whole(name) && whole(&copy) && size(name) != size(&copy) {
                    found.insert(finding(format!("{path}/{name}"), "it and its copy are not of one length"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_read_from_the_text() {
        let output = "2026-11-24 03:15:00.123 P00   INFO: verify command begin 2.45: --log-level-console=detail\n\
            2026-11-24 03:15:00.300 P00 DETAIL: backup.info.copy does not match backup.info\n\
            2026-11-24 03:15:00.423 P01   INFO: invalid checksum 'shop/20261124-031500F/bundle/1'\n\
            2026-11-24 03:15:00.500 P00 DETAIL: archiveId: 15-1, wal start: 000000010000000000000001, wal stop: 000000010000000000000007\n\
            stanza: shop\nstatus: error\n  archiveId: 15-1, total WAL checked: 7, total valid WAL: 7\n\
            \u{20}   missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n";
        let found = findings(output).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[1].object, "shop/20261124-031500F/bundle/1");
        let bad = "2026-11-24 03:15:00.300 P01   INFO: invalid result 15-1/0000000100000000/00.zst: [95] raised\nstatus: error\n";
        assert_eq!(findings(bad).unwrap()[0].object, "15-1/0000000100000000/00.zst");
        let word = "2026-11-24 03:15:00.300 P00 DETAIL: a word that nobody knows\nstatus: ok\n";
        assert_eq!(findings(word).unwrap().len(), 1);
        assert_eq!(findings("stanza: shop\nstatus: error\n").unwrap().len(), 1);
        assert_eq!(findings("stanza: shop\nstatus: ok\n"), Some(Vec::new()));
        assert_eq!(findings("P00   INFO: verify command end: completed successfully\n"), None);
    }
}

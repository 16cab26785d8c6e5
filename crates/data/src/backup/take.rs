//! Setting repositories up, taking sets, listing them, removing them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use springtide_core::backup::info::{self, RepoState};
use springtide_core::backup::set::Chains;
use springtide_core::backup::{BackupSet, Info, Kind, Label, RepoKey};

use super::call::{Call, LOOK_SECONDS, MOVE_SECONDS};
use super::error::EngineError;
use super::progress::LogTail;
use super::{PgBackRest, Phase, Watch};

/// How long the archiver's lock is waited for while repositories are set up.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

impl PgBackRest {
    /// A command that talks with the server too.
    fn beside_server(&self, command: &'static str, repo: Option<RepoKey>, words: Vec<String>, seconds: u32) -> Call {
        let mounts = [self.site.repo_mounts(), self.site.server_mounts()].concat();
        Call { command, name: None, repo, words, mounts, seconds, log: None }
    }

    pub(super) async fn set_up(&self) -> Result<(), EngineError> {
        self.site.make_folders()?;
        let create = || self.call(self.beside_server("stanza-create", None, Vec::new(), LOOK_SECONDS), None);
        let since = Instant::now();
        loop {
            match create().await {
                Ok(_) => break,
                // The server's archiver, which has begun before us, holds the same lock now and then.
                Err(EngineError::Busy(_)) if since.elapsed() < LOCK_PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Err(error) if half_made(&error) => {
                    for repo in self.site.repos() {
                        self.remove_half_made(repo).await?;
                    }
                    create().await?;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.call(self.beside_server("check", None, Vec::new(), LOOK_SECONDS), None).await.map(drop)
    }

    /// Removes what a set-up left that was cut off before its end. Log that was archived meanwhile goes along:
    /// without any set it is of no use. Where a set is, nothing is removed.
    async fn remove_half_made(&self, repo: RepoKey) -> Result<(), EngineError> {
        let environment = &self.site.conf.environment;
        let there = self.names(repo, &format!("backup/{environment}")).await?;
        let sets =
            there.iter().any(|entry| entry.name.split('/').next().is_some_and(|name| name.parse::<Label>().is_ok()));
        let both = |folder: &str| format!("{folder}/{environment}");
        let made = self.names(repo, &both("archive")).await?;
        let whole = made.iter().any(|entry| entry.name == "archive.info")
            && there.iter().any(|entry| entry.name == "backup.info");
        if sets || whole {
            return Ok(());
        }
        for folder in ["archive", "backup"] {
            let mut call = self.look("repo-rm", repo, &["--recurse".into(), both(folder)]);
            call.mounts = self.site.repo_mounts();
            self.call(call, None).await?;
        }
        Ok(())
    }

    pub(super) async fn info(&self, repo: RepoKey) -> Result<Info, EngineError> {
        let said = self.call(self.look("info", repo, &["--output=json".into()]), None).await?;
        let mut info =
            info::parse(&said).map_err(|error| EngineError::Answer { command: "info", words: error.to_string() })?;
        info.sets.retain(|set| set.repo == repo);
        // A repository that cannot be read is told inside an answer that ends well.
        match info.repos.get(&repo) {
            Some(RepoState::Trouble(words)) => {
                let shown = format!("ERROR: [{}]: {words}", number_in(words));
                Err(super::error::classify("info", repo, Some(0), &shown, Path::new("")))
            }
            _ => Ok(info),
        }
    }

    pub(super) async fn take_set(&self, repo: RepoKey, kind: Kind, watch: Watch<'_>) -> Result<BackupSet, EngineError> {
        self.site.make_folders()?;
        let before: BTreeSet<Label> = self.info(repo).await?.sets.into_iter().map(|set| set.label).collect();
        let data = self.site.data.clone();
        let total = tokio::task::spawn_blocking(move || size(&data)).await.unwrap_or(0);
        let log = self.fresh_log(&self.site.work, "backup");
        let mut call = self.beside_server("backup", Some(repo), vec![format!("--type={kind}")], MOVE_SECONDS);
        call.log = Some(LogTail::new(log, Phase::Copy, total));
        self.call(call, Some(watch)).await?;
        let after = self.info(repo).await?;
        let taken =
            after.sets.into_iter().filter(|set| !before.contains(&set.label)).max_by(|a, b| a.label.cmp(&b.label));
        let left_out =
            || after.left_out.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ");
        let set = taken.ok_or_else(|| EngineError::Answer {
            command: "backup",
            words: format!("it ended well, and no new set is in the list ({})", left_out()),
        })?;
        if set.error {
            let words =
                format!("set {} was taken, but pages of the data directory do not match their checksums", set.label);
            return Err(EngineError::Database(words));
        }
        Ok(set)
    }

    pub(super) async fn prune_sets(&self, repo: RepoKey, labels: &[Label]) -> Result<(), EngineError> {
        let sets = self.info(repo).await?.sets;
        let named: BTreeSet<&Label> = labels.iter().collect();
        let chains = Chains::new(&sets);
        for set in sets.iter().filter(|set| !named.contains(&set.label)) {
            if let Some(needed) = chains.reach(set).into_iter().find(|label| named.contains(label)) {
                let why = format!("{}, which stays, builds on it", set.label);
                return Err(EngineError::Stays { label: needed.to_string(), why });
            }
        }
        let mut go: Vec<&BackupSet> = sets.iter().filter(|set| named.contains(&set.label)).collect();
        go.sort_by(|a, b| b.label.cmp(&a.label));
        let mut fulls = sets.iter().filter(|set| set.kind == Kind::Full).count();
        for set in go {
            if set.kind == Kind::Full {
                fulls -= 1;
            }
            if fulls == 0 {
                let why = "it is the last full set, or builds on it".to_owned();
                return Err(EngineError::Stays { label: set.label.to_string(), why });
            }
            let number = repo.number();
            let words = vec![
                format!("--set={}", set.label),
                // The log goes up to the oldest full set that is left: it is what the count comes to.
                format!("--repo{number}-retention-archive-type=full"),
                format!("--repo{number}-retention-archive={fulls}"),
            ];
            self.site.make_folders()?;
            let call = self.beside_server("expire", Some(repo), words, LOOK_SECONDS);
            self.call(call, None).await?;
        }
        let left = self.info(repo).await?.sets;
        match left.iter().find(|set| named.contains(&set.label)) {
            Some(set) => Err(EngineError::Stays { label: set.label.to_string(), why: "it is there still".into() }),
            None => Ok(()),
        }
    }
}

/// Whether setting up found what an earlier one left.
fn half_made(error: &EngineError) -> bool {
    let words = error.to_string();
    ["exists but backup.info is missing", "exists but archive.info is missing", "directory not empty"]
        .iter()
        .any(|pattern| words.contains(pattern))
}

/// The number of the error whose name stands in a status, as far as it matters for what it means.
fn number_in(words: &str) -> u16 {
    let known = [
        ("CryptoError", 95),
        ("ChecksumError", 26),
        ("FormatError", 29),
        ("FileMissingError", 55),
        ("HostConnectError", 49),
        ("ServiceError", 101),
        ("ProtocolError", 39),
        ("FileOpenError", 41),
        ("PathOpenError", 53),
    ];
    known.iter().find(|(name, _)| words.contains(name)).map_or(125, |(_, number)| *number)
}

/// Bytes of all files below `path`; what goes away meanwhile does not count.
fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => {
                if entry.file_name() == "pg_wal" {
                    0
                } else {
                    size(&entry.path())
                }
            }
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

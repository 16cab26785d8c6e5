//! One backup: the files that are there, the database, and the files that came meanwhile; then a canary, so that
//! the set can be restored to a position after its end.
//!
//! Every row of a restored database finds its file: what was referenced when the backup ended was pushed before it is
//! said to be made.

use springtide_core::backup::{BackupSet, Kind, RepoKey};
use springtide_core::workload::Volume;
use springtide_data::backup::{BackupEngine as _, Progress};
use springtide_data::filestore::{Filestore, PushOptions, Pushed, push};

use super::{Subject, word};
use crate::execute::{Clock, Failure};
use crate::store::MirrorRecord;

/// What a backup made.
#[derive(Debug)]
pub struct Taken {
    /// The set.
    pub set: BackupSet,
    /// Files in the mirror of the place.
    pub files: u64,
    /// Their bytes that were new.
    pub new_bytes: u64,
    /// Files whose content is not what their name says; they lie apart in the mirror.
    pub wrong: usize,
}

impl Subject<'_> {
    /// Copies the files that a place lacks.
    ///
    /// # Errors
    /// If not every file is there afterwards.
    pub async fn push_files(&self, repo: RepoKey, options: &PushOptions, now: i64) -> Result<Pushed, Failure> {
        let data = self.estate.driver.volume(Some(self.name()), Volume::OdooData);
        let filestore = Filestore::open(&data, &self.name().database())?;
        let mirror = self.mirror(repo)?;
        let pushed = push(&filestore, &[&mirror], options).await?;
        if !pushed.whole() {
            let trouble = pushed.places.iter().find_map(|place| place.trouble.as_ref()).map(ToString::to_string);
            let left = pushed.unsettled.len() + pushed.vanished.len() + pushed.unread.len();
            let why = trouble.unwrap_or_else(|| format!("{left} files could not be read whole"));
            return Err(format!("the files are not all in the {} place: {why}", word(repo)).into());
        }
        let record = MirrorRecord {
            place: word(repo).to_owned(),
            at: now,
            files: i64::try_from(pushed.files).unwrap_or(i64::MAX),
            bytes: i64::try_from(pushed.bytes).unwrap_or(i64::MAX),
            wrong: i64::try_from(pushed.wrong.len()).unwrap_or(i64::MAX),
        };
        self.estate.store.mirrored(self.name(), &record)?;
        Ok(pushed)
    }

    /// Takes a backup into a place. It is written down whether it succeeds or not.
    pub async fn take(
        &self,
        repo: RepoKey,
        kind: Kind,
        clock: &Clock,
        watch: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Taken, Failure> {
        let store = &self.estate.store;
        let run = store.begin_backup(self.name(), word(repo), kind.as_str(), clock())?;
        let taken = self.take_all(repo, kind, clock, watch).await;
        match &taken {
            Ok(taken) => store.end_backup(run, Ok((taken.set.label.as_str(), taken.set.repo_bytes)), clock())?,
            Err(why) => store.end_backup(run, Err(&why.to_string()), clock())?,
        }
        taken
    }

    async fn take_all(
        &self,
        repo: RepoKey,
        kind: Kind,
        clock: &Clock,
        watch: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Taken, Failure> {
        // Most of the files first: the second time there is little left.
        let first = self.push_files(repo, &PushOptions::default(), clock()).await?;
        let engine = self.engine()?;
        let set = engine.take(repo, kind, watch).await?;
        let last = self.push_files(repo, &PushOptions::continuous(), clock()).await?;
        self.mark_and_seal().await?;
        Ok(Taken { set, files: last.files, new_bytes: first.bytes + last.bytes, wrong: last.wrong.len() })
    }
}

//! Reads a place whole: the engine's own check of database and log, the continuity that it does not check, and every
//! file fetched, decrypted and hashed. An early warning; what proves is a restore.

use springtide_core::backup::{Continuity, RepoKey};
use springtide_data::backup::BackupEngine as _;
use springtide_data::filestore::Sample;

use super::Subject;
use crate::execute::Failure;

impl Subject<'_> {
    /// What is damaged or missing in a place, named; and how many files were read.
    pub async fn verify(&self, repo: RepoKey) -> Result<(Vec<String>, u64), Failure> {
        let engine = self.engine()?;
        let mut found: Vec<String> =
            engine.verify(repo).await?.into_iter().map(|it| format!("{}: {}", it.object, it.words)).collect();
        for set in engine.wal_continuity(repo).await? {
            match set.continuity {
                Continuity::Whole { .. } => {}
                Continuity::Gap { missing, .. } | Continuity::Nothing { wanted: missing } => {
                    found.push(format!("{missing}: missing, set {} cannot be replayed past it", set.label));
                }
            }
        }
        let files = self.mirror(repo)?.verify(&Sample::All).await?;
        found.extend(files.missing.iter().map(|name| format!("files/{name}: missing")));
        found.extend(files.damaged.iter().map(|(object, damage)| format!("{object}: {damage}")));
        found.extend(files.unread.iter().map(|(object, why)| format!("{object}: not read, {why}")));
        Ok((found, files.checked))
    }
}

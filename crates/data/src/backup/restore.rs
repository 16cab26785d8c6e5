//! A restore into a new folder: fetched and replayed beside it, renamed when it is whole.
//!
//! `<into>.building` is ours while `restore.json` in it says so and holds a lock; what a restore that was cut off left
//! there is removed by the next one. A folder that holds anything else is never touched. A finished restore says in
//! itself what it is, so that repeating the order finds it done, unless the data has been opened since.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use springtide_core::backup::conf::{DATA_AT, WORK_AT};
use springtide_core::backup::info::RepoState;
use springtide_core::workload::UserSpec;
use springtide_driver::TaskMount;

use super::call::{Call, MOVE_SECONDS};
use super::error::{EngineError, io_error};
use super::progress::LogTail;
use super::site::{owned_folder, work_folders};
use super::{PgBackRest, Phase, RestoreOrder, Restored, Watch};
use crate::folders::{remove_folder, sync_file_system, sync_folder, write_whole};

/// In a folder that is being made: whose it is.
const CLAIM: &str = "restore.json";
/// In a restored data directory: what it is.
const RECORD: &str = "springtide-restore.json";
/// Room that must be left besides the set's own bytes: log that is replayed, and what PostgreSQL writes at its start.
const ROOM_BYTES: u64 = 256 << 20;

/// What a restored data directory says of itself.
#[derive(Serialize, Deserialize)]
struct Record {
    restored: Restored,
    /// SHA-256 of PostgreSQL's control file as we left it: any start changes it.
    control: String,
}

/// The folder that is being made, held by a lock that ends with us.
pub(super) struct Building {
    folder: PathBuf,
    _claim: Flock<File>,
}

impl Building {
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }
}

fn refuse(folder: &Path, why: impl Into<String>) -> EngineError {
    EngineError::Folder { folder: folder.to_owned(), why: why.into() }
}

fn empty_or_absent(folder: &Path) -> Result<bool, EngineError> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(io_error("look at", folder)(error)),
        Ok(meta) if !meta.is_dir() => Ok(false),
        Ok(_) => Ok(fs::read_dir(folder).map_err(io_error("read", folder))?.next().is_none()),
    }
}

/// Takes the folder beside `into` for ours, with nothing in it but our claim.
fn claim(order: &RestoreOrder) -> Result<Building, EngineError> {
    let into = &order.into;
    let (Some(parent), Some(name)) = (into.parent(), into.file_name()) else {
        return Err(refuse(into, "it is no folder that can be made"));
    };
    if !into.is_absolute() {
        return Err(refuse(into, "its path does not begin at the root"));
    }
    fs::DirBuilder::new().recursive(true).mode(0o711).create(parent).map_err(io_error("create", parent))?;
    let mut building = name.to_owned();
    building.push(".building");
    let folder = parent.join(building);
    let marker = folder.join(CLAIM);
    if !empty_or_absent(&folder)? && !fs::symlink_metadata(&marker).is_ok_and(|meta| meta.is_file()) {
        return Err(refuse(&folder, "it holds something that is not a restore that was cut off; move it away"));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_error("create", &folder))?;
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&marker)
        .map_err(io_error("open", &marker))?;
    let claim = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| EngineError::Busy(format!("another restore writes into {}", folder.display())))?;
    sync_folder(&folder).map_err(io_error("sync", &folder))?;
    let building = Building { folder, _claim: claim };
    for old in [building.data(), building.work()] {
        remove_patiently(&old)?;
    }
    Ok(building)
}

/// Removes a folder whose writers are just being killed.
fn remove_patiently(folder: &Path) -> Result<(), EngineError> {
    let since = Instant::now();
    loop {
        match remove_folder(folder) {
            Ok(()) => return Ok(()),
            Err(_) if since.elapsed() < Duration::from_secs(5) => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => return Err(io_error("remove", folder)(error)),
        }
    }
}

fn room(parent: &Path, needed: u64) -> Result<(), EngineError> {
    let stat = nix::sys::statvfs::statvfs(parent)
        .map_err(|error| io_error("ask for the room at", parent)(io::Error::from(error)))?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    if free < needed {
        return Err(EngineError::Full(format!(
            "a restore into {} takes {} MiB and {} MiB are free; nothing was written",
            parent.display(),
            needed >> 20,
            free >> 20
        )));
    }
    Ok(())
}

fn control_sum(data: &Path) -> Result<String, EngineError> {
    let path = data.join("global/pg_control");
    let bytes = fs::read(&path).map_err(io_error("read", &path))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The outcome of the same order, if it was carried out and its data not opened since.
fn finished(order: &RestoreOrder) -> Result<Option<Restored>, EngineError> {
    if empty_or_absent(&order.into)? {
        return Ok(None);
    }
    let record = fs::read(order.into.join(RECORD)).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    let Some(Record { restored, control }) = record else {
        return Err(refuse(&order.into, "it is not empty; name a folder that is not there yet"));
    };
    if restored.set != order.set.label || restored.target != order.target {
        return Err(refuse(&order.into, "it holds another restore; name a folder that is not there yet"));
    }
    if control_sum(&order.into)? != control || order.into.join("postmaster.pid").exists() {
        return Err(refuse(&order.into, "it holds this restore, opened since; name a folder that is not there yet"));
    }
    Ok(Some(restored))
}

/// Gives everything below `path` to `user`; links themselves, not what they point to.
fn give(path: &Path, user: UserSpec) -> Result<(), EngineError> {
    lchown(path, Some(user.uid), Some(user.gid)).map_err(io_error("give away", path))?;
    if fs::symlink_metadata(path).map_err(io_error("look at", path))?.is_dir() {
        for entry in fs::read_dir(path).map_err(io_error("read", path))? {
            give(&entry.map_err(io_error("read", path))?.path(), user)?;
        }
    }
    Ok(())
}

impl PgBackRest {
    pub(super) async fn restore_order(&self, order: &RestoreOrder, watch: Watch<'_>) -> Result<Restored, EngineError> {
        if let Some(restored) = finished(order)? {
            return Ok(restored);
        }
        // Looked at by the list, because the restore itself says of any trouble that the set is not valid.
        let there = self.info(order.set.repo).await?;
        if !there.sets.iter().any(|set| set.label == order.set.label && set.system_id == order.set.system_id) {
            let (label, repo) = (order.set.label.to_string(), order.set.repo);
            return Err(match there.repos.get(&repo) {
                Some(RepoState::Missing) => EngineError::NoStanza(repo, "nothing was set up in it".into()),
                _ => EngineError::Set { label, words: "it is not in the repository any more".into() },
            });
        }
        let building = claim(order)?;
        room(&building.folder, order.set.bytes.saturating_add(ROOM_BYTES))?;
        let since = Instant::now();
        self.fetch(order, &building, watch).await?;
        let fetch = since.elapsed();
        let since = Instant::now();
        let ended = self.replay(order, &building, watch).await?;
        let restored = Restored {
            set: order.set.label.clone(),
            target: order.target.clone(),
            ended: ended.at,
            reason: ended.reason,
            timeline: ended.timeline,
            system_id: order.set.system_id,
            bytes: order.set.bytes,
            fetch,
            replay: since.elapsed(),
        };
        let order = order.clone();
        let finish = move || finish(&order, &building, restored);
        tokio::task::spawn_blocking(finish).await.map_err(|error| EngineError::Busy(error.to_string()))?
    }

    /// What tasks of a restore see: repositories that they cannot write to, the new data, a working folder of its own.
    pub(super) fn restore_mounts(&self, building: &Building) -> Vec<TaskMount> {
        let mut mounts = self.site.repo_mounts();
        for mount in &mut mounts {
            mount.read_only = true;
        }
        let own = |from, at: &str| TaskMount { from, at: at.into(), read_only: false };
        mounts.extend([own(building.data(), DATA_AT), own(building.work(), WORK_AT)]);
        mounts
    }

    async fn fetch(&self, order: &RestoreOrder, building: &Building, watch: Watch<'_>) -> Result<(), EngineError> {
        owned_folder(&building.data(), self.site.user, 0o700)?;
        fs::set_permissions(building.data(), fs::Permissions::from_mode(0o700))
            .map_err(io_error("set the mode of", &building.data()))?;
        work_folders(&building.work(), self.site.user)?;
        let call = Call {
            command: "restore",
            name: Some(task_suffix(&order.into)),
            repo: Some(order.set.repo),
            // No recovery settings of its own: they are ours, for one run, and leave nothing in the data.
            words: vec![format!("--set={}", order.set.label), "--type=none".into()],
            mounts: self.restore_mounts(building),
            seconds: MOVE_SECONDS,
            log: Some(LogTail::new(self.fresh_log(&building.work(), "restore"), Phase::Fetch, order.set.bytes)),
        };
        match self.call(call, Some(watch)).await {
            Err(EngineError::Set { words, .. }) => Err(EngineError::Set { label: order.set.label.to_string(), words }),
            other => other.map(drop),
        }
    }
}

/// The end: ours to theirs, durable, then in its place.
fn finish(order: &RestoreOrder, building: &Building, restored: Restored) -> Result<Restored, EngineError> {
    let data = building.data();
    let record = Record { control: control_sum(&data)?, restored };
    let text = serde_json::to_vec_pretty(&record).map_err(|error| io_error("write", &data)(error.into()))?;
    let path = data.join(RECORD);
    write_whole(&path, &text, 0o600).map_err(io_error("write", &path))?;
    give(&data, order.owner)?;
    sync_file_system(&data).map_err(io_error("sync", &data))?;
    // Over an empty folder too; over one that has got something meanwhile the kernel refuses.
    fs::rename(&data, &order.into).map_err(io_error("rename", &data))?;
    sync_folder(order.into.parent().unwrap_or(Path::new("/"))).map_err(io_error("sync", &order.into))?;
    remove_patiently(&building.work())?;
    // The claim last: without it the folder would be nobody's.
    remove_folder(&building.folder).map_err(io_error("remove", &building.folder))?;
    Ok(record.restored)
}

/// Tells tasks of restores into different folders apart.
pub(super) fn task_suffix(into: &Path) -> String {
    let sum = Sha256::digest(into.as_os_str().as_encoded_bytes());
    sum.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_core::backup::{BackupSet, Kind, Line, Lsn, RepoKey, Target, Timeline};

    fn order(into: PathBuf) -> RestoreOrder {
        let time = "2026-11-24T03:15:00Z".parse().unwrap();
        let set = BackupSet {
            label: "20261124-031500F".parse().unwrap(),
            kind: Kind::Full,
            prior: None,
            references: Default::default(),
            start_lsn: Lsn::new(40),
            stop_lsn: Lsn::new(400),
            started: time,
            stopped: time,
            timeline: Timeline::FIRST,
            bytes: 1,
            repo_bytes: 1,
            repo: RepoKey::Near,
            system_id: 1,
            postgres: 15,
            archive: "15-1".into(),
            error: false,
        };
        let owner = UserSpec { uid: 0, gid: 0 };
        RestoreOrder { set, line: Line::alone(Timeline::FIRST), target: Target::Lsn(Lsn::new(500)), into, owner }
    }

    fn is_refused<T>(result: Result<T, EngineError>) -> bool {
        matches!(result, Err(error) if error.code() == "E1018")
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("new");
        let building = folder.path().join("new.building");
        fs::create_dir(&building).unwrap();
        assert!(claim(&order(into.clone())).is_ok(), "an empty one may be ours, cut off before it was claimed");
        fs::remove_dir_all(&building).unwrap();
        fs::create_dir(&building).unwrap();
        fs::write(building.join("data"), "precious").unwrap();
        assert!(is_refused(claim(&order(into.clone()))));
        assert_eq!(fs::read_to_string(building.join("data")).unwrap(), "precious");
        assert!(is_refused(claim(&order("relative".into()))));
    }

    #[test]
    fn what_a_restore_left_is_removed_and_two_at_once_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let order = order(folder.path().join("new"));
        let first = claim(&order).unwrap();
        fs::create_dir_all(first.data().join("base")).unwrap();
        assert!(matches!(claim(&order), Err(EngineError::Busy(_))));
        drop(first);
        let second = claim(&order).unwrap();
        assert!(!second.data().exists());
    }

    #[test]
    fn only_the_same_restore_counts_as_done() {
        let folder = tempfile::tempdir().unwrap();
        let order = order(folder.path().join("new"));
        assert!(finished(&order).unwrap().is_none());
        fs::create_dir(&order.into).unwrap();
        assert!(finished(&order).unwrap().is_none(), "an empty folder");
        fs::write(order.into.join("PG_VERSION"), "15").unwrap();
        assert!(is_refused(finished(&order)));
        fs::create_dir(order.into.join("global")).unwrap();
        fs::write(order.into.join("global/pg_control"), "as left").unwrap();
        let restored = Restored {
            set: order.set.label.clone(),
            target: order.target.clone(),
            ended: Lsn::new(490),
            reason: "before LSN 0/1F4".into(),
            timeline: Timeline::FIRST,
            system_id: 1,
            bytes: 1,
            fetch: Duration::ZERO,
            replay: Duration::ZERO,
        };
        let record = Record { restored: restored.clone(), control: control_sum(&order.into).unwrap() };
        fs::write(order.into.join(RECORD), serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(finished(&order).unwrap(), Some(restored));
        let other = RestoreOrder { target: Target::Lsn(Lsn::new(501)), ..order.clone() };
        assert!(is_refused(finished(&other)));
        fs::write(order.into.join("global/pg_control"), "started since").unwrap();
        assert!(is_refused(finished(&order)));
    }

    #[test]
    fn without_room_nothing_begins() {
        assert!(matches!(room(Path::new("/"), u64::MAX), Err(error) if error.code() == "E1015"));
        assert!(room(Path::new("/"), 0).is_ok());
    }
}

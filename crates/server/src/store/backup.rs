//! Copies of the store: made while it is in use, checked, and put back by a person's word only.
//!
//! The rule that keeps it right: a damaged store is named and kept, never made anew in silence; a copy
//! takes a name that says when it was made only once it is whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Store, StoreError, VERSIONS, sqlite};

/// Copies that are kept, the newest.
pub const KEPT: usize = 3;

/// A copy of the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backup {
    /// When it was made, seconds since 1970, by the clock of then.
    pub at: i64,
    /// Where it is.
    pub path: PathBuf,
}

impl Store {
    /// Reads the whole store and says what is wrong with it, if something is.
    pub fn check(&self) -> Result<(), StoreError> {
        whole(&self.connection())
    }

    /// Copies the store into `folder` while it is in use, and removes all but the newest copies.
    pub fn back_up(&self, folder: &Path, now: i64) -> Result<Backup, StoreError> {
        let failed = |verb, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Backup { verb, path, source }
        };
        make_folder(folder).map_err(failed("make", folder))?;
        // A clock that went back must not make the newest copy look like the oldest.
        let newest = backups(folder).last().map_or(0, |it| it.at + 1);
        let at = now.max(newest);
        let writing = folder.join("springtide.db.writing");
        let _ = std::fs::remove_file(&writing);
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(&writing).map_err(failed("make", &writing))?;
        }
        {
            // A connection of its own: a copy goes page by page and must not make writers wait for all of it.
            let source =
                Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite("copy"))?;
            source.busy_timeout(Duration::from_secs(5)).map_err(sqlite("copy"))?;
            let mut target = Connection::open(&writing).map_err(sqlite("copy"))?;
            let copy = rusqlite::backup::Backup::new(&source, &mut target).map_err(sqlite("copy"))?;
            copy.run_to_completion(1024, Duration::ZERO, None).map_err(sqlite("copy"))?;
            drop(copy);
            whole(&target)?;
            // It is one file: nothing of it may lie in a log beside it.
            target.pragma_update(None, "journal_mode", "DELETE").map_err(sqlite("copy"))?;
        }
        std::fs::File::open(&writing).and_then(|file| file.sync_all()).map_err(failed("write", &writing))?;
        let path = folder.join(format!("springtide-{at}.db"));
        std::fs::rename(&writing, &path).map_err(failed("write", &path))?;
        let all = backups(folder);
        for old in all.iter().take(all.len().saturating_sub(KEPT)) {
            std::fs::remove_file(&old.path).map_err(failed("remove", &old.path))?;
        }
        Ok(Backup { at, path })
    }
}

/// Copies in `folder`, oldest first.
pub fn backups(folder: &Path) -> Vec<Backup> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<Backup> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            let at = name.strip_prefix("springtide-")?.strip_suffix(".db")?.parse().ok()?;
            Some(Backup { at, path: entry.path() })
        })
        .collect();
    all.sort();
    all
}

/// Reads a whole store file that nobody has open, and says what is wrong with it; it stays as it is.
pub fn check_file(path: &Path) -> Result<(), StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite("open"))?;
    whole(&connection)?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite("read"))?;
    let ours = VERSIONS.len() as i64;
    if found > ours {
        return Err(StoreError::Newer { found, ours });
    }
    let select = "SELECT count(*) FROM environments";
    connection.query_row(select, [], |row| row.get::<_, i64>(0)).map_err(sqlite("read")).map(drop)
}

/// Puts `backup` in the place of the store `path`. What was there is kept beside it and its new name
/// returned. Nobody may have the store open.
pub fn restore(path: &Path, backup: &Path, now: i64) -> Result<Option<PathBuf>, StoreError> {
    let failed = |verb, path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Backup { verb, path, source }
    };
    check_file(backup)?;
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let new = beside(".restoring");
    std::fs::copy(backup, &new).map_err(failed("copy", backup))?;
    std::fs::File::open(&new).and_then(|file| file.sync_all()).map_err(failed("write", &new))?;
    let mut kept = None;
    if path.exists() {
        let aside = beside(&format!(".damaged-{now}"));
        // Its log goes with it: another file's log would be played into the copy.
        for ending in ["-wal", "-shm"] {
            let log = beside(ending);
            if log.exists() {
                let to = PathBuf::from(format!("{}{ending}", aside.display()));
                std::fs::rename(&log, &to).map_err(failed("move", &log))?;
            }
        }
        std::fs::rename(path, &aside).map_err(failed("move", path))?;
        kept = Some(aside);
    }
    std::fs::rename(&new, path).map_err(failed("write", path))?;
    Ok(kept)
}

fn whole(connection: &Connection) -> Result<(), StoreError> {
    let found: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sqlite("check"))?;
    match found.as_str() {
        "ok" => Ok(()),
        wrong => Err(StoreError::Damaged(wrong.to_owned())),
    }
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

//! Copies of the store: made while it is in use, checked, and put back by a person's word only.
//!
//! The rule that keeps it right: a damaged store is named and kept, never made anew in silence; a copy
//! takes a name that says when it was made only once it is whole. A copy knows less than what it stands
//! for: what is put back is held and lets nobody in until a person has looked at it.

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

/// Names of the environments that a store file knows; it stays as it is.
pub fn recorded(path: &Path) -> Result<Vec<String>, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite("open"))?;
    let mut select = connection.prepare("SELECT name FROM environments ORDER BY name").map_err(sqlite("read"))?;
    let rows = select.query_map([], |row| row.get(0)).map_err(sqlite("read"))?;
    rows.collect::<Result<_, _>>().map_err(sqlite("read"))
}

/// What [`restore`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the store that was there is kept, or its log if there was nothing but that.
    pub kept: Option<PathBuf>,
    /// Names of the tokens that were good in the copy and are revoked now.
    pub revoked: Vec<String>,
}

/// Puts `backup` in the place of the store `path`. What was there is kept beside it. Nobody may have the
/// store open.
///
/// What was put back is held for `reason`, and every token, session and login code of it is good no more:
/// the copy does not know of a hold or a revocation that came after it.
pub fn restore(path: &Path, backup: &Path, reason: &str, by: &str, now: i64) -> Result<Restored, StoreError> {
    let failed = |verb, path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Backup { verb, path, source }
    };
    check_file(backup)?;
    let with = |path: &Path, ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let new = with(path, ".restoring");
    for ending in LOGS {
        let _ = std::fs::remove_file(with(&new, ending));
    }
    std::fs::copy(backup, &new).map_err(failed("copy", backup))?;
    let revoked = prepare(&new, reason, by, now)?;
    std::fs::File::open(&new).and_then(|file| file.sync_all()).map_err(failed("write", &new))?;
    let aside = with(path, &format!(".damaged-{now}"));
    let mut kept = None;
    // Logs go first and also without their store: SQLite would play another file's log into the copy.
    for ending in LOGS.into_iter().chain([""]) {
        let (from, to) = (with(path, ending), with(&aside, ending));
        match std::fs::rename(&from, &to) {
            Ok(()) => kept = Some(to),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("move", &from)(error)),
        }
    }
    std::fs::rename(&new, path).map_err(failed("write", path))?;
    Ok(Restored { kept, revoked })
}

/// Files that SQLite keeps beside a store; the one that holds what was written comes last.
const LOGS: [&str; 2] = ["-shm", "-wal"];

/// Makes a copy one that nothing acts on and nobody comes in by; the names of its tokens that were good.
fn prepare(copy: &Path, reason: &str, by: &str, now: i64) -> Result<Vec<String>, StoreError> {
    let store = Store::open(copy)?;
    let reason = match store.held()? {
        Some(before) => format!("{reason}; held before: {}", before.reason),
        None => reason.to_owned(),
    };
    store.hold(&reason, by, now)?;
    let revoked = store.let_nobody_in(now)?;
    // It is one file: nothing of it may lie in a log beside it.
    store.connection().pragma_update(None, "journal_mode", "DELETE").map_err(sqlite("write"))?;
    Ok(revoked)
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

//! Group commit: writers that come while another one writes share its transaction, so that the disk is
//! waited for once and not once for each.
//!
//! The rules that keep it right: each writer's work is a savepoint of its own, so one that fails takes nobody
//! along; nobody is told of success before the commit that holds his work; whoever only reads closes the group
//! first, so that nothing is seen that may still be lost. The one who finds nobody waiting behind him commits,
//! so a writer who is alone waits for nobody.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ffi};

use super::{StoreError, sqlite};

/// Most writers in one transaction: other processes wait for its end.
const MOST: usize = 128;

/// A connection whose writers are grouped.
pub(super) struct Grouped {
    inner: Mutex<Inner>,
    /// Writers that have come and not got the connection yet; each of them will close a group.
    coming: AtomicUsize,
}

struct Inner {
    connection: Connection,
    open: Option<Arc<Group>>,
    members: usize,
}

/// How a commit failed; an error of SQLite itself can be told to one only.
#[derive(Clone)]
struct Lost(ffi::Error, Option<String>);

/// A transaction that is open, or how it ended.
#[derive(Default)]
struct Group {
    ended: Mutex<Option<Result<(), Lost>>>,
    told: Condvar,
}

impl Group {
    fn end(&self, how: Result<(), Lost>) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        self.told.notify_all();
    }

    fn wait(&self) -> Result<(), StoreError> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.told.wait_while(ended, |it| it.is_none()).unwrap_or_else(PoisonError::into_inner);
        match ended.clone() {
            None | Some(Ok(())) => Ok(()),
            Some(Err(Lost(code, text))) => Err(sqlite("write")(rusqlite::Error::SqliteFailure(code, text))),
        }
    }
}

/// The connection for one who reads, or who writes outside every group.
pub(super) struct Alone<'a>(MutexGuard<'a, Inner>);

impl Deref for Alone<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}

impl Grouped {
    pub fn new(connection: Connection) -> Self {
        let inner = Inner { connection, open: None, members: 0 };
        Self { inner: Mutex::new(inner), coming: AtomicUsize::new(0) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection with no group open.
    pub fn alone(&self) -> Alone<'_> {
        let mut inner = self.inner();
        inner.close();
        Alone(inner)
    }

    /// Does `work` in a transaction, and returns when it is committed.
    pub fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.coming.fetch_add(1, Ordering::SeqCst);
        let mut inner = self.inner();
        self.coming.fetch_sub(1, Ordering::SeqCst);
        let group = match inner.join() {
            Ok(group) => group,
            Err(error) => {
                // Those who wrote before must not wait for one who does not.
                inner.close();
                return Err(sqlite("write")(error));
            }
        };
        let done = catch_unwind(AssertUnwindSafe(|| work(&inner.connection)));
        let why = match &done {
            Ok(Ok(_)) => None,
            Ok(Err(StoreError::Sqlite { source, .. })) => Some(lost(source)),
            _ => Some(Lost(ffi::Error::new(ffi::SQLITE_ABORT), None)),
        };
        inner.keep(why);
        if self.coming.load(Ordering::SeqCst) == 0 || inner.members >= MOST {
            inner.close();
        }
        drop(inner);
        let done = done.unwrap_or_else(|panic| resume_unwind(panic))?;
        group.wait()?;
        Ok(done)
    }
}

impl Inner {
    /// Opens a group if none is open, and a savepoint in it.
    fn join(&mut self) -> Result<Arc<Group>, rusqlite::Error> {
        if self.open.is_none() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.members = 0;
        }
        let group = Arc::clone(self.open.get_or_insert_default());
        self.connection.execute_batch("SAVEPOINT member")?;
        self.members += 1;
        Ok(group)
    }

    /// Keeps the work of the member that wrote last, or takes it back for a reason.
    fn keep(&mut self, why: Option<Lost>) {
        let end = if why.is_none() { "RELEASE member" } else { "ROLLBACK TO member; RELEASE member" };
        // After some errors (no room, a broken disk) SQLite takes the whole transaction back by itself.
        let lost = match self.connection.is_autocommit() {
            true => why.unwrap_or(Lost(ffi::Error::new(ffi::SQLITE_ABORT), None)),
            false => match self.connection.execute_batch(end) {
                Ok(()) => return,
                Err(error) => lost(&error),
            },
        };
        self.take_back();
        if let Some(group) = self.open.take() {
            group.end(Err(lost));
        }
    }

    fn take_back(&self) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Commits the group that is open, if one is, and tells its members.
    fn close(&mut self) {
        let Some(group) = self.open.take() else { return };
        let ended = self.connection.execute_batch("COMMIT");
        self.take_back();
        group.end(ended.map_err(|error| lost(&error)));
    }
}

fn lost(error: &rusqlite::Error) -> Lost {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => Lost(*code, text.clone()),
        other => Lost(ffi::Error::new(ffi::SQLITE_ABORT), Some(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use super::*;

    fn grouped(name: &str) -> (PathBuf, Grouped) {
        let folder = std::env::temp_dir().join(format!("springtide-group-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let connection = Connection::open(folder.join("db")).unwrap();
        let tables = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                      CREATE TABLE parents (id INTEGER PRIMARY KEY);
                      CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id)
                          DEFERRABLE INITIALLY DEFERRED);";
        connection.execute_batch(tables).unwrap();
        (folder, Grouped::new(connection))
    }

    /// Commits in a write-ahead log: frames that name the size of the file after them.
    fn commits(folder: &Path) -> usize {
        let log = std::fs::read(folder.join("db-wal")).unwrap();
        log[32..].chunks_exact(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
    }

    fn rows(grouped: &Grouped) -> Vec<i64> {
        let connection = grouped.alone();
        let mut select = connection.prepare("SELECT id FROM rows ORDER BY id").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    type Work<'a> = &'a (dyn Fn(i64, &Connection) -> Result<(), StoreError> + Sync);

    /// Ten writers that come while the connection is taken, so that they share one transaction; what each is
    /// told, none for one that panics.
    fn ten(grouped: &Grouped, work: Work<'_>) -> Vec<Option<bool>> {
        std::thread::scope(|scope| {
            let taken = grouped.alone();
            let writers: Vec<_> = (0..10).map(|id| scope.spawn(move || grouped.write(|it| work(id, it)))).collect();
            let begun = Instant::now();
            while grouped.coming.load(Ordering::SeqCst) < 10 {
                assert!(begun.elapsed() < Duration::from_secs(10), "they do not come");
                std::thread::yield_now();
            }
            drop(taken);
            writers.into_iter().map(|it| it.join().ok().map(|told| told.is_ok())).collect()
        })
    }

    fn insert(id: i64, it: &Connection) -> Result<(), StoreError> {
        it.execute("INSERT INTO rows (id) VALUES (?1)", [id]).map_err(sqlite("write")).map(drop)
    }

    #[test]
    fn writers_that_come_together_wait_for_the_disk_once() {
        let (folder, grouped) = grouped("once");
        let before = commits(&folder);
        assert_eq!(ten(&grouped, &insert), [Some(true); 10]);
        assert_eq!(commits(&folder), before + 1);
        assert_eq!(rows(&grouped), (0..10).collect::<Vec<_>>());
        // Alone, each waits for itself: the control, and nobody is waited for.
        grouped.write(|it| insert(10, it)).unwrap();
        grouped.write(|it| insert(11, it)).unwrap();
        assert_eq!(commits(&folder), before + 3);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn one_that_fails_or_panics_takes_nobody_along() {
        let (folder, grouped) = grouped("alone");
        let told = ten(&grouped, &|id, it| {
            insert(id, it)?;
            match id {
                3 => insert(3, it),
                5 => panic!("planted"),
                _ => Ok(()),
            }
        });
        let expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|id| if id == 5 { None } else { Some(id != 3) });
        assert_eq!(told, expected);
        assert_eq!(rows(&grouped), [0, 1, 2, 4, 6, 7, 8, 9]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn when_the_commit_fails_nobody_is_told_of_success() {
        let (folder, grouped) = grouped("lost");
        // Its row has no parent, which SQLite finds at the commit.
        let told = ten(&grouped, &|id, it| match id {
            4 => it.execute("INSERT INTO rows (id, parent) VALUES (4, 99)", []).map_err(sqlite("write")).map(drop),
            id => insert(id, it),
        });
        assert_eq!(told, [Some(false); 10]);
        assert_eq!(rows(&grouped), Vec::<i64>::new());
        grouped.write(|it| insert(1, it)).unwrap();
        assert_eq!(rows(&grouped), [1], "the next one writes");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

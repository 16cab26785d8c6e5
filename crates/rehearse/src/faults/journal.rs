//! What has to be undone, on disk before it is done.
//!
//! A folder with one file per fault. A record is written aside, fsynced and renamed, so it is whole or
//! not there. It says what to undo, by when, and which process put it in. Whoever undoes holds a lock on
//! the record, and so does whoever is about to make the fault worse, so nobody stops a process that was
//! just let go.
//!
//! Rule: the record goes after its undo succeeded, so what is left in the folder may still be in place.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::victim::{boot_id, uptime_ms};
use super::{FaultError, FaultId, Victim, clock, disk, takeover};

/// How a fault is taken out. Each can be done again without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Undo {
    /// Lets processes go on.
    Resume {
        /// Which; those that ended or whose pid was given out again are passed by.
        victims: Vec<Victim>,
    },
    /// Removes the ballast of a file system.
    Ballast {
        /// The folder of the file system.
        folder: PathBuf,
    },
    /// Takes a small file system away, with what is in it.
    Quota {
        /// Where it is mounted.
        folder: PathBuf,
    },
    /// Puts a Unix socket back in its place.
    Socket {
        /// Its place.
        path: PathBuf,
        /// Where it lies meanwhile.
        aside: PathBuf,
    },
    /// Takes the shift of the clock away.
    Clock {
        /// The file of the shift.
        file: PathBuf,
    },
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Which fault.
    pub fault: FaultId,
    /// How it is undone.
    pub undo: Undo,
    /// When it has to be undone, in milliseconds since boot.
    pub deadline_ms: u64,
    /// Of which boot.
    pub boot_id: String,
    /// Who put it in.
    pub rig: Victim,
}

impl Record {
    /// Whether its time has come.
    pub fn due(&self, now_ms: u64) -> bool {
        self.boot_id != boot_id() || now_ms >= self.deadline_ms
    }
}

/// What [`Journal::undo_all`] did.
#[derive(Debug, Default)]
pub struct Undone {
    /// Faults that were taken out.
    pub faults: Vec<FaultId>,
    /// Those that could not be, and files that are no records. Their files are kept.
    pub failed: Vec<FaultError>,
}

/// The folder of records.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// Opens the journal in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// A folder that cannot be made, or that somebody else may write in: what stands there is done by us.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Journal, FaultError> {
        let folder = folder.into();
        let what = || format!("open the undo journal {}", folder.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|why| FaultError::place(what(), why))?;
        let seen = fs::symlink_metadata(&folder).map_err(|why| FaultError::place(what(), why))?;
        let me = nix::unistd::geteuid().as_raw();
        if !seen.is_dir() || seen.uid() != me || seen.mode() & 0o022 != 0 {
            return Err(FaultError::place(what(), "it must be a folder that only its owner, who runs this, can write"));
        }
        Ok(Journal { folder })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes down how a fault is undone, before the fault is put in. The fault ends when [`Active`] does.
    ///
    /// # Errors
    /// The record is not on disk; the fault must not be put in then.
    pub fn begin(&self, fault: FaultId, undo: Undo, duration: Duration) -> Result<Active, FaultError> {
        self.begin_for(fault, undo, duration, Victim::me())
    }

    /// The same for a rig that is another process, with whose end the fault has to end.
    ///
    /// # Errors
    /// As [`Journal::begin`].
    pub(crate) fn begin_for(
        &self,
        fault: FaultId,
        undo: Undo,
        duration: Duration,
        rig: Victim,
    ) -> Result<Active, FaultError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}-{}.json", rig.pid, rig.start_time, NEXT.fetch_add(1, Ordering::Relaxed));
        let record = Record {
            fault,
            undo,
            deadline_ms: uptime_ms().saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            boot_id: boot_id().to_owned(),
            rig,
        };
        let path = self.folder.join(&name);
        let write = || -> std::io::Result<()> {
            let aside = self.folder.join(format!("{name}.part"));
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            file.write_all(&serde_json::to_vec(&record)?)?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|why| FaultError::place(format!("write the undo record of {fault}"), why))?;
        Ok(Active { journal: self.clone(), path, record, duration, over: false })
    }

    /// Every whole record, and what could not be read.
    pub fn records(&self) -> (Vec<(PathBuf, Record)>, Vec<FaultError>) {
        let (mut records, mut failed) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(why) => return (records, vec![FaultError::undo(format!("read {}", self.folder.display()), why)]),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        // Begun in order, undone from the last to the first: ballast goes before its file system.
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).and_then(|seen| seen.modified()).ok()));
        for path in paths {
            match read(&path) {
                Ok(record) => records.push((path, record)),
                // Somebody undid it between the listing and the reading.
                Err(_) if !path.exists() => {}
                Err(why) => failed.push(FaultError::undo(format!("read {}", path.display()), why)),
            }
        }
        (records, failed)
    }

    /// Undoes every fault, whoever put it in.
    pub fn undo_all(&self) -> Undone {
        self.undo_where(|_| true)
    }

    /// Undoes the faults that `which` asks for.
    pub fn undo_where(&self, which: impl Fn(&Record) -> bool) -> Undone {
        let (records, failed) = self.records();
        let mut undone = Undone { faults: Vec::new(), failed };
        for (path, record) in records.into_iter().filter(|(_, record)| which(record)) {
            match settle(&path, &record) {
                Ok(true) => undone.faults.push(record.fault),
                Ok(false) => {}
                Err(error) => undone.failed.push(error),
            }
        }
        undone
    }
}

fn read(path: &Path) -> Result<Record, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|why| why.to_string())?;
    file.take(1 << 20).read_to_string(&mut text).map_err(|why| why.to_string())?;
    serde_json::from_str(&text).map_err(|why| why.to_string())
}

/// Undoes one record and removes it; whether it was still there.
fn settle(path: &Path, record: &Record) -> Result<bool, FaultError> {
    let Ok(file) = File::open(path) else { return Ok(false) };
    // Whoever holds the lock stops a process for an instant. If it hangs meanwhile, undoing comes first.
    for _ in 0..50 {
        if file.try_lock().is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    perform(&record.undo)?;
    let gone = file.metadata().is_ok_and(|seen| seen.nlink() == 0);
    match fs::remove_file(path) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            return Err(FaultError::undo(format!("remove {}", path.display()), why));
        }
        _ => {}
    }
    Ok(!gone)
}

fn perform(undo: &Undo) -> Result<(), FaultError> {
    match undo {
        Undo::Resume { victims } => {
            // All are tried, also after one that fails.
            let tried = victims.iter().map(|victim| (victim.pid, victim.signal(Signal::SIGCONT)));
            let failed: Vec<(i32, Errno)> = tried.filter_map(|(pid, sent)| Some((pid, sent.err()?))).collect();
            match failed.first() {
                None => Ok(()),
                Some((pid, why)) => Err(FaultError::undo(format!("let process {pid} go on"), why)),
            }
        }
        Undo::Ballast { folder } => disk::lighten(folder),
        Undo::Quota { folder } => disk::remove(folder),
        Undo::Socket { path, aside } => takeover::put_back(path, aside),
        Undo::Clock { file } => clock::reset(file),
    }
}

/// A fault that is in place. It is taken out by [`Active::end`], by [`Active::last`] at its time, and
/// when this is dropped.
#[derive(Debug)]
pub struct Active {
    journal: Journal,
    path: PathBuf,
    record: Record,
    duration: Duration,
    over: bool,
}

impl Active {
    /// Which fault.
    pub fn fault(&self) -> FaultId {
        self.record.fault
    }

    /// How long it is meant to last, from its beginning.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// How long it has left.
    pub fn left(&self) -> Duration {
        Duration::from_millis(self.record.deadline_ms.saturating_sub(uptime_ms()))
    }

    /// Its record, which is there as long as the fault is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes it out now.
    ///
    /// # Errors
    /// It may still be in place; its record is kept.
    pub fn end(mut self) -> Result<(), FaultError> {
        self.over = true;
        settle(&self.path, &self.record).map(drop)
    }

    /// Waits until its time is over and takes it out.
    ///
    /// # Errors
    /// As [`Active::end`].
    pub async fn last(self) -> Result<(), FaultError> {
        tokio::time::sleep(self.left()).await;
        self.end()
    }

    /// The journal that it stands in.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if !self.over
            && let Err(error) = settle(&self.path, &self.record)
        {
            tracing::error!(code = error.code(), "{error}");
        }
    }
}

/// Does `act` if the record at `path` still stands, while nobody can undo it; whether it stood.
pub(super) fn while_standing(path: &Path, act: impl FnOnce()) -> bool {
    let Ok(file) = File::open(path) else { return false };
    if file.lock().is_err() || file.metadata().map_or(true, |seen| seen.nlink() == 0) {
        return false;
    }
    act();
    true
}

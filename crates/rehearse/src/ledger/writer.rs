//! Writes a ledger: one thread takes whatever has gathered, writes it in one go, syncs once, and tells
//! everybody who waits.
//!
//! Rule: after a write or sync that failed nothing is written any more and everybody gets the same error.
//! The kernel may report a failed sync once and then forget it, so trying again would prove nothing.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{Flock, FlockArg};
use tokio::sync::{mpsc, oneshot};

use super::{Entry, LedgerError, file, line};
use crate::generator::{Stop, Watch};

/// Most entries of one write. Whoever comes later is in the next.
const MOST_AT_ONCE: usize = 4096;

type Answer = oneshot::Sender<Result<(), LedgerError>>;

/// A ledger that is being written; clones are the same ledger. It is closed when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: PathBuf,
    to: mpsc::UnboundedSender<(Entry, Answer)>,
    broken: Arc<Broken>,
}

#[derive(Debug, Default)]
struct Broken(Mutex<(Option<LedgerError>, Option<Watch>)>);

impl Broken {
    fn set(&self, error: &LedgerError) {
        let mut broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        broken.0.get_or_insert_with(|| error.clone());
        if let Some(watch) = &broken.1 {
            watch.stop(Stop::Broken(error.to_string()));
        }
    }
}

impl Ledger {
    /// Opens a ledger, new or to go on with. A torn last line of an earlier run is cut off.
    ///
    /// # Errors
    /// It cannot be opened, another run writes to it, or it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Ledger, LedgerError> {
        let path = path.as_ref().to_owned();
        let failed = |error: std::io::Error| failure(&path, &error, |path, reason| LedgerError::Open { path, reason });
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file =
            Flock::lock(options.map_err(failed)?, FlockArg::LockExclusiveNonblock).map_err(
                |(_, error)| match error {
                    nix::errno::Errno::EWOULDBLOCK => LedgerError::Busy { path: path.clone() },
                    error => failed(error.into()),
                },
            )?;
        let bytes = std::fs::read(&path).map_err(failed)?;
        let reading =
            file::parse(&bytes).map_err(|(line, reason)| LedgerError::Damaged { path: path.clone(), line, reason })?;
        let (mut file, mut whole) = (file, reading.whole);
        file.set_len(whole).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        if whole == 0 {
            file.write_all(line::HEAD.as_bytes()).map_err(failed)?;
            whole = line::HEAD.len() as u64;
        }
        file.sync_all().map_err(failed)?;
        // A new file is only there for good when its folder is.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;

        let (to, from) = mpsc::unbounded_channel();
        let broken = Arc::new(Broken::default());
        let writer = Writer {
            path: path.clone(),
            file,
            whole,
            next: reading.entries.len() as u64 + 1,
            broken: Arc::clone(&broken),
            text: Vec::new(),
        };
        std::thread::Builder::new().name("ledger".into()).spawn(move || writer.run(from)).map_err(failed)?;
        Ok(Ledger { path, to, broken })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an entry and returns when it is on disk.
    ///
    /// # Errors
    /// The disk is full or cannot be written: the entry does not count, nor does any later one.
    pub async fn append(&self, entry: Entry) -> Result<(), LedgerError> {
        let (answer, answered) = oneshot::channel();
        let gone = || LedgerError::Write { path: self.path.clone(), reason: "its writer has ended".into() };
        self.to.send((entry, answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Stops a run as soon as this ledger cannot be written: acts that nobody can judge are of no use.
    pub fn stop_on_failure(&self, watch: &Watch) {
        let mut broken = self.broken.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &broken.0 {
            watch.stop(Stop::Broken(error.to_string()));
        }
        broken.1 = Some(watch.clone());
    }

    /// Why nothing is written any more, if so.
    pub fn failure(&self) -> Option<LedgerError> {
        self.broken.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

fn failure(path: &Path, error: &std::io::Error, else_: impl FnOnce(PathBuf, String) -> LedgerError) -> LedgerError {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => LedgerError::Full { path: path.to_owned() },
        _ => else_(path.to_owned(), error.to_string()),
    }
}

struct Writer {
    path: PathBuf,
    file: Flock<File>,
    /// Bytes of what is known to be on disk.
    whole: u64,
    next: u64,
    broken: Arc<Broken>,
    text: Vec<u8>,
}

impl Writer {
    fn run(mut self, mut from: mpsc::UnboundedReceiver<(Entry, Answer)>) {
        let mut batch = Vec::new();
        let mut error: Option<LedgerError> = None;
        while from.blocking_recv_many(&mut batch, MOST_AT_ONCE) > 0 {
            if error.is_none()
                && let Err(found) = self.write(&batch)
            {
                self.broken.set(&found);
                error = Some(found);
            }
            for (_, answer) in batch.drain(..) {
                // Whoever gave up waiting does not need the answer; the entry is written all the same.
                let _ = answer.send(error.clone().map_or(Ok(()), Err));
            }
        }
    }

    fn write(&mut self, batch: &[(Entry, Answer)]) -> Result<(), LedgerError> {
        self.text.clear();
        let mut next = self.next;
        let failed =
            |error: std::io::Error| failure(&self.path, &error, |path, reason| LedgerError::Write { path, reason });
        for (entry, _) in batch {
            line::write(next, entry, &mut self.text).map_err(|error| failed(error.into()))?;
            next += 1;
        }
        let written = self.file.write_all(&self.text).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Nobody was told of these lines. If they cannot be cut off either, readers leave out a torn end;
            // whole lines that stay were intended or acknowledged in truth, only not counted.
            let _ = self.file.set_len(self.whole).and_then(|()| self.file.sync_data());
            return Err(failed(error));
        }
        self.next = next;
        self.whole += self.text.len() as u64;
        Ok(())
    }
}

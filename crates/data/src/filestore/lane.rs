//! One mirror during one push: what it has, what it was given, and whether it still takes any.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{FilesError, local_error};
use super::index::Index;
use super::mirror::{Held, Mirror};
use super::name::FileName;
use super::scan::Stamp;

/// After so many failures one after another a mirror is left alone until the next push.
const PATIENCE: u32 = 4;
/// How many failures are told by name.
const TOLD: usize = 100;

/// What was delivered.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    pub name: FileName,
    /// Set if the content does not have the name and lies under `wrong/`.
    pub wrong: Option<Stamp>,
}

pub(super) struct Lane {
    pub mirror: Mirror,
    pub index: Mutex<Index>,
    permits: Arc<Semaphore>,
    tally: Mutex<Tally>,
    left_alone: AtomicBool,
    _held: Held,
}

/// What became of one mirror.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub new: u64,
    pub bytes: u64,
    pub failed: Vec<(FileName, String)>,
    pub failures: u64,
    pub trouble: Option<FilesError>,
    in_a_row: u32,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside stays right when a thread ends early: every change is one insertion.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    pub(super) fn new(mirror: Mirror, index: Index, held: Held) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(mirror.0.limits.in_flight.max(1))),
            mirror,
            index: Mutex::new(index),
            tally: Mutex::default(),
            left_alone: AtomicBool::new(false),
            _held: held,
        }
    }

    /// Whether it lacks this file and takes files.
    pub(super) fn wants(&self, name: &FileName) -> bool {
        self.takes() && !locked(&self.index).names.contains(name)
    }

    /// Whether it takes files.
    pub(super) fn takes(&self) -> bool {
        !self.left_alone.load(Ordering::Relaxed)
    }

    /// Waits for its turn.
    pub(super) fn permit(&self, handle: &Handle) -> Option<OwnedSemaphorePermit> {
        handle.block_on(self.permits.clone().acquire_owned()).ok()
    }

    /// Waits until nothing is under way.
    pub(super) async fn settle(&self) {
        let all = u32::try_from(self.mirror.0.limits.in_flight.max(1)).unwrap_or(u32::MAX);
        let _ = self.permits.acquire_many(all).await;
    }

    pub(super) fn delivered(&self, what: &Delivered, bytes: u64) {
        let noted = {
            let mut index = locked(&self.index);
            let noted = match what.wrong {
                None => index.add(what.name),
                Some(stamp) => index.add_wrong(what.name, stamp),
            };
            noted.map_err(local_error("write", index.path()))
        };
        let mut tally = locked(&self.tally);
        tally.in_a_row = 0;
        tally.bytes += bytes;
        tally.new += u64::from(what.wrong.is_none());
        // The object is there; without the index it is only looked for again.
        if let Err(error) = noted {
            tally.trouble.get_or_insert(error);
        }
    }

    pub(super) fn failed(&self, what: &Delivered, error: &object_store::Error) {
        let error = self.mirror.failed("store a file", error);
        let mut tally = locked(&self.tally);
        tally.failures += 1;
        tally.in_a_row += 1;
        if tally.failed.len() < TOLD {
            tally.failed.push((what.name, error.to_string()));
        }
        tally.trouble.get_or_insert(error);
        if tally.in_a_row >= PATIENCE {
            self.left_alone.store(true, Ordering::Relaxed);
        }
    }

    /// What became of it; once, at the end.
    pub(super) fn tally(&self) -> Tally {
        std::mem::take(&mut locked(&self.tally))
    }
}

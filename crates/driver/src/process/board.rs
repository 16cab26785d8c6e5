//! What every unit shows, on one board: so that a workload that has ended can wait for those it needs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use springtide_core::observe::WorkloadState;
use springtide_core::workload::WorkloadId;
use tokio::sync::watch;

use super::handle::Seen;

/// Shared by all units of a supervisor.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<WorkloadId, watch::Receiver<Option<Seen>>>>>);

impl Board {
    /// Where `id` shows itself from now on.
    pub fn hang(&self, id: WorkloadId, seen: watch::Receiver<Option<Seen>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, seen);
    }

    /// Why nobody should rely on `id` now; `None` if it has been ready for `settle`.
    pub fn unready(&self, id: &WorkloadId, settle: Duration) -> Option<String> {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = board.get(id).and_then(|seen| seen.borrow().clone());
        match seen {
            None => Some(format!("{id}, which does not exist here")),
            Some(seen) if seen.state == WorkloadState::Ready => {
                let just = seen.ready_since.is_none_or(|since| since.elapsed() < settle);
                just.then(|| format!("{id}, which has just become ready"))
            }
            // One line: its own reason may quote a log.
            Some(seen) => Some(format!("{id}: {}", seen.why.lines().next().unwrap_or_default())),
        }
    }
}

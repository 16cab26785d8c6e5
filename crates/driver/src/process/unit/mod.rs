//! One watched workload: an actor that alone may start, stop or replace it, so that two instances
//! cannot be. Others send it commands and read what it last saw.
//!
//! - [`adopt`]: what an earlier supervisor left, taken over or put away
//! - [`change`]: what callers ask: ensure, stop, remove
//! - [`config`]: its files: written, and compared with what was written
//! - [`instance`]: one process started through a keeper, and ended with all it left
//! - [`health`]: how the process is: alive, hung, ready
//! - [`restart`]: it ended by itself: when it starts again, and when not any more
//!
//! Order that keeps a cut-off call harmless: the old process is gone before the new spec is
//! written, the spec before `status` says it shall run, and the digest a process runs with is the
//! one in `run.json`, which its keeper wrote.

mod adopt;
mod change;
mod config;
mod health;
mod instance;
mod restart;

use std::sync::Arc;
use std::time::{Duration, Instant};

use springtide_core::digest::Digest;
use springtide_core::observe::{EditedFile, WorkloadState};
use springtide_core::workload::WorkloadId;
use tokio::sync::{mpsc, watch};

use self::health::Live;
use super::board::Board;
use super::cgroup::Group;
use super::handle::{Command, Handle, Seen};
use super::logs;
use super::paths::{Folder, Paths, io, read_json, touch, write_json};
use super::records::{Status, Wanted};
use crate::{DriverError, ResolvedWorkload};

/// Between two looks at the process; an exit is noticed within twice this.
const TICK: Duration = Duration::from_millis(200);
/// Between two looks at the size of the log.
const ROTATE: Duration = Duration::from_secs(10);
/// Between two looks at the configuration files.
const COMPARE: Duration = Duration::from_secs(5);

/// What others act on when it changes.
fn key(seen: &Option<Seen>) -> Option<(WorkloadState, Option<i32>, Digest, usize)> {
    let key = |it: &Seen| (it.state, it.main.as_ref().map(|main| main.pid), it.digest, it.edited.len());
    seen.as_ref().map(key)
}

/// The actor.
pub(crate) struct Unit {
    paths: Arc<Paths>,
    id: WorkloadId,
    folder: Folder,
    group: Group,
    workload: Option<ResolvedWorkload>,
    status: Status,
    live: Option<Live>,
    /// Whether what is on disk was looked at; until then nothing is claimed.
    adopted: bool,
    next_start: Option<Instant>,
    /// Others, for those it needs.
    board: Board,
    next_rotate: Instant,
    next_compare: Instant,
    /// Its files that are not as they were written, at the last look.
    edited: Vec<EditedFile>,
    /// Members the kernel had killed for want of memory when the process began.
    memory_kills: u64,
    seen: watch::Sender<Option<Seen>>,
}

impl Unit {
    /// Starts watching. `workload` is what is on disk, if anything.
    pub fn spawn(paths: Arc<Paths>, board: &Board, id: WorkloadId, workload: Option<ResolvedWorkload>) -> Handle {
        let folder = paths.workload(&id);
        let group = Group::new(&paths.state, &folder.name());
        let (commands, inbox) = mpsc::channel(16);
        let (seen, view) = watch::channel(None);
        board.hang(id.clone(), view.clone());
        let handle = Handle { id: id.clone(), folder: folder.clone(), group: group.clone(), commands, seen: view };
        let status = read_json(&folder.status()).unwrap_or_default();
        let unit = Self {
            paths,
            id,
            folder,
            group,
            workload,
            status,
            live: None,
            adopted: false,
            next_start: None,
            board: board.clone(),
            next_rotate: Instant::now(),
            next_compare: Instant::now(),
            edited: Vec::new(),
            memory_kills: 0,
            seen,
        };
        // Shown before anyone can ask: what is on disk exists from the first moment.
        unit.show();
        tokio::spawn(unit.watch(inbox));
        handle
    }

    async fn watch(mut self, mut inbox: mpsc::Receiver<Command>) {
        self.memory_kills = self.group.memory_kills();
        self.adopt().await;
        self.adopted = true;
        self.show();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = inbox.recv() => {
                    match command {
                        None => return,
                        Some(Command::Ensure(workload, done)) => { let result = self.ensure(*workload).await; self.show(); let _ = done.send(result); }
                        Some(Command::Stop(done)) => { let result = self.stop().await; self.show(); let _ = done.send(result); }
                        Some(Command::Remove(done)) => { let result = self.remove().await; self.show(); let _ = done.send(result); }
                    }
                }
                _ = tick.tick() => self.tick().await,
            }
            self.show();
        }
    }

    async fn tick(&mut self) {
        if Instant::now() >= self.next_rotate {
            self.next_rotate = Instant::now() + ROTATE;
            let log = self.folder.log();
            let _ = tokio::task::spawn_blocking(move || logs::rotate(&log)).await;
        }
        if Instant::now() >= self.next_compare {
            self.next_compare = Instant::now() + COMPARE;
            self.compare();
        }
        match self.live.is_some() {
            true => self.look_after().await,
            false => self.start_if_due().await,
        }
    }

    fn show(&self) {
        let seen = self.workload.as_ref().map(|workload| {
            let (state, why) = match (&self.live, self.status.wanted) {
                _ if !self.adopted => (WorkloadState::Unwatched, "the supervisor has just begun".to_owned()),
                (Some(live), _) if live.ready.is_some() => (WorkloadState::Ready, live.notes()),
                (Some(live), _) if live.was_ready => (WorkloadState::Unready, live.why.clone()),
                (Some(live), _) => (WorkloadState::Starting, live.why.clone()),
                (None, Wanted::Running) => (WorkloadState::Backoff, self.status.why.clone()),
                (None, Wanted::Stopped) => (WorkloadState::Stopped, "stopped on purpose".to_owned()),
                (None, Wanted::GaveUp) => (WorkloadState::GaveUp, self.status.why.clone()),
            };
            Seen {
                digest: self.live.as_ref().map_or(workload.digest, |live| live.run.digest),
                state,
                ready_since: self.live.as_ref().and_then(|live| live.ready),
                main: self.live.as_ref().map(|live| live.run.main.clone()),
                restarts: self.status.restarts,
                why,
                edited: self.edited.clone(),
                ready_within_s: workload.spec.ready_within_s,
            }
        });
        let before = self.seen.send_replace(seen);
        if key(&before) != key(&self.seen.borrow()) {
            // Only a hint: who misses it looks a little later all the same.
            let _ = touch(&self.paths.changes());
        }
    }

    fn keep_status(&self) -> Result<(), DriverError> {
        write_json(&self.folder.status(), &self.status).map_err(io("write", &self.folder.status()))
    }
}

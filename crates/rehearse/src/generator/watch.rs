//! What a run shows while it runs, and its stop switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::odoo::wire::ANSWER;

/// How a run is driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The core to which the generator's threads are pinned; None leaves them to the kernel.
    pub core: Option<usize>,
    /// The most acts under way at once. An arrival beyond it counts as failed.
    pub in_flight: usize,
    /// How long the last answers are waited for; longer than a client waits, so that it is the client that gives up
    /// first. What is still missing then counts as unknown.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { core: None, in_flight: 2_000, drain: ANSWER + Duration::from_secs(10) }
    }
}

/// Why a run was stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// A person asked (Ctrl-C).
    Asked,
    /// Something that the run needs is broken, such as the disk under the ledger; in words.
    Broken(String),
}

/// Live figures of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Live {
    /// Arrivals of the schedule.
    pub planned: u64,
    /// Arrivals that were due so far.
    pub offered: u64,
    /// Under way now.
    pub in_flight: u64,
    /// Acknowledged.
    pub done: u64,
    /// Refused, failed or unknown.
    pub errors: u64,
}

/// The live view of a run and its stop switch; clones are the same watch. For one run.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    settings: Settings,
    planned: AtomicU64,
    offered: AtomicU64,
    in_flight: AtomicU64,
    done: AtomicU64,
    errors: AtomicU64,
    stopped: Mutex<Stopped>,
    given_up: Notify,
}

#[derive(Debug, Default)]
struct Stopped {
    why: Option<Stop>,
    /// The clock's thread, which may be asleep.
    wake: Option<Thread>,
}

impl Watch {
    /// A watch over a run that is driven like this.
    pub fn new(settings: Settings) -> Watch {
        Watch { inner: Arc::new(Inner { settings, ..Inner::default() }) }
    }

    /// How the run is driven.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The figures of this moment.
    pub fn live(&self) -> Live {
        let inner = &*self.inner;
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Live {
            planned: get(&inner.planned),
            offered: get(&inner.offered),
            in_flight: get(&inner.in_flight),
            done: get(&inner.done),
            errors: get(&inner.errors),
        }
    }

    /// Ends the run: nobody arrives any more, the last answers are waited for. The first reason stays.
    pub fn stop(&self, why: Stop) {
        let mut stopped = self.lock();
        stopped.why.get_or_insert(why);
        if let Some(thread) = &stopped.wake {
            thread.unpark();
        }
    }

    /// Ends the waiting for the last answers, too; what is under way counts as unknown. For the second
    /// Ctrl-C.
    pub fn give_up(&self) {
        self.stop(Stop::Asked);
        self.inner.given_up.notify_one();
    }

    /// Why the run was stopped, if it was.
    pub fn stopped(&self) -> Option<Stop> {
        self.lock().why.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Stopped> {
        self.inner.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_on_stop(&self, thread: Thread) {
        self.lock().wake = Some(thread);
    }

    pub(super) async fn given_up(&self) {
        self.inner.given_up.notified().await;
    }

    pub(super) fn planned(&self, count: u64) {
        self.inner.planned.store(count, Ordering::Relaxed);
    }

    pub(super) fn started(&self) {
        self.inner.offered.fetch_add(1, Ordering::Relaxed);
        self.inner.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turned_away(&self) {
        self.inner.offered.fetch_add(1, Ordering::Relaxed);
        self.inner.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, done: bool) {
        self.inner.in_flight.fetch_sub(1, Ordering::Relaxed);
        let count = if done { &self.inner.done } else { &self.inner.errors };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

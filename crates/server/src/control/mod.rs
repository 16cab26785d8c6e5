//! Control: what a server keeps doing with an estate, and what people ask it for.
//!
//! [`look`] makes a [`Snapshot`] of file, machine and plan; [`decide`] says, purely, what of it may be
//! done without asking; [`work`] does operations, each one environment's part of a plan, and [`begun`]
//! remembers which; [`reconcile`] is
//! the loop around them, [`backoff`] the pause after failures. [`locks`](crate::locks) keep a second
//! controller out, and epochs in [`store`](crate::store) make that true also for one that hangs.
//!
//! The rule that keeps it right: without a person's word only that is done which was approved before.
//! What was approved is a digest of everything wanted ([`springtide_core::plan::wanted`]); while that is the
//! same, a plan that is not empty is drift or work that was cut off; when it differs, the plan waits.

mod backoff;
mod begun;
mod decide;
mod look;
mod reconcile;
mod starts;
mod work;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use springtide_core::check::{CheckedEstate, Report, parse_and_check};
use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Observation;
use springtide_core::plan::{EnvironmentPlan, Plan, Refusal};
use tokio::sync::{Notify, Semaphore, broadcast, watch};

pub use backoff::pause;
pub use begun::{Begun, Left};
pub use decide::{Facts, Verdict, Why, decide};
pub use springtide_core::check::DriftRule;

pub use crate::store::{Event, EventKind, Held};

use crate::Estate;
use crate::execute::{Clock, chain};
use crate::locks::{ActLock, Holder};
use crate::observe::ObserveError;
use crate::store::{Epoch, StoreError};

/// What was declared, seen and planned at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// When it was made, seconds since 1970.
    pub at: i64,
    /// The last valid estate file.
    pub checked: Arc<CheckedEstate>,
    /// Digest of its text.
    pub declared: Digest,
    /// What was seen.
    pub seen: Arc<Observation>,
    /// What is left to do.
    pub plan: Arc<Plan>,
    /// What may be put right although the plan is refused: parts of other environments.
    pub rest: Arc<[EnvironmentPlan]>,
    /// What is not as it was approved.
    pub drift: Vec<Drift>,
    /// What becomes of each part that has something to do.
    pub verdicts: BTreeMap<Option<EnvironmentName>, Verdict>,
    /// Why the estate file as it is now is not valid, if it is not.
    pub refusal: Option<String>,
    /// What had been done before it was looked at.
    since: Since,
}

/// A moment in the order of what is done: what was seen before it is no ground to act on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since {
    /// The newest epoch.
    epoch: Option<Epoch>,
    /// Beginnings and ends of our operations, counted.
    turn: u64,
}

/// Something that is not as it was approved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Drift {
    /// Whose; none for the estate's own parts.
    pub environment: Option<EnvironmentName>,
    /// What, such as `web: it is stopped`.
    pub what: String,
    /// Since when it is seen, seconds since 1970.
    pub since: i64,
    /// What is done about it.
    pub rule: DriftRule,
}

/// Why something that was asked for is not done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The plan is not the one that would be made now.
    #[error("plan {given} is stale: the estate file or the machine changed since; now it is {now}")]
    Stale {
        /// The plan that was named.
        given: String,
        /// The plan as it is now.
        now: String,
    },
    /// The stop switch is set.
    #[error("held by {}: {}", .0.by, .0.reason)]
    Held(Held),
    /// Another operation has it in hand.
    #[error("operation {operation} has {environment} in hand")]
    Busy {
        /// Which environment.
        environment: String,
        /// Which operation.
        operation: u64,
    },
    /// A command acts on the state folder.
    #[error("another operation is under way: {0}")]
    Acting(Holder),
    /// It does not exist.
    #[error("there is no {what} {name}")]
    NoSuch {
        /// `environment` or `operation`.
        what: &'static str,
        /// Its name or number.
        name: String,
    },
    /// The plan is refused.
    #[error("the plan is refused, first: {}", .0.first().map_or("", |it| it.text.as_str()))]
    Refused(Vec<Refusal>),
    /// The estate file as it is now is not valid.
    #[error("the estate file is not valid: {0}")]
    Invalid(String),
    /// Another server has taken over.
    #[error("epoch {ours} is over: {by} has taken epoch {newest}")]
    Fenced {
        /// Ours.
        ours: u64,
        /// The newest.
        newest: u64,
        /// Who took it.
        by: String,
    },
    /// The plan did not pass its lint.
    #[error("the plan does not pass its lint: {0}")]
    Lint(String),
    /// The store could not be read or written.
    #[error("cannot use the store")]
    Store(#[source] StoreError),
    /// Nothing could be observed.
    #[error("cannot observe the estate")]
    Observe(#[from] ObserveError),
    /// It takes too long to see anything.
    #[error("the supervisor does not answer within {0} s")]
    Slow(u64),
    /// A file could not be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server is about to end.
    #[error("the server is stopping")]
    Stopping,
}

impl ControlError {
    /// Its code, for `springtide explain`.
    pub fn code(&self) -> &'static str {
        match self {
            ControlError::Stale { .. } => "E0801",
            ControlError::Busy { .. } | ControlError::Acting(_) => "E0802",
            ControlError::Lint(_) => "E0803",
            ControlError::Held(_) => "E0922",
            ControlError::NoSuch { .. } => "E0908",
            ControlError::Refused(_) => "E0700",
            ControlError::Invalid(_) => "E0100",
            ControlError::Fenced { .. } => "E0921",
            ControlError::Slow(_) => "E0910",
            ControlError::Stopping => "E0923",
            ControlError::Store(error) => match error.trouble() {
                Some(crate::store::StoreTrouble::Full) => "E0906",
                Some(crate::store::StoreTrouble::ReadOnly) => "E0909",
                Some(crate::store::StoreTrouble::Damaged) => "E0912",
                Some(crate::store::StoreTrouble::Newer) => "E0914",
                None => "E0900",
            },
            ControlError::Observe(ObserveError::Driver(springtide_driver::DriverError::Supervisor(_))) => "E0910",
            ControlError::Observe(_) | ControlError::File { .. } => "E0900",
        }
    }
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Held(held) => ControlError::Held(held),
            StoreError::Busy { environment, operation } => ControlError::Busy { environment, operation },
            StoreError::Fenced { ours, newest, by } => ControlError::Fenced { ours, newest, by },
            other => ControlError::Store(other),
        }
    }
}

/// How a control is set up.
pub struct Settings {
    /// The estate file.
    pub file: PathBuf,
    /// How the text of an estate file is checked, by its name.
    pub parse: fn(&str, &str) -> Result<CheckedEstate, Report>,
    /// The clock; what it says is only written down.
    pub clock: Clock,
    /// Time since some start, by a clock that never jumps; pauses are measured by it.
    pub uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Operations that run at the same time, at most.
    pub parallel: usize,
    /// Longest time between two full looks.
    pub pass: Duration,
    /// Time between two cheap looks at the file and at what runs.
    pub hint: Duration,
    /// Seed of the jitter after failures.
    pub seed: u64,
}

impl Settings {
    /// As a server has them.
    pub fn new(file: PathBuf, clock: Clock) -> Self {
        let seed = u64::from(std::process::id()) ^ (clock() as u64).rotate_left(32);
        let began = std::time::Instant::now();
        let uptime = Arc::new(move || began.elapsed());
        Self {
            file,
            parse: parse_and_check,
            clock,
            uptime,
            parallel: 2,
            pass: Duration::from_secs(10),
            hint: Duration::from_secs(1),
            seed,
        }
    }
}

/// An estate under control.
pub struct Control {
    estate: Arc<Estate>,
    settings: Settings,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    events: broadcast::Sender<Event>,
    state: Mutex<State>,
    permits: Semaphore,
    /// Held from writing operations down until they are known to run.
    beginning: Mutex<()>,
    /// One look at a time.
    looking: tokio::sync::Mutex<look::Eyes>,
    /// Asks for a full pass.
    kick: Notify,
    stopping: AtomicBool,
}

/// What a control knows of itself.
#[derive(Default)]
struct State {
    /// The newest epoch that it took; none before it could act for the first time.
    epoch: Option<Epoch>,
    /// Operations that run, by environment.
    running: BTreeMap<Option<EnvironmentName>, Arc<work::Running>>,
    /// What was begun under which plan.
    book: begun::Book,
    /// Beginnings and ends of operations so far, and the newest of each environment.
    turn: u64,
    turns: BTreeMap<Option<EnvironmentName>, u64>,
    /// Failures in a row, by environment.
    failures: BTreeMap<Option<EnvironmentName>, backoff::Failures>,
    /// How many operations may begin without a person's word.
    starts: starts::Starts,
    /// Held while operations run.
    act: Option<ActLock>,
}

impl State {
    /// An operation of this environment begins or ends.
    fn turns(&mut self, environment: &Option<EnvironmentName>) {
        self.turn += 1;
        self.turns.insert(environment.clone(), self.turn);
    }
}

impl Control {
    /// Puts an estate under control. Nothing is done before [`Control::keep`].
    pub fn new(estate: Arc<Estate>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            estate,
            permits: Semaphore::new(settings.parallel),
            beginning: Mutex::default(),
            settings,
            snapshot: watch::Sender::new(None),
            events: broadcast::Sender::new(1024),
            state: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            kick: Notify::new(),
            stopping: AtomicBool::new(false),
        })
    }

    /// The last look at everything, if there was one.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.borrow().clone()
    }

    /// Looks as they come.
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshot.subscribe()
    }

    /// Asks an operation to stop before its next step. What it was to do waits for approval again.
    pub fn cancel(&self, operation: u64, by: &str) -> Result<(), ControlError> {
        let state = self.state();
        match state.running.values().find(|it| it.operation == operation) {
            Some(running) => {
                running.cancel(by);
                Ok(())
            }
            None => Err(ControlError::NoSuch { what: "running operation", name: operation.to_string() }),
        }
    }

    /// Sets the stop switch.
    pub fn hold(&self, reason: &str, by: &str) -> Result<(), ControlError> {
        self.estate.store.hold(reason, by, self.now())?;
        self.kick.notify_one();
        Ok(())
    }

    /// Releases the stop switch.
    pub fn release(&self, by: &str) -> Result<(), ControlError> {
        self.estate.store.release(by, self.now())?;
        self.kick.notify_one();
        Ok(())
    }

    /// The stop switch, if it is set.
    pub fn held(&self) -> Result<Option<Held>, ControlError> {
        Ok(self.estate.store.held()?)
    }

    /// Events after `id`, oldest first, at most `most`.
    pub fn events_after(&self, id: u64, most: u32) -> Result<Vec<Event>, ControlError> {
        Ok(self.estate.store.events_after(id, most)?)
    }

    /// Events as they come; whoever falls behind asks for the missing ones by [`Control::events_after`].
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Operations that run now.
    pub fn running(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.state().running.values().map(|it| it.operation).collect();
        all.sort_unstable();
        all
    }

    /// Its clock, for what is written down.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.settings.clock)
    }

    /// The edges, with store, driver and secrets.
    pub fn estate(&self) -> &Estate {
        &self.estate
    }

    /// Lets running operations stop before their next step and begins no other.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.kick.notify_one();
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> i64 {
        (self.settings.clock)()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a trouble that nobody is there to be told of.
    fn note(&self, error: &ControlError) {
        tracing::warn!(code = error.code(), "{}", chain(error));
    }
}

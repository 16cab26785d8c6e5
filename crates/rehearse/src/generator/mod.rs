//! The open loop: every act starts when it is due, whatever became of the earlier ones.
//!
//! Two threads of its own: the `clock` sleeps until the next arrival is due and hands it over, the
//! `generator` runs all acts on a current-thread runtime. [`Watch`] shows figures meanwhile and holds the
//! stop switch.
//!
//! Rule: latency counts from `due`, never from the send. A generator that waits for answers, or starts
//! the clock when it gets round to sending, hides exactly the moments in which people wait.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::class::Class;
use crate::measure::Measured;
use crate::schedule::Schedule;

mod acts;
mod clock;
mod watch;

pub use watch::{Live, Settings, Stop, Watch};

/// One arrival of a run.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Who comes.
    pub class: Class,
    /// Which one of its class, from 0.
    pub number: u64,
    /// For what the act chooses; its own for every arrival, the same in every run of a schedule.
    pub seed: u64,
    /// When it should start.
    pub due: tokio::time::Instant,
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged.
    Done {
        /// How often the client had to try again.
        retries: u32,
    },
    /// The system said no and says that nothing happened.
    Refused {
        /// HTTP status, if there was one.
        status: Option<u16>,
        /// In few words, without values that differ from call to call: reasons are counted.
        reason: String,
    },
    /// It failed before anything can have happened, or with an error as the answer.
    Failed {
        /// HTTP status, if there was one.
        status: Option<u16>,
        /// In few words; see [`Outcome::Refused`].
        reason: String,
    },
    /// Sent, and no answer: it may have happened or not.
    Unknown {
        /// In few words; see [`Outcome::Refused`].
        reason: String,
    },
}

/// What arrivals do.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// Does one act and says what became of it; has time limits of its own. Runs on the generator's
    /// thread: what computes for longer than a millisecond delays the others.
    async fn act(&self, arrival: &Arrival) -> Outcome;
}

/// Starts every arrival of `plan` when it is due, and waits for the last answers.
///
/// Whoever drops the future stops the run; acts under way are given up.
pub async fn run(plan: &Schedule, traffic: Arc<dyn Traffic>, watch: &Watch) -> Measured {
    let (finished, outcome) = oneshot::channel();
    let guard = GiveUp(watch.clone());
    let (plan, watch) = (plan.clone(), watch.clone());
    let thread = std::thread::Builder::new().name("generator".into()).spawn(move || {
        let _ = finished.send(acts::run(&plan, &traffic, &watch));
    });
    let measured = match thread {
        Ok(_) => outcome.await.ok(),
        Err(error) => {
            guard.0.stop(Stop::Broken(format!("the generator's thread cannot be started: {error}")));
            None
        }
    };
    let measured = measured.unwrap_or_else(|| {
        guard.0.stop(Stop::Broken("the generator's thread ended by itself".into()));
        Measured::default()
    });
    let stopped = guard.0.stopped();
    std::mem::forget(guard);
    Measured { stopped, ..measured }
}

struct GiveUp(Watch);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.stop(Stop::Asked);
        self.0.give_up();
    }
}

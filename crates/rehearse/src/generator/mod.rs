//! The open loop: every act starts when it is due, whatever became of the earlier ones.
//!
//! Rule: latency counts from `due`, never from the send. A generator that waits for answers, or starts
//! the clock when it gets round to sending, hides exactly the moments in which people wait.

use std::sync::Arc;

use async_trait::async_trait;

use crate::class::Class;
use crate::measure::Measured;
use crate::schedule::Schedule;

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
    /// Does one act and says what became of it. Never panics; has time limits of its own.
    async fn act(&self, arrival: &Arrival) -> Outcome;
}

/// Starts every arrival of `plan` when it is due, and waits for the last answers.
pub async fn run(_plan: &Schedule, _traffic: Arc<dyn Traffic>, _watch: &Watch) -> Measured {
    Measured::default()
}

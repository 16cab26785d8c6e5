//! What is written down about a workload: the process it has, how the last one ended, and what is
//! wanted of it. Each file has one writer: `run.json` and `exit.json` the keeper (the supervisor
//! only changes the digest after a reload), `status` the supervisor.

use serde::{Deserialize, Serialize};
use springtide_core::digest::Digest;

use super::identity::Birth;

/// `run.json`: written by the keeper before the program may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The workload's main process.
    #[serde(flatten)]
    pub main: Birth,
    /// Its parent, which outlives it and writes `exit.json`.
    pub keeper_pid: i32,
    /// Start time of the keeper, clock ticks since boot.
    pub keeper_start: u64,
    /// Digest of the spec it was started with.
    pub digest: Digest,
    /// When, seconds since 1970.
    pub at: i64,
    /// Limits that could not be set here, in words.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// `exit.json`: how a process ended or why none was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// The process; none if it was never let go.
    pub pid: Option<i32>,
    /// Exit code.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<String>,
    /// What failed while preparing it.
    pub error: Option<String>,
    /// When, seconds since 1970.
    pub at: i64,
}

impl Exit {
    /// In words.
    pub fn words(&self) -> String {
        match (&self.error, self.code, &self.signal) {
            (Some(error), _, _) => format!("could not be started: {error}"),
            (None, Some(code), _) => format!("exited with code {code}"),
            (None, None, Some(signal)) => format!("was ended by {signal}"),
            (None, None, None) => "ended".to_owned(),
        }
    }
}

/// What is wanted of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wanted {
    /// It shall run.
    Running,
    /// It was stopped on purpose.
    Stopped,
    /// It ended too often.
    GaveUp,
}

/// `status`: the supervisor's memory of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// What is wanted.
    pub wanted: Wanted,
    /// Starts since it was last changed on purpose, seconds since 1970, the last ten minutes only.
    pub starts: Vec<i64>,
    /// Starts since it was last changed on purpose, less one.
    pub restarts: u32,
    /// Ends in a row without two minutes of readiness between them.
    pub failures: u32,
    /// How it last ended, in words.
    pub why: String,
}

impl Default for Status {
    fn default() -> Self {
        Self { wanted: Wanted::Stopped, starts: Vec::new(), restarts: 0, failures: 0, why: String::new() }
    }
}

/// Seconds to wait before the next start, by the number of ends in a row. One that somebody killed starts at
/// once the first time: it did not end for a reason of its own, such as a database that is away.
const BACKOFF_S: [u64; 6] = [1, 2, 4, 8, 16, 30];
/// Starts within [`GIVE_UP_WINDOW_S`] after which a person must look.
const GIVE_UP_STARTS: usize = 8;
/// Seconds the starts are counted over.
pub(crate) const GIVE_UP_WINDOW_S: i64 = 600;

impl Status {
    /// Counts a start.
    pub fn started(&mut self, now: i64) {
        self.starts.retain(|at| now - at < GIVE_UP_WINDOW_S);
        self.starts.push(now);
    }
    /// Counts an end, by a signal or by itself; seconds until the next start, or `None` if it ended too often.
    pub fn ended(&mut self, now: i64, killed: bool) -> Option<u64> {
        self.starts.retain(|at| now - at < GIVE_UP_WINDOW_S);
        if self.starts.len() >= GIVE_UP_STARTS {
            return None;
        }
        let first = self.failures == 0;
        let wait = BACKOFF_S[(self.failures as usize).min(BACKOFF_S.len() - 1)];
        self.failures += 1;
        Some(if killed && first { 0 } else { wait })
    }
    /// Forgets earlier ends: it has been ready long enough, or a person or plan changed it.
    pub fn forgive(&mut self) {
        self.starts.clear();
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_then_gives_up() {
        let mut status = Status::default();
        let mut now = 0;
        let mut waits = Vec::new();
        loop {
            status.started(now);
            let Some(wait) = status.ended(now, false) else { break };
            waits.push(wait);
            now += wait as i64;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn what_was_killed_starts_at_once_and_then_as_everybody() {
        let mut status = Status::default();
        assert_eq!([0, 10, 20].map(|now| status.ended(now, true)), [Some(0), Some(2), Some(4)]);
        status.forgive();
        assert_eq!(status.ended(30, true), Some(0));
    }

    #[test]
    fn rare_ends_never_give_up() {
        let mut status = Status::default();
        for now in (0..100_000).step_by(200) {
            status.started(now);
            assert!(status.ended(now, false).is_some());
        }
    }
}

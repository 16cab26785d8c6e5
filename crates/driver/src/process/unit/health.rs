//! How a process is, and what follows from it.
//!
//! *Alive* is the kernel's word: a process that ended, or that somebody stopped and nobody let go on,
//! is replaced. *Ready* is the probe's word, and nothing is ever ended for it: a role whose database
//! is away, or that is busy to its limit, answers its probe with an error or not at all, and ending it
//! would make a short fault long. Both look the same from outside, so a program that runs and does not
//! answer is reported and left alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Unit;
use crate::process::probe;
use crate::process::records::Run;

/// A process that somebody stopped this long is taken for hung.
const FROZEN: Duration = Duration::from_secs(15);
/// Readiness this long clears the memory of earlier ends.
const FORGIVE: Duration = Duration::from_secs(120);
/// Looks at a starting workload: at every tick at first, as most are ready soon and people wait for them.
const PROBE_FRESH: Duration = Duration::ZERO;
const PROBE_STARTING: Duration = Duration::from_secs(1);
const PROBE_READY: Duration = Duration::from_secs(5);

/// Where a look puts its result.
type Look = Arc<Mutex<Option<Result<(), String>>>>;

/// A process that runs.
pub(super) struct Live {
    pub(super) run: Run,
    since: Instant,
    pub(super) ready: Option<Instant>,
    pub(super) was_ready: bool,
    frozen: Option<Instant>,
    next_probe: Instant,
    /// Result of the look that is under way.
    looking: Option<Look>,
    pub(super) why: String,
}

impl Live {
    pub(super) fn new(run: Run) -> Self {
        let since = Instant::now() - Duration::from_secs(run.main.up_s().unwrap_or(0)).min(Duration::from_secs(3600));
        let why = "not looked at yet".to_owned();
        Self { run, since, ready: None, was_ready: false, frozen: None, next_probe: Instant::now(), looking: None, why }
    }

    pub(super) fn notes(&self) -> String {
        match self.run.notes.is_empty() {
            true => "ready".to_owned(),
            false => format!("ready; {}", self.run.notes.join("; ")),
        }
    }
}

impl Unit {
    /// One look: replaces what is not alive, and asks the probe about what is.
    pub(super) async fn look_after(&mut self) {
        let (Some(live), Some(workload)) = (&mut self.live, &self.workload) else { return };
        if !live.run.main.alive() {
            let run = self.live.take().map(|live| live.run);
            self.ended(run).await;
            return;
        }
        if live.run.main.frozen() {
            let since = *live.frozen.get_or_insert_with(Instant::now);
            live.ready = None;
            live.why = "somebody stopped the process (SIGSTOP)".to_owned();
            if since.elapsed() >= FROZEN {
                let run = live.run.clone();
                run.main.signal(Signal::SIGKILL);
                self.live = None;
                self.finish_leftovers(&run).await;
                self.ended_because(format!("was frozen for {} s and killed", FROZEN.as_secs()));
            }
            return;
        }
        if live.frozen.take().is_some() {
            live.next_probe = Instant::now();
        }
        let result = live.looking.as_ref().and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(result) = result {
            live.looking = None;
            match result {
                Ok(()) => {
                    live.was_ready = true;
                    live.ready.get_or_insert_with(Instant::now);
                }
                Err(why) => {
                    live.ready = None;
                    live.why = why;
                }
            }
            let pause = match (&live.ready, live.since.elapsed() < Duration::from_secs(10)) {
                (Some(_), _) => PROBE_READY,
                (None, true) => PROBE_FRESH,
                (None, false) => PROBE_STARTING,
            };
            live.next_probe = Instant::now() + pause;
        }
        if live.looking.is_none() && Instant::now() >= live.next_probe {
            let slot = Arc::new(Mutex::new(None));
            live.looking = Some(slot.clone());
            let (paths, spec, up_s) = (self.paths.clone(), workload.spec.clone(), live.since.elapsed().as_secs());
            tokio::spawn(async move {
                let result = probe::look(&paths, &spec, up_s).await;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            });
        }
        if live.ready.is_some_and(|since| since.elapsed() >= FORGIVE) && self.status.failures > 0 {
            self.status.forgive();
            let _ = self.keep_status();
        }
    }
}

//! The thread on which acts run: takes arrivals from the clock, starts their acts, records their ends.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::clock::{self, Due};
use super::watch::{Stop, Watch};
use super::{Arrival, Outcome, Traffic};
use crate::class::Class;
use crate::measure::{Measured, Recorder};
use crate::schedule::{Planned, Schedule};

/// The first arrival may be due at once; by then both threads should sleep.
const LEAD: Duration = Duration::from_millis(50);

/// How an act ended.
struct End {
    planned: Planned,
    took: Duration,
    outcome: Outcome,
}

/// Runs a schedule to its end on the calling thread.
pub(super) fn run(plan: &Schedule, traffic: &Arc<dyn Traffic>, watch: &Watch) -> Measured {
    let note = watch.settings().core.and_then(|core| clock::pin(core).err());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            watch.stop(Stop::Broken(format!("the generator's runtime cannot be started: {error}")));
            return Recorder::new(plan, now_micros()).finish(Duration::ZERO, Duration::ZERO);
        }
    };
    let mut measured = runtime.block_on(drive(plan, traffic, watch));
    measured.cpu += clock::cpu();
    measured.notes.extend(note);
    // Acts that were given up may sit in a blocking call of theirs.
    runtime.shutdown_background();
    measured
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

async fn drive(plan: &Schedule, traffic: &Arc<dyn Traffic>, watch: &Watch) -> Measured {
    let began = Instant::now() + LEAD;
    let record = Recorder::new(plan, now_micros() + LEAD.as_micros() as i64);
    let mut run = Run { traffic, watch, record, acts: JoinSet::new(), under_way: HashMap::new() };
    watch.planned(plan.arrivals.len() as u64);
    let (to, mut arrivals) = mpsc::unbounded_channel();
    let clock = match clock::start(Arc::new(plan.clone()), began, watch.clone(), to) {
        Ok(clock) => clock,
        Err(error) => {
            watch.stop(Stop::Broken(format!("the clock's thread cannot be started: {error}")));
            return run.record.finish(Duration::ZERO, Duration::ZERO);
        }
    };
    // The order matters: an arrival that is due goes before the bookkeeping of acts that ended.
    loop {
        tokio::select! {
            biased;
            due = arrivals.recv() => match due {
                Some(due) => run.arrive(due),
                None => break,
            },
            Some(end) = run.acts.join_next() => run.ended(end),
        }
    }
    run.drain().await;
    let (cpu, note) = clock.join().unwrap_or_default();
    if let Some(note) = note {
        run.record.note(note);
    }
    run.record.finish(began.elapsed(), cpu)
}

struct Run<'a> {
    traffic: &'a Arc<dyn Traffic>,
    watch: &'a Watch,
    record: Recorder,
    acts: JoinSet<End>,
    /// What is under way, so that acts without an end are counted.
    under_way: HashMap<(Class, u64), UnderWay>,
}

/// An act that has not ended.
struct UnderWay {
    due: Due,
    /// How much later than due it was started, as soon as it was.
    late: Arc<OnceLock<Duration>>,
}

impl Run<'_> {
    fn arrive(&mut self, due: Due) {
        let Due { planned, due: at } = due;
        self.record.offered(planned.class, planned.at);
        let most = self.watch.settings().in_flight;
        if self.acts.len() >= most {
            self.watch.turned_away();
            let outcome = Outcome::Failed { status: None, reason: format!("{most} acts were under way already") };
            self.record.ended(planned.class, planned.at, at.elapsed(), outcome);
            return;
        }
        self.watch.started();
        let late = Arc::new(OnceLock::new());
        self.under_way.insert((planned.class, planned.number), UnderWay { due, late: Arc::clone(&late) });
        let traffic = Arc::clone(self.traffic);
        self.acts.spawn(async move {
            let arrival = Arrival { class: planned.class, number: planned.number, seed: planned.seed, due: at.into() };
            // Each is started once, so it is empty.
            let _ = late.set(at.elapsed());
            // An act that panics is a mistake of ours, and still one that was not done.
            let outcome = AssertUnwindSafe(traffic.act(&arrival)).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| Outcome::Unknown { reason: "the act panicked".into() });
            End { planned, took: at.elapsed(), outcome }
        });
    }

    fn ended(&mut self, end: Result<End, tokio::task::JoinError>) {
        // Panics are caught inside, and nobody cancels single acts.
        let Ok(End { planned, took, outcome }) = end else { return };
        let begun = self.under_way.remove(&(planned.class, planned.number)).and_then(|it| it.late.get().copied());
        self.watch.ended(matches!(outcome, Outcome::Done { .. }));
        self.record.started(begun.unwrap_or_default());
        self.record.ended(planned.class, planned.at, took, outcome);
    }

    /// Waits for the last answers, no longer than the limit; what is missing then is unknown.
    async fn drain(&mut self) {
        let limit = tokio::time::sleep(self.watch.settings().drain);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                biased;
                end = self.acts.join_next() => match end {
                    Some(end) => self.ended(end),
                    None => break,
                },
                () = &mut limit => break,
                () = self.watch.given_up() => break,
            }
        }
        self.acts.abort_all();
        for (_, UnderWay { due: Due { planned, due }, late }) in std::mem::take(&mut self.under_way) {
            self.watch.ended(false);
            // One that was not even started by now is as late as can be said.
            self.record.started(late.get().copied().unwrap_or_else(|| due.elapsed()));
            let outcome = Outcome::Unknown { reason: "no answer when the run ended".into() };
            self.record.ended(planned.class, planned.at, due.elapsed(), outcome);
        }
    }
}

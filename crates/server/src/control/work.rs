//! Work: operations, each one environment's part of a plan, a few at the same time.
//!
//! The estate's own parts come first, and who copies a template waits for who builds it. While anything
//! runs this controller holds the operation lock, so that no command acts beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use serde_json::json;
use springtide_core::names::EnvironmentName;
use springtide_core::plan::{Action, EnvironmentPlan};
use tokio::sync::watch;

use super::backoff::Failures;
use super::begun::{Begun, Left, meant};
use super::{Control, ControlError, Snapshot};
use crate::execute::{ExecuteError, Execution, Progress, begin, run};
use crate::locks::{ActLock, LockError};
use crate::store::{CUT_OFF, ControllerKind, Epoch, EventKind, NewEvent, StoreError};

/// What the journal says of a step that panicked.
const PANICKED: &str = "the server made a mistake in this step (a panic); its log has more";

/// An operation that runs.
pub(super) struct Running {
    pub operation: u64,
    pub plan: String,
    cancelled: Mutex<Option<String>>,
    /// How it comes out, for what is begun later and needs it.
    outcome: Outcome,
    /// Keys of the templates that it builds.
    builds: BTreeSet<String>,
}

impl Running {
    pub fn cancel(&self, by: &str) {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| by.to_owned());
    }

    fn cancelled_by(&self) -> Option<String> {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How an operation of a batch came out, for those that wait for it.
type Outcome = watch::Receiver<Option<bool>>;

impl Control {
    /// Approves a plan, or the parts of some environments of it, and begins it. The same plan approved
    /// again while it runs gives the same numbers; what of it does not run yet is begun beside it.
    pub async fn approve(
        self: &Arc<Self>,
        plan: &str,
        environments: Option<&[EnvironmentName]>,
        by: &str,
    ) -> Result<Begun, ControlError> {
        if let Some(held) = self.held()? {
            return Err(ControlError::Held(held));
        }
        if let Some(operations) = self.state().book.under_way(plan, environments) {
            return Ok(Begun { operations, left: None });
        }
        self.catch_up()?;
        let snapshot = self.refresh().await?;
        if let Some(why) = &snapshot.refusal {
            return Err(ControlError::Invalid(why.clone()));
        }
        if snapshot.plan.id != plan && !crate::failpoint::planted("stale-plan-accepted") {
            return Err(ControlError::Stale { given: plan.to_owned(), now: snapshot.plan.id.clone() });
        }
        if !snapshot.plan.refusals.is_empty() {
            return Err(ControlError::Refused(snapshot.plan.refusals.clone()));
        }
        for name in environments.unwrap_or_default() {
            if !snapshot.checked.environments.iter().any(|it| it.name == *name) {
                return Err(ControlError::NoSuch { what: "environment", name: name.to_string() });
            }
        }
        let chosen = snapshot.plan.environments.iter();
        let chosen = chosen.filter(|part| !part.steps.is_empty() && meant(environments, &part.environment)).cloned();
        let mut parts = Vec::new();
        let mut under_way = Vec::new();
        {
            let state = self.state();
            for part in chosen {
                match state.running.get(&part.environment).filter(|it| it.plan == plan) {
                    Some(running) => under_way.push(running.operation),
                    None => parts.push(part),
                }
            }
        }
        let mut begun = self.work(&snapshot, parts, by)?;
        begun.operations.extend(under_way);
        begun.operations.sort_unstable();
        Ok(begun)
    }

    /// Begins an operation for each part and lets them run.
    pub(super) fn work(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        parts: Vec<EnvironmentPlan>,
        by: &str,
    ) -> Result<Begun, ControlError> {
        if parts.is_empty() {
            return Ok(Begun::default());
        }
        if self.stopping() {
            return Err(ControlError::Stopping);
        }
        {
            let state = self.state();
            if let Some((name, it)) = parts.iter().find_map(|part| state.running.get_key_value(&part.environment)) {
                let environment = name.as_ref().map_or("the estate's own parts".to_owned(), ToString::to_string);
                return Err(ControlError::Busy { environment, operation: it.operation });
            }
        }
        let one_at_a_time = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.may_act().and_then(|epoch| {
            self.fresh(snapshot, &parts, epoch)?;
            self.begin(snapshot, parts, by, epoch)
        });
        drop(one_at_a_time);
        // With nothing begun the lock is not needed.
        self.rest();
        begun
    }

    /// Refuses to act on what was seen before somebody else acted, or before an operation of ours on the
    /// same environment began or ended.
    fn fresh(&self, snapshot: &Snapshot, parts: &[EnvironmentPlan], epoch: Epoch) -> Result<(), ControlError> {
        let state = self.state();
        let turned = |part: &EnvironmentPlan| state.turns.get(&part.environment).copied().unwrap_or(0);
        if snapshot.since.epoch == Some(epoch) && parts.iter().all(|part| turned(part) <= snapshot.since.turn) {
            return Ok(());
        }
        Err(ControlError::Stale { given: snapshot.plan.id.clone(), now: "another".to_owned() })
    }

    fn begin(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        parts: Vec<EnvironmentPlan>,
        by: &str,
        epoch: Epoch,
    ) -> Result<Begun, ControlError> {
        let mut begun = Begun::default();
        // What began before under the same plan comes first for what is begun now, too.
        let (mut builders, mut estate) = self.coming(&snapshot.plan.id);
        let whole = snapshot.plan.environments.iter().filter(|part| !part.steps.is_empty());
        let whole: BTreeSet<_> = whole.map(|part| part.environment.clone()).collect();
        let mut parts = parts.into_iter();
        while let Some(part) = parts.next() {
            let execution = Execution {
                estate: &self.estate,
                checked: &snapshot.checked,
                seen: &snapshot.seen,
                now: snapshot.at,
                clock: self.settings.clock.clone(),
                epoch,
                by,
            };
            let operation = match begin(&execution, &snapshot.plan.id, std::slice::from_ref(&part)) {
                Ok(operation) => operation,
                Err(error) if begun.operations.is_empty() => return Err(error.into()),
                // What was begun goes on; who asked is told of the rest.
                Err(error) => {
                    let left = std::iter::once(part).chain(parts).filter_map(|part| part.environment).collect();
                    begun.left = Some(Left { environments: left, why: error.into() });
                    break;
                }
            };
            begun.operations.push(operation);
            let (ended, outcome) = watch::channel(None);
            let running = Arc::new(Running {
                operation,
                plan: snapshot.plan.id.clone(),
                cancelled: Mutex::default(),
                outcome: outcome.clone(),
                builds: builds(&part).cloned().collect(),
            });
            {
                let mut state = self.state();
                state.running.insert(part.environment.clone(), Arc::clone(&running));
                state.turns(&part.environment);
                state.book.begins(&running.plan, &whole, &part.environment, operation);
            }
            let mut after: Vec<Outcome> = estate.iter().cloned().collect();
            builders.extend(running.builds.iter().map(|key| (key.clone(), outcome.clone())));
            for step in &part.steps {
                if let Action::CopyTemplate { key, .. } = &step.action {
                    let other = builders.get(key).filter(|it| !it.same_channel(&outcome));
                    after.extend(other.cloned());
                }
            }
            if part.environment.is_none() {
                estate = Some(outcome);
            }
            let (control, snapshot, by) = (Arc::clone(self), Arc::clone(snapshot), by.to_owned());
            tokio::spawn(async move {
                let work = Work { control: &control, snapshot: &snapshot, running: &running, by: &by, epoch };
                // A mistake of ours in one step must not keep its environment in hand for ever.
                let done = match AssertUnwindSafe(work.whole(&part, after)).catch_unwind().await {
                    Ok(done) => done,
                    Err(_) => work.panicked(&part.environment),
                };
                ended.send_replace(Some(done));
                {
                    let mut state = control.state();
                    state.running.remove(&part.environment);
                    state.turns(&part.environment);
                    state.book.ends(&running.plan, &part.environment, running.operation, done);
                }
                control.rest();
                control.kick.notify_one();
            });
        }
        Ok(begun)
    }

    /// Who builds which template now, and the estate's own parts, if they are under way for this plan.
    fn coming(&self, plan: &str) -> (BTreeMap<String, Outcome>, Option<Outcome>) {
        let state = self.state();
        let built = state.running.values().flat_map(|it| it.builds.iter().map(|key| (key.clone(), it.outcome.clone())));
        let estate = state.running.get(&None).filter(|it| it.plan == plan).map(|it| it.outcome.clone());
        (built.collect(), estate)
    }

    /// Sees to it that the newest epoch is ours, unless a command acts now. Called at the start and by every
    /// pass, so what a command that was killed left open is ended soon.
    pub fn catch_up(&self) -> Result<(), ControlError> {
        if let Some(epoch) = self.acting()? {
            return self.end_lost(epoch);
        }
        let caught_up = self.may_act();
        self.rest();
        match caught_up {
            Err(ControlError::Acting(_)) => Ok(()),
            caught_up => caught_up.map(drop),
        }
    }

    /// Ends operations that are over, ours or older, and whose end could not be written down: ours would have
    /// their environment in hand for as long as this server lives.
    fn end_lost(&self, epoch: Epoch) -> Result<(), ControlError> {
        let _one_at_a_time = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.estate.store.open_operations(epoch)?;
        let running = self.running();
        for operation in open.into_iter().filter(|it| !running.contains(it)) {
            self.estate.store.end(epoch, operation, CUT_OFF, self.now())?;
        }
        Ok(())
    }

    /// Our epoch, if it is the newest.
    pub(super) fn acting(&self) -> Result<Option<Epoch>, ControlError> {
        let newest = self.estate.store.newest_epoch()?;
        let ours = self.state().epoch;
        Ok(ours.filter(|ours| newest.is_some_and(|newest| newest.epoch == *ours)))
    }

    /// Whether another server has taken over: then nothing is done any more.
    pub(super) fn over(&self) -> Result<(), ControlError> {
        let ours = self.state().epoch;
        match (ours, self.estate.store.newest_epoch()?) {
            (Some(ours), Some(newest)) if newest.kind == ControllerKind::Server && newest.epoch != ours => {
                Err(ControlError::Fenced { ours: ours.0, newest: newest.epoch.0, by: newest.by })
            }
            _ => Ok(()),
        }
    }

    /// Takes the operation lock and sees that the newest epoch is ours. A command that acted since the
    /// last time took one of its own, and is done; then we take a newer one. Another server is never
    /// taken over from, but at the start, when only its lock can have been given back by the kernel.
    fn may_act(&self) -> Result<Epoch, ControlError> {
        let (store, now) = (&self.estate.store, self.now());
        {
            let mut state = self.state();
            if state.act.is_none() {
                let lock = ActLock::take(&self.estate.state, "serve", now);
                state.act = Some(lock.map_err(|error| match error {
                    LockError::Held(holder) => ControlError::Acting(holder),
                    LockError::Io { path, source } => ControlError::File { path, source },
                })?);
            }
        }
        if let Some(epoch) = self.acting()? {
            return Ok(epoch);
        }
        self.over()?;
        let by = format!("springtide serve, pid {}", std::process::id());
        let epoch = store.take_epoch(ControllerKind::Server, &by, self.estate.driver.fence().0, now)?;
        self.state().epoch = Some(epoch);
        for (operation, step) in store.take_over(epoch, now)? {
            tracing::info!(operation, step, "was cut off; going on from what is seen");
        }
        Ok(epoch)
    }

    /// Gives the operation lock back when nothing runs.
    fn rest(&self) {
        let mut state = self.state();
        if state.running.is_empty() {
            state.act = None;
        }
    }

    /// Waits until no operation runs.
    pub async fn idle(&self) {
        while !self.state().running.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// One operation at work.
struct Work<'a> {
    control: &'a Arc<Control>,
    snapshot: &'a Snapshot,
    running: &'a Running,
    by: &'a str,
    epoch: Epoch,
}

impl Work<'_> {
    /// Waits for what comes before, does the part, and remembers how it came out. Whether it is done.
    async fn whole(&self, part: &EnvironmentPlan, after: Vec<Outcome>) -> bool {
        let control = self.control;
        let store = &control.estate.store;
        for mut before in after {
            let done = before.wait_for(Option::is_some).await.is_ok_and(|outcome| *outcome == Some(true));
            if !done {
                let outcome = "not begun: what it needs failed";
                if let Err(error) = store.end(self.epoch, self.running.operation, outcome, control.now()) {
                    control.note(&error.into());
                }
                return false;
            }
        }
        let Ok(_permit) = control.permits.acquire().await else { return false };
        let execution = Execution {
            estate: &control.estate,
            checked: &self.snapshot.checked,
            seen: &self.snapshot.seen,
            now: self.snapshot.at,
            clock: control.settings.clock.clone(),
            epoch: self.epoch,
            by: self.by,
        };
        let done = run(&execution, self.running.operation, std::slice::from_ref(part), self).await;
        let name = &part.environment;
        let Err(error) = done else {
            control.state().failures.remove(name);
            return true;
        };
        match error {
            ExecuteError::Cancelled(_) | ExecuteError::Held { .. } => {}
            // Nothing can be written any more; the loop finds out by whom, and whether it has to end.
            ExecuteError::Journal(error @ StoreError::Fenced { .. }) => control.note(&error.into()),
            error => {
                // Why stands in the journal, where those who show it mask what a program said.
                let step = if let ExecuteError::Step { step, .. } = &error { step.as_str() } else { "the journal" };
                self.failed(name, step);
            }
        }
        false
    }

    /// A pause before this environment is tried again.
    fn failed(&self, name: &Option<EnvironmentName>, step: &str) {
        let control = self.control;
        let mut state = control.state();
        let seed = control.settings.seed ^ self.running.operation;
        let failures = Failures::after(state.failures.get(name), (control.settings.uptime)(), seed);
        tracing::warn!(operation = self.running.operation, step, failures = failures.count, "failed");
        state.failures.insert(name.clone(), failures);
    }

    /// A step panicked: that is written down as its failure, and the operation ends. Never done.
    fn panicked(&self, name: &Option<EnvironmentName>) -> bool {
        let (store, now, operation) = (&self.control.estate.store, self.control.now(), self.running.operation);
        let written = store.steps(operation).and_then(|steps| {
            let open = steps.into_iter().rfind(|step| step.ended.is_none());
            let title = open.as_ref().map_or("the operation", |step| step.title.as_str()).to_owned();
            if let Some(step) = open {
                let number = usize::try_from(step.number).unwrap_or_default();
                store.settle(self.epoch, operation, number, Some(PANICKED), now)?;
            }
            store.end(self.epoch, operation, &format!("failed: {title}"), now)?;
            Ok(title)
        });
        match written {
            Ok(title) => tracing::error!(operation, step = title, "a step panicked"),
            // The next pass ends it.
            Err(error) => self.control.note(&error.into()),
        }
        self.failed(name, "a step that panicked");
        false
    }
}

impl Progress for Work<'_> {
    fn begin(&self, _: usize, _: usize, _: Option<&EnvironmentName>, _: &str) {}

    fn note(&self, text: &str) {
        let data = json!({ "text": text });
        let operation = Some(self.running.operation);
        let note = NewEvent { kind: EventKind::Note, environment: None, operation, data };
        if let Err(error) = self.control.estate.store.append(&[note], self.control.now()) {
            self.control.note(&error.into());
        }
    }

    fn end(&self, _: usize, _: Option<&str>) {}

    fn cancelled(&self) -> bool {
        self.control.stopping() || self.running.cancelled_by().is_some()
    }

    fn withdraws(&self) -> bool {
        self.running.cancelled_by().is_some()
    }

    fn why(&self) -> String {
        match self.running.cancelled_by() {
            Some(by) => format!("cancelled by {by}"),
            None => "stopped".to_owned(),
        }
    }
}

/// Keys of the templates that a part builds.
fn builds(part: &EnvironmentPlan) -> impl Iterator<Item = &String> {
    part.steps.iter().filter_map(|step| match &step.action {
        Action::BuildTemplate { key, .. } => Some(key),
        _ => None,
    })
}

/// Parts in an order in which they may begin: the estate's own first. Who copies a template that nobody
/// has built and nobody of them builds is left out until it is there.
pub(super) fn ready(parts: Vec<EnvironmentPlan>, templates: &BTreeSet<String>) -> Vec<EnvironmentPlan> {
    let built: BTreeSet<String> = parts.iter().flat_map(builds).cloned().collect();
    let can = |part: &EnvironmentPlan| {
        part.steps.iter().all(|step| match &step.action {
            Action::CopyTemplate { key, .. } => templates.contains(key) || built.contains(key),
            _ => true,
        })
    };
    let mut parts: Vec<EnvironmentPlan> = parts.into_iter().filter(can).collect();
    parts.sort_by_key(|part| part.environment.is_some());
    parts
}

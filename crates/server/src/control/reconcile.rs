//! The loop: hints every second, and at once when the driver's mark says that something changed; a full pass
//! when a hint differs or somebody asks, and at the latest every ten seconds. Durations are measured by a clock
//! that never jumps.

use std::sync::Arc;
use std::time::Duration;

use springtide_core::digest::{Digest, Digester};
use tokio::time::Instant;

use super::work::ready;
use super::{Control, ControlError, Snapshot, Verdict, look};

/// Time between two looks at the driver's mark. With the supervisor's own tick before it and a pass after it,
/// what was killed is known within a second.
const BLINK: Duration = Duration::from_millis(250);
/// Time between two copies of the store.
const BACKUP: Duration = Duration::from_secs(3600);

/// What hints are compared by: the file, and of every workload what it runs with and whether it is up, as
/// digests.
type Hint = (Option<Digest>, Digest);

impl Control {
    /// Keeps the estate until it is told to stop ([`Control::stop`]) or another server takes over.
    pub async fn keep(self: &Arc<Self>) -> Result<(), ControlError> {
        let tail = tokio::spawn(Arc::clone(self).tail());
        let kept = self.reconcile().await;
        self.stop();
        self.idle().await;
        tail.abort();
        kept
    }

    async fn reconcile(self: &Arc<Self>) -> Result<(), ControlError> {
        let mut hint = None;
        let mut mark;
        let mut backed_up: Option<Instant> = None;
        while !self.stopping() {
            self.over()?;
            if backed_up.is_none_or(|at| at.elapsed() >= BACKUP) {
                backed_up = Some(Instant::now());
                self.back_up().await;
            }
            let began = Instant::now();
            // Before the look: what changes under way is looked at again.
            mark = self.estate.driver.mark();
            let before = self.hint().await;
            match self.pass().await {
                Ok(()) => {}
                // By a command that began to act just now; another server ends the loop above.
                Err(ControlError::Fenced { .. }) => {}
                Err(error) => self.note(&error),
            }
            if before.is_some() {
                hint = before;
            }
            self.wait(began, &mut hint, mark).await;
        }
        Ok(())
    }

    /// One pass: a full look, and what may be done without asking is begun.
    pub async fn pass(self: &Arc<Self>) -> Result<(), ControlError> {
        self.catch_up()?;
        let snapshot = self.refresh().await?;
        let mut due = due(&snapshot);
        due.truncate(self.state().starts.room((self.settings.uptime)()));
        if due.is_empty() || self.stopping() {
            return Ok(());
        }
        match self.work(&snapshot, due, "the server") {
            Ok(begun) => {
                self.state().starts.begun(begun.operations.len());
                // What was not begun is found again by the next pass.
                if let Some(left) = &begun.left {
                    self.note(&left.why);
                }
                Ok(())
            }
            // Somebody acts now; the next pass sees what is left.
            Err(ControlError::Acting(_) | ControlError::Held(_) | ControlError::Busy { .. }) => Ok(()),
            // Somebody acted while we looked.
            Err(ControlError::Stale { .. }) => {
                self.kick.notify_one();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the next pass: until somebody asks, a hint differs, or the time has come.
    async fn wait(&self, began: Instant, hint: &mut Option<Hint>, mut mark: Option<u64>) {
        // While much changes, passes of a large estate leave the machine some room.
        let blink = (began.elapsed() * 2).max(BLINK).min(self.settings.hint);
        let mut hinted = Instant::now();
        loop {
            tokio::select! {
                () = self.kick.notified() => return,
                () = tokio::time::sleep(blink) => {}
            }
            if self.stopping() || began.elapsed() >= self.settings.pass {
                return;
            }
            let marked = self.estate.driver.mark();
            if marked == mark && hinted.elapsed() < self.settings.hint {
                continue;
            }
            (mark, hinted) = (marked, Instant::now());
            let now = self.hint().await;
            if now.is_some() && now != *hint {
                *hint = now;
                return;
            }
        }
    }

    /// What can be seen cheaply; none if the driver could not look.
    async fn hint(&self) -> Option<Hint> {
        let seen = tokio::time::timeout(Duration::from_secs(5), self.estate.driver.observe()).await.ok()?.ok()?;
        let mut runs = Digester::default();
        seen.workloads.iter().for_each(|(id, it)| runs.add(&(id, it.digest, it.state, it.pid, it.edited.len())));
        Some((self.file_digest(), runs.digest()))
    }

    /// Hands events on to those who follow: ours at once, those of other processes within a second.
    async fn tail(self: Arc<Self>) {
        let store = &self.estate.store;
        let mut last = store.newest_event().unwrap_or_default();
        loop {
            tokio::select! {
                () = store.appended() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            // A store that cannot be read now is told by everybody else who tries.
            while let Ok(events) = store.events_after(last, 500) {
                let Some(newest) = events.last() else { break };
                last = newest.id;
                for event in events {
                    if matches!(event.kind, super::EventKind::Held | super::EventKind::Released) {
                        self.kick.notify_one();
                    }
                    let _ = self.events.send(event);
                }
            }
        }
    }

    /// A copy of the store. One that fails is told and tried again in an hour; nothing else waits for it.
    async fn back_up(self: &Arc<Self>) {
        let control = Arc::clone(self);
        let copy = tokio::task::spawn_blocking(move || {
            control.estate.store.back_up(&control.estate.state.join("backups"), control.now())
        });
        match copy.await {
            Ok(Ok(backup)) => tracing::debug!(path = %backup.path.display(), "the store is copied"),
            Ok(Err(error)) => self.note(&error.into()),
            Err(error) => tracing::error!(%error, "copying the store"),
        }
    }
}

/// What a look says may be done without asking, in order.
fn due(snapshot: &Snapshot) -> Vec<springtide_core::plan::EnvironmentPlan> {
    let may = |verdict: Option<&Verdict>| matches!(verdict, Some(Verdict::GoOn | Verdict::Heal | Verdict::Finish));
    let parts = look::parts(&snapshot.plan, &snapshot.rest, &snapshot.seen);
    let parts =
        parts.into_iter().filter(|part| !part.steps.is_empty() && may(snapshot.verdicts.get(&part.environment)));
    ready(parts.collect(), &snapshot.seen.templates)
}

//! The machine: what runs, in memory, with a clock of its own. It outlives every controller, keeps messages
//! that are late, lets controllers die, and audits each effect in the moment it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use springtide_core::digest::Digest;
use springtide_core::layout::Slot;
use springtide_core::names::{EnvironmentName, ModuleName};
use springtide_core::observe::{DatabaseObservation, HostFacts, WorkloadObservation, WorkloadState};
use springtide_core::workload::{SecretName, SecretRef, WorkloadId};
use tokio::sync::oneshot;

use crate::chance::draw;
use crate::checks::{Auditor, Check, Violation};

/// What a controller dies of: it unwinds, and nothing that it was about to do happens.
pub struct Crash;

/// How often what goes wrong, of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A controller dies at one of the points of a step.
    pub crash: u64,
    /// The driver refuses.
    pub error: u64,
    /// The effect happens and its answer is lost.
    pub lost: u64,
    /// The effect happens later, when nobody expects it any more.
    pub late: u64,
    /// The effect happens now and once more later.
    pub twice: u64,
    /// Nothing can be seen.
    pub blind: u64,
}

/// An environment, or the estate's own parts.
pub type Part = Option<EnvironmentName>;

/// Who wants an effect: the step under way.
#[derive(Debug, Clone)]
pub struct Origin {
    pub controller: u32,
    pub epoch: u64,
    pub part: Part,
    /// The step as the journal has it.
    pub action: String,
    /// What is removed for good; nothing else of it comes back.
    pub removes: bool,
}

/// What the driver is asked for.
#[derive(Debug, Clone)]
pub enum Message {
    Ensure(WorkloadId, Digest),
    Stop(WorkloadId),
    Remove(WorkloadId),
    Volumes(EnvironmentName),
}

#[derive(Debug, Clone)]
pub struct Workload {
    pub digest: Digest,
    /// Processes; none if it is stopped.
    pub live: Vec<i32>,
    /// It ended too often.
    pub gave_up: bool,
}

type Sleeper = (u32, oneshot::Sender<()>);

pub struct Inner {
    pub seed: u64,
    pub ms: u64,
    /// Seconds that the clock of the day is off.
    pub jump: i64,
    pub faults: Faults,
    pub bug: &'static str,
    pub fence: u64,
    pub workloads: BTreeMap<WorkloadId, Workload>,
    pub secrets: BTreeSet<SecretRef>,
    pub templates: BTreeMap<String, BTreeSet<ModuleName>>,
    pub data: BTreeMap<EnvironmentName, DatabaseObservation>,
    pub routes: BTreeMap<EnvironmentName, Digest>,
    /// Slots that something stands on.
    pub slots: BTreeMap<EnvironmentName, Slot>,
    /// Slots that were given to environments that are on record.
    pub audit: Auditor,
    pub off: BTreeSet<Check>,
    pub violation: Option<Violation>,
    /// Whether a person has set the stop switch.
    pub held: bool,
    /// What persons approved, by digest of what is wanted; more than one while it is not sure what arrived.
    pub approved: BTreeMap<Part, BTreeSet<Digest>>,
    /// Environments that a person asked to destroy.
    pub doomed: BTreeSet<EnvironmentName>,
    /// Steps under way.
    pub active: BTreeMap<(u32, Part), u64>,
    pub origins: BTreeMap<(u32, Part), Origin>,
    pub dead: BTreeSet<u32>,
    /// Calls of the clock until a controller dies.
    pub armed: BTreeMap<u32, u32>,
    /// Grows with everything that happens.
    pub moves: u64,
    pub trace: Vec<(u64, String)>,
    /// The newest epoch that has had an effect.
    acted: u64,
    pid: i32,
    counts: BTreeMap<String, u64>,
    sleepers: BTreeMap<(u64, u64), Sleeper>,
    late: BTreeMap<(u64, u64), (Message, u64, Origin)>,
}

#[derive(Clone)]
pub struct Machine(Arc<Mutex<Inner>>);

pub const BEGIN_S: i64 = 1_800_000_000;

pub fn host() -> HostFacts {
    springtide_server::fake::host()
}

impl Machine {
    pub fn new(seed: u64, faults: Faults, bug: &'static str, off: &[Check], audit: Auditor) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            seed,
            ms: 0,
            jump: 0,
            faults,
            bug,
            fence: 0,
            workloads: BTreeMap::new(),
            secrets: BTreeSet::new(),
            templates: BTreeMap::new(),
            data: BTreeMap::new(),
            routes: BTreeMap::new(),
            slots: BTreeMap::new(),
            audit,
            off: off.iter().copied().collect(),
            violation: None,
            held: false,
            approved: BTreeMap::new(),
            doomed: BTreeSet::new(),
            active: BTreeMap::new(),
            origins: BTreeMap::new(),
            dead: BTreeSet::new(),
            armed: BTreeMap::new(),
            moves: 0,
            trace: Vec::new(),
            acted: 0,
            pid: 1000,
            counts: BTreeMap::new(),
            sleepers: BTreeMap::new(),
            late: BTreeMap::new(),
        })))
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of a controller; where it reads it, it is about to write.
    pub fn clock(&self, controller: u32) -> i64 {
        let mut inner = self.inner();
        inner.moves += 1;
        if let Some(left) = inner.armed.get_mut(&controller) {
            *left -= 1;
            if *left == 0 {
                inner.die(controller, "before a write");
            }
        }
        let now = inner.now();
        drop(inner);
        self.alive(controller);
        now
    }

    /// Unwinds who is dead.
    pub fn alive(&self, controller: u32) {
        if self.inner().dead.contains(&controller) {
            std::panic::resume_unwind(Box::new(Crash));
        }
    }

    /// Dies here, if chance says so.
    pub fn point(&self, controller: u32, name: &str) {
        let mut inner = self.inner();
        inner.moves += 1;
        let rate = inner.faults.crash;
        if inner.happens(rate, &format!("{controller} crash {name}")) {
            inner.die(controller, name);
        }
        drop(inner);
        self.alive(controller);
    }

    /// Lets time go by for a controller, for as long as its name draws; it may die or hang meanwhile.
    pub async fn takes(&self, controller: u32, name: &str, least_ms: u64, more_ms: u64) {
        let wake = {
            let mut inner = self.inner();
            inner.moves += 1;
            let drawn = inner.draw(&format!("{controller} takes {name}"));
            let (wake, woken) = oneshot::channel();
            let at = inner.ms + least_ms + drawn % more_ms.max(1);
            inner.sleepers.insert((at, drawn), (controller, wake));
            woken
        };
        if wake.await.is_err() {
            std::future::pending::<()>().await;
        }
        self.alive(controller);
    }
}

impl Inner {
    pub fn now(&self) -> i64 {
        BEGIN_S + (self.ms / 1000) as i64 + self.jump
    }

    pub fn draw(&mut self, name: &str) -> u64 {
        let count = self.counts.entry(name.to_owned()).or_default();
        *count += 1;
        draw(self.seed, name, *count)
    }

    pub fn happens(&mut self, of_thousand: u64, name: &str) -> bool {
        of_thousand > 0 && self.draw(name) % 1000 < of_thousand
    }

    pub fn tell(&mut self, text: String) {
        self.moves += 1;
        self.trace.push((self.ms, text));
    }

    /// A controller dies now: what it slept for never wakes it.
    pub fn die(&mut self, controller: u32, whence: &str) {
        self.tell(format!("controller {controller} dies: {whence}"));
        self.dead.insert(controller);
        self.sleepers.retain(|_, (of, _)| *of != controller);
        self.active.retain(|(of, _), _| *of != controller);
        self.armed.remove(&controller);
    }

    pub fn fails(&mut self, check: Check, what: impl FnOnce() -> String) {
        if !self.off.contains(&check) && self.violation.is_none() {
            let what = what();
            self.tell(format!("VIOLATION {check:?}: {what}"));
            self.violation = Some(Violation { check, at_ms: self.ms, what });
        }
    }

    pub fn found(&mut self, found: Result<(), (Check, String)>) {
        if let Err((check, what)) = found {
            self.fails(check, || what);
        }
    }

    /// A step begins: everything that must be true in this moment.
    pub fn step_begins(&mut self, origin: &Origin, wanted: Option<Digest>) {
        let (part, epoch) = (&origin.part, origin.epoch);
        self.tell(format!("controller {} epoch {epoch}: {}", origin.controller, origin.action));
        let newest = self.audit.newest_epoch();
        if epoch != newest {
            self.fails(Check::Journal, || format!("epoch {epoch} begins a step after epoch {newest} was taken"));
        }
        if self.held {
            self.fails(Check::Held, || format!("while held: {}", origin.action));
        }
        let others = self.active.iter().any(|((_, of), at)| of == part && *at == epoch);
        if others {
            self.fails(Check::OneOperation, || format!("a second operation acts on {part:?}: {}", origin.action));
        }
        self.active.insert((origin.controller, part.clone()), epoch);
        self.origins.insert((origin.controller, part.clone()), origin.clone());
        if let Some(wanted) = wanted
            && !self.approved.get(part).is_some_and(|all| all.contains(&wanted))
        {
            self.fails(Check::Approval, || format!("nobody approved what is wanted of {part:?}: {}", origin.action));
        }
    }

    /// An effect happens now; `prompt` if whoever wants it still waits for it.
    pub fn effect(&mut self, origin: &Origin, prompt: bool) {
        match self.audit.step(origin.epoch, &origin.action) {
            None => self.fails(Check::Intent, || format!("an effect without intent: {}", origin.action)),
            Some(false) if prompt => {
                self.fails(Check::Intent, || format!("an effect after its step was settled: {}", origin.action));
            }
            Some(_) => {}
        }
        if origin.epoch < self.acted {
            let acted = self.acted;
            self.fails(Check::Fence, || format!("epoch {} acts after {acted}: {}", origin.epoch, origin.action));
        }
        self.acted = self.acted.max(origin.epoch);
        let Some(name) = origin.part.as_ref().filter(|_| origin.removes) else { return };
        let reason = self.audit.reason(name.as_str());
        // It is gone already.
        if reason.is_none() && self.remains(name).is_empty() {
            return;
        }
        if reason != Some(true) || !self.doomed.contains(name) {
            self.fails(Check::Reason, || format!("removed without a recorded reason: {}", origin.action));
        }
    }

    /// Fences: lets a generation act and no lower one any more.
    pub fn raise(&mut self, generation: u64) -> Result<(), u64> {
        if generation < self.fence && self.bug != "driver-fence-ignored" {
            return Err(self.fence);
        }
        self.fence = self.fence.max(generation);
        Ok(())
    }

    /// Gives a message to the driver its effect, unless a newer generation was here.
    pub fn deliver(&mut self, message: &Message, generation: u64, origin: &Origin, prompt: bool) -> Result<(), u64> {
        self.raise(generation)?;
        self.effect(origin, prompt);
        if !prompt {
            self.tell(format!("late: {message:?}"));
        }
        match message {
            Message::Ensure(id, digest) => {
                self.pid += 1;
                let pid = self.pid;
                let forgets = !prompt && self.bug == "start-not-idempotent";
                let new = || Workload { digest: *digest, live: Vec::new(), gave_up: false };
                let workload = self.workloads.entry(id.clone()).or_insert_with(new);
                if forgets {
                    workload.live.push(pid);
                } else if workload.digest != *digest || workload.live.is_empty() || workload.gave_up {
                    *workload = Workload { live: vec![pid], ..new() };
                }
                let live = workload.live.len();
                if live > 1 {
                    self.fails(Check::Single, || format!("{live} instances of {id}"));
                }
            }
            Message::Stop(id) => {
                if let Some(workload) = self.workloads.get_mut(id) {
                    workload.live.clear();
                }
            }
            Message::Remove(id) => drop(self.workloads.remove(id)),
            Message::Volumes(name) => drop(self.data.remove(name)),
        }
        Ok(())
    }

    pub fn keep_for_later(&mut self, message: &Message, generation: u64, origin: &Origin) {
        let drawn = self.draw(&format!("{} late {}", origin.controller, origin.action));
        self.late.insert((self.ms + 500 + drawn % 40_000, drawn), (message.clone(), generation, origin.clone()));
    }

    /// What is left of an environment here.
    pub fn remains(&self, name: &EnvironmentName) -> Vec<String> {
        let of = |it: &EnvironmentName| it == name;
        let workloads = self.workloads.keys().filter(|id| id.environment.as_ref().is_some_and(of));
        let mut all: Vec<String> = workloads.map(ToString::to_string).collect();
        all.extend(self.data.contains_key(name).then(|| format!("data of {name}")));
        all.extend(self.routes.contains_key(name).then(|| format!("route of {name}")));
        // The keys of its backups outlive it.
        let goes = |secret: &&SecretRef| {
            secret.environment.as_ref().is_some_and(of) && !SecretName::BACKUP.contains(&secret.name)
        };
        let secrets = self.secrets.iter().filter(goes).count();
        all.extend((secrets > 0).then(|| format!("{secrets} secrets of {name}")));
        all
    }

    /// A slot is given.
    pub fn reserved(&mut self, name: &EnvironmentName, slot: Slot) {
        let gone: Vec<_> = self.slots.keys().filter(|it| self.remains(it).is_empty()).cloned().collect();
        for it in gone {
            if self.audit.reason(it.as_str()).is_none() {
                self.slots.remove(&it);
            }
        }
        if let Some((other, _)) = self.slots.iter().find(|(other, it)| *other != name && **it == slot) {
            let other = other.clone();
            self.fails(Check::Slots, || format!("slot {} of {other} is given to {name}", slot.0));
        }
        self.slots.insert(name.clone(), slot);
    }

    pub fn observation(&self, id: &WorkloadId) -> Option<WorkloadObservation> {
        let workload = self.workloads.get(id)?;
        let state = match (workload.gave_up, workload.live.first()) {
            (true, _) => WorkloadState::GaveUp,
            (false, Some(_)) => WorkloadState::Ready,
            (false, None) => WorkloadState::Stopped,
        };
        let pid = workload.live.first().copied();
        let (up_s, resident_bytes) = (pid.map(|_| 60), pid.map(|_| 64 << 20));
        Some(WorkloadObservation {
            digest: workload.digest,
            state,
            pid,
            restarts: 0,
            up_s,
            resident_bytes,
            why: "simulated".to_owned(),
            edited: Vec::new(),
        })
    }

    /// Somebody kills a process and its supervisor starts it again.
    pub fn restart(&mut self, id: &WorkloadId) {
        self.pid += 1;
        let pid = self.pid;
        if let Some(workload) = self.workloads.get_mut(id).filter(|it| it.live.len() == 1) {
            workload.live = vec![pid];
        }
    }

    /// The next thing that is due until `until`, without controllers in `hung`: a message that is late, which
    /// happens here and now, or a controller to be woken, which is returned.
    pub fn next_due(&mut self, until: u64, hung: &BTreeSet<u32>) -> Option<Option<u32>> {
        let late = self.late.keys().next().copied().filter(|key| key.0 <= until);
        let sleeper = self.sleepers.iter().find(|(key, (of, _))| key.0 <= until && !hung.contains(of));
        let sleeper = sleeper.map(|(key, _)| *key);
        match (late, sleeper) {
            (Some(late), sleeper) if sleeper.is_none_or(|sleeper| late <= sleeper) => {
                self.ms = self.ms.max(late.0);
                let (message, generation, origin) = self.late.remove(&late)?;
                if self.deliver(&message, generation, &origin, false).is_err() {
                    self.tell(format!("late and refused: {message:?}"));
                }
                Some(None)
            }
            (_, Some(key)) => {
                self.ms = self.ms.max(key.0);
                let (of, wake) = self.sleepers.remove(&key)?;
                let _ = wake.send(());
                Some(Some(of))
            }
            _ => None,
        }
    }

    /// Messages that are still under way.
    pub fn last_late(&self) -> u64 {
        self.late.keys().next_back().map_or(0, |key| key.0)
    }
}

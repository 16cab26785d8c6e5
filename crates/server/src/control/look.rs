//! A full look: file, machine, plan, and what becomes of it. Changes nothing but what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use springtide_core::check::CheckedEstate;
use springtide_core::digest::Digest;
use springtide_core::lint::lint;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Observation;
use springtide_core::plan::destroy::destroy;
use springtide_core::plan::wanted::{wanted, wanted_of_estate};
use springtide_core::plan::{Action, EnvironmentPlan, Plan, Step, plan_with_rest};

use super::decide::{Facts, Why, adopted, decide};
use super::{Control, ControlError, Drift, DriftRule, Since, Snapshot, Verdict};
use crate::store::{Approvals, EventKind, NewEvent};

/// Longest wait for what is seen. Every look of its own has a shorter deadline, but for the supervisor's
/// answer.
const LOOK: Duration = Duration::from_secs(20);

/// What is remembered from one look to the next.
#[derive(Default)]
pub(super) struct Eyes {
    /// Digest of the file's text as it was last read, valid or not; none if it could not be read.
    text: Option<Option<Digest>>,
    /// The last valid estate, and the digest of its text.
    checked: Option<(Arc<CheckedEstate>, Digest)>,
    /// A valid text that the store does not have yet.
    to_keep: Option<String>,
    /// Why the file is not valid, if it is not.
    refusal: Option<String>,
    /// Since when each drift is seen.
    drift: BTreeMap<(Option<EnvironmentName>, String), i64>,
    /// Plan of the last look.
    plan: String,
}

impl Control {
    /// Looks at everything now, without effects.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, ControlError> {
        let mut eyes = self.looking.lock().await;
        let mut told = Vec::new();
        self.read(&mut eyes, &mut told)?;
        let now = self.now();
        let since = Since { epoch: self.acting()?, turn: self.state().turn };
        let Some((checked, declared)) = eyes.checked.clone() else {
            return Err(ControlError::Invalid(eyes.refusal.clone().unwrap_or_default()));
        };
        let look = self.estate.world.observe(&self.estate, now);
        let seen = match tokio::time::timeout(LOOK, look).await {
            Ok(seen) => Arc::new(seen?),
            Err(_) => return Err(ControlError::Slow(LOOK.as_secs())),
        };
        let (plan, rest) = plan_with_rest(&checked, &seen, now);
        if let Some(note) = lint(&plan).first() {
            return Err(ControlError::Lint(note.clone()));
        }
        let rest: Arc<[EnvironmentPlan]> = rest.into();
        let approved = self.estate.store.approved()?;
        let held = self.estate.store.held()?.is_some();
        let parts = parts(&plan, &rest, &seen);
        let wanted = wanted_now(&checked, &seen, &plan, &parts, now);
        let (running, pausing) = self.busy();
        let (report, frozen) = rules(&checked, now);
        let facts = Facts {
            parts: &parts,
            wanted: &wanted,
            approved: &approved,
            report: &report,
            frozen: &frozen,
            running: &running,
            pausing: &pausing,
            held,
        };
        let verdicts = decide(&facts);
        // While a command acts nothing is adopted: what it does is not done yet.
        if let Some(epoch) = self.acting()? {
            if let Some(text) = eyes.to_keep.take() {
                self.estate.store.keep_file(epoch, &text, now)?;
            }
            let adopted = adopted(&facts, |name| running.contains(name));
            if !adopted.is_empty() {
                self.estate.store.approve(epoch, &adopted, "it runs as declared", now)?;
            }
        }
        let differs = differing(&parts, &verdicts, facts.approved, &report, &seen);
        let drift = drift(&mut eyes, differs, &mut told, now);
        if eyes.plan != plan.id {
            eyes.plan.clone_from(&plan.id);
            let data = json!({ "plan": plan.id, "steps": plan.steps().count(), "refusals": plan.refusals.len() });
            told.push(NewEvent { kind: EventKind::Pass, environment: None, operation: None, data });
        }
        if !told.is_empty() {
            self.estate.store.append(&told, now)?;
        }
        let refusal = eyes.refusal.clone();
        let snapshot =
            Snapshot { at: now, checked, declared, seen, plan: plan.into(), rest, drift, verdicts, refusal, since };
        let snapshot = Arc::new(snapshot);
        self.snapshot.send_replace(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Digest of the file as it is, if it can be read; none is a value of its own.
    pub(super) fn file_digest(&self) -> Option<Digest> {
        crate::file::read(&self.settings.file).ok().map(|text| Digest::of_bytes(text.as_bytes()))
    }

    /// Reads the estate file, if it is another one than last time. The last valid one is kept, also over
    /// a restart.
    fn read(&self, eyes: &mut Eyes, told: &mut Vec<NewEvent>) -> Result<(), ControlError> {
        let store = &self.estate.store;
        let name = self.settings.file.display().to_string();
        let read = crate::file::read(&self.settings.file);
        let digest = read.as_ref().ok().map(|text| Digest::of_bytes(text.as_bytes()));
        if eyes.text == Some(digest) && (digest.is_some() || eyes.refusal.is_some()) {
            return Ok(());
        }
        let first = eyes.text.is_none();
        eyes.text = Some(digest);
        let checked = match read {
            Ok(text) => match (self.settings.parse)(&name, &text) {
                Ok(checked) => Ok((checked, text)),
                Err(report) => Err(match report.diagnostics() {
                    [one] => one.message.clone(),
                    [one, more @ ..] => format!("{}; and {} more", one.message, more.len()),
                    [] => "it is not valid".to_owned(),
                }),
            },
            Err(why) => Err(why),
        };
        let mut tell =
            |data| told.push(NewEvent { kind: EventKind::Declared, environment: None, operation: None, data });
        match checked {
            Ok((checked, text)) => {
                let digest = Digest::of_bytes(text.as_bytes());
                if !first {
                    tell(json!({ "declared": digest, "environments": checked.environments.len() }));
                }
                eyes.checked = Some((Arc::new(checked), digest));
                eyes.to_keep = Some(text);
                eyes.refusal = None;
            }
            Err(why) => {
                tell(json!({ "refusal": why }));
                eyes.refusal = Some(why);
                if eyes.checked.is_none()
                    && let Some(text) = store.kept_file()?
                    && let Ok(checked) = (self.settings.parse)(&name, &text)
                {
                    eyes.checked = Some((Arc::new(checked), Digest::of_bytes(text.as_bytes())));
                }
            }
        }
        Ok(())
    }

    /// Environments in hand, and those that wait after a failure.
    fn busy(&self) -> (BTreeSet<Option<EnvironmentName>>, BTreeSet<Option<EnvironmentName>>) {
        let (state, now) = (self.state(), (self.settings.uptime)());
        let pausing = state.failures.iter().filter(|(_, it)| it.until > now).map(|(name, _)| name.clone());
        (state.running.keys().cloned().collect(), pausing.collect())
    }
}

/// Everything that is left to do: the plan, or what its refusals leave of it, and destructions that have
/// passed the point of no return.
pub(super) fn parts(plan: &Plan, rest: &[EnvironmentPlan], seen: &Observation) -> Vec<EnvironmentPlan> {
    let mut parts: Vec<EnvironmentPlan> = plan.environments.iter().chain(rest).cloned().collect();
    for (name, _) in seen.environments.iter().filter(|(_, it)| it.destroying.is_some()) {
        parts.retain(|part| part.environment.as_ref() != Some(name));
        parts.extend(destroy(seen, name, None, None).environments);
    }
    parts
}

/// What is wanted now of every environment that is declared, holds or gets a slot, and is not refused.
fn wanted_now(
    checked: &CheckedEstate,
    seen: &Observation,
    plan: &Plan,
    parts: &[EnvironmentPlan],
    now: i64,
) -> BTreeMap<Option<EnvironmentName>, Digest> {
    let reserved: BTreeMap<_, _> = parts
        .iter()
        .flat_map(|part| &part.steps)
        .filter_map(|step| match &step.action {
            Action::ReserveSlot { environment, slot, .. } => Some((environment, *slot)),
            _ => None,
        })
        .collect();
    let refused: BTreeSet<&EnvironmentName> = plan.refusals.iter().map(|refusal| &refusal.environment).collect();
    let mut all = BTreeMap::from([(None, wanted_of_estate(checked))]);
    for declared in checked.environments.iter().filter(|it| !refused.contains(&it.name)) {
        let name = &declared.name;
        let slot = seen.environments.get(name).map(|it| it.slot).or_else(|| reserved.get(name).copied());
        if let Some(slot) = slot {
            all.insert(Some(name.clone()), wanted(checked, declared, slot, &seen.host, now));
        }
    }
    all
}

/// Environments whose drift is only told, and those in a freeze.
fn rules(checked: &CheckedEstate, now: i64) -> (BTreeSet<EnvironmentName>, BTreeSet<EnvironmentName>) {
    let of = |which: &dyn Fn(&&springtide_core::check::CheckedEnvironment) -> bool| {
        checked.environments.iter().filter(which).map(|it| it.name.clone()).collect()
    };
    (of(&|it| it.drift == DriftRule::Report), of(&|it| it.frozen_by(&checked.peaks, now).is_some()))
}

/// What is not as it was approved, and what is done about it. Strangers are told and left: who started one
/// knows what for, and nothing that is declared depends on its end.
fn differing(
    parts: &[EnvironmentPlan],
    verdicts: &BTreeMap<Option<EnvironmentName>, Verdict>,
    approved: &Approvals,
    report: &BTreeSet<EnvironmentName>,
    seen: &Observation,
) -> Vec<(Option<EnvironmentName>, String, DriftRule)> {
    let mut all = Vec::new();
    for part in parts {
        let name = &part.environment;
        let settled = approved.get(name).is_some_and(|it| it.done);
        let differs = match verdicts.get(name) {
            Some(Verdict::Heal | Verdict::Waits(Why::Report | Why::Freeze)) => true,
            // Whatever else it waits for now, if what was approved was there once, it is drift.
            Some(Verdict::Waits(Why::Held | Why::Pause)) => settled,
            _ => false,
        };
        if differs {
            let told_only = name.as_ref().is_some_and(|name| report.contains(name));
            let rule = if told_only { DriftRule::Report } else { DriftRule::Heal };
            all.extend(part.steps.iter().filter_map(words).map(|what| (name.clone(), what, rule)));
        }
    }
    let whose = [None].into_iter().chain(seen.environments.keys().map(Some));
    all.extend(whose.flat_map(|name| {
        let strangers = seen.strangers_of(name);
        strangers.map(move |it| (name.cloned(), it.to_string(), DriftRule::Report))
    }));
    all
}

/// The same with the moment it was first seen; news of it go to `told`.
fn drift(
    eyes: &mut Eyes,
    differs: Vec<(Option<EnvironmentName>, String, DriftRule)>,
    told: &mut Vec<NewEvent>,
    now: i64,
) -> Vec<Drift> {
    let mut all = Vec::new();
    let mut since = BTreeMap::new();
    for (name, what, rule) in differs {
        let key = (name, what);
        let first = eyes.drift.get(&key).copied().unwrap_or(now);
        if !eyes.drift.contains_key(&key) {
            let data = json!({ "what": key.1, "rule": rule });
            let environment = key.0.as_ref().map(ToString::to_string);
            told.push(NewEvent { kind: EventKind::Drift, environment, operation: None, data });
        }
        all.push(Drift { environment: key.0.clone(), what: key.1.clone(), since: first, rule });
        since.insert(key, first);
    }
    for (name, what) in eyes.drift.keys().filter(|key| !since.contains_key(*key)) {
        let environment = name.as_ref().map(ToString::to_string);
        let data = json!({ "what": what, "gone": true });
        told.push(NewEvent { kind: EventKind::Drift, environment, operation: None, data });
    }
    eyes.drift = since;
    all
}

/// What differs, that a step would put right; none for a step that only looks.
fn words(step: &Step) -> Option<String> {
    let subject = match &step.action {
        Action::Verify { .. } | Action::ReserveSlot { .. } => return None,
        Action::EnsureWorkload { id, .. } => id.role.as_str().to_owned(),
        Action::EnsureRoute { .. } => "route".to_owned(),
        Action::ConfigureDatabase { .. } => "database".to_owned(),
        Action::EnsureCertificate { .. } => "certificate".to_owned(),
        Action::EnsureSecrets { .. } => "secrets".to_owned(),
        other => other.title(),
    };
    Some(format!("{subject}: {}", step.reason))
}

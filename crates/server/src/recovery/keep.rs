//! What a server does by itself for every environment that is backed up.
//!
//! Two loops beside the one that keeps the estate. The *beat* writes a canary and copies new files each minute. The
//! *rounds* take backups and try restores when they are due, one at a time on the machine, because both take what
//! Odoo needs; while the stop switch is set they begin nothing. What failed is tried again after a pause that grows.
//! Nothing of it is an operation: what runs is not changed, and whoever kills the server at any moment only delays it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use springtide_core::backup::schedule::{self, Due, Rhythm};
use springtide_core::backup::{BackupSet, Label, RepoKey, expire};
use springtide_core::names::EnvironmentName;
use springtide_core::observe::WorkloadState;
use springtide_core::role::Role;
use springtide_core::spec::RestoreTest;
use springtide_core::units::Span;
use springtide_data::backup::BackupEngine as _;
use springtide_data::filestore::PushOptions;
use tokio::sync::watch;
use tokio::time::Instant;

use super::choose::Asked;
use super::prove::Wish;
use super::{Subject, word};
use crate::control::{Control, Snapshot};
use crate::execute::{Clock, Failure};

/// Time between two canaries, and between two copies of new files.
const BEAT: Duration = Duration::from_secs(60);
/// Time between two looks at what is due.
const ROUND: Duration = Duration::from_secs(20);
/// How long a list of sets is believed.
const LISTED: Duration = Duration::from_secs(600);
/// Pause after the first failure, and the longest.
const PAUSE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3_600)];

/// Keeps backups and proofs going until `closed` says that the server ends.
pub async fn keep(control: Arc<Control>, clock: Clock, closed: watch::Receiver<bool>) {
    tokio::join!(beat(Arc::clone(&control), Arc::clone(&clock), closed.clone()), rounds(control, clock, closed));
}

/// Whether the server ends within `time`.
async fn ends_within(closed: &mut watch::Receiver<bool>, time: Duration) -> bool {
    tokio::time::timeout(time, closed.wait_for(|closed| *closed)).await.is_ok()
}

async fn beat(control: Arc<Control>, clock: Clock, mut closed: watch::Receiver<bool>) {
    let mut failing: BTreeMap<EnvironmentName, String> = BTreeMap::new();
    while !ends_within(&mut closed, BEAT).await {
        let Some(snapshot) = control.snapshot() else { continue };
        for name in backed_up(&snapshot) {
            let Some(subject) = subject(&control, &snapshot, &name, &clock) else { continue };
            match one_beat(&subject, &clock).await {
                Ok(()) => drop(failing.remove(&name)),
                Err(why) => {
                    let why = why.to_string();
                    // Once for each trouble, not once a minute.
                    if failing.get(&name) != Some(&why) {
                        tracing::warn!(environment = %name, %why, "no canary or not all files");
                        failing.insert(name, why);
                    }
                }
            }
        }
    }
}

async fn one_beat(subject: &Subject<'_>, clock: &Clock) -> Result<(), Failure> {
    // Files first: what the log up to the canary names is then in the mirror.
    for repo in subject.repos() {
        subject.push_files(repo, &PushOptions::continuous(), clock()).await?;
    }
    subject.mark().await.map(drop)
}

/// What is remembered of one environment and place between two rounds.
#[derive(Default)]
struct Memory {
    sets: Option<(Instant, Vec<BackupSet>)>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Memory {
    fn rests(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|until| now < until)
    }
    fn worked(&mut self) {
        (self.failures, self.not_before) = (0, None);
    }
    fn failed(&mut self, now: Instant) {
        let pause = PAUSE[0].saturating_mul(1 << self.failures.min(6)).min(PAUSE[1]);
        self.failures += 1;
        self.not_before = Some(now + pause);
    }
}

async fn rounds(control: Arc<Control>, clock: Clock, mut closed: watch::Receiver<bool>) {
    let mut known: BTreeMap<(EnvironmentName, RepoKey), Memory> = BTreeMap::new();
    let mut proofs: BTreeMap<EnvironmentName, Memory> = BTreeMap::new();
    while !ends_within(&mut closed, ROUND).await {
        let Some(snapshot) = control.snapshot() else { continue };
        if control.held().is_ok_and(|held| held.is_some()) {
            continue;
        }
        for name in backed_up(&snapshot) {
            let Some(subject) = subject(&control, &snapshot, &name, &clock) else { continue };
            for repo in subject.repos() {
                let memory = known.entry((name.clone(), repo)).or_default();
                if memory.rests(Instant::now()) {
                    continue;
                }
                match backup_if_due(&subject, repo, memory, &clock).await {
                    Ok(()) => memory.worked(),
                    Err(why) => {
                        tracing::warn!(environment = %name, place = word(repo), %why, "no backup");
                        memory.failed(Instant::now());
                    }
                }
            }
            let near = known.get(&(name.clone(), RepoKey::Near)).and_then(|it| it.sets.as_ref());
            let sets = near.map(|(_, sets)| sets.clone()).unwrap_or_default();
            let memory = proofs.entry(name.clone()).or_default();
            if memory.rests(Instant::now()) {
                continue;
            }
            match proof_if_due(&subject, &sets, &clock).await {
                Ok(()) => memory.worked(),
                Err(why) => {
                    tracing::warn!(environment = %name, %why, "no proof");
                    memory.failed(Instant::now());
                }
            }
        }
    }
}

async fn backup_if_due(
    subject: &Subject<'_>,
    repo: RepoKey,
    memory: &mut Memory,
    clock: &Clock,
) -> Result<(), Failure> {
    let Some(backup) = &subject.sized.environment.backup else { return Ok(()) };
    let rhythm = Rhythm { full: backup.full, incremental: backup.incremental };
    if memory.sets.as_ref().is_none_or(|(at, _)| at.elapsed() > LISTED) {
        memory.sets = Some((Instant::now(), sets(subject, repo).await?));
    }
    let known = memory.sets.as_ref().map(|(_, sets)| sets.as_slice()).unwrap_or_default();
    let Due::Now(_) = schedule::backup(rhythm, known, at(clock)) else { return Ok(()) };
    // Somebody may have taken one by hand since the list was read.
    let fresh = sets(subject, repo).await?;
    let due = schedule::backup(rhythm, &fresh, at(clock));
    memory.sets = Some((Instant::now(), fresh));
    let Due::Now(kind) = due else { return Ok(()) };
    memory.sets = None;
    let taken = subject.take(repo, kind, clock, &|_| {}).await?;
    tracing::info!(environment = %subject.name(), place = word(repo), set = %taken.set.label, "backup taken");
    memory.sets = Some((Instant::now(), expired(subject, repo, clock).await?));
    Ok(())
}

/// Removes what no instant of the window needs and what at least two newer proven sets stand in for; what is left.
async fn expired(subject: &Subject<'_>, repo: RepoKey, clock: &Clock) -> Result<Vec<BackupSet>, Failure> {
    let sets = sets(subject, repo).await?;
    let Some(backup) = &subject.sized.environment.backup else { return Ok(sets) };
    let proven = subject.estate.store.proven(subject.name())?;
    let proven: BTreeSet<Label> = proven.iter().filter_map(|label| label.parse().ok()).collect();
    let go = expire(&sets, backup.recovery_window, &proven, &BTreeSet::new(), at(clock)).go;
    if go.is_empty() {
        return Ok(sets);
    }
    subject.engine()?.prune(repo, &go).await?;
    tracing::info!(environment = %subject.name(), place = word(repo), sets = go.len(), "old backups removed");
    self::sets(subject, repo).await
}

async fn proof_if_due(subject: &Subject<'_>, sets: &[BackupSet], clock: &Clock) -> Result<(), Failure> {
    let test = subject.sized.environment.backup.as_ref().and_then(|it| it.restore_test);
    let Some(every) = test.map(interval) else { return Ok(()) };
    let proofs = subject.estate.store.proofs(subject.name(), 50)?;
    let last = proofs.iter().find(|it| it.verdict.as_deref() == Some("proven")).and_then(|it| it.ended);
    let last = last.and_then(|at| Timestamp::from_second(at).ok());
    let Due::Now(()) = schedule::proof(every, last, sets, at(clock)) else { return Ok(()) };
    let wish = Wish { repo: RepoKey::Near, asked: Asked::Newest, whole: false, without: [].into() };
    let proved = subject.prove(&wish, clock, &|_| {}).await?;
    let (verdict, took) = (proved.record.summary(), proved.took.as_secs());
    tracing::info!(environment = %subject.name(), %verdict, took, "restore tried");
    // What failed is tried again after a pause; the record of each is kept.
    if proved.record.verdict == springtide_core::proof::Verdict::Proven { Ok(()) } else { Err(verdict.into()) }
}

async fn sets(subject: &Subject<'_>, repo: RepoKey) -> Result<Vec<BackupSet>, Failure> {
    Ok(subject.engine()?.list(repo).await?.sets.into_iter().filter(|set| set.repo == repo).collect())
}

/// Time between two tries of a restore.
fn interval(test: RestoreTest) -> Span {
    Span::from_seconds(match test {
        RestoreTest::Daily => 86_400,
        RestoreTest::Weekly => 7 * 86_400,
        RestoreTest::Monthly => 30 * 86_400,
    })
}

fn at(clock: &Clock) -> Timestamp {
    Timestamp::from_second(clock()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Environments whose repository is prepared and whose database runs.
fn backed_up(snapshot: &Snapshot) -> Vec<EnvironmentName> {
    let ready = |name: &EnvironmentName| {
        snapshot.seen.environments.get(name).is_some_and(|seen| {
            seen.repository.is_some()
                && seen.workloads.get(&Role::Postgres).is_some_and(|it| it.state == WorkloadState::Ready)
        })
    };
    let wanted = snapshot.checked.environments.iter().filter(|it| it.backup.is_some());
    wanted.map(|it| it.name.clone()).filter(ready).collect()
}

fn subject<'a>(
    control: &'a Control,
    snapshot: &'a Snapshot,
    name: &EnvironmentName,
    clock: &Clock,
) -> Option<Subject<'a>> {
    let epoch = control.estate().store.newest_epoch().ok()??.epoch;
    Subject::of(control.estate(), &snapshot.checked, &snapshot.seen, name, epoch, clock()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_with_a_success() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert!(!memory.rests(begun));
        memory.failed(begun);
        assert!(memory.rests(begun + PAUSE[0] - second) && !memory.rests(begun + PAUSE[0]));
        (0..20).for_each(|_| memory.failed(begun));
        assert!(memory.rests(begun + PAUSE[1] - second) && !memory.rests(begun + PAUSE[1]));
        memory.worked();
        assert!(!memory.rests(begun));
    }
}

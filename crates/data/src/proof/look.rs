//! What one stage sees, and the list of all stages while it grows. The list outlives whatever ends in the middle, so
//! that what was seen until then is told.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Mutex;
use std::time::Instant;

use springtide_core::proof::{FINDINGS_MAX, Outcome, Stage, StageResult, Stages};

use super::Progress;
use crate::aside::AsideError;
use crate::postgres::AdminError;

/// What a stage saw.
#[derive(Debug, Default)]
pub(super) struct Look {
    found: Vec<String>,
    /// Findings beyond those that are named.
    more: u64,
    missed: Option<String>,
    figures: BTreeMap<String, u64>,
    notes: Vec<String>,
}

impl Look {
    /// One that found something.
    pub fn found(found: impl IntoIterator<Item = String>) -> Self {
        let mut look = Self::default();
        found.into_iter().for_each(|one| look.find(one));
        look
    }
    /// One that could not look.
    pub fn missed(why: impl Into<String>) -> Self {
        Self { missed: Some(why.into()), ..Self::default() }
    }
    /// Adds a finding.
    pub fn find(&mut self, what: String) {
        match self.found.len() < FINDINGS_MAX {
            true => self.found.push(what),
            false => self.more += 1,
        }
    }
    /// Adds findings that are only counted.
    pub fn find_more(&mut self, count: u64) {
        self.more += count;
    }
    /// Says that something was not looked at; the first reason stays.
    pub fn miss(&mut self, why: impl Into<String>) {
        self.missed.get_or_insert(why.into());
    }
    /// Adds a note.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
    /// Sets a figure.
    pub fn count(&mut self, name: &str, value: u64) {
        self.figures.insert(name.to_owned(), value);
    }
    /// With a figure.
    pub fn figure(mut self, name: &str, value: u64) -> Self {
        self.count(name, value);
        self
    }
    /// Takes an error of the server: data that PostgreSQL calls damaged is a finding, anything else was not looked at.
    pub fn trouble(&mut self, what: &str, error: &AdminError) {
        match damaged(error) {
            true => self.find(format!("{what}: {error}")),
            false => self.miss(format!("{what}: {error}")),
        }
    }

    fn result(self, ms: u64) -> StageResult {
        let Self { found, more, missed, mut figures, mut notes } = self;
        let outcome = match (found.is_empty(), missed) {
            (true, None) => Outcome::Passed,
            (true, Some(why)) => Outcome::NotRun { why },
            (false, missed) => {
                figures.insert("found".to_owned(), found.len() as u64 + more);
                notes.extend(missed);
                Outcome::Failed { found }
            }
        };
        StageResult { outcome, ms, figures, notes }
    }
}

/// Whether the server says that stored data is damaged: class XX (`data_corrupted`, `index_corrupted`, a broken page).
pub(super) fn damaged(error: &AdminError) -> bool {
    error.code().is_some_and(|code| code.starts_with("XX"))
}

/// The stages of one proof.
pub(super) struct Log<'a> {
    wanted: &'a BTreeSet<Stage>,
    progress: Progress<'a>,
    stages: Mutex<Stages>,
    begun: Mutex<BTreeMap<Stage, Instant>>,
}

impl<'a> Log<'a> {
    pub fn new(wanted: &'a BTreeSet<Stage>, progress: Progress<'a>) -> Self {
        let off = Stage::ALL.into_iter().filter(|stage| !wanted.contains(stage));
        let stages: Stages = off.map(|stage| (stage, StageResult::not_run("switched off"))).collect();
        Self { wanted, progress, stages: Mutex::new(stages), begun: Mutex::default() }
    }

    /// A poisoned list is still the list: no code of ours panics while it holds it.
    fn stages(&self) -> std::sync::MutexGuard<'_, Stages> {
        self.stages.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    fn begun(&self) -> std::sync::MutexGuard<'_, BTreeMap<Stage, Instant>> {
        self.begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether a stage is to run.
    pub fn wants(&self, stage: Stage) -> bool {
        self.wanted.contains(&stage)
    }

    /// Writes down a stage.
    pub fn put(&self, stage: Stage, result: StageResult) {
        self.stages().insert(stage, result);
    }

    /// Runs a stage unless it is switched off.
    pub async fn stage(&self, stage: Stage, look: impl Future<Output = Look>) {
        if !self.wants(stage) {
            return;
        }
        let started = Instant::now();
        self.begins(stage);
        let look = look.await;
        self.told(stage, look, started.elapsed().as_millis() as u64);
    }

    /// A stage begins; until it is told it is under way.
    pub fn begins(&self, stage: Stage) {
        (self.progress)(stage);
        self.begun().insert(stage, Instant::now());
    }

    /// Writes down what a stage saw.
    pub fn told(&self, stage: Stage, look: Look, ms: u64) {
        self.begun().remove(&stage);
        self.put(stage, look.result(ms));
    }

    /// Whether it passed.
    pub fn passed(&self, stage: Stage) -> bool {
        self.stages().get(&stage).is_some_and(StageResult::passed)
    }

    /// Every stage that has no result did not run, and why.
    pub fn rest(&self, why: &str) {
        let mut stages = self.stages();
        for stage in Stage::ALL {
            stages.entry(stage).or_insert_with(|| StageResult::not_run(why));
        }
    }

    /// The server ended or could not be started. A server that ended by itself did so over what it was given: the
    /// stages under way failed, or `first` if none was. All else was not looked at.
    pub fn broken(&self, first: Stage, error: AsideError) {
        let under_way = std::mem::take(&mut *self.begun());
        let by_itself = matches!(error, AsideError::Step { .. });
        let result = |ms| match by_itself {
            true => Look::found([error.to_string()]).result(ms),
            false => Look::missed(error.to_string()).result(ms),
        };
        for (stage, started) in &under_way {
            self.put(*stage, result(started.elapsed().as_millis() as u64));
        }
        // Stopping failed after everything was seen: the copy was not left whole, which is a finding as well.
        if under_way.is_empty() {
            self.put(first, result(0));
        }
        self.rest("the server was not there");
    }

    /// The finished list.
    pub fn done(self) -> Stages {
        self.rest("nothing came to it");
        self.stages.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_bounded_and_counted() {
        let mut look = Look::missed("half of it");
        (0..FINDINGS_MAX + 7).for_each(|n| look.find(format!("{n}")));
        let result = look.result(1);
        let Outcome::Failed { found } = &result.outcome else { panic!("{result:?}") };
        assert_eq!((found.len(), result.figures["found"]), (FINDINGS_MAX, FINDINGS_MAX as u64 + 7));
        assert_eq!(result.notes, ["half of it"], "a finding is more than a gap, and the gap is told");
    }

    #[tokio::test]
    async fn what_is_off_or_never_reached_did_not_run() {
        let wanted = BTreeSet::from([Stage::Replay, Stage::Open]);
        let log = Log::new(&wanted, &|_| {});
        log.stage(Stage::Replay, async { Look::default() }).await;
        log.stage(Stage::Boot, async { panic!("it is off") }).await;
        assert!(log.passed(Stage::Replay) && !log.passed(Stage::Boot));
        let stages = log.done();
        assert_eq!(stages.len(), Stage::ALL.len());
        assert_eq!(stages[&Stage::Boot], StageResult::not_run("switched off"));
        assert!(stages.values().filter(|stage| stage.passed()).count() == 1);
    }
}

//! What a proof of a restored copy says, and the verdict over it. Pure; what was seen is handed in.
//!
//! A proof is a list of stages. Each passed, failed with what it found, or did not run with the reason. The rule that
//! keeps it right: only what was looked at counts. A stage that is required and did not run makes the proof
//! inconclusive, never proven, and one failure is enough for failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// One look at a restored copy, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Files came from the store.
    Fetch,
    /// The log was replayed up to the target and not further.
    Replay,
    /// Every page of the stopped data directory has its checksum.
    Checksums,
    /// The server opens it, past recovery, where the target says.
    Open,
    /// Indexes hold what their tables hold.
    Indexes,
    /// Canaries up to the target are there and none after it.
    Canaries,
    /// Attachments are there with size and SHA-1.
    Attachments,
    /// Sums of the business agree with each other.
    Business,
    /// The copy can do no harm.
    Neutralise,
    /// Odoo starts on it.
    Boot,
    /// Somebody can log in over HTTP.
    Login,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 11] = [
        Stage::Fetch,
        Stage::Replay,
        Stage::Checksums,
        Stage::Open,
        Stage::Indexes,
        Stage::Canaries,
        Stage::Attachments,
        Stage::Business,
        Stage::Neutralise,
        Stage::Boot,
        Stage::Login,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Fetch => "fetch",
            Stage::Replay => "replay",
            Stage::Checksums => "checksums",
            Stage::Open => "open",
            Stage::Indexes => "indexes",
            Stage::Canaries => "canaries",
            Stage::Attachments => "attachments",
            Stage::Business => "business",
            Stage::Neutralise => "neutralise",
            Stage::Boot => "boot",
            Stage::Login => "login",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// Everything it looked at was as it must be.
    Passed,
    /// Something was not, and what: files, tables, rows by name.
    Failed {
        /// What was found, for people, at most [`FINDINGS_MAX`] of them.
        found: Vec<String>,
    },
    /// It did not look, or not at everything it was to.
    NotRun {
        /// Why.
        why: String,
    },
}

/// The most findings that one stage names; the figure `found` counts all.
pub const FINDINGS_MAX: usize = 50;

/// One stage of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageResult {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// What was counted, by name: `pages`, `files`, `bytes`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, u64>,
    /// What people should know though nothing failed: checks that do not apply, what was accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl StageResult {
    /// One that did not run.
    pub fn not_run(why: impl Into<String>) -> Self {
        let outcome = Outcome::NotRun { why: why.into() };
        Self { outcome, ms: 0, figures: BTreeMap::new(), notes: Vec::new() }
    }
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }
    /// Whether it failed.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. })
    }
}

/// Results by stage. A stage that is not in it did not run.
pub type Stages = BTreeMap<Stage, StageResult>;

/// What a proof says in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every required stage passed and none failed. Only this counts.
    Proven,
    /// A stage found something.
    Failed,
    /// Nothing was found, and not everything that is required was looked at.
    Inconclusive,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Proven => "proven",
            Verdict::Failed => "failed",
            Verdict::Inconclusive => "inconclusive",
        })
    }
}

/// The verdict over what was seen. Nothing required and nothing looked at proves nothing.
pub fn verdict(stages: &Stages, required: &BTreeSet<Stage>) -> Verdict {
    if stages.values().any(StageResult::failed) {
        Verdict::Failed
    } else if !required.is_empty() && required.iter().all(|stage| stages.get(stage).is_some_and(StageResult::passed)) {
        Verdict::Proven
    } else {
        Verdict::Inconclusive
    }
}

/// Sizes of what was restored, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sizes {
    /// The data directory.
    pub database: u64,
    /// The filestore.
    pub filestore: u64,
}

/// A dated proof, as it is signed and kept. Its JSON has the fields in this order and maps sorted, so the same
/// proof always has the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of this form.
    pub form: u32,
    /// Whose copy it is.
    pub environment: String,
    /// The backup it was restored from.
    pub set: String,
    /// Log position of the target, such as `0/16B3748`.
    pub target_lsn: String,
    /// The moment that was asked for, RFC 3339 in UTC, if it was one.
    pub target_time: Option<String>,
    /// How much was restored.
    pub sizes: Sizes,
    /// What had to pass.
    pub required: BTreeSet<Stage>,
    /// What was seen.
    pub stages: Stages,
    /// Versions of the programs that took part, by name.
    pub tools: BTreeMap<String, String>,
    /// What follows from the stages.
    pub verdict: Verdict,
    /// When it ended, RFC 3339 in UTC.
    pub at: String,
}

impl Record {
    /// The form that this release writes.
    pub const FORM: u32 = 1;

    /// Whether verdict and form are what the rest of it says. A record that was put together by hand need not be.
    pub fn agrees(&self) -> bool {
        self.form == Self::FORM && self.verdict == verdict(&self.stages, &self.required)
    }

    /// One line for people: the verdict, and what stands in the way.
    pub fn summary(&self) -> String {
        let named = |wanted: fn(&StageResult) -> bool| -> Vec<&str> {
            self.stages.iter().filter(|(_, result)| wanted(result)).map(|(stage, _)| stage.as_str()).collect()
        };
        match self.verdict {
            Verdict::Proven => "proven".to_owned(),
            Verdict::Failed => format!("failed: {}", named(StageResult::failed).join(", ")),
            Verdict::Inconclusive => {
                let open =
                    self.required.iter().filter(|stage| !self.stages.get(stage).is_some_and(StageResult::passed));
                format!("inconclusive: {}", open.map(|stage| stage.as_str()).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(outcome: Outcome) -> StageResult {
        StageResult { outcome, ms: 3, figures: [("files".to_owned(), 7)].into(), notes: Vec::new() }
    }
    fn failed() -> StageResult {
        result(Outcome::Failed { found: vec!["base/5/1259: block 3".into()] })
    }
    fn all() -> (Stages, BTreeSet<Stage>) {
        (Stage::ALL.into_iter().map(|stage| (stage, result(Outcome::Passed))).collect(), Stage::ALL.into())
    }

    #[test]
    fn only_everything_that_is_required_proves() {
        let (stages, required) = all();
        assert_eq!(verdict(&stages, &required), Verdict::Proven);
        for stage in Stage::ALL {
            let with = |result| Stages::from_iter(stages.clone().into_iter().chain([(stage, result)]));
            assert_eq!(verdict(&with(failed()), &required), Verdict::Failed, "{stage}");
            assert_eq!(verdict(&with(StageResult::not_run("off")), &required), Verdict::Inconclusive, "{stage}");
            let mut without = stages.clone();
            without.remove(&stage);
            assert_eq!(verdict(&without, &required), Verdict::Inconclusive, "{stage}");
            // What is not required may be left out, and may not fail.
            let fewer: BTreeSet<Stage> = required.iter().copied().filter(|other| *other != stage).collect();
            assert_eq!(verdict(&without, &fewer), Verdict::Proven, "{stage}");
            assert_eq!(verdict(&with(failed()), &fewer), Verdict::Failed, "{stage}");
        }
        assert_eq!(verdict(&stages, &BTreeSet::new()), Verdict::Inconclusive, "nothing required proves nothing");
        let mut both = stages;
        both.insert(Stage::Open, failed());
        both.insert(Stage::Boot, StageResult::not_run("after open failed"));
        assert_eq!(verdict(&both, &required), Verdict::Failed, "a failure is more than a gap");
    }

    #[test]
    fn the_form_stays() {
        let (mut stages, required) = all();
        stages.insert(Stage::Login, failed());
        stages.insert(Stage::Boot, StageResult::not_run("switched off"));
        stages.retain(|stage, _| matches!(stage, Stage::Fetch | Stage::Boot | Stage::Login));
        let record = Record {
            form: Record::FORM,
            environment: "shop".into(),
            set: "20261124-020000F".into(),
            target_lsn: "0/16B3748".into(),
            target_time: None,
            sizes: Sizes { database: 1, filestore: 2 },
            required: required.into_iter().take(2).collect(),
            verdict: Verdict::Failed,
            stages,
            tools: [("postgres".to_owned(), "15.18".to_owned())].into(),
            at: "2026-11-24T04:00:00Z".into(),
        };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            text,
            r#"{"form":1,"environment":"shop","set":"20261124-020000F","target_lsn":"0/16B3748","target_time":null,"sizes":{"database":1,"filestore":2},"required":["fetch","replay"],"stages":{"fetch":{"outcome":{"is":"passed"},"ms":3,"figures":{"files":7}},"boot":{"outcome":{"is":"not_run","why":"switched off"},"ms":0},"login":{"outcome":{"is":"failed","found":["base/5/1259: block 3"]},"ms":3,"figures":{"files":7}}},"tools":{"postgres":"15.18"},"verdict":"failed","at":"2026-11-24T04:00:00Z"}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert!(record.agrees());
        assert_eq!(record.summary(), "failed: login");
        assert!(!Record { verdict: Verdict::Proven, ..record.clone() }.agrees(), "a verdict that does not follow");
        let mut open = record;
        open.stages.remove(&Stage::Login);
        open.verdict = Verdict::Inconclusive;
        assert!(open.agrees());
        assert_eq!(open.summary(), "inconclusive: replay");
    }
}

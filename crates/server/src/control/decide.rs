//! Deciding: what of a plan may be done without asking. Pure.
//!
//! In this order, the first that holds: held, in hand already, not approved as it is wanted now, finishing
//! what was approved, a freeze, the rule of the environment, the pause after a failure.

use std::collections::{BTreeMap, BTreeSet};

use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;
use springtide_core::plan::{EnvironmentPlan, Risk};

use crate::store::Approvals;

/// What is done about a part that has steps left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was approved and not brought to its end: it goes on.
    GoOn,
    /// It is drift: it is put right.
    Heal,
    /// A destruction past the point of no return is finished.
    Finish,
    /// Nothing now.
    Waits(Why),
}

/// Why nothing is done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The stop switch is set.
    Held,
    /// An operation has it in hand.
    Running,
    /// Somebody has to approve what changed.
    Approval,
    /// The environment's rule says that drift is only told.
    Report,
    /// A freeze lets nothing through that interrupts people.
    Freeze,
    /// It failed just now.
    Pause,
}

/// Everything a decision depends on.
pub struct Facts<'a> {
    /// Parts with something left to do.
    pub parts: &'a [EnvironmentPlan],
    /// What is wanted now.
    pub wanted: &'a BTreeMap<Option<EnvironmentName>, Digest>,
    /// What was approved.
    pub approved: &'a Approvals,
    /// Environments whose drift is only told.
    pub report: &'a BTreeSet<EnvironmentName>,
    /// Environments in a freeze.
    pub frozen: &'a BTreeSet<EnvironmentName>,
    /// Environments that an operation has in hand.
    pub running: &'a BTreeSet<Option<EnvironmentName>>,
    /// Environments that failed so shortly ago that they wait.
    pub pausing: &'a BTreeSet<Option<EnvironmentName>>,
    /// Whether the stop switch is set.
    pub held: bool,
}

/// The verdict on every part that has steps.
pub fn decide(facts: &Facts<'_>) -> BTreeMap<Option<EnvironmentName>, Verdict> {
    let parts = facts.parts.iter().filter(|part| !part.steps.is_empty());
    parts.map(|part| (part.environment.clone(), verdict(facts, part))).collect()
}

fn verdict(facts: &Facts<'_>, part: &EnvironmentPlan) -> Verdict {
    let name = &part.environment;
    let most = part.steps.iter().map(|step| step.risk).max().unwrap_or(Risk::None);
    if facts.held {
        return Verdict::Waits(Why::Held);
    }
    if facts.running.contains(name) {
        return Verdict::Waits(Why::Running);
    }
    // Such a part comes only from a destruction that was recorded with its proof; an estate file never
    // asks for one.
    if most == Risk::Destructive {
        return match facts.pausing.contains(name) {
            true => Verdict::Waits(Why::Pause),
            false => Verdict::Finish,
        };
    }
    let done = match facts.approved.get(name) {
        Some(approved) if facts.wanted.get(name) == Some(&approved.wanted) => approved.done,
        _ if crate::failpoint::planted("approval-not-checked") => false,
        _ => return Verdict::Waits(Why::Approval),
    };
    let named = |names: &BTreeSet<EnvironmentName>| name.as_ref().is_some_and(|name| names.contains(name));
    if done && named(facts.report) {
        return Verdict::Waits(Why::Report);
    }
    if done && named(facts.frozen) && most >= Risk::Restart {
        return Verdict::Waits(Why::Freeze);
    }
    if facts.pausing.contains(name) {
        return Verdict::Waits(Why::Pause);
    }
    if done { Verdict::Heal } else { Verdict::GoOn }
}

/// Environments that are as they are wanted without anybody's approval on record: what runs is adopted.
pub(super) fn adopted(
    facts: &Facts<'_>,
    busy: impl Fn(&Option<EnvironmentName>) -> bool,
) -> Vec<(Option<EnvironmentName>, Digest)> {
    let left: BTreeSet<&Option<EnvironmentName>> = facts.parts.iter().map(|part| &part.environment).collect();
    let as_wanted = facts.wanted.iter().filter(|(name, wanted)| {
        let on_record = facts.approved.get(*name).is_some_and(|it| it.wanted == **wanted && it.done);
        !on_record && !left.contains(name) && !busy(name)
    });
    as_wanted.map(|(name, wanted)| (name.clone(), *wanted)).collect()
}

#[cfg(test)]
mod tests {
    use springtide_core::plan::{Action, Step};

    use super::*;
    use crate::store::Approved;

    /// One row: what was approved and whether it was done, the risk of the plan's step, what else is so,
    /// and the verdict.
    struct Row(Option<(&'static str, bool)>, Risk, &'static [&'static str], Verdict);

    #[test]
    fn the_first_reason_that_holds_decides() {
        use Verdict::{Finish, GoOn, Heal, Waits};
        let prod: EnvironmentName = "prod".parse().unwrap();
        let same = Some(("now", true));
        let cut_off = Some(("now", false));
        let rows = [
            Row(same, Risk::None, &[], Heal),
            Row(same, Risk::Restart, &[], Heal),
            Row(cut_off, Risk::None, &[], GoOn),
            Row(None, Risk::None, &[], Waits(Why::Approval)),
            Row(Some(("before", true)), Risk::None, &[], Waits(Why::Approval)),
            Row(Some(("before", false)), Risk::None, &[], Waits(Why::Approval)),
            Row(same, Risk::None, &["held"], Waits(Why::Held)),
            Row(same, Risk::None, &["running"], Waits(Why::Running)),
            Row(same, Risk::None, &["report"], Waits(Why::Report)),
            // What a person approved is brought to its end whatever the rule for drift.
            Row(cut_off, Risk::Restart, &["report"], GoOn),
            Row(same, Risk::Restart, &["frozen"], Waits(Why::Freeze)),
            // Starting again what stopped interrupts nobody.
            Row(same, Risk::None, &["frozen"], Heal),
            Row(same, Risk::Rolling, &["frozen"], Heal),
            Row(same, Risk::None, &["pausing"], Waits(Why::Pause)),
            Row(cut_off, Risk::None, &["pausing"], Waits(Why::Pause)),
            Row(same, Risk::None, &["held", "running", "report", "pausing"], Waits(Why::Held)),
            Row(None, Risk::Destructive, &[], Finish),
            Row(None, Risk::Destructive, &["held"], Waits(Why::Held)),
            Row(None, Risk::Destructive, &["running"], Waits(Why::Running)),
            Row(None, Risk::Destructive, &["pausing"], Waits(Why::Pause)),
        ];
        for (number, Row(approved, risk, so, expected)) in rows.into_iter().enumerate() {
            let digest = |word: &str| Digest::of_bytes(word.as_bytes());
            let step = Step {
                action: Action::EnsureSecrets { environment: prod.clone() },
                risk,
                interruption_s: 0,
                reason: "test".into(),
            };
            let part = EnvironmentPlan { environment: Some(prod.clone()), steps: vec![step], waits: Vec::new() };
            let name = |word: &str| so.contains(&word).then(|| prod.clone()).into_iter().collect::<BTreeSet<_>>();
            let key = |word: &str| so.contains(&word).then(|| Some(prod.clone())).into_iter().collect::<BTreeSet<_>>();
            let approved = approved.map(|(word, done)| (Some(prod.clone()), Approved { wanted: digest(word), done }));
            let facts = Facts {
                parts: &[part],
                wanted: &[(Some(prod.clone()), digest("now"))].into(),
                approved: &approved.into_iter().collect(),
                report: &name("report"),
                frozen: &name("frozen"),
                running: &key("running"),
                pausing: &key("pausing"),
                held: so.contains(&"held"),
            };
            assert_eq!(decide(&facts)[&Some(prod.clone())], expected, "row {number}");
        }
    }

    #[test]
    fn what_runs_as_wanted_is_adopted_once() {
        let (prod, shop): (EnvironmentName, EnvironmentName) = ("prod".parse().unwrap(), "shop".parse().unwrap());
        let wanted = Digest::of_bytes(b"now");
        let both = [(Some(prod.clone()), wanted), (Some(shop.clone()), wanted)].into();
        let approved: Approvals = [(Some(shop.clone()), Approved { wanted, done: true })].into();
        let (names, keys) = (BTreeSet::new(), BTreeSet::new());
        let facts = Facts {
            parts: &[],
            wanted: &both,
            approved: &approved,
            report: &names,
            frozen: &names,
            running: &keys,
            pausing: &keys,
            held: false,
        };
        assert_eq!(adopted(&facts, |_| false), [(Some(prod.clone()), wanted)]);
        assert_eq!(adopted(&facts, |name| *name == Some(prod.clone())), []);
    }
}

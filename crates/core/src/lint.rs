//! Lint: a grade of a plan by another hand than the planner's. Every plan must be clean before it
//! is applied; a note here is a bug of the planner, never of the estate file.

use std::collections::BTreeSet;

use crate::names::EnvironmentName;
use crate::observe::Observed;
use crate::plan::destroy::Proof;
use crate::plan::{Action, EnvironmentPlan, Plan};
use crate::role::Role;

/// Checks the order and completeness of `plan`; empty means clean.
pub fn lint(plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    if !plan.refusals.is_empty() && plan.steps().next().is_some() {
        notes.push("a plan with refusals has steps".to_owned());
    }
    for planned in &plan.environments {
        let name = planned.environment.as_ref().map_or("the estate".to_owned(), ToString::to_string);
        let position = |wanted: &dyn Fn(&Action) -> bool| planned.steps.iter().position(|step| wanted(&step.action));
        let copied = position(&|action| matches!(action, Action::CopyTemplate { .. } | Action::RestoreData { .. }));
        let repository = position(&|action| matches!(action, Action::EnsureRepository { .. }));
        let configured = position(&|action| matches!(action, Action::ConfigureDatabase { .. }));
        let runs = |role: Role| {
            position(&move |action| matches!(action, Action::EnsureWorkload { id, .. } if id.role == role))
        };
        for odoo in Role::ODOO {
            if let (Some(at), Some(configured)) = (runs(odoo), configured)
                && at < configured
            {
                notes.push(format!("{name}: {odoo} starts before the database is configured"));
            }
        }
        if let Some(copied) = copied
            && runs(Role::Postgres).is_none_or(|at| at < copied)
        {
            notes.push(format!("{name}: postgres does not start after its data is copied"));
        }
        if let (Some(repository), Some(runs)) = (repository, runs(Role::Postgres))
            && repository < runs
        {
            notes.push(format!("{name}: the repository is prepared before postgres hands anything over"));
        }
        notes.extend(destroys(planned, &name));
        if position(&|action| matches!(action, Action::Forget { .. })).is_some() {
            continue;
        }
        let verified = matches!(planned.steps.last().map(|step| &step.action), Some(Action::Verify { .. }));
        if planned.environment.is_some() && !planned.steps.is_empty() && !verified {
            notes.push(format!("{name}: the plan does not end with a look through the entrance"));
        }
    }
    notes
}

/// Nothing is removed before the proof, and the record of the environment goes last.
fn destroys(planned: &EnvironmentPlan, name: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let actions = || planned.steps.iter().map(|step| &step.action);
    let removes = |action: &Action| {
        matches!(
            action,
            Action::RemoveWorkload { .. }
                | Action::RemoveVolumes { .. }
                | Action::RemoveSecrets { .. }
                | Action::Forget { .. }
        )
    };
    if !actions().any(removes) {
        return notes;
    }
    let recorded = actions().position(|action| matches!(action, Action::RecordDestruction { .. }));
    let backup = actions().position(|action| matches!(action, Action::FinalBackup { .. }));
    if let Some(recorded) = recorded {
        if actions().take(recorded).any(removes) {
            notes.push(format!("{name}: something is removed before the destruction is recorded"));
        }
        let asked = actions()
            .any(|action| matches!(action, Action::RecordDestruction { proof: Proof::FinalBackup { .. }, .. }));
        if asked && backup.is_none_or(|backup| backup > recorded) {
            notes.push(format!("{name}: the destruction is recorded before the last backup"));
        }
    }
    if !matches!(actions().next_back(), Some(Action::Forget { .. })) {
        notes.push(format!("{name}: the record does not go last"));
    }
    notes
}

/// Sets of backups that a proof found whole, and that have to stay whatever else goes.
const LEAST_PROVEN: usize = 2;

/// Checks that removing `sets` leaves an environment enough that was proven; `proven` are the labels of all its
/// sets that were. Empty means clean. Whoever removes backups asks this first, and does not decide it.
pub fn removal(environment: &EnvironmentName, sets: &[&str], proven: &Observed<BTreeSet<String>>) -> Vec<String> {
    if sets.is_empty() {
        return Vec::new();
    }
    match proven {
        Observed::Unknown(why) => {
            vec![format!("{environment}: backups are removed while nobody knows which are proven ({why})")]
        }
        Observed::Known(proven) => {
            let left = proven.iter().filter(|label| !sets.contains(&label.as_str())).count();
            let enough = left >= LEAST_PROVEN;
            let note =
                || format!("{environment}: of the proven backups {left} would be left, which is below {LEAST_PROVEN}");
            (!enough).then(note).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_proven_sets_stay_and_what_is_unknown_is_not_removed() {
        let name: EnvironmentName = "prod".parse().unwrap();
        let known = |labels: &[&str]| Observed::Known(labels.iter().map(|label| (*label).to_owned()).collect());
        let clean = |sets: &[&str], proven| removal(&name, sets, &proven).is_empty();
        assert!(clean(&["a"], known(&["b", "c"])), "what was never proven may go");
        assert!(clean(&["a"], known(&["a", "b", "c"])));
        assert!(!clean(&["a", "b"], known(&["a", "b", "c"])));
        assert!(!clean(&["a"], known(&["b"])), "with too few proven nothing goes");
        assert!(!clean(&["a"], Observed::Unknown("no records".to_owned())));
        assert!(clean(&[], Observed::Unknown("no records".to_owned())), "nothing is removed");
    }
}

//! The plan that destroys one environment.
//!
//! The rule that keeps it right: up to the step [`Action::RecordDestruction`] everything can be
//! taken back by `apply`; after it everything is removed and nothing but finishing is allowed. The
//! record is written only when the proof is there: a last backup that was read back, or a person's
//! reason. Each step is found again from what is seen, so a destroy that was cut off is just begun
//! again.

use serde::{Deserialize, Serialize};

use super::{Action, EnvironmentPlan, Plan, Refusal, Risk, Step};
use crate::digest::Digest;
use crate::names::EnvironmentName;
use crate::observe::{EnvironmentObservation, Observation, WorkloadState};
use crate::role::Role;
use crate::spec::Stage;
use crate::workload::WorkloadId;

/// Why an environment's data may be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Proof {
    /// A last backup in this folder, read back before anything is removed.
    FinalBackup {
        /// Absolute path of the new folder.
        folder: String,
    },
    /// A person says why no backup is needed.
    Reason {
        /// In their words.
        text: String,
    },
    /// It is not production, and nobody asked for a backup.
    NotProduction,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Proof::FinalBackup { folder } => write!(f, "last backup in {folder}"),
            Proof::Reason { text } => write!(f, "no backup, because: {text}"),
            Proof::NotProduction => f.write_str("not production, no backup asked for"),
        }
    }
}

/// Plans to destroy `name`. `stage` is what the estate file says; an environment that is not
/// declared any more counts as production, because nobody can tell. `None` as proof asks for the
/// weakest one the stage allows.
pub fn destroy(seen: &Observation, name: &EnvironmentName, stage: Option<Stage>, proof: Option<Proof>) -> Plan {
    let Some(observed) = seen.environments.get(name) else {
        return planned(seen, name, Vec::new(), Vec::new());
    };
    let proof = match proof {
        Some(proof) => Some(proof),
        None if stage.is_some_and(|stage| stage != Stage::Production) => Some(Proof::NotProduction),
        None => None,
    };
    let mut refusals = Vec::new();
    if observed.destroying.is_none() {
        match &proof {
            None => refusals.push(Refusal {
                code: "E0808".into(),
                environment: name.clone(),
                text: match stage {
                    Some(_) => {
                        "it is production: its data are removed only after a last backup, or for a reason".into()
                    }
                    None => {
                        "it is not in the estate file, so it counts as production: its data are removed only after a \
                             last backup, or for a reason"
                            .into()
                    }
                },
                hint: "Add --final-backup, or --reason TEXT to destroy it without one.".into(),
            }),
            Some(Proof::FinalBackup { .. }) if !answers(observed) => refusals.push(Refusal {
                code: "E0809".into(),
                environment: name.clone(),
                text: "a last backup needs its PostgreSQL, which is not ready".into(),
                hint: "Run springtide apply first, or give --reason TEXT to destroy it without a backup.".into(),
            }),
            Some(_) => {}
        }
    }
    let steps = match proof {
        Some(proof) if refusals.is_empty() => steps(name, observed, proof),
        None if refusals.is_empty() => steps(name, observed, Proof::NotProduction),
        _ => Vec::new(),
    };
    planned(seen, name, steps, refusals)
}

fn answers(observed: &EnvironmentObservation) -> bool {
    observed.workloads.get(&Role::Postgres).is_some_and(|it| it.state == WorkloadState::Ready)
}

fn steps(name: &EnvironmentName, observed: &EnvironmentObservation, proof: Proof) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut step = |action: Action, risk: Risk, reason: &'static str| {
        steps.push(Step { action, risk, interruption_s: 0, reason: reason.into() });
    };
    let environment = || name.clone();
    // Gone is only what is seen to be gone; an unknown route is taken away as well.
    if observed.route.known() != Some(&None) || observed.destroying.is_none() {
        step(
            Action::RemoveRoute { environment: environment() },
            Risk::Restart,
            "users see that it is not here any more",
        );
    }
    if observed.destroying.is_none() {
        for role in Role::ODOO.into_iter().filter(|role| observed.workloads.contains_key(role)) {
            let id = WorkloadId::of(name, role);
            step(Action::StopWorkload { id }, Risk::Restart, "nothing may be written from here on");
        }
        if let Proof::FinalBackup { folder } = &proof {
            let action = Action::FinalBackup { environment: environment(), folder: folder.clone() };
            step(action, Risk::None, "nothing is removed before it is proven");
        }
        let action = Action::RecordDestruction { environment: environment(), proof };
        step(action, Risk::Destructive, "from here on there is no way back");
    }
    for role in Role::ODOO.into_iter().chain([Role::Sessions, Role::Pooler, Role::Postgres]) {
        if observed.workloads.contains_key(&role) {
            let id = WorkloadId::of(name, role);
            step(Action::RemoveWorkload { id }, Risk::Destructive, "its process, configuration and log go");
        }
    }
    // Its backups stay, and the keys that open them.
    step(Action::RemoveVolumes { environment: environment() }, Risk::Destructive, "its database and files go");
    step(Action::RemoveSecrets { environment: environment() }, Risk::Destructive, "its passwords and certificate go");
    let action = Action::Forget { environment: environment(), slot: observed.slot };
    step(action, Risk::Destructive, "its ports and Unix ids are free again");
    steps
}

fn planned(seen: &Observation, name: &EnvironmentName, steps: Vec<Step>, refusals: Vec<Refusal>) -> Plan {
    let observed = seen.environments.get(name);
    let what = observed.map(|it| (it.slot, it.data, &it.destroying, it.workloads.keys().collect::<Vec<_>>()));
    let inputs = Digest::of_json(&("destroy", name, what));
    let environments = match steps.is_empty() {
        true => Vec::new(),
        false => vec![EnvironmentPlan { environment: Some(name.clone()), steps, waits: Vec::new() }],
    };
    let digest = Digest::of_json(&(&inputs, &environments, &refusals));
    Plan { id: format!("p-{}", digest.short()), inputs, environments, refusals, undeclared: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::layout::Slot;
    use crate::lint::lint;
    use crate::observe::{Observed, WorkloadObservation};
    use crate::plan::Undo;

    fn name() -> EnvironmentName {
        "prod".parse().expect("it is a name")
    }

    fn seen(state: WorkloadState, destroying: Option<&str>) -> Observation {
        let workload = WorkloadObservation {
            digest: Digest::of_bytes(b"x"),
            state,
            pid: None,
            restarts: 0,
            up_s: None,
            resident_bytes: None,
            why: String::new(),
            edited: Vec::new(),
        };
        let environment = EnvironmentObservation {
            slot: Slot(3),
            series: None,
            data: true,
            data_major: None,
            certificate: None,
            destroying: destroying.map(str::to_owned),
            database: Observed::Unknown("not asked".into()),
            workloads: Role::ENVIRONMENT.into_iter().map(|role| (role, workload.clone())).collect(),
            route: Observed::Known(Some(Digest::of_bytes(b"r"))),
            repository: None,
        };
        Observation { environments: BTreeMap::from([(name(), environment)]), ..Observation::default() }
    }

    fn titles(plan: &Plan) -> Vec<String> {
        plan.steps().map(|step| step.action.title()).collect()
    }

    #[test]
    fn production_asks_for_a_backup_or_a_reason() {
        let seen = seen(WorkloadState::Ready, None);
        for stage in [Some(Stage::Production), None] {
            let refused = destroy(&seen, &name(), stage, None);
            assert_eq!(refused.refusals[0].code, "E0808");
            assert_eq!(refused.steps().count(), 0);
        }
        let reason = Proof::Reason { text: "moved away".into() };
        for (stage, proof) in [(Some(Stage::Staging), None), (None, Some(reason))] {
            let plan = destroy(&seen, &name(), stage, proof);
            assert!(plan.refusals.is_empty());
            assert_eq!(lint(&plan), Vec::<String>::new());
        }
    }

    #[test]
    fn nothing_is_removed_before_the_backup_is_proven() {
        let backup = Proof::FinalBackup { folder: "/backups/prod".into() };
        let plan = destroy(&seen(WorkloadState::Ready, None), &name(), Some(Stage::Production), Some(backup.clone()));
        let titles = titles(&plan);
        let at = |word: &str| titles.iter().position(|title| title.starts_with(word)).expect(word);
        assert!(at("stop prod/web") < at("back up"));
        assert!(at("back up") < at("record"));
        assert!(at("record") < at("remove prod/web"));
        assert_eq!(titles.last().map(String::as_str), Some("free slot 3"));
        assert_eq!(lint(&plan), Vec::<String>::new());
        // Up to the record everything can be taken back, and from there on nothing.
        for (number, step) in plan.steps().enumerate() {
            let lost = step.action.undo() == Undo::PointOfNoReturn;
            assert_eq!(lost, number >= at("record"), "{}", titles[number]);
        }

        let refused = destroy(&seen(WorkloadState::Stopped, None), &name(), Some(Stage::Production), Some(backup));
        assert_eq!(refused.refusals[0].code, "E0809");
    }

    #[test]
    fn a_destroy_that_was_cut_off_is_finished_without_a_second_proof() {
        let plan =
            destroy(&seen(WorkloadState::Stopped, Some("last backup in /b")), &name(), Some(Stage::Production), None);
        assert!(plan.refusals.is_empty());
        assert!(!titles(&plan).iter().any(|title| title.starts_with("back up") || title.starts_with("record")));
        assert_eq!(titles(&plan).last().map(String::as_str), Some("free slot 3"));
        assert_eq!(lint(&plan), Vec::<String>::new());
    }

    #[test]
    fn a_plan_that_removes_too_early_does_not_pass_the_lint() {
        let backup = Proof::FinalBackup { folder: "/backups/prod".into() };
        let mut plan = destroy(&seen(WorkloadState::Ready, None), &name(), None, Some(backup));
        let steps = &mut plan.environments[0].steps;
        let volumes =
            steps.iter().position(|step| matches!(step.action, Action::RemoveVolumes { .. })).expect("it is there");
        let step = steps.remove(volumes);
        steps.insert(0, step);
        assert!(!lint(&plan).is_empty());
    }

    #[test]
    fn what_is_not_there_needs_no_steps() {
        assert!(destroy(&Observation::default(), &name(), None, None).is_empty());
    }
}

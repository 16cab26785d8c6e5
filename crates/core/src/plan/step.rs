//! The nouns of a plan.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::destroy::Proof;
use crate::backup::Target;
use crate::digest::Digest;
use crate::layout::Slot;
use crate::names::{EnvironmentName, HostName, ModuleName};
use crate::observe::Seed;
use crate::series::Series;
use crate::workload::WorkloadId;

/// What a step does to those who work in the environment; the order is the order of harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Nobody notices.
    None,
    /// A process takes over new settings without ending.
    Reload,
    /// Replaced without users noticing.
    Rolling,
    /// Replaced with some seconds of interruption.
    Restart,
    /// Something is removed for good.
    Destructive,
}

/// What takes a step back that was done, declared for every kind of step.
///
/// A step that was cut off needs none of this: it is repeated, by the next plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "by")]
pub enum Undo {
    /// This takes it back.
    By(&'static str),
    /// It needs no taking back: it may be repeated, and what it leaves disturbs nothing.
    Repeat,
    /// Nothing takes it back.
    PointOfNoReturn,
}

impl std::fmt::Display for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Undo::By(what) => write!(f, "by {what}"),
            Undo::Repeat => f.write_str("not needed, what it leaves disturbs nothing"),
            Undo::PointOfNoReturn => f.write_str("not possible"),
        }
    }
}

/// One thing to do, specific enough that only one result is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Action {
    /// Make the estate's certificate authority.
    EnsureAuthority,
    /// Give the environment its slot: ports and Unix ids.
    ReserveSlot {
        /// Which environment.
        environment: EnvironmentName,
        /// The slot.
        slot: Slot,
        /// Series its data is made with.
        series: Series,
    },
    /// Generate the environment's secrets that do not exist yet.
    EnsureSecrets {
        /// Which environment.
        environment: EnvironmentName,
    },
    /// Issue a certificate by the estate's authority.
    EnsureCertificate {
        /// Which environment.
        environment: EnvironmentName,
        /// The name it is for.
        host: HostName,
    },
    /// Install modules once into a template that environments are copied from.
    BuildTemplate {
        /// Its key.
        key: String,
        /// Odoo series.
        series: Series,
        /// Modules.
        modules: Vec<ModuleName>,
        /// Whether demo data is loaded.
        demo: bool,
    },
    /// Copy a template into the environment's own data.
    CopyTemplate {
        /// Which environment.
        environment: EnvironmentName,
        /// Its key.
        key: String,
    },
    /// Restore a backup set into the environment's own data, and replay up to a target.
    RestoreData {
        /// Which environment; it has no data yet.
        environment: EnvironmentName,
        /// From what, and up to where.
        seed: Seed,
    },
    /// Prepare the places of the environment's backups and see that write-ahead log arrives there.
    EnsureRepository {
        /// Which environment.
        environment: EnvironmentName,
        /// Names exactly these places.
        places: Digest,
    },
    /// Make a workload run with exactly this spec, and wait until it is ready.
    EnsureWorkload {
        /// Which workload.
        id: WorkloadId,
        /// Digest of its spec.
        digest: Digest,
    },
    /// Roles, rights, identity and addresses of the database.
    ConfigureDatabase {
        /// Which environment.
        environment: EnvironmentName,
        /// Names exactly this configuration.
        fingerprint: Digest,
    },
    /// Take back settings of the database server that somebody changed over the files.
    ResetSettings {
        /// Which environment.
        environment: EnvironmentName,
        /// Names of the settings.
        settings: Vec<String>,
    },
    /// Bring the modules of a database that is in use to what is declared.
    InstallModules {
        /// Which environment.
        environment: EnvironmentName,
        /// Modules that are missing.
        modules: Vec<ModuleName>,
        /// Modules that an installation which was cut off left half way and that nothing declared asks for.
        /// With nothing missing they are taken back beside a running Odoo.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        withdrawn: Vec<ModuleName>,
    },
    /// Put the route in place and see it in the proxy's API.
    EnsureRoute {
        /// Which environment.
        environment: EnvironmentName,
        /// Digest of the route.
        digest: Digest,
    },
    /// Ask for the login page through the entrance, as a user would.
    Verify {
        /// Which environment.
        environment: EnvironmentName,
    },
    /// Take the route away and see it gone from the proxy's API.
    RemoveRoute {
        /// Which environment.
        environment: EnvironmentName,
    },
    /// Stop a workload and keep it, so that it can run again.
    StopWorkload {
        /// Which workload.
        id: WorkloadId,
    },
    /// Dump database and files into a new folder and read both back.
    FinalBackup {
        /// Which environment.
        environment: EnvironmentName,
        /// Absolute path of the folder.
        folder: String,
    },
    /// Write down that the environment is being destroyed; from here on only finishing is allowed.
    RecordDestruction {
        /// Which environment.
        environment: EnvironmentName,
        /// Why its data may be removed.
        proof: Proof,
    },
    /// Stop a workload and remove its configuration and logs.
    RemoveWorkload {
        /// Which workload.
        id: WorkloadId,
    },
    /// Remove database and files.
    RemoveVolumes {
        /// Which environment.
        environment: EnvironmentName,
    },
    /// Remove the environment's secrets.
    RemoveSecrets {
        /// Which environment.
        environment: EnvironmentName,
    },
    /// Remove the environment's record, so that its slot is free.
    Forget {
        /// Which environment.
        environment: EnvironmentName,
        /// The slot.
        slot: Slot,
    },
}

/// What takes back a change to what runs.
const AS_BEFORE: &str = "the estate file as it was, applied";
/// What takes back what an environment is given.
const DESTROY: &str = "springtide destroy";
/// What takes back what `destroy` does before it is recorded.
const APPLY: &str = "springtide apply";

impl Action {
    /// What takes it back. Total: a new kind of step has to say it.
    pub fn undo(&self) -> Undo {
        match self {
            // Kept once they are there, and used by whoever comes.
            Action::EnsureAuthority | Action::EnsureCertificate { .. } | Action::BuildTemplate { .. } => Undo::Repeat,
            Action::ReserveSlot { .. }
            | Action::EnsureSecrets { .. }
            | Action::CopyTemplate { .. }
            | Action::RestoreData { .. } => Undo::By(DESTROY),
            // What was archived is of use to whoever has to go back.
            Action::EnsureRepository { .. } => Undo::Repeat,
            Action::EnsureWorkload { .. } | Action::ConfigureDatabase { .. } | Action::EnsureRoute { .. } => {
                Undo::By(AS_BEFORE)
            }
            // Values that somebody set by hand are not kept anywhere.
            Action::ResetSettings { .. } => Undo::PointOfNoReturn,
            // Odoo has no way back from an installed module that keeps the data.
            Action::InstallModules { .. } => Undo::PointOfNoReturn,
            Action::Verify { .. } | Action::FinalBackup { .. } => Undo::Repeat,
            Action::RemoveRoute { .. } | Action::StopWorkload { .. } => Undo::By(APPLY),
            Action::RecordDestruction { .. }
            | Action::RemoveWorkload { .. }
            | Action::RemoveVolumes { .. }
            | Action::RemoveSecrets { .. }
            | Action::Forget { .. } => Undo::PointOfNoReturn,
        }
    }

    /// The verb and object, for tables and logs.
    pub fn title(&self) -> String {
        match self {
            Action::EnsureAuthority => "make the certificate authority".into(),
            Action::ReserveSlot { slot, .. } => format!("reserve slot {}", slot.0),
            Action::EnsureSecrets { .. } => "generate secrets".into(),
            Action::EnsureCertificate { host, .. } => format!("issue the certificate of {host}"),
            Action::BuildTemplate { series, modules, .. } => {
                format!("build the template of Odoo {series} with {} modules", modules.len())
            }
            Action::CopyTemplate { key, .. } => format!("copy template {key}"),
            Action::RestoreData { seed: Seed { from, repo, set, target, neutralise }, .. } => {
                let up_to = match target {
                    Target::Lsn(lsn) => lsn.to_string(),
                    Target::Name { name, .. } => name.as_str().to_owned(),
                };
                let harmless = if *neutralise { ", made harmless" } else { "" };
                format!("restore {from} from its {repo} set {set} up to {up_to}{harmless}")
            }
            Action::EnsureRepository { .. } => "prepare the repository of its backups".into(),
            Action::EnsureWorkload { id, .. } => format!("run {id}"),
            Action::ConfigureDatabase { .. } => "configure the database".into(),
            Action::ResetSettings { settings, .. } => format!("reset {}", settings.join(", ")),
            Action::InstallModules { modules, withdrawn, .. } => {
                let parts = [("install", modules), ("take back", withdrawn)].map(|(verb, modules)| {
                    let names: Vec<&str> = modules.iter().map(ModuleName::as_str).collect();
                    (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")))
                });
                parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
            }
            Action::EnsureRoute { .. } => "route users to it".into(),
            Action::Verify { .. } => "ask for the login page".into(),
            Action::RemoveRoute { .. } => "take its route away".into(),
            Action::StopWorkload { id } => format!("stop {id}"),
            Action::FinalBackup { folder, .. } => format!("back up to {folder} and read it back"),
            Action::RecordDestruction { .. } => "record that it is being destroyed".into(),
            Action::RemoveWorkload { id } => format!("remove {id}"),
            Action::RemoveVolumes { .. } => "remove its data".into(),
            Action::RemoveSecrets { .. } => "remove its secrets".into(),
            Action::Forget { slot, .. } => format!("free slot {}", slot.0),
        }
    }
}

/// A step with its harm and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// What it does to users.
    pub risk: Risk,
    /// Seconds of interruption to expect.
    pub interruption_s: u32,
    /// Why it is needed.
    pub reason: Cow<'static, str>,
}

impl Step {
    /// A step nobody notices.
    pub fn quiet(action: Action, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { action, risk: Risk::None, interruption_s: 0, reason: reason.into() }
    }
}

/// Steps of one environment, or of the estate's own parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentPlan {
    /// Which environment; none for the estate's own parts.
    pub environment: Option<EnvironmentName>,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// What is not done, and what it waits for.
    pub waits: Vec<String>,
}

/// Why an environment cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Code, for `springtide explain`.
    pub code: String,
    /// Which environment.
    pub environment: EnvironmentName,
    /// What does not work, with the numbers.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// All steps that are left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Short name.
    pub id: String,
    /// Digest of estate and observation; the plan is stale when it no longer holds.
    pub inputs: Digest,
    /// Per environment, the estate's own parts first.
    pub environments: Vec<EnvironmentPlan>,
    /// Environments that cannot be planned; with any, nothing is applied.
    pub refusals: Vec<Refusal>,
    /// Environments that exist here and are not declared; they are left alone.
    pub undeclared: Vec<EnvironmentName>,
}

impl Plan {
    /// Whether there is nothing to do and nothing refused.
    pub fn is_empty(&self) -> bool {
        self.refusals.is_empty() && self.environments.iter().all(|planned| planned.steps.is_empty())
    }

    /// All steps in the order they are executed.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.environments.iter().flat_map(|planned| &planned.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::RepoKey;
    use crate::role::Role;

    /// One step of every kind.
    fn all() -> Vec<Action> {
        let environment: EnvironmentName = "prod".parse().expect("it is a name");
        let of = || environment.clone();
        let id = || WorkloadId::of(&environment, Role::Web);
        let digest = Digest::of_bytes(b"x");
        let (slot, series) = (Slot(1), "19.0".parse::<Series>().expect("it is a series"));
        let (key, host) = (String::from("k"), "prod.example".parse::<HostName>().expect("it is a name"));
        vec![
            Action::EnsureAuthority,
            Action::ReserveSlot { environment: of(), slot, series },
            Action::EnsureSecrets { environment: of() },
            Action::EnsureCertificate { environment: of(), host },
            Action::BuildTemplate { key: key.clone(), series, modules: Vec::new(), demo: false },
            Action::CopyTemplate { environment: of(), key },
            Action::RestoreData {
                environment: of(),
                seed: Seed {
                    from: of(),
                    repo: RepoKey::Near,
                    set: "20261124-030000F".parse().expect("it is a label"),
                    target: Target::Lsn("0/3000060".parse().expect("it is a position")),
                    neutralise: false,
                },
            },
            Action::EnsureRepository { environment: of(), places: digest },
            Action::EnsureWorkload { id: id(), digest },
            Action::ConfigureDatabase { environment: of(), fingerprint: digest },
            Action::ResetSettings { environment: of(), settings: Vec::new() },
            Action::InstallModules { environment: of(), modules: Vec::new(), withdrawn: Vec::new() },
            Action::EnsureRoute { environment: of(), digest },
            Action::Verify { environment: of() },
            Action::RemoveRoute { environment: of() },
            Action::StopWorkload { id: id() },
            Action::FinalBackup { environment: of(), folder: "/b".into() },
            Action::RecordDestruction { environment: of(), proof: Proof::NotProduction },
            Action::RemoveWorkload { id: id() },
            Action::RemoveVolumes { environment: of() },
            Action::RemoveSecrets { environment: of() },
            Action::Forget { environment: of(), slot },
        ]
    }

    #[test]
    fn every_kind_of_step_declares_what_takes_it_back() {
        let told: Vec<String> = all().iter().map(|action| format!("{}: {}", kind(action), action.undo())).collect();
        let expected = [
            "ensure-authority: not needed, what it leaves disturbs nothing",
            "reserve-slot: by springtide destroy",
            "ensure-secrets: by springtide destroy",
            "ensure-certificate: not needed, what it leaves disturbs nothing",
            "build-template: not needed, what it leaves disturbs nothing",
            "copy-template: by springtide destroy",
            "restore-data: by springtide destroy",
            "ensure-repository: not needed, what it leaves disturbs nothing",
            "ensure-workload: by the estate file as it was, applied",
            "configure-database: by the estate file as it was, applied",
            "reset-settings: not possible",
            "install-modules: not possible",
            "ensure-route: by the estate file as it was, applied",
            "verify: not needed, what it leaves disturbs nothing",
            "remove-route: by springtide apply",
            "stop-workload: by springtide apply",
            "final-backup: not needed, what it leaves disturbs nothing",
            "record-destruction: not possible",
            "remove-workload: not possible",
            "remove-volumes: not possible",
            "remove-secrets: not possible",
            "forget: not possible",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_step_says_nothing_of_it_in_what_plans_are_compared_by() {
        let step = Step::quiet(Action::EnsureAuthority, "because");
        let json = serde_json::to_value(&step).expect("it can be written");
        assert!(json.get("undo").is_none() && json["action"].get("undo").is_none(), "{json}");
    }

    fn kind(action: &Action) -> String {
        let json = serde_json::to_value(action).expect("it can be written");
        json["do"].as_str().expect("it has a kind").to_owned()
    }
}

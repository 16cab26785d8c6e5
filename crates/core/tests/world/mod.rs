//! A world in memory: plays the effect of plans on an observation. Shared by tests and the bench.

// Each of them uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use springtide_core::check::CheckedEstate;
use springtide_core::lint::lint;
use springtide_core::names::{EnvironmentName, ModuleName};
use springtide_core::observe::{
    DatabaseObservation, EnvironmentObservation, Observation, Observed, WorkloadObservation, WorkloadState,
};
use springtide_core::plan::destroy::{Proof, destroy};
use springtide_core::plan::{Action, Plan, plan};
use springtide_core::workload::{SecretName, SecretRef, WorkloadId};

/// An estate on a machine at a moment.
#[derive(Default)]
pub struct World {
    pub estate: Option<CheckedEstate>,
    pub seen: Observation,
    pub now: i64,
    /// Modules of templates, by key.
    pub templates: BTreeMap<String, BTreeSet<ModuleName>>,
    /// Modules of databases that were copied from one.
    pub contents: BTreeMap<EnvironmentName, BTreeSet<ModuleName>>,
}

impl World {
    /// What is declared.
    pub fn estate(&self) -> &CheckedEstate {
        self.estate.as_ref().expect("the script declares an estate first")
    }

    /// The plan, which has to be clean and the same twice.
    pub fn plan(&self) -> Plan {
        let planned = plan(self.estate(), &self.seen, self.now);
        assert_eq!(lint(&planned), Vec::<String>::new(), "every plan is clean");
        assert_eq!(planned, plan(self.estate(), &self.seen, self.now), "same input, same plan");
        planned
    }

    /// Plays the whole plan.
    pub fn apply(&mut self) {
        for step in self.plan().steps() {
            self.effect(&step.action);
        }
    }

    /// What is seen of `name`.
    pub fn environment(&mut self, name: &EnvironmentName) -> &mut EnvironmentObservation {
        self.seen.environments.get_mut(name).expect("its slot is reserved before anything else")
    }

    /// What is seen of a workload of an environment.
    pub fn workload(&mut self, id: &WorkloadId) -> &mut WorkloadObservation {
        let environment = id.environment.as_ref().expect("an environment");
        self.environment(environment).workloads.get_mut(&id.role).expect("it exists")
    }

    /// The plan that destroys `name`, which has to be clean.
    pub fn destroy(&self, name: &str, proof: Option<Proof>) -> Plan {
        let name = name.parse().expect("a name");
        let stage = self.estate().environments.iter().find(|it| it.name == name).map(|it| it.stage);
        let planned = destroy(&self.seen, &name, stage, proof);
        assert_eq!(lint(&planned), Vec::<String>::new(), "every plan is clean");
        planned
    }

    /// What is seen once `action` is done.
    pub fn effect(&mut self, action: &Action) {
        match action.clone() {
            Action::EnsureAuthority => {
                self.seen.secrets.insert(SecretRef { environment: None, name: SecretName::AuthorityCertificate });
            }
            Action::ReserveSlot { environment, slot, series } => {
                let new = EnvironmentObservation {
                    slot,
                    series: Some(series),
                    data: false,
                    data_major: None,
                    certificate: None,
                    destroying: None,
                    database: Observed::Unknown("postgres does not run".into()),
                    workloads: Default::default(),
                    route: Observed::Known(None),
                    repository: None,
                };
                self.seen.environments.insert(environment, new);
            }
            Action::EnsureSecrets { environment } => {
                let declared = self.estate().environments.iter().find(|it| it.name == environment);
                let backs_up = declared.is_some_and(|it| it.backup.is_some());
                let more: &[SecretName] = if backs_up { &SecretName::BACKUP } else { &[] };
                for name in SecretName::ENVIRONMENT.iter().chain(more) {
                    self.seen.secrets.insert(SecretRef { environment: Some(environment.clone()), name: *name });
                }
                if backs_up {
                    self.seen.secrets.insert(SecretRef { environment: None, name: SecretName::ProofKey });
                }
            }
            Action::EnsureCertificate { environment, host } => {
                let until = springtide_core::plan::environment::new_certificate_until(self.now);
                self.environment(&environment).certificate = Some((host.to_string(), until));
            }
            Action::BuildTemplate { key, modules, .. } => {
                self.templates.insert(key.clone(), modules.into_iter().collect());
                self.seen.templates.insert(key);
            }
            Action::CopyTemplate { environment, key } => {
                let data_major = self.seen.host.postgres_major;
                let seen = self.environment(&environment);
                (seen.data, seen.data_major) = (true, data_major);
                self.contents.insert(environment, self.templates.get(&key).cloned().unwrap_or_default());
            }
            Action::RestoreData { environment, seed } => {
                let data_major = self.seen.host.postgres_major;
                let contents = self.contents.get(&seed.from).cloned().unwrap_or_default();
                let seen = self.environment(&environment);
                (seen.data, seen.data_major) = (true, data_major);
                self.contents.insert(environment, contents);
            }
            Action::EnsureRepository { environment, places } => {
                self.environment(&environment).repository = Some(places);
            }
            Action::EnsureWorkload { id: WorkloadId { environment, role }, digest } => {
                let state = WorkloadState::Ready;
                let ready = WorkloadObservation {
                    digest,
                    state,
                    pid: Some(1),
                    restarts: 0,
                    up_s: None,
                    resident_bytes: None,
                    why: String::new(),
                    edited: Vec::new(),
                };
                match environment {
                    Some(name) => self.environment(&name).workloads.insert(role, ready),
                    None => self.seen.estate.insert(role, ready),
                };
            }
            Action::ConfigureDatabase { environment, fingerprint } => {
                let modules = self.contents.get(&environment).cloned().unwrap_or_default();
                let seen = DatabaseObservation {
                    configured: Some(fingerprint),
                    modules,
                    half: BTreeMap::new(),
                    overridden: BTreeSet::new(),
                };
                self.environment(&environment).database = Observed::Known(seen);
            }
            Action::ResetSettings { environment, .. } => {
                if let Observed::Known(database) = &mut self.environment(&environment).database {
                    database.overridden.clear();
                }
            }
            Action::InstallModules { environment, modules, withdrawn: _ } => {
                if let Observed::Known(database) = &mut self.environment(&environment).database {
                    database.half.clear();
                    database.modules.extend(modules);
                }
            }
            Action::EnsureRoute { environment, digest } => {
                self.environment(&environment).route = Observed::Known(Some(digest))
            }
            Action::Verify { .. } | Action::FinalBackup { .. } => {}
            Action::RemoveRoute { environment } => self.environment(&environment).route = Observed::Known(None),
            Action::StopWorkload { id } => self.workload(&id).state = WorkloadState::Stopped,
            Action::RecordDestruction { environment, proof } => {
                self.environment(&environment).destroying = Some(proof.to_string());
            }
            Action::RemoveWorkload { id } => {
                let environment = id.environment.as_ref().expect("an environment");
                self.environment(environment).workloads.remove(&id.role);
            }
            Action::RemoveVolumes { environment } => {
                let seen = self.environment(&environment);
                (seen.data, seen.data_major) = (false, None);
            }
            Action::RemoveSecrets { environment } => {
                self.seen.secrets.remove_environment(&environment);
            }
            Action::Forget { environment, .. } => {
                self.seen.environments.remove(&environment);
                self.seen.seeds.remove(&environment);
            }
        }
    }
}

//! A controller's hand in the machine: its driver and its world. Here messages get lost, doubled and late,
//! and here a controller dies: before the effect of a step, in the middle of it, after it.

use std::path::PathBuf;

use async_trait::async_trait;
use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{DatabaseObservation, EnvironmentObservation, HalfModule, Observation, Observed, Seed};
use springtide_core::plan::Action;
use springtide_core::plan::wanted::{wanted, wanted_of_estate};
use springtide_core::role::{ByRole, Role};
use springtide_core::roles::{self, proxy};
use springtide_core::sizing::SizedEnvironment;
use springtide_core::workload::{SecretName, SecretRef, Volume, WorkloadId};
use springtide_driver::{
    Driver, DriverError, DriverObservation, Ensured, Generation, ResolvedWorkload, Task, TaskOutcome,
};
use springtide_server::Estate;
use springtide_server::execute::{Execution, Failure, Progress};
use springtide_server::observe::ObserveError;
use springtide_server::world::World;

use crate::machine::{Machine, Message, Origin, Part, host};

#[derive(Clone)]
pub struct Hand {
    pub machine: Machine,
    pub controller: u32,
}

/// Seconds that a certificate is good for.
const CERTIFICATE_S: i64 = 90 * 86_400;
/// How long a step that is broken on purpose takes.
const LONG_MS: u64 = 20_000;

impl Hand {
    /// Sends a message to the driver for the step that this part is in.
    async fn send(&self, part: &Part, message: Message, generation: Generation) -> Result<(), DriverError> {
        let (machine, controller) = (&self.machine, self.controller);
        machine.alive(controller);
        let mut inner = machine.inner();
        let none = || DriverError::Supervisor("no step asked for this".to_owned());
        let origin = inner.origins.get(&(controller, part.clone())).cloned().ok_or_else(none)?;
        let generation = if inner.bug == "generation-not-raised" { 1 } else { generation.0 };
        let name = format!("{controller} {message:?}");
        let faults = inner.faults;
        if inner.happens(faults.error, &format!("{name} error")) {
            return Err(DriverError::Supervisor("refused".to_owned()));
        }
        if inner.happens(faults.late, &format!("{name} late")) {
            inner.keep_for_later(&message, generation, &origin);
            return Err(DriverError::Supervisor("no answer".to_owned()));
        }
        let done = inner.deliver(&message, generation, &origin, true);
        done.map_err(|seen| DriverError::Fenced { ours: generation, seen })?;
        if inner.happens(faults.twice, &format!("{name} twice")) {
            inner.keep_for_later(&message, generation, &origin);
        }
        if inner.happens(faults.lost, &format!("{name} lost")) {
            return Err(DriverError::Supervisor("the answer was lost".to_owned()));
        }
        Ok(())
    }

    /// An effect that is not the driver's: refused by the contract of a world if a newer epoch is known.
    fn guard(&self, origin: &Origin) -> Result<(), Failure> {
        self.machine.alive(self.controller);
        let mut inner = self.machine.inner();
        let newest = inner.audit.newest_epoch().max(inner.fence);
        if origin.epoch < newest {
            return Err(format!("epoch {} is over, {newest} was taken", origin.epoch).into());
        }
        inner.effect(origin, true);
        Ok(())
    }

    async fn ensure(
        &self,
        execution: &Execution<'_>,
        id: &WorkloadId,
        digest: Digest,
        sized: Option<&SizedEnvironment<'_>>,
    ) -> Result<(), Failure> {
        let spec = match (id.role, sized) {
            (Role::Proxy, _) => proxy::proxy(&execution.checked.platform.ingress),
            (Role::Notice, _) => proxy::notice(),
            (role, Some(sized)) => roles::workload(sized, role),
            (_, None) => return Err("the plan names an environment that is not declared".into()),
        };
        if spec.digest() != digest {
            return Err("its configuration is not the one that was planned; plan again".into());
        }
        let workload = ResolvedWorkload { digest, spec, files: Vec::new(), env: Default::default() };
        let driver = &execution.estate.driver;
        driver.ensure_workload(&workload, Generation(execution.epoch.0)).await?;
        driver.wait_ready(id).await?;
        Ok(())
    }

    async fn give(
        &self,
        execution: &Execution<'_>,
        action: &Action,
        sized: Option<&SizedEnvironment<'_>>,
        origin: &Origin,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let Execution { estate, epoch, now, .. } = *execution;
        let (store, driver, generation) = (&estate.store, &estate.driver, Generation(epoch.0));
        let (machine, controller, title) = (&self.machine, self.controller, action.title());
        let bug = machine.inner().bug;
        match action {
            Action::EnsureAuthority => {
                self.guard(origin)?;
                for name in [SecretName::AuthorityKey, SecretName::AuthorityCertificate] {
                    machine.inner().secrets.insert(SecretRef { environment: None, name });
                    machine.point(controller, &title);
                }
            }
            Action::ReserveSlot { environment, slot, series } => {
                self.guard(origin)?;
                store.reserve(epoch, environment, *slot, *series)?;
                machine.inner().reserved(environment, *slot);
            }
            Action::EnsureSecrets { environment } => {
                self.guard(origin)?;
                let backs_up = sized.is_some_and(|sized| sized.environment.backup.is_some());
                let of = |name: SecretName| SecretRef { environment: Some(environment.clone()), name };
                let more = backs_up.then(|| SecretName::BACKUP.map(of)).into_iter().flatten();
                let signs = backs_up.then_some(SecretRef { environment: None, name: SecretName::ProofKey });
                for (number, secret) in all_secrets(environment).chain(more).chain(signs).enumerate() {
                    machine.inner().secrets.insert(secret);
                    if number == 7 {
                        machine.point(controller, &title);
                    }
                }
            }
            Action::EnsureCertificate { environment, host } => {
                self.guard(origin)?;
                for name in [SecretName::CertificateKey, SecretName::Certificate] {
                    machine.inner().secrets.insert(SecretRef { environment: Some(environment.clone()), name });
                }
                machine.point(controller, &title);
                store.certified(epoch, environment, host.as_str(), now + CERTIFICATE_S)?;
            }
            Action::BuildTemplate { key, modules, .. } => {
                self.guard(origin)?;
                machine.inner().templates.insert(key.clone(), modules.iter().cloned().collect());
            }
            Action::CopyTemplate { environment, key } => {
                self.guard(origin)?;
                let mut inner = machine.inner();
                let modules = inner.templates.get(key).cloned().ok_or("there is no such template")?;
                let data = DatabaseObservation {
                    configured: None,
                    modules,
                    half: Default::default(),
                    overridden: Default::default(),
                };
                inner.data.insert(environment.clone(), data);
            }
            Action::RestoreData { seed, .. } => {
                self.guard(origin)?;
                self.restore_data(execution, sized.ok_or("it is not declared")?, seed, progress).await?;
            }
            Action::EnsureRepository { environment, places } => {
                self.guard(origin)?;
                self.ensure_repository(execution, sized.ok_or("it is not declared")?).await?;
                machine.point(controller, &title);
                store.repository_prepared(epoch, environment, *places)?;
            }
            Action::EnsureWorkload { id, digest } => self.ensure(execution, id, *digest, sized).await?,
            Action::ConfigureDatabase { environment, fingerprint } => {
                self.guard(origin)?;
                let mut inner = machine.inner();
                inner.data.get_mut(environment).ok_or("it has no database")?.configured = Some(*fingerprint);
            }
            // Nobody uses ALTER SYSTEM here.
            Action::ResetSettings { .. } => self.guard(origin)?,
            // Nobody takes a module out of the file here.
            Action::InstallModules { environment, modules, withdrawn: _ } => {
                for role in Role::ODOO {
                    driver.stop_workload(&WorkloadId::of(environment, role), generation).await?;
                    machine.point(controller, &title);
                }
                self.guard(origin)?;
                {
                    let mut inner = machine.inner();
                    let data = inner.data.get_mut(environment).ok_or("it has no database")?;
                    data.half.extend(modules.iter().map(|module| (module.clone(), HalfModule::default())));
                }
                machine.point(controller, &title);
                {
                    let mut inner = machine.inner();
                    let data = inner.data.get_mut(environment).ok_or("it has no database")?;
                    data.modules.extend(std::mem::take(&mut data.half).into_keys());
                }
                for role in Role::ODOO {
                    let digest = sized.map(|sized| roles::digest(sized, role)).ok_or("it is not declared")?;
                    self.ensure(execution, &WorkloadId::of(environment, role), digest, sized).await?;
                }
            }
            Action::EnsureRoute { environment, digest } => {
                self.guard(origin)?;
                machine.inner().routes.insert(environment.clone(), *digest);
            }
            Action::Verify { .. } => {}
            Action::RemoveRoute { environment } => {
                self.guard(origin)?;
                machine.inner().routes.remove(environment);
            }
            Action::StopWorkload { id } => driver.stop_workload(id, generation).await?,
            Action::FinalBackup { .. } => self.guard(origin)?,
            Action::RecordDestruction { environment, proof } => {
                self.guard(origin)?;
                if bug != "destruction-not-recorded" {
                    store.record_destruction(epoch, environment, &proof.to_string())?;
                }
            }
            Action::RemoveWorkload { id } => driver.remove_workload(id, generation).await?,
            Action::RemoveVolumes { environment } => driver.remove_volumes(environment, generation).await?,
            Action::RemoveSecrets { environment } => {
                self.guard(origin)?;
                if bug == "slot-freed-too-early" {
                    store.forget(epoch, environment)?;
                    machine.takes(controller, &title, LONG_MS, 1).await;
                }
                let mine = |secret: &SecretRef| {
                    secret.environment.as_ref() == Some(environment) && !SecretName::BACKUP.contains(&secret.name)
                };
                if bug != "secrets-left-behind" {
                    machine.inner().secrets.retain(|secret| !mine(secret));
                }
            }
            Action::Forget { environment, .. } => {
                self.guard(origin)?;
                let mut inner = machine.inner();
                let remains = inner.remains(environment);
                if !remains.is_empty() {
                    let what = || format!("{environment} is forgotten and leaves {}", remains.join(", "));
                    inner.fails(crate::checks::Check::Orphans, what);
                }
                drop(inner);
                store.forget(epoch, environment)?;
                machine.inner().doomed.remove(environment);
            }
        }
        Ok(())
    }
}

pub fn all_secrets(environment: &EnvironmentName) -> impl Iterator<Item = SecretRef> {
    let environment = environment.clone();
    SecretName::ENVIRONMENT.into_iter().map(move |name| SecretRef { environment: Some(environment.clone()), name })
}

/// Whose step it is.
fn part_of(action: &Action) -> Part {
    match action {
        Action::EnsureAuthority | Action::BuildTemplate { .. } => None,
        Action::EnsureWorkload { id, .. } | Action::StopWorkload { id } | Action::RemoveWorkload { id } => {
            id.environment.clone()
        }
        Action::ReserveSlot { environment, .. }
        | Action::EnsureSecrets { environment }
        | Action::EnsureCertificate { environment, .. }
        | Action::CopyTemplate { environment, .. }
        | Action::RestoreData { environment, .. }
        | Action::EnsureRepository { environment, .. }
        | Action::ConfigureDatabase { environment, .. }
        | Action::ResetSettings { environment, .. }
        | Action::InstallModules { environment, .. }
        | Action::EnsureRoute { environment, .. }
        | Action::Verify { environment }
        | Action::RemoveRoute { environment }
        | Action::FinalBackup { environment, .. }
        | Action::RecordDestruction { environment, .. }
        | Action::RemoveVolumes { environment }
        | Action::RemoveSecrets { environment }
        | Action::Forget { environment, .. } => Some(environment.clone()),
    }
}

/// Whether something is gone for good after it.
fn removes(action: &Action) -> bool {
    matches!(
        action,
        Action::RemoveWorkload { .. }
            | Action::RemoveVolumes { .. }
            | Action::RemoveSecrets { .. }
            | Action::Forget { .. }
    )
}

/// Whether it belongs to taking an environment away, which a person asks for and no file declares.
fn takes_away(action: &Action) -> bool {
    let away = matches!(
        action,
        Action::RemoveRoute { .. }
            | Action::StopWorkload { .. }
            | Action::FinalBackup { .. }
            | Action::RecordDestruction { .. }
    );
    away || removes(action)
}

#[async_trait]
impl World for Hand {
    async fn observe(&self, estate: &Estate, now: i64) -> Result<Observation, ObserveError> {
        let seen = Driver::observe(self).await?;
        let records = estate.store.environments()?;
        let inner = self.machine.inner();
        let mut environments = std::collections::BTreeMap::new();
        for record in records {
            let workloads: ByRole<_> = Role::ENVIRONMENT
                .into_iter()
                .filter_map(|role| Some((role, inner.observation(&WorkloadId::of(&record.name, role))?)))
                .collect();
            let data = inner.data.get(&record.name);
            let runs = workloads.get(&Role::Postgres).is_some_and(|it| it.pid.is_some());
            let database = match data {
                Some(data) if runs => Observed::Known(data.clone()),
                _ => Observed::Unknown("postgres does not run".to_owned()),
            };
            let proxy = inner.workloads.get(&WorkloadId::estate(Role::Proxy)).is_some_and(|it| !it.live.is_empty());
            let route = match proxy {
                true => Observed::Known(inner.routes.get(&record.name).copied()),
                false => Observed::Unknown("the proxy does not run".to_owned()),
            };
            let observed = EnvironmentObservation {
                slot: record.slot,
                series: data.is_some().then_some(record.series),
                data: data.is_some(),
                data_major: data.and(seen.host.postgres_major),
                certificate: record.certificate,
                destroying: record.destroying,
                database,
                workloads,
                route,
                repository: record.repository,
            };
            environments.insert(record.name, observed);
        }
        let parts = Role::ESTATE.into_iter();
        Ok(Observation {
            at: now,
            host: seen.host,
            secrets: inner.secrets.iter().cloned().collect(),
            templates: inner.templates.keys().cloned().collect(),
            environments,
            estate: parts.filter_map(|role| Some((role, inner.observation(&WorkloadId::estate(role))?))).collect(),
            strangers: Vec::new(),
            seeds: estate.store.seeds()?,
        })
    }

    async fn ensure_repository(&self, _: &Execution<'_>, sized: &SizedEnvironment<'_>) -> Result<(), Failure> {
        let name = &sized.environment.name;
        let inner = self.machine.inner();
        match inner.observation(&WorkloadId::of(name, Role::Postgres)).is_some_and(|it| it.pid.is_some()) {
            true => Ok(()),
            false => Err("its database server does not run".into()),
        }
    }

    async fn restore_data(
        &self,
        _: &Execution<'_>,
        sized: &SizedEnvironment<'_>,
        seed: &Seed,
        _: &dyn Progress,
    ) -> Result<(), Failure> {
        let mut inner = self.machine.inner();
        let data = inner.data.get(&seed.from).cloned().ok_or("there is no such set")?;
        inner.data.insert(sized.environment.name.clone(), data);
        Ok(())
    }

    async fn step(
        &self,
        execution: &Execution<'_>,
        action: &Action,
        sized: Option<&SizedEnvironment<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let (machine, controller) = (&self.machine, self.controller);
        machine.alive(controller);
        let title = action.title();
        let part = match sized {
            // A template is built by the operation of an environment.
            Some(sized) => Some(sized.environment.name.clone()),
            None => part_of(action),
        };
        let origin = Origin {
            controller,
            epoch: execution.epoch.0,
            part: part.clone(),
            action: serde_json::to_string(action)?,
            removes: removes(action),
        };
        let asked = match (&part, sized) {
            (Some(_), Some(sized)) if !takes_away(action) => {
                let declared = execution.checked.environments.iter().find(|it| Some(&it.name) == part.as_ref());
                declared.map(|it| wanted(execution.checked, it, sized.slot, &host(), execution.now))
            }
            (None, _) => Some(wanted_of_estate(execution.checked)),
            _ => None,
        };
        {
            let mut inner = machine.inner();
            inner.armed.remove(&controller);
            inner.step_begins(&origin, asked);
        }
        // Before the effect; at once, and after a while in which it may hang.
        let name = format!("{part:?} {title}");
        machine.point(controller, &format!("before {name}"));
        machine.takes(controller, &name, 50, 1500).await;
        let done = match execution.estate.driver.raise(Generation(execution.epoch.0)).await {
            Ok(()) => self.give(execution, action, sized, &origin, progress).await,
            Err(error) => Err(error.into()),
        };
        machine.alive(controller);
        machine.point(controller, &format!("after {name}"));
        let mut inner = machine.inner();
        inner.active.remove(&(controller, part));
        // Or before one of the writes that follow.
        let rate = inner.faults.crash;
        if inner.happens(rate * 2, &format!("{controller} arm {name}")) {
            let calls = 1 + inner.draw(&format!("{controller} calls {name}")) % 2;
            inner.armed.insert(controller, calls as u32);
        }
        if let Err(error) = &done {
            inner.tell(format!("controller {controller}: {name} fails: {error}"));
        }
        done
    }
}

#[async_trait]
impl Driver for Hand {
    async fn observe(&self) -> Result<DriverObservation, DriverError> {
        self.machine.alive(self.controller);
        let mut inner = self.machine.inner();
        inner.moves += 1;
        let rate = inner.faults.blind;
        if inner.happens(rate, &format!("{} blind", self.controller)) {
            return Err(DriverError::Supervisor("no answer".to_owned()));
        }
        let workloads = inner.workloads.keys().filter_map(|id| Some((id.clone(), inner.observation(id)?))).collect();
        Ok(DriverObservation { host: host(), workloads, strangers: Vec::new() })
    }

    fn fence(&self) -> Generation {
        Generation(self.machine.inner().fence)
    }

    async fn raise(&self, by: Generation) -> Result<(), DriverError> {
        self.machine.alive(self.controller);
        let mut inner = self.machine.inner();
        let ours = if inner.bug == "generation-not-raised" { 1 } else { by.0 };
        inner.raise(ours).map_err(|seen| DriverError::Fenced { ours, seen })
    }

    async fn ensure_workload(&self, workload: &ResolvedWorkload, by: Generation) -> Result<Ensured, DriverError> {
        let id = workload.spec.id.clone();
        self.send(&id.environment.clone(), Message::Ensure(id, workload.digest), by).await?;
        Ok(Ensured::Started)
    }

    async fn wait_ready(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.machine.alive(self.controller);
        let inner = self.machine.inner();
        match inner.workloads.get(id) {
            Some(workload) if !workload.live.is_empty() => Ok(()),
            _ => Err(DriverError::NotFound(id.clone())),
        }
    }

    async fn stop_workload(&self, id: &WorkloadId, by: Generation) -> Result<(), DriverError> {
        self.send(&id.environment, Message::Stop(id.clone()), by).await
    }

    async fn remove_workload(&self, id: &WorkloadId, by: Generation) -> Result<(), DriverError> {
        self.send(&id.environment, Message::Remove(id.clone()), by).await
    }

    async fn run_task(&self, task: &Task, _: Generation) -> Result<TaskOutcome, DriverError> {
        Err(DriverError::Supervisor(format!("tasks are the world's here: {}", task.name)))
    }

    async fn exec(&self, id: &WorkloadId, _: &[String]) -> Result<i32, DriverError> {
        Err(DriverError::NotFound(id.clone()))
    }

    fn volume(&self, _: Option<&EnvironmentName>, volume: Volume) -> PathBuf {
        PathBuf::from("/nowhere").join(volume.as_str())
    }

    fn estate_folder(&self) -> PathBuf {
        PathBuf::from("/nowhere")
    }

    async fn remove_volumes(&self, name: &EnvironmentName, by: Generation) -> Result<(), DriverError> {
        self.send(&Some(name.clone()), Message::Volumes(name.clone()), by).await
    }

    fn logs(&self, _: &WorkloadId) -> Vec<PathBuf> {
        Vec::new()
    }
}

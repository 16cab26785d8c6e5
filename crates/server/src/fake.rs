//! A world in memory over the driver in memory, for tests and benches of everything above: the store, the
//! locks, the journal and the fences are real, and so is every decision.
//!
//! What a step would do to database, proxy, files and secrets is remembered here; workloads go through
//! the driver, so that failures can be scripted there ([`FakeDriver::fail_next`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use springtide_core::digest::Digest;
use springtide_core::names::{EnvironmentName, ModuleName};
use springtide_core::observe::{DatabaseObservation, EnvironmentObservation, HostFacts, Observation, Observed, Seed};
use springtide_core::plan::Action;
use springtide_core::plan::environment::new_certificate_until;
use springtide_core::role::{ByRole, Role};
use springtide_core::sizing::SizedEnvironment;
use springtide_core::workload::{SecretName, SecretRef, WorkloadId};
use springtide_data::secrets::SecretStore;
use springtide_driver::fake::FakeDriver;
use springtide_driver::{Generation, Network, ResolvedWorkload, Task};
use tokio::sync::Semaphore;

use crate::Estate;
use crate::execute::{Execution, Failure, Progress};
use crate::observe::ObserveError;
use crate::store::Store;
use crate::world::World;

#[derive(Default)]
struct Memory {
    secrets: BTreeSet<SecretRef>,
    templates: BTreeMap<String, BTreeSet<ModuleName>>,
    data: BTreeMap<EnvironmentName, DatabaseObservation>,
    routes: BTreeMap<EnvironmentName, Digest>,
    /// Environments whose write-ahead log was seen to arrive; it outlives them.
    repositories: BTreeSet<EnvironmentName>,
}

/// The world.
#[derive(Default)]
pub struct FakeWorld {
    memory: Mutex<Memory>,
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
    panics: Mutex<BTreeSet<String>>,
}

/// A step that waits until a test lets it go on.
pub struct Gate {
    reached: Semaphore,
    open: Semaphore,
}

impl Gate {
    /// Waits until the step is under way.
    pub async fn reached(&self) {
        // Never closed.
        if let Ok(permit) = self.reached.acquire().await {
            permit.forget();
        }
    }

    /// Lets it have its effect.
    pub fn open(&self) {
        self.open.add_permits(1);
    }
}

/// A machine that has everything.
pub fn host() -> HostFacts {
    let odoo_roots = [("19.0", "19.0.0"), ("14.0", "14.0.0")];
    HostFacts {
        cpus: 64,
        memory_bytes: 512 << 30,
        free_disk_bytes: 1 << 40,
        odoo_roots: odoo_roots.into_iter().filter_map(|(it, of)| Some((it.parse().ok()?, of.to_owned()))).collect(),
        postgres_major: Some(17),
        ..HostFacts::default()
    }
}

/// An estate in memory with its store and secrets in `state`.
pub fn estate(
    state: &Path,
    driver: Arc<FakeDriver>,
    world: Arc<FakeWorld>,
) -> Result<Estate, Box<dyn std::error::Error + Send + Sync>> {
    std::fs::create_dir_all(state)?;
    driver.set_host(host());
    Ok(Estate {
        store: Store::open(&state.join("springtide.db"))?,
        secrets: SecretStore::open(state.join("secrets"))?,
        proxy: crate::routes::Proxy::new()?,
        state: state.to_owned(),
        driver,
        world,
    })
}

impl FakeWorld {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next step of this title wait before its effect.
    pub fn wait_at(&self, title: &str) -> Arc<Gate> {
        let gate = Arc::new(Gate { reached: Semaphore::new(0), open: Semaphore::new(0) });
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).insert(title.to_owned(), Arc::clone(&gate));
        gate
    }

    /// Lets the next step of this title panic before its effect.
    pub fn panic_at(&self, title: &str) {
        self.panics.lock().unwrap_or_else(PoisonError::into_inner).insert(title.to_owned());
    }

    /// Whether write-ahead log of an environment was seen to arrive in its repository.
    pub fn has_repository(&self, environment: &EnvironmentName) -> bool {
        self.memory().repositories.contains(environment)
    }

    /// Takes the route of an environment away, as if somebody had removed its file.
    pub fn lose_route(&self, environment: &EnvironmentName) {
        self.memory().routes.remove(environment);
    }
}

/// A task that does nothing, for the driver to fail at.
fn task(name: String) -> Task {
    Task {
        name,
        root: springtide_core::workload::Root::Host,
        command: vec!["/bin/true".to_owned()],
        env: BTreeMap::new(),
        files: Vec::new(),
        mounts: Vec::new(),
        user: springtide_core::workload::UserSpec { uid: 0, gid: 0 },
        network: Network::Machine,
        deadline_s: 1,
    }
}

fn all_secrets(environment: &EnvironmentName) -> impl Iterator<Item = SecretRef> {
    let environment = environment.clone();
    SecretName::ENVIRONMENT.into_iter().map(move |name| SecretRef { environment: Some(environment.clone()), name })
}

#[async_trait]
impl World for FakeWorld {
    async fn observe(&self, estate: &Estate, now: i64) -> Result<Observation, ObserveError> {
        let mut seen = estate.driver.observe().await?;
        let records = estate.store.environments()?;
        let memory = self.memory();
        let mut environments = BTreeMap::new();
        for record in records {
            let workloads: ByRole<_> = Role::ENVIRONMENT
                .into_iter()
                .filter_map(|role| Some((role, seen.workloads.remove(&WorkloadId::of(&record.name, role))?)))
                .collect();
            let data = memory.data.get(&record.name);
            let runs = workloads.get(&Role::Postgres).is_some_and(|it| it.pid.is_some());
            let database = match data {
                Some(data) if runs => Observed::Known(data.clone()),
                _ => Observed::Unknown("postgres does not run".to_owned()),
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
                route: Observed::Known(memory.routes.get(&record.name).copied()),
                repository: record.repository,
            };
            environments.insert(record.name, observed);
        }
        let parts = Role::ESTATE
            .into_iter()
            .filter_map(|role| Some((role, seen.workloads.remove(&WorkloadId::estate(role))?)))
            .collect();
        Ok(Observation {
            at: now,
            host: seen.host,
            secrets: memory.secrets.iter().cloned().collect(),
            templates: memory.templates.keys().cloned().collect(),
            environments,
            estate: parts,
            strangers: seen.strangers,
            seeds: estate.store.seeds()?,
        })
    }

    async fn step(
        &self,
        execution: &Execution<'_>,
        action: &Action,
        sized: Option<&SizedEnvironment<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let gate = self.gates.lock().unwrap_or_else(PoisonError::into_inner).remove(&action.title());
        if let Some(gate) = gate {
            gate.reached.add_permits(1);
            let _ = gate.open.acquire().await;
        }
        let panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner).remove(&action.title());
        assert!(!panics, "a scripted panic");
        let Execution { estate, epoch, now, .. } = *execution;
        let (store, driver, generation) = (&estate.store, estate.driver.as_ref(), Generation(epoch.0));
        driver.raise(generation).await?;
        match action {
            Action::EnsureAuthority => {
                for name in [SecretName::AuthorityKey, SecretName::AuthorityCertificate] {
                    self.memory().secrets.insert(SecretRef { environment: None, name });
                }
            }
            Action::ReserveSlot { environment, slot, series } => store.reserve(epoch, environment, *slot, *series)?,
            Action::EnsureSecrets { environment } => {
                let mut memory = self.memory();
                memory.secrets.extend(all_secrets(environment));
                if sized.is_some_and(|sized| sized.environment.backup.is_some()) {
                    let of = |name: &SecretName| SecretRef { environment: Some(environment.clone()), name: *name };
                    memory.secrets.extend(SecretName::BACKUP.iter().map(of));
                    memory.secrets.insert(SecretRef { environment: None, name: SecretName::ProofKey });
                }
            }
            Action::EnsureCertificate { environment, host } => {
                store.certified(epoch, environment, host.as_str(), new_certificate_until(now))?;
            }
            Action::BuildTemplate { key, modules, .. } => {
                driver.run_task(&task(format!("template-{key}")), generation).await?;
                self.memory().templates.insert(key.clone(), modules.iter().cloned().collect());
            }
            Action::CopyTemplate { environment, key } => {
                driver.run_task(&task(format!("copy-{environment}")), generation).await?;
                let mut memory = self.memory();
                let modules = memory.templates.get(key).cloned().ok_or("there is no such template")?;
                let data = DatabaseObservation {
                    configured: None,
                    modules,
                    half: BTreeMap::new(),
                    overridden: BTreeSet::new(),
                };
                memory.data.insert(environment.clone(), data);
            }
            Action::RestoreData { seed, .. } => {
                self.restore_data(execution, sized.ok_or("it is not declared")?, seed, progress).await?;
            }
            Action::EnsureRepository { environment, places } => {
                self.ensure_repository(execution, sized.ok_or("it is not declared")?).await?;
                store.repository_prepared(epoch, environment, *places)?;
            }
            Action::EnsureWorkload { id, digest } => {
                let spec = execution.spec(id, sized)?;
                if spec.digest() != *digest {
                    return Err("its configuration is not the one that was planned; plan again".into());
                }
                let resolved = ResolvedWorkload { digest: *digest, spec, files: Vec::new(), env: BTreeMap::new() };
                driver.ensure_workload(&resolved, generation).await?;
                driver.wait_ready(id).await?;
            }
            Action::ConfigureDatabase { environment, fingerprint } => {
                let mut memory = self.memory();
                memory.data.get_mut(environment).ok_or("it has no database")?.configured = Some(*fingerprint);
            }
            Action::ResetSettings { environment, .. } => {
                let mut memory = self.memory();
                memory.data.get_mut(environment).ok_or("it has no database")?.overridden.clear();
            }
            Action::InstallModules { environment, modules, withdrawn: _ } => {
                let mut memory = self.memory();
                let data = memory.data.get_mut(environment).ok_or("it has no database")?;
                data.half.clear();
                data.modules.extend(modules.iter().cloned());
            }
            Action::EnsureRoute { environment, digest } => {
                self.memory().routes.insert(environment.clone(), *digest);
            }
            Action::Verify { environment } => {
                driver.run_task(&task(format!("verify-{environment}")), generation).await?;
            }
            Action::RemoveRoute { environment } => {
                self.memory().routes.remove(environment);
            }
            Action::StopWorkload { id } => driver.stop_workload(id, generation).await?,
            Action::FinalBackup { environment, .. } => {
                driver.run_task(&task(format!("backup-{environment}")), generation).await?;
            }
            Action::RecordDestruction { environment, proof } => {
                store.record_destruction(epoch, environment, &proof.to_string())?;
            }
            Action::RemoveWorkload { id } => driver.remove_workload(id, generation).await?,
            Action::RemoveVolumes { environment } => {
                driver.remove_volumes(environment, generation).await?;
                self.memory().data.remove(environment);
            }
            Action::RemoveSecrets { environment } => {
                let goes = |secret: &SecretRef| {
                    secret.environment.as_ref() == Some(environment) && !SecretName::BACKUP.contains(&secret.name)
                };
                self.memory().secrets.retain(|secret| !goes(secret));
            }
            Action::Forget { environment, .. } => store.forget(epoch, environment)?,
        }
        Ok(())
    }

    async fn ensure_repository(&self, execution: &Execution<'_>, sized: &SizedEnvironment<'_>) -> Result<(), Failure> {
        let name = &sized.environment.name;
        let (driver, generation) = (&execution.estate.driver, Generation(execution.epoch.0));
        let seen = driver.observe().await?.workloads;
        if seen.get(&WorkloadId::of(name, Role::Postgres)).is_none_or(|it| it.pid.is_none()) {
            return Err("its database server does not run".into());
        }
        driver.run_task(&task(format!("repository-{name}")), generation).await?;
        self.memory().repositories.insert(name.clone());
        Ok(())
    }

    async fn restore_data(
        &self,
        execution: &Execution<'_>,
        sized: &SizedEnvironment<'_>,
        seed: &Seed,
        _: &dyn Progress,
    ) -> Result<(), Failure> {
        let name = &sized.environment.name;
        let (driver, generation) = (&execution.estate.driver, Generation(execution.epoch.0));
        if !self.memory().repositories.contains(&seed.from) {
            return Err(format!("{} was never backed up", seed.from).into());
        }
        driver.run_task(&task(format!("restore-{name}")), generation).await?;
        let mut memory = self.memory();
        // What is restored was configured for the other one.
        let data = memory.data.get(&seed.from).cloned().ok_or("there is no such set")?;
        memory.data.insert(name.clone(), data);
        Ok(())
    }
}

//! Execute: one step after another, each written down before its effect.
//!
//! Every step is idempotent, so that after a crash the next plan, made from what is then seen,
//! finishes the work. An operation does some parts of a plan: all of them when a command applies it, one
//! environment when the server does. The epoch of whoever acts is the generation that fences older
//! executors at the driver, and every line of the journal carries it too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use springtide_core::check::CheckedEstate;
use springtide_core::digest::Digest;
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Observation;
use springtide_core::plan::environment::{base_url, certificate_until, repository};
use springtide_core::plan::wanted::{wanted, wanted_of_estate};
use springtide_core::plan::{Action, EnvironmentPlan, Plan, Risk, Step};
use springtide_core::role::Role;
use springtide_core::roles::{self, proxy, route};
use springtide_core::sizing::{SizedEnvironment, size};
use springtide_core::workload::{SecretName, SecretRef, Volume, WorkloadId, WorkloadSpec};
use springtide_data::destroy::final_backup;
use springtide_data::postgres::{Admin, Configure, DbRole, configure, reset_settings};
use springtide_data::template::{self, CopyMethod, TemplateSpec};
use springtide_driver::{Generation, ResolvedWorkload};

use crate::store::{Begin, DONE, Epoch, Held, Intent, StoreError};
use crate::{Estate, certificates, failpoint};

/// Why a step did not succeed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A step that did not succeed. What was done before it stays done; the next apply goes on.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// A step failed.
    #[error("cannot {step}{of}")]
    Step {
        /// What it was to do.
        step: String,
        /// ` of ENVIRONMENT`, or nothing.
        of: String,
        /// Why.
        #[source]
        source: Failure,
    },
    /// The journal could not be written; nothing was begun without it.
    #[error("cannot write the journal")]
    Journal(#[from] StoreError),
    /// The stop switch was set; the current step was finished.
    #[error("held before `{step}`: {}", held.reason)]
    Held {
        /// The step that was not begun.
        step: String,
        /// Why, and by whom.
        held: Held,
    },
    /// The person asked to stop; the current step was finished.
    #[error("stopped before `{0}`")]
    Cancelled(String),
}

/// What happens while steps are executed.
pub trait Progress: Send + Sync {
    /// The operation is written down under its number and has so many steps.
    fn started(&self, _operation: u64, _steps: usize) {}
    /// A step begins: its number from 0, of how many, its environment and its title.
    fn begin(&self, number: usize, of: usize, environment: Option<&EnvironmentName>, title: &str);
    /// Something inside the step is worth saying.
    fn note(&self, text: &str);
    /// The step ended.
    fn end(&self, number: usize, error: Option<&str>);
    /// Whether to stop before the next step.
    fn cancelled(&self) -> bool;
    /// Whether stopping takes back what was approved.
    fn withdraws(&self) -> bool {
        false
    }
    /// What the journal says of an operation that was stopped.
    fn why(&self) -> String {
        "stopped".to_owned()
    }
}

/// The clock of the edges, seconds since 1970. Only written down: durations are measured by a clock that
/// never jumps.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What steps are executed for.
pub struct Execution<'a> {
    /// The edges.
    pub estate: &'a Estate,
    /// What was declared.
    pub checked: &'a CheckedEstate,
    /// What the plan was made from.
    pub seen: &'a Observation,
    /// The `now` the plan was made with.
    pub now: i64,
    /// The clock, for the journal.
    pub clock: Clock,
    /// The right to act.
    pub epoch: Epoch,
    /// Who asked for it, for the journal.
    pub by: &'a str,
}

/// Executes `plan` to its end as one operation; returns its number.
pub async fn execute(execution: &Execution<'_>, plan: &Plan, progress: &dyn Progress) -> Result<u64, ExecuteError> {
    let operation = begin(execution, &plan.id, &plan.environments)?;
    run(execution, operation, &plan.environments, progress).await?;
    Ok(operation)
}

/// Writes an operation down that does these parts of a plan, takes their environments in hand, and
/// records that what is wanted of them was approved.
pub fn begin(execution: &Execution<'_>, plan: &str, parts: &[EnvironmentPlan]) -> Result<u64, StoreError> {
    let slots = execution.slots(parts);
    let names: Vec<Option<EnvironmentName>> = parts.iter().map(|part| part.environment.clone()).collect();
    // Who destroys approves nothing: until that is decided for good, what was approved before holds.
    let brings = |part: &&EnvironmentPlan| part.steps.iter().all(|step| step.risk < Risk::Destructive);
    let brought = parts.iter().filter(brings).map(|part| part.environment.clone());
    let approved: Vec<_> =
        brought.filter_map(|name| execution.wanted(name.as_ref(), &slots).map(|wanted| (name, wanted))).collect();
    let begin = Begin {
        epoch: execution.epoch,
        plan,
        parts: &names,
        approved: &approved,
        by: execution.by,
        steps: parts.iter().map(|part| part.steps.len()).sum(),
    };
    execution.estate.store.begin(&begin, (execution.clock)())
}

/// Does these parts of a plan, one step after another, as an operation that was begun. However it comes
/// back, the operation has ended, unless its end could not be written down.
pub async fn run(
    execution: &Execution<'_>,
    operation: u64,
    parts: &[EnvironmentPlan],
    progress: &dyn Progress,
) -> Result<(), ExecuteError> {
    let (store, epoch) = (&execution.estate.store, execution.epoch);
    let now = || (execution.clock)();
    let slots = execution.slots(parts);
    let mut steps: Vec<(Option<&EnvironmentName>, &Step)> = Vec::new();
    for part in parts {
        steps.extend(part.steps.iter().map(|step| (part.environment.as_ref(), step)));
    }
    let total = steps.len();
    progress.started(operation, total);
    for (number, (environment, step)) in steps.into_iter().enumerate() {
        let title = step.action.title();
        if progress.cancelled() {
            match progress.withdraws() {
                true => store.end_cancelled(epoch, operation, &progress.why(), now())?,
                false => store.end(epoch, operation, &progress.why(), now())?,
            }
            return Err(ExecuteError::Cancelled(title));
        }
        let action = serde_json::to_string(&step.action).unwrap_or_default();
        let intent = Intent { epoch, operation, number, environment, title: &title, action: &action };
        match store.intend(&intent, now()) {
            Err(StoreError::Held(held)) => {
                store.end(epoch, operation, &format!("held: {}", held.reason), now())?;
                return Err(ExecuteError::Held { step: title, held });
            }
            written => written?,
        }
        progress.begin(number, total, environment, &title);
        failpoint::pass(environment, &title, "intent");
        let sized = environment.and_then(|name| execution.sized(name, slots.get(name).copied()?));
        let done = execution.estate.world.step(execution, &step.action, sized.as_ref(), progress).await;
        let error = done.as_ref().err().map(|error| chain(error.as_ref()));
        if error.is_none() {
            failpoint::pass(environment, &title, "effect");
        }
        let settled = store.settle(epoch, operation, number, error.as_deref(), now());
        progress.end(number, error.as_deref());
        if let Err(source) = done {
            // A full disk fails the step and then the journal; the step is what a person must hear of.
            let _ = settled.and_then(|()| store.end(epoch, operation, &format!("failed: {title}"), now()));
            let of = environment.map(|name| format!(" of {name}")).unwrap_or_default();
            return Err(ExecuteError::Step { step: title, of, source });
        }
        settled?;
    }
    store.end(epoch, operation, DONE, now())?;
    Ok(())
}

/// An error with its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl Execution<'_> {
    pub(crate) fn sized(&self, name: &EnvironmentName, slot: Slot) -> Option<SizedEnvironment<'_>> {
        let environment = self.checked.environments.iter().find(|it| &it.name == name)?;
        let sharing = self.checked.environments.len();
        let until = certificate_until(environment, self.seen.environments.get(name), self.now);
        Some(size(environment, &self.checked.peaks, slot, &self.seen.host, sharing, self.now, until))
    }

    /// Slots of all environments that exist or are about to.
    fn slots(&self, parts: &[EnvironmentPlan]) -> BTreeMap<EnvironmentName, Slot> {
        let reserved = parts.iter().flat_map(|part| &part.steps).filter_map(|step| match &step.action {
            Action::ReserveSlot { environment, slot, .. } => Some((environment.clone(), *slot)),
            _ => None,
        });
        reserved.chain(self.seen.environments.iter().map(|(name, seen)| (name.clone(), seen.slot))).collect()
    }

    /// What is wanted of an environment that is declared, or of the estate's own parts.
    fn wanted(&self, name: Option<&EnvironmentName>, slots: &BTreeMap<EnvironmentName, Slot>) -> Option<Digest> {
        let Some(name) = name else { return Some(wanted_of_estate(self.checked)) };
        let declared = self.checked.environments.iter().find(|it| it.name == *name)?;
        Some(wanted(self.checked, declared, *slots.get(name)?, &self.seen.host, self.now))
    }

    /// Gives a step its effect on what really runs.
    pub(crate) async fn step(
        &self,
        action: &Action,
        sized: Option<&SizedEnvironment<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let (epoch, generation) = (self.epoch, Generation(self.epoch.0));
        let driver = self.estate.driver.as_ref();
        let secrets = &self.estate.secrets;
        let sized_of = || sized.ok_or("the plan names an environment that is not declared");
        match action {
            Action::EnsureAuthority => {
                let made = certificates::authority(self.checked.name.as_str(), self.now)?;
                // The certificate last: it is what observation looks for.
                secrets.put(&estate_secret(SecretName::AuthorityKey), &made.key.into())?;
                secrets.put(&estate_secret(SecretName::AuthorityCertificate), &made.certificate.into())?;
            }
            Action::ReserveSlot { environment, slot, series } => {
                self.estate.store.reserve(epoch, environment, *slot, *series)?;
            }
            Action::EnsureSecrets { environment } => {
                secrets.ensure_environment(environment)?;
                if sized_of()?.environment.backup.is_some() {
                    secrets.ensure_backup(environment)?;
                }
            }
            Action::EnsureCertificate { environment, host } => {
                let authority = secrets.get(&estate_secret(SecretName::AuthorityCertificate))?;
                let key = secrets.get(&estate_secret(SecretName::AuthorityKey))?;
                let made =
                    certificates::issue(authority.expose_secret(), key.expose_secret(), host.as_str(), self.now)?;
                secrets.put(&of(environment, SecretName::CertificateKey), &made.key.into())?;
                secrets.put(&of(environment, SecretName::Certificate), &made.certificate.into())?;
                self.estate.store.certified(epoch, environment, host.as_str(), made.until)?;
            }
            Action::BuildTemplate { series, modules, demo, .. } => {
                let spec = TemplateSpec { series: *series, modules: modules.iter().cloned().collect(), demo: *demo };
                template::build(driver, &spec, generation, &|text| progress.note(text)).await?;
            }
            Action::CopyTemplate { environment, key } => {
                let copied = template::copy(driver, key, environment, sized_of()?.slot, CopyMethod::Auto).await?;
                progress.note(&format!("{} MiB in {:.1} s", copied.bytes >> 20, copied.seconds));
            }
            Action::RestoreData { seed, .. } => {
                self.estate.world.restore_data(self, sized_of()?, seed, progress).await?;
            }
            Action::EnsureRepository { environment, places } => {
                let sized = sized_of()?;
                if repository(&sized.environment) != Some(*places) {
                    return Err("the places of its backups are not those that were planned; plan again".into());
                }
                self.estate.world.ensure_repository(self, sized).await?;
                self.estate.store.repository_prepared(epoch, environment, *places)?;
            }
            Action::EnsureWorkload { id, digest } => {
                let spec = self.spec(id, sized)?;
                if spec.digest() != *digest {
                    return Err("its configuration is not the one that was planned; plan again".into());
                }
                let resolved = self.resolve(spec)?;
                driver.ensure_workload(&resolved, generation).await?;
                driver.wait_ready(id).await?;
            }
            Action::ConfigureDatabase { environment, fingerprint } => {
                let sized = sized_of()?;
                let admin = self.admin(sized).await?;
                let web = sized.slot.port(Role::Web).unwrap_or_default();
                let mut verifiers = BTreeMap::new();
                for (role, name) in [
                    (DbRole::Owner, SecretName::DbOwnerVerifier),
                    (DbRole::App, SecretName::DbAppVerifier),
                    (DbRole::Jobs, SecretName::DbJobsVerifier),
                    (DbRole::Report, SecretName::DbReportVerifier),
                    (DbRole::Monitor, SecretName::DbMonitorVerifier),
                    (DbRole::Backup, SecretName::DbBackupVerifier),
                ] {
                    verifiers.insert(role, secrets.get(&of(environment, name))?);
                }
                let wanted = Configure {
                    environment: environment.clone(),
                    restored_from: self.seen.seeds.get(environment).map(|seed| seed.from.clone()),
                    base_url: base_url(self.checked, &sized.environment.host),
                    report_url: format!("http://127.0.0.1:{web}"),
                    fingerprint: *fingerprint,
                    admin_password_hash: secrets.get(&of(environment, SecretName::OdooAdminHash))?,
                    database_secret: secrets.get(&of(environment, SecretName::OdooDatabaseSecret))?,
                    verifiers,
                    connection_limits: BTreeMap::new(),
                };
                configure(&admin, &wanted).await?;
            }
            Action::ResetSettings { settings, .. } => {
                reset_settings(&self.admin(sized_of()?).await?, settings).await?;
            }
            Action::InstallModules { modules, .. } => self.install(sized_of()?, modules, generation).await?,
            Action::EnsureRoute { environment, .. } => {
                let route = route::route(sized_of()?);
                let marker = route::marker(environment, &route.digest);
                let folder = driver.volume(None, Volume::Routes);
                let certificate = secrets.get(&of(environment, SecretName::Certificate))?;
                let key = secrets.get(&of(environment, SecretName::CertificateKey))?;
                self.estate.proxy.ensure(&folder, &route, &marker, &certificate, &key).await?;
            }
            Action::Verify { .. } => self.verify(sized_of()?).await?,
            Action::RemoveRoute { environment } => {
                self.estate.proxy.remove(&driver.volume(None, Volume::Routes), environment).await?;
            }
            Action::StopWorkload { id } => driver.stop_workload(id, generation).await?,
            Action::FinalBackup { environment, folder } => {
                let slot = self.slot(environment)?;
                self.remove_unfinished_backups(environment)?;
                let made = final_backup(driver, environment, slot, Path::new(folder), generation).await?;
                let bytes: u64 = made.files.values().map(|file| file.bytes).sum();
                progress.note(&format!("{} MiB, {} tables", bytes >> 20, made.tables));
            }
            Action::RecordDestruction { environment, proof } => {
                self.estate.store.record_destruction(epoch, environment, &proof.to_string())?;
            }
            Action::RemoveWorkload { id } => driver.remove_workload(id, generation).await?,
            Action::RemoveVolumes { environment } => {
                // A backup that was cut off holds its data too.
                self.remove_unfinished_backups(environment)?;
                driver.remove_volumes(environment, generation).await?;
            }
            Action::RemoveSecrets { environment } => secrets.remove_environment(environment)?,
            Action::Forget { environment, .. } => self.estate.store.forget(epoch, environment)?,
        }
        Ok(())
    }

    /// What a last backup that was cut off left in the state folder. Nobody else writes there: this
    /// operation holds the lock.
    fn remove_unfinished_backups(&self, environment: &EnvironmentName) -> Result<(), Failure> {
        let Ok(entries) = std::fs::read_dir(self.estate.state.join("final-backups")) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&format!("{environment}-")) && name.ends_with(".writing") {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// The slot of an environment that exists here, declared or not.
    fn slot(&self, environment: &EnvironmentName) -> Result<Slot, Failure> {
        let seen = self.seen.environments.get(environment);
        Ok(seen.ok_or_else(|| format!("{environment} does not exist here"))?.slot)
    }

    pub(crate) fn spec(&self, id: &WorkloadId, sized: Option<&SizedEnvironment<'_>>) -> Result<WorkloadSpec, Failure> {
        match (id.role, sized) {
            (Role::Proxy, _) => Ok(proxy::proxy(&self.checked.platform.ingress)),
            (Role::Notice, _) => Ok(proxy::notice()),
            (role, Some(sized)) => Ok(roles::workload(sized, role)),
            (_, None) => Err("the plan names an environment that is not declared".into()),
        }
    }

    pub(crate) fn resolve(&self, spec: WorkloadSpec) -> Result<ResolvedWorkload, Failure> {
        let secrets = &self.estate.secrets;
        let mut files = Vec::with_capacity(spec.files.len());
        for file in &spec.files {
            files.push(secrets.resolve(&file.content)?.expose_secret().to_owned());
        }
        let mut env = BTreeMap::new();
        for (name, value) in &spec.env {
            env.insert(name.clone(), secrets.resolve(value)?.expose_secret().to_owned());
        }
        Ok(ResolvedWorkload { digest: spec.digest(), spec, files, env })
    }

    pub(crate) async fn admin(&self, sized: &SizedEnvironment<'_>) -> Result<Admin, Failure> {
        let folder = self.estate.driver.volume(Some(&sized.environment.name), Volume::PostgresSocket);
        let port = sized.slot.port(Role::Postgres).unwrap_or_default();
        Ok(Admin::connect(&folder, port, "postgres").await?)
    }

    /// Asks for the login page over HTTPS with the estate's own authority, as a user would.
    async fn verify(&self, sized: &SizedEnvironment<'_>) -> Result<(), Failure> {
        let authority = self.estate.secrets.get(&estate_secret(SecretName::AuthorityCertificate))?;
        let root = reqwest::Certificate::from_pem(authority.expose_secret().as_bytes())?;
        let ingress = &self.checked.platform.ingress;
        let bind = if ingress.bind.is_unspecified() { std::net::Ipv4Addr::LOCALHOST.into() } else { ingress.bind };
        let client = entrance(root, sized.environment.host.as_str(), SocketAddr::new(bind, ingress.https))?;
        let url = format!("{}/web/login", base_url(self.checked, &sized.environment.host));
        let mut last: Failure = "no answer".into();
        for _ in 0..60 {
            match client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => last = format!("{url} answers {}", answer.status()).into(),
                Err(error) => last = chain(&error).into(),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(last)
    }
}

/// A client that reaches `host` at the entrance's own address and trusts the estate's authority only. Proxies
/// of the caller's environment are not asked: they know neither.
fn entrance(root: reqwest::Certificate, host: &str, at: SocketAddr) -> reqwest::Result<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).resolve(host, at);
    client.timeout(Duration::from_secs(30)).build()
}

pub(crate) fn estate_secret(name: SecretName) -> SecretRef {
    SecretRef { environment: None, name }
}

fn of(environment: &EnvironmentName, name: SecretName) -> SecretRef {
    SecretRef { environment: Some(environment.clone()), name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a connection came to, if one did.
    async fn called(listener: tokio::net::TcpListener) -> bool {
        tokio::time::timeout(Duration::from_secs(5), listener.accept()).await.is_ok()
    }

    /// In a process of its own, since the variables of this one cannot be changed safely.
    #[tokio::test]
    async fn a_proxy_of_the_caller_is_not_asked_for_the_entrance() {
        const AT: &str = "SPRINGTIDE_TEST_ENTRANCE";
        let made = certificates::authority("acme", 1_700_000_000).unwrap();
        let root = reqwest::Certificate::from_pem(made.certificate.as_bytes()).unwrap();
        if let Ok(at) = std::env::var(AT) {
            let url = "https://erp.example/web/login";
            // What listens there speaks no TLS; only where the call went counts.
            let client = entrance(root, "erp.example", at.parse().unwrap()).unwrap();
            client.get(url).send().await.unwrap_err();
            return;
        }
        let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (entrance, proxy) = (listen().await, listen().await);
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "execute::tests::a_proxy_of_the_caller_is_not_asked_for_the_entrance"])
            .env(AT, entrance.local_addr().unwrap().to_string())
            .env("HTTPS_PROXY", format!("http://{}", proxy.local_addr().unwrap()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let (entrance, proxy) = tokio::join!(called(entrance), called(proxy));
        assert!(child.wait().await.unwrap().success());
        assert_eq!((entrance, proxy), (true, false), "(entrance, proxy) was called");
    }
}

//! The steps of one environment.

use std::collections::{BTreeMap, BTreeSet};

use super::peaks::Moments;
use super::{Action, DIFFERS, EnvironmentPlan, Refusal, Risk, Step, workload_step};
use crate::check::{CheckedBackup, CheckedEnvironment, CheckedEstate, CheckedPeak};
use crate::digest::Digest;
use crate::layout::Slot;
use crate::names::{HostName, ModuleName};
use crate::observe::{EnvironmentObservation, HalfModule, HostFacts, Seed};
use crate::role::Role;
use crate::roles::{self, route};
use crate::series::Series;
use crate::sizing::{SizedEnvironment, size};
use crate::workload::WorkloadId;

/// A certificate is renewed when less than this is left, seconds: a third of its 90 days.
const RENEW_BEFORE_S: i64 = 30 * 86_400;

/// Package of the program that only environments with backups need.
const BACKUP_PROGRAM: &str = "pgbackrest";

/// Steps that a new environment has, the template's own included.
const MOST_STEPS: usize = 16;

/// Names a set of modules of a series, with or without demo data. Environments of one key share a
/// template.
pub fn template_key(series: Series, modules: &[ModuleName], demo: bool) -> String {
    let digest = Digest::of_json(&modules);
    format!("{series}-{}-{}", digest.short(), if demo { "demo" } else { "nodemo" })
}

/// Names the configuration of a database: who it is, where users and Odoo itself find it.
pub fn fingerprint(estate: &CheckedEstate, environment: &CheckedEnvironment, slot: Slot) -> Digest {
    Digest::of(&(1, &environment.name, &environment.host, estate.platform.ingress.https, slot))
}

/// Names the places of an environment's backups, with the keys that open them; none if it has no backups.
pub fn repository(environment: &CheckedEnvironment) -> Option<Digest> {
    environment.backup.as_ref().map(|backup| Digest::of(&(1, &backup.near, &backup.far)))
}

/// The address users type.
pub fn base_url(estate: &CheckedEstate, host: &HostName) -> String {
    match estate.platform.ingress.https {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

/// Seconds that a new certificate of an environment is good for, at most: 90 days.
const CERTIFICATE_S: i64 = 90 * 86_400;

/// When a certificate ends that is issued at `now`: with a whole day of UTC, since parts show the end and so
/// have it in their digest. With the second, a plan would be another one a second later and could never be
/// approved.
pub fn new_certificate_until(now: i64) -> i64 {
    (now + CERTIFICATE_S).div_euclid(86_400) * 86_400
}

/// Why an environment gets a new certificate at `now`, if it does.
fn renewal(declared: &CheckedEnvironment, observed: Option<&EnvironmentObservation>, now: i64) -> Option<&'static str> {
    match observed.and_then(|it| it.certificate.as_ref()) {
        None => Some("it has no certificate"),
        Some((host, _)) if host != declared.host.as_str() => Some("its host name changed"),
        Some((_, until)) if until - now <= RENEW_BEFORE_S => Some("its certificate ends soon"),
        Some(_) => None,
    }
}

/// When the certificate ends that an environment has once a plan made at `now` is done.
pub fn certificate_until(declared: &CheckedEnvironment, observed: Option<&EnvironmentObservation>, now: i64) -> i64 {
    match observed.and_then(|it| it.certificate.as_ref()) {
        Some((_, until)) if renewal(declared, observed, now).is_none() => *until,
        _ => new_certificate_until(now),
    }
}

/// One declared environment and all that decides its steps.
pub(super) struct Place<'a> {
    pub estate: &'a CheckedEstate,
    /// As declared, no peak applied.
    pub declared: &'a CheckedEnvironment,
    pub slot: Slot,
    pub observed: Option<&'a EnvironmentObservation>,
    /// Whether its secrets are all there.
    pub secrets: bool,
    /// What it is filled from instead of a template.
    pub seed: Option<&'a Seed>,
    pub host: &'a HostFacts,
    pub now: i64,
}

impl Place<'_> {
    /// The steps that are left, or why there cannot be any.
    pub fn plan(&self, templates: &mut BTreeSet<String>) -> Result<EnvironmentPlan, Vec<Refusal>> {
        let Self { estate, declared, slot, observed, host, now, .. } = *self;
        let until = certificate_until(declared, observed, now);
        let sized = size(declared, &estate.peaks, slot, host, estate.environments.len(), now, until);
        let refusals = refusals(estate, &sized, observed, host);
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let environment = sized.environment.as_ref();
        let data = observed.is_some_and(|it| it.data);
        let mut list = List {
            environment,
            // A new environment has nobody to protect yet.
            frozen: environment.frozen_by(&estate.peaks, now).filter(|_| data),
            steps: Vec::with_capacity(if observed.is_none() { MOST_STEPS } else { 0 }),
            waits: Vec::new(),
        };
        self.identity(&mut list);
        match self.seed {
            _ if data => {}
            Some(seed) => list.restore(seed),
            None => list.data(templates),
        }
        let waiting = list.waits.len();
        self.run(Role::Postgres, &sized, &mut list);
        self.repository(list.waits.len() > waiting, &mut list);
        self.database(&mut list);
        self.run(Role::Pooler, &sized, &mut list);
        self.run(Role::Sessions, &sized, &mut list);
        let digest = route::digest(&sized);
        let live = observed.and_then(|it| it.route.known()).and_then(|digest| *digest);
        if live != Some(digest) {
            let action = Action::EnsureRoute { environment: declared.name.clone(), digest };
            let reason = if live.is_some() { "its route differs" } else { "the proxy has no route to it" };
            list.add(Step::quiet(action, reason));
        }
        for role in Role::ODOO {
            self.run(role, &sized, &mut list);
        }
        let List { mut steps, waits, .. } = list;
        if !steps.is_empty() {
            steps.push(Step::quiet(Action::Verify { environment: declared.name.clone() }, "something changed"));
            steps.shrink_to_fit();
        }
        Ok(EnvironmentPlan { environment: Some(declared.name.clone()), steps, waits })
    }

    /// Slot, secrets and certificate.
    fn identity(&self, list: &mut List<'_>) {
        let (environment, name) = (self.declared, &self.declared.name);
        if self.observed.is_none() {
            let action = Action::ReserveSlot { environment: name.clone(), slot: self.slot, series: environment.series };
            list.add(Step::quiet(action, "it does not exist"));
        }
        if !self.secrets {
            list.add(Step::quiet(Action::EnsureSecrets { environment: name.clone() }, "secrets are missing"));
        }
        let Some(reason) = renewal(environment, self.observed, self.now) else { return };
        let action = Action::EnsureCertificate { environment: name.clone(), host: environment.host.clone() };
        list.add(Step::quiet(action, reason));
    }

    /// The repository of its backups, as soon as its server hands its write-ahead log over. A server that waits
    /// for its restart does not yet.
    fn repository(&self, server_waits: bool, list: &mut List<'_>) {
        let Some(places) = repository(self.declared) else { return };
        let prepared = self.observed.and_then(|it| it.repository);
        if prepared == Some(places) {
            return;
        }
        let action = Action::EnsureRepository { environment: self.declared.name.clone(), places };
        if server_waits {
            list.waits.push(format!("{}: waits for its database server to be started anew", action.title()));
            return;
        }
        let reason = if prepared.is_some() { "its backups go elsewhere" } else { "nothing of it is backed up" };
        list.add(Step::quiet(action, reason));
    }

    /// What is in the database: its configuration, and its modules.
    fn database(&self, list: &mut List<'_>) {
        let (environment, name) = (self.declared, &self.declared.name);
        let wanted = fingerprint(self.estate, environment, self.slot);
        // If the data is there and its server cannot be asked: configuring is idempotent.
        let seen = self.observed.and_then(|it| it.database.known());
        let configured = seen.and_then(|it| it.configured);
        if configured != Some(wanted) {
            let action = Action::ConfigureDatabase { environment: name.clone(), fingerprint: wanted };
            let reason = if configured.is_some() { "its address changed" } else { "it was never completed" };
            list.add(Step::quiet(action, reason));
        }
        if let Some(seen) = seen.filter(|seen| !seen.overridden.is_empty()) {
            let settings: Vec<String> = seen.overridden.iter().cloned().collect();
            // Those of the whole server are told by their name alone.
            let reason = match settings.iter().any(|it| it.contains(" of ")) {
                true => "changed by ALTER SYSTEM, ALTER ROLE or ALTER DATABASE".into(),
                false => "changed by ALTER SYSTEM".into(),
            };
            let action = Action::ResetSettings { environment: name.clone(), settings };
            list.add(Step { action, risk: Risk::Reload, interruption_s: 0, reason });
        }
        if let (Some(seen), Some(_), true) = (seen, configured, self.observed.is_some_and(|it| it.data)) {
            let missing = environment.modules.iter().filter(|module| !seen.modules.contains(*module));
            // What one of them brings along may be the part that was cut off.
            let asked = asked_for(&environment.modules, &seen.half);
            let modules: BTreeSet<&ModuleName> = missing.chain(asked.iter().copied()).collect();
            let modules: Vec<ModuleName> = modules.into_iter().cloned().collect();
            let withdrawn: Vec<ModuleName> = seen.half.keys().filter(|it| !asked.contains(it)).cloned().collect();
            let (risk, interruption_s, reason) = match (modules.is_empty(), seen.half.is_empty()) {
                (true, true) => return,
                (true, false) => (Risk::None, 0, "an installation was cut off that nothing asks for any more"),
                (false, true) => (Risk::Restart, 90, "declared and not installed"),
                (false, false) => (Risk::Restart, 90, "an installation was cut off"),
            };
            let action = Action::InstallModules { environment: name.clone(), modules, withdrawn };
            list.add(Step { action, risk, interruption_s, reason: reason.into() });
        }
    }

    /// A workload, brought to what it should be.
    fn run(&self, role: Role, sized: &SizedEnvironment<'_>, list: &mut List<'_>) {
        let Self { estate, declared, slot, observed, host, now, .. } = *self;
        let shown = observed.and_then(|it| it.certificate.as_ref()).map_or(0, |(_, until)| *until);
        let moments = Moments { estate, declared, slot, host, now, certificate_until: shown };
        let mut of_peak = false;
        let why = |runs| match moments.peak_asks(role, runs) {
            Some(reason) => {
                of_peak = true;
                reason.into()
            }
            None => DIFFERS.into(),
        };
        let observed = observed.and_then(|it| it.workloads.get(&role));
        let wanted = roles::digest(sized, role);
        let step = workload_step(WorkloadId::of(&declared.name, role), wanted, observed, why);
        // What differs in nothing but the certificate is told to read it again.
        let before = || SizedEnvironment { certificate_until: shown, ..sized.clone() };
        let step = step.map(|step| match observed {
            Some(runs) if runs.digest != wanted && runs.digest == roles::digest(&before(), role) => {
                let reason = "it shows the new certificate".into();
                Step { risk: Risk::Reload, interruption_s: 0, reason, ..step }
            }
            Some(runs)
                if role == Role::Postgres && runs.digest != wanted && only_archives_elsewhere(runs.digest, sized) =>
            {
                let reason = "its write-ahead log goes elsewhere".into();
                Step { risk: Risk::Reload, interruption_s: 0, reason, ..step }
            }
            _ => step,
        });
        match step {
            // What a peak is declared for cannot wait for its end.
            Some(step) if of_peak => list.steps.push(step),
            Some(step) => list.add(step),
            None => {}
        }
    }
}

/// Whether a database server runs as planned but for where its write-ahead log goes, as far as that can be told
/// from the digest it runs with: it went nowhere before, or only to the default place, or had no far copy.
fn only_archives_elsewhere(runs: Digest, sized: &SizedEnvironment<'_>) -> bool {
    let own = || CheckedBackup::of_places(crate::place::Place::Own, None);
    let near = sized.environment.backup.as_ref().map(|it| CheckedBackup::of_places(it.near.clone(), None));
    [None, Some(own()), near].into_iter().any(|backup| {
        let mut before = sized.clone();
        before.environment.to_mut().backup = backup;
        roles::digest(&before, Role::Postgres) == runs && roles::archive::is_reload(&before, sized)
    })
}

/// Which of the modules that are half way follow from what is declared: named there, needed by one that is,
/// or brought along by Odoo itself.
fn asked_for<'a>(declared: &[ModuleName], half: &'a BTreeMap<ModuleName, HalfModule>) -> BTreeSet<&'a ModuleName> {
    let mut asked: BTreeSet<&ModuleName> = half.keys().filter(|module| declared.contains(module)).collect();
    loop {
        let before = asked.len();
        for (module, HalfModule { needs, comes_with }) in half {
            if comes_with.as_ref().is_some_and(|with| with.iter().all(|it| asked.contains(it))) {
                asked.insert(module);
            }
            if asked.contains(module) {
                asked.extend(needs);
            }
        }
        if asked.len() == before {
            return asked;
        }
    }
}

/// Steps in the making, with the freeze they are under.
struct List<'a> {
    environment: &'a CheckedEnvironment,
    frozen: Option<&'a CheckedPeak>,
    steps: Vec<Step>,
    waits: Vec<String>,
}

impl List<'_> {
    /// Adds `step`, or says what it waits for.
    fn add(&mut self, step: Step) {
        match self.frozen {
            Some(peak) if step.risk >= Risk::Restart => {
                self.waits.push(format!(
                    "{}: waits for the end of the freeze of peak {}",
                    step.action.title(),
                    peak.name
                ));
            }
            _ => self.steps.push(step),
        }
    }

    /// Data from a backup set and the write-ahead log behind it.
    fn restore(&mut self, seed: &Seed) {
        let action = Action::RestoreData { environment: self.environment.name.clone(), seed: seed.clone() };
        self.add(Step::quiet(action, "it has no data and is to be filled from a restore"));
    }

    /// Data from a template, which is built first if no environment before this one asked for it.
    fn data(&mut self, templates: &mut BTreeSet<String>) {
        let CheckedEnvironment { name, series, modules, demo, .. } = self.environment;
        let key = template_key(*series, modules, *demo);
        if templates.insert(key.clone()) {
            let modules = modules.to_vec();
            let action = Action::BuildTemplate { key: key.clone(), series: *series, modules, demo: *demo };
            self.add(Step::quiet(action, "no template has these modules"));
        }
        self.add(Step::quiet(Action::CopyTemplate { environment: name.clone(), key }, "it has no data"));
    }
}

fn refusals(
    estate: &CheckedEstate,
    sized: &SizedEnvironment<'_>,
    observed: Option<&EnvironmentObservation>,
    host: &HostFacts,
) -> Vec<Refusal> {
    let environment = sized.environment.as_ref();
    let mut refusals = Vec::new();
    let mut refuse = |code: &str, text: String, hint: String| {
        refusals.push(Refusal { code: code.into(), environment: environment.name.clone(), text, hint });
    };
    if let Some(why) = observed.and_then(|it| it.destroying.as_ref()) {
        refuse(
            "E0707",
            format!("it is being destroyed ({why})"),
            format!("Finish that with springtide destroy {}; then apply makes it anew.", environment.name),
        );
        return refusals;
    }
    if !sized.budget.fits() {
        refuse(
            "E0701",
            format!("its roles may need more connections than PostgreSQL has: {}", sized.budget.arithmetic()),
            format!(
                "Set workers.web to {} or less, or give it more with database.max_connections.",
                sized.budget.web_workers_that_fit()
            ),
        );
    }
    let series = environment.series;
    if !host.odoo_roots.contains_key(&series) {
        refuse(
            "E0702",
            format!("Odoo {series} is not on this machine"),
            format!("Run scripts/setup --series {series}."),
        );
    }
    if let Some(of) = observed.and_then(|it| it.series)
        && of != series
    {
        refuse(
            "E0703",
            format!(
                "its data is Odoo {of} and the estate file says {series}; this release moves no data between series"
            ),
            format!("Write series: \"{of}\" again, or declare a new environment."),
        );
    }
    match host.postgres_major {
        Some(major) if major >= series.profile().postgres_min => {}
        Some(major) => refuse(
            "E0704",
            format!("Odoo {series} needs PostgreSQL {} and this machine has {major}", series.profile().postgres_min),
            "Install a newer PostgreSQL.".into(),
        ),
        None => refuse("E0704", "PostgreSQL is not on this machine".into(), "Run scripts/setup.".into()),
    }
    if let (Some(of), Some(major)) = (observed.and_then(|it| it.data_major), host.postgres_major)
        && of != major
    {
        refuse(
            "E0709",
            format!("its data is of PostgreSQL {of} and this machine would start PostgreSQL {major} on it"),
            format!("Leave only the package postgresql-{of} here; this release moves no data between majors."),
        );
    }
    let needed = |program: &&String| environment.backup.is_some() || *program != BACKUP_PROGRAM;
    for program in host.missing.iter().filter(needed) {
        refuse("E0705", format!("{program} is not on this machine"), "Run scripts/setup.".into());
    }
    if host.foreign_ports.is_empty() {
        return refusals;
    }
    let ingress = &estate.platform.ingress;
    let ports = Role::ENVIRONMENT
        .into_iter()
        .flat_map(|role| [sized.slot.port(role), sized.slot.spare_port(role)])
        .flatten()
        .chain([ingress.http, ingress.https]);
    for port in ports {
        if let Some(holder) = host.foreign_ports.get(&port) {
            refuse(
                "E0706",
                format!("port {port} is in use by {holder}"),
                "End that program, or for the entrance choose other ports under platform.ingress.".into(),
            );
        }
    }
    refusals
}

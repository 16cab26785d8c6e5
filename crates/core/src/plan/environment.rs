//! The steps of one environment.

use std::collections::BTreeSet;

use super::{Action, EnvironmentPlan, Refusal, Risk, Step, workload_step};
use crate::check::CheckedEstate;
use crate::digest::Digest;
use crate::layout::Slot;
use crate::names::{EnvironmentName, HostName, ModuleName};
use crate::observe::{EnvironmentObservation, Observation, Observed};
use crate::role::Role;
use crate::roles::{self, route};
use crate::series::Series;
use crate::sizing::SizedEnvironment;
use crate::workload::{SecretName, SecretRef};

/// A certificate is renewed when less than this is left, seconds: a third of its 90 days.
const RENEW_BEFORE_S: i64 = 30 * 86_400;

/// Names a set of modules of a series, with or without demo data. Environments of one key share a
/// template.
pub fn template_key(series: Series, modules: &[ModuleName], demo: bool) -> String {
    let digest = Digest::of_json(&modules);
    format!("{series}-{}-{}", digest.short(), if demo { "demo" } else { "nodemo" })
}

/// Names the configuration of a database: who it is, where users and Odoo itself find it.
pub fn fingerprint(name: &EnvironmentName, base_url: &str, slot: Slot) -> Digest {
    Digest::of_json(&(1, name, base_url, slot))
}

/// The address users type.
pub fn base_url(estate: &CheckedEstate, host: &HostName) -> String {
    match estate.platform.ingress.https {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

pub(super) fn plan(
    estate: &CheckedEstate,
    sized: &SizedEnvironment<'_>,
    observed: Option<&EnvironmentObservation>,
    seen: &Observation,
    now: i64,
    templates: &mut BTreeSet<String>,
) -> Result<EnvironmentPlan, Vec<Refusal>> {
    let environment = sized.environment.as_ref();
    let name = &environment.name;
    let refusals = refusals(estate, sized, observed, seen);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut steps = Vec::new();
    if observed.is_none() {
        let action = Action::ReserveSlot { environment: name.clone(), slot: sized.slot, series: environment.series };
        steps.push(Step::quiet(action, "it does not exist"));
    }
    let missing = SecretName::ENVIRONMENT.into_iter().any(|secret| {
        !matches!(secret, SecretName::Certificate | SecretName::CertificateKey)
            && !seen.secrets.contains(&SecretRef { environment: Some(name.clone()), name: secret })
    });
    if missing {
        steps.push(Step::quiet(Action::EnsureSecrets { environment: name.clone() }, "secrets are missing"));
    }
    match observed.and_then(|it| it.certificate.as_ref()) {
        Some((host, until)) if host == environment.host.as_str() && until - now > RENEW_BEFORE_S => {}
        other => {
            let reason = match other {
                None => "it has no certificate",
                Some((host, _)) if host != environment.host.as_str() => "its host name changed",
                Some(_) => "its certificate ends soon",
            };
            let action = Action::EnsureCertificate { environment: name.clone(), host: environment.host.clone() };
            steps.push(Step::quiet(action, reason));
        }
    }
    let key = template_key(environment.series, &environment.modules, environment.demo);
    let data = observed.is_some_and(|it| it.data);
    if !data {
        if templates.insert(key.clone()) {
            let action = Action::BuildTemplate {
                key: key.clone(),
                series: environment.series,
                modules: environment.modules.to_vec(),
                demo: environment.demo,
            };
            steps.push(Step::quiet(action, "no template has these modules"));
        }
        steps.push(Step::quiet(Action::CopyTemplate { environment: name.clone(), key }, "it has no data"));
    }
    let seen_workload = |role| observed.and_then(|it| it.workloads.get(&role));
    let run = |role| workload_step(&roles::workload(sized, role), seen_workload(role));
    steps.extend(run(Role::Postgres));
    let database = observed.map(|it| &it.database);
    let wanted = fingerprint(name, &base_url(estate, &environment.host), sized.slot);
    let mut waits = Vec::new();
    let configured = match database {
        Some(Observed::Known(database)) => database.configured,
        // The data is there and its server cannot be asked: configuring is idempotent.
        Some(Observed::Unknown(_)) | None => None,
    };
    if configured != Some(wanted) {
        let action = Action::ConfigureDatabase { environment: name.clone(), fingerprint: wanted };
        let reason = if configured.is_some() { "its address changed" } else { "it was never completed" };
        steps.push(Step::quiet(action, reason));
    }
    if let Some(Observed::Known(database)) = database
        && data
        && database.configured.is_some()
    {
        let missing = environment.modules.iter().filter(|module| !database.modules.contains(*module));
        // What one of them brings along may be the part that was cut off.
        let modules: BTreeSet<&ModuleName> = missing.chain(&database.half).collect();
        let modules: Vec<ModuleName> = modules.into_iter().cloned().collect();
        let cut_off = !database.half.is_empty();
        if !modules.is_empty() {
            let action = Action::InstallModules { environment: name.clone(), modules };
            steps.push(Step {
                action,
                risk: Risk::Restart,
                interruption_s: 90,
                reason: if cut_off { "an installation was cut off" } else { "declared and not installed" }.into(),
            });
        }
    }
    steps.extend(run(Role::Pooler));
    let route = route::route(sized);
    let live = observed.and_then(|it| it.route.known()).and_then(|digest| *digest);
    if live != Some(route.digest) {
        let action = Action::EnsureRoute { environment: name.clone(), digest: route.digest };
        let reason = if live.is_some() { "its route differs" } else { "the proxy has no route to it" };
        steps.push(Step::quiet(action, reason));
    }
    for role in Role::ODOO {
        steps.extend(run(role));
    }
    if let Some(peak) = environment.frozen_by(&estate.peaks, now)
        && data
    {
        steps.retain(|step| {
            let kept = step.risk < Risk::Restart;
            if !kept {
                waits.push(format!("{}: waits for the end of the freeze of peak {}", step.action.title(), peak.name));
            }
            kept
        });
    }
    if !steps.is_empty() {
        steps.push(Step::quiet(Action::Verify { environment: name.clone() }, "something changed"));
    }
    Ok(EnvironmentPlan { environment: Some(name.clone()), steps, waits })
}

fn refusals(
    estate: &CheckedEstate,
    sized: &SizedEnvironment<'_>,
    observed: Option<&EnvironmentObservation>,
    seen: &Observation,
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
    if !seen.host.odoo_roots.contains_key(&series) {
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
    match seen.host.postgres_major {
        Some(major) if major >= series.profile().postgres_min => {}
        Some(major) => refuse(
            "E0704",
            format!("Odoo {series} needs PostgreSQL {} and this machine has {major}", series.profile().postgres_min),
            "Install a newer PostgreSQL.".into(),
        ),
        None => refuse("E0704", "PostgreSQL is not on this machine".into(), "Run scripts/setup.".into()),
    }
    for program in &seen.host.missing {
        refuse("E0705", format!("{program} is not on this machine"), "Run scripts/setup.".into());
    }
    let ingress = &estate.platform.ingress;
    let ports = Role::ENVIRONMENT
        .into_iter()
        .flat_map(|role| [sized.slot.port(role), sized.slot.spare_port(role)])
        .flatten()
        .chain([ingress.http, ingress.https]);
    for port in ports {
        if let Some(holder) = seen.host.foreign_ports.get(&port) {
            refuse(
                "E0706",
                format!("port {port} is in use by {holder}"),
                "End that program, or for the entrance choose other ports under platform.ingress.".into(),
            );
        }
    }
    refusals
}

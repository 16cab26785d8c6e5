//! Which environment is loaded, whether it may be, and how it is reached: all from this machine's own state.
//!
//! Rule: a rehearsal writes business data, so production is loaded only if its file allows it *and* the command
//! says so; and it goes to the estate's own entrance, never to where a name service points.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use secrecy::ExposeSecret as _;
use springtide_core::check::{CheckedEnvironment, RehearsalRule, Stage};
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{EnvironmentObservation, WorkloadState};
use springtide_core::plan::environment::base_url;
use springtide_core::role::Role;
use springtide_core::workload::{SecretName, SecretRef, Volume};
use springtide_rehearse::odoo::{PostgresSocket, Target};
use springtide_server::Estate;

use crate::args::Cli;
use crate::context::{load, no_such, now, observe, open_there};
use crate::failure::{Failure, NOTHING, code};

/// What a command of the rig works on.
pub struct Subject {
    pub estate: Estate,
    pub name: EnvironmentName,
    pub seen: EnvironmentObservation,
    pub target: Target,
}

/// Refuses what may not be loaded.
pub fn permit(environment: &CheckedEnvironment, i_know: bool) -> Result<(), Failure> {
    let name = &environment.name;
    let refuse = |message, next: &str| Err(Failure::new(code::DENIED, "E0975", message, NOTHING, next));
    if environment.rehearsal == RehearsalRule::Refused {
        let message = format!("{name} may not be loaded: its rehearsal rule in the estate file is `refused`");
        return refuse(message, "rehearse on another environment, or write `rehearsal: allowed` there knowingly");
    }
    if environment.stage == Stage::Production && !i_know {
        let message = format!("{name} is production: a rehearsal writes orders, transfers and users into it");
        return refuse(message, "rehearse on another environment, or say --i-know");
    }
    Ok(())
}

/// The environment with all that is needed to reach it; refuses one that is not up.
pub async fn subject(cli: &Cli, name: &EnvironmentName) -> Result<Subject, Failure> {
    let checked = load(cli)?;
    let Some(declared) = checked.environments.iter().find(|it| it.name == *name) else {
        return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
    };
    let Some(estate) = open_there(cli)? else { return Err(absent(name)) };
    let mut seen = observe(&estate, now()).await?;
    let Some(seen) = seen.environments.remove(name) else { return Err(absent(name)) };
    ready(name, &seen)?;
    let secret = |environment: Option<&EnvironmentName>, name| {
        estate.secrets.get(&SecretRef { environment: environment.cloned(), name })
    };
    let authority = secret(None, SecretName::AuthorityCertificate)?;
    let database = name.database();
    let target = Target {
        environment: name.clone(),
        series: declared.series,
        url: base_url(&checked, &declared.host),
        address: SocketAddr::new(reachable(checked.platform.ingress.bind), checked.platform.ingress.https),
        authority_pem: Some(authority.expose_secret().to_owned()),
        database: database.clone(),
        admin: "admin".to_owned(),
        password: secret(Some(name), SecretName::OdooAdmin)?,
        postgres: seen.slot.port(Role::Postgres).map(|port| PostgresSocket {
            folder: estate.driver.volume(Some(name), Volume::PostgresSocket),
            port,
            user: "postgres".to_owned(),
        }),
    };
    let name = name.clone();
    Ok(Subject { estate, name, seen, target })
}

/// The roles that a rehearsal needs, and what is wrong with those that are not there.
fn ready(name: &EnvironmentName, seen: &EnvironmentObservation) -> Result<(), Failure> {
    let missing = Role::ENVIRONMENT
        .iter()
        .find(|role| seen.workloads.get(role).is_none_or(|it| it.state != WorkloadState::Ready));
    let Some(role) = missing else { return Ok(()) };
    let why = match seen.workloads.get(role) {
        Some(it) if it.why.is_empty() => String::new(),
        Some(it) => format!(" ({})", it.why),
        None => " (it does not run)".to_owned(),
    };
    let message = format!("{name} is not ready: {name}/{role}{why}");
    Err(Failure::new(code::PENDING, "E0976", message, NOTHING, format!("springtide status {name}")))
}

fn absent(name: &EnvironmentName) -> Failure {
    let message = format!("{name} is declared and does not exist yet");
    Failure::new(code::PENDING, "E0903", message, NOTHING, "springtide apply")
}

/// The address under which this machine reaches what it listens on.
fn reachable(bind: IpAddr) -> IpAddr {
    match bind {
        IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

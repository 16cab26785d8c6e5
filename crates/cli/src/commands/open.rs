//! `springtide open`: where an environment is and how to log in.

use secrecy::ExposeSecret as _;
use serde_json::json;
use springtide_core::check::CheckedEstate;
use springtide_core::names::EnvironmentName;
use springtide_core::plan::environment::base_url;
use springtide_core::workload::{SecretName, SecretRef};
use springtide_server::Estate;
use springtide_server::http::credentials::make_login_code;
use springtide_server::locks::{self, ServerFile};

use crate::args::Cli;
use crate::context::{load, no_such, now, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::printer;

/// `springtide open`
pub async fn open(cli: &Cli, environment: &EnvironmentName) -> Result<u8, Failure> {
    let checked = load(cli)?;
    if !checked.environments.iter().any(|it| &it.name == environment) {
        return Err(no_such(environment.as_str(), checked.environments.iter().map(|it| &it.name)));
    }
    let Some(estate) = open_there(cli)? else { return Err(not_there(environment)) };
    login(cli, &estate, &checked, environment)?;
    Ok(0)
}

/// `springtide open --console`
pub fn open_console(cli: &Cli) -> Result<u8, Failure> {
    let Some(estate) = open_there(cli)? else { return Err(no_server()) };
    let server = locks::server(&estate.state).filter(|server| !server.listen.is_empty()).ok_or_else(no_server)?;
    let console = console(&server);
    // As with first passwords: people are shown what lets them in, programs are not.
    if cli.json {
        printer::json(&json!({ "version": 1, "console": console }));
        return Ok(0);
    }
    let login = login_link(&estate, &server)?;
    printer::data(&format!("the console is at {console}\n  log in, once and within ten minutes: {login}\n"));
    Ok(0)
}

/// A link that logs in to the console of `server`, once and within ten minutes.
pub fn login_link(estate: &Estate, server: &ServerFile) -> Result<String, Failure> {
    let code = make_login_code(&estate.store, now())?;
    Ok(format!("{}/login?code={code}", console(server)))
}

/// Where people reach the console of `server`: over TLS if it offers that. Of a server that listens on all
/// addresses this machine's name is told.
fn console(server: &ServerFile) -> String {
    let Some(tls) = &server.tls else { return format!("http://{}", server.listen) };
    match tls.parse::<std::net::SocketAddr>() {
        Ok(at) if at.ip().is_unspecified() => {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let name = if name.trim().is_empty() { "localhost" } else { name.trim() };
            format!("https://{name}:{}", at.port())
        }
        _ => format!("https://{tls}"),
    }
}

fn no_server() -> Failure {
    let message = "no server runs on this state folder";
    Failure::new(code::PENDING, "E0942", message, NOTHING, "springtide serve, then the same again")
}

fn not_there(name: &EnvironmentName) -> Failure {
    let message = format!("{name} is declared and does not exist yet");
    Failure::new(code::PENDING, "E0903", message, NOTHING, "springtide apply")
}

/// Says where an environment is. People are shown the first password, programs are not.
pub fn login(cli: &Cli, estate: &Estate, checked: &CheckedEstate, name: &EnvironmentName) -> Result<(), Failure> {
    let Some(environment) = checked.environments.iter().find(|it| &it.name == name) else {
        return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
    };
    let url = base_url(checked, &environment.host);
    let secret = SecretRef { environment: Some(name.clone()), name: SecretName::OdooAdmin };
    if !estate.secrets.exists(&secret) {
        return Err(not_there(name));
    }
    if cli.json {
        printer::json(&json!({ "version": 1, "environment": name, "url": url, "user": "admin" }));
        return Ok(());
    }
    let password = estate.secrets.get(&secret)?;
    printer::data(&format!(
        "{name} is at {url}\n  user admin, first password {}\n  Change it after the first login. Your browser will ask about the estate's own certificate authority.\n",
        password.expose_secret()
    ));
    Ok(())
}

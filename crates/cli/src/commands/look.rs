//! Verbs that only look.

use std::io::{BufRead as _, BufReader};

use secrecy::ExposeSecret as _;
use springtide_core::check::CheckedEstate;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{WorkloadObservation, WorkloadState};
use springtide_core::plan::environment::base_url;
use springtide_core::role::Role;
use springtide_core::sizing::size;
use springtide_core::workload::{SecretName, SecretRef, WorkloadId};
use springtide_driver::Driver as _;
use springtide_server::Estate;

use crate::args::Cli;
use crate::context::{driver, load, now, open as open_state};
use crate::failure::{Failure, code};
use crate::printer;

/// `springtide status`
pub async fn status(cli: &Cli, only: Option<&EnvironmentName>) -> Result<u8, Failure> {
    let estate = open_state(cli)?;
    let seen = springtide_server::observe::observe(&estate, now()).await?;
    let mut rows = Vec::new();
    let mut healthy = true;
    let mut row = |name: &str, role: Role, it: Option<&WorkloadObservation>| {
        let ready = it.is_some_and(|it| it.state == WorkloadState::Ready);
        healthy &= ready;
        let state = it.map_or("absent".to_owned(), |it| format!("{:?}", it.state).to_lowercase());
        let memory = it.and_then(|it| it.resident_bytes).map_or("-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        let up = it.and_then(|it| it.up_s).map_or("-".to_owned(), |seconds| format!("{seconds} s"));
        let pid = it.and_then(|it| it.pid).map_or("-".to_owned(), |pid| pid.to_string());
        let why = it.map_or(String::new(), |it| if ready { String::new() } else { it.why.clone() });
        rows.push(vec![name.to_owned(), role.to_string(), state, pid, up, memory, why]);
    };
    for role in Role::ESTATE {
        if only.is_none() {
            row("estate", role, seen.estate.get(&role));
        }
    }
    for (name, it) in seen.environments.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        for role in Role::ENVIRONMENT {
            row(name.as_str(), role, it.workloads.get(&role));
        }
    }
    if cli.json {
        printer::data(&format!("{}\n", serde_json::json!({ "version": 1, "healthy": healthy, "observation": seen })));
    } else {
        printer::data(&printer::table(&["environment", "role", "state", "pid", "up", "memory", "why"], rows));
    }
    Ok(if healthy { 0 } else { code::PENDING })
}

/// `springtide explain`
pub async fn explain(cli: &Cli, thing: &str) -> Result<u8, Failure> {
    let known = springtide_core::check::explanation(thing).or_else(|| springtide_core::plan::explanation(thing));
    if let Some(known) = known {
        if cli.json {
            let answer =
                serde_json::json!({ "version": 1, "code": known.code, "title": known.title, "text": known.text });
            printer::data(&format!("{answer}\n"));
        } else {
            printer::data(&format!("{}  {}\n\n{}\n", known.code, known.title, known.text));
        }
        return Ok(0);
    }
    let name = thing.split('/').next().unwrap_or(thing);
    let checked = load(cli)?;
    let Some(environment) = checked.environments.iter().find(|it| it.name.as_str() == name) else {
        let message = format!("{thing:?} is no error code and no environment of {}", cli.file.display());
        return Err(Failure::new(code::INVALID, "E0903", message, "Nothing was changed.", "springtide status"));
    };
    let host = driver(cli)?.observe().await?.host;
    let slot = springtide_core::layout::Slot(1);
    let sized = size(environment, &checked.peaks, slot, &host, checked.environments.len(), now());
    let workers = &sized.workers;
    if cli.json {
        let answer = serde_json::json!({ "version": 1, "environment": environment.name,
            "web": { "workers": workers.web, "rule": workers.web_rule.to_string() },
            "cron": { "processes": workers.cron, "rule": workers.cron_rule.to_string() },
            "jobs": { "workers": workers.jobs, "rule": workers.jobs_rule.to_string() },
            "connections": { "fits": sized.budget.fits(), "sum": sized.budget.arithmetic() } });
        printer::data(&format!("{answer}\n"));
        return Ok(0);
    }
    let budget = if sized.budget.fits() { "fits" } else { "DOES NOT FIT" };
    printer::data(&format!(
        "{name} on {} cores and {} MiB of this machine\n  web   {:>3} workers    {}\n  cron  {:>3} processes  {}\n  jobs  {:>3} workers    {}\n\
         \nconnection budget (rule connection-budget) {budget}\n  {}\n",
        sized.cpus,
        sized.memory_bytes >> 20,
        workers.web,
        workers.web_rule,
        workers.cron,
        workers.cron_rule,
        workers.jobs,
        workers.jobs_rule,
        sized.budget.arithmetic(),
    ));
    Ok(0)
}

/// `springtide logs`
pub fn logs(cli: &Cli, workload: &WorkloadId, lines: usize) -> Result<u8, Failure> {
    let files = driver(cli)?.logs(workload);
    let Some(newest) = files.first() else {
        let message = format!("{workload} has no log here");
        return Err(Failure::new(code::INVALID, "E0904", message, "Nothing was changed.", "springtide status"));
    };
    let mut kept = std::collections::VecDeque::new();
    for line in BufReader::new(std::fs::File::open(newest)?).split(b'\n') {
        kept.push_back(String::from_utf8_lossy(&line?).into_owned());
        if kept.len() > lines {
            kept.pop_front();
        }
    }
    for line in kept {
        match cli.json {
            true => {
                printer::data(&format!("{}\n", serde_json::json!({ "version": 1, "workload": workload, "line": line })))
            }
            false => printer::data(&format!("{line}\n")),
        }
    }
    Ok(0)
}

/// `springtide open`
pub async fn open(cli: &Cli, environment: &EnvironmentName) -> Result<u8, Failure> {
    let estate = open_state(cli)?;
    let checked = load(cli)?;
    login(cli, &estate, &checked, environment)?;
    Ok(0)
}

/// Says where an environment is. The first password is shown to a person at a terminal-like call
/// only; JSON names the file instead.
pub fn login(cli: &Cli, estate: &Estate, checked: &CheckedEstate, name: &EnvironmentName) -> Result<(), Failure> {
    let Some(environment) = checked.environments.iter().find(|it| &it.name == name) else {
        let message = format!("{name} is not in {}", cli.file.display());
        return Err(Failure::new(code::INVALID, "E0903", message, "Nothing was changed.", "springtide status"));
    };
    let url = base_url(checked, &environment.host);
    let password = estate.secrets.get(&SecretRef { environment: Some(name.clone()), name: SecretName::OdooAdmin })?;
    if cli.json {
        printer::data(&format!(
            "{}\n",
            serde_json::json!({ "version": 1, "environment": name, "url": url, "user": "admin" })
        ));
        return Ok(());
    }
    printer::data(&format!(
        "{name} is at {url}\n  user admin, first password {}\n  Change it after the first login. Your browser will ask about the estate's own certificate authority.\n",
        password.expose_secret()
    ));
    Ok(())
}

/// `springtide history`
pub fn history(cli: &Cli) -> Result<u8, Failure> {
    let operations = open_state(cli)?.store.operations(50)?;
    if cli.json {
        printer::data(&format!("{}\n", serde_json::json!({ "version": 1, "operations": operations })));
        return Ok(0);
    }
    let time =
        |second: i64| jiff::Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string());
    let rows = operations
        .into_iter()
        .map(|it| {
            let outcome = it.outcome.unwrap_or_else(|| "cut off or running".into());
            vec![it.id.to_string(), it.plan, time(it.began), format!("{}/{}", it.steps.1, it.steps.0), outcome]
        })
        .collect();
    printer::data(&printer::table(&["operation", "plan", "began", "steps", "outcome"], rows));
    Ok(0)
}

//! `springtide explain`: codes, steps, roles and environments in words.

use serde_json::json;
use springtide_core::check::{CheckedEstate, EXPLANATIONS as OF_CHECK, Explanation};
use springtide_core::names::EnvironmentName;
use springtide_core::plan::{COMMANDS, EXPLANATIONS as OF_PLAN};
use springtide_core::role::Role;
use springtide_core::sizing::{SizedEnvironment, size};
use springtide_core::spec::suggest::nearest;
use springtide_core::workload::WorkloadId;
use springtide_driver::Driver as _;

use crate::args::Cli;
use crate::context::{driver, load, load_quietly, now, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, wrap};

/// Steps by the word that plans have for them, and what they do.
const STEPS: [(&str, &str); 22] = [
    (
        "ensure-authority",
        "Makes the estate's certificate authority: a key and a certificate of ten years. Browsers ask about it until it is imported.",
    ),
    (
        "reserve-slot",
        "Gives the environment its slot, the small number its ports (21000 + 10 x slot) and Unix ids follow from. It keeps it until it is destroyed.",
    ),
    (
        "ensure-secrets",
        "Generates the passwords and keys of the environment that do not exist yet. Existing ones stay.",
    ),
    (
        "ensure-certificate",
        "Issues a certificate of 90 days for the host name by the estate's authority. It is renewed when fewer than 30 days are left.",
    ),
    (
        "build-template",
        "Installs the modules once into a PostgreSQL data directory that new environments are copied from. The longest step: minutes, once per series and set of modules.",
    ),
    (
        "copy-template",
        "Copies a template into the environment's own data directory; blocks are cloned where the file system can.",
    ),
    (
        "restore-data",
        "Fills a new environment's data directory from a backup set of another environment and replays its write-ahead log up to the target. The other one is not touched.",
    ),
    (
        "ensure-repository",
        "Prepares the places of the environment's backups and waits until PostgreSQL's write-ahead log has arrived in each. If it does not arrive, the database serves on and the log waits on the machine.",
    ),
    (
        "ensure-workload",
        "Makes a role run with exactly the planned configuration and waits until its probe says ready. If it runs so already, nothing happens.",
    ),
    (
        "configure-database",
        "Sets roles, rights, table settings, the database's own identity and addresses. Repeating it changes nothing.",
    ),
    (
        "reset-settings",
        "Takes back server settings that somebody changed with ALTER SYSTEM, over what the files say, and has the server read its files. One that only a restart takes over is as in the files from the next one on.",
    ),
    ("install-modules", "Stops Odoo's roles, installs missing modules into the database and starts the roles again."),
    (
        "ensure-route",
        "Writes the route for the proxy and waits until the proxy's API shows it. A route that the proxy does not take is withdrawn.",
    ),
    ("verify", "Asks for the login page through the entrance over HTTPS, as a user would."),
    (
        "remove-route",
        "Takes the environment's route away and waits until the proxy's API shows it no more. The first step of destroying: from here on nobody works in it.",
    ),
    ("stop-workload", "Stops a role by its own rule and keeps it, so that it can run again."),
    (
        "final-backup",
        "Dumps database and files into a new folder and reads both back. If that fails, nothing is destroyed.",
    ),
    (
        "record-destruction",
        "Writes down that the environment is being destroyed and why. From here on it can only be finished.",
    ),
    ("remove-workload", "Stops a role and removes its configuration and logs."),
    ("remove-volumes", "Removes the environment's database and files for good. Its backups stay."),
    ("remove-secrets", "Removes the environment's passwords and keys, but for those that open its backups."),
    ("forget", "Removes the environment's record, so that its slot is free for another."),
];

fn of_role(role: Role) -> &'static str {
    match role {
        Role::Postgres => {
            "The PostgreSQL server of an environment, its own. When it stops, Odoo answers with a notice until it is back."
        }
        Role::Pooler => {
            "PgBouncer between Odoo and PostgreSQL: the application database by transaction, `postgres` by session. Restarting it takes about 3 s."
        }
        Role::Sessions => {
            "Redis with the sessions of logged-in people, encrypted, on a Unix socket. They survive a restart of Odoo and of Redis itself. While it is away Odoo runs on and asks people to log in; `springtide session` lists and ends sessions."
        }
        Role::Web => {
            "Odoo's prefork workers that answer users, one request per worker at a time. Their number follows from `users`, or `workers.web` sets it."
        }
        Role::Live => {
            "Odoo's event server: notifications and chat, `/longpolling` up to series 15 and `/websocket` from 16."
        }
        Role::Cron => "Odoo's scheduled actions, and nothing else; no other role runs them. It serves no users.",
        Role::Jobs => {
            "Odoo workers that only serve `queue_job`, with its runner, so that long work does not hold up users."
        }
        Role::Notice => {
            "The page server of the estate: names an environment while it starts or its database is away (503)."
        }
        Role::Proxy => "Traefik, the only entrance for users: TLS, routes, and no way to `/web/database`.",
    }
}

/// `springtide explain`
pub async fn explain(cli: &Cli, thing: &str) -> Result<u8, Failure> {
    if let Some(one) = codes().find(|one| one.code.eq_ignore_ascii_case(thing)) {
        return Ok(code_words(cli, one));
    }
    let checked = load_quietly(cli);
    let declared = |name: &str| checked.as_ref()?.environments.iter().find(|it| it.name.as_str() == name);
    if let Some((_, text)) = STEPS.iter().find(|(word, _)| *word == thing) {
        return Ok(words(cli, "step", thing, text));
    }
    if let (None, Some(role)) = (declared(thing), Role::from_word(thing)) {
        return Ok(words(cli, "role", thing, of_role(role)));
    }
    let (name, role) = match thing.parse::<WorkloadId>() {
        Ok(WorkloadId { environment: Some(name), role }) => (name.to_string(), Some(role)),
        _ => (thing.to_owned(), None),
    };
    match (&checked, declared(&name)) {
        (Some(estate), Some(environment)) => environment_words(cli, estate, &environment.name, role).await,
        // A file that is there and broken may be why the name is not known.
        (None, _) if cli.file.exists() => Err(load(cli).err().unwrap_or_else(|| unknown(cli, thing, None))),
        _ => Err(unknown(cli, thing, checked.as_ref())),
    }
}

fn codes() -> impl Iterator<Item = &'static Explanation> {
    OF_CHECK.iter().chain(OF_PLAN).chain(COMMANDS)
}

/// Of codes the number says what is near, not the spelling.
fn near_code(thing: &str) -> Option<&'static str> {
    let number = |code: &str| code.get(1..).filter(|it| it.len() == 4)?.parse::<i32>().ok();
    let (family, wanted) = (thing.get(..1)?.to_ascii_uppercase(), number(thing)?);
    codes()
        .filter(|one| one.code.starts_with(&family))
        .min_by_key(|one| number(one.code).unwrap_or_default().abs_diff(wanted))
        .map(|one| one.code)
}

fn code_words(cli: &Cli, known: &Explanation) -> u8 {
    let Explanation { code, title, text } = known;
    if cli.json {
        printer::json(&json!({ "version": 1, "kind": "code", "name": code, "title": title, "text": text }));
    } else {
        printer::data(&format!("{code}  {title}\n\n{}\n", wrap(text, printer::width().or(Some(100)), 0)));
    }
    0
}

fn words(cli: &Cli, kind: &str, name: &str, text: &str) -> u8 {
    if cli.json {
        printer::json(&json!({ "version": 1, "kind": kind, "name": name, "title": null, "text": text }));
    } else {
        printer::data(&format!("{kind} {name}\n\n{}\n", wrap(text, printer::width().or(Some(100)), 0)));
    }
    0
}

fn unknown(cli: &Cli, thing: &str, checked: Option<&CheckedEstate>) -> Failure {
    let mut known: Vec<String> = STEPS.iter().map(|(word, _)| (*word).to_owned()).collect();
    known.extend(Role::ENVIRONMENT.into_iter().chain(Role::ESTATE).map(|role| role.to_string()));
    known.extend(codes().map(|one| one.code.to_owned()));
    known.extend(checked.into_iter().flat_map(|it| &it.environments).map(|it| it.name.to_string()));
    let near = near_code(thing).or_else(|| nearest(thing, known.iter().map(String::as_str)));
    let mut message = format!("{thing:?} is no code, step or role, and no environment of {}", cli.file.display());
    if checked.is_none() {
        message.push_str(" (which does not exist)");
    }
    if let Some(near) = near {
        message.push_str(&format!("; did you mean {near}?"));
    }
    let next = near.map_or_else(|| "springtide status".to_owned(), |near| format!("springtide explain {near}"));
    Failure::new(code::INVALID, "E0903", message, NOTHING, next)
}

async fn environment_words(
    cli: &Cli,
    checked: &CheckedEstate,
    name: &EnvironmentName,
    role: Option<Role>,
) -> Result<u8, Failure> {
    let recorded = match nix::unistd::geteuid().is_root() {
        true => open_there(cli)?.map(|estate| estate.store.environments()).transpose()?.unwrap_or_default(),
        false => Vec::new(),
    };
    let existing = recorded.iter().find(|it| &it.name == name).map(|it| it.slot);
    // The first free one, which is what a plan would give it.
    let free = (1..).map(springtide_core::layout::Slot).find(|slot| recorded.iter().all(|it| it.slot != *slot));
    let slot = existing.or(free).unwrap_or(springtide_core::layout::Slot(1));
    let host = driver(cli)?.observe().await?.host;
    let Some(environment) = checked.environments.iter().find(|it| &it.name == name) else {
        return Err(unknown(cli, name.as_str(), Some(checked)));
    };
    let sized = size(environment, &checked.peaks, slot, &host, checked.environments.len(), now(), 0);
    let SizedEnvironment { workers, budget, .. } = &sized;
    if cli.json {
        let ports: serde_json::Map<_, _> = Role::ENVIRONMENT
            .into_iter()
            .filter_map(|role| Some((role.to_string(), slot.port(role)?.into())))
            .collect();
        printer::json(&json!({
            "version": 1, "kind": "environment", "name": name,
            "slot": { "number": slot, "reserved": existing.is_some() }, "ports": ports,
            "cpus": sized.cpus, "memory_bytes": sized.memory_bytes,
            "web": { "workers": workers.web, "rule": workers.web_rule.to_string() },
            "cron": { "processes": workers.cron, "rule": workers.cron_rule.to_string() },
            "jobs": { "workers": workers.jobs, "rule": workers.jobs_rule.to_string() },
            "connections": { "fits": budget.fits(), "sum": budget.arithmetic() },
        }));
        return Ok(0);
    }
    if let Some(role) = role {
        let user = slot.user(role);
        let port = slot.port(role).map_or(String::new(), |port| format!(", port {port}"));
        let text = format!("{name}/{role}: user {}, group {}{port}\n\n{}\n", user.uid, user.gid, of_role(role));
        printer::data(&wrap(&text, printer::width().or(Some(100)), 0));
        return Ok(0);
    }
    let reserved = if existing.is_some() { "" } else { " (to be reserved)" };
    let fits = if budget.fits() { "fits" } else { "DOES NOT FIT" };
    let text = format!(
        "{name} on {} cores and {} MiB of this machine, slot {}{reserved}\n  web   {:>3} workers    {}\n  cron  {:>3} processes  {}\n  jobs  {:>3} workers    {}\n\
         \nconnection budget (rule connection-budget) {fits}\n",
        sized.cpus,
        sized.memory_bytes >> 20,
        slot.0,
        workers.web,
        workers.web_rule,
        workers.cron,
        workers.cron_rule,
        workers.jobs,
        workers.jobs_rule,
    );
    let sum = wrap(&format!("  {}\n", budget.arithmetic()), printer::width(), 4);
    printer::data(&format!("{}{sum}", wrap(&text, printer::width(), 23)));
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_core::plan::Action;

    #[test]
    fn every_kind_of_step_is_explained() {
        let schema = serde_json::to_value(Action::EnsureAuthority).unwrap();
        assert_eq!(schema["do"], STEPS[0].0);
        // serde itself lists the kinds when it meets an unknown one.
        let error = serde_json::from_str::<Action>("{\"do\":\"?\"}").unwrap_err().to_string();
        let known: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        let explained: Vec<_> = STEPS.iter().map(|(word, _)| *word).collect();
        assert_eq!(known, explained, "{error}");
    }
}

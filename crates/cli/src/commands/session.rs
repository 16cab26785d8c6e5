//! `springtide session`: who is logged in how often, and out with one of them.

use std::collections::BTreeMap;

use serde_json::json;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_core::workload::Volume;
use springtide_data::postgres::{Admin, AdminError, users};
use springtide_server::Estate;
use springtide_server::sessions::{Sessions, SessionsError};

use crate::args::{Cli, SessionAction};
use crate::context::{no_such, now, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::printer;

/// `springtide session`
pub async fn session(
    cli: &Cli,
    action: SessionAction,
    name: &EnvironmentName,
    user: Option<&str>,
    dry_run: bool,
) -> Result<u8, Failure> {
    let Some(estate) = open_there(cli)? else { return Err(no_such(name.as_str(), [])) };
    let recorded = estate.store.environments()?;
    let Some(slot) = recorded.iter().find(|it| it.name == *name).map(|it| it.slot) else {
        return Err(no_such(name.as_str(), recorded.iter().map(|it| &it.name)));
    };
    let mut sessions = Sessions::connect(&estate, name).await.map_err(|error| away(name, error))?;
    let port = slot.port(Role::Postgres).unwrap_or_default();
    let logins = logins(&estate, name, port).await;
    match (action, user) {
        (SessionAction::List, _) | (_, None) => {
            let counts = sessions.counts().await.map_err(|error| away(name, error))?;
            list(cli, name, &counts, &logins.unwrap_or_default());
        }
        (SessionAction::Revoke, Some(word)) => {
            let id = number(name, word, logins)?;
            let count = if dry_run {
                sessions.counts().await.map_err(|error| away(name, error))?.remove(&id).unwrap_or(0)
            } else {
                // Recorded without the user, like the arguments of exec.
                let operation =
                    estate.store.begin_command(&format!("session revoke {name}"), "springtide session", now())?;
                let ended = sessions.revoke(id).await;
                let outcome = ended.as_ref().map_or("failed".into(), |count| format!("{count} ended"));
                estate.store.end_command(operation, &outcome, now())?;
                ended.map_err(|error| away(name, error))?
            };
            if cli.json {
                let ended = if dry_run { 0 } else { count };
                printer::json(
                    &json!({ "version": 1, "environment": name, "user": id, "sessions": count, "ended": ended }),
                );
            } else {
                let (verb, of) = (if dry_run { "would be ended" } else { "ended" }, printer::counted(count, "session"));
                printer::data(&format!("{of} of user {id} in {name} {verb}\n"));
            }
        }
    }
    Ok(0)
}

fn list(cli: &Cli, name: &EnvironmentName, counts: &BTreeMap<i64, usize>, logins: &BTreeMap<i64, String>) {
    if cli.json {
        let users: Vec<_> = counts
            .iter()
            .map(|(id, count)| json!({ "user": id, "login": logins.get(id), "sessions": count }))
            .collect();
        printer::json(&json!({ "version": 1, "environment": name, "users": users }));
        return;
    }
    if counts.is_empty() {
        printer::data(&format!("nobody is logged in to {name}\n"));
        return;
    }
    let rows = counts.iter().map(|(id, count)| {
        let login = logins.get(id).map_or("", String::as_str);
        vec![printer::field(id.to_string()), printer::field(login), printer::field(count.to_string())]
    });
    printer::data(&printer::table(&["user", "login", "sessions"], rows.collect()));
}

/// Logins by number, if the database can be asked.
async fn logins(estate: &Estate, name: &EnvironmentName, port: u16) -> Result<BTreeMap<i64, String>, AdminError> {
    let folder = estate.driver.volume(Some(name), Volume::PostgresSocket);
    users(&Admin::connect(&folder, port, "postgres").await?, name).await
}

/// The number of a user. Without a database a number is taken as it is: ending sessions must not wait
/// for it.
fn number(
    name: &EnvironmentName,
    word: &str,
    logins: Result<BTreeMap<i64, String>, AdminError>,
) -> Result<i64, Failure> {
    let number = word.parse::<i64>().ok();
    match logins {
        Ok(logins) => {
            let by_login = logins.iter().find(|(_, login)| *login == word).map(|(id, _)| *id);
            by_login.or(number.filter(|id| logins.contains_key(id))).ok_or_else(|| {
                let message = format!("{name} has no user {word:?}");
                Failure::new(code::INVALID, "E0951", message, NOTHING, format!("springtide session list {name}"))
            })
        }
        Err(error) => number.ok_or_else(|| {
            let message = format!("the number of user {word:?} cannot be looked up: {error}");
            let next = "springtide status, or name the user by number";
            Failure::new(code::UNREACHABLE, "E0950", message, NOTHING, next)
        }),
    }
}

fn away(name: &EnvironmentName, error: SessionsError) -> Failure {
    match error {
        SessionsError::Secret(error) => error.into(),
        away @ SessionsError::Away(..) => {
            let next = format!("springtide logs {name}/sessions, or springtide apply");
            Failure::new(code::UNREACHABLE, "E0950", away.to_string(), NOTHING, next)
        }
    }
}

//! Boot and login: Odoo on the copy, without network. One task does both, since who logs in must be in the same network
//! as who serves. The user is one of the copy's own under another login, with a password that nobody keeps.

use std::fs;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use springtide_core::proof::Stage;
use springtide_driver::{Driver, Generation};

use super::Spec;
use super::look::{Log, Look};
use crate::aside::{Aside, AsideError, HTTP_PORT, how, io_error, script};
use crate::hash::{odoo_hash, random, readable_password};
use crate::neutralise::Catalog;
use crate::odoo_log;
use crate::postgres::Admin;

/// Seconds for Odoo to load its modules: for the start that stops, for a look at its tables, and to serve.
const BOOT_SECONDS: u32 = 900;
/// Seconds for one page; the first compiles what pages need.
const PAGE_SECONDS: u32 = 180;
/// What the script's last line begins with.
const MARK: &str = "springtide-proof: ";

/// What the script says.
#[derive(Debug, Default, Deserialize)]
struct Told {
    boot: Option<Part>,
    login: Option<Part>,
}

#[derive(Debug, Default, Deserialize)]
struct Part {
    #[serde(default)]
    found: Vec<String>,
    missed: Option<String>,
    page: Option<String>,
    #[serde(default)]
    ms: u64,
}

/// Who logs in.
struct User {
    id: i64,
    login: String,
    password: SecretString,
}

pub(super) async fn boot(driver: &dyn Driver, generation: Generation, spec: &Spec, aside: &Aside, log: &Log<'_>) {
    let stages: Vec<Stage> = [Stage::Boot, Stage::Login].into_iter().filter(|stage| log.wants(*stage)).collect();
    let [first, ..] = stages[..] else { return };
    log.begins(first);
    match prepared(aside).await {
        Err(look) => {
            log.told(first, look, 0);
            log.rest("Odoo was not started");
        }
        Ok((owner, user)) => match run(driver, generation, spec, aside, (&owner, &user, &stages)).await {
            Err(look) => {
                log.told(first, look, 0);
                log.rest("Odoo was not started");
            }
            Ok(told) => {
                for (stage, part) in [(Stage::Boot, told.boot), (Stage::Login, told.login)] {
                    if let Some(part) = part.filter(|_| log.wants(stage)) {
                        let mut look = Look::found(part.found);
                        if let Some(why) = part.missed {
                            look.miss(why);
                        }
                        if let Some(page) = part.page {
                            look.note(format!("came to {page}"));
                        }
                        log.told(stage, look, part.ms);
                    }
                }
                log.rest("Odoo does not start");
            }
        },
    }
}

/// Looks at the modules and prepares the user.
async fn prepared(aside: &Aside) -> Result<(String, User), Look> {
    let trouble = |what: &str, error: AsideError| {
        let mut look = Look::default();
        match error {
            AsideError::Admin(error) => look.trouble(what, &error),
            error => look.miss(format!("{what}: {error}")),
        }
        look
    };
    let inside = aside.admin(&aside.spec().database).await.map_err(|error| trouble("database", error))?;
    let half = half_way(&inside).await.map_err(|error| trouble("modules", error))?;
    if !half.is_empty() {
        return Err(Look::found(half));
    }
    let owner = aside.owner(&inside).await.map_err(|error| trouble("owner", error))?;
    let user = user(&inside).await.map_err(|error| trouble("user", error))?;
    match user {
        Some(user) => Ok((owner, user)),
        None => Err(Look::missed("there is no active internal user who could log in")),
    }
}

/// Modules that are neither in nor out: Odoo would change them at its start, so the copy would not start as it was.
async fn half_way(inside: &Admin) -> Result<Vec<String>, AsideError> {
    let sql = "SELECT name::text, state::text FROM ir_module_module WHERE state LIKE 'to %' ORDER BY 1";
    let rows = inside.query("look at the modules", sql, &[]).await?;
    Ok(rows.iter().map(|row| format!("module {} is {:?}", row.get::<_, String>(0), row.get::<_, String>(1))).collect())
}

/// Gives an internal user of the copy, Odoo's own administrator if it is active, another login and password.
async fn user(inside: &Admin) -> Result<Option<User>, AsideError> {
    let sql = "SELECT id::bigint FROM res_users WHERE active AND id > 1 AND share IS NOT TRUE ORDER BY (id = 2) DESC, id LIMIT 1";
    let rows = inside.query("look for a user", sql, &[]).await?;
    let Some(id) = rows.first().map(|row| row.get::<_, i64>(0)) else { return Ok(None) };
    let number = u64::from_le_bytes(random::<8>()?);
    let password = readable_password()?;
    let given = password.clone();
    // Half a second of arithmetic.
    let hash = tokio::task::spawn_blocking(move || odoo_hash(given.expose_secret().as_bytes()));
    let hash = hash.await.map_err(|error| io_error("hash", Path::new("password"))(std::io::Error::other(error)))??;
    let login = format!("springtide-proof-{number:016x}");
    let sql = "UPDATE res_users SET login = $2, password = $3 WHERE id::bigint = $1";
    inside.execute("prepare the user", sql, &[&id, &login, &hash.expose_secret()]).await?;
    // A second factor of somebody who is not there.
    if Catalog::read(inside).await?.has("res_users", "totp_secret") {
        inside
            .execute("prepare the user", "UPDATE res_users SET totp_secret = NULL WHERE id::bigint = $1", &[&id])
            .await?;
        inside.batch("prepare the user", "DELETE FROM ir_config_parameter WHERE key = 'auth_totp.policy'").await?;
    }
    Ok(Some(User { id, login, password }))
}

async fn run(
    driver: &dyn Driver,
    generation: Generation,
    spec: &Spec,
    aside: &Aside,
    (owner, user, stages): (&str, &User, &[Stage]),
) -> Result<Told, Look> {
    let plan = serde_json::json!({
        "database": spec.database,
        "stages": stages,
        "uid": user.id,
        "login": user.login,
        "password": user.password.expose_secret(),
        "port": HTTP_PORT,
        "boot_s": BOOT_SECONDS,
        "page_s": PAGE_SECONDS,
    });
    let command = vec!["/usr/bin/python3".to_owned(), script("boot.py")];
    let seconds = 3 * BOOT_SECONDS + 4 * PAGE_SECONDS;
    let mut task = aside.odoo("boot", owner, command, seconds).map_err(|error| Look::missed(error.to_string()))?;
    task.files.push(("boot.py".into(), include_str!("boot.py").into()));
    task.files.push(("schema.py".into(), include_str!("schema.py").into()));
    task.files.push(("boot.json".into(), plan.to_string()));
    let outcome = driver.run_task(&task, generation).await.map_err(|error| Look::missed(error.to_string()))?;
    let output = fs::read_to_string(&outcome.log).unwrap_or_default();
    told(&output).ok_or_else(|| {
        let lines = odoo_log::relevant_of(&outcome.log, &outcome.tail).join("\n");
        Look::missed(format!(
            "the start did not come to its end ({}); log {}\n{lines}",
            how(outcome.code),
            outcome.log.display()
        ))
    })
}

/// The script's word: its last line. What Odoo writes comes before it.
fn told(output: &str) -> Option<Told> {
    serde_json::from_str(output.lines().next_back()?.strip_prefix(MARK)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_counts() {
        let mark =
            "springtide-proof: {\"boot\": {\"found\": [], \"ms\": 5}, \"login\": {\"missed\": \"x\", \"ms\": 1}}";
        let both = told(&format!("noise\n{mark}\n")).unwrap();
        assert_eq!(both.boot.unwrap().ms, 5);
        assert_eq!(both.login.unwrap().missed.as_deref(), Some("x"));
        assert!(told(&format!("{mark}\nTraceback\n")).is_none(), "it went on after its word");
        assert!(told("").is_none() && told("springtide-proof: [").is_none());
    }
}

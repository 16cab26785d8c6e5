//! Makes a copy of a database harmless, reads back that it is, and hands out a [`Neutralised`] only then. Who starts a
//! copy asks for one, so a copy that was not verified is never started.
//!
//! In this order: Odoo's own command where the series has one, our [`rules`] for every series, an identity of its own,
//! and the hooks of whoever runs the estate. Each may be repeated. Reading back is done over a connection of its own,
//! after everything else: a trigger, a hook or a rule of another module that undid something is found.

mod catalog;
mod hooks;
pub mod rules;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use springtide_core::series::NeutralizeProfile;
use springtide_driver::{Driver, Generation};

pub use catalog::{Catalog, Column};
pub use hooks::Hook;

use crate::aside::{Aside, AsideError, ODOO_CONF};
use crate::postgres::{Admin, AdminError};

/// Seconds for Odoo's own command: it starts an interpreter and runs a few statements.
const COMMAND_SECONDS: u32 = 600;
/// The most that an error names of one rule.
const EXAMPLES: usize = 5;

/// Why a copy is not harmless. Nothing may be started on it.
#[derive(Debug, thiserror::Error)]
pub enum NeutraliseError {
    /// A program or the server failed.
    #[error(transparent)]
    Aside(#[from] AsideError),
    /// A statement failed.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The database lacks what every Odoo has.
    #[error("database {database} has no table {table}: it is not Odoo's, so nothing can be promised about it")]
    NotOdoo {
        /// Which database.
        database: String,
        /// Which table.
        table: &'static str,
    },
    /// A hook cannot be read or failed.
    #[error("hook {path}: {why}", path = .path.display())]
    Hook {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It was done and is not so.
    #[error("the copy can still do harm: {}", .0.join("; "))]
    Harm(Vec<String>),
}

impl NeutraliseError {
    /// Code for people and `springtide explain`.
    pub fn code(&self) -> &'static str {
        match self {
            NeutraliseError::Aside(_) | NeutraliseError::Admin(_) | NeutraliseError::NotOdoo { .. } => "E1035",
            NeutraliseError::Hook { .. } => "E1036",
            NeutraliseError::Harm(_) => "E1037",
        }
    }
}

/// What is wanted of a copy.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Address under which it will be known, for `web.base.url`.
    pub base_url: String,
    /// Folder with SQL files of one's own.
    pub hooks: Option<PathBuf>,
}

/// Says that a copy was made harmless and that this was read back. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neutralised {
    rules: u64,
}

impl Neutralised {
    /// How many rules applied, hooks among them.
    pub fn rules(&self) -> u64 {
        self.rules
    }
}

/// Makes the database of `aside`, whose server is up, harmless.
///
/// # Errors
/// Whatever fails: the copy must not be started then. [`NeutraliseError::Harm`] names what is left.
pub async fn neutralise(
    driver: &dyn Driver,
    aside: &Aside,
    generation: Generation,
    wanted: &Wanted,
) -> Result<Neutralised, NeutraliseError> {
    let hooks = hooks::read(wanted.hooks.as_deref())?;
    let inside = aside.admin(&aside.spec().database).await?;
    let owner = aside.owner(&inside).await?;
    odoos(&inside).await?;
    let before = Identity::read(&inside).await?;
    match aside.spec().series.profile().neutralize {
        NeutralizeProfile::Sql => {}
        NeutralizeProfile::Command => {
            let command = ["/usr/bin/odoo", "neutralize", "-c", ODOO_CONF, "-d", &aside.spec().database];
            let command = command.map(str::to_owned).into();
            let task = aside.odoo("neutralise", &owner, command, COMMAND_SECONDS)?;
            aside.run(driver, generation, "Odoo's own neutralize", &task).await?;
        }
    }
    // Read after Odoo's command, which may have changed what is there.
    let rules = rules::applied(&Catalog::read(&inside).await?);
    let done = async {
        inside.batch("begin", "BEGIN").await?;
        for rule in &rules {
            inside.batch(&format!("neutralise {}", rule.name), &rule.act).await?;
        }
        identity(&inside, &wanted.base_url).await?;
        inside.batch("commit", "COMMIT").await
    };
    if let Err(error) = done.await {
        inside.batch("take back", "ROLLBACK").await?;
        return Err(error.into());
    }
    hooks::run(aside, &owner, &hooks).await?;
    verify(aside, wanted, Some(&before)).await
}

/// Reads back that the database of `aside`, whose server is up, is harmless. Changes nothing. `before` is the identity
/// of the original, if it is known.
///
/// # Errors
/// [`NeutraliseError::Harm`] with everything that is left.
pub async fn verify(aside: &Aside, wanted: &Wanted, before: Option<&Identity>) -> Result<Neutralised, NeutraliseError> {
    let hooks = hooks::read(wanted.hooks.as_deref())?;
    let inside = aside.admin(&aside.spec().database).await?;
    odoos(&inside).await?;
    let rules = rules::applied(&Catalog::read(&inside).await?);
    let mut left = Vec::new();
    for rule in &rules {
        let rows = inside.query(&format!("read back {}", rule.name), &rule.harm, &[]).await?;
        if !rows.is_empty() {
            let some: Vec<String> = rows.iter().take(EXAMPLES).map(|row| row.get(0)).collect();
            left.push(format!("{} ({}): {}", rule.name, rows.len(), some.join(", ")));
        }
    }
    let after = Identity::read(&inside).await?;
    for (what, now, then) in [
        ("database.uuid", &after.uuid, before.map(|it| &it.uuid)),
        ("database.secret", &after.secret, before.map(|it| &it.secret)),
    ] {
        match now {
            None => left.push(format!("{what} is missing")),
            Some(_) if then == Some(now) => left.push(format!("{what} is still the original's")),
            Some(_) => {}
        }
    }
    if after.base_url.as_deref() != Some(&wanted.base_url) {
        left.push("web.base.url is not the copy's".to_owned());
    }
    if !after.marked {
        left.push("database.is_neutralized is not set".to_owned());
    }
    left.extend(hooks::left(aside, &inside, &hooks).await?);
    match left.is_empty() {
        true => Ok(Neutralised { rules: (rules.len() + hooks.len()) as u64 }),
        false => Err(NeutraliseError::Harm(left)),
    }
}

async fn odoos(inside: &Admin) -> Result<(), NeutraliseError> {
    let catalog = Catalog::read(inside).await?;
    match rules::ALWAYS.into_iter().find(|table| !catalog.has_table(table)) {
        None => Ok(()),
        Some(table) => Err(NeutraliseError::NotOdoo { database: inside.database().to_owned(), table }),
    }
}

/// Who a database says it is. Holds digests, not values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    uuid: Option<[u8; 32]>,
    secret: Option<[u8; 32]>,
    base_url: Option<String>,
    marked: bool,
}

impl Identity {
    /// Reads it.
    pub async fn read(inside: &Admin) -> Result<Self, AdminError> {
        let sql = "SELECT key::text, value FROM ir_config_parameter WHERE value <> '' AND key IN
                   ('database.uuid', 'database.secret', 'web.base.url', 'database.is_neutralized')";
        let mut identity = Self { uuid: None, secret: None, base_url: None, marked: false };
        for row in inside.query("read the database's identity", sql, &[]).await? {
            let (key, value): (String, String) = (row.get(0), row.get(1));
            let digest = || Some(Sha256::digest(value.as_bytes()).into());
            match key.as_str() {
                "database.uuid" => identity.uuid = digest(),
                "database.secret" => identity.secret = digest(),
                "web.base.url" => identity.base_url = Some(value),
                _ => identity.marked = value.eq_ignore_ascii_case("true"),
            }
        }
        Ok(identity)
    }
}

/// Gives the copy an identity of its own: with the original's, sessions of one would be good in the other.
async fn identity(inside: &Admin, base_url: &str) -> Result<(), AdminError> {
    let random = "SELECT gen_random_uuid()::text, gen_random_uuid()::text";
    let rows = inside.query("draw an identity", random, &[]).await?;
    let Some(row) = rows.first() else { return Err(AdminError::Absent("identity".into())) };
    let (uuid, secret): (String, String) = (row.get(0), row.get(1));
    for (key, value) in [
        ("database.uuid", uuid.as_str()),
        ("database.secret", &secret),
        ("web.base.url", base_url),
        ("web.base.url.freeze", "True"),
        ("database.is_neutralized", "True"),
    ] {
        let what = format!("set {key}");
        let sql = "UPDATE ir_config_parameter SET value = $2 WHERE key = $1";
        if inside.execute(&what, sql, &[&key, &value]).await? == 0 {
            let sql = "INSERT INTO ir_config_parameter (key, value) VALUES ($1, $2)";
            inside.execute(&what, sql, &[&key, &value]).await?;
        }
    }
    Ok(())
}

/// An error of a hook.
fn hook_error(path: &Path, why: impl std::fmt::Display) -> NeutraliseError {
    NeutraliseError::Hook { path: path.to_owned(), why: why.to_string() }
}

//! Makes a copied template the environment's own: name, roles, rights, Odoo identity, marker.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret as _, SecretString};
use springtide_core::digest::Digest;
use springtide_core::names::{EnvironmentName, ModuleName};
use springtide_core::observe::{DatabaseObservation, HalfModule};

use super::admin::{Admin, AdminError, database_of, sql_error};
use super::roles::{self, DbRole};
use super::settings;

/// Name of the Odoo database in a template.
pub const TEMPLATE_DATABASE: &str = "odoo";
/// Database setting that holds the fingerprint of the last completed configuration.
pub(super) const CONFIGURED: &str = "springtide.configured";
/// Database setting that holds the `database.uuid` of the template it was copied from.
pub(super) const TEMPLATE_UUID: &str = "springtide.template_uuid";

/// What to make of a database. Has no `Debug`: it holds secrets.
pub struct Configure {
    /// Whose database it is.
    pub environment: EnvironmentName,
    /// The environment whose data it was restored from, if it was: its database has still that one's name.
    pub restored_from: Option<EnvironmentName>,
    /// Address that users type, for `web.base.url`.
    pub base_url: String,
    /// Address at which Odoo reaches itself, for `report.url`, such as `http://127.0.0.1:21012`.
    pub report_url: String,
    /// Names exactly this configuration; left as the last thing done.
    pub fingerprint: Digest,
    /// passlib hash for Odoo's user `admin`; used when the identity is the template's.
    pub admin_password_hash: SecretString,
    /// Odoo's `database.secret`; used when the identity is the template's.
    pub database_secret: SecretString,
    /// SCRAM verifier of each role that may log in by password.
    pub verifiers: BTreeMap<DbRole, SecretString>,
    /// Most connections of a role; unlimited for roles not named.
    pub connection_limits: BTreeMap<DbRole, i32>,
}

/// Configures the environment's database. Repeating it converges; the fingerprint is written last, when every
/// Odoo that runs was told to look again.
///
/// `admin` must be connected to the database `postgres`.
pub async fn configure(admin: &Admin, wanted: &Configure) -> Result<(), AdminError> {
    let database = database_of(&wanted.environment)?;
    rename(admin, &database, wanted.restored_from.as_ref()).await?;
    roles::ensure_all(admin, &wanted.verifiers, &wanted.connection_limits).await?;
    access(admin, &database).await?;

    let inside = admin.to(&database).await?;
    inside.batch("set rights in the database", roles::RIGHTS).await?;
    identity(&inside, &database, wanted).await
}

/// Gives the database of the template, or of the environment it was restored from, this one's name, if that is
/// still to be done.
async fn rename(admin: &Admin, database: &str, restored_from: Option<&EnvironmentName>) -> Result<(), AdminError> {
    if admin.has_database(database).await? {
        return Ok(());
    }
    let before = match restored_from {
        Some(from) => database_of(from)?,
        None => TEMPLATE_DATABASE.to_owned(),
    };
    if !admin.has_database(&before).await? {
        return Err(AdminError::NoDatabase(database.to_owned()));
    }
    admin.execute_format("rename the database", "ALTER DATABASE %I RENAME TO %I", &[&before, database]).await
}

/// Who may enter which database.
async fn access(admin: &Admin, database: &str) -> Result<(), AdminError> {
    let what = "set who may connect";
    admin.execute_format(what, "ALTER DATABASE %I OWNER TO owner", &[database]).await?;
    admin.execute_format(what, "REVOKE ALL ON DATABASE %I FROM PUBLIC", &[database]).await?;
    admin.execute_format(what, "GRANT CONNECT, TEMPORARY ON DATABASE %I TO owner, app, jobs", &[database]).await?;
    admin.execute_format(what, "GRANT CONNECT ON DATABASE %I TO report, monitor, backup", &[database]).await?;
    // Odoo connects to `postgres` at every start, for its notifications and to look for its database.
    admin
        .batch(
            what,
            "REVOKE ALL ON DATABASE postgres FROM PUBLIC;
             GRANT CONNECT ON DATABASE postgres TO owner, app, jobs, monitor;
             REVOKE ALL ON DATABASE template1 FROM PUBLIC",
        )
        .await
}

/// Odoo's own parameters and, on a database that still has its template's identity, a new identity, in one
/// transaction; then the signal, which must not come before what it tells of; then the marker.
async fn identity(inside: &Admin, database: &str, wanted: &Configure) -> Result<(), AdminError> {
    inside.batch("begin", "BEGIN").await?;
    let done = identity_in_transaction(inside, database, wanted).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = inside.batch("end the transaction", end).await;
    done.and(ended)?;
    signal(inside).await?;
    let fingerprint = wanted.fingerprint.to_string();
    inside
        .execute_format(
            "leave the marker",
            "ALTER DATABASE %I SET springtide.configured = %L",
            &[database, &fingerprint],
        )
        .await
}

/// Where Odoo processes tell each other that cached parameters are no longer what they were: the first is
/// 14.0's sequence, the last 19.0's table; the others are of declared series and have not run here. Each process
/// looks there before a request or a job, so none has to be restarted for a new address.
const SIGNALS: [&str; 4] =
    ["base_cache_signaling", "base_cache_signaling_default", "orm_signaling_default", "orm_signaling_stable"];

/// Tells every Odoo on this database to forget the parameters it has cached.
async fn signal(inside: &Admin) -> Result<(), AdminError> {
    let what = "tell Odoo that its parameters changed";
    let sql = "SELECT relname::text, relkind = 'S' FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('S', 'r') AND relname = ANY($1)";
    for row in inside.query(what, sql, &[&&SIGNALS[..]]).await? {
        let (name, is_sequence): (String, bool) = (row.get(0), row.get(1));
        let statement =
            if is_sequence { "SELECT nextval('public.%I')" } else { "INSERT INTO public.%I DEFAULT VALUES" };
        inside.execute_format(what, statement, &[&name]).await?;
    }
    Ok(())
}

async fn identity_in_transaction(inside: &Admin, database: &str, wanted: &Configure) -> Result<(), AdminError> {
    if has_table(inside, "ir_config_parameter").await? {
        if still_template(inside).await? {
            fresh_identity(inside, database, wanted).await?;
        }
        parameter(inside, "web.base.url", &wanted.base_url).await?;
        parameter(inside, "web.base.url.freeze", "True").await?;
        parameter(inside, "report.url", &wanted.report_url).await?;
    }
    Ok(())
}

async fn fresh_identity(inside: &Admin, database: &str, wanted: &Configure) -> Result<(), AdminError> {
    let what = "give the database an identity of its own";
    let row = inside
        .client
        .query_one("SELECT gen_random_uuid()::text, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')", &[])
        .await
        .map_err(sql_error(what))?;
    parameter(inside, "database.uuid", row.get(0)).await?;
    parameter(inside, "database.create_date", row.get(1)).await?;
    parameter(inside, "database.secret", wanted.database_secret.expose_secret()).await?;
    let changed = inside
        .execute(
            "set the password of Odoo's admin",
            "UPDATE res_users SET password = $1 WHERE id = 2 AND login = 'admin'",
            &[&wanted.admin_password_hash.expose_secret()],
        )
        .await?;
    if changed != 1 {
        return Err(AdminError::NoAdminUser(database.to_owned()));
    }
    inside.execute_format(what, "ALTER DATABASE %I RESET springtide.template_uuid", &[database]).await
}

async fn has_table(admin: &Admin, name: &str) -> Result<bool, AdminError> {
    admin
        .any("look for a table", "SELECT 1 WHERE to_regclass('public.' || quote_ident($1)) IS NOT NULL", &[&name])
        .await
}

/// Whether the database's uuid is the one its template was built with.
async fn still_template(inside: &Admin) -> Result<bool, AdminError> {
    let Some(template) = inside.database_setting(TEMPLATE_UUID).await? else { return Ok(false) };
    inside
        .any(
            "read database.uuid",
            "SELECT 1 FROM ir_config_parameter WHERE key = 'database.uuid' AND value = $1",
            &[&template],
        )
        .await
}

async fn parameter(inside: &Admin, key: &str, value: &str) -> Result<(), AdminError> {
    let what = format!("set Odoo's parameter {key}");
    let changed = inside
        .execute(
            &what,
            "UPDATE ir_config_parameter SET value = $2, write_date = now() AT TIME ZONE 'UTC' WHERE key = $1",
            &[&key, &value],
        )
        .await?;
    if changed == 0 {
        inside
            .execute(
                &what,
                "INSERT INTO ir_config_parameter (key, value, create_uid, write_uid, create_date, write_date)
                 VALUES ($1, $2, 1, 1, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')",
                &[&key, &value],
            )
            .await?;
    }
    Ok(())
}

/// Marks the database `admin` is in as a template, by its own `database.uuid`. Done when it is built.
pub async fn mark_template(admin: &Admin) -> Result<(), AdminError> {
    let what = "mark the template";
    let rows = admin.query(what, "SELECT value FROM ir_config_parameter WHERE key = 'database.uuid'", &[]).await?;
    let Some(row) = rows.first() else { return Err(AdminError::Absent("database.uuid".into())) };
    let uuid: String = row.try_get(0).map_err(sql_error(what))?;
    admin.execute_format(what, "ALTER DATABASE %I SET springtide.template_uuid = %L", &[admin.database(), &uuid]).await
}

/// What is seen of the environment's database; changes nothing. Before the first configuration this
/// is the template's database, not configured.
///
/// `admin` may be connected to any database of the server.
pub async fn observe(admin: &Admin, environment: &EnvironmentName) -> Result<DatabaseObservation, AdminError> {
    let database = database_of(environment)?;
    let present = if admin.has_database(&database).await? {
        database.as_str()
    } else if admin.has_database(TEMPLATE_DATABASE).await? {
        TEMPLATE_DATABASE
    } else {
        return Err(AdminError::NoDatabase(database));
    };
    let inside = admin.to(present).await?;
    let configured = match inside.database_setting(CONFIGURED).await? {
        None => None,
        Some(text) => match text.parse() {
            Ok(digest) => Some(digest),
            Err(_) => return Err(AdminError::Strange { setting: CONFIGURED, database, found: text }),
        },
    };
    let mut seen = DatabaseObservation {
        configured,
        modules: BTreeSet::new(),
        half: BTreeMap::new(),
        overridden: settings::overridden(admin, configured.is_some()).await?,
    };
    if !has_table(&inside, "ir_module_module").await? {
        return Ok(seen);
    }
    for row in inside
        .query("read the modules", "SELECT name::text FROM ir_module_module WHERE state = 'installed'", &[])
        .await?
    {
        seen.modules.extend(row.get::<_, String>(0).parse());
    }
    seen.half = half(&inside).await?;
    Ok(seen)
}

/// Modules that are half way, and how they belong together.
async fn half(inside: &Admin) -> Result<BTreeMap<ModuleName, HalfModule>, AdminError> {
    let sql = "SELECT m.name::text, m.state = 'to upgrade', coalesce(m.auto_install, false),
                      d.name::text, coalesce(d.auto_install_required, false)
               FROM ir_module_module m
               LEFT JOIN (ir_module_module_dependency d JOIN ir_module_module n ON n.name = d.name AND n.state = 'to install')
                      ON d.module_id = m.id
               WHERE m.state IN ('to install', 'to upgrade')";
    let mut half: BTreeMap<ModuleName, HalfModule> = BTreeMap::new();
    for row in inside.query("read the modules that are half way", sql, &[]).await? {
        let (upgrades, by_itself, triggers): (bool, bool, bool) = (row.get(1), row.get(2), row.get(4));
        let Ok(name) = row.get::<_, String>(0).parse() else { continue };
        let module = half.entry(name).or_default();
        if upgrades || by_itself {
            module.comes_with.get_or_insert_default();
        }
        let Some(Ok(needed)) = row.get::<_, Option<String>>(3).map(|name| name.parse::<ModuleName>()) else { continue };
        if let (true, Some(with)) = (triggers && !upgrades, &mut module.comes_with) {
            with.insert(needed.clone());
        }
        module.needs.insert(needed);
    }
    Ok(half)
}

/// Takes the marks of an installation that was cut off back, as Odoo does itself when one fails: what it had not
/// come to yet is not installed. Nothing may be installing.
///
/// `admin` may be connected to any database of the server.
pub async fn take_back(admin: &Admin, environment: &EnvironmentName) -> Result<(), AdminError> {
    let inside = admin.to(&database_of(environment)?).await?;
    let sql = "UPDATE ir_module_module SET state = 'uninstalled' WHERE state = 'to install'";
    inside.execute("take back an installation that was cut off", sql, &[]).await.map(drop)
}

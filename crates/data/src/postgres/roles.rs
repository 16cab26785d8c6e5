//! The six database roles and what each may do. The names are plain because every environment has a
//! PostgreSQL of its own.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::admin::{Admin, AdminError};

/// A database role. None is superuser, none creates databases or roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DbRole {
    /// Owns database and tables; installs and upgrades log in with it.
    Owner,
    /// web, live and cron.
    App,
    /// The jobs pool and its runner.
    Jobs,
    /// Reads everything, writes nothing.
    Report,
    /// Reads statistics.
    Monitor,
    /// Physical backups and replication.
    Backup,
}

impl DbRole {
    /// All of them, the owner first.
    pub const ALL: [DbRole; 6] =
        [DbRole::Owner, DbRole::App, DbRole::Jobs, DbRole::Report, DbRole::Monitor, DbRole::Backup];

    /// The role's name in PostgreSQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            DbRole::Owner => "owner",
            DbRole::App => "app",
            DbRole::Jobs => "jobs",
            DbRole::Report => "report",
            DbRole::Monitor => "monitor",
            DbRole::Backup => "backup",
        }
    }

    /// Settings kept at the role, so that they hold behind a transaction pooler too.
    ///
    /// HTTP: twice Odoo's `limit_time_real` of 120 s and more for idle transactions, a bit more than
    /// it for statements; Odoo itself tries again when a lock is not available. Jobs may run long.
    pub(super) const fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            DbRole::Owner => &[],
            DbRole::App => &[
                ("role", "owner"),
                ("idle_in_transaction_session_timeout", "300s"),
                ("statement_timeout", "150s"),
                ("lock_timeout", "15s"),
            ],
            DbRole::Jobs => &[
                ("role", "owner"),
                ("idle_in_transaction_session_timeout", "30min"),
                ("statement_timeout", "0"),
                ("lock_timeout", "60s"),
            ],
            DbRole::Report => &[("statement_timeout", "900s"), ("default_transaction_read_only", "on")],
            DbRole::Monitor | DbRole::Backup => &[],
        }
    }

    /// Roles whose rights it has.
    const fn member_of(self) -> &'static [&'static str] {
        match self {
            DbRole::App | DbRole::Jobs => &["owner"],
            DbRole::Report => &["pg_read_all_data"],
            DbRole::Monitor => &["pg_monitor"],
            DbRole::Owner | DbRole::Backup => &[],
        }
    }
}

impl fmt::Display for DbRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Creates a role without password if it is missing.
pub(super) async fn create(admin: &Admin, role: DbRole) -> Result<(), AdminError> {
    let name = role.as_str();
    if !admin.any("look for the role", "SELECT 1 FROM pg_roles WHERE rolname = $1", &[&name]).await? {
        admin.execute_format(&format!("create role {role}"), "CREATE ROLE %I", &[name]).await?;
    }
    Ok(())
}

/// Creates or alters all roles: attributes, memberships, settings, limits and verifiers. A role
/// without verifier in `verifiers` cannot log in by password.
pub(super) async fn ensure_all(
    admin: &Admin,
    verifiers: &BTreeMap<DbRole, SecretString>,
    limits: &BTreeMap<DbRole, i32>,
) -> Result<(), AdminError> {
    for role in DbRole::ALL {
        create(admin, role).await?;
    }
    for role in DbRole::ALL {
        let name = role.as_str();
        let what = format!("set up role {role}");
        let replication = if role == DbRole::Backup { "REPLICATION" } else { "NOREPLICATION" };
        let limit = limits.get(&role).copied().unwrap_or(-1);
        admin
            .batch(
                &what,
                &format!("ALTER ROLE \"{name}\" LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS {replication} CONNECTION LIMIT {limit}"),
            )
            .await?;
        for group in role.member_of() {
            let sql = "SELECT 1 FROM pg_auth_members WHERE roleid = to_regrole($1) AND member = to_regrole($2)";
            if !admin.any(&what, sql, &[group, &name]).await? {
                admin.execute_format(&what, "GRANT %I TO %I", &[group, name]).await?;
            }
        }
        admin.execute_format(&what, "ALTER ROLE %I RESET ALL", &[name]).await?;
        for (setting, value) in role.settings() {
            admin.execute_format(&what, "ALTER ROLE %I SET %I = %L", &[name, setting, value]).await?;
        }
        match verifiers.get(&role) {
            Some(verifier) => {
                admin
                    .execute_format(
                        &format!("set the password of role {role}"),
                        "ALTER ROLE %I PASSWORD %L",
                        &[name, verifier.expose_secret()],
                    )
                    .await?;
            }
            None => admin.execute_format(&what, "ALTER ROLE %I PASSWORD NULL", &[name]).await?,
        }
    }
    Ok(())
}

/// Statements for the environment's own database: who may enter, who owns what appears in it.
///
/// `app` and `jobs` act as `owner` from login (`ALTER ROLE … SET role`). PostgreSQL 15.18 keeps that
/// through `RESET ALL`, `DISCARD ALL` and `SET SESSION AUTHORIZATION DEFAULT` (a test says so); after
/// `SET ROLE NONE` a client is itself again. Tables it then creates would belong to it; the event
/// trigger hands them to `owner`.
pub(super) const RIGHTS: &str = r#"
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
GRANT CREATE ON SCHEMA public TO owner;
ALTER DEFAULT PRIVILEGES FOR ROLE app, jobs GRANT ALL ON TABLES TO owner;
ALTER DEFAULT PRIVILEGES FOR ROLE app, jobs GRANT ALL ON SEQUENCES TO owner;
CREATE SCHEMA IF NOT EXISTS springtide;
GRANT USAGE ON SCHEMA springtide TO PUBLIC;
CREATE OR REPLACE FUNCTION springtide.give_to_owner() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    made record;
BEGIN
    IF current_user NOT IN ('app', 'jobs') THEN
        RETURN;
    END IF;
    FOR made IN
        SELECT object_type, object_identity FROM pg_event_trigger_ddl_commands() c
        WHERE object_type IN ('table', 'view', 'materialized view', 'sequence', 'function')
          AND schema_name NOT LIKE 'pg\_temp%'
          AND NOT (object_type = 'sequence' AND EXISTS (
              SELECT 1 FROM pg_depend d
              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.objid AND d.deptype IN ('a', 'i')))
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO owner', made.object_type, made.object_identity);
    END LOOP;
END
$body$;
DROP EVENT TRIGGER IF EXISTS springtide_give_to_owner;
CREATE EVENT TRIGGER springtide_give_to_owner ON ddl_command_end
WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE VIEW', 'CREATE MATERIALIZED VIEW', 'CREATE SEQUENCE', 'CREATE FUNCTION')
EXECUTE FUNCTION springtide.give_to_owner();
DO $body$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
           AND proname IN ('pg_backup_start', 'pg_backup_stop', 'pg_start_backup', 'pg_stop_backup',
                           'pg_switch_wal', 'pg_create_restore_point')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO backup', f);
    END LOOP;
END
$body$;
"#;

//! Settings of a database server that somebody changed over what Springtide wants: in
//! `postgresql.auto.conf` (ALTER SYSTEM), and at roles and databases (ALTER ROLE, ALTER DATABASE).
//!
//! The rule that keeps it right: what is put back is looked up again and never read out of a name, so a name
//! that somebody chose is shown and compared, and never becomes part of a statement unquoted.

use std::collections::BTreeSet;
use std::fmt;

use super::admin::{Admin, AdminError, sql_error};
use super::configure::{CONFIGURED, TEMPLATE_UUID};
use super::roles::DbRole;

/// A setting that is not as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    /// It stands in `postgresql.auto.conf`, where Springtide never writes.
    System(String),
    /// It stands at a role, a database, both or neither (all roles) and should not.
    Kept { role: Option<String>, database: Option<String>, name: String },
    /// It should stand at this role, and does not or has another value.
    Lacking { role: DbRole, name: &'static str, value: &'static str },
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of roles and databases are somebody's, and this is shown on terminals.
        let plain = |name: &str| name.replace(char::is_control, "\u{fffd}");
        match self {
            Changed::System(name) => f.write_str(&plain(name)),
            Changed::Lacking { role, name, .. } => write!(f, "{name} of role {role}"),
            Changed::Kept { role, database, name } => {
                let name = plain(name);
                match (role.as_deref().map(plain), database.as_deref().map(plain)) {
                    (None, None) => write!(f, "{name} of all roles"),
                    (Some(role), None) => write!(f, "{name} of role {role}"),
                    (None, Some(database)) => write!(f, "{name} of database {database}"),
                    (Some(role), Some(database)) => write!(f, "{name} of role {role} in database {database}"),
                }
            }
        }
    }
}

/// What is changed, in words that [`reset_settings`] takes back. `configured` says whether the roles were set
/// up once: before that what they lack is no change.
pub(super) async fn overridden(admin: &Admin, configured: bool) -> Result<BTreeSet<String>, AdminError> {
    Ok(changed(admin, configured).await?.iter().map(ToString::to_string).collect())
}

async fn changed(admin: &Admin, configured: bool) -> Result<BTreeSet<Changed>, AdminError> {
    let what = "read the changed settings";
    let sql = "SELECT DISTINCT name FROM pg_file_settings WHERE name IS NOT NULL AND sourcefile LIKE '%/postgresql.auto.conf'";
    let rows = admin.query(what, sql, &[]).await?;
    let mut all: BTreeSet<Changed> = rows.iter().map(|row| Changed::System(row.get(0))).collect();
    let mut lacking: BTreeSet<(DbRole, &str, &str)> = DbRole::ALL
        .into_iter()
        .flat_map(|role| role.settings().iter().map(move |(name, value)| (role, *name, *value)))
        .filter(|_| configured)
        .collect();
    let sql = "SELECT r.rolname::text, d.datname::text, s.setting FROM pg_db_role_setting c
               LEFT JOIN pg_roles r ON r.oid = c.setrole LEFT JOIN pg_database d ON d.oid = c.setdatabase
               CROSS JOIN LATERAL unnest(c.setconfig) AS s (setting)";
    for row in admin.query(what, sql, &[]).await? {
        let get = |column: usize| row.try_get::<_, Option<String>>(column).map_err(sql_error(what));
        let (role, database, setting) = (get(0)?, get(1)?, get(2)?.unwrap_or_default());
        let Some((name, value)) = setting.split_once('=') else { continue };
        let ours = match (role.as_deref(), &database) {
            (None, Some(_)) => [CONFIGURED, TEMPLATE_UUID].iter().any(|it| it.eq_ignore_ascii_case(name)),
            (Some(role), None) => match wanted(role, name) {
                // With another value it is told as lacking.
                Some((role, name, wanted)) => {
                    if wanted == value {
                        lacking.remove(&(role, name, wanted));
                    }
                    true
                }
                None => false,
            },
            _ => false,
        };
        if !ours {
            all.insert(Changed::Kept { role, database, name: name.to_owned() });
        }
    }
    all.extend(lacking.into_iter().map(|(role, name, value)| Changed::Lacking { role, name, value }));
    Ok(all)
}

/// What Springtide keeps under this name at this role.
fn wanted(role: &str, name: &str) -> Option<(DbRole, &'static str, &'static str)> {
    let role = DbRole::ALL.into_iter().find(|it| it.as_str() == role)?;
    let (name, value) = role.settings().iter().find(|(it, _)| it.eq_ignore_ascii_case(name))?;
    Some((role, *name, *value))
}

/// Takes settings back that [`super::observe`] told as overridden, and has the server read its files again.
/// Absent ones are success. A setting that needs a restart is as in the files from the next one on; one of a
/// role or database holds for sessions that begin afterwards.
pub async fn reset_settings(admin: &Admin, settings: &[String]) -> Result<(), AdminError> {
    let what = "reset a setting";
    for one in changed(admin, true).await? {
        if !settings.contains(&one.to_string()) {
            continue;
        }
        match &one {
            Changed::System(name) => {
                // `a.b` is a setting of an extension; each part is an identifier of its own.
                let quoted: Vec<String> =
                    name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
                admin.batch(what, &format!("ALTER SYSTEM RESET {}", quoted.join("."))).await?;
            }
            Changed::Lacking { role, name, value } => {
                let values = [role.as_str(), *name, *value];
                admin.execute_format(what, "ALTER ROLE %I SET %I = %L", &values).await?;
            }
            Changed::Kept { role, database, name } => match (role, database) {
                (None, None) => admin.execute_format(what, "ALTER ROLE ALL RESET %I", &[name]).await?,
                (Some(role), None) => admin.execute_format(what, "ALTER ROLE %I RESET %I", &[role, name]).await?,
                (None, Some(database)) => {
                    admin.execute_format(what, "ALTER DATABASE %I RESET %I", &[database, name]).await?;
                }
                (Some(role), Some(database)) => {
                    let pattern = "ALTER ROLE %I IN DATABASE %I RESET %I";
                    admin.execute_format(what, pattern, &[role, database, name]).await?;
                }
            },
        }
    }
    admin.batch("reload the settings", "SELECT pg_reload_conf()").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_springtide_keeps_at_roles_is_known_by_name() {
        assert_eq!(wanted("app", "STATEMENT_TIMEOUT"), Some((DbRole::App, "statement_timeout", "150s")));
        assert_eq!(wanted("app", "work_mem"), None);
        assert_eq!(wanted("monitor", "statement_timeout"), None);
        assert_eq!(wanted("somebody", "statement_timeout"), None);
    }

    #[test]
    fn a_name_that_somebody_chose_is_shown_without_what_terminals_obey() {
        let one = Changed::Kept { role: Some("x\u{1b}[2J".into()), database: None, name: "work_mem".into() };
        assert_eq!(one.to_string(), "work_mem of role x\u{fffd}[2J");
    }
}

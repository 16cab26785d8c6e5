//! Users of Odoo, as the database has them: numbers and logins, nothing else.

use std::collections::BTreeMap;

use super::admin::{Admin, AdminError, database_of};
use springtide_core::names::EnvironmentName;

/// Logins of all users of an environment, inactive ones too, by number.
///
/// `admin` may be connected to any database of the server.
pub async fn users(admin: &Admin, environment: &EnvironmentName) -> Result<BTreeMap<i64, String>, AdminError> {
    let inside = admin.to(&database_of(environment)?).await?;
    let rows = inside.query("read the users", "SELECT id::bigint, login::text FROM res_users", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

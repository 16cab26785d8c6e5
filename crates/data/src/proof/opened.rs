//! The first looks at the running copy: is it where the target says, and are the canaries of both sides as they must.

use std::collections::BTreeMap;

use super::Spec;
use super::look::Look;
use super::replay::{judge, recovered_to};
use crate::canary::{all, compare};
use crate::postgres::Admin;

pub(super) async fn open(admin: &Admin, spec: &Spec, tools: &mut BTreeMap<String, String>) -> Look {
    let mut look = Look::default();
    let sql = "SELECT pg_is_in_recovery(), (SELECT timeline_id FROM pg_control_checkpoint()),
                      current_setting('server_version'), current_setting('data_checksums') = 'on'";
    match admin.query("look at the server", sql, &[]).await {
        Err(error) => look.trouble("server", &error),
        Ok(rows) => {
            let Some(row) = rows.first() else { return Look::missed("the server says nothing of itself") };
            let (recovers, timeline, version): (bool, i32, String) = (row.get(0), row.get(1), row.get(2));
            tools.insert("postgres".to_owned(), version);
            if recovers {
                look.find("it is still in recovery".to_owned());
            }
            look.count("timeline", timeline.unsigned_abs().into());
            judge(&mut look, "timeline", recovered_to(&spec.data, timeline.unsigned_abs()), &spec.target);
        }
    }
    match admin.has_database(&spec.database).await {
        Err(error) => look.trouble("databases", &error),
        Ok(true) => {}
        Ok(false) => look.find(format!("there is no database {}", spec.database)),
    }
    let sql = "SELECT datname::text FROM pg_database
               WHERE datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)";
    match admin.query("look at the collations", sql, &[]).await {
        Err(error) => look.trouble("collations", &error),
        Ok(rows) => rows.iter().for_each(|row| {
            let name: String = row.get(0);
            look.note(format!("database {name} was sorted by another version of this machine's collation"));
        }),
    }
    look
}

pub(super) async fn canaries(admin: &Admin, spec: &Spec) -> Look {
    let rows = match all(admin).await {
        Ok(rows) => rows,
        Err(error) => {
            let mut look = Look::default();
            look.trouble("canaries", &error);
            return look;
        }
    };
    let told = compare(&spec.canaries, &rows, spec.target.lsn);
    let mut look = Look::found(told.found).figure("before", told.before).figure("after", told.after);
    // On one side only nothing says that the log was neither too short nor too long.
    if told.before == 0 {
        look.miss("no canary from before the target is known");
    }
    if told.after == 0 {
        look.miss("no canary from after the target is known");
    }
    look
}

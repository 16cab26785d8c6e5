//! Indexes against their tables, by `amcheck`: order, links, and whether every row of the table is in the index. A
//! checksum cannot tell that, because a page with a missing row is a good page.

use tokio_postgres::types::Oid;

use super::Spec;
use super::look::Look;
use crate::aside::{Aside, AsideError};
use crate::postgres::{Admin, AdminError};

/// Connections that check at once.
const CONNECTIONS: usize = 2;
/// Schema of the extension; of our own, so that nothing of the copy is in its way.
const SCHEMA: &str = "springtide_proof";

struct Index {
    oid: Oid,
    name: String,
    bytes: i64,
}

pub(super) async fn indexes(aside: &Aside, spec: &Spec) -> Look {
    let mut look = Look::default();
    let (mut count, mut bytes) = (0, 0);
    for database in [spec.database.as_str(), "postgres"] {
        match of(aside, spec, database, &mut look).await {
            Ok((checked, sum)) => {
                count += checked;
                bytes += sum;
            }
            Err(AsideError::Admin(error)) => look.trouble(database, &error),
            Err(error) => look.miss(error.to_string()),
        }
    }
    look.figure("indexes", count).figure("bytes", bytes)
}

/// Checks one database; how many indexes and bytes.
async fn of(aside: &Aside, spec: &Spec, database: &str, look: &mut Look) -> Result<(u64, u64), AsideError> {
    let first = aside.admin(database).await?;
    let prepared = prepare(&first).await;
    let schema = match prepared {
        Ok(schema) => schema,
        Err(error) => {
            look.miss(format!("amcheck cannot be installed in {database}: {error}"));
            return Ok((0, 0));
        }
    };
    let sql = "SELECT c.oid, c.oid::regclass::text, pg_relation_size(c.oid)
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
               WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisready AND i.indisvalid
               ORDER BY c.oid";
    let rows = first.query("list the indexes", sql, &[]).await?;
    let all = rows.iter().map(|row| Index { oid: row.get(0), name: row.get(1), bytes: row.get(2) }).collect();
    let mut picked = spec.indexes.of(all, |index: &Index| &index.name);
    let sums = (picked.len() as u64, picked.iter().map(|index| index.bytes.unsigned_abs()).sum());
    // Large ones first and dealt in turn, so that both connections end about together.
    picked.sort_by_key(|index| std::cmp::Reverse(index.bytes));
    let mut hands: [Vec<Index>; CONNECTIONS] = Default::default();
    picked.into_iter().enumerate().for_each(|(at, index)| hands[at % CONNECTIONS].push(index));
    let second = aside.admin(database).await?;
    let [one, two] = hands;
    let (one, two) = tokio::join!(check(&first, &schema, one), check(&second, &schema, two));
    for (name, error) in one.into_iter().chain(two) {
        look.trouble(&format!("{database}: index {name}"), &error);
    }
    first.batch("remove amcheck again", &format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")).await?;
    Ok(sums)
}

/// Installs the extension in the copy; the schema it is in.
async fn prepare(admin: &Admin) -> Result<String, AdminError> {
    let sql = format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}; CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA {SCHEMA}");
    admin.batch("install amcheck", &sql).await?;
    let sql = "SELECT quote_ident(n.nspname)::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
               WHERE e.extname = 'amcheck'";
    let rows = admin.query("look for amcheck", sql, &[]).await?;
    rows.first().map(|row| row.get(0)).ok_or_else(|| AdminError::Absent("amcheck".into()))
}

async fn check(admin: &Admin, schema: &str, indexes: Vec<Index>) -> Vec<(String, AdminError)> {
    let sql = format!("SELECT {schema}.bt_index_check($1::oid::regclass, true)");
    let mut found = Vec::new();
    for index in indexes {
        if let Err(error) = admin.query("check an index", &sql, &[&index.oid]).await {
            found.push((index.name, error));
        }
    }
    found
}

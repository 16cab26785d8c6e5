//! Hooks: SQL files of whoever runs the estate, for what only they know of. All run in one transaction, in the order of
//! their names, with the rights of the database's owner. A file `NAME.verify.sql` is asked afterwards and must return
//! no row.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{NeutraliseError, hook_error};
use crate::aside::Aside;
use crate::postgres::Admin;

/// The largest file, bytes.
const BYTES: u64 = 1 << 20;
/// The most rows that are counted of one question.
const ROWS: usize = 100;
/// How files that are asked afterwards end.
const VERIFY: &str = ".verify.sql";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Where it is.
    pub path: PathBuf,
    sql: String,
    asks: bool,
}

/// Reads the files `*.sql` of a folder. No folder is no hook; one that is named and cannot be read is an error.
pub(super) fn read(folder: Option<&Path>) -> Result<Vec<Hook>, NeutraliseError> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|error| hook_error(folder, error))?.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "sql"));
    paths.sort();
    let one = |path: PathBuf| {
        let meta = fs::metadata(&path).map_err(|error| hook_error(&path, error))?;
        if meta.len() > BYTES {
            return Err(hook_error(&path, format_args!("it has {} bytes, more than {BYTES}", meta.len())));
        }
        let sql = fs::read_to_string(&path).map_err(|error| hook_error(&path, error))?;
        let asks = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(VERIFY));
        Ok(Hook { path, sql, asks })
    };
    paths.into_iter().map(one).collect()
}

/// Runs all of them or none.
pub(super) async fn run(aside: &Aside, owner: &str, hooks: &[Hook]) -> Result<(), NeutraliseError> {
    let acts: Vec<&Hook> = hooks.iter().filter(|hook| !hook.asks).collect();
    if acts.is_empty() {
        return Ok(());
    }
    let session = aside.as_role(owner).await?;
    session.batch("begin", "BEGIN").await?;
    let number = transaction(&session).await?;
    for hook in acts {
        session.batch("run the hook", &hook.sql).await.map_err(|error| hook_error(&hook.path, error))?;
        // A hook that ends the transaction would leave the rest half done when a later one fails.
        let now = transaction(&session).await.map_err(|error| hook_error(&hook.path, error))?;
        if now != number {
            return Err(hook_error(&hook.path, "it ends the transaction that all hooks run in"));
        }
    }
    Ok(session.batch("commit the hooks", "COMMIT").await?)
}

async fn transaction(session: &Admin) -> Result<String, NeutraliseError> {
    let rows = session.query("look at the transaction", "SELECT pg_current_xact_id()::text", &[]).await?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

/// What the questions among the hooks still find.
pub(super) async fn left(aside: &Aside, inside: &Admin, hooks: &[Hook]) -> Result<Vec<String>, NeutraliseError> {
    let mut left = Vec::new();
    let asked: Vec<&Hook> = hooks.iter().filter(|hook| hook.asks).collect();
    if asked.is_empty() {
        return Ok(left);
    }
    let owner = aside.owner(inside).await?;
    let session = aside.as_role(&owner).await?;
    for hook in asked {
        let sql = hook.sql.trim().trim_end_matches(';');
        // As a part of another query its columns do not matter; values are not told, since they may be secrets.
        let sql = format!("SELECT 1 FROM (\n{sql}\n) AS row LIMIT {ROWS}");
        let rows = session.query("ask the hook", &sql, &[]).await.map_err(|error| hook_error(&hook.path, error))?;
        if !rows.is_empty() {
            let more = if rows.len() < ROWS { "" } else { " or more" };
            left.push(format!("hook {}: {}{more} rows", hook.path.display(), rows.len()));
        }
    }
    Ok(left)
}

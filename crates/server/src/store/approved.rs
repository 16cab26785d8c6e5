//! What was approved: per environment a digest of what was wanted when somebody last said yes, and the
//! last valid text of the estate file.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;

use super::{Epoch, Store, StoreError, sqlite};

/// What was approved for an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approved {
    /// Digest of what was wanted.
    pub wanted: Digest,
    /// Whether it was brought there once. Until then what differs is work that is left, not drift.
    pub done: bool,
}

/// What was approved, by environment; none stands for the estate's own parts.
pub type Approvals = BTreeMap<Option<EnvironmentName>, Approved>;

/// An environment as a key; the estate's own parts are the empty one, which is no name.
pub(super) fn key(environment: Option<&EnvironmentName>) -> &str {
    environment.map_or("", EnvironmentName::as_str)
}

impl Store {
    /// What was approved, by environment; none stands for the estate's own parts.
    pub fn approved(&self) -> Result<Approvals, StoreError> {
        let connection = self.connection();
        let mut select =
            connection.prepare_cached("SELECT environment, wanted, done FROM approved").map_err(sqlite("read"))?;
        let rows = select
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?)))
            .map_err(sqlite("read"))?;
        let mut all = BTreeMap::new();
        for row in rows {
            let (name, wanted, done) = row.map_err(sqlite("read"))?;
            // What cannot be read was not approved: somebody is asked again.
            let Ok(wanted) = wanted.parse() else { continue };
            let name = match name.as_str() {
                "" => None,
                name => match name.parse() {
                    Ok(name) => Some(name),
                    Err(_) => continue,
                },
            };
            all.insert(name, Approved { wanted, done });
        }
        Ok(all)
    }

    /// Records what is approved, without an operation: what runs is what is declared already.
    pub fn approve(
        &self,
        epoch: Epoch,
        approved: &[(Option<EnvironmentName>, Digest)],
        by: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        self.act(epoch, |it| approve(it, approved, true, by, now))
    }

    /// Takes an approval back: the next change waits for somebody to say yes.
    pub fn disapprove(&self, epoch: Epoch, environment: Option<&EnvironmentName>) -> Result<(), StoreError> {
        let delete = "DELETE FROM approved WHERE environment = ?1";
        self.act(epoch, |it| it.execute(delete, [key(environment)]).map_err(sqlite("write")).map(drop))
    }

    /// Keeps the text of an estate file that is valid.
    pub fn keep_file(&self, epoch: Epoch, text: &str, now: i64) -> Result<(), StoreError> {
        let insert = "INSERT INTO estate_file (id, text, at) VALUES (1, ?1, ?2)
                      ON CONFLICT (id) DO UPDATE SET text = ?1, at = ?2";
        self.act(epoch, |it| it.execute(insert, params![text, now]).map_err(sqlite("write")).map(drop))
    }

    /// The last text of an estate file that was valid.
    pub fn kept_file(&self) -> Result<Option<String>, StoreError> {
        let select = "SELECT text FROM estate_file";
        self.connection().query_row(select, [], |row| row.get(0)).optional().map_err(sqlite("read"))
    }
}

pub(super) fn approve(
    connection: &Connection,
    approved: &[(Option<EnvironmentName>, Digest)],
    done: bool,
    by: &str,
    now: i64,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO approved (environment, wanted, done, by, at) VALUES (?1, ?2, ?3, ?4, ?5)
                  ON CONFLICT (environment) DO UPDATE SET wanted = ?2, done = ?3, by = ?4, at = ?5";
    let mut insert = connection.prepare_cached(insert).map_err(sqlite("write"))?;
    for (environment, wanted) in approved {
        insert
            .execute(params![key(environment.as_ref()), wanted.to_string(), done, by, now])
            .map_err(sqlite("write"))?;
    }
    Ok(())
}

//! What an environment holds: slot, series, certificate, the places of its backups, what it is filled from, and
//! why its data may go.

use std::collections::BTreeMap;

use rusqlite::params;
use springtide_core::digest::Digest;
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Seed;
use springtide_core::series::Series;

use super::{Epoch, Store, StoreError, sqlite};

/// An environment that holds something here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRecord {
    /// Its name.
    pub name: EnvironmentName,
    /// Its slot.
    pub slot: Slot,
    /// Series its data was made with.
    pub series: Series,
    /// Host and end (seconds since 1970) of its certificate.
    pub certificate: Option<(String, i64)>,
    /// Why its data may be removed, once that was decided for good.
    pub destroying: Option<String>,
    /// Names the places of its backups that were prepared; none if none ever were.
    pub repository: Option<Digest>,
}

impl Store {
    /// All environments that hold something.
    pub fn environments(&self) -> Result<Vec<EnvironmentRecord>, StoreError> {
        let connection = self.connection();
        let mut select = connection
            .prepare_cached("SELECT name, slot, series, certificate_host, certificate_until, destroying, repository FROM environments ORDER BY name")
            .map_err(sqlite("read"))?;
        let parse = |column: usize, text: String, error: String| {
            let kind = rusqlite::types::Type::Text;
            rusqlite::Error::FromSqlConversionFailure(column, kind, format!("{text}: {error}").into())
        };
        let rows = select
            .query_map([], |row| {
                let name: String = row.get(0)?;
                let series: String = row.get(2)?;
                let host: Option<String> = row.get(3)?;
                let until: Option<i64> = row.get(4)?;
                let repository: Option<String> = row.get(6)?;
                Ok(EnvironmentRecord {
                    name: name.parse().map_err(|e| parse(0, name, format!("{e}")))?,
                    slot: Slot(row.get(1)?),
                    series: series.parse().map_err(|e| parse(2, series, format!("{e}")))?,
                    certificate: host.zip(until),
                    destroying: row.get(5)?,
                    repository: repository
                        .map(|text| text.parse().map_err(|e| parse(6, text.clone(), e)))
                        .transpose()?,
                })
            })
            .map_err(sqlite("read"))?;
        rows.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Records the slot of an environment; the same again is success.
    pub fn reserve(&self, epoch: Epoch, name: &EnvironmentName, slot: Slot, series: Series) -> Result<(), StoreError> {
        let insert = "INSERT INTO environments (name, slot, series) VALUES (?1, ?2, ?3)
                      ON CONFLICT (name) DO NOTHING";
        self.act(epoch, |it| {
            let values = params![name.as_str(), slot.0, series.to_string()];
            it.execute(insert, values).map_err(sqlite("write")).map(drop)
        })
    }

    /// Records for whom and until when a certificate was issued.
    pub fn certified(&self, epoch: Epoch, name: &EnvironmentName, host: &str, until: i64) -> Result<(), StoreError> {
        let update = "UPDATE environments SET certificate_host = ?2, certificate_until = ?3 WHERE name = ?1";
        self.act(epoch, |it| it.execute(update, params![name.as_str(), host, until]).map_err(sqlite("write")).map(drop))
    }

    /// Records that the places of an environment's backups were prepared.
    pub fn repository_prepared(&self, epoch: Epoch, name: &EnvironmentName, places: Digest) -> Result<(), StoreError> {
        let update = "UPDATE environments SET repository = ?2 WHERE name = ?1";
        let values = params![name.as_str(), places.to_string()];
        self.act(epoch, |it| it.execute(update, values).map_err(sqlite("write")).map(drop))
    }

    /// What environments, there or yet to come, are to be filled from instead of a template.
    pub fn seeds(&self) -> Result<BTreeMap<EnvironmentName, Seed>, StoreError> {
        let connection = self.connection();
        let mut select = connection.prepare_cached("SELECT environment, seed FROM seeds").map_err(sqlite("read"))?;
        let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
        let mut seeds = BTreeMap::new();
        for row in rows.map_err(sqlite("read"))? {
            let (name, seed) = row.map_err(sqlite("read"))?;
            match (name.parse(), serde_json::from_str(&seed)) {
                (Ok(name), Ok(seed)) => drop(seeds.insert(name, seed)),
                // A template in its place would look like the data that somebody waits for.
                _ => return Err(StoreError::Damaged(format!("what {name:?} is to be filled from cannot be read"))),
            }
        }
        Ok(seeds)
    }

    /// Records what an environment that has no data is to be filled from; it goes with the environment.
    pub fn sow(&self, epoch: Epoch, name: &EnvironmentName, seed: &Seed) -> Result<(), StoreError> {
        let seed = serde_json::to_string(seed).unwrap_or_default();
        let insert = "INSERT INTO seeds (environment, seed) VALUES (?1, ?2)
                      ON CONFLICT (environment) DO UPDATE SET seed = excluded.seed";
        self.act(epoch, |it| it.execute(insert, params![name.as_str(), seed]).map_err(sqlite("write")).map(drop))
    }

    /// Records that an environment is being destroyed, and why its data may go.
    pub fn record_destruction(&self, epoch: Epoch, name: &EnvironmentName, why: &str) -> Result<(), StoreError> {
        let update = "UPDATE environments SET destroying = ?2 WHERE name = ?1";
        self.act(epoch, |it| it.execute(update, params![name.as_str(), why]).map_err(sqlite("write")).map(drop))
    }

    /// Forgets an environment with what was approved for it; its slot is free again.
    pub fn forget(&self, epoch: Epoch, name: &EnvironmentName) -> Result<(), StoreError> {
        self.act(epoch, |it| {
            it.execute("DELETE FROM approved WHERE environment = ?1", [name.as_str()]).map_err(sqlite("write"))?;
            it.execute("DELETE FROM seeds WHERE environment = ?1", [name.as_str()]).map_err(sqlite("write"))?;
            it.execute("DELETE FROM environments WHERE name = ?1", [name.as_str()]).map_err(sqlite("write")).map(drop)
        })
    }
}

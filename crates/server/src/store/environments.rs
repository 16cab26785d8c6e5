//! What an environment holds: slot, series, certificate, and why its data may go.

use rusqlite::params;
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
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
}

impl Store {
    /// All environments that hold something.
    pub fn environments(&self) -> Result<Vec<EnvironmentRecord>, StoreError> {
        let connection = self.connection();
        let mut select = connection
            .prepare_cached("SELECT name, slot, series, certificate_host, certificate_until, destroying FROM environments ORDER BY name")
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
                Ok(EnvironmentRecord {
                    name: name.parse().map_err(|e| parse(0, name, format!("{e}")))?,
                    slot: Slot(row.get(1)?),
                    series: series.parse().map_err(|e| parse(2, series, format!("{e}")))?,
                    certificate: host.zip(until),
                    destroying: row.get(5)?,
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

    /// Records that an environment is being destroyed, and why its data may go.
    pub fn record_destruction(&self, epoch: Epoch, name: &EnvironmentName, why: &str) -> Result<(), StoreError> {
        let update = "UPDATE environments SET destroying = ?2 WHERE name = ?1";
        self.act(epoch, |it| it.execute(update, params![name.as_str(), why]).map_err(sqlite("write")).map(drop))
    }

    /// Forgets an environment with what was approved for it; its slot is free again.
    pub fn forget(&self, epoch: Epoch, name: &EnvironmentName) -> Result<(), StoreError> {
        self.act(epoch, |it| {
            it.execute("DELETE FROM approved WHERE environment = ?1", [name.as_str()]).map_err(sqlite("write"))?;
            it.execute("DELETE FROM environments WHERE name = ?1", [name.as_str()]).map_err(sqlite("write")).map(drop)
        })
    }
}

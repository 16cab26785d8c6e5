//! Observation: what driver, database, proxy, secrets and store show now, in one value.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use springtide_core::layout::Slot;
use springtide_core::observe::{EnvironmentObservation, Observation, Observed, WorkloadState};
use springtide_core::role::{ByRole, Role};
use springtide_core::workload::{Volume, WorkloadId};
use springtide_data::postgres::{Admin, observe as observe_database};
use springtide_data::template;
use springtide_driver::DriverError;

use crate::store::{EnvironmentRecord, StoreError};
use crate::{Estate, routes};

/// Observation was not possible at all.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The driver could not look.
    #[error("cannot observe the machine")]
    Driver(#[from] DriverError),
    /// The store could not be read.
    #[error("cannot read what is recorded")]
    Store(#[from] StoreError),
    /// The secrets could not be listed.
    #[error("cannot list the secrets")]
    Secrets(#[from] springtide_data::secrets::SecretError),
}

/// Looks at everything; changes nothing.
pub async fn observe(estate: &Estate, now: i64) -> Result<Observation, ObserveError> {
    let mut seen = estate.driver.observe().await?;
    let markers = estate.proxy.live().await;
    let mut environments = BTreeMap::new();
    for record in estate.store.environments()? {
        let workloads: ByRole<_> = Role::ENVIRONMENT
            .into_iter()
            .filter_map(|role| Some((role, seen.workloads.remove(&WorkloadId::of(&record.name, role))?)))
            .collect();
        let version = estate.driver.volume(Some(&record.name), Volume::PostgresData).join("PG_VERSION");
        let (data, data_major) = (version.is_file(), std::fs::read_to_string(&version).ok());
        let data_major = data_major.and_then(|text| text.trim().parse().ok());
        let database = match workloads.get(&Role::Postgres).map(|it| it.state) {
            Some(WorkloadState::Ready) => database(estate, &record).await,
            Some(state) => Observed::Unknown(format!("postgres is {state:?}")),
            None => Observed::Unknown("postgres does not run".into()),
        };
        let route = match &markers {
            Ok(markers) => {
                let live = routes::of(markers, &record.name);
                let routes = estate.driver.volume(None, Volume::Routes);
                Observed::Known(live.map(|live| routes::edited(&routes, &record.name).unwrap_or(live)))
            }
            Err(error) => Observed::Unknown(error.to_string()),
        };
        let observed = EnvironmentObservation {
            slot: record.slot,
            series: data.then_some(record.series),
            data,
            data_major,
            certificate: record.certificate.clone(),
            destroying: record.destroying.clone(),
            database,
            workloads,
            route,
            repository: record.repository,
        };
        environments.insert(record.name, observed);
    }
    let parts = Role::ESTATE
        .into_iter()
        .filter_map(|role| Some((role, seen.workloads.remove(&WorkloadId::estate(role))?)))
        .collect();
    let slots: BTreeSet<Slot> = environments.values().map(|it: &EnvironmentObservation| it.slot).collect();
    seen.strangers.retain(|it| it.slot == Slot::ESTATE || slots.contains(&it.slot));
    Ok(Observation {
        at: now,
        templates: template::list(estate.driver.as_ref(), &seen.host),
        host: seen.host,
        secrets: estate.secrets.list()?.into_iter().collect(),
        environments,
        estate: parts,
        strangers: seen.strangers,
        seeds: estate.store.seeds()?,
    })
}

async fn database(
    estate: &Estate,
    record: &EnvironmentRecord,
) -> Observed<springtide_core::observe::DatabaseObservation> {
    let folder = estate.driver.volume(Some(&record.name), Volume::PostgresSocket);
    let port = record.slot.port(Role::Postgres).unwrap_or_default();
    let look = async {
        let admin = Admin::connect(&folder, port, "postgres").await?;
        observe_database(&admin, &record.name).await
    };
    match tokio::time::timeout(Duration::from_secs(5), look).await {
        Ok(Ok(seen)) => Observed::Known(seen),
        Ok(Err(error)) => Observed::Unknown(error.to_string()),
        Err(_) => Observed::Unknown("no answer within 5 s".into()),
    }
}

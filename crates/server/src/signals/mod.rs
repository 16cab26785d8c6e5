//! Signals: what the parts of an environment say of themselves now, for people and for those who decide.
//!
//! Each source is asked by itself and at the same time; one that does not answer is unknown and spoils
//! nothing else. Nothing is kept: who asks gets what is seen in this moment.

mod entrance;
mod sessions;

use std::time::Duration;

use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Observed;
use springtide_core::role::Role;
use springtide_core::workload::{SecretName, SecretRef, Volume};
use springtide_data::postgres::{Admin, Archiver, Pool, ServerConnections, archiver, connections, pools};

use crate::Estate;

pub use entrance::Service;
pub use sessions::SessionMemory;

/// How long a source may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is seen of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signals {
    /// PgBouncer's pools.
    pub pools: Observed<Vec<Pool>>,
    /// PostgreSQL's connections by role.
    pub connections: Observed<ServerConnections>,
    /// Whether PostgreSQL's write-ahead log is taken.
    pub archiver: Observed<Archiver>,
    /// Redis' memory.
    pub sessions: Observed<SessionMemory>,
    /// The entrance's services and whether their servers are up.
    pub services: Observed<Vec<Service>>,
}

/// Asks every source of `name`.
pub async fn gather(estate: &Estate, name: &EnvironmentName, slot: Slot) -> Signals {
    let volume = |volume| estate.driver.volume(Some(name), volume);
    let of_pooler = async {
        let secret = SecretRef { environment: Some(name.clone()), name: SecretName::DbMonitor };
        let password = estate.secrets.get(&secret).map_err(|error| error.to_string())?;
        let port = slot.port(Role::Pooler).unwrap_or_default();
        pools(&volume(Volume::PoolerSocket), port, "monitor", &password).await.map_err(|error| error.to_string())
    };
    let of_database = async {
        let port = slot.port(Role::Postgres).unwrap_or_default();
        let admin = Admin::connect(&volume(Volume::PostgresSocket), port, "postgres").await;
        let admin = admin.map_err(|error| error.to_string())?;
        let held = connections(&admin).await.map_err(|error| error.to_string())?;
        Ok((held, archiver(&admin).await.map_err(|error| error.to_string())?))
    };
    let (pools, database, sessions, services) = tokio::join!(
        within(of_pooler),
        within(of_database),
        within(sessions::memory(estate, name)),
        within(entrance::services(estate, name)),
    );
    let (connections, archiver) = match database {
        Observed::Known((connections, archiver)) => (Observed::Known(connections), Observed::Known(archiver)),
        Observed::Unknown(why) => (Observed::Unknown(why.clone()), Observed::Unknown(why)),
    };
    Signals { pools, connections, archiver, sessions, services }
}

async fn within<T>(asked: impl Future<Output = Result<T, String>>) -> Observed<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(value)) => Observed::Known(value),
        Ok(Err(why)) => Observed::Unknown(why),
        Err(_) => Observed::Unknown(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

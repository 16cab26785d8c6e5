//! Memory of the Redis that holds the sessions.

use springtide_core::names::EnvironmentName;

use crate::Estate;
use crate::sessions::Sessions;

/// What Redis uses and may use, bytes, and how often it refused for want of memory or clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionMemory {
    /// Bytes in use.
    pub used: u64,
    /// Bytes it may use.
    pub most: u64,
    /// Connections it has.
    pub clients: u32,
}

pub(super) async fn memory(estate: &Estate, name: &EnvironmentName) -> Result<SessionMemory, String> {
    let told = Sessions::info(estate, name).await.map_err(|error| error.to_string())?;
    let field = |name: &str| {
        let found =
            told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse::<u64>().ok());
        found.ok_or_else(|| format!("Redis does not tell {name}"))
    };
    Ok(SessionMemory {
        used: field("used_memory")?,
        most: field("maxmemory")?,
        clients: field("connected_clients")? as u32,
    })
}

//! PostgreSQL parameters from cores and memory.
//!
//! The rules are those of the data-tier chapter in ARCHITECTURE.md; memory here is what the whole
//! environment may use, since Odoo shares the machine with its database on the process driver.

use serde::Serialize;

use crate::{GIB, MIB};

/// What the parameters depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresInput {
    /// Cores of the environment.
    pub cpus: u32,
    /// Bytes of memory of the environment.
    pub memory_bytes: u64,
    /// `max_connections` set by hand.
    pub max_connections: Option<u16>,
}

/// Parameters that depend on size; bytes where not said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PostgresSettings {
    /// `max_connections`.
    pub max_connections: u16,
    /// `shared_buffers`: 15 % of memory, since Odoo shares the host; at most 16 GB.
    pub shared_buffers: u64,
    /// `effective_cache_size`: 60 % of the memory that Odoo's half leaves.
    pub effective_cache_size: u64,
    /// `work_mem`: a quarter of memory over pool × 3 nodes × 2, between 4 and 64 MB.
    pub work_mem: u64,
    /// `maintenance_work_mem`: memory / 16, at most 2 GB.
    pub maintenance_work_mem: u64,
    /// `autovacuum_work_mem`: at most 512 MB.
    pub autovacuum_work_mem: u64,
    /// `max_wal_size`: 4 GB, less on small machines (memory).
    pub max_wal_size: u64,
    /// `autovacuum_max_workers`.
    pub autovacuum_workers: u32,
}

/// Rounds up to the next multiple of 50.
fn round_up_50(n: u32) -> u32 {
    n.div_ceil(50) * 50
}

/// Derives the parameters.
///
/// `max_connections` = pools (4 per core + 25 %, 14 for the `postgres` database) + 20 direct +
/// 10 administration + 3 reserved, rounded up to 50, and not above 20 per core rounded up to 50.
/// It does not depend on the number of workers: they must fit into it (see [`crate::budget`]).
pub fn postgres(input: &PostgresInput) -> PostgresSettings {
    let cpus = input.cpus.max(1);
    let memory = input.memory_bytes.max(512 * MIB);
    let wanted = round_up_50(cpus * 5 + 14 + 33).min(round_up_50(20 * cpus));
    let max_connections = input.max_connections.unwrap_or(wanted.min(2000) as u16);
    let pool = u64::from(cpus * 4).max(4);
    // To the unit that stands in the configuration, so that equal files mean equal settings.
    let whole = |bytes: u64| bytes / MIB * MIB;
    PostgresSettings {
        max_connections,
        shared_buffers: whole((memory.saturating_mul(15) / 100).clamp(64 * MIB, 16 * GIB)),
        effective_cache_size: whole((memory / 2).saturating_mul(60) / 100),
        work_mem: whole((memory / 4 / (pool * 3 * 2)).clamp(4 * MIB, 64 * MIB)),
        maintenance_work_mem: whole((memory / 16).clamp(32 * MIB, 2 * GIB)),
        autovacuum_work_mem: whole((memory / 32).clamp(32 * MIB, 512 * MIB)),
        max_wal_size: whole(memory.clamp(GIB, 4 * GIB)),
        autovacuum_workers: 5.min(cpus + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_machines() {
        let small = postgres(&PostgresInput { cpus: 2, memory_bytes: 8 * GIB, max_connections: None });
        assert_eq!(small.max_connections, 50);
        assert_eq!(small.shared_buffers / MIB, 1228);
        let big = postgres(&PostgresInput { cpus: 8, memory_bytes: 32 * GIB, max_connections: None });
        assert_eq!(big.max_connections, 100);
        assert_eq!(big.work_mem / MIB, 42);
    }
}

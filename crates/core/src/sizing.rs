//! Sizing: a checked environment on a known machine becomes numbers, each with its rule.

use std::borrow::Cow;

use springtide_capacity::budget::{Budget, BudgetInput, budget};
use springtide_capacity::postgres::{PostgresInput, PostgresSettings, postgres};
use springtide_capacity::sessions::sessions_memory;
use springtide_capacity::workers::{Workers, WorkersInput, workers};

use crate::check::{CheckedEnvironment, CheckedPeak};
use crate::layout::Slot;
use crate::observe::HostFacts;

/// `db_maxconn` of the event server: its LISTEN and what polls need at once.
pub const LIVE_POOL: u16 = 4;

/// The least memory that an environment is reckoned with, as small as one that a file may ask for:
/// however many share a machine, arithmetic with less than Odoo can start in helps nobody.
pub const LEAST_MEMORY: u64 = 256 << 20;

/// An environment with everything computed that its workloads need.
#[derive(Debug, Clone)]
pub struct SizedEnvironment<'a> {
    /// The environment as it is now, active peaks laid over it.
    pub environment: Cow<'a, CheckedEnvironment>,
    /// Where its ports and ids lie.
    pub slot: Slot,
    /// When the certificate ends that its parts show, seconds since 1970. A renewed one is another, and
    /// whoever shows it must read it again.
    pub certificate_until: i64,
    /// Cores it may use.
    pub cpus: u32,
    /// Bytes it may use.
    pub memory_bytes: u64,
    /// Odoo processes.
    pub workers: Workers,
    /// PostgreSQL's parameters.
    pub settings: PostgresSettings,
    /// The connection budget.
    pub budget: Budget,
    /// Bytes of sessions that Redis may hold.
    pub sessions_memory: u64,
}

/// Sizes `environment` as it is at `now` (seconds since 1970) on a machine it shares evenly with
/// `sharing` environments, itself included; its certificate ends at `certificate_until`.
pub fn size<'a>(
    environment: &'a CheckedEnvironment,
    peaks: &[CheckedPeak],
    slot: Slot,
    host: &HostFacts,
    sharing: usize,
    now: i64,
    certificate_until: i64,
) -> SizedEnvironment<'a> {
    let current = environment.at(peaks, now);
    let sharing = u32::try_from(sharing.max(1)).unwrap_or(u32::MAX);
    let cpus = current.resources.cpus.unwrap_or_else(|| (host.cpus / sharing).max(1));
    let even = || (host.memory_bytes / u64::from(sharing)).max(LEAST_MEMORY);
    let memory_bytes = current.resources.memory.map_or_else(even, |size| size.bytes());
    let ask = |of: &CheckedEnvironment, burst| WorkersInput {
        users: of.users,
        cpus,
        memory_bytes,
        web: of.workers.web,
        cron: of.workers.cron,
        jobs: of.workers.jobs,
        burst,
    };
    let burst = match (&current, current.burst_workers) {
        (Cow::Owned(_), Some(most)) => Some((workers(&ask(environment, None)).web, most)),
        _ => None,
    };
    let workers = workers(&ask(&current, burst));
    let settings = postgres(&PostgresInput { cpus, memory_bytes, max_connections: current.max_connections });
    let budget = budget(&BudgetInput {
        web: workers.web,
        cron: workers.cron,
        jobs: workers.jobs,
        live_pool: LIVE_POOL,
        max_connections: settings.max_connections,
    });
    let sessions_memory = sessions_memory(memory_bytes);
    SizedEnvironment {
        environment: current,
        slot,
        certificate_until,
        cpus,
        memory_bytes,
        workers,
        settings,
        budget,
        sessions_memory,
    }
}

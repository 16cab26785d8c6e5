//! Signals as they are told.

use springtide_api::{
    ArchiverView, ConnectionsView, PoolView, ServiceView, SessionMemoryView, SignalsView, UnknownView,
};
use springtide_core::observe::Observed;

use crate::signals::Signals;

/// The view of what was gathered at `at`.
pub fn signals(seen: Signals, at: i64) -> SignalsView {
    let Signals { pools, connections, archiver, sessions, services } = seen;
    let mut unknown = Vec::new();
    let pools = known(&mut unknown, "pools", pools).unwrap_or_default();
    let connections = known(&mut unknown, "connections", connections);
    let archiver = known(&mut unknown, "archiver", archiver);
    let sessions = known(&mut unknown, "sessions", sessions);
    let services = known(&mut unknown, "services", services).unwrap_or_default();
    SignalsView {
        at,
        unknown,
        pools: pools
            .into_iter()
            .map(|it| PoolView {
                database: it.database,
                user: it.user,
                clients_active: it.clients_active,
                clients_waiting: it.clients_waiting,
                servers_active: it.servers_active,
                servers_idle: it.servers_idle,
                longest_wait_ms: it.longest_wait_ms,
            })
            .collect(),
        max_connections: connections.as_ref().map(|it| it.most),
        connections: connections
            .map(|it| it.by_role)
            .unwrap_or_default()
            .into_iter()
            .map(|(role, it)| ConnectionsView {
                role,
                active: it.active,
                in_transaction: it.in_transaction,
                idle: it.idle,
            })
            .collect(),
        archiver: archiver.map(|it| ArchiverView {
            last_archived: it.last_archived.map(|at| at.div_euclid(1_000_000)),
            failed: it.failed,
            last_failed: it.last_failed.map(|at| at.div_euclid(1_000_000)),
            ready_files: it.ready_files,
        }),
        sessions: sessions.map(|it| SessionMemoryView {
            used_bytes: it.used,
            most_bytes: it.most,
            clients: it.clients,
        }),
        services: services.into_iter().map(|it| ServiceView { name: it.name, up: it.up, down: it.down }).collect(),
    }
}

fn known<T>(unknown: &mut Vec<UnknownView>, what: &str, observed: Observed<T>) -> Option<T> {
    match observed {
        Observed::Known(value) => Some(value),
        Observed::Unknown(why) => {
            unknown.push(UnknownView { what: what.to_owned(), why });
            None
        }
    }
}

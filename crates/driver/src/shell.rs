//! What a person wants when they enter a workload and say no more: its shell. Pure, and the same
//! for every driver.

use springtide_core::role::Role;
use springtide_core::workload::{CONFIG_PATH, PortName, Volume, WorkloadSpec};

/// The command for an empty one: `psql` for PostgreSQL, Odoo's own shell for its roles, else `sh`.
pub fn command(spec: &WorkloadSpec) -> Vec<String> {
    let words: Vec<String> = match spec.id.role {
        Role::Postgres => vec!["psql".into()],
        role if role.is_odoo() => {
            // Beside the running server: no port of its own, no workers, no scheduled actions, and no
            // second job runner, which would come with the server-wide modules of its configuration.
            let conf = format!("{CONFIG_PATH}/odoo.conf");
            let quiet = ["--no-http", "--workers=0", "--max-cron-threads=0", "--load=base,web,springtide_runtime"]
                .map(String::from);
            [vec!["/usr/bin/odoo".into(), "shell".into(), "-c".into(), conf], quiet.into()].concat()
        }
        _ => vec!["/bin/sh".into()],
    };
    words
}

/// Variables a command gets beside the workload's own: clients of PostgreSQL find the server they
/// stand beside, over its own socket, as its administrator and without a password.
pub fn environment(spec: &WorkloadSpec) -> Vec<(String, String)> {
    let socket = spec.volumes.iter().find(|mount| mount.volume == Volume::PostgresSocket);
    match (spec.id.role, socket, spec.ports.get(&PortName::Sql)) {
        (Role::Postgres, Some(socket), Some(port)) => vec![
            ("PGHOST".into(), socket.at.clone()),
            ("PGPORT".into(), port.to_string()),
            ("PGUSER".into(), "postgres".into()),
            ("PGDATABASE".into(), "postgres".into()),
        ],
        _ => Vec::new(),
    }
}

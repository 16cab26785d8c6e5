//! Facts of the machine, read anew at each observation and never guessed.

use std::collections::{BTreeMap, BTreeSet};

use springtide_core::observe::HostFacts;
use springtide_core::series::Series;

use super::paths::{Paths, read_json};
use super::records::Run;
use super::{ports, programs};
use crate::ResolvedWorkload;

/// Ports in which a stranger is worth reporting even before anything of ours wants them.
const RANGE: std::ops::RangeInclusive<u16> = 21_000..=23_000;

/// Reads them. Blocks for some milliseconds.
pub(crate) fn read(paths: &Paths) -> HostFacts {
    let postgres_major = programs::postgres().map(|(major, _)| major);
    let mut missing = BTreeSet::new();
    if postgres_major.is_none() {
        missing.insert("postgresql".to_owned());
    }
    if !std::path::Path::new("/usr/sbin/pgbouncer").exists() {
        missing.insert("pgbouncer".to_owned());
    }
    if programs::redis().is_none() {
        missing.insert("redis-server".to_owned());
    }
    if !std::path::Path::new("/usr/bin/pgbackrest").exists() {
        missing.insert("pgbackrest".to_owned());
    }
    if !paths.tool("traefik").exists() {
        missing.insert("traefik".to_owned());
    }
    HostFacts {
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        memory_bytes: memory_bytes(),
        free_disk_bytes: free_disk_bytes(paths),
        odoo_roots: odoo_roots(paths),
        postgres_major,
        missing,
        foreign_ports: foreign_ports(paths),
    }
}

fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn free_disk_bytes(paths: &Paths) -> u64 {
    // Before the first operation the state folder does not exist; its nearest parent is on the
    // file system it will be on.
    let there = paths.state.ancestors().find(|path| path.exists());
    there
        .and_then(|path| nix::sys::statvfs::statvfs(path).ok())
        .map_or(0, |stat| stat.blocks_available() * stat.fragment_size())
}

fn odoo_roots(paths: &Paths) -> BTreeMap<Series, String> {
    Series::ALL
        .into_iter()
        .filter(|series| paths.odoo(*series).join("root").is_dir())
        .filter_map(|series| {
            let stamp = std::fs::read_to_string(paths.odoo(series).join("stamp")).ok()?;
            let version = stamp.lines().find_map(|line| line.strip_prefix("odoo="))?.trim().to_owned();
            Some((series, version))
        })
        .collect()
}

fn foreign_ports(paths: &Paths) -> BTreeMap<u16, String> {
    let folders = paths.all();
    let wanted: BTreeSet<u16> = folders
        .iter()
        .filter_map(|folder| read_json::<ResolvedWorkload>(&folder.spec()))
        .flat_map(|workload| workload.spec.ports.into_values())
        .collect();
    let sessions: BTreeMap<i32, String> = folders
        .iter()
        .filter_map(|folder| Some((read_json::<Run>(&folder.run())?.main, folder.name())))
        .filter(|(main, _)| main.alive())
        .map(|(main, name)| (main.pid, name))
        .collect();
    ports::holders(&paths.state, &sessions, |port| RANGE.contains(&port) || wanted.contains(&port))
        .into_iter()
        .filter(|(_, holder)| holder.ours.is_none())
        .map(|(port, holder)| (port, holder.to_string()))
        .collect()
}

//! Programs: from the bare name in a spec to a file on this machine.

use std::path::{Path, PathBuf};

use springtide_core::workload::Root;

use super::paths::Paths;
use crate::DriverError;

/// Where the newest PostgreSQL server programs are, and their major version.
pub(crate) fn postgres() -> Option<(u16, PathBuf)> {
    std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u16>().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("postgres").exists())
        .max()
}

/// Where Redis is.
pub(crate) fn redis() -> Option<PathBuf> {
    existing("/usr/bin/redis-server".into())
}

/// A resolved program.
pub(crate) struct Program {
    /// What is executed, as the workload sees it.
    pub path: PathBuf,
    /// A file of ours that must be bound to `path` first, because its own folder may be closed to
    /// the workload's user or hidden.
    pub bind: Option<PathBuf>,
}

/// Finds the program a command names.
pub(crate) fn resolve(paths: &Paths, root: &Root, name: &str) -> Result<Program, DriverError> {
    let missing = |hint: &str| DriverError::Missing { what: format!("program {name}"), hint: hint.to_owned() };
    let ours = |file: PathBuf| Program { path: Path::new("/srv/springtide/bin").join(name), bind: Some(file) };
    let there = |path: PathBuf| Program { path, bind: None };
    match root {
        Root::Springtide => Ok(ours(paths.binary.clone())),
        Root::Odoo(series) => {
            let base = paths.odoo(*series).join("root");
            if !base.is_dir() {
                return Err(DriverError::Missing {
                    what: format!("root of Odoo {series}"),
                    hint: format!("build it below {}", paths.odoo(*series).display()),
                });
            }
            if name.starts_with('/') {
                return Ok(there(name.into()));
            }
            // Links in the root point inside the root, so existence is all that can be asked here.
            ["usr/local/bin", "usr/bin", "bin"]
                .into_iter()
                .map(|folder| Path::new(folder).join(name))
                .find(|path| base.join(path).symlink_metadata().is_ok())
                .map(|path| there(Path::new("/").join(path)))
                .ok_or_else(|| missing("it is not in the root of this series"))
        }
        Root::Host if name.starts_with('/') => match Path::new(name).exists() {
            true => Ok(there(name.into())),
            false => Err(missing("no such file")),
        },
        Root::Host => match name {
            "traefik" => {
                let file = paths.tool(name).canonicalize().map_err(|_| missing("install the tools"))?;
                Ok(ours(file))
            }
            "pgbouncer" => existing("/usr/sbin/pgbouncer".into())
                .map(there)
                .ok_or_else(|| missing("install the package pgbouncer")),
            "redis-server" => redis().map(there).ok_or_else(|| missing("install the package redis-server")),
            _ => {
                let server = postgres().and_then(|(_, bin)| existing(bin.join(name)));
                let system =
                    || ["/usr/bin", "/bin", "/usr/sbin"].into_iter().find_map(|f| existing(Path::new(f).join(name)));
                server.or_else(system).map(there).ok_or_else(|| missing("install the package that has it"))
            }
        },
    }
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.exists().then_some(path)
}

//! Templates: stopped PostgreSQL data directories with Odoo installed, built once, copied often.
//!
//! Layout below the driver's estate folder: `templates/<key>/{pgdata,filestore/odoo,manifest.json}`.
//! A template is built as `<key>.building` and renamed when it is whole, so a folder with the bare
//! key is whole by definition.

mod build;
mod copy;
pub(crate) mod processes;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use springtide_core::names::ModuleName;
use springtide_core::observe::HostFacts;
use springtide_core::series::Series;
use springtide_driver::{Driver, DriverError};

pub use build::build;
pub use copy::{Copied, CopyMethod, copy};

use crate::postgres::AdminError;

/// What a template holds; equal specs share one template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSpec {
    /// Odoo series.
    pub series: Series,
    /// Modules to install; what they depend on comes with them.
    pub modules: BTreeSet<ModuleName>,
    /// Whether demo data is loaded.
    pub demo: bool,
}

impl TemplateSpec {
    /// Name of the template, as plans have it.
    pub fn key(&self) -> String {
        let modules: Vec<ModuleName> = self.modules.iter().cloned().collect();
        springtide_core::plan::environment::template_key(self.series, &modules, self.demo)
    }
}

/// What was built, kept as `manifest.json` in the template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What was asked for.
    pub spec: TemplateSpec,
    /// Version of the Odoo package, if the driver knows it.
    pub odoo_package: Option<String>,
    /// Every installed module with its version.
    pub modules: BTreeMap<String, String>,
    /// Major version of PostgreSQL; the data directory fits no other.
    pub postgres_major: u16,
    /// Bytes of data directory and filestore.
    pub bytes: u64,
    /// Seconds it took to build.
    pub seconds: u64,
    /// Seconds of it that Odoo needed to install the modules: what every copy saves.
    pub install_seconds: f64,
}

impl Manifest {
    /// Whether a copy runs on `host` as it was made: with the same Odoo package, whose code knows this
    /// very schema, and the PostgreSQL its data directory belongs to.
    pub fn fits(&self, host: &HostFacts) -> bool {
        Some(self.postgres_major) == host.postgres_major
            && self.odoo_package.as_ref() == host.odoo_roots.get(&self.spec.series)
    }
}

/// Why a template could not be built or copied.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// PostgreSQL refused something.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The PostgreSQL programs are not on this machine.
    #[error("the PostgreSQL server programs are missing: install the package postgresql")]
    NoPostgres,
    /// A step's program failed.
    #[error("{step} failed ({how}); log {log}\n{}", .lines.join("\n"), log = .log.display())]
    Step {
        /// Which step.
        step: &'static str,
        /// Exit code or signal.
        how: String,
        /// What it said, at most 30 lines.
        lines: Vec<String>,
        /// Its whole output.
        log: PathBuf,
    },
    /// Odoo could not install the modules.
    #[error("Odoo could not install the modules ({how}); log {log}\n{}", .lines.join("\n"), log = .log.display())]
    Install {
        /// Exit code, signal or deadline.
        how: String,
        /// Errors and the end of the traceback, at most 30 lines.
        lines: Vec<String>,
        /// The whole log.
        log: PathBuf,
    },
    /// Odoo ended well and modules are not installed: they do not exist or are not installable.
    #[error("Odoo has not installed {}: no such module in series {series}, or not installable; log {log}", .modules.join(", "), log = .log.display())]
    Modules {
        /// Which modules.
        modules: Vec<String>,
        /// In which series.
        series: Series,
        /// The whole log.
        log: PathBuf,
    },
    /// The temporary PostgreSQL did not answer.
    #[error("the temporary PostgreSQL did not answer within {seconds} s: {why}")]
    NotUp {
        /// Its deadline.
        seconds: u64,
        /// What was seen last.
        why: String,
    },
    /// The data directory was not left in a clean state.
    #[error("PostgreSQL did not shut down cleanly: the data directory says {0:?}")]
    NotClean(String),
    /// The disk is full. The source says so in a way that callers can ask for
    /// ([`io::ErrorKind::StorageFull`]).
    #[error("the disk of {path} is full: {why}", path = .path.display())]
    Full {
        /// A folder on that disk.
        path: PathBuf,
        /// What failed for it.
        why: String,
        /// No space left on device.
        #[source]
        source: io::Error,
    },
    /// There is no template of that name.
    #[error("template {0} does not exist; it must be built first")]
    NoTemplate(String),
    /// This file system cannot clone files.
    #[error("the file system of {path} cannot clone files (reflink)", path = .0.display())]
    NoReflink(PathBuf),
    /// A file-system call failed.
    #[error("cannot {verb} {path}", path = .path.display())]
    Io {
        /// What was attempted.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl TemplateError {
    /// The same error as [`TemplateError::Full`], if a program may have failed because the disk of
    /// `path` is full. Its own log lies on that disk and need not hold the reason.
    fn or_full(self, path: &Path) -> Self {
        let lines = match &self {
            TemplateError::Step { lines, .. } | TemplateError::Install { lines, .. } => lines.as_slice(),
            _ => return self,
        };
        let free = nix::sys::statvfs::statvfs(path).map_or(u64::MAX, |it| it.blocks_available() * it.fragment_size());
        if free >= FULL && !lines.iter().any(|line| line.contains("No space left on device")) {
            return self;
        }
        let source = io::Error::from_raw_os_error(nix::libc::ENOSPC);
        TemplateError::Full { path: path.to_owned(), why: self.to_string(), source }
    }
}

/// Less than this is a full disk, bytes: PostgreSQL gives up when it cannot make its next log segment
/// of 16 MiB.
const FULL: u64 = 24 << 20;

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TemplateError {
    let path = path.to_owned();
    move |source| TemplateError::Io { verb, path, source }
}

/// Folder of all templates.
pub fn folder(driver: &dyn Driver) -> PathBuf {
    driver.estate_folder().join("templates")
}

/// Keys of the templates that are whole and fit what `host` has. A folder that cannot be read holds none.
pub fn list(driver: &dyn Driver, host: &HostFacts) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder(driver)) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.ends_with(BUILDING) && !name.ends_with(REMOVING))
        .filter(|name| manifest(driver, name).is_ok_and(|made| made.fits(host)))
        .collect()
}

/// The manifest of a template.
pub fn manifest(driver: &dyn Driver, key: &str) -> Result<Manifest, TemplateError> {
    let path = folder(driver).join(key).join("manifest.json");
    let bytes = std::fs::read(&path).map_err(|_| TemplateError::NoTemplate(key.to_owned()))?;
    serde_json::from_slice(&bytes).map_err(|error| io_error("read", &path)(error.into()))
}

/// Removes a template. Absent is success. Copies do not depend on it.
pub fn remove(driver: &dyn Driver, key: &str) -> Result<(), TemplateError> {
    let whole = folder(driver).join(key);
    let going = folder(driver).join(format!("{key}{REMOVING}"));
    crate::folders::remove_folder(&going).map_err(io_error("remove", &going))?;
    match std::fs::rename(&whole, &going) {
        Ok(()) => crate::folders::remove_folder(&going).map_err(io_error("remove", &going)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", &whole)(error)),
    }
}

/// Ending of a folder that is being built.
const BUILDING: &str = ".building";
/// Ending of a folder that is being removed.
const REMOVING: &str = ".removing";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_the_content() {
        let spec = |modules: &[&str], demo| TemplateSpec {
            series: Series::DEFAULT,
            modules: modules.iter().map(|m| m.parse().unwrap()).collect(),
            demo,
        };
        let key = spec(&["stock", "web"], false).key();
        assert!(key.starts_with("19.0-") && key.ends_with("-nodemo"), "{key}");
        assert_eq!(key, spec(&["web", "stock"], false).key());
        assert_ne!(key, spec(&["web"], false).key());
        assert!(spec(&["web"], true).key().ends_with("-demo"));
    }
}

//! The last backup before an environment is destroyed: one dump, one filestore archive, a manifest,
//! all read back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_core::workload::{Root, UserSpec, Volume};
use springtide_driver::{Driver, DriverError, Generation, Network, Task, TaskMount};

use crate::folders::{remove_folder, sync_file_system, sync_folder, write_whole};
use crate::odoo_log;
use crate::postgres::{AdminError, database_of};

/// Seconds for dump and archive, each.
const DEADLINE_SECONDS: u32 = 60 * 60;

/// Why there is no final backup; then nothing may be destroyed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The environment's name gives no database.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The PostgreSQL programs are not on this machine.
    #[error("the PostgreSQL client programs are missing: install the package postgresql-client")]
    NoPostgres,
    /// A backup of that name is there already.
    #[error("{} exists; a final backup never replaces another", .0.display())]
    Exists(PathBuf),
    /// A program failed.
    #[error("{step} failed ({how}); log {log}\n{}", .lines.join("\n"), log = .log.display())]
    Step {
        /// Which step.
        step: &'static str,
        /// Exit code or signal.
        how: String,
        /// What it said.
        lines: Vec<String>,
        /// Its whole output.
        log: PathBuf,
    },
    /// What was read back is not what was written, or holds nothing.
    #[error("the backup's {0} does not pass its check: {1}")]
    Bad(&'static str, String),
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

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { verb, path, source }
}

/// What the backup holds, kept as `manifest.json` in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// Whose data it is.
    pub environment: EnvironmentName,
    /// Name of the database in the dump and of the folder in the archive.
    pub database: String,
    /// Each file with its size and SHA-256.
    pub files: BTreeMap<String, BackupFile>,
    /// Tables whose data is in the dump, as `pg_restore --list` counts them.
    pub tables: u64,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// Writes database and filestore into the new folder `to` (0700), whole or not at all, and reads
/// both back. Odoo should be stopped, so that the two fit together; PostgreSQL must run.
///
/// The dump's task runs as user 0, whom PostgreSQL knows as its superuser by peer identity.
pub async fn final_backup(
    driver: &dyn Driver,
    environment: &EnvironmentName,
    slot: Slot,
    to: &Path,
    generation: Generation,
) -> Result<BackupManifest, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".writing");
    let writing = to.with_file_name(name);
    remove_folder(&writing).map_err(io_error("remove", &writing))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&writing).map_err(io_error("create", &writing))?;
    match write(driver, environment, slot, &writing, generation).await {
        Ok(manifest) => {
            sync_file_system(&writing).map_err(io_error("sync", &writing))?;
            fs::rename(&writing, to).map_err(io_error("rename", &writing))?;
            sync_folder(to.parent().unwrap_or(Path::new("/"))).map_err(io_error("sync", to))?;
            Ok(manifest)
        }
        Err(error) => {
            if let Err(left) = remove_folder(&writing) {
                tracing::warn!(%left, "a backup that failed could not be removed");
            }
            Err(error)
        }
    }
}

async fn write(
    driver: &dyn Driver,
    environment: &EnvironmentName,
    slot: Slot,
    folder: &Path,
    generation: Generation,
) -> Result<BackupManifest, BackupError> {
    let database = database_of(environment)?;
    let major = driver.observe().await?.host.postgres_major.ok_or(BackupError::NoPostgres)?;
    let program = |name: &str| format!("/usr/lib/postgresql/{major}/bin/{name}");
    let port = slot.port(Role::Postgres).unwrap_or_default().to_string();
    let task = |name: &str, command: Vec<String>| Task {
        name: format!("{name}-{environment}"),
        root: Root::Host,
        command,
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into()), ("LC_ALL".into(), "C.UTF-8".into())]),
        files: Vec::new(),
        mounts: vec![
            TaskMount { from: folder.to_owned(), at: "/srv/springtide/backup".into(), read_only: false },
            TaskMount {
                from: driver.volume(Some(environment), Volume::PostgresSocket),
                at: "/srv/springtide/socket".into(),
                read_only: false,
            },
            TaskMount {
                from: driver.volume(Some(environment), Volume::OdooData),
                at: "/srv/springtide/odoo-data".into(),
                read_only: true,
            },
        ],
        user: UserSpec { uid: 0, gid: 0 },
        network: Network::Machine,
        deadline_s: DEADLINE_SECONDS,
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let run = async |step: &'static str, task: Task| -> Result<String, BackupError> {
        let outcome = driver.run_task(&task, generation).await?;
        if outcome.code == Some(0) {
            return Ok(fs::read_to_string(&outcome.log).unwrap_or(outcome.tail));
        }
        let how =
            outcome.code.map_or("ended by a signal or its deadline".to_owned(), |code| format!("exit code {code}"));
        Err(BackupError::Step {
            step,
            how,
            lines: odoo_log::relevant_of(&outcome.log, &outcome.tail),
            log: outcome.log,
        })
    };

    let dump = words(&[
        &program("pg_dump"),
        "-h",
        "/srv/springtide/socket",
        "-p",
        &port,
        "-U",
        "postgres",
        "--no-password",
        "-Fc",
        "-f",
        "/srv/springtide/backup/database.dump",
        &database,
    ]);
    run("the dump", task("dump", dump)).await?;
    let filestore = driver.volume(Some(environment), Volume::OdooData).join("filestore").join(&database);
    let has_filestore = filestore.is_dir();
    if has_filestore {
        let tar = words(&[
            "tar",
            "--create",
            "--numeric-owner",
            "--sort=name",
            "--file",
            "/srv/springtide/backup/filestore.tar",
            "--directory",
            "/srv/springtide/odoo-data/filestore",
            &database,
        ]);
        run("the filestore's archive", task("archive", tar)).await?;
    }

    let mut files = BTreeMap::new();
    for name in ["database.dump", "filestore.tar"] {
        let path = folder.join(name);
        if path.is_file() {
            files.insert(name.to_owned(), hash(&path).map_err(io_error("read", &path))?);
        }
    }
    let list = run(
        "reading the dump back",
        task("list", words(&[&program("pg_restore"), "--list", "/srv/springtide/backup/database.dump"])),
    )
    .await?;
    let tables = list.lines().filter(|line| !line.starts_with(';') && line.contains(" TABLE DATA ")).count() as u64;
    if tables == 0 {
        return Err(BackupError::Bad("dump", "it holds no table".into()));
    }
    if has_filestore {
        run(
            "reading the archive back",
            task("read", words(&["tar", "--list", "--file", "/srv/springtide/backup/filestore.tar"])),
        )
        .await?;
    }
    let manifest = BackupManifest { environment: environment.clone(), database, files, tables };
    let path = folder.join("manifest.json");
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| io_error("write", &path)(error.into()))?;
    write_whole(&path, &text, 0o600).map_err(io_error("write", &path))?;
    verify(folder)
}

/// Reads a backup's files again and compares sizes and hashes with its manifest.
pub fn verify(folder: &Path) -> Result<BackupManifest, BackupError> {
    let path = folder.join("manifest.json");
    let bytes = fs::read(&path).map_err(io_error("read", &path))?;
    let manifest: BackupManifest =
        serde_json::from_slice(&bytes).map_err(|error| io_error("read", &path)(error.into()))?;
    for (name, expected) in &manifest.files {
        let path = folder.join(name);
        let found = hash(&path).map_err(io_error("read", &path))?;
        if found != *expected {
            return Err(BackupError::Bad("file", format!("{name} has changed since it was written")));
        }
    }
    Ok(manifest)
}

fn hash(path: &Path) -> io::Result<BackupFile> {
    let mut file = File::open(path)?;
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        sha.update(&buffer[..read]);
    }
    let sha256 = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(BackupFile { bytes, sha256 })
}

//! Where everything lies: the one module that spells file names of the state folder and the cache.
//!
//! Files that another process may read while we write are replaced by temporary + rename, so a
//! reader sees the old content or the new, never half of one. Nothing here is world-readable.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;
use springtide_core::series::Series;
use springtide_core::workload::{Volume, WorkloadId};

use crate::DriverError;

/// The three folders a process driver knows.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// Everything that must not be lost, and the supervisor's own files.
    pub state: PathBuf,
    /// Odoo roots and tools; can be built again.
    pub cache: PathBuf,
    /// The program that serves the hidden subcommands.
    pub binary: PathBuf,
}

impl Paths {
    /// File in a task's folder that says which process it is.
    pub const TASK_MAIN: &str = "main.json";
    /// Begin of the extension of a file that is being written; the writer's pid follows.
    pub const TEMPORARY: &str = "new";

    pub fn workloads(&self) -> PathBuf {
        self.state.join("workloads")
    }
    pub fn workload(&self, id: &WorkloadId) -> Folder {
        Folder(self.workloads().join(id.folder()))
    }
    pub fn tasks(&self) -> PathBuf {
        self.state.join("tasks")
    }
    pub fn task(&self, name: &str) -> PathBuf {
        self.tasks().join(name)
    }
    pub fn environment(&self, environment: &EnvironmentName) -> PathBuf {
        self.state.join("environments").join(environment.as_str())
    }
    pub fn volume(&self, environment: Option<&EnvironmentName>, volume: Volume) -> PathBuf {
        match (environment, volume) {
            // Beside what belongs to the environment alone, since it outlives it.
            (Some(environment), Volume::BackupNear) => self.backup(environment).join("near/pg"),
            (Some(environment), _) => self.environment(environment).join("volumes").join(volume.as_str()),
            (None, _) => self.state.join("volumes").join(volume.as_str()),
        }
    }
    /// What of an environment's backups lies in the state folder.
    pub fn backup(&self, environment: &EnvironmentName) -> PathBuf {
        self.state.join("backup").join(environment.as_str())
    }
    /// Where they go when the environment goes: the next one of its name begins with an empty folder.
    pub fn former_backup(&self, environment: &EnvironmentName, number: u32) -> PathBuf {
        // No environment's name holds the sign.
        self.state.join("backup").join(format!("{environment}@{number}"))
    }
    /// A folder of files that came with a version of Springtide.
    pub fn bundle(&self, digest: &Digest) -> PathBuf {
        self.state.join("bundles").join(digest.to_string())
    }
    pub fn odoo(&self, series: Series) -> PathBuf {
        self.cache.join("odoo").join(series.to_string())
    }
    pub fn tool(&self, name: &str) -> PathBuf {
        self.cache.join("tools/bin").join(name)
    }
    pub fn lock(&self) -> PathBuf {
        self.state.join("supervisor.lock")
    }
    pub fn supervisor_record(&self) -> PathBuf {
        self.state.join("supervisor.json")
    }
    pub fn server_log(&self) -> PathBuf {
        self.state.join("server.log")
    }
    pub fn supervisor_log(&self) -> PathBuf {
        self.state.join("supervisor.log")
    }
    /// Empty; touched whenever what is seen of a workload changes.
    pub fn changes(&self) -> PathBuf {
        self.state.join("changes")
    }
    pub fn fence(&self) -> PathBuf {
        self.state.join("fence")
    }
    /// Arguments that tell a hidden subcommand where everything lies.
    pub fn arguments(&self) -> Vec<std::ffi::OsString> {
        vec![
            "--state".into(),
            self.state.clone().into(),
            "--cache".into(),
            self.cache.clone().into(),
            "--binary".into(),
            self.binary.clone().into(),
        ]
    }
    /// Folders of all workloads.
    pub fn all(&self) -> Vec<Folder> {
        let Ok(entries) = fs::read_dir(self.workloads()) else { return Vec::new() };
        let mut all: Vec<_> = entries.flatten().map(|entry| Folder(entry.path())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// The folder of one workload.
#[derive(Debug, Clone)]
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }
    pub fn run(&self) -> PathBuf {
        self.0.join("run.json")
    }
    pub fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }
    pub fn status(&self) -> PathBuf {
        self.0.join("status")
    }
    pub fn config(&self) -> PathBuf {
        self.0.join("config")
    }
    pub fn log(&self) -> PathBuf {
        self.0.join("log/current.log")
    }
    pub fn keeper_lock(&self) -> PathBuf {
        self.0.join("keeper.lock")
    }
}

/// Opens a lock, making it for root alone: who can open one can hold it.
pub(crate) fn open_lock(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Turns an [`io::Error`] into a [`DriverError::Io`].
pub(crate) fn io(verb: &'static str, object: &Path) -> impl FnOnce(io::Error) -> DriverError {
    let object = object.display().to_string();
    move |source| DriverError::Io { verb, object, source }
}

/// Makes a folder and its parents, for root alone.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces a file at once; `group` 0 keeps it root's.
pub(crate) fn write_whole(path: &Path, content: &[u8], mode: u32, group: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{}", Paths::TEMPORARY, std::process::id()));
    let temporary = path.with_file_name(name);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = (|| {
        file.write_all(content)?;
        nix::unistd::fchown(&file, Some(Uid::from_raw(0)), Some(Gid::from_raw(group)))?;
        // Mode after owner: chown may drop bits, and nobody may read before the group is right.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Gives a file, which is made if it is not there, the present as its time.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_modified(std::time::SystemTime::now())
}

/// Replaces a JSON file at once, owner-only.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec(value)?, 0o600, 0)
}

/// Reads a JSON file; `None` if it is absent or not whole.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// A path for a socket in `folder` that fits the 108 bytes of a socket address however long the
/// folder's own path is. Valid while the descriptor is open.
pub(crate) fn socket_path(folder: &Path, name: &str) -> io::Result<(OwnedFd, PathBuf)> {
    let handle =
        nix::fcntl::open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", handle.as_raw_fd()));
    Ok((handle, path))
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

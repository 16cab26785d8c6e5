//! Where an environment's backups are made: its folders on this machine, its user, its repositories with their
//! secrets. [`Site`] lives between executor and engine only and has no `Debug`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use springtide_core::backup::RepoKey;
use springtide_core::backup::conf::{CONF_FILE, Conf, DATA_AT, Part, Place, SOCKET_AT, WORK_AT};
use springtide_core::workload::UserSpec;
use springtide_driver::TaskMount;

use super::error::{EngineError, io_error};

/// All that the engine needs to know of one environment.
#[derive(Clone)]
pub struct Site {
    /// What the configuration says, with the secrets' values.
    pub conf: Conf<SecretString>,
    /// Who runs PostgreSQL and so the engine, and owns the folders.
    pub user: UserSpec,
    /// The data directory.
    pub data: PathBuf,
    /// Folder of the server's socket.
    pub socket: PathBuf,
    /// Folder with locks, spool and logs; the server sees the same.
    pub work: PathBuf,
    /// Folders of the repositories that are folders.
    pub folders: BTreeMap<RepoKey, PathBuf>,
    /// Certificate authorities (PEM) of the repositories that have their own.
    pub authorities: BTreeMap<RepoKey, String>,
}

impl Site {
    /// Configuration files of a task.
    pub(super) fn files(&self) -> Result<Vec<(String, String)>, EngineError> {
        let mut text = String::new();
        for part in self.conf.render().map_err(|error| EngineError::Program(error.to_string()))? {
            match part {
                Part::Plain(plain) => text.push_str(&plain),
                Part::Secret(secret) => {
                    let value = secret.expose_secret();
                    if value.is_empty() || value.chars().any(char::is_control) {
                        return Err(EngineError::Program("a key or passphrase is empty or holds a line break".into()));
                    }
                    text.push_str(value);
                }
            }
        }
        let mut files = vec![(CONF_FILE.to_owned(), text)];
        for (key, pem) in &self.authorities {
            files.push((key.authority_file().to_owned(), pem.clone()));
        }
        Ok(files)
    }

    /// `text` without any secret of this site.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut secrets: Vec<&SecretString> = self.conf.repos.iter().map(|repo| &repo.passphrase).collect();
        for repo in &self.conf.repos {
            if let Place::S3 { access_key, secret_key, .. } = &repo.place {
                secrets.extend([access_key, secret_key]);
            }
        }
        secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| secret.len() >= 4).fold(
            text.to_owned(),
            |text, secret| if text.contains(secret) { text.replace(secret, "********") } else { text },
        )
    }

    /// Folders of the repositories, where tasks see them.
    pub(super) fn repo_mounts(&self) -> Vec<TaskMount> {
        let mount = |(key, from): (&RepoKey, &PathBuf)| TaskMount {
            from: from.clone(),
            at: key.folder_at().into(),
            read_only: false,
        };
        self.folders.iter().map(mount).collect()
    }

    /// The environment's own folders.
    pub(super) fn server_mounts(&self) -> Vec<TaskMount> {
        let mount = |from: &Path, at: &str, read_only| TaskMount { from: from.to_owned(), at: at.into(), read_only };
        vec![
            // It reads the data and writes nothing into it.
            mount(&self.data, DATA_AT, true),
            mount(&self.socket, SOCKET_AT, false),
            mount(&self.work, WORK_AT, false),
        ]
    }

    /// Makes the folders that tasks see and that are not there yet.
    pub(super) fn make_folders(&self) -> Result<(), EngineError> {
        for folder in self.folders.values() {
            owned_folder(folder, self.user, 0o750)?;
        }
        work_folders(&self.work, self.user)
    }

    /// The repository that an error of a command for all of them is about: the one whose host or number it names, else
    /// the first.
    pub(super) fn repo_in(&self, output: &str) -> Option<RepoKey> {
        let (_, error) = output.split_once("ERROR: [")?;
        let named = |key: &RepoKey| {
            let host = self.conf.repos.iter().find(|repo| repo.key == *key).and_then(|repo| match &repo.place {
                Place::S3 { host, .. } => Some(format!("'{host}:")),
                Place::Folder => None,
            });
            host.is_some_and(|host| error.contains(&host)) || error.contains(&format!("repo{}", key.number()))
        };
        let keys = self.repos();
        keys.iter().copied().find(named).or(keys.first().copied())
    }

    /// The keys of its repositories, the near one first.
    pub fn repos(&self) -> Vec<RepoKey> {
        let mut keys: Vec<RepoKey> = self.conf.repos.iter().map(|repo| repo.key).collect();
        keys.sort_unstable();
        keys
    }
}

/// Makes a working folder with what the engine expects in it.
pub(super) fn work_folders(work: &Path, user: UserSpec) -> Result<(), EngineError> {
    owned_folder(work, user, 0o750)?;
    ["lock", "log", "spool"].iter().try_for_each(|name| owned_folder(&work.join(name), user, 0o750))
}

/// Makes a folder for `user` unless it is there; one that is somebody else's is given over only if it is empty.
pub(super) fn owned_folder(path: &Path, user: UserSpec, mode: u32) -> Result<(), EngineError> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(parent).map_err(io_error("create", parent))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io_error("create", path)(error)),
        _ => {}
    }
    let meta = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
    if !meta.is_dir() {
        return Err(EngineError::Folder { folder: path.to_owned(), why: "it is no folder".into() });
    }
    if meta.uid() != user.uid {
        let empty = fs::read_dir(path).map_err(io_error("read", path))?.next().is_none();
        if !empty {
            let why = format!("it belongs to user {} and holds files", meta.uid());
            return Err(EngineError::Folder { folder: path.to_owned(), why });
        }
        chown(path, Some(user.uid), Some(user.gid)).map_err(io_error("give away", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io_error("set the mode of", path))?;
    }
    Ok(())
}

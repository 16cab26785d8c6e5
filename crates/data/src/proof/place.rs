//! The folder of a proof: one per environment, held by a lock while somebody proves, and empty at its begin.
//!
//! Layout: `proofs/<environment>/{pgdata,filestore,…}` below the driver's estate folder, with `<environment>.lock`
//! beside it. A prover that is killed loses its lock with its life; its tasks are ended by their keepers, and whoever
//! takes or sweeps the place next ends what is left and removes the folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use springtide_core::names::EnvironmentName;
use springtide_driver::Driver;

use crate::folders::remove_folder;
use crate::template::processes;

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Another proof of the environment is under way.
    #[error("a proof of {0} is under way already")]
    Taken(String),
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

impl PlaceError {
    /// Code for people and `springtide explain`.
    pub fn code(&self) -> &'static str {
        match self {
            PlaceError::Taken(_) => "E1032",
            PlaceError::Io { .. } => "E1033",
        }
    }
}

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::Io { verb, path, source }
}

/// An empty folder that is ours while this lives.
pub struct Place {
    folder: PathBuf,
    _lock: Flock<File>,
}

fn folder_of(driver: &dyn Driver) -> PathBuf {
    driver.estate_folder().join("proofs")
}

impl Place {
    /// Takes the place of an environment, ends what an earlier proof left in it and empties it.
    pub async fn take(driver: &dyn Driver, environment: &EnvironmentName) -> Result<Self, PlaceError> {
        Self::take_named(&folder_of(driver), environment.as_str()).await
    }

    async fn take_named(all: &Path, name: &str) -> Result<Self, PlaceError> {
        DirBuilder::new().recursive(true).mode(0o711).create(all).map_err(io_error("create", all))?;
        let path = all.join(format!("{name}.lock"));
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open.map_err(io_error("open", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            nix::errno::Errno::EWOULDBLOCK => PlaceError::Taken(name.to_owned()),
            other => io_error("lock", &path)(other.into()),
        })?;
        let place = Self { folder: all.join(name), _lock: lock };
        place.empty().await?;
        DirBuilder::new().mode(0o711).create(&place.folder).map_err(io_error("create", &place.folder))?;
        Ok(place)
    }

    /// Where the data directory is restored to.
    pub fn data(&self) -> PathBuf {
        self.folder.join("pgdata")
    }
    /// Where the filestore is restored to.
    pub fn filestore(&self) -> PathBuf {
        self.folder.join("filestore")
    }
    /// Where the proof itself keeps what it needs.
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    async fn empty(&self) -> Result<(), PlaceError> {
        processes::end(&self.data()).await;
        remove_folder(&self.folder).map_err(io_error("remove", &self.folder))
    }

    /// Ends whatever still runs in it and removes it.
    pub async fn clear(self) -> Result<(), PlaceError> {
        self.empty().await
    }
}

/// Environments whose place is full and nobody's: their prover was killed.
pub fn leftovers(driver: &dyn Driver) -> Vec<String> {
    let all = folder_of(driver);
    let entries = fs::read_dir(&all).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let free = |name: &String| {
        let path = all.join(format!("{name}.lock"));
        // Opened for reading and let go at once; one that is proving holds it.
        File::open(&path).map_or(true, |file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok())
    };
    let mut names: Vec<String> =
        folders.filter_map(|entry| entry.file_name().into_string().ok()).filter(free).collect();
    names.sort();
    names
}

/// Removes all of them; their names.
pub async fn sweep(driver: &dyn Driver) -> Result<Vec<String>, PlaceError> {
    let mut gone = Vec::new();
    for name in leftovers(driver) {
        match Place::take_named(&folder_of(driver), &name).await {
            Ok(place) => {
                place.clear().await?;
                gone.push(name);
            }
            // Somebody began a new proof in the meantime.
            Err(PlaceError::Taken(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_one_s_own_and_empty() {
        let all = tempfile::tempdir().unwrap();
        let first = Place::take_named(all.path(), "shop").await.unwrap();
        fs::create_dir(first.data()).unwrap();
        fs::write(first.data().join("x"), "x").unwrap();
        assert!(matches!(Place::take_named(all.path(), "shop").await, Err(PlaceError::Taken(_))));
        assert!(Place::take_named(all.path(), "other").await.is_ok(), "another environment's is free");
        drop(first);
        let second = Place::take_named(all.path(), "shop").await.unwrap();
        assert!(!second.data().exists(), "what the first left is gone");
        second.clear().await.unwrap();
        assert!(!all.path().join("shop").exists());
    }
}

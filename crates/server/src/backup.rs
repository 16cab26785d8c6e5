//! The engine of an environment's backups, with its folders and keys; and its repository prepared.
//!
//! The rule that keeps it right: an exit code is not believed. A repository counts as prepared once PostgreSQL
//! itself says that a segment was taken since, and that nothing failed after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use springtide_core::backup::conf::{Conf, Place as RepoPlace, Repo};
use springtide_core::backup::{Label, RepoKey};
use springtide_core::check::CheckedBackup;
use springtide_core::names::EnvironmentName;
use springtide_core::place::Place;
use springtide_core::role::Role;
use springtide_core::roles::archive;
use springtide_core::sizing::SizedEnvironment;
use springtide_core::workload::{Piece, Text, Volume};
use springtide_data::backup::{BackupEngine as _, EngineError, PgBackRest, Site};
use springtide_data::postgres::archiver;
use springtide_data::secrets::SecretStore;
use springtide_driver::{Driver, Generation};

use crate::Estate;
use crate::execute::{Execution, Failure};

/// How long PostgreSQL may take to say that a segment was taken, once the engine has seen it arrive.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a store may take to accept a connection.
const ANSWER: Duration = Duration::from_secs(10);

/// Why a repository is not prepared. The database serves on; its write-ahead log waits on this machine.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The environment is not to be backed up.
    #[error("{0} has no backups in the estate file")]
    NoBackups(EnvironmentName),
    /// The folder below which its own is to be does not exist.
    #[error("{} is not there: mount its disk or make the folder, then springtide apply; the database runs meanwhile", .0.display())]
    Away(PathBuf),
    /// The environment that was backed up is not here.
    #[error(
        "{0} is not here or not in the estate file, and what is restored from its backups needs its places and keys"
    )]
    NotHere(EnvironmentName),
    /// The set that was chosen does not serve any more.
    #[error(
        "backup set {set} of the {repo} copy of {from} does not serve any more; nothing was restored, choose another one"
    )]
    NoSet {
        /// The set.
        set: Label,
        /// Which copy.
        repo: RepoKey,
        /// The environment.
        from: EnvironmentName,
    },
    /// Segments do not arrive, and nothing says why.
    #[error(
        "its write-ahead log does not arrive; the database serves, and the log waits on this machine. If an environment \
         of this name was backed up to the same place before, name another one, since both logs cannot lie there"
    )]
    NothingArrives(#[source] EngineError),
    /// The engine says that all is well, and PostgreSQL does not.
    #[error("PostgreSQL does not say that its write-ahead log is archived ({0}); see springtide logs")]
    NotArchived(String),
}

/// The place of an environment's backups in the state folder; the repository lies in `pg` of it.
pub fn own_place(driver: &dyn Driver, environment: &EnvironmentName) -> PathBuf {
    let repository = driver.volume(Some(environment), Volume::BackupNear);
    repository.parent().map(Path::to_owned).unwrap_or(repository)
}

/// The engine of an environment's backups, for one operation.
///
/// # Errors
/// If it has no backups, a folder that the estate file names is not there, or a secret or the file of a store
/// cannot be read.
pub fn engine(estate: &Estate, sized: &SizedEnvironment<'_>, generation: Generation) -> Result<PgBackRest, Failure> {
    Ok(PgBackRest::new(Arc::clone(&estate.driver), generation, site(estate, sized)?))
}

/// Where an environment's backups are made and with which keys.
fn site(estate: &Estate, sized: &SizedEnvironment<'_>) -> Result<Site, Failure> {
    let name = &sized.environment.name;
    let none = || RepositoryError::NoBackups(name.clone());
    let backup = sized.environment.backup.as_ref().ok_or_else(none)?;
    let volume = |volume| estate.driver.volume(Some(name), volume);
    Ok(Site {
        conf: with_secrets(&estate.secrets, archive::conf(sized, true).ok_or_else(none)?)?,
        user: sized.slot.user(Role::Postgres),
        data: volume(Volume::PostgresData),
        socket: volume(Volume::PostgresSocket),
        work: volume(Volume::BackupSpool),
        folders: folders(estate.driver.as_ref(), name, backup)?,
        authorities: authorities(&estate.secrets, backup)?,
    })
}

fn with_secrets(secrets: &SecretStore, conf: Conf<Piece>) -> Result<Conf<SecretString>, Failure> {
    let value = |piece: Piece| secrets.resolve(&Text(vec![piece]));
    let mut repos = Vec::with_capacity(conf.repos.len());
    for Repo { key, place, passphrase } in conf.repos {
        let place = match place {
            RepoPlace::Folder => RepoPlace::Folder,
            RepoPlace::S3 { host, port, region, bucket, prefix, own_authority, access_key, secret_key } => {
                let (access_key, secret_key) = (value(access_key)?, value(secret_key)?);
                RepoPlace::S3 { host, port, region, bucket, prefix, own_authority, access_key, secret_key }
            }
        };
        repos.push(Repo { key, place, passphrase: value(passphrase)? });
    }
    let Conf { environment, repos: _, port, processes, queue_bytes, log_files } = conf;
    Ok(Conf { environment, repos, port, processes, queue_bytes, log_files })
}

/// Folders of the repositories that are folders.
fn folders(
    driver: &dyn Driver,
    name: &EnvironmentName,
    backup: &CheckedBackup,
) -> Result<BTreeMap<RepoKey, PathBuf>, RepositoryError> {
    let mut folders = BTreeMap::new();
    for (key, place) in [(RepoKey::Near, Some(&backup.near)), (RepoKey::Far, backup.far.as_ref())] {
        let folder = match place {
            Some(Place::Own) => driver.volume(Some(name), Volume::BackupNear),
            Some(Place::Folder(path)) => {
                // Never made here: on a disk that is away, what is written goes elsewhere and is missed later.
                let base = Path::new(path).parent().unwrap_or(Path::new("/"));
                if !base.is_dir() {
                    return Err(RepositoryError::Away(base.to_owned()));
                }
                Path::new(path).join(archive::REPOSITORY)
            }
            Some(Place::Bucket { .. }) | None => continue,
        };
        folders.insert(key, folder);
    }
    Ok(folders)
}

/// Authorities of the stores that have their own.
fn authorities(secrets: &SecretStore, backup: &CheckedBackup) -> Result<BTreeMap<RepoKey, String>, Failure> {
    let mut all = BTreeMap::new();
    for (key, place) in [(RepoKey::Near, Some(&backup.near)), (RepoKey::Far, backup.far.as_ref())] {
        if place.and_then(Place::store).is_some_and(|store| store.authority.is_some()) {
            all.insert(key, secrets.resolve(&archive::authority(place))?.expose_secret().to_owned());
        }
    }
    Ok(all)
}

/// Whether every store of an environment's places answers at all. The engine tries one that is away for minutes
/// before it gives up, and nobody knows meanwhile what is waited for.
async fn answers(backup: &CheckedBackup) -> Result<(), EngineError> {
    for (key, place) in [(RepoKey::Near, Some(&backup.near)), (RepoKey::Far, backup.far.as_ref())] {
        let Some(store) = place.and_then(Place::store) else { continue };
        let connect = tokio::net::TcpStream::connect((store.host.as_str(), store.port));
        let away = |why: String| Err(EngineError::Unreachable(key, format!("{}: {why}", store.endpoint())));
        match tokio::time::timeout(ANSWER, connect).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return away(error.to_string()),
            Err(_) => return away(format!("no answer within {} s", ANSWER.as_secs())),
        }
    }
    Ok(())
}

/// Prepares the repository of an environment whose server runs, and sees that write-ahead log arrives in it.
/// May be repeated, and be cut off anywhere.
pub async fn prepare(execution: &Execution<'_>, sized: &SizedEnvironment<'_>) -> Result<(), Failure> {
    let engine = engine(execution.estate, sized, Generation(execution.epoch.0))?;
    if let Some(backup) = &sized.environment.backup {
        answers(backup).await?;
    }
    let admin = execution.admin(sized).await?;
    let before = archiver(&admin).await?;
    engine.prepare().await.map_err(|error| match error {
        EngineError::WalGap { .. } => RepositoryError::NothingArrives(error).into(),
        error => Failure::from(error),
    })?;
    let begun = tokio::time::Instant::now();
    loop {
        let seen = archiver(&admin).await?;
        if seen.archived > before.archived && seen.last_failed <= seen.last_archived {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let said = format!("{} taken, {} failed, {} wait", seen.archived, seen.failed, seen.ready_files);
            return Err(RepositoryError::NotArchived(said).into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_that_is_away_is_told_at_once() {
        let of = |port: u16| {
            let text = format!(
                "estate: a\nstores: [{{ name: far-away, endpoint: \"https://127.0.0.1:{port}\", credentials: /k }}]\n\
                 environments: [{{ name: shop, backup: {{ far: s3://far-away }} }}]\n"
            );
            let estate = springtide_core::check::parse_and_check("estate.yaml", &text).unwrap();
            estate.environments[0].backup.clone().unwrap()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        answers(&of(port)).await.unwrap();
        drop(listener);
        let begun = std::time::Instant::now();
        let error = answers(&of(port)).await.unwrap_err();
        assert!(matches!(error, EngineError::Unreachable(RepoKey::Far, _)), "{error}");
        assert!(error.to_string().contains(&format!("https://127.0.0.1:{port}")), "{error}");
        assert!(begun.elapsed() < ANSWER);
    }
}

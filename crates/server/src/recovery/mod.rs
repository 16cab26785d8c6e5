//! Recovery of environments: taking backups, choosing what to restore, restoring into a new environment, proving.
//!
//! `places` (the mirrors of files, with their keys) · `canary` (marks in the log and in the store) · `take` (one
//! backup: files and database to the same end) · `choose` (what a person asks for, as a set and a position) ·
//! `restore` (into an environment that has no data) · `prove` (a throw-away restore, looked at and signed) ·
//! `verify` (a place read whole) · `keep` (what a server does of it by itself).
//!
//! The rule that keeps it right: files are copied before the backup that needs them counts, and nothing is restored
//! or proven but up to a position that a canary stands for.

pub mod canary;
pub mod choose;
pub mod keep;
pub mod places;
pub mod prove;
pub mod restore;
pub mod take;
pub mod verify;

use springtide_core::backup::RepoKey;
use springtide_core::check::CheckedEstate;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Observation;
use springtide_core::plan::environment::certificate_until;
use springtide_core::role::Role;
use springtide_core::sizing::{SizedEnvironment, size};
use springtide_core::workload::Volume;
use springtide_data::backup::PgBackRest;
use springtide_data::postgres::Admin;
use springtide_driver::Generation;

use crate::execute::Failure;
use crate::store::Epoch;
use crate::{Estate, backup};

/// One environment whose recovery is worked on, by one controller.
pub struct Subject<'a> {
    /// The edges.
    pub estate: &'a Estate,
    /// What is declared of it, sized.
    pub sized: SizedEnvironment<'a>,
    /// The right to act.
    pub epoch: Epoch,
}

/// Why nothing can be done for an environment's recovery.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It is not in the estate file.
    #[error("{0} is not in the estate file")]
    NotDeclared(EnvironmentName),
    /// It was never made.
    #[error("{0} does not exist yet")]
    NotThere(EnvironmentName),
    /// It has no backups.
    #[error("{0} has no backups: the estate file does not ask for any")]
    NoBackups(EnvironmentName),
}

impl<'a> Subject<'a> {
    /// The subject of an environment that is there and is backed up.
    ///
    /// # Errors
    /// [`SubjectError`] where there is nothing to recover from.
    pub fn of(
        estate: &'a Estate,
        checked: &'a CheckedEstate,
        seen: &Observation,
        name: &EnvironmentName,
        epoch: Epoch,
        now: i64,
    ) -> Result<Self, SubjectError> {
        let declared = checked.environments.iter().find(|it| it.name == *name);
        let declared = declared.ok_or_else(|| SubjectError::NotDeclared(name.clone()))?;
        let there = seen.environments.get(name).ok_or_else(|| SubjectError::NotThere(name.clone()))?;
        if declared.backup.is_none() {
            return Err(SubjectError::NoBackups(name.clone()));
        }
        let until = certificate_until(declared, Some(there), now);
        let sharing = checked.environments.len();
        let sized = size(declared, &checked.peaks, there.slot, &seen.host, sharing, now, until);
        Ok(Self { estate, sized, epoch })
    }

    /// Its name.
    pub fn name(&self) -> &EnvironmentName {
        &self.sized.environment.name
    }

    /// The generation of its controller.
    pub fn generation(&self) -> Generation {
        Generation(self.epoch.0)
    }

    /// The engine of its database's backups.
    pub fn engine(&self) -> Result<PgBackRest, Failure> {
        backup::engine(self.estate, &self.sized, self.generation())
    }

    /// Its places, the near one first.
    pub fn repos(&self) -> Vec<RepoKey> {
        let far = self.sized.environment.backup.as_ref().is_some_and(|it| it.far.is_some());
        if far { vec![RepoKey::Near, RepoKey::Far] } else { vec![RepoKey::Near] }
    }

    /// A connection to its database `postgres` as the administrator.
    async fn admin(&self) -> Result<Admin, Failure> {
        let folder = self.estate.driver.volume(Some(self.name()), Volume::PostgresSocket);
        let port = self.sized.slot.port(Role::Postgres).unwrap_or_default();
        Ok(Admin::connect(&folder, port, "postgres").await?)
    }
}

/// The word for a place in the store and for people.
pub fn word(repo: RepoKey) -> &'static str {
    match repo {
        RepoKey::Near => "near",
        RepoKey::Far => "far",
    }
}

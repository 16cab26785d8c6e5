//! The seam between the loop and what really runs: looking at everything, and giving a step its effect.

use async_trait::async_trait;
use springtide_core::observe::{Observation, Seed};
use springtide_core::plan::Action;
use springtide_core::sizing::SizedEnvironment;
use springtide_driver::Generation;

use crate::execute::{Execution, Failure, Progress};
use crate::observe::{ObserveError, observe};
use crate::{Estate, backup, recovery};

/// Everything that is seen and done.
///
/// # Contract
/// - Looking changes nothing.
/// - A step is idempotent, may be cut off anywhere, and is refused if the epoch of its execution is not
///   the newest that the driver or the store has seen.
#[async_trait]
pub trait World: Send + Sync {
    /// What is seen now.
    async fn observe(&self, estate: &Estate, now: i64) -> Result<Observation, ObserveError>;

    /// Gives a step its effect; `sized` is its environment, if it is declared.
    async fn step(
        &self,
        execution: &Execution<'_>,
        action: &Action,
        sized: Option<&SizedEnvironment<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), Failure>;

    /// Prepares the places of an environment's backups and sees that write-ahead log of its server arrives
    /// there. The server runs.
    async fn ensure_repository(&self, execution: &Execution<'_>, sized: &SizedEnvironment<'_>) -> Result<(), Failure>;

    /// Fills an environment that has no data from a backup set, up to the seed's target: its data directory whole
    /// or not at all. The database in it has still the name of the one that was backed up; files are no part of it.
    async fn restore_data(
        &self,
        execution: &Execution<'_>,
        sized: &SizedEnvironment<'_>,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<(), Failure>;
}

/// What really runs.
pub struct Real;

#[async_trait]
impl World for Real {
    async fn observe(&self, estate: &Estate, now: i64) -> Result<Observation, ObserveError> {
        observe(estate, now).await
    }

    async fn step(
        &self,
        execution: &Execution<'_>,
        action: &Action,
        sized: Option<&SizedEnvironment<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        // Much of a step is done beside the driver, and an older executor's calls may still be under way.
        execution.estate.driver.raise(Generation(execution.epoch.0)).await?;
        execution.step(action, sized, progress).await
    }

    async fn ensure_repository(&self, execution: &Execution<'_>, sized: &SizedEnvironment<'_>) -> Result<(), Failure> {
        backup::prepare(execution, sized).await
    }

    async fn restore_data(
        &self,
        execution: &Execution<'_>,
        sized: &SizedEnvironment<'_>,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        recovery::restore::fill(execution, sized, seed, progress).await
    }
}

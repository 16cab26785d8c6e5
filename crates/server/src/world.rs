//! The seam between the loop and what really runs: looking at everything, and giving a step its effect.

use async_trait::async_trait;
use springtide_core::observe::Observation;
use springtide_core::plan::Action;
use springtide_core::sizing::SizedEnvironment;
use springtide_driver::Generation;

use crate::Estate;
use crate::execute::{Execution, Failure, Progress};
use crate::observe::{ObserveError, observe};

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
}

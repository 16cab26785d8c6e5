//! What a calibration must know of an environment beside the answers that its people get.

use async_trait::async_trait;

use super::CalibrateError;
use crate::traffic::Walk;

/// The environment, seen from this machine.
#[async_trait]
pub trait Inside: Send + Sync {
    /// Jobs of the queue that run or are about to.
    ///
    /// # Errors
    /// The database does not answer.
    async fn open_jobs(&self) -> Result<u64, CalibrateError>;

    /// The web role's log as far back as it is kept, oldest line first.
    ///
    /// # Errors
    /// It cannot be read.
    fn log(&self) -> Result<String, CalibrateError>;

    /// Sends pickers to these products from now on.
    fn walk(&self, walk: Walk);
}

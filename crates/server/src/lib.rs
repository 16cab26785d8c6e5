//! Executor, journal and store: the edges of the loop
//! `load → check → observe → plan → lint → approve → execute → record → report`.
//!
//! `observe` gathers what is seen, `execute` does one step after another, `store` remembers. All
//! decisions come from `springtide-core`; a concrete driver never appears here.

pub mod certificates;
pub mod execute;
mod failpoint;
pub mod notice;
pub mod observe;
pub mod routes;
pub mod sessions;
pub mod store;

use std::path::PathBuf;
use std::sync::Arc;

use springtide_data::secrets::SecretStore;
use springtide_driver::Driver;

/// Everything the edges need.
pub struct Estate {
    /// Runs workloads.
    pub driver: Arc<dyn Driver>,
    /// Holds secrets, encrypted.
    pub secrets: SecretStore,
    /// Remembers.
    pub store: store::Store,
    /// Administers the entrance.
    pub proxy: routes::Proxy,
    /// State folder.
    pub state: PathBuf,
}

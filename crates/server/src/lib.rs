//! Executor, journal and store: the edges of the loop
//! `load → check → observe → plan → lint → approve → execute → record → report`.
//!
//! `observe` gathers what is seen, `execute` does one step after another, `store` remembers, `locks` keep
//! others out. `control` goes round the loop for as long as `serve` runs; `http` is how it is asked. `world` is the seam between them
//! and what really runs; `fake` is one in memory. All decisions about an estate come from
//! `springtide-core`; a concrete driver never appears here.

// A test that cannot go on says so best by panicking.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod backup;
pub mod certificates;
pub mod console;
pub mod control;
pub mod execute;
#[doc(hidden)]
pub mod failpoint;
pub mod fake;
pub mod file;
pub mod health;
pub mod http;
pub mod locks;
mod modules;
pub mod notice;
pub mod observe;
pub mod recovery;
pub mod routes;
pub mod serve;
pub mod sessions;
pub mod signals;
pub mod store;
pub mod world;

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
    /// Sees and does what is neither the driver's nor the store's.
    pub world: Arc<dyn world::World>,
}

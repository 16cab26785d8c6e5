//! A model of Odoo's workers and PostgreSQL, and how it is fitted to what was measured.
//!
//! [`lognormal`], [`usl`] and [`law`] fit; [`network`] says how fast a number of requests inside go through;
//! [`predict`] makes throughput and P95 of it for a number of workers, a mix and a rate, and finds the
//! knee; [`error`] compares predictions with measurements that were not used for fitting.
//!
//! A worker is held for the whole of a request. Inside are the processors (of Odoo and of PostgreSQL,
//! together where they share a machine) and waiting that needs none. PostgreSQL's demand is inflated
//! by the universal scalability law. Arrivals wait for a worker.
//!
//! Rule: times are seconds, rates are per second, and nothing is drawn by chance: same parameters, same
//! prediction. What the model leaves out (retries that collapse, cold caches, bursts) makes real
//! systems slower, never faster.

pub mod error;
pub mod law;
pub mod lognormal;
pub mod network;
pub mod predict;
pub mod usl;

use serde::{Deserialize, Serialize};

/// What a class of requests asks of the plant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// Processor time of Odoo for each, in seconds.
    pub app: f64,
    /// Processor time of PostgreSQL for each, in seconds.
    pub db: f64,
    /// Waiting that needs no processor (disk, locks, network, the proxy), in seconds.
    pub wait: f64,
    /// Sigma of the log-normal distribution of its time, alone on the machine.
    pub sigma: f64,
    /// How often a request is tried again, on average.
    pub retries: f64,
}

impl Demand {
    /// Its time alone on the machine, in seconds.
    pub fn alone(&self) -> f64 {
        (self.app + self.db) * (1.0 + self.retries) + self.wait
    }

    /// What makes no sense of it, if something does.
    pub fn fault(&self) -> Option<&'static str> {
        let values = [self.app, self.db, self.wait, self.sigma, self.retries];
        if values.iter().any(|value| !value.is_finite() || *value < 0.0) {
            return Some("demands, sigma and retries are numbers from 0 upward");
        }
        (self.alone() <= 0.0).then_some("a request that takes no time cannot be planned with")
    }
}

/// The processors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Processors {
    /// Odoo and PostgreSQL share them.
    Shared(u32),
    /// Each has its own.
    Apart {
        /// Odoo's.
        app: u32,
        /// PostgreSQL's.
        db: u32,
    },
}

//! Everything that a calibration has measured so far. Times are seconds, rates per second.
//!
//! Rule: nothing is left out. What was not measured is none, and [`Ended`] says how far it came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use springtide_capacity::plant::usl::Usl;
use springtide_capacity::plant::{Demand, Processors};

use super::grid::{Comparison, Spot};
use super::machine::Machine;
use crate::class::Class;
use crate::traffic::cost::Cost;

/// How a calibration ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It still goes on, or was killed.
    GoesOn,
    /// All was measured.
    Whole,
    /// Somebody stopped it.
    Stopped,
    /// Something broke; in words.
    Failed(String),
}

/// Processor time per second without load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Idle {
    /// Of the roles that answer people.
    pub front: f64,
    /// Of jobs and scheduled actions.
    pub behind: f64,
    /// Of PostgreSQL and its pooler.
    pub db: f64,
}

/// What was measured of one class with one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFit {
    /// The fitted demand.
    pub demand: Demand,
    /// Processor time of jobs and scheduled actions per act, a part of the demand on Odoo.
    pub behind: f64,
    /// Acts that were done.
    pub done: u32,
    /// Acts that were not; they are in the processor time and not in the latencies.
    pub failed: u32,
    /// Why not, and how many.
    pub reasons: BTreeMap<String, u32>,
    /// Times that the client tried again, of all acts.
    pub client_retries: u32,
    /// What Odoo's request log says of the acts; none if it does not show them.
    pub log: Option<Cost>,
    /// Median latency.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
}

/// So many clients at once, in a closed loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crowd {
    /// Web workers.
    pub workers: u32,
    /// Clients.
    pub clients: u32,
    /// Acts done per second.
    pub throughput: f64,
    /// Acts done.
    pub done: u32,
    /// Acts that were not.
    pub failed: u32,
    /// Why not, and how many.
    pub reasons: BTreeMap<String, u32>,
    /// Times that clients tried again.
    pub client_retries: u32,
    /// What Odoo's request log says of the acts; none if it does not show them.
    pub log: Option<Cost>,
    /// Median latency, if half of the acts were done.
    pub p50: Option<f64>,
    /// 95th percentile, if that many were done.
    pub p95: Option<f64>,
}

/// Pickers on so many hot products.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hot {
    /// Products.
    pub products: u32,
    /// Whether acts at the same time went to different ones, so that there is nothing to conflict on.
    pub apart: bool,
    /// What came of it.
    pub crowd: Crowd,
}

/// What was fitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// What of the sweep the processors do not explain.
    pub law: Usl,
    /// The law of the sweep as it is, with the processors' end in it; none if it could not be fitted.
    pub sweep_law: Option<Usl>,
}

/// The fewest workers that carry 95 % of the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knee {
    /// The model's word, which saw only the workers that the environment has.
    pub predicted: u32,
    /// Of the numbers that were measured.
    pub measured: u32,
}

/// A calibration so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Results {
    /// When it began, in seconds since 1970.
    pub made: i64,
    /// What it was asked, as a command without the paths of this machine.
    pub command: String,
    /// Which environment.
    pub environment: String,
    /// Where, with versions.
    pub machine: Machine,
    /// The processors as the model has them.
    pub processors: Processors,
    /// Web workers of the environment.
    pub workers: u32,
    /// The machine's load average over a minute when it began.
    pub load: f64,
    /// How far it came.
    pub ended: Ended,
    /// How long it took.
    pub took: f64,
    /// Without load.
    pub idle: Option<Idle>,
    /// Each class that was measured.
    pub classes: BTreeMap<Class, ClassFit>,
    /// Which class was swept.
    pub swept: Class,
    /// The sweep of clients.
    pub sweep: Vec<Crowd>,
    /// The fit.
    pub fit: Option<Fit>,
    /// The sweep of hot products.
    pub hot: Vec<Hot>,
    /// Places that were measured for comparison.
    pub spots: Vec<Spot>,
    /// The sweep of web workers, with more clients than workers.
    pub crews: Vec<Crowd>,
    /// The model beside what it was not fitted to.
    pub comparison: Option<Comparison>,
    /// What people should know.
    pub notes: Vec<String>,
}

impl Crowd {
    /// Mean repeats by Odoo per act, if its log shows them.
    pub fn odoo_retries(&self) -> Option<f64> {
        self.log.map(|cost| cost.retries)
    }
}

/// The fewest workers that carry 95 % of the most that any measured number carries; none if nothing was done.
pub fn measured_knee(crews: &[Crowd]) -> Option<u32> {
    let best = crews.iter().map(|crew| crew.throughput).fold(0.0, f64::max);
    let enough = crews.iter().filter(|crew| best > 0.0 && crew.throughput >= 0.95 * best);
    enough.map(|crew| crew.workers).min()
}

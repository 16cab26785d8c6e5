//! Check: from what people wrote ([`crate::spec`]) to what may travel.
//!
//! A [`CheckedEstate`] holds only valid names, complete defaults and things this release can do;
//! everything after this module takes it and has nothing left to doubt. All problems of a file
//! are reported at once, each with a code (see [`explanation`]) and the place in the YAML.

mod backup;
mod codes;
mod environment;
#[cfg(test)]
mod hostile;
mod peak;
mod report;
mod rules;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

pub use crate::spec::{DriftRule, DriverKind, PeakKind, RehearsalRule, RestoreTest, Stage, Tier};
pub use codes::{EXPLANATIONS, Explanation, explanation};
pub use report::{CheckErrors, Diagnostic, Report};
pub use rules::check;

use crate::names::{EnvironmentName, EstateName, HostName, ModuleName, PeakName};
use crate::place::{Place, Store};
use crate::series::Series;
use crate::units::{ByteSize, Money, Span};

/// An estate that passed every check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedEstate {
    /// Its name.
    pub name: EstateName,
    /// Where and how it runs.
    pub platform: Platform,
    /// Its S3 stores in the order of their names, each once.
    pub stores: Vec<Arc<Store>>,
    /// Its environments in the order of the file; at least one, names and hosts unique.
    pub environments: Vec<CheckedEnvironment>,
    /// Its peaks in the order of the file.
    pub peaks: Vec<CheckedPeak>,
    /// What is accepted and worth knowing, such as fields that this release does not act on.
    pub notes: Vec<Note>,
}

/// Where and how the estate runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// What runs the workloads; always `process` in this release.
    pub driver: DriverKind,
    /// Where users enter.
    pub ingress: Ingress,
}

/// Address and ports that users reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ingress {
    /// Address to listen on.
    pub bind: IpAddr,
    /// TCP port of plain HTTP.
    pub http: u16,
    /// TCP port of HTTPS; differs from `http`.
    pub https: u16,
}

/// An environment that passed every check, defaults and baseline filled in, no peak applied.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedEnvironment {
    /// Its name, unique in the estate.
    pub name: EnvironmentName,
    /// What it is for.
    pub stage: Stage,
    /// Odoo series.
    pub series: Series,
    /// Modules to install: sorted, each once, always with `queue_job`.
    pub modules: Arc<[ModuleName]>,
    /// Whether Odoo loads demo data.
    pub demo: bool,
    /// Users at the same time, outside peaks.
    pub users: u32,
    /// Host name that users type, unique in the estate.
    pub host: HostName,
    /// Worker counts that people fixed.
    pub workers: WorkerOverrides,
    /// Share of the machine that people fixed.
    pub resources: Resources,
    /// Database tier.
    pub tier: Tier,
    /// PostgreSQL's `max_connections`, if fixed.
    pub max_connections: Option<u16>,
    /// Web workers that a surge may add, at most.
    pub burst_workers: Option<u16>,
    /// Most money per month.
    pub monthly: Option<Money>,
    /// Where its write-ahead log and its backups go; none if it has no backups.
    pub backup: Option<CheckedBackup>,
    /// Recovery objectives.
    pub objectives: Objectives,
    /// Whether destroying it needs its name typed.
    pub protected: bool,
    /// What the server does with drift.
    pub drift: DriftRule,
    /// Whether load may be rehearsed on it.
    pub rehearsal: RehearsalRule,
}

/// Worker counts that people fixed; `None` leaves the decision to capacity planning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WorkerOverrides {
    /// Prefork web workers.
    pub web: Option<u16>,
    /// Cron workers.
    pub cron: Option<u16>,
    /// Workers for `queue_job`.
    pub jobs: Option<u16>,
}

/// Share of the machine; `None` means the machine divided by its environments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Logical processors.
    pub cpus: Option<u32>,
    /// Memory.
    pub memory: Option<ByteSize>,
}

/// Where the write-ahead log and the backups of an environment go, and how often what is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedBackup {
    /// How far back a restore to any moment must reach; at least one day.
    pub recovery_window: Span,
    /// The copy that restores are made from.
    pub near: Place,
    /// A second copy elsewhere; overlaps with nothing.
    pub far: Option<Place>,
    /// How often a restore is tried; none means only when somebody asks.
    pub restore_test: Option<RestoreTest>,
    /// Time between two full backups.
    pub full: Span,
    /// Time between two incremental backups; not more than `full`.
    pub incremental: Span,
    /// Most bytes a second that copying files takes.
    pub bandwidth: Option<ByteSize>,
}

/// Recovery objectives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Objectives {
    /// Recovery point objective: most data, as time, that may be lost.
    pub rpo: Option<Span>,
    /// Recovery time objective: longest time until service is back.
    pub rto: Option<Span>,
}

/// A dated surge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedPeak {
    /// Its name, unique in the estate.
    pub name: PeakName,
    /// What kind of surge.
    pub kind: PeakKind,
    /// Environments it touches; all exist, each once, in the order of their names.
    pub environments: Vec<EnvironmentName>,
    /// First second, Unix seconds.
    pub from: i64,
    /// End, Unix seconds; no longer part of the peak; later than `from`.
    pub to: i64,
    /// IANA name of the time zone in which the file says `from` and `to`.
    pub timezone: String,
    /// Factor on `users`; 1.0 to 50.0.
    pub multiplier: f64,
    /// Whether changes are frozen while it is active.
    pub freeze: bool,
    /// Fragment that applies while it is active.
    pub overlay: Overlay,
}

impl CheckedPeak {
    /// Whether the peak touches `environment` at `now` (Unix seconds).
    pub fn active(&self, environment: &EnvironmentName, now: i64) -> bool {
        (self.from..self.to).contains(&now) && self.touches(environment)
    }

    /// Whether the peak touches `environment` at any time.
    pub fn touches(&self, environment: &EnvironmentName) -> bool {
        self.environments.binary_search(environment).is_ok()
    }
}

/// What a peak changes in an environment while it is active; `None` leaves a value as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Overlay {
    /// Users at the same time, before the multiplier.
    pub users: Option<u32>,
    /// Worker counts.
    pub workers: WorkerOverrides,
    /// Share of the machine.
    pub resources: Resources,
    /// Web workers that a surge may add.
    pub burst_workers: Option<u16>,
}

impl CheckedEnvironment {
    /// The environment as it is at `now` (Unix seconds), overlays of active peaks applied by the
    /// precedence in [`crate::merge`]. Borrowed if no peak is active.
    pub fn at(&self, peaks: &[CheckedPeak], now: i64) -> Cow<'_, CheckedEnvironment> {
        crate::merge::at(self, peaks, now)
    }

    /// Whether an active peak freezes changes to this environment at `now` (Unix seconds).
    pub fn frozen_by<'p>(&self, peaks: &'p [CheckedPeak], now: i64) -> Option<&'p CheckedPeak> {
        peaks.iter().find(|peak| peak.freeze && peak.active(&self.name, now))
    }
}

/// Something accepted and worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its code, such as `W0401`; see [`explanation`].
    pub code: &'static str,
    /// What is noted, one line.
    pub text: String,
}

/// Reads and checks an estate file. `file` is only a name for messages.
pub fn parse_and_check(file: &str, text: &str) -> Result<CheckedEstate, Report> {
    let (raw, spans) =
        crate::spec::parse(file, text).map_err(|error| Report::new(file, text, vec![error.into_diagnostic()]))?;
    check(&raw, &spans).map_err(|errors| Report::new(file, text, errors.diagnostics))
}

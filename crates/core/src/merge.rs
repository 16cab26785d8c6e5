//! Merge: the one place that says which layer wins.
//!
//! Precedence, lowest first:
//!
//! 1. defaults (written beside each key in [`crate::spec`]),
//! 2. the estate's `baseline`,
//! 3. the environment,
//! 4. the overlay of each active peak, in the order of the file; the later peak wins.
//!
//! Layers combine value by value: `workers.web` of a later layer leaves `workers.cron` of an
//! earlier one alone. A list (`modules`) is one value and is replaced as a whole. After all layers,
//! `users` is multiplied by the largest multiplier of the active peaks, rounded up and held at
//! [`MAX_USERS`].

use std::borrow::Cow;
use std::fmt;

use crate::check::{CheckedEnvironment, CheckedPeak};
use crate::spec::{
    DriftRule, RawBackup, RawBaseline, RawBudget, RawDatabase, RawEnvironment, RawObjectives, RawOdoo, RawResources,
    RawWorkers, RehearsalRule,
};

/// Most users, the multiplier included.
pub const MAX_USERS: u32 = 5_000_000;

/// One written layer of an environment with its path in the file.
pub(crate) struct Layer<'a> {
    path: String,
    pub odoo: Option<&'a RawOdoo>,
    pub users: Option<&'a u32>,
    pub workers: Option<&'a RawWorkers>,
    pub resources: Option<&'a RawResources>,
    pub database: Option<&'a RawDatabase>,
    pub backup: Option<&'a RawBackup>,
    pub objectives: Option<&'a RawObjectives>,
    pub budget: Option<&'a RawBudget>,
    pub protected: Option<&'a bool>,
    pub drift: Option<&'a DriftRule>,
    pub rehearsal: Option<&'a RehearsalRule>,
}

macro_rules! layer {
    ($from:ident, $path:expr) => {
        Layer {
            path: $path,
            odoo: $from.odoo.as_ref(),
            users: $from.users.as_ref(),
            workers: $from.workers.as_ref(),
            resources: $from.resources.as_ref(),
            database: $from.database.as_ref(),
            backup: $from.backup.as_ref(),
            objectives: $from.objectives.as_ref(),
            budget: $from.budget.as_ref(),
            protected: $from.protected.as_ref(),
            drift: $from.drift.as_ref(),
            rehearsal: $from.rehearsal.as_ref(),
        }
    };
}

/// Where a value is written; prints itself as a path in the file.
#[derive(Clone, Copy)]
pub(crate) struct At<'s> {
    layer: &'s str,
    key: &'static str,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.layer, self.key)
    }
}

/// The written layers of one environment, strongest first.
pub(crate) struct Layers<'a>(Vec<Layer<'a>>);

impl<'a> Layers<'a> {
    /// The environment at `path` over the baseline.
    pub fn of(environment: &'a RawEnvironment, path: String, baseline: Option<&'a RawBaseline>) -> Self {
        let mut layers = vec![layer!(environment, path)];
        if let Some(baseline) = baseline {
            layers.push(layer!(baseline, "baseline".to_owned()));
        }
        Self(layers)
    }

    /// The strongest written value that `get` finds, with its full path; `key` is the path below
    /// the layer.
    pub fn pick<'s, T: ?Sized>(
        &'s self,
        key: &'static str,
        get: impl Fn(&Layer<'a>) -> Option<&'a T>,
    ) -> Option<(&'a T, At<'s>)> {
        self.0.iter().find_map(|layer| get(layer).map(|value| (value, At { layer: &layer.path, key })))
    }
}

/// See [`CheckedEnvironment::at`].
pub(crate) fn at<'e>(
    environment: &'e CheckedEnvironment,
    peaks: &[CheckedPeak],
    now: i64,
) -> Cow<'e, CheckedEnvironment> {
    let mut multiplier = 1.0_f64;
    let mut result = Cow::Borrowed(environment);
    for peak in peaks.iter().filter(|peak| peak.active(&environment.name, now)) {
        multiplier = multiplier.max(peak.multiplier);
        let (overlay, target) = (&peak.overlay, result.to_mut());
        target.users = overlay.users.unwrap_or(target.users);
        target.workers.web = overlay.workers.web.or(target.workers.web);
        target.workers.cron = overlay.workers.cron.or(target.workers.cron);
        target.workers.jobs = overlay.workers.jobs.or(target.workers.jobs);
        target.resources.cpus = overlay.resources.cpus.or(target.resources.cpus);
        target.resources.memory = overlay.resources.memory.or(target.resources.memory);
        target.burst_workers = overlay.burst_workers.or(target.burst_workers);
    }
    if multiplier > 1.0 {
        // Both factors are bounded by check, so the product is far inside u32 and f64.
        let users = (f64::from(result.users) * multiplier).ceil();
        result.to_mut().users = (users as u32).min(MAX_USERS);
    }
    result
}

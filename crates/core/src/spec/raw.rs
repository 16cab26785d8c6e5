//! The estate file as people write it, one type per mapping.
//!
//! Names and quantities are plain text here and are read by [`crate::check`], so that all mistakes
//! of a file can be told at once; the JSON Schema shows them with their real bounds. `None` means
//! "not written". How layers combine stands in [`crate::merge`].

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{BucketName, EnvironmentName, EstateName, HostName, ModuleName, PeakName, PoolName};
use crate::series::Series;
use crate::units::{ByteSize, Money, Span};

/// One estate: everything Springtide runs for one company, in one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawEstate {
    /// Name of the estate.
    #[schemars(with = "EstateName")]
    pub estate: String,
    /// Where and how it runs.
    #[garde(dive)]
    pub platform: Option<RawPlatform>,
    /// What every environment gets unless it says otherwise.
    #[garde(dive)]
    pub baseline: Option<RawBaseline>,
    /// Buckets of S3 stores that backups go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<RawStore>,
    /// The environments; each is one Odoo with its own database.
    #[serde(default)]
    #[garde(dive)]
    pub environments: Vec<RawEnvironment>,
    /// Dated surges.
    #[serde(default)]
    #[garde(dive)]
    pub peaks: Vec<RawPeak>,
}

/// Where and how the estate runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawPlatform {
    /// What runs the workloads; default `process`, the only one in this release.
    pub driver: Option<DriverKind>,
    /// Where users enter.
    #[garde(dive)]
    pub ingress: Option<RawIngress>,
}

/// Where users enter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawIngress {
    /// IP address to listen on; default 127.0.0.1.
    pub bind: Option<String>,
    /// TCP port of plain HTTP; default 8080.
    #[garde(range(min = 1, max = 65_535))]
    pub http: Option<u32>,
    /// TCP port of HTTPS; default 8443.
    #[garde(range(min = 1, max = 65_535))]
    pub https: Option<u32>,
}

/// What runs the workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    /// Processes of this machine.
    Process,
    /// Docker containers; not in this release.
    Docker,
    /// Kubernetes; not in this release.
    Kubernetes,
}

/// What an environment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// People work with it; protected by default.
    Production,
    /// The last look before production.
    Staging,
    /// Tests run here.
    Test,
    /// Somebody develops here.
    Dev,
}

/// What an environment shares with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawPlacement {
    /// It has its own PostgreSQL and workers.
    Dedicated,
    /// It shares a pool; not in this release.
    Pool(#[schemars(with = "PoolName")] String),
}

/// Database tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// One PostgreSQL.
    Bronze,
    /// With a standby; declared, not acted on by this release.
    Silver,
    /// With a standby and automatic failover; declared, not acted on by this release.
    Gold,
}

/// What the server does when what runs is not what was approved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftRule {
    /// It puts it right by itself.
    #[default]
    Heal,
    /// It says so and waits for a person.
    Report,
}

/// Whether load may be rehearsed on an environment: a rehearsal writes orders, transfers and users into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RehearsalRule {
    /// It may be; for production only by who also says so in the command.
    Allowed,
    /// It may not be.
    Refused,
}

/// What every environment gets unless it says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawBaseline {
    /// Odoo's series and modules.
    pub odoo: Option<RawOdoo>,
    /// Users at the same time, outside peaks; default 10.
    #[garde(range(min = 1, max = 100_000))]
    pub users: Option<u32>,
    /// Worker counts, if you want to fix them.
    #[garde(dive)]
    pub workers: Option<RawWorkers>,
    /// Share of the machine; default: the machine divided by the environments.
    #[garde(dive)]
    pub resources: Option<RawResources>,
    /// The database.
    #[garde(dive)]
    pub database: Option<RawDatabase>,
    /// Where its write-ahead log and its backups go; production has them unless it says otherwise.
    pub backup: Option<RawBackup>,
    /// Recovery objectives.
    pub objectives: Option<RawObjectives>,
    /// What a surge may cost.
    #[garde(dive)]
    pub budget: Option<RawBudget>,
    /// Whether destroying it needs its name typed; default: production is protected.
    pub protected: Option<bool>,
    /// What the server does with drift, that is, when somebody changed what runs; default `heal`.
    pub drift: Option<DriftRule>,
    /// Whether load may be rehearsed on it; default: production refuses it.
    pub rehearsal: Option<RehearsalRule>,
}

/// One environment: one Odoo with its own database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawEnvironment {
    /// Name, unique in the estate.
    #[schemars(with = "EnvironmentName")]
    pub name: String,
    /// What it is for; default `dev`.
    pub stage: Option<Stage>,
    /// What it shares with others; default `dedicated`, the only one in this release.
    pub placement: Option<RawPlacement>,
    /// Odoo's series and modules.
    pub odoo: Option<RawOdoo>,
    /// Users at the same time, outside peaks; default 10.
    #[garde(range(min = 1, max = 100_000))]
    pub users: Option<u32>,
    /// Host name that users type; default `<name>.localhost`.
    #[schemars(with = "Option<HostName>")]
    pub host: Option<String>,
    /// Worker counts, if you want to fix them.
    #[garde(dive)]
    pub workers: Option<RawWorkers>,
    /// Share of the machine; default: the machine divided by the environments.
    #[garde(dive)]
    pub resources: Option<RawResources>,
    /// The database.
    #[garde(dive)]
    pub database: Option<RawDatabase>,
    /// Where its write-ahead log and its backups go; production has them unless it says otherwise.
    pub backup: Option<RawBackup>,
    /// Recovery objectives.
    pub objectives: Option<RawObjectives>,
    /// What a surge may cost.
    #[garde(dive)]
    pub budget: Option<RawBudget>,
    /// Whether destroying it needs its name typed; default: production is protected.
    pub protected: Option<bool>,
    /// What the server does with drift, that is, when somebody changed what runs; default `heal`.
    pub drift: Option<DriftRule>,
    /// Whether load may be rehearsed on it; default: production refuses it.
    pub rehearsal: Option<RehearsalRule>,
}

/// Odoo's series and modules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOdoo {
    /// Major version such as "19.0".
    #[schemars(with = "Option<Series>")]
    pub series: Option<String>,
    /// Where its programs come from; only `debian` in this release.
    pub source: Option<String>,
    /// Modules to install, by technical name. A later layer replaces the whole list.
    #[schemars(with = "Option<Vec<ModuleName>>")]
    pub modules: Option<Vec<String>>,
    /// Whether Odoo loads demo data; default false.
    pub demo: Option<bool>,
    /// Accept a series whose facts are written down and that nothing here has run; default false.
    pub accept_declared: Option<bool>,
}

/// Worker counts that people fix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct RawWorkers {
    /// Prefork workers that answer users.
    #[garde(range(min = 1, max = 64))]
    pub web: Option<u16>,
    /// Workers for scheduled actions.
    #[garde(range(min = 1, max = 64))]
    pub cron: Option<u16>,
    /// Workers for `queue_job`.
    #[garde(range(min = 1, max = 64))]
    pub jobs: Option<u16>,
}

/// Share of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawResources {
    /// Logical processors.
    #[garde(range(min = 1, max = 1_024))]
    pub cpus: Option<u32>,
    /// Memory, such as 8GiB.
    #[schemars(with = "Option<ByteSize>")]
    pub memory: Option<String>,
}

/// The database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawDatabase {
    /// Tier; default `bronze`.
    pub tier: Option<Tier>,
    /// PostgreSQL's `max_connections`; default: derived from the workers.
    #[garde(range(min = 20, max = 2_000))]
    pub max_connections: Option<u16>,
}

/// Where the write-ahead log and the backups of an environment go. Each environment has a folder of its own
/// below a place, of its own name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBackup {
    /// How far back a restore to any moment must reach; at least 1d, default 7d.
    #[schemars(with = "Option<Span>")]
    pub recovery_window: Option<String>,
    /// The copy that restores are made from: `s3://bucket/path` or `file:///path`; default: a folder of the
    /// state folder.
    pub near: Option<String>,
    /// A second copy elsewhere: `s3://bucket/path` or `file:///path`.
    pub far: Option<String>,
    /// How often a restore is tried; default `daily` for production.
    pub restore_test: Option<RestoreTest>,
    /// Time between two full backups; 1h to 31d, default 7d.
    #[schemars(with = "Option<Span>")]
    pub full: Option<String>,
    /// Time between two incremental backups; at least 15m and not more than `full`, default 6h.
    #[schemars(with = "Option<Span>")]
    pub incremental: Option<String>,
    /// Most bytes a second that copying files takes, at least 64KiB, such as 20MiB; default: no limit.
    #[schemars(with = "Option<ByteSize>")]
    pub bandwidth: Option<String>,
}

/// A bucket of an S3 store. Its keys stand in a file beside the estate file's own, never in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStore {
    /// Name of the bucket, as places say it: `s3://name/path`.
    #[schemars(with = "BucketName")]
    pub name: String,
    /// Where the store answers: `https://host` or `https://host:port`.
    pub endpoint: String,
    /// Region, such as eu-central-1; default us-east-1.
    pub region: Option<String>,
    /// Absolute path of a PEM file with the authority of its certificate; default: those of the machine.
    pub authority: Option<String>,
    /// Absolute path of a file that only root can read, with a line `access_key = ...` and a line
    /// `secret_key = ...`.
    pub credentials: String,
}

/// How often a restore is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RestoreTest {
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
}

/// Recovery objectives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawObjectives {
    /// Recovery point objective: most data, as time, that may be lost.
    #[schemars(with = "Option<Span>")]
    pub rpo: Option<String>,
    /// Recovery time objective: longest time until service is back.
    #[schemars(with = "Option<Span>")]
    pub rto: Option<String>,
}

/// What a surge may cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawBudget {
    /// Web workers that a surge may add, at most.
    #[garde(range(min = 0, max = 64))]
    pub burst_workers: Option<u16>,
    /// Most money per month, such as 900 EUR.
    #[schemars(with = "Option<Money>")]
    pub monthly: Option<String>,
}

/// A dated surge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawPeak {
    /// Name, unique in the estate.
    #[schemars(with = "PeakName")]
    pub name: String,
    /// What kind of surge.
    pub kind: PeakKind,
    /// Environments it touches.
    #[schemars(with = "Vec<EnvironmentName>")]
    pub environments: Vec<String>,
    /// First moment, local time such as 2026-11-27T06:00.
    pub from: String,
    /// End, local time; no longer part of the peak.
    pub to: String,
    /// IANA time zone of `from` and `to`; default UTC.
    pub timezone: Option<String>,
    /// Factor on `users`; default 1.
    #[garde(range(min = 1.0, max = 50.0))]
    pub multiplier: Option<f64>,
    /// Whether changes are frozen while it is active; default false.
    pub freeze: Option<bool>,
    /// What changes in its environments while it is active.
    #[garde(dive)]
    pub overlay: Option<RawOverlay>,
}

/// What kind of surge a peak is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PeakKind {
    /// A sale or a campaign.
    Promotion,
    /// Books close.
    QuarterEnd,
    /// A holiday season.
    Holiday,
    /// Stock is counted.
    InventoryCount,
    /// A supplier fails and orders are moved.
    SupplierDisruption,
}

/// What changes in an environment while a peak is active.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RawOverlay {
    /// Users at the same time, before the multiplier.
    #[garde(range(min = 1, max = 100_000))]
    pub users: Option<u32>,
    /// Worker counts.
    #[garde(dive)]
    pub workers: Option<RawWorkers>,
    /// Share of the machine.
    #[garde(dive)]
    pub resources: Option<RawResources>,
    /// What the surge may cost; only `burst_workers` may change in a peak.
    #[garde(dive)]
    pub budget: Option<RawOverlayBudget>,
}

/// The part of a budget that a peak may change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct RawOverlayBudget {
    /// Web workers that the surge may add, at most.
    #[garde(range(min = 0, max = 64))]
    pub burst_workers: Option<u16>,
}

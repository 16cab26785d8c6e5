//! Proves a restored copy: looks at a data directory and a filestore, stage by stage, and says what was seen. Whether
//! that is a proof decides [`springtide_core::proof::verdict`].
//!
//! Nothing here can reach out: everything runs in an [`Aside`], PostgreSQL and Odoo without any network. The copy is
//! changed on the way (promoted, made harmless, given a user), so it is thrown away afterwards ([`Place`]).
//!
//! The rule that keeps it right: a stage passes only by what it looked at. What this machine could not do is not run,
//! never passed; and a stage that needs another which did not pass does not run.

mod attachments;
mod boot;
mod business;
mod indexes;
mod look;
mod opened;
mod pages;
mod place;
mod replay;
mod sample;
mod signed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use springtide_core::proof::{Record, Sizes, Stage, StageResult, Stages, verdict};
use springtide_core::series::Series;
use springtide_core::workload::UserSpec;
use springtide_driver::{Driver, Generation, Network, TaskMount};

pub use business::checks;
pub use place::{Place, PlaceError, leftovers, sweep};
pub use sample::Share;
pub use signed::{ProofKey, SignedError, verify};

use crate::aside::{Aside, AsideSpec, Serving};
use crate::canary::Canary;
use crate::neutralise::{Wanted, neutralise};
use look::{Log, Look};

/// Seconds until a server that does not recover must answer.
const UP_SECONDS: u32 = 300;

/// Where a recovery must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Log position: everything that ends there is in the copy, nothing that begins there or later is.
    pub lsn: u64,
    /// A named restore point that ends at exactly `lsn`, if it is one.
    pub name: Option<String>,
}

/// What the recovery needs beside the data directory. The data directory itself says how files of the log are
/// fetched (`restore_command`), as the backup's own program left it.
#[derive(Clone, Default)]
pub struct Replay {
    /// Configuration files that the command reads below the configuration path.
    pub files: Vec<(String, String)>,
    /// Folders it needs, such as a repository.
    pub mounts: Vec<TaskMount>,
    /// [`Network::Machine`] only if the log must be fetched from a place that is no folder. Only PostgreSQL runs then.
    pub network: Option<Network>,
    /// Seconds until the target must be reached.
    pub deadline_s: u32,
}

/// What to prove.
pub struct Spec {
    /// Whose copy it is; a plain word, also for names of tasks.
    pub environment: String,
    /// Series of its Odoo.
    pub series: Series,
    /// Name of its database.
    pub database: String,
    /// Owner of data directory and filestore; everything runs as that.
    pub user: UserSpec,
    /// The restored data directory: stopped, before its recovery or after.
    pub data: PathBuf,
    /// The restored filestore of the database.
    pub filestore: PathBuf,
    /// Folder for sockets and the like, made and removed here.
    pub folder: PathBuf,
    /// Where the recovery must end.
    pub target: Target,
    /// What it needs.
    pub replay: Replay,
    /// Canaries that were written, on both sides of the target.
    pub canaries: Vec<Canary>,
    /// Which attachments are read.
    pub attachments: Share,
    /// Which indexes are compared with their tables.
    pub indexes: Share,
    /// Findings of business checks that the original has too, by check: so many are told and not held against the copy.
    pub accepted: BTreeMap<String, u64>,
    /// How the copy is made harmless.
    pub neutralise: Wanted,
    /// Stages to run.
    pub stages: BTreeSet<Stage>,
    /// What came of fetching; whoever restored says it.
    pub fetch: StageResult,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Every stage, with the ones that did not run.
    pub stages: Stages,
    /// How much was restored.
    pub sizes: Sizes,
    /// Versions of the programs that took part.
    pub tools: BTreeMap<String, String>,
}

/// What a record says beside what was seen.
#[derive(Debug, Clone)]
pub struct About {
    /// The backup it was restored from.
    pub set: String,
    /// The moment that was asked for, RFC 3339 in UTC, if it was one.
    pub target_time: Option<String>,
    /// What had to pass.
    pub required: BTreeSet<Stage>,
    /// Now, RFC 3339 in UTC.
    pub at: String,
}

impl Seen {
    /// The record of it, with its verdict.
    pub fn record(self, spec: &Spec, about: About) -> Record {
        let About { set, target_time, required, at } = about;
        Record {
            form: Record::FORM,
            environment: spec.environment.clone(),
            set,
            target_lsn: crate::canary::lsn(spec.target.lsn),
            target_time,
            sizes: self.sizes,
            verdict: verdict(&self.stages, &required),
            required,
            stages: self.stages,
            tools: self.tools,
            at,
        }
    }
}

/// Tells whoever waits which stage begins.
pub type Progress<'a> = &'a (dyn Fn(Stage) + Send + Sync);

/// Runs the stages. Whatever fails on the way is part of the answer.
pub async fn run(driver: &dyn Driver, generation: Generation, spec: &Spec, progress: Progress<'_>) -> Seen {
    let log = Log::new(&spec.stages, progress);
    log.put(Stage::Fetch, spec.fetch.clone());
    let (data, filestore) = (spec.data.clone(), spec.filestore.clone());
    let sizes = tokio::task::spawn_blocking(move || Sizes { database: size(&data), filestore: size(&filestore) });
    let mut tools = tools(driver, spec).await;
    let sizes = sizes.await.unwrap_or_default();
    if !log.passed(Stage::Fetch) {
        log.rest("the copy was not fetched whole");
        return Seen { stages: log.done(), sizes, tools };
    }
    let aside = AsideSpec {
        word: spec.environment.clone(),
        folder: spec.folder.clone(),
        data: spec.data.clone(),
        filestore: spec.filestore.clone(),
        database: spec.database.clone(),
        series: spec.series,
        user: spec.user,
    };
    match Aside::new(driver, aside).await {
        Err(error) => log.rest(&format!("nothing could be started: {error}")),
        Ok(aside) => {
            stages(driver, generation, spec, &aside, &log, &mut tools).await;
            if let Err(left) = aside.clear().await {
                tracing::warn!(%left, "leftovers of a proof stay until the next one");
            }
        }
    }
    Seen { stages: log.done(), sizes, tools }
}

async fn stages(
    driver: &dyn Driver,
    generation: Generation,
    spec: &Spec,
    aside: &Aside,
    log: &Log<'_>,
    tools: &mut BTreeMap<String, String>,
) {
    log.stage(Stage::Replay, replay::replay(driver, generation, spec, aside)).await;
    if !log.passed(Stage::Replay) {
        return log.rest("the recovery did not come to its target");
    }
    // On the stopped directory: a running server would rewrite what is looked at.
    log.stage(Stage::Checksums, pages::checksums(driver, generation, aside)).await;
    let serving = Serving { up_s: UP_SECONDS, deadline_s: 6 * 3600, ..Serving::default() };
    let opened = aside.serve(driver, generation, &serving, |admin| async move {
        log.stage(Stage::Open, opened::open(&admin, spec, tools)).await;
        if !log.passed(Stage::Open) {
            return log.rest("it did not open where it must");
        }
        log.stage(Stage::Canaries, opened::canaries(&admin, spec)).await;
        // One reads files, the other the database.
        tokio::join!(
            log.stage(Stage::Indexes, indexes::indexes(aside, spec)),
            log.stage(Stage::Attachments, attachments::attachments(aside, spec)),
        );
        log.stage(Stage::Business, business::business(aside, spec)).await;
        log.stage(Stage::Neutralise, harmless(driver, generation, spec, aside)).await;
        if !log.passed(Stage::Neutralise) {
            return log.rest("the copy was not made harmless, so nothing is started on it");
        }
        boot::boot(driver, generation, spec, aside, log).await;
    });
    if let Err(error) = opened.await {
        log.broken(Stage::Open, error);
    }
}

async fn harmless(driver: &dyn Driver, generation: Generation, spec: &Spec, aside: &Aside) -> Look {
    match neutralise(driver, aside, generation, &spec.neutralise).await {
        Ok(done) => Look::default().figure("rules", done.rules()),
        Err(crate::neutralise::NeutraliseError::Harm(left)) => Look::found(left),
        Err(error) => Look::found([error.to_string()]),
    }
}

/// Versions that are known before anything runs.
async fn tools(driver: &dyn Driver, spec: &Spec) -> BTreeMap<String, String> {
    let mut tools = BTreeMap::from([("springtide".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    if let Ok(seen) = driver.observe().await
        && let Some(odoo) = seen.host.odoo_roots.get(&spec.series)
    {
        tools.insert("odoo".to_owned(), odoo.clone());
    }
    tools
}

/// Bytes of all files below `path`.
fn size(path: &Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return meta.len();
    }
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
}

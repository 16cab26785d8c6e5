//! A restore into an environment that has no data: database and files aside, then both in their place.
//!
//! `restores/<environment>` below the estate's folder is filled first: the database up to its target, then the files
//! that its rows name, then, for a clone, everything made harmless. The files get their place, and the data directory
//! last: it is what tells that an environment has data, and before it is there nothing starts. Cut off anywhere, the
//! step begins again with what is still good.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use springtide_core::backup::{RepoKey, select};
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Seed;
use springtide_core::plan::environment::base_url;
use springtide_core::role::Role;
use springtide_core::sizing::SizedEnvironment;
use springtide_core::workload::{UserSpec, Volume};
use springtide_data::aside::{Aside, AsideSpec, Serving};
use springtide_data::backup::{BackupEngine as _, RestoreOrder, Restored};
use springtide_data::filestore::{self, Row};
use springtide_data::neutralise::{Wanted, neutralise};
use springtide_driver::{Driver, Generation};

use super::Subject;
use crate::Estate;
use crate::backup::RepositoryError;
use crate::execute::{Execution, Failure, Progress};

/// Seconds until the server aside must answer, and until the work in it must be done.
const UP_S: u32 = 300;
const WORK_S: u32 = 6 * 3_600;

/// Fills an environment from a seed.
pub async fn fill(
    execution: &Execution<'_>,
    sized: &SizedEnvironment<'_>,
    seed: &Seed,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let estate = execution.estate;
    let name = &sized.environment.name;
    let into = estate.driver.volume(Some(name), Volume::PostgresData);
    if holds_something(&into) {
        return Ok(());
    }
    let from = subject(execution, &seed.from)?;
    let aside = Folder::of(estate, name)?;
    if aside.whole().exists() {
        return put(&aside, estate, name);
    }
    let restored = database(&from, sized, seed, &aside).await?;
    progress.note(&told(&restored));
    let database = name.database();
    let place = AsideSpec {
        word: name.to_string(),
        folder: aside.work(),
        data: aside.data(),
        filestore: aside.filestore(&database),
        database: seed.from.database(),
        series: sized.environment.series,
        user: sized.slot.user(Role::Postgres),
    };
    own_folders(&aside, sized.slot.user(Role::Web))?;
    let driver = estate.driver.as_ref();
    let server = open(driver, &aside, place).await?;
    let rows = rows(driver, from.generation(), &server).await?;
    let near = from.mirror(RepoKey::Near)?;
    let far = if from.repos().contains(&RepoKey::Far) { Some(from.mirror(RepoKey::Far)?) } else { None };
    let into_files = aside.filestore(&database);
    let files = filestore::restore(rows, &into_files, sized.slot.user(Role::Web), &near, far.as_ref()).await?;
    if !files.whole() {
        let lost = files.lost.iter().map(|(file, why)| format!("{file} ({why})"));
        let refused = files.refused.iter().map(|(row, why)| format!("{row} ({why})"));
        let all: Vec<String> = lost.chain(refused).take(5).collect();
        let count = files.lost.len() + files.refused.len();
        return Err(format!("{count} attachments have no file in any place, such as {}", all.join(", ")).into());
    }
    progress.note(&format!(
        "{} files, {} MiB written in {:.1} s",
        files.files,
        files.bytes >> 20,
        files.took.as_secs_f64()
    ));
    if seed.neutralise {
        let rules = harmless(execution, sized, &server, from.generation()).await?;
        progress.note(&format!("made harmless: {rules} rules applied and read back"));
    }
    server.sync().await?;
    server.clear().await?;
    fs::File::create(aside.whole())?.sync_all()?;
    put(&aside, estate, name)
}

/// The environment that was backed up, which has to be declared and here: its places and keys are asked for. It
/// itself is not touched.
fn subject<'a>(execution: &'a Execution<'_>, from: &EnvironmentName) -> Result<Subject<'a>, Failure> {
    let absent = || RepositoryError::NotHere(from.clone());
    let slot = execution.seen.environments.get(from).ok_or_else(absent)?.slot;
    let sized = execution.sized(from, slot).ok_or_else(absent)?;
    Ok(Subject { estate: execution.estate, sized, epoch: execution.epoch })
}

async fn database(
    from: &Subject<'_>,
    sized: &SizedEnvironment<'_>,
    seed: &Seed,
    aside: &Folder,
) -> Result<Restored, Failure> {
    let engine = from.engine()?;
    let mut sets = engine.list(seed.repo).await?.sets;
    // What came after it was no choice when the target was chosen.
    sets.retain(|set| set.repo == seed.repo && set.label <= seed.set);
    let archive = engine.archive(seed.repo).await?;
    let choice = select(&sets, &archive, &seed.target)?;
    if choice.set.label != seed.set {
        let (set, repo, from) = (seed.set.clone(), seed.repo, seed.from.clone());
        return Err(RepositoryError::NoSet { set, repo, from }.into());
    }
    let order = RestoreOrder::new(&choice, seed.target.clone(), aside.data(), sized.slot.user(Role::Postgres));
    Ok(engine.restore(&order, &|_| {}).await?)
}

fn told(restored: &Restored) -> String {
    format!(
        "{} MiB in {:.1} s, replayed in {:.1} s to {}",
        restored.bytes >> 20,
        restored.fetch.as_secs_f64(),
        restored.replay.as_secs_f64(),
        restored.ended
    )
}

/// Whatever an earlier one started ends first.
async fn open(driver: &dyn Driver, aside: &Folder, spec: AsideSpec) -> Result<Aside, Failure> {
    let server = Aside::new(driver, spec).await?;
    // From here on the engine's word that it is as it was restored holds no more.
    fs::write(aside.opened(), b"")?;
    Ok(server)
}

/// What the rows of a restored database say of their files.
pub(super) async fn rows(driver: &dyn Driver, generation: Generation, server: &Aside) -> Result<Vec<Row>, Failure> {
    let serving = Serving { up_s: UP_S, deadline_s: WORK_S, ..Serving::default() };
    let read = server.serve(driver, generation, &serving, |_| async {
        let inside = server.admin(&server.spec().database).await?;
        Ok::<_, Failure>(filestore::rows(&inside).await?)
    });
    read.await?
}

async fn harmless(
    execution: &Execution<'_>,
    sized: &SizedEnvironment<'_>,
    server: &Aside,
    generation: Generation,
) -> Result<u64, Failure> {
    let wanted = Wanted { base_url: base_url(execution.checked, &sized.environment.host), hooks: None };
    let driver = execution.estate.driver.as_ref();
    let serving = Serving { up_s: UP_S, deadline_s: WORK_S, ..Serving::default() };
    let done = server.serve(driver, generation, &serving, |_| neutralise(driver, server, generation, &wanted)).await?;
    Ok(done?.rules())
}

/// The folder of a restore, below the estate's own: on the same disk as the volumes.
struct Folder(PathBuf);

impl Folder {
    /// Makes it. What was opened before it was whole is begun anew.
    fn of(estate: &Estate, name: &EnvironmentName) -> Result<Self, Failure> {
        let all = estate.driver.estate_folder().join("restores");
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&all)?;
        let folder = Self(all.join(name.as_str()));
        if folder.opened().exists() && !folder.whole().exists() {
            fs::remove_dir_all(&folder.0)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&folder.0)?;
        Ok(folder)
    }
    fn opened(&self) -> PathBuf {
        self.0.join("opened")
    }
    /// Everything in it is good; what is missing has its place already.
    fn whole(&self) -> PathBuf {
        self.0.join("whole")
    }
    fn data(&self) -> PathBuf {
        self.0.join("pgdata")
    }
    fn work(&self) -> PathBuf {
        self.0.join("work")
    }
    fn odoo_data(&self) -> PathBuf {
        self.0.join("odoo-data")
    }
    fn filestore(&self, database: &str) -> PathBuf {
        self.odoo_data().join("filestore").join(database)
    }
}

/// The folders that Odoo would otherwise make for one user only.
fn own_folders(aside: &Folder, user: UserSpec) -> Result<(), Failure> {
    let odoo = aside.odoo_data();
    for path in [odoo.clone(), odoo.join("filestore"), odoo.join("sessions"), odoo.join("addons")] {
        if !path.is_dir() {
            fs::create_dir(&path)?;
        }
        chown(&path, Some(user.uid), Some(user.gid))?;
        // After chown, which clears the set-group-id bit.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o2770))?;
    }
    Ok(())
}

fn holds_something(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut it| it.next().is_some())
}

/// Gives both their place, the data directory last. An empty folder of a volume is replaced.
fn put(aside: &Folder, estate: &Estate, name: &EnvironmentName) -> Result<(), Failure> {
    let volume = |volume| estate.driver.volume(Some(name), volume);
    for (from, to) in [(aside.odoo_data(), volume(Volume::OdooData)), (aside.data(), volume(Volume::PostgresData))] {
        if !from.exists() {
            continue;
        }
        let parent = to.parent().ok_or("a volume has a parent")?;
        fs::DirBuilder::new().recursive(true).mode(0o711).create(parent)?;
        if to.exists() {
            empty_folders(&to)?;
        }
        fs::rename(&from, &to)?;
        fs::File::open(parent)?.sync_all()?;
    }
    fs::remove_dir_all(&aside.0)?;
    Ok(())
}

/// Removes a folder that holds nothing but empty folders, and nothing else.
fn empty_folders(folder: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            return Err(format!("{} holds files; nothing was overwritten", folder.display()).into());
        }
        empty_folders(&entry.path())?;
    }
    Ok(fs::remove_dir(folder)?)
}

//! Building a template: initdb, a temporary server, Odoo's install, checks, a clean stop, rename.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Instant;

use springtide_core::layout::Slot;
use springtide_core::workload::{CONFIG_PATH, Root, UserSpec};
use springtide_driver::{Driver, Generation, Network, Task, TaskMount};

use super::server::{DATA_AT, PORT, SOCKET_AT, Site, how, succeeded};
use super::{BUILDING, Manifest, TemplateError, TemplateSpec, folder, io_error, manifest, processes, remove};
use crate::folders::{remove_folder, sync_file_system, sync_folder, write_whole};
use crate::odoo_log;
use crate::postgres::{Admin, TEMPLATE_DATABASE, autovacuum, mark_template};

/// Seconds for Odoo's install: `sale_management`-sized sets take two to four minutes on two cores.
const INSTALL_SECONDS: u32 = 15 * 60;
/// Seconds for initdb and the small tools.
const TOOL_SECONDS: u32 = 120;
/// Where tasks see Odoo's data folder.
const ODOO_DATA_AT: &str = "/srv/springtide/odoo-data";

/// Tells whoever waits what is being done.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Builds the template unless it is there. On failure nothing half made stays.
///
/// # Errors
/// [`TemplateError::Install`] with Odoo's own lines, [`TemplateError::Modules`] for modules that
/// Odoo passed over.
pub async fn build(
    driver: &dyn Driver,
    spec: &TemplateSpec,
    generation: Generation,
    progress: Progress<'_>,
) -> Result<(), TemplateError> {
    let templates = folder(driver);
    let whole = templates.join(spec.key());
    let host = driver.observe().await?.host;
    if manifest(driver, &spec.key()).is_ok_and(|made| made.fits(&host)) {
        return Ok(());
    }
    // One of another Odoo package or PostgreSQL: copies of it would not run, and it can be built again.
    remove(driver, &spec.key())?;
    let building = templates.join(format!("{}{BUILDING}", spec.key()));
    let started = Instant::now();
    fs::DirBuilder::new().recursive(true).mode(0o711).create(&templates).map_err(io_error("create", &templates))?;
    clear(&building).await?;

    let major = host.postgres_major.ok_or(TemplateError::NoPostgres)?;
    let site = Site {
        building: building.clone(),
        programs: PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
        user: Slot::ESTATE.installer(),
    };
    let made = make(driver, spec, &site, generation, progress).await;
    let (modules, install_seconds) = match made {
        Ok(made) => made,
        Err(error) => {
            // Asked before anything is cleared away.
            let error = error.or_full(&building);
            if let Err(left) = clear(&building).await {
                tracing::warn!(%left, "leftovers of a template stay until the next build");
            }
            return Err(error);
        }
    };

    progress("writing to disk");
    let bytes = size(&building).map_err(io_error("measure", &building))?;
    let manifest = Manifest {
        spec: spec.clone(),
        odoo_package: host.odoo_roots.get(&spec.series).cloned(),
        modules,
        postgres_major: major,
        bytes,
        seconds: started.elapsed().as_secs(),
        install_seconds,
    };
    let path = building.join("manifest.json");
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| io_error("write", &path)(error.into()))?;
    write_whole(&path, &text, 0o644).map_err(io_error("write", &path))?;
    let of_sync = building.clone();
    tokio::task::spawn_blocking(move || sync_file_system(&of_sync))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(io_error("sync", &building))?;
    remove_folder(&whole).map_err(io_error("remove", &whole))?;
    fs::rename(&building, &whole).map_err(io_error("rename", &building))?;
    sync_folder(&templates).map_err(io_error("sync", &templates))
}

/// Removes what an earlier build left, with any PostgreSQL that still runs in it.
async fn clear(building: &Path) -> Result<(), TemplateError> {
    processes::end(&building.join("pgdata")).await;
    remove_folder(building).map_err(io_error("remove", building))
}

/// All steps up to the stopped, clean data directory. Returns modules with versions.
async fn make(
    driver: &dyn Driver,
    spec: &TemplateSpec,
    site: &Site,
    generation: Generation,
    progress: Progress<'_>,
) -> Result<(BTreeMap<String, String>, f64), TemplateError> {
    fs::DirBuilder::new().mode(0o711).create(&site.building).map_err(io_error("create", &site.building))?;
    for (path, mode) in [(site.pgdata(), 0o700), (site.socket(), 0o770), (site.odoo_data(), 0o770)] {
        owned_folder(&path, site.user, mode)?;
    }
    progress("creating the data directory");
    init(driver, site, generation).await?;

    progress("starting PostgreSQL");
    let task = site.server(INSTALL_SECONDS + 10 * TOOL_SECONDS);
    let mut server = driver.run_task(&task, generation);
    let worked = {
        let work = work(driver, spec, site, generation, progress);
        tokio::pin!(work);
        tokio::select! {
            ended = &mut server => {
                let outcome = ended?;
                let lines = odoo_log::relevant_of(&outcome.log, &outcome.tail);
                return Err(TemplateError::Step { step: "the temporary PostgreSQL", how: how(outcome.code), lines, log: outcome.log });
            }
            done = &mut work => done,
        }
    };
    match &worked {
        Ok(_) => site.stop(),
        Err(_) => processes::end(&site.pgdata()).await,
    }
    let ended = server.await;
    let modules = worked?;
    succeeded("stopping PostgreSQL", ended?)?;

    let command = vec![site.program("pg_controldata"), "-D".into(), DATA_AT.into()];
    let told = succeeded(
        "pg_controldata",
        driver.run_task(&site.task("template-check", command, TOOL_SECONDS), generation).await?,
    )?;
    let state =
        told.tail.lines().find_map(|line| line.strip_prefix("Database cluster state:")).unwrap_or("nothing").trim();
    if state != "shut down" {
        return Err(TemplateError::NotClean(state.to_owned()));
    }
    tidy(site)?;
    Ok(modules)
}

/// initdb. It refuses a user id that has no name; drivers give every task's user one.
async fn init(driver: &dyn Driver, site: &Site, generation: Generation) -> Result<(), TemplateError> {
    let command = ["-D", DATA_AT, "-k", "--no-sync", "-E", "UTF8", "--locale=C", "--auth=trust", "-U", "postgres"];
    let command = [site.program("initdb")].into_iter().chain(command.map(str::to_owned)).collect();
    succeeded("initdb", driver.run_task(&site.task("template-initdb", command, TOOL_SECONDS), generation).await?)?;
    Ok(())
}

/// What is done while the temporary server runs; returns the installed modules and the seconds their
/// install took.
async fn work(
    driver: &dyn Driver,
    spec: &TemplateSpec,
    site: &Site,
    generation: Generation,
    progress: Progress<'_>,
) -> Result<(BTreeMap<String, String>, f64), TemplateError> {
    let admin = site.up().await?;
    admin.batch("create the owner", "CREATE ROLE owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE").await?;
    let create = |ctype: &str| {
        format!(
            "CREATE DATABASE {TEMPLATE_DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE '{ctype}' OWNER owner"
        )
    };
    // With C.UTF-8 `lower()` and `ILIKE` know letters beyond ASCII; not every system has it.
    if admin.batch("create the database", &create("C.UTF-8")).await.is_err() {
        admin.batch("create the database", &create("C")).await?;
    }
    let inside = admin.to(TEMPLATE_DATABASE).await?;
    inside
        .batch(
            "create extensions",
            "CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE EXTENSION IF NOT EXISTS unaccent; GRANT CREATE ON SCHEMA public TO owner",
        )
        .await?;

    progress("installing modules");
    let began = Instant::now();
    let outcome = driver.run_task(&install_task(spec, site), generation).await?;
    if outcome.code != Some(0) {
        let lines = odoo_log::relevant_of(&outcome.log, &outcome.tail);
        return Err(TemplateError::Install { how: how(outcome.code), lines, log: outcome.log });
    }
    let install_seconds = began.elapsed().as_secs_f64();
    progress("building the pages' assets");
    let outcome = driver.run_task(&assets_task(spec, site), generation).await?;
    if outcome.code != Some(0) {
        let lines = odoo_log::relevant_of(&outcome.log, &outcome.tail);
        return Err(TemplateError::Step {
            step: "building the pages' assets",
            how: how(outcome.code),
            lines,
            log: outcome.log,
        });
    }
    progress("checking");
    let modules = installed(&inside, spec, &outcome.log, &outcome.tail).await?;
    mark_template(&inside).await?;
    autovacuum(&inside).await?;
    progress("freezing");
    inside.batch("vacuum", "VACUUM (FREEZE, ANALYZE)").await?;
    Ok((modules, install_seconds))
}

fn install_task(spec: &TemplateSpec, site: &Site) -> Task {
    let profile = spec.series.profile();
    let names: Vec<&str> = spec.modules.iter().map(|module| module.as_str()).collect();
    let config = format!("{CONFIG_PATH}/odoo.conf");
    let mut command: Vec<String> =
        ["/usr/bin/odoo", "-c", &config, "-d", TEMPLATE_DATABASE, "-i"].map(str::to_owned).to_vec();
    command.push(if names.is_empty() { "base".to_owned() } else { names.join(",") });
    command.extend(["--stop-after-init", "--no-http"].map(str::to_owned));
    command.extend(if spec.demo { profile.demo.with.clone() } else { profile.demo.without.clone() });
    odoo_task(spec, site, "template-install", command)
}

/// Style sheets and scripts of the pages everybody opens first. Odoo would build them while the first
/// visitor of each copy waits: eight seconds on 14.0.
fn assets_task(spec: &TemplateSpec, site: &Site) -> Task {
    let script = format!(
        "exec /usr/bin/odoo shell -c {CONFIG_PATH}/odoo.conf -d {TEMPLATE_DATABASE} --no-http --shell-interface=python \
         < {CONFIG_PATH}/assets.py"
    );
    let mut task = odoo_task(spec, site, "template-assets", vec!["/bin/sh".into(), "-c".into(), script]);
    task.files.push(("assets.py".into(), include_str!("assets.py").into()));
    task
}

fn odoo_task(spec: &TemplateSpec, site: &Site, name: &str, command: Vec<String>) -> Task {
    let profile = spec.series.profile();
    let conf = format!(
        "[options]\naddons_path = /srv/springtide/addons\ndata_dir = {ODOO_DATA_AT}\ndb_host = {SOCKET_AT}\ndb_port = {PORT}\n\
         db_user = owner\ndb_maxconn = 8\nlist_db = False\nworkers = 0\nmax_cron_threads = 0\nlog_level = info\n\
         server_wide_modules = {}\n",
        profile.conf.server_wide_modules
    );
    // Series 14 looks for its user's name and dies without one in the environment.
    let env =
        [("USER", "odoo"), ("HOME", "/nonexistent"), ("LANG", "C.UTF-8"), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
    Task {
        name: name.into(),
        root: Root::Odoo(spec.series),
        command,
        env: env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        files: vec![("odoo.conf".into(), conf)],
        mounts: vec![
            TaskMount { from: site.socket(), at: SOCKET_AT.into(), read_only: false },
            TaskMount { from: site.odoo_data(), at: ODOO_DATA_AT.into(), read_only: false },
        ],
        user: site.user,
        network: Network::Machine,
        deadline_s: INSTALL_SECONDS,
    }
}

/// Checks that every module asked for is installed and none is half way; returns all with versions.
async fn installed(
    inside: &Admin,
    spec: &TemplateSpec,
    log: &Path,
    tail: &str,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let rows = inside
        .query(
            "read the modules",
            "SELECT name::text, state::text, coalesce(latest_version, '')::text FROM ir_module_module
             WHERE state = 'installed' OR state LIKE 'to %'",
            &[],
        )
        .await?;
    let all: Vec<(String, String, String)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let half: Vec<String> = all
        .iter()
        .filter(|(_, state, _)| state != "installed")
        .map(|(name, state, _)| format!("module {name} is still {state}"))
        .collect();
    if !half.is_empty() {
        let lines = half.into_iter().chain(odoo_log::relevant_of(log, tail)).take(30).collect();
        return Err(TemplateError::Install { how: "modules left half way".into(), lines, log: log.to_owned() });
    }
    let found: BTreeMap<String, String> = all.into_iter().map(|(name, _, version)| (name, version)).collect();
    let absent: Vec<String> =
        spec.modules.iter().filter(|module| !found.contains_key(module.as_str())).map(ToString::to_string).collect();
    if !absent.is_empty() {
        return Err(TemplateError::Modules { modules: absent, series: spec.series, log: log.to_owned() });
    }
    Ok(found)
}

/// Leaves only what a template holds, and no rule by which anybody could log in to a copy that was
/// given no rules of its own.
fn tidy(site: &Site) -> Result<(), TemplateError> {
    let rules = site.pgdata().join("pg_hba.conf");
    fs::write(&rules, "# A template lets nobody in; whoever runs a copy brings its own rules.\nlocal all all reject\n")
        .map_err(io_error("write", &rules))?;
    let filestore = site.building.join("filestore");
    let kept = filestore.join(TEMPLATE_DATABASE);
    owned_folder(&filestore, site.user, 0o750)?;
    let made = site.odoo_data().join("filestore").join(TEMPLATE_DATABASE);
    if made.is_dir() {
        fs::rename(&made, &kept).map_err(io_error("rename", &made))?;
    } else {
        owned_folder(&kept, site.user, 0o750)?;
    }
    for gone in [site.odoo_data(), site.socket()] {
        remove_folder(&gone).map_err(io_error("remove", &gone))?;
    }
    Ok(())
}

fn owned_folder(path: &Path, user: UserSpec, mode: u32) -> Result<(), TemplateError> {
    fs::create_dir(path).map_err(io_error("create", path))?;
    chown(path, Some(user.uid), Some(user.gid)).map_err(io_error("give away", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io_error("set the mode of", path))
}

/// Bytes of all files below `path`.
fn size(path: &Path) -> std::io::Result<u64> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    fs::read_dir(path)?.try_fold(0, |sum, entry| Ok(sum + size(&entry?.path())?))
}

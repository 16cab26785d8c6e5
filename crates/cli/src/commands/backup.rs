//! `springtide backup`: sets and what can be restored from them; one taken now; a moment named; a place read whole.

use jiff::Timestamp;
use serde_json::{Value, json};
use springtide_core::backup::{BackupSet, Continuity, Kind, RepoKey};
use springtide_core::check::CheckedEstate;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Observation;
use springtide_data::backup::{BackupEngine as _, Phase};
use springtide_server::Estate;
use springtide_server::recovery::choose::ChooseError;
use springtide_server::recovery::{Subject, SubjectError, word};
use springtide_server::store::{ProofRun, Store};

use crate::args::{BackupCommand, Cli};
use crate::context::{clock, load, no_such, now, observe, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, field};
use crate::times;

/// What recovery works on: the estate, its file, what is seen.
pub(super) struct Ground {
    pub estate: Estate,
    pub checked: CheckedEstate,
    pub seen: Observation,
}

impl Ground {
    pub async fn of(cli: &Cli, name: &EnvironmentName) -> Result<Self, Failure> {
        let checked = load(cli)?;
        if !checked.environments.iter().any(|it| it.name == *name) {
            return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
        }
        let Some(estate) = open_there(cli)? else { return Err(absent(name)) };
        let seen = observe(&estate, now()).await?;
        Ok(Self { estate, checked, seen })
    }

    /// Acts under the newest epoch: a backup changes nothing that an epoch fences, and its engine has a lock.
    pub fn subject(&self, name: &EnvironmentName) -> Result<Subject<'_>, Failure> {
        let Some(epoch) = self.estate.store.newest_epoch()? else { return Err(absent(name)) };
        let found = Subject::of(&self.estate, &self.checked, &self.seen, name, epoch.epoch, now());
        found.map_err(|error| match error {
            SubjectError::NotDeclared(_) => no_such(name.as_str(), self.checked.environments.iter().map(|it| &it.name)),
            SubjectError::NotThere(_) => absent(name),
            SubjectError::NoBackups(_) => {
                let next = "write `backup: {}` at the environment, then springtide apply";
                Failure::new(code::INVALID, "E1050", error.to_string(), NOTHING, next)
            }
        })
    }
}

fn absent(name: &EnvironmentName) -> Failure {
    let message = format!("{name} is declared and does not exist yet");
    Failure::new(code::PENDING, "E0903", message, NOTHING, "springtide apply")
}

/// A failure of the machine behind recovery, with its code.
pub(super) fn failure(error: &springtide_server::execute::Failure, what: &str, unchanged: &'static str) -> Failure {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(one) = cause {
        let said = one.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        cause = one.source();
    }
    if error.is::<ChooseError>() {
        return Failure::new(code::FAILED, "E1051", text, unchanged, "springtide backup list ENVIRONMENT");
    }
    if let Some((exit, id, next)) = crate::failure::trouble(error.as_ref()) {
        return Failure::new(exit, id, text, unchanged, next);
    }
    let id = error.downcast_ref::<springtide_data::backup::EngineError>().map(|it| it.code());
    let id = id.or_else(|| error.downcast_ref::<springtide_data::objects::ObjectsError>().map(|it| it.code()));
    let id = id.or_else(|| error.downcast_ref::<springtide_data::filestore::FilesError>().map(|it| it.code()));
    let id = id.or_else(|| error.downcast_ref::<springtide_data::proof::PlaceError>().map(|it| it.code()));
    let id = id.unwrap_or("E1054");
    Failure::new(code::FAILED, id, text, unchanged, format!("springtide explain {id}"))
}

pub(super) fn place(far: bool) -> RepoKey {
    if far { RepoKey::Far } else { RepoKey::Near }
}

pub(super) fn has_place(subject: &Subject<'_>, repo: RepoKey) -> Result<(), Failure> {
    if subject.repos().contains(&repo) {
        return Ok(());
    }
    let message = format!("{} has no {} place", subject.name(), word(repo));
    Err(Failure::new(code::INVALID, "E1050", message, NOTHING, "write `backup: { far: … }` at the environment"))
}

/// `springtide backup`
pub async fn backup(cli: &Cli, what: Option<&BackupCommand>, dry_run: bool) -> Result<u8, Failure> {
    match what {
        None => overview(cli),
        Some(BackupCommand::List { environment }) => list(cli, environment).await,
        Some(BackupCommand::Run { environment, full, far }) => run(cli, environment, *full, *far, dry_run).await,
        Some(BackupCommand::Point { environment, name }) => point(cli, environment, name, dry_run).await,
        Some(BackupCommand::Verify { environment, far }) => verify(cli, environment, *far, dry_run).await,
    }
}

/// Every environment in a line, from what was written down.
fn overview(cli: &Cli) -> Result<u8, Failure> {
    let checked = load(cli)?;
    let estate = open_there(cli)?;
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for declared in &checked.environments {
        let store = estate.as_ref().map(|it| &it.store);
        let newest = store.map(|it| it.backup_runs(&declared.name, 20)).transpose()?.unwrap_or_default();
        let taken = newest.iter().find(|run| run.label.is_some());
        let failed = newest.first().and_then(|run| run.error.as_deref());
        let proof = store.map(|it| newest_proof(it, &declared.name)).transpose()?.flatten();
        let near = declared.backup.as_ref().map(|it| it.near.to_string());
        all.push(json!({
            "environment": declared.name, "near": near, "far": declared.backup.as_ref().and_then(|it| it.far.as_ref()).map(ToString::to_string),
            "newest": taken.and_then(|it| it.label.clone()), "at": times::utc_json(taken.and_then(|it| it.ended)),
            "failed": failed, "proof": proof.as_ref().and_then(|it| it.verdict.clone()), "proof_at": times::utc_json(proof.as_ref().and_then(|it| it.ended)),
        }));
        let when = |at: Option<i64>| at.map_or("never".to_owned(), |at| times::person(at, now()));
        rows.push(vec![
            field(declared.name.as_str()),
            field(near.unwrap_or_else(|| "no backups".into())),
            field(when(taken.and_then(|it| it.ended))),
            field(proof.as_ref().and_then(|it| it.verdict.clone()).unwrap_or_else(|| "not proven".into())),
            field(when(proof.and_then(|it| it.ended))),
            field(failed.unwrap_or_default()),
        ]);
    }
    if cli.json {
        printer::json(&json!({ "version": 1, "environments": all }));
    } else {
        printer::data(&printer::table(&["ENVIRONMENT", "PLACE", "NEWEST", "PROOF", "AT", "LAST FAILURE"], rows));
    }
    Ok(0)
}

fn newest_proof(store: &Store, name: &EnvironmentName) -> Result<Option<ProofRun>, Failure> {
    Ok(store.proofs(name, 20)?.into_iter().find(|it| it.verdict.is_some()))
}

async fn list(cli: &Cli, name: &EnvironmentName) -> Result<u8, Failure> {
    let ground = Ground::of(cli, name).await?;
    let subject = ground.subject(name)?;
    let engine = subject.engine().map_err(|error| failure(&error, "the backups cannot be looked at", NOTHING))?;
    let proven = ground.estate.store.proven(name)?;
    let canaries = subject.canaries().map_err(|error| failure(&error, "the store cannot be read", NOTHING))?;
    let (mut places, mut text, mut worst) = (Vec::new(), String::new(), 0);
    for repo in subject.repos() {
        let look = async {
            let sets: Vec<BackupSet> =
                engine.list(repo).await?.sets.into_iter().filter(|set| set.repo == repo).collect();
            Ok::<_, springtide_data::backup::EngineError>((sets, engine.wal_continuity(repo).await?))
        };
        let (sets, logs) = match look.await {
            Ok(seen) => seen,
            Err(error) => {
                let error = error.into();
                return Err(failure(&error, &format!("the {} place cannot be looked at", word(repo)), NOTHING));
            }
        };
        let of = |set: &BackupSet| logs.iter().find(|it| it.label == set.label).map(|it| &it.continuity);
        let gaps: Vec<String> = sets.iter().filter_map(|set| gap(set, of(set)?)).collect();
        // A time is known of a position only by a canary at or before it.
        let up_to = sets.iter().filter_map(|set| of(set)?.up_to()).max();
        let last = canaries.iter().rfind(|canary| up_to.is_some_and(|end| canary.lsn <= end)).map(|it| it.time);
        let first = sets.iter().filter(|set| !set.error).map(|set| set.stopped).min();
        if !gaps.is_empty() {
            worst = code::PENDING;
        }
        places.push(json!({
            "place": word(repo), "from": first, "to": last, "gaps": gaps,
            "sets": sets.iter().map(|set| told(set, &proven)).collect::<Vec<_>>(),
        }));
        text.push_str(&heading(repo, first.zip(last), &gaps));
        let rows = sets.iter().map(|set| {
            vec![
                field(set.label.as_str()),
                field(set.kind.as_str()),
                field(times::person(set.stopped.as_second(), now())),
                field(format!("{} MiB", set.bytes >> 20)),
                field(format!("{} MiB", set.repo_bytes >> 20)),
                field(if set.error {
                    "broken"
                } else if proven.contains(&set.label.to_string()) {
                    "proven"
                } else {
                    ""
                }),
            ]
        });
        text.push_str(&printer::table(&["SET", "KIND", "TAKEN", "DATABASE", "ADDED", "PROOF"], rows.collect()));
        text.push('\n');
    }
    let points = ground.estate.store.points(name)?;
    if cli.json {
        let points: Vec<Value> =
            points.iter().map(|(name, lsn, at)| json!({ "name": name, "lsn": lsn, "at": times::utc(*at) })).collect();
        printer::json(&json!({ "version": 1, "environment": name, "places": places, "points": points }));
    } else {
        for (point, _, at) in &points {
            text.push_str(&format!("point {point}, {}\n", times::person(*at, now())));
        }
        printer::data(&text);
    }
    Ok(worst)
}

fn gap(set: &BackupSet, seen: &Continuity) -> Option<String> {
    match seen {
        Continuity::Whole { .. } => None,
        Continuity::Gap { missing, up_to, .. } => {
            Some(format!("segment {missing} is missing: from set {} only up to {up_to} can be restored", set.label))
        }
        Continuity::Nothing { wanted } => Some(format!("no log is there for set {}: {wanted} is missing", set.label)),
    }
}

fn heading(repo: RepoKey, span: Option<(Timestamp, Timestamp)>, gaps: &[String]) -> String {
    let span = match span {
        Some((from, to)) if from <= to => {
            format!("any moment from {} to {}", times::utc(from.as_second()), times::utc(to.as_second()))
        }
        _ => "nothing can be restored yet".to_owned(),
    };
    let gaps: String = gaps.iter().map(|gap| format!("{}\n", printer::red(gap))).collect();
    format!("{} place: {span}\n{gaps}", word(repo))
}

fn told(set: &BackupSet, proven: &[String]) -> Value {
    json!({
        "label": set.label, "kind": set.kind, "started": set.started, "stopped": set.stopped, "bytes": set.bytes,
        "added_bytes": set.repo_bytes, "start_lsn": set.start_lsn, "stop_lsn": set.stop_lsn, "broken": set.error,
        "proven": proven.contains(&set.label.to_string()),
    })
}

async fn run(cli: &Cli, name: &EnvironmentName, full: bool, far: bool, dry_run: bool) -> Result<u8, Failure> {
    let ground = Ground::of(cli, name).await?;
    let subject = ground.subject(name)?;
    let repo = place(far);
    has_place(&subject, repo)?;
    let kind = if full { Kind::Full } else { Kind::Incr };
    if dry_run {
        if cli.json {
            printer::json(
                &json!({ "version": 1, "environment": name, "place": word(repo), "kind": kind, "set": null }),
            );
        } else {
            printer::say(&format!("would take a backup of {name} into its {} place", word(repo)));
        }
        return Ok(0);
    }
    let began = std::time::Instant::now();
    let shown = std::sync::Mutex::new(std::time::Instant::now());
    let watch = |progress: springtide_data::backup::Progress| {
        let Ok(mut shown) = shown.lock() else { return };
        if progress.phase == Phase::Copy && shown.elapsed().as_secs() >= 2 && progress.total > 0 {
            *shown = std::time::Instant::now();
            printer::note("", &format!("{} of {} MiB", progress.done >> 20, progress.total >> 20));
        }
    };
    let taken = subject.take(repo, kind, &clock(), &watch).await;
    let unchanged = "Earlier backups are as they were, and the environment runs on.";
    let taken = taken.map_err(|error| failure(&error, "no backup was taken", unchanged))?;
    let seconds = began.elapsed().as_secs_f64();
    if cli.json {
        printer::json(&json!({
            "version": 1, "environment": name, "place": word(repo), "kind": taken.set.kind, "set": told(&taken.set, &[]),
            "files": taken.files, "files_new_bytes": taken.new_bytes, "files_wrong": taken.wrong, "seconds": seconds,
        }));
    } else {
        printer::say(&format!(
            "{}: {} MiB of database, {} MiB added; {} files, {} MiB new; {seconds:.1} s",
            taken.set.label,
            taken.set.bytes >> 20,
            taken.set.repo_bytes >> 20,
            taken.files,
            taken.new_bytes >> 20,
        ));
        if taken.wrong > 0 {
            let files = printer::counted(taken.wrong, "file");
            printer::note(
                &printer::yellow("note"),
                &format!(": {files} of Odoo do not hold what their names say; they are kept apart"),
            );
        }
    }
    Ok(0)
}

async fn point(cli: &Cli, name: &EnvironmentName, point: &str, dry_run: bool) -> Result<u8, Failure> {
    let parsed = point.parse().map_err(|error: springtide_core::backup::select::PointNameError| {
        Failure::new(code::INVALID, "E1055", error.to_string(), NOTHING, "choose another name")
    })?;
    let ground = Ground::of(cli, name).await?;
    let subject = ground.subject(name)?;
    let lsn = match dry_run {
        true => None,
        false => {
            let named = subject.name_point(&parsed, now()).await;
            Some(named.map_err(|error| failure(&error, "the moment was not named", NOTHING))?)
        }
    };
    if cli.json {
        printer::json(&json!({ "version": 1, "environment": name, "point": point, "lsn": lsn }));
    } else {
        let verb = if dry_run { "would be named" } else { "is named" };
        printer::say(&format!("this moment of {name} {verb} {point}"));
    }
    Ok(0)
}

async fn verify(cli: &Cli, name: &EnvironmentName, far: bool, dry_run: bool) -> Result<u8, Failure> {
    let ground = Ground::of(cli, name).await?;
    let subject = ground.subject(name)?;
    let repo = place(far);
    has_place(&subject, repo)?;
    if dry_run {
        if cli.json {
            printer::json(&json!({ "version": 1, "environment": name, "place": word(repo), "found": null }));
        } else {
            printer::say(&format!("would read everything in the {} place of {name}", word(repo)));
        }
        return Ok(0);
    }
    let verified = subject.verify(repo).await;
    let (found, files) = verified.map_err(|error| failure(&error, "not everything could be read", NOTHING))?;
    if cli.json {
        printer::json(
            &json!({ "version": 1, "environment": name, "place": word(repo), "found": found, "files": files }),
        );
    } else if found.is_empty() {
        printer::say(&format!("everything in the {} place of {name} is as it was written ({files} files)", word(repo)));
    } else {
        for one in &found {
            printer::data(&format!("{}  {one}\n", printer::paint_data(printer::Tone::Bad, "damaged")));
        }
    }
    Ok(if found.is_empty() { 0 } else { code::PENDING })
}

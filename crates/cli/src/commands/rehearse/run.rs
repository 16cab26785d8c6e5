//! `springtide rehearse run`: data if there is none, the profile's arrivals, the ledger, the verdict.
//!
//! Rule: what was measured is printed, whatever goes wrong after it: a disk that is full, a database that is away, a
//! person who does not want to wait. What is missing then is said, and the run did not pass.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use springtide_core::names::EnvironmentName;
use springtide_rehearse::distributor::Size;
use springtide_rehearse::generator::{self, Settings, Watch};
use springtide_rehearse::ledger::Ledger;
use springtide_rehearse::measure::Report;
use springtide_rehearse::profile::Profile;
use springtide_rehearse::schedule::Schedule;
use springtide_rehearse::traffic;
use springtide_server::execute::chain;

use super::alone::alone;
use super::target::{Subject, permit, subject};
use super::{failures, prepare, verdict, watch};
use crate::args::Cli;
use crate::context::{load, no_such, now};
use crate::failure::{Failure, NOTHING, code};
use crate::printer;

/// What the command was asked.
pub struct Wishes<'a> {
    pub minutes: Option<f64>,
    pub size: &'a str,
    pub seed: u64,
    pub pin: Option<usize>,
    pub i_know: bool,
    pub dry_run: bool,
}

/// How long a run is if nobody says.
const MINUTES: f64 = 10.0;
/// Longest run, minutes: a day.
const MOST_MINUTES: f64 = 1440.0;

/// `springtide rehearse run`
pub async fn run(cli: &Cli, profile: &str, name: &EnvironmentName, wishes: &Wishes<'_>) -> Result<u8, Failure> {
    let profile = Profile::open(profile).map_err(failures::profile)?;
    let size: Size = wishes.size.parse().map_err(failures::size)?;
    let minutes = wishes.minutes.unwrap_or(MINUTES);
    if !(minutes > 0.0 && minutes <= MOST_MINUTES) {
        let message = format!("--minutes must be more than 0 and at most {MOST_MINUTES}");
        return Err(Failure::new(code::INVALID, "E0911", message, NOTHING, "springtide rehearse run --help"));
    }
    let length = Duration::from_secs_f64(minutes * 60.0);
    let schedule = Schedule::of(&profile, wishes.seed, length).map_err(failures::schedule)?;
    let checked = load(cli)?;
    let Some(declared) = checked.environments.iter().find(|it| it.name == *name) else {
        return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
    };
    permit(declared, wishes.i_know)?;
    let subject = subject(cli, name).await?;
    if wishes.dry_run {
        return Ok(plan(cli, &subject, &schedule));
    }
    let _alone = alone(&subject, "rehearse-run")?;
    let operation =
        subject.estate.store.begin_command(&format!("rehearse run {name}"), "springtide rehearse", now())?;
    let ran = drive(&subject, &profile, &schedule, size, wishes).await;
    let outcome = match &ran {
        Ok(Ran { report, .. }) if report.pass => "passed",
        Ok(_) => "did not pass",
        Err(_) => "failed",
    };
    let ended = subject.estate.store.end_command(operation, outcome, now());
    let mut ran = ran?;
    if let Err(error) = ended {
        ran.report.notes.push(format!("how the run ended is not in the history: {}", chain(&error)));
    }
    print(cli, name, ran)
}

/// A run that is over.
struct Ran {
    report: Report,
    /// Ledger and report.
    folder: PathBuf,
    /// What went wrong besides, for people.
    failure: Option<Failure>,
    /// Whether a person ended it early, or the judging after it.
    asked: bool,
}

/// What would be done.
fn plan(cli: &Cli, subject: &Subject, schedule: &Schedule) -> u8 {
    let url = &subject.target.url;
    let count = schedule.arrivals.len();
    if cli.json {
        printer::json(&json!({
            "version": 1, "environment": subject.name, "profile": schedule.profile, "seed": schedule.seed,
            "length_s": schedule.length.as_secs_f64(), "arrivals": count, "url": url,
        }));
    } else {
        let minutes = schedule.length.as_secs_f64() / 60.0;
        printer::say(&format!("would let {count} arrivals of {} come to {url} in {minutes} min", schedule.profile));
    }
    0
}

/// Drives the schedule and judges. An error says that nobody came.
async fn drive(
    subject: &Subject,
    profile: &Profile,
    schedule: &Schedule,
    size: Size,
    wishes: &Wishes<'_>,
) -> Result<Ran, Failure> {
    let target = &subject.target;
    // Before minutes are spent on loading.
    let folder = folder(subject)?;
    let path = folder.join("ledger");
    let ledger = Arc::new(Ledger::open(&path).map_err(failures::ledger)?);
    watch::unless_asked(prepare::load_if_none(target, size)).await?;
    let watch = Watch::new(Settings { core: wishes.pin, ..Settings::default() });
    let name = name_of(now());
    let opening = async { traffic::open(target, Arc::clone(&ledger), &name).await.map_err(failures::open) };
    let traffic = watch::unless_asked(opening).await?;
    ledger.stop_on_failure(&watch);
    let hand = watch::stop_at_a_word(watch.clone())?;
    let shown = tokio::spawn(watch::show(watch.clone(), schedule.length));
    let measured = generator::run(schedule, Arc::new(traffic), &watch).await;
    shown.abort();
    // The default of a signal does not come back, so somebody must listen to it to the end.
    let word = watch::word()?;
    hand.abort();
    let broken = ledger.failure().map(failures::ledger);
    drop(ledger);
    let ended = measured.began.saturating_add(i64::try_from(measured.took.as_micros()).unwrap_or(i64::MAX));
    let mut asked = matches!(measured.stopped, Some(generator::Stop::Asked));
    let (findings, unjudged) = match verdict::judge(target, &path, Some(ended), word).await {
        Ok(Some(findings)) => (Some(findings), None),
        Ok(None) => {
            asked = true;
            (None, None)
        }
        Err(failure) => (None, Some(failure)),
    };
    let compared = findings.is_some();
    let mut report = Report::of(&measured, profile, findings);
    if !compared {
        let why = unjudged.as_ref().map_or("it was stopped before that", Failure::message);
        report.fail(format!("the ledger was not compared with the database: {why}"));
    }
    if let Err(error) = keep(&report, &folder) {
        report.notes.push(format!("the report is printed only; it could not be written: {error}"));
    }
    Ok(Ran { report, folder, failure: broken.or(unjudged), asked })
}

/// Writes the report beside the ledger, whole or not at all.
fn keep(report: &Report, folder: &Path) -> std::io::Result<()> {
    let part = folder.join("report.json.part");
    let text = serde_json::to_vec_pretty(report)?;
    let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, folder.join("report.json")));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// The name of a run in all its keys: its second, in letters and digits.
pub fn name_of(second: i64) -> String {
    format!("r{second:x}")
}

/// A new folder for ledger and report: `rehearsals/ENV/TIME` in the state folder.
pub fn folder(subject: &Subject) -> Result<PathBuf, Failure> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ").to_string();
    let folder = subject.estate.state.join("rehearsals").join(subject.name.as_str()).join(time);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

fn print(cli: &Cli, name: &EnvironmentName, ran: Ran) -> Result<u8, Failure> {
    let Ran { report, folder, failure, asked } = ran;
    let exit = match (asked, report.pass) {
        (true, _) => code::CANCELLED,
        (_, true) => 0,
        (_, false) => code::PENDING,
    };
    if cli.json {
        let report = serde_json::to_value(&report)?;
        return match failure {
            Some(failure) => {
                Err(failure.with_details(json!({ "environment": name, "folder": folder, "report": report })))
            }
            None => {
                printer::json(&json!({ "version": 1, "environment": name, "folder": folder, "report": report }));
                Ok(exit)
            }
        };
    }
    printer::data(&report.text());
    if let Some(findings) = &report.ledger {
        printer::data(&verdict::told(findings));
    }
    printer::note("", &format!("ledger and report are in {}", folder.display()));
    failure.map_or(Ok(exit), Err)
}

//! `springtide rehearse run`: data if there is none, the profile's arrivals, the ledger, the verdict.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
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
    let operation =
        subject.estate.store.begin_command(&format!("rehearse run {name}"), "springtide rehearse", now())?;
    let report = drive(&subject, &profile, &schedule, size, wishes).await;
    let outcome = match &report {
        Ok((report, _)) if report.pass => "passed",
        Ok(_) => "did not pass",
        Err(_) => "failed",
    };
    subject.estate.store.end_command(operation, outcome, now())?;
    let (report, folder) = report?;
    print(cli, name, &report, &folder)?;
    Ok(match (&report.stopped, report.pass) {
        (Some(generator::Stop::Asked), _) => code::CANCELLED,
        (_, true) => 0,
        (_, false) => code::PENDING,
    })
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

async fn drive(
    subject: &Subject,
    profile: &Profile,
    schedule: &Schedule,
    size: Size,
    wishes: &Wishes<'_>,
) -> Result<(Report, PathBuf), Failure> {
    let target = &subject.target;
    prepare::load_if_none(target, size).await?;
    let folder = folder(subject)?;
    let ledger = Arc::new(Ledger::open(folder.join("ledger")).map_err(failures::ledger)?);
    let watch = Watch::new(Settings { core: wishes.pin, ..Settings::default() });
    let traffic = traffic::open(target, Arc::clone(&ledger), &name_of(now())).await.map_err(failures::open)?;
    let hand = watch::stop_at_a_word(watch.clone())?;
    let shown = tokio::spawn(watch::show(watch.clone(), schedule.length));
    let measured = generator::run(schedule, Arc::new(traffic), &watch).await;
    shown.abort();
    hand.abort();
    drop(ledger);
    let findings = verdict::judge(target, &folder.join("ledger")).await?;
    let report = Report::of(&measured, profile, Some(findings));
    let text = serde_json::to_vec_pretty(&report)?;
    std::fs::write(folder.join("report.json"), text)?;
    Ok((report, folder))
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

fn print(cli: &Cli, name: &EnvironmentName, report: &Report, folder: &std::path::Path) -> Result<(), Failure> {
    if cli.json {
        printer::json(&json!({
            "version": 1, "environment": name, "folder": folder, "report": serde_json::to_value(report)?,
        }));
        return Ok(());
    }
    printer::data(&report.text());
    if let Some(findings) = &report.ledger {
        printer::data(&verdict::told(findings));
    }
    printer::note("", &format!("ledger and report are in {}", folder.display()));
    Ok(())
}

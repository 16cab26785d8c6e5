//! `springtide rehearse calibrate`: what each kind of work costs on this machine, how often Odoo repeats, and how
//! near a model comes to what it was not fitted to.
//!
//! Rule: the files are tried before anything is measured, and written behind every step, so what was measured is
//! kept whether the calibration ends, fails or is stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use springtide_capacity::plant::Processors;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_core::workload::WorkloadId;
use springtide_driver::Driver;
use springtide_rehearse::calibrate::CalibrateError;
use springtide_rehearse::calibrate::crew::Crew;
use springtide_rehearse::calibrate::file::{PlantFile, writable, write_whole};
use springtide_rehearse::calibrate::inside::Inside;
use springtide_rehearse::calibrate::machine::Machine;
use springtide_rehearse::calibrate::recipe::{self, Amount, Listener, Subject as Measured};
use springtide_rehearse::calibrate::results::{Ended, Results};
use springtide_rehearse::calibrate::{places, told};
use springtide_rehearse::class::Class;
use springtide_rehearse::distributor::Size;
use springtide_rehearse::facts;
use springtide_rehearse::faults::Victim;
use springtide_rehearse::ledger::Ledger;
use springtide_rehearse::odoo::Target;
use springtide_rehearse::traffic::{self, Rehearsal, Walk};
use tokio::signal::unix::{SignalKind, signal};

use super::alone::alone;
use super::run::{folder, name_of};
use super::target::{Subject, permit, subject};
use super::{failures, prepare};
use crate::args::Cli;
use crate::context::{load, no_such, now};
use crate::failure::{Failure, NOTHING, code};
use crate::printer;

/// What the command was asked.
#[derive(Clone, Copy)]
pub struct Wishes<'a> {
    pub out: &'a Path,
    pub report: Option<&'a Path>,
    pub requests: u32,
    pub seconds: u64,
    pub i_know: bool,
    pub dry_run: bool,
}

impl Wishes<'_> {
    fn check(&self) -> Result<(), Failure> {
        let refuse = |message: &str| {
            Err(Failure::new(code::INVALID, "E0911", message, NOTHING, "springtide rehearse calibrate --help"))
        };
        if !(10..=1_000).contains(&self.requests) {
            return refuse("--requests must be 10 to 1000");
        }
        if !(3..=3_600).contains(&self.seconds) {
            return refuse("--seconds must be 3 to 3600");
        }
        if self.report == Some(self.out) {
            return refuse("--out and --report must be two files");
        }
        for path in [Some(self.out), self.report].into_iter().flatten() {
            writable(path).map_err(|error| {
                let next = "name a file in a folder that is there";
                Failure::new(code::INVALID, error.code(), error.to_string(), NOTHING, next)
            })?;
        }
        Ok(())
    }

    /// What the model sees of it. Paths are this machine's own and stay out of what is kept.
    fn command(&self, name: &EnvironmentName) -> String {
        let Wishes { requests, seconds, .. } = self;
        format!("springtide rehearse calibrate --env {name} --requests {requests} --seconds {seconds}")
    }

    fn amount(&self) -> Amount {
        let place = Duration::from_secs(self.seconds);
        Amount {
            classes: Class::ALL.to_vec(),
            acts: self.requests,
            idle: Duration::from_secs(10),
            swept: Class::OrderApi,
            clients: vec![1, 2, 3, 4],
            hot: vec![1, 4, 16, 64],
            workers: vec![1, 2, 3, 4],
            each: place / 3,
            mixes: places::mixes(),
            shares: vec![0.3, 0.5, 0.7],
            place,
            seed: 1,
        }
    }
}

/// `springtide rehearse calibrate`
pub async fn calibrate(cli: &Cli, name: &EnvironmentName, wishes: &Wishes<'_>) -> Result<u8, Failure> {
    wishes.check()?;
    let checked = load(cli)?;
    let Some(declared) = checked.environments.iter().find(|it| it.name == *name) else {
        return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
    };
    permit(declared, wishes.i_know)?;
    let subject = subject(cli, name).await?;
    if wishes.dry_run {
        return Ok(plan(cli, name, wishes));
    }
    let _alone = alone(&subject, "rehearse-calibrate")?;
    let operation =
        subject.estate.store.begin_command(&format!("rehearse calibrate {name}"), "springtide rehearse", now())?;
    let measured = measure(&subject, wishes).await;
    let outcome = match &measured {
        Ok(results) if results.ended == Ended::Whole => "done",
        Ok(results) if results.ended == Ended::Stopped => "stopped",
        _ => "failed",
    };
    subject.estate.store.end_command(operation, outcome, now())?;
    finish(cli, name, wishes, &measured?)
}

fn plan(cli: &Cli, name: &EnvironmentName, wishes: &Wishes<'_>) -> u8 {
    let amount = wishes.amount();
    let places = amount.mixes.len() * amount.shares.len();
    if cli.json {
        printer::json(&json!({
            "version": 1, "environment": name, "requests": wishes.requests, "seconds": wishes.seconds, "places": places,
            "file": wishes.out, "report": wishes.report,
        }));
    } else {
        printer::say(&format!(
            "would measure {} acts of each class on {name}, its sweeps, and {places} places for {} s each, and write {}",
            wishes.requests,
            wishes.seconds,
            wishes.out.display()
        ));
    }
    0
}

/// Prints what there is; the exit code says whether that is all.
fn finish(cli: &Cli, name: &EnvironmentName, wishes: &Wishes<'_>, results: &Results) -> Result<u8, Failure> {
    let file = results.fit.is_some().then_some(wishes.out);
    if let Ended::Failed(why) = &results.ended {
        let details = json!({ "file": file, "report": wishes.report, "results": results });
        let kept = "What was measured before is in the files.";
        if !cli.json {
            printer::data(&told::page(results));
        }
        return Err(Failure::new(code::FAILED, "E0974", why, kept, "springtide status").with_details(details));
    }
    let verdict = results.comparison.as_ref().map(|comparison| comparison.verdict().met);
    if cli.json {
        printer::json(&json!({
            "version": 1, "environment": name, "file": file, "report": wishes.report, "goal_met": verdict, "results": results,
        }));
    } else {
        printer::data(&told::page(results));
        match file {
            Some(file) => printer::note("", &format!("the parameters are in {}", file.display())),
            None => printer::note("", "nothing was fitted yet, so there is no file of parameters"),
        }
        if let Some(report) = wishes.report {
            printer::note("", &format!("this page is in {}", report.display()));
        }
    }
    Ok(if results.ended == Ended::Whole { 0 } else { code::CANCELLED })
}

/// Measures until the end, a failure, or a person's word. A failure behind the first step is in the results.
async fn measure(subject: &Subject, wishes: &Wishes<'_>) -> Result<Results, Failure> {
    prepare::load_if_none(&subject.target, Size::S).await?;
    let ledger = Arc::new(Ledger::open(folder(subject)?.join("ledger")).map_err(failures::ledger)?);
    let traffic = traffic::open(&subject.target, ledger, &name_of(now())).await.map_err(failures::open)?;
    let measured = measured(subject, Arc::new(traffic)).await?;
    let amount = wishes.amount();
    let mut results = Results::new(&measured, &amount, now(), wishes.command(&subject.name));
    let mut listener = Kept { out: wishes.out, report: wishes.report };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Acts under way are dropped with the future; the crew gets its old number back with `measured`.
    let ended = tokio::select! {
        ended = recipe::run(&measured, &amount, &mut results, &mut listener) => Some(ended),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    match ended {
        Some(Ok(())) => return Ok(results),
        Some(Err(error)) => results.ended = Ended::Failed(error.to_string()),
        None => results.ended = Ended::Stopped,
    }
    printer::note("", "putting web workers back and keeping what was measured");
    drop(measured);
    listener.keep(&results).map_err(|error| failed(&error))?;
    Ok(results)
}

async fn measured(subject: &Subject, traffic: Arc<Rehearsal>) -> Result<Measured, Failure> {
    let victims = |roles: &[Role]| {
        let pids = roles.iter().filter_map(|role| subject.seen.workloads.get(role)?.pid);
        pids.map(Victim::of)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::new(code::FAILED, error.code(), error.to_string(), NOTHING, "springtide status"))
    };
    let front = victims(&[Role::Web, Role::Live])?;
    let crew = front.first().cloned().ok_or_else(|| CalibrateError::Measure("Odoo's web role does not run".into()));
    let crew = crew.and_then(Crew::of).map_err(|error| failed(&error))?;
    let serving = facts::serving(&subject.target).await.map_err(|error| failed(&asked(error)))?;
    let build = if cfg!(debug_assertions) { ", a debug build" } else { "" };
    let versions = BTreeMap::from([
        ("odoo".to_owned(), format!("{} (base {})", subject.target.series, serving.odoo)),
        ("postgresql".to_owned(), serving.postgresql),
        ("springtide".to_owned(), format!("{}{build}", env!("CARGO_PKG_VERSION"))),
    ]);
    let machine = Machine::here(versions);
    let web = WorkloadId { environment: Some(subject.name.clone()), role: Role::Web };
    Ok(Measured {
        environment: subject.name.to_string(),
        inside: Arc::new(Here {
            traffic: Arc::clone(&traffic),
            target: subject.target.clone(),
            driver: Arc::clone(&subject.estate.driver),
            web,
        }),
        traffic,
        front,
        behind: victims(&[Role::Cron, Role::Jobs])?,
        db: victims(&[Role::Postgres, Role::Pooler])?,
        crew,
        processors: Processors::Shared(machine.cores),
        machine,
    })
}

/// The environment from inside.
struct Here {
    traffic: Arc<Rehearsal>,
    target: Target,
    driver: Arc<dyn Driver>,
    web: WorkloadId,
}

#[async_trait]
impl Inside for Here {
    async fn open_jobs(&self) -> Result<u64, CalibrateError> {
        Ok(facts::serving(&self.target).await.map_err(asked)?.open_jobs)
    }

    fn log(&self) -> Result<String, CalibrateError> {
        let mut text = String::new();
        for path in self.driver.logs(&self.web).into_iter().rev() {
            let bytes = std::fs::read(path)
                .map_err(|why| CalibrateError::Measure(format!("the web role's log cannot be read: {why}")))?;
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        Ok(text)
    }

    fn walk(&self, walk: Walk) {
        self.traffic.walk(walk);
    }
}

/// Tells people, and writes the files.
struct Kept<'a> {
    out: &'a Path,
    report: Option<&'a Path>,
}

impl Listener for Kept<'_> {
    fn say(&mut self, text: String) {
        printer::note("", &text);
    }

    fn keep(&mut self, results: &Results) -> Result<(), CalibrateError> {
        if let Some(file) = PlantFile::of(results) {
            file.write(self.out)?;
        }
        match self.report {
            Some(path) => write_whole(path, &told::page(results)),
            None => Ok(()),
        }
    }
}

fn asked(error: facts::FactsError) -> CalibrateError {
    CalibrateError::Measure(springtide_server::execute::chain(&error))
}

fn failed(error: &CalibrateError) -> Failure {
    Failure::new(code::FAILED, error.code(), error.to_string(), "Nothing was measured.", "springtide status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_or_measured_is_refused_before_anything_is_done() {
        let folder = tempfile::TempDir::new().unwrap();
        let (out, none) = (folder.path().join("plant.yaml"), folder.path().join("none/page.md"));
        let good = Wishes { out: &out, report: None, requests: 60, seconds: 60, i_know: false, dry_run: false };
        assert!(good.check().is_ok());
        assert!(!out.exists(), "trying leaves nothing");
        for (bad, id) in [
            (Wishes { requests: 9, ..good }, "E0911"),
            (Wishes { seconds: 0, ..good }, "E0911"),
            (Wishes { report: Some(&out), ..good }, "E0911"),
            (Wishes { report: Some(&none), ..good }, "E0974"),
            (Wishes { out: folder.path(), ..good }, "E0974"),
        ] {
            let failure = bad.check().unwrap_err();
            assert!(failure.is(id), "{failure:?}");
        }
        // What is kept names no place of this machine.
        let command = good.command(&"prod".parse().unwrap());
        assert!(!command.contains('/') && command.contains("--seconds 60"), "{command}");
    }

    #[test]
    fn the_grid_has_two_mixes_at_three_rates_of_enough_length() {
        let folder = std::path::PathBuf::from("plant.yaml");
        let wishes = Wishes { out: &folder, report: None, requests: 60, seconds: 60, i_know: false, dry_run: false };
        let amount = wishes.amount();
        assert!(amount.mixes.len() >= 2 && amount.shares.len() >= 3 && amount.place >= Duration::from_secs(60));
        assert_eq!(amount.hot, [1, 4, 16, 64]);
        let of_mixes = amount.mixes.iter().flat_map(|mix| mix.parts.keys());
        assert!(of_mixes.chain([&amount.swept, &Class::Scan]).all(|class| amount.classes.contains(class)));
    }
}

//! `springtide rehearse calibrate`: what each kind of work costs on this machine, and how near the model comes
//! to what it was not fitted to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use springtide_capacity::plant::Processors;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_rehearse::calibrate::CalibrateError;
use springtide_rehearse::calibrate::file::PlantFile;
use springtide_rehearse::calibrate::grid::{Comparison, Spot, compare};
use springtide_rehearse::calibrate::machine::Machine;
use springtide_rehearse::calibrate::recipe::{self, Amount, Subject as Measured};
use springtide_rehearse::class::Class;
use springtide_rehearse::distributor::Size;
use springtide_rehearse::faults::Victim;
use springtide_rehearse::generator::{self, Settings, Traffic, Watch};
use springtide_rehearse::ledger::Ledger;
use springtide_rehearse::profile::Profile;
use springtide_rehearse::schedule::Schedule;
use springtide_rehearse::traffic;

use super::run::{folder, name_of};
use super::target::{Subject, permit, subject};
use super::{failures, prepare};
use crate::args::Cli;
use crate::context::{load, no_such, now};
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, field};

/// Rates per second of the places that are measured for comparison: `order-api` and `scan`.
const GRID: [(f64, f64); 3] = [(0.3, 0.6), (0.6, 1.2), (1.0, 2.0)];
/// How long each is measured.
const EACH: Duration = Duration::from_secs(45);

/// `springtide rehearse calibrate`
pub async fn calibrate(
    cli: &Cli,
    name: &EnvironmentName,
    out: &Path,
    requests: u32,
    i_know: bool,
    dry_run: bool,
) -> Result<u8, Failure> {
    if !(10..=1_000).contains(&requests) {
        let message = "--requests must be 10 to 1000";
        return Err(Failure::new(code::INVALID, "E0911", message, NOTHING, "springtide rehearse calibrate --help"));
    }
    let checked = load(cli)?;
    let Some(declared) = checked.environments.iter().find(|it| it.name == *name) else {
        return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
    };
    permit(declared, i_know)?;
    let subject = subject(cli, name).await?;
    if dry_run {
        let text = format!("would measure {requests} acts of each class on {name} and write {}", out.display());
        if cli.json {
            printer::json(&json!({ "version": 1, "environment": name, "requests": requests, "file": out }));
        } else {
            printer::say(&text);
        }
        return Ok(0);
    }
    let operation =
        subject.estate.store.begin_command(&format!("rehearse calibrate {name}"), "springtide rehearse", now())?;
    let measured = measure(&subject, requests).await;
    subject.estate.store.end_command(operation, if measured.is_ok() { "done" } else { "failed" }, now())?;
    let (file, comparison) = measured?;
    file.write(out).map_err(failed)?;
    if cli.json {
        printer::json(
            &json!({ "version": 1, "environment": name, "file": out, "plant": file, "comparison": comparison }),
        );
        return Ok(0);
    }
    show(&file, &comparison);
    printer::note("", &format!("the parameters are in {}", out.display()));
    Ok(0)
}

async fn measure(subject: &Subject, requests: u32) -> Result<(PlantFile, Comparison), Failure> {
    prepare::load_if_none(&subject.target, Size::S).await?;
    let ledger = Arc::new(Ledger::open(folder(subject)?.join("ledger")).map_err(failures::ledger)?);
    let traffic = traffic::open(&subject.target, ledger, &name_of(now())).await.map_err(failures::open)?;
    let traffic: Arc<dyn Traffic> = Arc::new(traffic);
    let pids = |roles: &[Role]| {
        let pids = roles.iter().filter_map(|role| subject.seen.workloads.get(role)?.pid);
        pids.map(Victim::of)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::new(code::FAILED, error.code(), error.to_string(), NOTHING, "springtide status"))
    };
    // The master of the web role, and the workers below it.
    let app = pids(&[Role::Web, Role::Live, Role::Cron, Role::Jobs])?;
    let workers = app.first().map_or(0, |web| web.tree().len().saturating_sub(1));
    let workers = u32::try_from(workers).unwrap_or(1).max(1);
    let versions = BTreeMap::from([("odoo".to_owned(), subject.target.series.to_string())]);
    let machine = Machine::here(versions);
    let measured = Measured {
        environment: subject.name.to_string(),
        traffic: Arc::clone(&traffic),
        app,
        db: pids(&[Role::Postgres, Role::Pooler])?,
        workers,
        processors: Processors::Shared(machine.cores),
        machine,
    };
    let amount = Amount {
        classes: Class::ALL.to_vec(),
        acts: requests,
        idle: Duration::from_secs(10),
        swept: Class::OrderApi,
        clients: vec![1, 2, 3, 4],
        each: Duration::from_secs(20),
        seed: 1,
    };
    let file = recipe::run(&measured, &amount, now(), |text| printer::note("", &text)).await.map_err(failed)?;
    let mut spots = Vec::new();
    for (number, (order, scan)) in GRID.into_iter().enumerate() {
        printer::note("", &format!("for comparison: {order} order-api and {scan} scan a second, {} s", EACH.as_secs()));
        spots.push(spot(&traffic, workers, order, scan, number as u64).await?);
    }
    let comparison = compare(&file, &spots).map_err(failed)?;
    Ok((file, comparison))
}

/// A place of the grid, measured by the open loop.
async fn spot(traffic: &Arc<dyn Traffic>, workers: u32, order: f64, scan: f64, number: u64) -> Result<Spot, Failure> {
    let text = format!(
        "name: place\nabout: One place of the grid.\nclasses:\n  order-api: {{ per_minute: {} }}\n  scan: {{ per_minute: {} }}\n",
        order * 60.0,
        scan * 60.0
    );
    let profile = Profile::parse("place", &text).map_err(failures::profile)?;
    let mut schedule = Schedule::of(&profile, 100 + number, EACH).map_err(failures::schedule)?;
    // Keys of a place are its own: numbers of a class begin elsewhere in every place.
    for arrival in &mut schedule.arrivals {
        arrival.number += (1 + number) << 32;
    }
    let watch = Watch::new(Settings::default());
    let measured = generator::run(&schedule, Arc::clone(traffic), &watch).await;
    let (mut rates, mut p95, mut done) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (class, found) in &measured.classes {
        rates.insert(*class, found.offered as f64 / EACH.as_secs_f64());
        done += found.done;
        if let Some(time) = found.latency.quantile_of(0.95, found.offered) {
            p95.insert(*class, time.as_secs_f64());
        }
    }
    Ok(Spot { workers, rates, throughput: done as f64 / measured.took.as_secs_f64().max(1e-3), p95 })
}

fn show(file: &PlantFile, comparison: &Comparison) {
    let rows = file.classes.iter().map(|(class, fit)| {
        let ms = |seconds: f64| field(format!("{:.0}", seconds * 1000.0));
        vec![
            field(class.as_str()),
            ms(fit.demand.app),
            ms(fit.demand.db),
            ms(fit.p50),
            ms(fit.p95),
            field(format!("{:.2}", fit.demand.retries)),
            field(format!("{} of {}", fit.done, fit.done + fit.failed)),
        ]
    });
    let head = ["class", "odoo ms", "postgresql ms", "p50 ms", "p95 ms", "retries", "done"];
    printer::data(&printer::table(&head, rows.collect()));
    let rows = comparison.rows.iter().map(|row| {
        let rates: Vec<_> = row.spot.rates.iter().map(|(class, rate)| format!("{class} {rate:.2}/s")).collect();
        let times = |of: Option<&BTreeMap<Class, f64>>| {
            let Some(of) = of else { return "no steady state".to_owned() };
            of.iter().map(|(class, time)| format!("{class} {:.0} ms", time * 1000.0)).collect::<Vec<_>>().join(", ")
        };
        vec![
            field(rates.join(", ")),
            field(format!("{:.2}", row.spot.throughput)),
            field(format!("{:.2}", row.throughput)),
            field(times(Some(&row.spot.p95))),
            field(times(row.p95.as_ref())),
        ]
    });
    let head = ["offered", "done a second", "model", "p95", "model"];
    printer::data(&printer::table(&head, rows.collect()));
    let p95 = comparison.p95_mape.map_or("none".to_owned(), |error| format!("{error:.0} %"));
    printer::say(&format!(
        "mean error of the model where it was not fitted: throughput {:.0} %, P95 {p95}",
        comparison.throughput_mape
    ));
    file.notes.iter().for_each(|note| printer::note("", note));
}

fn failed(error: CalibrateError) -> Failure {
    Failure::new(code::FAILED, error.code(), error.to_string(), "No file was written.", "springtide status")
}

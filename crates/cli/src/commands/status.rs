//! `springtide status`: what runs, as observed now, environment by environment.
//!
//! It needs no estate file; without one addresses and peaks are not told.

mod word;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use springtide_core::check::{CheckedEnvironment, CheckedEstate};
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{Observation, Observed, WorkloadObservation, WorkloadState};
use springtide_core::plan::environment::base_url;
use springtide_core::role::{ByRole, Role};
use springtide_server::Estate;

use self::word::{Word, tone, word};
use crate::args::Cli;
use crate::context::{busy, load_quietly, no_such, now, observe, open_there};
use crate::failure::{Failure, code};
use crate::printer::{self, Field, Tone, field, paint_data};
use crate::times;

/// Days before the end of a certificate from which on it is marked.
const CERTIFICATE_SOON: i64 = 14;

/// `springtide status`
pub async fn status(cli: &Cli, only: Option<&EnvironmentName>) -> Result<u8, Failure> {
    let estate = open_there(cli)?;
    let at = now();
    let seen = match &estate {
        Some(estate) => observe(estate, at).await?,
        None => Observation { at, ..Observation::default() },
    };
    // A file that is not there or not valid hides nothing of what runs.
    let declared = load_quietly(cli);
    let names = names(&seen, declared.as_ref(), only)?;
    let under_way = estate.as_ref().map(under_way).transpose()?.flatten();
    let words: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), word(seen.environments.get(name)))).collect();
    let parts = only.is_some()
        || Role::ESTATE.iter().all(|role| seen.estate.get(role).is_some_and(|it| it.state == WorkloadState::Ready));
    let healthy = parts && !words.is_empty() && words.values().all(|word| *word == Word::Up);
    if cli.json {
        let environments: Vec<Value> =
            words.iter().map(|(name, word)| summary(name, *word, &seen, declared.as_ref(), at)).collect();
        printer::json(&json!({
            "version": 1, "healthy": healthy, "operation": under_way,
            "environments": environments, "observation": observation(&seen)?,
        }));
    } else {
        printer::data(&screen(&words, &seen, declared.as_ref(), under_way.as_ref(), only, at));
    }
    Ok(if healthy { 0 } else { code::PENDING })
}

fn names(
    seen: &Observation,
    declared: Option<&CheckedEstate>,
    only: Option<&EnvironmentName>,
) -> Result<Vec<EnvironmentName>, Failure> {
    let mut all: Vec<_> = declared.iter().flat_map(|it| &it.environments).map(|it| it.name.clone()).collect();
    all.extend(seen.environments.keys().filter(|name| !all.contains(name)).cloned().collect::<Vec<_>>());
    match only {
        None => Ok(all),
        Some(only) if all.contains(only) => Ok(vec![only.clone()]),
        Some(only) => Err(no_such(only.as_str(), &all)),
    }
}

/// The operation that runs now, or the one that was cut off.
fn under_way(estate: &Estate) -> Result<Option<Value>, Failure> {
    let holder = busy(&estate.state);
    let Some((operation, step)) = estate.store.interrupted()? else { return Ok(None) };
    let began = estate.store.operations(1)?.first().map(|it| it.began);
    Ok(Some(json!({
        "id": operation, "step": step, "began": times::utc_json(began), "running": holder.is_some(), "by": holder,
    })))
}

fn declaration<'a>(declared: Option<&'a CheckedEstate>, name: &EnvironmentName) -> Option<&'a CheckedEnvironment> {
    declared?.environments.iter().find(|it| &it.name == name)
}

fn summary(
    name: &EnvironmentName,
    word: Word,
    seen: &Observation,
    declared: Option<&CheckedEstate>,
    now: i64,
) -> Value {
    let observed = seen.environments.get(name);
    let declaration = declaration(declared, name);
    let url = declared.zip(declaration).map(|(estate, it)| base_url(estate, &it.host));
    let certificate = observed.and_then(|it| it.certificate.as_ref()).map(
        |(host, until)| json!({ "host": host, "until": times::utc(*until), "days": (until - now).div_euclid(86_400) }),
    );
    let peaks = declared.map_or(&[][..], |it| &it.peaks);
    let peak = |active: bool| {
        let (_, peak) = peaks
            .iter()
            .filter(|peak| peak.environments.contains(name) && peak.active(name, now) == active && peak.to > now)
            .map(|peak| (peak.from, peak))
            .min_by_key(|(from, _)| *from)?;
        Some(json!({ "name": peak.name, "from": times::utc(peak.from), "to": times::utc(peak.to) }))
    };
    json!({
        "name": name, "state": word.as_str(), "declared": declaration.is_some(), "url": url,
        "series": observed.and_then(|it| it.series), "certificate": certificate,
        "peak": { "active": peak(true), "next": peak(false) },
    })
}

/// The observation with its times in UTC.
fn observation(seen: &Observation) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(seen)?;
    value["at"] = times::utc(seen.at).into();
    for (name, environment) in &seen.environments {
        if let Some((host, until)) = &environment.certificate {
            value["environments"][name.as_str()]["certificate"] = json!({ "host": host, "until": times::utc(*until) });
        }
    }
    Ok(value)
}

fn screen(
    words: &BTreeMap<EnvironmentName, Word>,
    seen: &Observation,
    declared: Option<&CheckedEstate>,
    under_way: Option<&Value>,
    only: Option<&EnvironmentName>,
    now: i64,
) -> String {
    let mut out = String::new();
    if let Some(operation) = under_way {
        let (tone, what) = match operation["running"].as_bool() {
            Some(true) => (Tone::Strong, "is under way"),
            _ => (Tone::Warn, "was cut off; apply goes on from what is seen"),
        };
        let step = operation["step"].as_str().unwrap_or_default();
        let text = format!("operation {} {what}: {step}", operation["id"]);
        out.push_str(&format!("{}\n\n", paint_data(tone, &text)));
    }
    if words.is_empty() {
        out.push_str("nothing is declared and nothing runs here; springtide init writes an estate file\n");
    }
    for (name, word) in words {
        out.push_str(&head(name, *word, seen, declared, now));
        let observed = seen.environments.get(name);
        if let Some(observed) = observed.filter(|it| !it.workloads.is_empty()) {
            out.push_str(&roles(&Role::ENVIRONMENT, &observed.workloads));
        }
        out.push_str(&strangers(seen, Some(name)));
        out.push('\n');
    }
    if only.is_none() && !seen.estate.is_empty() {
        out.push_str(&format!("{}\n", paint_data(Tone::Strong, "estate")));
        out.push_str(&roles(&Role::ESTATE, &seen.estate));
        out.push_str(&strangers(seen, None));
    }
    format!("{}\n", out.trim_end())
}

fn head(name: &EnvironmentName, word: Word, seen: &Observation, declared: Option<&CheckedEstate>, now: i64) -> String {
    let it = summary(name, word, seen, declared, now);
    let mut line = format!("{}  {}", paint_data(Tone::Strong, name.as_str()), paint_data(tone(word), word.as_str()));
    if let Some(url) = it["url"].as_str() {
        line.push_str(&format!("  {url}"));
    }
    if let Some(series) = it["series"].as_str() {
        line.push_str(&format!("  Odoo {series}"));
    }
    line.push('\n');
    if it["declared"] == false && declared.is_some() {
        line.push_str(&format!("  {}\n", paint_data(Tone::Warn, "not declared in the estate file, left alone")));
    }
    match seen.environments.get(name).map(|it| &it.route) {
        Some(Observed::Unknown(why)) if word == Word::Unknown => {
            let text = format!("whether users get there cannot be seen: {why}");
            line.push_str(&format!("  {}\n", paint_data(Tone::Warn, &printer::wrap(&text, printer::width(), 4))));
        }
        Some(Observed::Known(None)) if word == Word::Down => {
            line.push_str("  the proxy has no route to it; springtide apply makes it\n");
        }
        _ => {}
    }
    if word == Word::Destroying {
        line.push_str(&format!("  springtide destroy {name} finishes it\n"));
    }
    if word == Word::Planned {
        line.push_str("  springtide apply makes it\n");
    }
    if let Some(days) = it["certificate"]["days"].as_i64().filter(|days| *days < CERTIFICATE_SOON) {
        let text = format!("its certificate ends in {days} days; springtide apply renews it");
        line.push_str(&format!("  {}\n", paint_data(Tone::Warn, &text)));
    }
    let environment = declaration(declared, name);
    for peak in declared.iter().flat_map(|it| &it.peaks).filter(|it| it.environments.contains(name) && it.to > now) {
        let when = match environment.is_some() && peak.active(name, now) {
            true => format!("active until {}", times::person(peak.to, now)),
            false => format!("begins {}", times::person(peak.from, now)),
        };
        line.push_str(&format!("  peak {} {when}\n", peak.name));
    }
    line
}

/// Processes that somebody else started as a user of this environment, or of the estate's own parts.
fn strangers(seen: &Observation, name: Option<&EnvironmentName>) -> String {
    let lines = seen.strangers_of(name).map(|it| {
        let text = format!("{it}; it is left alone");
        format!("  {}\n", paint_data(Tone::Warn, &printer::wrap(&text, printer::width(), 4)))
    });
    lines.collect()
}

/// Columns below which memory and restarts make room for the reason.
const NARROW: usize = 90;

fn roles(order: &[Role], seen: &ByRole<WorkloadObservation>) -> String {
    let narrow = printer::width().is_some_and(|width| width < NARROW);
    let rows = order.iter().map(|role| {
        let Some(it) = seen.get(role) else {
            return vec![field(role.as_str()), (Tone::Dim, "absent".to_owned())];
        };
        let dash = || "-".to_owned();
        let ready = it.state == WorkloadState::Ready;
        let why = if ready { String::new() } else { it.why.clone() };
        let mut row = vec![
            field(role.as_str()),
            state(it.state),
            field(it.pid.map_or_else(dash, |pid| pid.to_string())),
            field(it.up_s.map_or_else(dash, times::length)),
        ];
        if !narrow {
            row.push(field(it.resident_bytes.map_or_else(dash, |bytes| format!("{} MiB", bytes >> 20))));
            row.push(field(it.restarts.to_string()));
        }
        row.push((Tone::Dim, why));
        row
    });
    let head: &[&str] = match narrow {
        true => &["role", "state", "pid", "up", "why"],
        false => &["role", "state", "pid", "up", "memory", "restarts", "why"],
    };
    printer::table(head, rows.collect())
}

fn state(state: WorkloadState) -> Field {
    use WorkloadState as S;
    match state {
        S::Ready => (Tone::Good, "ready".into()),
        S::Starting => (Tone::Warn, "starting".into()),
        S::Unready => (Tone::Bad, "unready".into()),
        S::Backoff => (Tone::Bad, "waits to start again".into()),
        S::GaveUp => (Tone::Bad, "gave up".into()),
        S::Stopped => (Tone::Dim, "stopped".into()),
        S::Unwatched => (Tone::Warn, "unwatched".into()),
    }
}

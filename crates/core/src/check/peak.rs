//! Checks of one peak.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::rules::Findings;
use super::{CheckedPeak, Overlay, WorkerOverrides, environment};
use crate::names::{EnvironmentName, PeakName};
use crate::spec::RawPeak;
use crate::spec::suggest::{listed, nearest};

/// Checks one peak; `known` are the names of the file's environments as written.
pub(super) fn checked(
    raw: &RawPeak,
    path: &str,
    known: &BTreeSet<&str>,
    found: &mut Findings<'_>,
) -> Option<CheckedPeak> {
    let name = found.name::<PeakName>("E0201", &raw.name, format_args!("{path}.name"));
    let environments = environments(raw, path, known, found);
    let zone_name = raw.timezone.as_deref().unwrap_or("UTC");
    let zone = zone(zone_name);
    if zone.is_none() {
        let short: String = zone_name.chars().take(60).collect();
        let meant = near_zone(zone_name).map_or(String::new(), |word| format!("did you mean {word}? "));
        found.error(
            "E0403",
            format!("time zone {short:?} is unknown"),
            format!("{meant}write an IANA name such as Europe/Berlin"),
            format_args!("{path}.timezone"),
        );
    }
    let from = moment(&raw.from, zone.as_ref(), &format!("{path}.from"), found);
    let to = moment(&raw.to, zone.as_ref(), &format!("{path}.to"), found);
    if let (Some(from), Some(to)) = (from, to)
        && to <= from
    {
        found.error(
            "E0402",
            "the peak ends before it begins",
            "`to` must be later than `from`",
            format_args!("{path}.to"),
        );
    }
    if raw.multiplier.is_some_and(f64::is_nan) {
        found.error(
            "E0105",
            "the multiplier is not a number",
            "write a number from 1 to 50",
            format_args!("{path}.multiplier"),
        );
    }
    let overlay = overlay(raw, path, found);
    Some(CheckedPeak {
        name: name?,
        kind: raw.kind,
        environments,
        from: from?,
        to: to?,
        timezone: zone_name.to_owned(),
        multiplier: raw.multiplier.unwrap_or(1.0),
        freeze: raw.freeze.unwrap_or(false),
        overlay,
    })
}

fn environments(raw: &RawPeak, path: &str, known: &BTreeSet<&str>, found: &mut Findings<'_>) -> Vec<EnvironmentName> {
    if raw.environments.is_empty() {
        found.error(
            "E0405",
            "the peak touches no environment",
            "name at least one: `environments: [prod]`",
            format_args!("{path}.environments"),
        );
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for (index, text) in raw.environments.iter().enumerate() {
        let at = format!("{path}.environments[{index}]");
        if !known.contains(text.as_str()) {
            let short: String = text.chars().take(60).collect();
            let meant = nearest(text, known.iter().copied().take(500))
                .map_or(String::new(), |word| format!("did you mean `{word}`? "));
            let some = listed(known.iter().copied().take(12));
            found.error(
                "E0401",
                format!("no environment is called {short:?}"),
                format!("{meant}environments of this estate: {some}"),
                &at,
            );
        } else if seen.insert(text) {
            // A name that is not valid was told where it is declared.
            names.extend(text.parse::<EnvironmentName>());
        }
    }
    names.sort_unstable();
    names
}

fn overlay(raw: &RawPeak, path: &str, found: &mut Findings<'_>) -> Overlay {
    let Some(raw) = &raw.overlay else { return Overlay::default() };
    let workers = raw.workers.unwrap_or_default();
    Overlay {
        users: raw.users,
        workers: WorkerOverrides { web: workers.web, cron: workers.cron, jobs: workers.jobs },
        resources: environment::overlay_resources(raw.resources.as_ref(), &format!("{path}.overlay.resources"), found),
        burst_workers: raw.budget.as_ref().and_then(|budget| budget.burst_workers),
    }
}

/// A time zone of the database compiled into the program; of the machine's if none was.
fn zone(name: &str) -> Option<TimeZone> {
    if !name.is_ascii() || name.len() > 64 {
        return None;
    }
    let bundled = TimeZoneDatabase::bundled();
    match bundled.is_definitively_empty() {
        false => bundled.get(name).ok(),
        true => jiff::tz::db().get(name).ok(),
    }
}

fn near_zone(name: &str) -> Option<String> {
    let bundled = TimeZoneDatabase::bundled();
    let db = if bundled.is_definitively_empty() { jiff::tz::db() } else { &bundled };
    let names: Vec<String> = db.available().map(|name| name.as_str().to_owned()).collect();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Unix seconds of a local time; an hour that summer time skips or doubles is read as jiff's
/// "compatible" does: the skipped hour later, the doubled hour first.
fn moment(text: &str, zone: Option<&TimeZone>, path: &str, found: &mut Findings<'_>) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let plain = text.len() <= 32
        && date.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && time.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let local = plain.then(|| text.parse::<DateTime>().ok()).flatten();
    let Some(local) = local else {
        let short: String = text.chars().take(40).collect();
        found.error(
            "E0404",
            format!("{short:?} is not a date and time"),
            "write local time such as 2026-11-27T06:00; the offset comes from `timezone`",
            path,
        );
        return None;
    };
    // With an unknown zone the order of the two moments can still be told.
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    Some(local.to_zoned(zone).ok()?.timestamp().as_second())
}

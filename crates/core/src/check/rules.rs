//! The check itself: every rule, all findings together.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use garde::Validate;

use super::{CheckErrors, CheckedEstate, Diagnostic, Ingress, Note, Platform, backup, environment, peak};
use crate::layout::{LAST_SLOT, PORT_BASE};
use crate::names::{EstateName, NameError};
use crate::spec::{DriverKind, RawEstate, Spans};
use crate::units::UnitError;

/// What was found so far.
pub(super) struct Findings<'a> {
    spans: &'a Spans<'a>,
    errors: Vec<Diagnostic>,
    notes: Vec<Note>,
    noted: BTreeSet<String>,
}

/// Most problems that are collected; a file with more is not read by a person.
const MOST: usize = 500;

impl Findings<'_> {
    /// A problem with the value at `path`.
    pub fn error(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
        path: impl Display,
    ) {
        let one = Diagnostic::new(code, message, hint, self.spans.find(&path.to_string()));
        // A mistake in the baseline is seen once per environment and told once.
        if !self.full() && !self.errors.contains(&one) {
            self.errors.push(one);
        }
    }

    /// Something accepted and worth knowing.
    pub fn note(&mut self, code: &'static str, text: String) {
        if self.noted.insert(text.clone()) {
            self.notes.push(Note { code, text });
        }
    }

    /// Whether enough was found that the rest need not be looked at.
    pub fn full(&self) -> bool {
        self.errors.len() >= MOST
    }

    /// Reads a name.
    pub fn name<T: FromStr<Err = NameError>>(
        &mut self,
        code: &'static str,
        text: &str,
        path: impl Display,
    ) -> Option<T> {
        text.parse()
            .map_err(|error: NameError| {
                let found: String = error.found.chars().take(60).collect();
                self.error(
                    code,
                    format!("{} {found:?} cannot be used", error.kind),
                    format!("it {}", error.problem),
                    path,
                );
            })
            .ok()
    }

    /// Reads a quantity.
    pub fn unit<T: FromStr<Err = UnitError>>(&mut self, text: &str, path: impl Display) -> Option<T> {
        text.parse()
            .map_err(|error: UnitError| {
                self.error("E0206", format!("{:?} is not {}", error.found, error.kind), error.hint, path);
            })
            .ok()
    }
}

/// Checks an estate: all problems at once, or the estate that may travel. Places of problems come
/// from `spans`.
pub fn check(raw: &RawEstate, spans: &Spans<'_>) -> Result<CheckedEstate, CheckErrors> {
    let mut found = Findings { spans, errors: Vec::new(), notes: Vec::new(), noted: BTreeSet::new() };
    ranges(raw, &mut found);
    let name = found.name::<EstateName>("E0201", &raw.estate, "estate");
    let platform = platform(raw, &mut found);
    if raw.environments.is_empty() {
        found.error(
            "E0207",
            "the estate has no environment",
            "add one: `environments: [{ name: dev }]`",
            "environments",
        );
    }
    unique(raw, &mut found);
    let stores = backup::stores(&raw.stores, &mut found);
    let mut environments = Vec::new();
    for (index, one) in raw.environments.iter().enumerate() {
        if found.full() {
            break;
        }
        let path = format!("environments[{index}]");
        let checked = environment::checked(one, path, raw.baseline.as_ref(), &stores, &mut found);
        environments.extend(checked.map(|checked| (index, checked)));
    }
    backup::apart(&environments, &mut found);
    let environments = environments.into_iter().map(|(_, checked)| checked).collect();
    hosts(raw, &mut found);
    let known: BTreeSet<&str> = raw.environments.iter().map(|one| one.name.as_str()).collect();
    let mut peaks = Vec::new();
    for (index, one) in raw.peaks.iter().enumerate() {
        if found.full() {
            break;
        }
        peaks.extend(peak::checked(one, &format!("peaks[{index}]"), &known, &mut found));
    }
    if raw.environments.len() > usize::from(LAST_SLOT) {
        found.note(
            "W0603",
            format!("{} environments are more than one machine has slots for ({LAST_SLOT})", raw.environments.len()),
        );
    }
    let Findings { mut errors, notes, .. } = found;
    match (name, platform) {
        (Some(name), Some(platform)) if errors.is_empty() => {
            Ok(CheckedEstate { name, platform, stores: stores.all(), environments, peaks, notes })
        }
        _ => {
            errors.sort_by_key(|one| one.span.as_ref().map_or(0, |span| span.start));
            Err(CheckErrors { diagnostics: errors })
        }
    }
}

/// Bounds of numbers, as the types of [`crate::spec`] declare them.
fn ranges(raw: &RawEstate, found: &mut Findings<'_>) {
    let Err(report) = raw.validate() else { return };
    for (path, error) in report.iter() {
        let path = path.to_string();
        let key = path.rsplit('.').next().unwrap_or_default();
        let bounds = match key {
            "users" => "from 1 to 100000",
            "web" | "cron" | "jobs" => "from 1 to 64",
            "burst_workers" => "from 0 to 64",
            "multiplier" => "from 1 to 50",
            "max_connections" => "from 20 to 2000",
            "cpus" => "from 1 to 1024",
            _ => "from 1 to 65535",
        };
        found.error("E0105", format!("`{key}` is {}", error.message()), format!("write a number {bounds}"), &path);
    }
}

fn platform(raw: &RawEstate, found: &mut Findings<'_>) -> Option<Platform> {
    let raw = raw.platform.clone().unwrap_or_default();
    let driver = raw.driver.unwrap_or(DriverKind::Process);
    if driver != DriverKind::Process {
        let word = if driver == DriverKind::Docker { "docker" } else { "kubernetes" };
        found.error(
            "E0301",
            format!("the driver {word} is not in this release"),
            "write `driver: process`, or leave it out: processes of this machine are what this release runs",
            "platform.driver",
        );
    }
    let ingress = raw.ingress.unwrap_or_default();
    let bind = match &ingress.bind {
        None => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Some(text) => text.parse().ok(),
    };
    if bind.is_none() {
        let short: String = ingress.bind.unwrap_or_default().chars().take(60).collect();
        found.error(
            "E0209",
            format!("{short:?} is not an IP address"),
            "write 127.0.0.1 for this machine only, 0.0.0.0 or \"::\" for all",
            "platform.ingress.bind",
        );
    }
    let mut port = |written: Option<u32>, default: u16, key: &str| -> Option<u16> {
        // Zero and more than 65535 were told by the bounds.
        let port = written.map_or(Some(default), |number| u16::try_from(number).ok().filter(|port| *port > 0))?;
        if port >= PORT_BASE {
            found.error(
                "E0502",
                format!("port {port} lies where Springtide puts its own ({PORT_BASE} and above)"),
                format!("use a port below {PORT_BASE}, such as {default}"),
                format_args!("platform.ingress.{key}"),
            );
        }
        Some(port)
    };
    let (http, https) = (port(ingress.http, 8080, "http"), port(ingress.https, 8443, "https"));
    if let (Some(http), Some(https)) = (http, https)
        && http == https
    {
        let key = if ingress.https.is_some() { "https" } else { "http" };
        found.error(
            "E0501",
            format!("http and https both want port {http}"),
            "give each its own, such as 8080 and 8443",
            format_args!("platform.ingress.{key}"),
        );
    }
    Some(Platform { driver, ingress: Ingress { bind: bind?, http: http?, https: https? } })
}

/// Names of environments and of peaks are given once.
fn unique(raw: &RawEstate, found: &mut Findings<'_>) {
    let environments = raw.environments.iter().map(|one| one.name.as_str());
    twice(environments, "E0202", "environment", "environments", found);
    twice(raw.peaks.iter().map(|one| one.name.as_str()), "E0208", "peak", "peaks", found);
}

fn twice<'a>(
    names: impl Iterator<Item = &'a str>,
    code: &'static str,
    kind: impl Display,
    list: &str,
    found: &mut Findings<'_>,
) {
    let mut seen = HashMap::new();
    for (index, name) in names.enumerate() {
        if let Some(first) = seen.get(name) {
            let short: String = name.chars().take(60).collect();
            found.error(
                code,
                format!("two {kind}s are called {short:?}"),
                format!("the first is number {} of `{list}`; rename one", first + 1),
                format_args!("{list}[{index}].name"),
            );
        } else {
            seen.insert(name, index);
        }
    }
}

/// Each host belongs to one environment.
fn hosts(raw: &RawEstate, found: &mut Findings<'_>) {
    let mut seen: HashMap<Cow<'_, str>, &str> = HashMap::with_capacity(raw.environments.len());
    for (index, one) in raw.environments.iter().enumerate() {
        let host = one.host.as_deref().map_or_else(|| format!("{}.localhost", one.name).into(), Cow::Borrowed);
        // One name for two environments was told already.
        let Some(first) = seen.insert(host.clone(), &one.name).filter(|first| **first != *one.name) else { continue };
        let short: String = host.chars().take(80).collect();
        let key = if one.host.is_some() { "host" } else { "name" };
        found.error(
            "E0203",
            format!("the environments {first:?} and {:?} share the host {short:?}", one.name),
            "give each its own `host`; it decides which Odoo answers",
            format_args!("environments[{index}].{key}"),
        );
    }
}

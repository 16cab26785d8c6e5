//! Checks of backups: the stores that are declared, the places that name them, and how often what is done.
//!
//! Each environment gets a folder of its own name below every place, so that one place in the baseline does
//! for all. What is left to refuse are places that lie in each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use super::rules::Findings;
use super::{CheckedBackup, CheckedEnvironment};
use crate::merge::Layers;
use crate::names::{BucketName, HostName};
use crate::place::{Place, Store};
use crate::spec::suggest::{listed, nearest};
use crate::spec::{RawBackup, RawStore, RestoreTest, Stage};
use crate::units::{ByteSize, Span};

/// The window a backup has that names none.
const DEFAULT_WINDOW: Span = Span::from_seconds(7 * 86_400);
/// Time between full backups: least, most, default.
const FULL: [Span; 3] = [Span::from_seconds(3_600), Span::from_seconds(31 * 86_400), Span::from_seconds(7 * 86_400)];
/// Time between incremental backups: least and default.
const INCREMENTAL: [Span; 2] = [Span::from_seconds(900), Span::from_seconds(6 * 3_600)];
/// Least bytes a second; with less no mirror ever catches up.
const BANDWIDTH: ByteSize = ByteSize::from_bytes(64 << 10);
/// Most characters of a place or path.
const MOST_PATH: usize = 400;
/// Folders of the machine that a workload does not see, or that do not last.
const UNSEEN: [&str; 7] = ["/tmp", "/dev", "/proc", "/sys", "/run", "/var/run", "/srv/springtide"];

impl CheckedBackup {
    /// Backups to these places, all else by default.
    pub(crate) fn of_places(near: Place, far: Option<Place>) -> Self {
        Self {
            recovery_window: DEFAULT_WINDOW,
            near,
            far,
            restore_test: None,
            full: FULL[2],
            incremental: INCREMENTAL[1],
            bandwidth: None,
        }
    }
}

/// The stores of the file by name; those with mistakes are known too, so that nothing is told twice.
pub(super) struct Stores<'a> {
    named: BTreeSet<&'a str>,
    whole: BTreeMap<&'a str, Arc<Store>>,
}

impl Stores<'_> {
    /// Those without mistakes, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Store>> {
        self.whole.values().cloned().collect()
    }
}

/// Checks the stores that are declared.
pub(super) fn stores<'a>(raw: &'a [RawStore], found: &mut Findings<'_>) -> Stores<'a> {
    let mut stores = Stores { named: BTreeSet::new(), whole: BTreeMap::new() };
    for (index, one) in raw.iter().enumerate() {
        if found.full() {
            break;
        }
        if !stores.named.insert(&one.name) {
            let short: String = one.name.chars().take(63).collect();
            let at = format_args!("stores[{index}].name");
            found.error("E1043", format!("two stores are called {short:?}"), "name each bucket once", at);
            continue;
        }
        if let Some(store) = store(one, &format!("stores[{index}]"), found) {
            stores.whole.insert(&one.name, Arc::new(store));
        }
    }
    stores
}

fn store(raw: &RawStore, path: &str, found: &mut Findings<'_>) -> Option<Store> {
    let name = found.name::<BucketName>("E1046", &raw.name, format_args!("{path}.name"));
    let endpoint = endpoint(&raw.endpoint);
    if endpoint.is_none() {
        let short: String = raw.endpoint.chars().take(60).collect();
        found.error(
            "E1044",
            format!("{short:?} is not where an S3 store answers"),
            "write https://host or https://host:port and nothing after it; stores are reached by TLS only",
            format_args!("{path}.endpoint"),
        );
    }
    let region = raw.region.as_deref().unwrap_or("us-east-1");
    let word = !region.is_empty()
        && region.len() <= 40
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !word {
        let short: String = region.chars().take(40).collect();
        let hint = "write it as the store's provider does, such as eu-central-1";
        found.error("E1046", format!("region {short:?} cannot be used"), hint, format_args!("{path}.region"));
    }
    let mut file = |text: &str, key: &str, what: &str| {
        let ok = is_path(text);
        if !ok {
            let short: String = text.chars().take(60).collect();
            let hint = format!("write the absolute path of {what}, with letters, digits, - _ . and /");
            found.error("E1045", format!("{short:?} is not a path of a file"), hint, format_args!("{path}.{key}"));
        }
        ok
    };
    let authority = raw.authority.as_deref().is_none_or(|text| file(text, "authority", "a PEM file"));
    let credentials = file(&raw.credentials, "credentials", "a file with the store's keys");
    let (host, port) = endpoint?;
    (word && authority && credentials).then_some(Store {
        name: name?,
        host,
        port,
        region: region.to_owned(),
        authority: raw.authority.clone(),
        credentials: raw.credentials.clone(),
    })
}

fn endpoint(text: &str) -> Option<(HostName, u16)> {
    let rest = text.strip_prefix("https://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) if port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) => (host, port.parse().ok()?),
        Some(_) => return None,
        None => (rest, 443),
    };
    (port > 0).then_some((host.parse().ok()?, port))
}

/// Letters, digits, hyphens, underscores, dots and slashes; no step up, no empty part.
fn is_plain(text: &str) -> bool {
    text.len() <= MOST_PATH
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn is_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(is_plain)
}

/// What the layers of the environment `name` say of its backups; none if it has none.
pub(super) fn backup(
    layers: &Layers<'_>,
    name: &str,
    stage: Stage,
    stores: &Stores<'_>,
    found: &mut Findings<'_>,
) -> Option<CheckedBackup> {
    let declared = layers.pick("backup", |l| l.backup).is_some();
    if !declared && stage != Stage::Production {
        return None;
    }
    let near = match layers.pick("backup.near", |l| l.backup?.near.as_deref()) {
        Some((text, at)) => place(text, name, stores, at, found),
        None => Some(Place::Own),
    };
    let far = layers.pick("backup.far", |l| l.backup?.far.as_deref());
    let far = far.map(|(text, at)| place(text, name, stores, at, found));
    if far.is_none() {
        let unasked = if declared { "" } else { " (production is backed up without being asked)" };
        found.note("W0605", format!("{name}: its backups have no far copy{unasked}"));
    }
    let same = near.as_ref().and_then(Place::store).zip(far.iter().flatten().find_map(Place::store));
    if let Some((one, other)) = same.filter(|(one, other)| one.credentials == other.credentials) {
        found.note(
            "W0606",
            format!(
                "{name}: {} and {} are opened by the same keys; who has them can delete both copies",
                one.name, other.name
            ),
        );
    }
    let recovery_window = window(layers, found);
    let full = interval(layers, "backup.full", |raw| raw.full.as_deref(), FULL[0], Some(FULL[1]), FULL[2], found);
    let [least, default] = INCREMENTAL;
    let default = full.map_or(default, |full| default.min(full));
    let incremental =
        interval(layers, "backup.incremental", |raw| raw.incremental.as_deref(), least, full, default, found);
    let bandwidth = layers.pick("backup.bandwidth", |l| l.backup?.bandwidth.as_deref());
    let bandwidth = bandwidth.map(|(text, at)| {
        found.unit::<ByteSize>(text, at).filter(|size| {
            let enough = *size >= BANDWIDTH;
            if !enough {
                let text = format!("{size} a second is too little for backups");
                found.error("E1048", text, format!("write {BANDWIDTH} or more, such as 20MiB"), at);
            }
            enough
        })
    });
    let restore_test = layers.pick("backup.restore_test", |l| l.backup?.restore_test.as_ref()).map(|(test, _)| *test);
    Some(CheckedBackup {
        recovery_window: recovery_window?,
        near: near?,
        far: match far {
            Some(far) => Some(far?),
            None => None,
        },
        restore_test: restore_test.or((stage == Stage::Production).then_some(RestoreTest::Daily)),
        full: full?,
        incremental: incremental?,
        bandwidth: match bandwidth {
            Some(bandwidth) => Some(bandwidth?),
            None => None,
        },
    })
}

fn window(layers: &Layers<'_>, found: &mut Findings<'_>) -> Option<Span> {
    let Some((text, at)) = layers.pick("backup.recovery_window", |l| l.backup?.recovery_window.as_deref()) else {
        return Some(DEFAULT_WINDOW);
    };
    found.unit::<Span>(text, at).filter(|span| {
        let enough = *span >= Span::DAY;
        if !enough {
            found.error(
                "E0504",
                format!("a recovery window of {span} is shorter than a day"),
                "write 1d or more, such as 14d",
                at,
            );
        }
        enough
    })
}

fn interval(
    layers: &Layers<'_>,
    key: &'static str,
    get: fn(&RawBackup) -> Option<&str>,
    least: Span,
    most: Option<Span>,
    default: Span,
    found: &mut Findings<'_>,
) -> Option<Span> {
    let Some((text, at)) = layers.pick(key, |l| get(l.backup?)) else { return Some(default) };
    found.unit::<Span>(text, at).filter(|span| {
        let fits = *span >= least && most.is_none_or(|most| *span <= most);
        if !fits {
            let hint = match most {
                Some(most) => format!("write {least} to {most}"),
                None => format!("write {least} or more"),
            };
            found.error("E1048", format!("{span} between two backups does not fit"), hint, at);
        }
        fits
    })
}

/// Reads a place and gives the environment its folder in it.
fn place(
    text: &str,
    environment: &str,
    stores: &Stores<'_>,
    at: impl Display + Copy,
    found: &mut Findings<'_>,
) -> Option<Place> {
    let short: String = text.chars().take(60).collect();
    if let Some(rest) = text.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if is_plain(bucket) && (prefix.is_empty() || is_plain(prefix)) && text.len() <= MOST_PATH {
            if !stores.named.contains(bucket) {
                let names = || stores.named.iter().copied().filter(|name| is_plain(name));
                let meant = nearest(bucket, names()).map_or(String::new(), |word| format!("did you mean {word}? "));
                let known = match stores.named.is_empty() {
                    true => "declare it in the list `stores` at the top of the file".to_owned(),
                    false => format!("stores of this estate: {}", listed(names())),
                };
                found.error("E1040", format!("no store is called {bucket:?}"), format!("{meant}{known}"), at);
                return None;
            }
            // One with mistakes was told where it stands.
            let store = Arc::clone(stores.whole.get(bucket)?);
            let gap = if prefix.is_empty() { "" } else { "/" };
            return Some(Place::Bucket { store, prefix: format!("{prefix}{gap}{environment}") });
        }
    } else if let Some(path) = text.strip_prefix("file://") {
        let path = path.strip_suffix('/').unwrap_or(path);
        if is_path(path) {
            let inside =
                |folder: &&str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if let Some(folder) = UNSEEN.iter().find(|folder| inside(folder)) {
                found.error(
                    "E1047",
                    format!("backups cannot lie in {folder}"),
                    "write a folder that lasts and that a database server sees, such as file:///mnt/backup",
                    at,
                );
                return None;
            }
            return Some(Place::Folder(format!("{path}/{environment}")));
        }
    }
    found.error(
        "E0206",
        format!("{short:?} is not a place for backups"),
        "write s3://bucket/path or file:///path with letters, digits, - _ . and /",
        at,
    );
    None
}

/// No place may lie in another: neither an environment's two, nor those of two environments.
pub(super) fn apart(environments: &[(usize, CheckedEnvironment)], found: &mut Findings<'_>) {
    let mut all: Vec<(String, usize, &str, &'static str)> = Vec::new();
    for (index, environment) in environments {
        let Some(backup) = &environment.backup else { continue };
        for (key, place) in [("near", Some(&backup.near)), ("far", backup.far.as_ref())] {
            if let Some(place) = place.filter(|place| **place != Place::Own) {
                all.push((format!("{place}/"), *index, environment.name.as_str(), key));
            }
        }
    }
    all.sort();
    // What begins with a text stands right behind it in this order.
    for pair in all.windows(2) {
        let [(outer, first, one, _), (inner, index, other, key)] = pair else { continue };
        if !inner.starts_with(outer.as_str()) {
            continue;
        }
        if first == index {
            found.error(
                "E1041",
                format!("near and far of {one} are one place, or one lies in the other"),
                "put the far copy elsewhere: into another bucket, opened by other keys, on another machine",
                format_args!("environments[{index}].backup.far"),
            );
        } else {
            found.error(
                "E1042",
                format!("the backups of {other} would lie in those of {one}"),
                "choose places of which none lies in another; each gets a folder with the environment's name",
                format_args!("environments[{index}].backup.{key}"),
            );
        }
    }
}

//! Judging: from facts to findings, by rules that are data or one function each. Looks at nothing.

mod backup;

use super::facts::{Disk, Facts, Folder, Seen, Supervisor};
use crate::printer::counted;
use crate::times;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works now; will not for long, or not well.
    Warn,
    /// Something will not work.
    Fail,
    /// Could not be seen.
    Unknown,
}

impl Verdict {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
            Verdict::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, as one word for scripts.
    pub id: String,
    /// How bad.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// The command that mends it, if something is to mend.
    pub fix: Option<String>,
}

const GIB: u64 = 1 << 30;
/// Free space: a template and a copy take some GiB; below the lower bound PostgreSQL stops soon.
const DISK: (u64, u64) = (10 * GIB, 2 * GIB);
/// Free inodes in percent.
const INODES: (u64, u64) = (10, 2);
/// Memory per environment: its Odoo roles alone take that.
const MEMORY_PER_ENVIRONMENT: u64 = 2 * GIB;
/// Memory that can be had now, below which the kernel soon ends processes.
const MEMORY_LOW: u64 = GIB / 2;
/// Days left of a certificate: apply renews below 30, so fewer than 14 means that nobody applies.
const CERTIFICATE: (i64, i64) = (14, 2);

fn finding(id: impl Into<String>, verdict: Verdict, seen: impl Into<String>, fix: Option<&str>) -> Finding {
    Finding { id: id.into(), verdict, seen: seen.into(), fix: fix.map(str::to_owned) }
}

fn unknown(id: &str, why: &str, fix: Option<&str>) -> Finding {
    finding(id, Verdict::Unknown, why, fix)
}

/// Every finding, in a fixed order.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![root(facts.user), clock(facts)];
    all.extend(programs(facts));
    all.extend(odoo_roots(facts));
    all.push(estate(facts));
    all.extend(disk(&facts.disk));
    all.extend(backup::backup(facts));
    all.extend(memory(facts));
    all.push(cgroups(&facts.cgroups));
    all.push(ports(facts));
    all.push(state(&facts.state, &facts.state_path, facts.user));
    all.extend(store(facts));
    all.push(supervisor(&facts.supervisor));
    all.push(secrets(&facts.secrets));
    all.extend(routes(&facts.routes));
    all.extend(names(&facts.names));
    all
}

fn root(user: u32) -> Finding {
    match user {
        0 => finding("root", Verdict::Ok, "this is root", None),
        user => finding(
            "root",
            Verdict::Warn,
            format!("user {user} is not root: half of this cannot be seen, and nothing can be applied"),
            Some("sudo springtide doctor"),
        ),
    }
}

fn clock(facts: &Facts) -> Finding {
    let newest = facts.store.as_ref().ok().and_then(|store| store.as_ref()?.newest);
    let seen = times::person(facts.now, facts.now).replace(" (now)", "");
    // A minute of grace: machines that built and run it may differ.
    let late = |than: i64, what: &str| {
        let text = format!("the clock says {seen}, which is before {what}");
        (facts.now + 60 < than).then(|| finding("clock", Verdict::Fail, text, Some("timedatectl set-ntp true")))
    };
    late(facts.built, "this program was built")
        .or_else(|| late(newest.unwrap_or(i64::MIN), "the newest operation began"))
        .unwrap_or_else(|| finding("clock", Verdict::Ok, seen.clone(), None))
}

fn programs(facts: &Facts) -> Vec<Finding> {
    let host = match &facts.host {
        Ok(host) => host,
        Err(why) => return vec![unknown("programs", why, Some("springtide doctor"))],
    };
    let mut all = Vec::new();
    for (program, package) in &facts.absent {
        let fix = format!("apt-get install {package}");
        let seen = format!("{program} is missing (package {package})");
        all.push(finding(format!("program-{program}"), Verdict::Fail, seen, Some(&fix)));
    }
    if facts.absent.is_empty() {
        all.push(finding("programs", Verdict::Ok, "all Debian programs are here", None));
    }
    all.push(match host.missing.contains("traefik") {
        true => finding("traefik", Verdict::Fail, "Traefik is missing from the cache", Some("scripts/setup")),
        false => finding("traefik", Verdict::Ok, "Traefik is here", None),
    });
    let series = facts.estate.as_ref().map(|it| it.series.clone()).unwrap_or_default();
    let least = series.iter().map(|series| series.profile().postgres_min).max().unwrap_or(0);
    all.push(match host.postgres_major {
        None => finding("postgresql", Verdict::Fail, "no PostgreSQL server programs", Some("scripts/setup --packages")),
        Some(major) if major < least => {
            let seen = format!("PostgreSQL {major} is older than {least}, which the estate's Odoo series need");
            finding("postgresql", Verdict::Fail, seen, Some("scripts/setup --packages"))
        }
        Some(major) => finding("postgresql", Verdict::Ok, format!("PostgreSQL {major}"), None),
    });
    all
}

fn odoo_roots(facts: &Facts) -> Vec<Finding> {
    let (Ok(host), Ok(wanted)) = (&facts.host, &facts.estate) else { return Vec::new() };
    let one = |series| match host.odoo_roots.get(series) {
        Some(version) => finding(format!("odoo-{series}"), Verdict::Ok, format!("Odoo {version}"), None),
        None => {
            let fix = format!("scripts/setup --series {series}");
            let seen = format!("no root of Odoo {series} in the cache");
            finding(format!("odoo-{series}"), Verdict::Fail, seen, Some(&fix))
        }
    };
    wanted.series.iter().map(one).collect()
}

fn estate(facts: &Facts) -> Finding {
    match &facts.estate {
        Ok(wanted) => {
            finding("estate-file", Verdict::Ok, format!("valid, {}", counted(wanted.environments, "environment")), None)
        }
        Err(why) if why.contains("does not exist") => unknown("estate-file", why, Some("springtide init")),
        Err(why) => finding("estate-file", Verdict::Fail, why, Some("springtide check")),
    }
}

fn graded<T: PartialOrd>(value: T, (warn, fail): (T, T)) -> Verdict {
    match value {
        value if value < fail => Verdict::Fail,
        value if value < warn => Verdict::Warn,
        _ => Verdict::Ok,
    }
}

fn disk(disk: &Seen<Disk>) -> Vec<Finding> {
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => return vec![unknown("disk", why, Some("df -h"))],
    };
    let verdict = graded(disk.free, DISK);
    let fix = (verdict != Verdict::Ok).then_some("df -h; free some room");
    let mut all = vec![finding("disk", verdict, format!("{:.1} GiB are free", disk.free as f64 / GIB as f64), fix)];
    if let Some((free, total)) = disk.free_inodes {
        let percent = free * 100 / total.max(1);
        let verdict = graded(percent, INODES);
        let fix = (verdict != Verdict::Ok).then_some("df -i; remove files");
        all.push(finding("inodes", verdict, format!("{percent} % of the inodes are free"), fix));
    }
    all
}

fn memory(facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    if let (Ok(host), Ok(wanted)) = (&facts.host, &facts.estate) {
        let need = MEMORY_PER_ENVIRONMENT * wanted.environments as u64;
        let text = format!("{} MiB for {}", host.memory_bytes >> 20, counted(wanted.environments, "environment"));
        all.push(match host.memory_bytes >= need {
            true => finding("memory", Verdict::Ok, text, None),
            false => {
                let text = format!("{text}; {} MiB would be enough", need >> 20);
                finding("memory", Verdict::Warn, text, Some("add memory or move an environment elsewhere"))
            }
        });
    }
    all.push(match &facts.memory_available {
        Err(why) => unknown("memory-available", why, None),
        Ok(bytes) if *bytes < MEMORY_LOW => {
            let text = format!("only {} MiB can be had now", bytes >> 20);
            finding("memory-available", Verdict::Fail, text, Some("springtide status; use fewer workers"))
        }
        Ok(bytes) => finding("memory-available", Verdict::Ok, format!("{} MiB can be had now", bytes >> 20), None),
    });
    all
}

fn cgroups(hierarchies: &[&str]) -> Finding {
    match hierarchies.is_empty() {
        false => finding("cgroups", Verdict::Ok, format!("limits by {}", hierarchies.join(", ")), None),
        true => finding(
            "cgroups",
            Verdict::Warn,
            "no control groups: limits of processor and memory are not enforced",
            Some("mount -t cgroup2 none /sys/fs/cgroup"),
        ),
    }
}

fn ports(facts: &Facts) -> Finding {
    let mut taken = facts.entrance.clone();
    if let Ok(host) = &facts.host {
        taken.extend(host.foreign_ports.iter().map(|(port, who)| (*port, who.clone())));
    }
    taken.sort();
    taken.dedup_by_key(|(port, _)| *port);
    if taken.is_empty() {
        return finding("ports", Verdict::Ok, "no stranger listens on Springtide's ports", None);
    }
    let list: Vec<_> = taken.iter().map(|(port, who)| format!("{port}: {who}")).collect();
    let fix = format!("ss -ltnp 'sport = :{}'", taken[0].0);
    finding("ports", Verdict::Fail, format!("others listen on {}", list.join("; ")), Some(&fix))
}

fn state(state: &Seen<Option<Folder>>, path: &str, user: u32) -> Finding {
    let id = "state-folder";
    match state {
        Err(why) => unknown(id, why, None),
        Ok(None) => finding(id, Verdict::Ok, format!("{path} does not exist yet; apply makes it"), None),
        Ok(Some(it)) if !it.is_folder => {
            let seen = format!("{path} is not a folder");
            finding(id, Verdict::Fail, seen, Some("name another with --state"))
        }
        Ok(Some(it)) if it.owner != 0 && user == 0 => {
            let fix = format!("chown root {path}");
            finding(id, Verdict::Fail, format!("{path} belongs to user {}", it.owner), Some(&fix))
        }
        Ok(Some(it)) if it.mode & 0o022 != 0 => {
            let fix = format!("chmod go-w {path}");
            finding(id, Verdict::Fail, format!("others may write into {path} ({:04o})", it.mode & 0o7777), Some(&fix))
        }
        Ok(Some(it)) if it.mode & 0o044 != 0 => {
            let fix = format!("chmod go-r {path}");
            let seen = format!("others may list {path} ({:04o})", it.mode & 0o7777);
            finding(id, Verdict::Warn, seen, Some(&fix))
        }
        Ok(Some(it)) => finding(id, Verdict::Ok, format!("{path}, mode {:04o}", it.mode & 0o7777), None),
    }
}

fn store(facts: &Facts) -> Vec<Finding> {
    let recorded = match &facts.store {
        Err(why) if facts.user != 0 => return vec![unknown("store", why, Some("sudo springtide doctor"))],
        Err(why) => return vec![finding("store", Verdict::Fail, why, Some("springtide explain E0912"))],
        Ok(None) => return vec![finding("store", Verdict::Ok, "none yet; apply makes it", None)],
        Ok(Some(recorded)) => recorded,
    };
    let mut all = vec![finding("store", Verdict::Ok, "readable, of this version", None)];
    all.push(match (&recorded.busy, &recorded.cut_off) {
        (Some(who), _) => finding("operation", Verdict::Ok, format!("under way: {who}"), None),
        (None, Some((number, step))) => {
            let seen = format!("operation {number} was cut off at `{step}`");
            finding("operation", Verdict::Warn, seen, Some("springtide apply"))
        }
        (None, None) => finding("operation", Verdict::Ok, "none was cut off", None),
    });
    for (environment, until) in &recorded.certificates {
        let days = (until - facts.now).div_euclid(86_400);
        let verdict = graded(days, CERTIFICATE);
        let fix = (verdict != Verdict::Ok).then_some("springtide apply");
        let seen = match days {
            ..0 => format!("ended {}", times::relative(*until, facts.now)),
            _ => format!("{days} days are left"),
        };
        all.push(finding(format!("certificate-{environment}"), verdict, seen, fix));
    }
    all
}

fn supervisor(supervisor: &Seen<Option<Supervisor>>) -> Finding {
    let id = "supervisor";
    let ours = env!("CARGO_PKG_VERSION");
    match supervisor {
        Err(why) => unknown(id, why, Some("sudo springtide doctor")),
        Ok(None) => finding(id, Verdict::Ok, "none runs; the next apply starts one", None),
        Ok(Some(it)) if !it.alive && it.workloads == 0 => {
            finding(id, Verdict::Ok, "none runs and nothing is to watch", None)
        }
        Ok(Some(it)) if !it.alive => {
            let seen = format!("pid {} is gone; nobody watches {} workloads", it.pid, it.workloads);
            finding(id, Verdict::Fail, seen, Some("springtide apply"))
        }
        Ok(Some(it)) if it.version != ours => {
            let seen = format!("pid {} is version {} and this is {ours}", it.pid, it.version);
            let fix = format!("kill {}; springtide apply starts the new one, workloads run on", it.pid);
            finding(id, Verdict::Warn, seen, Some(&fix))
        }
        Ok(Some(it)) => match &it.same_program {
            Ok(true) => finding(id, Verdict::Ok, format!("pid {}, version {ours}", it.pid), None),
            Ok(false) => {
                let seen = format!("pid {} runs another program file than this one", it.pid);
                let fix = format!("kill {}; springtide apply starts this one, workloads run on", it.pid);
                finding(id, Verdict::Warn, seen, Some(&fix))
            }
            Err(why) => unknown(id, &format!("pid {} lives; {why}", it.pid), Some("sudo springtide doctor")),
        },
    }
}

fn secrets(secrets: &Seen<Option<()>>) -> Finding {
    match secrets {
        Ok(Some(())) => finding("secrets", Verdict::Ok, "the key opens the secrets", None),
        Ok(None) => finding("secrets", Verdict::Ok, "none yet; apply makes them", None),
        Err(why) if why.starts_with("not root") => unknown("secrets", why, Some("sudo springtide doctor")),
        Err(why) => finding("secrets", Verdict::Fail, why, Some("springtide explain E0913")),
    }
}

fn routes(routes: &Seen<BTreeMapOfRoutes>) -> Vec<Finding> {
    let routes = match routes {
        Ok(routes) => routes,
        Err(why) => return vec![unknown("routes", why, Some("sudo springtide doctor"))],
    };
    let one = |(environment, live): (&String, &Seen<bool>)| {
        let id = format!("route-{environment}");
        match live {
            Ok(true) => finding(id, Verdict::Ok, "live at the proxy", None),
            Ok(false) => {
                finding(id, Verdict::Fail, "not at the proxy: users do not get there", Some("springtide apply"))
            }
            Err(why) => {
                Finding { id, verdict: Verdict::Unknown, seen: why.clone(), fix: Some("springtide logs proxy".into()) }
            }
        }
    };
    routes.iter().map(one).collect()
}

type BTreeMapOfRoutes = std::collections::BTreeMap<String, Seen<bool>>;

fn names(names: &[(String, Seen<()>)]) -> Vec<Finding> {
    let one = |(host, resolved): &(String, Seen<()>)| {
        let id = format!("name-{host}");
        match resolved {
            Ok(()) => finding(id, Verdict::Ok, "resolves", None),
            // RFC 6761: browsers take these to loopback themselves.
            Err(_) if host.ends_with(".localhost") => {
                finding(id, Verdict::Ok, "not in the system's resolver; browsers know it", None)
            }
            Err(why) => {
                let fix = format!("add {host} to DNS or /etc/hosts");
                finding(id, Verdict::Warn, format!("does not resolve: {why}"), Some(&fix))
            }
        }
    };
    names.iter().map(one).collect()
}

#[cfg(test)]
mod tests;

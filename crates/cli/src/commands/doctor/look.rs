//! Looking: gathers [`Facts`]. Changes nothing, makes no folder, waits for nobody longer than some
//! seconds; what cannot be seen is told as such.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use springtide_core::check::CheckedEstate;
use springtide_core::observe::{HostFacts, Observed};
use springtide_core::place::Place;
use springtide_data::secrets::SecretStore;
use springtide_driver::Driver as _;
use springtide_server::execute::chain;
use springtide_server::store::Store;

use super::facts::{Disk, Facts, Folder, Recorded, Seen, Supervisor, Wanted};
use crate::args::Cli;
use crate::context::{busy, driver, guard, load_reason, now, observe, open_there, state};
use crate::failure::Failure;

/// Programs the process driver starts, with the Debian package that has them. PostgreSQL's own lie
/// in a folder of their version.
const PROGRAMS: [(&str, &str); 6] = [
    ("postgres", "postgresql-15"),
    ("initdb", "postgresql-15"),
    ("pg_dump", "postgresql-15"),
    ("psql", "postgresql-15"),
    ("pgbouncer", "pgbouncer"),
    ("redis-server", "redis-server"),
];
/// Longest wait for a name to resolve.
const RESOLVE: Duration = Duration::from_secs(3);
const NOT_ROOT: &str = "not root: this cannot be seen";

/// Looks at everything.
pub async fn look(cli: &Cli) -> Result<Facts, Failure> {
    let state = state(cli)?;
    let user = nix::unistd::geteuid().as_raw();
    let checked = load_reason(cli);
    let host: Seen<HostFacts> = match tokio::time::timeout(Duration::from_secs(20), driver(cli)?.observe()).await {
        Ok(Ok(seen)) => Ok(seen.host),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("the supervisor does not answer".to_owned()),
    };
    let seen = if user == 0 { seen_by_root(cli, &state).await } else { None };
    let our_proxy = matches!(&seen, Some(Ok((_, proxy))) if *proxy);
    Ok(Facts {
        now: now(),
        built: env!("SPRINGTIDE_BUILT").parse().unwrap_or(0),
        user,
        host,
        absent: PROGRAMS.into_iter().filter(|(program, _)| !is_here(program)).collect(),
        entrance: match &checked {
            Ok(estate) if !our_proxy => entrance(estate),
            _ => Vec::new(),
        },
        names: match &checked {
            Ok(estate) => names(estate).await,
            Err(_) => Vec::new(),
        },
        places: checked.as_ref().map(places).unwrap_or_default(),
        pgbackrest: pgbackrest().await,
        estate: checked.map(|estate| Wanted {
            series: estate.environments.iter().map(|it| it.series).collect(),
            environments: estate.environments.len(),
            backed_up: estate.environments.iter().filter(|it| it.backup.is_some()).count(),
        }),
        disk: disk(&state),
        memory_available: memory_available(),
        cgroups: cgroups(),
        state: folder(&state),
        state_path: state.display().to_string(),
        store: if user == 0 { store(&state) } else { Err(NOT_ROOT.to_owned()) },
        supervisor: supervisor(&state),
        secrets: if user == 0 { secrets(&state) } else { Err(NOT_ROOT.to_owned()) },
        routes: seen.unwrap_or_else(|| Err(NOT_ROOT.to_owned())).map(|(routes, _)| routes),
    })
}

/// Routes of environments that exist, and whether our own proxy holds the entrance's ports.
async fn seen_by_root(cli: &Cli, state: &Path) -> Option<Seen<(BTreeMap<String, Seen<bool>>, bool)>> {
    // What is wrong with the folder, store or secrets is told by their own findings.
    if guard(state).is_err() || store(state).is_err() || secrets(state).is_err() {
        return Some(Err("the state folder cannot be opened".to_owned()));
    }
    let estate = match open_there(cli) {
        Ok(Some(estate)) => estate,
        Ok(None) => return Some(Ok((BTreeMap::new(), false))),
        Err(failure) => return Some(Err(failure.message().to_owned())),
    };
    let seen = match observe(&estate, now()).await {
        Ok(seen) => seen,
        Err(failure) => return Some(Err(failure.message().to_owned())),
    };
    let proxy = seen.estate.get(&springtide_core::role::Role::Proxy).is_some_and(|it| it.pid.is_some());
    let exists = seen.environments.iter().filter(|(_, it)| it.workloads.values().any(|it| it.pid.is_some()));
    let routes = exists
        .map(|(name, it)| {
            let live = match &it.route {
                Observed::Known(route) => Ok(route.is_some()),
                Observed::Unknown(why) => Err(why.clone()),
            };
            (name.to_string(), live)
        })
        .collect();
    Some(Ok((routes, proxy)))
}

fn is_here(program: &str) -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let servers = versions.map(|version| version.path().join("bin"));
    let system = ["/usr/bin", "/usr/sbin", "/bin"].map(std::path::PathBuf::from);
    servers.chain(system).any(|folder| folder.join(program).exists())
}

/// Folders of the machine that places of backups lie in, each once. Those in the state folder are on its disk.
fn places(estate: &CheckedEstate) -> Vec<(String, Seen<Option<Disk>>)> {
    let backups = estate.environments.iter().filter_map(|it| it.backup.as_ref());
    let all = backups.flat_map(|it| std::iter::once(&it.near).chain(&it.far));
    let folders = all.filter_map(|place| match place {
        Place::Folder(path) => path.rsplit_once('/').map(|(base, _)| base.to_owned()),
        Place::Own | Place::Bucket { .. } => None,
    });
    let folders: std::collections::BTreeSet<String> = folders.collect();
    let look = |path: String| {
        let seen = Path::new(&path).is_dir().then(|| disk(Path::new(&path))).transpose();
        (path, seen)
    };
    folders.into_iter().map(look).collect()
}

/// Version of pgBackRest, by its own word.
async fn pgbackrest() -> Seen<Option<(u32, u32)>> {
    let mut command = tokio::process::Command::new("/usr/bin/pgbackrest");
    command.arg("version").env_clear().stdin(std::process::Stdio::null()).kill_on_drop(true);
    let said = match tokio::time::timeout(RESOLVE, command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(Err(error)) => return Err(format!("pgbackrest cannot be asked for its version: {error}")),
        Err(_) => return Err("pgbackrest does not tell its version".to_owned()),
    };
    version(&said).map(Some).ok_or_else(|| "pgbackrest tells no version that is understood".to_owned())
}

/// `pgBackRest 2.45` as two numbers; later ones have a third.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix("pgBackRest ")?.split('.');
    let minor = |text: &str| text.split(|sign: char| !sign.is_ascii_digit()).next().and_then(|it| it.parse().ok());
    Some((numbers.next()?.parse().ok()?, minor(numbers.next()?)?))
}

fn disk(state: &Path) -> Seen<Disk> {
    let there = state.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let stat = nix::sys::statvfs::statvfs(there).map_err(|error| format!("{}: {error}", there.display()))?;
    let inodes = (stat.files() > 0).then(|| (stat.files_available(), stat.files()));
    Ok(Disk { free: stat.blocks_available() * stat.fragment_size(), free_inodes: inodes })
}

fn memory_available() -> Seen<u64> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| format!("/proc/meminfo: {error}"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = kib.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| "/proc/meminfo does not tell".to_owned())
}

fn cgroups() -> Vec<&'static str> {
    let mount = Path::new("/sys/fs/cgroup");
    if mount.join("cgroup.controllers").exists() {
        return vec!["cgroup v2"];
    }
    let usable = |name: &&str| mount.join(name).join("cgroup.procs").exists();
    ["cpu", "memory", "pids"].into_iter().filter(usable).collect()
}

/// Ports of the entrance that somebody listens on. The caller knows that it is not our proxy.
fn entrance(estate: &CheckedEstate) -> Vec<(u16, String)> {
    let ingress = &estate.platform.ingress;
    let tables: Vec<String> =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let listening = |port: u16| {
        let mark = format!(":{port:04X}");
        tables.iter().flat_map(|table| table.lines()).any(|line| {
            // `sl local_address rem_address st`; state 0A listens.
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(3) == Some(&"0A") && words.get(1).is_some_and(|address| address.ends_with(&mark))
        })
    };
    let taken = [ingress.http, ingress.https].into_iter().filter(|port| listening(*port));
    taken.map(|port| (port, "the entrance's port is taken".to_owned())).collect()
}

async fn names(estate: &CheckedEstate) -> Vec<(String, Seen<()>)> {
    let port = estate.platform.ingress.https;
    let lookups = estate.environments.iter().map(|environment| {
        let host = environment.host.to_string();
        tokio::spawn(async move {
            let answer = tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host.clone(), port))).await;
            let resolved = match answer {
                Ok(Ok(mut addresses)) => addresses.next().map(drop).ok_or_else(|| "no address".to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("no answer within {} s", RESOLVE.as_secs())),
            };
            (host, resolved)
        })
    });
    // All at once: a resolver that is away must not be waited for once a name.
    let lookups: Vec<_> = lookups.collect();
    let mut all = Vec::new();
    for lookup in lookups {
        all.extend(lookup.await);
    }
    all
}

fn folder(state: &Path) -> Seen<Option<Folder>> {
    match fs::metadata(state) {
        Ok(meta) => Ok(Some(Folder { is_folder: meta.is_dir(), owner: meta.uid(), mode: meta.mode() })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", state.display())),
    }
}

fn store(state: &Path) -> Seen<Option<Recorded>> {
    let path = state.join("springtide.db");
    // Opening would make it.
    if !path.exists() {
        return Ok(None);
    }
    let read = || {
        let store = Store::open(&path)?;
        let ends = store.environments()?.into_iter();
        Ok(Recorded {
            certificates: ends.filter_map(|it| Some((it.name.to_string(), it.certificate?.1))).collect(),
            cut_off: store.interrupted()?,
            busy: busy(state),
            newest: store.operations(1)?.first().map(|it| it.began),
        })
    };
    read().map(Some).map_err(|error: springtide_server::store::StoreError| chain(&error))
}

fn supervisor(state: &Path) -> Seen<Option<Supervisor>> {
    let workloads = fs::read_dir(state.join("workloads")).map_or(0, |entries| entries.flatten().count());
    let text = match fs::read_to_string(state.join("supervisor.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let record: serde_json::Value = serde_json::from_str(&text).map_err(|_| "its record is not whole".to_owned())?;
    let pid = record["pid"].as_i64().ok_or("its record has no pid")?;
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    let alive = match &program {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    };
    let same_program = match (program, std::env::current_exe()) {
        (Ok(theirs), Ok(ours)) => Ok(theirs == ours),
        _ => Err("its program cannot be seen".to_owned()),
    };
    let version = record["version"].as_str().unwrap_or("unknown").to_owned();
    Ok(Some(Supervisor { pid, version, alive, same_program, workloads }))
}

fn secrets(state: &Path) -> Seen<Option<()>> {
    let folder = state.join("secrets");
    if !folder.exists() {
        return Ok(None);
    }
    // Opening would make a new key, which opens nothing that is there.
    if !folder.join("identity.txt").exists() {
        return Err("secrets/identity.txt is missing".to_owned());
    }
    let open = || {
        let store = SecretStore::open(folder)?;
        // One that opens shows that the key is the right one.
        if let Some(secret) = store.list()?.first() {
            store.get(secret)?;
        }
        Ok(())
    };
    open().map(Some).map_err(|error: springtide_data::secrets::SecretError| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("pgBackRest 2.45\n"), Some((2, 45)));
        assert_eq!(version("pgBackRest 2.59.1"), Some((2, 59)));
        assert_eq!(version("pgBackRest 2.60dev"), Some((2, 60)));
        assert_eq!((version("pgBackRest"), version("2.45"), version("")), (None, None, None));
    }
}

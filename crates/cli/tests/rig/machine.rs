//! What is really on the machine, found without Springtide's word: processes, connections, roles,
//! databases, routes, files. A test compares it with what `status` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use springtide_core::digest::Digest;
use springtide_core::layout::{ID_BASE, Slot};
use springtide_core::role::Role;

use super::Rig;

/// A workload as `status` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub pid: Option<i32>,
    pub restarts: u64,
    pub state: String,
}

/// A process as `/proc` has it.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub uid: u32,
    pub command: String,
}

fn process(pid: i32) -> Option<(Process, char)> {
    let folder = format!("/proc/{pid}");
    let stat = std::fs::read_to_string(format!("{folder}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let status = std::fs::read_to_string(format!("{folder}/status")).ok()?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()?;
    let command = std::fs::read(format!("{folder}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
    Some((Process { pid, parent, uid, command }, state))
}

/// Every process on the machine that has to do with this state folder: in its control groups, with a
/// Unix id of an estate in our network, or with the folder on its command line. Not the tests' own
/// children that are still commands.
pub fn ours(rig: &Rig) -> Vec<Process> {
    let state = rig.state();
    let mark = format!("springtide/{}", Digest::of_bytes(state.as_os_str().as_encoded_bytes()).short());
    let network = std::fs::read_link("/proc/self/ns/net").ok();
    let hidden = ["supervise", "launch", "launch-task"];
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some((process, run)) = process(pid) else { continue };
        if matches!(run, 'Z' | 'X') {
            continue;
        }
        let grouped = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(&mark));
        let identity = (ID_BASE..ID_BASE + 400).contains(&process.uid)
            && std::fs::read_link(format!("/proc/{pid}/ns/net")).ok() == network;
        let served = process.command.contains(&*state.to_string_lossy())
            && process.command.split(' ').any(|word| hidden.contains(&word));
        if grouped || identity || served {
            all.push(process);
        }
    }
    all
}

/// A process with all below it.
pub fn tree(pid: i32) -> Vec<Process> {
    let all: Vec<Process> = std::fs::read_dir("/proc")
        .expect("/proc is there")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some(process(pid)?.0))
        .collect();
    let mut found: Vec<Process> = all.iter().filter(|it| it.pid == pid).cloned().collect();
    let mut at = 0;
    while at < found.len() {
        let parent = found[at].pid;
        found.extend(all.iter().filter(|it| it.parent == parent).cloned());
        at += 1;
    }
    found
}

/// Every process of ours is the supervisor, a workload of `status`, below one, or its only keeper.
pub fn no_orphans(rig: &Rig) {
    let workloads = rig.workloads();
    let ours = ours(rig);
    let supervisor = supervisor(rig);
    let mut known: BTreeSet<i32> = supervisor.into_iter().collect();
    let mut keepers: BTreeMap<&str, usize> = BTreeMap::new();
    for process in &ours {
        let words: Vec<&str> = process.command.split(' ').collect();
        if let Some(at) = words.iter().position(|word| *word == "--workload")
            && words.contains(&"launch")
            && let Some((name, _)) = workloads.get_key_value(words[at + 1])
        {
            *keepers.entry(name).or_default() += 1;
            known.insert(process.pid);
        }
    }
    for (name, workload) in &workloads {
        known.extend(tree(workload.pid.unwrap_or(-1)).iter().map(|it| it.pid));
        assert_eq!(keepers.get(name.as_str()), Some(&1), "{name} has another number of keepers");
    }
    // Short-lived children end between two looks; what is still there after a second is an orphan.
    let strange =
        |all: &[Process]| -> Vec<Process> { all.iter().filter(|it| !known.contains(&it.pid)).cloned().collect() };
    let first = strange(&ours);
    if !first.is_empty() {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let again: Vec<_> = self::ours(rig);
        let left: Vec<_> = first
            .iter()
            .filter(|it| again.iter().any(|now| now.pid == it.pid))
            .filter(|it| !workloads.values().any(|w| tree(w.pid.unwrap_or(-1)).iter().any(|t| t.pid == it.pid)))
            .collect();
        assert!(left.is_empty(), "orphans: {left:#?}\nknown: {workloads:#?}");
    }
}

/// Pid of the supervisor, by its own record.
pub fn supervisor(rig: &Rig) -> Option<i32> {
    let text = std::fs::read(rig.state().join("supervisor.json")).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
    record["pid"].as_i64().map(|pid| pid as i32)
}

/// `kill -9` of exactly these.
pub fn kill(pids: impl IntoIterator<Item = i32>) {
    for pid in pids {
        assert!(pid > 1, "{pid} is not a pid to kill");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Files that only exist while something is being written or made.
pub fn no_leftovers(rig: &Rig) {
    let mut found = Vec::new();
    let mut stack = vec![rig.state()];
    while let Some(folder) = stack.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // What PostgreSQL, Odoo and SQLite keep inside their own folders is theirs.
            let theirs =
                ["pgdata", "postgres-data", "sessions-data", "odoo-data", "filestore"].contains(&name.as_str());
            let half = [".tmp", ".writing", ".building", ".removing", ".copying", ".clone-probe", ".new"];
            if half.iter().any(|mark| name.contains(mark)) {
                found.push(entry.path());
            }
            if entry.path().is_dir() && !theirs {
                stack.push(entry.path());
            }
        }
    }
    let tasks = rig.state().join("tasks");
    let folders = std::fs::read_dir(tasks).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    found.extend(folders.map(|entry| entry.path()));
    for environment in std::fs::read_dir(rig.state().join("environments")).into_iter().flatten().flatten() {
        let filestore = environment.path().join("volumes/odoo-data/filestore");
        let names = std::fs::read_dir(filestore).into_iter().flatten().flatten();
        found.extend(names.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(".copying")));
    }
    assert!(found.is_empty(), "left behind: {found:#?}");
}

/// Roles and databases of an environment's PostgreSQL are the ones that belong there.
pub async fn exact_database(rig: &Rig, environment: &str) {
    let client = rig.database(environment, "postgres").await;
    let names = async |sql: &str| -> BTreeSet<String> {
        client.query(sql, &[]).await.expect("it answers").iter().map(|row| row.get(0)).collect()
    };
    let roles = names("SELECT rolname::text FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'").await;
    let expected = ["app", "backup", "jobs", "monitor", "owner", "postgres", "report"];
    assert_eq!(roles, expected.map(str::to_owned).into(), "{environment}: roles");
    let databases = names("SELECT datname::text FROM pg_database").await;
    let expected = [environment, "postgres", "template0", "template1"];
    assert_eq!(databases, expected.map(str::to_owned).into(), "{environment}: databases");
    let super_users = names("SELECT rolname::text FROM pg_roles WHERE rolsuper").await;
    assert_eq!(super_users, BTreeSet::from(["postgres".to_owned()]), "{environment}: superusers");
}

/// Traefik's routers are the ones of these environments and no more.
pub async fn exact_routes(environments: &[&str]) {
    let port = Slot::ESTATE.port(Role::Proxy).expect("it has a port");
    let url = format!("http://127.0.0.1:{port}/api/http/routers?per_page=1000");
    let answer = reqwest::Client::builder().no_proxy().build().expect("a client").get(url).send().await;
    let routers: Vec<serde_json::Value> = answer.expect("the proxy answers").json().await.expect("it is JSON");
    let seen: BTreeSet<String> = routers
        .iter()
        .filter(|it| it["provider"] == "file" && it["status"] == "enabled")
        .map(|it| it["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected = environments
        .iter()
        .flat_map(|name| ["web", "live", "blocked", "away"].map(|part| format!("{name}-{part}@file")))
        .collect();
    assert_eq!(seen, expected, "routers");
}

/// The limit of cores of a process' control group, in microseconds of each 100 ms; `Some(None)` if the
/// group has none, `None` if this machine limits no cores.
pub fn core_limit(pid: i32) -> Option<Option<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
    // `number:hierarchies:path`; version 2 has one line without hierarchies.
    let path = |wanted: &str| {
        let mut lines = text.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        lines.find(|it| it[1].split(',').any(|one| one == wanted)).map(|it| it[2].trim_start_matches('/').to_owned())
    };
    let top = Path::new("/sys/fs/cgroup");
    let file = match (path("cpu"), path("")) {
        (Some(path), _) => top.join("cpu").join(path).join("cpu.cfs_quota_us"),
        (None, Some(path)) => top.join(path).join("cpu.max"),
        (None, None) => return None,
    };
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.split_whitespace().next().expect("it has a value").parse().ok())
}

/// Sockets of TCP connections that are established to a local port, by the Unix id that owns our end.
pub fn established(port: u16) -> Vec<u32> {
    let text = std::fs::read_to_string("/proc/net/tcp").expect("/proc is there");
    let wanted = format!("0100007F:{port:04X}");
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() > 7 && fields[1] == wanted && fields[3] == "01")
        .filter_map(|fields| fields[7].parse().ok())
        .collect()
}

/// What a program says, both outputs together.
pub fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).stdin(std::process::Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether a program is on this machine.
pub fn has(program: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

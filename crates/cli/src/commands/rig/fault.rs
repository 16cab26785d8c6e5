//! `springtide rig fault`: one fault on one workload, for a time.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_core::roles::sessions::SOCKET;
use springtide_core::workload::{Volume, WorkloadId};
use springtide_rehearse::faults::catalogue::Scope;
use springtide_rehearse::faults::process::{freeze, kill, kill_at_random, slow};
use springtide_rehearse::faults::proxy::{Trouble, Way};
use springtide_rehearse::faults::takeover::take;
use springtide_rehearse::faults::{CATALOGUE, FaultId, Journal, Victim, Watchdog};
use springtide_server::Estate;
use tokio::signal::unix::{SignalKind, signal};

use super::broken;
use crate::args::Cli;
use crate::commands::rehearse::target::permit;
use crate::context::{load, no_such, now, observe, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::{printer, times};

/// The hidden command that watches a rig.
pub const WATCHDOG: &str = "rig-watchdog";
/// Longest fault, seconds: an hour.
const LONGEST_S: i64 = 3_600;

/// What the command was asked.
pub struct Wishes<'a> {
    pub time: &'a str,
    pub strength: Option<u64>,
    pub i_know: bool,
    pub dry_run: bool,
}

/// `springtide rig-watchdog FOLDER PID START`, which only the rig calls.
pub fn watchdog(folder: &str, pid: &str, start: &str) -> std::process::ExitCode {
    let (Ok(pid), Ok(start)) = (pid.parse(), start.parse()) else { return std::process::ExitCode::from(code::INVALID) };
    match springtide_rehearse::faults::watchdog::watch(Path::new(folder), pid, start, std::io::stdout()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            printer::talk("watchdog: ", &error.to_string());
            std::process::ExitCode::FAILURE
        }
    }
}

/// `springtide rig fault`
pub async fn fault(cli: &Cli, id: &str, workload: &WorkloadId, wishes: &Wishes<'_>) -> Result<u8, Failure> {
    let wrong = |message: String| Failure::new(code::INVALID, "E0911", message, NOTHING, "springtide rig");
    let id: FaultId =
        id.parse().map_err(|error: springtide_rehearse::faults::catalogue::FaultIdError| wrong(error.to_string()))?;
    let seconds = times::since(wishes.time, 0).map(|moment| -moment).map_err(|why| wrong(format!("--for: {why}")))?;
    let seconds = u64::try_from(seconds).ok().filter(|it| (1..=LONGEST_S as u64).contains(it));
    let time = Duration::from_secs(seconds.ok_or_else(|| wrong(format!("--for must be 1s to {LONGEST_S}s")))?);
    let Some(name) = &workload.environment else {
        return Err(wrong("the rig breaks roles of environments, not those of the whole estate".to_owned()));
    };
    let checked = load(cli)?;
    let Some(declared) = checked.environments.iter().find(|it| it.name == *name) else {
        return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
    };
    permit(declared, wishes.i_know)?;
    let way = way(id, workload.role, wishes.strength)?;
    let Some(estate) = open_there(cli)? else { return Err(not_running(workload)) };
    let victims = victims(&estate, name, workload).await?;
    if wishes.dry_run {
        tell(cli, id, workload, time, false, 0);
        return Ok(0);
    }
    let journal = Journal::open(super::folder(cli)?).map_err(broken)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WATCHDOG);
    let _watchdog = Watchdog::start(&journal, command).map_err(broken)?;
    let operation = estate.store.begin_command(&format!("rig fault {id} {workload}"), "springtide rig", now())?;
    printer::note("", &format!("{id} on {workload} for {} s; Ctrl-C ends it earlier", time.as_secs()));
    let ended = inflict(&estate, &journal, way, name, workload.role, &victims, time).await;
    let outcome = if ended.is_ok() { "undone" } else { "failed" };
    estate.store.end_command(operation, outcome, now())?;
    let count = ended?;
    tell(cli, id, workload, time, true, count);
    Ok(0)
}

/// How a fault is done.
enum Doing {
    /// All processes once.
    KillAll,
    /// A process at random, again and again with pauses about so long.
    KillOften(Duration),
    Freeze,
    Slow(u32),
    Socket(FaultId, Trouble),
}

/// What of the catalogue can be put on a workload of a running estate, and how.
fn way(id: FaultId, role: Role, strength: Option<u64>) -> Result<Doing, Failure> {
    let refuse = |why: String| Err(Failure::new(code::INVALID, "E0977", why, NOTHING, "springtide rig"));
    let socket = |trouble| match role {
        Role::Postgres | Role::Sessions => Ok(Doing::Socket(id, trouble)),
        other => refuse(format!(
            "connections of {other} are on ports that are in its clients' configuration, so nothing can be put \
             between; postgres and sessions are reached over sockets of the file system, where it can"
        )),
    };
    match id {
        FaultId::Kill if strength.is_none() => Ok(Doing::KillAll),
        FaultId::Kill => Ok(Doing::KillOften(Duration::from_secs(strength.unwrap_or(10).clamp(1, 600)))),
        FaultId::Freeze => Ok(Doing::Freeze),
        FaultId::Slow => match strength.unwrap_or(50) {
            percent @ 1..=95 => Ok(Doing::Slow(percent as u32)),
            other => refuse(format!("--strength {other}: slow takes 1 to 95 percent")),
        },
        FaultId::Delay => socket(Trouble::Delay(Way::Both, Duration::from_millis(strength.unwrap_or(200)))),
        FaultId::Blackhole => socket(Trouble::Blackhole(Way::Both)),
        FaultId::Reset => socket(Trouble::Reset),
        FaultId::HalfOpen => socket(Trouble::HalfOpen),
        FaultId::Bandwidth => socket(Trouble::Bandwidth(strength.unwrap_or(16_384).max(1))),
        FaultId::FillDisk | FaultId::Clock => {
            let scope = CATALOGUE.iter().find(|it| it.id == id).map(|it| it.scope);
            let of = if scope == Some(Scope::OwnClock) { "the clock of tests" } else { "a folder that the rig made" };
            refuse(format!("{id} acts on {of}, not on a workload; it is for tests and the self-test"))
        }
    }
}

async fn victims(estate: &Estate, name: &EnvironmentName, workload: &WorkloadId) -> Result<Vec<Victim>, Failure> {
    let seen = observe(estate, now()).await?;
    let pid = seen.environments.get(name).and_then(|it| it.workloads.get(&workload.role)?.pid);
    let Some(pid) = pid else { return Err(not_running(workload)) };
    Ok(Victim::of(pid).map_err(broken)?.tree())
}

fn not_running(workload: &WorkloadId) -> Failure {
    let message = format!("{workload} does not run");
    Failure::new(code::PENDING, "E0976", message, NOTHING, "springtide status")
}

/// Does it, waits, undoes it. While PostgreSQL's socket is taken over, its administrator, who is known by the
/// identity of the process, is not let in: the pooler is, by password. Gives back how many processes were killed or connections were troubled.
async fn inflict(
    estate: &Estate,
    journal: &Journal,
    doing: Doing,
    name: &EnvironmentName,
    role: Role,
    victims: &[Victim],
    time: Duration,
) -> Result<u64, Failure> {
    match doing {
        Doing::KillAll => Ok(kill(victims).map_err(broken)?.len() as u64),
        Doing::KillOften(pause) => {
            // The workers, or the process itself if it has none; looked up anew each time.
            let main = victims.first().cloned();
            let who = move || {
                let tree = main.as_ref().map(Victim::tree).unwrap_or_default();
                if tree.len() > 1 { tree[1..].to_vec() } else { tree }
            };
            Ok(kill_at_random(who, pause, 1, over(time)?).await.map_err(broken)?.len() as u64)
        }
        Doing::Freeze => {
            let active = freeze(journal, victims, time).map_err(broken)?;
            over(time)?.await;
            active.end().map_err(broken)?;
            Ok(victims.len() as u64)
        }
        Doing::Slow(percent) => {
            let active = slow(journal, victims, percent, time).map_err(broken)?;
            over(time)?.await;
            active.end().map_err(broken)?;
            Ok(victims.len() as u64)
        }
        Doing::Socket(id, trouble) => {
            let (volume, file) = match role {
                Role::Postgres => (Volume::PostgresSocket, format!(".s.PGSQL.{}", port(estate, name)?)),
                _ => (Volume::SessionsSocket, SOCKET.to_owned()),
            };
            let path = estate.driver.volume(Some(name), volume).join(file);
            let taken = take(journal, id, &path, time).map_err(broken)?;
            taken.set(trouble);
            over(time)?.await;
            let count = taken.connections();
            taken.end().map_err(broken)?;
            Ok(count)
        }
    }
}

fn port(estate: &Estate, name: &EnvironmentName) -> Result<u16, Failure> {
    let slot = estate.store.environments()?.into_iter().find(|it| it.name == *name).map(|it| it.slot);
    slot.and_then(|slot| slot.port(Role::Postgres)).ok_or_else(|| no_such(name.as_str(), []))
}

/// Comes when the time is over or a person has had enough.
fn over(time: Duration) -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn tell(cli: &Cli, id: FaultId, workload: &WorkloadId, time: Duration, done: bool, count: u64) {
    if cli.json {
        printer::json(&json!({
            "version": 1, "fault": id, "workload": workload.to_string(), "seconds": time.as_secs(),
            "done": done, "met": count,
        }));
    } else if done {
        printer::say(&format!("{id} on {workload} is over and undone; it met {count}"));
    } else {
        printer::say(&format!("would put {id} on {workload} for {} s", time.as_secs()));
    }
}

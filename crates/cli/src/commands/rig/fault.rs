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
        tell(cli, id, workload, time, None);
        return Ok(0);
    }
    let journal = Journal::open(super::folder(cli)?).map_err(broken)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WATCHDOG);
    let _watchdog = Watchdog::start(&journal, command).map_err(broken)?;
    let operation = estate.store.begin_command(&format!("rig fault {id} {workload}"), "springtide rig", now())?;
    printer::note("", &format!("{id} on {workload} for {} s; Ctrl-C ends it earlier", time.as_secs()));
    let ended = inflict(&estate, &journal, way, name, workload, &victims, time).await;
    let outcome = match &ended {
        Ok(Met { count: 0, .. }) => "met nobody",
        Ok(_) => "undone",
        Err(_) => "failed",
    };
    estate.store.end_command(operation, outcome, now())?;
    let met = ended?;
    if met.count == 0 {
        return Err(nobody(id, workload, time));
    }
    tell(cli, id, workload, time, Some(&met));
    Ok(0)
}

/// What a fault met.
struct Met {
    /// Processes or connections.
    count: u64,
    /// Whether what it was put on was replaced before its time was over.
    replaced: bool,
}

/// A fault without effect proves nothing, and must not look as if it did.
fn nobody(id: FaultId, workload: &WorkloadId, time: Duration) -> Failure {
    let what = match id {
        FaultId::Kill => "no process was there to be killed",
        _ => "no connection was made, and those that were open before do not go through the rig",
    };
    let message = format!("{id} on {workload} met nobody within {} s: {what}", time.as_secs());
    Failure::new(code::PENDING, "E0970", message, NOTHING, "drive load beside it, or give it a longer --for")
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
            refuse(format!("{id} acts on {of}, not on a workload; Springtide's own tests use it"))
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
/// identity of the process, is not let in: the pooler is, by password.
async fn inflict(
    estate: &Estate,
    journal: &Journal,
    doing: Doing,
    name: &EnvironmentName,
    workload: &WorkloadId,
    victims: &[Victim],
    time: Duration,
) -> Result<Met, Failure> {
    // The process of the workload comes first. The supervisor replaces what looks frozen for 15 s.
    let replaced = || victims.first().is_none_or(|main| !main.alive());
    match doing {
        Doing::KillAll => Ok(Met { count: kill(victims).map_err(broken)?.len() as u64, replaced: false }),
        Doing::KillOften(pause) => {
            // Whoever was killed is replaced, also the process above all others, which is asked for anew then.
            let main = std::cell::RefCell::new(victims.first().cloned());
            let who = async || {
                let known = main.borrow().clone().filter(Victim::alive);
                let now = match known {
                    Some(main) => Some(main),
                    None => {
                        let seen = estate.driver.observe().await.ok();
                        let pid = seen.and_then(|seen| seen.workloads.get(workload)?.pid);
                        pid.and_then(|pid| Victim::of(pid).ok())
                    }
                };
                main.replace(now.clone());
                now.map(|main| main.workers()).unwrap_or_default()
            };
            let killed = kill_at_random(who, pause, 1, over(time)?).await.map_err(broken)?;
            Ok(Met { count: killed.len() as u64, replaced: false })
        }
        Doing::Freeze => {
            let active = freeze(journal, victims, time).map_err(broken)?;
            over(time)?.await;
            let replaced = replaced();
            active.end().map_err(broken)?;
            Ok(Met { count: victims.len() as u64, replaced })
        }
        Doing::Slow(percent) => {
            let active = slow(journal, victims, percent, time).map_err(broken)?;
            over(time)?.await;
            let replaced = replaced();
            active.end().map_err(broken)?;
            Ok(Met { count: victims.len() as u64, replaced })
        }
        Doing::Socket(id, trouble) => {
            let (volume, file) = match workload.role {
                Role::Postgres => (Volume::PostgresSocket, format!(".s.PGSQL.{}", port(estate, name)?)),
                _ => (Volume::SessionsSocket, SOCKET.to_owned()),
            };
            let path = estate.driver.volume(Some(name), volume).join(file);
            let taken = take(journal, id, &path, time).map_err(broken)?;
            taken.set(trouble);
            over(time)?.await;
            let met = Met { count: taken.connections(), replaced: !taken.stands() };
            taken.end().map_err(broken)?;
            Ok(met)
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

/// Tells what a fault met, or without that what would be done.
fn tell(cli: &Cli, id: FaultId, workload: &WorkloadId, time: Duration, met: Option<&Met>) {
    if cli.json {
        printer::json(&json!({
            "version": 1, "fault": id, "workload": workload.to_string(), "seconds": time.as_secs(),
            "done": met.is_some(), "met": met.map_or(0, |met| met.count),
            "replaced": met.is_some_and(|met| met.replaced),
        }));
        return;
    }
    match met {
        Some(Met { count, replaced }) => {
            printer::say(&format!("{id} on {workload} is over and undone; it met {count}"));
            if *replaced {
                let text =
                    format!("{workload} was replaced meanwhile, so the fault lasted for a part of its time only");
                printer::say(&text);
            }
        }
        None => printer::say(&format!("would put {id} on {workload} for {} s", time.as_secs())),
    }
}

//! One watched workload: an actor that alone may start, stop or replace it, so that two instances
//! cannot be. Others send it commands and read what it last saw.
//!
//! Order that keeps a cut-off call harmless: the old process is gone before the new spec is
//! written, the spec before `status` says it shall run, and the digest a process runs with is the
//! one in `run.json`, which its keeper wrote.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use springtide_core::observe::WorkloadState;
use springtide_core::workload::{StopSignal, Text, WorkloadId, WorkloadSpec};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::cgroup::Group;
use super::handle::{Command, Handle, Seen};
use super::identity::boot_id;
use super::paths::{Folder, Paths, io, make_folder, now, read_json, write_json};
use super::records::{Exit, Run, Status, Wanted};
use super::{logs, ports, prepare, probe};
use crate::{DriverError, Ensured, ResolvedWorkload};

/// Between two looks at the process; an exit is noticed within twice this.
const TICK: Duration = Duration::from_millis(200);
/// A process that somebody stopped this long is taken for hung.
const FROZEN: Duration = Duration::from_secs(15);
/// Readiness this long clears the memory of earlier ends.
const FORGIVE: Duration = Duration::from_secs(120);
/// Looks at a starting workload: often at first, as most are ready soon.
const PROBE_FRESH: Duration = Duration::from_millis(250);
const PROBE_STARTING: Duration = Duration::from_secs(1);
const PROBE_READY: Duration = Duration::from_secs(5);

/// Where a look puts its result.
type Look = Arc<Mutex<Option<Result<(), String>>>>;

/// A process that runs.
struct Live {
    run: Run,
    since: Instant,
    ready: Option<Instant>,
    was_ready: bool,
    frozen: Option<Instant>,
    next_probe: Instant,
    /// Result of the look that is under way.
    looking: Option<Look>,
    why: String,
}

impl Live {
    fn new(run: Run) -> Self {
        let since = Instant::now() - Duration::from_secs(run.main.up_s().unwrap_or(0)).min(Duration::from_secs(3600));
        let why = "not looked at yet".to_owned();
        Self { run, since, ready: None, was_ready: false, frozen: None, next_probe: Instant::now(), looking: None, why }
    }
}

/// The actor.
pub(crate) struct Unit {
    paths: Arc<Paths>,
    id: WorkloadId,
    folder: Folder,
    group: Group,
    workload: Option<ResolvedWorkload>,
    status: Status,
    live: Option<Live>,
    /// Whether what is on disk was looked at; until then nothing is claimed.
    adopted: bool,
    next_start: Option<Instant>,
    next_rotate: Instant,
    seen: watch::Sender<Option<Seen>>,
}

impl Unit {
    /// Starts watching. `workload` is what is on disk, if anything.
    pub fn spawn(paths: Arc<Paths>, id: WorkloadId, workload: Option<ResolvedWorkload>) -> Handle {
        let folder = paths.workload(&id);
        let group = Group::new(&paths.state, &folder.name());
        let (commands, inbox) = mpsc::channel(16);
        let (seen, view) = watch::channel(None);
        let handle = Handle { id: id.clone(), folder: folder.clone(), group: group.clone(), commands, seen: view };
        let status = read_json(&folder.status()).unwrap_or_default();
        let unit = Self {
            paths,
            id,
            folder,
            group,
            workload,
            status,
            live: None,
            adopted: false,
            next_start: None,
            next_rotate: Instant::now(),
            seen,
        };
        // Shown before anyone can ask: what is on disk exists from the first moment.
        unit.show();
        tokio::spawn(unit.watch(inbox));
        handle
    }

    /// Ends and deletes what a cut-off ensure or removal left in a folder without a spec.
    pub fn put_away(paths: &Paths, folder: &Folder) {
        let group = Group::new(&paths.state, &folder.name());
        let session = match read_json::<Run>(&folder.run()) {
            Some(run) => {
                run.main.signal(Signal::SIGTERM);
                run.main.session()
            }
            None => Default::default(),
        };
        super::kill_all(&group, &session);
        group.remove();
        let _ = std::fs::remove_dir_all(&folder.0);
    }

    async fn watch(mut self, mut inbox: mpsc::Receiver<Command>) {
        self.adopt().await;
        self.adopted = true;
        self.show();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = inbox.recv() => {
                    match command {
                        None => return,
                        Some(Command::Ensure(workload, done)) => { let result = self.ensure(*workload).await; self.show(); let _ = done.send(result); }
                        Some(Command::Stop(done)) => { let result = self.stop().await; self.show(); let _ = done.send(result); }
                        Some(Command::Remove(done)) => { let result = self.remove().await; self.show(); let _ = done.send(result); }
                    }
                }
                _ = tick.tick() => self.tick().await,
            }
            self.show();
        }
    }

    /// Takes over the process an earlier supervisor started, if it is really that one.
    async fn adopt(&mut self) {
        let Some(workload) = &self.workload else { return };
        let digest = workload.digest;
        // A keeper that was just started may not have recorded its child yet: it holds its lock
        // from before the fork, so wait until it has.
        let patience = Instant::now() + Duration::from_secs(10);
        let run = loop {
            let run = read_json::<Run>(&self.folder.run()).filter(|run| run.main.alive());
            if run.is_some() || !self.keeper_at_work() || Instant::now() > patience {
                break run;
            }
            sleep(Duration::from_millis(50)).await;
        };
        match (run, self.status.wanted) {
            (Some(run), Wanted::Running) if run.digest == digest => {
                tracing::info!(workload = %self.id, pid = run.main.pid, "adopted");
                self.live = Some(Live::new(run));
            }
            (Some(run), wanted) => {
                // A stop or a replacement that was cut off: finish it.
                self.live = Some(Live::new(run));
                self.end_process().await;
                if wanted == Wanted::Running {
                    self.next_start = Some(Instant::now());
                }
            }
            (None, Wanted::Running) => {
                let rebooted = read_json::<Run>(&self.folder.run()).is_some_and(|run| run.main.boot_id != boot_id());
                if rebooted {
                    self.status.forgive();
                    self.next_start = Some(Instant::now());
                } else {
                    self.ended(read_json::<Run>(&self.folder.run())).await;
                }
            }
            (None, _) => {}
        }
    }

    fn keeper_at_work(&self) -> bool {
        let Ok(file) = std::fs::File::options().write(true).open(self.folder.keeper_lock()) else { return false };
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).is_err()
    }

    fn keep_status(&self) -> Result<(), DriverError> {
        write_json(&self.folder.status(), &self.status).map_err(io("write", &self.folder.status()))
    }

    fn show(&self) {
        let seen = self.workload.as_ref().map(|workload| {
            let (state, why) = match (&self.live, self.status.wanted) {
                _ if !self.adopted => (WorkloadState::Unwatched, "the supervisor has just begun".to_owned()),
                (Some(live), _) if live.ready.is_some() => (WorkloadState::Ready, live.notes()),
                (Some(live), _) if live.was_ready => (WorkloadState::Unready, live.why.clone()),
                (Some(live), _) => (WorkloadState::Starting, live.why.clone()),
                (None, Wanted::Running) => (WorkloadState::Backoff, self.status.why.clone()),
                (None, Wanted::Stopped) => (WorkloadState::Stopped, "stopped on purpose".to_owned()),
                (None, Wanted::GaveUp) => (WorkloadState::GaveUp, self.status.why.clone()),
            };
            Seen {
                digest: self.live.as_ref().map_or(workload.digest, |live| live.run.digest),
                state,
                main: self.live.as_ref().map(|live| live.run.main.clone()),
                restarts: self.status.restarts,
                why,
                ready_within_s: workload.spec.ready_within_s,
            }
        });
        self.seen.send_replace(seen);
    }

    async fn ensure(&mut self, new: ResolvedWorkload) -> Result<Ensured, DriverError> {
        let alive = self.live.as_ref().is_some_and(|live| live.run.main.alive());
        if let (Some(live), Some(old), true) = (&mut self.live, &self.workload, alive) {
            if live.run.digest == new.digest {
                return Ok(Ensured::Unchanged);
            }
            if only_reloadable(&old.spec, &new.spec) && live.run.digest == old.digest {
                write_config(&self.folder, &new)?;
                write_json(&self.folder.spec(), &new).map_err(io("write", &self.folder.spec()))?;
                if live.run.main.signal(Signal::SIGHUP) {
                    live.run.digest = new.digest;
                    write_json(&self.folder.run(), &live.run).map_err(io("write", &self.folder.run()))?;
                    self.workload = Some(new);
                    return Ok(Ensured::Reloaded);
                }
            }
        }
        // Refused before anything is touched: a foreign holder of a port costs nobody a restart.
        self.check_ports(&new.spec)?;
        let what = if alive { Ensured::Restarted } else { Ensured::Started };
        self.end_process().await;
        make_folder(&self.folder.0).map_err(io("make", &self.folder.0))?;
        write_config(&self.folder, &new)?;
        write_json(&self.folder.spec(), &new).map_err(io("write", &self.folder.spec()))?;
        self.workload = Some(new);
        self.status = Status { wanted: Wanted::Running, ..Status::default() };
        self.keep_status()?;
        match self.start().await {
            Ok(()) => Ok(what),
            Err(why) => {
                // A set-up that fails now fails again: say so to the one who asked.
                self.ended_because(format!("could not be started: {why}"));
                Err(DriverError::Supervisor(format!("{} could not be started: {why}", self.id)))
            }
        }
    }

    /// Refuses a port that somebody outside this workload listens on.
    fn check_ports(&self, spec: &WorkloadSpec) -> Result<(), DriverError> {
        let mine = self.folder.name();
        let sessions = self.live.iter().map(|live| (live.run.main.pid, mine.clone())).collect();
        let holders = ports::holders(&self.paths.state, &sessions, |port| spec.ports.values().any(|own| *own == port));
        match holders.into_iter().find(|(_, holder)| holder.ours.as_ref() != Some(&mine)) {
            Some((port, holder)) => {
                Err(DriverError::PortInUse { id: self.id.clone(), port, holder: holder.to_string() })
            }
            None => Ok(()),
        }
    }

    /// Starts a process through a new keeper. The error says why none runs.
    async fn start(&mut self) -> Result<(), String> {
        self.next_start = None;
        // A keeper that was too slow to answer may have started it after all.
        let running = read_json::<Run>(&self.folder.run()).filter(|run| run.main.alive());
        if let (Some(run), Some(workload)) = (running, &self.workload)
            && run.digest == workload.digest
        {
            self.live = Some(Live::new(run));
            return Ok(());
        }
        self.status.started(now());
        let _ = self.keep_status();
        let log = logs::open(&self.paths.supervisor_log(), false)
            .map_err(|error| format!("open the supervisor's log: {error}"))?;
        let mut child = tokio::process::Command::new(&self.paths.binary)
            .arg("launch")
            .args(self.paths.arguments())
            .arg("--workload")
            .arg(self.id.to_string())
            .current_dir("/")
            .env_clear()
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("run {}: {error}", self.paths.binary.display()))?;
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            let mut out = tokio::io::BufReader::new(out);
            let line = tokio::io::AsyncBufReadExt::read_line(&mut out, &mut said);
            let _ = tokio::time::timeout(Duration::from_secs(30), line).await;
        }
        // Reaps the keeper when it ends; it lives as long as its child.
        tokio::spawn(async move { child.wait().await });
        match said.trim().split_once(' ') {
            Some(("started", _)) => match read_json::<Run>(&self.folder.run()) {
                Some(run) => {
                    tracing::info!(workload = %self.id, pid = run.main.pid, "started");
                    self.live = Some(Live::new(run));
                    Ok(())
                }
                None => Err("its keeper did not record it".to_owned()),
            },
            Some(("failed", why)) => Err(why.to_owned()),
            _ => Err("its keeper said nothing".to_owned()),
        }
    }

    async fn tick(&mut self) {
        if Instant::now() >= self.next_rotate {
            self.next_rotate = Instant::now() + Duration::from_secs(10);
            let log = self.folder.log();
            let _ = tokio::task::spawn_blocking(move || logs::rotate(&log)).await;
        }
        if self.live.is_some() {
            self.tick_live().await;
        } else if self.status.wanted == Wanted::Running && self.next_start.is_some_and(|at| Instant::now() >= at) {
            let free = match &self.workload {
                Some(workload) => self.check_ports(&workload.spec).map_err(|error| error.to_string()),
                None => return,
            };
            if free.is_ok() {
                self.status.restarts += 1;
            }
            let started = match free {
                Ok(()) => self.start().await,
                Err(why) => Err(why),
            };
            if let Err(why) = started {
                self.ended_because(format!("could not be started: {why}"));
            }
        }
    }

    async fn tick_live(&mut self) {
        let (Some(live), Some(workload)) = (&mut self.live, &self.workload) else { return };
        if !live.run.main.alive() {
            let run = self.live.take().map(|live| live.run);
            self.ended(run).await;
            return;
        }
        if live.run.main.frozen() {
            let since = *live.frozen.get_or_insert_with(Instant::now);
            if since.elapsed() >= FROZEN {
                let run = live.run.clone();
                run.main.signal(Signal::SIGKILL);
                self.live = None;
                self.finish_leftovers(&run).await;
                self.ended_because(format!("was frozen for {} s and killed", FROZEN.as_secs()));
            }
            return;
        }
        live.frozen = None;
        let result = live.looking.as_ref().and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(result) = result {
            live.looking = None;
            match result {
                Ok(()) => {
                    live.was_ready = true;
                    live.ready.get_or_insert_with(Instant::now);
                }
                Err(why) => {
                    live.ready = None;
                    live.why = why;
                }
            }
            let pause = match (&live.ready, live.since.elapsed() < Duration::from_secs(10)) {
                (Some(_), _) => PROBE_READY,
                (None, true) => PROBE_FRESH,
                (None, false) => PROBE_STARTING,
            };
            live.next_probe = Instant::now() + pause;
        }
        if live.looking.is_none() && Instant::now() >= live.next_probe {
            let slot = Arc::new(Mutex::new(None));
            live.looking = Some(slot.clone());
            let (paths, spec, up_s) = (self.paths.clone(), workload.spec.clone(), live.since.elapsed().as_secs());
            tokio::spawn(async move {
                let result = probe::look(&paths, &spec, up_s).await;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            });
        }
        if live.ready.is_some_and(|since| since.elapsed() >= FORGIVE) && self.status.failures > 0 {
            self.status.forgive();
            let _ = self.keep_status();
        }
    }

    /// The process ended by itself: says how, ends its children, plans the next start.
    async fn ended(&mut self, run: Option<Run>) {
        let mut how = "ended; its keeper is gone too, so nobody saw how".to_owned();
        if let Some(run) = run {
            // The keeper needs a moment to write it down.
            for _ in 0..20 {
                match read_json::<Exit>(&self.folder.exit())
                    .filter(|exit| exit.pid.is_none_or(|pid| pid == run.main.pid))
                {
                    Some(exit) => {
                        how = exit.words();
                        break;
                    }
                    None => sleep(Duration::from_millis(25)).await,
                }
            }
            self.finish_leftovers(&run).await;
        }
        self.ended_because(how);
    }

    fn ended_because(&mut self, how: String) {
        self.live = None;
        let lines = logs::last_lines(&self.folder.log(), 5);
        let said = if lines.is_empty() { String::new() } else { format!("; it said last: {lines}") };
        match self.status.ended(now()) {
            Some(wait) => {
                self.status.why = format!("{how}; starts again in {wait} s{said}");
                self.next_start = Some(Instant::now() + Duration::from_secs(wait));
            }
            None => {
                tracing::error!(workload = %self.id, how, "given up");
                self.status.wanted = Wanted::GaveUp;
                self.status.why = format!("{how}; ended too often and is not started again{said}");
            }
        }
        let _ = self.keep_status();
    }

    /// Kills what the main process left behind.
    async fn finish_leftovers(&self, run: &Run) {
        let (group, main) = (self.group.clone(), run.main.clone());
        let _ = tokio::task::spawn_blocking(move || super::kill_all(&group, &main.session())).await;
    }

    /// Stops the process by its rule, if one runs, and everything it left.
    async fn end_process(&mut self) {
        self.next_start = None;
        let Some(live) = self.live.take() else { return };
        let main = &live.run.main;
        let rule = self.workload.as_ref().map(|workload| workload.spec.stop);
        if let Some(rule) = rule {
            let signal = match rule.signal {
                StopSignal::Term => Signal::SIGTERM,
                StopSignal::Int => Signal::SIGINT,
            };
            main.signal(signal);
            // A stopped process takes the signal only when it goes on.
            main.signal(Signal::SIGCONT);
            let end = Instant::now() + Duration::from_secs(u64::from(rule.grace_s));
            while main.alive() && Instant::now() < end {
                sleep(Duration::from_millis(20)).await;
            }
        }
        // Found before the leader goes, killed after: a session is known by its leader.
        let session = main.session();
        main.signal(Signal::SIGKILL);
        let group = self.group.clone();
        let _ = tokio::task::spawn_blocking(move || super::kill_all(&group, &session)).await;
        let end = Instant::now() + Duration::from_secs(5);
        while main.alive() && Instant::now() < end {
            sleep(Duration::from_millis(10)).await;
        }
        // The keeper writes the end down and lets go of its lock; the next one needs it.
        while self.keeper_at_work() && Instant::now() < end {
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(&mut self) -> Result<(), DriverError> {
        if self.workload.is_none() {
            return Ok(());
        }
        self.status.wanted = Wanted::Stopped;
        self.keep_status()?;
        self.end_process().await;
        Ok(())
    }

    async fn remove(&mut self) -> Result<(), DriverError> {
        self.stop().await?;
        self.workload = None;
        self.group.remove();
        // The spec goes first: a folder without one is known to be a removal that was cut off.
        for result in [std::fs::remove_file(self.folder.spec()), std::fs::remove_dir_all(&self.folder.0)] {
            match result {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("remove", &self.folder.0)(error));
                }
                _ => {}
            }
        }
        self.status = Status::default();
        Ok(())
    }
}

impl Live {
    fn notes(&self) -> String {
        match self.run.notes.is_empty() {
            true => "ready".to_owned(),
            false => format!("ready; {}", self.run.notes.join("; ")),
        }
    }
}

fn write_config(folder: &Folder, workload: &ResolvedWorkload) -> Result<(), DriverError> {
    let names = workload.spec.files.iter().map(|file| file.name.as_str());
    let files: Vec<_> = names.zip(workload.files.iter().map(String::as_str)).collect();
    let config: &Path = &folder.config();
    prepare::write_config(config, workload.spec.user.gid, &files).map_err(DriverError::Supervisor)
}

/// Whether two specs differ in nothing but the content of files that can be reloaded.
fn only_reloadable(old: &WorkloadSpec, new: &WorkloadSpec) -> bool {
    let blank = |spec: &WorkloadSpec| {
        let mut spec = WorkloadSpec { made_from: None, ..spec.clone() };
        for file in spec.files.iter_mut().filter(|file| file.reloadable) {
            file.content = Text::plain("");
        }
        spec
    };
    old != new && blank(old) == blank(new)
}

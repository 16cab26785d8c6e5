//! A driver in memory, for tests of everything above drivers. It passes the contract suite; what
//! it cannot know (whether a program works) is scripted: [`FakeDriver::fail_next`], and a
//! workload whose command holds the word `never-ready` never is.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{HostFacts, Stranger, WorkloadObservation, WorkloadState};
use springtide_core::workload::{Volume, WorkloadId};

use crate::{Driver, DriverError, DriverObservation, Ensured, Generation, ResolvedWorkload, Task, TaskOutcome};

struct Held {
    workload: ResolvedWorkload,
    pid: Option<i32>,
    restarts: u32,
    ready: bool,
}

#[derive(Default)]
struct Inner {
    workloads: BTreeMap<WorkloadId, Held>,
    fence: u64,
    last_pid: i32,
    failures: BTreeMap<String, VecDeque<String>>,
    calls: Vec<String>,
    /// Changes that nobody called for.
    changes: u64,
    host: HostFacts,
    strangers: Vec<Stranger>,
}

/// The driver. Its volumes are real folders in a temporary place that goes with it.
pub struct FakeDriver {
    inner: Mutex<Inner>,
    folder: PathBuf,
}

impl Default for FakeDriver {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FakeDriver {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl FakeDriver {
    /// An empty driver.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("springtide-fake-{}-{n}", std::process::id()));
        Self { inner: Mutex::new(Inner { last_pid: 1000, ..Inner::default() }), folder }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next call of this kind fail with [`DriverError::Supervisor`] and change nothing.
    /// `what` is `ensure prod/web`, `wait prod/web`, `stop …`, `remove …`, `exec …`, `task NAME` or
    /// `volumes prod`, as [`FakeDriver::calls`] shows them.
    pub fn fail_next(&self, what: &str, why: &str) {
        self.inner().failures.entry(what.to_owned()).or_default().push_back(why.to_owned());
    }

    /// Every call that was let through so far, oldest first.
    pub fn calls(&self) -> Vec<String> {
        self.inner().calls.clone()
    }

    /// Sets what is reported of the machine.
    pub fn set_host(&self, host: HostFacts) {
        self.inner().host = host;
    }

    /// Sets the processes that are reported as nobody's.
    pub fn set_strangers(&self, strangers: Vec<Stranger>) {
        self.inner().strangers = strangers;
    }

    /// Ends a process as if somebody killed it; it is started again as a supervisor would.
    pub fn kill(&self, pid: i32) {
        let mut inner = self.inner();
        inner.last_pid += 1;
        let next = inner.last_pid;
        if let Some(held) = inner.workloads.values_mut().find(|held| held.pid == Some(pid)) {
            held.pid = Some(next);
            held.restarts += 1;
        }
        inner.changes += 1;
    }

    /// Makes a workload that runs lose or regain its readiness.
    pub fn set_ready(&self, id: &WorkloadId, ready: bool) {
        let mut inner = self.inner();
        if let Some(held) = inner.workloads.get_mut(id) {
            held.ready = ready;
        }
        inner.changes += 1;
    }

    /// Writes a line into a workload's log, which is there from then on.
    pub fn write_log(&self, id: &WorkloadId, line: &str) -> std::io::Result<()> {
        let path = self.log_path(id);
        std::fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{line}")
    }

    fn log_path(&self, id: &WorkloadId) -> PathBuf {
        self.folder.join("logs").join(format!("{id}.log"))
    }

    /// Fences, counts the call, and fails it if that was scripted.
    fn enter(&self, what: String, generation: Option<Generation>) -> Result<MutexGuard<'_, Inner>, DriverError> {
        let mut inner = self.inner();
        if let Some(Generation(ours)) = generation {
            if ours < inner.fence {
                return Err(DriverError::Fenced { ours, seen: inner.fence });
            }
            inner.fence = ours;
        }
        if let Some(why) = inner.failures.get_mut(&what).and_then(VecDeque::pop_front) {
            return Err(DriverError::Supervisor(why));
        }
        inner.calls.push(what);
        Ok(inner)
    }

    fn io(&self, verb: &'static str) -> impl FnOnce(std::io::Error) -> DriverError {
        let object = self.folder.display().to_string();
        move |source| DriverError::Io { verb, object, source }
    }
}

fn never_ready(workload: &ResolvedWorkload) -> bool {
    workload.spec.command.iter().any(|word| word.contains("never-ready"))
}

/// Exit code and output of a command. Understands scripts of `echo`, `sleep` and `exit` after
/// `sh -c`; `sleep` ends at once, or by the deadline if that is shorter. All other commands succeed
/// and say nothing.
fn play(command: &[String], deadline_s: u32) -> (Option<i32>, String) {
    let script = match command {
        [shell, flag, script] if shell.ends_with("/sh") && flag == "-c" => script.as_str(),
        _ => "",
    };
    let mut tail = String::new();
    for step in script.split(';').map(str::trim) {
        match step.split_once(' ') {
            Some(("echo", text)) => tail.push_str(&format!("{text}\n")),
            Some(("sleep", seconds)) if seconds.parse().is_ok_and(|s: u32| s > deadline_s) => return (None, tail),
            Some(("exit", number)) => return (number.parse().ok(), tail),
            _ => {}
        }
    }
    (Some(0), tail)
}

#[async_trait]
impl Driver for FakeDriver {
    async fn observe(&self) -> Result<DriverObservation, DriverError> {
        let inner = self.inner();
        let observe = |held: &Held| {
            let state = match (held.pid, held.ready) {
                (None, _) => WorkloadState::Stopped,
                (Some(_), true) => WorkloadState::Ready,
                (Some(_), false) if never_ready(&held.workload) => WorkloadState::Starting,
                (Some(_), false) => WorkloadState::Unready,
            };
            WorkloadObservation {
                digest: held.workload.digest,
                state,
                pid: held.pid,
                restarts: held.restarts,
                up_s: held.pid.map(|_| 60),
                resident_bytes: held.pid.map(|_| 64 << 20),
                why: "fake".to_owned(),
                edited: Vec::new(),
            }
        };
        let workloads = inner.workloads.iter().map(|(id, held)| (id.clone(), observe(held))).collect();
        Ok(DriverObservation { host: inner.host.clone(), workloads, strangers: inner.strangers.clone() })
    }

    fn fence(&self) -> Generation {
        Generation(self.inner().fence)
    }

    fn mark(&self) -> Option<u64> {
        let inner = self.inner();
        Some(inner.changes + inner.calls.len() as u64)
    }

    async fn raise(&self, Generation(ours): Generation) -> Result<(), DriverError> {
        let mut inner = self.inner();
        if ours < inner.fence {
            return Err(DriverError::Fenced { ours, seen: inner.fence });
        }
        inner.fence = ours;
        Ok(())
    }

    async fn ensure_workload(
        &self,
        workload: &ResolvedWorkload,
        generation: Generation,
    ) -> Result<Ensured, DriverError> {
        let id = workload.spec.id.clone();
        let mut inner = self.enter(format!("ensure {id}"), Some(generation))?;
        inner.last_pid += 1;
        let pid = inner.last_pid;
        let what = match inner.workloads.get(&id) {
            Some(held) if held.pid.is_some() && held.workload.digest == workload.digest => {
                return Ok(Ensured::Unchanged);
            }
            Some(held) if held.pid.is_some() => Ensured::Restarted,
            _ => Ensured::Started,
        };
        let held = Held { workload: workload.clone(), pid: Some(pid), restarts: 0, ready: !never_ready(workload) };
        inner.workloads.insert(id, held);
        Ok(what)
    }

    async fn wait_ready(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let inner = self.enter(format!("wait {id}"), None)?;
        let held = inner.workloads.get(id).ok_or_else(|| DriverError::NotFound(id.clone()))?;
        if held.pid.is_some() && held.ready {
            return Ok(());
        }
        Err(DriverError::NotReady {
            id: id.clone(),
            seconds: held.workload.spec.ready_within_s,
            why: if held.pid.is_some() { "the probe was told to fail" } else { "stopped on purpose" }.to_owned(),
            tail: held.workload.spec.command.join(" "),
        })
    }

    async fn stop_workload(&self, id: &WorkloadId, generation: Generation) -> Result<(), DriverError> {
        let mut inner = self.enter(format!("stop {id}"), Some(generation))?;
        if let Some(held) = inner.workloads.get_mut(id) {
            held.pid = None;
        }
        Ok(())
    }

    async fn remove_workload(&self, id: &WorkloadId, generation: Generation) -> Result<(), DriverError> {
        self.enter(format!("remove {id}"), Some(generation))?.workloads.remove(id);
        Ok(())
    }

    async fn run_task(&self, task: &Task, generation: Generation) -> Result<TaskOutcome, DriverError> {
        drop(self.enter(format!("task {}", task.name), Some(generation))?);
        let (code, tail) = play(&task.command, task.deadline_s);
        let log = self.folder.join("tasks").join(format!("{}.log", task.name));
        std::fs::create_dir_all(self.folder.join("tasks")).map_err(self.io("make"))?;
        std::fs::write(&log, &tail).map_err(self.io("write to"))?;
        Ok(TaskOutcome { code, tail, log })
    }

    async fn exec(&self, id: &WorkloadId, command: &[String]) -> Result<i32, DriverError> {
        let inner = self.enter(format!("exec {id}"), None)?;
        match inner.workloads.get(id) {
            None => Err(DriverError::NotFound(id.clone())),
            Some(held) if held.pid.is_none() => {
                Err(DriverError::NotRunning { id: id.clone(), state: WorkloadState::Stopped })
            }
            Some(_) => Ok(play(command, u32::MAX).0.unwrap_or_default()),
        }
    }

    fn volume(&self, environment: Option<&EnvironmentName>, volume: Volume) -> PathBuf {
        match (environment, volume) {
            (Some(environment), Volume::BackupNear) => {
                self.folder.join("backup").join(environment.as_str()).join("near/pg")
            }
            (Some(environment), _) => {
                self.folder.join("environments").join(environment.as_str()).join("volumes").join(volume.as_str())
            }
            (None, _) => self.folder.join("volumes").join(volume.as_str()),
        }
    }

    fn estate_folder(&self) -> PathBuf {
        self.folder.join("estate")
    }

    async fn remove_volumes(&self, environment: &EnvironmentName, generation: Generation) -> Result<(), DriverError> {
        drop(self.enter(format!("volumes {environment}"), Some(generation))?);
        match std::fs::remove_dir_all(self.folder.join("environments").join(environment.as_str()).join("volumes")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.io("remove volumes in")(error)),
            _ => Ok(()),
        }
    }

    fn logs(&self, id: &WorkloadId) -> Vec<PathBuf> {
        let path = self.log_path(id);
        if path.exists() { vec![path] } else { Vec::new() }
    }
}

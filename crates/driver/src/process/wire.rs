//! What driver and supervisor say to each other: one JSON line each way per request, over
//! `supervisor.sock`, which only root can open. Requests are idempotent, so the driver repeats one
//! whose answer was lost with the supervisor.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use springtide_core::observe::{WorkloadObservation, WorkloadState};
use springtide_core::workload::WorkloadId;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::paths::{Paths, io, make_folder, socket_path};
use crate::{DriverError, Ensured, Generation, ResolvedWorkload};

/// Name of the socket in the state folder.
pub(crate) const SOCKET: &str = "supervisor.sock";

/// What the driver asks.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub(crate) enum Request {
    /// Who are you.
    Hello { version: String },
    /// May this generation act. For what the driver does without the supervisor.
    Fence { generation: Generation },
    /// Make it run.
    Ensure { workload: Box<ResolvedWorkload>, generation: Generation },
    /// Wait for readiness.
    WaitReady { id: WorkloadId },
    /// Stop and keep.
    Stop { id: WorkloadId, generation: Generation },
    /// Stop and forget.
    Remove { id: WorkloadId, generation: Generation },
    /// What is seen.
    Status,
    /// Stop everything and end.
    Shutdown,
}

/// What the supervisor answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub(crate) enum Answer {
    /// Done.
    Done,
    /// Its version and pid.
    Hello { version: String, pid: u32 },
    /// What ensuring did.
    Ensured { what: Ensured },
    /// What is seen.
    Status { workloads: BTreeMap<WorkloadId, WorkloadObservation> },
    /// Not done.
    Refused { why: Refusal },
}

/// [`DriverError`] as it travels.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(crate) enum Refusal {
    /// See [`DriverError::Fenced`].
    Fenced { ours: u64, seen: u64 },
    /// See [`DriverError::NotReady`].
    NotReady { id: WorkloadId, seconds: u32, why: String, tail: String },
    /// See [`DriverError::PortInUse`].
    PortInUse { id: WorkloadId, port: u16, holder: String },
    /// See [`DriverError::NotFound`].
    NotFound { id: WorkloadId },
    /// See [`DriverError::NotRunning`].
    NotRunning { id: WorkloadId, state: WorkloadState },
    /// See [`DriverError::Missing`].
    Missing { what: String, hint: String },
    /// See [`DriverError::Io`] and [`DriverError::Supervisor`].
    Other { text: String },
}

impl From<DriverError> for Refusal {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Fenced { ours, seen } => Refusal::Fenced { ours, seen },
            DriverError::NotReady { id, seconds, why, tail } => Refusal::NotReady { id, seconds, why, tail },
            DriverError::PortInUse { id, port, holder } => Refusal::PortInUse { id, port, holder },
            DriverError::NotFound(id) => Refusal::NotFound { id },
            DriverError::NotRunning { id, state } => Refusal::NotRunning { id, state },
            DriverError::Missing { what, hint } => Refusal::Missing { what, hint },
            DriverError::Io { verb, object, source } => {
                Refusal::Other { text: format!("cannot {verb} {object}: {source}") }
            }
            DriverError::Supervisor(text) => Refusal::Other { text },
        }
    }
}

impl From<Refusal> for DriverError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fenced { ours, seen } => DriverError::Fenced { ours, seen },
            Refusal::NotReady { id, seconds, why, tail } => DriverError::NotReady { id, seconds, why, tail },
            Refusal::PortInUse { id, port, holder } => DriverError::PortInUse { id, port, holder },
            Refusal::NotFound { id } => DriverError::NotFound(id),
            Refusal::NotRunning { id, state } => DriverError::NotRunning { id, state },
            Refusal::Missing { what, hint } => DriverError::Missing { what, hint },
            Refusal::Other { text } => DriverError::Supervisor(text),
        }
    }
}

/// A connection to the running supervisor; `None` if there is none.
pub(crate) async fn connect(paths: &Paths) -> Option<UnixStream> {
    let (_handle, path) = socket_path(&paths.state, SOCKET).ok()?;
    UnixStream::connect(path).await.ok()
}

/// Asks the running supervisor once; `Ok(None)` if there is none or it went away before answering.
pub(crate) async fn ask(paths: &Paths, request: &Request) -> Result<Option<Answer>, DriverError> {
    let nonsense = |what: &str| DriverError::Supervisor(what.to_owned());
    let Some(mut stream) = connect(paths).await else { return Ok(None) };
    let mut line = serde_json::to_vec(request).map_err(|_| nonsense("the request cannot be written as JSON"))?;
    line.push(b'\n');
    if stream.write_all(&line).await.is_err() {
        return Ok(None);
    }
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer).await {
        Ok(n) if n > 0 && answer.ends_with('\n') => {}
        _ => return Ok(None),
    }
    match serde_json::from_str(&answer) {
        Ok(Answer::Refused { why }) => Err(why.into()),
        Ok(answer) => Ok(Some(answer)),
        Err(_) => Err(nonsense("its answer is not understood; is it of another version?")),
    }
}

/// Asks, and starts a supervisor when there is none. Repeats when the supervisor dies meanwhile.
pub(crate) async fn demand(paths: &Paths, request: &Request) -> Result<Answer, DriverError> {
    for _ in 0..5 {
        if let Some(answer) = ask(paths, request).await? {
            return Ok(answer);
        }
        start(paths).await?;
    }
    let log = super::logs::last_lines(&paths.supervisor_log(), 3);
    Err(DriverError::Supervisor(format!("it goes away again and again: {log}")))
}

/// Starts a supervisor that survives us, and waits until it answers. One that is there already
/// makes the new one end at once.
async fn start(paths: &Paths) -> Result<(), DriverError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(DriverError::Missing {
            what: "root".into(),
            hint: "run it as root: it makes users' processes and mounts".into(),
        });
    }
    make_folder(&paths.state).map_err(io("make", &paths.state))?;
    let status = tokio::process::Command::new(&paths.binary)
        .arg("supervise")
        .args(paths.arguments())
        .arg("--detach")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .await
        .map_err(io("run", &paths.binary))?;
    if !status.success() {
        return Err(DriverError::Supervisor(format!("it could not be started ({status})")));
    }
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        if connect(paths).await.is_some() {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(DriverError::Supervisor(format!("it does not answer; see {}", paths.supervisor_log().display())))
}

//! The supervisor: one process per state folder that watches workloads and answers the driver.
//!
//! It holds `supervisor.lock`; what it must remember is on disk before it acts, so the next one
//! goes on where it died. It is never a parent of a workload, only of keepers, and its end ends
//! nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigHandler, Signal, signal};
use springtide_core::workload::WorkloadId;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::board::Board;
use super::handle::Handle;
use super::paths::{Paths, make_folder, now, open_lock, read_json, socket_path, write_json};
use super::unit::Unit;
use super::wire::{self, Answer, Refusal, Request, SOCKET};
use crate::{DriverError, Generation, ResolvedWorkload};

/// Runs until [`Request::Shutdown`]; returns the exit code.
pub(crate) fn run(paths: Paths) -> i32 {
    for each in [Signal::SIGHUP, Signal::SIGINT] {
        // SAFETY: ignoring a signal runs no code of ours.
        #[allow(unsafe_code)]
        let _ = unsafe { signal(each, SigHandler::SigIgn) };
    }
    // Standard error is the supervisor's log.
    let _ = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).try_init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return 1,
    };
    match runtime.block_on(serve(paths)) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, "the supervisor ends");
            let _ = io::Write::write_all(&mut io::stderr(), format!("{error}\n").as_bytes());
            1
        }
    }
}

struct Supervisor {
    paths: Arc<Paths>,
    units: tokio::sync::Mutex<BTreeMap<WorkloadId, Handle>>,
    board: Board,
    fence: Mutex<u64>,
    end: tokio::sync::Notify,
}

async fn serve(paths: Paths) -> io::Result<()> {
    make_folder(&paths.workloads())?;
    let lock = open_lock(&paths.lock())?;
    let Some(_lock) = hold(&paths, lock).await? else { return Ok(()) };
    let _ = std::fs::remove_file(paths.state.join(SOCKET));
    let fence = std::fs::read_to_string(paths.fence()).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let supervisor = Arc::new(Supervisor {
        paths: Arc::new(paths),
        units: tokio::sync::Mutex::default(),
        board: Board::default(),
        fence: Mutex::new(fence),
        end: tokio::sync::Notify::new(),
    });
    supervisor.adopt().await;
    supervisor.clear().await;

    let paths = &supervisor.paths;
    let (_handle, at) = socket_path(&paths.state, SOCKET)?;
    // Bound under a mask that keeps it root's from its first moment.
    let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(at);
    nix::sys::stat::umask(old);
    let listener = listener?;
    let record = serde_json::json!({
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "at": now(),
    });
    write_json(&paths.supervisor_record(), &record)?;
    let mut rotate = tokio::time::interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            connection = listener.accept() => match connection {
                Ok((stream, _)) => drop(tokio::spawn(supervisor.clone().talk(stream))),
                // Out of descriptors, most likely: others will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            // A server writes only to what it was given as standard error; where that is this file, somebody has
            // to keep it short, and we are always there.
            _ = rotate.tick() => for log in [paths.supervisor_log(), paths.server_log()] {
                let _ = super::logs::rotate(&log);
            },
            () = supervisor.end.notified() => break,
        }
    }
    let _ = std::fs::remove_file(paths.state.join(SOCKET));
    let _ = std::fs::remove_file(paths.supervisor_record());
    Ok(())
}

/// Takes the lock; `None` if somebody else serves, which is all anyone wanted. One who holds the lock
/// and does not answer has just begun or has just been killed, so the end of that is waited for.
async fn hold(paths: &Paths, mut lock: File) -> io::Result<Option<Flock<File>>> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Some(held)),
            Err((lock, _)) => lock,
        };
        if wire::connect(paths).await.is_some() {
            return Ok(None);
        }
        if Instant::now() > end {
            return Err(io::Error::other("another supervisor holds the lock and does not answer"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Supervisor {
    /// Takes over what an earlier supervisor left.
    async fn adopt(&self) {
        let mut units = self.units.lock().await;
        for folder in self.paths.all() {
            match read_json::<ResolvedWorkload>(&folder.spec()) {
                // It may be another version's. What runs by it goes on until it is ensured anew.
                None if folder.spec().exists() => {
                    tracing::error!(folder = folder.name(), "its spec cannot be read; it is not watched");
                }
                Some(workload) => {
                    let id = workload.spec.id.clone();
                    units.insert(id.clone(), Unit::spawn(self.paths.clone(), &self.board, id, Some(workload)));
                }
                // An ensure or a removal that was cut off: what it had is put away.
                None => Unit::put_away(&self.paths, &folder),
            }
        }
    }

    /// Serves one connection. The work goes on when the caller goes away.
    async fn talk(self: Arc<Self>, stream: UnixStream) {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let ending = matches!(serde_json::from_str(&line), Ok(Request::Shutdown));
            let me = self.clone();
            let answer = tokio::spawn(async move {
                match serde_json::from_str(&line) {
                    Ok(request) => {
                        me.answer(request).await.unwrap_or_else(|error| Answer::Refused { why: error.into() })
                    }
                    // Without the parser's text: it could quote a secret.
                    Err(_) => Answer::Refused { why: Refusal::Other { text: "the request is not understood".into() } },
                }
            })
            .await
            .unwrap_or_else(|_| Answer::Refused {
                why: Refusal::Other { text: "the request made the supervisor stumble".into() },
            });
            let mut text = serde_json::to_vec(&answer).unwrap_or_default();
            text.push(b'\n');
            let sent = write.write_all(&text).await;
            if ending {
                self.end.notify_one();
            }
            if sent.is_err() {
                return;
            }
        }
    }

    /// Lets a generation act, and remembers it before it does.
    fn pass(&self, generation: Generation) -> Result<(), DriverError> {
        let mut seen = self.fence.lock().unwrap_or_else(PoisonError::into_inner);
        if generation.0 < *seen {
            return Err(DriverError::Fenced { ours: generation.0, seen: *seen });
        }
        if generation.0 > *seen {
            let path = self.paths.fence();
            super::paths::write_whole(&path, generation.0.to_string().as_bytes(), 0o600, 0)
                .map_err(super::paths::io("write", &path))?;
            *seen = generation.0;
        }
        Ok(())
    }

    /// Puts away what killed callers, keepers and supervisors left. No workload begins meanwhile.
    async fn clear(&self) {
        let units = self.units.lock().await;
        let watched = units.keys().map(WorkloadId::folder).collect();
        let paths = self.paths.clone();
        let _ = tokio::task::spawn_blocking(move || super::leftovers::clear(&paths, &watched)).await;
    }

    async fn unit(&self, id: &WorkloadId) -> Option<Handle> {
        self.units.lock().await.get(id).cloned()
    }

    async fn answer(&self, request: Request) -> Result<Answer, DriverError> {
        match request {
            Request::Hello { version: _ } => {
                Ok(Answer::Hello { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() })
            }
            Request::Fence { generation } => {
                self.pass(generation)?;
                self.clear().await;
                Ok(Answer::Done)
            }
            Request::Ensure { workload, generation } => {
                self.pass(generation)?;
                self.clear().await;
                let unit = {
                    let mut units = self.units.lock().await;
                    let id = workload.spec.id.clone();
                    units
                        .entry(id.clone())
                        .or_insert_with(|| Unit::spawn(self.paths.clone(), &self.board, id, None))
                        .clone()
                };
                unit.ensure(*workload).await.map(|what| Answer::Ensured { what })
            }
            Request::WaitReady { id } => match self.unit(&id).await {
                Some(unit) => unit.wait_ready().await.map(|()| Answer::Done),
                None => Err(DriverError::NotFound(id)),
            },
            Request::Stop { id, generation } => {
                self.pass(generation)?;
                self.clear().await;
                match self.unit(&id).await {
                    Some(unit) => unit.stop().await.map(|()| Answer::Done),
                    None => Ok(Answer::Done),
                }
            }
            Request::Remove { id, generation } => {
                self.pass(generation)?;
                self.clear().await;
                if let Some(unit) = self.unit(&id).await {
                    unit.remove().await?;
                }
                Ok(Answer::Done)
            }
            Request::Status => {
                let units: Vec<_> =
                    self.units.lock().await.iter().map(|(id, unit)| (id.clone(), unit.clone())).collect();
                // Reading memory of hundreds of processes takes a while: off the runtime's threads.
                let workloads = tokio::task::spawn_blocking(move || {
                    units.into_iter().filter_map(|(id, unit)| Some((id, unit.observation()?))).collect()
                })
                .await
                .map_err(|_| DriverError::Supervisor("status could not be read".into()))?;
                Ok(Answer::Status { workloads })
            }
            Request::Shutdown => {
                let units: Vec<_> = self.units.lock().await.values().cloned().collect();
                let stops: Vec<_> =
                    units.into_iter().map(|unit| tokio::spawn(async move { unit.stop().await })).collect();
                for stop in stops {
                    let _ = stop.await;
                }
                super::cgroup::remove_all(&self.paths.state);
                Ok(Answer::Done)
            }
        }
    }
}

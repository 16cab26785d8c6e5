//! The clock: a thread that sleeps until an arrival is due.
//!
//! It sleeps in the kernel and never spins. A sleep of the kernel's high-resolution timer with the
//! smallest slack ends within about 0.1 ms, and waking the other thread costs as much again; the goal is
//! 2 ms. Tokio's own timer has steps of 1 ms and shares its thread with the acts. Spinning through the
//! last millisecond would win little and burn, at 200 arrivals a second, a fifth of a core that the
//! system under test is short of.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::watch::Watch;
use crate::schedule::{Planned, Schedule};

/// An arrival whose time has come.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub planned: Planned,
    pub due: Instant,
}

/// Starts the thread, which ends after the last arrival or when the run is stopped. It gives back its
/// CPU time and a note, if it could not be pinned.
pub(super) fn start(
    plan: Arc<Schedule>,
    began: Instant,
    watch: Watch,
    to: UnboundedSender<Due>,
) -> std::io::Result<JoinHandle<(Duration, Option<String>)>> {
    std::thread::Builder::new().name("clock".into()).spawn(move || {
        let note = watch.settings().core.and_then(|core| pin(core).err());
        // Without it a sleep may be 50 us longer; it works without, so a refusal is no matter.
        let _ = nix::sys::prctl::set_timerslack(1);
        watch.wake_on_stop(std::thread::current());
        for planned in &plan.arrivals {
            let due = began + planned.at;
            if !sleep_until(due, &watch) || to.send(Due { planned: *planned, due }).is_err() {
                break;
            }
        }
        (cpu(), note)
    })
}

/// Whether the time has come; false if the run was stopped meanwhile.
fn sleep_until(due: Instant, watch: &Watch) -> bool {
    loop {
        if watch.stopped().is_some() {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::park_timeout(left);
    }
}

/// Pins the calling thread to a core; in words, why not.
pub(super) fn pin(core: usize) -> Result<(), String> {
    let mut cores = nix::sched::CpuSet::new();
    cores
        .set(core)
        .and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores))
        .map_err(|error| format!("the generator could not be pinned to core {core}: {error}"))
}

/// CPU time of the calling thread so far; zero where the kernel does not tell.
pub(super) fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

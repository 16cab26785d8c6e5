//! Kill, freeze and slow: what is done to processes.
//!
//! Rule: every process is looked at again right before it is signalled; what ended meanwhile is passed
//! by and not counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::journal::while_standing;
use super::{Active, FaultError, FaultId, Journal, Undo, Victim};

/// Length of one turn of [`slow`].
pub const TURN: Duration = Duration::from_millis(100);

/// Kills processes and says which of them were there to be killed.
///
/// # Errors
/// The kernel refuses; those before it are dead then.
pub fn kill(victims: &[Victim]) -> Result<Vec<Victim>, FaultError> {
    let mut killed = Vec::new();
    for victim in victims {
        if send(victim, Signal::SIGKILL)? {
            killed.push(victim.clone());
        }
    }
    Ok(killed)
}

/// Stops processes until the time is over.
///
/// # Errors
/// A process that does not run or is stopped already (somebody else's stop would be undone with ours),
/// or a record that cannot be written. Nothing is stopped then.
pub fn freeze(journal: &Journal, victims: &[Victim], duration: Duration) -> Result<Active, FaultError> {
    let active = begin(journal, FaultId::Freeze, victims, duration)?;
    for victim in victims {
        // On an error `active` is dropped, which lets go on what was stopped.
        send(victim, Signal::SIGSTOP)?;
    }
    Ok(active)
}

/// A fault that takes turns; see [`slow`].
#[derive(Debug)]
pub struct Slow {
    active: Option<Active>,
    stop: Arc<AtomicBool>,
    turns: Option<JoinHandle<()>>,
}

/// Lets processes run for `percent` of every 100 ms only, until the time is over.
///
/// # Errors
/// As [`freeze`]; or a share that is not between 1 and 99.
pub fn slow(journal: &Journal, victims: &[Victim], percent: u32, duration: Duration) -> Result<Slow, FaultError> {
    if !(1..=99).contains(&percent) {
        return Err(FaultError::place("slow processes", "the share of time that they run is 1 to 99 percent"));
    }
    let active = begin(journal, FaultId::Slow, victims, duration)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (path, stopped, victims) = (active.path().to_owned(), stop.clone(), victims.to_vec());
    let run = TURN * percent / 100;
    let turns = std::thread::Builder::new().name("slow".into()).spawn(move || {
        while !stopped.load(Ordering::Acquire) {
            let stood = while_standing(&path, || {
                for victim in &victims {
                    let _ = victim.signal(Signal::SIGSTOP);
                }
            });
            if !stood {
                return;
            }
            std::thread::sleep(TURN - run);
            for victim in &victims {
                let _ = victim.signal(Signal::SIGCONT);
            }
            std::thread::sleep(run);
        }
    });
    let turns = turns.map_err(|why| FaultError::place("start a thread that takes turns", why))?;
    Ok(Slow { active: Some(active), stop, turns: Some(turns) })
}

impl Slow {
    /// Takes it out now.
    ///
    /// # Errors
    /// As [`Active::end`].
    pub fn end(mut self) -> Result<(), FaultError> {
        self.halt();
        self.active.take().map_or(Ok(()), Active::end)
    }

    /// Waits until its time is over and takes it out.
    ///
    /// # Errors
    /// As [`Active::end`].
    pub async fn last(self) -> Result<(), FaultError> {
        let left = self.active.as_ref().map(Active::left).unwrap_or_default();
        tokio::time::sleep(left).await;
        self.end()
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(turns) = self.turns.take() {
            let _ = turns.join();
        }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // The thread first: it must not stop anybody after `active` has let them go.
        self.halt();
    }
}

/// Kills one process of those that `who` names, again and again, with pauses of half to one and a half
/// times `pause`, until `stop` resolves. Gives back who was killed. The same seed gives the same pauses
/// and, of the same processes, the same choice. `who` is asked before every kill, because what is killed is
/// replaced by another process, also the one that all others are below.
///
/// # Errors
/// The kernel refuses a signal.
pub async fn kill_at_random(
    who: impl AsyncFn() -> Vec<Victim>,
    pause: Duration,
    seed: u64,
    stop: impl Future<Output = ()>,
) -> Result<Vec<Victim>, FaultError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut killed = Vec::new();
    tokio::pin!(stop);
    loop {
        let wait = pause.mul_f64(rng.random_range(0.5..1.5));
        tokio::select! {
            () = &mut stop => return Ok(killed),
            () = tokio::time::sleep(wait) => {}
        }
        // Looking may take long on a busy machine; the end of the time ends it, too.
        let found = tokio::select! {
            () = &mut stop => return Ok(killed),
            found = who() => found,
        };
        if let Some(victim) = found.choose(&mut rng) {
            killed.extend(kill(std::slice::from_ref(victim))?);
        }
    }
}

fn begin(journal: &Journal, fault: FaultId, victims: &[Victim], duration: Duration) -> Result<Active, FaultError> {
    if victims.is_empty() {
        return Err(FaultError::place(fault.as_str(), "no process was named"));
    }
    for victim in victims {
        // Looked at again: time has passed since the caller did.
        Victim::believe(victim.pid, victim.start_time)?;
        if victim.frozen() {
            return Err(FaultError::Victim { pid: victim.pid, why: "it is stopped already" });
        }
    }
    journal.begin(fault, Undo::Resume { victims: victims.to_vec() }, duration)
}

fn send(victim: &Victim, signal: Signal) -> Result<bool, FaultError> {
    victim.signal(signal).map_err(|why| FaultError::place(format!("signal process {}", victim.pid), why))
}

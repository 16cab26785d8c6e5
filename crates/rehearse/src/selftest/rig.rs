//! Tries of the generator and of the faults: a planted stall, and a rig that was killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Check, Try, describe};
use crate::class::Class;
use crate::faults::{FaultId, Journal, Undo, Victim, Watchdog, process};
use crate::generator::{self, Arrival, Outcome, Settings, Traffic, Watch};
use crate::schedule::{Planned, Schedule};

/// Arrivals per second of the stall's run.
const RATE: u64 = 50;
/// How long nothing is answered.
const STALL: Duration = Duration::from_secs(2);

/// Answers at once, but for the time from one to three seconds after the first arrival.
struct Stalls {
    from: std::sync::OnceLock<Instant>,
    stalled: bool,
}

#[async_trait]
impl Traffic for Stalls {
    async fn act(&self, _: &Arrival) -> Outcome {
        let begins = *self.from.get_or_init(Instant::now) + Duration::from_secs(1);
        let ends = begins + STALL;
        if self.stalled && (begins..ends).contains(&Instant::now()) {
            tokio::time::sleep_until(ends.into()).await;
        }
        Outcome::Done { retries: 0 }
    }
}

/// A stall of two seconds must be in the figures in full: half of those who came meanwhile waited for more
/// than a second. A generator that waits for answers would show one slow act.
pub(super) async fn stall(seen: bool) -> Try {
    let second = Duration::from_secs(1);
    let slow = async |stalled| {
        let arrivals = (0..4 * RATE).map(|number| Planned {
            at: second * number as u32 / RATE as u32,
            class: Class::Browse,
            number,
            seed: number,
        });
        let plan = Schedule { profile: "selftest".into(), seed: 0, length: 4 * second, arrivals: arrivals.collect() };
        let traffic = Arc::new(Stalls { from: std::sync::OnceLock::new(), stalled });
        let measured = generator::run(&plan, traffic, &Watch::new(Settings::default())).await;
        let latency = measured.classes.get(&Class::Browse).map(|class| class.latency.clone()).unwrap_or_default();
        (latency.longer_than(second), latency.longest().unwrap_or_default())
    };
    let ((calm, _), (waited, longest)) = tokio::join!(slow(false), slow(true));
    // A second's worth of arrivals waits for more than one second; a tenth is left to the machine, and what
    // is slow without the stall is not the stall's.
    let found = waited.saturating_sub(calm) * 10 >= RATE * 9 && longest * 10 >= STALL * 9;
    let said = format!(
        "{waited} of {} waited for more than 1 s, the longest {longest:.1?}; {calm} without the stall",
        4 * RATE
    );
    Try {
        check: Some(Check::Stall),
        ground: "the generator".into(),
        planted: describe(Check::Stall).to_owned(),
        passed: seen && found && calm * 4 <= RATE,
        said: if seen { said } else { "nothing found".into() },
    }
}

/// A process of the try, killed at its end.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Result<(Sleeper, Victim), String> {
        let child = Command::new("sleep").arg("120").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let sleeper = Sleeper(child.map_err(|why| format!("cannot start sleep: {why}"))?);
        let victim = Victim::of(sleeper.0.id() as i32).map_err(|why| why.to_string())?;
        Ok((sleeper, victim))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Freezes a process on behalf of a rig that is then killed; its watchdog must let the process go on.
pub(super) fn undo(folder: &Path, watchdog: &dyn Fn() -> Command, seen: bool) -> Try {
    let tried = killed_rig(folder, watchdog, seen);
    Try {
        check: Some(Check::Undo),
        ground: "the faults".into(),
        planted: describe(Check::Undo).to_owned(),
        passed: tried.is_ok(),
        said: tried.unwrap_or_else(|why| why),
    }
}

fn killed_rig(folder: &Path, watchdog: &dyn Fn() -> Command, seen: bool) -> Result<String, String> {
    let text = |why: crate::faults::FaultError| why.to_string();
    let journal = Journal::open(folder.join("undo")).map_err(text)?;
    let ((_frozen, victim), (rig, rig_is)) = (Sleeper::start()?, Sleeper::start()?);
    let mut dog = None;
    if seen {
        dog = Some(Watchdog::start_for(&journal, watchdog(), &rig_is).map_err(text)?);
    }
    let undo = Undo::Resume { victims: vec![victim.clone()] };
    let active = journal.begin_for(FaultId::Freeze, undo, Duration::from_secs(60), rig_is).map_err(text)?;
    victim.signal(nix::sys::signal::Signal::SIGSTOP).map_err(|why| why.to_string())?;
    let within = |seconds: u64, holds: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !holds() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        holds()
    };
    if !within(2, &|| victim.frozen()) {
        return Err("the process could not be frozen".into());
    }
    drop(rig);
    let killed = Instant::now();
    let undone = within(2, &|| !victim.frozen());
    let took = killed.elapsed();
    // Whatever came of it, nothing stays frozen and no watchdog stays behind.
    active.end().map_err(text)?;
    if let Some(mut dog) = dog {
        let end = Instant::now() + Duration::from_secs(5);
        while dog.alive() {
            if Instant::now() > end {
                let pid = dog.pid() as i32;
                Victim::of(pid).and_then(|victim| process::kill(&[victim])).map_err(text)?;
                return Err("the watchdog did not end with its rig".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    match undone {
        true => Ok(format!("undone {} ms after its rig was killed", took.as_millis())),
        false => Err("still frozen 2 s after its rig was killed".into()),
    }
}

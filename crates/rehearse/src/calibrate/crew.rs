//! The web workers of a running Odoo: how many there are, and another number for a time.
//!
//! Odoo's master takes SIGTTIN for one worker more and SIGTTOU for one less, but ends none that it has; so the
//! newest is asked to go with SIGINT, which lets it finish its request. The number of the estate file is what the
//! master starts with, so nothing of this outlives its next start.
//!
//! Rule: the master's event server is its child and no worker. Whoever drops the crew gets the old number back.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use procfs::process::Process;

use super::CalibrateError;
use crate::faults::Victim;

/// How long a worker may take to come or to go; a request that it serves is finished first.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the master may take for a signal. It beats at least so often.
const BEAT: Duration = Duration::from_millis(500);

/// The workers below one master.
#[derive(Debug)]
pub struct Crew {
    master: Victim,
    at_first: u32,
    wanted: AtomicU32,
}

/// Workers below a master, oldest first.
pub fn workers(master: &Victim) -> Vec<Victim> {
    let child = |victim: &Victim| {
        let process = Process::new(victim.pid).ok()?;
        let stat = process.stat().ok()?;
        let event = process.cmdline().ok()?.iter().any(|word| word == "gevent");
        Some(stat.ppid == master.pid && !event)
    };
    let mut found: Vec<Victim> = master.tree().into_iter().filter(|victim| child(victim) == Some(true)).collect();
    found.sort_by_key(|victim| victim.start_time);
    found
}

impl Crew {
    /// The crew below a master that runs.
    ///
    /// # Errors
    /// It has no workers.
    pub fn of(master: Victim) -> Result<Crew, CalibrateError> {
        let count = workers(&master).len() as u32;
        if count == 0 {
            return Err(CalibrateError::Measure("Odoo's web role has no workers to measure".into()));
        }
        Ok(Crew { master, at_first: count, wanted: AtomicU32::new(count) })
    }

    /// Workers that there were at first.
    pub fn at_first(&self) -> u32 {
        self.at_first
    }

    /// Workers that there are.
    pub fn count(&self) -> u32 {
        workers(&self.master).len() as u32
    }

    /// Changes their number, and waits until it is so.
    ///
    /// # Errors
    /// The master ends, or the number is not reached in time.
    pub async fn set(&self, wanted: u32) -> Result<(), CalibrateError> {
        let wanted = wanted.max(1);
        while self.wanted.load(Ordering::Relaxed) != wanted {
            let now = self.wanted.load(Ordering::Relaxed);
            if now < wanted {
                self.wanted.store(now + 1, Ordering::Relaxed);
                self.signal(Signal::SIGTTIN)?;
            } else {
                self.wanted.store(now - 1, Ordering::Relaxed);
                self.signal(Signal::SIGTTOU)?;
                tokio::time::sleep(BEAT).await;
                self.dismiss();
            }
            self.wait(self.wanted.load(Ordering::Relaxed)).await?;
        }
        Ok(())
    }

    async fn wait(&self, wanted: u32) -> Result<(), CalibrateError> {
        let end = Instant::now() + LIMIT;
        while self.count() != wanted {
            if Instant::now() > end || !self.master.alive() {
                let message = format!("there are {} web workers, and {wanted} were asked for", self.count());
                return Err(CalibrateError::Measure(message));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), CalibrateError> {
        match self.master.signal(signal) {
            Ok(true) => Ok(()),
            Ok(false) => Err(CalibrateError::Measure("Odoo's web role ended while it was measured".into())),
            Err(why) => Err(CalibrateError::Measure(format!("Odoo's web role cannot be asked for workers: {why}"))),
        }
    }

    /// Asks the newest to go.
    fn dismiss(&self) {
        if let Some(newest) = workers(&self.master).last() {
            let _ = newest.signal(Signal::SIGINT);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // A master that is gone starts with the number of its configuration.
        let mut now = self.wanted.load(Ordering::Relaxed);
        while now != self.at_first && self.master.alive() {
            let signal = if now < self.at_first { Signal::SIGTTIN } else { Signal::SIGTTOU };
            let _ = self.master.signal(signal);
            // Two of one signal at the same moment would be one.
            std::thread::sleep(BEAT);
            if now > self.at_first {
                self.dismiss();
                now -= 1;
            } else {
                now += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    /// A master as Odoo's: a number of children, one more or less by signal, none ended by itself, and an event
    /// server that is no worker.
    const MASTER: &str = r#"
import os, signal, subprocess, sys
wanted, workers, queue = 2, set(), []
for number in (signal.SIGTTIN, signal.SIGTTOU):
    signal.signal(number, lambda number, frame: queue.append(number))
signal.signal(signal.SIGCHLD, lambda number, frame: None)
event = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', 'gevent'])
while True:
    while queue:
        wanted += 1 if queue.pop(0) == signal.SIGTTIN else -1
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if not pid:
            break
        workers.discard(pid)
    while len(workers) < wanted:
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.sigtimedwait([], 60)
            os._exit(0)
        workers.add(pid)
        if len(workers) == wanted:
            print('ready', flush=True)
    signal.sigtimedwait([], 0.05)
"#;

    struct Master(Child);

    impl Drop for Master {
        fn drop(&mut self) {
            for victim in Victim::of(self.0.id() as i32).map(|master| master.tree()).unwrap_or_default() {
                let _ = victim.signal(Signal::SIGKILL);
            }
            let _ = self.0.wait();
        }
    }

    #[tokio::test]
    async fn the_number_changes_and_comes_back() {
        let started = Command::new("python3").args(["-c", MASTER]).stdout(Stdio::piped()).spawn();
        let mut master = Master(started.unwrap());
        let victim = Victim::of(master.0.id() as i32).unwrap();
        // What starts Python may be a script with children of its own.
        let mut out = BufReader::new(master.0.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        let crew = Crew::of(victim.clone()).unwrap();
        // The tree has the master and its event server, too.
        assert_eq!((crew.at_first(), victim.tree().len()), (2, 4));
        for wanted in [4, 1, 3] {
            crew.set(wanted).await.unwrap();
            assert_eq!(crew.count(), wanted);
        }
        drop(crew);
        let end = Instant::now() + Duration::from_secs(10);
        while workers(&victim).len() != 2 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(workers(&victim).len(), 2, "the old number");
        let crew = Crew::of(victim).unwrap();
        drop(master);
        assert!(crew.set(3).await.unwrap_err().to_string().contains("ended"));
    }
}

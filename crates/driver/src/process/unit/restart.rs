//! It ended by itself: what is said of it, when it starts again, and when it does not any more.

use std::time::{Duration, Instant};

use springtide_core::workload::WorkloadId;
use tokio::time::sleep;

use super::Unit;
use crate::process::logs;
use crate::process::paths::{now, read_json};
use crate::process::records::{Exit, GIVE_UP_WINDOW_S, Run, Wanted};

/// How long those it needs must have been ready: a pooler tries a database that was away again after
/// a second, and refuses everybody until then.
const SETTLE: Duration = Duration::from_secs(2);

impl Unit {
    /// Starts it again when its time has come.
    pub(super) async fn start_if_due(&mut self) {
        if self.status.wanted != Wanted::Running || self.next_start.is_none_or(|at| Instant::now() < at) {
            return;
        }
        if !self.needs_are_met() {
            return;
        }
        let Some(workload) = &self.workload else { return };
        let started = match self.check_ports(&workload.spec) {
            Ok(()) => {
                self.status.restarts += 1;
                self.start().await
            }
            Err(taken) => Err(taken.to_string()),
        };
        if let Err(why) = started {
            self.ended_because(format!("could not be started: {why}"));
        }
    }

    /// Whether all it needs has been ready for a moment. Waiting is not counted as a failed start: a
    /// database that is away for an hour must not leave a role given up.
    fn needs_are_met(&mut self) -> bool {
        let needs = self.workload.iter().flat_map(|workload| &workload.spec.needs);
        let ids = needs.map(|role| WorkloadId { environment: self.id.environment.clone(), role: *role });
        let unready: Vec<String> = ids.filter_map(|id| self.board.unready(&id, SETTLE)).collect();
        if !unready.is_empty() {
            self.status.why = format!("waits for {}", unready.join("; "));
        }
        unready.is_empty()
    }

    /// The process ended by itself: says how, ends its children, plans the next start.
    pub(super) async fn ended(&mut self, run: Option<Run>) {
        let mut killed = false;
        let mut how = "ended; its keeper is gone too, so nobody saw how".to_owned();
        if let Some(run) = run {
            // The keeper needs a moment to write it down.
            for _ in 0..20 {
                match read_json::<Exit>(&self.folder.exit())
                    .filter(|exit| exit.pid.is_none_or(|pid| pid == run.main.pid))
                {
                    Some(exit) => {
                        how = exit.words();
                        killed = exit.signal.is_some();
                        if exit.signal.as_deref() == Some("SIGKILL") && self.group.memory_kills() > self.memory_kills {
                            how.push_str(": it wanted more memory than its limit");
                        }
                        break;
                    }
                    None => sleep(Duration::from_millis(25)).await,
                }
            }
            self.finish_leftovers(&run).await;
        }
        self.gone(how, killed);
    }

    pub(super) fn ended_because(&mut self, how: String) {
        self.gone(how, false);
    }

    fn gone(&mut self, how: String, killed: bool) {
        self.live = None;
        let lines = logs::last_lines(&self.folder.log(), 5);
        let said = if lines.is_empty() { String::new() } else { format!("; it said last: {lines}") };
        match self.status.ended(now(), killed) {
            Some(wait) => {
                self.status.why = format!("{how}; starts again in {wait} s{said}");
                self.next_start = Some(Instant::now() + Duration::from_secs(wait));
            }
            None => {
                tracing::error!(workload = %self.id, how, "given up");
                self.status.wanted = Wanted::GaveUp;
                self.status.why = format!(
                    "{how}; ended {} times within {} minutes and is not started again{said}",
                    self.status.starts.len(),
                    GIVE_UP_WINDOW_S / 60
                );
            }
        }
        let _ = self.keep_status();
    }
}

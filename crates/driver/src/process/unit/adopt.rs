//! What an earlier supervisor left: taken over if it is really that process, finished if a stop or
//! replacement was cut off, put away if nothing says what it was to be.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::Unit;
use super::health::Live;
use crate::process::cgroup::Group;
use crate::process::identity::boot_id;
use crate::process::kill_all;
use crate::process::paths::{Folder, Paths, read_json};
use crate::process::records::{Run, Wanted};

impl Unit {
    /// Takes over the process an earlier supervisor started, if it is really that one.
    pub(super) async fn adopt(&mut self) {
        let Some(workload) = &self.workload else { return };
        let digest = workload.digest;
        let run = self.settled().await;
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
            // The same, cut off after its main process had ended.
            (None, _) => drop(self.end_process().await),
        }
    }

    /// The process on record. A keeper that was just started may not have recorded its child yet:
    /// it holds its lock from before the fork, so wait until it has.
    pub(super) async fn settled(&self) -> Option<Run> {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let run = self.running();
            if run.is_some() || !self.keeper_at_work() || Instant::now() > patience {
                return run;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn keeper_at_work(&self) -> bool {
        let Ok(file) = std::fs::File::options().write(true).open(self.folder.keeper_lock()) else { return false };
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).is_err()
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
        kill_all(&group, &session);
        group.remove();
        let _ = std::fs::remove_dir_all(&folder.0);
    }
}

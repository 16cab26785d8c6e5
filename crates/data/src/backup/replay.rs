//! Bringing a fetched data directory to its target: PostgreSQL runs on it alone, fetches log by the engine, opens at
//! the target and is shut down again. What is left needs no repository and no key.
//!
//! Reaching the end of the log looks like success to a server that was asked for "the latest". So the target is always
//! explicit, and the new timeline's history must say that the replay ended there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use springtide_core::backup::conf::{DATA_AT, restore_command};
use springtide_core::backup::{Line, Lsn, Segment, Target, Timeline};
use springtide_core::workload::{CONFIG_PATH, Root};
use springtide_driver::Task;

use super::call::MOVE_SECONDS;
use super::error::{EngineError, classify, first_error, io_error, segment_in, shorten};
use super::restore::{Building, task_suffix};
use super::{PgBackRest, Phase, Progress, RestoreOrder, Watch};
use crate::template::processes;

/// Value of `DBState` in PostgreSQL's control file after a clean shutdown.
const SHUT_DOWN: u32 = 1;
/// How often the server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where a replay ended.
pub(super) struct Ended {
    pub at: Lsn,
    pub reason: String,
    pub timeline: Timeline,
}

impl PgBackRest {
    fn replay_task(&self, order: &RestoreOrder, building: &Building) -> Result<Task, EngineError> {
        let program = format!("/usr/lib/postgresql/{}/bin/postgres", order.set.postgres);
        if !Path::new(&program).exists() {
            let words =
                format!("the set is of PostgreSQL {}, whose package is not on this machine", order.set.postgres);
            return Err(EngineError::Program(words));
        }
        let environment = &self.site.conf.environment;
        let mut settings = vec![
            // Its own files, so that nothing of the source's decides; and nobody gets in.
            format!("config_file={CONFIG_PATH}/replay.conf"),
            format!("hba_file={CONFIG_PATH}/nobody.conf"),
            format!("ident_file={CONFIG_PATH}/replay.conf"),
            format!("restore_command={}", restore_command(environment, order.set.repo)),
            // By number a timeline must have its history in the archive. That of an environment which was itself
            // restored has none, because it began before there was an archive.
            match order.line.timeline() == order.set.timeline {
                true => "recovery_target_timeline=current".to_owned(),
                false => format!("recovery_target_timeline={}", order.line.timeline()),
            },
            "recovery_target_action=promote".into(),
        ];
        match &order.target {
            Target::Lsn(lsn) => {
                settings.push(format!("recovery_target_lsn={lsn}"));
                settings.push("recovery_target_inclusive=off".into());
            }
            Target::Name { name, .. } => settings.push(format!("recovery_target_name={}", name.as_str())),
        }
        let fixed = [
            "listen_addresses=",
            "unix_socket_directories=/tmp",
            "port=5432",
            "ssl=off",
            // The new timeline must not get into the source's archive.
            "archive_mode=off",
            // Without readers the parameters of the source's server do not matter.
            "hot_standby=off",
            "max_prepared_transactions=64",
            // Everything is synced once, at the end.
            "fsync=off",
            "autovacuum=off",
            "jit=off",
            "shared_preload_libraries=",
            "shared_buffers=256MB",
            "max_wal_size=4GB",
            "checkpoint_timeout=1h",
            "logging_collector=off",
            "log_destination=stderr",
            "lc_messages=C",
        ];
        let mut command = vec![program, "-D".into(), DATA_AT.into()];
        for setting in settings.into_iter().chain(fixed.map(str::to_owned)) {
            command.extend(["-c".into(), setting]);
        }
        let mut files = self.site.files()?;
        files.push(("replay.conf".into(), "# everything stands on the command line\n".into()));
        files.push(("nobody.conf".into(), "local all all reject\n".into()));
        Ok(Task {
            name: format!("backup-{environment}-replay-{}", task_suffix(&order.into)),
            root: Root::Host,
            command,
            env: BTreeMap::from([("TZ".to_owned(), "UTC".to_owned()), ("LC_ALL".to_owned(), "C.UTF-8".to_owned())]),
            files,
            mounts: self.restore_mounts(building),
            user: self.site.user,
            // A repository may be an S3 store.
            network: springtide_driver::Network::Machine,
            deadline_s: MOVE_SECONDS,
        })
    }

    pub(super) async fn replay(
        &self,
        order: &RestoreOrder,
        building: &Building,
        watch: Watch<'_>,
    ) -> Result<Ended, EngineError> {
        let data = building.data();
        let task = self.replay_task(order, building)?;
        let running = self.driver.run_task(&task, self.generation);
        tokio::pin!(running);
        let mut told = false;
        let mut looks = 0u32;
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome?,
                () = tokio::time::sleep(LOOK_EVERY) => {
                    looks = looks.wrapping_add(1);
                    if !told && is_open(&data) {
                        // "Fast": it writes a checkpoint and ends.
                        processes::signal(&data, Signal::SIGINT);
                        told = true;
                    } else if looks.is_multiple_of(5) {
                        watch(progress(order, &data));
                    }
                }
            }
        };
        let output =
            fs::read(&outcome.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or(outcome.tail);
        let output = self.site.mask(&output);
        if outcome.code != Some(0) || !told {
            return Err(failure(order, outcome.code, &output, &outcome.log));
        }
        ended(order, &data, &output)
    }
}

/// Whether the server lets sessions in, by its own lock file.
fn is_open(data: &Path) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    text.lines().nth(7).is_some_and(|state| state.trim() == "ready")
}

/// How far the replay is, by the title of the process that does it.
fn progress(order: &RestoreOrder, data: &Path) -> Progress {
    let from = order.set.start_lsn;
    let total = order.target.lsn().since(from);
    let title = |pid: nix::unistd::Pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).ok();
    let titles = processes::of(data).into_iter().filter_map(title);
    let segment: Option<Segment> =
        titles.filter(|title| title.contains("recovering")).find_map(|title| segment_in(&title));
    let done = segment.map_or(0, |segment| segment.start().since(from));
    Progress { phase: Phase::Replay, done: done.min(total), total }
}

/// Why the replay did not come to its end.
fn failure(order: &RestoreOrder, code: Option<i32>, output: &str, log: &Path) -> EngineError {
    let repo = order.set.repo;
    // A segment that cannot be had for another reason than being gone is told by the engine beside the server.
    if first_error(output).is_some() {
        return classify("archive-get", repo, code, output, log);
    }
    let line = |patterns: &[&str]| {
        let mut lines = output.lines().rev();
        lines.find(|line| patterns.iter().any(|pattern| line.contains(pattern))).map(|line| shorten(line.trim()))
    };
    if let Some(words) = line(&["recovery stop point is before consistent"]) {
        return EngineError::Set { label: order.set.label.to_string(), words };
    }
    if let Some(words) = line(&[
        "before configured recovery target was reached",
        "WAL ends before end of online backup",
        "could not locate",
    ]) {
        let gone = output.lines().rev().find(|line| line.contains("unable to find"));
        // A damaged record looks like the end of the log; then the server said so.
        let broken = line(&[
            "incorrect resource manager data checksum",
            "invalid record",
            "invalid magic",
            "unexpected pageaddr",
            "incorrect prev-link",
        ]);
        if let (Some(words), None) = (broken, gone) {
            return EngineError::Damaged { repo, words };
        }
        return EngineError::WalGap { segment: gone.and_then(segment_in), words };
    }
    if let Some(words) = line(&["PANIC:", "FATAL:"]) {
        let damaged =
            ["checksum", "invalid", "corrupt", "could not read", "incorrect"].iter().any(|word| words.contains(word));
        if damaged {
            return EngineError::Damaged { repo, words };
        }
    }
    let words = line(&["PANIC:", "FATAL:", "ERROR:"]).unwrap_or_else(|| "the server ended before it was open".into());
    let how = code.map_or("ended by a signal or its deadline".to_owned(), |code| format!("exit code {code}"));
    EngineError::Failed { command: "replay", how, words, log: log.to_owned() }
}

/// Reads what the replay left: where it ended and why, that it is the set's cluster, and that it was shut down well.
fn ended(order: &RestoreOrder, data: &Path, output: &str) -> Result<Ended, EngineError> {
    let repo = order.set.repo;
    let control = data.join("global/pg_control");
    let bytes = fs::read(&control).map_err(io_error("read", &control))?;
    let (Some(system), Some(state)) = (bytes.first_chunk::<8>(), bytes.get(16..20)) else {
        return Err(EngineError::Damaged { repo, words: "the control file is too short".into() });
    };
    let system = u64::from_le_bytes(*system);
    if system != order.set.system_id {
        return Err(EngineError::OtherDatabase(
            repo,
            format!("it holds cluster {system}, and the set is of {}", order.set.system_id),
        ));
    }
    if state != SHUT_DOWN.to_le_bytes() {
        let words = "the restored server was not shut down cleanly".to_owned();
        return Err(EngineError::Failed { command: "replay", how: "control file".into(), words, log: control });
    }
    let folder = data.join("pg_wal");
    let newest = fs::read_dir(&folder)
        .map_err(io_error("read", &folder))?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_suffix(".history").filter(|number| number.len() == 8)?;
            Some((Timeline::new(u32::from_str_radix(number, 16).ok()?)?, entry.path()))
        })
        .max();
    let gap = |words: String| EngineError::WalGap { segment: output.lines().rev().find_map(segment_in), words };
    let Some((timeline, path)) = newest else { return Err(gap("the server opened no timeline of its own".into())) };
    let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
    let line = Line::parse(timeline, &text).map_err(|error| EngineError::Damaged { repo, words: error.to_string() })?;
    let Some(last) = line.branches().last() else { return Err(gap("the new timeline has no beginning".into())) };
    let reached = match &order.target {
        Target::Lsn(_) => last.reason.starts_with("before LSN "),
        Target::Name { name, .. } => last.reason == format!("at restore point \"{}\"", name.as_str()),
    };
    if !reached || last.timeline != order.line.timeline() {
        return Err(gap(format!(
            "the replay ended at {} on timeline {}: {}",
            last.at,
            last.timeline,
            shorten(&last.reason)
        )));
    }
    Ok(Ended { at: last.at, reason: last.reason.clone(), timeline })
}

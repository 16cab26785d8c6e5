//! One command of pgBackRest as a task: its arguments, what it sees, its output, its errors.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use springtide_core::backup::RepoKey;
use springtide_core::backup::conf::{CONF_FILE, WORK_AT};
use springtide_core::workload::{CONFIG_PATH, Root};
use springtide_driver::{DriverError, Task, TaskMount, TaskOutcome};

use super::error::{EngineError, classify, first_error, io_error};
use super::progress::LogTail;
use super::{PgBackRest, Version, Watch};

/// Seconds for commands that only look.
pub(super) const LOOK_SECONDS: u32 = 10 * 60;
/// Seconds for commands that move the data.
pub(super) const MOVE_SECONDS: u32 = 24 * 60 * 60;
/// Longest answer that is read, bytes: a list of some million segments.
const ANSWER_BYTES: u64 = 1 << 30;
/// A file system with less room is full, bytes.
const FULL_BYTES: u64 = 64 << 20;
/// How often progress is told.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long another run of the same command is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command.
pub(super) struct Call {
    /// Its name.
    pub command: &'static str,
    /// What tells its task from others of the same command; none if there is one at a time.
    pub name: Option<String>,
    /// The repository it is for; none for all.
    pub repo: Option<RepoKey>,
    /// Options, and then what they are about.
    pub words: Vec<String>,
    /// What it sees besides its configuration.
    pub mounts: Vec<TaskMount>,
    /// Its deadline.
    pub seconds: u32,
    /// Where its own log is, to tell how far it is.
    pub log: Option<LogTail>,
}

impl PgBackRest {
    /// A command that only looks at the repositories. Its output is the answer and nothing else.
    pub(super) fn look(&self, command: &'static str, repo: RepoKey, words: &[String]) -> Call {
        let quiet = "--log-level-console=error".to_owned();
        // A store that is away is tried again for so long, for each of four files.
        let patience = "--io-timeout=10".to_owned();
        let mut mounts = self.site.repo_mounts();
        if self.site.work.is_dir() {
            // The locks in it tell whether a backup runs.
            mounts.push(TaskMount { from: self.site.work.clone(), at: WORK_AT.into(), read_only: true });
        }
        for mount in &mut mounts {
            mount.read_only = true;
        }
        Call {
            command,
            name: None,
            repo: Some(repo),
            words: [&[quiet, patience], words].concat(),
            mounts,
            seconds: LOOK_SECONDS,
            log: None,
        }
    }

    /// Runs a command to its end and returns what it wrote.
    pub(super) async fn call(&self, call: Call, watch: Option<Watch<'_>>) -> Result<String, EngineError> {
        let Call { command, name, repo, words, mounts, seconds, mut log } = call;
        let environment = &self.site.conf.environment;
        let mut arguments = vec!["pgbackrest".to_owned(), command.to_owned()];
        arguments.push(format!("--config={CONFIG_PATH}/{CONF_FILE}"));
        arguments.push(format!("--stanza={environment}"));
        arguments.extend(repo.map(|repo| format!("--repo={}", repo.number())));
        arguments.extend(words);
        let name = name.map(|name| format!("-{name}")).unwrap_or_default();
        let task = Task {
            name: format!("backup-{environment}-{command}{name}"),
            root: Root::Host,
            command: arguments,
            // Local time would stand in labels of sets.
            env: BTreeMap::from([("TZ".to_owned(), "UTC".to_owned()), ("LC_ALL".to_owned(), "C.UTF-8".to_owned())]),
            files: self.site.files()?,
            mounts,
            user: self.site.user,
            // A repository may be an S3 store.
            network: springtide_driver::Network::Machine,
            deadline_s: seconds,
        };
        let outcome = self.run(&task, watch, log.as_mut()).await?;
        let bytes = fs::metadata(&outcome.log).map_err(io_error("read", &outcome.log))?.len();
        if bytes > ANSWER_BYTES {
            return Err(EngineError::Answer { command, words: format!("it has {bytes} bytes") });
        }
        let output = fs::read(&outcome.log).map_err(io_error("read", &outcome.log))?;
        let output = String::from_utf8_lossy(&output).into_owned();
        // The exit code alone would not do: some errors end with 0.
        if outcome.code == Some(0) && first_error(&output).is_none() {
            return Ok(output);
        }
        let repo = repo.or_else(|| self.site.repo_in(&output)).unwrap_or(RepoKey::Near);
        let error = classify(command, repo, outcome.code, &self.site.mask(&output), &outcome.log);
        // Of a write that failed in a process of its own it does not tell why.
        let unwritten = matches!(&error, EngineError::Failed { words, .. } if words.contains("unable to write"));
        match self.site.folders.get(&repo).filter(|folder| unwritten && is_full(folder)) {
            Some(folder) => Err(EngineError::Full(format!("{}; {error}", folder.display()))),
            None => Err(error),
        }
    }

    /// Runs a task and tells how far it is meanwhile. Another task of its name is waited for.
    async fn run(
        &self,
        task: &Task,
        watch: Option<Watch<'_>>,
        mut log: Option<&mut LogTail>,
    ) -> Result<TaskOutcome, EngineError> {
        let since = Instant::now();
        loop {
            let running = self.driver.run_task(task, self.generation);
            tokio::pin!(running);
            let ended = loop {
                tokio::select! {
                    ended = &mut running => break ended,
                    () = tokio::time::sleep(LOOK_EVERY) => {
                        if let (Some(watch), Some(log)) = (watch, log.as_deref_mut()) {
                            watch(log.look());
                        }
                    }
                }
            };
            match ended {
                Err(DriverError::Supervisor(words)) if words.contains("runs already") => {
                    if since.elapsed() > PATIENCE {
                        return Err(EngineError::Busy(words));
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(DriverError::Missing { what, hint }) => {
                    return Err(EngineError::Program(format!("{what} is missing: {hint}")));
                }
                Err(DriverError::Supervisor(words)) if words.contains("program pgbackrest") => {
                    return Err(EngineError::Program(words));
                }
                Err(error) => return Err(error.into()),
                Ok(outcome) => {
                    if let (Some(watch), Some(log)) = (watch, log) {
                        watch(log.look());
                    }
                    return Ok(outcome);
                }
            }
        }
    }

    /// The program's version, refused if it is too old.
    pub(super) async fn program_version(&self) -> Result<Version, EngineError> {
        let task = Task {
            name: format!("backup-{}-version", self.site.conf.environment),
            root: Root::Host,
            command: vec!["pgbackrest".into(), "version".into()],
            env: BTreeMap::new(),
            files: Vec::new(),
            mounts: Vec::new(),
            user: self.site.user,
            // A repository may be an S3 store.
            network: springtide_driver::Network::Machine,
            deadline_s: 60,
        };
        let outcome = self.run(&task, None, None).await?;
        let version = read_version(&outcome.tail).ok_or_else(|| {
            EngineError::Program(format!("it tells no version: {}", super::error::shorten(outcome.tail.trim())))
        })?;
        if version < Version::OLDEST {
            let Version { major, minor } = version;
            return Err(EngineError::Program(format!(
                "it is {major}.{minor}, and 2.45 is the oldest that is known to do"
            )));
        }
        Ok(version)
    }

    /// An empty log of a command, so that only its own lines are followed.
    pub(super) fn fresh_log(&self, work: &std::path::Path, command: &str) -> PathBuf {
        let path = work.join("log").join(format!("{}-{command}.log", self.site.conf.environment));
        // Absent is what is wanted; a log that cannot be removed only spoils the progress that is told.
        let _ = fs::remove_file(&path);
        path
    }
}

/// Whether there is no room for another file of usual size.
fn is_full(folder: &std::path::Path) -> bool {
    let stat = nix::sys::statvfs::statvfs(folder);
    stat.is_ok_and(|stat| stat.blocks_available().saturating_mul(stat.fragment_size()) < FULL_BYTES)
}

/// Reads `pgBackRest 2.45`, with whatever follows.
fn read_version(said: &str) -> Option<Version> {
    let words = said.lines().find_map(|line| line.trim().strip_prefix("pgBackRest "))?;
    let mut numbers = words.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    Some(Version { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let version = |major, minor| Some(Version { major, minor });
        assert_eq!(read_version("pgBackRest 2.45\n"), version(2, 45));
        assert_eq!(read_version("pgBackRest 2.59.1\n"), version(2, 59));
        assert_eq!(read_version("pgBackRest 2.60dev\n"), version(2, 60));
        assert_eq!(read_version("command not found"), None);
        let known = |minor| Version { major: 2, minor };
        assert!(!known(45).block_incremental() && known(46).block_incremental());
        assert!(!known(53).repository_as_of() && known(54).repository_as_of());
    }
}

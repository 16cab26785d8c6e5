//! Two locks of the kernel's, given back by it when their holder dies, however it dies.
//!
//! `server.lock`: one server on a state folder, for as long as it runs; `server.json` beside it says where it
//! listens. `operation.lock`: one controller acts at a time, a command for as long as it lasts, a server
//! only while operations of it run; so commands act beside a server that has nothing to do.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Who holds a lock, as it wrote itself down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: i32,
    /// Since when, seconds since 1970.
    pub since: i64,
    /// The verb it was called with.
    pub verb: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            0 => f.write_str("it does not say who"),
            pid => write!(f, "springtide {}, pid {pid}, since {}", self.verb, self.since),
        }
    }
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("{0}")]
    Held(Holder),
    /// Its file cannot be used.
    #[error("cannot use the lock {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The right of one controller to act, until dropped.
#[derive(Debug)]
pub struct ActLock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

/// The file of the operation lock.
pub fn act_path(state: &Path) -> PathBuf {
    state.join("operation.lock")
}

impl ActLock {
    /// Takes it, if nobody holds it.
    pub fn take(state: &Path, verb: &str, now: i64) -> Result<Self, LockError> {
        take(&act_path(state), verb, now).map(Self)
    }
}

/// Takes the lock in `path` and writes down who has it.
fn take(path: &Path, verb: &str, now: i64) -> Result<Flock<File>, LockError> {
    let io = |source| LockError::Io { path: path.to_owned(), source };
    // Whoever can open it can hold it.
    let file =
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut held) => {
            let line = format!("{} {now} {verb}", std::process::id());
            // The line is for people; the lock itself is the kernel's.
            held.set_len(0).and_then(|()| held.rewind()).and_then(|()| held.write_all(line.as_bytes())).map_err(io)?;
            Ok(held)
        }
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(LockError::Held(holder(path))),
        Err((_, errno)) => Err(io(errno.into())),
    }
}

/// Who holds the lock in `path`, as its holder wrote it down.
pub fn holder(path: &Path) -> Holder {
    // It writes its name down just after it got the lock.
    for _ in 0..10 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let [pid, since, verb] = text.split_whitespace().collect::<Vec<_>>().as_slice()
            && let (Ok(pid), Ok(since)) = (pid.parse(), since.parse())
        {
            return Holder { pid, since, verb: (*verb).to_owned() };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Holder { pid: 0, since: 0, verb: String::new() }
}

/// Whether somebody holds the lock in `path` now, told by the kernel's own list: trying the lock would
/// make somebody fail who tries it in the same moment.
pub fn held(path: &Path) -> Option<Holder> {
    let inode = std::fs::metadata(path).ok()?.ino().to_string();
    let pid = std::fs::read_to_string(path).ok()?.split_whitespace().next()?.to_owned();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK ADVISORY WRITE pid major:minor:inode 0 EOF`
    let held = locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(4) == Some(&pid.as_str()) && words.get(5).is_some_and(|it| it.rsplit(':').next() == Some(&inode))
    });
    held.then(|| holder(path))
}

/// A server as it wrote itself down in `server.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFile {
    /// Process id.
    pub pid: i32,
    /// Since when, seconds since 1970.
    pub since: i64,
    /// Address it listens on, such as `127.0.0.1:7979`.
    pub listen: String,
    /// Address at which it answers over TLS, for others than this machine, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Its version.
    pub version: String,
}

/// The right to be the server of a state folder, until dropped.
#[derive(Debug)]
pub struct ServerLock {
    _held: Flock<File>,
    state: PathBuf,
}

fn server_path(state: &Path) -> PathBuf {
    state.join("server.lock")
}

impl ServerLock {
    /// Takes it, if there is no server.
    pub fn take(state: &Path, now: i64) -> Result<Self, LockError> {
        let held = take(&server_path(state), "serve", now)?;
        Ok(Self { _held: held, state: state.to_owned() })
    }

    /// Writes down where the server listens.
    pub fn announce(&self, server: &ServerFile) -> std::io::Result<()> {
        let (path, new) = (self.state.join("server.json"), self.state.join("server.json.new"));
        let text = serde_json::to_vec(server)?;
        let _ = std::fs::remove_file(&new);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        std::fs::rename(&new, &path)
    }
}

impl Drop for ServerLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.state.join("server.json"));
    }
}

/// The server of a state folder, if one runs: what a dead one left behind does not count. One that has not
/// said yet where it listens has an empty address.
pub fn server(state: &Path) -> Option<ServerFile> {
    let holder = held(&server_path(state))?;
    let written = std::fs::read(state.join("server.json")).ok();
    let written: Option<ServerFile> = written.and_then(|text| serde_json::from_slice(&text).ok());
    let unsaid = || ServerFile {
        pid: holder.pid,
        since: holder.since,
        listen: String::new(),
        tls: None,
        version: String::new(),
    };
    Some(written.filter(|server| server.pid == holder.pid).unwrap_or_else(unsaid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let state = std::env::temp_dir().join(format!("springtide-locks-{}", std::process::id()));
        std::fs::create_dir_all(&state).unwrap();
        assert_eq!(server(&state), None);
        let first = ServerLock::take(&state, 100).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let there = Holder { pid: me, since: 100, verb: "serve".into() };
        assert!(matches!(ServerLock::take(&state, 200), Err(LockError::Held(holder)) if holder == there));
        assert_eq!(server(&state).unwrap().listen, "");
        let file = ServerFile { pid: me, since: 100, listen: "127.0.0.1:7979".into(), tls: None, version: "1".into() };
        first.announce(&file).unwrap();
        assert_eq!(server(&state), Some(file.clone()));
        drop(first);
        // What a server that was killed leaves is no server.
        std::fs::write(state.join("server.json"), serde_json::to_vec(&file).unwrap()).unwrap();
        assert_eq!(server(&state), None);
        let act = ActLock::take(&state, "apply", 5).unwrap();
        assert_eq!(held(&act_path(&state)).unwrap().verb, "apply");
        drop(act);
        assert_eq!(held(&act_path(&state)), None);
        std::fs::remove_dir_all(&state).unwrap();
    }
}

//! A proxy in the place of a Unix socket, such as an environment's Redis or PostgreSQL.
//!
//! The server's socket is moved aside, which a server does not notice, and the proxy listens in its
//! place with the same owner and permissions. Connections that were open before do not go through it.
//! A server that asks the kernel who its peer is (PostgreSQL's `peer`) is told of the rig's user, so logins
//! by identity fail while a socket is taken over, also without trouble.
//!
//! The proxy's socket has a second name, a hard link that ends in `.rig`: so whoever undoes, also after the rig's
//! death, knows whether what stands in the place is still the proxy's. A server that started anew meanwhile has put
//! a socket of its own there, and that one stays: what lies aside is then nobody's.
//!
//! Rule: undoing is one rename over the proxy's socket and over nothing else, so at no time is the place empty for
//! long, and doing it twice does no harm: it is done only if something lies aside.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;

use super::proxy::{End, Listener, Proxy, Trouble};
use super::{Active, FaultError, FaultId, Journal, Undo};

/// A socket whose place a proxy has taken.
#[derive(Debug)]
pub struct Takeover {
    proxy: Proxy,
    active: Active,
    path: PathBuf,
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Where the server's socket lies meanwhile.
fn aside(path: &Path) -> PathBuf {
    beside(path, ".aside")
}

/// The second name of the proxy's socket.
fn mark(path: &Path) -> PathBuf {
    beside(path, ".rig")
}

/// Which file of which file system this is.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|seen| (seen.dev(), seen.ino()))
}

/// Puts a proxy in the place of the socket at `path`, until the time is over. Call within a tokio runtime.
///
/// # Errors
/// There is no socket, it is taken over already, or no right to rename beside it. It is in its place then.
pub fn take(journal: &Journal, fault: FaultId, path: &Path, duration: Duration) -> Result<Takeover, FaultError> {
    let refuse = |why: String| FaultError::place(format!("take the place of the socket {}", path.display()), why);
    let path = std::path::absolute(path).map_err(|why| refuse(why.to_string()))?;
    let seen = fs::symlink_metadata(&path).map_err(|why| refuse(why.to_string()))?;
    if !seen.file_type().is_socket() {
        return Err(refuse("it is no socket".into()));
    }
    let aside = aside(&path);
    if fs::symlink_metadata(&aside).is_ok() {
        return Err(refuse("it is taken over already; springtide rig undo puts it back".into()));
    }
    let undo = Undo::Socket { path: path.clone(), aside: aside.clone() };
    // From here on every way out that is an error drops `active`, which puts the socket back.
    let active = journal.begin(fault, undo, duration)?;
    // Under its second name first, so that nobody is let in before owner and permissions are right.
    let mark = mark(&path);
    let _ = fs::remove_file(&mark);
    let listener = UnixListener::bind(&mark).map_err(|why| refuse(why.to_string()))?;
    std::os::unix::fs::chown(&mark, Some(seen.uid()), Some(seen.gid())).map_err(|why| refuse(why.to_string()))?;
    fs::set_permissions(&mark, seen.permissions()).map_err(|why| refuse(why.to_string()))?;
    fs::rename(&path, &aside).map_err(|why| refuse(why.to_string()))?;
    fs::hard_link(&mark, &path).map_err(|why| refuse(why.to_string()))?;
    let proxy = Proxy::serve(Listener::Unix(listener), None, End::Unix(aside));
    Ok(Takeover { proxy, active, path })
}

impl Takeover {
    /// Switches the trouble of what goes through.
    pub fn set(&self, trouble: Trouble) {
        self.proxy.set(trouble);
    }

    /// Connections that came through so far.
    pub fn connections(&self) -> u64 {
        self.proxy.connections()
    }

    /// Whether the proxy still has the place: a server that started anew has taken it back.
    pub fn stands(&self) -> bool {
        identity(&self.path).is_some_and(|there| identity(&mark(&self.path)) == Some(there))
    }

    /// Puts the socket back now and closes what went through the proxy.
    ///
    /// # Errors
    /// As [`Active::end`].
    pub fn end(self) -> Result<(), FaultError> {
        self.active.end()
    }

    /// Waits until the time is over and puts the socket back.
    ///
    /// # Errors
    /// As [`Active::end`].
    pub async fn last(self) -> Result<(), FaultError> {
        tokio::time::sleep(self.active.left()).await;
        self.end()
    }
}

/// Puts a socket back that lies aside, unless a server that started anew has one of its own in the place.
pub(super) fn put_back(path: &Path, aside: &Path) -> Result<(), FaultError> {
    let mark = mark(path);
    let there = identity(path);
    let done = match there {
        Some(_) if there != identity(&mark) => fs::remove_file(aside),
        _ => fs::rename(aside, path),
    };
    // The mark last: without it the proxy's socket would look like a server's.
    for done in [done, fs::remove_file(&mark)] {
        match done {
            Err(why) if why.kind() != ErrorKind::NotFound => {
                return Err(FaultError::undo(format!("put the socket {} back", path.display()), why));
            }
            _ => {}
        }
    }
    Ok(())
}

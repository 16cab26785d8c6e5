//! One at a time on an environment: whoever loads it gives the rig's users new passwords, and whoever was there
//! before could not go on.
//!
//! Rule: the lock is the kernel's and goes with its process, however that ends. The file only tells people whose it
//! is, and stays.

use std::fs::{DirBuilder, File};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use springtide_server::locks::holder;

use super::target::Subject;
use crate::context::{self, now};
use crate::failure::{Failure, NOTHING, code, trouble};

/// The right to load an environment, until dropped.
pub struct Alone(#[expect(dead_code, reason = "held, not read")] Flock<File>);

/// Takes the right to load an environment; `verb` is told to whoever comes second.
pub fn alone(subject: &Subject, verb: &str) -> Result<Alone, Failure> {
    let name = &subject.name;
    let folder = subject.estate.state.join("rehearsals");
    let path = folder.join(format!("{name}.lock"));
    let failed = |error: std::io::Error| {
        let (exit, id, next) = trouble(&error)
            .unwrap_or_else(|| (code::FAILED, "E0962", "mend that, or name another folder with --state".to_owned()));
        let message = format!("nothing can be kept in {}: {error}", folder.display());
        Failure::new(exit, id, message, NOTHING, next)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let options = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    match Flock::lock(options.map_err(failed)?, FlockArg::LockExclusiveNonblock) {
        Ok(mut held) => {
            let line = format!("{} {} {verb}", std::process::id(), now());
            let written = held.set_len(0).and_then(|()| held.rewind()).and_then(|()| held.write_all(line.as_bytes()));
            written.map_err(failed)?;
            Ok(Alone(held))
        }
        Err((_, Errno::EWOULDBLOCK)) => {
            let message = format!("somebody loads {name} already: {}", context::name(&holder(&path)));
            Err(Failure::new(code::CONFLICT, "E0979", message, NOTHING, "wait for it, or rehearse elsewhere"))
        }
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

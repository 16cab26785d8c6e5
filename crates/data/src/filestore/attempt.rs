//! One file's way: read once, hashed, encrypted, sent, and given its name only if the hash is its name.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use object_store::path::Path as ObjectPath;
use tokio::runtime::Handle;

use super::fan::Fan;
use super::key::{FilesKey, fill};
use super::lane::{Delivered, Lane};
use super::name::FileName;
use super::push::{Progress, Tell};
use super::scan::{Filestore, Found, Stamp};
use super::sha1::{BLOCK, Sha1};

/// A file and the mirrors that lack it.
pub(super) struct Job {
    pub found: Found,
    pub lanes: Vec<Arc<Lane>>,
    /// What the first round saw.
    pub before: Option<(FileName, Stamp)>,
}

/// What became of one reading.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It has its name and is on its way to every mirror that takes it.
    Sent { bytes: u64 },
    /// It does not have its name, twice the same, and is on its way to `wrong/`.
    Wrong { found: FileName, bytes: u64 },
    /// It does not have its name, yet.
    Differs { found: FileName, stamp: Stamp },
    /// It is not there any more.
    Gone,
    /// It cannot be read.
    Unread(String),
    /// No mirror takes it; they tell why.
    Undelivered,
}

pub(super) struct Pusher {
    handle: Handle,
    filestore: Filestore,
    key: FilesKey,
    tell: Option<Tell>,
    total: (u64, u64),
    done: (AtomicU64, AtomicU64),
}

impl Pusher {
    pub(super) fn new(handle: Handle, filestore: Filestore, key: FilesKey, jobs: &[Job], tell: Option<Tell>) -> Self {
        let bytes = jobs.iter().filter_map(|job| job.found.stamp).map(|stamp| stamp.bytes).sum();
        Self { handle, filestore, key, tell, total: (jobs.len() as u64, bytes), done: Default::default() }
    }

    /// The first reading, under its own name.
    pub(super) fn first(&self, job: Job, buffer: &mut Vec<u8>) -> (Job, Attempt) {
        let name = job.found.name;
        let what = Delivered { name, wrong: None };
        let attempt = self.read(&job, &name.object(), &name, what, buffer);
        if !matches!(attempt, Attempt::Differs { .. }) {
            self.progress(&job);
        }
        (job, attempt)
    }

    /// The second one. A file that did not change since the first is expected to be as wrong as before.
    pub(super) fn second(&self, job: Job, buffer: &mut Vec<u8>) -> (Job, Attempt) {
        let name = job.found.name;
        let stamp = self.filestore.file(&job.found).and_then(|file| file.metadata()).map(|meta| Stamp::of(&meta));
        let attempt = match (job.before, stamp) {
            (Some((found, before)), Ok(stamp)) if stamp == before => {
                let what = Delivered { name, wrong: Some(stamp) };
                match self.read(&job, &name.wrong_object(&found), &found, what, buffer) {
                    Attempt::Sent { bytes } => Attempt::Wrong { found, bytes },
                    other => other,
                }
            }
            _ => self.read(&job, &name.object(), &name, Delivered { name, wrong: None }, buffer),
        };
        self.progress(&job);
        (job, attempt)
    }

    fn read(
        &self,
        job: &Job,
        object: &ObjectPath,
        expected: &FileName,
        mut what: Delivered,
        buffer: &mut Vec<u8>,
    ) -> Attempt {
        let lanes: Vec<Arc<Lane>> = job.lanes.iter().filter(|lane| lane.takes()).cloned().collect();
        if lanes.is_empty() {
            return Attempt::Undelivered;
        }
        let mut file = match self.filestore.file(&job.found) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Attempt::Gone,
            Err(error) => return Attempt::Unread(error.to_string()),
        };
        let stamp = match file.metadata() {
            Ok(meta) => Stamp::of(&meta),
            Err(error) => return Attempt::Unread(error.to_string()),
        };
        if what.wrong.is_some() {
            what.wrong = Some(stamp);
        }
        buffer.resize(BLOCK, 0);
        let mut fan = Fan::new(&self.handle, object.clone(), &lanes);
        let (mut sha1, mut bytes) = (Sha1::new(), 0_u64);
        let streamed = (|| -> Result<(), Trouble> {
            let mut seal = self.key.seal(&mut fan).map_err(|_| Trouble::Mirrors)?;
            loop {
                let read = fill(&mut file, buffer).map_err(Trouble::File)?;
                sha1.update(&buffer[..read]);
                seal.write_all(&buffer[..read]).map_err(|_| Trouble::Mirrors)?;
                bytes += read as u64;
                if read < buffer.len() {
                    break;
                }
            }
            seal.finish().map(drop).map_err(|_| Trouble::Mirrors)
        })();
        let found = sha1.finish();
        match streamed {
            Ok(()) if found == *expected => {
                fan.complete(&what);
                Attempt::Sent { bytes }
            }
            Ok(()) => {
                fan.abandon(&what);
                Attempt::Differs { found, stamp }
            }
            Err(Trouble::Mirrors) => {
                fan.abandon(&what);
                Attempt::Undelivered
            }
            Err(Trouble::File(error)) => {
                fan.abandon(&what);
                Attempt::Unread(error.to_string())
            }
        }
    }

    fn progress(&self, job: &Job) {
        let size = job.found.stamp.map_or(0, |stamp| stamp.bytes);
        let files = self.done.0.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.done.1.fetch_add(size, Ordering::Relaxed) + size;
        if let Some(tell) = &self.tell {
            tell(Progress { files, bytes, files_total: self.total.0, bytes_total: self.total.1 });
        }
    }
}

enum Trouble {
    File(io::Error),
    Mirrors,
}

//! One mirror: a store, the key, and a folder of its own on this machine.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use nix::fcntl::{Flock, FlockArg};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};

use crate::hash;
use crate::objects::ObjectsError;

use super::error::{FilesError, local_error};
use super::key::FilesKey;
use super::name::{FILES, FileName};

/// What a mirror may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes a second that are sent at most; no limit if none.
    pub bytes_per_second: Option<NonZeroU32>,
    /// Requests at once. Each holds up to 8 MiB.
    pub in_flight: usize,
    /// Threads that read, hash and encrypt.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self { bytes_per_second: None, in_flight: 8, threads }
    }
}

/// A copy-only mirror of filestores in one place. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirror(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub name: String,
    pub store: Arc<dyn ObjectStore>,
    pub key: FilesKey,
    pub local: PathBuf,
    pub limits: Limits,
    pace: Option<(DefaultDirectRateLimiter, NonZeroU32)>,
}

/// What says in the place which mirror it is.
#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    version: u32,
    /// Random; another place has another.
    id: String,
    /// Of the key that objects are encrypted for.
    key: String,
}

/// Held while somebody writes to the mirror.
pub(super) struct Held {
    _lock: Flock<File>,
}

impl Mirror {
    /// A mirror in `store`, whose names begin at the place's root. `name` is for people (`near`, `far`); `local` is a
    /// folder of this mirror alone, made when it is needed. It holds the index, which may be thrown away, and since
    /// when objects are missing from Odoo, which may be thrown away as well: nothing is then removed for longer.
    ///
    /// Nothing is asked of the store here.
    pub fn new(
        name: impl Into<String>,
        store: Arc<dyn ObjectStore>,
        key: FilesKey,
        local: PathBuf,
        limits: Limits,
    ) -> Self {
        // A quarter of a second's bytes at once, so that a line is shared evenly.
        let pace = limits.bytes_per_second.map(|rate| {
            let burst = NonZeroU32::new(rate.get() / 4).unwrap_or(NonZeroU32::MIN);
            (RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)), burst)
        });
        Self(Arc::new(Inner { name: name.into(), store, key, local, limits, pace }))
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn failed(&self, action: &str, error: &object_store::Error) -> FilesError {
        ObjectsError::of_store(action, &self.0.name, error).into()
    }

    /// Waits until `bytes` more may be sent.
    pub(super) async fn pace(&self, bytes: usize) {
        let Some((limiter, burst)) = &self.0.pace else { return };
        let mut left = u32::try_from(bytes).unwrap_or(u32::MAX);
        while let Some(piece) = NonZeroU32::new(left.min(burst.get())) {
            // It refuses only what is more than the burst.
            if limiter.until_n_ready(piece).await.is_err() {
                return;
            }
            left -= piece.get();
        }
    }

    /// Nobody else pushes to or removes from this mirror until it is dropped, however the process ends.
    pub(super) fn hold(&self) -> Result<Held, FilesError> {
        let local = &self.0.local;
        DirBuilder::new().recursive(true).mode(0o700).create(local).map_err(local_error("create", local))?;
        let path = local.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(local_error("open", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Held { _lock: lock }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(FilesError::Busy { place: self.0.name.clone() }),
            Err((_, error)) => Err(local_error("lock", &path)(error.into())),
        }
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.0.local.join("index")
    }

    pub(super) fn missing_path(&self) -> PathBuf {
        self.0.local.join("missing.json")
    }

    /// Which mirror lies in the place. None if nothing was pushed yet.
    async fn identity(&self) -> Result<Option<Identity>, FilesError> {
        let object = identity_object();
        let bytes = match self.0.store.get(&object).await {
            Ok(found) => found.bytes().await.map_err(|error| self.failed("read the mirror's identity", &error))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read the mirror's identity", &error)),
        };
        let garbled = || FilesError::Garbled { object: object.to_string(), place: self.0.name.clone() };
        let identity: Identity = serde_json::from_slice(&bytes).map_err(|_| garbled())?;
        let plain = identity.id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if identity.version != 1 || identity.id.is_empty() || identity.id.len() > 64 || !plain {
            return Err(garbled());
        }
        if identity.key != self.0.key.fingerprint() {
            return Err(FilesError::OtherKey { place: self.0.name.clone() });
        }
        Ok(Some(identity))
    }

    /// The mirror's id, given to it with its first push. A key that is not the mirror's is refused before anything
    /// is sent: half of the objects for one key and half for another would be no mirror.
    pub(super) async fn identify(&self) -> Result<String, FilesError> {
        let action = "write the mirror's identity";
        if let Some(found) = self.identity().await? {
            return Ok(found.id);
        }
        let id = hash::uuid().map_err(|error| local_error("make an id in", &self.0.local)(io::Error::other(error)))?;
        let identity = Identity {
            version: 1,
            id: secrecy::ExposeSecret::expose_secret(&id).to_owned(),
            key: self.0.key.fingerprint(),
        };
        let text =
            serde_json::to_vec(&identity).map_err(|error| local_error("make an id in", &self.0.local)(error.into()))?;
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from(text);
        match self.0.store.put_opts(&identity_object(), payload.clone(), create).await {
            Ok(_) => {}
            // Somebody else was quicker, or an attempt that seemed to fail had not.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                let put = self.0.store.put(&identity_object(), payload).await;
                put.map_err(|error| self.failed(action, &error))?;
            }
            Err(error) => return Err(self.failed(action, &error)),
        }
        let garbled = || FilesError::Garbled { object: identity_object().to_string(), place: self.0.name.clone() };
        self.identity().await?.map(|found| found.id).ok_or_else(garbled)
    }

    /// The mirror's id without writing; an empty place has none. Refuses another key.
    pub(super) async fn known_id(&self) -> Result<Option<String>, FilesError> {
        Ok(self.identity().await?.map(|found| found.id))
    }

    /// All objects that the store has now, with their sizes. What has no name of ours is passed over.
    pub(super) async fn list(&self) -> Result<BTreeMap<FileName, u64>, FilesError> {
        let mut found = BTreeMap::new();
        let mut listing = self.0.store.list(Some(&ObjectPath::from(FILES)));
        while let Some(meta) = listing.try_next().await.map_err(|error| self.failed("list the files", &error))? {
            if let Some(name) = FileName::of_object(&meta.location) {
                found.insert(name, meta.size);
            }
        }
        Ok(found)
    }
}

fn identity_object() -> ObjectPath {
    ObjectPath::from_iter([FILES, "mirror.json"])
}

/// Seconds since 1970 by this machine's clock.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Runs `work` beside the runtime's own threads.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FilesError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| FilesError::Panicked)
}

/// Does `work` with every item on so many threads; the answers come in any order.
pub(super) fn on_threads<I: Send, T: Send>(
    threads: usize,
    items: Vec<I>,
    work: impl Fn(I, &mut Vec<u8>) -> T + Sync,
) -> Result<Vec<T>, FilesError> {
    let threads = threads.clamp(1, items.len().max(1));
    let queue = std::sync::Mutex::new(items.into_iter());
    let worker = || {
        let (mut done, mut buffer) = (Vec::new(), Vec::new());
        loop {
            let next = queue.lock().map_or(None, |mut items| items.next());
            match next {
                Some(item) => done.push(work(item, &mut buffer)),
                None => return done,
            }
        }
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for thread in running {
            all.extend(thread.join().map_err(|_| FilesError::Panicked)?);
        }
        Ok(all)
    })
}

//! Stores to test against, and one that fails on command.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tempfile::TempDir;

/// A store, and what must live as long.
#[derive(Clone)]
pub struct Store {
    pub store: Arc<dyn ObjectStore>,
    /// Of the store in a folder.
    pub folder: Option<PathBuf>,
    _keep: Arc<Option<TempDir>>,
}

impl Store {
    pub fn memory() -> Self {
        Self::of(Arc::new(InMemory::new()))
    }

    pub fn of(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, folder: None, _keep: Arc::new(None) }
    }

    pub fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let store = LocalFileSystem::new_with_prefix(&path).unwrap().with_fsync(true);
        Self { store: Arc::new(store), folder: Some(path), _keep: Arc::new(Some(folder)) }
    }

    /// Every kind that the contract is tried against.
    pub fn all() -> Vec<(&'static str, Self)> {
        vec![("memory", Self::memory()), ("folder", Self::folder())]
    }

    pub async fn bytes(&self, object: &Path) -> Vec<u8> {
        self.store.get(object).await.unwrap().bytes().await.unwrap().to_vec()
    }

    pub async fn put(&self, object: &Path, bytes: Vec<u8>) {
        self.store.put(object, bytes.into()).await.unwrap();
    }

    pub async fn has(&self, object: &Path) -> bool {
        self.store.head(object).await.is_ok()
    }
}

/// A store that counts, and that fails after so many writes.
#[derive(Debug)]
pub struct Failing {
    inner: Arc<dyn ObjectStore>,
    /// Writes that still succeed; none fails if negative.
    pub writes_left: AtomicI64,
    pub writes: AtomicU64,
    pub reads: AtomicU64,
    pub lists: AtomicU64,
    pub deletes: AtomicU64,
    /// Reads fail while it is not zero.
    pub blind: AtomicU64,
    /// Reads that still succeed; none fails if negative.
    pub reads_left: AtomicI64,
}

impl Failing {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            writes_left: AtomicI64::new(-1),
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            lists: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            blind: AtomicU64::new(0),
            reads_left: AtomicI64::new(-1),
        })
    }

    fn write(&self) -> Result<()> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let left = self.writes_left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(broken());
        }
        if left > 0 {
            self.writes_left.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn broken() -> object_store::Error {
    let source = Box::new(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "planted: connection refused"));
    object_store::Error::Generic { store: "failing", source }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.write()?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.write()?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let left = self.reads_left.load(Ordering::SeqCst);
        if self.blind.load(Ordering::SeqCst) > 0 || left == 0 {
            return Err(broken());
        }
        if left > 0 {
            self.reads_left.fetch_sub(1, Ordering::SeqCst);
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.deletes.fetch_add(1, Ordering::SeqCst);
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

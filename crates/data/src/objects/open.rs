//! Opens a place as an `object_store::ObjectStore`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _, path};
use secrecy::ExposeSecret as _;

use super::http::{Connector, client};
use super::place::below as parse_below;
use super::{ObjectsError, Patience, Place, S3Place};
use crate::folders::sync_folder;

/// Opens `place`, all names beginning with `below` (`files`, `records`, …; may be empty or have slashes).
///
/// Nothing is asked of an S3 store here: whether it is there shows with the first call. Every object is written
/// whole or not at all, and is on disk when the call returns.
///
/// # Errors
/// [`ObjectsError::Place`] for words that cannot be used, [`ObjectsError::Folder`] if the folder is not there,
/// [`ObjectsError::Client`] if the authority is not PEM.
pub fn open(place: &Place, below: &str) -> Result<Arc<dyn ObjectStore>, ObjectsError> {
    open_with(place, below, &Patience::default())
}

/// As [`open`], with another patience; a folder has none.
///
/// # Errors
/// As [`open`].
pub fn open_with(place: &Place, below: &str, patience: &Patience) -> Result<Arc<dyn ObjectStore>, ObjectsError> {
    place.check()?;
    let below = parse_below(below)?;
    match place {
        Place::Folder(folder) => open_folder(folder, &below),
        Place::S3(place) => open_s3(place, &below, patience),
    }
}

/// Writes one small object whole, over an older one of its name.
///
/// # Errors
/// As [`open`], and whatever the store says.
pub async fn write(place: &Place, below: &str, name: &str, bytes: Vec<u8>) -> Result<(), ObjectsError> {
    let store = open(place, below)?;
    let put = store.put(&path::Path::from(name), object_store::PutPayload::from(bytes)).await;
    put.map(drop).map_err(|error| ObjectsError::of_store(format!("write {name}"), place, &error))
}

fn open_folder(folder: &Path, below: &path::Path) -> Result<Arc<dyn ObjectStore>, ObjectsError> {
    let root = make_below(folder, below)?;
    let store = LocalFileSystem::new_with_prefix(&root)
        .map_err(|error| failed("open", &root)(io::Error::other(error.to_string())))?;
    Ok(Arc::new(store.with_fsync(true)))
}

/// Makes what is missing below the place's folder, each level for its owner only. The place's folder itself is
/// never made, and a link below it is not followed: it could lead anywhere.
fn make_below(folder: &Path, below: &path::Path) -> Result<PathBuf, ObjectsError> {
    let mut at = folder.to_owned();
    if !fs::metadata(&at).map_err(failed("open", &at))?.is_dir() {
        return Err(failed("open", &at)(io::ErrorKind::NotADirectory.into()));
    }
    for part in below.parts() {
        let parent = at.clone();
        at.push(part.as_ref());
        match DirBuilder::new().mode(0o700).create(&at) {
            Ok(()) => sync_folder(&parent).map_err(failed("sync", &parent))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create", &at)(error)),
        }
        if !fs::symlink_metadata(&at).map_err(failed("open", &at))?.is_dir() {
            return Err(failed("open", &at)(io::ErrorKind::NotADirectory.into()));
        }
    }
    Ok(at)
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ObjectsError {
    let path = path.to_owned();
    move |source| ObjectsError::Folder { verb, path, source }
}

fn open_s3(place: &S3Place, below: &path::Path, patience: &Patience) -> Result<Arc<dyn ObjectStore>, ObjectsError> {
    let S3Place { endpoint: _, region, bucket, prefix, authority_pem: _, keys } = place;
    let url = place.url()?;
    let store = AmazonS3Builder::new()
        .with_http_connector(Connector(client(place, patience)?))
        .with_allow_http(url.scheme() == "http")
        .with_endpoint(url.as_str().trim_end_matches('/'))
        .with_region(region)
        .with_bucket_name(bucket)
        .with_access_key_id(&keys.access)
        .with_secret_access_key(keys.secret.expose_secret())
        // A bucket with Object Lock takes no object without a checksum.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(patience.retry())
        .build()
        .map_err(|error| ObjectsError::Client {
            place: place.to_string(),
            why: super::error::printable(&error.to_string()),
        })?;
    let prefix: path::Path = parse_below(prefix)?.parts().chain(below.parts()).collect();
    Ok(if prefix.as_ref().is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
}

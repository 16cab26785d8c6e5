//! Restoring: exactly the files that the rows of a restored database name, into a folder of their own.
//!
//! Every file is proven by its SHA-1 while it is written beside its name, and gets its name after that. What is there
//! and right is left, so a restore that was cut off goes on. An object that the near mirror lacks or has damaged comes
//! from the far one, and is told. Odoo must not run on the folder yet.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use springtide_core::workload::UserSpec;
use tokio::runtime::Handle;

use crate::folders::{sync_file_system, sync_folder};

use super::check::{Row, rows_by_file};
use super::error::{FilesError, into_error};
use super::fetch::{Damage, NotFetched};
use super::mirror::{Mirror, apart, on_threads};
use super::name::FileName;
use super::sha1::sha1_of_all;

/// Modes of a filestore that several users of one group share, as a template's copy gives them.
const FOLDER_MODE: u32 = 0o2770;
const FILE_MODE: u32 = 0o660;

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// Files that are there and right now.
    pub files: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Files that were there and right before.
    pub kept: u64,
    /// Files that came from the far mirror, with what was wrong with the near one.
    pub from_far: Vec<(FileName, String)>,
    /// Files that no mirror could give, with why.
    pub lost: Vec<(FileName, String)>,
    /// Rows that name no file of a filestore, made printable, with why. They are not restored.
    pub refused: Vec<(String, &'static str)>,
    /// How long it took, sync included.
    pub took: Duration,
}

impl Restored {
    /// Whether every row has its file.
    pub fn whole(&self) -> bool {
        self.lost.is_empty() && self.refused.is_empty()
    }
}

struct Wanted {
    name: FileName,
    /// Folders that rows name it in; one, but for names of Odoo before 8.0.
    folders: Vec<String>,
    size: Option<u64>,
}

enum Outcome {
    Kept,
    Written {
        bytes: u64,
        near: Option<String>,
    },
    Lost(String),
    /// Something else failed first.
    NotTried,
}

/// Restores what `rows` name into the folder `into`, from `near`, and from `far` what `near` cannot give. Files and
/// folders belong to `owner`.
///
/// # Errors
/// [`FilesError::Into`] if the folder cannot be written (the files that are in it are whole, and the restore can go
/// on); lost files are told in [`Restored::lost`].
pub async fn restore(
    rows: impl IntoIterator<Item = Row>,
    into: &Path,
    owner: UserSpec,
    near: &Mirror,
    far: Option<&Mirror>,
) -> Result<Restored, FilesError> {
    let started = Instant::now();
    let (files, refused) = rows_by_file(rows);
    let handle = Handle::current();
    let (into, near, far) = (into.to_owned(), near.clone(), far.cloned());
    let mut restored = apart(move || restore_all(files, &into, owner, &near, far.as_ref(), &handle)).await??;
    restored.refused = refused;
    restored.took = started.elapsed();
    Ok(restored)
}

fn restore_all(
    files: BTreeMap<FileName, (Vec<String>, Option<u64>)>,
    into: &Path,
    owner: UserSpec,
    near: &Mirror,
    far: Option<&Mirror>,
    handle: &Handle,
) -> Result<Restored, FilesError> {
    let parent = into.parent().unwrap_or(Path::new("/"));
    folder(into, owner)?;
    sync_folder(parent).map_err(into_error("sync", parent))?;
    let mut made = std::collections::BTreeSet::new();
    let mut wanted = Vec::new();
    for (name, (folders, size)) in files {
        for label in &folders {
            if made.insert(label.clone()) {
                folder(&into.join(label), owner)?;
            }
        }
        wanted.push(Wanted { name, folders, size });
    }
    let stopped = AtomicBool::new(false);
    let threads = near.0.limits.threads.max(near.0.limits.in_flight);
    let results = on_threads(threads, wanted, |one, buffer| {
        if stopped.load(Ordering::Relaxed) {
            return Ok((one.name, Outcome::NotTried));
        }
        let outcome = one_file(&one, into, owner, near, far, handle, buffer);
        if outcome.is_err() {
            stopped.store(true, Ordering::Relaxed);
        }
        outcome.map(|outcome| (one.name, outcome))
    })?;
    let mut restored = Restored {
        files: 0,
        bytes: 0,
        kept: 0,
        from_far: Vec::new(),
        lost: Vec::new(),
        refused: Vec::new(),
        took: Duration::ZERO,
    };
    for result in results {
        match result? {
            (_, Outcome::Kept) => restored.kept += 1,
            (name, Outcome::Written { bytes, near }) => {
                restored.bytes += bytes;
                restored.files += 1;
                restored.from_far.extend(near.map(|why| (name, why)));
            }
            (name, Outcome::Lost(why)) => restored.lost.push((name, why)),
            (_, Outcome::NotTried) => {}
        }
    }
    restored.files += restored.kept;
    restored.from_far.sort();
    restored.lost.sort();
    sync_file_system(into).map_err(into_error("sync", into))?;
    Ok(restored)
}

fn one_file(
    wanted: &Wanted,
    into: &Path,
    owner: UserSpec,
    near: &Mirror,
    far: Option<&Mirror>,
    handle: &Handle,
    buffer: &mut Vec<u8>,
) -> Result<Outcome, FilesError> {
    let hex = wanted.name.to_string();
    let paths: Vec<PathBuf> = wanted.folders.iter().map(|label| into.join(label).join(&hex)).collect();
    let mut lacking = Vec::new();
    for path in &paths {
        match is_right(path, wanted, buffer).map_err(into_error("read", path))? {
            true => {
                File::open(path).and_then(|file| own(&file, owner)).map_err(into_error("change the owner of", path))?
            }
            false => lacking.push(path),
        }
    }
    if lacking.is_empty() {
        return Ok(Outcome::Kept);
    }
    let (mut bytes, mut why_near) = (0, None);
    for path in lacking {
        let beside = path.with_extension("restoring");
        let got = match fetch_to(near, wanted, &beside, owner, handle, buffer)? {
            Ok(got) => got,
            Err(first) => match far.map(|far| fetch_to(far, wanted, &beside, owner, handle, buffer)).transpose()? {
                Some(Ok(got)) => {
                    why_near = Some(first);
                    got
                }
                Some(Err(second)) => return Ok(Outcome::Lost(format!("{first}; {second}"))),
                None => return Ok(Outcome::Lost(first)),
            },
        };
        fs::rename(&beside, path).map_err(into_error("rename", &beside))?;
        bytes += got;
    }
    Ok(Outcome::Written { bytes, near: why_near })
}

/// Fetches into a new file. The outer error is this machine's, the inner one the mirror's.
fn fetch_to(
    mirror: &Mirror,
    wanted: &Wanted,
    beside: &Path,
    owner: UserSpec,
    handle: &Handle,
    buffer: &mut Vec<u8>,
) -> Result<Result<u64, String>, FilesError> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(into_error("remove", beside)(error)),
        _ => {}
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside);
    let mut file = made.map_err(into_error("create", beside))?;
    let got = mirror.fetch(handle, &wanted.name, &mut file, buffer);
    let tell = |why: String| format!("{}: {why}", mirror.name());
    let (result, keep) = match (got, wanted.size) {
        (Ok(found), Some(told)) if found != told => (Ok(Err(tell(Damage::Size { found, told }.to_string()))), false),
        (Ok(bytes), _) => {
            (own(&file, owner).map_err(into_error("change the owner of", beside)).map(|()| Ok(bytes)), true)
        }
        (Err(NotFetched::Damaged(damage)), _) => (Ok(Err(tell(damage.to_string()))), false),
        (Err(NotFetched::Store(error)), _) => (Ok(Err(tell(error.to_string()))), false),
        (Err(NotFetched::Out(error)), _) => (Err(into_error("write", beside)(error)), false),
    };
    if !keep {
        // On a full disk it would keep the disk full.
        let _ = fs::remove_file(beside);
    }
    result
}

/// Whether a plain file is there with the content that its name says.
fn is_right(path: &Path, wanted: &Wanted, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !meta.is_file() || wanted.size.is_some_and(|size| size != meta.len()) {
        return Ok(false);
    }
    let (found, _) = sha1_of_all(&mut File::open(path)?, buffer)?;
    Ok(found == wanted.name)
}

fn own(file: &File, owner: UserSpec) -> io::Result<()> {
    fchown(file, Some(owner.uid), Some(owner.gid))?;
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))
}

/// A folder that belongs to `owner`; a link in its place is refused.
fn folder(path: &Path, owner: UserSpec) -> Result<(), FilesError> {
    let set = || -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ if !path.symlink_metadata()?.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            _ => {}
        }
        chown(path, Some(owner.uid), Some(owner.gid))?;
        // After chown, which clears the set-group-id bit.
        fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE))
    };
    set().map_err(into_error("create", path))
}

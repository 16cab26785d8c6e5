//! Odoo's filestore on this machine, read without believing what lies in it.
//!
//! The folder belongs to Odoo's user, and we may be root: a link in it could lead anywhere. So every folder is opened
//! from its parent's descriptor and nothing is followed; what is no plain file under a SHA-1's name is told and left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, ReadDir};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::error::{FilesError, source_error};
use super::marker;
use super::name::{FileName, printable};

/// Odoo's list of files that may have become garbage.
pub(super) const CHECKLIST: &str = "checklist";
/// What the add-on `springtide_runtime` took from the checklist for a collection that is under way.
pub(super) const DUE: &str = "springtide_due";
/// How many of the entries that were left are told by name.
const TOLD: usize = 100;

/// The filestore of one database: `<data_dir>/filestore/<database>`.
#[derive(Debug, Clone)]
pub struct Filestore {
    folder: PathBuf,
    root: Arc<OwnedFd>,
}

/// A file that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub name: FileName,
    /// Digits of its folder's name, 2 or 3.
    pub folder: usize,
    /// Size and times; none where nobody asked.
    pub stamp: Option<Stamp>,
}

/// What differs when a file was written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub bytes: u64,
    /// Nanoseconds since 1970, of content and of the file's entry.
    pub modified: i128,
    pub changed: i128,
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Self {
        let time = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            bytes: meta.len(),
            modified: time(meta.mtime(), meta.mtime_nsec()),
            changed: time(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What is in the folder and is not mirrored, with why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// All of them.
    pub count: u64,
    /// The first hundred: path below the folder, made printable, and why.
    pub told: Vec<(String, String)>,
}

impl Refusals {
    fn add(&mut self, path: &Path, why: impl ToString) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push((printable(&path.to_string_lossy()), why.to_string()));
        }
    }
}

/// All that a walk saw.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub files: BTreeMap<FileName, Found>,
    pub refused: Refusals,
    /// Names that Odoo's next collection looks at.
    pub checklist: BTreeSet<FileName>,
}

impl Filestore {
    /// Opens `<data_dir>/filestore/<database>`. Of the path only `data_dir` is trusted.
    ///
    /// # Errors
    /// [`FilesError::Source`] if it is not there or a part of it is a link.
    pub fn open(data_dir: &Path, database: &str) -> Result<Self, FilesError> {
        let folder = data_dir.join("filestore").join(database);
        let plain = !database.is_empty() && !database.contains(['/', '\0']) && database != "." && database != "..";
        if !plain {
            return Err(source_error("open", &folder)(io::ErrorKind::InvalidInput.into()));
        }
        let trusted = File::open(data_dir).map_err(source_error("open", data_dir))?;
        let store = folder_in(&trusted, "filestore").map_err(source_error("open", &data_dir.join("filestore")))?;
        let root = folder_in(&store, database).map_err(source_error("open", &folder))?;
        Ok(Self { folder, root: Arc::new(root) })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Opens a plain file for reading, without following or waiting.
    pub(super) fn file(&self, found: &Found) -> io::Result<File> {
        let name = found.name.to_string();
        let folder = folder_in(&*self.root, &name[..found.folder])?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&folder, name.as_str(), flags, Mode::empty())?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("not a plain file")),
        }
    }

    /// Walks the folder. `stat` says of which files size and times are wanted.
    ///
    /// # Errors
    /// [`FilesError::Source`] if the folder itself cannot be listed; whatever else cannot be read is refused and told.
    pub(super) fn scan(&self, stat: impl Fn(&FileName) -> bool) -> Result<Scan, FilesError> {
        let mut scan = Scan::default();
        let fail = source_error("list", &self.folder);
        let entries = list(&self.root).and_then(|all| all.collect::<io::Result<Vec<_>>>()).map_err(fail)?;
        for entry in entries {
            let file_name = entry.file_name();
            let (path, name) = (PathBuf::from(&file_name), file_name.to_string_lossy());
            match &*name {
                CHECKLIST | DUE => self.checklist(&name, &mut scan.checklist),
                marker::NAME | marker::WRITING => {}
                _ if !is_hex_folder(&name) => scan.refused.add(&path, "not a folder of Odoo's"),
                _ => match folder_in(&*self.root, &name) {
                    Ok(folder) => files_in(&folder, &name, &stat, &mut scan),
                    Err(error) => scan.refused.add(&path, no_folder(&error)),
                },
            }
        }
        Ok(scan)
    }

    /// Names in Odoo's checklist. What is no name is nobody's garbage, and Odoo finds nothing for it either.
    fn checklist(&self, name: &str, found: &mut BTreeSet<FileName>) {
        let Ok(checklist) = folder_in(&*self.root, name) else { return };
        for sub in list(&checklist).into_iter().flatten().flatten() {
            let sub = sub.file_name();
            let Some(sub) = sub.to_str().filter(|sub| is_hex_folder(sub)) else { continue };
            let Ok(folder) = folder_in(&checklist, sub) else { continue };
            for entry in list(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_str().and_then(|name| name.parse::<FileName>().ok());
                found.extend(name.filter(|name| name.may_lie_in(sub)));
            }
        }
    }
}

fn files_in(folder: &OwnedFd, label: &str, stat: &impl Fn(&FileName) -> bool, scan: &mut Scan) {
    let entries = match list(folder) {
        Ok(entries) => entries,
        Err(error) => return scan.refused.add(Path::new(label), error),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                scan.refused.add(Path::new(label), error);
                break;
            }
        };
        let file_name = entry.file_name();
        let path = Path::new(label).join(&file_name);
        let Some(name) = file_name.to_str().and_then(|name| name.parse::<FileName>().ok()) else {
            scan.refused.add(&path, "its name is not a SHA-1");
            continue;
        };
        if !name.may_lie_in(label) {
            scan.refused.add(&path, "it lies in another file's folder");
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_file() => {}
            Ok(kind) if kind.is_symlink() => {
                scan.refused.add(&path, "a link");
                continue;
            }
            Ok(_) => {
                scan.refused.add(&path, "neither file nor link");
                continue;
            }
            Err(error) => {
                scan.refused.add(&path, error);
                continue;
            }
        }
        // An entry does not follow links when it is asked about itself.
        let stamp = if stat(&name) { entry.metadata().ok().map(|meta| Stamp::of(&meta)) } else { None };
        scan.files.insert(name, Found { name, folder: label.len(), stamp });
    }
}

/// Opens a folder by its name in `parent`; a link is refused.
fn folder_in(parent: impl std::os::fd::AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(parent.as_fd(), name, flags, Mode::empty())?)
}

/// Lists an open folder. By its descriptor, so that nobody can put another in its place.
fn list(folder: &OwnedFd) -> io::Result<ReadDir> {
    fs::read_dir(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()))
}

fn is_hex_folder(name: &str) -> bool {
    matches!(name.len(), 2 | 3) && name.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

fn no_folder(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP | Errno::ENOTDIR) => "a link or a file where a folder belongs".to_owned(),
        _ => error.to_string(),
    }
}

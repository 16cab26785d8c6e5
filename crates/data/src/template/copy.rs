//! Copying a template into an environment's volumes: cloned blocks where the file system can share
//! them, otherwise the kernel's own copy on two threads.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_core::workload::{UserSpec, Volume};
use springtide_driver::Driver;

use super::server::empty;
use super::{TemplateError, folder, io_error};
use crate::folders::{remove_folder, sync_file_system, sync_folder};
use crate::postgres::{TEMPLATE_DATABASE, database_of};

/// How files are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyMethod {
    /// Clone if the file system can, copy otherwise.
    Auto,
    /// Clone or fail.
    Reflink,
    /// Copy.
    Copy,
}

/// What a copy did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Copied {
    /// Bytes of the files copied; 0 if everything was there.
    pub bytes: u64,
    /// Seconds it took, sync included.
    pub seconds: f64,
    /// How; never [`CopyMethod::Auto`].
    pub method: CopyMethod,
}

/// Threads that copy: enough to keep one waiting for the disk while the other reads.
const THREADS: usize = 2;
/// `FICLONE` of `linux/fs.h`: `_IOW(0x94, 9, int)`.
const FICLONE: nix::libc::c_ulong = 0x4004_9409;

/// Copies template `key` into the environment's volumes. A volume that is whole is left alone; a
/// volume gets its name only when all of it is on disk, the data directory last.
///
/// The data directory belongs to the slot's PostgreSQL user (0700). Odoo's data belongs to the web
/// user and the environment's group (2770/0660), because four users share it.
pub async fn copy(
    driver: &dyn Driver,
    key: &str,
    environment: &EnvironmentName,
    slot: Slot,
    method: CopyMethod,
) -> Result<Copied, TemplateError> {
    let template = folder(driver).join(key);
    let pgdata = driver.volume(Some(environment), Volume::PostgresData);
    let odoo = driver.volume(Some(environment), Volume::OdooData);
    let database = database_of(environment)?;
    let key = key.to_owned();
    let work = move || copy_all(&template, &key, &pgdata, &odoo, &database, slot, method);
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io_error("copy", Path::new("template"))(io::Error::other(error))),
    }
}

fn copy_all(
    template: &Path,
    key: &str,
    pgdata: &Path,
    odoo: &Path,
    database: &str,
    slot: Slot,
    method: CopyMethod,
) -> Result<Copied, TemplateError> {
    let started = Instant::now();
    if !empty(pgdata) {
        return Ok(Copied { bytes: 0, seconds: 0.0, method: CopyMethod::Copy });
    }
    if !template.join("manifest.json").is_file() {
        return Err(TemplateError::NoTemplate(key.to_owned()));
    }
    let parent = pgdata.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o711).create(parent).map_err(io_error("create", parent))?;
    let method = decide(template, parent, method)?;
    let mut bytes = 0;
    bytes += odoo_data(&template.join("filestore").join(TEMPLATE_DATABASE), odoo, database, slot, method)?;
    let rules = Rules { user: slot.user(Role::Postgres), folder: 0o700, file: 0o600 };
    bytes += whole(&template.join("pgdata"), pgdata, rules, method)?;
    Ok(Copied { bytes, seconds: started.elapsed().as_secs_f64(), method })
}

/// The filestore under its new name, unless it is there, and the folders that Odoo would otherwise
/// make for one user only. The volume itself may exist: other tasks may have been given it before.
fn odoo_data(
    filestore: &Path,
    odoo: &Path,
    database: &str,
    slot: Slot,
    method: CopyMethod,
) -> Result<u64, TemplateError> {
    let whole = odoo.join("filestore").join(database);
    if whole.is_dir() {
        return Ok(0);
    }
    let parent = odoo.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o711).create(parent).map_err(io_error("create", parent))?;
    let rules = Rules { user: slot.user(Role::Web), folder: 0o2770, file: 0o660 };
    for path in [odoo.to_owned(), odoo.join("filestore"), odoo.join("sessions"), odoo.join("addons")] {
        if !path.is_dir() {
            rules.folder(&path).map_err(io_error("create", &path))?;
        }
    }
    self::whole(filestore, &whole, rules, method)
}

/// Copies a tree beside its place and gives it its name when all of it is on disk. A copy that
/// failed goes at once: on a full disk it would keep the disk full.
fn whole(from: &Path, to: &Path, rules: Rules, method: CopyMethod) -> Result<u64, TemplateError> {
    let copying = beside(to);
    remove_folder(&copying).map_err(io_error("remove", &copying))?;
    let copied = tree(from, &copying, rules, method).and_then(|bytes| {
        finish(&copying, to)?;
        Ok(bytes)
    });
    if copied.is_err() {
        let _ = remove_folder(&copying);
    }
    copied
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".copying");
    path.with_file_name(name)
}

/// Makes `copying` durable and gives it its name; an empty folder of that name is replaced.
fn finish(copying: &Path, whole: &Path) -> Result<(), TemplateError> {
    sync_file_system(copying).map_err(io_error("sync", copying))?;
    fs::rename(copying, whole).map_err(io_error("rename", copying))?;
    let parent = whole.parent().unwrap_or(Path::new("/"));
    sync_folder(parent).map_err(io_error("sync", parent))
}

/// Whether files of `template` can be cloned into `target`, found by trying one.
fn decide(template: &Path, target: &Path, method: CopyMethod) -> Result<CopyMethod, TemplateError> {
    if method == CopyMethod::Copy {
        return Ok(method);
    }
    // One name for all: what a killed copy left is taken away by the next.
    let probe = target.join(".clone-probe");
    let _ = fs::remove_file(&probe);
    let can = clone(&template.join("manifest.json"), &probe, 0o600);
    let _ = fs::remove_file(&probe);
    match can {
        Ok(_) => Ok(CopyMethod::Reflink),
        Err(_) if method == CopyMethod::Auto => Ok(CopyMethod::Copy),
        Err(_) => Err(TemplateError::NoReflink(target.to_owned())),
    }
}

/// Owner and modes of what is made.
#[derive(Clone, Copy)]
struct Rules {
    user: UserSpec,
    folder: u32,
    file: u32,
}

impl Rules {
    fn folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        chown(path, Some(self.user.uid), Some(self.user.gid))?;
        // After chown, which clears the set-group-id bit.
        fs::set_permissions(path, fs::Permissions::from_mode(self.folder))
    }
    fn own(&self, file: &File) -> io::Result<()> {
        std::os::unix::fs::fchown(file, Some(self.user.uid), Some(self.user.gid))?;
        file.set_permissions(fs::Permissions::from_mode(self.file))
    }
}

/// Copies a tree of folders and files; returns the bytes of its files. Anything else in it (links,
/// sockets) is an error: neither a stopped data directory nor a filestore holds such.
fn tree(from: &Path, to: &Path, rules: Rules, method: CopyMethod) -> Result<u64, TemplateError> {
    let mut files = Vec::new();
    folders(from, to, rules, &mut files)?;
    // Largest last, because the list is taken from its end.
    files.sort_by_key(|(_, _, bytes)| *bytes);
    let total = files.iter().map(|(_, _, bytes)| bytes).sum();
    let queue = Mutex::new(files);
    let next = || queue.lock().map_or(None, |mut files| files.pop());
    let worker = || -> Result<(), TemplateError> {
        while let Some((source, target, _)) = next() {
            let copied = match method {
                CopyMethod::Reflink => clone(&source, &target, rules.file),
                CopyMethod::Copy | CopyMethod::Auto => plain(&source, &target, rules.file),
            };
            copied.and_then(|file| rules.own(&file)).map_err(io_error("copy", &source))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io_error("copy", from)(io::Error::other("a copying thread panicked"))))
        })
    })?;
    Ok(total)
}

fn folders(
    from: &Path,
    to: &Path,
    rules: Rules,
    files: &mut Vec<(PathBuf, PathBuf, u64)>,
) -> Result<(), TemplateError> {
    rules.folder(to).map_err(io_error("create", to))?;
    for entry in fs::read_dir(from).map_err(io_error("read", from))? {
        let entry = entry.map_err(io_error("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = entry.metadata().map_err(io_error("look at", &source))?;
        if meta.is_dir() {
            folders(&source, &target, rules, files)?;
        } else if meta.is_file() {
            files.push((source, target, meta.len()));
        } else {
            return Err(io_error("copy", &source)(io::Error::other("neither file nor folder")));
        }
    }
    Ok(())
}

fn create(target: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(target)
}

/// Shares the blocks of `source` with a new file.
#[allow(unsafe_code)]
fn clone(source: &Path, target: &Path, mode: u32) -> io::Result<File> {
    let from = File::open(source)?;
    let to = create(target, mode)?;
    // SAFETY: both descriptors are open for the whole call, and FICLONE takes an int by value.
    let result = unsafe { nix::libc::ioctl(to.as_raw_fd(), FICLONE, from.as_raw_fd()) };
    if result == 0 { Ok(to) } else { Err(io::Error::last_os_error()) }
}

/// Copies inside the kernel (`copy_file_range`, which `io::copy` uses between files).
fn plain(source: &Path, target: &Path, mode: u32) -> io::Result<File> {
    let mut from = File::open(source)?;
    let mut to = create(target, mode)?;
    io::copy(&mut from, &mut to)?;
    Ok(to)
}

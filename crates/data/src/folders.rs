//! Files and folders that are whole or absent: temporary name, fsync, rename, fsync of the folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Makes a rename or removal in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes everything on the file system that holds `path` durable.
pub(crate) fn sync_file_system(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    nix::unistd::syncfs(file.as_fd())?;
    Ok(())
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}-{:?}", std::process::id(), std::thread::current().id()));
    path.with_file_name(name)
}

fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let temporary = temporary(path);
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    Ok(temporary)
}

/// Writes a file in place of any that was there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, mode)?;
    fs::rename(&temporary, path)?;
    sync_folder(path.parent().unwrap_or(Path::new("/")))
}

/// Writes a file unless it exists; of two writers at once one wins and the other succeeds too.
pub(crate) fn write_once(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, mode)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(path.parent().unwrap_or(Path::new("/"))),
    }
}

/// Removes from `folder` and its folders what writers that are dead by now left unfinished.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let writer = name.to_str().and_then(|name| name.split_once(".tmp-")?.1.split('-').next()?.parse::<u32>().ok());
        match writer {
            Some(pid) if !Path::new("/proc").join(pid.to_string()).exists() => drop(fs::remove_file(entry.path())),
            Some(_) => {}
            None if entry.file_type().is_ok_and(|kind| kind.is_dir()) => sweep(&entry.path()),
            None => {}
        }
    }
}

/// Removes a folder with all in it. Absent is success.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_writers_are_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let alive = temporary(&inner.join("a.age"));
        // Above the kernel's highest pid.
        let dead = inner.join("b.age.tmp-4194305-ThreadId(1)");
        let whole = inner.join("c.age");
        for path in [&alive, &dead, &whole] {
            fs::write(path, "x").unwrap();
        }
        sweep(folder.path());
        assert!(alive.exists() && whole.exists() && !dead.exists());
    }
}

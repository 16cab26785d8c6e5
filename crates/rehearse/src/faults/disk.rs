//! A disk that is full: a small file system of the rig's own, and ballast in it.
//!
//! [`quota`] mounts a tmpfs of a given size on an empty folder; what has to meet a full disk works
//! there. [`fill`] writes ballast until nothing fits.
//!
//! Rule: only a file system that carries our mark is filled, so a disk that was there before never is.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use super::{Active, FaultError, FaultId, Journal, Undo};

/// Largest file system that is made and filled: it is memory.
pub const LARGEST: u64 = 1 << 30;
const MARK: &str = ".springtide-quota";
const BALLAST: &str = ".springtide-ballast";

/// Makes a file system of `bytes` on `folder`, which must be empty or not there yet. It goes, with what is in
/// it, when the time is over.
///
/// # Errors
/// A folder that is in use, a size beyond [`LARGEST`], no right to mount.
pub fn quota(journal: &Journal, folder: &Path, bytes: u64, duration: Duration) -> Result<Active, FaultError> {
    let refuse = |why: String| FaultError::place(format!("make a small file system on {}", folder.display()), why);
    if !(64 << 10..=LARGEST).contains(&bytes) {
        return Err(refuse(format!("its size is 64 KiB to {} MiB", LARGEST >> 20)));
    }
    fs::create_dir_all(folder).map_err(|why| refuse(why.to_string()))?;
    let folder = folder.canonicalize().map_err(|why| refuse(why.to_string()))?;
    if fs::read_dir(&folder).map_err(|why| refuse(why.to_string()))?.next().is_some() {
        return Err(refuse("it is not empty".into()));
    }
    let active = journal.begin(FaultId::FillDisk, Undo::Quota { folder: folder.clone() }, duration)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = format!("size={bytes},mode=0755");
    mount(Some("springtide-quota"), &folder, Some("tmpfs"), flags, Some(options.as_str()))
        .map_err(|why| refuse(why.to_string()))?;
    let mark = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(MARK));
    if let Err(why) = mark {
        // Without its mark nobody would take it away later.
        let _ = umount2(&folder, MntFlags::MNT_DETACH);
        return Err(refuse(why.to_string()));
    }
    Ok(active)
}

/// Fills the file system that [`quota`] made on `folder` until nothing fits any more.
///
/// # Errors
/// The folder is not the root of such a file system.
pub fn fill(journal: &Journal, folder: &Path, duration: Duration) -> Result<Active, FaultError> {
    let folder = ours(folder).map_err(|why| FaultError::place(format!("fill {}", folder.display()), why))?;
    let active = journal.begin(FaultId::FillDisk, Undo::Ballast { folder: folder.clone() }, duration)?;
    let path = folder.join(BALLAST);
    let pour = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let mut size = 1 << 20;
        let block = vec![0_u8; size];
        // Large pieces, then smaller ones, so that not even a page is left.
        while size >= 4096 {
            match file.write(&block[..size]) {
                Ok(0) => size /= 2,
                Ok(_) => {}
                Err(why) if why.kind() == ErrorKind::StorageFull => size /= 2,
                Err(why) => return Err(why),
            }
        }
        Ok(())
    };
    pour().map_err(|why| FaultError::place(format!("fill {}", folder.display()), why))?;
    Ok(active)
}

/// The folder without links, if it is a file system of the rig.
fn ours(folder: &Path) -> Result<PathBuf, String> {
    let folder = folder.canonicalize().map_err(|why| why.to_string())?;
    let seen = statfs(&folder).map_err(|why| why.to_string())?;
    let size = seen.blocks().saturating_mul(seen.block_size() as u64);
    let above = folder.parent().and_then(|parent| fs::metadata(parent).ok());
    let own = above.is_some_and(|above| fs::metadata(&folder).is_ok_and(|own| own.dev() != above.dev()));
    if seen.filesystem_type() != TMPFS_MAGIC || size > LARGEST || !own || !folder.join(MARK).exists() {
        return Err("it is no small file system that the rig made".into());
    }
    Ok(folder)
}

/// Removes the ballast.
pub(super) fn lighten(folder: &Path) -> Result<(), FaultError> {
    match fs::remove_file(folder.join(BALLAST)) {
        Err(why) if why.kind() != ErrorKind::NotFound => {
            Err(FaultError::undo(format!("remove the ballast in {}", folder.display()), why))
        }
        _ => Ok(()),
    }
}

/// Takes a file system of the rig away, and its folder if it is empty then.
pub(super) fn remove(folder: &Path) -> Result<(), FaultError> {
    if ours(folder).is_ok() {
        umount2(folder, MntFlags::MNT_DETACH)
            .map_err(|why| FaultError::undo(format!("take the file system on {} away", folder.display()), why))?;
    }
    // Not empty or not there: then it is not ours to remove.
    let _ = fs::remove_dir(folder);
    Ok(())
}

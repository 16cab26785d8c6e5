//! The file system a workload or task sees: a private mount namespace with its folders below
//! `/srv/springtide`, an own `/tmp`, and nothing of the state folder but what it is given.
//!
//! Runs in the child between fork and exec, as root. The keeper stays outside, so what the child
//! hides or covers is still there for the one who records its end.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot, pivot_root};

/// Where everything that is given to a workload appears.
pub(crate) const MOUNT_BASE: &str = "/srv/springtide";

/// What to show where.
pub(crate) struct Bind {
    /// File or folder of the machine.
    pub from: PathBuf,
    /// Absolute path as the workload sees it.
    pub at: PathBuf,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// The whole view.
pub(crate) struct View {
    /// Root to change into; none to stay in the machine's own.
    pub root: Option<PathBuf>,
    /// Folders and files below [`MOUNT_BASE`].
    pub binds: Vec<Bind>,
    /// Replacements for `/etc/passwd` and `/etc/group`.
    pub accounts: (PathBuf, PathBuf),
    /// A folder that must not be seen.
    pub hide: PathBuf,
}

/// Refuses mount points outside [`MOUNT_BASE`].
pub(crate) fn check_mount_point(at: &str) -> Result<(), String> {
    let path = Path::new(at);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.starts_with(MOUNT_BASE) && path != Path::new(MOUNT_BASE) && plain {
        Ok(())
    } else {
        Err(format!("mount point {at:?} is not below {MOUNT_BASE}"))
    }
}

const NONE: Option<&str> = None;

fn bind(from: &Path, to: &Path, flags: MsFlags) -> Result<(), String> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND | flags, NONE)
        .map_err(|error| format!("bind {} to {}: {error}", from.display(), to.display()))
}

fn read_only(path: &Path, flags: MsFlags) -> Result<(), String> {
    mount(NONE, path, NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | flags, NONE)
        .map_err(|error| format!("make {} read-only: {error}", path.display()))
}

fn tmpfs(path: &Path, options: &str, flags: MsFlags) -> Result<(), String> {
    mount(Some("springtide"), path, Some("tmpfs"), flags, Some(options))
        .map_err(|error| format!("mount tmpfs on {}: {error}", path.display()))
}

fn make_folder(path: &Path) -> Result<(), String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|error| format!("make {}: {error}", path.display()))
}

fn within(base: &Path, absolute: &Path) -> PathBuf {
    base.join(absolute.strip_prefix("/").unwrap_or(absolute))
}

/// Makes the view and enters it. For a process of one thread only.
pub(crate) fn enter(view: &View) -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| format!("make a mount namespace: {error}"))?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(|error| format!("make mounts private: {error}"))?;
    let harmless = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let base = match &view.root {
        Some(root) => {
            bind(root, root, MsFlags::empty())?;
            read_only(root, harmless)?;
            root.clone()
        }
        None => PathBuf::from("/"),
    };

    // Given folders first: their sources may lie below /tmp or below the folder that is hidden.
    let top = within(&base, Path::new(MOUNT_BASE));
    tmpfs(&top, "mode=0755,size=1m", harmless)?;
    for given in &view.binds {
        let to = within(&base, &given.at);
        if given.from.is_dir() {
            make_folder(&to)?;
        } else {
            make_folder(to.parent().unwrap_or(&top))?;
            fs::File::create(&to).map_err(|error| format!("make {}: {error}", to.display()))?;
        }
        bind(&given.from, &to, MsFlags::empty())?;
        if given.read_only {
            read_only(&to, harmless)?;
        }
    }
    for (from, to) in [(&view.accounts.0, "/etc/passwd"), (&view.accounts.1, "/etc/group")] {
        let to = within(&base, Path::new(to));
        bind(from, &to, MsFlags::empty())?;
        read_only(&to, harmless)?;
    }

    match &view.root {
        Some(root) => enter_root(root),
        None => {
            tmpfs(Path::new("/tmp"), "mode=1777", harmless)?;
            if Path::new("/dev/shm").is_dir() {
                tmpfs(Path::new("/dev/shm"), "mode=1777", harmless)?;
            }
            if view.hide.is_dir() {
                tmpfs(&view.hide, "mode=0000,size=4k", harmless | MsFlags::MS_RDONLY)?;
            }
            chdir("/").map_err(|error| format!("enter /: {error}"))
        }
    }
}

/// Completes an own root (proc, devices, tmp, name resolution) and changes into it.
fn enter_root(root: &Path) -> Result<(), String> {
    let at = |path: &str| within(root, Path::new(path));
    bind(Path::new("/proc"), &at("/proc"), MsFlags::MS_REC)?;
    tmpfs(&at("/tmp"), "mode=1777", MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
    tmpfs(&at("/dev"), "mode=0755,size=64k", MsFlags::MS_NOSUID)?;
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        let from = Path::new("/dev").join(device);
        let to = at("/dev").join(device);
        if from.exists() {
            fs::File::create(&to).map_err(|error| format!("make {}: {error}", to.display()))?;
            bind(&from, &to, MsFlags::empty())?;
        }
    }
    make_folder(&at("/dev/shm"))?;
    tmpfs(&at("/dev/shm"), "mode=1777", MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
    for (to, link) in
        [("/proc/self/fd", "/dev/fd"), ("/proc/self/fd/1", "/dev/stdout"), ("/proc/self/fd/2", "/dev/stderr")]
    {
        std::os::unix::fs::symlink(to, at(link)).map_err(|error| format!("link {link}: {error}"))?;
    }
    // Names are resolved as the machine does; a root without these files does without.
    for file in ["/etc/resolv.conf", "/etc/hosts"] {
        if Path::new(file).is_file() && at(file).symlink_metadata().is_ok_and(|meta| meta.is_file()) {
            bind(Path::new(file), &at(file), MsFlags::empty())?;
        }
    }
    chdir(root).map_err(|error| format!("enter {}: {error}", root.display()))?;
    // pivot_root drops the old tree for good; it is refused where the machine's root is an initial
    // ram disk, and there chroot does for a process that gives up root.
    if pivot_root(".", ".").is_ok() {
        umount2(".", MntFlags::MNT_DETACH).map_err(|error| format!("drop the old root: {error}"))?;
    } else {
        chroot(".").map_err(|error| format!("change root: {error}"))?;
    }
    chdir("/").map_err(|error| format!("enter /: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_stay_below_the_base() {
        assert!(check_mount_point("/srv/springtide/data").is_ok());
        for bad in ["/srv/springtide", "/etc", "/srv/springtide/../x", "srv/springtide/x", "/srv/springtide2/x"] {
            assert!(check_mount_point(bad).is_err(), "{bad}");
        }
    }
}

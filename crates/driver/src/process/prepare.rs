//! Preparation common to workloads and tasks, done by the keeper before it forks: volumes,
//! accounts, configuration files, environment.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Component, Path};

use nix::unistd::{Gid, Uid, chown};
use springtide_core::workload::{CONFIG_PATH, FolderMount, Root, UserSpec, Volume, WorkloadSpec};

use super::child::Prepared;
use super::paths::{Paths, write_whole};
use super::privileges::{self, Identity};
use super::sandbox::{Bind, View, check_mount_point};
use super::{logs, programs};
use crate::{DriverError, Network, ResolvedWorkload, Task};

type Result<T> = std::result::Result<T, String>;

fn words(error: DriverError) -> String {
    match error {
        DriverError::Io { verb, object, source } => format!("cannot {verb} {object}: {source}"),
        other => other.to_string(),
    }
}

/// Makes a folder with owner and mode unless it exists. One that exists is left alone: its owner
/// may have tightened it.
fn folder(path: &Path, uid: u32, gid: u32, mode: u32) -> Result<()> {
    let fail = |error: &dyn std::fmt::Display| format!("make {}: {error}", path.display());
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        super::paths::make_folder(parent).map_err(|e| fail(&e))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(&error)),
        _ => {}
    }
    chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(|e| fail(&e))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| fail(&e))
}

/// Makes a volume's folder as its users need it.
pub(crate) fn make_volume(path: &Path, volume: Volume, user: UserSpec) -> Result<()> {
    match volume {
        Volume::PostgresData | Volume::SessionsData | Volume::BackupSpool => folder(path, user.uid, user.gid, 0o700),
        Volume::BackupNear => {
            folder(path, user.uid, user.gid, 0o700)?;
            own(path, user).map_err(|error| format!("give {} to user {}: {error}", path.display(), user.uid))
        }
        // The server's user writes the socket, the environment's group finds it.
        Volume::PostgresSocket | Volume::PoolerSocket | Volume::SessionsSocket => {
            folder(path, user.uid, user.gid, 0o2750)
        }
        Volume::OdooData => {
            folder(path, 0, user.gid, 0o2770)?;
            // Odoo would make these for the first role's user alone; all roles share them.
            ["sessions", "filestore", "addons"]
                .into_iter()
                .try_for_each(|name| folder(&path.join(name), 0, user.gid, 0o2770))
        }
        Volume::Routes => folder(path, 0, 0, 0o755),
    }
}

/// Gives a folder with all in it to `user`, unless it is theirs: an environment that was made anew may have
/// other Unix ids. The folder itself comes last, so that what was cut off is done again.
fn own(path: &Path, user: UserSpec) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, lchown};
    if fs::symlink_metadata(path)?.uid() == user.uid {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => own(&entry.path(), user)?,
            // Not what a link points at.
            false => lchown(entry.path(), Some(user.uid), Some(user.gid))?,
        }
    }
    lchown(path, Some(user.uid), Some(user.gid))
}

/// Makes a folder of the machine that the estate file names for `user`; false if the folder below which it is
/// to be is not there.
fn machine_folder(mount: &FolderMount, user: UserSpec) -> Result<bool> {
    let base = Path::new(&mount.base);
    let plain = |path: &Path, first| {
        path.components().enumerate().all(|(number, part)| match part {
            Component::RootDir => first && number == 0,
            Component::Normal(_) => true,
            _ => false,
        })
    };
    if !base.is_absolute() || !plain(base, true) || !plain(Path::new(&mount.inside), false) {
        return Err(format!("{}/{} is not a plain path", mount.base, mount.inside));
    }
    if !base.is_dir() {
        return Ok(false);
    }
    let mut path = base.to_owned();
    let parts: Vec<_> = Path::new(&mount.inside).components().collect();
    for (number, part) in parts.iter().enumerate() {
        path.push(part);
        let last = number + 1 == parts.len();
        let (uid, gid, mode) = if last { (user.uid, user.gid, 0o700) } else { (0, 0, 0o711) };
        // A link could lead anywhere, and it is root who follows.
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_dir()) {
            return Err(format!("{} is not a folder", path.display()));
        }
        folder(&path, uid, gid, mode)?;
        if last {
            own(&path, user).map_err(|error| format!("give {} to user {uid}: {error}", path.display()))?;
        }
    }
    Ok(true)
}

/// Writes configuration files for the group to read; files that are no longer wanted go.
pub(crate) fn write_config(config: &Path, gid: u32, files: &[(&str, &str)]) -> Result<()> {
    folder(config, 0, gid, 0o750)?;
    chown(config, None, Some(Gid::from_raw(gid))).map_err(|e| format!("own {}: {e}", config.display()))?;
    for (name, content) in files {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(format!("configuration file {name:?} is not a plain name"));
        }
        let path = config.join(name);
        // An equal file is not touched, so that a watcher is not woken for nothing.
        if fs::read(&path).is_ok_and(|old| old == content.as_bytes()) {
            continue;
        }
        write_whole(&path, content.as_bytes(), 0o640, gid).map_err(|e| format!("write {}: {e}", path.display()))?;
    }
    let entries = fs::read_dir(config).map_err(|e| format!("read {}: {e}", config.display()))?;
    for entry in entries.flatten() {
        if !files.iter().any(|(name, _)| entry.file_name() == **name) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Account files that know root, nobody and the workload's user: `initdb` and `getpwuid` want one.
fn accounts(
    folder: &Path,
    base: &Path,
    name: &str,
    user: UserSpec,
) -> Result<(std::path::PathBuf, std::path::PathBuf)> {
    let make = |file: &str, line: String| {
        let known = fs::read_to_string(base.join("etc").join(file)).unwrap_or_default();
        let mut text = String::new();
        for old in known.lines().filter(|line| ["root:", "nobody:", "nogroup:"].iter().any(|n| line.starts_with(n))) {
            text.push_str(old);
            text.push('\n');
        }
        text.push_str(&line);
        let path = folder.join(file);
        write_whole(&path, text.as_bytes(), 0o644, 0).map_err(|e| format!("write {}: {e}", path.display()))?;
        Ok::<_, String>(path)
    };
    let UserSpec { uid, gid } = user;
    Ok((
        make("passwd", format!("springtide-{name}:x:{uid}:{gid}::/tmp:/usr/sbin/nologin\n"))?,
        make("group", format!("springtide-{name}:x:{gid}:\n"))?,
    ))
}

/// A full environment: what is given, and the few variables every program may rely on.
pub(crate) fn environment(given: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
        ("HOME", "/tmp"),
        ("LANG", "C.UTF-8"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    env.insert("USER".into(), format!("springtide-{name}"));
    env.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    env
}

/// Who a workload runs as.
pub(crate) fn identity(spec: &WorkloadSpec) -> Identity {
    let shares = spec.volumes.iter().any(|mount| mount.volume == Volume::OdooData);
    Identity { user: spec.user, umask: umask(shares), low_ports: privileges::low_ports(spec) }
}

/// Odoo's roles are different users of one group and write to one data folder.
fn umask(shares: bool) -> u32 {
    if shares { 0o007 } else { 0o027 }
}

struct Parts<'a> {
    name: &'a str,
    root: &'a Root,
    command: &'a [String],
    env: &'a BTreeMap<String, String>,
    identity: Identity,
    config: &'a Path,
    /// Where account files are written.
    folder: &'a Path,
    log: fs::File,
    binds: Vec<Bind>,
    network: Network,
    dies_with_keeper: bool,
}

fn finish(paths: &Paths, parts: Parts<'_>) -> Result<Prepared> {
    let Parts { name, root, command, env, identity, config, folder, log, mut binds, network, dies_with_keeper } = parts;
    let Some(first) = command.first() else { return Err("the command is empty".to_owned()) };
    let program = programs::resolve(paths, root, first).map_err(words)?;
    if let Some(from) = program.bind {
        binds.push(Bind { from, at: program.path.clone(), read_only: true });
    }
    binds.push(Bind { from: config.to_owned(), at: CONFIG_PATH.into(), read_only: true });
    let own_root = match root {
        Root::Odoo(series) => {
            let addons = paths.odoo(*series).join("addons");
            if addons.is_dir() {
                binds.push(Bind { from: addons, at: "/srv/springtide/addons".into(), read_only: true });
            }
            Some(paths.odoo(*series).join("root"))
        }
        Root::Host | Root::Springtide => {
            fs::create_dir_all(super::sandbox::MOUNT_BASE)
                .map_err(|e| format!("make {}: {e}", super::sandbox::MOUNT_BASE))?;
            None
        }
    };
    let accounts = accounts(folder, own_root.as_deref().unwrap_or(Path::new("/")), name, identity.user)?;
    Ok(Prepared {
        program: program.path,
        arguments: command.to_vec(),
        env: environment(env, name),
        view: View { root: own_root, binds, accounts, hide: paths.state.clone() },
        network,
        identity,
        log,
        dies_with_keeper,
    })
}

/// Prepares a workload. Its configuration files are there already.
pub(crate) fn workload(paths: &Paths, workload: &ResolvedWorkload) -> Result<Prepared> {
    let spec = &workload.spec;
    let folder = paths.workload(&spec.id);
    let mut binds = Vec::new();
    for mount in &spec.volumes {
        check_mount_point(&mount.at)?;
        let from = paths.volume(spec.id.environment.as_ref(), mount.volume);
        make_volume(&from, mount.volume, spec.user)?;
        binds.push(Bind { from, at: mount.at.clone().into(), read_only: mount.read_only });
    }
    for mount in &spec.bundles {
        check_mount_point(&mount.at)?;
        let from = paths.bundle(&mount.digest);
        if !from.is_dir() {
            return Err(format!("the folder of {} is not there; apply writes it again", mount.at));
        }
        binds.push(Bind { from, at: mount.at.clone().into(), read_only: true });
    }
    let mut log = logs::open(&folder.log(), false).map_err(|e| format!("open the log: {e}"))?;
    for mount in &spec.folders {
        check_mount_point(&mount.at)?;
        let from = Path::new(&mount.base).join(&mount.inside);
        // What it is for must not keep the workload from running: it is said, and what needs it will fail.
        match machine_folder(mount, spec.user) {
            Ok(true) => binds.push(Bind { from, at: mount.at.clone().into(), read_only: false }),
            Ok(false) => drop(writeln!(log, "springtide: {} is not there; running without {}", mount.base, mount.at)),
            Err(why) => drop(writeln!(log, "springtide: {why}; running without {}", mount.at)),
        }
    }
    finish(
        paths,
        Parts {
            name: spec.id.role.as_str(),
            root: &spec.root,
            command: &spec.command,
            env: &workload.env,
            identity: identity(spec),
            config: &folder.config(),
            folder: &folder.0,
            log,
            binds,
            network: Network::Machine,
            dies_with_keeper: false,
        },
    )
}

/// Prepares a task.
pub(crate) fn task(paths: &Paths, task: &Task, log: fs::File) -> Result<Prepared> {
    let folder_path = paths.tasks().join(&task.name);
    super::paths::make_folder(&folder_path).map_err(|e| format!("make {}: {e}", folder_path.display()))?;
    let config = folder_path.join("config");
    let files: Vec<_> = task.files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
    write_config(&config, task.user.gid, &files)?;
    let mut binds = Vec::new();
    let mut shares = false;
    for mount in &task.mounts {
        check_mount_point(&mount.at)?;
        let volume = volume_at(paths, &mount.from);
        shares |= volume == Some(Volume::OdooData);
        match volume {
            Some(volume) => make_volume(&mount.from, volume, task.user)?,
            None if mount.from.exists() => {}
            None if mount.from.starts_with(&paths.state) => folder(&mount.from, task.user.uid, task.user.gid, 0o750)?,
            None => return Err(format!("{} does not exist", mount.from.display())),
        }
        binds.push(Bind { from: mount.from.clone(), at: mount.at.clone().into(), read_only: mount.read_only });
    }
    finish(
        paths,
        Parts {
            name: "task",
            root: &task.root,
            command: &task.command,
            env: &task.env,
            identity: Identity { user: task.user, umask: umask(shares), low_ports: false },
            config: &config,
            folder: &folder_path,
            log,
            binds,
            network: task.network,
            dies_with_keeper: true,
        },
    )
}

/// Which volume a folder of the state is, if it is one.
fn volume_at(paths: &Paths, path: &Path) -> Option<Volume> {
    let below = path.strip_prefix(&paths.state).ok()?;
    if let Ok(backup) = below.strip_prefix("backup")
        && backup.components().count() == 3
        && backup.ends_with("near/pg")
    {
        return Some(Volume::BackupNear);
    }
    let inside = below.parent()?.ends_with("volumes");
    Volume::ALL.into_iter().find(|volume| inside && path.file_name().is_some_and(|name| name == volume.as_str()))
}

//! Bundles: folders of files that are compiled into Springtide, one per content, shown read-only to
//! workloads.
//!
//! They are written by the caller of `ensure_workload`, whose version rendered the spec, and found by
//! their digest by whoever starts the workload again, which may be another version. A folder has its
//! name only when it is whole; one that no workload names any more goes when the next is written.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use springtide_core::digest::Digest;
use springtide_core::roles::runtime;
use springtide_core::workload::WorkloadSpec;

use super::paths::{Paths, make_folder, read_json};
use crate::{DriverError, ResolvedWorkload};

/// Sees to it that every bundle of `spec` is there.
pub(crate) fn ensure(paths: &Paths, spec: &WorkloadSpec) -> Result<(), DriverError> {
    for mount in &spec.bundles {
        let folder = paths.bundle(&mount.digest);
        if folder.is_dir() {
            continue;
        }
        let Some(files) = runtime::files(&mount.digest) else {
            let what = format!("the folder of {}", mount.at);
            let hint = "this version of Springtide has another one; plan again".to_owned();
            return Err(DriverError::Missing { what, hint });
        };
        let of = |source| DriverError::Io { verb: "write", object: folder.display().to_string(), source };
        write(&folder, files).map_err(of)?;
        sweep(paths, &mount.digest);
    }
    Ok(())
}

fn write(folder: &Path, files: &[(&str, &str)]) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        make_folder(parent)?;
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let writing = folder.with_file_name(format!("{name}.{}{}", Paths::TEMPORARY, std::process::id()));
    let _ = fs::remove_dir_all(&writing);
    for (file, content) in files {
        let path = writing.join(file);
        if let Some(parent) = path.parent() {
            // Every Odoo process reads them, whatever its user; the way to them is closed to others.
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
        io::Write::write_all(&mut file, content.as_bytes())?;
        file.sync_all()?;
    }
    match fs::rename(&writing, folder) {
        // Another caller was faster, with the same content.
        Err(_) if folder.is_dir() => fs::remove_dir_all(&writing),
        renamed => renamed,
    }
}

/// Removes what no workload names, and what was cut off while it was written.
fn sweep(paths: &Paths, fresh: &Digest) {
    let specs = paths.all().into_iter().filter_map(|folder| read_json::<ResolvedWorkload>(&folder.spec()));
    let mut named: BTreeSet<String> =
        specs.flat_map(|it| it.spec.bundles).map(|mount| mount.digest.to_string()).collect();
    named.insert(fresh.to_string());
    let Some(all) = paths.bundle(fresh).parent().map(Path::to_owned) else { return };
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        if !named.contains(&*entry.file_name().to_string_lossy()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_there_whole_and_others_go() {
        let state = std::env::temp_dir().join(format!("springtide-bundles-{}", std::process::id()));
        let paths = Paths { state: state.clone(), cache: state.clone(), binary: state.clone() };
        let folder = paths.bundle(&runtime::digest());
        let stale = paths.bundle(&Digest::of_bytes(b"of an older version"));
        fs::create_dir_all(&stale).expect("a folder");
        let files = runtime::files(&runtime::digest()).expect("our own");
        write(&folder, files).expect("it is written");
        write(&folder, files).expect("twice is as good");
        sweep(&paths, &runtime::digest());
        for (name, content) in files {
            assert_eq!(fs::read_to_string(folder.join(name)).expect("it is there"), *content);
        }
        let left: Vec<_> = fs::read_dir(state.join("bundles")).expect("a folder").flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        fs::remove_dir_all(state).expect("clean");
    }
}

//! What becomes of backups in the state folder when their environment goes: they are set aside under a number,
//! in one rename, and nothing of them is touched. The next environment of that name has another database, whose
//! write-ahead log must never come to lie between that of the first.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use springtide_core::names::EnvironmentName;

use super::paths::{Paths, io};
use crate::DriverError;

/// Sets the backups of an environment aside; folders in which there is nothing are removed.
pub(super) fn set_aside(paths: &Paths, environment: &EnvironmentName) -> Result<(), DriverError> {
    let folder = paths.backup(environment);
    remove_empty(&folder);
    if !folder.exists() {
        return Ok(());
    }
    for number in 1.. {
        let former = paths.former_backup(environment, number);
        // An empty one would be replaced, and there is none: nobody but this makes them.
        match former.symlink_metadata() {
            Ok(_) => continue,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io("look at", &former)(error)),
        }
        fs::rename(&folder, &former).map_err(io("set aside", &folder))?;
        let parent = folder.parent().unwrap_or(Path::new("/"));
        return fs::File::open(parent).and_then(|it| it.sync_all()).map_err(io("sync", parent));
    }
    Ok(())
}

/// Removes a folder if there is nothing in it but such folders.
fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // Refused if it is not empty.
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_outlive_their_environment_and_never_mix_with_the_next_ones() {
        let temp = std::env::temp_dir().join(format!("springtide-aside-{}", std::process::id()));
        let _ = fs::remove_dir_all(&temp);
        let paths = Paths { state: temp.clone(), cache: temp.clone(), binary: temp.clone() };
        let name: EnvironmentName = "prod".parse().unwrap();
        set_aside(&paths, &name).unwrap();
        let near = paths.backup(&name).join("near/pg");
        fs::create_dir_all(&near).unwrap();
        set_aside(&paths, &name).unwrap();
        assert!(!paths.backup(&name).exists(), "nothing is kept where there is nothing");
        for number in [1, 2] {
            fs::create_dir_all(near.join("archive")).unwrap();
            fs::write(near.join("archive/wal"), format!("life {number}")).unwrap();
            set_aside(&paths, &name).unwrap();
            set_aside(&paths, &name).unwrap();
            assert!(!paths.backup(&name).exists());
            let kept = paths.former_backup(&name, number).join("near/pg/archive/wal");
            assert_eq!(fs::read_to_string(kept).unwrap(), format!("life {number}"));
        }
        assert!(!paths.former_backup(&name, 3).exists());
        fs::remove_dir_all(&temp).unwrap();
    }
}

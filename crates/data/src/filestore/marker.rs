//! What Odoo's own collection is told: which files of its checklist the mirrors have.
//!
//! Odoo deletes a file that nothing names any more once a day. The add-on `springtide_runtime` lets it have only those
//! that are in this list (`springtide_mirrored`, one `<sha1>` a line, in the filestore's folder). A name in it stays
//! true: a file is what its name says, and an object is not removed while the file is there. So the list needs no
//! clock, and an old one only makes the collection wait.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::error::{FilesError, source_error};
use super::name::FileName;
use super::scan::Filestore;

/// Its name, without a dot: Odoo takes those out of paths.
pub(super) const NAME: &str = "springtide_mirrored";
/// Its name until it is whole.
pub(super) const WRITING: &str = ".springtide_mirrored.writing";
/// Longest list that is compared before it is written anew, in bytes.
const LONGEST: u64 = 64 << 20;

impl Filestore {
    /// Writes the list, whole or not at all. Readable for Odoo's users, writable for ours.
    pub(super) fn acknowledge(&self, names: impl Iterator<Item = FileName>) -> Result<u64, FilesError> {
        let (mut text, mut count) = (String::new(), 0);
        for name in names {
            text.push_str(&name.to_string());
            text.push('\n');
            count += 1;
        }
        let path = self.folder().join(NAME);
        self.write_marker(text.as_bytes()).map_err(source_error("write", &path))?;
        Ok(count)
    }

    fn write_marker(&self, text: &[u8]) -> io::Result<()> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let there = openat(self.root(), NAME, flags | OFlag::O_RDONLY, Mode::empty());
        if let Ok(there) = there.map(File::from) {
            let mut old = Vec::new();
            if there.metadata()?.is_file() && there.take(LONGEST).read_to_end(&mut old).is_ok() && old == text {
                return Ok(());
            }
        }
        match unlinkat(self.root(), WRITING, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let make = flags | OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let mut file = File::from(openat(self.root(), WRITING, make, Mode::from_bits_truncate(0o644))?);
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.write_all(text)?;
        file.sync_all()?;
        renameat(self.root(), WRITING, self.root(), NAME)?;
        Ok(())
    }
}

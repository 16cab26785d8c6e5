//! What a mirror is known to hold, kept on this machine so that a push does not list a million objects.
//!
//! It may be thrown away at any time; the next push lists the store. It is never asked whether an object is good:
//! verification asks the store. It names the mirror's identity, so that after a change of bucket it is not believed.
//!
//! A text of lines: the head, then `+<sha1>`, `-<sha1>`, or `w<sha1> <bytes> <modified> <changed>` for a file that
//! does not have its name and is kept under `wrong/`. A line that was cut off is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::folders::write_whole;

use super::name::FileName;
use super::scan::Stamp;

const HEAD: &str = "springtide-files 1";

#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    /// Names that the store holds.
    pub names: BTreeSet<FileName>,
    /// Files that do not have their name, as they were when they were stored.
    pub wrong: BTreeMap<FileName, Stamp>,
    /// Seconds since 1970 of the listing that it grew from.
    pub listed: u64,
    file: File,
}

impl Index {
    /// Reads the index of mirror `id`; none if there is none, or if it is another mirror's.
    pub(super) fn read(path: &Path, id: &str) -> io::Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // What follows the last line's end was cut off.
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let listed = lines.next().and_then(|head| head.strip_prefix(&format!("{HEAD} {id} "))?.parse().ok());
        let Some(listed) = listed else { return Ok(None) };
        let (mut names, mut wrong) = (BTreeSet::new(), BTreeMap::new());
        for line in lines {
            match (line.get(..1), line.get(1..)) {
                (Some("+"), Some(name)) => names.extend(name.parse::<FileName>()),
                (Some("-"), Some(name)) => {
                    if let Ok(name) = name.parse() {
                        names.remove(&name);
                    }
                }
                (Some("w"), Some(rest)) => wrong.extend(wrong_of(rest)),
                _ => {}
            }
        }
        let file = append_to(path)?;
        if !text.ends_with('\n') {
            (&file).write_all(b"\n")?;
        }
        Ok(Some(Self { path: path.to_owned(), names, wrong, listed, file }))
    }

    /// Begins it anew from a listing.
    pub(super) fn write(
        path: &Path,
        id: &str,
        listed: u64,
        names: BTreeSet<FileName>,
        wrong: BTreeMap<FileName, Stamp>,
    ) -> io::Result<Self> {
        let mut text = format!("{HEAD} {id} {listed}\n");
        for name in &names {
            let _ = writeln!(text, "+{name}");
        }
        for (name, stamp) in &wrong {
            text.push_str(&wrong_line(name, stamp));
        }
        write_whole(path, text.as_bytes(), 0o600)?;
        Ok(Self { path: path.to_owned(), names, wrong, listed, file: append_to(path)? })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The store acknowledged this object.
    pub(super) fn add(&mut self, name: FileName) -> io::Result<()> {
        self.names.insert(name);
        self.file.write_all(format!("+{name}\n").as_bytes())
    }

    /// The store acknowledged what lies under a name that it does not have.
    pub(super) fn add_wrong(&mut self, name: FileName, stamp: Stamp) -> io::Result<()> {
        self.wrong.insert(name, stamp);
        self.file.write_all(wrong_line(&name, &stamp).as_bytes())
    }

    /// These objects are about to be removed: durable before the first is.
    pub(super) fn forget<'a>(&mut self, names: impl Iterator<Item = &'a FileName>) -> io::Result<()> {
        let mut text = String::new();
        for name in names {
            self.names.remove(name);
            let _ = writeln!(text, "-{name}");
        }
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).mode(0o600).open(path)
}

fn wrong_line(name: &FileName, stamp: &Stamp) -> String {
    format!("w{name} {} {} {}\n", stamp.bytes, stamp.modified, stamp.changed)
}

fn wrong_of(rest: &str) -> Option<(FileName, Stamp)> {
    let mut words = rest.split(' ');
    let name = words.next()?.parse().ok()?;
    let stamp = Stamp {
        bytes: words.next()?.parse().ok()?,
        modified: words.next()?.parse().ok()?,
        changed: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some((name, stamp))
}

#[cfg(test)]
mod tests {
    use super::super::sha1::sha1_of;
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_only_for_its_mirror() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let [a, b, c] = [b"a", b"b", b"c"].map(|one| sha1_of(one));
        let stamp = Stamp { bytes: 3, modified: -5, changed: 1 << 70 };
        assert!(Index::read(&path, "one").unwrap().is_none());
        let mut index = Index::write(&path, "one", 77, [a].into(), BTreeMap::new()).unwrap();
        index.add(b).unwrap();
        index.add_wrong(c, stamp).unwrap();
        index.forget([a].iter()).unwrap();
        let again = Index::read(&path, "one").unwrap().unwrap();
        assert_eq!((again.names, again.wrong, again.listed), ([b].into(), [(c, stamp)].into(), 77));
        assert!(Index::read(&path, "two").unwrap().is_none(), "another mirror's index is not believed");
    }

    #[test]
    fn a_line_that_was_cut_off_is_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let [a, b] = [b"a", b"b"].map(|one| sha1_of(one));
        let mut index = Index::write(&path, "one", 1, [a].into(), BTreeMap::new()).unwrap();
        index.add(b).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 1..=42 {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let mut again = Index::read(&path, "one").unwrap().unwrap();
            assert_eq!(again.names, [a].into(), "cut by {cut}");
            // What is added now is not lost to the line before it.
            again.add(b).unwrap();
            assert!(Index::read(&path, "one").unwrap().unwrap().names.contains(&b));
        }
    }
}

//! Logs: one growing file per workload, opened for appending by the keeper. Rotation copies and
//! truncates, because the writer keeps its descriptor and knows nothing of us.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Size at which a log is rotated, bytes.
const ROTATE_BYTES: u64 = 16 << 20;
/// Rotated files that are kept.
const KEEP: u32 = 4;

/// Opens a log for appending and makes its folder.
pub(crate) fn open(path: &Path, truncate: bool) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        super::paths::make_folder(folder)?;
    }
    let file = fs::OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    if truncate {
        file.set_len(0)?;
    }
    Ok(file)
}

/// The rotated file number `n` (1 is the newest; 0 is one in the making).
fn rotated(path: &Path, n: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{n}"));
    path.with_file_name(name)
}

/// The log and its rotated files that exist, newest first.
pub(crate) fn all(path: &Path) -> Vec<PathBuf> {
    std::iter::once(path.to_owned()).chain((1..=KEEP).map(|n| rotated(path, n))).filter(|path| path.exists()).collect()
}

/// Rotates a log that has grown too large. Lines written between copy and truncation are lost,
/// which is the price of a writer that cannot be told to reopen.
pub(crate) fn rotate(path: &Path) -> io::Result<()> {
    rotate_by(path, |from, to| fs::copy(from, to))
}

/// [`rotate`] by any way of copying. No older log moves before the copy is whole: on a full disk, where it
/// never is, each attempt would push one of them out.
fn rotate_by(path: &Path, copy: impl Fn(&Path, &Path) -> io::Result<u64>) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > ROTATE_BYTES => {}
        _ => return Ok(()),
    }
    let whole = rotated(path, 0);
    if let Err(error) = copy(path, &whole) {
        let _ = fs::remove_file(&whole);
        return Err(error);
    }
    for n in (0..KEEP).rev() {
        match fs::rename(rotated(path, n), rotated(path, n + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// The last `bytes` of a file from a line's beginning; empty if it cannot be read.
pub(crate) fn tail(path: &Path, bytes: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(bytes)))?;
        let mut raw = Vec::new();
        file.take(bytes).read_to_end(&mut raw)?;
        let text = String::from_utf8_lossy(&raw).into_owned();
        Ok(match text.split_once('\n') {
            Some((_, rest)) if len > bytes => rest.to_owned(),
            _ => text,
        })
    };
    read().unwrap_or_default()
}

/// The last `count` lines that say something, for a message.
pub(crate) fn last_lines(path: &Path, count: usize) -> String {
    let text = tail(path, 2048);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotates_and_keeps_four() {
        let folder = std::env::temp_dir().join(format!("springtide-logs-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("temp");
        let log = folder.join("current.log");
        for _ in 0..7 {
            File::create(&log).expect("log").set_len(ROTATE_BYTES + 1).expect("grow");
            rotate(&log).expect("rotate");
        }
        assert_eq!(all(&log).len(), 5);
        assert_eq!(fs::metadata(&log).expect("log").len(), 0);
        fs::write(&log, "one\ntwo\nthree\n").expect("write");
        assert_eq!(tail(&log, 9), "three\n");
        assert_eq!(last_lines(&log, 2), "two\nthree");
        fs::remove_dir_all(&folder).expect("clean");
    }

    #[test]
    fn what_cannot_be_copied_costs_no_older_log() {
        let folder = std::env::temp_dir().join(format!("springtide-logs-full-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("temp");
        let log = folder.join("current.log");
        let grow = || File::create(&log).expect("log").set_len(ROTATE_BYTES + 1).expect("grow");
        for n in 1..=KEEP {
            fs::write(rotated(&log, n), format!("old {n}")).expect("an older log");
        }
        grow();
        for _ in 0..KEEP {
            let full = rotate_by(&log, |_, to| {
                fs::write(to, "a part")?;
                Err(io::ErrorKind::StorageFull.into())
            });
            assert_eq!(full.expect_err("the disk is full").kind(), io::ErrorKind::StorageFull);
        }
        for n in 1..=KEEP {
            assert_eq!(fs::read_to_string(rotated(&log, n)).expect("it is kept"), format!("old {n}"));
        }
        assert!(!rotated(&log, 0).exists(), "a part of a copy stayed");
        assert_eq!(fs::metadata(&log).expect("log").len(), ROTATE_BYTES + 1, "what is not copied is not cut");
        rotate(&log).expect("there is room again");
        assert_eq!(fs::read_to_string(rotated(&log, 2)).expect("it moved"), "old 1");
        fs::remove_dir_all(&folder).expect("clean");
    }
}

//! Attachments: the files that the restored rows name, with the size and SHA-1 that the rows say. Odoo writes them in
//! place and names them by their content, so a file of the right name may hold half of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::Spec;
use super::look::Look;
use crate::aside::{Aside, AsideError};
use crate::postgres::Admin;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// A file as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    name: String,
    checksum: Option<String>,
    bytes: Option<i64>,
}

pub(super) async fn attachments(aside: &Aside, spec: &Spec) -> Look {
    let mut look = Look::default();
    let all = match list(aside).await {
        Ok(all) => all,
        Err(AsideError::Admin(error)) => {
            look.trouble("attachments", &error);
            return look;
        }
        Err(error) => return Look::missed(error.to_string()),
    };
    let (files, elsewhere): (Vec<Stored>, Vec<Stored>) = all.into_iter().partition(|one| !one.name.contains("://"));
    if !elsewhere.is_empty() {
        look.miss(format!("{} attachments are kept outside the filestore", elsewhere.len()));
    }
    look.count("attachments", files.len() as u64);
    let picked = spec.attachments.of(files, |one| &one.name);
    let folder = spec.filestore.clone();
    match tokio::task::spawn_blocking(move || read_all(&folder, picked)).await {
        Err(error) => look.miss(error.to_string()),
        Ok(read) => {
            look.count("files", read.files);
            look.count("bytes", read.bytes);
            let mut found = read.found;
            found.sort();
            found.into_iter().for_each(|one| look.find(one));
        }
    }
    look
}

async fn list(aside: &Aside) -> Result<Vec<Stored>, AsideError> {
    let inside: Admin = aside.admin(&aside.spec().database).await?;
    // Several attachments may share one file; they then agree on what is in it, or one of them is wrong.
    let sql = "SELECT DISTINCT store_fname::text, checksum::text, file_size::bigint FROM ir_attachment
               WHERE store_fname IS NOT NULL ORDER BY 1";
    let rows = inside.query("list the attachments", sql, &[]).await?;
    Ok(rows.iter().map(|row| Stored { name: row.get(0), checksum: row.get(1), bytes: row.get(2) }).collect())
}

struct ReadAll {
    files: u64,
    bytes: u64,
    found: Vec<String>,
}

/// Reads all of them on every core.
fn read_all(folder: &Path, files: Vec<Stored>) -> ReadAll {
    let count = files.len() as u64;
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(16);
    let (bytes, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let queue = Mutex::new(files);
    let next = || queue.lock().map_or(None, |mut files| files.pop());
    let worker = || {
        let mut buffer = vec![0; CHUNK];
        while let Some(one) = next() {
            match look_at(folder, &one, &mut buffer) {
                Ok(read) => drop(bytes.fetch_add(read, Ordering::Relaxed)),
                Err(what) => found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(what),
            }
        }
    };
    std::thread::scope(|scope| {
        let _ = (0..threads).map(|_| scope.spawn(worker)).collect::<Vec<_>>();
    });
    let found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    ReadAll { files: count, bytes: bytes.into_inner(), found }
}

/// The file of a name, if the name is one that Odoo gives: two hexadecimal digits, in old databases three, then forty.
fn path(folder: &Path, name: &str) -> Option<PathBuf> {
    let (first, second) = name.split_once('/')?;
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    ((hex(first, 2) || hex(first, 3)) && hex(second, 40) && second.starts_with(first))
        .then(|| folder.join(first).join(second))
}

/// Reads one file; its bytes, or what is wrong with it.
fn look_at(folder: &Path, one: &Stored, buffer: &mut [u8]) -> Result<u64, String> {
    let Stored { name, checksum, bytes } = one;
    let Some(path) = path(folder, name) else { return Err(format!("{name:?} is no name of a file of the filestore")) };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(format!("{name} is missing")),
        Err(error) => return Err(format!("{name} cannot be read: {error}")),
    };
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    let mut length = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&buffer[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("{name} cannot be read: {error}")),
        }
    }
    let sum: String = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes.is_some_and(|bytes| bytes != length as i64) {
        return Err(format!("{name} has {length} bytes, not {}", bytes.unwrap_or_default()));
    }
    let named = name.split_once('/').map_or("", |(_, sum)| sum);
    if named != sum {
        return Err(format!("{name} is damaged: its SHA-1 is {sum}"));
    }
    if checksum.as_ref().is_some_and(|wanted| *wanted != sum) {
        return Err(format!("{name} is not what its row says: SHA-1 {sum}"));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_filestore_are_opened() {
        let folder = Path::new("/f");
        let good = format!("ab/ab{}", "0".repeat(38));
        assert_eq!(path(folder, &good), Some(folder.join(&good)));
        assert!(path(folder, &format!("ab0/{}", &good[3..])).is_some(), "of an old database");
        for bad in [
            "",
            "ab",
            "../etc/passwd",
            "ab/../../etc/passwd",
            "/etc/passwd",
            &good.to_uppercase(),
            &good[1..],
            &format!("ac/{}", &good[3..]),
        ] {
            assert_eq!(path(folder, bad), None, "{bad}");
        }
    }

    #[test]
    fn missing_short_and_flipped_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        // SHA-1 of FIPS 180-2 for `abc`.
        let sum = "a9993e364706816aba3e25717850c26c9cd0d89d";
        std::fs::create_dir(folder.path().join("a9")).unwrap();
        let file = folder.path().join("a9").join(sum);
        let one = |bytes, checksum: Option<&str>| Stored {
            name: format!("a9/{sum}"),
            checksum: checksum.map(str::to_owned),
            bytes,
        };
        let look = |one: Stored| read_all(folder.path(), vec![one]);
        assert!(look(one(Some(3), Some(sum))).found[0].ends_with("is missing"));
        std::fs::write(&file, "abc").unwrap();
        let good = look(one(Some(3), Some(sum)));
        assert_eq!((good.files, good.bytes, good.found.len()), (1, 3, 0), "{:?}", good.found);
        assert!(look(one(None, None)).found.is_empty(), "rows of old attachments say neither");
        assert!(look(one(Some(4), Some(sum))).found[0].contains("3 bytes, not 4"));
        assert!(look(one(Some(3), Some(&"0".repeat(40)))).found[0].contains("not what its row says"));
        std::fs::write(&file, "abd").unwrap();
        assert!(look(one(Some(3), Some(sum))).found[0].contains("damaged"));
    }
}

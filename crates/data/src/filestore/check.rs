//! The files of a folder against the rows of `ir_attachment`: each is there and is what its name says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::error::FilesError;
use super::fetch::Damage;
use super::mirror::{apart, on_threads};
use super::name::{FileName, printable};
use super::scan::{Filestore, Found};
use super::sha1::sha1_of_all;

/// What a row of `ir_attachment` tells of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `store_fname`.
    pub store_fname: String,
    /// `checksum`; not compared if the row has none.
    pub checksum: Option<String>,
    /// `file_size` in bytes; not compared if the row has none.
    pub size: Option<u64>,
}

/// What the rows' files are.
#[derive(Debug)]
pub struct Checked {
    /// Files that are there and right.
    pub good: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are not, with why.
    pub damaged: Vec<(FileName, Damage)>,
    /// Files that could not be read, with why.
    pub unread: Vec<(FileName, String)>,
    /// Rows that name no file of a filestore, made printable, with why.
    pub refused: Vec<(String, &'static str)>,
    /// How long it took.
    pub took: Duration,
}

impl Checked {
    /// Whether every row has its file.
    pub fn good(&self) -> bool {
        self.damaged.is_empty() && self.unread.is_empty() && self.refused.is_empty()
    }
}

/// Each file once, with the folders and the size that rows tell; and rows that name none.
#[allow(clippy::type_complexity)]
pub(super) fn rows_by_file(
    rows: impl IntoIterator<Item = Row>,
) -> (BTreeMap<FileName, (Vec<String>, Option<u64>)>, Vec<(String, &'static str)>) {
    let (mut files, mut refused) = (BTreeMap::<_, (Vec<String>, Option<u64>)>::new(), Vec::new());
    for row in rows {
        let mut refuse = |why| refused.push((printable(&row.store_fname), why));
        let Some(name) = FileName::of_store_fname(&row.store_fname) else {
            refuse("it is not a name of Odoo's filestore");
            continue;
        };
        if row.checksum.as_ref().is_some_and(|sum| *sum != name.to_string()) {
            refuse("its checksum is another file's");
            continue;
        }
        let label = row.store_fname.split('/').next().unwrap_or_default().to_owned();
        let known = files.entry(name).or_insert_with(|| (Vec::new(), row.size));
        if known.1.is_some() && row.size.is_some() && known.1 != row.size {
            refuse("another row tells another size of the same file");
            continue;
        }
        known.1 = known.1.or(row.size);
        if !known.0.contains(&label) {
            known.0.push(label);
        }
    }
    (files, refused)
}

/// Threads for each core: while some wait for the disk, the others hash.
const PER_CORE: usize = 3;

/// Reads and hashes what `rows` name in `filestore`, on all of `cores`.
///
/// # Errors
/// Only if a thread ends early; what is wrong with files is in the answer.
pub async fn check(
    filestore: &Filestore,
    rows: impl IntoIterator<Item = Row>,
    cores: usize,
) -> Result<Checked, FilesError> {
    let started = Instant::now();
    let (files, refused) = rows_by_file(rows);
    let filestore = filestore.clone();
    let wanted: Vec<(FileName, usize, Option<u64>)> = files
        .into_iter()
        .flat_map(|(name, (folders, size))| folders.into_iter().map(move |label| (name, label.len(), size)))
        .collect();
    let results = apart(move || {
        on_threads(cores * PER_CORE, wanted, |(name, folder, told), buffer| {
            let read = filestore
                .file(&Found { name, folder, stamp: None })
                .and_then(|mut file| sha1_of_all(&mut file, buffer));
            (name, told, read)
        })
    })
    .await??;
    let mut checked =
        Checked { good: 0, bytes: 0, damaged: Vec::new(), unread: Vec::new(), refused, took: Duration::ZERO };
    for (name, told, read) in results {
        match (read, told) {
            (Ok((found, _)), _) if found != name => checked.damaged.push((name, Damage::Content { found })),
            (Ok((_, found)), Some(told)) if found != told => checked.damaged.push((name, Damage::Size { found, told })),
            (Ok((_, bytes)), _) => {
                checked.good += 1;
                checked.bytes += bytes;
            }
            (Err(error), _) if error.kind() == std::io::ErrorKind::NotFound => {
                checked.damaged.push((name, Damage::Missing));
            }
            (Err(error), _) => checked.unread.push((name, error.to_string())),
        }
    }
    checked.damaged.sort_by_key(|(name, _)| *name);
    checked.unread.sort();
    checked.took = started.elapsed();
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::super::sha1::sha1_of;
    use super::*;

    fn row(store_fname: &str, checksum: Option<&str>, size: Option<u64>) -> Row {
        Row { store_fname: store_fname.to_owned(), checksum: checksum.map(str::to_owned), size }
    }

    #[test]
    fn rows_that_contradict_themselves_are_told_and_nothing_leaves_the_folder() {
        let (one, other) = (sha1_of(b"one").to_string(), sha1_of(b"other").to_string());
        let fname = format!("{}/{one}", &one[..2]);
        let old = format!("{}/{one}", &one[..3]);
        let rows = [
            row(&fname, Some(&one), Some(3)),
            row(&fname, None, None),
            row(&old, Some(&one), Some(3)),
            row(&fname, Some(&other), Some(3)),
            row(&fname, Some(&one), Some(4)),
            row("../../etc/passwd", None, None),
            row("s3://bucket/key\u{1b}[31m", None, None),
        ];
        let (files, refused) = rows_by_file(rows);
        assert_eq!(files.len(), 1);
        assert_eq!(files.values().next().unwrap().0, [one[..2].to_owned(), one[..3].to_owned()]);
        assert_eq!(refused.len(), 4, "{refused:?}");
        assert!(refused.iter().all(|(name, _)| !name.contains('\u{1b}')));
    }
}

//! A fake Odoo: it writes files as Odoo does (in place, under their SHA-1, with an entry in the checklist), and
//! collects as Odoo does.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use springtide_data::filestore::{FileName, FilesKey, Filestore, Limits, Mirror, PushOptions, Row, sha1_of};
use tempfile::TempDir;

use super::stores::Store;

pub const DATABASE: &str = "shop";

pub struct Odoo {
    pub data: TempDir,
    /// Names that rows have now.
    pub rows: BTreeSet<FileName>,
}

impl Odoo {
    pub fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("filestore").join(DATABASE).join("checklist")).unwrap();
        Self { data, rows: BTreeSet::new() }
    }

    pub fn filestore(&self) -> Filestore {
        Filestore::open(self.data.path(), DATABASE).unwrap()
    }

    pub fn folder(&self) -> PathBuf {
        self.data.path().join("filestore").join(DATABASE)
    }

    pub fn path(&self, name: &FileName) -> PathBuf {
        let hex = name.to_string();
        self.folder().join(&hex[..2]).join(&hex)
    }

    fn mark(&self, name: &FileName) {
        let hex = name.to_string();
        let folder = self.folder().join("checklist").join(&hex[..2]);
        fs::create_dir_all(&folder).unwrap();
        fs::File::create(folder.join(hex)).unwrap();
    }

    /// An attachment with this content.
    pub fn create(&mut self, content: &[u8]) -> FileName {
        let name = sha1_of(content);
        let path = self.path(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !path.exists() {
            fs::write(&path, content).unwrap();
            self.mark(&name);
        }
        self.rows.insert(name);
        name
    }

    /// Its row goes; its file waits for the collection.
    pub fn unlink(&mut self, name: &FileName) {
        self.rows.remove(name);
        self.mark(name);
    }

    /// The daily collection. `held` is whether the add-on shows it only what was acknowledged.
    pub fn collect(&self, held: bool) {
        let acknowledged = fs::read_to_string(self.folder().join("springtide_mirrored")).unwrap_or_default();
        let acknowledged: BTreeSet<&str> = acknowledged.lines().collect();
        for folder in fs::read_dir(self.folder().join("checklist")).unwrap().flatten() {
            for entry in fs::read_dir(folder.path()).unwrap().flatten() {
                let hex = entry.file_name().into_string().unwrap();
                if held && !acknowledged.contains(hex.as_str()) {
                    continue;
                }
                let name: FileName = hex.parse().unwrap();
                if !self.rows.contains(&name) {
                    let _ = fs::remove_file(self.path(&name));
                }
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// The rows as a restored database tells them.
    pub fn table(&self, content: impl Fn(&FileName) -> u64) -> Vec<Row> {
        let row = |name: &FileName| Row {
            store_fname: format!("{}/{name}", &name.to_string()[..2]),
            checksum: Some(name.to_string()),
            size: Some(content(name)),
        };
        self.rows.iter().map(row).collect()
    }

    /// The same, with the sizes of the files as they are now.
    pub fn rows(&self) -> Vec<Row> {
        self.table(|name| fs::metadata(self.path(name)).unwrap().len())
    }
}

/// Content that differs with its number.
pub fn content(number: usize, bytes: usize) -> Vec<u8> {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// A mirror with a folder of its own on this machine.
pub struct Place {
    pub mirror: Mirror,
    pub key: FilesKey,
    pub local: TempDir,
    pub store: Store,
}

impl Place {
    pub fn new(name: &str, store: Store, key: &FilesKey) -> Self {
        Self::limited(name, store, key, Limits::default())
    }

    pub fn limited(name: &str, store: Store, key: &FilesKey, limits: Limits) -> Self {
        let local = tempfile::tempdir().unwrap();
        let mirror = Mirror::new(name, store.store.clone(), key.clone(), local.path().join("files"), limits);
        Self { mirror, key: key.clone(), local, store }
    }

    pub fn index(&self) -> PathBuf {
        self.local.path().join("files/index")
    }
}

/// Options for tests: a short pause.
pub fn quick() -> PushOptions {
    PushOptions { again_after: std::time::Duration::from_millis(50), ..PushOptions::default() }
}

//! The runtime add-on: files that are compiled in and that every Odoo process loads server-wide.
//!
//! It belongs to the version of Springtide, not to an Odoo root. The digest of its files is part of the
//! inputs of Odoo's roles, so another content is another workload.

use std::sync::LazyLock;

use crate::digest::Digest;
use crate::workload::BundleMount;

/// Its name in `server_wide_modules`.
pub const MODULE: &str = "springtide_runtime";
/// Where Odoo sees it; a folder of its `addons_path`.
pub const AT: &str = "/srv/springtide/runtime";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!("springtide_runtime/", $name),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../addons/springtide_runtime/", $name)),
        )),*]
    };
}

/// Path below the bundle's folder, and content.
static FILES: &[(&str, &str)] = files![
    "LICENSE",
    "__init__.py",
    "__manifest__.py",
    "cipher.py",
    "collection.py",
    "health.py",
    "prefork.py",
    "redis_store.py",
    "request_log.py",
    "series.py",
    "settings.py",
];

static DIGEST: LazyLock<Digest> = LazyLock::new(|| Digest::of(FILES));

/// The digest of the add-on that this version of Springtide brings.
pub fn digest() -> Digest {
    *DIGEST
}

/// The files of a bundle, by relative path; none if this version of Springtide does not bring it.
pub fn files(bundle: &Digest) -> Option<&'static [(&'static str, &'static str)]> {
    (*bundle == digest()).then_some(FILES)
}

/// The add-on in a workload.
pub(crate) fn mount(digest: Digest) -> BundleMount {
    BundleMount { digest, at: AT.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_brought() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../addons/springtide_runtime");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .expect("the add-on is in the repository")
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| format!("springtide_runtime/{}", entry.file_name().to_string_lossy()))
            .collect();
        there.sort();
        let brought: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(brought, there);
        assert!(files(&digest()).is_some() && files(&Digest::of_bytes(b"another")).is_none());
    }
}

//! Templates handed from one test to the next, because building one takes more than a minute, and the
//! cache folder of the tests.
//!
//! A kept template lies below the target folder, under a digest of all that decides its content: the
//! stamp of the Odoo root, PostgreSQL's version and the code that builds templates. It is put to use
//! only if its manifest names what its folder says and its bytes are all there.

use std::path::{Path, PathBuf};
use std::process::Command;

use springtide_core::digest::Digest;
use springtide_data::template::Manifest;

const SERIES: [&str; 2] = ["19.0", "14.0"];
/// The code that decides what is in a template.
const BUILDERS: [&str; 5] = [
    include_str!("../../../data/src/template/build.rs"),
    include_str!("../../../data/src/template/assets.py"),
    include_str!("../../../data/src/template/server.rs"),
    include_str!("../../../data/src/postgres/autovacuum.rs"),
    include_str!("../../../data/src/postgres/configure.rs"),
];

fn real_cache() -> PathBuf {
    std::env::var_os("SPRINGTIDE_CACHE").map_or_else(|| "/var/cache/springtide".into(), PathBuf::from)
}

/// A cache folder with the machine's roots and tools, and one more module per series: it can be found
/// and its data cannot be loaded.
pub fn cache(at: &Path) -> PathBuf {
    let real = real_cache();
    std::fs::create_dir_all(at).expect("the cache folder can be made");
    std::os::unix::fs::symlink(real.join("tools"), at.join("tools")).expect("a link can be made");
    for series in SERIES {
        let (from, to) = (real.join("odoo").join(series), at.join("odoo").join(series));
        std::fs::create_dir_all(&to).expect("a folder can be made");
        assert!(from.join("stamp").is_file(), "no Odoo {series} here: run scripts/setup --series {series}");
        std::fs::copy(from.join("stamp"), to.join("stamp")).expect("the stamp can be copied");
        std::os::unix::fs::symlink(from.join("root"), to.join("root")).expect("a link can be made");
        copy(&from.join("addons"), &to.join("addons"));
        let module = to.join("addons/springtide_broken");
        std::fs::create_dir_all(module.join("data")).expect("a folder can be made");
        for (file, content) in [
            ("__init__.py", ""),
            (
                "__manifest__.py",
                "{'name': 'Broken', 'version': '1.0', 'license': 'LGPL-3', 'depends': ['base'], 'data': ['data/broken.xml']}\n",
            ),
            (
                "data/broken.xml",
                "<odoo>\n  <record id=\"good\" model=\"res.partner.category\"><field name=\"name\">half</field></record>\n  \
                 <record id=\"bad\" model=\"res.partner\"><field name=\"name\">x</field><field name=\"parent_id\" ref=\"nobody.has_this\"/></record>\n</odoo>\n",
            ),
        ] {
            std::fs::write(module.join(file), content).expect("a file can be written");
        }
    }
    at.to_owned()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to).status().expect("cp starts");
    assert!(copied.success(), "cp {} {}", from.display(), to.display());
}

/// Where templates for this cache are kept.
fn kept(cache: &Path) -> PathBuf {
    let mut text = BUILDERS.concat();
    for series in SERIES {
        text.push_str(
            &std::fs::read_to_string(cache.join("odoo").join(series).join("stamp")).expect("there is a stamp"),
        );
    }
    let postgres = Command::new("sh")
        .args(["-c", "for p in /usr/lib/postgresql/*/bin/postgres; do $p --version; done"])
        .output()
        .expect("sh starts");
    text.push_str(&String::from_utf8_lossy(&postgres.stdout));
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("templates").join(Digest::of_bytes(text.as_bytes()).short())
}

/// Whether a template's folder holds what its manifest and its name say.
fn verifies(template: &Path) -> bool {
    let Ok(bytes) = std::fs::read(template.join("manifest.json")) else { return false };
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else { return false };
    let named = template.file_name().is_some_and(|name| name == manifest.spec.key().as_str());
    let size = size(&template.join("pgdata")) + size(&template.join("filestore"));
    named && manifest.odoo_package.is_some() && size == manifest.bytes
}

fn size(path: &Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return meta.len();
    }
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
}

fn folders(of: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(of).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Puts every kept template that verifies into a state folder.
pub fn seed(state: &Path, cache: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    let to = state.join("estate/templates");
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&to).expect("a folder can be made");
    for template in folders(&kept(cache)).iter().filter(|template| verifies(template)) {
        copy(template, &to.join(template.file_name().expect("it has a name")));
    }
}

/// Keeps the templates of a state folder for the next test.
pub fn keep(state: &Path, cache: &Path) {
    let kept = kept(cache);
    let all = kept.parent().expect("it has a parent");
    for other in folders(all).into_iter().filter(|other| *other != kept) {
        let _ = std::fs::remove_dir_all(other);
    }
    std::fs::create_dir_all(&kept).expect("a folder can be made");
    for template in folders(&state.join("estate/templates")).iter().filter(|template| verifies(template)) {
        let to = kept.join(template.file_name().expect("it has a name"));
        if !to.exists() {
            let new = to.with_extension(format!("new{}", std::process::id()));
            copy(template, &new);
            std::fs::rename(&new, &to).expect("it can be renamed");
        }
    }
}

//! The add-on's part, against the code of the real Odoo of both series: their own `ir.attachment` collects in a folder,
//! with a database that is a list. Needs the roots that `make setup` puts into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPT: &str = include_str!("addon.py");

fn run(series: &str, changed: bool) -> String {
    let root = PathBuf::from(format!("/var/cache/springtide/odoo/{series}/root"));
    assert!(root.join("usr/bin/odoo").exists(), "the Odoo {series} root is missing: run `make setup`");
    let folder = tempfile::tempdir().unwrap();
    let addon = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../addons/springtide_runtime/collection.py");
    fs::copy(addon, folder.path().join("collection.py")).unwrap();
    fs::write(folder.path().join("test.py"), SCRIPT).unwrap();
    // The root is shared with every other test: what is made lies in a folder of ours, mounted for this command only.
    let mount = "mount -t proc proc \"$2/proc\" && mount --bind \"$1\" \"$2/mnt\" && exec chroot \"$2\" /usr/bin/python3 -B /mnt/test.py \"$3\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-c", mount, "sh"]);
    command.arg(folder.path()).arg(&root).arg(if changed { "changed" } else { "as it is" });
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    let ran = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{series}: {out}\n{err}");
    out.into_owned()
}

#[test]
fn odoo_collects_what_is_mirrored_and_leaves_what_is_not() {
    for series in ["14.0", "19.0"] {
        let out = run(series, true);
        assert!(out.contains("9 checks of the add-on hold"), "{series}: {out}");
    }
}

/// The control: Odoo as it is collects what is not mirrored, so the checks see the difference.
#[test]
fn odoo_as_it_is_collects_what_is_not_mirrored() {
    for series in ["14.0", "19.0"] {
        let out = run(series, false);
        assert!(out.contains("collected: mirrored, not mirrored"), "{series}: {out}");
    }
}

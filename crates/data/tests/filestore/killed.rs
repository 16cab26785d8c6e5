//! A push that is killed: nothing half under a good name, and the next one finishes.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use object_store::local::LocalFileSystem;
use secrecy::SecretString;
use springtide_data::filestore::{FilesKey, Filestore, Limits, Mirror, Sample};

use super::odoo::{DATABASE, Odoo, content, quick};

const CHILD: &str = "SPRINGTIDE_TEST_PUSH_CHILD";
const KEY: &str = "SPRINGTIDE_TEST_PUSH_KEY";

fn mirror(folder: &std::path::Path, key: FilesKey, rate: u32) -> Mirror {
    let store = LocalFileSystem::new_with_prefix(folder.join("near")).unwrap().with_fsync(true);
    let limits = Limits { bytes_per_second: rate.try_into().ok(), ..Limits::default() };
    Mirror::new("near", std::sync::Arc::new(store), key, folder.join("local"), limits)
}

/// What the child does: the same push, slow enough to be killed in it.
fn child(folder: PathBuf) {
    let key = FilesKey::parse(&SecretString::from(std::env::var(KEY).unwrap())).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let filestore = Filestore::open(&folder.join("data"), DATABASE).unwrap();
    let pushed = runtime.block_on(mirror(&folder, key, 10 << 20).push(&filestore, &quick()));
    std::process::exit(i32::from(pushed.is_err()));
}

#[test]
fn killed_in_mid_push_nothing_is_half_and_the_next_push_finishes() {
    if let Ok(folder) = std::env::var(CHILD) {
        return child(folder.into());
    }
    let mut odoo = Odoo::new();
    for number in 0..150 {
        odoo.create(&content(number, 20_000 + number * 10));
    }
    for number in 0..3 {
        odoo.create(&content(900 + number, 17 << 20));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("near")).unwrap();
    std::os::unix::fs::symlink(odoo.data.path(), folder.path().join("data")).unwrap();
    let key = FilesKey::generate();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut last, mut cut_off) = (0, 0);
    for after_ms in [60, 250, 500, 800, 1_200, 1_700] {
        let secret = key.secret();
        let mut push = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::killed_in_mid_push_nothing_is_half_and_the_next_push_finishes"])
            .env(CHILD, folder.path())
            .env(KEY, secrecy::ExposeSecret::expose_secret(&secret))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        push.kill().unwrap();
        cut_off += usize::from(push.wait().unwrap().signal() == Some(9));
        let verified = runtime.block_on(mirror(folder.path(), key.clone(), u32::MAX).verify(&Sample::All)).unwrap();
        assert!(verified.good(), "killed after {after_ms} ms: {verified:?}");
        assert!(verified.good >= last, "killed after {after_ms} ms: {} after {last}", verified.good);
        last = verified.good;
    }
    assert!(cut_off >= 4 && last > 0 && last < 153, "{cut_off} were cut off and {last} files came: nothing was tried");
    let whole = mirror(folder.path(), key, u32::MAX);
    let pushed = runtime.block_on(whole.push(&odoo.filestore(), &quick())).unwrap();
    assert_eq!((pushed.new + pushed.skipped, pushed.skipped >= last, pushed.whole()), (153, true, true), "{pushed:?}");
    let verified = runtime.block_on(whole.verify(&Sample::All)).unwrap();
    assert!(verified.good() && verified.good == 153);
}

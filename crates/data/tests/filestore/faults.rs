//! What Odoo's folder and the store do to a push.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use springtide_data::filestore::{FilesError, FilesKey, Filestore, PushOptions, Sample, push, sha1_of};

use super::odoo::{DATABASE, Odoo, Place, content, quick};
use super::stores::{Failing, Store};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_of_odoos_is_told_and_left() {
    let mut odoo = Odoo::new();
    let good = odoo.create(b"good");
    let secret = odoo.data.path().join("secret");
    fs::write(&secret, b"not for the mirror").unwrap();
    let hostile = sha1_of(b"not for the mirror").to_string();
    let folder = odoo.folder();
    let in_own = folder.join(&hostile[..2]);
    fs::create_dir_all(&in_own).unwrap();
    // Even a link whose target has the link's name as its SHA-1 is not followed.
    symlink(&secret, in_own.join(&hostile)).unwrap();
    let hex = |text: &str| sha1_of(text.as_bytes()).to_string();
    let place_for = |text: &str| {
        let hex = hex(text);
        fs::create_dir_all(folder.join(&hex[..2])).unwrap();
        folder.join(&hex[..2]).join(hex)
    };
    nix::unistd::mkfifo(&place_for("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(place_for("socket")).unwrap();
    fs::create_dir(place_for("folder")).unwrap();
    symlink(odoo.data.path(), folder.join("ab"))
        .unwrap_or_else(|_| symlink(odoo.data.path(), folder.join("ac")).unwrap());
    fs::write(in_own.join("name with\nnewline"), b"x").unwrap();
    fs::write(in_own.join(hex("upper").to_uppercase()), b"upper").unwrap();
    fs::write(in_own.join(std::ffi::OsStr::new("\u{1b}[31m")), b"x").unwrap();
    fs::write(folder.join("loose"), b"x").unwrap();
    fs::create_dir(folder.join("not-hex")).unwrap();
    // Whole, under its name, and in another file's folder: a restore would not find it there.
    let astray = hex("astray");
    let elsewhere = if astray.starts_with("00") { "01" } else { "00" };
    fs::create_dir_all(folder.join(elsewhere)).unwrap();
    fs::write(folder.join(elsewhere).join(&astray), b"astray").unwrap();

    let place = Place::new("near", Store::memory(), &FilesKey::generate());
    let pushed = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    assert_eq!((pushed.files, pushed.new), (1, 1), "{pushed:?}");
    assert_eq!(pushed.refused.count, 11, "{:?}", pushed.refused);
    assert!(pushed.refused.told.iter().all(|(path, _)| !path.contains(['\n', '\u{1b}'])), "{:?}", pushed.refused);
    let why = |part: &str| {
        let told = pushed.refused.told.iter().find(|(path, _)| path.contains(part));
        told.map(|(_, why)| why.as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!(why(&hostile), "a link");
    assert_eq!(why(&hex("fifo")), "neither file nor link");
    assert_eq!(why(&astray), "it lies in another file's folder");
    let verified = place.mirror.verify(&Sample::All).await.unwrap();
    assert_eq!((verified.good, place.store.has(&good.object()).await), (1, true));

    // A filestore that is a link itself, or whose parent is one, is refused.
    let aside = odoo.data.path().join("aside");
    fs::rename(&folder, &aside).unwrap();
    symlink(&aside, &folder).unwrap();
    let error = Filestore::open(odoo.data.path(), DATABASE).unwrap_err();
    assert!(matches!(error, FilesError::Source { .. }) && error.code() == "E1020", "{error}");
    for name in ["..", ".", "", "a/b"] {
        assert!(Filestore::open(odoo.data.path(), name).is_err(), "{name}");
    }
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    assert!(Filestore::open(odoo.data.path(), DATABASE).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_told_and_never_under_the_good_name() {
    let mut odoo = Odoo::new();
    let good = odoo.create(&content(1, 5_000));
    let large = odoo.create(&content(2, 9 << 20));
    let small = odoo.create(&content(3, 5_000));
    for name in [&large, &small] {
        let half = fs::metadata(odoo.path(name)).unwrap().len() / 2
            + (4 << 20).min(fs::metadata(odoo.path(name)).unwrap().len() / 3);
        fs::OpenOptions::new().write(true).open(odoo.path(name)).unwrap().set_len(half).unwrap();
    }
    for (kind, store) in Store::all() {
        let place = Place::new("near", store, &FilesKey::generate());
        let pushed = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
        let mut told: Vec<_> = pushed.wrong.iter().map(|wrong| wrong.name).collect();
        told.sort();
        let mut expected = vec![large, small];
        expected.sort();
        assert_eq!((told, pushed.new), (expected, 1), "{kind}: {pushed:?}");
        assert!(place.store.has(&good.object()).await, "{kind}");
        for wrong in &pushed.wrong {
            assert!(!place.store.has(&wrong.name.object()).await, "{kind}");
            let kept = wrong.name.wrong_object(&wrong.found.unwrap());
            assert!(kept.as_ref().starts_with("wrong/") && place.store.has(&kept).await, "{kind}: {kept}");
        }
        assert_eq!(pushed.acknowledged, Ok(3), "{kind}: what is wrong is kept as well");
        // It is told again, and not read again.
        let again = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
        assert_eq!((again.wrong.len(), again.places[0].sent), (2, 0), "{kind}");
        assert!(again.wrong.iter().all(|wrong| wrong.found.is_none()), "{kind}");
        assert!(place.mirror.verify(&Sample::All).await.unwrap().good(), "{kind}");
        // Nothing of its parts is left in the folder.
        if let Some(folder) = &place.store.folder {
            assert_eq!(staged(folder), 0, "{kind}");
        }
    }
    // Written anew by somebody, it is mirrored.
    fs::write(odoo.path(&small), content(3, 5_000)).unwrap();
    let place = Place::new("near", Store::memory(), &FilesKey::generate());
    let pushed = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    assert_eq!((pushed.new, pushed.wrong.len()), (2, 1));
}

/// Files that a store in a folder has not given their name.
pub fn staged(folder: &std::path::Path) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap().flatten() {
        found += match entry.file_type().unwrap().is_dir() {
            true => staged(&entry.path()),
            false => usize::from(entry.file_name().to_string_lossy().contains('#')),
        };
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_written_is_read_again_and_not_called_wrong() {
    let odoo = Odoo::new();
    let whole = content(7, 200_000);
    let name = sha1_of(&whole);
    let path = odoo.path(&name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&whole[..100_000]).unwrap();
    let place = Place::new("near", Store::memory(), &FilesKey::generate());
    let options = PushOptions { again_after: Duration::from_millis(600), ..PushOptions::default() };
    let rest = whole[100_000..].to_vec();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        file.write_all(&rest).unwrap();
    });
    let pushed = place.mirror.push(&odoo.filestore(), &options).await.unwrap();
    writer.join().unwrap();
    assert_eq!((pushed.new, pushed.wrong.len(), pushed.unsettled.len()), (1, 0, 0), "{pushed:?}");
    assert!(pushed.whole());

    // Still growing at the second reading: told as unsettled, and taken by the next push.
    let slow = content(8, 90_000);
    let name = sha1_of(&slow);
    let path = odoo.path(&name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&slow[..10_000]).unwrap();
    let rest = slow.clone();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        file.write_all(&rest[10_000..20_000]).unwrap();
        std::thread::sleep(Duration::from_millis(1_500));
        file.write_all(&rest[20_000..]).unwrap();
    });
    let pushed = place.mirror.push(&odoo.filestore(), &options).await.unwrap();
    assert_eq!((pushed.unsettled.as_slice(), pushed.wrong.len()), ([name].as_slice(), 0), "{pushed:?}");
    assert!(!pushed.whole() && !place.store.has(&name.object()).await);
    writer.join().unwrap();
    let pushed = place.mirror.push(&odoo.filestore(), &options).await.unwrap();
    assert!(pushed.whole() && pushed.new == 1 && place.store.has(&name.object()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_away_is_named_and_does_not_hold_up_the_other() {
    let mut odoo = Odoo::new();
    for number in 0..40 {
        odoo.create(&content(number, 2_000));
    }
    odoo.create(&content(99, 17 << 20));
    let key = FilesKey::generate();
    let near = Place::new("near", Store::folder(), &key);
    let failing = Failing::new(Store::memory().store);
    let far = Place::new("far", Store::of(failing.clone()), &key);
    // Away from the start: nothing can be asked.
    failing.blind.store(1, Ordering::SeqCst);
    let pushed = push(&odoo.filestore(), &[&near.mirror, &far.mirror], &quick()).await.unwrap();
    assert_eq!((pushed.places[0].new, pushed.places[0].trouble.is_none()), (41, true));
    let trouble = pushed.places[1].trouble.as_ref().unwrap();
    assert!(trouble.to_string().contains("far") && trouble.code().starts_with("E100"), "{trouble}");
    assert!(!pushed.whole() && pushed.acknowledged.is_err(), "what the far one lacks is not acknowledged");
    failing.blind.store(0, Ordering::SeqCst);

    // Away after ten writes, in the middle of files and parts.
    failing.writes_left.store(10, Ordering::SeqCst);
    let pushed = push(&odoo.filestore(), &[&near.mirror, &far.mirror], &quick()).await.unwrap();
    let place = &pushed.places[1];
    assert!(place.new >= 1 && place.new < 41 && place.failures >= 1 && !place.failed.is_empty(), "{place:?}");
    assert!(failing.writes.load(Ordering::SeqCst) < 40, "it is left alone after some failures");
    assert!(place.trouble.is_some() && !pushed.whole());
    assert_eq!(pushed.acknowledged, Ok(place.new), "only what both have");
    let verified = far.mirror.verify(&Sample::All).await.unwrap();
    assert_eq!((verified.good, verified.good()), (place.new, true), "nothing half is under a name");

    // Back again: the rest follows.
    failing.writes_left.store(-1, Ordering::SeqCst);
    let pushed = push(&odoo.filestore(), &[&near.mirror, &far.mirror], &quick()).await.unwrap();
    assert!(pushed.whole() && far.mirror.verify(&Sample::All).await.unwrap().good == 41, "{pushed:?}");

    // A store that cannot be asked is no damage.
    failing.blind.store(1, Ordering::SeqCst);
    assert!(far.mirror.verify(&Sample::All).await.is_err());
    assert_eq!(failing.deletes.load(Ordering::SeqCst), 0, "pushing never deletes");
}

/// In a mount namespace of its own, so that nobody else sees the small disk.
#[test]
fn a_full_disk_is_told_and_leaves_nothing_half() {
    let work = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(none, "/", none, private, none).unwrap();
        let small = tempfile::tempdir().unwrap();
        let options = Some("size=3m");
        nix::mount::mount(Some("tmpfs"), small.path(), Some("tmpfs"), nix::mount::MsFlags::empty(), options).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(on_a_small_disk(small.path()));
        drop(runtime);
        nix::mount::umount2(small.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    };
    std::thread::spawn(work).join().unwrap();
}

async fn on_a_small_disk(small: &std::path::Path) {
    let mut odoo = Odoo::new();
    for number in 0..10 {
        odoo.create(&content(number, 500_000));
    }
    odoo.create(&content(50, 9 << 20));
    let key = FilesKey::generate();
    let store = LocalFileSystem::new_with_prefix(small).unwrap().with_fsync(true);
    let near = Place::new("near", Store::of(std::sync::Arc::new(store)), &key);
    let pushed = push(&odoo.filestore(), &[&near.mirror], &quick()).await.unwrap();
    let trouble = pushed.places[0].trouble.as_ref().unwrap();
    assert!(trouble.to_string().contains("No space left"), "{trouble}");
    assert!(pushed.places[0].new < 7 && !pushed.whole(), "{pushed:?}");
    assert_eq!(pushed.new, pushed.places[0].new);
    let verified = near.mirror.verify(&Sample::All).await.unwrap();
    assert!(verified.good(), "{verified:?}");
    assert_eq!(verified.good, pushed.places[0].new);

    // Restoring onto it: told, nothing half under a name; with room it goes on.
    let (far, into) = (Place::new("far", Store::memory(), &key), small.join("into"));
    far.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    for entry in fs::read_dir(small).unwrap().flatten() {
        fs::remove_dir_all(entry.path()).unwrap();
    }
    let owner = springtide_core::workload::UserSpec { uid: 0, gid: 0 };
    let refused = springtide_data::filestore::restore(odoo.rows(), &into, owner, &far.mirror, None).await.unwrap_err();
    assert!(matches!(&refused, FilesError::Into { .. }) && refused.code() == "E1025", "{refused}");
    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(source.contains("No space left"), "{source}");
    let mut there = 0;
    for folder in fs::read_dir(&into).unwrap().flatten() {
        for file in fs::read_dir(folder.path()).unwrap().flatten() {
            let (bytes, name) = (fs::read(file.path()).unwrap(), file.file_name().into_string().unwrap());
            assert_eq!(sha1_of(&bytes).to_string(), name, "half a file under a name");
            there += 1;
        }
    }
    assert!(there < 11);
}

//! What a mirror does on every kind of store.

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use springtide_core::workload::UserSpec;
use springtide_data::filestore::{
    FilesError, FilesKey, Filestore, Limits, Progress, PushOptions, Sample, check, push, restore, sha1_of,
};

use super::odoo::{Odoo, Place, content, quick};
use super::stores::{Failing, Store};

/// Around every border: empty, age's chunks, our blocks, one part, several parts.
const SIZES: [usize; 13] =
    [0, 1, 100, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1 << 20, 8 << 20, (8 << 20) + 1, 20 << 20];

fn me() -> UserSpec {
    UserSpec { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_verified_and_restored_byte_by_byte() {
    for (kind, store) in Store::all() {
        round_trip(kind, store).await;
    }
}

/// The contract, for whoever brings another kind of store.
pub async fn round_trip(kind: &str, store: Store) {
    let mut odoo = Odoo::new();
    for (number, bytes) in SIZES.into_iter().enumerate() {
        odoo.create(&content(number, bytes));
    }
    let key = FilesKey::generate();
    let place = Place::new("near", store, &key);
    let pushed = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    assert_eq!((pushed.files, pushed.new, pushed.skipped), (13, 13, 0), "{kind}");
    assert_eq!(pushed.bytes, SIZES.iter().sum::<usize>() as u64, "{kind}");
    assert!(pushed.whole() && pushed.wrong.is_empty(), "{kind}: {pushed:?}");
    assert_eq!(pushed.acknowledged, Ok(13), "{kind}");

    // The names are those that were agreed on, and nothing readable is stored.
    let big = sha1_of(&content(12, 20 << 20));
    let stored = place.store.bytes(&Path::from(format!("files/{}/{big}", &big.to_string()[..2]))).await;
    assert!(stored.starts_with(b"age-encryption.org/v1\n"), "{kind}");
    let plain = content(12, 20 << 20);
    assert!(!stored.windows(32).step_by(4096).any(|window| window == &plain[..32]), "{kind}");

    let again = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    assert_eq!((again.new, again.skipped, again.bytes, again.places[0].sent), (0, 13, 0, 0), "{kind}");

    let verified = place.mirror.verify(&Sample::All).await.unwrap();
    assert!(verified.good() && verified.code().is_none(), "{kind}: {verified:?}");
    assert_eq!((verified.checked, verified.good, verified.bytes), (13, 13, pushed.bytes), "{kind}");

    let into = odoo.data.path().join("restored/filestore/shop");
    fs::create_dir_all(into.parent().unwrap()).unwrap();
    let restored = restore(odoo.rows(), &into, me(), &place.mirror, None).await.unwrap();
    assert!(restored.whole() && restored.from_far.is_empty(), "{kind}: {restored:?}");
    assert_eq!((restored.files, restored.bytes, restored.kept), (13, pushed.bytes, 0), "{kind}");
    for name in &odoo.rows {
        let hex = name.to_string();
        let there = fs::read(into.join(&hex[..2]).join(&hex)).unwrap();
        assert!(there == fs::read(odoo.path(name)).unwrap(), "{kind}: {name}");
    }
    let of_it = Filestore::open(&odoo.data.path().join("restored"), "shop").unwrap();
    let checked = check(&of_it, odoo.rows(), 2).await.unwrap();
    assert!(checked.good(), "{kind}: {checked:?}");
    assert_eq!((checked.good, checked.bytes), (13, pushed.bytes), "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reading_feeds_two_mirrors_and_each_gets_what_it_lacks() {
    let mut odoo = Odoo::new();
    let key = FilesKey::generate();
    let (near, far) = (Place::new("near", Store::folder(), &key), Place::new("far", Store::memory(), &key));
    let first = odoo.create(&content(1, 300_000));
    near.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    let second = odoo.create(&content(2, 9 << 20));
    let pushed = push(&odoo.filestore(), &[&near.mirror, &far.mirror], &quick()).await.unwrap();
    assert!(pushed.whole(), "{pushed:?}");
    // Both were read once: the first for one mirror, the second for two.
    assert_eq!((pushed.new, pushed.bytes), (2, 300_000 + (9 << 20)));
    let of = |at: usize| (pushed.places[at].place.as_str(), pushed.places[at].new, pushed.places[at].skipped);
    assert_eq!((of(0), of(1)), (("near", 1, 1), ("far", 2, 0)));
    for place in [&near, &far] {
        assert_eq!(place.mirror.verify(&Sample::All).await.unwrap().good, 2);
        assert!(place.store.has(&first.object()).await && place.store.has(&second.object()).await);
    }
    // One sealing for both: the bytes are the same.
    assert_eq!(near.store.bytes(&second.object()).await, far.store.bytes(&second.object()).await);

    let other = Place::new("other", Store::memory(), &FilesKey::generate());
    let refused = push(&odoo.filestore(), &[&near.mirror, &other.mirror], &quick()).await.unwrap_err();
    assert!(matches!(&refused, FilesError::KeysDiffer(..)) && refused.code() == "E1021", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_saves_listings_and_may_be_thrown_away() {
    let mut odoo = Odoo::new();
    let key = FilesKey::generate();
    let failing = Failing::new(Store::memory().store);
    let place = Place::new("near", Store::of(failing.clone()), &key);
    let lists = || failing.lists.load(Ordering::SeqCst);
    let writes = || failing.writes.load(Ordering::SeqCst);
    let continuous = PushOptions { again_after: Duration::from_millis(50), ..PushOptions::continuous() };
    odoo.create(b"one");
    place.mirror.push(&odoo.filestore(), &continuous).await.unwrap();
    assert_eq!(lists(), 1);
    odoo.create(b"two");
    let pushed = place.mirror.push(&odoo.filestore(), &continuous).await.unwrap();
    assert_eq!((lists(), pushed.new, pushed.skipped), (1, 1, 1), "the index is fresh");
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    assert_eq!(lists(), 2, "asked to list, it lists");

    // Thrown away, or damaged: nothing is sent twice, nothing is left out.
    let before = writes();
    fs::remove_file(place.index()).unwrap();
    let pushed = place.mirror.push(&odoo.filestore(), &continuous).await.unwrap();
    assert_eq!((pushed.new, pushed.skipped, writes()), (0, 2, before));
    fs::write(place.index(), b"\xff\xfe nonsense\n+zz\n").unwrap();
    let pushed = place.mirror.push(&odoo.filestore(), &continuous).await.unwrap();
    assert_eq!((pushed.new, pushed.skipped, writes()), (0, 2, before));

    // The same local folder with an empty bucket: the old index is not believed.
    let empty = Store::memory();
    let moved = springtide_data::filestore::Mirror::new(
        "near",
        empty.store.clone(),
        key.clone(),
        place.local.path().join("files"),
        Limits::default(),
    );
    let pushed = moved.push(&odoo.filestore(), &continuous).await.unwrap();
    assert_eq!((pushed.new, pushed.skipped), (2, 0), "another bucket's index would have left it empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_and_progress_is_told() {
    let mut odoo = Odoo::new();
    for number in 0..8 {
        odoo.create(&content(number, 128 << 10));
    }
    let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let options = || {
        let told = told.clone();
        let tell: springtide_data::filestore::Tell = Arc::new(move |progress| told.lock().unwrap().push(progress));
        PushOptions { tell: Some(tell), ..quick() }
    };
    let key = FilesKey::generate();
    let free = Place::new("free", Store::memory(), &key);
    let started = Instant::now();
    free.mirror.push(&odoo.filestore(), &options()).await.unwrap();
    let unlimited = started.elapsed();
    let last = told.lock().unwrap().iter().copied().max_by_key(|it| it.files).unwrap();
    let total = Progress { files: 8, bytes: 1 << 20, files_total: 8, bytes_total: 1 << 20 };
    assert_eq!((told.lock().unwrap().len(), last), (8, total));

    let limits = Limits { bytes_per_second: (512 << 10).try_into().ok(), ..Limits::default() };
    let limited = Place::limited("limited", Store::memory(), &key, limits);
    let started = Instant::now();
    limited.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    let slowed = started.elapsed();
    // 1 MiB at 512 KiB a second, of which a quarter second's share goes at once.
    assert!(slowed >= Duration::from_millis(1_600), "{slowed:?}");
    assert!(
        unlimited < Duration::from_millis(1_600),
        "without a limit it took {unlimited:?}, so the limit is not seen"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_are_refused_by_name() {
    let mut odoo = Odoo::new();
    odoo.create(&content(1, 1 << 20));
    let key = FilesKey::generate();
    let limits = Limits { bytes_per_second: (512 << 10).try_into().ok(), ..Limits::default() };
    let place = Place::limited("near", Store::memory(), &key, limits);
    let (mirror, filestore) = (place.mirror.clone(), odoo.filestore());
    let first = tokio::spawn(async move { mirror.push(&filestore, &quick()).await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    let second = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap_err();
    assert!(matches!(&second, FilesError::Busy { place } if place == "near") && second.code() == "E1024", "{second}");
    assert_eq!(first.await.unwrap().unwrap().new, 1);
    assert_eq!(place.mirror.push(&odoo.filestore(), &quick()).await.unwrap().skipped, 1, "the lock is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_holds_nothing_but_what_was_agreed_on() {
    let mut odoo = Odoo::new();
    odoo.create(b"one");
    let place = Place::new("near", Store::memory(), &FilesKey::generate());
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    let objects: Vec<String> =
        place.store.store.list(None).map_ok(|it| it.location.to_string()).try_collect().await.unwrap();
    let name = sha1_of(b"one").to_string();
    assert_eq!(objects, [format!("files/{}/{name}", &name[..2]), "files/mirror.json".to_owned()]);
    let identity = String::from_utf8(place.store.bytes(&Path::from("files/mirror.json")).await).unwrap();
    assert!(!identity.contains("AGE-SECRET") && !identity.contains("age1"), "{identity}");
}

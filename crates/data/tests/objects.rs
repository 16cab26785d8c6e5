//! The contract of places: a folder and a bucket behave alike. And the proof of immutability against a store that
//! is, one that is not, and planted faults. Needs the stores that `scripts/setup --tests` puts in place.
#![allow(clippy::unwrap_used, missing_docs)]

mod stores;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, WriteMultipart,
};
use secrecy::SecretString;
use springtide_data::objects::immutable::{Attempt, Hole, Proving, Refused, Report, Verdict, prove_with};
use springtide_data::objects::s3::{DefaultRetention, Retention, RetentionMode, S3, Versioning};
use springtide_data::objects::{Keys, ObjectsError, Patience, Place, S3Place, Trouble, open, open_with};
use stores::planted::{Plant, Planted};
use stores::{Moto, Versity, patience};

const MIB: usize = 1 << 20;

/// Names that other systems stumble over.
const HOSTILE: [&str; 14] = [
    "../../etc/passwd",
    "a/../b",
    "./c",
    "ümläut/日本語/🌊",
    "e\u{301} decomposed",
    "spaces and\ttabs",
    "new\nline",
    "per%cent/100%25",
    "plus+and&amp;=?#",
    "quote'\"back\\slash",
    "<Key>xml</Key>",
    "-rf",
    "*[a-z]{x}~|",
    "trailing dot.",
];

async fn write(store: &dyn ObjectStore, name: &str, bytes: impl Into<PutPayload>) {
    store.put(&Path::from(name), bytes.into()).await.unwrap();
}

async fn read(store: &dyn ObjectStore, name: &str) -> Vec<u8> {
    store.get(&Path::from(name)).await.unwrap().bytes().await.unwrap().to_vec()
}

async fn names(store: &dyn ObjectStore, prefix: &str) -> BTreeSet<Path> {
    let prefix = Path::from(prefix);
    let found: Vec<_> = store.list(Some(&prefix)).map_ok(|meta| meta.location).try_collect().await.unwrap();
    let set: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(set.len(), found.len(), "a name is listed twice");
    set
}

fn trouble<T: std::fmt::Debug>(place: &Place, result: object_store::Result<T>) -> Trouble {
    let error = ObjectsError::of_store("try", place, &result.unwrap_err());
    let text = format!("{error} {error:?}");
    if let Place::S3(S3Place { keys, .. }) = place {
        assert!(!text.contains(secrecy::ExposeSecret::expose_secret(&keys.secret)), "{text}");
    }
    error.trouble().unwrap()
}

/// What every place does.
async fn contract(place: &Place) {
    let store = open(place, "files/shop").unwrap();
    let store = &*store;
    assert!(names(store, "").await.is_empty(), "a fresh place is empty");
    if let Place::S3(S3Place { keys, .. }) = place {
        assert!(!format!("{store:?} {store}").contains(secrecy::ExposeSecret::expose_secret(&keys.secret)));
    }

    // Whole objects: empty, binary, overwritten.
    let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    write(store, "empty", Vec::new()).await;
    write(store, "dir/binary", binary.clone()).await;
    write(store, "dir/text", b"old".to_vec()).await;
    write(store, "dir/text", b"new text".to_vec()).await;
    assert_eq!(read(store, "empty").await, b"");
    assert_eq!(read(store, "dir/binary").await, binary);
    assert_eq!(read(store, "dir/text").await, b"new text");
    assert_eq!(store.head(&Path::from("dir/binary")).await.unwrap().size, 100_000);
    assert_eq!(names(store, "dir").await, ["dir/binary", "dir/text"].map(Path::from).into());
    let top = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(top.common_prefixes, [Path::from("dir")]);
    assert_eq!(top.objects.iter().map(|meta| meta.location.clone()).collect::<Vec<_>>(), [Path::from("empty")]);

    // Another part of the same place does not see them, and cannot.
    let records = open(place, "records").unwrap();
    assert!(names(&*records, "").await.is_empty());
    assert_eq!(trouble(place, records.get(&Path::from("../files/shop/empty")).await), Trouble::Missing);
    assert!(names(&*open(place, "files").unwrap(), "").await.contains(&Path::from("shop/dir/text")));

    // Create only what is not there.
    let create = || PutOptions::from(PutMode::Create);
    let once = Path::from("once");
    store.put_opts(&once, "first".into(), create()).await.unwrap();
    let second = store.put_opts(&once, "second".into(), create()).await;
    assert_eq!(trouble(place, second), Trouble::Conflict);
    assert_eq!(read(store, "once").await, b"first");
    // Of many at once one wins.
    let all: Vec<_> = (0..8)
        .map(|number| {
            let race = Path::from("race");
            async move { store.put_opts(&race, format!("{number}").into(), create()).await.is_ok() }
        })
        .collect();
    let winners: Vec<bool> = stream::iter(all).buffer_unordered(8).collect().await;
    assert_eq!(winners.iter().filter(|won| **won).count(), 1, "of eight that create one name one wins");

    ranges(place, store, &binary).await;
    multipart(place, store).await;
    missing(place, store).await;
    hostile(store).await;
    many(store).await;
}

async fn ranges(place: &Place, store: &dyn ObjectStore, binary: &[u8]) {
    let path = Path::from("dir/binary");
    assert_eq!(store.get_range(&path, 100..356).await.unwrap(), binary[100..356]);
    let parts = store.get_ranges(&path, &[0..1, 99_999..100_000, 7..9]).await.unwrap();
    assert_eq!(parts, [&binary[..1], &binary[99_999..], &binary[7..9]]);
    let options = |range| GetOptions { range: Some(range), ..GetOptions::default() };
    let tail = store.get_opts(&path, options(GetRange::Suffix(10))).await.unwrap().bytes().await.unwrap();
    assert_eq!(tail, binary[99_990..]);
    let rest = store.get_opts(&path, options(GetRange::Offset(99_000))).await.unwrap().bytes().await.unwrap();
    assert_eq!(rest, binary[99_000..]);
    let beyond = store.get_opts(&path, options(GetRange::Offset(100_001))).await;
    assert!(!matches!(trouble(place, beyond.map(|_| ())), Trouble::Missing | Trouble::Refused));
}

async fn multipart(place: &Place, store: &dyn ObjectStore) {
    let large: Vec<u8> =
        (0..23 * MIB as u64 / 8).flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()).collect();
    let path = Path::from("large");
    let mut writer = WriteMultipart::new_with_chunk_size(store.put_multipart(&path).await.unwrap(), 5 * MIB);
    for piece in large.chunks(3 * MIB + 17) {
        writer.write(piece);
    }
    // It is not there before it is whole.
    assert_eq!(trouble(place, store.head(&path).await), Trouble::Missing);
    assert!(!names(store, "").await.contains(&path));
    writer.finish().await.unwrap();
    assert!(read(store, "large").await == large, "a large object reads back differently");
    let mut given_up = store.put_multipart(&Path::from("given-up")).await.unwrap();
    given_up.put_part(vec![1; 5 * MIB].into()).await.unwrap();
    given_up.abort().await.unwrap();
    assert_eq!(trouble(place, store.head(&Path::from("given-up")).await), Trouble::Missing);
}

async fn missing(place: &Place, store: &dyn ObjectStore) {
    let nothing = Path::from("no/such/thing");
    assert_eq!(trouble(place, store.get(&nothing).await), Trouble::Missing);
    assert_eq!(trouble(place, store.head(&nothing).await), Trouble::Missing);
    assert!(names(store, "no/such").await.is_empty());
    let text = Path::from("dir/text");
    store.delete(&text).await.unwrap();
    assert_eq!(trouble(place, store.get(&text).await), Trouble::Missing);
    assert_eq!(names(store, "dir").await, [Path::from("dir/binary")].into());
}

async fn hostile(store: &dyn ObjectStore) {
    for name in HOSTILE {
        write(store, &format!("hostile/{name}"), name.as_bytes().to_vec()).await;
    }
    let found = names(store, "hostile").await;
    assert_eq!(found.len(), HOSTILE.len(), "{found:?}");
    for name in HOSTILE {
        let path = Path::from(format!("hostile/{name}"));
        assert!(found.contains(&path), "{name:?} is not listed: {found:?}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), name, "{name:?}");
    }
    store.delete_stream(stream::iter(found.into_iter().map(Ok)).boxed()).try_collect::<Vec<_>>().await.unwrap();
    assert!(names(store, "hostile").await.is_empty());
}

/// More than a page of a list.
async fn many(store: &dyn ObjectStore) {
    let wanted: BTreeSet<_> = (0..1100).map(|number| Path::from(format!("many/{number}"))).collect();
    let writes = wanted.iter().map(|path| async move { store.put(path, "x".into()).await.map(drop) });
    stream::iter(writes).buffer_unordered(16).try_collect::<Vec<()>>().await.unwrap();
    assert_eq!(names(store, "many").await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_the_contract() {
    let temp = tempfile::tempdir().unwrap();
    contract(&Place::Folder(temp.path().to_owned())).await;
    // Nothing outside, and for nobody else.
    let inside: Vec<_> = std::fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(inside.iter().map(|name| name.to_str().unwrap()).collect::<BTreeSet<_>>(), ["files", "records"].into());
    let mode =
        |path: &str| std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(temp.path().join(path)).unwrap()) & 0o777;
    assert_eq!((mode("files"), mode("files/shop")), (0o700, 0o700));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_the_contract() {
    let temp = tempfile::tempdir().unwrap();
    let mut versity = Versity::start(temp.path()).await;
    // Where everything is versioned and may be locked, with and without a prefix, and where nothing is.
    contract(&versity.place()).await;
    contract(&Place::S3(S3Place { prefix: "estates/one two/ü".into(), ..versity.place.clone() })).await;
    contract(&Place::S3(versity.bucket("plain", false).await)).await;
    refusals(&versity).await;
    admin(&versity).await;

    // A store that is away, and comes back with what it had.
    let quick = Patience { connect: Duration::from_secs(2), ..patience() };
    let store = open_with(&versity.place(), "files/shop", &quick).unwrap();
    versity.stop();
    assert_eq!(trouble(&versity.place(), store.get(&Path::from("once")).await), Trouble::Unreachable);
    versity.start_again().await;
    assert_eq!(read(&*store, "once").await, b"first");
}

/// Keys, authority and bucket that are wrong, each told apart; the right ones are the control.
async fn refusals(versity: &Versity) {
    let quick = Patience { connect: Duration::from_secs(5), ..patience() };
    let right = &versity.place;
    let secret = Keys { secret: SecretString::from("wrong".repeat(8)), ..right.keys.clone() };
    let access = Keys { access: "NOBODY".into(), ..right.keys.clone() };
    let other = stores::certificate(tempfile::tempdir().unwrap().path());
    let cases = [
        (S3Place { keys: secret, ..right.clone() }, Trouble::Refused, "E1004"),
        (S3Place { keys: access, ..right.clone() }, Trouble::Refused, "E1004"),
        (S3Place { bucket: "elsewhere".into(), ..right.clone() }, Trouble::Missing, "E1005"),
        (S3Place { authority_pem: Some(other), ..right.clone() }, Trouble::Unreachable, "E1003"),
        (S3Place { authority_pem: None, ..right.clone() }, Trouble::Unreachable, "E1003"),
    ];
    for (place, expected, code) in cases {
        let whole = Place::S3(place.clone());
        let store = open_with(&whole, "files", &quick).unwrap();
        assert_eq!(trouble(&whole, store.put(&Path::from("x"), "x".into()).await), expected, "{place:?}");
        let listed = store.list(None).try_collect::<Vec<_>>().await;
        assert_eq!(trouble(&whole, listed), expected, "{place:?}");
        let error = S3::new(&place, quick).unwrap().versioning().await.unwrap_err();
        assert_eq!((error.trouble(), error.code()), (Some(expected), code), "{error}");
    }
    assert_eq!(S3::new(right, quick).unwrap().versioning().await.unwrap(), Versioning::Enabled);
    let bad = S3Place { authority_pem: Some("no certificate".into()), ..right.clone() };
    assert_eq!(open(&Place::S3(bad), "").unwrap_err().code(), "E1002");
}

/// The calls of our own client.
async fn admin(versity: &Versity) {
    let place = versity.bucket("admin", true).await;
    let store = S3::new(&place, patience()).unwrap();
    assert_eq!(store.versioning().await.unwrap(), Versioning::Enabled);
    assert_eq!(store.object_lock().await.unwrap().unwrap().default, None);
    let default = DefaultRetention { mode: RetentionMode::Governance, days: 1 };
    store.put_default_retention(default).await.unwrap();
    assert_eq!(store.object_lock().await.unwrap().unwrap().default, Some(default));
    let plain = S3::new(&S3Place { bucket: "plain".into(), ..place.clone() }, patience()).unwrap();
    assert_eq!((plain.versioning().await.unwrap(), plain.object_lock().await.unwrap()), (Versioning::Never, None));

    // Versions, their locks and holds, under names that need encoding.
    let store = S3::new(&versity.bucket("admin2", true).await, patience()).unwrap();
    let key = "dir/ü b+%2E&<x>'\"";
    let first = store.put(key, b"one", None).await.unwrap();
    let until = Timestamp::from_second(Timestamp::now().as_second() + 600).unwrap();
    let lock = Retention { mode: RetentionMode::Governance, until };
    let second = store.put(key, b"two", Some(lock)).await.unwrap();
    assert_eq!(store.get_version(key, &first, 10).await.unwrap(), b"one");
    assert_eq!(store.get_version(key, &second, 10).await.unwrap(), b"two");
    assert_eq!(store.get_version(key, &second, 2).await.unwrap_err().trouble(), Some(Trouble::Garbled));
    assert_eq!(store.retention(key, &first).await.unwrap(), None);
    assert_eq!(store.retention(key, &second).await.unwrap(), Some(lock));
    assert_eq!(store.delete_version(key, &second, false).await.unwrap_err().trouble(), Some(Trouble::Refused));
    assert!(!store.legal_hold(key, &first).await.unwrap());
    store.put_legal_hold(key, &first, true).await.unwrap();
    assert!(store.legal_hold(key, &first).await.unwrap());
    assert_eq!(store.delete_version(key, &first, true).await.unwrap_err().trouble(), Some(Trouble::Refused));
    store.put_legal_hold(key, &first, false).await.unwrap();

    store.delete(key).await.unwrap();
    let all = store.versions("dir/", None).await.unwrap();
    let told: Vec<_> = all.versions.iter().map(|one| (one.key.as_str(), one.marker, one.bytes)).collect();
    assert_eq!(told.iter().filter(|one| **one == (key, false, 3)).count(), 2, "{all:?}");
    assert_eq!(told.iter().filter(|one| one.0 == key && one.1).count(), 1, "{all:?}");
    assert!(all.next.is_none());
    let every: Vec<_> = all.versions.iter().map(|one| (one.key.clone(), one.version.clone())).collect();
    let outcomes = store.delete_versions(&every, true).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.refused.is_none()), "{outcomes:?}");
    assert!(store.versions("", None).await.unwrap().versions.is_empty());

    // Lists go on from page to page.
    let body: &[u8] = b"x";
    let writes = (0..1050).map(|number| {
        let store = &store;
        async move { store.put(&format!("p/{number}"), body, None).await.map(drop) }
    });
    stream::iter(writes).buffer_unordered(16).try_collect::<Vec<()>>().await.unwrap();
    let (mut found, mut pages, mut next) = (BTreeSet::new(), 0, None);
    loop {
        let page = store.versions("p/", next.as_ref()).await.unwrap();
        found.extend(page.versions.into_iter().map(|one| (one.key, one.version)));
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!((found.len(), pages), (1050, 2));
    let found: Vec<_> = found.into_iter().collect();
    assert_eq!(store.delete_versions(&found, false).await.unwrap().len(), 1050);
    assert!(store.versions("", None).await.unwrap().versions.is_empty());
}

#[test]
fn a_folder_that_is_not_one_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let at = |path: &str| Place::Folder(temp.path().join(path));
    let refused = |place: &Place, below: &str| open(place, below).map(drop).unwrap_err();
    std::fs::write(temp.path().join("file"), "").unwrap();
    std::fs::create_dir(temp.path().join("near")).unwrap();
    std::os::unix::fs::symlink("/", temp.path().join("near/files")).unwrap();
    let error = refused(&at("not-mounted"), "files");
    assert_eq!(error.code(), "E1001");
    assert!(error.to_string().contains("not-mounted") && !temp.path().join("not-mounted").exists(), "{error}");
    assert_eq!(refused(&at("file"), "files").code(), "E1001");
    assert_eq!(refused(&at("near"), "files").code(), "E1001");
    assert_eq!(refused(&at("near"), "files/below").code(), "E1001");
    assert_eq!(refused(&at("near"), "../elsewhere").code(), "E1000");
    assert_eq!(refused(&Place::Folder("near".into()), "").code(), "E1000");
    open(&at("near"), "records/of/it").unwrap();
}

/// How a planted fault shows, through `object_store` and through our own client.
async fn faulty(
    plant: impl Fn(&stores::planted::Asked) -> Plant + Send + Sync + 'static,
    expected: Trouble,
    asks: usize,
) {
    let planted = Planted::start(plant).await;
    let place = Place::S3(planted.place());
    let Place::S3(bucket) = &place else { unreachable!() };
    let patience = Patience {
        connect: Duration::from_secs(2),
        read: Duration::from_millis(500),
        whole: Duration::from_secs(2),
        repeats: 2,
        repeating: Duration::from_secs(20),
    };
    let began = Instant::now();
    let store = open_with(&place, "", &patience).unwrap();
    assert_eq!(trouble(&place, store.list(None).try_collect::<Vec<_>>().await), expected);
    assert_eq!(planted.seen(), asks, "{expected:?}");
    assert_eq!(S3::new(bucket, patience).unwrap().versioning().await.unwrap_err().trouble(), Some(expected));
    assert_eq!(planted.seen(), asks * 2, "{expected:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_apart_and_bounded() {
    let error = |code: &str| format!("<Error><Code>{code}</Code><Message>planted</Message></Error>");
    for status in [500, 502, 503, 429] {
        let body = error("SlowDown");
        faulty(move |_| Plant::Answer(status, body.clone()), Trouble::Failing, 3).await;
    }
    let body = error("AccessDenied");
    faulty(move |_| Plant::Answer(403, body.clone()), Trouble::Refused, 1).await;
    let body = error("NoSuchBucket");
    faulty(move |_| Plant::Answer(404, body.clone()), Trouble::Missing, 1).await;
    let body = error("InvalidRequest");
    faulty(move |_| Plant::Answer(400, body.clone()), Trouble::Rejected, 1).await;
    faulty(|_| Plant::Silence, Trouble::Slow, 3).await;
    faulty(|_| Plant::Answer(200, "<html><body>Log in</body></html>".into()), Trouble::Garbled, 1).await;
    faulty(|_| Plant::Answer(200, "not xml".into()), Trouble::Garbled, 1).await;
    faulty(|_| Plant::Endless(200), Trouble::Garbled, 1).await;
    faulty(|_| Plant::Endless(403), Trouble::Garbled, 1).await;
    // Nobody is sent elsewhere with a signature.
    let elsewhere = Planted::start(|_| Plant::Answer(200, String::new())).await;
    let location: &'static str = format!("location: http://127.0.0.1:{}/far\r\n", elsewhere.port).leak();
    faulty(move |_| Plant::With(307, location, String::new()), Trouble::Garbled, 1).await;
    assert_eq!(elsewhere.seen(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_repeated() {
    let planted = Planted::start(|asked| match asked.number {
        0 | 1 => Plant::Answer(503, String::new()),
        _ => Plant::Answer(200, "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>".into()),
    })
    .await;
    let patience = Patience { repeats: 2, ..patience() };
    let store = S3::new(&planted.place(), patience).unwrap();
    assert_eq!(store.versioning().await.unwrap(), Versioning::Suspended);
    assert_eq!(planted.seen(), 3);
    // An object whose transfer is cut is never taken for whole.
    let planted = Planted::start(|_| Plant::Cut("half".into())).await;
    let place = Place::S3(planted.place());
    let store = open_with(&place, "", &Patience { repeats: 1, ..patience }).unwrap();
    let got = store.get(&Path::from("x")).await;
    let read = match got {
        Ok(got) => got.bytes().await,
        Err(error) => Err(error),
    };
    assert!(read.is_err(), "half an object was taken for whole: {read:?}");
}

fn quickly() -> Proving {
    Proving { hold: Duration::from_secs(40), patience: patience() }
}

#[allow(clippy::print_stdout, reason = "shown when a test fails")]
async fn proven(place: &Place) -> Report {
    let report = prove_with(place, Timestamp::now(), &quickly()).await.unwrap();
    println!("{place}: {}", report.verdict);
    for row in &report.rows {
        println!("  {:14} {:?}: {}", row.attempt.word(), row.refused, row.seen);
    }
    report
}

fn refused(report: &Report, attempt: Attempt) -> Refused {
    report.rows.iter().find(|row| row.attempt == attempt).unwrap().refused
}

#[tokio::test(flavor = "multi_thread")]
async fn immutability_is_proven() {
    let temp = tempfile::tempdir().unwrap();
    let versity = Versity::start(temp.path()).await;
    let place = Place::S3(S3Place { prefix: "shop".into(), ..versity.place.clone() });
    let report = proven(&place).await;
    assert_eq!(report.verdict, Verdict::Immutable);
    assert_eq!(report.rows.len(), Attempt::ALL.len());
    assert!(report.rows.iter().all(|row| row.refused == Refused::Yes));
    assert!(!report.covers(1), "the bucket locks nothing by itself");
    let text = serde_json::to_string(&report).unwrap();
    assert!(!text.contains(secrecy::ExposeSecret::expose_secret(&versity.place.keys.secret)));

    // A bucket that locks by itself covers as many days.
    let locking = versity.bucket("locking", true).await;
    let default = DefaultRetention { mode: RetentionMode::Compliance, days: 35 };
    S3::new(&locking, patience()).unwrap().put_default_retention(default).await.unwrap();
    let report = proven(&Place::S3(locking)).await;
    assert_eq!(report.verdict, Verdict::Immutable);
    assert!(report.covers(35) && !report.covers(36));

    // Without Object Lock there is nothing to try.
    let report = proven(&Place::S3(versity.bucket("plain", false).await)).await;
    assert_eq!(report.verdict, Verdict::NotImmutable { holes: vec![Hole::NoVersions, Hole::NoLock] });
    assert_eq!(report.verdict.code(), Some("E1009"));
    assert!(report.rows.iter().all(|row| row.refused == Refused::Unknown));

    // Nor in a folder.
    let report = proven(&Place::Folder(temp.path().to_owned())).await;
    assert_eq!(report.verdict, Verdict::NotImmutable { holes: vec![Hole::Folder] });
    free_again(&versity).await;
}

/// What a proof wrote does not stay locked for long.
async fn free_again(versity: &Versity) {
    let place = versity.bucket("short", true).await;
    let store = S3::new(&place, patience()).unwrap();
    let now = Timestamp::now();
    let how = Proving { hold: Duration::from_secs(10), ..quickly() };
    prove_with(&Place::S3(place), now, &how).await.unwrap();
    let left = store.versions("immutability/", None).await.unwrap().versions;
    assert!(left.len() > 9, "{left:?}");
    tokio::time::sleep(Duration::from_secs(12)).await;
    let all: Vec<_> = left.into_iter().map(|one| (one.key, one.version)).collect();
    let outcomes = store.delete_versions(&all, false).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.refused.is_none()), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_immutable_is_found_out() {
    let temp = tempfile::tempdir().unwrap();
    let moto = Moto::start(temp.path()).await;
    // moto lets a firm lock be shortened; nothing else.
    let report = proven(&moto.place()).await;
    assert_eq!(refused(&report, Attempt::Shorten), Refused::No);
    for kept in [Attempt::Delete, Attempt::BulkDelete, Attempt::Bypass, Attempt::BulkBypass, Attempt::Overwrite] {
        assert_eq!(refused(&report, kept), Refused::Yes, "{kept:?}");
    }
    let Verdict::NotImmutable { holes } = &report.verdict else { panic!("{:?}", report.verdict) };
    assert!(holes.contains(&Hole::Allowed(Attempt::Shorten)) && report.verdict.to_string().contains("shorten"));

    // Behind it, what else a store may do; each is one thing changed.
    let port = moto.port;
    // Locks are accepted and dropped.
    let planted =
        Planted::start(move |_| Plant::Pass(port, &["x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"]))
            .await;
    let report = proven(&Place::S3(planted.place())).await;
    assert_eq!(report.verdict, Verdict::NotImmutable { holes: vec![Hole::LockIgnored] });

    // What is locked is deleted, or replaced: the effect counts, whatever the answer says.
    for status in [204, 403] {
        let lost: Mutex<BTreeSet<String>> = Mutex::default();
        let planted = Planted::start(move |asked| {
            let mut words = asked.line.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap().to_owned());
            let name = target.split('?').next().unwrap().to_owned();
            let version = target.contains("versionId=");
            match method {
                "DELETE" if version => {
                    lost.lock().unwrap().insert(target);
                    Plant::Answer(status, String::new())
                }
                // The second write of a name.
                "PUT" if !target.contains('?') && !lost.lock().unwrap().insert(name.clone()) => {
                    lost.lock().unwrap().insert(format!("{name} again"));
                    Plant::Pass(port, &[])
                }
                "GET" if lost.lock().unwrap().contains(&target) => {
                    Plant::Answer(404, "<Error><Code>NoSuchVersion</Code></Error>".into())
                }
                "GET" if version && lost.lock().unwrap().contains(&format!("{name} again")) => {
                    Plant::Answer(200, "overwritten\n".into())
                }
                _ => Plant::Pass(port, &[]),
            }
        })
        .await;
        let report = proven(&Place::S3(planted.place())).await;
        for broken in [Attempt::Delete, Attempt::Bypass, Attempt::Overwrite] {
            assert_eq!(refused(&report, broken), Refused::No, "{broken:?}");
        }
        assert_eq!(refused(&report, Attempt::BulkDelete), Refused::Yes);
    }

    // Keys that may not delete: their refusals are no proof.
    let planted = Planted::start(move |asked| {
        let deletes = asked.line.starts_with("DELETE")
            || asked.line.starts_with("POST")
            || asked.line.contains("?retention") && asked.line.starts_with("PUT");
        if deletes {
            Plant::Answer(403, "<Error><Code>AccessDenied</Code></Error>".into())
        } else {
            Plant::Pass(port, &[])
        }
    })
    .await;
    let report = proven(&Place::S3(planted.place())).await;
    let Verdict::Unknown { untried } = &report.verdict else { panic!("{:?}", report.verdict) };
    assert_eq!(untried[..7], Attempt::ALL[..7]);
    assert!(!untried.contains(&Attempt::Overwrite));

    // A store that says done and does nothing, and one that fails.
    for plant in [Plant::Answer(204, String::new()), Plant::Answer(503, String::new())] {
        let planted =
            Planted::start(
                move |asked| {
                    if asked.line.starts_with("DELETE") { plant.clone() } else { Plant::Pass(port, &[]) }
                },
            )
            .await;
        let report = proven(&Place::S3(planted.place())).await;
        assert_eq!(refused(&report, Attempt::Delete), Refused::Unknown);
        assert_eq!(refused(&report, Attempt::Bypass), Refused::Unknown);
    }

    // A store that is away, and keys that open nothing: nothing was tried.
    let gone = S3Place { endpoint: format!("http://127.0.0.1:{}", stores::free_port()), ..moto.place.clone() };
    let planted = Planted::start(|_| Plant::Answer(403, "<Error><Code>AccessDenied</Code></Error>".into())).await;
    for place in [gone, planted.place()] {
        let report = proven(&Place::S3(place)).await;
        assert_eq!(report.verdict, Verdict::Unknown { untried: Attempt::ALL.into() });
    }

    // A lock whose time ran out while the store took long was not broken.
    let slow = Planted::start(
        move |asked| {
            if asked.line.starts_with("DELETE") { Plant::Silence } else { Plant::Pass(port, &[]) }
        },
    )
    .await;
    let patience = Patience { read: Duration::from_secs(9), whole: Duration::from_secs(9), ..patience() };
    let how = Proving { hold: Duration::from_secs(10), patience };
    let report = prove_with(&Place::S3(slow.place()), Timestamp::now(), &how).await.unwrap();
    assert_eq!(refused(&report, Attempt::Delete), Refused::Unknown);
    assert_eq!(refused(&report, Attempt::Overwrite), Refused::Yes);
}

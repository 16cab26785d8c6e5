//! Tests of the store on a real file.

use std::path::PathBuf;

use serde_json::json;
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("springtide-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("springtide.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn prod() -> EnvironmentName {
    "prod".parse().unwrap()
}

fn epoch(store: &Store) -> Epoch {
    store.take_epoch(ControllerKind::Command, "a test", 0, 5).unwrap()
}

fn begin(store: &Store, epoch: Epoch, part: Option<EnvironmentName>) -> Result<u64, StoreError> {
    store.begin(&Begin { epoch, plan: "p-1", parts: &[part], approved: &[], by: "me", steps: 1 }, 10)
}

fn intend(store: &Store, epoch: Epoch, operation: u64) -> Result<(), StoreError> {
    let environment = prod();
    let intent =
        Intent { epoch, operation, number: 0, environment: Some(&environment), title: "run prod/web", action: "{}" };
    store.intend(&intent, 11)
}

/// A store as the first release left it, after two applies, a destroy and a command inside a workload.
const FIRST_RELEASE: &str = include_str!("../../tests/fixtures/store-v2.sql");

fn first_release(folder: &Folder) {
    let old = Connection::open(folder.path()).unwrap();
    old.execute_batch(FIRST_RELEASE).unwrap();
    let version: i64 = old.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
}

#[test]
fn a_store_of_the_first_release_is_brought_up_to_date() {
    let folder = Folder::new("first");
    first_release(&folder);
    let store = Store::open(&folder.path()).unwrap();
    let [prod] = store.environments().unwrap().try_into().unwrap();
    assert_eq!((prod.name.as_str(), prod.slot, prod.destroying), ("prod", Slot(1), None));
    assert_eq!(prod.certificate.unwrap().0, "prod.localhost");
    let operations = store.operations(10).unwrap();
    let plans: Vec<_> = operations.iter().map(|it| (it.id, it.outcome.as_deref())).collect();
    assert_eq!(plans, [(4, Some("done")), (3, Some("done")), (2, Some("exit code 0")), (1, Some("done"))]);
    assert_eq!(store.steps(1).unwrap()[0].title, "make the certificate authority");
    assert!(store.approved().unwrap().is_empty(), "nobody has approved anything by name");
    // The driver's fence stands at the number of an operation: epochs go on above it.
    assert_eq!(store.newest_epoch().unwrap().unwrap().epoch, Epoch(4));
    assert_eq!(epoch(&store), Epoch(5));
    assert_eq!(store.take_over(Epoch(5), 6).unwrap(), []);
    drop(store);
    Store::open(&folder.path()).unwrap().check().unwrap();
}

#[test]
fn every_version_on_the_way_is_brought_up_to_date_and_a_newer_one_is_refused() {
    for version in 0..=VERSIONS.len() {
        let folder = Folder::new(&format!("version-{version}"));
        let old = Connection::open(folder.path()).unwrap();
        for change in &VERSIONS[..version] {
            old.execute_batch(change).unwrap();
        }
        old.execute_batch(&format!("PRAGMA user_version = {version}")).unwrap();
        if version > 0 {
            old.execute_batch("INSERT INTO environments (name, slot, series) VALUES ('prod', 1, '19.0')").unwrap();
        }
        drop(old);
        let store = Store::open(&folder.path()).unwrap();
        let epoch = epoch(&store);
        store.reserve(epoch, &prod(), Slot(1), "19.0".parse().unwrap()).unwrap();
        store.record_destruction(epoch, &prod(), "moved away").unwrap();
        drop(store);
        let again = Store::open(&folder.path()).unwrap();
        assert_eq!(again.environments().unwrap()[0].destroying.as_deref(), Some("moved away"));
        drop(again);
        Connection::open(folder.path()).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        let newer = Store::open(&folder.path()).err().unwrap();
        assert!(matches!(newer, StoreError::Newer { found: 99, .. }), "{newer}");
        assert!(newer.to_string().contains("use the newer springtide"), "{newer}");
    }
}

#[test]
fn an_operation_that_was_cut_off_is_named_and_ended_by_the_next_epoch() {
    let folder = Folder::new("cut-off");
    let store = Store::open(&folder.path()).unwrap();
    assert_eq!(store.interrupted().unwrap(), None);
    let first = epoch(&store);
    let operation = begin(&store, first, Some(prod())).unwrap();
    intend(&store, first, operation).unwrap();
    drop(store);
    let store = Store::open(&folder.path()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(folder.path()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "others may not read the history");
    let words = ["exec prod/web", "session revoke prod", "rehearse run prod", "rig fault kill prod/web"];
    let commands = words.map(|words| store.begin_command(words, "me", 11).unwrap());
    assert_eq!(store.interrupted().unwrap(), Some((operation, "run prod/web".into())));
    let second = epoch(&store);
    assert_eq!(store.take_over(second, 12).unwrap(), [(operation, "run prod/web".into())]);
    assert_eq!(store.interrupted().unwrap(), None);
    let record = store.operation(operation).unwrap().unwrap();
    assert_eq!((record.outcome.as_deref(), record.steps), (Some("cut off"), (1, 0)));
    for command in commands {
        assert_eq!(store.operation(command).unwrap().unwrap().ended, None, "a command beside all plans is nobody's");
        store.end_command(command, "done", 12).unwrap();
        assert_eq!(store.operation(command).unwrap().unwrap().outcome.as_deref(), Some("done"));
    }
    // Its environment is free again.
    let next = begin(&store, second, Some(prod())).unwrap();
    assert!(
        matches!(begin(&store, second, Some(prod())), Err(StoreError::Busy { operation, .. }) if operation == next)
    );
    begin(&store, second, None).unwrap();
    store.end(second, next, DONE, 13).unwrap();
    begin(&store, second, Some(prod())).unwrap();
    assert_eq!(store.operations_before(next, Some(&prod()), 9).unwrap()[0].id, operation);
}

#[test]
fn whoever_holds_an_older_epoch_writes_nothing() {
    let folder = Folder::new("fenced");
    let store = Store::open(&folder.path()).unwrap();
    let old = epoch(&store);
    let operation = begin(&store, old, Some(prod())).unwrap();
    // Above what the driver has seen, also when the store has forgotten.
    let new = store.take_epoch(ControllerKind::Server, "the other", 41, 7).unwrap();
    assert_eq!(new, Epoch(42));
    let name = prod();
    let refused = [
        begin(&store, old, None).map(drop),
        intend(&store, old, operation),
        store.settle(old, operation, 0, None, 8),
        store.end(old, operation, DONE, 8),
        store.reserve(old, &name, Slot(1), "19.0".parse().unwrap()),
        store.certified(old, &name, "prod.localhost", 9),
        store.record_destruction(old, &name, "no"),
        store.forget(old, &name),
        store.approve(old, &[], "me", 8),
        store.disapprove(old, None),
        store.keep_file(old, "", 8),
        store.take_over(old, 8).map(drop),
        store.settle(Epoch(43), operation, 0, None, 8),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        let fenced = matches!(&refused, Err(StoreError::Fenced { newest: 42, by, .. }) if by == "the other");
        assert!(fenced, "{number}: {refused:?}");
    }
    assert!(store.environments().unwrap().is_empty());
    assert_eq!(store.operation(operation).unwrap().unwrap().ended, None);
}

#[test]
fn a_lease_knows_no_time_of_day() {
    let folder = Folder::new("lease");
    let store = Store::open(&folder.path()).unwrap();
    let epoch = epoch(&store);
    let parts = [Some(prod())];
    let at = |now: i64| {
        let begin = Begin { epoch, plan: "p-1", parts: &parts, approved: &[], by: "me", steps: 1 };
        store.begin(&begin, now)
    };
    let holder = at(1_000_000).unwrap();
    for now in [1_003_600, 2_000_000_000, 996_400, 0, -5] {
        assert!(matches!(at(now), Err(StoreError::Busy { operation, .. }) if operation == holder), "at {now}");
    }
    store.end(epoch, holder, "failed: x", 0).unwrap();
    at(-5).unwrap();
}

#[test]
fn held_nothing_begins_and_no_step_is_written() {
    let folder = Folder::new("held");
    let store = Store::open(&folder.path()).unwrap();
    let epoch = epoch(&store);
    let operation = begin(&store, epoch, Some(prod())).unwrap();
    store.hold("a disk", "me", 20).unwrap();
    store.hold("another disk", "you", 30).unwrap();
    let held = Held { reason: "another disk".into(), by: "you".into(), since: 20 };
    assert_eq!(store.held().unwrap(), Some(held.clone()));
    assert!(matches!(begin(&store, epoch, None), Err(StoreError::Held(it)) if it == held));
    assert!(matches!(intend(&store, epoch, operation), Err(StoreError::Held(_))));
    assert!(store.release("me", 40).unwrap());
    assert!(!store.release("me", 40).unwrap());
    intend(&store, epoch, operation).unwrap();
}

#[test]
fn what_is_approved_is_done_when_its_operation_is() {
    let folder = Folder::new("approved");
    let store = Store::open(&folder.path()).unwrap();
    let epoch = epoch(&store);
    let wanted = springtide_core::digest::Digest::of_bytes(b"wanted");
    let (parts, approved) = ([Some(prod()), None], [(Some(prod()), wanted)]);
    let begin = Begin { epoch, plan: "p-1", parts: &parts, approved: &approved, by: "me", steps: 1 };
    let operation = store.begin(&begin, 10).unwrap();
    assert_eq!(store.approved().unwrap()[&Some(prod())], Approved { wanted, done: false });
    store.end(epoch, operation, "failed: run prod/web", 11).unwrap();
    assert!(!store.approved().unwrap()[&Some(prod())].done);
    let operation = store.begin(&begin, 12).unwrap();
    store.end(epoch, operation, DONE, 13).unwrap();
    assert!(store.approved().unwrap()[&Some(prod())].done);
    store.approve(epoch, &[(None, wanted)], "it runs as declared", 14).unwrap();
    store.reserve(epoch, &prod(), Slot(1), "19.0".parse().unwrap()).unwrap();
    store.forget(epoch, &prod()).unwrap();
    assert_eq!(store.approved().unwrap(), [(None, Approved { wanted, done: true })].into());
    store.disapprove(epoch, None).unwrap();
    assert!(store.approved().unwrap().is_empty());
}

#[test]
fn events_keep_their_order_and_the_newest_stay() {
    let folder = Folder::new("events");
    let store = Store::open(&folder.path()).unwrap();
    let event = |number: u64| NewEvent {
        kind: EventKind::Note,
        environment: None,
        operation: None,
        data: json!({ "number": number }),
    };
    let all: Vec<NewEvent> = (1..=MOST_EVENTS + 200).map(event).collect();
    store.append(&all, 1).unwrap();
    assert_eq!(store.newest_event().unwrap(), MOST_EVENTS + 200);
    let first = store.events_after(0, 1).unwrap()[0].id;
    assert!((137..=201).contains(&first), "{first}");
    let some = store.events_after(MOST_EVENTS + 197, 2).unwrap();
    let numbers: Vec<u64> = some.iter().map(|it| it.data["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [MOST_EVENTS + 198, MOST_EVENTS + 199]);
    assert!(store.events_after(u64::MAX, 5).unwrap().is_empty());
    // Numbers are never used twice, whatever was removed.
    store.connection().execute_batch("DELETE FROM events").unwrap();
    store.append(&[event(0)], 1).unwrap();
    assert_eq!(store.newest_event().unwrap(), MOST_EVENTS + 201);
}

#[test]
fn a_damaged_store_is_named_and_the_newest_whole_copy_put_back() {
    let folder = Folder::new("damaged");
    let store = Store::open(&folder.path()).unwrap();
    let epoch = epoch(&store);
    let backups_at = folder.0.join("backups");
    for number in 1..=5_u16 {
        let name = format!("shop-{number}").parse().unwrap();
        store.reserve(epoch, &name, Slot(number), "19.0".parse().unwrap()).unwrap();
        // A clock that stands still or goes back gives other names all the same.
        store.back_up(&backups_at, 100 - i64::from(number)).unwrap();
    }
    for number in 0..2000 {
        let event =
            NewEvent { kind: EventKind::Note, environment: None, operation: None, data: json!({ "n": number }) };
        store.append(&[event], 1).unwrap();
    }
    store.check().unwrap();
    drop(store);
    let copies = backups(&backups_at);
    let times: Vec<i64> = copies.iter().map(|it| it.at).collect();
    assert_eq!(times, [101, 102, 103], "{KEPT} are kept, the newest");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copies[2].path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // Pages in the middle are overwritten, as a bad disk does.
    let mut bytes = std::fs::read(folder.path()).unwrap();
    assert!(bytes.len() > 60_000, "{}", bytes.len());
    let end = bytes.len() - 4096;
    bytes[8192..end].fill(0xa5);
    std::fs::write(folder.path(), &bytes).unwrap();
    let broken = Store::open(&folder.path()).and_then(|store| store.check()).unwrap_err();
    assert_eq!(broken.trouble(), Some(StoreTrouble::Damaged), "{broken}");
    let broken = check_file(&folder.path()).unwrap_err();
    assert_eq!(broken.trouble(), Some(StoreTrouble::Damaged), "{broken}");
    // A copy that is broken itself is not put back.
    std::fs::write(&copies[2].path, &bytes).unwrap();
    assert!(restore(&folder.path(), &copies[2].path, "why", "me", 200).is_err());
    assert_eq!(std::fs::read(folder.path()).unwrap(), bytes, "nothing was changed");
    let kept = restore(&folder.path(), &copies[1].path, "why", "me", 200).unwrap().kept.unwrap();
    assert_eq!(std::fs::read(&kept).unwrap(), bytes, "the damaged one is kept");
    let store = Store::open(&folder.path()).unwrap();
    store.check().unwrap();
    assert_eq!(store.environments().unwrap().len(), 4);
}

#[test]
fn a_log_without_its_store_is_not_played_into_the_copy() {
    let folder = Folder::new("stale-log");
    let store = Store::open(&folder.path()).unwrap();
    let one = epoch(&store);
    store.reserve(one, &prod(), Slot(1), "19.0".parse().unwrap()).unwrap();
    let copy = store.back_up(&folder.0.join("backups"), 100).unwrap();
    let shop = "shop".parse().unwrap();
    store.reserve(one, &shop, Slot(2), "19.0".parse().unwrap()).unwrap();
    // Its process dies here, so its log stays; then the store itself is lost.
    let log = PathBuf::from(format!("{}-wal", folder.path().display()));
    let written = std::fs::read(&log).unwrap();
    assert!(!written.is_empty(), "what was written stands in the log");
    drop(store);
    std::fs::write(&log, &written).unwrap();
    std::fs::remove_file(folder.path()).unwrap();
    // The control: with that log beside it the copy is not what it was.
    let control = folder.0.join("control.db");
    std::fs::copy(&copy.path, &control).unwrap();
    std::fs::write(folder.0.join("control.db-wal"), &written).unwrap();
    let names = |path: &Path| -> Result<Vec<String>, StoreError> {
        Ok(Store::open(path)?.environments()?.iter().map(|it| it.name.to_string()).collect())
    };
    assert!(!matches!(names(&control).as_deref(), Ok([one]) if one == "prod"), "the log did no harm");

    let restored = restore(&folder.path(), &copy.path, "why", "me", 200).unwrap();
    assert_eq!(names(&folder.path()).unwrap(), ["prod"]);
    Store::open(&folder.path()).unwrap().check().unwrap();
    let kept = restored.kept.unwrap();
    assert!(kept.to_string_lossy().ends_with(".damaged-200-wal"), "{}", kept.display());
    assert_eq!(std::fs::read(kept).unwrap(), written, "the log is kept, too");
    assert_eq!(recorded(&copy.path).unwrap(), ["prod"]);
}

#[test]
fn what_is_put_back_is_held_and_lets_nobody_in() {
    use tokens::{SessionRecord, hash};
    let folder = Folder::new("put-back");
    let store = Store::open(&folder.path()).unwrap();
    let token = |id: &str, expires| springtide_api::TokenView {
        id: id.into(),
        name: format!("of {id}"),
        scope: springtide_api::Scope::Admin,
        made: 1,
        expires,
        revoked: None,
    };
    for (id, expires) in [("a", 900), ("b", 900), ("over", 150)] {
        store.add_token(&token(id, expires), &hash(id)).unwrap();
    }
    store.add_session(&hash("s"), &SessionRecord { csrf: "x".into(), expires: 900 }, 1).unwrap();
    store.add_login_code(&hash("c"), 1, 900).unwrap();
    store.hold("a disk is replaced", "me", 90).unwrap();
    let copy = store.back_up(&folder.0.join("backups"), 100).unwrap();
    let untouched = std::fs::read(&copy.path).unwrap();
    // What the copy cannot know: one was revoked since.
    store.revoke_token("a", 110).unwrap();
    store.release("me", 110).unwrap();
    drop(store);

    let restored = restore(&folder.path(), &copy.path, "put back", "recover", 200).unwrap();
    assert_eq!(restored.revoked, ["of a", "of b"], "those that were good in the copy");
    assert_eq!(std::fs::read(&copy.path).unwrap(), untouched, "the copy itself stays as it is");
    for ending in [".restoring", ".restoring-wal", ".restoring-shm", "-wal", "-shm"] {
        assert!(!PathBuf::from(format!("{}{ending}", folder.path().display())).exists(), "{ending}");
    }
    let store = Store::open(&folder.path()).unwrap();
    let held = store.held().unwrap().unwrap();
    assert_eq!((held.reason.as_str(), held.by.as_str()), ("put back; held before: a disk is replaced", "recover"));
    let epoch = epoch(&store);
    assert!(matches!(begin(&store, epoch, Some(prod())), Err(StoreError::Held(_))), "nothing begins");
    assert!(store.tokens().unwrap().iter().all(|it| it.revoked.is_some()));
    assert_eq!(store.session(&hash("s"), 201).unwrap(), None);
    assert!(!store.use_login_code(&hash("c"), 201).unwrap());
}

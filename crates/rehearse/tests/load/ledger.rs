//! The ledger's file: written, read, torn, damaged, on a full disk.

use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;
use springtide_rehearse::class::Class;
use springtide_rehearse::generator::{Stop, Watch};
use springtide_rehearse::ledger::{ActKind, Entry, Ledger, LedgerError, Phase};

fn entry(number: usize) -> Entry {
    Entry {
        at: 1_700_000_000_000_000 + number as i64,
        class: Class::OrderApi,
        key: format!("K-{number}"),
        kind: ActKind::Order,
        phase: Phase::Acknowledged,
        detail: json!({ "quantity": 2.5, "note": "zwei\nZeilen" }),
    }
}

async fn write(ledger: &Ledger, numbers: std::ops::Range<usize>) {
    for number in numbers {
        ledger.append(entry(number)).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_written_is_read_back_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = Ledger::open(&path).unwrap();
    let many = (0..200).map(|number| ledger.append(entry(number)));
    for result in futures_util::future::join_all(many).await {
        result.unwrap();
    }
    assert_eq!(Ledger::read(&path).unwrap().len(), 200, "it is readable while it is written");
    assert_eq!(Ledger::open(&path).unwrap_err(), LedgerError::Busy { path: path.clone() });
    drop(ledger);
    let again = reopen(&path).await;
    write(&again, 200..202).await;
    let entries = Ledger::read(&path).unwrap();
    assert_eq!(entries, (0..202).map(entry).collect::<Vec<_>>());
}

/// The writer's thread lets go of the file a moment after the last clone is dropped.
async fn reopen(path: &std::path::Path) -> Ledger {
    for _ in 0..500 {
        match Ledger::open(path) {
            Err(LedgerError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return other.unwrap(),
        }
    }
    panic!("the ledger stays busy");
}

#[tokio::test]
async fn a_torn_end_is_left_out_and_damage_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = Ledger::open(&path).unwrap();
    write(&ledger, 0..3).await;
    drop(ledger);
    let whole = std::fs::read(&path).unwrap();
    let starts: Vec<usize> =
        whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    // Cut anywhere: the lines before the cut are read, never a part of one, never an error.
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let reading = Ledger::read_all(&path).unwrap();
        let lines = starts.iter().filter(|start| **start <= cut).count().saturating_sub(1);
        assert_eq!(reading.entries.len(), lines, "cut at {cut}");
        assert_eq!(reading.torn == 0, cut == 0 || starts.contains(&cut), "cut at {cut}");
    }
    // Any byte changed in a line that others follow, or a line that is gone, or two that changed places.
    for at in 0..starts[2] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Ledger::read_all(&path), Err(LedgerError::Damaged { .. })), "byte {at}");
        assert!(matches!(Ledger::open(&path), Err(LedgerError::Damaged { .. })), "byte {at}");
    }
    let line = |index: usize| &whole[starts[index]..starts[index + 1]];
    for lines in [vec![0, 2], vec![1, 0, 2], vec![0, 0, 1, 2]] {
        let lines: Vec<u8> = lines.into_iter().flat_map(|index| line(index).to_vec()).collect();
        std::fs::write(&path, [&whole[..starts[0]], &lines].concat()).unwrap();
        assert!(matches!(Ledger::read_all(&path), Err(LedgerError::Damaged { .. })));
    }
    // A run that goes on with a torn ledger cuts the end off.
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    write(&ledger, 7..8).await;
    assert_eq!(Ledger::read(&path).unwrap(), [entry(0), entry(1), entry(7)]);
}

#[test]
fn a_ledger_in_a_folder_that_is_not_there_is_refused() {
    let error = Ledger::open("/no/such/folder/ledger").unwrap_err();
    assert_eq!(error.code(), "E0962");
    assert!(error.to_string().contains("/no/such/folder/ledger"));
    assert!(matches!(Ledger::read("/no/such/folder/ledger"), Err(LedgerError::Open { .. })));
}

#[test]
fn a_full_disk_has_a_name_stops_the_run_and_leaves_the_ledger_whole() {
    // A small disk of its own, in a mount namespace that ends with this thread.
    unshare(CloneFlags::CLONE_NEWNS).expect("this test needs root");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let folder = tempfile::tempdir().unwrap();
    mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
    let path = folder.path().join("ledger");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(&path).unwrap();
        let watch = Watch::default();
        ledger.stop_on_failure(&watch);
        let mut counted = 0;
        let error = loop {
            match ledger.append(entry(counted)).await {
                Ok(()) => counted += 1,
                Err(error) => break error,
            }
            assert!(counted < 10_000, "64 KiB are never full");
        };
        assert_eq!(error, LedgerError::Full { path: path.clone() });
        assert_eq!(error.code(), "E0963");
        assert_eq!(watch.stopped(), Some(Stop::Broken(error.to_string())));
        assert_eq!(ledger.failure(), Some(error.clone()));
        assert!(counted > 50);
        let reading = Ledger::read_all(&path).unwrap();
        assert_eq!((reading.entries.len(), reading.torn), (counted, 0), "what was acknowledged, and nothing else");
        // Room again: the same ledger stays closed, because it cannot know what the disk forgot.
        mount(None::<&str>, folder.path(), None::<&str>, MsFlags::MS_REMOUNT, Some("size=1m")).unwrap();
        assert_eq!(ledger.append(entry(0)).await, Err(error));
        drop(ledger);
        let again = reopen(&path).await;
        again.append(entry(counted)).await.unwrap();
        assert_eq!(Ledger::read(&path).unwrap().len(), counted + 1);
    });
    drop(runtime);
    nix::mount::umount2(folder.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
}

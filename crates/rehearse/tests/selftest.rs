//! The rig finds what it plants, and fails when a check is switched off.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::process::Command;

use springtide_rehearse::selftest::{Check, Need, Options, Place, Report, run};

fn watchdog() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rig-shim"));
    command.arg("watch");
    command
}

async fn tried(without: &[Check], needs: Vec<Need>) -> Report {
    let folder = tempfile::TempDir::new().unwrap();
    let without: BTreeSet<Check> = without.iter().copied().collect();
    run(&Options { folder: folder.path().to_owned(), without, real: None, needs, watchdog: &watchdog }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_planted_is_found() {
    let shell = Need { name: "a shell".into(), place: Place::Program("/bin/sh".into()) };
    let report = tried(&[], vec![shell]).await;
    for one in &report.tries {
        println!("{} | {:?} | {} | {}", one.passed, one.check, one.planted, one.said);
    }
    assert!(report.passed(), "{:#?}", report.tries);
    for check in Check::ALL {
        assert!(report.tries.iter().any(|one| one.check == Some(check)), "{check} was not tried");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_check_switched_off_exactly_its_try_fails() {
    for check in Check::ALL {
        let report = tried(&[check], Vec::new()).await;
        let failed: Vec<Option<Check>> = report.tries.iter().filter(|one| !one.passed).map(|one| one.check).collect();
        assert_eq!(failed, [Some(check)], "{:#?}", report.tries);
        assert!(!report.passed());
    }
}

#[tokio::test]
async fn a_missing_component_fails_and_is_named() {
    let gone = Need { name: "PostgreSQL".into(), place: Place::Program("/nowhere/postgres".into()) };
    let report = tried(&[], vec![gone]).await;
    assert!(!report.passed());
    let failed: Vec<&str> = report.tries.iter().filter(|one| !one.passed).map(|one| one.said.as_str()).collect();
    assert!(failed.len() == 1 && failed[0].starts_with("PostgreSQL is missing"), "{failed:?}");
}

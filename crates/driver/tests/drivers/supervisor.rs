//! The supervisor dies and another one goes on, and what that one may believe.

use std::path::PathBuf;

use springtide_core::observe::WorkloadState;
use springtide_driver::{Driver, DriverError, Ensured, Generation, ResolvedWorkload};

use crate::rig::{Driven, gone, murder, processes, redigest, seen, until, variant, with_driver, workload};

#[tokio::test(flavor = "multi_thread")]
async fn survives_its_supervisor() {
    with_driver("murder", async |driver: Driven, _| {
        let one = variant(901, "first");
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let before = seen(&driver).await;
        murder(driver.supervisor_pid().await.unwrap().unwrap());
        until("unwatched is seen", 3, async || seen(&driver).await.state == WorkloadState::Unwatched).await;
        assert_eq!(seen(&driver).await.pid, before.pid, "the workload goes on");
        assert_eq!(driver.ensure_workload(&one, Generation(1)).await.unwrap(), Ensured::Unchanged);
        driver.wait_ready(&one.spec.id).await.unwrap();
        assert_eq!(seen(&driver).await.pid, before.pid, "it is adopted");
        assert!(
            matches!(driver.ensure_workload(&one, Generation(0)).await, Err(DriverError::Fenced { .. })),
            "the fence is kept"
        );
        // Dead together with its watcher: the next watcher starts it again.
        murder(driver.supervisor_pid().await.unwrap().unwrap());
        murder(before.pid.unwrap());
        driver.supervisor_pid().await.unwrap();
        until("started again", 10, async || seen(&driver).await.pid.is_some_and(|pid| Some(pid) != before.pid)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_pid_is_not_believed() {
    with_driver("reuse", async |driver: Driven, state: PathBuf| {
        let one = variant(902, "first");
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        let before = seen(&driver).await.pid.unwrap();
        murder(driver.supervisor_pid().await.unwrap().unwrap());
        murder(before);
        until("gone", 3, async || gone(before)).await;
        // Some innocent process has the pid now.
        let mut innocent = tokio::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let path = state.join("workloads/prod.web/run.json");
        let mut run: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        run["pid"] = innocent.id().unwrap().into();
        std::fs::write(&path, run.to_string()).unwrap();
        assert_eq!(seen(&driver).await.pid, None, "not believed without a supervisor");
        driver.supervisor_pid().await.unwrap();
        until("the workload is started anew", 10, async || {
            seen(&driver).await.pid.is_some_and(|pid| pid != before && Some(pid as u32) != innocent.id())
        })
        .await;
        assert!(innocent.try_wait().unwrap().is_none(), "the innocent is not taken over");
        driver.stop_workload(&one.spec.id, Generation(1)).await.unwrap();
        assert!(innocent.try_wait().unwrap().is_none(), "the innocent lives");
        innocent.kill().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_calls_at_once_make_one_instance() {
    with_driver("twice", async |driver: Driven, state: PathBuf| {
        let mark = format!("mark-of-{}", state.file_name().unwrap().to_string_lossy());
        let one = workload(947, &format!("while :; do sleep 1; done # {mark}"));
        let two = redigest(one.clone(), |spec| spec.ready_within_s = 11);
        let at_once = async |a: &ResolvedWorkload, b: &ResolvedWorkload| {
            let (a, b) =
                tokio::join!(driver.ensure_workload(a, Generation(1)), driver.ensure_workload(b, Generation(1)));
            (a.unwrap(), b.unwrap())
        };
        // Without a supervisor, too: both start one, and one of them serves.
        let equal = at_once(&one, &one).await;
        assert!(
            matches!(equal, (Ensured::Started, Ensured::Unchanged) | (Ensured::Unchanged, Ensured::Started)),
            "{equal:?}"
        );
        let pid = seen(&driver).await.pid.unwrap();
        until("one instance", 3, async || processes(&mark) == [pid]).await;
        driver.remove_workload(&one.spec.id, Generation(1)).await.unwrap();
        let unequal = at_once(&one, &two).await;
        assert!(
            matches!(unequal, (Ensured::Started, Ensured::Restarted) | (Ensured::Restarted, Ensured::Started)),
            "{unequal:?}"
        );
        let now = seen(&driver).await;
        until("one instance", 3, async || processes(&mark) == [now.pid.unwrap()]).await;
        assert!([one.digest, two.digest].contains(&now.digest));
    })
    .await;
}

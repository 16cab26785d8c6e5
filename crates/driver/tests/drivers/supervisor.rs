//! The supervisor dies and another one goes on, and what that one may believe.

use std::path::PathBuf;

use springtide_core::observe::WorkloadState;
use springtide_driver::{Driver, DriverError, Ensured, Generation};

use crate::rig::{Driven, gone, murder, seen, until, variant, with_driver};

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
        driver.stop_workload(&one.spec.id, Generation(1)).await.unwrap();
        assert!(innocent.try_wait().unwrap().is_none(), "the innocent lives");
        innocent.kill().await.unwrap();
    })
    .await;
}

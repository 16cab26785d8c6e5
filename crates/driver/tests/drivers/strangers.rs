//! Processes that somebody else started as a user of ours: named, and never touched.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use springtide_core::layout::Slot;
use springtide_core::role::Role;
use springtide_core::workload::Root;
use springtide_driver::{Driver, Generation, Network, ProcessDriver, Task};

use crate::rig::{Driven, gone, murder, processes, until, with_driver, workload};

const SLOT: Slot = Slot(940);

/// Strangers of our slot; tests beside this one have others.
async fn strangers(driver: &ProcessDriver) -> Vec<(i32, String)> {
    let all = driver.observe().await.unwrap().strangers;
    all.into_iter().filter(|it| it.slot == SLOT).map(|it| (it.pid, it.program)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_nobody_declared_is_named_and_left() {
    with_driver("strangers", async |driver: Driven, state: PathBuf| {
        let mark = format!("mark-of-{}", state.file_name().unwrap().to_string_lossy());
        // One child, and one in a session of its own, as PostgreSQL's are.
        let one = workload(SLOT.0, &format!("sleep 1000 & setsid sh -c 'sleep 1000; : {mark}' & wait"));
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let task = Task {
            name: "long".into(),
            root: Root::Host,
            command: ["/bin/sh", "-c", "sleep 12"].map(String::from).into(),
            env: Default::default(),
            files: Vec::new(),
            mounts: Vec::new(),
            user: SLOT.installer(),
            network: Network::Machine,
            deadline_s: 100,
        };
        let (tasks, commands) = (driver.clone(), driver.clone());
        let (id, sleep) = (one.spec.id.clone(), ["/bin/sleep".to_owned(), "12".to_owned()]);
        let under_way = tokio::spawn(async move { tasks.run_task(&task, Generation(1)).await.unwrap().code });
        let command = tokio::task::spawn_local(async move { commands.exec(&id, &sleep).await.unwrap() });
        let user = SLOT.user(Role::Web);
        let mut foreign = Command::new("sleep");
        foreign.arg("1000").uid(user.uid).gid(user.gid).stdin(Stdio::null()).stdout(Stdio::null());
        let mut foreign = foreign.spawn().unwrap();
        let pid = i32::try_from(foreign.id()).unwrap();

        until("it is named", 10, async || !strangers(&driver).await.is_empty()).await;
        // Those of the workload, the task and the command are older than it.
        assert!(!under_way.is_finished() && !command.is_finished() && processes(&mark).len() == 2);
        assert_eq!(strangers(&driver).await, [(pid, "sleep".to_owned())]);
        // An action puts leftovers away; this is none.
        driver.stop_workload(&one.spec.id, Generation(2)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!gone(pid), "it was ended");
        murder(pid);
        foreign.wait().unwrap();
        assert_eq!(strangers(&driver).await, []);
        assert_eq!(under_way.await.unwrap(), Some(0));
        command.abort();
    })
    .await;
}

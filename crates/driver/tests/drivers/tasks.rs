//! Tasks: they end with the one who waits for them, and leave no secret behind.

use std::path::PathBuf;

use springtide_core::layout::Slot;
use springtide_core::workload::Root;
use springtide_driver::{Driver, Generation, Task, TaskMount};

use crate::rig::{Driven, SECRET, gone, until, with_driver};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_dies_with_its_caller() {
    with_driver("task", async |driver: Driven, state: PathBuf| {
        let data = state.join("estate/made");
        let task = Task {
            name: "long".into(),
            root: Root::Host,
            command: ["/bin/sh", "-c", "echo $$ > /srv/springtide/made/pid; sleep 1000 & sleep 1000"]
                .map(String::from)
                .into(),
            env: [("PASSWORD".to_owned(), SECRET.to_owned())].into(),
            files: vec![("a.conf".into(), SECRET.into())],
            mounts: vec![TaskMount { from: data.clone(), at: "/srv/springtide/made".into(), read_only: false }],
            user: Slot(905).installer(),
            deadline_s: 100,
        };
        let call = {
            let (driver, task) = (driver.clone(), task.clone());
            tokio::spawn(async move { drop(driver.run_task(&task, Generation(1)).await) })
        };
        until("it runs", 5, async || std::fs::read_to_string(data.join("pid")).is_ok_and(|text| text.ends_with('\n')))
            .await;
        call.abort();
        // Its own pid namespace is the machine's, so the number it wrote is the one we see.
        let pid: i32 = std::fs::read_to_string(data.join("pid")).unwrap().trim().parse().unwrap();
        until("it is gone", 5, async || gone(pid)).await;
        until("its secrets are gone", 5, async || !state.join("tasks/long").exists()).await;
        let short = Task { command: ["/bin/sh", "-c", "exit 3"].map(String::from).into(), ..task };
        assert_eq!(driver.run_task(&short, Generation(1)).await.unwrap().code, Some(3));
    })
    .await;
}

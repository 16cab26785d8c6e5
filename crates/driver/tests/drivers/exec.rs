//! A person's command inside a workload: what it is, and whom it may not become.

use std::path::PathBuf;

use springtide_core::observe::WorkloadState;
use springtide_driver::{Driver, DriverError, Generation};

use crate::rig::{Driven, SECRET, murder, seen, until, variant, with_driver, workload, written};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Lines of `/proc/PID/status` that say who a process is and what it may do.
fn rights(status: &str) -> Vec<&str> {
    let names = ["Uid:", "Gid:", "Groups:", "Umask:", "NoNewPrivs:", "CapEff:", "CapPrm:", "CapAmb:", "SigBlk:"];
    status.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_what_the_workload_is() {
    with_driver("exec", async |driver: Driven, state: PathBuf| {
        // The workload's own program, with no shell that adds variables.
        let mut one = workload(910, "");
        one.spec.command = words(&["/bin/sleep", "1000"]);
        one.digest = one.spec.digest();
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let pid = seen(&driver).await.pid.unwrap();
        let id = &one.spec.id;
        for name in ["status", "environ", "cgroup"] {
            let to = format!("/srv/springtide/data/{name}");
            let copied = driver.exec(id, &words(&["cp", &format!("/proc/self/{name}"), &to])).await.unwrap();
            assert_eq!(copied, 0, "{name}");
        }
        let of = |pid: &str, name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
        let main = pid.to_string();
        assert_eq!(rights(&written(&state, "status")), rights(&of(&main, "status")));
        assert_ne!(rights(&written(&state, "status")), rights(&of("self", "status")), "we are somebody else");
        assert_eq!(written(&state, "cgroup"), of(&main, "cgroup"));
        let sorted = |text: String| {
            let mut all: Vec<_> = text.split('\0').filter(|v| !v.starts_with("TERM=")).map(str::to_owned).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(written(&state, "environ")), sorted(of(&main, "environ")));
        assert!(written(&state, "environ").contains(SECRET), "the environment is the real one");
        let script =
            "readlink /proc/self/ns/mnt > /srv/springtide/data/namespace; ls -A /tmp > /srv/springtide/data/tmp";
        driver.exec(id, &words(&["/bin/sh", "-c", script])).await.unwrap();
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap().display().to_string();
        assert_eq!(written(&state, "namespace").trim(), namespace(&main));
        assert_ne!(namespace(&main), namespace("self"), "we see other mounts");
        assert_eq!(written(&state, "tmp"), "", "its /tmp is its own");
        assert_eq!(seen(&driver).await.pid, Some(pid), "the workload goes on");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_as_it_ends() {
    with_driver("exit", async |driver: Driven, _| {
        let one = variant(911, "first");
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let exit = async |command: &[&str]| driver.exec(&one.spec.id, &words(command)).await;
        assert_eq!(exit(&["/bin/sh", "-c", "exit 41"]).await.unwrap(), 41);
        assert_eq!(exit(&["/bin/sh", "-c", "kill -9 $$"]).await.unwrap(), 128 + 9);
        // Words that look like our own are not taken for ours.
        assert_eq!(exit(&["/bin/sh", "-c", "[ \"$1 $2\" = '--state --' ]", "x", "--state", "--"]).await.unwrap(), 0);
        match exit(&["no-such-program"]).await {
            Err(DriverError::Missing { what, hint }) => {
                assert_eq!((what.as_str(), hint.contains("prod/web")), ("program no-such-program", true), "{hint}");
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_pid_is_not_entered() {
    with_driver("exec-reuse", async |driver: Driven, state: PathBuf| {
        let one = variant(912, "first");
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let enter = async || driver.exec(&one.spec.id, &words(&["/bin/true"])).await;
        assert_eq!(enter().await.unwrap(), 0);
        let path = state.join("workloads/prod.web/run.json");
        let real: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        // The supervisor still watches the real one; only the record leads to somebody else now.
        for (field, value) in [("start_time", real["start_time"].as_u64().unwrap() + 1), ("pid", 1)] {
            let mut false_one = real.clone();
            false_one[field] = value.into();
            std::fs::write(&path, false_one.to_string()).unwrap();
            match enter().await {
                Err(DriverError::NotRunning { state: WorkloadState::Backoff, .. }) => {}
                other => panic!("{field}: {other:?}"),
            }
        }
        std::fs::write(&path, real.to_string()).unwrap();
        assert_eq!(enter().await.unwrap(), 0, "the true record is believed again");
        // Without its watcher a workload can be entered all the same.
        murder(driver.supervisor_pid().await.unwrap().unwrap());
        until("unwatched is seen", 3, async || seen(&driver).await.state == WorkloadState::Unwatched).await;
        assert_eq!(enter().await.unwrap(), 0);
    })
    .await;
}

//! Callers that are killed at any moment leave nothing: after the next call there is no process,
//! control group, folder or file that nobody asked for.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use springtide_core::digest::Digest;
use springtide_core::layout::Slot;
use springtide_core::observe::WorkloadState;
use springtide_core::workload::Root;
use springtide_driver::{Driver, DriverError, Generation, LeftoverKind, Network, Task};

use crate::rig::{
    CACHE, Driven, SECRET, SHIM, gone, murder, processes, redigest, seen, until, with_driver, workload, written,
};

/// Milliseconds after which a caller is killed. A whole call takes about 50.
const MOMENTS: [u64; 10] = [0, 3, 6, 10, 15, 20, 30, 45, 70, 120];

/// A process that makes one driver call.
fn caller(state: &Path, call: &Value) -> Child {
    let mut child = Command::new(SHIM)
        .arg("call")
        .args([state, Path::new(CACHE)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(call.to_string().as_bytes()).unwrap();
    child
}

/// The same, killed after some milliseconds.
async fn cut_off(state: &Path, call: &Value, after: u64) {
    let mut child = caller(state, call);
    tokio::time::sleep(Duration::from_millis(after)).await;
    let _ = child.kill();
    child.wait().unwrap();
}

/// Kills every process of ours that serves this state folder: supervisor and keepers.
fn kill_servants(state: &Path) {
    for pid in processes(&state.display().to_string()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Control groups of the workloads and tasks of a state folder.
fn groups(state: &Path) -> BTreeSet<PathBuf> {
    let mark = Digest::of_bytes(state.as_os_str().as_encoded_bytes()).short().to_string();
    let tops = ["", "cpu", "memory", "pids"].map(|name| Path::new("/sys/fs/cgroup").join(name).join("springtide"));
    let entries = tops.into_iter().flat_map(|top| std::fs::read_dir(top.join(&mark)).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A word in the command line of what a test runs.
fn mark_of(state: &Path) -> String {
    format!("mark-of-{}", state.file_name().unwrap().to_string_lossy())
}

/// Three processes, of which two outlive the first unless somebody looks for them.
fn task(mark: &str) -> Task {
    let child = format!("sh -c 'while :; do sleep 1; done # {mark}' &");
    Task {
        name: "long".into(),
        root: Root::Host,
        command: ["/bin/sh", "-c", &format!("{child} {child} wait")].map(String::from).into(),
        env: [("PASSWORD".to_owned(), SECRET.to_owned())].into(),
        files: vec![("a.conf".into(), SECRET.into())],
        mounts: Vec::new(),
        user: Slot(930).installer(),
        network: Network::Machine,
        deadline_s: 100,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_caller_of_ensure_stop_or_remove_leaves_nothing() {
    with_driver("orphans", async |driver: Driven, state: PathBuf| {
        let mark = mark_of(&state);
        let one = workload(931, &format!("sleep 1000 & while :; do sleep 1; done # {mark}"));
        let two = redigest(one.clone(), |spec| spec.ready_within_s = 11);
        let id = one.spec.id.clone();
        let calls =
            [json!({ "ensure": one }), json!({ "ensure": two }), json!({ "stop": id }), json!({ "remove": id })];
        for (round, after) in MOMENTS.into_iter().enumerate() {
            // Every second time the supervisor and the keepers are killed with their caller.
            let all = round % 2 == 1;
            for call in calls.iter().chain([&calls[0]]) {
                cut_off(&state, call, after).await;
                if all {
                    kill_servants(&state);
                }
            }
            driver.ensure_workload(&two, Generation(1)).await.unwrap();
            driver.wait_ready(&id).await.unwrap();
            let seen = seen(&driver).await;
            assert_eq!(seen.digest, two.digest, "after {after} ms");
            // A child shows its parent's command line until it is another program.
            until("one instance", 3, async || processes(&mark) == [seen.pid.unwrap()]).await;
            cut_off(&state, &calls[3], after).await;
            if all {
                kill_servants(&state);
            }
            driver.remove_workload(&id, Generation(1)).await.unwrap();
            assert_eq!(processes(&mark), [0; 0], "after {after} ms");
            assert_eq!(groups(&state), BTreeSet::new(), "after {after} ms");
            assert_eq!(names(&state.join("workloads")), [""; 0], "after {after} ms");
            assert_eq!(driver.leftovers().await.unwrap(), [], "after {after} ms");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_caller_of_a_task_leaves_nothing() {
    with_driver("orphan-tasks", async |driver: Driven, state: PathBuf| {
        let mark = mark_of(&state);
        let long = json!({ "task": task(&mark) });
        driver.supervisor_pid().await.unwrap();
        for after in MOMENTS {
            cut_off(&state, &long, after).await;
            // The keeper does it alone, without any next call.
            until("the task is gone", 5, async || {
                processes(&mark).is_empty() && groups(&state).is_empty() && !state.join("tasks/long").exists()
            })
            .await;
        }
        assert_eq!(driver.leftovers().await.unwrap(), []);

        // Killed together with its keeper: now something is left, it is named, and the next call ends it.
        let mut held = caller(&state, &long);
        until("it runs", 5, async || processes(&mark).len() == 3).await;
        let ours = processes(&state.display().to_string());
        let keeper = processes("launch-task").into_iter().find(|pid| ours.contains(pid)).unwrap();
        // The keeper first, or it would see its caller go and put all away.
        murder(keeper);
        let _ = held.kill();
        held.wait().unwrap();
        until("its main process died with its keeper", 3, async || processes(&mark).len() == 2).await;
        let left = driver.leftovers().await.unwrap();
        assert_eq!((left.len(), left[0].kind, left[0].name.as_str()), (1, LeftoverKind::Task, "long"));
        assert!(state.join("tasks/long/config/a.conf").exists(), "its secrets lie there");
        let absent = workload(930, "").spec.id;
        driver.stop_workload(&absent, Generation(1)).await.unwrap();
        assert_eq!(processes(&mark), [0; 0]);
        assert_eq!(groups(&state), BTreeSet::new());
        assert!(!state.join("tasks/long").exists());
        assert_eq!(driver.leftovers().await.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_declared_is_named_and_put_away() {
    with_driver("leftovers", async |driver: Driven, state: PathBuf| {
        let one = workload(932, "exec sleep 1000");
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        let pid = seen(&driver).await.pid;
        assert_eq!(driver.leftovers().await.unwrap(), [], "what runs as declared is no leftover");
        murder(driver.supervisor_pid().await.unwrap().unwrap());
        until("the supervisor is gone", 3, async || seen(&driver).await.state == WorkloadState::Unwatched).await;
        // A removal that was cut off, half a file, and a file that is being written by us.
        std::fs::create_dir_all(state.join("workloads/prod.cron/config")).unwrap();
        std::fs::write(state.join("workloads/prod.cron/config/odoo.conf"), SECRET).unwrap();
        let half = state.join("workloads/prod.web/spec.json.new999999999");
        std::fs::write(&half, SECRET).unwrap();
        let ours = state.join(format!("workloads/prod.web/spec.json.new{}", std::process::id()));
        std::fs::write(&ours, "").unwrap();
        let found: Vec<_> = driver.leftovers().await.unwrap().into_iter().map(|left| (left.kind, left.name)).collect();
        let file = (LeftoverKind::File, half.display().to_string());
        assert_eq!(found, [(LeftoverKind::Folder, "prod.cron".to_owned()), file]);
        driver.supervisor_pid().await.unwrap();
        assert_eq!(driver.leftovers().await.unwrap(), []);
        assert!(!half.exists() && ours.exists());
        assert_eq!(names(&state.join("workloads")), ["prod.web"]);
        std::fs::remove_file(ours).unwrap();
        until("adopted", 5, async || seen(&driver).await.state == WorkloadState::Ready).await;
        assert_eq!(seen(&driver).await.pid, pid);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_cannot_be_read_ends_nobody() {
    with_driver("unread", async |driver: Driven, state: PathBuf| {
        let script = "trap 'echo asked > /srv/springtide/data/asked; exit 0' TERM; while :; do sleep 0.05; done";
        let one = workload(933, script);
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let pid = seen(&driver).await.pid.unwrap();
        murder(driver.supervisor_pid().await.unwrap().unwrap());
        // As another version may have written it.
        std::fs::write(state.join("workloads/prod.web/spec.json"), "{\"of\": \"another version\"}").unwrap();
        driver.supervisor_pid().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!gone(pid), "it goes on");
        assert!(matches!(driver.wait_ready(&one.spec.id).await, Err(DriverError::NotFound(_))), "and is not claimed");
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        assert!(gone(pid), "ensured anew there is one instance");
        assert_eq!(written(&state, "asked"), "asked\n", "and the old one was stopped by its rule");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_workload_ends_with_its_caller() {
    with_driver("orphan-exec", async |driver: Driven, state: PathBuf| {
        let one = workload(934, "exec sleep 1000");
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let pid = seen(&driver).await.pid;
        let mark = mark_of(&state);
        let script = format!("echo $$ > /srv/springtide/data/pid; while :; do sleep 1; done # {mark}");
        let command = ["/bin/sh", "-c", &script].map(String::from);
        let call = json!({ "exec": [one.spec.id, command] });
        let mut held = caller(&state, &call);
        until("it runs", 5, async || written(&state, "pid").ends_with('\n')).await;
        let command: i32 = written(&state, "pid").trim().parse().unwrap();
        assert!(!gone(command));
        held.kill().unwrap();
        held.wait().unwrap();
        until("it is gone", 3, async || gone(command)).await;
        for after in MOMENTS {
            cut_off(&state, &call, after).await;
            until("it is gone", 3, async || processes(&mark).is_empty()).await;
        }
        assert_eq!(seen(&driver).await.pid, pid, "the workload goes on");
    })
    .await;
}

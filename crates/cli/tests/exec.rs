//! `springtide exec` as a person and as a script use it, on a workload that is a shell script.
//! Needs root, as the driver does.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use springtide_core::layout::Slot;
use springtide_core::role::Role;
use springtide_core::workload::{Limits, Probe, Root, StopRule, StopSignal, WorkloadId, WorkloadSpec};
use springtide_driver::{Driver as _, Generation, ProcessDriver, ResolvedWorkload};

const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");
const SECRET: &str = "hush-4712-hush";

struct Rig {
    state: PathBuf,
}

impl Rig {
    fn new() -> Self {
        Self { state: std::env::temp_dir().join(format!("springtide-cli-exec-{}", std::process::id())) }
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(PROGRAM).arg("--state").arg(&self.state).args(words).output().expect("springtide starts")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.run(&["stop"]);
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

fn workload() -> ResolvedWorkload {
    let spec = WorkloadSpec {
        id: WorkloadId::of(&"prod".parse().expect("a name"), Role::Pooler),
        made_from: None,
        root: Root::Host,
        command: ["/bin/sleep", "1000"].map(String::from).into(),
        env: Default::default(),
        files: Vec::new(),
        volumes: Vec::new(),
        bundles: Vec::new(),
        folders: Vec::new(),
        ports: Default::default(),
        user: Slot(950).user(Role::Pooler),
        needs: Vec::new(),
        limits: Limits::default(),
        ready: Probe::Alive { seconds: 0 },
        ready_within_s: 10,
        stop: StopRule { signal: StopSignal::Term, grace_s: 2 },
    };
    ResolvedWorkload { digest: spec.digest(), spec, files: Vec::new(), env: Default::default() }
}

fn json(output: &[u8]) -> Value {
    serde_json::from_slice(output).expect("one JSON object and nothing else")
}

#[tokio::test]
async fn a_command_in_a_workload_from_the_command_line() {
    let rig = Rig::new();
    let missing = rig.run(&["--json", "exec", "prod/pooler", "--", "true"]);
    assert_eq!((missing.status.code(), json(&missing.stdout)["error"]["code"].as_str()), (Some(3), Some("E0904")));

    let driver = ProcessDriver::new(rig.state.clone(), PROGRAM.into(), "/var/cache/springtide".into());
    let one = workload();
    driver.ensure_workload(&one, Generation(1)).await.expect("it starts");
    driver.wait_ready(&one.spec.id).await.expect("it is ready");

    // For a person: streams and exit code are the command's.
    let script = format!("echo out; echo err >&2; exit 42 # {SECRET}");
    let plain = rig.run(&["exec", "prod/pooler", "--", "/bin/sh", "-c", &script]);
    assert_eq!(plain.status.code(), Some(42));
    assert_eq!((plain.stdout.as_slice(), plain.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));

    // For a script: one object on stdout, what the command says on stderr.
    let data = rig.run(&["--json", "exec", "prod/pooler", "--", "/bin/sh", "-c", &script]);
    assert_eq!(data.status.code(), Some(42));
    assert_eq!(json(&data.stdout), serde_json::json!({ "version": 1, "workload": "prod/pooler", "exit_code": 42 }));
    assert_eq!(String::from_utf8_lossy(&data.stderr), "out\nerr\n");

    // Without a command: a shell, here one that reads its commands from standard input.
    let mut shell = Command::new(PROGRAM);
    shell.arg("--state").arg(&rig.state).args(["exec", "prod/pooler"]);
    let mut shell =
        shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().expect("starts");
    std::io::Write::write_all(&mut shell.stdin.take().expect("a pipe"), b"id -un; exit 5\n").expect("it listens");
    let said = shell.wait_with_output().expect("it ends");
    assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(5), &b"springtide-pooler\n"[..]));

    let unknown = rig.run(&["--json", "exec", "prod/pooler", "--", "no-such-program"]);
    assert_eq!((unknown.status.code(), json(&unknown.stdout)["error"]["code"].as_str()), (Some(3), Some("E0915")));
    driver.stop_workload(&one.spec.id, Generation(2)).await.expect("it stops");
    let stopped = rig.run(&["--json", "exec", "prod/pooler", "--", "true"]);
    assert_eq!((stopped.status.code(), json(&stopped.stdout)["error"]["code"].as_str()), (Some(1), Some("E0907")));
    assert!(json(&stopped.stdout)["error"]["message"].as_str().is_some_and(|text| text.contains("it is stopped")));

    // Recorded, without arguments.
    let history = rig.run(&["--json", "history"]);
    let operations = json(&history.stdout)["operations"].clone();
    let recorded: Vec<_> = operations.as_array().expect("a list").iter().rev().collect();
    let outcomes: Vec<_> = recorded.iter().map(|it| it["outcome"].as_str().unwrap_or_default()).collect();
    assert_eq!(outcomes, ["exit code 42", "exit code 42", "exit code 5", "failed", "failed"]);
    assert!(recorded.iter().all(|it| it["plan"] == "exec prod/pooler"), "{operations}");
    assert!(!operations.to_string().contains(SECRET));
}

//! The fake and the process driver against the contract, and the process driver against murder.
//! Needs root, as the driver does. Every test has its own state folder and ends what it started.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use springtide_core::layout::Slot;
use springtide_core::observe::{WorkloadObservation, WorkloadState};
use springtide_core::role::Role;
use springtide_core::workload::{
    FileSpec, Limits, PortName, Probe, Root, StopRule, StopSignal, Text, Volume, VolumeMount, WorkloadId, WorkloadSpec,
};
use springtide_driver::contract::{self, Kit};
use springtide_driver::fake::FakeDriver;
use springtide_driver::{Driver, DriverError, Ensured, Generation, ProcessDriver, ResolvedWorkload, Task, TaskMount};

const SECRET: &str = "hush-4711-hush";

fn workload(slot: u16, script: &str) -> ResolvedWorkload {
    let slot = Slot(slot);
    let spec = WorkloadSpec {
        id: WorkloadId::of(&"prod".parse().unwrap(), Role::Web),
        made_from: None,
        root: Root::Host,
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        env: BTreeMap::new(),
        files: vec![FileSpec { name: "app.conf".into(), content: Text::plain("one"), reloadable: true }],
        volumes: vec![VolumeMount { volume: Volume::OdooData, at: "/srv/springtide/data".into(), read_only: false }],
        ports: BTreeMap::new(),
        user: slot.user(Role::Web),
        limits: Limits { cpu_milli: Some(1000), memory_bytes: Some(256 << 20) },
        ready: Probe::Alive { seconds: 0 },
        ready_within_s: 10,
        stop: StopRule { signal: StopSignal::Term, grace_s: 2 },
    };
    let env = [("PASSWORD".to_owned(), SECRET.to_owned())].into();
    ResolvedWorkload { digest: spec.digest(), spec, files: vec!["one".into()], env }
}

fn redigest(mut workload: ResolvedWorkload, change: impl FnOnce(&mut WorkloadSpec)) -> ResolvedWorkload {
    change(&mut workload.spec);
    workload.digest = workload.spec.digest();
    workload
}

fn variant(slot: u16, word: &str) -> ResolvedWorkload {
    let plain = workload(slot, &format!("echo I am {word}; exec sleep 1000"));
    match word {
        "never-ready" => redigest(plain, |spec| {
            spec.ready = Probe::Tcp { port: PortName::Http };
            spec.ports.insert(PortName::Http, Slot(slot).port(Role::Web).unwrap());
            spec.ready_within_s = 2;
        }),
        _ => plain,
    }
}

fn murder(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// Runs `test` with a driver of its own and ends everything, also when it panics.
async fn with_driver<F: Future<Output = ()> + 'static>(
    name: &str,
    test: impl FnOnce(std::sync::Arc<ProcessDriver>, PathBuf) -> F,
) {
    let state = std::env::temp_dir().join(format!("springtide-driver-{name}-{}", std::process::id()));
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_springtide-shim"));
    let driver = std::sync::Arc::new(ProcessDriver::new(state.clone(), binary, "/var/cache/springtide".into()));
    // A task of its own, so that a panic is caught and what was started is ended.
    let local = tokio::task::LocalSet::new();
    let body = local.run_until(local.spawn_local(test(driver.clone(), state.clone())));
    let result = tokio::time::timeout(Duration::from_secs(60), body).await;
    driver.shutdown().await.unwrap();
    let log = std::fs::read_to_string(state.join("supervisor.log")).unwrap_or_default();
    std::fs::remove_dir_all(&state).unwrap();
    match result.expect("within 60 s") {
        Ok(()) => {}
        Err(error) => panic!("{error}; supervisor said {log:?}"),
    }
}

async fn seen(driver: &ProcessDriver) -> WorkloadObservation {
    driver.observe().await.unwrap().workloads.into_values().next().expect("one workload")
}

async fn until(what: &str, seconds: u64, reached: impl AsyncFn() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !reached().await {
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

fn gone(pid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.is_empty() || text.contains(") Z ")
}

#[tokio::test]
async fn fake_keeps_the_contract() {
    let fake = FakeDriver::new();
    let kit = Kit { make: &|word| variant(899, word), kill: &|pid| fake.kill(pid), user: Slot(899).installer() };
    contract::run(&fake, &kit).await;
    fake.fail_next("ensure prod/web", "scripted");
    let one = variant(899, "first");
    assert!(fake.ensure_workload(&one, Generation(20)).await.is_err());
    assert!(fake.ensure_workload(&one, Generation(20)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn process_driver_keeps_the_contract() {
    with_driver("contract", async |driver: std::sync::Arc<ProcessDriver>, _| {
        let kit = Kit { make: &|word| variant(900, word), kill: &murder, user: Slot(900).installer() };
        contract::run(&*driver, &kit).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_its_supervisor() {
    with_driver("murder", async |driver: std::sync::Arc<ProcessDriver>, _| {
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
    with_driver("reuse", async |driver: std::sync::Arc<ProcessDriver>, state: PathBuf| {
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

#[tokio::test(flavor = "multi_thread")]
async fn kills_what_ignores_it_and_hides_secrets() {
    with_driver("grace", async |driver: std::sync::Arc<ProcessDriver>, state: PathBuf| {
        let script = "trap '' TERM; id -un; ls /tmp; echo x > /srv/springtide/data/file; cat /srv/springtide/config/app.conf; sleep 1000 & sleep 1000";
        let one = workload(903, script);
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        let log = driver.logs(&one.spec.id).remove(0);
        until("it speaks", 5, async || std::fs::read_to_string(&log).unwrap().contains("one")).await;
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, "springtide-web\none", "it has a name, an empty /tmp and its configuration");
        assert!(state.join("environments/prod/volumes/odoo-data/file").exists(), "it writes to its volume");
        let pid = seen(&driver).await.pid.unwrap();
        let mut shown = String::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            shown += &String::from_utf8_lossy(&std::fs::read(entry.path().join("cmdline")).unwrap_or_default());
        }
        assert!(!shown.contains(SECRET), "no secret in an argument list");
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let begin = Instant::now();
        driver.stop_workload(&one.spec.id, Generation(1)).await.unwrap();
        let took = begin.elapsed();
        assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(5), "{took:?}");
        assert!(gone(pid) && children.split_whitespace().all(|child| gone(child.parse().unwrap())), "children go too");
        assert_eq!(children.split_whitespace().count(), 2);
    }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_and_refuses_foreign_ports() {
    with_driver("reload", async |driver: std::sync::Arc<ProcessDriver>, state: PathBuf| {
        let port = Slot(190).port(Role::Web).unwrap();
        let script = format!("trap 'cat /srv/springtide/config/app.conf' HUP; python3 -m http.server --bind 127.0.0.1 {port} 2>/dev/null & while :; do wait; done");
        let mut one = redigest(workload(904, &script), |spec| {
            spec.ports.insert(PortName::Http, port);
            spec.command[0] = "/bin/bash".into();
            spec.ready = Probe::Http { port: PortName::Http, path: "/".into(), host: "localhost".into(), cookie: None, status: 200 };
        });
        one.env.insert("PATH".into(), "/usr/bin:/bin".into());
        let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        match driver.ensure_workload(&one, Generation(1)).await {
            Err(DriverError::PortInUse { holder, .. }) => assert!(holder.contains(&std::process::id().to_string()), "{holder}"),
            other => panic!("{other:?}"),
        }
        assert!(driver.observe().await.unwrap().host.foreign_ports.contains_key(&port));
        drop(taken);
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        assert!(!driver.observe().await.unwrap().host.foreign_ports.contains_key(&port), "our own is not foreign");
        let before = seen(&driver).await.pid;
        let mut two = redigest(one.clone(), |spec| spec.files[0].content = Text::plain("two"));
        two.files = vec!["two".into()];
        assert_eq!(driver.ensure_workload(&two, Generation(1)).await.unwrap(), Ensured::Reloaded);
        let log = state.join("workloads/prod.web/log/current.log");
        until("it reloads", 5, async || std::fs::read_to_string(&log).unwrap().contains("two")).await;
        assert_eq!((seen(&driver).await.pid, seen(&driver).await.digest), (before, two.digest));
    }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_dies_with_its_caller() {
    with_driver("task", async |driver: std::sync::Arc<ProcessDriver>, state: PathBuf| {
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

/// Real programs: `initdb` and a PostgreSQL server, and a command in an Odoo root.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and a built Odoo 19 root on this machine"]
async fn runs_postgres_and_enters_an_odoo_root() {
    with_driver("real", async |driver: std::sync::Arc<ProcessDriver>, _| {
        let slot = Slot(191);
        let environment = "prod".parse().unwrap();
        let (data, socket) = ("/srv/springtide/data", "/srv/springtide/socket");
        let volumes = vec![
            VolumeMount { volume: Volume::PostgresData, at: data.into(), read_only: false },
            VolumeMount { volume: Volume::PostgresSocket, at: socket.into(), read_only: false },
        ];
        let task = |root: Root, command: &[&str]| Task {
            name: "real".into(),
            root,
            command: command.iter().map(|word| word.to_string()).collect(),
            env: BTreeMap::new(),
            files: Vec::new(),
            mounts: springtide_driver::mounts_of(&*driver, Some(&environment), &volumes),
            user: slot.user(Role::Postgres),
            deadline_s: 60,
        };
        let made =
            driver.run_task(&task(Root::Host, &["initdb", "-D", data, "--no-sync"]), Generation(1)).await.unwrap();
        assert_eq!(made.code, Some(0), "{}", made.tail);
        let port = slot.port(Role::Postgres).unwrap();
        let server = redigest(workload(191, ""), |spec| {
            spec.id = WorkloadId::of(&environment, Role::Postgres);
            spec.user = slot.user(Role::Postgres);
            spec.command = ["postgres", "-D", data, "-k", socket, "-h", "127.0.0.1", "-p", &port.to_string()]
                .map(String::from)
                .into();
            spec.volumes = volumes.clone();
            spec.ports.insert(PortName::Sql, port);
            spec.ready = Probe::Postgres { port: PortName::Sql };
            spec.stop = StopRule { signal: StopSignal::Int, grace_s: 20 };
        });
        driver.ensure_workload(&server, Generation(1)).await.unwrap();
        driver.wait_ready(&server.spec.id).await.unwrap();
        let observation = seen(&driver).await;
        assert!(observation.resident_bytes.unwrap() > 1 << 20, "{observation:?}");
        driver.stop_workload(&server.spec.id, Generation(1)).await.unwrap();
        let log = std::fs::read_to_string(&driver.logs(&server.spec.id)[0]).unwrap();
        assert!(log.contains("database system is shut down"), "{log}");
        let mut odoo = task(
            Root::Odoo("19.0".parse().unwrap()),
            &[
                "/bin/sh",
                "-c",
                "id -un; odoo --version; ls /srv/springtide; ls /tmp | wc -l; ls /srv/springtide/addons; touch /usr/x",
            ],
        );
        odoo.mounts.clear();
        let inside = driver.run_task(&odoo, Generation(1)).await.unwrap();
        for part in ["springtide-task", "19.0", "addons\nconfig\n0\n", "Read-only file system"] {
            assert!(inside.tail.contains(part), "{part}: {}", inside.tail);
        }
    })
    .await;
}

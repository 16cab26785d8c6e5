//! What every test here is made of: a driver with a state folder of its own, a workload that is a
//! shell script, and ways to look and to kill from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use springtide_core::layout::Slot;
use springtide_core::observe::WorkloadObservation;
use springtide_core::role::Role;
use springtide_core::workload::{
    FileSpec, Limits, PortName, Probe, Root, StopRule, StopSignal, Text, Volume, VolumeMount, WorkloadId, WorkloadSpec,
};
use springtide_driver::{Driver, ProcessDriver, ResolvedWorkload};

pub type Driven = Arc<ProcessDriver>;

/// The program that serves the driver's hidden commands.
pub const SHIM: &str = env!("CARGO_BIN_EXE_springtide-shim");
pub const CACHE: &str = "/var/cache/springtide";
pub const SECRET: &str = "hush-4711-hush";

pub fn workload(slot: u16, script: &str) -> ResolvedWorkload {
    let slot = Slot(slot);
    let spec = WorkloadSpec {
        id: WorkloadId::of(&"prod".parse().unwrap(), Role::Web),
        made_from: None,
        root: Root::Host,
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        env: BTreeMap::new(),
        files: vec![FileSpec { name: "app.conf".into(), content: Text::plain("one"), reloadable: true }],
        volumes: vec![VolumeMount { volume: Volume::OdooData, at: "/srv/springtide/data".into(), read_only: false }],
        bundles: Vec::new(),
        folders: Vec::new(),
        ports: BTreeMap::new(),
        user: slot.user(Role::Web),
        needs: Vec::new(),
        limits: Limits { cpu_milli: Some(1000), memory_bytes: Some(256 << 20) },
        ready: Probe::Alive { seconds: 0 },
        ready_within_s: 10,
        stop: StopRule { signal: StopSignal::Term, grace_s: 2 },
    };
    let env = [("PASSWORD".to_owned(), SECRET.to_owned())].into();
    ResolvedWorkload { digest: spec.digest(), spec, files: vec!["one".into()], env }
}

pub fn redigest(mut workload: ResolvedWorkload, change: impl FnOnce(&mut WorkloadSpec)) -> ResolvedWorkload {
    change(&mut workload.spec);
    workload.digest = workload.spec.digest();
    workload
}

pub fn variant(slot: u16, word: &str) -> ResolvedWorkload {
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

pub fn murder(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// Runs `test` with a driver of its own and ends everything, also when it panics.
pub async fn with_driver<F: Future<Output = ()> + 'static>(name: &str, test: impl FnOnce(Driven, PathBuf) -> F) {
    with_binary(name, SHIM.into(), test).await;
}

/// The same, with a supervisor (and all it starts) in a world that `unshare FLAGS` and a shell script
/// have prepared.
pub async fn with_world<F: Future<Output = ()> + 'static>(
    name: &str,
    flags: &str,
    script: &str,
    test: impl FnOnce(Driven, PathBuf) -> F,
) {
    use std::os::unix::fs::PermissionsExt as _;
    let wrapper = std::env::temp_dir().join(format!("springtide-world-{name}-{}", std::process::id()));
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = supervise ] || exec {SHIM} \"$@\"\n\
         exec unshare {flags} sh -ec '{script}\nexec {SHIM} \"$@\"' sh \"$@\"\n"
    );
    std::fs::write(&wrapper, text).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    with_binary(name, wrapper.clone(), test).await;
    std::fs::remove_file(wrapper).unwrap();
}

async fn with_binary<F: Future<Output = ()> + 'static>(
    name: &str,
    binary: PathBuf,
    test: impl FnOnce(Driven, PathBuf) -> F,
) {
    let state = std::env::temp_dir().join(format!("springtide-driver-{name}-{}", std::process::id()));
    let driver = Arc::new(ProcessDriver::new(state.clone(), binary, CACHE.into()));
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

pub async fn seen(driver: &ProcessDriver) -> WorkloadObservation {
    driver.observe().await.unwrap().workloads.into_values().next().expect("one workload")
}

pub async fn seen_of(driver: &ProcessDriver, id: &WorkloadId) -> WorkloadObservation {
    driver.observe().await.unwrap().workloads.remove(id).expect("it is held")
}

pub async fn until(what: &str, seconds: u64, reached: impl AsyncFn() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !reached().await {
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

pub fn gone(pid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.is_empty() || text.contains(") Z ")
}

/// Processes whose command line holds `mark`.
pub fn processes(mark: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let holds = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() as i32 && String::from_utf8_lossy(&line).contains(mark)
    };
    pids.filter(holds).filter(|pid| !gone(*pid)).collect()
}

/// What the workload has written to a file of its volume.
pub fn written(state: &Path, name: &str) -> String {
    std::fs::read_to_string(state.join("environments/prod/volumes/odoo-data").join(name)).unwrap_or_default()
}

/// What the supervisor remembers of a workload.
pub fn status_of(state: &Path, folder: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(state.join("workloads").join(folder).join("status")).unwrap()).unwrap()
}

/// Whether this machine has control groups that we may make and that limit processor and memory.
pub fn control_groups() -> bool {
    let top = Path::new("/sys/fs/cgroup");
    let unified = std::fs::read_to_string(top.join("cgroup.controllers"));
    let places = match unified {
        Ok(controllers) if controllers.contains("cpu") && controllers.contains("memory") => vec![top.to_owned()],
        Ok(_) => return false,
        Err(_) => vec![top.join("cpu"), top.join("memory")],
    };
    places.into_iter().all(|place| {
        let probe = place.join(format!("springtide-probe-{:?}", std::thread::current().id()));
        place.join("cgroup.procs").exists()
            && std::fs::create_dir(&probe).is_ok()
            && std::fs::remove_dir(&probe).is_ok()
    })
}

//! The contract suite: every line of [`Driver`]'s contract as a check that any driver must pass.
//!
//! It panics at the first broken promise, naming it; so it belongs into tests. It uses only the
//! workloads its [`Kit`] makes, and removes them at the end.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use springtide_core::observe::{WorkloadObservation, WorkloadState};
use springtide_core::role::Role;
use springtide_core::workload::{Root, UserSpec, WorkloadId};

use crate::{Driver, DriverError, Ensured, Generation, Network, ResolvedWorkload, Task};

/// What a driver's test gives to the suite.
pub struct Kit<'a> {
    /// A workload, always of one id, that differs by the word given. The words `never-ready` and
    /// others: with the first its probe never succeeds (and its `ready_within_s` is 1 to 3) though
    /// it runs and has written a line with `never-ready` to its log; with all others it is ready
    /// within seconds.
    pub make: &'a (dyn Fn(&str) -> ResolvedWorkload + Sync),
    /// Kills a process behind the driver's back.
    pub kill: &'a (dyn Fn(i32) + Sync),
    /// Whom tasks run as.
    pub user: UserSpec,
}

/// A task that runs a small shell script of `echo`, `sleep` and `exit`.
fn task(name: &str, script: &str, user: UserSpec, deadline_s: u32) -> Task {
    Task {
        name: name.to_owned(),
        root: Root::Host,
        command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        env: BTreeMap::new(),
        files: Vec::new(),
        mounts: Vec::new(),
        user,
        network: Network::Machine,
        deadline_s,
    }
}

async fn seen(driver: &dyn Driver, id: &WorkloadId) -> Option<WorkloadObservation> {
    driver.observe().await.expect("observe works").workloads.remove(id)
}

/// Waits until `reached` holds, at most `seconds`.
async fn until<F: Future<Output = bool>>(what: &str, seconds: u64, reached: impl Fn() -> F) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !reached().await {
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs the suite. `driver` must not hold the kit's workload yet.
///
/// # Panics
/// When a promise is broken.
pub async fn run(driver: &dyn Driver, kit: &Kit<'_>) {
    let first = (kit.make)("first");
    let id = first.spec.id.clone();
    ensures(driver, kit, &first, &id).await;
    fences(driver, kit, &first, &id).await;
    enters(driver, &first, &id).await;
    stops(driver, &first, &id).await;
    reports(driver, kit, &first, &id).await;
    says_why(driver, kit, &id).await;
    removes(driver, &id).await;
    runs_tasks(driver, kit).await;
}

async fn ensures(driver: &dyn Driver, kit: &Kit<'_>, first: &ResolvedWorkload, id: &WorkloadId) {
    assert!(matches!(driver.wait_ready(id).await, Err(DriverError::NotFound(_))), "an absent workload is not found");
    assert_eq!(driver.ensure_workload(first, Generation(10)).await.expect("ensure"), Ensured::Started);
    driver.wait_ready(id).await.expect("ready");
    let one = seen(driver, id).await.expect("it is there");
    assert_eq!((one.state, one.digest), (WorkloadState::Ready, first.digest));
    assert_eq!(
        driver.ensure_workload(first, Generation(10)).await.expect("ensure"),
        Ensured::Unchanged,
        "ensuring twice changes nothing"
    );
    assert_eq!(seen(driver, id).await.expect("it is there").pid, one.pid, "the process is the same");

    let second = (kit.make)("second");
    assert_ne!(first.digest, second.digest, "the kit's variants differ");
    assert_eq!(driver.ensure_workload(&second, Generation(11)).await.expect("replace"), Ensured::Restarted);
    driver.wait_ready(id).await.expect("ready");
    let two = seen(driver, id).await.expect("it is there");
    assert_eq!(two.digest, second.digest, "it runs with the new digest");
    assert_ne!(two.pid, one.pid, "the process is another one");
    assert!(driver.logs(id).iter().all(|log| log.exists()), "logs that are named exist");
}

async fn fences(driver: &dyn Driver, kit: &Kit<'_>, first: &ResolvedWorkload, id: &WorkloadId) {
    let before = seen(driver, id).await.expect("it is there");
    let late = Generation(5);
    let fenced = |result: Result<(), DriverError>, what: &str| {
        assert!(matches!(result, Err(DriverError::Fenced { ours: 5, seen: 11 })), "{what} is fenced");
    };
    fenced(driver.ensure_workload(first, late).await.map(drop), "ensure");
    fenced(driver.raise(late).await, "raising the fence");
    fenced(driver.stop_workload(id, late).await, "stop");
    fenced(driver.remove_workload(id, late).await, "remove");
    fenced(driver.run_task(&task("late", "exit 0", kit.user, 10), late).await.map(drop), "a task");
    if let Some(environment) = &id.environment {
        fenced(driver.remove_volumes(environment, late).await, "removing volumes");
    }
    let after = seen(driver, id).await.expect("it is there");
    assert_eq!((before.pid, before.digest), (after.pid, after.digest), "a refused call changes nothing");
    driver.raise(Generation(11)).await.expect("the same again is success");
    assert_eq!(driver.fence(), Generation(11));
}

async fn enters(driver: &dyn Driver, first: &ResolvedWorkload, id: &WorkloadId) {
    let script = |text: &str| ["/bin/sh", "-c", text].map(str::to_owned);
    let before = seen(driver, id).await.expect("it is there").pid;
    for code in [0, 7] {
        let exit = driver.exec(id, &script(&format!("exit {code}"))).await;
        assert_eq!(exit.expect("a command runs"), code, "the command's exit code comes back");
    }
    assert_eq!(seen(driver, id).await.expect("it is there").pid, before, "the workload goes on beside it");
    let absent = WorkloadId { role: other_role(id.role), ..id.clone() };
    assert!(
        matches!(driver.exec(&absent, &script("exit 0")).await, Err(DriverError::NotFound(of)) if of == absent),
        "an unknown workload is not found"
    );
    driver.stop_workload(id, Generation(11)).await.expect("stop");
    match driver.exec(id, &script("exit 0")).await {
        Err(DriverError::NotRunning { id: of, state: WorkloadState::Stopped }) => assert_eq!(&of, id),
        other => panic!("a stopped workload cannot be entered, and yet {other:?}"),
    }
    driver.ensure_workload(first, Generation(11)).await.expect("ensure");
    driver.wait_ready(id).await.expect("ready");
}

/// A role the suite has no workload of.
fn other_role(role: Role) -> Role {
    if role == Role::Cron { Role::Jobs } else { Role::Cron }
}

async fn stops(driver: &dyn Driver, first: &ResolvedWorkload, id: &WorkloadId) {
    let before = driver.mark();
    for _ in 0..2 {
        driver.stop_workload(id, Generation(12)).await.expect("stop, also twice");
    }
    assert!(before.is_none() || driver.mark() != before, "a driver that marks changes marks this one");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let stopped = seen(driver, id).await.expect("a stopped workload is kept");
    assert_eq!((stopped.state, stopped.pid), (WorkloadState::Stopped, None), "it stays stopped");
    assert!(matches!(driver.wait_ready(id).await, Err(DriverError::NotReady { .. })), "it cannot become ready");
    assert_eq!(
        driver.ensure_workload(first, Generation(13)).await.expect("ensure"),
        Ensured::Started,
        "ensured again it starts"
    );
    driver.wait_ready(id).await.expect("ready");
}

async fn reports(driver: &dyn Driver, kit: &Kit<'_>, first: &ResolvedWorkload, id: &WorkloadId) {
    let pid = seen(driver, id).await.and_then(|seen| seen.pid).expect("it runs");
    (kit.kill)(pid);
    until("the killed process is not reported", 2, async || seen(driver, id).await.expect("kept").pid != Some(pid))
        .await;
    until("it is started again", 10, async || {
        let now = seen(driver, id).await.expect("kept");
        now.pid.is_some_and(|new| new != pid) && now.restarts == 1 && now.digest == first.digest
    })
    .await;
    driver.wait_ready(id).await.expect("ready again");
}

async fn says_why(driver: &dyn Driver, kit: &Kit<'_>, id: &WorkloadId) {
    let never = (kit.make)("never-ready");
    driver.ensure_workload(&never, Generation(14)).await.expect("ensure");
    match driver.wait_ready(id).await {
        Err(DriverError::NotReady { why, tail, .. }) => {
            assert!(!why.is_empty(), "it says why");
            assert!(tail.contains("never-ready"), "it shows the log: {tail:?}");
        }
        other => panic!("never ready, and yet {other:?}"),
    }
}

async fn removes(driver: &dyn Driver, id: &WorkloadId) {
    for _ in 0..2 {
        driver.remove_workload(id, Generation(15)).await.expect("remove, also twice");
    }
    assert!(seen(driver, id).await.is_none(), "it is forgotten");
    assert!(driver.logs(id).is_empty(), "its logs are gone");
    driver.stop_workload(id, Generation(15)).await.expect("stopping what is absent succeeds");
    if let Some(environment) = &id.environment {
        for _ in 0..2 {
            driver.remove_volumes(environment, Generation(15)).await.expect("remove volumes, also absent ones");
        }
    }
}

async fn runs_tasks(driver: &dyn Driver, kit: &Kit<'_>) {
    let good =
        driver.run_task(&task("good", "echo hello task; exit 0", kit.user, 20), Generation(16)).await.expect("task");
    assert_eq!(good.code, Some(0));
    assert!(good.tail.contains("hello task"), "{:?}", good.tail);
    assert!(std::fs::read_to_string(&good.log).expect("the log is there").contains("hello task"));
    let bad = driver.run_task(&task("bad", "echo oh; exit 7", kit.user, 20), Generation(16)).await.expect("task");
    assert_eq!(bad.code, Some(7));
    let begin = Instant::now();
    let late = driver
        .run_task(&task("slow", "echo begun; sleep 60; exit 0", kit.user, 1), Generation(16))
        .await
        .expect("task");
    assert_eq!(late.code, None, "a deadline gives no exit code");
    assert!(late.tail.contains("begun"), "output until then is kept: {:?}", late.tail);
    assert!(begin.elapsed() < Duration::from_secs(10), "the deadline is kept");
}

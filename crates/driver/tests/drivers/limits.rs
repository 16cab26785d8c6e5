//! Limits: set as asked, felt by the one who has them and by nobody else. On a machine without
//! control groups the tests check what is promised there: that it is said.

use std::path::{Path, PathBuf};
use std::time::Duration;

use springtide_core::observe::WorkloadState;
use springtide_core::role::Role;
use springtide_core::workload::{Limits, WorkloadId};
use springtide_driver::{Driver, Generation, ProcessDriver, ResolvedWorkload};

use crate::rig::{
    Driven, control_groups, gone, processes, redigest, seen, seen_of, status_of, until, with_driver, with_world,
    workload,
};

const MIB: u64 = 1 << 20;
/// Takes 200 MiB and keeps them.
const BOMB: &str = "exec perl -e '$x = \"x\" x (200 << 20); sleep 1000'";

fn limited(slot: u16, script: &str, cpu_milli: Option<u32>, memory_bytes: Option<u64>) -> ResolvedWorkload {
    redigest(workload(slot, script), |spec| spec.limits = Limits { cpu_milli, memory_bytes })
}

/// Whether limits can be checked here; if not, that the workload says so.
async fn enforced(driver: &ProcessDriver) -> bool {
    if !control_groups() {
        let why = seen(driver).await.why;
        assert!(why.contains("not enforced"), "without control groups a workload says so: {why}");
    }
    control_groups()
}

/// A control file of `prod.web`, wherever this machine keeps it: of the v1 hierarchy or of v2.
fn control(pid: i32, hierarchy: &str, v1: &str, v2: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of = |name: &str| text.lines().find_map(|line| line.split_once(&format!(":{name}:"))).map(|(_, path)| path);
    let top = Path::new("/sys/fs/cgroup");
    let file = match of(hierarchy) {
        Some(path) => top.join(hierarchy).join(path.trim_start_matches('/')).join(v1),
        None => top.join(of("").unwrap().trim_start_matches('/')).join(v2),
    };
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_bomb_ends_itself_and_no_neighbour() {
    with_driver("memory", async |driver: Driven, state: PathBuf| {
        let once =
            format!("[ -e /srv/springtide/data/tried ] && exec sleep 1000; touch /srv/springtide/data/tried; {BOMB}");
        let bomb = limited(940, &once, None, Some(64 * MIB));
        let neighbour = redigest(workload(940, "exec sleep 1000"), |spec| {
            spec.id = WorkloadId { role: Role::Cron, ..spec.id.clone() };
            spec.limits = Limits { cpu_milli: None, memory_bytes: Some(64 * MIB) };
        });
        driver.ensure_workload(&neighbour, Generation(1)).await.unwrap();
        driver.wait_ready(&neighbour.spec.id).await.unwrap();
        let before = seen_of(&driver, &neighbour.spec.id).await;
        driver.ensure_workload(&bomb, Generation(1)).await.unwrap();
        if !enforced(&driver).await {
            return;
        }
        let again = async || {
            let now = seen_of(&driver, &bomb.spec.id).await;
            now.restarts == 1 && now.state == WorkloadState::Ready
        };
        until("the bomb is ended and started again", 15, again).await;
        let why = status_of(&state, "prod.web")["why"].as_str().unwrap().to_owned();
        assert!(why.contains("SIGKILL") && why.contains("more memory than its limit"), "{why}");
        let pid = seen_of(&driver, &bomb.spec.id).await.pid.unwrap();
        assert_eq!(control(pid, "memory", "memory.limit_in_bytes", "memory.max"), (64 * MIB).to_string());
        let after = seen_of(&driver, &neighbour.spec.id).await;
        assert_eq!((after.pid, after.restarts, after.state), (before.pid, 0, WorkloadState::Ready));

        // The same bomb with room enough is none.
        let fits = limited(940, BOMB, None, Some(512 * MIB));
        driver.ensure_workload(&fits, Generation(1)).await.unwrap();
        let full = async || seen_of(&driver, &fits.spec.id).await.resident_bytes.is_some_and(|bytes| bytes > 190 * MIB);
        until("it has taken its memory", 10, full).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(seen_of(&driver, &fits.spec.id).await.restarts, 0);
    })
    .await;
}

/// Seconds of processor time a process takes within two, and how often the kernel held it back.
async fn burnt(pid: i32) -> (f64, u64) {
    let look = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().map(str::to_owned).collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let held = control(pid, "cpu", "cpu.stat", "cpu.stat");
        let held = held.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap().trim().parse::<u64>();
        (ticks, held.unwrap())
    };
    let before = look();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = look();
    ((after.0 - before.0) as f64 / 100.0, after.1 - before.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_limit_is_set_and_felt() {
    with_driver("cpu", async |driver: Driven, _| {
        let spin = "while :; do :; done";
        let slow = limited(941, spin, Some(100), None);
        driver.ensure_workload(&slow, Generation(1)).await.unwrap();
        driver.wait_ready(&slow.spec.id).await.unwrap();
        if !enforced(&driver).await {
            return;
        }
        let pid = seen(&driver).await.pid.unwrap();
        let set = control(pid, "cpu", "cpu.cfs_quota_us", "cpu.max");
        assert!(["10000", "10000 100000"].contains(&set.as_str()), "{set}");
        let (took, held) = burnt(pid).await;
        assert!(took < 0.4 && held > 0, "a tenth of a core gives {took} s in two; held back {held} times");

        let free = limited(941, spin, None, None);
        driver.ensure_workload(&free, Generation(1)).await.unwrap();
        let pid = seen(&driver).await.pid.unwrap();
        let set = control(pid, "cpu", "cpu.cfs_quota_us", "cpu.max");
        assert!(["-1", "max 100000"].contains(&set.as_str()), "{set}");
        // How much it gets depends on what else runs here; that nobody holds it back does not.
        let (took, held) = burnt(pid).await;
        assert_eq!(held, 0, "without a limit it is held back by nobody; it took {took} s");
    })
    .await;
}

/// In a world without control groups, whatever this machine has.
#[tokio::test(flavor = "multi_thread")]
async fn without_control_groups_limits_are_said_to_be_absent_and_children_still_end() {
    with_world("bare", "-m", "mount -t tmpfs none /sys/fs/cgroup", async |driver: Driven, state: PathBuf| {
        let mark = format!("mark-of-{}", state.file_name().unwrap().to_string_lossy());
        let child = format!("sh -c \"trap : TERM; while :; do sleep 1; done # {mark}\" &");
        let one = limited(942, &format!("{child} {child} wait"), Some(500), Some(64 * MIB));
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let now = seen(&driver).await;
        assert!(now.why.contains("no control groups on this machine: limits are not enforced"), "{}", now.why);
        until("its children run", 5, async || processes(&mark).len() >= 3).await;
        driver.stop_workload(&one.spec.id, Generation(1)).await.unwrap();
        assert!(gone(now.pid.unwrap()));
        assert_eq!(processes(&mark), [0; 0], "children are found by their session");
    })
    .await;
}

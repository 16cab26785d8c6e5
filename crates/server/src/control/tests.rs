//! Control over the world in memory: store, locks, journal and fences are real.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use springtide_core::layout::Slot;
use springtide_core::observe::Stranger;
use springtide_core::role::Role;
use springtide_core::workload::WorkloadId;
use springtide_driver::fake::FakeDriver;
use springtide_driver::{Driver as _, DriverError, Generation};

use super::*;
use crate::fake::{self, FakeWorld};
use crate::store::{ControllerKind, DONE, OperationRecord, Store};

const TWO: &str = "estate: acme\nenvironments:\n  - { name: prod, stage: production }\n  - { name: shop }\n";

/// A state folder with an estate file, a machine in memory and a clock.
struct Rig {
    folder: PathBuf,
    driver: Arc<FakeDriver>,
    world: Arc<FakeWorld>,
    clock: Arc<AtomicI64>,
    /// Seconds of the clock that never jumps.
    uptime: Arc<AtomicU64>,
}

impl Rig {
    fn new(name: &str, file: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("springtide-control-{name}-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let clock = Arc::new(AtomicI64::new(1_795_700_000));
        let rig =
            Self { folder, driver: Arc::new(FakeDriver::new()), world: Arc::default(), clock, uptime: Arc::default() };
        rig.declare(file);
        rig
    }

    fn declare(&self, file: &str) {
        std::fs::write(self.folder.join("estate.yaml"), file).unwrap();
    }

    /// A server that has just started.
    fn server(&self) -> Arc<Control> {
        let state = self.folder.join("state");
        let estate = fake::estate(&state, Arc::clone(&self.driver), Arc::clone(&self.world)).unwrap();
        let clock = Arc::clone(&self.clock);
        let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let uptime = Arc::clone(&self.uptime);
        let mut settings = Settings::new(self.folder.join("estate.yaml"), clock);
        settings.uptime = Arc::new(move || Duration::from_secs(uptime.load(Ordering::Relaxed)));
        let control = Control::new(Arc::new(estate), settings);
        control.catch_up().unwrap();
        control
    }

    fn store(&self) -> Store {
        Store::open(&self.folder.join("state/springtide.db")).unwrap()
    }

    async fn pid(&self, id: &str) -> Option<i32> {
        self.driver.observe().await.unwrap().workloads.get(&id.parse().unwrap())?.pid
    }

    async fn stop(&self, id: &str) {
        let fence = self.driver.fence();
        self.driver.stop_workload(&id.parse().unwrap(), fence).await.unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Looks, approves everything and waits until it is done.
async fn approve_all(control: &Arc<Control>) -> Vec<u64> {
    let plan = control.refresh().await.unwrap().plan.id.clone();
    let begun = control.approve(&plan, None, "me").await.unwrap();
    control.idle().await;
    assert!(begun.left.is_none());
    begun.operations
}

/// A server with everything up.
async fn up(rig: &Rig) -> Arc<Control> {
    let control = rig.server();
    approve_all(&control).await;
    assert!(control.refresh().await.unwrap().plan.is_empty());
    control
}

fn newest(control: &Control) -> OperationRecord {
    control.estate().store.operations(1).unwrap().remove(0)
}

fn name(text: &str) -> Option<EnvironmentName> {
    Some(text.parse().unwrap())
}

fn verdict(control: &Control, of: &str) -> Option<Verdict> {
    control.snapshot().unwrap().verdicts.get(&name(of)).copied()
}

#[tokio::test]
async fn a_new_estate_waits_for_approval_and_is_brought_up_part_by_part() {
    let rig = Rig::new("new", TWO);
    let control = rig.server();
    control.pass().await.unwrap();
    assert_eq!(rig.driver.calls(), Vec::<String>::new(), "nobody said yes");
    assert_eq!(verdict(&control, "prod"), Some(Verdict::Waits(Why::Approval)));
    let numbers = approve_all(&control).await;
    let operations = control.estate().store.operations(10).unwrap();
    assert_eq!(numbers, [1, 2, 3], "the estate's own parts and each environment");
    assert!(operations.iter().all(|it| it.outcome.as_deref() == Some(DONE)), "{operations:#?}");
    // Both are of the same modules: the second waited for the first to build the template.
    let calls = rig.driver.calls();
    let at = |what: &str| calls.iter().position(|call| call.starts_with(what)).unwrap();
    assert!(at("task template-") < at("task copy-prod") && at("task template-") < at("task copy-shop"), "{calls:?}");
    assert!(at("wait proxy") < at("ensure prod/postgres"), "the estate's own parts come first: {calls:?}");
    assert!(control.refresh().await.unwrap().plan.is_empty());
    // Nothing is in hand any more, and commands may act.
    ActLock::take(&rig.folder.join("state"), "apply", 0).unwrap();
    control.pass().await.unwrap();
    assert_eq!(control.estate().store.operations(10).unwrap().len(), 3, "a pass without change does nothing");
}

#[tokio::test]
async fn the_same_plan_approved_again_is_the_same_operation_and_a_stale_one_is_refused() {
    let rig = Rig::new("again", TWO);
    let control = rig.server();
    let plan = control.refresh().await.unwrap().plan.id.clone();
    let gate = rig.world.wait_at("make the certificate authority");
    let first = control.approve(&plan, None, "me").await.unwrap().operations;
    gate.reached().await;
    assert_eq!(control.approve(&plan, None, "me again").await.unwrap().operations, first);
    gate.open();
    control.idle().await;
    let stale = control.approve(&plan, None, "me").await.unwrap_err();
    assert!(matches!(&stale, ControlError::Stale { given, .. } if *given == plan), "{stale}");
    assert_eq!(stale.code(), "E0801");
    rig.declare(&TWO.replace("{ name: shop }", "{ name: shop, workers: { web: 3 } }"));
    let now = control.refresh().await.unwrap().plan.id.clone();
    let nobody = [name("nobody").unwrap()];
    assert_eq!(control.approve(&now, Some(&nobody), "me").await.unwrap_err().code(), "E0908");
    // Only one environment of it.
    let only = async |of: &str| control.approve(&now, Some(&[name(of).unwrap()]), "me").await.unwrap().operations;
    assert_eq!(only("prod").await, Vec::<u64>::new());
    assert_eq!(only("shop").await, [4]);
    control.idle().await;
    assert_eq!(newest(&control).environment.as_deref(), Some("shop"));
}

#[tokio::test]
async fn what_of_a_plan_does_not_run_yet_is_begun_beside_what_does() {
    let rig = Rig::new("beside-it", TWO);
    let control = rig.server();
    let plan = control.refresh().await.unwrap().plan.id.clone();
    let gate = rig.world.wait_at("make the certificate authority");
    let only = async |of: &str| control.approve(&plan, Some(&[name(of).unwrap()]), "me").await.map(|it| it.operations);
    assert_eq!(only("prod").await.unwrap(), [1, 2]);
    gate.reached().await;
    assert_eq!(only("prod").await.unwrap(), [1, 2], "the same again");
    // From the same page, while the estate's own parts run: they are not begun twice, and shop is begun.
    assert_eq!(only("shop").await.unwrap(), [1, 3]);
    assert!(control.estate().store.approved().unwrap().contains_key(&name("shop")));
    assert_eq!(control.approve(&plan, None, "me").await.unwrap().operations, [1, 2, 3]);
    gate.open();
    control.idle().await;
    let operations = control.estate().store.operations(10).unwrap();
    assert!(operations.iter().all(|it| it.outcome.as_deref() == Some(DONE)), "{operations:#?}");
    // Shop waited for the estate's own parts and for the template that prod built.
    let calls = rig.driver.calls();
    let at = |what: &str| calls.iter().position(|call| call.starts_with(what)).unwrap();
    assert!(at("wait proxy") < at("ensure shop/postgres") && at("task template-") < at("task copy-shop"), "{calls:?}");
    assert!(control.refresh().await.unwrap().plan.is_empty());
    assert_eq!(only("shop").await.unwrap_err().code(), "E0801", "nothing is remembered of what has ended");
}

#[tokio::test]
async fn what_cannot_be_begun_after_others_is_told_and_not_approved() {
    let rig = Rig::new("left", TWO);
    let control = rig.server();
    // Somebody holds between the second operation and the third.
    let trigger = "CREATE TRIGGER second AFTER INSERT ON operations WHEN NEW.id = 2
                   BEGIN INSERT INTO hold (id, reason, by, since) VALUES (1, 'stocktaking', 'somebody', 0); END";
    let store = rusqlite::Connection::open(rig.folder.join("state/springtide.db")).unwrap();
    store.execute_batch(trigger).unwrap();
    let plan = control.refresh().await.unwrap().plan.id.clone();
    let begun = control.approve(&plan, None, "me").await.unwrap();
    let left = begun.left.expect("the third was not begun");
    assert_eq!((begun.operations, left.environments), (vec![1, 2], vec![name("shop").unwrap()]));
    assert_eq!(left.why.code(), "E0922");
    control.idle().await;
    assert!(!control.estate().store.approved().unwrap().contains_key(&name("shop")));
    // When even the first cannot be begun, the whole is refused.
    let none = control.approve(&plan, None, "me").await.unwrap_err();
    assert_eq!(none.code(), "E0922");
}

#[tokio::test]
async fn a_step_that_panics_gives_its_environment_back() {
    let rig = Rig::new("panic", TWO);
    let control = up(&rig).await;
    rig.stop("prod/web").await;
    rig.world.panic_at("run prod/web");
    control.pass().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), control.idle()).await.expect("it does not run for ever");
    let failed = newest(&control);
    assert_eq!(failed.outcome.as_deref(), Some("failed: run prod/web"));
    let steps = control.estate().store.steps(failed.id).unwrap();
    let error = steps.last().and_then(|step| step.error.clone()).unwrap();
    assert!(error.contains("panic"), "{error}");
    // Commands may act, and it is a failure like others: a pause, then another try.
    drop(ActLock::take(&rig.folder.join("state"), "apply", 0).unwrap());
    control.refresh().await.unwrap();
    assert_eq!(verdict(&control, "prod"), Some(Verdict::Waits(Why::Pause)));
    rig.uptime.fetch_add(7, Ordering::Relaxed);
    control.pass().await.unwrap();
    control.idle().await;
    assert!(rig.pid("prod/web").await.is_some());
}

#[tokio::test]
async fn a_process_that_somebody_started_is_told_and_left() {
    let rig = Rig::new("strangers", TWO);
    let control = up(&rig).await;
    let begun = newest(&control).id;
    let slot = control.refresh().await.unwrap().seen.environments[&"shop".parse().unwrap()].slot;
    let stranger = |slot, pid| Stranger { pid, slot, program: "sleep".into() };
    rig.driver.set_strangers(vec![stranger(slot, 7), stranger(Slot::ESTATE, 8)]);
    control.pass().await.unwrap();
    control.idle().await;
    let snapshot = control.refresh().await.unwrap();
    let what = |pid: i32| format!("process {pid} (sleep) was not started by Springtide and runs as one of its users");
    let drift: Vec<_> = snapshot.drift.iter().map(|it| (it.environment.as_ref(), it.what.clone(), it.rule)).collect();
    let shop = "shop".parse().unwrap();
    assert_eq!(drift, [(None, what(8), DriftRule::Report), (Some(&shop), what(7), DriftRule::Report)]);
    assert!(snapshot.plan.is_empty(), "no plan depends on it");
    assert_eq!(newest(&control).id, begun, "nothing was begun for it");
    rig.driver.set_strangers(Vec::new());
    assert_eq!(control.refresh().await.unwrap().drift, []);
    let told = control.events_after(0, 1000).unwrap().into_iter().filter(|it| it.kind == EventKind::Drift);
    let told: Vec<_> = told.map(|it| (it.environment.is_some(), it.data["gone"] == true)).collect();
    assert_eq!(told, [(false, false), (true, false), (false, true), (true, true)], "they came and went");
}

#[tokio::test]
async fn drift_is_healed_or_reported_by_rule() {
    let rig = Rig::new("drift", &TWO.replace("{ name: shop }", "{ name: shop, drift: report }"));
    let control = up(&rig).await;
    for id in ["prod/web", "shop/web"] {
        rig.stop(id).await;
    }
    control.pass().await.unwrap();
    control.idle().await;
    assert!(rig.pid("prod/web").await.is_some(), "healed");
    assert_eq!(rig.pid("shop/web").await, None, "told only");
    let healed = newest(&control);
    assert_eq!((healed.environment.as_deref(), healed.by.as_deref()), (Some("prod"), Some("the server")));
    let snapshot = control.refresh().await.unwrap();
    let drift: Vec<_> = snapshot.drift.iter().map(|it| (it.what.as_str(), it.rule, it.since)).collect();
    assert_eq!(drift, [("web: it is stopped", DriftRule::Report, 1_795_700_000)]);
    // The moment it was first seen stays.
    rig.clock.fetch_add(60, Ordering::Relaxed);
    assert_eq!(control.refresh().await.unwrap().drift[0].since, 1_795_700_000);
    // A person's word puts it right.
    let plan = snapshot.plan.id.clone();
    control.approve(&plan, None, "me").await.unwrap();
    control.idle().await;
    assert!(rig.pid("shop/web").await.is_some());
    assert_eq!(control.refresh().await.unwrap().drift, []);
    let events = control.events_after(0, 1000).unwrap();
    let drifts: Vec<_> = events.iter().filter(|it| it.kind == EventKind::Drift).collect();
    let of = |whose: &str| drifts.iter().filter(|it| it.environment.as_deref() == Some(whose)).count();
    assert_eq!((of("prod"), of("shop")), (2, 2), "it came and it went: {drifts:#?}");
}

#[tokio::test]
async fn a_lost_route_is_drift_too() {
    let rig = Rig::new("route", TWO);
    let control = up(&rig).await;
    rig.world.lose_route(&name("prod").unwrap());
    control.pass().await.unwrap();
    control.idle().await;
    assert!(control.refresh().await.unwrap().plan.is_empty());
    assert_eq!(newest(&control).environment.as_deref(), Some("prod"));
}

#[tokio::test]
async fn what_changes_in_the_file_waits_and_drift_beside_it_is_healed() {
    let rig = Rig::new("change", TWO);
    let control = up(&rig).await;
    let before = rig.pid("shop/web").await;
    rig.declare(&TWO.replace("{ name: shop }", "{ name: shop, workers: { web: 3 } }"));
    rig.stop("prod/cron").await;
    control.pass().await.unwrap();
    control.idle().await;
    assert!(rig.pid("prod/cron").await.is_some());
    assert_eq!(rig.pid("shop/web").await, before, "a change waits");
    assert_eq!(verdict(&control, "shop"), Some(Verdict::Waits(Why::Approval)));
    approve_all(&control).await;
    assert_ne!(rig.pid("shop/web").await, before);
    // Taking the change back is a change.
    rig.declare(TWO);
    control.pass().await.unwrap();
    assert_eq!(verdict(&control, "shop"), Some(Verdict::Waits(Why::Approval)));
}

#[tokio::test]
async fn a_file_that_is_refused_keeps_nobody_elses_drift_from_being_healed() {
    let rig = Rig::new("refused", TWO);
    let control = up(&rig).await;
    rig.declare(
        &TWO.replace("{ name: shop }", "{ name: shop, workers: { web: 60 }, database: { max_connections: 50 } }"),
    );
    rig.stop("prod/web").await;
    control.pass().await.unwrap();
    control.idle().await;
    let snapshot = control.refresh().await.unwrap();
    assert_eq!(snapshot.plan.refusals[0].code, "E0701");
    assert!(rig.pid("prod/web").await.is_some());
    let refused = control.approve(&snapshot.plan.id, None, "me").await.unwrap_err();
    assert_eq!(refused.code(), "E0700");
}

#[tokio::test]
async fn a_file_that_becomes_invalid_changes_nothing_also_over_a_restart() {
    let rig = Rig::new("invalid", TWO);
    let control = up(&rig).await;
    let plan = control.snapshot().unwrap().plan.id.clone();
    rig.declare("estate: [x\n");
    rig.stop("prod/web").await;
    let mut control = control;
    for restart in [false, true] {
        if restart {
            control = rig.server();
        }
        control.pass().await.unwrap();
        control.idle().await;
        let snapshot = control.refresh().await.unwrap();
        assert!(rig.pid("prod/web").await.is_some(), "what was valid is kept");
        assert!(snapshot.refusal.is_some() && snapshot.plan.is_empty() && snapshot.checked.environments.len() == 2);
        assert_eq!(control.approve(&plan, None, "me").await.unwrap_err().code(), "E0100");
        rig.stop("prod/web").await;
    }
    std::fs::remove_file(rig.folder.join("estate.yaml")).unwrap();
    let control = rig.server();
    assert_eq!(control.refresh().await.unwrap().refusal.as_deref(), Some("it does not exist"));
    rig.declare(TWO);
    assert_eq!(control.refresh().await.unwrap().refusal, None);
}

#[tokio::test]
async fn held_nothing_begins_and_what_runs_stops_before_its_next_step() {
    let rig = Rig::new("held", TWO);
    let control = rig.server();
    let plan = control.refresh().await.unwrap().plan.id.clone();
    let gate = rig.world.wait_at("make the certificate authority");
    control.approve(&plan, None, "me").await.unwrap();
    gate.reached().await;
    // Another process sets it.
    rig.store().hold("the disk is being replaced", "springtide hold", 5).unwrap();
    gate.open();
    control.idle().await;
    let operations = control.estate().store.operations(10).unwrap();
    assert_eq!(operations[2].outcome.as_deref(), Some("held: the disk is being replaced"), "{operations:#?}");
    assert_eq!(operations[2].steps, (1, 1), "the step under way was finished");
    assert!(operations[..2].iter().all(|it| it.steps == (0, 0)), "{operations:#?}");
    control.pass().await.unwrap();
    assert_eq!(rig.driver.calls(), Vec::<String>::new());
    let refused = control.approve(&control.snapshot().unwrap().plan.id, None, "me").await.unwrap_err();
    assert_eq!(refused.code(), "E0922");
    assert_eq!(verdict(&control, "prod"), Some(Verdict::Waits(Why::Held)));
    // It was approved: once released it goes on without another word.
    control.release("me").unwrap();
    for _ in 0..3 {
        control.pass().await.unwrap();
        control.idle().await;
    }
    assert!(control.refresh().await.unwrap().plan.is_empty());
}

#[tokio::test]
async fn a_cancelled_operation_stops_and_waits_for_another_word() {
    let rig = Rig::new("cancel", "estate: acme\nenvironments: [{ name: prod }]\n");
    let control = rig.server();
    approve_all(&control).await;
    rig.declare("estate: acme\nenvironments: [{ name: prod, workers: { web: 3, cron: 2 } }]\n");
    let plan = control.refresh().await.unwrap().plan.id.clone();
    let gate = rig.world.wait_at("run prod/web");
    let number = control.approve(&plan, None, "me").await.unwrap().operations[0];
    gate.reached().await;
    control.cancel(number, "somebody").unwrap();
    assert_eq!(control.cancel(99, "somebody").unwrap_err().code(), "E0908");
    gate.open();
    control.idle().await;
    let cancelled = newest(&control);
    assert_eq!(cancelled.outcome.as_deref(), Some("cancelled by somebody"));
    let steps = control.estate().store.steps(number).unwrap();
    assert_eq!(steps.last().map(|it| (it.title.as_str(), it.ended.is_some())), Some(("run prod/web", true)));
    control.pass().await.unwrap();
    control.idle().await;
    assert_eq!(newest(&control).id, number, "nothing goes on by itself");
    assert_eq!(verdict(&control, "prod"), Some(Verdict::Waits(Why::Approval)));
    assert_eq!(control.cancel(number, "somebody").unwrap_err().code(), "E0908", "it has ended");
}

#[tokio::test]
async fn failures_pause_by_a_clock_that_never_jumps() {
    let rig = Rig::new("pause", TWO);
    let control = up(&rig).await;
    rig.stop("prod/web").await;
    rig.driver.fail_next("ensure prod/web", "no");
    rig.driver.fail_next("ensure prod/web", "no");
    let tried = |control: &Arc<Control>| control.estate().store.operations(50).unwrap().len();
    let before = tried(&control);
    control.pass().await.unwrap();
    control.idle().await;
    assert!(newest(&control).outcome.unwrap().starts_with("failed: run prod/web"));
    // A day of the wall clock, forwards and backwards, is no reason to try again.
    for jump in [3_600, -86_400] {
        rig.clock.fetch_add(jump, Ordering::Relaxed);
        control.pass().await.unwrap();
        control.idle().await;
        assert_eq!(tried(&control), before + 1);
        assert_eq!(verdict(&control, "prod"), Some(Verdict::Waits(Why::Pause)));
    }
    rig.clock.fetch_add(86_400 - 3_600, Ordering::Relaxed);
    rig.uptime.fetch_add(7, Ordering::Relaxed);
    control.pass().await.unwrap();
    control.idle().await;
    assert_eq!(tried(&control), before + 2, "the second try");
    rig.uptime.fetch_add(7, Ordering::Relaxed);
    control.pass().await.unwrap();
    assert_eq!(tried(&control), before + 2, "the second pause is longer");
    rig.uptime.fetch_add(6, Ordering::Relaxed);
    control.pass().await.unwrap();
    control.idle().await;
    assert!(rig.pid("prod/web").await.is_some());
    assert!(control.refresh().await.unwrap().drift.is_empty());
}

#[tokio::test]
async fn a_freeze_lets_only_that_through_which_interrupts_nobody() {
    let peak = "peaks:\n  - { name: sale, kind: promotion, environments: [prod], from: 2026-11-26T00:00, to: 2026-11-28T00:00, timezone: UTC, freeze: true }\n";
    let rig = Rig::new("freeze", &format!("{TWO}{peak}"));
    let control = up(&rig).await;
    const NOON: i64 = 1_795_694_400;
    rig.clock.store(NOON, Ordering::Relaxed);
    // A peak that begins changes nothing without a word.
    control.pass().await.unwrap();
    let runs = rig.pid("prod/postgres").await;
    rig.stop("prod/web").await;
    control.pass().await.unwrap();
    control.idle().await;
    assert_eq!(rig.pid("prod/postgres").await, runs);
    let snapshot = control.refresh().await.unwrap();
    let prod = snapshot.plan.environments.iter().find(|it| it.environment == name("prod"));
    assert!(prod.is_none_or(|it| it.steps.iter().all(|step| step.risk < springtide_core::plan::Risk::Restart)));
    assert!(rig.pid("prod/web").await.is_some(), "starting what is stopped interrupts nobody");
}

#[tokio::test]
async fn who_died_is_taken_over_and_goes_on_where_it_stopped() {
    let rig = Rig::new("died", TWO);
    let first = rig.server();
    let plan = first.refresh().await.unwrap().plan.id.clone();
    let gate = rig.world.wait_at("generate secrets");
    first.approve(&plan, None, "me").await.unwrap();
    gate.reached().await;
    let held = rig.store().operations(10).unwrap();
    assert!(held.iter().any(|it| it.ended.is_none()));
    // The first one hangs; the kernel has given its lock back, as it does for a dead one.
    first.state().act = None;
    let second = rig.server();
    let cut_off: Vec<_> = rig.store().operations(10).unwrap();
    assert!(cut_off.iter().all(|it| it.ended.is_some()), "{cut_off:#?}");
    assert!(cut_off.iter().any(|it| it.outcome.as_deref() == Some("cut off")));
    // What was approved goes on without another word.
    for _ in 0..3 {
        second.pass().await.unwrap();
        second.idle().await;
    }
    assert!(second.refresh().await.unwrap().plan.is_empty());
    // Now the first one wakes up in the middle of its step: neither store nor driver let it do anything.
    let before = (rig.driver.calls(), rig.store().operations(50).unwrap());
    gate.open();
    first.idle().await;
    assert_eq!(before, (rig.driver.calls(), rig.store().operations(50).unwrap()));
    rig.stop("prod/web").await;
    let fenced = first.pass().await.unwrap_err();
    assert_eq!(fenced.code(), "E0921", "{fenced}");
    assert_eq!(rig.pid("prod/web").await, None);
    let old = Generation(1);
    let driver = rig.driver.stop_workload(&WorkloadId::of(&name("prod").unwrap(), Role::Cron), old).await;
    assert!(matches!(driver, Err(DriverError::Fenced { ours: 1, .. })));
}

#[tokio::test]
async fn a_command_that_acted_beside_a_server_ends_no_server() {
    let rig = Rig::new("beside", TWO);
    let control = up(&rig).await;
    let state = rig.folder.join("state");
    let store = rig.store();
    {
        // A command: lock, epoch, an operation that is cut off.
        let _lock = ActLock::take(&state, "apply", 0).unwrap();
        let epoch = store.take_epoch(ControllerKind::Command, "springtide apply", 0, 0).unwrap();
        let parts = [name("prod")];
        let begin = crate::store::Begin { epoch, plan: "p-x", parts: &parts, approved: &[], by: "me", steps: 1 };
        store.begin(&begin, 0).unwrap();
        rig.stop("prod/web").await;
        control.pass().await.unwrap();
        assert_eq!(rig.pid("prod/web").await, None, "while the command has the lock, the server waits");
    }
    control.pass().await.unwrap();
    control.idle().await;
    assert!(rig.pid("prod/web").await.is_some());
    let operations = store.operations(3).unwrap();
    assert_eq!(operations[1].outcome.as_deref(), Some("cut off"), "{operations:#?}");
}

#[tokio::test]
async fn what_was_seen_before_somebody_acted_is_no_ground_to_act_on() {
    let rig = Rig::new("ground", TWO);
    let control = up(&rig).await;
    rig.stop("prod/web").await;
    let before = control.refresh().await.unwrap();
    let left = || before.plan.environments.to_vec();
    assert_eq!(left().len(), 1);
    // An operation of ours has come and gone since.
    control.pass().await.unwrap();
    control.idle().await;
    let stale = control.work(&before, left(), "me").unwrap_err();
    assert_eq!(stale.code(), "E0801", "{stale}");
    // So has a command.
    rig.stop("prod/web").await;
    let before = control.refresh().await.unwrap();
    rig.store().take_epoch(ControllerKind::Command, "springtide apply", 0, 0).unwrap();
    let stale = control.work(&before, before.plan.environments.to_vec(), "me").unwrap_err();
    assert_eq!(stale.code(), "E0801", "{stale}");
    control.pass().await.unwrap();
    control.idle().await;
    assert!(rig.pid("prod/web").await.is_some());
}

#[tokio::test]
async fn a_destruction_that_was_cut_off_after_its_record_is_finished() {
    use crate::execute::{Execution, execute};
    let rig = Rig::new("destroyed", TWO);
    let control = up(&rig).await;
    let (store, snapshot) = (rig.store(), control.snapshot().unwrap());
    let shop = name("shop").unwrap();
    let plan =
        springtide_core::plan::destroy::destroy(&snapshot.seen, &shop, Some(springtide_core::check::Stage::Dev), None);
    rig.driver.fail_next("remove shop/postgres", "cut off");
    let epoch = store.take_epoch(ControllerKind::Command, "springtide destroy", 0, 0).unwrap();
    struct Quiet;
    impl crate::execute::Progress for Quiet {
        fn begin(&self, _: usize, _: usize, _: Option<&EnvironmentName>, _: &str) {}
        fn note(&self, _: &str) {}
        fn end(&self, _: usize, _: Option<&str>) {}
        fn cancelled(&self) -> bool {
            false
        }
    }
    let clock = control.settings.clock.clone();
    let checked = &snapshot.checked;
    let execution =
        Execution { estate: control.estate(), checked, seen: &snapshot.seen, now: 0, clock, epoch, by: "me" };
    execute(&execution, &plan, &Quiet).await.unwrap_err();
    for _ in 0..2 {
        control.pass().await.unwrap();
        control.idle().await;
    }
    assert!(store.environments().unwrap().iter().all(|it| it.name != shop));
    assert!(rig.driver.observe().await.unwrap().workloads.keys().all(|id| id.environment.as_ref() != Some(&shop)));
    assert_eq!(verdict(&control, "shop"), Some(Verdict::Waits(Why::Approval)), "it is still in the file");
}

#[tokio::test]
async fn stopping_finishes_the_step_and_the_next_server_goes_on() {
    let rig = Rig::new("stopping", TWO);
    let control = rig.server();
    let keeping = tokio::spawn({
        let control = Arc::clone(&control);
        async move { control.keep().await }
    });
    let mut changes = control.changes();
    changes.wait_for(Option::is_some).await.unwrap();
    let plan = control.snapshot().unwrap().plan.id.clone();
    let gate = rig.world.wait_at("make the certificate authority");
    control.approve(&plan, None, "me").await.unwrap();
    gate.reached().await;
    control.stop();
    gate.open();
    keeping.await.unwrap().unwrap();
    let operations = rig.store().operations(10).unwrap();
    assert!(operations.iter().all(|it| it.ended.is_some()), "{operations:#?}");
    assert_eq!(operations[2].outcome.as_deref(), Some("stopped"));
    assert!(crate::store::backups(&rig.folder.join("state/backups")).len() == 1, "a copy at the start");
    let next = rig.server();
    for _ in 0..3 {
        next.pass().await.unwrap();
        next.idle().await;
    }
    assert!(next.refresh().await.unwrap().plan.is_empty());
}

#[tokio::test]
async fn hints_bring_a_pass_and_events_reach_who_follows() {
    let rig = Rig::new("hints", TWO);
    drop(up(&rig).await);
    let mut control = rig.server();
    Arc::get_mut(&mut control).unwrap().settings.pass = Duration::from_secs(3600);
    Arc::get_mut(&mut control).unwrap().settings.hint = Duration::from_millis(20);
    let mut events = control.events();
    let keeping = tokio::spawn({
        let control = Arc::clone(&control);
        async move { control.keep().await }
    });
    control.changes().wait_for(Option::is_some).await.unwrap();
    rig.stop("prod/web").await;
    let healed = async {
        loop {
            let event = events.recv().await.unwrap();
            if event.kind == EventKind::OperationEnded {
                return event;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(5), healed).await.unwrap();
    assert_eq!((ended.environment.as_deref(), ended.data["outcome"].as_str()), (Some("prod"), Some("done")));
    control.stop();
    keeping.await.unwrap().unwrap();
    // Whoever was away asks for what was missed.
    let all = control.events_after(ended.id - 1, 1).unwrap();
    assert_eq!(all, [ended]);
}

#[tokio::test]
async fn what_ends_is_known_within_a_second_and_an_idle_estate_is_not_looked_at_more_often() {
    let rig = Rig::new("mark", TWO);
    drop(up(&rig).await);
    let mut control = rig.server();
    // Neither the full pass nor the hint comes in time: only the driver's mark can bring the look.
    Arc::get_mut(&mut control).unwrap().settings.pass = Duration::from_secs(3600);
    Arc::get_mut(&mut control).unwrap().settings.hint = Duration::from_secs(600);
    let mut changes = control.changes();
    let keeping = tokio::spawn({
        let control = Arc::clone(&control);
        async move { control.keep().await }
    });
    changes.wait_for(Option::is_some).await.unwrap();
    let idle = tokio::time::timeout(Duration::from_millis(1500), changes.changed()).await;
    assert!(idle.is_err(), "without a change there is no pass");
    let before = rig.pid("prod/web").await.unwrap();
    rig.driver.kill(before);
    let web: EnvironmentName = "prod".parse().unwrap();
    let known = changes.wait_for(|it| {
        let seen = it.as_ref().and_then(|it| it.seen.environments.get(&web)?.workloads.get(&Role::Web)?.pid);
        seen != Some(before)
    });
    tokio::time::timeout(Duration::from_millis(600), known).await.expect("it is known").unwrap();
    control.stop();
    keeping.await.unwrap().unwrap();
}

#[tokio::test]
async fn however_many_passes_there_are_only_so_many_operations_begin_by_themselves() {
    let names: Vec<String> = (0..26).map(|n| format!("e{n:02}")).collect();
    let list: Vec<String> = names.iter().map(|name| format!("  - {{ name: {name}, users: 5 }}\n")).collect();
    let rig = Rig::new("starts", &format!("estate: acme\nenvironments:\n{}", list.concat()));
    // What a person approves is not counted.
    let control = up(&rig).await;
    for name in &names {
        rig.stop(&format!("{name}/web")).await;
    }
    let all = control.estate().store.operations(100).unwrap().len();
    let begun = async |passes: u32| {
        for _ in 0..passes {
            control.pass().await.unwrap();
            control.idle().await;
        }
        control.estate().store.operations(100).unwrap().len() - all
    };
    assert_eq!(begun(4).await, 20, "every end asks for another pass, and that begins nothing more");
    rig.uptime.fetch_add(2, Ordering::Relaxed);
    assert_eq!(begun(3).await, 24, "two a second");
    rig.uptime.fetch_add(60, Ordering::Relaxed);
    assert_eq!(begun(3).await, 26);
    assert!(control.refresh().await.unwrap().plan.is_empty());
}

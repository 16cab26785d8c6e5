//! Who takes over from whom, and what was cut off.

use super::*;

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

//! What keeps from acting: hold, cancel, failures, freezes.

use super::*;

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

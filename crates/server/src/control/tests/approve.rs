//! What is approved is begun: whole, in parts, once.

use super::*;

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

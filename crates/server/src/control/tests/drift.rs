//! What differs without anybody's word: put right, or told.

use super::*;

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

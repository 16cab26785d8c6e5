//! How soon something is noticed, and how much is begun at once.

use super::*;

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

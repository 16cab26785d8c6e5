//! The order of a stop: the workload's signal, its time, then the end of everything it left.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use springtide_core::workload::{StopRule, StopSignal};
use springtide_driver::{Driver, Generation};

use crate::rig::{
    Driven, SECRET, control_groups, gone, murder, processes, redigest, seen, until, with_driver, workload, written,
};

#[tokio::test(flavor = "multi_thread")]
async fn kills_what_ignores_it_and_hides_secrets() {
    with_driver("grace", async |driver: Driven, state: PathBuf| {
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
        let read = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        until("both children run", 5, async || read().split_whitespace().count() == 2).await;
        let children = read();
        let begin = Instant::now();
        driver.stop_workload(&one.spec.id, Generation(1)).await.unwrap();
        let took = begin.elapsed();
        assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(5), "{took:?}");
        assert!(gone(pid) && children.split_whitespace().all(|child| gone(child.parse().unwrap())), "children go too");
    }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signal_of_its_rule_comes_first_and_then_the_end_of_all() {
    with_driver("order", async |driver: Driven, state: PathBuf| {
        let mark = format!("mark-of-{}", state.file_name().unwrap().to_string_lossy());
        // It obeys; a child in a session of its own does not.
        let deaf = format!("setsid sh -c 'trap \"\" TERM INT; while :; do sleep 1; done # {mark}' &");
        let obey = |name: &str| format!("trap 'echo {name} >> /srv/springtide/data/got; exit 7' {name};");
        let script = format!("{deaf} {} {} while :; do sleep 0.05; done", obey("TERM"), obey("INT"));
        for (signal, name) in [(StopSignal::Term, "TERM"), (StopSignal::Int, "INT")] {
            let one = redigest(workload(946, &script), |spec| spec.stop = StopRule { signal, grace_s: 20 });
            driver.ensure_workload(&one, Generation(1)).await.unwrap();
            driver.wait_ready(&one.spec.id).await.unwrap();
            until("the child runs", 5, async || processes(&mark).len() == 2).await;
            let _ = std::fs::remove_file(state.join("environments/prod/volumes/odoo-data/got"));
            let begin = Instant::now();
            driver.stop_workload(&one.spec.id, Generation(1)).await.unwrap();
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "one that obeys is not waited for: {:?}",
                begin.elapsed()
            );
            assert_eq!(written(&state, "got"), format!("{name}\n"), "one signal, its own");
            let exit = std::fs::read(state.join("workloads/prod.web/exit.json")).unwrap();
            let exit: serde_json::Value = serde_json::from_slice(&exit).unwrap();
            assert_eq!(exit["code"], 7, "it ended by itself: {exit}");
            if control_groups() {
                assert_eq!(processes(&mark), [0; 0], "what left its session is found in its group");
            } else {
                // Promised is the session only; the test ends what is left.
                processes(&mark).into_iter().for_each(murder);
            }
        }
    })
    .await;
}

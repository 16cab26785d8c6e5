//! The order of a stop: the workload's signal, its time, then the end of everything it left.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use springtide_driver::{Driver, Generation};

use crate::rig::{Driven, SECRET, gone, seen, until, with_driver, workload};

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
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let begin = Instant::now();
        driver.stop_workload(&one.spec.id, Generation(1)).await.unwrap();
        let took = begin.elapsed();
        assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(5), "{took:?}");
        assert!(gone(pid) && children.split_whitespace().all(|child| gone(child.parse().unwrap())), "children go too");
        assert_eq!(children.split_whitespace().count(), 2);
    }).await;
}

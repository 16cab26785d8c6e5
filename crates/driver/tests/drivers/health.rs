//! Alive or ready: a hung process is replaced, a role whose database is away is not; one that ends
//! again and again is started later and later, and at last no more.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use springtide_core::layout::Slot;
use springtide_core::observe::WorkloadState;
use springtide_core::role::Role;
use springtide_core::workload::{PortName, Probe, WorkloadId};
use springtide_driver::{Driver, DriverError, Ensured, Generation, ResolvedWorkload};

use crate::rig::{Driven, gone, murder, redigest, seen, seen_of, status_of, until, with_driver, workload};

/// A web role in small: answers 200, 503 while the file `down` is there, nothing while `silent` is.
fn server(slot: u16) -> ResolvedWorkload {
    let port = Slot(slot).port(Role::Web).unwrap();
    let text = format!(
        "
import http.server, os, time
there = lambda name: os.path.exists('/srv/springtide/data/' + name)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        while there('silent'): time.sleep(0.1)
        self.send_response(503 if there('down') else 200)
        self.end_headers()
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(('127.0.0.1', {port}), Handler).serve_forever()
"
    );
    redigest(workload(slot, ""), |spec| {
        spec.command = vec!["/usr/bin/python3".into(), "-c".into(), text];
        spec.ports.insert(PortName::Http, port);
        spec.ready =
            Probe::Http { port: PortName::Http, path: "/".into(), host: "localhost".into(), cookie: None, status: 200 };
    })
}

fn flag(state: &Path, name: &str) -> PathBuf {
    state.join("environments/prod/volumes/odoo-data").join(name)
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_whose_database_is_away_is_not_restarted() {
    with_driver("outage", async |driver: Driven, state: PathBuf| {
        let web = server(195);
        driver.ensure_workload(&web, Generation(1)).await.unwrap();
        driver.wait_ready(&web.spec.id).await.unwrap();
        let before = seen(&driver).await;
        // As Odoo does: it says 503, or its workers wait for a connection and it says nothing.
        for (name, said) in [("down", "answers 503"), ("silent", "no answer")] {
            std::fs::write(flag(&state, name), "").unwrap();
            until("it is not ready", 12, async || {
                let now = seen(&driver).await;
                now.state == WorkloadState::Unready && now.why.contains(said)
            })
            .await;
            tokio::time::sleep(Duration::from_secs(4)).await;
            let now = seen(&driver).await;
            assert_eq!((now.pid, now.restarts, now.state), (before.pid, 0, WorkloadState::Unready), "{}", now.why);
            std::fs::remove_file(flag(&state, name)).unwrap();
            let back = Instant::now();
            until("it is ready again", 10, async || seen(&driver).await.state == WorkloadState::Ready).await;
            assert!(back.elapsed() < Duration::from_secs(10));
        }
        let after = seen(&driver).await;
        assert_eq!((after.pid, after.restarts), (before.pid, 0), "no restart at all");
        // The control: the same role is started again when it really ends.
        murder(before.pid.unwrap());
        until("it is started again", 10, async || seen(&driver).await.restarts == 1).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_is_replaced_within_30_s() {
    with_driver("frozen", async |driver: Driven, state: PathBuf| {
        let web = server(196);
        driver.ensure_workload(&web, Generation(1)).await.unwrap();
        driver.wait_ready(&web.spec.id).await.unwrap();
        let pid = seen(&driver).await.pid.unwrap();
        // Somebody looks at it with a debugger and lets it go on: no harm.
        signal(pid, Signal::SIGSTOP);
        until("that is noticed", 5, async || seen(&driver).await.state == WorkloadState::Unready).await;
        assert!(seen(&driver).await.why.contains("SIGSTOP"));
        signal(pid, Signal::SIGCONT);
        until("it is ready again", 5, async || seen(&driver).await.state == WorkloadState::Ready).await;
        assert_eq!((seen(&driver).await.pid, seen(&driver).await.restarts), (Some(pid), 0));

        signal(pid, Signal::SIGSTOP);
        let replaced = async || {
            let now = seen(&driver).await;
            now.state == WorkloadState::Ready && now.pid != Some(pid)
        };
        until("it is replaced", 30, replaced).await;
        assert!(gone(pid));
        assert_eq!(seen(&driver).await.restarts, 1);
        let why = status_of(&state, "prod.web")["why"].as_str().unwrap().to_owned();
        assert!(why.contains("was frozen for 15 s and killed"), "{why}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backs_off_and_gives_up_aloud() {
    with_driver("give-up", async |driver: Driven, state: PathBuf| {
        let broken = workload(943, "echo dying words; exit 3");
        driver.ensure_workload(&broken, Generation(1)).await.unwrap();
        let waits = async |words: &str| {
            let now = seen(&driver).await;
            now.state == WorkloadState::Backoff && now.why.contains(words)
        };
        until("first it waits a second", 5, async || waits("exited with code 3; starts again in 1 s").await).await;
        until("then two", 5, async || waits("exited with code 3; starts again in 2 s").await).await;
        // The rest of its ten minutes has passed already, as the record tells the next supervisor.
        murder(driver.supervisor_pid().await.unwrap().unwrap());
        until("nobody watches", 3, async || seen(&driver).await.state == WorkloadState::Unwatched).await;
        let path = state.join("workloads/prod.web/status");
        let mut status = status_of(&state, "prod.web");
        let starts = status["starts"].as_array_mut().unwrap();
        assert_eq!(starts.len(), 2, "each start is on record");
        let last = starts.last().unwrap().clone();
        starts.resize(8, last);
        std::fs::write(&path, status.to_string()).unwrap();

        driver.supervisor_pid().await.unwrap();
        until("it is given up", 5, async || seen(&driver).await.state == WorkloadState::GaveUp).await;
        let given_up = seen(&driver).await;
        for words in ["exited with code 3", "ended 8 times within 10 minutes", "dying words"] {
            assert!(given_up.why.contains(words), "{words}: {}", given_up.why);
        }
        let log = std::fs::read_to_string(state.join("supervisor.log")).unwrap();
        assert!(log.contains("ERROR") && log.contains("given up") && log.contains("prod/web"), "{log}");
        assert!(matches!(driver.wait_ready(&broken.spec.id).await, Err(DriverError::NotReady { .. })));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let later = seen(&driver).await;
        assert_eq!((later.state, later.pid, later.restarts), (WorkloadState::GaveUp, None, given_up.restarts));

        let mended = workload(943, "exec sleep 1000");
        assert_eq!(driver.ensure_workload(&mended, Generation(1)).await.unwrap(), Ensured::Started);
        driver.wait_ready(&mended.spec.id).await.unwrap();
        assert_eq!(seen(&driver).await.restarts, 0, "what was mended begins anew");
    })
    .await;
}

/// A role that ends while its database is away is started again once, when that is back; one that needs
/// nothing (the control) is tried again and again meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn who_needs_another_waits_for_it() {
    with_driver("needs", async |driver: Driven, state: PathBuf| {
        let database = redigest(workload(189, "exec sleep 1000"), |spec| {
            spec.id = WorkloadId::of(&"prod".parse().unwrap(), Role::Postgres);
            spec.user = Slot(189).user(Role::Postgres);
        });
        // Ends at once while the file `away` is there, as Odoo does without its database.
        let script = "[ ! -e /srv/springtide/data/away ] && exec sleep 1000";
        let needy = redigest(workload(189, script), |spec| spec.needs = vec![Role::Postgres]);
        let free = redigest(workload(189, script), |spec| {
            spec.id = WorkloadId::of(&"prod".parse().unwrap(), Role::Cron);
        });
        for each in [&database, &needy, &free] {
            driver.ensure_workload(each, Generation(1)).await.unwrap();
            driver.wait_ready(&each.spec.id).await.unwrap();
        }
        std::fs::write(flag(&state, "away"), "").unwrap();
        driver.stop_workload(&database.spec.id, Generation(1)).await.unwrap();
        for each in [&needy, &free] {
            murder(seen_of(&driver, &each.spec.id).await.pid.unwrap());
        }
        until("the control is tried again", 20, async || seen_of(&driver, &free.spec.id).await.restarts >= 2).await;
        let waiting = seen_of(&driver, &needy.spec.id).await;
        assert_eq!((waiting.restarts, waiting.state), (0, WorkloadState::Backoff));
        assert_eq!(waiting.why, "waits for prod/postgres: stopped on purpose");
        std::fs::remove_file(flag(&state, "away")).unwrap();
        driver.ensure_workload(&database, Generation(1)).await.unwrap();
        until("it is back", 15, async || seen_of(&driver, &needy.spec.id).await.state == WorkloadState::Ready).await;
        assert_eq!(seen_of(&driver, &needy.spec.id).await.restarts, 1);
    })
    .await;
}

//! Requests per CPU second beside Locust, with the same calls to the same sink: at the same low rate, where both
//! mostly wake up and sleep, and as fast as a core goes, which says how many cores a load needs.
//!
//! Locust gets its better case: its start is not counted, and beside the client that OdooLocust uses
//! (`requests`) there is its fast one.

use std::process::Command;

use serde_json::{Value, json};
use springtide_rehearse::generator::run;

use super::{CORE, Printer, RATE, SECONDS, schedule, sink::Sink, traffic, watch};

const LOCUSTFILE: &str = include_str!("locustfile.py");
const USERS: u64 = 20;
/// Requests a second of ours at full speed: near what the sink's core can answer, so that answers are waited for
/// and connections do not pile up.
const FULL: u64 = 4_000;

pub async fn compare(printer: &Printer, sink: &Sink) {
    // A user of Locust who never waits sends the next request with the last answer.
    for (name, rate, theirs) in [("at 200/s", RATE, RATE / USERS), ("at full speed", FULL, 1_000)] {
        let measured = run(&schedule(rate, SECONDS), traffic::posts(sink), &watch()).await;
        let done: u64 = measured.classes.values().map(|class| class.done).sum();
        assert_eq!(done, measured.classes.values().map(|class| class.offered).sum::<u64>(), "some were not done");
        let ours = done as f64 / measured.cpu.as_secs_f64();
        let mut figures = json!({ "springtide_per_cpu_s": ours, "springtide_done": done });
        let mut text = format!("{ours:.0} requests per CPU second");
        match std::env::var("SPRINGTIDE_LOCUST") {
            Err(_) => text.push_str(
                "; Locust was not run: SPRINGTIDE_LOCUST names no virtual environment (scripts/locust makes one)",
            ),
            Ok(folder) => {
                for (class, client) in [("Requests", "HttpUser"), ("Fast", "FastHttpUser")] {
                    let (requests, cpu) = locust(&folder, class, sink, theirs);
                    let theirs = requests / cpu;
                    text.push_str(&format!("; Locust {client} {theirs:.0}, so {:.1} times as many", ours / theirs));
                    figures[client] = json!({ "per_cpu_s": theirs, "requests": requests, "ratio": ours / theirs });
                }
            }
        }
        printer.line(name, &text, figures);
    }
}

/// Requests that were done, and CPU seconds from the first to the last.
fn locust(folder: &str, class: &str, sink: &Sink, rate: u64) -> (f64, f64) {
    let files = tempfile::tempdir().unwrap();
    let (script, result) = (files.path().join("locustfile.py"), files.path().join("result.json"));
    std::fs::write(&script, LOCUSTFILE).unwrap();
    let output = Command::new("taskset")
        .args(["-c", &CORE.to_string()])
        .arg(format!("{folder}/bin/locust"))
        .args(["--headless", "--only-summary", "--users", &USERS.to_string(), "--spawn-rate", &USERS.to_string()])
        .args(["--run-time", &format!("{SECONDS}s"), "--host", &sink.url, "--locustfile"])
        .arg(&script)
        .arg(class)
        .env("RIG_RESULT", &result)
        .env("RIG_RATE", rate.to_string())
        .output()
        .expect("taskset and Locust can be started");
    let Ok(text) = std::fs::read_to_string(&result) else {
        panic!("Locust left no result: {}", String::from_utf8_lossy(&output.stderr));
    };
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["failures"], 0, "{result}");
    (result["requests"].as_f64().unwrap(), result["cpu"].as_f64().unwrap())
}

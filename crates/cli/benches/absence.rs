//! Half an hour without the server, beside half an hour with it: both at the same time, on real Odoo 19.0,
//! each in a network of its own, under the same light load, with a web worker killed every minute. Without it
//! no more requests may fail, and when it comes back it must find nothing to do.
//!
//! Needs root and what `scripts/setup --series 19.0` puts on the machine. `SPRINGTIDE_MINUTES` says how long
//! (30); `--json` prints one line for scripts. Ends with 1 if a limit is missed.

// A bench is read where it prints.
#![allow(clippy::print_stdout)]

#[path = "absence/arm.rs"]
mod arm;
#[path = "../tests/rig/mod.rs"]
mod rig;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use serde_json::{Value, json};

/// How long the load lasts.
fn minutes() -> u64 {
    let Ok(text) = std::env::var("SPRINGTIDE_MINUTES") else { return 30 };
    let minutes = text.parse().expect("SPRINGTIDE_MINUTES is a whole number");
    assert!(minutes > 0, "SPRINGTIDE_MINUTES is at least 1");
    minutes
}

/// An arm that runs, and what it says.
struct Arm(Child, BufReader<ChildStdout>);

impl Arm {
    /// Starts one and waits until its estate is up.
    fn start(which: &str) -> Self {
        let this = std::env::current_exe().expect("it has a path");
        let mut command = Command::new("unshare");
        command.arg("--net").arg(this).args(["--bench", "--arm", which]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("unshare starts; root is needed");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it can be read");
        assert_eq!(line, "ready\n", "the arm {which} did not come up; it says why above");
        Self(child, said)
    }

    fn go(&mut self) {
        self.0.stdin.as_mut().expect("it is piped").write_all(b"go\n").expect("it listens");
    }

    fn end(mut self) -> Value {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("it can be read");
        let ended = self.0.wait().expect("it ends");
        assert!(ended.success(), "an arm failed; it says why above");
        serde_json::from_str(&line).expect("it ends with JSON")
    }
}

fn failed(arm: &Value) -> u64 {
    arm["kinds"].as_array().into_iter().flatten().filter_map(|it| it["failed"].as_u64()).sum()
}

fn sent(arm: &Value) -> u64 {
    arm["kinds"].as_array().into_iter().flatten().filter_map(|it| it["sent"].as_u64()).sum()
}

/// A row for each kind of request of an arm, then what else was counted.
fn show(name: &str, arm: &Value) {
    println!("{name}");
    println!(
        "  {:<18} {:>6} {:>7} {:>9} {:>9} {:>10}  why",
        "request", "sent", "failed", "P50 ms", "P95 ms", "worst ms"
    );
    for it in arm["kinds"].as_array().into_iter().flatten() {
        let ms = |key: &str| it[key].as_f64().unwrap_or(f64::NAN);
        let why = if it["failed"] == 0 { String::new() } else { format!("{} at {}", it["why"], it["failed_at_s"]) };
        println!(
            "  {:<18} {:>6} {:>7} {:>9.1} {:>9.1} {:>10.1}  {why}",
            it["kind"].as_str().unwrap_or_default(),
            it["sent"].as_u64().unwrap_or_default(),
            it["failed"].as_u64().unwrap_or_default(),
            ms("p50_ms"),
            ms("p95_ms"),
            ms("worst_ms")
        );
    }
    let worst = arm["replaced_worst_s"].as_f64().unwrap_or(f64::NAN);
    println!("  web workers killed {}, the slowest was replaced after {worst:.1} s", arm["killed"]);
    println!("  operations {}, workloads restarted {}", arm["operations"], arm["touched"]);
}

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // `cargo test --all-targets` runs benches too; they measure only when asked to.
    if !words.iter().any(|word| word == "--bench") {
        println!("a bench: cargo bench -p springtide-cli --bench absence");
        return ExitCode::SUCCESS;
    }
    let minutes = minutes();
    if let Some(at) = words.iter().position(|word| word == "--arm") {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip starts");
        assert!(up.success(), "the loopback of the arm's network does not come up");
        arm::run(words[at + 1] == "present", minutes).await;
        return ExitCode::SUCCESS;
    }
    // One after the other, so that the second has the template that the first made.
    let mut present = Arm::start("present");
    let mut absent = Arm::start("absent");
    present.go();
    absent.go();
    let (absent, present) = (absent.end(), present.end());
    let fine = failed(&absent) <= failed(&present);
    let quiet = ["planned", "planned_later", "operations", "touched"].iter().all(|key| absent[key] == 0);
    let verdict = |held: bool| if held { "held" } else { "MISSED" };
    if words.iter().any(|word| word == "--json") {
        println!("{}", json!({ "version": 1, "minutes": minutes, "present": present, "absent": absent }));
    } else {
        println!("{minutes} minutes at two requests a second, a web worker killed every minute, both at the same time");
        show("with the server (peer)", &present);
        show("without the server", &absent);
        println!(
            "failed without it {} of {}, with it {} of {}: at most as many: {}",
            failed(&absent),
            sent(&absent),
            failed(&present),
            sent(&present),
            verdict(fine)
        );
        println!(
            "when it came back: planned changes {} before and {} after its passes, operations {}: none: {}",
            absent["planned"],
            absent["planned_later"],
            absent["operations"],
            verdict(quiet)
        );
    }
    if fine && quiet { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

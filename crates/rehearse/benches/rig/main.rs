//! What the rig's own parts are worth, each beside its peer of the same run.
//!
//! `cargo bench -p springtide-rehearse --bench rig` prints a table; with `-- --json` a line of JSON for each.
//! The system under test is a sink: this program once more, in a process of its own. Locust is taken from
//! the virtual environment that `SPRINGTIDE_LOCUST` names; `scripts/locust` makes one.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};
use springtide_rehearse::generator::{Settings, Watch, run};
use springtide_rehearse::measure::Times;
use springtide_rehearse::profile::Profile;
use springtide_rehearse::schedule::Schedule;

mod disk;
mod locust;
mod sink;
mod traffic;

/// Core of the generator. The sink has the other ones, if there are any.
const CORE: usize = 0;
const RATE: u64 = 200;
const SECONDS: u64 = 20;

fn schedule(per_second: u64, seconds: u64) -> Schedule {
    // A class takes at most 100,000 a minute, so many come as several.
    let classes = ["order-api", "scan", "order", "browse"];
    let used = (per_second * 60).div_ceil(100_000).clamp(1, 4);
    let mut text = "name: bench\nclasses:\n".to_owned();
    for class in &classes[..used as usize] {
        text.push_str(&format!("  {class}: {{ per_minute: {} }}\n", per_second * 60 / used));
    }
    Schedule::of(&Profile::parse("bench", &text).unwrap(), 1, Duration::from_secs(seconds)).unwrap()
}

fn watch() -> Watch {
    Watch::new(Settings { core: Some(CORE), ..Settings::default() })
}

fn millis(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_micros() as f64 / 1000.0
}

struct Printer {
    json: bool,
}

impl Printer {
    fn line(&self, name: &str, text: &str, figures: Value) {
        match self.json {
            true => println!("{}", json!({ "bench": name, "figures": figures })),
            false => println!("{name:<16} {text}"),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--sink") {
        return sink::serve();
    }
    let only = std::env::var("SPRINGTIDE_BENCH").ok();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let printer = Printer { json: arguments.iter().any(|argument| argument == "--json") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sink = sink::Sink::start();
    runtime.block_on(async {
        if wanted("schedule") {
            honest_clock(&printer, &sink).await;
        }
        if wanted("stall") {
            stall(&printer, &sink).await;
        }
        if wanted("locust") {
            locust::compare(&printer, &sink).await;
        }
        if wanted("ledger") {
            disk::compare(&printer).await;
        }
    });
}

/// How much later than due acts start.
async fn honest_clock(printer: &Printer, sink: &sink::Sink) {
    let floor = std::thread::spawn(bare_sleeps);
    let measured = run(&schedule(RATE, SECONDS), traffic::posts(sink), &watch()).await;
    let floor = floor.join().unwrap();
    let floor = [millis(floor.quantile(0.5)), millis(floor.quantile(0.99)), millis(floor.longest())];
    let late = &measured.schedule_error;
    let [p50, p99, most] = [millis(late.quantile(0.5)), millis(late.quantile(0.99)), millis(late.longest())];
    let done: u64 = measured.classes.values().map(|class| class.done).sum();
    let offered: u64 = measured.classes.values().map(|class| class.offered).sum();
    let within = late.count() - late.longer_than(Duration::from_millis(2));
    let share = within as f64 * 100.0 / late.count().max(1) as f64;
    printer.line(
        "schedule error",
        &format!(
            "P50 {p50:.2} ms, P99 {p99:.2} ms (goal 2), longest {most:.1} ms; {share:.2} % within 2 ms; \
             {done} of {offered} done at {RATE}/s in {SECONDS} s on one core; bare sleeps on that core meanwhile: \
             P50 {:.2} ms, P99 {:.2} ms, longest {:.1} ms",
            floor[0], floor[1], floor[2]
        ),
        json!({ "sleep_p50_ms": floor[0], "sleep_p99_ms": floor[1], "sleep_max_ms": floor[2], "p50_ms": p50, "p99_ms": p99, "max_ms": most, "within_2ms_percent": share, "offered": offered, "done": done }),
    );
}

/// What the machine itself makes of a sleep, in the same seconds on the same core: nobody can be better.
fn bare_sleeps() -> Times {
    let mut cores = CpuSet::new();
    cores.set(CORE).and_then(|()| sched_setaffinity(Pid::from_raw(0), &cores)).unwrap();
    nix::sys::prctl::set_timerslack(1).unwrap();
    let (mut times, began) = (Times::default(), Instant::now());
    for number in 1..RATE * SECONDS {
        let due = began + Duration::from_secs(1) / u32::try_from(RATE).unwrap() * u32::try_from(number).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        times.record(due.elapsed());
    }
    times
}

/// A system that stands still for two seconds, seen by both kinds of generator.
async fn stall(printer: &Printer, sink: &sink::Sink) {
    const PER_SECOND: u64 = 50;
    const LASTS: u64 = 10;
    let second = Duration::from_secs(1);
    let plan = schedule(PER_SECOND, LASTS);
    let (open, ()) = tokio::join!(
        async { run(&plan, traffic::posts(sink), &watch()).await },
        sink.stall_after(Duration::from_secs(4), Duration::from_secs(2)),
    );
    let open = &open.classes.values().next().unwrap().latency;
    let (closed, ()) = tokio::join!(
        traffic::closed_loop(sink, PER_SECOND, Duration::from_secs(LASTS)),
        sink.stall_after(Duration::from_secs(4), Duration::from_secs(2)),
    );
    // Who comes during the first of two seconds waits for more than one.
    let expected =
        plan.arrivals.iter().filter(|planned| planned.at.as_secs_f64() >= 4.0 && planned.at.as_secs_f64() < 5.0);
    let expected = expected.count() as u64;
    let (seen, hidden) = (open.longer_than(second), closed.longer_than(second));
    let p95 = [millis(open.quantile(0.95)), millis(closed.quantile(0.95))];
    let most = [millis(open.longest()), millis(closed.longest())];
    printer.line(
        "2 s stall",
        &format!(
            "open loop: {seen} waited over 1 s (about {expected} were due then), P95 {:.0} ms, longest {:.0} ms; closed loop at \
             the same rate: {hidden}, P95 {:.0} ms, longest {:.0} ms",
            p95[0], most[0], p95[1], most[1]
        ),
        json!({
            "expected_over_1s": expected, "open_over_1s": seen, "closed_over_1s": hidden,
            "open_p95_ms": p95[0], "closed_p95_ms": p95[1], "open_max_ms": most[0], "closed_max_ms": most[1],
        }),
    );
}

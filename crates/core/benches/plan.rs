//! How long a plan of ten thousand environments takes, beside what reading the same file takes.
//!
//! `cargo bench -p springtide-core --bench plan` prints a table; with `-- --json` one line of JSON.
//! All figures come from one run of one program, so that their ratios hold on any machine. Time is
//! the median of several rounds; heap is what the plan adds at its highest to the checked estate
//! and the observation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};
use springtide_core::check::{CheckedEstate, DriverKind, parse_and_check};
use springtide_core::observe::HostFacts;
use springtide_core::plan::plan;
use springtide_core::spec;

#[path = "../tests/world/mod.rs"]
mod world;
use world::World;

const ENVIRONMENTS: usize = 10_000;
const ROUNDS: usize = 15;
const NOW: i64 = 1_795_700_000;

/// Counts the bytes that are allocated, and the most at once.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be written otherwise; every call is handed on as it came")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract, which is the system's own.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// An estate as somebody with very many customers would write it: each has a host name of its own,
/// few share all their modules, some are sized by hand, and one peak is for a tenth of them.
fn file() -> String {
    let modules = ["stock, sale_management", "stock, purchase, mrp", "account, crm, website_sale, stock"];
    let mut text = "estate: acme\nbaseline: { users: 12, database: { tier: bronze } }\nenvironments:\n".to_owned();
    for number in 0..ENVIRONMENTS {
        let odoo = format!("series: \"19.0\", modules: [{}]", modules[number % modules.len()]);
        let more = if number % 10 == 0 { ", workers: { web: 3 }, resources: { cpus: 2, memory: 4GiB }" } else { "" };
        text.push_str(&format!(
            "  - {{ name: shop-{number:05}, host: shop-{number:05}.acme.example, users: {users}, odoo: {{ {odoo} }}{more} }}\n",
            users = 5 + number % 40,
        ));
    }
    let all: Vec<String> = (0..ENVIRONMENTS).step_by(10).map(|number| format!("shop-{number:05}")).collect();
    text.push_str(&format!(
        "peaks:\n  - {{ name: sale, kind: promotion, from: 2026-11-20, to: 2026-12-01, multiplier: 2, environments: [{}] }}\n",
        all.join(", ")
    ));
    text
}

/// The world before anything runs.
fn empty(estate: &CheckedEstate) -> World {
    let mut world = World { estate: Some(estate.clone()), now: NOW, ..World::default() };
    world.seen.host = HostFacts { cpus: 64, memory_bytes: 512 << 30, postgres_major: Some(17), ..HostFacts::default() };
    world.seen.host.odoo_roots.insert("19.0".parse().expect("a series"), "19.0".into());
    world
}

/// What a piece of work took.
struct Figures {
    median: Duration,
    /// The round that was disturbed least by what else the machine did.
    best: Duration,
    heap: usize,
}

/// Times `work`, and looks at the most heap that one round of it took.
fn measure<T>(mut work: impl FnMut() -> T) -> Figures {
    let mut times = Vec::with_capacity(ROUNDS);
    let mut heap = 0;
    for _ in 0..=ROUNDS {
        let before = LIVE.load(Relaxed);
        MOST.store(before, Relaxed);
        let begun = Instant::now();
        let result = black_box(work());
        times.push(begun.elapsed());
        heap = MOST.load(Relaxed) - before;
        drop(result);
    }
    // The first round fills caches and counts for nothing.
    times.remove(0);
    times.sort_unstable();
    Figures { median: times[times.len() / 2], best: times[0], heap }
}

fn main() {
    let as_json = std::env::args().any(|argument| argument == "--json");
    let text = file();
    let mut estate = parse_and_check("estate.yaml", &text).unwrap_or_else(|report| panic!("{report}"));
    // A driver that has no ports to run out of; only the planner is asked here.
    estate.platform.driver = DriverKind::Kubernetes;
    let new = empty(&estate);
    let mut done = empty(&estate);
    done.apply();
    let planned = new.plan();
    assert_eq!(planned.environments.len(), ENVIRONMENTS + 1, "everything is new: {:?}", planned.refusals.first());
    assert!(done.plan().is_empty(), "everything is done");

    let parse = measure(|| spec::parse("estate.yaml", &text).expect("it was read before"));
    let hash = measure(|| Sha256::digest(text.as_bytes()));
    let check = measure(|| parse_and_check("estate.yaml", &text).expect("it was checked before"));
    let all = measure(|| plan(&estate, &new.seen, NOW));
    let none = measure(|| plan(&estate, &done.seen, NOW));

    let reading = parse.median + hash.median;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let ratio = |figures: &Figures| figures.median.as_secs_f64() / reading.as_secs_f64();
    let each = |figures: &Figures| figures.heap / ENVIRONMENTS;
    if as_json {
        let line = json!({
            "bench": "plan", "environments": ENVIRONMENTS, "file_bytes": text.len(), "rounds": ROUNDS,
            "parse_ms": ms(parse.median), "hash_ms": ms(hash.median), "check_ms": ms(check.median),
            "plan_new_ms": ms(all.median), "plan_new_best_ms": ms(all.best), "plan_new_ratio": ratio(&all),
            "plan_noop_ms": ms(none.median), "plan_noop_best_ms": ms(none.best), "plan_noop_ratio": ratio(&none),
            "bytes_per_environment": each(&all), "noop_bytes_per_environment": each(&none),
        });
        println(&line.to_string());
        return;
    }
    println(&format!("{ENVIRONMENTS} environments, {} bytes of YAML, {ROUNDS} rounds", text.len()));
    println("                                 median ms   best ms   of parse + hash   target");
    let row = |what: &str, figures: &Figures, target: &str| {
        let (median, best) = (ms(figures.median), ms(figures.best));
        println(&format!("{what:32} {median:9.1} {best:9.1}   {:13.2} x   {target}", ratio(figures)));
    };
    row("parse the file (serde-saphyr)", &parse, "");
    row("hash its bytes (SHA-256)", &hash, "");
    row("parse and check it", &check, "");
    let fast = ms(all.median) <= 300.0 && ratio(&all) <= 3.0;
    row("plan, everything new", &all, &told(fast, "300 ms and 3 x"));
    row("plan, nothing to do", &none, &told(ms(none.median) <= 50.0, "50 ms"));
    println(&format!(
        "heap of a plan, everything new   {:9} bytes for each environment      {}",
        each(&all),
        told(each(&all) <= 4096, "4096")
    ));
    println(&format!("heap of a plan, nothing to do    {:9} bytes for each environment", each(&none)));
}

fn told(held: bool, target: &str) -> String {
    format!("at most {target}: {}", if held { "held" } else { "MISSED" })
}

#[expect(clippy::print_stdout, reason = "the table is what a bench is for")]
fn println(line: &str) {
    println!("{line}");
}

//! What a server costs that has nothing to do: a pass over 1,000 environments, the memory of 10,000, and
//! what the journal takes in from operations that run at once. Each figure stands beside its peer of the same run.
//!
//! The 1,000 are brought up through control itself, on the driver in memory. The 10,000 are only looked
//! at: their world is an observation that is cloned at every look, so what is counted is control's own.
//! `--json` prints one line for scripts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;
use springtide_core::check::{CheckedEstate, DriverKind, parse_and_check};
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{Observation, Seed};
use springtide_core::plan::{Action, plan};
use springtide_core::sizing::SizedEnvironment;
use springtide_driver::fake::FakeDriver;
use springtide_server::control::{Control, Settings};
use springtide_server::execute::{Execution, Failure, Progress};
use springtide_server::fake::{self, FakeWorld};
use springtide_server::observe::ObserveError;
use springtide_server::store::{Begin, ControllerKind, DONE, Intent, Store};
use springtide_server::world::World as Seam;
use springtide_server::{Estate, routes};

#[path = "../../core/tests/world/mod.rs"]
mod world;

const NOW: i64 = 1_795_700_000;
const ROUNDS: usize = 15;

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

/// An estate file as somebody with very many customers would write it.
fn file(environments: usize) -> String {
    let modules = ["stock, sale_management", "stock, purchase, mrp", "account, crm, website_sale, stock"];
    let mut text =
        "estate: acme\nbaseline: { users: 12, resources: { cpus: 1, memory: 2GiB } }\nenvironments:\n".to_owned();
    for number in 0..environments {
        text.push_str(&format!(
            "  - {{ name: shop-{number:05}, host: shop-{number:05}.acme.example, odoo: {{ series: \"19.0\", modules: [{}] }} }}\n",
            modules[number % modules.len()]
        ));
    }
    text
}

/// A world that is only looked at.
struct Seen(Observation);

#[async_trait]
impl Seam for Seen {
    async fn observe(&self, _: &Estate, _: i64) -> Result<Observation, ObserveError> {
        Ok(self.0.clone())
    }
    async fn step(
        &self,
        _: &Execution<'_>,
        action: &Action,
        _: Option<&SizedEnvironment<'_>>,
        _: &dyn Progress,
    ) -> Result<(), Failure> {
        Err(format!("nothing is left to do, and here comes {}", action.title()).into())
    }
    async fn ensure_repository(&self, _: &Execution<'_>, _: &SizedEnvironment<'_>) -> Result<(), Failure> {
        Err("nothing is left to do, and here comes a repository".into())
    }
    async fn restore_data(
        &self,
        _: &Execution<'_>,
        _: &SizedEnvironment<'_>,
        _: &Seed,
        _: &dyn Progress,
    ) -> Result<(), Failure> {
        Err("nothing is left to do, and here comes a restore".into())
    }
}

fn settings(folder: &Path) -> Settings {
    Settings { parallel: 16, ..Settings::new(folder.join("estate.yaml"), Arc::new(|| NOW)) }
}

/// The driver that has no ports to run out of; only the planner is asked.
fn without_ports(name: &str, text: &str) -> Result<CheckedEstate, springtide_core::check::Report> {
    parse_and_check(name, text).map(|mut estate| {
        estate.platform.driver = DriverKind::Kubernetes;
        estate
    })
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Processor seconds of this process.
fn processor() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("the kernel counts");
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

struct Pass {
    wall: f64,
    processor: f64,
    plan: f64,
    parse: f64,
}

/// A pass over `environments` that are all up.
async fn pass(folder: &Path, environments: usize) -> Pass {
    let text = file(environments);
    std::fs::write(folder.join("estate.yaml"), &text).expect("it can be written");
    let (driver, world) = (Arc::new(FakeDriver::new()), Arc::new(FakeWorld::default()));
    let estate = fake::estate(&folder.join("state"), driver, world).expect("an estate in memory");
    let control = Control::new(Arc::new(estate), settings(folder));
    control.pass().await.expect("a pass");
    let planned = control.snapshot().expect("a look").plan.id.clone();
    control.approve(&planned, None, "the bench").await.expect("it is approved");
    control.idle().await;
    control.pass().await.expect("a pass");
    let done = control.snapshot().expect("a look");
    assert!(done.plan.is_empty() && done.seen.environments.len() == environments, "everything is up");
    let mut walls = Vec::new();
    let before = processor();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        control.pass().await.expect("a pass");
        walls.push(begun.elapsed());
    }
    let used = (processor() - before) / ROUNDS as f64;
    let time = |work: &dyn Fn()| {
        let rounds = (0..ROUNDS).map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        });
        median(rounds.collect())
    };
    let alone = time(&|| drop(black_box(plan(&done.checked, &done.seen, NOW))));
    let parse = time(&|| drop(black_box(parse_and_check("estate.yaml", &text))));
    Pass { wall: median(walls), processor: used, plan: alone, parse }
}

/// What 10,000 environments take, in bytes.
#[derive(serde::Serialize, serde::Deserialize)]
struct Memory {
    /// By control after a pass.
    kept: usize,
    /// By control during one, at most.
    most: usize,
    /// By the whole process, less the observation that its world holds.
    resident: usize,
}

/// Plays an estate of `environments` up and writes down what is then seen of it.
fn prepare(folder: &Path, environments: usize) {
    let text = file(environments);
    std::fs::write(folder.join("estate.yaml"), &text).expect("it can be written");
    let checked = without_ports("estate.yaml", &text).expect("it is valid");
    let mut played = world::World { estate: Some(checked), now: NOW, ..world::World::default() };
    played.seen.host = fake::host();
    played.apply();
    assert!(played.plan().is_empty(), "everything is done");
    let seen = std::fs::File::create(folder.join("seen.json")).expect("it can be written");
    serde_json::to_writer(std::io::BufWriter::new(seen), &played.seen).expect("it can be written");
}

/// Passes over what [`prepare`] wrote down, in a process that has done nothing else.
async fn memory(folder: &Path) -> Memory {
    let at_first = LIVE.load(Relaxed);
    let seen = std::fs::File::open(folder.join("seen.json")).expect("it was written");
    let seen: Observation = serde_json::from_reader(std::io::BufReader::new(seen)).expect("it comes back");
    let before = LIVE.load(Relaxed);
    let state = folder.join("state");
    std::fs::create_dir_all(&state).expect("it can be made");
    let estate = Estate {
        driver: Arc::new(FakeDriver::new()),
        secrets: springtide_data::secrets::SecretStore::open(state.join("secrets")).expect("secrets"),
        store: Store::open(&state.join("springtide.db")).expect("a store"),
        proxy: routes::Proxy::new().expect("a client"),
        state,
        world: Arc::new(Seen(seen)),
    };
    let control = Control::new(Arc::new(estate), Settings { parse: without_ports, ..settings(folder) });
    for _ in 0..3 {
        MOST.store(LIVE.load(Relaxed), Relaxed);
        control.pass().await.expect("a pass");
        assert!(control.snapshot().expect("a look").plan.is_empty(), "nothing is left to do");
    }
    let (kept, most) = (LIVE.load(Relaxed) - before, MOST.load(Relaxed) - before);
    Memory { kept, most, resident: resident().saturating_sub(before - at_first) }
}

/// Set for the process that only looks: the folder it looks at.
const LOOK: &str = "SPRINGTIDE_BENCH_LOOK";

/// Measures memory in a process of its own: what preparing took would be counted otherwise.
fn apart(folder: &Path) -> Memory {
    prepare(folder, 10_000);
    let program = std::env::current_exe().expect("this program");
    let answer = std::process::Command::new(program).env(LOOK, folder).output().expect("it starts");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    serde_json::from_slice(&answer.stdout).expect("numbers")
}

/// Resident bytes of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("the kernel tells");
    let pages: usize = text.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("a number");
    pages * 4096
}

struct Journal {
    many: f64,
    some: f64,
    single: f64,
    file: f64,
}

/// Entries of the journal per second on a real disk, as operations write them (a step's intent, then its end),
/// each on the disk before its writer goes on: by 64 operations at once, by 16, by one, and the peer: lines of
/// a file, synchronised after each.
fn journal(folder: &Path) -> Journal {
    use std::io::Write as _;
    let store = Store::open(&folder.join("journal.db")).expect("a store");
    let epoch = store.take_epoch(ControllerKind::Server, "the bench", 0, NOW).expect("an epoch");
    let operate = |writers: usize, steps: usize| {
        let work = |writer: usize| {
            let name: EnvironmentName = format!("shop-{writer:05}").parse().expect("a name");
            let parts = [Some(name.clone())];
            let begin = Begin { epoch, plan: "p-12345678", parts: &parts, approved: &[], by: "the bench", steps };
            let operation = store.begin(&begin, NOW).expect("it begins");
            for number in 0..steps {
                let (title, environment) = ("run shop/web", Some(&name));
                let intent = Intent { epoch, operation, number, environment, title, action: "{}" };
                store.intend(&intent, NOW).expect("it is written");
                store.settle(epoch, operation, number, None, NOW).expect("it is written");
            }
            store.end(epoch, operation, DONE, NOW).expect("it ends");
        };
        let begun = Instant::now();
        std::thread::scope(|scope| (0..writers).for_each(|writer| drop(scope.spawn(move || work(writer)))));
        (writers * (2 * steps + 2)) as f64 / begun.elapsed().as_secs_f64()
    };
    let (many, some, single) = (operate(64, 200), operate(16, 400), operate(1, 500));
    let mut lines = std::fs::File::create(folder.join("lines")).expect("a file");
    let data = json!({ "number": 17, "title": "run shop/web", "failed": false }).to_string();
    let begun = Instant::now();
    for _ in 0..500 {
        writeln!(lines, "{data}").expect("it is written");
        lines.sync_data().expect("it is on the disk");
    }
    Journal { many, some, single, file: 500.0 / begun.elapsed().as_secs_f64() }
}

fn main() {
    let as_json = std::env::args().any(|argument| argument == "--json");
    if let Some(folder) = std::env::var_os(LOOK) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let memory = runtime.block_on(memory(Path::new(&folder)));
        println(&serde_json::to_string(&memory).expect("numbers"));
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let fast = folder(&PathBuf::from("/dev/shm"));
    let slow = folder(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let small = apart(&fast.join("ten-thousand"));
    let pass = runtime.block_on(pass(&fast.join("thousand"), 1_000));
    let journal = journal(&slow.join("journal"));
    for folder in [fast, slow] {
        let _ = std::fs::remove_dir_all(folder);
    }
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    if as_json {
        let line = json!({
            "bench": "reconcile", "pass_ms": pass.wall * 1e3, "pass_processor_ms": pass.processor * 1e3,
            "plan_ms": pass.plan * 1e3, "parse_and_check_ms": pass.parse * 1e3,
            "core_share_at_10_s": pass.processor / 10.0, "kept_mib": mib(small.kept), "most_mib": mib(small.most),
            "resident_mib": mib(small.resident), "journal_64_per_s": journal.many,
            "journal_16_per_s": journal.some, "journal_1_per_s": journal.single, "file_per_s": journal.file,
        });
        println(&line.to_string());
        return;
    }
    println(&format!("a pass over 1000 environments without change, {ROUNDS} rounds"));
    println(&format!(
        "  wall             {:9.1} ms     {}",
        pass.wall * 1e3,
        told(pass.wall <= 1.0, "at most 1000 ms")
    ));
    let share = pass.processor * 10.0;
    println(&format!(
        "  processor        {:9.1} ms     {share:.1} % of a core at one in 10 s, {}",
        pass.processor * 1e3,
        told(share <= 5.0, "at most 5 %")
    ));
    println(&format!(
        "  planning alone   {:9.1} ms     the pass takes {:.1} x",
        pass.plan * 1e3,
        pass.wall / pass.plan
    ));
    println(&format!(
        "  parse and check  {:9.1} ms     the pass takes {:.1} x",
        pass.parse * 1e3,
        pass.wall / pass.parse
    ));
    println("10000 environments, looked at three times");
    println(&format!("  kept             {:9.1} MiB    by control between two passes", mib(small.kept)));
    println(&format!("  most in a pass   {:9.1} MiB    by control", mib(small.most)));
    println(&format!(
        "  resident         {:9.1} MiB    {}",
        mib(small.resident),
        told(mib(small.resident) <= 64.0, "at most 64 MiB")
    ));
    println("entries of the journal (a step's intent, a step's end), each on the disk before the next");
    println(&format!(
        "  64 operations    {:9.0} /s     {}",
        journal.many,
        told(journal.many >= 5_000.0, "at least 5000 /s")
    ));
    println(&format!("  16 operations    {:9.0} /s", journal.some));
    println(&format!("  one operation    {:9.0} /s", journal.single));
    println(&format!(
        "  lines of a file  {:9.0} /s     64 operations are {:.2} x of it, one is {:.2} x",
        journal.file,
        journal.many / journal.file,
        journal.single / journal.file
    ));
}

/// A folder of our own, with the parts the measurements use.
fn folder(within: &Path) -> PathBuf {
    let folder = within.join(format!("springtide-reconcile-{}", std::process::id()));
    for part in ["ten-thousand", "thousand", "journal"] {
        std::fs::create_dir_all(folder.join(part)).expect("it can be made");
    }
    folder
}

fn told(held: bool, target: &str) -> String {
    format!("{target}: {}", if held { "held" } else { "MISSED" })
}

#[expect(clippy::print_stdout, reason = "the table is what a bench is for")]
fn println(line: &str) {
    println!("{line}");
}

//! One arm of the comparison: an estate of its own in a network of its own, a light load through the entrance,
//! and a web worker killed every minute. The only difference between the arms is whether a server is there.
//!
//! An arm is a process. It says `ready` on stdout when its estate is up and its server has nothing to do, begins
//! when it reads a line, and ends with what it counted as one line of JSON. So both arms begin together, and
//! meet the same noise of the machine.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use springtide_core::workload::WorkloadId;
use springtide_driver::{Driver as _, Generation};
use springtide_server::locks;

use crate::rig::machine::{self, Workload};
use crate::rig::odoo::Odoo;
use crate::rig::{Rig, until};

const SHOP: &str = "{ name: shop, workers: { web: 2 }, resources: { cpus: 1, memory: 2GiB }, odoo: { series: \"19.0\", modules: [] } }";
/// Between two requests; they are sent whether the one before was answered or not.
const EVERY: Duration = Duration::from_millis(500);
/// More than two full passes of a server, which come every 10 s.
const PASSES: Duration = Duration::from_secs(25);
const KINDS: [&str; 3] = ["login page", "/web/health", "read by JSON-RPC"];

/// What one request came to.
struct Sample {
    kind: usize,
    ms: f64,
    /// Why it failed, if it did.
    failed: Option<String>,
    /// Seconds since the load began.
    at: f64,
}

/// Two visitors: one who is logged in, one who is not.
#[derive(Clone)]
struct Visitors {
    user: Odoo,
    stranger: Odoo,
}

impl Visitors {
    /// One request of a kind. A page that is not the one that was asked for is a failure.
    async fn ask(&self, kind: usize) -> Result<(), String> {
        let page = async |path: &str, mark: &str| match self.stranger.get(path).await {
            None => Err("no answer".to_owned()),
            Some((200, page)) if page.contains(mark) => Ok(()),
            Some((200, _)) => Err("200 with another page".to_owned()),
            Some((status, _)) => Err(status.to_string()),
        };
        match kind {
            0 => page("/web/login", "name=\"csrf_token\"").await,
            1 => page("/web/health", "pass").await,
            _ => {
                let words = json!({ "model": "res.partner", "method": "search_read", "args": [[], ["name"]],
                    "kwargs": { "limit": 20 } });
                match self.user.try_post("/web/dataset/call_kw", words).await {
                    Ok(found) if found.as_array().is_some_and(|it| !it.is_empty()) => Ok(()),
                    Ok(other) => Err(format!("another result: {other}")),
                    // The first words tell the kind; the rest is a page or a traceback.
                    Err(why) => Err(why.lines().next().unwrap_or_default().chars().take(60).collect()),
                }
            }
        }
    }
}

/// A server whose talk goes into a file, so that it never waits for a reader.
fn serve(rig: &Rig) -> Child {
    let talk = std::fs::OpenOptions::new().create(true).append(true).open(rig.folder.join("serve.log"));
    let talk = talk.expect("a file can be made");
    let mut command = rig.command();
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(talk);
    let child = command.spawn().expect("springtide starts");
    let begun = Instant::now();
    while locks::server(&rig.state()).is_none_or(|it| it.listen.is_empty()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not serve; {}", rig.folder.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

fn tell(server: &mut Child, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(server.id() as i32);
    nix::sys::signal::kill(pid, signal).expect("it can be told");
    server.wait().expect("it ends");
}

fn operations(rig: &Rig) -> usize {
    rig.json(&["history", "--json"], 0)["operations"].as_array().expect("a list").len()
}

/// How many workloads run otherwise than before: another pid, or started again.
fn touched(before: &BTreeMap<String, Workload>, after: &BTreeMap<String, Workload>) -> usize {
    let same = |name: &String, was: &Workload| {
        after.get(name).is_some_and(|is| (was.pid, was.restarts) == (is.pid, is.restarts))
    };
    before.iter().filter(|(name, was)| !same(name, was)).count()
}

/// Sends the load for `minutes`, and kills a web worker in each. When in the minute and which one is reckoned
/// from the minute's number, the same in both arms.
async fn load(rig: &Rig, visitors: &Visitors, minutes: u64) -> (Vec<Sample>, Vec<f64>) {
    let master = rig.pid("shop/web").expect("it runs");
    let workers = move || -> Vec<i32> {
        let tree = machine::tree(master);
        tree.into_iter().filter(|it| it.command.contains("WorkerHTTP")).map(|it| it.pid).collect()
    };
    let begun = Instant::now();
    let killer = tokio::spawn(async move {
        let mut replaced = Vec::new();
        for minute in 0..minutes {
            let at = Duration::from_millis(minute * 60_000 + (minute * 7_919 + 4_211) % 50_000);
            tokio::time::sleep_until((begun + at).into()).await;
            let now = workers();
            assert_eq!(now.len(), 2, "a worker of the minute before is missing");
            let victim = now[minute as usize % 2];
            machine::kill([victim]);
            let killed = Instant::now();
            while workers().into_iter().filter(|pid| *pid != victim).count() < 2 {
                assert!(killed.elapsed() < Duration::from_secs(50), "no worker came instead of {victim}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            replaced.push(killed.elapsed().as_secs_f64());
        }
        replaced
    });
    let samples = Arc::new(Mutex::new(Vec::new()));
    let mut sent = Vec::new();
    for number in 0..minutes * 60_000 / EVERY.as_millis() as u64 {
        tokio::time::sleep_until((begun + EVERY * number as u32).into()).await;
        let (visitors, samples) = (visitors.clone(), Arc::clone(&samples));
        sent.push(tokio::spawn(async move {
            let (kind, at) = (number as usize % KINDS.len(), begun.elapsed().as_secs_f64());
            let asked = Instant::now();
            let failed = visitors.ask(kind).await.err();
            let ms = asked.elapsed().as_secs_f64() * 1000.0;
            samples.lock().expect("nobody panics holding it").push(Sample { kind, ms, failed, at });
        }));
    }
    for one in sent {
        one.await.expect("a request ends");
    }
    let replaced = killer.await.expect("the killer ends");
    let samples = std::mem::take(&mut *samples.lock().expect("nobody panics holding it"));
    (samples, replaced)
}

/// Figures of one kind of request.
fn told(samples: &[Sample], kind: usize) -> Value {
    let of: Vec<&Sample> = samples.iter().filter(|it| it.kind == kind).collect();
    let mut ms: Vec<f64> = of.iter().map(|it| it.ms).collect();
    ms.sort_by(f64::total_cmp);
    let share = |part: f64| ms[((ms.len() - 1) as f64 * part).round() as usize];
    let mut why: BTreeMap<&str, usize> = BTreeMap::new();
    for failed in of.iter().filter_map(|it| it.failed.as_deref()) {
        *why.entry(failed).or_default() += 1;
    }
    let at: Vec<f64> = of.iter().filter(|it| it.failed.is_some()).map(|it| it.at).collect();
    json!({ "kind": KINDS[kind], "sent": of.len(), "failed": at.len(), "why": why, "failed_at_s": at,
        "p50_ms": share(0.5), "p95_ms": share(0.95), "worst_ms": share(1.0) })
}

/// What is counted would be seen: a page that is not there fails, and a role that was stopped is planned.
async fn controls(rig: &Rig, visitors: &Visitors) {
    let mut lost = visitors.clone();
    lost.stranger.url.push_str("/web/database/manager#");
    assert_eq!(lost.ask(1).await, Err("404".to_owned()), "a failure is not seen");
    let fence = std::fs::read_to_string(rig.state().join("fence")).expect("there is a fence");
    let generation = Generation(fence.trim().parse().expect("a number"));
    let id: WorkloadId = "shop/jobs".parse().expect("a workload");
    rig.driver().stop_workload(&id, generation).await.expect("it stops");
    assert!(!rig.steps().is_empty(), "a change that is planned is not seen");
}

/// The whole arm; `present` says whether a server is there during the load.
pub async fn run(present: bool, minutes: u64) {
    let rig = Rig::new(if present { "present" } else { "absent" }, true);
    rig.declare(&[SHOP]);
    rig.apply();
    let visitors = Visitors { user: Odoo::new(&rig, "shop"), stranger: Odoo::new(&rig, "shop") };
    visitors.user.sign_in().await;
    let mut server = serve(&rig);
    until("everything is ready", 90, async || rig.workloads().values().all(|it| it.state == "ready")).await;
    for (kind, name) in KINDS.iter().enumerate() {
        visitors.ask(kind).await.unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    println!("ready");
    std::io::stdin().lock().read_line(&mut String::new()).expect("somebody says when");
    if !present {
        tell(&mut server, nix::sys::signal::Signal::SIGKILL);
    }
    let (before, journal) = (rig.workloads(), operations(&rig));
    let (samples, replaced) = load(&rig, &visitors, minutes).await;
    // What a plan is by itself, and what a server that comes back makes of it.
    let planned = rig.steps().len();
    if !present {
        assert!(locks::server(&rig.state()).is_none(), "a server was there");
        server = serve(&rig);
    }
    tokio::time::sleep(PASSES).await;
    let planned_later = rig.steps().len();
    let answer = json!({
        "kinds": (0..KINDS.len()).map(|kind| told(&samples, kind)).collect::<Vec<_>>(),
        "killed": replaced.len(), "replaced_worst_s": replaced.iter().copied().fold(0.0, f64::max),
        "planned": planned, "planned_later": planned_later, "operations": operations(&rig) - journal,
        "touched": touched(&before, &rig.workloads()),
    });
    assert!(server.try_wait().expect("it can be asked").is_none(), "the server ended; {}", rig.folder.display());
    tell(&mut server, nix::sys::signal::Signal::SIGTERM);
    controls(&rig, &visitors).await;
    machine::no_leftovers(&rig);
    drop(rig);
    println!("{answer}");
}

//! A distributor's data and all classes of traffic on real Odoo of both series, and the judge: a run is clean,
//! and what is taken away, doubled or miscounted behind Odoo's back is found. Web workers that are killed while
//! people work cost answers and nothing that was acknowledged; a run that is cut off, or whose disk is full, says so.

mod rig;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use springtide_core::role::Role;
use springtide_core::workload::{SecretName, Volume};
use springtide_rehearse::class::Class;
use springtide_rehearse::distributor::{self, LoadError, Loaded, Plan, Scale};
use springtide_rehearse::facts;
use springtide_rehearse::generator::{self, Settings, Watch};
use springtide_rehearse::ledger::{ActKind, Entry, Findings, Ledger, Phase, Rules, compare};
use springtide_rehearse::measure::{Measured, Report};
use springtide_rehearse::odoo::{PostgresSocket, Target};
use springtide_rehearse::profile::Profile;
use springtide_rehearse::schedule::Schedule;
use springtide_rehearse::traffic::{self, Rehearsal};

use rig::odoo::Odoo;
use rig::{HTTPS, NEW, OLD, Rig, machine};

const SEED: u64 = 7;

/// A size S in small.
const SCALE: Scale = Scale {
    products: 100,
    customers: 20,
    vendors: 4,
    warehouses: 2,
    bins: 12,
    open_orders: 4,
    open_receipts: 2,
    past_orders: 3,
    orders_per_day: 10,
    days: 730,
};

fn target(rig: &Rig, name: &str, series: &str) -> Target {
    Target {
        environment: name.parse().expect("a name"),
        series: series.parse().expect("a series"),
        url: format!("https://{name}.localhost:{HTTPS}"),
        address: SocketAddr::from(([127, 0, 0, 1], HTTPS)),
        authority_pem: Some(rig.secret(None, SecretName::AuthorityCertificate).expose_secret().to_owned()),
        database: name.to_owned(),
        admin: "admin".to_owned(),
        password: rig.secret(Some(name), SecretName::OdooAdmin),
        postgres: Some(PostgresSocket {
            folder: rig.volume(name, Volume::PostgresSocket),
            port: rig.slot(name).port(Role::Postgres).expect("it has a port"),
            user: "postgres".to_owned(),
        }),
    }
}

async fn load(target: &Target, seed: u64) -> Result<Loaded, LoadError> {
    distributor::load_scale(target, SCALE, seed, &|_: &str, _, _| {}).await
}

/// Loads, sees that all of it is there as planned, and that loading again only looks.
async fn prepare(rig: &Rig, target: &Target) -> Loaded {
    let name = target.environment.to_string();
    let ledger = Arc::new(Ledger::open(rig.folder.join("unused")).expect("a ledger"));
    let early = traffic::open(target, ledger.clone(), "early").await.err().expect("nothing is loaded yet");
    assert_eq!(early.code(), "E0967", "{early}");
    let begun = Instant::now();
    let loaded = load(target, SEED).await.expect("it loads");
    rig.say(format!("{name}: loaded in {:.1} s: {:?}", begun.elapsed().as_secs_f64(), loaded.made));
    let again = load(target, SEED).await.expect("it looks");
    assert_eq!(again, Loaded::default(), "{name}: the second time");
    let other = load(target, SEED + 1).await.expect_err("another distributor is refused");
    assert_eq!(other.code(), "E0966", "{other}");
    let wrong = Target { password: "wrong".to_owned().into(), ..target.clone() };
    let refused = traffic::open(&wrong, ledger.clone(), "wrong").await.err().expect("the password is wrong");
    assert_eq!(refused.code(), "E0965", "{refused}");
    let unfit = traffic::open(target, ledger, "a/b").await.err().expect("no name for a run");
    assert_eq!(unfit.code(), "E0969", "{unfit}");

    let plan = Plan::new(SCALE, SEED, jiff::Zoned::now().date());
    let facts = facts::read(target, "SPR-none-").await.expect("facts");
    assert!(facts.orders.is_empty() && facts.transfers.is_empty() && facts.imports.is_empty(), "{facts:?}");
    let there: f64 = facts.stock.iter().map(|stock| stock.quants).sum();
    let planned: u32 = plan.stock.iter().map(|stock| stock.quantity).sum();
    let delivered: u32 = plan.past_orders().iter().flat_map(|order| &order.lines).map(|line| line.quantity).sum();
    assert_eq!(there, f64::from(planned - delivered), "{name}: pieces in the bins");
    let database = rig.database(&name, &name).await;
    let count = async |sql: &str| -> i64 { database.query_one(sql, &[]).await.expect("it counts").get(0) };
    assert_eq!(count("SELECT count(*) FROM product_product WHERE default_code LIKE 'SPR-%'").await, 100);
    let open = "SELECT count(*) FROM sale_order WHERE client_order_ref LIKE 'SPR-O%' AND state = 'sale'";
    assert_eq!(count(open).await, 4);
    let past = "SELECT count(DISTINCT o.id) FROM sale_order o JOIN stock_picking p ON p.sale_id = o.id
        WHERE o.client_order_ref LIKE 'SPR-P%' AND p.state = 'done' AND o.date_order < now()";
    assert_eq!(count(past).await, 3);
    loaded
}

/// All classes, slowly enough for a busy machine, or so many times as much.
fn profile(times: u32) -> Profile {
    let rates = [("scan", 30), ("order", 8), ("order-api", 16), ("edi", 4), ("report", 6), ("browse", 10)];
    let rates = rates.map(|(class, rate)| format!("  {class}: {{ per_minute: {} }}\n", rate * times));
    let text = format!("name: all\nabout: Every class.\nclasses:\n{}", rates.concat());
    Profile::parse("all.yaml", &text).expect("a profile")
}

async fn drive(traffic: Rehearsal, profile: &Profile, seconds: u64) -> Measured {
    let schedule = Schedule::of(profile, SEED, Duration::from_secs(seconds)).expect("a schedule");
    generator::run(&schedule, Arc::new(traffic), &Watch::new(Settings::default())).await
}

async fn judge(target: &Target, ledger: &Ledger, run: &str) -> Findings {
    let prefix = traffic::prefix(run);
    let facts = facts::read(target, &prefix).await.expect("facts");
    let entries = Ledger::read(ledger.path()).expect("the ledger can be read");
    compare(&entries, &facts, &Rules { prefix: Some(prefix), ..Rules::default() })
}

/// Judges when the jobs are done.
async fn verdict(target: &Target, ledger: &Ledger, run: &str) -> Findings {
    for _ in 0..60 {
        let findings = judge(target, ledger, run).await;
        if findings.pending.is_empty() {
            return findings;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    judge(target, ledger, run).await
}

/// A key of the ledger that was acknowledged.
fn acknowledged(ledger: &Ledger, kind: ActKind, class: Class) -> String {
    let entries: Vec<Entry> = Ledger::read(ledger.path()).expect("the ledger can be read");
    let entry = entries.iter().rfind(|it| it.kind == kind && it.class == class && it.phase == Phase::Acknowledged);
    entry.unwrap_or_else(|| panic!("no {class} was acknowledged")).key.clone()
}

fn keys(found: &[springtide_rehearse::ledger::Finding]) -> Vec<&str> {
    found.iter().map(|one| one.key.as_str()).collect()
}

/// Takes away, doubles and miscounts behind Odoo's back; each is found, and nothing else.
async fn found(rig: &Rig, odoo: &Odoo, target: &Target, ledger: &Ledger, run: &str) {
    let name = target.environment.to_string();
    let database = rig.database(&name, &name).await;
    let lost = acknowledged(ledger, ActKind::Order, Class::Order);
    database
        .execute(
            "DELETE FROM sale_order_line WHERE order_id IN (SELECT id FROM sale_order WHERE client_order_ref = $1)",
            &[&lost],
        )
        .await
        .expect("lines go");
    let gone = database.execute("DELETE FROM sale_order WHERE client_order_ref = $1", &[&lost]).await;
    assert_eq!(gone.expect("the order goes"), 1);
    let import = acknowledged(ledger, ActKind::Import, Class::Edi);
    let unnamed = "UPDATE sale_order SET client_order_ref = NULL WHERE client_order_ref = $1";
    assert_eq!(database.execute(unnamed, &[&import]).await.expect("the import goes"), 1);
    let doubled = acknowledged(ledger, ActKind::Order, Class::OrderApi);
    let first = odoo.call("sale.order", "search", json!([[["client_order_ref", "=", doubled]]])).await;
    let copy = odoo.call("sale.order", "copy", json!([first[0]])).await;
    let copy = copy.as_i64().or(copy[0].as_i64()).expect("a copy");
    odoo.call("sale.order", "write", json!([[copy], { "client_order_ref": doubled }])).await;
    let miscount = "UPDATE stock_quant SET quantity = quantity + 1 WHERE id = (SELECT min(q.id) FROM stock_quant q
        JOIN product_product p ON p.id = q.product_id AND p.default_code = 'SPR-000005'
        JOIN stock_location l ON l.id = q.location_id AND l.usage = 'internal')";
    assert_eq!(database.execute(miscount, &[]).await.expect("a quant changes"), 1);
    let transfer = acknowledged(ledger, ActKind::Transfer, Class::Scan);
    let gone = database.execute("UPDATE stock_picking SET state = 'cancel' WHERE origin = $1", &[&transfer]).await;
    assert_eq!(gone.expect("the transfer changes"), 1);

    let mut findings = judge(target, ledger, run).await;
    // An import has its time, and is only then lost.
    let mut missing = keys(&findings.lost);
    missing.extend(keys(&findings.pending));
    missing.sort_unstable();
    let mut wanted = [lost.as_str(), import.as_str(), transfer.as_str()];
    wanted.sort_unstable();
    assert_eq!(missing, wanted, "{name}: {}", findings.summary());
    assert_eq!(keys(&findings.doubled), [doubled.as_str()], "{name}: {}", findings.summary());
    assert_eq!(findings.stock_unequal.len(), 1, "{name}: {:?}", findings.stock_unequal);
    assert!(findings.stock_unequal[0].key.starts_with("SPR-000005 in "), "{:?}", findings.stock_unequal);
    for kind in [&mut findings.lost, &mut findings.pending, &mut findings.doubled, &mut findings.stock_unequal] {
        kind.clear();
    }
    // The copy brings its own lines, which may be told as altered; nothing else is wrong.
    findings.altered.retain(|one| one.key != doubled);
    assert!(findings.clean(), "{name}: {}", findings.summary());
}

/// Starts the command; its output is kept for [`ended`].
fn start(rig: &Rig, words: &[&str]) -> Child {
    let mut command = rig.command();
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("springtide starts")
}

/// Exit code, the JSON object, and all that was said.
fn ended(child: Child) -> (Option<i32>, Value, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let said = format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let json = serde_json::from_slice(&stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (status.code(), json, said)
}

/// The same of one that is told to judge at once, as soon as it says that it waits for what Odoo may still be at.
fn hurried(mut child: Child) -> (Option<i32>, Value, String) {
    let err = BufReader::new(child.stderr.take().expect("it is kept"));
    let mut said = String::new();
    for line in err.lines().map_while(Result::ok) {
        if line.contains("Ctrl-C judges now") {
            signal(&child, Signal::SIGINT);
        }
        said.push_str(&line);
        said.push('\n');
    }
    let (code, json, out) = ended(child);
    (code, json, out + &said)
}

/// Web workers are killed at random while people work. Answers are lost, and said to be; nothing that was
/// acknowledged is. Gives back how many arrivals were not served: none if those who died were idle.
async fn killed(rig: &Rig, target: &Target, run: &str, seconds: u64) -> u64 {
    let name = target.environment.to_string();
    let web = format!("{name}/web");
    let master = rig.pid(&web).expect("it runs");
    let event_servers = || -> Vec<i32> {
        let below = machine::tree(master).into_iter().filter(|it| it.parent == master);
        below.filter(|it| it.command.split(' ').any(|word| word == "gevent")).map(|it| it.pid).collect()
    };
    let before = event_servers();
    assert_eq!(before.len(), 1, "{name}: the event server of the web role");
    let ledger = Arc::new(Ledger::open(rig.folder.join(format!("{name}.{run}"))).expect("a ledger"));
    // Signed in before the first dies: nobody can begin with a door that closes in his face.
    let traffic = traffic::open(target, ledger.clone(), run).await.expect("everybody gets in");
    let killer = start(
        rig,
        &["rig", "fault", "kill", "--on", &web, "--for", &format!("{seconds}s"), "--strength", "4", "--json"],
    );
    // Busier than otherwise, so that most who die are at work.
    let profile = profile(2);
    let measured = drive(traffic, &profile, seconds).await;
    let (code, met, said) = ended(killer);
    assert_eq!(code, Some(0), "{name}: {said}");
    let kills = met["met"].as_u64().unwrap_or_default();
    assert!(kills >= seconds / 10, "{name}: {kills} kills: {said}");
    assert_eq!(event_servers(), before, "{name}: only workers are killed");
    let findings = verdict(target, &ledger, run).await;
    rig.say(format!("{name}: {kills} workers killed; {}", findings.summary()));
    assert!(findings.lost.is_empty() && findings.clean(), "{name}: {findings:?}");
    assert!(findings.acknowledged > 10, "{name}: {}", findings.summary());

    // The report tells every arrival, and why it was not served.
    let report = Report::of(&measured, &profile, Some(findings));
    rig.say(format!("{name}: {} offered, {} done, {} errors", report.offered, report.done, report.errors));
    assert_eq!(report.offered, report.done + report.errors);
    for class in &report.classes {
        let told: u64 = class.reasons.values().sum();
        assert_eq!(told, class.offered - class.done, "{name}: {}: {:?}", class.class, class.reasons);
        let text = report.text();
        assert!(class.reasons.keys().all(|reason| text.contains(reason.as_str())), "{name}: {text}");
    }
    report.errors
}

/// A file system in memory under the ledgers; gone with this value.
struct Small(std::path::PathBuf);

impl Small {
    fn new(at: std::path::PathBuf, kilobytes: u64) -> Self {
        let _ = std::fs::remove_dir_all(&at);
        std::fs::create_dir(&at).expect("a folder can be made");
        let size = format!("mode=0700,size={kilobytes}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "springtide-test"]).arg(&at).status();
        assert!(mounted.expect("mount starts").success());
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A run that somebody ends, a second one beside it, and one whose disk is full: the command says what it is, prints
/// what was measured, and leaves a ledger that can be read.
fn cut_off(rig: &Rig, name: &str) {
    let run = ["rehearse", "run", "holiday", "--env", name, "--minutes", "5", "--json"];
    let first = start(rig, &run);
    let rehearsals = rig.state().join("rehearsals");
    let newest = || {
        let all = std::fs::read_dir(rehearsals.join(name)).into_iter().flatten().flatten();
        all.map(|it| it.path().join("ledger")).max()
    };
    let begun = Instant::now();
    // Acts are under way as soon as the ledger holds some.
    while newest().is_none_or(|path| Ledger::read(path).is_ok_and(|entries| entries.len() < 10)) {
        assert!(begun.elapsed() < Duration::from_secs(90), "{name}: nobody came");
        std::thread::sleep(Duration::from_millis(200));
    }
    let (code, second, said) = ended(start(rig, &run));
    assert_eq!((code, &second["error"]["code"]), (Some(5), &json!("E0979")), "{said}");
    assert!(said.contains(&format!("pid {}", first.id())), "it names who: {said}");
    signal(&first, Signal::SIGINT);
    let (code, report, said) = ended(first);
    assert_eq!((code, &report["report"]["stopped"]), (Some(130), &json!("asked")), "{said}");
    assert_eq!(report["report"]["pass"], false, "{said}");
    assert!(report["report"]["ledger"]["lost"].as_array().is_some_and(Vec::is_empty), "{said}");
    let ledger = format!("{}/ledger", report["folder"].as_str().expect("it says where"));
    let checked = rig.json(&["rehearse", "check", &ledger, "--env", name, "--json"], 0);
    assert_eq!(checked["clean"], true, "{checked}");

    let small = Small::new(rehearsals.clone(), 16);
    let (code, full, said) = hurried(start(rig, &run));
    assert_eq!((code, &full["error"]["code"]), (Some(1), &json!("E0963")), "{said}");
    let report = &full["error"]["details"]["report"];
    assert!(report["stopped"]["broken"].as_str().is_some_and(|why| why.contains("is full")), "{said}");
    assert!(report["done"].as_u64().is_some_and(|done| done > 0), "what was measured is told: {said}");
    assert!(report["ledger"]["lost"].as_array().is_some_and(Vec::is_empty), "{said}");
    let entries = Ledger::read(newest().expect("there is a ledger")).expect("it can be read");
    assert!(!entries.is_empty());
    drop(small);
    rig.say(format!("{name}: cut off, refused, and on a full disk after {} entries", entries.len()));
}

fn signal(child: &Child, which: Signal) {
    kill(nix::unistd::Pid::from_raw(child.id() as i32), which).expect("it runs");
}

/// A run on one environment, from an empty one to planted faults: so many seconds of people, and so many of dying
/// workers.
async fn rehearse(rig: &Rig, name: &str, series: &str, seconds: u64, dying: u64) {
    let target = target(rig, name, series);
    let loaded = prepare(rig, &target).await;
    // Neither buys, and that is said.
    assert_eq!(loaded.left_out.len(), 1, "{:?}", loaded.left_out);
    assert!(loaded.left_out[0].starts_with("receipts"), "{:?}", loaded.left_out);
    let odoo = Odoo::new(rig, name);
    let ledger = Arc::new(Ledger::open(rig.folder.join(format!("{name}.ledger"))).expect("a ledger"));
    let traffic = traffic::open(&target, ledger.clone(), "run").await.expect("everybody gets in");
    let measured = drive(traffic, &profile(1), seconds).await;
    let counts: BTreeMap<Class, (u64, u64)> =
        measured.classes.iter().map(|(class, it)| (*class, (it.done, it.offered))).collect();
    rig.say(format!("{name}: done of offered {counts:?}"));
    for class in Class::ALL {
        let it = measured.classes.get(&class).unwrap_or_else(|| panic!("{name}: no {class} came"));
        assert!(it.done > 0 && it.refused == 0, "{name}: {class}: {:?}", it.reasons);
    }
    let findings = verdict(&target, &ledger, "run").await;
    rig.say(format!("{name}: {}", findings.summary()));
    let wrong: Vec<_> = findings.kinds().into_iter().filter(|(_, found)| !found.is_empty()).collect();
    assert!(findings.clean(), "{name}: {wrong:?}");
    assert!(findings.acknowledged > 10, "{name}: {}", findings.summary());
    for (class, cost) in traffic::cost::by_class(rig.log(&format!("{name}/web")).lines()) {
        rig.say(format!(
            "{name}: {class}: {:.3} s of a worker per act, {:.3} s of it database, {:.1} requests, {:.0} queries, {:.2} repeated ({} acts)",
            cost.worker_s, cost.database_s, cost.requests, cost.queries, cost.retries, cost.acts
        ));
        assert!(cost.acts > 0 && cost.worker_s > cost.database_s, "{name}: {class}: {cost:?}");
    }
    let mut errors = 0;
    for run in ["killed1", "killed2", "killed3", "killed4"] {
        errors += killed(rig, &target, run, dying).await;
        if errors > 0 {
            break;
        }
    }
    assert!(errors > 0, "{name}: workers died and nobody noticed");
    if name == "new" {
        cut_off(rig, name);
    }
    found(rig, &odoo, &target, &ledger, "run").await;
    // Nothing that was said to Odoo's log holds a password of the rig.
    let log = rig.log(&format!("{name}/web"));
    assert!(log.contains("5b7e-00-"), "{name}: acts are told by their ids");
    assert!(!log.contains(rig.password(name).as_str()), "{name}: a password is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_classes_on_both_series_and_the_judge_finds_what_is_planted() {
    let rig = Rig::new("rehearse", true);
    rig.declare(&[NEW, OLD]);
    rig.apply();
    rehearse(&rig, "new", "19.0", 60, 60).await;
    rehearse(&rig, "old", "14.0", 40, 30).await;
}

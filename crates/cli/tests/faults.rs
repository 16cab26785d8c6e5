//! What breaks while everything runs: PostgreSQL away, workers, whole roles, the pooler, the entrance
//! and the supervisor killed. Each must come back in its time and touch nobody else. Ends with a table
//! of all times.

mod rig;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use springtide_core::workload::WorkloadId;
use springtide_driver::{Driver as _, Generation};

use rig::machine::Workload;
use rig::odoo::Odoo;
use rig::{NEW, OLD, Rig, bus, machine, until};

/// What was measured: what was done, to whom, seconds, and the most it may be.
#[derive(Default)]
struct Table(Vec<(String, f64, u64)>);

impl Table {
    fn add(&mut self, rig: &Rig, what: impl Into<String>, took: Duration, most: u64) {
        let (what, seconds) = (what.into(), took.as_secs_f64());
        rig.say(format!("{what}: {seconds:.1} s"));
        assert!(took <= Duration::from_secs(most), "{what} took {seconds:.1} s, more than {most} s");
        self.0.push((what, seconds, most));
    }

    fn show(&self, rig: &Rig) {
        let mut text = format!("\n{:<58} {:>8} {:>8}\n", "what", "seconds", "at most");
        for (what, seconds, most) in &self.0 {
            text.push_str(&format!("{what:<58} {seconds:>8.1} {most:>8}\n"));
        }
        rig.say(text);
    }
}

/// Everything but `changed` runs on: same pid, same number of restarts. That holds for a database that is away
/// as well: no role ends with it, the masters of 19.0 neither, so nothing restarts in a storm.
fn untouched(before: &BTreeMap<String, Workload>, after: &BTreeMap<String, Workload>, changed: &[&str]) {
    for (name, was) in before.iter().filter(|(name, _)| !changed.contains(&name.as_str())) {
        let is = &after[name];
        assert_eq!((was.pid, was.restarts), (is.pid, is.restarts), "{name} was touched: {was:?} {is:?}");
    }
}

/// What runs, once all of it is ready: what one fault shook is no fault of the next.
async fn all_ready(rig: &Rig) -> BTreeMap<String, Workload> {
    until("everything is ready", 90, async || rig.workloads().values().all(|it| it.state == "ready")).await;
    rig.workloads()
}

fn websocket(odoo: &Odoo) -> bool {
    odoo.name == "new"
}

/// Whether an answer is the one clear page.
fn clear(odoo: &Odoo, status: u16, page: &str) -> bool {
    status == 503 && page.contains(&format!("{} is not ready yet", odoo.name))
}

/// The one clear page, for people and programs alike, within two seconds each.
async fn told_to_wait(odoo: &Odoo) -> Result<(), String> {
    let look = async |request: reqwest::RequestBuilder, what: &str| {
        let answer =
            request.timeout(Duration::from_secs(2)).send().await.map_err(|_| format!("{what}: no answer in 2 s"))?;
        let status = answer.status().as_u16();
        let page = answer.text().await.unwrap_or_default();
        if clear(odoo, status, &page) { Ok(()) } else { Err(format!("{what}: {status}")) }
    };
    for path in ["/web/login", "/web"] {
        look(odoo.client.get(format!("{}{path}", odoo.url)), path).await?;
    }
    let call = odoo.client.post(format!("{}/jsonrpc", odoo.url)).json(&json!({ "jsonrpc": "2.0" }));
    look(call, "/jsonrpc").await
}

/// A page and a call that needs the database.
async fn serves(odoo: &Odoo) -> bool {
    let page = odoo.status("/web/login").await == Some(200);
    page && odoo.try_call("res.users", "search_count", json!([[]])).await.is_ok()
}

async fn database_away(rig: &Rig, table: &mut Table, odoos: &[Odoo]) {
    let before = all_ready(rig).await;
    let fence = std::fs::read_to_string(rig.state().join("fence")).expect("there is a fence");
    let generation = Generation(fence.trim().parse().expect("a number"));
    for odoo in odoos {
        let id: WorkloadId = format!("{}/postgres", odoo.name).parse().expect("a workload");
        rig.driver().stop_workload(&id, generation).await.expect("it stops");
    }
    let stopped = Instant::now();
    // Sent before the entrance knows, so it reaches Odoo and may wait for the database.
    let early: Vec<_> = odoos
        .iter()
        .map(|odoo| {
            let odoo = odoo.clone();
            tokio::spawn(async move { (odoo.get("/web/login").await, odoo) })
        })
        .collect();
    for odoo in odoos {
        let mut seen = BTreeMap::new();
        until("the notice page", 30, async || match told_to_wait(odoo).await {
            Ok(()) => true,
            Err(other) => {
                *seen.entry(other).or_insert(0) += 1;
                false
            }
        })
        .await;
        table.add(rig, format!("{}: PostgreSQL stopped, until one clear 503", odoo.name), stopped.elapsed(), 10);
        rig.say(format!("{}: until then {seen:?}", odoo.name));
    }
    // Long enough for anything that would start again to do so.
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        for odoo in odoos {
            assert_eq!(told_to_wait(odoo).await, Ok(()), "{}: another answer while PostgreSQL is away", odoo.name);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for early in early {
        let (answer, odoo) = early.await.expect("it ends");
        // Under way in Odoo when its database went: 19 leads to the page, 14 ends it with an error or
        // in the middle of its answer.
        let Some((status, page)) = answer else {
            assert_eq!(odoo.name, "old", "its early request was cut off");
            table.add(rig, format!("{}: a request under way was cut off in", odoo.name), stopped.elapsed(), 60);
            continue;
        };
        assert!(
            clear(&odoo, status, &page) || status == 500,
            "{}: an early request was told {status}: {page}",
            odoo.name
        );
        table.add(rig, format!("{}: a request under way was told {status} in", odoo.name), stopped.elapsed(), 60);
    }
    untouched(&before, &rig.workloads(), &["new/postgres", "old/postgres"]);

    let plan = rig.steps();
    assert!(plan.iter().any(|step| step.title == "run new/postgres"), "{plan:#?}");
    let begun = Instant::now();
    let mut applying = rig.spawn(&["apply", "--yes"], None);
    for odoo in odoos {
        until(&format!("{} serves", odoo.name), 30, async || serves(odoo).await).await;
        table.add(rig, format!("{}: PostgreSQL started, until serving", odoo.name), begun.elapsed(), 10);
    }
    assert!(applying.wait().expect("it ends").success());
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    untouched(&before, &all_ready(rig).await, &["new/postgres", "old/postgres"]);
}

/// Kills a workload with all its children and waits until it does its work again.
async fn kill_role(rig: &Rig, table: &mut Table, odoo: &Odoo, role: &str) {
    let workload = format!("{}/{role}", odoo.name);
    let before = all_ready(rig).await;
    let pid = before[&workload].pid.expect("it runs");
    let begun = Instant::now();
    // PostgreSQL's children see that their parent is gone and end; once they are killed as well.
    let alone = workload == "new/postgres";
    machine::kill(machine::tree(pid).iter().map(|it| it.pid).filter(|child| !alone || *child == pid));
    let job = match role {
        "jobs" => Some(odoo.delay(&format!("after {workload} {pid}")).await),
        _ => None,
    };
    let database = match &job {
        Some(_) => Some(rig.database(&odoo.name, &odoo.name).await),
        None => None,
    };
    until(&format!("{workload} works again"), 60, async || {
        let now = rig.workloads()[&workload].clone();
        if now.pid == Some(pid) || now.pid.is_none() {
            return false;
        }
        match (role, &database, &job) {
            ("live", ..) => bus::answers(odoo, websocket(odoo)).await,
            ("cron", ..) => machine::tree(now.pid.unwrap_or(-1)).iter().any(|it| it.command.contains("WorkerCron")),
            ("jobs", Some(database), Some(job)) => {
                let sql = "SELECT 1 FROM queue_job WHERE name = $1 AND state = 'done'";
                !database.query(sql, &[job]).await.expect("it answers").is_empty()
            }
            _ => serves(odoo).await,
        }
    })
    .await;
    table.add(rig, format!("{workload} killed with its children, until it works"), begun.elapsed(), 30);
    until(&format!("{workload} is ready"), 30, async || rig.workloads()[&workload].state == "ready").await;
    untouched(&before, &all_ready(rig).await, &[&workload]);
    assert!(serves(odoo).await, "{workload}: the environment does not serve");
}

async fn kill_worker(rig: &Rig, odoo: &Odoo) {
    let before = all_ready(rig).await;
    let master = before[&format!("{}/web", odoo.name)].pid.expect("it runs");
    let tree = machine::tree(master);
    let worker = tree.iter().find(|it| it.command.contains("WorkerHTTP")).expect("there is a worker").pid;
    machine::kill([worker]);
    let mut answers = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        *answers.entry(odoo.status("/web/login").await).or_insert(0) += 1;
    }
    rig.say(format!("{}: a web worker killed; /web/login was {answers:?}", odoo.name));
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&Some(200)], "serving did not go on");
    let workers =
        machine::tree(master).iter().filter(|it| it.command.contains("WorkerHTTP") && it.pid != worker).count();
    assert_eq!(workers, 2, "the master did not replace its worker");
    untouched(&before, &rig.workloads(), &[]);
}

async fn kill_entrance(rig: &Rig, table: &mut Table, odoos: &[Odoo]) {
    let before = all_ready(rig).await;
    let begun = Instant::now();
    machine::kill(before["proxy"].pid);
    for odoo in odoos {
        until("the entrance is back", 30, async || serves(odoo).await).await;
    }
    table.add(rig, "the entrance killed, until both are served", begun.elapsed(), 10);
    machine::exact_routes(&["new", "old"]).await;
    let begun = Instant::now();
    machine::kill(before["notice"].pid);
    let pid = before["notice"].pid;
    until("the notice server is back", 30, async || {
        let now = rig.workloads()["notice"].clone();
        now.state == "ready" && now.pid != pid && odoos[0].status("/web/database/manager").await == Some(404)
    })
    .await;
    table.add(rig, "the notice server killed, until it answers", begun.elapsed(), 10);
    until("the entrance is ready", 30, async || rig.workloads()["proxy"].state == "ready").await;
    untouched(&before, &rig.workloads(), &["proxy", "notice"]);
}

async fn kill_supervisor(rig: &Rig, table: &mut Table, odoos: &[Odoo]) {
    let before = all_ready(rig).await;
    let supervisor = machine::supervisor(rig).expect("it left its record");
    machine::kill([supervisor]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for odoo in odoos {
        assert!(serves(odoo).await, "{}: it needs its supervisor", odoo.name);
    }
    let alone = rig.workloads();
    for (name, was) in &before {
        assert_eq!((was.pid, "unwatched"), (alone[name].pid, alone[name].state.as_str()), "{name}");
    }
    // What dies while nobody watches is started by the next one.
    let pid = before["new/cron"].pid.expect("it runs");
    machine::kill(machine::tree(pid).iter().map(|it| it.pid));
    let begun = Instant::now();
    rig.expect(&["apply", "--yes"], 0);
    table.add(rig, "supervisor killed, apply until all are adopted", begun.elapsed(), 30);
    assert_ne!(machine::supervisor(rig), Some(supervisor));
    until("all are ready", 30, async || rig.workloads().values().all(|it| it.state == "ready")).await;
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    untouched(&before, &rig.workloads(), &["new/cron"]);
    assert_ne!(rig.pid("new/cron"), Some(pid));
    machine::no_orphans(rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_comes_back_in_time() {
    let rig = Rig::new("faults", true);
    rig.declare(&[NEW, OLD]);
    rig.apply();
    let odoos = [Odoo::new(&rig, "new"), Odoo::new(&rig, "old")];
    let mut table = Table::default();
    for odoo in &odoos {
        assert!(serves(odoo).await);
    }
    database_away(&rig, &mut table, &odoos).await;
    for odoo in &odoos {
        kill_worker(&rig, odoo).await;
        for role in ["web", "live", "cron", "jobs", "pooler", "postgres"] {
            kill_role(&rig, &mut table, odoo, role).await;
        }
    }
    kill_entrance(&rig, &mut table, &odoos).await;
    kill_supervisor(&rig, &mut table, &odoos).await;
    for odoo in &odoos {
        odoo.sell().await;
    }
    table.show(&rig);
    machine::no_orphans(&rig);
    machine::no_leftovers(&rig);
}

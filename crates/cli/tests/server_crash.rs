//! `kill -9` of the server at every journalled step of creating, changing and destroying an environment.
//! Each time the next server goes on by itself, because a person approved it once; at the end nothing is
//! half, nothing is left over, the plan is empty, and what ran was never touched without need.
//!
//! The steps are read from the plan itself, so a new kind of step is cut off here without a word.

#[path = "console/browser.rs"]
#[allow(dead_code, reason = "the journey uses its part")]
mod browser;
#[path = "console/journey.rs"]
mod journey;
mod rig;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;
use springtide_core::role::Role;
use springtide_core::workload::WorkloadId;
use springtide_driver::{Driver as _, Generation};
use springtide_server::store::{EventKind, Store};

use rig::odoo::Odoo;
use rig::{Planned, Rig, machine, until};

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
const PLAN: [&str; 2] = ["plan", "--json"];

/// Waits for the end of a process that must kill itself within `seconds`.
fn killed(mut child: Child, what: &str, seconds: u64) {
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(seconds) {
            let _ = child.kill();
            break child.wait().expect("it ends");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    let _ = child.stderr.take().expect("stderr is ours").read_to_string(&mut said);
    let by_itself = begun.elapsed() <= Duration::from_secs(seconds);
    assert!(status.signal() == Some(9) && by_itself, "{what} within {seconds} s: {status}\n{said}");
}

fn operations(rig: &Rig) -> Vec<Value> {
    rig.json(&["history", "--json"], 0)["operations"].as_array().expect("a list").clone()
}

/// Approves what the plan shows, by an apply that dies before its first effect; the rest is the server's.
fn approve(rig: &Rig) {
    let first = rig.steps().first().expect("there is something to do").clone();
    killed(rig.spawn(&["apply", "--yes"], Some(&format!("{first}@intent"))), "apply", 60);
}

/// Lets servers die at both points of each of these steps, one after the other. A step that only comes
/// with others (asking for the login page) is brought back by stopping a role: drift, which a server heals.
async fn die_everywhere(rig: &Rig, steps: &[Planned]) -> usize {
    for step in steps {
        for point in ["intent", "effect"] {
            if !left(rig, step) {
                stop_role(rig, &format!("{}/jobs", step.environment)).await;
                assert!(left(rig, step), "{step} does not come again: {:#?}", rig.steps());
            }
            let at = format!("{step}@{point}");
            killed(rig.spawn(&SERVE, Some(&at)), &at, 120);
            let open = operations(rig).iter().filter(|it| it["ended"].is_null()).count();
            assert!(open >= 1, "{at}: the journal does not know");
        }
    }
    rig.say(format!("servers died {} times at {} steps", 2 * steps.len(), steps.len()));
    2 * steps.len()
}

fn left(rig: &Rig, step: &Planned) -> bool {
    rig.steps().contains(step)
}

/// Stops a role behind everybody's back.
async fn stop_role(rig: &Rig, workload: &str) {
    let fence = std::fs::read_to_string(rig.state().join("fence")).expect("there is a fence");
    let id: WorkloadId = workload.parse().expect("a workload");
    let generation = Generation(fence.trim().parse().expect("a number"));
    rig.driver().stop_workload(&id, generation).await.expect("it stops");
}

/// A server that is left alone until nothing is to be done and everything is ready, and told to end.
async fn converges(rig: &Rig, environments: &[&str]) {
    let mut server = rig.spawn(&SERVE, None);
    let took = until("nothing is left to do", 120, async || {
        rig.run(&PLAN).status.code() == Some(0) && rig.run(&["status"]).status.success() && all_ended(rig)
    })
    .await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server.id() as i32), nix::sys::signal::Signal::SIGTERM)
        .expect("it can be told");
    assert!(server.wait().expect("it ends").success(), "SIGTERM ends it well");
    rig.say(format!("brought to what is declared in {:.1} s", took.as_secs_f64()));
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    for name in environments {
        Odoo::new(rig, name).sign_in().await;
        machine::exact_database(rig, name).await;
    }
    machine::exact_routes(environments).await;
    machine::no_orphans(rig);
    machine::no_leftovers(rig);
    for one in operations(rig) {
        let outcome = one["outcome"].as_str().unwrap_or_default();
        assert!(["cut off", "done", "stopped"].contains(&outcome), "{one}");
    }
}

/// A server that is killed as soon as nothing is left to do: what was half destroyed is whole again.
async fn taken_back(rig: &Rig) {
    assert!(!rig.steps().is_empty(), "nothing was taken away");
    let mut server = rig.spawn(&SERVE, None);
    until("all is taken back", 120, async || rig.run(&PLAN).status.code() == Some(0) && all_ended(rig)).await;
    until("all is ready", 60, async || rig.run(&["status"]).status.success()).await;
    server.kill().expect("it can be killed");
    let _ = server.wait();
}

/// What somebody changes by hand beside a server (a file, a setting of the database server, of a role or of
/// the database, a route, a process that ends) is seen and put back within 30 s; a process that somebody
/// starts is told and left. The controls: each is really changed before, and no other role restarts.
async fn heals(rig: &Rig) {
    let mut server = rig.spawn(&SERVE, None);
    let before = rig.workloads();
    let ini = rig.state().join("workloads/new.pooler/config/pgbouncer.ini");
    let route = rig.state().join("volumes/routes/new.yml");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("it can be read");
    let (pools, routed) = (read(&ini), read(&route));
    let database = rig.database("new", "postgres").await;
    let work_mem = async || {
        let sql =
            "SELECT current_setting('work_mem'), count(*) FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'";
        let row = database.query_one(sql, &[]).await.expect("it answers");
        (row.get::<_, String>(0), row.get::<_, i64>(1))
    };
    let set = work_mem().await;
    assert_eq!(set.1, 0, "nobody used ALTER SYSTEM before");
    // As text, in an order of its own: every setting that is kept at a role or a database.
    let kept = async || -> Vec<String> {
        let sql = "SELECT c.setdatabase || ' ' || c.setrole || ' ' || s FROM pg_db_role_setting c, unnest(setconfig) s ORDER BY 1";
        let rows = database.query(sql, &[]).await.expect("it answers");
        rows.iter().map(|row| row.get(0)).collect()
    };
    let wanted = kept().await;
    assert!(wanted.iter().any(|it| it.ends_with("statement_timeout=150s")), "{wanted:?}");

    let begun = Instant::now();
    std::fs::write(&ini, pools.replace("query_wait_timeout = 30", "query_wait_timeout = 3"))
        .expect("it can be written");
    std::fs::write(&route, routed.replace("\"priority\": 10", "\"priority\": 11")).expect("it can be written");
    assert!(read(&ini) != pools && read(&route) != routed, "nothing was changed");
    database.batch_execute("ALTER SYSTEM SET work_mem = '5MB'").await.expect("the superuser may");
    database.batch_execute("SELECT pg_reload_conf()").await.expect("the superuser may");
    until("the setting is taken over", 5, async || work_mem().await == ("5MB".to_owned(), 1)).await;
    for change in [
        "ALTER ROLE app SET statement_timeout = '1s'",
        "ALTER ROLE jobs RESET lock_timeout",
        "ALTER ROLE monitor SET work_mem = '6MB'",
        "ALTER ROLE app IN DATABASE new SET work_mem = '7MB'",
        "ALTER DATABASE new SET enable_seqscan = off",
        "ALTER ROLE ALL SET jit = off",
    ] {
        database.batch_execute(change).await.expect("the superuser may");
    }
    assert_ne!(kept().await, wanted, "nothing was changed");
    stop_role(rig, "new/live").await;
    until("all is put back", 30, async || {
        read(&ini) == pools
            && read(&route) == routed
            && kept().await == wanted
            && work_mem().await == set
            && rig.run(&PLAN).status.code() == Some(0)
    })
    .await;
    rig.say(format!("edits and a stopped role put back in {:.1} s", begun.elapsed().as_secs_f64()));
    until("everything is ready", 30, async || rig.workloads().values().all(|it| it.state == "ready")).await;
    for (name, was) in before.iter().filter(|(name, _)| name.as_str() != "new/live") {
        assert_eq!(rig.pid(name), was.pid, "{name} was restarted");
    }
    stranger(rig).await;
    server.kill().expect("it can be killed");
    let _ = server.wait();
}

/// A process that somebody starts as a user of the environment is told as drift within 30 s, and left.
async fn stranger(rig: &Rig) {
    use std::os::unix::process::CommandExt as _;
    let store = Store::open(&rig.state().join("springtide.db")).expect("the store opens");
    let told = |pid: u32| {
        let events = store.events_after(0, 20_000).expect("it can be read").into_iter();
        let drift = events.filter(|it| it.kind == EventKind::Drift && it.environment.as_deref() == Some("new"));
        let about =
            drift.filter(|it| it.data["what"].as_str().is_some_and(|it| it.contains(&format!("{pid} (sleep)"))));
        about.map(|it| it.data["gone"] == true).collect::<Vec<_>>()
    };
    let user = rig.slot("new").user(Role::Web);
    let mut sleep = std::process::Command::new("sleep");
    let mut foreign = sleep.arg("1000").uid(user.uid).gid(user.gid).spawn().expect("it starts");
    let pid = foreign.id();
    let took = until("the stranger is told", 30, async || told(pid) == [false]).await;
    let status = rig.expect(&["status", "new"], 0).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(status.contains(&format!("process {pid} (sleep) was not started by Springtide")), "{status}");
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    assert!(foreign.try_wait().expect("it can be asked").is_none(), "it was ended");
    foreign.kill().expect("it can be killed");
    foreign.wait().expect("it ends");
    until("it is told to be gone", 30, async || told(pid) == [false, true]).await;
    assert!(rig.json(&["status", "--json"], 0)["observation"]["strangers"].is_null());
    rig.say(format!("a process of nobody told in {:.1} s", took.as_secs_f64()));
}

fn all_ended(rig: &Rig) -> bool {
    operations(rig).iter().all(|it| !it["ended"].is_null())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_anywhere_leaves_what_the_next_one_brings_to_what_is_declared() {
    let rig = Rig::new("server-crash", false);
    let mut deaths = 0;

    // Create.
    let new = "{ name: new, odoo: { series: \"19.0\", modules: [] }, resources: { cpus: 1, memory: 2GiB } }";
    rig.declare(&[new]);
    let steps = rig.steps();
    approve(&rig);
    deaths += die_everywhere(&rig, &steps).await;
    converges(&rig, &["new"]).await;

    // Change: roles restart. Those that do not change go on as they are.
    let live = rig.pid("new/live");
    rig.declare(&[&new.replace("name: new", "name: new, workers: { web: 3 }")]);
    let steps = rig.steps();
    approve(&rig);
    deaths += die_everywhere(&rig, &steps).await;
    converges(&rig, &["new"]).await;
    assert_eq!(rig.pid("new/live"), live, "a role that did not change was restarted");

    heals(&rig).await;

    // An estate is up: what a person does in the console, on real parts.
    let four = new.replace("name: new", "name: new, workers: { web: 4 }");
    journey::change_workers(&rig, &rig.folder, "new", [3, 4], &four).await;

    // Destroy: until it is decided for good, the next server takes it back. A neighbour stays as it is; an
    // estate file names at least one environment.
    let keep = new.replace("name: new", "name: keep");
    rig.declare(&[&four, &keep]);
    rig.apply();
    let neighbour = rig.workloads();
    let neighbour = neighbour.iter().filter(|(name, _)| name.starts_with("keep/"));
    let neighbour: BTreeMap<_, _> = neighbour.map(|(name, it)| (name.clone(), it.pid)).collect();
    let destroy = ["destroy", "new", "--reason", "end of the test", "--confirm", "new"];
    let dry = ["destroy", "new", "--reason", "end of the test", "--dry-run", "--json"];
    let steps = rig.steps_of(&dry);
    let record = steps.iter().position(|it| it.title == "record that it is being destroyed").expect("it is there");
    for step in &steps[..record] {
        for point in ["intent", "effect"] {
            let at = format!("{step}@{point}");
            killed(rig.spawn(&destroy, Some(&at)), &at, 60);
        }
        taken_back(&rig).await;
    }
    killed(rig.spawn(&destroy, Some(&format!("{}@intent", steps[record]))), "before the record", 60);
    deaths += 2 * record + 1;
    converges(&rig, &["new", "keep"]).await;
    // After that every next server finishes it, wherever the one before it died.
    killed(rig.spawn(&destroy, Some(&format!("{}@effect", steps[record]))), "after the record", 60);
    deaths += 1;
    for step in &steps[record + 1..] {
        for point in ["intent", "effect"] {
            let at = format!("{step}@{point}");
            // What is removed is seen to be removed: then the step does not come again.
            if rig.steps_of(&dry).contains(step) {
                killed(rig.spawn(&SERVE, Some(&at)), &at, 60);
                deaths += 1;
            }
        }
    }
    let uids = springtide_core::layout::Slot(1).group()..springtide_core::layout::Slot(1).group() + 20;
    // Still in the file, it waits for somebody to say yes.
    let mut server = rig.spawn(&SERVE, None);
    until("it is gone", 60, async || rig.status()["environments"].get("new").is_none() && all_ended(&rig)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.kill().expect("it can be killed");
    let _ = server.wait();
    let anew = rig.steps().into_iter().any(|it| it.environment == "new" && it.title == "reserve slot 1");
    assert!(anew, "{:#?}", rig.steps());
    assert!(!rig.state().join("environments/new").exists(), "data stayed");
    assert!(rig.workloads().keys().all(|name| !name.starts_with("new/")), "workloads stayed");
    assert!(machine::ours(&rig).iter().all(|it| !uids.contains(&it.uid)), "processes stayed");
    let secrets = rig.secrets().list().expect("secrets can be listed");
    assert!(secrets.iter().all(|it| it.environment.as_ref().is_none_or(|it| it.as_str() == "keep")), "secrets stayed");
    machine::exact_routes(&["keep"]).await;
    machine::no_leftovers(&rig);
    // No longer declared either, nothing is left to do, and a server that looks does nothing.
    assert_eq!(rig.run(&PLAN).status.code(), Some(2), "declared, it would be made anew");
    rig.declare(&[&keep]);
    let before = operations(&rig);
    let mut server = rig.spawn(&SERVE, None);
    until("the server has looked", 30, async || rig.run(&PLAN).status.code() == Some(0)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    assert_eq!(operations(&rig), before, "a server did something");
    machine::no_orphans(&rig);
    for (name, pid) in neighbour {
        assert_eq!(rig.pid(&name), pid, "{name} was restarted");
    }
    server.kill().expect("it can be killed");
    let _ = server.wait();
    assert!(deaths > 50, "only {deaths} deaths");
}

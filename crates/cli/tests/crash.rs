//! `kill -9` of the applying process, at every journalled step in turn and in the middle of long steps.
//! Each time the next apply goes on from what is there; at the end nothing is half, nothing is left
//! over and nothing is there twice.
//!
//! The steps are read from the plans themselves. At the end the kinds of steps that were cut off are compared with
//! all that there are, so a new kind that no plan here has fails the test.

mod rig;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};
use springtide_core::plan::Action;
use springtide_core::workload::WorkloadId;
use springtide_driver::{Driver as _, Generation};

use rig::odoo::Odoo;
use rig::{Planned, Rig, machine, until};

/// Waits for the end of a process that must have been killed.
fn killed(mut child: Child, what: &str) {
    let mut said = String::new();
    let mut err = child.stderr.take().expect("stderr is ours");
    let _ = std::io::Read::read_to_string(&mut err, &mut said);
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(9), "{what}: {status}\n{said}");
}

/// The newest operations, newest first.
fn operations(rig: &Rig) -> Vec<Value> {
    rig.json(&["history", "--json"], 0)["operations"].as_array().expect("a list").clone()
}

/// The journal knows: the newest operation was cut off in a step it began, the one before it ended or
/// was found to be cut off.
fn journal_knows(rig: &Rig, what: &str) {
    let operations = operations(rig);
    let (begun, done) = (operations[0]["steps"][0].as_u64(), operations[0]["steps"][1].as_u64());
    assert!(operations[0]["ended"].is_null(), "{what}: {}", operations[0]);
    assert_eq!(begun, done.map(|done| done + 1), "{what}: {}", operations[0]);
    for earlier in &operations[1..] {
        let outcome = earlier["outcome"].as_str().unwrap_or_default();
        assert!(["cut off", "done"].contains(&outcome), "{what}: {earlier}");
    }
}

/// Before a step's effect, and after it.
const POINTS: [&str; 2] = ["intent", "effect"];

/// Kinds of steps and the points at which they were cut off.
type Died = BTreeSet<(String, &'static str)>;

/// Every kind of step at both points. The type itself names its kinds when it is asked for one that it does
/// not have.
fn all_there_is() -> Died {
    let refused = serde_json::from_value::<Action>(json!({ "do": "nothing" })).expect_err("there is no such step");
    let refused = refused.to_string();
    let kinds: BTreeSet<&str> = refused.split('`').skip(1).step_by(2).filter(|kind| *kind != "nothing").collect();
    assert!(kinds.len() >= 20 && kinds.contains("final-backup"), "{refused}");
    kinds.iter().flat_map(|kind| POINTS.map(|point| ((*kind).to_owned(), point))).collect()
}

/// Kinds of steps that this campaign does not cut off: these environments have no backups. `backup.rs` of the data
/// crate kills the engine in both; at their points in the journal nobody was killed yet.
const NOT_HERE: [&str; 2] = ["ensure-repository", "restore-data"];

/// Lets `act` die at a point of a step.
fn die(rig: &Rig, act: &[&str], step: &Planned, point: &'static str) -> (String, &'static str) {
    let at = format!("{step}@{point}");
    killed(rig.spawn(act, Some(&at)), &at);
    journal_knows(rig, &at);
    (step.kind.clone(), point)
}

/// The only step of a kind in a plan.
fn only(rig: &Rig, plan: &[&str], kind: &str) -> Planned {
    let all = rig.steps_of(plan);
    let mut found = all.iter().filter(|step| step.kind == kind);
    match (found.next(), found.next()) {
        (Some(step), None) => step.clone(),
        _ => panic!("not one {kind} in {all:#?}"),
    }
}

/// Lets `act` die at both points of every step that `plan` shows, each time going on from what is
/// there. Steps that only come with others (asking for the login page) are brought back by `disturb`.
fn die_everywhere(
    rig: &Rig,
    plan: &[&str],
    act: &[&str],
    mut disturb: impl FnMut(&Planned),
    mut between: impl FnMut(&Planned),
) -> Died {
    let all = rig.steps_of(plan);
    assert!(!all.is_empty(), "nothing to cut off");
    let mut died = Died::new();
    for step in &all {
        for point in POINTS {
            let now = find(&rig.steps_of(plan), step).unwrap_or_else(|| {
                disturb(step);
                let now = rig.steps_of(plan);
                find(&now, step).unwrap_or_else(|| panic!("{step} does not come again: {now:#?}"))
            });
            died.insert(die(rig, act, &now, point));
            if point == "intent" {
                between(step);
            }
        }
    }
    rig.say(format!("died at both points of {} steps of {act:?}", all.len()));
    died
}

/// A step in a later plan. An installation that was cut off in its middle is planned again with what
/// its modules bring along, so its title grows.
fn find(now: &[Planned], step: &Planned) -> Option<Planned> {
    let installs = |it: &Planned| it.title.starts_with("install ");
    let same = |it: &&Planned| it.title == step.title || (installs(it) && installs(step));
    now.iter().filter(|it| it.environment == step.environment).find(same).cloned()
}

/// Starts `act`, waits until it begins a step whose title starts with `title`, and kills it after
/// `after`. Whether it was in that step still is what the next plan says.
fn kill_within(rig: &Rig, act: &[&str], title: &str, after: Duration) {
    let mut child = rig.spawn(act, None);
    let mut lines = BufReader::new(child.stderr.take().expect("stderr is ours")).lines();
    let begun = lines.by_ref().map_while(Result::ok).any(|line| line.contains(&format!(": {title}")));
    assert!(begun, "{act:?} never came to {title}");
    // Read on, so that it never waits for us.
    let reader = std::thread::spawn(move || lines.map_while(Result::ok).count());
    std::thread::sleep(after);
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it ends");
    let _ = reader.join();
    let how = if status.signal() == Some(9) { "killed" } else { "ended before" };
    rig.say(format!("{title}: {how} after {:.2} s", after.as_secs_f64()));
}

/// Stops a role, so that there is something to do again.
async fn stop_role(rig: &Rig, workload: &str) {
    let fence = std::fs::read_to_string(rig.state().join("fence")).expect("there is a fence");
    let id: WorkloadId = workload.parse().expect("a workload");
    let generation = Generation(fence.trim().parse().expect("a number"));
    rig.driver().stop_workload(&id, generation).await.expect("it stops");
}

/// After all deaths: one plain apply, and exactly what belongs there is there.
async fn converges(rig: &Rig, environments: &[&str]) {
    rig.apply();
    // A role whose start nobody waited for, because its apply was killed, may still be starting.
    until("all workloads are ready", 90, async || rig.run(&["status"]).status.success()).await;
    for name in environments {
        Odoo::new(rig, name).sign_in().await;
        machine::exact_database(rig, name).await;
        let half = "SELECT count(*) FROM ir_module_module WHERE state LIKE 'to %'";
        let half: i64 = rig.database(name, name).await.query_one(half, &[]).await.expect("it answers").get(0);
        assert_eq!(half, 0, "{name}: modules are half way");
    }
    machine::exact_routes(environments).await;
    machine::no_orphans(rig);
    machine::no_leftovers(rig);
    let ended = |it: &Value| ["cut off", "done"].contains(&it["outcome"].as_str().unwrap_or_default());
    assert!(operations(rig).iter().all(ended), "the journal leaves an operation open");
}

const APPLY: [&str; 2] = ["apply", "--yes"];
const PLAN: [&str; 2] = ["plan", "--json"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_it_converges() {
    let rig = Rig::new("crash", false);
    let runtime = tokio::runtime::Handle::current();
    let stop = |workload: &str| tokio::task::block_in_place(|| runtime.block_on(stop_role(&rig, workload)));
    // The last role of an environment: without it there is one step, and the question after it.
    let disturb = |step: &Planned| stop(&format!("{}/jobs", step.environment));

    // A first environment of each series, with as few modules as there can be.
    // Their cores are written down: an even part would change with each new one and restart every role of all.
    let new = "{ name: new, resources: { cpus: 2 }, odoo: { series: \"19.0\", modules: [] } }";
    let old = "{ name: old, resources: { cpus: 2 }, odoo: { series: \"14.0\", modules: [] } }";
    // Long steps are killed in their middle too; at three moments in one series, at one in the other.
    let within = |step: &Planned, title: &str, moments: [u64; 3]| {
        let moments = if step.environment == "new" { &moments[..] } else { &moments[1..2] };
        for seconds in moments.iter().filter(|_| step.title.starts_with(title)) {
            kill_within(&rig, &APPLY, title, Duration::from_secs(*seconds));
        }
    };
    let build = |step: &Planned| within(step, "build the template", [2, 7, 12]);
    rig.declare(&[new]);
    let mut died = die_everywhere(&rig, &PLAN, &APPLY, disturb, build);
    converges(&rig, &["new"]).await;
    rig.declare(&[new, old]);
    died.extend(die_everywhere(&rig, &PLAN, &APPLY, disturb, build));
    converges(&rig, &["new", "old"]).await;

    // A third from a template that is there: killed at moments that fall into copying, configuring
    // and starting, wherever that is.
    let third = "{ name: third, resources: { cpus: 2 }, odoo: { series: \"19.0\", modules: [] } }";
    rig.declare(&[new, old, third]);
    kill_within(&rig, &APPLY, "copy template", Duration::from_millis(30));
    kill_within(&rig, &APPLY, "copy template", Duration::from_millis(200));
    kill_within(&rig, &APPLY, "configure the database", Duration::from_millis(5));
    kill_within(&rig, &APPLY, "configure the database", Duration::from_millis(60));
    for milliseconds in (400..5000).step_by(700) {
        let mut child = rig.spawn(&APPLY, None);
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().expect("it can be killed");
        let _ = child.wait();
    }
    converges(&rig, &["new", "old", "third"]).await;

    // An edit that restarts roles.
    let edited = new.replace("odoo:", "workers: { web: 3 }, odoo:");
    let old_edited = old.replace("odoo:", "workers: { web: 3 }, odoo:");
    rig.declare(&[&edited, &old_edited, third]);
    died.extend(die_everywhere(&rig, &PLAN, &APPLY, disturb, |_| {}));
    converges(&rig, &["new", "old", "third"]).await;

    // Installing modules into what runs.
    let more = edited.replace("modules: []", "modules: [stock]");
    let old_more = old_edited.replace("modules: []", "modules: [stock]");
    rig.declare(&[&more, &old_more, third]);
    died.extend(die_everywhere(&rig, &PLAN, &APPLY, disturb, |step| within(step, "install ", [2, 5, 9])));
    converges(&rig, &["new", "old", "third"]).await;
    for name in ["new", "old"] {
        let odoo = Odoo::new(&rig, name);
        let domain = json!([[["name", "=", "stock"], ["state", "=", "installed"]]]);
        assert_eq!(odoo.call("ir.module.module", "search_count", domain).await, 1, "{name}");
    }

    // Somebody used ALTER SYSTEM. Once it is taken back nothing is left to do.
    let mut cut_off = Vec::new();
    for point in POINTS {
        let server = rig.database("third", "third").await;
        server.batch_execute("ALTER SYSTEM SET work_mem = '7MB'").await.expect("the superuser may");
        cut_off.push(die(&rig, &APPLY, &only(&rig, &PLAN, "reset-settings"), point));
        let left: &[&str] = if point == "intent" { &["reset-settings", "verify"] } else { &[] };
        let kinds: Vec<String> = rig.steps().into_iter().map(|step| step.kind).collect();
        assert_eq!(kinds, left, "after a death at the {point} of a reset");
    }
    died.extend(cut_off);
    converges(&rig, &["new", "old", "third"]).await;

    // Destroying: first cut off in its last backup and around it, then at every step.
    rig.declare(&[&more, &old_more]);
    let backed_up = ["destroy", "third", "--confirm", "third", "--final-backup"];
    kill_within(&rig, &backed_up, "back up to", Duration::from_millis(400));
    for point in POINTS {
        // Never over another one, so each has a folder of its own.
        let folder = rig.folder.join(format!("last-{point}"));
        let to = [&backed_up[..], &[folder.to_str().expect("it is text")]].concat();
        let step = only(&rig, &[&to[..], &["--dry-run", "--json"]].concat(), "final-backup");
        died.insert(die(&rig, &to, &step, point));
        assert_eq!(folder.exists(), point == "effect", "a folder with a name is a whole backup");
        assert!(rig.state().join("environments/third").exists(), "something went before there was a proof");
    }
    let why = ["destroy", "third", "--reason", "end of the test"];
    let dry = [&why[..], &["--dry-run", "--json"]].concat();
    let sure = [&why[..], &["--confirm", "third"]].concat();
    let uids = rig.slot("third").group()..rig.slot("third").group() + 20;
    died.extend(die_everywhere(&rig, &dry, &sure, |step| panic!("{step} is not repeated"), |_| {}));
    let mut all = all_there_is();
    all.retain(|(kind, _)| !NOT_HERE.contains(&kind.as_str()));
    assert_eq!(died, all, "a kind of step was not cut off");
    converges(&rig, &["new", "old"]).await;
    assert!(!rig.state().join("environments/third").exists(), "data of third stayed");
    assert!(rig.workloads().keys().all(|name| !name.starts_with("third/")), "workloads of third stayed");
    assert!(machine::ours(&rig).iter().all(|it| !uids.contains(&it.uid)), "processes of third stayed");
    let of_third = rig.secrets().list().expect("secrets can be listed");
    assert!(of_third.iter().all(|it| it.environment.as_ref().is_none_or(|name| name.as_str() != "third")));
}

//! What people and accidents do, drawn from the seed, and the end of a run: faults stop, a server is there,
//! and within bounded time everything must be as it is declared.

use std::collections::BTreeSet;
use std::sync::Arc;

use springtide_core::check::parse_and_check;
use springtide_core::digest::Digest;
use springtide_core::lint::lint;
use springtide_core::names::EnvironmentName;
use springtide_core::plan::destroy::{Proof, destroy};
use springtide_core::plan::plan;
use springtide_core::spec::Stage;
use springtide_server::control::{Begun, Snapshot};
use springtide_server::execute::{Execution, begin, execute, run};
use springtide_server::locks::{ActLock, act_path};
use springtide_server::store::{ControllerKind, Epoch};

use crate::checks::Check;
use crate::machine::{Faults, Machine, Part};
use crate::sim::{Options, Outcome, Silent, Sim, differs, wanted_of};

/// Acts of a run.
const ACTS: u64 = 30;
/// Rounds until everything must be in place, once faults have stopped.
const ROUNDS: u32 = 40;

/// Writes that a full disk refuses, one kind at a time.
const WRITES: [&str; 7] = [
    "INSERT ON steps",
    "UPDATE ON steps",
    "INSERT ON operations",
    "UPDATE ON operations",
    "INSERT ON events",
    "DELETE ON approved",
    "INSERT ON environments",
];

/// A plan that a person has read: its name, and what is wanted of each part.
struct Read {
    plan: String,
    wanted: Vec<(Part, Digest)>,
}

/// Runs one seed.
pub fn whole(options: &Options) -> Outcome {
    let mut sim = Sim::new(options);
    let mut read = None;
    edit(&mut sim);
    edit(&mut sim);
    sim.start_server();
    for _ in 0..ACTS {
        act(&mut sim, &mut read);
        let ms = 200 + sim.chance.below(5000);
        sim.advance(ms);
        for id in sim.servers() {
            if sim.chance.one_in(12) {
                let calls = 1 + sim.chance.below(6) as u32;
                sim.machine.inner().armed.insert(id, calls);
            }
            sim.pass(id);
            sim.machine.inner().armed.remove(&id);
        }
        if sim.violated() {
            break;
        }
    }
    if !sim.violated() {
        end(&mut sim);
    }
    let mut inner = sim.machine.inner();
    Outcome { violation: inner.violation.take(), trace: std::mem::take(&mut inner.trace) }
}

fn edit(sim: &mut Sim) {
    let what = sim.file.edit(&mut sim.chance);
    sim.tell(format!("ann {what}"));
    sim.file.write(&sim.path());
}

fn act(sim: &mut Sim, read: &mut Option<Read>) {
    let server = sim.servers().last().copied();
    let Some(server) = server else {
        // Somebody starts it again, sooner or later; commands work without it.
        match sim.chance.below(4) {
            0 => apply(sim),
            1 => destroy_one(sim),
            _ => drop(sim.start_server()),
        }
        return;
    };
    match sim.chance.below(36) {
        0..=4 => edit(sim),
        5..=8 => *read = look(sim, server),
        9..=14 => {
            if read.is_none() || sim.chance.one_in(2) {
                *read = look(sim, server);
            }
            approve(sim, server, read.as_ref());
        }
        15..=16 => apply(sim),
        17..=18 => destroy_one(sim),
        19 => cancel(sim, server),
        20 => hold(sim),
        21..=22 => release(sim),
        23..=25 => sabotage(sim),
        26..=27 => sim.end(server, "killed"),
        28 => hang(sim, server),
        29 => thaw(sim),
        30..=31 => full(sim),
        32 => jump(sim),
        33..=34 => second(sim, server),
        _ => stop(sim, server),
    }
}

/// A person reads the plan.
fn look(sim: &mut Sim, server: u32) -> Option<Read> {
    let control = sim.control(server)?;
    let snapshot = sim.run(server, async move { control.refresh().await })?.ok()?;
    let wanted = wanted_of(&snapshot.checked, &snapshot.seen, &snapshot.plan.environments, snapshot.at);
    Some(Read { plan: snapshot.plan.id.clone(), wanted })
}

/// A person says yes to the plan that was read, or to the part of one environment of it.
fn approve(sim: &mut Sim, server: u32, read: Option<&Read>) {
    let (Some(Read { plan, wanted }), Some(control)) = (read, sim.control(server)) else { return };
    let names: Vec<EnvironmentName> = wanted.iter().filter_map(|(part, _)| part.clone()).collect();
    let only = sim.chance.pick(&names).cloned().filter(|_| sim.chance.below(3) == 0).map(|name| vec![name]);
    let chosen = |part: &Part| match (&only, part) {
        (Some(only), Some(name)) => only.contains(name),
        _ => true,
    };
    let chosen: Vec<(Part, Digest)> = wanted.iter().filter(|(part, _)| chosen(part)).cloned().collect();
    sim.tell(format!("ann approves {plan} {only:?}"));
    let before = sim.machine.inner().approved.clone();
    says_yes(&sim.machine, &chosen);
    let (plan, of) = (plan.clone(), only.clone());
    let done = sim.run(server, async move { control.approve(&plan, of.as_deref(), "ann").await });
    match done {
        Some(Err(error)) => {
            sim.tell(format!("and hears: {error}"));
            sim.machine.inner().approved = before;
        }
        Some(Ok(Begun { left: Some(left), .. })) => {
            sim.tell(format!("and hears that {:?} was not begun: {}", left.environments, left.why));
            let mut inner = sim.machine.inner();
            for part in left.environments.into_iter().map(Some) {
                match before.get(&part) {
                    Some(said) => inner.approved.insert(part, said.clone()),
                    None => inner.approved.remove(&part),
                };
            }
        }
        _ => {}
    }
}

/// Until it is known what arrived, what was approved before may hold as well.
fn says_yes(machine: &Machine, wanted: &[(Part, Digest)]) {
    let mut inner = machine.inner();
    for (part, digest) in wanted {
        inner.approved.entry(part.clone()).or_default().insert(*digest);
    }
}

/// `springtide apply --yes`, in a process of its own.
fn apply(sim: &mut Sim) {
    let (id, estate, clock) = sim.estate();
    let (machine, path) = (sim.machine.clone(), sim.path());
    sim.tell(format!("controller {id} is springtide apply"));
    sim.command(id, async move {
        let at = clock();
        let Ok(_lock) = ActLock::take(&estate.state, "apply", at) else { return };
        let fence = estate.driver.fence().0;
        let Ok(epoch) = estate.store.take_epoch(ControllerKind::Command, "springtide apply", fence, at) else { return };
        if estate.store.take_over(epoch, at).is_err() {
            return;
        }
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let Ok(checked) = parse_and_check("estate.yaml", &text) else { return };
        let Ok(seen) = estate.world.observe(&estate, at).await else { return };
        let planned = plan(&checked, &seen, at);
        if !planned.refusals.is_empty() || !lint(&planned).is_empty() || planned.is_empty() {
            return;
        }
        says_yes(&machine, &wanted_of(&checked, &seen, &planned.environments, at));
        let by = "springtide apply";
        let execution = Execution { estate: &estate, checked: &checked, seen: &seen, now: at, clock, epoch, by };
        if let Err(error) = execute(&execution, &planned, &Silent).await {
            machine.inner().tell(format!("controller {id}: apply: {error}"));
        }
    });
}

/// `springtide destroy` of an environment that exists, for a reason; often it is taken out of the file first.
fn destroy_one(sim: &mut Sim) {
    let names: Vec<EnvironmentName> = sim.machine.inner().slots.keys().cloned().collect();
    let Some(name) = sim.chance.pick(&names).cloned() else { return };
    // A file without any environment is not valid.
    if sim.chance.below(3) > 0 && sim.file.environments.iter().any(|it| it.name != name.as_str()) {
        sim.file.environments.retain(|it| it.name != name.as_str());
        sim.file.write(&sim.path());
    }
    take_away(sim, name);
}

fn take_away(sim: &mut Sim, name: EnvironmentName) {
    let (id, estate, clock) = sim.estate();
    let machine = sim.machine.clone();
    let checked = sim.file.checked();
    sim.tell(format!("controller {id} is springtide destroy {name}"));
    sim.command(id, async move {
        let at = clock();
        let Ok(_lock) = ActLock::take(&estate.state, "destroy", at) else { return };
        let Ok(seen) = estate.world.observe(&estate, at).await else { return };
        if !seen.environments.contains_key(&name) {
            return;
        }
        let stage = checked.environments.iter().find(|it| it.name == name).map(|it| it.stage);
        let text = "it is not needed any more".to_owned();
        let proof = (stage != Some(Stage::Staging)).then_some(Proof::Reason { text });
        let planned = destroy(&seen, &name, stage, proof);
        if !lint(&planned).is_empty() || !planned.refusals.is_empty() {
            machine.inner().fails(Check::Converged, || format!("destroying {name} cannot be planned"));
            return;
        }
        let fence = estate.driver.fence().0;
        let Ok(epoch) = estate.store.take_epoch(ControllerKind::Command, "springtide destroy", fence, at) else {
            return;
        };
        if estate.store.take_over(epoch, at).is_err() {
            return;
        }
        machine.inner().doomed.insert(name);
        let by = "springtide destroy";
        let execution = Execution { estate: &estate, checked: &checked, seen: &seen, now: at, clock, epoch, by };
        if let Err(error) = execute(&execution, &planned, &Silent).await {
            machine.inner().tell(format!("controller {id}: destroy: {error}"));
        }
    });
}

fn cancel(sim: &mut Sim, server: u32) {
    let Some(control) = sim.control(server) else { return };
    let Some(operation) = sim.chance.pick(&control.running()).copied() else { return };
    sim.tell(format!("ann cancels operation {operation}"));
    let _ = control.cancel(operation, "ann");
}

fn hold(sim: &mut Sim) {
    let now = sim.machine.inner().now();
    if sim.people.hold("let me look", "ann", now).is_ok() {
        let mut inner = sim.machine.inner();
        inner.held = true;
        inner.tell("ann holds".to_owned());
    }
}

fn release(sim: &mut Sim) {
    let now = sim.machine.inner().now();
    if sim.people.release("ann", now).is_ok() {
        let mut inner = sim.machine.inner();
        inner.held = false;
        inner.tell("ann releases".to_owned());
    }
}

/// Somebody changes behind our back what runs.
fn sabotage(sim: &mut Sim) {
    let mut inner = sim.machine.inner();
    let all: Vec<_> = inner.workloads.keys().cloned().collect();
    let Some(id) = sim.chance.pick(&all).cloned() else { return };
    let how = sim.chance.below(7);
    inner.tell(format!("somebody meddles with {id}: {how}"));
    let routes: Vec<_> = inner.routes.keys().cloned().collect();
    match how {
        0 => inner.restart(&id),
        1 | 2 => {
            if let Some(it) = inner.workloads.get_mut(&id) {
                it.live.clear();
            }
        }
        3 => {
            if let Some(it) = inner.workloads.get_mut(&id) {
                it.gave_up = true;
                it.live.clear();
            }
        }
        4 => {
            if let Some(it) = inner.workloads.get_mut(&id) {
                it.digest = Digest::of_bytes(b"edited by hand");
            }
        }
        5 => drop(inner.workloads.remove(&id)),
        _ => {
            if let Some(name) = sim.chance.pick(&routes) {
                inner.routes.remove(name);
            }
        }
    }
}

/// A server hangs, and somebody clears its lock away and starts another one.
fn hang(sim: &mut Sim, server: u32) {
    sim.tell(format!("controller {server} hangs"));
    sim.hung.insert(server);
    let _ = std::fs::remove_file(act_path(&sim.folder.join("state")));
    sim.start_server();
}

/// Who hung goes on, as if nothing had happened.
fn thaw(sim: &mut Sim) {
    let Some(id) = sim.hung.pop_first() else { return };
    sim.tell(format!("controller {id} goes on"));
    sim.run(id, async {});
}

/// The store refuses one kind of write for a while.
fn full(sim: &mut Sim) {
    let write = sim.chance.pick(&WRITES).copied().unwrap_or_default();
    let heals = sim.chance.one_in(2);
    sim.tell(if heals { "there is room again".to_owned() } else { format!("no room: {write}") });
    let inner = sim.machine.inner();
    inner.audit.tamper("DROP TRIGGER IF EXISTS no_room");
    if !heals {
        let trigger = format!("CREATE TRIGGER no_room BEFORE {write} BEGIN SELECT RAISE(ABORT, 'no room'); END");
        inner.audit.tamper(&trigger);
    }
}

/// The clock of the day is set.
fn jump(sim: &mut Sim) {
    let jumps = [-3600, 3600, -86_400, 65 * 86_400];
    let by = sim.chance.pick(&jumps).copied().unwrap_or_default();
    let mut inner = sim.machine.inner();
    inner.jump += by;
    inner.tell(format!("the clock jumps by {by} s"));
}

/// A server is told to stop: it finishes its steps first.
fn stop(sim: &mut Sim, server: u32) {
    let Some(control) = sim.control(server) else { return };
    sim.tell(format!("controller {server} is told to stop"));
    control.stop();
    for _ in 0..6 {
        sim.advance(1000);
        if control.running().is_empty() {
            break;
        }
    }
    sim.end(server, "stopped");
}

/// Somebody begins an operation of a part that is in hand, past everything that would have said no before
/// the store does.
fn second(sim: &mut Sim, server: u32) {
    let Some(control) = sim.control(server) else { return };
    let Some(snapshot) = control.snapshot() else { return };
    let busy: BTreeSet<u64> = control.running().into_iter().collect();
    let hands = control.estate().store.operations(20).unwrap_or_default();
    let in_hand = hands.into_iter().find(|it| busy.contains(&it.id) && it.ended.is_none());
    let Some(name) = in_hand.and_then(|it| it.environment) else { return };
    let part =
        snapshot.plan.environments.iter().find(|it| it.environment.as_ref().is_some_and(|of| of.as_str() == name));
    let Some(part) = part.cloned().filter(|it| !it.steps.is_empty()) else { return };
    let epoch = Epoch(sim.machine.inner().audit.newest_epoch());
    let clock = {
        let machine = sim.machine.clone();
        Arc::new(move || machine.clock(server))
    };
    let work = async move {
        let Snapshot { checked, seen, at, .. } = &*snapshot;
        let estate = control.estate();
        let execution = Execution { estate, checked, seen, now: *at, clock, epoch, by: "the server" };
        let parts = [part];
        let Ok(operation) = begin(&execution, "p-second", &parts) else { return };
        let _ = run(&execution, operation, &parts, &Silent).await;
    };
    sim.tell(format!("a second operation of {name}"));
    sim.run(server, async move { drop(tokio::spawn(work)) });
}

/// Faults stop; what is declared must come about.
fn end(sim: &mut Sim) {
    sim.tell("faults stop");
    {
        let mut inner = sim.machine.inner();
        inner.faults = Faults::default();
        inner.armed.clear();
        inner.audit.tamper("DROP TRIGGER IF EXISTS no_room");
    }
    while let Some(id) = sim.hung.pop_first() {
        sim.end(id, "killed at last");
    }
    release(sim);
    sim.file.broken = false;
    if sim.file.environments.is_empty() {
        edit(sim);
    }
    sim.file.write(&sim.path());
    // Everything that is still under way arrives.
    let wait = {
        let inner = sim.machine.inner();
        inner.last_late().saturating_sub(inner.ms)
    };
    sim.advance(wait.max(30_000));
    // Half of the time with the server that has seen it all.
    if sim.servers().is_empty() || sim.chance.one_in(2) {
        for id in sim.servers() {
            sim.end(id, "killed before the end");
        }
        sim.start_server();
    }
    let mut left = "nobody looked".to_owned();
    for _ in 0..ROUNDS {
        if sim.violated() {
            return;
        }
        let Some(server) = sim.servers().last().copied() else {
            sim.start_server();
            continue;
        };
        sim.pass(server);
        sim.advance(30_000);
        let Some(control) = sim.control(server) else { continue };
        if !control.running().is_empty() {
            continue;
        }
        let Some(read) = look(sim, server) else { continue };
        let Some(snapshot) = control.snapshot() else { continue };
        left = format!("plan {:?}, verdicts {:?}", snapshot.plan, snapshot.verdicts);
        if let Some(name) = snapshot.plan.undeclared.first() {
            take_away(sim, name.clone());
            sim.advance(60_000);
        } else if !snapshot.plan.is_empty() {
            approve(sim, server, Some(&read));
        } else {
            return as_declared(sim);
        }
    }
    sim.machine.inner().fails(Check::Converged, || format!("after {ROUNDS} rounds there is left: {left}"));
}

/// Nothing is planned any more: the machine is as declared, and nothing else is on it.
fn as_declared(sim: &mut Sim) {
    let checked = sim.file.checked();
    let mut inner = sim.machine.inner();
    let names: BTreeSet<Part> = checked.environments.iter().map(|it| Some(it.name.clone())).collect();
    for part in names.iter().chain([&None]) {
        if let Some(what) = differs(&inner, &checked, part) {
            inner.fails(Check::Converged, || format!("the plan is empty and this differs: {what}"));
        }
    }
    let mut there: BTreeSet<Part> = inner.workloads.keys().map(|id| id.environment.clone()).collect();
    there.extend(inner.data.keys().chain(inner.routes.keys()).cloned().map(Some));
    there.extend(inner.secrets.iter().map(|secret| secret.environment.clone()));
    let orphans: Vec<String> = there.difference(&names).flatten().flat_map(|name| inner.remains(name)).collect();
    if !orphans.is_empty() {
        inner.fails(Check::Orphans, || format!("left behind: {}", orphans.join(", ")));
    }
    let found = inner.audit.at_the_end();
    inner.found(found);
}

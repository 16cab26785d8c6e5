//! Bad input of `rehearse` and `rig`, and machines on which they cannot work: a clear failure, faults undone, nothing
//! left running. Needs root; runs no Odoo and no PostgreSQL: a stand-in says of processes of the test that
//! they are the workloads of an environment.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Rig, Said};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use springtide_core::digest::Digest;
use springtide_core::role::Role;
use springtide_core::workload::{SecretName, SecretRef, WorkloadId};
use springtide_rehearse::faults::Victim;
use springtide_rehearse::ledger::{ActKind, Entry, Ledger, Phase};

const NOTHING: &str = "Nothing was changed.";

/// The environments of [`common::ESTATE`], of which `prod` was applied once, with these words about `prod`.
fn declare(rig: &Rig, words: &str) {
    rig.declare(&common::ESTATE.replace("name: prod, stage: production", &format!("name: prod, {words}")));
}

#[test]
fn words_that_nobody_has() {
    let rig = Rig::lived("rehearse-words");
    rig.run(&["plan"]);
    let before = rig.snapshot();
    let run = |more: &[&str]| rig.run(&[&["rehearse", "run"], more].concat());
    run(&["nosuch", "--env", "shop"]).fails(3, &["E0960", "holiday", NOTHING]);
    run(&["./nosuch.yaml", "--env", "shop"]).fails(3, &["E0961", "nosuch.yaml", NOTHING]);
    run(&["holiday", "--env", "shpo"]).fails(3, &["E0908", "did you mean shop?", NOTHING]);
    for minutes in ["0", "-1", "nan", "inf", "1441"] {
        let said = run(&["holiday", "--env", "shop", &format!("--minutes={minutes}")]);
        said.fails(3, &["E0911", "more than 0 and at most 1440", NOTHING]);
    }
    run(&["holiday", "--env", "shop", "--size", "xl"]).fails(3, &["E0911", "there are s, m and l", NOTHING]);
    rig.run(&["rehearse", "prepare", "--env", "shop", "--size", "xl"]).fails(3, &["E0911", NOTHING]);
    // A profile that would bring more than anybody can judge.
    let many = "name: many\nabout: Too many.\nclasses:\n  scan: { per_minute: 100000000 }\n";
    std::fs::write(rig.path("many.yaml"), many).unwrap();
    run(&["./many.yaml", "--env", "shop", "--minutes", "600"]).fails(3, &["E0961", NOTHING]);
    std::fs::remove_file(rig.path("many.yaml")).unwrap();

    let fault = |more: &[&str]| rig.run(&[&["rig", "fault"], more].concat());
    fault(&["nosuch", "--on", "shop/web"]).fails(3, &["E0911", "half-open", NOTHING]);
    for time in ["0s", "2h", "soon"] {
        fault(&["kill", "--on", "shop/web", "--for", time]).fails(3, &["E0911", "--for", NOTHING]);
    }
    fault(&["kill", "--on", "proxy"]).fails(3, &["E0911", "roles of environments", NOTHING]);
    fault(&["kill", "--on", "shpo/web"]).fails(3, &["E0908", "did you mean shop?", NOTHING]);
    fault(&["slow", "--on", "shop/web", "--strength", "0"]).fails(3, &["E0977", "1 to 95", NOTHING]);
    fault(&["delay", "--on", "shop/web"]).fails(3, &["E0977", "postgres and sessions", NOTHING]);
    for id in ["fill-disk", "clock"] {
        fault(&[id, "--on", "shop/web"]).fails(3, &["E0977", "not on a workload", NOTHING]);
    }
    rig.run(&["rig", "selftest", "--without", "nosuch"]).fails(3, &["E0911", "doubled", NOTHING]);
    assert!(before == rig.snapshot(), "something was written");
}

#[test]
fn environments_that_are_not_ready_or_may_not_be_loaded() {
    let rig = Rig::lived("rehearse-may");
    rig.run(&["plan"]);
    let before = rig.snapshot();
    let loads = |name: &'static str| {
        [
            vec!["rehearse", "run", "holiday", "--env", name],
            vec!["rehearse", "prepare", "--env", name],
            vec!["rehearse", "calibrate", "--env", name],
        ]
    };
    let web = ["rig", "fault", "kill", "--on", "prod/web"];
    // Declared, and never applied.
    for words in loads("shop") {
        rig.run(&words).fails(2, &["E0903", "springtide apply", NOTHING]);
    }
    // Production says no, whoever knows what.
    for words in loads("prod").into_iter().chain([web.to_vec()]) {
        rig.run(&words).fails(4, &["E0975", "`refused`", NOTHING]);
        rig.run(&[&words[..], &["--i-know"]].concat()).fails(4, &["E0975", "`refused`", NOTHING]);
    }
    assert!(before == rig.snapshot(), "something was written");
    // It may be, if the command says so, too; then it is looked at, and nothing runs.
    declare(&rig, "stage: production, rehearsal: allowed");
    let before = rig.snapshot();
    for words in loads("prod").into_iter().chain([web.to_vec()]) {
        rig.run(&words).fails(4, &["E0975", "--i-know", NOTHING]);
        let known = rig.run(&[&words[..], &["--i-know"]].concat());
        known.fails(2, &["E0976", "prod/", NOTHING]);
    }
    // Orders of a self-test have no place in production.
    rig.run(&["rig", "selftest", "--env", "prod"]).fails(4, &["E0975", NOTHING]);
    assert!(before == rig.snapshot(), "something was written");
}

#[test]
fn ledgers_that_are_none() {
    let rig = Rig::lived("rehearse-ledgers");
    let check = |file: &str| rig.run(&["rehearse", "check", file, "--env", "shop"]);
    check("nosuch").fails(1, &["E0962", "nosuch"]);
    check("cache").fails(1, &["E0962"]);
    check("estate.yaml").fails(1, &["E0964", "line 1"]);
    // One that is whole is read, and only then the environment is looked for.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let path = rig.path("whole");
    runtime.block_on(async {
        let ledger = Ledger::open(&path).unwrap();
        for key in ["SPR-x-order-0", "SPR-x-order-1", "SPR-x-order-2"] {
            let class = springtide_rehearse::class::Class::Order;
            let (kind, phase) = (ActKind::Order, Phase::Acknowledged);
            ledger.append(Entry { at: 1, class, key: key.into(), kind, phase, detail: Value::Null }).await.unwrap();
        }
    });
    check("whole").fails(2, &["E0903"]);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("order-1", "order-7")).unwrap();
    check("whole").fails(1, &["E0964", "line 3"]);
}

#[test]
fn undoing_nothing_and_what_cannot_be_read() {
    let rig = Rig::lived("rehearse-undo");
    rig.run(&["plan"]);
    let before = rig.snapshot();
    for words in [&["rig", "undo"][..], &["rig", "undo", "--dry-run"]] {
        let said = rig.run(words);
        said.code_is(0);
        assert!(said.out.contains("0 faults"), "{said}");
    }
    assert_eq!(rig.run(&["rig", "undo", "--json"]).json(), json!({ "version": 1, "in_place": 0, "undone": 0 }));
    assert!(before == rig.snapshot(), "looking made a folder");
    let faults = rig.path("state/rig/faults");
    std::fs::create_dir_all(&faults).unwrap();
    std::fs::write(faults.join("torn.json"), "{\"fault\":").unwrap();
    rig.run(&["rig", "undo"]).fails(1, &["E0972", "torn.json", "springtide rig undo"]);
    assert!(faults.join("torn.json").exists(), "its record is kept");
    // What stands in the journal is done by root, so nobody else may write there.
    rig.mode("state/rig/faults", 0o777);
    rig.run(&["rig", "undo"]).fails(1, &["E0971", "only its owner"]);
}

#[test]
fn the_selftest_finds_what_it_plants_and_fails_without_its_checks() {
    let rig = Rig::lived("rehearse-selftest");
    let passed = rig.run(&["rig", "selftest", "--json"]);
    passed.code_is(0);
    let said = passed.json();
    assert!(said["passed"] == true && said["tries"].as_array().is_some_and(|tries| tries.len() > 10), "{passed}");
    for check in ["lost", "undo"] {
        let failed = rig.run(&["rig", "selftest", "--without", check]);
        failed.code_is(1);
        assert!(failed.out.contains("FAILED") && failed.out.contains("is kept"), "{failed}");
    }
    assert_eq!(rig.run(&["rig", "undo", "--json"]).json()["in_place"], 0, "no fault of a try stays");
}

/// A process of the test that stands for a workload. Dead ones are replaced when somebody asks, as the supervisor
/// does; all are gone with this value.
struct Stand(Vec<Child>);

impl Stand {
    fn pid(&mut self) -> i32 {
        if self.0.last_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
            self.0.push(Command::new("sleep").arg("300").stdin(Stdio::null()).spawn().unwrap());
        }
        self.0.last().unwrap().id() as i32
    }

    fn kill(&mut self) {
        let _ = self.0.last_mut().unwrap().kill();
        let _ = self.0.last_mut().unwrap().wait();
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A rig whose `prod` is no production, and all of whose roles are said to be ready, by a stand-in of the supervisor.
fn ready(name: &str) -> (Rig, Arc<Mutex<Stand>>) {
    let rig = Rig::lived(name);
    declare(&rig, "stage: staging");
    let made = springtide_server::certificates::authority("test", jiff::Timestamp::now().as_second()).unwrap();
    let authority = SecretRef { environment: None, name: SecretName::AuthorityCertificate };
    rig.secrets().put(&authority, &made.certificate.into()).unwrap();
    let stand = Arc::new(Mutex::new(Stand(Vec::new())));
    let listener = UnixListener::bind(rig.path("state/supervisor.sock")).unwrap();
    let asked = stand.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let pid = asked.lock().unwrap().pid();
            let seen = json!({
                "digest": Digest::of_bytes(b"x"), "state": "ready", "pid": pid, "restarts": 0, "up_s": 60,
                "resident_bytes": 1, "why": "ready",
            });
            let prod = "prod".parse().unwrap();
            let all: BTreeMap<_, _> =
                Role::ENVIRONMENT.map(|role| (WorkloadId::of(&prod, role).to_string(), seen.clone())).into();
            let answer = json!({ "answer": "status", "workloads": all });
            let _ = writeln!(stream, "{answer}");
        }
    });
    (rig, stand)
}

const RUN: [&str; 6] = ["rehearse", "run", "holiday", "--env", "prod", "--minutes=1"];

#[test]
fn a_second_rehearsal_and_an_entrance_that_is_away() {
    let (rig, _stand) = ready("rehearse-second");
    let prepare = ["rehearse", "prepare", "--env", "prod"];
    // The control: nobody is at the entrance of a network of its own.
    for words in [&RUN[..], &prepare] {
        rig.run(words).fails(6, &["E0965", "springtide status"]);
    }
    let lock = std::fs::File::options().read(true).write(true).open(rig.path("state/rehearsals/prod.lock")).unwrap();
    let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
    std::fs::write(rig.path("state/rehearsals/prod.lock"), "4711 1700000000 rehearse-run").unwrap();
    for words in [&RUN[..], &prepare] {
        rig.run(words).fails(5, &["E0979", "springtide rehearse-run, pid 4711, since", NOTHING]);
    }
    // Looking needs no lock, and leaves none.
    rig.run(&[&RUN[..], &["--dry-run"]].concat()).code_is(0);
    drop(held);
    rig.run(&RUN).fails(6, &["E0965"]);
    let history = rig.run(&["history", "--json"]).json();
    let open: Vec<_> = history["operations"].as_array().unwrap().iter().filter(|it| it["ended"].is_null()).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn ctrl_c_before_anybody_came() {
    let (rig, _stand) = ready("rehearse-early");
    // An entrance that accepts and says nothing; in the tester's own network, so that it is reached.
    let silent = (15_000..16_000).find_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let text = std::fs::read_to_string(rig.path("estate.yaml")).unwrap();
    rig.declare(&text.replace("18553", &port));
    for words in [&RUN[..], &["rehearse", "prepare", "--env", "prod"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_springtide"));
        rig.dress(&mut command);
        let child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It knocks, so it is under way.
        let knocked = silent.accept().unwrap();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let began = Instant::now();
        let said = Said::of(child.wait_with_output().unwrap(), words);
        said.fails(130, &["E0805", "before anybody came", "What was made before stays"]);
        assert!(began.elapsed() < Duration::from_secs(5), "{said}");
        drop(knocked);
    }
    let history = rig.run(&["history", "--json"]).json();
    assert!(history["operations"].as_array().unwrap().iter().all(|it| !it["ended"].is_null()), "{history}");
}

#[test]
fn a_folder_for_ledgers_that_is_full_or_cannot_be_written() {
    let (rig, _stand) = ready("rehearse-full");
    std::fs::create_dir(rig.path("state/rehearsals")).unwrap();
    let with = |options: &str, before: &str| {
        let at = rig.path("state/rehearsals");
        let mount = format!("mount -t tmpfs -o {options} test {} && ", at.display());
        let mut command = rig.command_after(&format!("{mount} {before}"));
        Said::of(command.args(RUN).output().unwrap(), &RUN)
    };
    // The control: with room it comes to the entrance.
    with("size=1m", "").fails(6, &["E0965"]);
    let fill = format!("head -c 4096 /dev/zero > {}/x;", rig.path("state/rehearsals").display());
    with("size=4k", &fill).fails(1, &["E0906", "nothing can be kept in", NOTHING, "df -h"]);
    // Room for the lock, and none for the ledger.
    with("size=4k", "").fails(1, &["E0963", "is full", "make room"]);
    with("ro", "").fails(1, &["E0909", NOTHING]);
    std::fs::remove_dir(rig.path("state/rehearsals")).unwrap();
    std::fs::write(rig.path("state/rehearsals"), "").unwrap();
    rig.run(&RUN).fails(1, &["E0962", "nothing can be kept in", NOTHING]);
}

fn within(seconds: u64, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `rig fault freeze` on a stand-in, as soon as that is frozen.
fn frozen(rig: &Rig, stand: &Mutex<Stand>) -> (Child, Victim) {
    let mut command = rig.command();
    command.args(["rig", "fault", "freeze", "--on", "prod/web", "--for", "5m", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let victim = Victim::of(stand.lock().unwrap().pid()).unwrap();
    within(20, "frozen", || victim.frozen());
    (child, victim)
}

#[test]
fn a_fault_is_undone_at_ctrl_c_and_when_its_command_is_killed() {
    let (rig, stand) = ready("rehearse-fault");
    let left = || std::fs::read_dir(rig.path("state/rig/faults")).unwrap().count();
    // unshare and sh have become springtide: the child's pid is its pid.
    let pid = |child: &Child| Pid::from_raw(child.id() as i32);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (child, victim) = frozen(&rig, &stand);
        assert_eq!(rig.run(&["rig", "undo", "--dry-run", "--json"]).json()["in_place"], 1);
        kill(pid(&child), signal).unwrap();
        let said = Said::of(child.wait_with_output().unwrap(), &["fault"]);
        said.code_is(0);
        assert_eq!((&said.json()["met"], &said.json()["replaced"]), (&json!(1), &json!(false)), "{said}");
        assert!(!victim.frozen() && left() == 0);
    }
    let (mut child, victim) = frozen(&rig, &stand);
    kill(pid(&child), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    within(5, "its watchdog lets the process go on", || !victim.frozen() && left() == 0);
    let watchdog = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let state = rig.path("state").display().to_string();
        all.filter_map(|it| std::fs::read_to_string(it.path().join("cmdline")).ok())
            .any(|words| words.contains("rig-watchdog") && words.contains(&state))
    };
    within(5, "the watchdog ends", || !watchdog());

    // What was replaced in the middle is said to be: the supervisor ends what is frozen for 15 s.
    let (child, _) = frozen(&rig, &stand);
    assert!(watchdog(), "the control: it can be seen");
    stand.lock().unwrap().kill();
    kill(pid(&child), Signal::SIGINT).unwrap();
    let said = Said::of(child.wait_with_output().unwrap(), &["fault"]);
    assert_eq!((said.code, &said.json()["replaced"]), (Some(0), &json!(true)), "{said}");
}

#[test]
fn killing_goes_on_after_a_replacement_and_a_fault_that_met_nobody_fails() {
    let (rig, stand) = ready("rehearse-kill");
    let first = stand.lock().unwrap().pid();
    let words = ["rig", "fault", "kill", "--on", "prod/web", "--strength", "1", "--for", "8s", "--json"];
    let said = rig.run(&words);
    said.code_is(0);
    // Each of them was another process: a stand-in dies once.
    assert!(said.json()["met"].as_u64().is_some_and(|met| met >= 3), "{said}");
    assert!(Victim::of(first).is_err());
    let words = ["rig", "fault", "kill", "--on", "prod/web", "--strength", "600", "--for", "1s"];
    rig.run(&words).fails(2, &["E0970", "met nobody within 1 s"]);
    let outcome = rig.run(&["history", "--json"]).json()["operations"][0]["outcome"].clone();
    assert_eq!(outcome, "met nobody");
    assert!(Victim::of(stand.lock().unwrap().pid()).is_ok());
}

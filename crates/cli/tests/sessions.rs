//! Sessions and the runtime add-on, on real Odoo of both series: sessions outlive Odoo and the entrance,
//! end when they are revoked, wait out Redis, and cannot be read; probes and request lines are there.

mod rig;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use springtide_core::role::Role;
use springtide_core::workload::{SecretName, SecretRef, Volume, WorkloadId};
use springtide_driver::{Driver as _, Generation};

use rig::odoo::Odoo;
use rig::{NEW, OLD, Rig, machine, until};

/// Whether a page is the login form.
fn is_login(page: &str) -> bool {
    page.contains("name=\"csrf_token\"") && page.contains("name=\"login\"")
}

/// Whether the session of `odoo` is logged in; anything but a login page or the back office fails.
async fn logged_in(odoo: &Odoo) -> bool {
    let (status, page) = odoo.get("/web").await.expect("it answers");
    assert!(status == 200 && !page.contains("Traceback"), "{}: {status} {page}", odoo.name);
    assert!(is_login(&page) || page.contains("session_info"), "{}: neither login nor back office: {page}", odoo.name);
    !is_login(&page)
}

/// Stops or starts a role by the driver, as a person would.
async fn stop(rig: &Rig, workload: &str) {
    let fence = std::fs::read_to_string(rig.state().join("fence")).expect("there is a fence");
    let generation = Generation(fence.trim().parse().expect("a number"));
    let id: WorkloadId = workload.parse().expect("a workload");
    rig.driver().stop_workload(&id, generation).await.expect("it stops");
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

/// What Redis has on disk: the text of its append-only file.
fn redis_file(rig: &Rig, name: &str) -> String {
    let folder = rig.volume(name, Volume::SessionsData).join("appendonlydir");
    let files = std::fs::read_dir(folder).expect("Redis writes a file").flatten();
    files
        .map(|file| String::from_utf8_lossy(&std::fs::read(file.path()).expect("it can be read")).into_owned())
        .collect()
}

/// The sealed values in a text.
fn sealed(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().filter(|word| word.starts_with("gAAAA")).collect()
}

/// What Redis has on disk that a key opens, by Odoo's own Python; one value a line.
fn unsealed(rig: &Rig, name: &str, key: &str) -> String {
    let text = redis_file(rig, name);
    let sealed = sealed(&text);
    assert!(!sealed.is_empty(), "{name}: nothing sealed in\n{text}");
    let code = "import sys, cryptography.fernet as f\n\
                key, *all = sys.stdin.read().split()\n\
                for one in all:\n    \
                    try: print(f.Fernet(key.encode()).decrypt(one.encode()))\n    \
                    except f.InvalidToken: pass";
    let root = rig.cache.join("odoo/19.0/root").canonicalize().expect("the root is there");
    let mut python = Command::new("chroot")
        .arg(root)
        .args(["/usr/bin/python3", "-B", "-c", code])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let text = format!("{key}\n{}\n", sealed.into_iter().collect::<Vec<_>>().join("\n"));
    python.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it listens");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{name}: python failed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Redis puts a write off for up to two seconds while the disk is busy.
async fn written() {
    tokio::time::sleep(Duration::from_millis(2500)).await;
}

/// Sessions lie in Redis alone, and nobody reads them there.
async fn kept_and_sealed(rig: &Rig, odoo: &Odoo) {
    let name = odoo.name.as_str();
    let data = rig.volume(name, Volume::OdooData);
    assert!(files_below(&data.join("filestore")) > 10, "{name}: the walk finds files where there are some");
    assert_eq!(files_below(&data.join("sessions")), 0, "{name}: a session is a file");
    written().await;
    let text = redis_file(rig, name);
    assert!(text.contains(&format!("{name}:user:2")), "{name}: the session is not in Redis:\n{text}");
    let cookie = odoo.cookie("session_id");
    for clear in ["session_token", "csrf", "login", "admin", "en_US", &cookie, &cookie[..20]] {
        assert!(!text.contains(clear), "{name}: {clear:?} can be read in Redis");
    }
    let key = rig.secret(Some(name), SecretName::SessionsKeys);
    let plain = unsealed(rig, name, key.expose_secret());
    assert!(plain.contains("admin") && plain.contains("session_token"), "{name}: the control finds nothing: {plain}");
}

/// A new key before the old one: who is logged in stays so, and what is written from then on opens with
/// the new key alone.
async fn rotated(rig: &Rig, odoo: &Odoo) {
    let name = odoo.name.as_str();
    let secrets = rig.secrets();
    let keys = SecretRef { environment: Some(name.parse().expect("a name")), name: SecretName::SessionsKeys };
    let old = secrets.get(&keys).expect("it has one");
    secrets.remove(&keys).expect("it goes");
    secrets.ensure(&keys).expect("another comes");
    let new = secrets.get(&keys).expect("it has one");
    secrets.put(&keys, &format!("{}\n{}\n", new.expose_secret(), old.expose_secret()).into()).expect("both are kept");
    stop(rig, &format!("{name}/web")).await;
    rig.expect(&["apply", "--yes"], 0);
    odoo.serving(60).await;
    assert!(logged_in(odoo).await, "{name}: logged out by the new key");
    odoo.sign_in().await;
    written().await;
    let (by_new, by_old) = (unsealed(rig, name, new.expose_secret()), unsealed(rig, name, old.expose_secret()));
    assert!(by_new.contains("session_token") && by_old.contains("session_token"), "{name}");
    let opened = by_new.lines().count() + by_old.lines().count();
    assert_eq!(opened, sealed(&redis_file(rig, name)).len(), "{name}: every value opens with one key and no other");
    rig.say(format!("{name}: keys rotated"));
}

/// Every web worker, then the whole role, then the entrance: the same cookie is logged in after each.
async fn outlives(rig: &Rig, odoos: &[Odoo]) {
    for odoo in odoos {
        let web = format!("{}/web", odoo.name);
        let master = rig.pid(&web).expect("it runs");
        let workers = || machine::tree(master).into_iter().filter(|it| it.command.contains("WorkerHTTP"));
        let old: Vec<i32> = workers().map(|it| it.pid).collect();
        assert_eq!(old.len(), 2, "{web}");
        machine::kill(old.iter().copied());
        until(&format!("{web} has new workers"), 20, async || {
            workers().filter(|it| !old.contains(&it.pid)).count() == 2
        })
        .await;
        until(&format!("{web} answers"), 30, async || odoo.status("/web/login").await == Some(200)).await;
        assert!(logged_in(odoo).await, "{}: logged out with its workers", odoo.name);
        machine::kill(machine::tree(master).iter().map(|it| it.pid));
        until(&format!("{web} is another"), 60, async || rig.pid(&web).is_some_and(|pid| pid != master)).await;
        odoo.serving(60).await;
        assert!(logged_in(odoo).await, "{}: logged out with its master", odoo.name);
    }
    let proxy = rig.pid("proxy").expect("it runs");
    machine::kill([proxy]);
    for odoo in odoos {
        odoo.serving(30).await;
        assert!(logged_in(odoo).await, "{}: logged out with the entrance", odoo.name);
    }
    rig.say("sessions outlived workers, masters and the entrance");
}

/// Revoking ends every session of the user at the next request, and nobody else's.
async fn revoked(rig: &Rig, one: &Odoo, other: &Odoo) {
    let second = Odoo::new(rig, &one.name);
    second.sign_in().await;
    let name = one.name.as_str();
    let listed = rig.json(&["session", "list", name, "--json"], 0);
    assert_eq!(listed["users"], json!([{ "user": 2, "login": "admin", "sessions": 2 }]), "{listed}");
    let dry = rig.expect(&["session", "revoke", name, "admin", "--dry-run"], 0);
    assert!(dry.contains("2 sessions"), "{dry}");
    assert!(logged_in(one).await && logged_in(&second).await, "a dry run ended a session");
    // A request that is under way must not bring its session back.
    let late = {
        let odoo = one.clone();
        tokio::spawn(async move {
            let code = json!({ "model": "res.users", "method": "search_count", "args": [[]], "kwargs": {} });
            for _ in 0..20 {
                let _ = odoo.try_post("/web/dataset/call_kw", code.clone()).await;
            }
        })
    };
    assert_eq!(rig.json(&["session", "revoke", name, "admin", "--json"], 0)["ended"], 2);
    assert!(!logged_in(one).await && !logged_in(&second).await, "{name}: still logged in");
    late.await.expect("it ends");
    assert!(!logged_in(one).await, "{name}: a request brought its session back");
    assert_eq!(rig.json(&["session", "list", name, "--json"], 0)["users"], json!([]));
    assert!(logged_in(other).await, "{}: it is another environment's user", other.name);
    assert!(rig.expect(&["history"], 0).contains(&format!("session revoke {name}")));
    one.sign_in().await;
    assert!(logged_in(one).await, "{name}: cannot log in any more");
    rig.say(format!("{name}: two sessions revoked"));
}

/// Every login forgets those sessions of its user that have ended by themselves: nothing is evicted, so an
/// index that only grows would fill Redis. The control: one that is too young to be forgotten stays.
async fn forgotten(rig: &Rig, odoo: &Odoo) {
    let name = odoo.name.as_str();
    let socket = rig.volume(name, Volume::SessionsSocket).join("redis.sock");
    let password = rig.secret(Some(name), SecretName::SessionsOdoo);
    let ask = |words: &[&str]| {
        let output = Command::new("redis-cli")
            .env("REDISCLI_AUTH", password.expose_secret())
            .arg("-s")
            .arg(&socket)
            .args(["--user", "odoo"])
            .args(words)
            .output();
        let output = output.expect("redis-cli is there");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !text.contains("ERR") && !text.contains("NOPERM"), "{words:?}: {text}");
        text
    };
    let (user, users) = (format!("{name}:user:2"), format!("{name}:users"));
    let hour_ago = (jiff::Timestamp::now().as_second() - 3600).to_string();
    ask(&["ZADD", &user, "1000", "long-over", &hour_ago, "young"]);
    ask(&["ZADD", &users, "1000", "77"]);
    assert!(ask(&["ZRANGE", &user, "0", "-1"]).contains("long-over"));
    odoo.sign_in().await;
    let left = ask(&["ZRANGE", &user, "0", "-1"]);
    assert!(left.contains("young") && !left.contains("long-over"), "{name}: {left}");
    assert_eq!(ask(&["ZRANGE", &users, "0", "-1"]).trim(), "2", "{name}: users");
    ask(&["ZREM", &user, "young"]);
}

/// 30 s without Redis: login pages and nothing worse, then everybody is in again.
async fn without_redis(rig: &Rig, odoos: &[Odoo]) {
    let said = |odoo: &Odoo| rig.log(&format!("{}/web", odoo.name)).matches("Traceback").count();
    let before: Vec<usize> = odoos.iter().map(said).collect();
    let running = rig.workloads();
    for odoo in odoos {
        stop(rig, &format!("{}/sessions", odoo.name)).await;
    }
    let end = Instant::now() + Duration::from_secs(30);
    let mut asked = 0;
    while Instant::now() < end {
        for odoo in odoos {
            assert!(!logged_in(odoo).await, "{}: who is logged in without sessions?", odoo.name);
            let (status, page) = Odoo::new(rig, &odoo.name).get("/web").await.expect("it answers");
            assert!(status == 200 && is_login(&page), "{}: a new visitor gets {status} {page}", odoo.name);
            asked += 2;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(rig.run(&["session", "list", "new"]).status.code(), Some(6));
    let plan: Vec<String> = rig.steps().into_iter().map(|step| step.title).collect();
    for odoo in odoos {
        assert!(plan.contains(&format!("run {}/sessions", odoo.name)), "{plan:?}");
    }
    rig.expect(&["apply", "--yes"], 0);
    for odoo in odoos {
        until(&format!("{} is logged in again", odoo.name), 10, async || logged_in(odoo).await).await;
        assert_eq!(
            rig.pid(&format!("{}/web", odoo.name)),
            running[&format!("{}/web", odoo.name)].pid,
            "web was restarted"
        );
    }
    let after: Vec<usize> = odoos.iter().map(said).collect();
    assert_eq!(before, after, "tracebacks in the logs of web");
    rig.say(format!("30 s without Redis: {asked} pages were login pages, then everybody was in again"));
}

/// GET past the entrance, as a neighbour on the machine.
async fn neighbour(port: u16, path: &str) -> Option<u16> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().expect("a client");
    Some(client.get(format!("http://127.0.0.1:{port}{path}")).send().await.ok()?.status().as_u16())
}

/// Probes tell alive from ready, for neighbours only; and a master outlives its database.
async fn probes(rig: &Rig, odoo: &Odoo) {
    let name = odoo.name.as_str();
    let web = rig.slot(name).port(Role::Web).expect("it listens");
    for path in ["/springtide/health/live", "/springtide/health/ready"] {
        assert_eq!(odoo.status(path).await, Some(404), "{name}: {path} is open to the outside");
        assert_eq!(neighbour(web, path).await, Some(200), "{name}: {path}");
    }
    let before = rig.workloads()[&format!("{name}/web")].clone();
    stop(rig, &format!("{name}/postgres")).await;
    assert_ne!(neighbour(web, "/springtide/health/ready").await, Some(200), "{name}: ready without a database");
    let master = before.pid.expect("it runs");
    let workers = || machine::tree(master).into_iter().filter(|it| it.command.contains("WorkerHTTP"));
    let dead = workers().next().expect("a worker").pid;
    machine::kill([dead]);
    // Longer than a beat of the master, which then wants a new worker.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(machine::tree(master).iter().any(|it| it.pid == master), "{name}: the master ended with its database");
    rig.expect(&["apply", "--yes"], 0);
    odoo.serving(60).await;
    until(&format!("{name} has its workers"), 60, async || workers().count() == 2).await;
    let after = rig.workloads()[&format!("{name}/web")].clone();
    assert_eq!((before.pid, before.restarts), (after.pid, after.restarts), "{name}: web was started again");
    assert!(logged_in(odoo).await, "{name}");
}

/// One line per request, with what the database had to do and without a word about people.
async fn request_lines(rig: &Rig, odoo: &Odoo) {
    let name = odoo.name.as_str();
    let made_up = json!({ "model": "Anna Schmidt", "method": "anna@example.org", "args": [], "kwargs": {} });
    odoo.try_post("/web/dataset/call_kw", made_up).await.expect_err("there is no such model");
    let count = json!({ "model": "res.partner", "method": "search_count", "args": [[]], "kwargs": {} });
    odoo.post("/web/dataset/call_kw", count).await;
    let cookie = odoo.cookie("session_id");
    let log = rig.log(&format!("{name}/web"));
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("{\"time\"")).collect();
    for line in &lines {
        for personal in [
            "admin",
            "Anna",
            "anna",
            "127.0.0.1",
            "localhost",
            odoo.password(),
            &cookie,
            &cookie[..20],
            "Administrator",
        ] {
            assert!(!line.contains(personal), "{name}: {personal:?} in {line}");
        }
    }
    assert!(log.contains("127.0.0.1"), "{name}: Odoo's own lines show that the words can be found");
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let fields = [
        "time", "kind", "verb", "status", "route", "model", "method", "ms", "sql", "sql_s", "retries", "session", "id",
    ];
    for line in &lines {
        let keys: BTreeSet<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, fields.into(), "{name}: {line}");
        assert!(!line["route"].as_str().unwrap_or("/springtide").starts_with("/springtide"), "{name}: {line}");
    }
    let login = lines.iter().find(|line| line["route"] == "/web/login" && line["status"] == 303).expect("the login");
    assert!(login["verb"] == "POST" && login["sql"].as_u64() > Some(5), "{name}: {login}");
    let call = lines.iter().find(|line| line["method"] == "search_count" && line["model"] == "res.partner");
    let call = call.unwrap_or_else(|| panic!("{name}: the call has no line"));
    assert!(
        call["status"] == 200 && call["sql"].as_u64() > Some(0) && call["ms"].as_f64() > Some(0.0),
        "{name}: {call}"
    );
    assert_eq!(call["session"].as_str().map(str::len), Some(12), "{name}: {call}");
    // The same through the command, which tells the time of each line.
    let told = rig.expect(&["logs", &format!("{name}/web"), "--lines", "400", "--json"], 0);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told = told.iter().filter(|it| it["line"].as_str().is_some_and(|line| line.starts_with("{\"time\"")));
    assert!(told.clone().count() > 0 && told.clone().all(|it| it["time"].is_string()), "{name}");
    rig.say(format!("{name}: {} request lines", lines.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_what_ends_and_end_when_they_must() {
    let rig = Rig::new("sessions", true);
    rig.declare(&[NEW, OLD]);
    rig.apply();
    let odoos = [Odoo::new(&rig, "new"), Odoo::new(&rig, "old")];
    let [new, old] = &odoos;
    for odoo in &odoos {
        assert!(!logged_in(odoo).await, "{}: nobody has logged in yet", odoo.name);
        odoo.sign_in().await;
        assert!(logged_in(odoo).await, "{}", odoo.name);
        kept_and_sealed(&rig, odoo).await;
    }
    outlives(&rig, &odoos).await;
    rotated(&rig, new).await;
    for odoo in &odoos {
        forgotten(&rig, odoo).await;
    }
    revoked(&rig, new, old).await;
    revoked(&rig, old, new).await;
    without_redis(&rig, &odoos).await;
    for odoo in &odoos {
        probes(&rig, odoo).await;
        request_lines(&rig, odoo).await;
        assert_eq!(files_below(&rig.volume(&odoo.name, Volume::OdooData).join("sessions")), 0, "{}", odoo.name);
    }
    let secrets = rig.secrets();
    for workload in ["new/sessions", "old/sessions", "new/web", "old/web"] {
        assert!(!secrets.redact_check(&rig.log(workload)).expect("the check runs"), "{workload} says a secret");
    }
    machine::no_orphans(&rig);
    machine::no_leftovers(&rig);
}

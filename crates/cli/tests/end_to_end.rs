//! The whole loop on real components, Odoo 19.0 and 14.0 beside each other: install, use as people do,
//! edit, refuse. What goes wrong on its own is in `faults.rs`, being killed in `crash.rs`.

mod rig;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::json;
use springtide_core::layout::Slot;
use springtide_core::role::Role;
use springtide_core::workload::{SecretName, Volume};

use rig::odoo::{Odoo, PRODUCT};
use rig::watch::{self, Watch};
use rig::{HTTP, HTTPS, NEW, OLD, Rig, bus, machine, until};

/// Printing the delivery slip through the entrance gives a PDF; what is on it names the product.
async fn prints(rig: &Rig, odoo: &Odoo, picking: i64) {
    let url = format!("{}/report/pdf/stock.report_deliveryslip/{picking}", odoo.url);
    let answer = odoo.client.get(url).send().await.expect("the report is answered");
    let (status, kind) = (answer.status(), answer.headers().get("content-type").cloned());
    let body = answer.bytes().await.expect("the whole report");
    let start = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
    assert!(status.is_success() && body.starts_with(b"%PDF"), "{}: {status} {kind:?}\n{start}", odoo.name);
    assert_eq!(kind.expect("it has a type"), "application/pdf");
    assert!(body.len() > 20_000, "{}: {} bytes are an empty page", odoo.name, body.len());
    assert!(body.trim_ascii_end().ends_with(b"%%EOF"), "{}: the PDF is cut off", odoo.name);
    // Debian's renderer draws letters as shapes, so the text is read where it comes from.
    let (status, page) =
        odoo.get(&format!("/report/html/stock.report_deliveryslip/{picking}")).await.expect("it answers");
    assert!(status == 200 && page.contains(PRODUCT), "{}: {status}: the slip does not name the product", odoo.name);
    rig.say(format!("{}: delivery slip of {} bytes", odoo.name, body.len()));
}

/// A scheduled action that is due runs once, in the cron role's process.
async fn schedule(odoo: &Odoo) -> i64 {
    let fields = odoo.call("ir.cron", "fields_get", json!([["numbercall"]])).await;
    let mut cron = json!({
        "name": "springtide tick", "model_id": odoo.model("res.partner").await, "state": "code",
        "code": "env['res.partner.category'].create({'name': 'springtide tick'})",
        "interval_number": 1, "interval_type": "months", "nextcall": "2026-01-01 00:00:00",
    });
    if fields.get("numbercall").is_some() {
        cron["numbercall"] = json!(-1);
    }
    let id = odoo.create("ir.cron", cron).await;
    if fields.get("numbercall").is_none() {
        // Newer series are woken by a notification, older ones look once a minute.
        odoo.act(&format!("env['ir.cron'].browse({id})._trigger()")).await;
    }
    id
}

async fn ticked_once(rig: &Rig, odoo: &Odoo, cron: i64) {
    let ticks = async || {
        let found =
            odoo.call("res.partner.category", "search_count", json!([[["name", "=", "springtide tick"]]])).await;
        found.as_i64().expect("a number")
    };
    let took = until("a scheduled action runs", 90, async || ticks().await > 0).await;
    rig.say(format!("{}: scheduled action ran, waited {:.1} s more", odoo.name, took.as_secs_f64()));
    let next = odoo.call("ir.cron", "read", json!([[cron], ["nextcall"]])).await;
    assert!(next[0]["nextcall"].as_str().is_some_and(|at| at > "2026-01-02"), "{next}");
    assert_eq!(ticks().await, 1, "{}: it ran more than once", odoo.name);
    let said = |role: &str| {
        let log = rig.log(&format!("{}/{role}", odoo.name));
        log.lines().filter(|line| line.contains("springtide tick") && line.to_lowercase().contains("start")).count()
    };
    assert_eq!([said("cron"), said("web"), said("live"), said("jobs")], [1, 0, 0, 0], "{}: who ran it", odoo.name);
}

/// A delayed job is done, by a worker of the jobs role.
async fn job_is_done(rig: &Rig, odoo: &Odoo) {
    let name = odoo.delay("springtide").await;
    let database = rig.database(&odoo.name, &odoo.name).await;
    let look = async || {
        let sql = "SELECT state, worker_pid, coalesce(exc_info, '') FROM queue_job WHERE name = $1";
        let row = database.query_one(sql, &[&name]).await.expect("the job is there");
        (row.get::<_, String>(0), row.get::<_, Option<i32>>(1), row.get::<_, String>(2))
    };
    until("a job is done", 30, async || look().await.0 == "done").await;
    let (_, worker, _) = look().await;
    let worker = worker.expect("the job says who ran it");
    let of = |role: &str| machine::tree(rig.pid(&format!("{}/{role}", odoo.name)).expect("it runs"));
    assert!(of("jobs").iter().any(|it| it.pid == worker), "{worker} is no process of {}/jobs", odoo.name);
    let ran = |role: &str| rig.log(&format!("{}/{role}", odoo.name)).matches("/queue_job/runjob?").count();
    assert!(ran("jobs") > 0, "{}: the jobs role's log shows the job", odoo.name);
    let served = |role: &str| {
        let log = rig.log(&format!("{}/{role}", odoo.name));
        log.lines().filter(|line| line.contains("/queue_job/runjob") && !line.contains("springtide-ready")).count()
    };
    assert_eq!([served("web"), served("live")], [0, 0], "{}: jobs were served elsewhere", odoo.name);
}

/// Which port of the environment served the bus, by the logs of both candidates.
fn live_served(rig: &Rig, name: &str, path: &str) {
    let said = |role: &str| rig.log(&format!("{name}/{role}")).lines().filter(|line| line.contains(path)).count();
    assert!(said("live") > 0, "{name}: live's log does not show {path}");
    assert_eq!(said("web"), 0, "{name}: web was asked for {path}");
}

async fn entrance(rig: &Rig, odoo: &Odoo) {
    for path in ["/web/database/manager", "/web/database/list", "/web/database/backup", "/queue_job/runjob"] {
        assert_eq!(odoo.status(path).await, Some(404), "{}{path}", odoo.url);
    }
    // Odoo sends browsers here when its database is away.
    let (status, page) = odoo.get("/web/database/selector").await.expect("it answers");
    assert!(status == 503 && page.contains("content=\"5;url=/web\""), "{}: {status} {page}", odoo.name);
    let host = format!("{}.localhost", odoo.name);
    let answer = odoo.client.get(format!("{}/web/login", odoo.url)).send().await.expect("it answers");
    let hsts = answer.headers().get("strict-transport-security").expect("HSTS is set");
    assert_eq!(hsts, "max-age=31536000");
    let plain = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve(&host, std::net::SocketAddr::from(([127, 0, 0, 1], HTTP)))
        .build()
        .expect("a client");
    let moved = plain.get(format!("http://{host}:{HTTP}/web/login?a=b")).send().await.expect("it answers");
    assert_eq!(moved.status().as_u16(), 301);
    let to = moved.headers().get("location").expect("it says where");
    assert_eq!(to, &format!("https://{host}:{HTTPS}/web/login?a=b"));
    // OpenSSL itself would not offer TLS 1.1 at its default level; 1.2 with the same words is the control.
    let hello = |version: &str| {
        let to = format!("127.0.0.1:{HTTPS}");
        let words = ["s_client", "-connect", &to, "-servername", &host, version, "-cipher", "DEFAULT@SECLEVEL=0"];
        machine::said("openssl", &words)
    };
    let (old, control) = (hello("-tls1_1"), hello("-tls1_2"));
    assert!(old.contains("alert protocol version"), "TLS 1.1:\n{old}");
    assert!(control.contains("Protocol  : TLSv1.2") && control.contains("BEGIN CERTIFICATE"), "{control}");
    rig.say(format!("{}: entrance is closed where it must be", odoo.name));
}

/// The database side, as an administrator would check it.
async fn database(rig: &Rig, name: &str) {
    machine::exact_database(rig, name).await;
    let client = rig.database(name, name).await;
    let show = async |setting: &str| -> String {
        client.query_one(&format!("SHOW {setting}"), &[]).await.expect("it answers").get(0)
    };
    assert_eq!(show("data_checksums").await, "on", "{name}");
    assert_eq!(show("ssl").await, "on", "{name}");
    // What runs is what was written: every parameter of both files, as the server itself reads them.
    let rows = client
        .query("SELECT name, coalesce(error, ''), applied FROM pg_file_settings WHERE sourcefile LIKE '/srv/%'", &[])
        .await
        .expect("it answers");
    assert!(rows.len() > 40, "{name}: {} settings", rows.len());
    for row in &rows {
        let (setting, error, applied): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        assert!(error.is_empty() && applied, "{name}: {setting}: {error}");
    }
    let pending: i64 = client
        .query_one("SELECT count(*) FROM pg_settings WHERE pending_restart", &[])
        .await
        .expect("it answers")
        .get(0);
    assert_eq!(pending, 0, "{name}: settings wait for a restart");
    let explained = rig.json(&["explain", name, "--json"], 0);
    let planned = explained["connections"]["sum"].as_str().expect("a sum");
    let max = show("max_connections").await;
    assert!(planned.contains(&max), "{name}: max_connections is {max}, planned was {planned}");
    // Without TLS nobody gets in, whatever he knows.
    let port = rig.slot(name).port(Role::Postgres).expect("it has a port");
    let mut config = tokio_postgres::Config::new();
    let password = rig.secret(Some(name), SecretName::DbApp);
    config.host("127.0.0.1").port(port).user("app").dbname(name).password(password.expose_secret());
    let refused = config.connect(tokio_postgres::NoTls).await.err().expect("a connection without TLS is refused");
    let why = refused.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
    assert!(why.contains("no encryption"), "{name}: {why} {refused:?}");
}

/// Begins to collect who is connected to an environment's PostgreSQL under which name, from its very start on:
/// behind the pooler a name lasts until Odoo takes the connection a second time, since psycopg2 then sends
/// `RESET ALL`. So what must be seen is web, which loads its registry for seconds, and jobs, whose runner has
/// a connection of its own.
fn connected(rig: &Rig, name: &str, slot: Slot) -> tokio::task::JoinHandle<BTreeSet<(String, String)>> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(rig.volume(name, Volume::PostgresSocket)).user("postgres").dbname("postgres");
    config.port(slot.port(Role::Postgres).expect("it has a port"));
    let wanted = ["web", "jobs"].map(|role| format!("springtide/{name}/{role}"));
    tokio::spawn(async move {
        let sql = "SELECT usename::text, application_name FROM pg_stat_activity WHERE usename IN ('app', 'jobs')";
        let mut seen = BTreeSet::new();
        let end = Instant::now() + Duration::from_secs(400);
        while Instant::now() < end {
            // Not there yet.
            let Ok((client, connection)) = config.connect(tokio_postgres::NoTls).await else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            tokio::spawn(connection);
            while let Ok(rows) = client.query(sql, &[]).await {
                seen.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
                if wanted.iter().all(|wanted| seen.iter().any(|(_, name)| name == wanted)) || Instant::now() > end {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        seen
    })
}

/// Every role is told its name, and PostgreSQL sees it.
fn named(rig: &Rig, name: &str, seen: &BTreeSet<(String, String)>) {
    let all = rig.workloads();
    for role in Role::ODOO {
        let pid = all[&format!("{name}/{role}")].pid.expect("it runs");
        let shown = std::fs::read(format!("/proc/{pid}/environ")).expect("it is there");
        let told = format!("PGAPPNAME=springtide/{name}/{role}");
        assert!(shown.split(|byte| *byte == 0).any(|word| word == told.as_bytes()), "{name}/{role} lacks {told}");
    }
    let of = |user: &str, role: &str| (user.to_owned(), format!("springtide/{name}/{role}"));
    assert!(seen.is_superset(&[of("app", "web"), of("jobs", "jobs")].into()), "{name}: connected are {seen:#?}");
    let ours = [of("app", "web"), of("app", "live"), of("app", "cron"), of("jobs", "jobs")];
    let strange: Vec<_> = seen.iter().filter(|it| !it.1.is_empty() && !ours.contains(it)).collect();
    assert!(strange.is_empty(), "{name}: connected under another name are {strange:#?}");
    rig.say(format!("{name}: connected were {seen:?}"));
}

/// Every role may take the cores of its environment and no more; the entrance has no limit.
fn core_limits(rig: &Rig, name: &str) {
    let cpus = rig.json(&["explain", name, "--json"], 0)["cpus"].as_u64().expect("a number");
    let all = rig.workloads();
    let pid = |workload: &str| all[workload].pid.unwrap_or_else(|| panic!("{workload} does not run"));
    for role in Role::ENVIRONMENT {
        let workload = format!("{name}/{role}");
        match machine::core_limit(pid(&workload)) {
            Some(limit) => assert_eq!(limit, Some(cpus * 100_000), "{workload}: {cpus} cores"),
            None => {
                let why = &rig.status()["environments"][name]["workloads"][role.to_string()]["why"];
                assert!(why.as_str().is_some_and(|why| why.contains("not enforced")), "{workload} says nothing: {why}");
            }
        }
    }
    assert_eq!(machine::core_limit(pid("proxy")).flatten(), None, "the entrance is everybody's");
    rig.say(format!("{name}: each role has {cpus} cores at most"));
}

/// Does `act` and returns what processes showed meanwhile.
async fn watched(act: impl AsyncFnOnce()) -> String {
    let watch = Watch::begin();
    // The control: what one shows for a moment is seen.
    let mut short = std::process::Command::new("sh");
    short.args(["-c", "sleep 0.5; :", "springtide-shown-as-word"]).env("SHOWN", "springtide-shown-as-variable");
    assert!(short.status().expect("sh starts").success());
    act().await;
    let seen: Vec<String> = watch.end().into_iter().collect();
    let text = seen.join("\n");
    for shown in ["springtide-shown-as-word", "springtide-shown-as-variable", "--workload new/web"] {
        assert!(text.contains(shown), "{shown} was not seen");
    }
    text
}

/// A plan in all its forms, as there is something to do.
fn plan_said(rig: &Rig) -> String {
    let mut text = rig.expect(&["plan", "-v"], 2) + &rig.expect(&["plan", "--json"], 2);
    let file = rig.folder.join("plan.json");
    let _ = std::fs::remove_file(&file);
    rig.expect(&["plan", "-o", file.to_str().expect("it is text")], 2);
    text.push_str(&std::fs::read_to_string(&file).expect("the plan is written"));
    assert!(text.contains("run new/web") && text.matches("ensure-workload").count() > 2, "{text}");
    text
}

/// Every text a secret must not be in: command lines and environments of processes, logs, plans, JSON.
fn everything_said(rig: &Rig) -> String {
    let mut text = rig.expect(&["plan", "--json"], 0);
    for words in
        [&["status", "--json"][..], &["history", "--json"], &["explain", "new", "--json"], &["check", "--json"]]
    {
        text.push_str(&rig.expect(words, 0));
    }
    text.push_str(&rig.expect(&["open", "new", "--json"], 0));
    watch::now().iter().for_each(|shown| text.push_str(shown));
    let journal = rig.state().join("springtide.db");
    text.push_str(&String::from_utf8_lossy(&std::fs::read(&journal).expect("there is a journal")));
    text.push_str(&String::from_utf8_lossy(&std::fs::read(journal.with_extension("db-wal")).unwrap_or_default()));
    let state = rig.state();
    let logs = machine::said("find", &[&state.to_string_lossy(), "-name", "*.log*", "-type", "f"]);
    assert!(logs.lines().count() >= 14, "{logs}");
    for path in logs.lines() {
        text.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()));
    }
    text
}

/// Adding a module to what runs: users are told to wait, then it is there.
async fn add_module(rig: &Rig, odoo: &Odoo, environments: &[&str], module: &str) {
    rig.declare(environments);
    let plan = rig.expect(&["plan"], 2);
    assert!(plan.contains(&format!("install {module}")) && plan.contains("RESTART"), "{plan}");
    let begun = Instant::now();
    let mut applying = rig.spawn(&["apply", "--yes"], None);
    let mut answers = std::collections::BTreeMap::new();
    let ended = loop {
        if let Some(status) = applying.try_wait().expect("it can be waited for") {
            break status;
        }
        let (status, page) = odoo.get("/web/login").await.unwrap_or((0, "no answer".into()));
        if status == 503 {
            assert!(page.contains(&format!("{} is not ready yet", odoo.name)), "{page}");
        }
        *answers.entry(status).or_insert(0) += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(ended.success(), "{ended}");
    rig.say(format!("{}: {module} in {:.1} s; /web/login was {answers:?}", odoo.name, begun.elapsed().as_secs_f64()));
    assert!(answers.keys().all(|status| [200, 503].contains(status)), "users saw {answers:?}");
    assert!(answers.contains_key(&503), "users saw {answers:?}");
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    let found = odoo.call("ir.module.module", "search_read", json!([[["name", "=", module]], ["state"]])).await;
    assert_eq!(found[0]["state"], "installed", "{found}");
}

/// A module that cannot be installed: said with its reason, and everything is as it was but for what Odoo had
/// installed `beside` it, which is named.
async fn cannot_add(rig: &Rig, odoo: &Odoo, environments: &[&str], module: &str, why: &str, beside: &str) {
    let modules = async || {
        let client = rig.database(&odoo.name, &odoo.name).await;
        let rows = client.query("SELECT name, state FROM ir_module_module WHERE state <> 'uninstalled'", &[]).await;
        let mut rows: Vec<(String, String)> =
            rows.expect("it answers").iter().map(|row| (row.get(0), row.get(1))).collect();
        rows.sort();
        rows.retain(|(_, state)| state != "uninstallable");
        rows
    };
    let mut before = modules().await;
    rig.declare(environments);
    let (_, err) = rig.both(&["apply", "--yes"], 1);
    let kept = format!("does not go back over them: {beside}\n");
    let told = if beside.is_empty() { "no module was added" } else { kept.as_str() };
    assert!(err.contains(told), "{err}");
    before.extend((!beside.is_empty()).then(|| (beside.to_owned(), "installed".to_owned())));
    before.sort();
    assert!(err.contains(module) && err.contains(why) && err.contains("next:"), "{err}");
    odoo.serving(20).await;
    assert_eq!(modules().await, before, "{}: half a module stayed", odoo.name);
    let half = odoo.call("res.partner.category", "search_count", json!([[["name", "=", "half"]]])).await;
    assert_eq!(half, json!(0), "{}: data of the broken module stayed", odoo.name);
}

/// A module that a kill left to be installed and that the file does not ask for: taken back beside a running Odoo.
async fn taken_back(rig: &Rig, odoo: &Odoo, module: &str) {
    let client = rig.database(&odoo.name, &odoo.name).await;
    let mark = "UPDATE ir_module_module SET state = 'to install' WHERE name = $1";
    assert_eq!(client.execute(mark, &[&module]).await.expect("it is known"), 1);
    let before = rig.workloads();
    rig.apply();
    let of = |all: &std::collections::BTreeMap<String, machine::Workload>| -> Vec<_> {
        all.values().map(|it| it.pid).collect()
    };
    assert_eq!(of(&rig.workloads()), of(&before), "something was restarted");
    let state = "SELECT state FROM ir_module_module WHERE name = $1";
    let state: String = client.query_one(state, &[&module]).await.expect("it is known").get(0);
    assert_eq!(state, "uninstalled");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_becomes_two_running_odoos() {
    let rig = Rig::new("e2e", true);
    rig.declare(&[NEW, OLD]);
    rig.expect(&["plan"], 2);
    let names = [("new", Slot(1)), ("old", Slot(2))].map(|(name, slot)| connected(&rig, name, slot));
    let mut said = vec![("processes during the first apply", watched(async || rig.apply()).await)];
    rig.expect(&["status"], 0);
    machine::exact_routes(&["new", "old"]).await;

    let odoos = [Odoo::new(&rig, "new"), Odoo::new(&rig, "old")];
    let mut crons = Vec::new();
    for (odoo, names) in odoos.iter().zip(names) {
        core_limits(&rig, &odoo.name);
        named(&rig, &odoo.name, &names.await.expect("it ends"));
        odoo.sign_in().await;
        crons.push(schedule(odoo).await);
        let sold = odoo.sell().await;
        prints(&rig, odoo, sold.picking).await;
        let slot = rig.slot(&odoo.name);
        let port = slot.port(Role::Live).expect("it has a port");
        let begun = Instant::now();
        let message = bus::message_comes(odoo, port, slot.user(Role::Live).uid).await;
        let size = message.as_array().map_or(0, Vec::len);
        rig.say(format!("{}: live message in {:.1} s, {size} at once", odoo.name, begun.elapsed().as_secs_f64()));
        job_is_done(&rig, odoo).await;
        entrance(&rig, odoo).await;
        database(&rig, &odoo.name).await;
    }
    live_served(&rig, "new", "/websocket ");
    live_served(&rig, "old", "/longpolling/poll");
    for (odoo, cron) in odoos.iter().zip(crons) {
        ticked_once(&rig, odoo, cron).await;
    }
    let [new, old] = &odoos;

    // Edit, plan, apply, observe.
    let three = "{ name: new, workers: { web: 3 }, odoo: { series: \"19.0\", modules: [stock, sale_management] } }";
    rig.declare(&[three, OLD]);
    assert!(rig.expect(&["plan"], 2).contains("RESTART"), "a worker change restarts web");
    let before = rig.workloads();
    said.push(("a plan", plan_said(&rig)));
    // Without --json it tells people the first passwords, on purpose.
    let (out, err) = rig.both(&["apply", "--yes", "-v", "--json"], 0);
    said.push(("an apply", out + &err));
    rig.apply();
    let after = rig.workloads();
    assert_ne!(before["new/web"].pid, after["new/web"].pid);
    assert_eq!(before["old/web"].pid, after["old/web"].pid, "the other environment was touched");
    let web = machine::tree(after["new/web"].pid.expect("it runs"));
    let workers = web.iter().filter(|it| it.command.contains("WorkerHTTP")).count();
    assert_eq!(workers, 3, "{web:#?}");

    // Modules: one more, one that does not exist, one that breaks.
    let with = |more: &str| three.replace("sale_management", &format!("sale_management, {more}"));
    let old_with = |more: &str| OLD.replace("sale_management", &format!("sale_management, {more}"));
    let installs = watched(async || {
        add_module(&rig, new, &[&with("contacts"), OLD], "contacts").await;
        add_module(&rig, old, &[&with("contacts"), &old_with("contacts")], "contacts").await;
    });
    said.push(("processes during installs", installs.await));
    let (fine, old_fine) = (with("contacts"), old_with("contacts"));
    let (unknown, broken) = ("no_such_module", "springtide_broken");
    let both = with("contacts, social_media, springtide_broken");
    cannot_add(&rig, new, &[&with("contacts, no_such_module"), &old_fine], unknown, "no such module", "").await;
    cannot_add(&rig, new, &[&both, &old_fine], broken, "nobody.has_this", "social_media").await;
    let alone = old_with("contacts, springtide_broken");
    cannot_add(&rig, old, &[&fine, &alone], broken, "nobody.has_this", "").await;
    rig.declare(&[&fine, &old_fine]);
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    taken_back(&rig, new, broken).await;
    for odoo in [new, old] {
        odoo.sell().await;
    }

    // Beyond the budget: refused, with the arithmetic, and the rule can be looked up.
    rig.declare(&[&fine.replace("web: 3", "web: 40"), &old_fine]);
    let (_, refused) = rig.both(&["plan"], 3);
    assert!(refused.contains("web 80 (40 workers x 2)") && refused.contains("E0701"), "{refused}");
    let explained = rig.expect(&["explain", "E0701"], 0);
    assert!(explained.contains("connection") && explained.contains("max_connections"), "{explained}");
    rig.declare(&[&fine, &old_fine]);

    let secrets = rig.secrets();
    said.push(("what is there at the end", everything_said(&rig)));
    for (what, text) in &said {
        assert!(!secrets.redact_check(text).expect("the check runs"), "a secret is in {what}");
    }
    assert!(secrets.redact_check(new.password()).expect("the check runs"), "the check must be able to find one");
    machine::no_orphans(&rig);
    machine::no_leftovers(&rig);
}

//! `apply` beside a server: the server is real, its world is in memory, the command is the binary.
//!
//! Needs root, as every command does; starts no workload.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use springtide_core::observe::{Observation, Seed};
use springtide_core::plan::Action;
use springtide_core::sizing::SizedEnvironment;
use springtide_driver::fake::FakeDriver;
use springtide_server::Estate;
use springtide_server::control::{Control, Settings};
use springtide_server::execute::{Clock, Execution, Failure, Progress};
use springtide_server::fake::{self, FakeWorld};
use springtide_server::http::credentials::leave_local_token;
use springtide_server::http::{Limits, listen, site};
use springtide_server::locks::{ServerFile, ServerLock};
use springtide_server::observe::ObserveError;
use springtide_server::world::World;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const ESTATE: &str = "estate: acme\nenvironments:\n  - { name: prod, stage: production }\n  - { name: dev }\n";

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The world in memory, where every step takes its time.
struct Paced(Arc<FakeWorld>, Duration);

#[async_trait]
impl World for Paced {
    async fn observe(&self, estate: &Estate, now: i64) -> Result<Observation, ObserveError> {
        self.0.observe(estate, now).await
    }

    async fn step(
        &self,
        execution: &Execution<'_>,
        action: &Action,
        sized: Option<&SizedEnvironment<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        tokio::time::sleep(self.1).await;
        self.0.step(execution, action, sized, progress).await
    }

    async fn ensure_repository(&self, execution: &Execution<'_>, sized: &SizedEnvironment<'_>) -> Result<(), Failure> {
        self.0.ensure_repository(execution, sized).await
    }

    async fn restore_data(
        &self,
        execution: &Execution<'_>,
        sized: &SizedEnvironment<'_>,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        self.0.restore_data(execution, sized, seed, progress).await
    }
}

struct Rig {
    folder: TempDir,
    driver: Arc<FakeDriver>,
    control: Arc<Control>,
    answering: JoinHandle<()>,
    _lock: ServerLock,
}

impl Rig {
    async fn new(pace: Duration) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        let folder = tempfile::tempdir().unwrap();
        let (state, file) = (folder.path().join("state"), folder.path().join("estate.yaml"));
        std::fs::write(&file, ESTATE).unwrap();
        std::fs::create_dir(&state).unwrap();
        let driver = Arc::new(FakeDriver::new());
        let world = Arc::new(FakeWorld::default());
        let mut estate = fake::estate(&state, Arc::clone(&driver), Arc::clone(&world)).unwrap();
        estate.world = Arc::new(Paced(world, pace));
        let clock: Clock = Arc::new(now);
        let control = Control::new(Arc::new(estate), Settings::new(file, clock.clone()));
        control.catch_up().unwrap();
        control.refresh().await.unwrap();
        let keeper = Arc::clone(&control);
        tokio::spawn(async move { keeper.keep().await });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let lock = ServerLock::take(&state, now()).unwrap();
        let server = ServerFile {
            pid: i32::try_from(std::process::id()).unwrap(),
            since: now(),
            listen: listener.local_addr().unwrap().to_string(),
            tls: None,
            version: "test".into(),
        };
        leave_local_token(&control.estate().store, &state, now()).unwrap();
        lock.announce(&server).unwrap();
        let site = site(Arc::clone(&control), clock, Limits::default());
        let answering = tokio::spawn(listen::listen(listener, site, std::future::pending::<()>(), listen::HEAD_WITHIN));
        Self { folder, driver, control, answering, _lock: lock }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_springtide"));
        command.args(words).arg("--file").arg(self.path("estate.yaml")).arg("--state").arg(self.path("state"));
        command.arg("--cache").arg(self.path("cache")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, words: &[&str]) -> Said {
        let mut command = self.command(words);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Said::of(output)
    }

    fn begun(&self) -> usize {
        self.control.estate().store.operations(100).unwrap().len()
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn fails(&self, code: i32, id: &str) {
        assert_eq!((self.code, self.json()["error"]["code"].as_str()), (Some(code), Some(id)), "{self:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_planned_is_approved_and_followed() {
    let rig = Rig::new(Duration::ZERO).await;
    rig.run(&["apply", "--json"]).await.fails(4, "E0804");
    assert_eq!(rig.begun(), 0, "without a yes nothing is begun");
    let said = rig.run(&["apply", "--yes", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let operations = said.json()["operations"].as_array().unwrap().len();
    assert!(operations >= 3, "the estate's parts and two environments: {said:?}");
    assert_eq!((said.json()["outcome"].as_str(), rig.begun()), (Some("done"), operations));
    let steps: Vec<&str> = said.err.lines().filter(|line| line.starts_with('[')).collect();
    let of = |name: &str| steps.iter().filter(|line| line.contains(&format!("] {name}: "))).count();
    assert!(of("estate") >= 2 && of("prod") > 5 && of("dev") > 5, "{}", said.err);
    let mut numbers: Vec<&str> = steps.iter().map(|line| line.split(']').next().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), steps.len(), "every step of the plan once: {}", said.err);
    let again = rig.run(&["apply", "--yes", "--json"]).await;
    assert_eq!((again.code, again.json()["outcome"].as_str()), (Some(0), Some("no changes")), "{again:?}");
    assert_eq!(rig.begun(), operations);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_the_server_fails_the_command() {
    let rig = Rig::new(Duration::ZERO).await;
    rig.driver.fail_next("ensure prod/web", "the scripted reason");
    let said = rig.run(&["apply", "--yes", "--json"]).await;
    said.fails(1, "E0806");
    let message = said.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("run prod/web") && message.contains("the scripted reason"), "{message}");

    rig.control.hold("stocktaking", "somebody").unwrap();
    std::fs::write(rig.path("estate.yaml"), format!("{ESTATE}  - {{ name: later }}\n")).unwrap();
    let held = rig.run(&["apply", "--yes", "--json"]).await;
    held.fails(5, "E0922");
    assert!(held.json()["error"]["message"].as_str().unwrap().contains("stocktaking"), "{held:?}");
    rig.control.release("somebody").unwrap();

    std::fs::write(rig.path("other.yaml"), "estate: other\nenvironments: [{ name: x }]\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_springtide"));
    command.args(["apply", "--yes", "--json", "--file"]).arg(rig.path("other.yaml"));
    command.arg("--state").arg(rig.path("state")).arg("--cache").arg(rig.path("cache")).stdin(Stdio::null());
    let said = Said::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
    said.fails(5, "E0943");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_in_part_is_no_success() {
    let rig = Rig::new(Duration::ZERO).await;
    // The third operation cannot be written down.
    let store = rusqlite::Connection::open(rig.path("state/springtide.db")).unwrap();
    let trigger = "CREATE TRIGGER third BEFORE INSERT ON operations WHEN (SELECT count(*) FROM operations) >= 2
                   BEGIN SELECT RAISE(ABORT, 'scripted'); END";
    store.execute_batch(trigger).unwrap();
    let said = rig.run(&["apply", "--yes", "--json"]).await;
    said.fails(1, "E0900");
    let error = said.json()["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("operations 1, 2 came to an end, but dev was not begun: "), "{message}");
    assert_eq!(error["unchanged"], "What was done stays done; the rest waits for approval.");
    let records = rig.control.estate().store.operations(100).unwrap();
    assert!(records.len() == 2 && records.iter().all(|it| it.outcome.as_deref() == Some("done")), "{records:?}");
    store.execute_batch("DROP TRIGGER third").unwrap();
    let said = rig.run(&["apply", "--yes", "--json"]).await;
    assert_eq!((said.code, rig.begun()), (Some(0), 3), "{said:?}");
}

/// Lines of a child's stderr until one holds `word`.
fn until(child: &mut Child, word: &str) -> BufReader<std::process::ChildStderr> {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if line.contains(word) {
            return lines;
        }
        line.clear();
    }
    panic!("{word} does not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_asks_the_server_to_stop_between_steps() {
    let rig = Rig::new(Duration::from_millis(150)).await;
    let mut child = rig.command(&["apply", "--yes"]).spawn().unwrap();
    let (pid, said) = tokio::task::spawn_blocking(move || {
        let mut lines = until(&mut child, "run proxy");
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
        (child.id(), (child.wait().unwrap().code(), rest))
    })
    .await
    .unwrap();
    assert!(pid > 0);
    assert_eq!(said.0, Some(130), "{}", said.1);
    assert!(said.1.contains("the server stops after this step") && said.1.contains("E0805"), "{}", said.1);
    let records = rig.control.estate().store.operations(100).unwrap();
    assert!(
        records.iter().any(|it| it.outcome.as_deref().is_some_and(|how| how.starts_with("cancelled by "))),
        "{records:?}"
    );
    assert!(rig.control.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_told_and_one_that_is_away_too() {
    let rig = Rig::new(Duration::from_millis(400)).await;
    let mut child = rig.command(&["apply", "--yes", "--json"]).spawn().unwrap();
    let mut child = tokio::task::spawn_blocking(move || {
        let lines = until(&mut child, "run notice");
        child.stderr = Some(lines.into_inner());
        child
    })
    .await
    .unwrap();
    rig.answering.abort();
    let began = Instant::now();
    let output = tokio::task::spawn_blocking(move || {
        let _ = child.stderr.take();
        child.wait_with_output().unwrap()
    });
    let said = Said::of(output.await.unwrap());
    said.fails(6, "E0941");
    assert!(said.json()["error"]["message"].as_str().unwrap().contains("operation"), "{said:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    rig.run(&["apply", "--yes", "--json"]).await.fails(6, "E0941");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_login_links_are_made_beside_a_server() {
    let rig = Rig::new(Duration::ZERO).await;
    let made = rig.run(&["token", "create", "ci", "--scope", "operate", "--expires", "1h"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let token = made.out.trim().to_owned();
    let server = springtide_server::locks::server(&rig.path("state")).unwrap();
    let client = springtide_api::Client::new(&format!("http://{}", server.listen), &token).unwrap();
    assert_eq!(client.estate().await.unwrap().name, "acme");
    assert!(client.hold("a look").await.is_ok());
    assert!(client.release().await.is_ok());
    let list = rig.run(&["token", "list", "--json"]).await;
    assert!(!list.out.contains(token.rsplit('_').next().unwrap()), "{list:?}");
    let all = list.json()["tokens"].as_array().unwrap().clone();
    let id = all.iter().find(|it| it["name"] == "ci").unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(rig.run(&["token", "revoke", &id, "--dry-run"]).await.code, Some(0));
    assert!(client.estate().await.is_ok(), "a dry run changes nothing");
    assert_eq!(rig.run(&["token", "revoke", &id]).await.code, Some(0));
    assert!(client.estate().await.is_err());
    rig.run(&["token", "revoke", "none", "--json"]).await.fails(3, "E0908");
    rig.run(&["token", "create", "x", "--json"]).await.fails(3, "E0911");
    for wrong in ["0m", "400d", "soon", "-1d"] {
        let expires = format!("--expires={wrong}");
        assert_eq!(rig.run(&["token", "create", "x", &expires]).await.code, Some(3), "{wrong}");
    }
    let file = rig.path("ci.token");
    let to = ["token", "create", "ci", "--to", file.to_str().unwrap(), "--json"];
    let said = rig.run(&to).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(!said.out.contains(&secret) && !said.err.contains(&secret));
    let client = springtide_api::Client::new(&format!("http://{}", server.listen), &secret).unwrap();
    assert!(client.plan().await.is_ok() && client.hold("x").await.is_err(), "read is the usual scope");
    assert_eq!(rig.run(&to).await.code, Some(3), "the file is there already");

    let link = rig.run(&["open", "--console"]).await;
    assert_eq!(link.code, Some(0), "{link:?}");
    let (_, code) = link.out.trim().rsplit_once("/login?code=").unwrap();
    let enter = || {
        let form = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let post = form.post(format!("http://{}/login", server.listen));
        post.header("content-type", "application/x-www-form-urlencoded").body(format!("code={code}")).send()
    };
    assert!(enter().await.unwrap().headers().contains_key("set-cookie"));
    assert!(!enter().await.unwrap().headers().contains_key("set-cookie"), "once");
    assert!(!rig.run(&["open", "--console", "--json"]).await.out.contains("code="));
}

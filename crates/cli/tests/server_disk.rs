//! A full disk under the store of a server that runs: whoever asks for a change is told so with its code, by the
//! command line, the API and the console alike; what can be read is still told, the server stays, and with room
//! again everything goes on with nothing lost.
//!
//! The state folder is a small file system of its own, in memory. No workload runs here; a full disk under
//! `apply` on real parts stands in `disk`.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Rig, Said};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use springtide_api::{ApproveRequest, Client, ClientError};
use springtide_server::http::credentials::LOCAL_FILE;
use springtide_server::{locks, store};

/// Longest time until a server has looked again.
const PASS: Duration = Duration::from_secs(30);

/// The state folder on 32 MiB of memory; gone with this value.
struct Disk {
    at: PathBuf,
    ballast: PathBuf,
}

impl Disk {
    /// Puts what the folder holds on it.
    fn under(rig: &Rig) -> Self {
        let (at, aside) = (rig.path("state"), rig.path("aside"));
        std::fs::rename(&at, &aside).unwrap();
        std::fs::create_dir(&at).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "mode=0711,size=32m", "springtide-test", at.to_str().unwrap()]);
        run("cp", &["-a", &format!("{}/.", aside.display()), at.to_str().unwrap()]);
        let ballast = at.join("ballast");
        Self { at, ballast }
    }

    /// Fills it to its last byte.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&self.ballast).unwrap();
        let block = vec![0; 64 * 1024];
        for size in [block.len(), 4096, 1] {
            while file.write_all(&block[..size]).is_ok() {}
        }
        assert!(std::fs::write(self.at.join("one-more"), "x").is_err(), "the disk is not full");
        let _ = std::fs::remove_file(self.at.join("one-more"));
    }

    fn free(&self) {
        std::fs::remove_file(&self.ballast).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn run(program: &str, words: &[&str]) {
    assert!(Command::new(program).args(words).status().unwrap().success(), "{program} {words:?}");
}

/// A server in the test's own network, so that its API and console can be asked.
struct Server(Child);

impl Server {
    fn start(rig: &Rig) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_springtide"));
        rig.dress(&mut command);
        let talk = std::fs::File::create(rig.path("serve.log")).unwrap();
        command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(talk);
        let mut server = Self(command.spawn().unwrap());
        let begun = Instant::now();
        while locks::server(&rig.path("state")).is_none_or(|it| it.listen.is_empty()) {
            let said = || std::fs::read_to_string(rig.path("serve.log")).unwrap_or_default();
            assert!(begun.elapsed() < PASS && server.0.try_wait().unwrap().is_none(), "it does not serve: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Here and not in a network of its own, beside the server.
fn beside(rig: &Rig, words: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_springtide"));
    rig.dress(&mut command);
    Said::of(command.args(words).output().unwrap(), words)
}

/// The one code of a full disk, from the API.
fn refused<T>(answer: Result<T, ClientError>, what: &str) {
    match answer {
        Err(ClientError::Refused(problem)) => {
            assert_eq!((problem.status, problem.code.as_str()), (503, "E0906"), "{what}: {problem:?}");
            assert!(!problem.unchanged.is_empty() && problem.next.contains("room"), "{what}: {problem:?}");
        }
        Err(error) => panic!("{what}: {error:?}"),
        Ok(_) => panic!("{what}: it was done on a full disk"),
    }
}

async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < PASS, "{what}: not within {PASS:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Somebody in the console.
struct Person {
    http: reqwest::Client,
    site: String,
}

impl Person {
    fn new(site: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().cookie_store(true).build().unwrap();
        Self { http, site: site.to_owned() }
    }

    async fn send(&self, path: &str, form: &str) -> (u16, String) {
        let asked = self.http.post(format!("{}{path}", self.site));
        let asked = asked.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
        let answer = asked.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn see(&self, path: &str) -> String {
        self.http.get(format!("{}{path}", self.site)).send().await.unwrap().text().await.unwrap()
    }

    /// The session's token, from a form of the page.
    async fn csrf(&self) -> String {
        let page = self.see("/").await;
        let value = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no form in {page}")).to_owned()
    }
}

/// The code in a link of `open --console`.
fn code(rig: &Rig) -> String {
    let said = beside(rig, &["open", "--console"]);
    said.code_is(0);
    said.out.split("code=").nth(1).unwrap_or_else(|| panic!("no link: {said}")).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_a_server_is_told_and_loses_nothing() {
    let rig = Rig::lived("serve-disk");
    let disk = Disk::under(&rig);
    let mut server = Server::start(&rig);
    let site = format!("http://{}", locks::server(&rig.path("state")).unwrap().listen);
    let token = std::fs::read_to_string(rig.path("state").join(LOCAL_FILE)).unwrap();
    let client = Client::new(&site, &token).unwrap();
    until("it has looked", async || client.health().await.is_ok_and(|it| it.ready)).await;
    until("the store is copied", async || std::fs::read_dir(rig.path("state/backups")).is_ok_and(|it| it.count() == 1))
        .await;
    let person = Person::new(&site);
    assert_eq!(person.send("/login", &format!("code={}", code(&rig))).await.0, 200);
    let csrf = person.csrf().await;
    let late = code(&rig);
    let operations = client.operations().await.unwrap();
    let history = beside(&rig, &["history", "--json"]).json();
    // The control: with room all of it is done.
    client.hold("a control").await.unwrap();
    client.release().await.unwrap();
    let plan = client.refresh().await.unwrap().id;

    disk.fill();
    // The command line.
    beside(&rig, &["hold", "by a command"]).fails(1, &["E0906", "df -h"]);
    beside(&rig, &["destroy", "prod", "--confirm", "prod", "--reason", "a test"]).fails(1, &["E0906", "df -h"]);
    let applied = beside(&rig, &["apply", "--yes"]);
    assert!(applied.code != Some(0) && applied.err.contains("E0906"), "{applied}");
    applied.is_whole_failure();
    // The API.
    refused(client.hold("by the API").await, "hold");
    let asked = ApproveRequest { plan, environments: None };
    refused(client.approve(&asked, "while-full").await, "approve");
    // The console, in the words of the API.
    let (status, page) = person.send("/hold", &format!("csrf={csrf}&reason=by+the+console&back=%2F")).await;
    assert!(status == 503 && page.contains("E0906"), "{status} {page}");
    let (status, page) = Person::new(&site).send("/login", &format!("code={late}")).await;
    assert!(status == 503 && page.contains("E0906"), "{status} {page}");
    // What can be read is told, and nobody takes a part of it for done.
    assert!(client.held().await.unwrap().held.is_none());
    assert_eq!(client.operations().await.unwrap(), operations);
    let page = person.see("/").await;
    assert!(page.contains("prod") && !page.contains("by the console"), "{page}");
    beside(&rig, &["status"]).fails(1, &["E0906", "df -h"]);
    // A file that changes now is read; it cannot be kept, and that is told.
    rig.declare(&common::ESTATE.replace("name: shop", "name: store"));
    until(
        "the full disk is told when the server is asked to look",
        async || matches!(client.refresh().await, Err(ClientError::Refused(problem)) if problem.code == "E0906"),
    )
    .await;
    assert!(server.0.try_wait().unwrap().is_none(), "the server ended");

    disk.free();
    until("the server sees the new file", async || {
        client.plan().await.is_ok_and(|it| it.environments.iter().any(|it| it.environment.as_deref() == Some("store")))
    })
    .await;
    assert_eq!(beside(&rig, &["history", "--json"]).json(), history, "the journal is another");
    // The link was not spent, and what was refused can be done.
    assert_eq!(Person::new(&site).send("/login", &format!("code={late}")).await.0, 200);
    let (status, _) = person.send("/hold", &format!("csrf={csrf}&reason=by+the+console&back=%2F")).await;
    assert_eq!(status, 200);
    assert_eq!(client.held().await.unwrap().held.unwrap().reason, "by the console");
    beside(&rig, &["release"]).code_is(0);
    kill(Pid::from_raw(server.0.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
    store::check_file(&rig.path("state/springtide.db")).unwrap();
}

//! The server as a process: one on a state folder, held and told to end, with a store that breaks. No
//! workload runs here; what it does with those stands in `server_crash`.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Rig, Said};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use springtide_server::certificates::{authority, issue};
use springtide_server::locks;

/// A server that has said where it listens. It goes with its value.
struct Server(Child);

impl Server {
    fn start(rig: &Rig) -> Self {
        let mut command = rig.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Self(command.spawn().unwrap());
        let begun = Instant::now();
        while locks::server(&rig.path("state")).is_none_or(|it| it.listen.is_empty()) {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not serve");
            assert!(server.0.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn tell(&mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mode(rig: &Rig, name: &str) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(rig.path(name)).unwrap().permissions()) & 0o777
}

#[test]
fn one_server_on_a_state_folder_and_commands_beside_it() {
    let rig = Rig::lived("serve");
    let mut server = Server::start(&rig);
    let pid = format!("pid {}", server.0.id());
    rig.run(&["serve"]).fails(5, &["E0920", &pid, "http://127.0.0.1:", "Nothing was changed."]);
    rig.run(&["recover"]).fails(5, &["E0920", &pid]);
    assert_eq!(mode(&rig, "state/server.json"), 0o600);
    rig.run(&["plan"]).code_is(2);
    // The stop switch, set by another process, stops commands too.
    rig.run(&["hold", "a disk is replaced"]).code_is(0);
    // The server may still be about what it tried on its own before the hold.
    let begun = Instant::now();
    while rig.run(&["destroy", "shop", "--confirm", "shop"]).err.contains("E0802") {
        assert!(begun.elapsed() < Duration::from_secs(30), "the server does not rest while it is held");
        std::thread::sleep(Duration::from_millis(100));
    }
    rig.run(&["destroy", "shop", "--confirm", "shop"]).code_is(3);
    let reason = ["destroy", "prod", "--confirm", "prod", "--reason", "a test"];
    rig.run(&reason).fails(5, &["E0922", "a disk is replaced", "springtide release"]);
    let released = rig.run(&["release", "--json"]).json();
    assert_eq!(released["was"]["reason"], "a disk is replaced");
    assert_eq!(rig.run(&["release"]).out, "nothing was held\n");
    rig.run(&["hold", " "]).fails(3, &["E0911"]);
    // A copy of the store is there from the start.
    let begun = Instant::now();
    while !std::fs::read_dir(rig.path("state/backups")).is_ok_and(|it| it.count() == 1) {
        assert!(begun.elapsed() < Duration::from_secs(20), "no copy of the store");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(mode(&rig, "state/backups"), 0o700);
    assert_eq!(server.tell(Signal::SIGTERM), Some(0));
    assert!(!rig.path("state/server.json").exists());
    assert!(locks::server(&rig.path("state")).is_none());
    // What was killed leaves no lock behind.
    let mut killed = Server::start(&rig);
    assert_eq!(killed.tell(Signal::SIGKILL), None);
    assert!(rig.path("state/server.json").exists() && locks::server(&rig.path("state")).is_none());
    assert_eq!(Server::start(&rig).tell(Signal::SIGINT), Some(0));
}

#[test]
fn a_server_listens_on_loopback_only() {
    let rig = Rig::lived("serve-network");
    for listen in ["0.0.0.0:7979", "[::]:7979", "192.0.2.1:80"] {
        rig.run(&["serve", "--listen", listen]).fails(3, &["E0924", listen]);
    }
    rig.run(&["serve", "--listen", "here"]).fails(3, &["E0911"]);
    // Somebody listens there: another estate's server.
    let other = "timeout 20 \"$0\" --state \"$PWD/other\" serve --listen 127.0.0.1:7979 >/dev/null 2>&1 & \
                 until [ -e other/server.json ]; do sleep 0.1; done;";
    let said = rig.command_after(other).args(["serve", "--listen", "127.0.0.1:7979"]).output().unwrap();
    Said::of(said, &["serve"]).fails(1, &["E0925", "127.0.0.1:7979", "springtide serve --listen"]);
}

/// An authority, and a certificate of it with its key, in files of these names.
fn certificate(rig: &Rig, name: &str) {
    let now = jiff::Timestamp::now().as_second();
    let root = authority("acme", now).unwrap();
    let leaf = issue(&root.certificate, &root.key, "control.acme.example", now).unwrap();
    for (end, text) in [("root", &root.certificate), ("pem", &leaf.certificate), ("key", &leaf.key)] {
        let name = format!("{name}.{end}");
        std::fs::write(rig.path(&name), text).unwrap();
        rig.mode(&name, 0o600);
    }
}

#[test]
fn a_server_listens_on_a_network_over_tls() {
    let rig = Rig::lived("serve-tls");
    certificate(&rig, "ours");
    certificate(&rig, "others");
    let dry = |cert: &str, key: &str| {
        rig.run(&["serve", "--listen", "0.0.0.0:7443", "--tls-cert", cert, "--tls-key", key, "--dry-run"])
    };
    dry("ours.pem", "ours.key").code_is(0);
    dry("ours.pem", "missing.key").fails(3, &["E0927", "missing.key", "Nothing was changed."]);
    dry("ours.pem", "others.key").fails(3, &["E0927", "ours.pem"]);
    dry("ours.key", "ours.key").fails(3, &["E0927", "no certificate in ours.key"]);
    rig.mode("ours.key", 0o644);
    dry("ours.pem", "ours.key").fails(3, &["E0927", "everybody", "ours.key"]);
    rig.mode("ours.key", 0o600);
    rig.run(&["serve", "--listen", "0.0.0.0:7443", "--tls-cert", "ours.pem"]).fails(3, &["E0911", "--tls-key"]);
    // The real thing, asked from its own network.
    let serving = "timeout 60 \"$0\" serve --listen 0.0.0.0:7443 --tls-cert ours.pem --tls-key ours.key >/dev/null 2>&1 & \
                   until [ -e state/server.json ]; do sleep 0.1; done; \
                   inner=$(sed 's/.*\"listen\":\"\\([^\"]*\\)\".*/\\1/' state/server.json); \
                   curl -s --cacert ours.root https://localhost:7443/api/v1/health >over-tls; \
                   curl -s http://$inner/api/v1/health >within; \
                   curl -s http://localhost:7443/api/v1/health >plain; echo $? >plain-code; \
                   curl -s --cacert others.root https://localhost:7443/api/v1/health >stranger; echo $? >stranger-code;";
    let said = rig.command_after(serving).args(["open", "--console", "--json"]).output().unwrap();
    let console = Said::of(said, &["open", "--console", "--json"]).json()["console"].as_str().unwrap().to_owned();
    let told = |name: &str| std::fs::read_to_string(rig.path(name)).unwrap();
    assert!(console.starts_with("https://") && console.ends_with(":7443"), "{console}");
    assert!(told("over-tls").contains("\"ready\"") && told("within").contains("\"ready\""), "{}", told("over-tls"));
    assert_eq!((told("plain"), told("stranger")), (String::new(), String::new()));
    assert!(told("plain-code").trim() != "0" && told("stranger-code").trim() == "60", "{}", told("stranger-code"));
}

#[test]
fn a_file_that_is_not_valid_is_refused_at_first_and_later_kept_out() {
    let rig = Rig::lived("serve-invalid");
    rig.declare("estate: [x\n");
    rig.run(&["serve"]).fails(3, &["E0100"]);
    rig.declare(common::ESTATE);
    let mut server = Server::start(&rig);
    let store = springtide_server::store::Store::open(&rig.path("state/springtide.db")).unwrap();
    let begun = Instant::now();
    while store.kept_file().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the valid file is not kept");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.tell(Signal::SIGTERM), Some(0));
    rig.declare("estate: [x\n");
    assert_eq!(Server::start(&rig).tell(Signal::SIGTERM), Some(0));
}

#[test]
fn a_store_that_breaks_is_named_and_recovered_by_a_persons_word() {
    let rig = Rig::lived("serve-broken");
    rig.run(&["recover"]).fails(1, &["E0926", "whole"]);
    rig.run(&["token", "create", "ci", "--scope", "read"]).code_is(0);
    let db = rig.path("state/springtide.db");
    {
        // Copied by a server that starts; a server that ends has copied it.
        let mut server = Server::start(&rig);
        let begun = Instant::now();
        while !std::fs::read_dir(rig.path("state/backups")).is_ok_and(|it| it.count() == 1) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no copy of the store");
            std::thread::sleep(Duration::from_millis(50));
        }
        server.tell(Signal::SIGTERM);
    }
    let before = rig.run(&["history", "--json"]).json();
    // A page in the middle, as a bad disk leaves it: it opens, and only reading it whole finds it.
    let mut bytes = std::fs::read(&db).unwrap();
    let end = bytes.len() - 4096;
    bytes[8192..end].fill(0xa5);
    std::fs::write(&db, &bytes).unwrap();
    rig.run(&["serve"]).fails(1, &["E0912", "springtide recover", "Nothing was changed."]);
    assert_eq!(std::fs::read(&db).unwrap(), bytes, "nobody touched it");
    let dry = rig.run(&["recover", "--dry-run", "--json"]).json();
    assert_eq!((dry["recovered"].as_bool(), dry["kept"].is_null()), (Some(false), true));
    assert_eq!(std::fs::read(&db).unwrap(), bytes);
    let done = rig.run(&["recover", "--json"]).json();
    assert_eq!(std::fs::read(done["kept"].as_str().unwrap()).unwrap(), bytes, "the damaged one is kept");
    assert_eq!(rig.run(&["history", "--json"]).json(), before);
    // The copy cannot know what came after it: nothing acts and nobody comes in until a person has looked.
    assert_eq!((done["held"].as_bool(), dry["held"].as_bool()), (Some(true), Some(false)));
    assert_eq!(done["revoked"], serde_json::json!(["ci"]));
    assert_eq!(done["unknown"], serde_json::json!([]));
    rig.run(&["destroy", "prod", "--confirm", "prod", "--reason", "a test"])
        .fails(5, &["E0922", "put back from a copy"]);
    assert_eq!(Server::start(&rig).tell(Signal::SIGTERM), Some(0));
    // Gone: never made anew in silence.
    for name in ["springtide.db", "springtide.db-wal", "springtide.db-shm"] {
        let _ = std::fs::remove_file(rig.path("state").join(name));
    }
    for words in [&["plan"][..], &["serve"], &["status"]] {
        let said = rig.run(words);
        if words != ["status"] {
            said.fails(1, &["E0912", "gone", "springtide recover"]);
        }
        assert!(!db.exists(), "{words:?} made a new store");
    }
    // The log of one that is gone is no part of the copy, and data that the copy does not know is named.
    std::fs::write(rig.path("state/springtide.db-wal"), "somebody else's").unwrap();
    std::fs::create_dir_all(rig.path("state/environments/young")).unwrap();
    let said = rig.run(&["recover"]);
    assert!(said.err.contains("springtide release") && said.err.contains("its slot is lost: young;"), "{said}");
    said.code_is(0);
    assert!(!rig.path("state/springtide.db-wal").exists());
    assert_eq!(rig.run(&["history", "--json"]).json(), before);
    rig.run(&["release"]).code_is(0);
}

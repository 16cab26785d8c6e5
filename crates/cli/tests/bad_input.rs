//! Bad input and bad machines: each a clear failure with what is unchanged and the next command, and
//! nothing lost. Needs root; runs no Odoo and no PostgreSQL.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use common::{Rig, Said};
use springtide_core::layout::Slot;
use springtide_core::role::Role;

#[test]
fn an_estate_file_that_cannot_be_read() {
    let rig = Rig::new("file");
    let file = rig.path("estate.yaml");
    let fails = |parts: &[&str]| {
        for verb in ["check", "plan", "apply"] {
            rig.run(&[verb]).fails(3, &[&["estate.yaml", "Nothing was changed."], parts].concat());
        }
    };
    std::fs::write(&file, b"estate: acme\nenvironments: [{ name: \xff }]\n").unwrap();
    fails(&["E0006", "not text in UTF-8 (line 2"]);
    std::fs::File::create(&file).unwrap().set_len(50 << 20).unwrap();
    fails(&["E0006", "it has 50 MiB", "may have 4"]);
    std::fs::remove_file(&file).unwrap();
    fails(&["E0006", "it does not exist", "springtide init"]);
    std::fs::create_dir(&file).unwrap();
    fails(&["E0006", "it is a folder"]);
    std::fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink("estate.yaml", &file).unwrap();
    fails(&["E0006", "cannot read the estate file"]);

    // For root every file is readable: somebody else reads.
    std::fs::remove_file(&file).unwrap();
    rig.declare(common::ESTATE);
    rig.mode("estate.yaml", 0o600);
    std::fs::copy(env!("CARGO_BIN_EXE_springtide"), rig.path("springtide")).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(rig.path("springtide")).arg("check");
    rig.dress(&mut command);
    Said::of(command.output().unwrap(), &["check"]).fails(3, &["E0006", "this user may not read it"]);
}

#[test]
fn a_state_folder_that_is_not_safe() {
    let rig = Rig::lived("unsafe");
    let verbs = [&["plan"][..], &["apply", "--yes"], &["status"], &["history"], &["stop"], &["open", "prod"]];
    let fails = |code: i32, parts: &[&str]| {
        let before = rig.snapshot();
        for words in verbs {
            rig.run(words).fails(code, &[&["E0905", "Nothing was changed."], parts].concat());
        }
        assert!(before == rig.snapshot(), "something was written");
        let doctor = rig.run(&["doctor"]);
        assert_eq!(doctor.code, Some(2), "{doctor}");
        assert!(doctor.out.contains("fail  state-folder") || doctor.out.contains("fail     state-folder"), "{doctor}");
    };
    rig.mode("state", 0o777);
    fails(4, &["others may write", "mode 0777", "chmod go-w"]);
    rig.mode("state", 0o711);
    std::os::unix::fs::chown(rig.path("state"), Some(65534), None).unwrap();
    fails(4, &["belongs to user 65534", "chown 0"]);
    std::os::unix::fs::chown(rig.path("state"), Some(0), None).unwrap();

    rig.mode("state/secrets", 0o755);
    rig.run(&["plan"]).fails(4, &["E0905", "secrets", "chmod go-rwx"]);
    rig.mode("state/secrets", 0o700);
    rig.run(&["plan"]).code_is(2);

    std::fs::remove_dir_all(rig.path("state")).unwrap();
    std::fs::write(rig.path("state"), "").unwrap();
    fails(3, &["is not a folder", "--state"]);
    std::fs::remove_file(rig.path("state")).unwrap();

    // Made by Springtide it is safe, whatever the mask of the caller.
    let mut command = rig.command_after("umask 0;");
    assert_eq!(command.arg("plan").output().unwrap().status.code(), Some(2));
    assert_eq!(std::fs::metadata(rig.path("state")).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(std::fs::metadata(rig.path("state/secrets")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_full_disk_refuses_before_anything_begins() {
    let rig = Rig::new("full");
    std::fs::create_dir(rig.path("state")).unwrap();
    let on = |size: &str, words: &[&str]| {
        let mount = format!("mount -t tmpfs -o size={size},mode=711 none {};", rig.path("state").display());
        let mut command =
            rig.command_after(&format!("{mount} trap 'ls -A {0} >&2' EXIT;", rig.path("state").display()));
        Said::of(command.args(words).output().unwrap(), words)
    };
    on("900k", &["plan"]).fails(1, &["E0906", "are free where", "Nothing was changed."]);
    on("8m", &["plan"]).code_is(2);
    on("8m", &["apply", "--yes"]).fails(1, &["E0906", "this needs 16384", "Nothing was changed."]);
    // Full in the middle of opening, where nothing was asked before: there is room and no more file can be made.
    let files = |most: u32| {
        let at = rig.path("state").display().to_string();
        let mount = format!("mount -t tmpfs -o size=8m,nr_inodes={most},mode=711 none {at};");
        Said::of(rig.command_after(&mount).arg("plan").output().unwrap(), &["plan"])
    };
    for most in 1..=3 {
        files(most).fails(1, &["E0900", "the store", "unable to open database file"]);
    }
    for most in 4..=6 {
        files(most)
            .fails(1, &["E0906", "No space left on device", "secrets", "Nothing was changed.", "free some room"]);
    }
    files(16).code_is(2);
}

/// Runs `words` while a program of somebody else listens on `port` in the same network.
fn beside_a_listener(rig: &Rig, port: u16, words: &[&str]) -> Said {
    let listens = format!(
        "perl -MIO::Socket::INET -e '\
           my $s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", LocalPort => {port}, Listen => 1) or die; \
           if (my $pid = fork) {{ open(my $f, \">\", \"listener.pid\") or die; print $f $pid; close $f; exit }} \
           sleep 120' </dev/null >/dev/null 2>&1 || exit 99;"
    );
    let said = Said::of(rig.command_after(&listens).args(words).output().unwrap(), words);
    let pid = std::fs::read_to_string(rig.path("listener.pid")).unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    said
}

#[test]
fn a_port_that_somebody_holds() {
    let rig = Rig::new("port");
    let web = Slot(1).port(Role::Web).unwrap();
    for words in [&["plan"][..], &["apply", "--yes"]] {
        let named = format!("port {web} is in use by perl (pid ");
        beside_a_listener(&rig, web, words)
            .fails(3, &["E0706", "prod", &named, "End that program", "Nothing was changed."]);
    }
    assert!(!rig.path("state/supervisor.json").exists(), "something was started");
    // The control: a port that nobody needs, and none.
    beside_a_listener(&rig, 9999, &["plan"]).code_is(2);
    rig.run(&["plan"]).code_is(2);
}

#[test]
fn a_program_that_is_missing() {
    let rig = Rig::new("program");
    let traefik = rig.path("cache/tools/bin/traefik");
    std::fs::rename(&traefik, rig.path("elsewhere")).unwrap();
    for words in [&["plan"][..], &["apply", "--yes"]] {
        rig.run(words).fails(3, &["E0705", "traefik is not on this machine", "scripts/setup", "Nothing was changed."]);
    }
    assert!(!rig.path("state/supervisor.json").exists(), "something was started");
    std::fs::rename(rig.path("elsewhere"), &traefik).unwrap();
    rig.run(&["plan"]).code_is(2);
}

#[test]
fn an_entrance_that_somebody_holds() {
    // The driver sees it when it is to start the proxy: before that nothing here is known to want the port.
    let rig = Rig::new("entrance");
    let said = beside_a_listener(&rig, 18_190, &["apply", "--yes"]);
    said.fails(
        1,
        &["E0806", "cannot run proxy: port 18190 for proxy is in use by perl (pid ", "nothing after it was begun"],
    );
    assert!(!rig.path("state/environments").exists(), "an environment was begun");
}

#[test]
fn a_state_folder_that_is_read_only() {
    let rig = Rig::lived("readonly");
    let state = rig.path("state");
    let mount = format!("mount --bind {0} {0}; mount -o remount,ro,bind {0};", state.display());
    for words in [&["plan"][..], &["apply", "--yes"], &["status"]] {
        let said = Said::of(rig.command_after(&mount).args(words).output().unwrap(), words);
        assert!(said.code == Some(2) || said.code == Some(1), "{said}");
        if words[0] == "apply" {
            said.fails(1, &["E0909", "ead-only", "mount it writable"]);
        }
    }
    // Nothing is there and nothing can be made.
    std::fs::remove_dir_all(&state).unwrap();
    let parent = format!("mount --bind {0} {0}; mount -o remount,ro,bind {0};", rig.folder.display());
    let said = Said::of(rig.command_after(&parent).arg("plan").output().unwrap(), &["plan"]);
    said.fails(1, &["E0909"]);
}

#[test]
fn a_store_that_is_broken_newer_or_a_key_that_is_gone() {
    let rig = Rig::lived("broken");
    let good = std::fs::read(rig.path("state/springtide.db")).unwrap();
    std::fs::write(rig.path("state/springtide.db"), "garbage, and more of it than a header has\n".repeat(200)).unwrap();
    for words in [&["plan"][..], &["apply", "--yes"], &["status"], &["history"]] {
        rig.run(words).fails(1, &["E0912", "springtide recover", "Nothing was changed."]);
    }
    rig.run(&["doctor"]).code_is(2);
    // What runs must be stoppable all the same.
    rig.run(&["stop", "--dry-run"]).code_is(0);
    let half = &good[..good.len() / 2];
    std::fs::write(rig.path("state/springtide.db"), half).unwrap();
    rig.run(&["history"]).fails(1, &["E0912"]);
    std::fs::write(rig.path("state/springtide.db"), &good).unwrap();
    rig.run(&["history"]).code_is(0);

    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes()); // user_version
    std::fs::write(rig.path("state/springtide.db"), newer).unwrap();
    rig.run(&["plan"]).fails(3, &["E0914", "newer"]);
    std::fs::write(rig.path("state/springtide.db"), &good).unwrap();

    let key = rig.path("state/secrets/identity.txt");
    let saved = std::fs::read(&key).unwrap();
    std::fs::write(&key, "# nothing\n").unwrap();
    rig.run(&["plan"]).fails(1, &["E0913", "identity"]);
    std::fs::remove_file(&key).unwrap();
    let doctor = rig.run(&["doctor"]);
    assert!(doctor.out.contains("identity.txt is missing") && doctor.code == Some(2), "{doctor}");
    assert!(!key.exists(), "the doctor made a new key, which opens nothing");
    std::fs::write(&key, saved).unwrap();
    rig.mode("state/secrets/identity.txt", 0o600);
    rig.run(&["plan"]).code_is(2);
}

#[test]
fn a_plan_file_that_is_none_or_stale() {
    let rig = Rig::new("planfile");
    let plan = rig.path("plan.json");
    let write = |bytes: &[u8]| std::fs::write(&plan, bytes).unwrap();
    let fails = |parts: &[&str]| {
        rig.run(&["apply", "plan.json"]).fails(3, &[&["E0811", "plan.json", "Nothing was changed."], parts].concat());
        assert!(!rig.path("state").exists(), "a file that is no plan touched the state");
    };
    fails(&["No such file"]);
    write(b"");
    fails(&["it is empty"]);
    write(b"\xff\x00 not json");
    fails(&["it is not JSON"]);
    write(b"{\"kind\":\"something\"}");
    fails(&["JSON of something else"]);
    write(b"{\"springtide_plan\":7,\"plan\":{}}");
    fails(&["version 7", "reads 1"]);
    write(b"{\"springtide_plan\":1,\"plan\":{\"id\":\"p-1\"}}");
    fails(&["damaged or edited"]);
    std::fs::remove_file(&plan).unwrap();
    std::fs::create_dir(&plan).unwrap();
    fails(&["directory"]);
    std::fs::remove_dir(&plan).unwrap();

    rig.run(&["plan", "-o", "plan.json"]).code_is(2);
    assert_eq!(std::fs::metadata(&plan).unwrap().mode() & 0o777, 0o600);
    assert_eq!(rig.run(&["apply", "plan.json", "--dry-run"]).code, Some(2), "it is fresh");
    let left: Vec<_> = std::fs::read_dir(&rig.folder).unwrap().flatten().map(|it| it.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("tmp")), "{left:?}");
    rig.declare(&common::ESTATE.replace("modules: [stock]", "modules: [stock, purchase]"));
    rig.run(&["apply", "plan.json"]).fails(5, &["E0801", "stale", "Nothing was changed.", "springtide plan"]);
    // Somebody edited it so that less is done than was reviewed.
    rig.declare(common::ESTATE);
    let text = std::fs::read_to_string(&plan).unwrap();
    write(text.replace("it does not exist", "so I say").as_bytes());
    rig.run(&["apply", "plan.json"]).fails(5, &["E0801"]);
    assert!(!rig.path("state/supervisor.json").exists(), "nothing was started");

    rig.run(&["plan", "-o", "no/such/folder/plan.json"]).fails(3, &["E0902", "no/such/folder"]);
    rig.run(&["plan", "-o", "cache"]).fails(3, &["E0902"]);
    assert!(rig.path("cache/tools").exists());
}

#[test]
fn a_supervisor_that_answers_nonsense_is_unreachable() {
    let rig = Rig::lived("nonsense");
    let listener = UnixListener::bind(rig.path("state/supervisor.sock")).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = String::new();
            let _ = BufReader::new(&stream).read_line(&mut asked);
            let _ = stream.write_all(b"what?\n");
        }
    });
    for words in [&["plan"][..], &["status"], &["apply", "--yes"], &["stop", "--dry-run"]] {
        rig.run(words).fails(6, &["E0910", "springtide doctor"]);
    }
    let doctor = rig.run(&["doctor", "--json"]);
    assert!(doctor.json()["findings"].as_array().is_some_and(|it| it.len() > 8), "the doctor goes on: {doctor}");
}

#[test]
fn a_supervisor_that_hangs_is_not_waited_for_for_ever() {
    let rig = Rig::lived("hangs");
    // Accepted by the kernel, answered by nobody.
    let _listener = UnixListener::bind(rig.path("state/supervisor.sock")).unwrap();
    rig.run(&["status"]).fails(6, &["E0910", "does not answer within 20 s", "springtide doctor"]);
}

#[test]
fn names_that_nobody_has_and_files_that_are_there() {
    let rig = Rig::lived("names");
    for words in [&["status", "nosuch"][..], &["open", "nosuch"], &["history", "nosuch"], &["logs", "nosuch/web"]] {
        rig.run(words).fails(3, &["nosuch", "Nothing was changed."]);
    }
    rig.run(&["history", "--operation", "99"]).fails(3, &["E0908", "operation 99"]);
    rig.run(&["status", "../etc"]).fails(3, &["E0911"]);
    rig.run(&["logs", "prod/web", "--since", "yesterday"]).fails(3, &["E0911", "15m"]);
    let before = std::fs::read(rig.path("estate.yaml")).unwrap();
    for words in [&["init"][..], &["init", "--dry-run"]] {
        rig.run(words).fails(3, &["E0902", "estate.yaml"]);
    }
    assert_eq!(before, std::fs::read(rig.path("estate.yaml")).unwrap());
    rig.run(&["init", "no/such/folder/estate.yaml"]).fails(3, &["E0902"]);
}

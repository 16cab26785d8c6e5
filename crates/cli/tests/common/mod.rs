//! A machine for tests of the command line: folders of its own, a cache whose programs are stand-ins,
//! a network of its own for every call. Nothing of Odoo or PostgreSQL runs.

#![allow(dead_code, clippy::unwrap_used, missing_docs)]

#[path = "../../src/args.rs"]
pub mod args;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use springtide_core::layout::Slot;
use springtide_core::workload::{SecretName, SecretRef, WorkloadId};
use springtide_data::secrets::SecretStore;
use springtide_server::store::{Begin, ControllerKind, Intent, Store};

/// Verbs that change nothing; all others must have `--dry-run`.
pub const READ_ONLY: [&str; 11] =
    ["check", "plan", "status", "doctor", "explain", "logs", "open", "history", "schema", "completion", "version"];

pub const ESTATE: &str = "estate: test\nplatform: { ingress: { http: 18190, https: 18553 } }\nenvironments:\n  \
    - { name: prod, stage: production, odoo: { series: \"19.0\", modules: [stock] } }\n  \
    - { name: shop, odoo: { series: \"19.0\", modules: [stock] } }\n";

pub struct Rig {
    pub folder: PathBuf,
}

impl Rig {
    /// An estate file and a cache, no state yet.
    pub fn new(name: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        let folder = std::env::temp_dir().join(format!("springtide-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let rig = Self { folder };
        std::fs::create_dir_all(rig.path("cache/odoo/19.0/root")).unwrap();
        std::fs::create_dir_all(rig.path("cache/tools/bin")).unwrap();
        std::fs::write(rig.path("cache/odoo/19.0/stamp"), "odoo=19.0.0\n").unwrap();
        rig.traefik("exec sleep 600");
        rig.declare(ESTATE);
        rig
    }

    /// One that an operation has left something in: secrets, a journal with an error that repeats a
    /// secret, a log that does too.
    pub fn lived(name: &str) -> Self {
        let rig = Self::new(name);
        std::fs::create_dir_all(rig.path("state")).unwrap();
        rig.mode("state", 0o711);
        let secrets = rig.secrets();
        for name in [SecretName::DbApp, SecretName::OdooAdmin, SecretName::OdooDatabaseSecret] {
            secrets.ensure(&Self::secret(name)).unwrap();
        }
        let told = secrets.get(&Self::secret(SecretName::DbApp)).unwrap();
        let store = Store::open(&rig.path("state/springtide.db")).unwrap();
        let prod = "prod".parse().unwrap();
        let now = jiff::Timestamp::now().as_second();
        let epoch = store.take_epoch(ControllerKind::Command, "springtide apply", 0, now - 300).unwrap();
        store.reserve(epoch, &prod, Slot(1), "19.0".parse().unwrap()).unwrap();
        store.certified(epoch, &prod, "prod.localhost", now + 80 * 86_400).unwrap();
        let parts = [None, Some(prod.clone())];
        let begin = Begin { epoch, plan: "p-1234abcd", parts: &parts, approved: &[], by: "springtide apply", steps: 2 };
        let operation = store.begin(&begin, now - 300).unwrap();
        let step = |number, environment, title| Intent { epoch, operation, number, environment, title, action: "{}" };
        store.intend(&step(0, None, "make the certificate authority"), now - 300).unwrap();
        store.settle(epoch, operation, 0, None, now - 299).unwrap();
        store.intend(&step(1, Some(&prod), "run prod/web"), now - 299).unwrap();
        let error = format!("no connection with password={}", told.expose_secret());
        store.settle(epoch, operation, 1, Some(&error), now - 250).unwrap();
        store.end(epoch, operation, "failed: run prod/web", now - 250).unwrap();
        let log = rig.path("state/workloads").join("prod/web".parse::<WorkloadId>().unwrap().folder()).join("log");
        std::fs::create_dir_all(&log).unwrap();
        let lines = format!("2026-11-18 11:06:40,123 7 INFO prod odoo: x\n{error}\n");
        std::fs::write(log.join("current.log"), lines).unwrap();
        rig
    }

    fn secret(name: SecretName) -> SecretRef {
        SecretRef { environment: Some("prod".parse().unwrap()), name }
    }

    pub fn secrets(&self) -> SecretStore {
        SecretStore::open(self.path("state/secrets")).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn declare(&self, text: &str) {
        std::fs::write(self.path("estate.yaml"), text).unwrap();
    }

    /// The stand-in for the proxy.
    pub fn traefik(&self, script: &str) {
        let path = self.path("cache/tools/bin/traefik");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        self.mode("cache/tools/bin/traefik", 0o755);
    }

    pub fn mode(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// `springtide` with the rig's folders, in a network of its own, after `before` in a shell.
    pub fn command_after(&self, before: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "--", "sh", "-c"]).arg(format!("ip link set lo up; {before} exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_springtide"));
        self.dress(&mut command);
        command
    }

    pub fn command(&self) -> Command {
        self.command_after("")
    }

    /// Folders by variables, so that words can come first; a world without the tester's own.
    pub fn dress(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TZ", "Europe/Berlin");
        command.env("SPRINGTIDE_STATE", self.path("state")).env("SPRINGTIDE_CACHE", self.path("cache"));
        command.env("HOME", self.path("home")).env("LC_ALL", "C.UTF-8");
        command.current_dir(&self.folder).stdin(Stdio::null());
    }

    pub fn run(&self, words: &[&str]) -> Said {
        Said::of(self.command().args(words).output().unwrap(), words)
    }

    /// Every file below the rig with its content; SQLite's side files come and go.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.folder.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    found.insert(path.clone(), Vec::new());
                    open.push(path);
                } else if !path.to_string_lossy().ends_with("-shm") && !path.to_string_lossy().ends_with("-wal") {
                    found.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
                }
            }
        }
        found
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.path("state/supervisor.json").exists() {
            let _ = self.run(&["stop"]);
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// What a call said.
pub struct Said {
    pub words: String,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output, words: &[&str]) -> Self {
        Self {
            words: words.join(" "),
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            err: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }

    #[track_caller]
    pub fn code_is(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self}");
    }

    /// Checks the exit code and that all of `parts` were said on stderr.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self}");
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in\n{self}");
        }
        self.is_whole_failure();
    }

    /// What failed, a code that is explained, what is unchanged, the next command.
    #[track_caller]
    pub fn is_whole_failure(&self) {
        let at = self.err.find("error E").unwrap_or_else(|| panic!("no error code in\n{self}"));
        let lines: Vec<&str> = self.err[at..].lines().collect();
        assert!(lines[0].len() > 14, "{self}");
        assert!(lines.iter().any(|line| line.starts_with("  next: ") && line.len() > 10), "no next in\n{self}");
        let between = lines.iter().skip(1).take_while(|line| !line.starts_with("  next: ")).last();
        assert!(between.is_some_and(|line| line.trim_end().ends_with('.')), "nothing on what is unchanged in\n{self}");
        self.code_is_explained(&self.err[at + 6..at + 11]);
    }

    #[track_caller]
    pub fn code_is_explained(&self, code: &str) {
        let known = springtide_core::check::explanation(code).or_else(|| springtide_core::plan::explanation(code));
        assert!(known.is_some(), "{code} has no explanation: {self}");
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "not one line on stdout: {self}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "springtide {} -> {:?}\n{}---\n{}", self.words, self.code, self.out, self.err)
    }
}

/// Every verb as clap has it, with samples for the arguments it must have.
pub fn verbs() -> Vec<(String, Vec<String>)> {
    let command = args::Cli::command();
    let verbs = command.get_subcommands().map(|verb| {
        let name = verb.get_name().to_owned();
        let mut words = vec![name.clone()];
        for arg in verb.get_positionals().filter(|arg| arg.is_required_set()) {
            words.push(sample(&name, arg.get_id().as_str()).to_owned());
        }
        for arg in verb.get_arguments().filter(|arg| arg.is_required_set() && !arg.is_positional()) {
            words.push(format!("--{}", arg.get_long().expect("it has a long name")));
            words.push(sample(&name, arg.get_id().as_str()).to_owned());
        }
        // It may be left out only for another thing that it shows.
        if name == "open" {
            words.push("prod".to_owned());
        }
        // It would not come back.
        if name == "serve" {
            words.push("--dry-run".to_owned());
        }
        (name, words)
    });
    let verbs: Vec<_> = verbs.collect();
    assert!(verbs.len() >= 15, "the tree is not whole: {verbs:?}");
    verbs
}

fn sample(verb: &str, argument: &str) -> &'static str {
    match argument {
        "environment" => "prod",
        "action" => "list",
        "workload" => "prod/web",
        "thing" => "E0701",
        "shell" => "bash",
        "command" => "true",
        "reason" => "a test",
        "to" => "newest",
        "into" => "back",
        other => panic!("{verb} has a new argument {other}: give it a sample here"),
    }
}

pub fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// `springtide` at a terminal, by script(1); what the terminal got.
pub fn at_a_terminal(rig: &Rig, words: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("script");
    let inner = format!("unshare -n {} {words}", env!("CARGO_BIN_EXE_springtide"));
    command.args(["-qec", &inner, "/dev/null"]);
    rig.dress(&mut command);
    command.env("TERM", "xterm-256color").envs(variables.iter().copied());
    let output = command.output().expect("script(1) is there");
    String::from_utf8(output.stdout).expect("UTF-8")
}

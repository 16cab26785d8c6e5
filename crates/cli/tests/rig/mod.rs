//! What the end-to-end tests share: a state folder with an estate file, the command, and ways to look
//! at what is really there ([`machine`]) and at what processes show ([`watch`]), to use Odoo as people do
//! ([`odoo`]), and to hand templates from one test to the next ([`templates`]).
//!
//! They need root and what `scripts/setup --series 19.0 --series 14.0` puts on the machine; without it
//! they fail and say so. Ports are fixed, so one estate at a time: every test binary has one test, and
//! cargo runs test binaries one after another. Everything lives in a state folder of its own and is
//! stopped when the rig goes, also when an assertion failed.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod bus;
pub mod machine;
pub mod odoo;
pub mod templates;
pub mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use springtide_core::names::EnvironmentName;
use springtide_core::workload::{SecretName, SecretRef, Volume};
use springtide_data::secrets::SecretStore;
use springtide_driver::{Driver as _, ProcessDriver};

pub const HTTP: u16 = 18_090;
pub const HTTPS: u16 = 18_453;
/// Both series, as most tests have them.
pub const NEW: &str = "{ name: new, odoo: { series: \"19.0\", modules: [stock, sale_management] } }";
pub const OLD: &str = "{ name: old, odoo: { series: \"14.0\", modules: [stock, sale_management] } }";

/// One state folder and its estate file.
pub struct Rig {
    pub folder: PathBuf,
    /// Roots and tools; a folder of ours that points at the real ones and adds test modules.
    pub cache: PathBuf,
    begun: Instant,
}

/// A step of a plan, as `plan --json` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Environment, or `estate`.
    pub environment: String,
    /// Title, as the journal and the terminal have it.
    pub title: String,
    /// Kind of its action, as in JSON: `ensure-workload`.
    pub kind: String,
}

impl std::fmt::Display for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.environment, self.title)
    }
}

impl Rig {
    /// An empty state folder. Templates of earlier tests are put into it when it is `seeded`.
    pub fn new(name: &str, seeded: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("springtide-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be made");
        let cache = templates::cache(&folder.join("cache"));
        let rig = Self { folder, cache, begun: Instant::now() };
        if seeded {
            templates::seed(&rig.state(), &rig.cache);
        }
        rig
    }

    /// Says a line with the seconds since the rig was made.
    #[allow(clippy::print_stderr, reason = "a test's own report")]
    pub fn say(&self, text: impl std::fmt::Display) {
        eprintln!("[{:>6.1} s] {text}", self.begun.elapsed().as_secs_f64());
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Writes the estate file with these environments.
    pub fn declare(&self, environments: &[&str]) {
        let mut text =
            format!("estate: e2e\nplatform: {{ ingress: {{ http: {HTTP}, https: {HTTPS} }} }}\nenvironments:\n");
        for environment in environments {
            text.push_str(&format!("  - {environment}\n"));
        }
        std::fs::write(self.folder.join("estate.yaml"), text).expect("the estate file can be written");
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_springtide"));
        command.arg("--state").arg(self.state()).arg("--cache").arg(&self.cache);
        command.arg("--file").arg(self.folder.join("estate.yaml"));
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command().args(words).stdin(Stdio::null()).output().expect("springtide starts")
    }

    /// Runs and expects an exit code; returns stdout.
    pub fn expect(&self, words: &[&str], code: i32) -> String {
        self.both(words, code).0
    }

    /// Runs and expects an exit code; returns stdout and stderr.
    pub fn both(&self, words: &[&str], code: i32) -> (String, String) {
        let output = self.run(words);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "springtide {words:?}\n{out}\n{err}");
        (out, err)
    }

    /// Runs and expects an exit code; returns the one JSON object on stdout.
    pub fn json(&self, words: &[&str], code: i32) -> Value {
        let out = self.expect(words, code);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("springtide {words:?}: {error}\n{out}"))
    }

    /// Applies, and sees that nothing is left to do.
    pub fn apply(&self) {
        let begun = Instant::now();
        self.expect(&["apply", "--yes"], 0);
        assert_eq!(self.expect(&["plan"], 0), "no changes\n");
        self.say(format!("applied in {:.1} s", begun.elapsed().as_secs_f64()));
        templates::keep(&self.state(), &self.cache);
    }

    /// Steps of the plan as it is now; none if there is nothing to do.
    pub fn steps(&self) -> Vec<Planned> {
        self.steps_of(&["plan", "--json"])
    }

    /// Steps of any command that prints a plan as JSON, such as a dry run.
    pub fn steps_of(&self, words: &[&str]) -> Vec<Planned> {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 2)), "springtide {words:?}\n{text}\n{err}");
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}\n{text}"));
        let plan: springtide_core::plan::Plan =
            serde_json::from_value(answer["plan"].clone()).expect("a plan comes back as it was written");
        let parts = plan.environments.iter().flat_map(|part| {
            let environment = part.environment.as_ref().map_or("estate".to_owned(), ToString::to_string);
            part.steps.iter().map(move |step| {
                let action = serde_json::to_value(&step.action).expect("an action can be written");
                let kind = action["do"].as_str().expect("it says what it does").to_owned();
                Planned { environment: environment.clone(), title: step.action.title(), kind }
            })
        });
        parts.collect()
    }

    /// Starts `words` with every output kept from us but stderr, to be cut off.
    pub fn spawn(&self, words: &[&str], die_at: Option<&str>) -> Child {
        let mut command = self.command();
        if let Some(point) = die_at {
            command.env("SPRINGTIDE_DIE_AT", point);
        }
        let command = command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("springtide starts")
    }

    pub fn status(&self) -> Value {
        let output = self.run(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).expect("status is JSON");
        status["observation"].clone()
    }

    /// What `status` says of every workload: `new/web`, `proxy` → pid, restarts, state.
    pub fn workloads(&self) -> BTreeMap<String, machine::Workload> {
        let seen = self.status();
        let mut all = BTreeMap::new();
        let mut add = |prefix: &str, workloads: &Value| {
            for (role, it) in workloads.as_object().into_iter().flatten() {
                let workload = machine::Workload {
                    pid: it["pid"].as_i64().map(|pid| pid as i32),
                    restarts: it["restarts"].as_u64().unwrap_or_default(),
                    state: it["state"].as_str().unwrap_or_default().to_owned(),
                };
                all.insert(format!("{prefix}{role}"), workload);
            }
        };
        add("", &seen["estate"]);
        for (name, it) in seen["environments"].as_object().into_iter().flatten() {
            add(&format!("{name}/"), &it["workloads"]);
        }
        all
    }

    pub fn pid(&self, workload: &str) -> Option<i32> {
        self.workloads().get(workload)?.pid
    }

    pub fn driver(&self) -> ProcessDriver {
        ProcessDriver::new(self.state(), env!("CARGO_BIN_EXE_springtide").into(), self.cache.clone())
    }

    pub fn secrets(&self) -> SecretStore {
        SecretStore::open(self.state().join("secrets")).expect("the store opens")
    }

    pub fn secret(&self, environment: Option<&str>, name: SecretName) -> SecretString {
        let environment = environment.map(|name| name.parse().expect("a name"));
        self.secrets().get(&SecretRef { environment, name }).expect("the secret is there")
    }

    /// The first password of `admin`, as `open` tells it to people.
    pub fn password(&self, environment: &str) -> String {
        let text = self.expect(&["open", environment], 0);
        let line = text.lines().find(|line| line.contains("password")).expect("open tells the password");
        let word = line.rsplit(' ').next().expect("it is the last word").to_owned();
        assert_eq!(word, self.secret(Some(environment), SecretName::OdooAdmin).expose_secret());
        word
    }

    /// The whole log of a workload, with what was rotated away.
    pub fn log(&self, workload: &str) -> String {
        let files = self.driver().logs(&workload.parse().expect("a workload"));
        files
            .iter()
            .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned())
            .collect()
    }

    pub fn volume(&self, environment: &str, volume: Volume) -> PathBuf {
        let name: EnvironmentName = environment.parse().expect("a name");
        self.driver().volume(Some(&name), volume)
    }

    /// Slot of an environment, as recorded.
    pub fn slot(&self, environment: &str) -> springtide_core::layout::Slot {
        let slot = &self.status()["environments"][environment]["slot"];
        springtide_core::layout::Slot(u16::try_from(slot.as_u64().expect("it has a slot")).expect("it is small"))
    }

    /// A superuser session in a database of an environment, over its Unix socket.
    pub async fn database(&self, environment: &str, database: &str) -> tokio_postgres::Client {
        let port = self.slot(environment).port(springtide_core::role::Role::Postgres).expect("it has a port");
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.volume(environment, Volume::PostgresSocket)).port(port).user("postgres").dbname(database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the superuser gets in");
        tokio::spawn(connection);
        client
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let stopped = self.run(&["stop"]);
        if std::thread::panicking() {
            self.say(format!("left for a look: {}", self.folder.display()));
            return;
        }
        assert!(stopped.status.success(), "stop: {}", String::from_utf8_lossy(&stopped.stderr));
        let left = machine::ours(self);
        assert!(left.is_empty(), "stop left {left:#?}");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Asks until it is so, or panics after `seconds`; returns how long it took.
pub async fn until(what: &str, seconds: u64, mut check: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        if check().await {
            return begun.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not within {seconds} s");
}

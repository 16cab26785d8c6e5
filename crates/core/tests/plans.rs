//! Golden plan scripts: `tests/plans/*.txt` read like runbooks. A line that starts with `$ ` is a
//! command; what follows is what it must print. `UPDATE=1 cargo test -p springtide-core` rewrites them.
//!
//! Commands: `host CPUS MEMORY SERIES...`, `estate` (indented YAML follows), `at UNIX_SECONDS`, `plan`,
//! `apply` (plays the plan's effect on the observation), `fail ENV/ROLE` (its supervisor gave up).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use springtide_core::check::{CheckedEstate, parse_and_check};
use springtide_core::lint::lint;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{
    DatabaseObservation, EnvironmentObservation, Observation, Observed, WorkloadObservation, WorkloadState,
};
use springtide_core::plan::{Action, Plan, Risk, plan};
use springtide_core::units::ByteSize;
use springtide_core::workload::{SecretName, SecretRef, WorkloadId};

#[derive(Default)]
struct World {
    estate: Option<CheckedEstate>,
    seen: Observation,
    now: i64,
}

impl World {
    fn estate(&self) -> &CheckedEstate {
        self.estate.as_ref().expect("the script declares an estate first")
    }

    fn plan(&self) -> Plan {
        let planned = plan(self.estate(), &self.seen, self.now);
        assert_eq!(lint(&planned), Vec::<String>::new(), "every plan is clean");
        assert_eq!(planned, plan(self.estate(), &self.seen, self.now), "same input, same plan");
        planned
    }

    fn apply(&mut self) {
        for step in self.plan().steps() {
            self.effect(&step.action);
        }
    }

    fn environment(&mut self, name: &EnvironmentName) -> &mut EnvironmentObservation {
        self.seen.environments.get_mut(name).expect("its slot is reserved before anything else")
    }

    fn effect(&mut self, action: &Action) {
        match action.clone() {
            Action::EnsureAuthority => {
                self.seen.secrets.insert(SecretRef { environment: None, name: SecretName::AuthorityCertificate });
            }
            Action::ReserveSlot { environment, slot, series } => {
                let new = EnvironmentObservation {
                    slot,
                    series: Some(series),
                    data: false,
                    certificate: None,
                    destroying: None,
                    database: Observed::Unknown("postgres does not run".into()),
                    workloads: Default::default(),
                    route: Observed::Known(None),
                };
                self.seen.environments.insert(environment, new);
            }
            Action::EnsureSecrets { environment } => {
                for name in SecretName::ENVIRONMENT {
                    self.seen.secrets.insert(SecretRef { environment: Some(environment.clone()), name });
                }
            }
            Action::EnsureCertificate { environment, host } => {
                let until = self.now + 90 * 86_400;
                self.environment(&environment).certificate = Some((host.to_string(), until));
            }
            Action::BuildTemplate { key, .. } => {
                self.seen.templates.insert(key);
            }
            Action::CopyTemplate { environment, .. } => self.environment(&environment).data = true,
            Action::EnsureWorkload { id: WorkloadId { environment, role }, digest } => {
                let state = WorkloadState::Ready;
                let ready = WorkloadObservation {
                    digest,
                    state,
                    pid: Some(1),
                    restarts: 0,
                    up_s: None,
                    resident_bytes: None,
                    why: String::new(),
                };
                match environment {
                    Some(name) => self.environment(&name).workloads.insert(role, ready),
                    None => self.seen.estate.insert(role, ready),
                };
            }
            Action::ConfigureDatabase { environment, fingerprint } => {
                let declared = self.estate().environments.iter().find(|it| it.name == environment);
                let modules: BTreeSet<_> = declared.expect("it is declared").modules.iter().cloned().collect();
                let seen = DatabaseObservation { configured: Some(fingerprint), modules, half: BTreeSet::new() };
                self.environment(&environment).database = Observed::Known(seen);
            }
            Action::InstallModules { environment, modules } => {
                if let Observed::Known(database) = &mut self.environment(&environment).database {
                    database.modules.extend(modules);
                }
            }
            Action::EnsureRoute { environment, digest } => {
                self.environment(&environment).route = Observed::Known(Some(digest))
            }
            Action::Verify { .. } => {}
        }
    }
}

fn show(planned: &Plan) -> String {
    let mut text = String::new();
    if planned.is_empty() {
        text.push_str("no changes\n");
    }
    for part in &planned.environments {
        let _ = writeln!(text, "{}", part.environment.as_ref().map_or("estate", EnvironmentName::as_str));
        for step in &part.steps {
            let risk = if step.risk >= Risk::Restart {
                format!(" [restart ~{} s]", step.interruption_s)
            } else {
                String::new()
            };
            // A template's key is a digest: not for people.
            let title = match &step.action {
                Action::CopyTemplate { .. } => "copy the template".to_owned(),
                other => other.title(),
            };
            let _ = writeln!(text, "  {title}: {}{risk}", step.reason);
        }
        for wait in &part.waits {
            let _ = writeln!(text, "  waits: {wait}");
        }
    }
    for refusal in &planned.refusals {
        let _ =
            writeln!(text, "refused {} {}: {}\n  {}", refusal.code, refusal.environment, refusal.text, refusal.hint);
    }
    for name in &planned.undeclared {
        let _ = writeln!(text, "{name}: not declared, left alone");
    }
    text
}

fn play(script: &str) -> String {
    let mut world = World::default();
    let mut out = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            if line.starts_with('#') || line.is_empty() {
                let _ = writeln!(out, "{line}");
            }
            continue;
        };
        let _ = writeln!(out, "{line}");
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["host", cpus, memory, series @ ..] => {
                world.seen.host.cpus = cpus.parse().expect("cpus");
                world.seen.host.memory_bytes = memory.parse::<ByteSize>().expect("memory").bytes();
                world.seen.host.postgres_major = Some(15);
                world.seen.host.odoo_roots =
                    series.iter().map(|it| (it.parse().expect("series"), "x".into())).collect();
            }
            ["estate"] => {
                let mut yaml = String::new();
                while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
                    let _ = writeln!(out, "{line}");
                    let _ = writeln!(yaml, "{}", &line[4..]);
                }
                world.estate = Some(
                    parse_and_check("estate.yaml", &yaml).unwrap_or_else(|e| panic!("{}", e.render(100, false, false))),
                );
            }
            ["at", second] => world.now = second.parse().expect("seconds"),
            ["plan"] => out.push_str(&show(&world.plan())),
            ["apply"] => world.apply(),
            ["fail", workload] => {
                let id: WorkloadId = workload.parse().expect("environment/role");
                let workloads = &mut world.environment(&id.environment.expect("an environment")).workloads;
                let it = workloads.get_mut(&id.role).expect("it runs");
                it.state = WorkloadState::GaveUp;
                it.why = "8 starts in 10 min, exit code 1".into();
            }
            _ => panic!("unknown command {command:?}"),
        }
    }
    out
}

#[test]
fn every_script_prints_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut played = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder is there").flatten() {
        let path = entry.path();
        let script = std::fs::read_to_string(&path).expect("the script can be read");
        let got = play(&script);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &got).expect("the script can be written");
        } else {
            assert_eq!(got, script, "{}", path.display());
        }
        played += 1;
    }
    assert!(played >= 3, "only {played} scripts found in {}", folder.display());
}

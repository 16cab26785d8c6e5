//! Golden plan scripts: `tests/plans/*.txt` read like runbooks. A line that starts with `$ ` is a
//! command; what follows is what it must print. `UPDATE=1 cargo test -p springtide-core` rewrites them.
//!
//! Commands: `host CPUS MEMORY SERIES...`, `postgres MAJOR|none` (programs of another version), `estate` (indented YAML follows), `at UNIX_SECONDS`, `plan`,
//! `apply` (plays the plan's effect on the observation), `destroy ENV [backup FOLDER | reason TEXT |
//! cut-off-after STEPS]` (plans it and plays it), `fail ENV/ROLE` (its supervisor gave up), `edit ENV/ROLE FILE
//! [reloadable]` (somebody changes a file of it), `override ENV SETTING` (somebody uses ALTER SYSTEM),
//! `half ENV MODULE [needs MODULE... | auto MODULE...]` (an installation was cut off before this one, which needs
//! others that are half way; `auto`: Odoo installs it by itself with them), `missing PACKAGE...` (packages that are
//! not there; none after a bare one), `port NUMBER PROGRAM` (who listens there), `seed ENV FROM SET LSN` (it
//! is to be filled from a restore).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use springtide_core::backup::{RepoKey, Target};
use springtide_core::check::parse_and_check;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{EditedFile, EnvironmentObservation, HalfModule, Observed, Seed, WorkloadState};
use springtide_core::plan::destroy::Proof;
use springtide_core::plan::{Action, Plan, Risk, plan};
use springtide_core::units::ByteSize;

mod world;
use world::World;

fn show(planned: &Plan) -> String {
    let mut text = String::new();
    if planned.is_empty() {
        text.push_str("no changes\n");
    }
    for part in &planned.environments {
        let _ = writeln!(text, "{}", part.environment.as_ref().map_or("estate", EnvironmentName::as_str));
        for step in &part.steps {
            let risk = if step.risk == Risk::Destructive {
                " [destroys]".to_owned()
            } else if step.risk >= Risk::Restart {
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
            ["postgres", "none"] => world.seen.host.postgres_major = None,
            ["postgres", major] => world.seen.host.postgres_major = Some(major.parse().expect("a number")),
            ["plan"] => out.push_str(&show(&world.plan())),
            ["apply"] => world.apply(),
            ["destroy", name, rest @ ..] => {
                let (proof, cut) = match rest {
                    [] => (None, None),
                    ["backup", folder] => (Some(Proof::FinalBackup { folder: (*folder).into() }), None),
                    ["reason", words @ ..] => (Some(Proof::Reason { text: words.join(" ") }), None),
                    ["cut-off-after", steps] => (None, Some(steps.parse().expect("a number"))),
                    other => panic!("destroy {other:?}"),
                };
                let planned = world.destroy(name, proof);
                out.push_str(&show(&planned));
                for step in planned.steps().take(cut.unwrap_or(usize::MAX)) {
                    world.effect(&step.action);
                }
            }
            ["fail", workload] => {
                let it = world.workload(&workload.parse().expect("environment/role"));
                it.state = WorkloadState::GaveUp;
                it.why = "8 starts in 10 min, exit code 1".into();
            }
            ["edit", workload, name, rest @ ..] => {
                let file = EditedFile { name: (*name).into(), reloadable: rest == ["reloadable"] };
                world.workload(&workload.parse().expect("environment/role")).edited.push(file);
            }
            ["missing", packages @ ..] => {
                world.seen.host.missing = packages.iter().map(|package| (*package).to_owned()).collect();
            }
            ["port", number, program @ ..] => {
                let holder = (number.parse().expect("a port"), program.join(" "));
                world.seen.host.foreign_ports.extend([holder]);
            }
            ["seed", name, from, set, lsn] => {
                let seed = Seed {
                    from: from.parse().expect("a name"),
                    repo: RepoKey::Near,
                    set: set.parse().expect("a set"),
                    target: Target::Lsn(lsn.parse().expect("a position")),
                    neutralise: false,
                };
                world.seen.seeds.insert(name.parse().expect("a name"), seed);
            }
            ["override", name, setting] => {
                let seen = world.environment(&name.parse().expect("a name"));
                let Observed::Known(database) = &mut seen.database else { panic!("{name} has no database") };
                database.overridden.insert((*setting).into());
            }
            ["half", name, module, rest @ ..] => {
                let seen = world.environment(&name.parse().expect("a name"));
                let Observed::Known(database) = &mut seen.database else { panic!("{name} has no database") };
                let needs: BTreeSet<_> = rest.iter().skip(1).map(|it| it.parse().expect("a module")).collect();
                let comes_with = (rest.first() == Some(&"auto")).then(|| needs.clone());
                database.half.insert(module.parse().expect("a module"), HalfModule { needs, comes_with });
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

#[test]
fn more_environments_than_slots_are_refused_and_ports_decide_how_many() {
    use springtide_core::check::DriverKind;
    use springtide_core::layout::{LAST_SLOT, Slot};

    let mut world = World::default();
    world.seen.host.postgres_major = Some(15);
    world.seen.host.odoo_roots.insert("19.0".parse().expect("series"), "x".into());
    let mut yaml = "estate: acme\nenvironments:\n".to_owned();
    (0..=LAST_SLOT).for_each(|number| writeln!(yaml, "  - {{ name: e{number} }}").expect("a string can be written"));
    let mut estate = parse_and_check("estate.yaml", &yaml).unwrap_or_else(|report| panic!("{report}"));
    let codes = |planned: &Plan| planned.refusals.iter().map(|it| it.code.clone()).collect::<Vec<_>>();

    let refused = plan(&estate, &world.seen, 0);
    assert_eq!(codes(&refused), ["E0708"]);
    assert_eq!(refused.refusals[0].environment.as_str(), format!("e{LAST_SLOT}"), "the first that has no slot");
    assert_eq!(refused.steps().count(), 0);

    estate.environments.pop();
    assert_eq!(codes(&plan(&estate, &world.seen, 0)), [""; 0], "the last slot still has its ports");

    // Where environments listen in networks of their own, ports are no limit.
    estate.platform.driver = DriverKind::Kubernetes;
    let outside = |planned: &Plan| {
        let slots = planned.steps().filter_map(|step| match step.action {
            Action::ReserveSlot { slot, .. } => Some(slot),
            _ => None,
        });
        slots.max()
    };
    world.seen.environments.insert("other".parse().expect("name"), beyond());
    estate.environments.extend(parse_and_check("estate.yaml", &yaml).expect("checked").environments.pop());
    let planned = plan(&estate, &world.seen, 0);
    assert_eq!((codes(&planned), outside(&planned)), (Vec::new(), Some(Slot(LAST_SLOT + 2))));
}

/// An environment that holds slot 1, so that others begin at 2.
fn beyond() -> EnvironmentObservation {
    EnvironmentObservation {
        slot: springtide_core::layout::Slot(1),
        series: None,
        data: false,
        data_major: None,
        certificate: None,
        destroying: None,
        database: Observed::Unknown("it does not run".into()),
        workloads: Default::default(),
        route: Observed::Known(None),
        repository: None,
    }
}

#[test]
fn a_plan_for_what_is_new_can_still_be_approved_a_minute_later() {
    let estate = parse_and_check("estate", "estate: acme\nenvironments: [{ name: dev }]").unwrap();
    let host = springtide_core::observe::HostFacts {
        cpus: 4,
        memory_bytes: 16 << 30,
        postgres_major: Some(17),
        odoo_roots: [(estate.environments[0].series, "1".to_owned())].into(),
        ..Default::default()
    };
    let seen = springtide_core::observe::Observation { host, ..Default::default() };
    let at = |now| plan(&estate, &seen, now);
    // Ten in the morning, UTC.
    let ten = 20_000 * 86_400 + 36_000;
    assert!(at(ten).steps().count() > 5);
    assert_eq!(at(ten), at(ten + 60));
    assert_ne!(at(ten).id, at(ten + 86_400).id, "the certificate is another one");
}

//! The texts of workloads and routes, held against the version they belong to; and digests, held
//! against the texts they stand for.

use std::collections::BTreeMap;

use springtide_capacity::budget::{MAINTENANCE, MONITOR, RUNNER};
use springtide_core::check::{CheckedEstate, parse_and_check};
use springtide_core::digest::Digest;
use springtide_core::layout::Slot;
use springtide_core::observe::HostFacts;
use springtide_core::role::Role;
use springtide_core::roles::{self, RENDER_VERSION, proxy, route};
use springtide_core::sizing::{SizedEnvironment, size};
use springtide_core::workload::WorkloadSpec;

/// What the texts of each version come to. If the last row is wrong, texts have changed: raise
/// `RENDER_VERSION` and add a row, so that what runs is brought to the new texts.
const TEXTS: [(u16, &str); 6] = [
    (1, "422d4d42bac02be83ee52366dbf4252a"),
    (2, "5de85b7f3f2d68f5959686450a7d18bd"),
    (3, "ea7750208d36a511f7f0e47ae470a5df"),
    (4, "3b5703098a23ad7874c899582cc35939"),
    (5, "ce916ff986de38725c0840865111237a"),
    (6, "d88fe0ea685cf9506e58419704a89b81"),
];

fn estate(text: &str) -> CheckedEstate {
    parse_and_check("estate.yaml", text).unwrap_or_else(|report| panic!("{report}"))
}

/// Every series, small and large, plain and with everything fixed by hand.
fn canonical() -> CheckedEstate {
    let mut text = "estate: acme\nenvironments:\n".to_owned();
    for series in ["14.0", "15.0", "16.0", "17.0", "18.0", "19.0"] {
        let name = series.replace('.', "-");
        let odoo = format!("odoo: {{ series: \"{series}\", accept_declared: true }}");
        text.push_str(&format!("  - {{ name: plain-{name}, {odoo} }}\n"));
        text.push_str(&format!(
            "  - {{ name: fixed-{name}, host: erp.{name}.example, {odoo}, workers: {{ web: 7, cron: 2, jobs: 3 }}, \
             resources: {{ cpus: 8, memory: 32GiB }}, database: {{ max_connections: 150 }}, \
             backup: {{ near: \"file:///mnt/near\", far: s3://acme-far/x }} }}\n"
        ));
    }
    text.push_str("  - { name: plain-backup, backup: {} }\n");
    text.push_str(
        "stores:\n  - { name: acme-far, endpoint: \"https://far.example\", authority: /ca, credentials: /keys }\n",
    );
    estate(&text)
}

fn host() -> HostFacts {
    HostFacts { cpus: 4, memory_bytes: 16 << 30, ..HostFacts::default() }
}

fn sized<'a>(estate: &'a CheckedEstate, host: &HostFacts) -> Vec<SizedEnvironment<'a>> {
    let all = estate.environments.iter().zip(1..);
    all.map(|(environment, slot)| size(environment, &estate.peaks, Slot(slot), host, 2, 0, 7)).collect()
}

/// A spec's text alone.
fn text(spec: WorkloadSpec) -> String {
    serde_json::to_string(&WorkloadSpec { made_from: None, ..spec }).expect("a spec can be written")
}

#[test]
fn texts_belong_to_their_version() {
    let estate = canonical();
    let mut texts = vec![text(proxy::notice()), text(proxy::proxy(&estate.platform.ingress)), route::shared().1];
    for environment in sized(&estate, &host()) {
        texts.extend(Role::ENVIRONMENT.map(|role| text(roles::workload(&environment, role))));
        // The name of its own digest is no part of a route's text.
        let route = route::route(&environment);
        texts.push(route.content.replace(&route.digest.to_string(), ""));
    }
    // Nor is the content of the add-on, which is part of the digests by itself.
    let texts = texts.join("\n").replace(&roles::runtime::digest().to_string(), "");
    let found = Digest::of_bytes(texts.as_bytes()).to_string();
    let (version, texts) = TEXTS[TEXTS.len() - 1];
    assert_eq!((RENDER_VERSION, found.as_str()), (version, texts), "raise RENDER_VERSION and add a row to TEXTS");
    assert!(TEXTS.is_sorted_by(|one, next| one.0 < next.0 && one.1 != next.1));
}

#[test]
fn every_role_of_an_environment_has_the_cores_of_its_environment_as_its_limit() {
    let estate = canonical();
    let mut seen = std::collections::BTreeSet::new();
    for environment in sized(&estate, &host()) {
        let name = &environment.environment.name;
        // Half of the machine, or what the file says.
        let cpus = if name.as_str().starts_with("plain") { 2 } else { 8 };
        for role in Role::ENVIRONMENT {
            let limits = roles::workload(&environment, role).limits;
            assert_eq!(limits.cpu_milli, Some(cpus * 1000), "{name}/{role}");
            // A memory limit would make the kernel end one backend, and PostgreSQL then all others.
            assert_eq!(limits.memory_bytes.is_some(), role != Role::Postgres, "{name}/{role}");
            seen.insert((role, cpus));
        }
    }
    assert_eq!(seen.len(), 2 * Role::ENVIRONMENT.len());
    // The entrance is everybody's.
    let ingress = &estate.platform.ingress;
    assert_eq!([proxy::notice().limits.cpu_milli, proxy::proxy(ingress).limits.cpu_milli], [None, None]);
}

#[test]
fn one_digest_stands_for_one_text() {
    let base = "name: prod, host: a.example, users: 10";
    let changes = [
        "name: prod, host: a.example, users: 10",
        "name: prod, host: b.example, users: 10",
        "name: other, host: a.example, users: 10",
        "name: prod, host: a.example, users: 400",
        "name: prod, host: a.example, users: 10, workers: { web: 3 }",
        "name: prod, host: a.example, users: 10, workers: { cron: 2 }",
        "name: prod, host: a.example, users: 10, workers: { jobs: 4 }",
        "name: prod, host: a.example, users: 10, resources: { memory: 7GiB }",
        "name: prod, host: a.example, users: 10, resources: { cpus: 3 }",
        "name: prod, host: a.example, users: 10, database: { max_connections: 90 }",
        "name: prod, host: a.example, users: 10, odoo: { series: \"14.0\" }",
        "name: prod, host: a.example, users: 10, backup: {}",
        "name: prod, host: a.example, users: 10, backup: { far: \"file:///mnt/far\" }",
        "name: prod, host: a.example, users: 10, backup: { full: 1d, restore_test: weekly }",
    ];
    assert_eq!(changes[0], base, "the first is what the others are compared with");
    let mut differing = BTreeMap::new();
    let mut known: BTreeMap<Digest, String> = BTreeMap::new();
    let mut names: BTreeMap<String, Digest> = BTreeMap::new();
    for (change, slot) in changes.iter().flat_map(|change| [(change, 1), (change, 2)]) {
        let estate = estate(&format!("estate: acme\nenvironments: [{{ {change} }}]\n"));
        let sized = size(&estate.environments[0], &[], Slot(slot), &host(), 1, 0, 7);
        for role in Role::ENVIRONMENT {
            let spec = roles::workload(&sized, role);
            let digest = roles::digest(&sized, role);
            assert_eq!(spec.digest(), digest, "{role} of {change}");
            let text = text(spec);
            assert_eq!(known.entry(digest).or_insert_with(|| text.clone()), &text, "{role} of {change}");
            assert_eq!(*names.entry(text).or_insert(digest), digest, "{role} of {change}: one text, two digests");
            differing.entry(role).or_insert_with(std::collections::BTreeSet::new).insert(digest);
        }
        let route = route::route(&sized);
        assert_eq!(route.digest, route::digest(&sized));
        assert_eq!(known.entry(route.digest).or_insert_with(|| route.content.clone()), &route.content, "{change}");
    }
    // What a role does not read does not change it, or every edit would restart everything.
    let counts: Vec<(Role, usize)> = differing.into_iter().map(|(role, all)| (role, all.len())).collect();
    let of_both_slots = [
        (Role::Postgres, 2 * 7),
        (Role::Pooler, 2 * 7),
        (Role::Sessions, 2 * 4),
        (Role::Web, 2 * 7),
        (Role::Live, 2 * 5),
        (Role::Cron, 2 * 5),
        (Role::Jobs, 2 * 6),
    ];
    assert_eq!(counts, of_both_slots);
}

#[test]
fn the_budget_counts_all_that_may_connect() {
    let estate = canonical();
    for environment in sized(&estate, &host()) {
        let pooler = roles::workload(&environment, Role::Pooler);
        let ini = pooler.files.iter().find(|file| file.name == "pgbouncer.ini").expect("it has one");
        let ini = serde_json::to_string(&ini.content).expect("text prints");
        let most = ini.split("max_db_connections=").skip(1).map(|rest| {
            let end = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<u32>().expect("a number")
        });
        let most: Vec<u32> = most.collect();
        assert_eq!(most.len(), 2, "{ini}");
        let direct = [RUNNER, MAINTENANCE, MONITOR].map(u32::from);
        let all = most.iter().chain(&direct).sum::<u32>();
        assert_eq!(environment.budget.demand, all, "{}", environment.budget.arithmetic());
    }
}

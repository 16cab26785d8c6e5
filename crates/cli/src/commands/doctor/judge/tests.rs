//! A healthy machine has nothing to mend; each trouble has its finding with a way out.

use super::*;
use crate::commands::doctor::facts::{Recorded, Wanted};
use springtide_core::observe::HostFacts;
use springtide_core::series::Series;

const NOW: i64 = 1_795_000_000;

fn healthy() -> Facts {
    let series = Series::DEFAULT;
    let host = HostFacts {
        cpus: 2,
        memory_bytes: 8 * GIB,
        postgres_major: Some(15),
        odoo_roots: [(series, "19.0.1".to_owned())].into(),
        ..HostFacts::default()
    };
    Facts {
        now: NOW,
        built: NOW - 100,
        user: 0,
        host: Ok(host),
        absent: Vec::new(),
        estate: Ok(Wanted { series: [series].into(), environments: 1, backed_up: 1 }),
        disk: Ok(Disk { free: 50 * GIB, free_inodes: Some((50, 100)) }),
        pgbackrest: Ok(Some((2, 45))),
        places: vec![("/mnt/far".to_owned(), Ok(Some(Disk { free: 50 * GIB, free_inodes: None })))],
        memory_available: Ok(4 * GIB),
        cgroups: vec!["cgroup2"],
        entrance: Vec::new(),
        state: Ok(Some(Folder { is_folder: true, owner: 0, mode: 0o711 })),
        state_path: "/state".into(),
        store: Ok(Some(Recorded {
            certificates: [("prod".to_owned(), NOW + 60 * 86_400)].into(),
            cut_off: None,
            busy: None,
            newest: Some(NOW - 50),
        })),
        supervisor: Ok(Some(Supervisor {
            pid: 7,
            version: env!("CARGO_PKG_VERSION").into(),
            alive: true,
            same_program: Ok(true),
            workloads: 8,
        })),
        secrets: Ok(Some(())),
        routes: Ok([("prod".to_owned(), Ok(true))].into()),
        names: vec![("prod.localhost".into(), Err("no".into()))],
    }
}

fn verdict(facts: &Facts, id: &str) -> Verdict {
    let all = judge(facts);
    let ids: Vec<_> = all.iter().map(|it| it.id.clone()).collect();
    let one = all.into_iter().find(|it| it.id == id).unwrap_or_else(|| panic!("no {id} in {ids:?}"));
    let mends = matches!(one.verdict, Verdict::Warn | Verdict::Fail);
    assert!(!mends || one.fix.is_some(), "{id}: a person must be told what to do");
    one.verdict
}

#[test]
fn a_healthy_machine_has_nothing_to_mend() {
    for finding in judge(&healthy()) {
        assert_eq!((finding.verdict, finding.fix.clone()), (Verdict::Ok, None), "{finding:?}");
    }
}

#[test]
fn each_trouble_has_its_finding() {
    type Break = fn(&mut Facts);
    let cases: [(&str, Verdict, Break); 29] = [
        ("root", Verdict::Warn, |it| it.user = 1000),
        ("clock", Verdict::Fail, |it| it.built = NOW + 3_600),
        ("clock", Verdict::Fail, |it| {
            it.store.as_mut().expect("seen").as_mut().expect("there").newest = Some(NOW + 3_600)
        }),
        ("program-initdb", Verdict::Fail, |it| it.absent.push(("initdb", "postgresql-15"))),
        ("traefik", Verdict::Fail, |it| it.host.as_mut().expect("seen").missing.extend(["traefik".to_owned()])),
        ("postgresql", Verdict::Fail, |it| it.host.as_mut().expect("seen").postgres_major = Some(9)),
        ("postgresql", Verdict::Fail, |it| it.host.as_mut().expect("seen").postgres_major = None),
        ("odoo-19.0", Verdict::Fail, |it| it.host.as_mut().expect("seen").odoo_roots.clear()),
        ("estate-file", Verdict::Fail, |it| it.estate = Err("3 mistakes".into())),
        ("disk", Verdict::Warn, |it| it.disk = Ok(Disk { free: 5 * GIB, free_inodes: None })),
        ("disk", Verdict::Fail, |it| it.disk = Ok(Disk { free: GIB, free_inodes: None })),
        ("inodes", Verdict::Fail, |it| it.disk.as_mut().expect("seen").free_inodes = Some((1, 100))),
        ("pgbackrest", Verdict::Fail, |it| it.pgbackrest = Ok(None)),
        ("pgbackrest", Verdict::Fail, |it| it.pgbackrest = Ok(Some((2, 44)))),
        ("pgbackrest", Verdict::Unknown, |it| it.pgbackrest = Err("it says nothing".into())),
        ("backup-/mnt/far", Verdict::Fail, |it| it.places[0].1 = Ok(None)),
        ("backup-/mnt/far", Verdict::Warn, |it| {
            it.places[0].1 = Ok(Some(Disk { free: 5 * GIB, free_inodes: None }));
        }),
        ("memory", Verdict::Warn, |it| it.estate.as_mut().expect("seen").environments = 9),
        ("memory-available", Verdict::Fail, |it| it.memory_available = Ok(1)),
        ("cgroups", Verdict::Warn, |it| it.cgroups.clear()),
        ("ports", Verdict::Fail, |it| it.entrance.push((8443, "nginx".into()))),
        ("state-folder", Verdict::Fail, |it| it.state.as_mut().expect("seen").as_mut().expect("there").mode = 0o777),
        ("state-folder", Verdict::Fail, |it| it.state.as_mut().expect("seen").as_mut().expect("there").owner = 1000),
        ("store", Verdict::Fail, |it| it.store = Err("not a database".into())),
        ("operation", Verdict::Warn, |it| {
            it.store.as_mut().expect("seen").as_mut().expect("there").cut_off = Some((3, "run prod/web".into()));
        }),
        ("certificate-prod", Verdict::Warn, |it| {
            it.store
                .as_mut()
                .expect("seen")
                .as_mut()
                .expect("there")
                .certificates
                .insert("prod".into(), NOW + 10 * 86_400);
        }),
        ("supervisor", Verdict::Fail, |it| {
            it.supervisor.as_mut().expect("seen").as_mut().expect("there").alive = false
        }),
        ("secrets", Verdict::Fail, |it| it.secrets = Err("damaged".into())),
        ("route-prod", Verdict::Fail, |it| it.routes = Ok([("prod".to_owned(), Ok(false))].into())),
    ];
    for (id, expected, broken) in cases {
        let mut facts = healthy();
        broken(&mut facts);
        assert_eq!(verdict(&facts, id), expected, "{id}");
    }
}

#[test]
fn an_estate_without_backups_needs_nothing_of_them() {
    let mut facts = healthy();
    facts.estate.as_mut().expect("seen").backed_up = 0;
    facts.pgbackrest = Ok(None);
    assert!(judge(&facts).iter().all(|it| it.verdict == Verdict::Ok));
}

#[test]
fn what_cannot_be_seen_is_unknown_and_never_fine() {
    let mut facts = healthy();
    let no = || "not root".to_owned();
    facts.user = 1000;
    facts.host = Err(no());
    facts.store = Err(no());
    facts.supervisor = Err(no());
    facts.secrets = Err(no());
    facts.routes = Err(no());
    for id in ["programs", "store", "supervisor", "secrets", "routes"] {
        assert_eq!(verdict(&facts, id), Verdict::Unknown, "{id}");
    }
}

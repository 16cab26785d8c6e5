//! State folders of earlier releases, taken over by this program; and one of a later release, refused.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::Rig;
use secrecy::ExposeSecret as _;
use springtide_core::workload::{SecretName, SecretRef};
use springtide_server::store::{ControllerKind, Epoch, Store};

/// Copies a folder with the permissions of a state folder, which git does not keep.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::write(&to, std::fs::read(entry.path()).unwrap()).unwrap();
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// A rig whose state folder is what a release left.
fn left_by(release: &str, name: &str) -> Rig {
    let rig = Rig::new(name);
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    copy(&fixtures.join(release), &rig.path("state"));
    rig.mode("state", 0o711);
    rig.declare(
        "estate: e2e\nplatform: { ingress: { http: 18090, https: 18453 } }\nenvironments:\n  \
         - { name: new, odoo: { series: \"19.0\", modules: [] }, resources: { cpus: 1, memory: 2GiB } }\n",
    );
    rig
}

#[test]
fn a_state_folder_of_the_first_release_with_a_server_is_taken_over() {
    let rig = left_by("state-v4", "upgraded");
    let history = rig.run(&["history", "--json"]).json();
    let told: Vec<_> = history["operations"].as_array().unwrap().iter().map(|it| (&it["id"], &it["outcome"])).collect();
    let told: Vec<_> = told.into_iter().map(|(id, how)| (id.as_u64().unwrap(), how.as_str().unwrap())).collect();
    let expected = [(56, "done"), (55, "cut off"), (54, "cut off"), (3, "cut off"), (2, "cut off"), (1, "cut off")];
    assert_eq!(told, expected);

    // Looked at without a supervisor: what the workloads' records tell.
    let status = rig.run(&["status", "--json"]).json();
    let new = &status["observation"]["environments"]["new"];
    assert_eq!((new["slot"].as_u64(), new["certificate"]["host"].as_str()), (Some(1), Some("new.localhost")));
    let web = &new["workloads"]["web"];
    assert_eq!(web["state"], "stopped", "{web}");
    assert_eq!(web["digest"], "9866b6326c7b542709047b857cf4bac3");
    assert!(new["workloads"]["postgres"].is_object() && status["observation"]["estate"]["proxy"].is_object());
    let secrets = status["observation"]["secrets"].as_array().unwrap().len();
    assert_eq!(secrets, 25, "all are seen");
    let secret = SecretRef { environment: Some("new".parse().unwrap()), name: SecretName::DbAppVerifier };
    let verifier = rig.secrets().get(&secret).unwrap();
    assert!(verifier.expose_secret().starts_with("SCRAM-SHA-256$"), "it can be read");
    assert_eq!(status["observation"]["secrets"].as_array().unwrap().len(), secrets);

    // Who acts next stands above whoever acted last.
    let store = Store::open(&rig.path("state/springtide.db")).unwrap();
    let fence: u64 = std::fs::read_to_string(rig.path("state/fence")).unwrap().trim().parse().unwrap();
    assert_eq!((store.newest_epoch().unwrap().unwrap().epoch, fence), (Epoch(52), 55), "the driver has seen more");
    assert_eq!(store.take_epoch(ControllerKind::Command, "a test", fence, 1_800_000_000).unwrap(), Epoch(56));
    assert!(store.kept_file().unwrap().unwrap().starts_with("estate: e2e"));
    let approved = store.approved().unwrap();
    assert!(approved.len() == 2 && approved.values().all(|it| it.done), "{approved:?}");
    store.check().unwrap();
    drop(store);
    // It is written to as well.
    rig.run(&["hold", "a test"]).code_is(0);
    rig.run(&["release"]).code_is(0);
}

#[test]
fn a_state_folder_of_a_later_release_is_refused_and_left() {
    let rig = left_by("state-v4", "refused");
    let db = rig.path("state/springtide.db");
    let mut bytes = std::fs::read(&db).unwrap();
    assert_eq!(bytes[60..64], [0, 0, 0, 4], "the fixture is of version 4");
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&db, &bytes).unwrap();
    for words in [&["history"][..], &["status"], &["plan"], &["serve", "--listen", "127.0.0.1:0"], &["hold", "why"]] {
        rig.run(words).fails(3, &["E0914", "version 99"]);
        assert_eq!(std::fs::read(&db).unwrap(), bytes, "{words:?} wrote to it");
    }
}

//! An environment that archives its write-ahead log from its first minute: segments really arrive, encrypted;
//! a killed server goes on; a repository that cannot be written stops nobody and is told; switching off and on
//! is a reload; a second copy on another disk; and what outlives the environment.

#![allow(clippy::unwrap_used, missing_docs)]

mod rig;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rig::{Rig, machine, until};
use springtide_core::workload::{SecretName, SecretRef, Volume};
use springtide_data::postgres::{Admin, Archiver, archiver};

const ON: &str =
    "{ name: shop, stage: test, backup: {}, odoo: { series: \"19.0\", modules: [stock, sale_management] } }";
const OFF: &str = "{ name: shop, stage: test, odoo: { series: \"19.0\", modules: [stock, sale_management] } }";

/// A folder on a disk that lasts, gone with this value.
struct Far(PathBuf);

impl Far {
    fn new() -> Self {
        let path = PathBuf::from(format!("/var/tmp/springtide-backup-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Write-ahead log in a repository: names of segments, each with its size, sorted.
fn archived(repository: &Path) -> Vec<(String, u64)> {
    fn walk(folder: &Path, found: &mut Vec<(String, u64)>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => walk(&entry.path(), found),
                // `000000010000000000000003-<sha1>.zst`
                false if name.len() > 24 && name[..24].bytes().all(|it| it.is_ascii_hexdigit()) => {
                    found.push((name[..24].to_owned(), entry.metadata().map_or(0, |meta| meta.len())));
                }
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&repository.join("archive"), &mut found);
    found.sort();
    found
}

async fn admin(rig: &Rig) -> Admin {
    let port = rig.slot("shop").port(springtide_core::role::Role::Postgres).expect("it has a port");
    Admin::connect(&rig.volume("shop", Volume::PostgresSocket), port, "postgres").await.expect("it lets us in")
}

async fn seen(rig: &Rig) -> Archiver {
    archiver(&admin(rig).await).await.expect("it answers")
}

/// Writes something and closes the segment; its name.
async fn written(rig: &Rig) -> String {
    let client = rig.database("shop", "postgres").await;
    client.batch_execute("CREATE TABLE IF NOT EXISTS told (at timestamptz)").await.expect("it takes writes");
    client.batch_execute("INSERT INTO told VALUES (now())").await.expect("it takes writes");
    let row = client.query_one("SELECT pg_walfile_name(pg_switch_wal())", &[]).await.expect("it answers");
    row.get(0)
}

/// Writes, and waits until the segment is in the repository.
async fn arrives(rig: &Rig, repository: &Path, seconds: u64) {
    let segment = written(rig).await;
    let begun = Instant::now();
    until(&format!("{segment} arrives"), seconds, async || archived(repository).iter().any(|(it, _)| *it == segment))
        .await;
    rig.say(format!("{segment} arrived after {:.1} s", begun.elapsed().as_secs_f64()));
}

/// Takes all access to the archive from the server's user, or gives it back.
fn closed(repository: &Path, closed: bool) {
    let stanza = repository.join("archive/shop");
    let mode = if closed { 0o000 } else { 0o750 };
    std::fs::set_permissions(&stanza, std::fs::Permissions::from_mode(mode)).expect("root may");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_archived_from_the_first_minute() {
    let rig = Rig::new("backup", true);
    rig.declare(&[ON]);
    let kinds: Vec<String> = rig.steps().into_iter().map(|step| step.kind).collect();
    let at = |kind: &str| kinds.iter().position(|it| it == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
    assert!(at("ensure-repository") < at("configure-database"), "before anything is written that somebody wants");
    rig.apply();
    let repository = rig.state().join("backup/shop/near/pg");
    assert_eq!(rig.volume("shop", Volume::BackupNear), repository);
    rig.say(format!("after apply: {:?}", archived(&repository)));
    assert!(!archived(&repository).is_empty(), "nothing arrived while it was made");
    arrives(&rig, &repository, 20).await;
    encrypted_and_closed(&rig, &repository);
    let ours = seen(&rig).await;
    assert!(ours.archived > 0 && ours.last_archived.is_some(), "{ours:?}");

    killed(&rig, &repository).await;
    unwritable(&rig, &repository).await;
    switched(&rig, &repository).await;
    far(&rig, &repository).await;
    gone(&rig, &repository).await;
}

/// What lies there cannot be read without the key, and by nobody else.
fn encrypted_and_closed(rig: &Rig, repository: &Path) {
    let info = std::fs::read(repository.join("archive/shop/archive.info")).expect("the stanza is there");
    assert!(info.starts_with(b"Salted__"), "the repository can be read by anybody");
    let mode = std::fs::metadata(repository).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "others may enter the repository: {mode:o}");
    let secrets = rig.secrets();
    let log = rig.log("shop/postgres");
    assert!(!secrets.redact_check(&log).expect("it can be judged"), "a secret is in the log");
    for entry in std::fs::read_dir(rig.state().join("tasks")).expect("tasks leave their logs").flatten() {
        let log = read_all(&entry.path());
        assert!(!secrets.redact_check(&log).expect("it can be judged"), "a secret is in {}", entry.path().display());
    }
    // The control: the key is in the server's configuration, and nowhere that is looked at above.
    let conf = read_all(&rig.state().join("workloads/shop.postgres/config"));
    assert!(secrets.redact_check(&conf).expect("it can be judged"), "the control finds nothing");
}

/// All that stands in a folder, but for configuration files of tasks.
fn read_all(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true if path.ends_with("config") => {}
            true => text.push_str(&read_all(&path)),
            false => text.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default())),
        }
    }
    text
}

async fn killed(rig: &Rig, repository: &Path) {
    let pid = rig.pid("shop/postgres").expect("it runs");
    machine::kill([pid]);
    until("postgres is back", 60, async || {
        let all = rig.workloads();
        all["shop/postgres"].pid.is_some_and(|now| now != pid) && all["shop/postgres"].state == "ready"
    })
    .await;
    arrives(rig, repository, 60).await;
    rig.say("killed by signal 9: goes on archiving");
}

async fn unwritable(rig: &Rig, repository: &Path) {
    let before = seen(rig).await;
    closed(repository, true);
    let segment = written(rig).await;
    until("the failure is seen", 90, async || {
        let now = seen(rig).await;
        now.failed > before.failed && now.ready_files > 0 && now.last_failed > now.last_archived
    })
    .await;
    // It serves: what is written now is there.
    written(rig).await;
    assert_eq!(rig.workloads()["shop/postgres"].state, "ready");
    let now = seen(rig).await;
    rig.say(format!("unwritable: {} failed, {} wait, and it serves", now.failed, now.ready_files));
    closed(repository, false);
    until("what waited arrives", 120, async || {
        archived(repository).iter().any(|(it, _)| *it == segment) && seen(rig).await.ready_files == 0
    })
    .await;
}

/// Off and on again: a reload each, and what runs runs on.
async fn switched(rig: &Rig, repository: &Path) {
    let pid = rig.pid("shop/postgres");
    let show = async || -> String {
        rig.database("shop", "postgres").await.query_one("SHOW archive_command", &[]).await.expect("it answers").get(0)
    };
    rig.declare(&[OFF]);
    rig.apply();
    until("it archives to nobody", 10, async || show().await == "/bin/true").await;
    let count = archived(repository).len();
    let missed = written(rig).await;
    until("it is let go", 30, async || seen(rig).await.ready_files == 0).await;
    assert_eq!(archived(repository).len(), count, "{missed} was to go nowhere");
    rig.declare(&[ON]);
    rig.apply();
    assert_eq!(rig.pid("shop/postgres"), pid, "a switch is no restart");
    arrives(rig, repository, 60).await;
}

/// A second copy in a folder of the machine; without its disk the server starts all the same.
async fn far(rig: &Rig, near: &Path) {
    let far = Far::new();
    let with = ON.replace("backup: {}", &format!("backup: {{ far: \"file://{}\" }}", far.0.display()));
    rig.declare(&[&with]);
    rig.apply();
    let repository = far.0.join("shop/pg");
    arrives(rig, &repository, 60).await;
    arrives(rig, near, 60).await;
    let away = far.0.with_extension("away");
    std::fs::rename(&far.0, &away).expect("the disk goes");
    machine::kill([rig.pid("shop/postgres").expect("it runs")]);
    until("it runs without the far disk", 60, async || rig.workloads()["shop/postgres"].state == "ready").await;
    let before = seen(rig).await.failed;
    written(rig).await;
    until("the missing copy is told", 90, async || seen(rig).await.failed > before).await;
    std::fs::rename(&away, &far.0).expect("the disk comes back");
    rig.declare(&[ON]);
    rig.apply();
    arrives(rig, near, 90).await;
}

/// The backups outlive their environment, with the keys that open them, and the next one begins anew.
async fn gone(rig: &Rig, repository: &Path) {
    let before = archived(repository);
    rig.expect(&["destroy", "shop", "--confirm", "shop"], 0);
    assert!(!repository.exists());
    let aside = rig.state().join("backup/shop@1/near/pg");
    assert!(archived(&aside).len() >= before.len(), "the backups went with their environment");
    let key = |name| SecretRef { environment: Some("shop".parse().expect("a name")), name };
    assert!(rig.secrets().exists(&key(SecretName::BackupCipher)) && rig.secrets().exists(&key(SecretName::FilesKey)));
    assert!(!rig.secrets().exists(&key(SecretName::DbApp)));
    rig.apply();
    arrives(rig, repository, 60).await;
    assert_eq!(archived(&aside).len(), archived(&aside).len().max(before.len()), "nobody writes there any more");
}

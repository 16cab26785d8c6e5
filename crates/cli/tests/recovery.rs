//! From a backup to a new environment and to a signed proof, by the verbs, on a real Odoo 19.0: what was committed up
//! to a named point is in a restore and nothing after it, files with it; a copy is harmless; damage is named.

#![allow(clippy::unwrap_used, missing_docs)]

mod rig;

use std::path::{Path, PathBuf};

use rig::Rig;
use springtide_core::workload::Volume;

const PROD: &str = "{ name: prod, stage: production, users: 5, resources: { cpus: 1, memory: 3GiB }, workers: { web: 2 }, \
                    backup: {}, odoo: { series: \"19.0\", modules: [stock, sale_management] } }";
const BACK: &str = "{ name: back, stage: staging, users: 5, resources: { cpus: 1, memory: 3GiB }, workers: { web: 2 }, \
                    odoo: { series: \"19.0\", modules: [stock, sale_management] } }";

async fn number(rig: &Rig, environment: &str, sql: &str) -> i64 {
    rig.database(environment, environment).await.query_one(sql, &[]).await.expect("it answers").get(0)
}

async fn order(rig: &Rig, number: i32) {
    let client = rig.database("prod", "prod").await;
    client.batch_execute("CREATE TABLE IF NOT EXISTS numbered (id int PRIMARY KEY)").await.expect("it takes writes");
    client.execute("INSERT INTO numbered VALUES ($1)", &[&number]).await.expect("it takes writes");
}

/// Every plain file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_comes_back_and_a_proof_can_fail() {
    let rig = Rig::new("recovery", true);
    rig.declare(&[PROD]);
    rig.apply();
    let near = rig.state().join("backup/prod/near");

    order(&rig, 1).await;
    let taken = rig.json(&["backup", "run", "prod", "--full", "--json"], 0);
    assert_eq!((taken["kind"].as_str(), taken["files_wrong"].as_u64()), (Some("full"), Some(0)), "{taken}");
    order(&rig, 2).await;
    rig.expect(&["backup", "point", "prod", "second"], 0);
    order(&rig, 3).await;
    rig.expect(&["backup", "run", "prod"], 0);
    let listed = rig.json(&["backup", "list", "prod", "--json"], 0);
    assert_eq!(listed["places"][0]["sets"].as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(listed["points"][0]["name"], "second", "{listed}");
    rig.expect(&["backup", "verify", "prod"], 0);

    refused(&rig);
    restored(&rig).await;
    proven(&rig, &near);
}

/// What must not be done, and says so before anything is.
fn refused(rig: &Rig) {
    rig.declare(&[PROD, BACK]);
    let refuses = |words: &[&str], code: &str| {
        let (_, err) = rig.both(words, 3);
        assert!(err.contains(code) && err.contains("Nothing was changed."), "{words:?}: {err}");
    };
    refuses(&["restore", "prod", "--to", "newest", "--into", "prod"], "E1052");
    refuses(&["restore", "prod", "--to", "newest", "--into", "nosuch"], "E1052");
    refuses(&["restore", "prod", "--to", "2026-11-24", "--into", "back"], "E1055");
    refuses(&["backup", "run", "prod", "--far"], "E1050");
    refuses(&["backup", "point", "prod", "../x"], "E1055");
    refuses(&["prove", "prod", "--without", "nosuch"], "E1057");
    for (to, says) in [("2020-01-01T00:00:00Z", "first time"), ("nosuch", "no restore point"), ("FF/0", "ends")] {
        let (_, err) = rig.both(&["restore", "prod", "--to", to, "--into", "back"], 1);
        assert!(err.contains("E1051") && err.contains(says), "{to}: {err}");
    }
}

async fn restored(rig: &Rig) {
    let (out, err) = rig.both(&["restore", "prod", "--to", "second", "--into", "back", "--yes"], 0);
    rig.say(err.lines().filter(|line| line.contains("MiB")).collect::<Vec<_>>().join("\n"));
    assert!(out.contains("back") || err.contains("back"), "{out}{err}");
    assert_eq!(number(rig, "back", "SELECT count(*) FROM numbered").await, 2, "up to the point and nothing after it");
    assert_eq!(number(rig, "prod", "SELECT count(*) FROM numbered").await, 3, "the original is as it was");
    // Every attachment has its file.
    let client = rig.database("back", "back").await;
    let rows = client.query("SELECT DISTINCT store_fname FROM ir_attachment WHERE store_fname IS NOT NULL", &[]).await;
    let folder = rig.volume("back", Volume::OdooData).join("filestore/back");
    let rows = rows.expect("it answers");
    assert!(rows.len() > 10 && rows.iter().all(|row| folder.join(row.get::<_, String>(0)).is_file()));
    // Harmless: nothing is scheduled but Odoo's own cleaning, and it says so.
    let due = "SELECT count(*) FROM ir_cron WHERE active";
    assert!(number(rig, "back", due).await <= 1 && number(rig, "prod", due).await > 1, "the control has some");
    let says = "SELECT count(*) FROM ir_config_parameter WHERE key = 'database.is_neutralized'";
    assert_eq!((number(rig, "back", says).await, number(rig, "prod", says).await), (1, 0));
    rig.expect(&["plan"], 0);
    rig.expect(&["destroy", "back", "--confirm", "back"], 0);
    rig.declare(&[PROD]);
}

fn proven(rig: &Rig, near: &Path) {
    let verdict = |words: &[&str], code: i32| {
        let said = rig.json(words, code);
        (said["record"]["verdict"].as_str().unwrap_or_default().to_owned(), said["record"]["stages"].to_string())
    };
    let prove = ["prove", "prod", "--json"];
    let (word, stages) = verdict(&prove, 0);
    assert_eq!(word, "proven", "{stages}");
    rig.say(stages);
    assert_eq!(files(&near.join("records")).len(), 1, "its record is beside the backups");
    // A stage that is left out proves nothing.
    assert_eq!(verdict(&["prove", "prod", "--json", "--without", "login"], 2).0, "inconclusive");

    let object = files(&near.join("files/files")).into_iter().next().expect("files were copied");
    damaged(&object, |path| {
        let (word, stages) = verdict(&prove, 2);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(word == "failed" && stages.contains(&name), "{name}: {stages}");
    });
    let largest = |path: &PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let data =
        files(&near.join("pg/backup/prod")).into_iter().filter(|it| it.to_string_lossy().contains("pg_data/base"));
    let data = data.max_by_key(largest).expect("there is a set");
    damaged(&data, |_| assert_eq!(verdict(&prove, 2).0, "failed"));

    // A segment in the middle is gone: the engine's own word is still fine.
    let wal: Vec<PathBuf> =
        files(&near.join("pg/archive/prod")).into_iter().filter(|it| it.to_string_lossy().contains(".zst")).collect();
    let middle = &wal[wal.len() - 2];
    let kept = near.join("kept");
    std::fs::rename(middle, &kept).expect("root may");
    let segment = middle.file_name().unwrap().to_string_lossy()[..24].to_owned();
    let (out, _) = rig.both(&["backup", "list", "prod"], 2);
    assert!(out.contains(&segment), "{out}");
    let (word, stages) = verdict(&prove, 2);
    assert!(word == "failed" && stages.contains(&segment), "{segment}: {stages}");
    std::fs::rename(&kept, middle).expect("root may");
    assert_eq!(verdict(&prove, 0).0, "proven", "the control: all is back");
}

/// One bit in the middle of a file is another while `look` looks.
fn damaged(path: &Path, look: impl Fn(&Path)) {
    let good = std::fs::read(path).expect("root may");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(path, bad).expect("root may");
    look(path);
    std::fs::write(path, good).expect("root may");
}

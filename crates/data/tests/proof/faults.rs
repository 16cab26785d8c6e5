//! One planted fault per copy, and the stage that must name it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use springtide_core::proof::{Stage, Verdict, verdict};

use crate::rig::{Case, DATABASE, Rig, found, why};

/// Flips one byte of a file.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// The files below a folder, largest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<(u64, PathBuf)> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.metadata().unwrap() {
                meta if meta.is_dir() => folders.push(entry.path()),
                meta => all.push((meta.len(), entry.path())),
            }
        }
    }
    all.sort();
    all.into_iter().rev().map(|(_, path)| path).collect()
}

/// What a stage found on a copy; everything before it passed.
async fn fails(case: &Case<'_, '_>, stages: &[Stage]) -> String {
    let seen = case.prove(stages).await;
    let (last, before) = stages.split_last().unwrap();
    assert!(before.iter().all(|stage| seen.stages[stage].passed()), "{seen:#?}");
    assert_eq!(verdict(&seen.stages, &stages.iter().copied().collect()), Verdict::Failed);
    found(&seen.stages, *last)
}

/// A stage that could not look makes the proof inconclusive.
async fn is_open(case: &Case<'_, '_>, stages: &[Stage]) -> String {
    let seen = case.prove(stages).await;
    assert_eq!(verdict(&seen.stages, &stages.iter().copied().collect()), Verdict::Inconclusive, "{seen:#?}");
    why(&seen.stages, *stages.last().unwrap())
}

/// Pages, indexes, canaries and files.
pub async fn data(rig: &Rig<'_>) {
    use Stage::{Attachments, Canaries, Checksums, Indexes, Open, Replay};
    let case = rig.case("page");
    let page = files(&case.folder.join("pgdata/base")).remove(0);
    flip(&page, 3 * 8192 + 4000);
    let name = page.strip_prefix(case.folder.join("pgdata")).unwrap().display().to_string();
    let told = fails(&case, &[Replay, Checksums]).await;
    assert!(told.contains(&format!("{name}\", block 3")), "{name} is not in {told}");
    case.gone();

    let case = rig.case("unsummed");
    let pgdata = case.folder.join("pgdata");
    let tool = ["pg_checksums", "--disable", "-D"];
    let user = fs::metadata(&pgdata).map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).unwrap();
    let program =
        fs::read_dir("/usr/lib/postgresql").unwrap().next().unwrap().unwrap().path().join("bin").join(tool[0]);
    let mut command = std::process::Command::new(program);
    crate::rig::run(std::os::unix::process::CommandExt::uid(command.args(&tool[1..]).arg(&pgdata), user));
    assert!(is_open(&case, &[Replay, Checksums]).await.contains("no checksums"));
    case.gone();

    // A row that the index never got, since it was not told of it: every page is good.
    let case = rig.case("index");
    let hide = "CREATE TABLE proof_rows (id int); CREATE INDEX proof_rows_id ON proof_rows (id);
                INSERT INTO proof_rows SELECT generate_series(1, 100);
                UPDATE pg_index SET indisready = false WHERE indexrelid = 'proof_rows_id'::regclass;";
    case.sql(DATABASE, hide).await;
    let show = "INSERT INTO proof_rows VALUES (101);
                UPDATE pg_index SET indisready = true WHERE indexrelid = 'proof_rows_id'::regclass;";
    case.sql(DATABASE, show).await;
    let mut spec = case.proof(&[Replay, Checksums, Open, Indexes]);
    spec.indexes = springtide_data::proof::Share::All;
    let seen = case.prove_as(&spec).await;
    assert!(seen.stages[&Checksums].passed(), "the pages are good");
    assert!(found(&seen.stages, Indexes).contains("index proof_rows_id"), "{seen:#?}");
    case.gone();

    let case = rig.case("amcheck");
    let stand = "CREATE SCHEMA springtide_proof; CREATE FUNCTION springtide_proof.bt_index_check(regclass) RETURNS void
                 LANGUAGE sql AS ''";
    case.sql(DATABASE, stand).await;
    assert!(is_open(&case, &[Replay, Open, Indexes]).await.contains("amcheck cannot be installed"));
    case.gone();

    let case = rig.case("canaries");
    case.sql("postgres", "DELETE FROM springtide.canary WHERE id = 2").await;
    assert!(fails(&case, &[Replay, Open, Canaries]).await.contains("canary 2 at"));
    let extra = "INSERT INTO springtide.canary SELECT 5, now(), '0/0', repeat('04', 16)";
    case.sql("postgres", extra).await;
    let told = fails(&case, &[Replay, Open, Canaries]).await;
    assert!(told.contains("canary 5 at") && told.contains("and is there"), "{told}");
    let mut spec = case.proof(&[Replay, Open, Canaries]);
    spec.canaries.clear();
    case.sql("postgres", "DELETE FROM springtide.canary").await;
    let seen = case.prove_as(&spec).await;
    assert!(why(&seen.stages, Canaries).contains("before the target"), "nothing known, nothing shown: {seen:#?}");
    case.gone();

    let case = rig.case("files");
    let all = files(&case.folder.join("filestore"));
    let large: Vec<&PathBuf> = all.iter().filter(|path| !path.to_string_lossy().contains("checklist")).collect();
    flip(large[0], 17);
    fs::remove_file(large[1]).unwrap();
    OpenOptions::new().write(true).open(large[2]).unwrap().set_len(5).unwrap();
    let told = fails(&case, &[Replay, Open, Attachments]).await;
    let name = |path: &Path| path.strip_prefix(case.folder.join("filestore")).unwrap().display().to_string();
    for (path, words) in [(large[0], "is damaged"), (large[1], "is missing"), (large[2], "has 5 bytes")] {
        assert!(told.contains(&format!("{} {words}", name(path))), "{} {words} is not in {told}", name(path));
    }
    case.gone();
}

/// The log: too short, never replayed, replayed to elsewhere.
pub async fn log(rig: &Rig<'_>) {
    let all = [Stage::Replay, Stage::Open];
    let case = rig.unrecovered("short");
    let mut spec = case.proof(&all);
    spec.target.lsn = u64::MAX >> 8;
    let seen = case.prove_as(&spec).await;
    let told = found(&seen.stages, Stage::Replay);
    assert!(told.contains("recovery ended before configured recovery target was reached"), "{told}");
    assert!(why(&seen.stages, Stage::Open).contains("target"));
    case.gone();

    let case = rig.unrecovered("named");
    let mut spec = case.proof(&all);
    spec.target = springtide_data::proof::Target { name: Some("nobody left this".into()), ..spec.target };
    let seen = case.prove_as(&spec).await;
    let told = found(&seen.stages, Stage::Replay);
    assert!(told.contains("recovery ended before configured recovery target was reached"), "{told}");
    case.gone();

    // Files of a backup that nobody recovered, and a copy of another moment.
    let case = rig.unrecovered("never");
    fs::remove_file(case.folder.join("pgdata/recovery.signal")).unwrap();
    assert!(fails(&case, &[Stage::Replay]).await.contains("there was no recovery"));
    case.gone();
    let case = rig.case("elsewhere");
    let mut spec = case.proof(&all);
    spec.target.lsn += 4096;
    let seen = case.prove_as(&spec).await;
    assert!(found(&seen.stages, Stage::Replay).contains("the recovery ended at"), "{seen:#?}");
    case.gone();
}

/// Sums that do not agree, each found by its check.
pub async fn business(rig: &Rig<'_>) {
    let case = rig.case("business");
    let faults = "SET session_replication_role = replica;
        UPDATE account_move_line SET debit = debit + 1, balance = balance + 1, amount_currency = amount_currency + 1
            WHERE id = (SELECT min(id) FROM account_move_line WHERE debit = 100);
        UPDATE stock_quant SET quantity = quantity + 3 WHERE id = (SELECT max(q.id) FROM stock_quant q
            JOIN stock_location l ON l.id = q.location_id WHERE l.usage = 'internal');
        SELECT setval('res_partner_id_seq', 1);
        UPDATE stock_move SET product_id = 99999999 WHERE id = (SELECT min(id) FROM stock_move);";
    case.sql(DATABASE, faults).await;
    let stages = [Stage::Replay, Stage::Open, Stage::Business];
    let told = fails(&case, &stages).await;
    for words in [
        "posted moves balance: posted move",
        "books balance: books of company 1 are 1",
        "stock is what was moved: product",
        "19 in stock, 16 by its moves",
        "sequences are ahead: res_partner_id_seq stands at 1, res_partner has",
        "references lead somewhere: 1 rows of stock_move.product_id lead to no row of product_product",
    ] {
        assert!(told.contains(words), "{words} is not in\n{told}");
    }
    // What the original has too is told and not held against the copy; one more is.
    let mut spec = case.proof(&stages);
    spec.accepted = springtide_data::proof::checks::CHECKS.iter().map(|check| (check.name.to_owned(), 1)).collect();
    let seen = case.prove_as(&spec).await;
    assert!(seen.stages[&Stage::Business].passed(), "{seen:#?}");
    case.sql(DATABASE, "SELECT setval('res_users_id_seq', 1)").await;
    let seen = case.prove_as(&spec).await;
    assert!(found(&seen.stages, Stage::Business).contains("res_users_id_seq"), "{seen:#?}");
    case.gone();
}

/// Odoo: harm that comes back, a start that fails, a login that fails.
pub async fn odoo(rig: &Rig<'_>) {
    let stages = [Stage::Replay, Stage::Open, Stage::Neutralise, Stage::Boot, Stage::Login];
    let keep = |table: &str, what: &str| {
        format!(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN NEW; END $$;
             CREATE TRIGGER keep BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION keep()"
        )
    };
    let case = rig.case("cron");
    let on = "UPDATE ir_cron SET active = true WHERE id = (SELECT min(id) FROM ir_cron WHERE id > 1)";
    case.sql(DATABASE, &format!("{on}; {}", keep("ir_cron", "NEW.active := OLD.active"))).await;
    let seen = case.prove(&stages).await;
    assert!(found(&seen.stages, Stage::Neutralise).contains("scheduled actions ("), "{seen:#?}");
    for stage in [Stage::Boot, Stage::Login] {
        assert!(why(&seen.stages, stage).contains("not made harmless"), "nothing is started on it");
    }
    case.gone();

    let case = rig.case("half");
    case.sql(DATABASE, "UPDATE ir_module_module SET state = 'to upgrade' WHERE name = 'stock'").await;
    assert!(fails(&case, &stages[..4]).await.contains("module stock is \"to upgrade\""));
    case.gone();

    let case = rig.case("table");
    case.sql(DATABASE, "ALTER TABLE stock_warehouse RENAME TO lost").await;
    let seen = case.prove(&stages).await;
    assert!(
        found(&seen.stages, Stage::Boot).contains("table stock_warehouse of model stock.warehouse is missing"),
        "{seen:#?}"
    );
    assert!(why(&seen.stages, Stage::Login).contains("does not start"), "{seen:#?}");
    case.gone();

    let case = rig.case("password");
    case.sql(DATABASE, &keep("res_users", "NEW.password := OLD.password")).await;
    assert!(fails(&case, &stages).await.contains("it is the login page"));
    case.gone();
}

/// A stage that is switched off lets its fault through, and so proves nothing.
pub async fn off(rig: &Rig<'_>) {
    let case = rig.case("off");
    case.sql(DATABASE, "SELECT setval('res_partner_id_seq', 1)").await;
    let all = [Stage::Replay, Stage::Checksums, Stage::Open, Stage::Canaries, Stage::Business];
    let seen = case.prove(&all[..4]).await;
    assert_eq!(verdict(&seen.stages, &all[..4].iter().copied().collect()), Verdict::Proven, "nobody looked: {seen:#?}");
    assert_eq!(verdict(&seen.stages, &all.into()), Verdict::Inconclusive);
    assert_eq!(why(&seen.stages, Stage::Business), "switched off");
    fails(&case, &all).await;
    let mut spec = case.proof(&all[..4]);
    spec.fetch = springtide_core::proof::StageResult::not_run("the store is away");
    let seen = case.prove_as(&spec).await;
    assert!(why(&seen.stages, Stage::Replay).contains("not fetched whole"), "{seen:#?}");
    case.gone();
}

//! A good copy is proven, the proof can be signed, and what was harmful in it is not any more.

use std::collections::BTreeSet;

use springtide_core::proof::{Stage, Verdict};
use springtide_data::aside::{Aside, Serving};
use springtide_data::neutralise::{NeutraliseError, Wanted, neutralise, verify};
use springtide_data::proof::{About, ProofKey, Share};

use crate::rig::{Case, DATABASE, G, Rig, client};

pub async fn good(rig: &Rig<'_>) {
    let case = rig.unrecovered("good");
    let mut spec = case.proof(&Stage::ALL);
    spec.indexes = Share::All;
    let seen = case.prove_as(&spec).await;
    let required = BTreeSet::from(Stage::ALL);
    let about = |set: &str| About {
        set: set.into(),
        target_time: None,
        required: required.clone(),
        at: "2026-11-24T04:00:00Z".into(),
    };
    let record = seen.record(&spec, about("F"));
    assert_eq!(record.verdict, Verdict::Proven, "{}", record.summary());
    let figure = |stage: Stage, name: &str| record.stages[&stage].figures[name];
    assert_eq!((figure(Stage::Canaries, "before"), figure(Stage::Canaries, "after")), (4, 2));
    assert!(figure(Stage::Attachments, "files") > 8 && figure(Stage::Indexes, "indexes") > 500);
    assert_eq!(figure(Stage::Business, "checks"), 5, "{:?}", record.stages[&Stage::Business].notes);
    assert!(record.tools.contains_key("postgres") && record.tools.contains_key("odoo"), "{:?}", record.tools);
    assert!(record.sizes.database > 50_000_000 && record.sizes.filestore > 400_000, "{:?}", record.sizes);
    let key = ProofKey::of(&ProofKey::generate().unwrap()).unwrap();
    let signed = key.sign(&record).unwrap();
    assert_eq!(springtide_data::proof::verify(&signed, &key.public()).unwrap(), record);
    assert!(!case.folder.join("work").exists());
    case.gone();

    // The same log up to a name, and the same copy again where the recovery is over.
    let case = rig.unrecovered("point");
    let mut spec = case.proof(&[Stage::Replay, Stage::Checksums, Stage::Open, Stage::Canaries]);
    spec.target = rig.point.clone();
    for again in [false, true] {
        let seen = case.prove_as(&spec).await;
        let passed = spec.stages.iter().all(|stage| seen.stages[stage].passed());
        assert!(passed, "again {again}: {seen:#?}");
    }
    case.gone();
}

/// The copy's own values before and after, and hooks.
pub async fn neutral(rig: &Rig<'_>) {
    let case = rig.case("neutral");
    let aside = Aside::new(rig.driver, rig.spec("neutral", &case.folder)).await.unwrap();
    let serving = Serving { up_s: 60, deadline_s: 600, ..Serving::default() };
    aside.serve(rig.driver, G, &serving, |_| neutral_inside(rig, &case, &aside)).await.unwrap();
    aside.clear().await.unwrap();
    case.gone();
}

async fn neutral_inside(rig: &Rig<'_>, case: &Case<'_, '_>, aside: &Aside) {
    let hooks = case.folder.join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    let write = |name: &str, sql: &str| std::fs::write(hooks.join(name), sql).unwrap();
    let mut wanted = Wanted { base_url: "http://copy.localhost".into(), hooks: None };
    let sql = client(&case.folder, DATABASE).await;
    let one = async |query: &str| sql.query_one(query, &[]).await.unwrap().get::<_, Option<String>>(0);
    let provider = match rig.series.major() {
        14 => "payment_acquirer",
        _ => "payment_provider",
    };
    sql.batch_execute(&format!("UPDATE {provider} SET state = 'enabled'")).await.unwrap();
    let identity = "SELECT string_agg(value, ' ' ORDER BY key) FROM ir_config_parameter WHERE key IN ('database.uuid', 'database.secret')";
    let before = one(identity).await.unwrap();

    // Before, reading back finds all of it.
    let Err(NeutraliseError::Harm(left)) = verify(aside, &wanted, None).await else { panic!("it is harmful") };
    let left = left.join("\n");
    println!("{} found harmful:\n{left}", rig.series);
    for word in [
        "outgoing mail",
        "incoming mail",
        "scheduled actions",
        "job queue",
        "mail queue",
        "payment providers",
        "secrets among the parameters (",
        "proof.api_key",
        "web.base.url",
        "database.is_neutralized",
    ] {
        assert!(left.contains(word), "{word} is not in\n{left}");
    }
    assert!(!left.contains("hunter2"), "a secret is told");

    let done = neutralise(rig.driver, aside, G, &wanted).await.unwrap();
    assert!(done.rules() > 10, "{done:?}");
    assert_eq!(verify(aside, &wanted, None).await.unwrap(), done);
    let after = one(identity).await.unwrap();
    for (before, after) in before.split(' ').zip(after.split(' ')) {
        assert!(before != after && after.len() == 36, "{before} {after}");
    }
    for (query, value) in [
        ("SELECT value FROM ir_config_parameter WHERE key = 'auth_password_policy.minlength'", "8"),
        ("SELECT value FROM ir_config_parameter WHERE key = 'web.base.url'", "http://copy.localhost"),
        (
            "SELECT string_agg(smtp_host || active, ' ' ORDER BY active) FROM ir_mail_server WHERE name <> 'none'",
            "invalidfalse invalidtrue",
        ),
        ("SELECT server FROM fetchmail_server", "invalid"),
        ("SELECT string_agg(DISTINCT state, ' ') FROM queue_job", "cancelled"),
    ] {
        assert_eq!(one(query).await.as_deref(), Some(value), "{query}");
    }
    // A second time changes the identity again and nothing else.
    neutralise(rig.driver, aside, G, &wanted).await.unwrap();
    // What somebody puts back is found.
    sql.batch_execute("UPDATE ir_mail_server SET smtp_host = 'mail.example.com'").await.unwrap();
    assert!(matches!(verify(aside, &wanted, None).await, Err(NeutraliseError::Harm(_))));

    // Hooks: with the owner's rights, all or none, and their own questions.
    write("10-note.sql", "UPDATE res_partner SET ref = 'hooked' WHERE id = 1");
    write("20-ask.verify.sql", "SELECT id, name FROM res_partner WHERE id = 1 AND ref IS DISTINCT FROM 'hooked';");
    wanted.hooks = Some(hooks.clone());
    neutralise(rig.driver, aside, G, &wanted).await.unwrap();
    write("10-note.sql", "UPDATE res_partner SET ref = 'other' WHERE id = 1");
    assert!(matches!(neutralise(rig.driver, aside, G, &wanted).await, Err(NeutraliseError::Harm(_))));
    for bad in ["COMMIT; BEGIN", "CREATE ROLE intruder SUPERUSER", "SELECT nonsense"] {
        write("10-note.sql", bad);
        let done = neutralise(rig.driver, aside, G, &wanted).await;
        assert!(
            matches!(&done, Err(NeutraliseError::Hook { path, .. }) if path.ends_with("10-note.sql")),
            "{bad}: {done:?}"
        );
    }
}

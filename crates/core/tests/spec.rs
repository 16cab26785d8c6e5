//! The estate file as people meet it: examples, precedence, schema, and how refusals look.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use springtide_core::check::{CheckedEstate, RestoreTest, Stage, parse_and_check};
use springtide_core::place::Place;
use springtide_core::spec::{self, RawEstate};

fn examples() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    all.sort();
    all
}

fn estate(text: &str) -> CheckedEstate {
    parse_and_check("estate.yaml", text).unwrap_or_else(|report| panic!("{report}"))
}

fn refusal(text: &str) -> String {
    parse_and_check("estate.yaml", text).unwrap_err().render(80, false, false)
}

#[test]
fn every_example_is_accepted_and_reads_back_from_its_own_writing() {
    let examples = examples();
    assert!(examples.len() >= 3);
    for (name, text) in examples {
        let checked = parse_and_check(&name, &text).unwrap_or_else(|report| panic!("{report}"));
        let (raw, spans) = spec::parse(&name, &text).unwrap();
        assert_eq!(serde_json::from_value::<RawEstate>(serde_json::to_value(&raw).unwrap()).unwrap(), raw, "{name}");
        let yaml = serde_saphyr::to_string(&raw).unwrap();
        assert_eq!(spec::parse(&name, &yaml).unwrap().0, raw, "{name}:\n{yaml}");
        assert_eq!(estate(&yaml), checked, "{name}");
        let host = spans.find("environments[0].name").unwrap();
        assert_eq!(&text[host], raw.environments[0].name);
    }
}

#[test]
fn the_minimal_example_is_minimal() {
    let (_, text) = examples().into_iter().find(|(name, _)| name == "minimal.yaml").unwrap();
    assert!(text.lines().count() <= 10);
    let estate = estate(&text);
    let dev = &estate.environments[0];
    assert_eq!((dev.stage, dev.users, dev.host.as_str(), dev.protected), (Stage::Dev, 10, "dev.localhost", false));
    assert_eq!((estate.platform.ingress.http, estate.platform.ingress.https), (8080, 8443));
    let modules: Vec<&str> = dev.modules.iter().map(|module| module.as_str()).collect();
    assert_eq!(modules, ["queue_job", "sale_management", "stock"]);
}

const LAYERS: &str = "
estate: acme
baseline: { users: 20, workers: { web: 2, cron: 1 }, protected: true }
environments:
  - { name: a, workers: { web: 3 } }
  - { name: b, users: 7, protected: false }
peaks:
  - { name: one, kind: holiday, environments: [a, b], from: 1970-01-01T00:01, to: 1970-01-01T00:10, multiplier: 3, overlay: { workers: { web: 5, jobs: 2 } } }
  - { name: two, kind: promotion, environments: [a], from: 1970-01-01T00:05, to: 1970-01-01T00:10, multiplier: 2.5, freeze: true, overlay: { workers: { web: 4 }, users: 31 } }
";

#[test]
fn later_layers_win_value_by_value() {
    let estate = estate(LAYERS);
    let [a, b] = estate.environments.as_slice() else { panic!() };
    assert_eq!((a.users, a.workers.web, a.workers.cron, a.workers.jobs), (20, Some(3), Some(1), None));
    assert_eq!((b.users, b.workers.web, b.workers.cron, b.protected), (7, Some(2), Some(1), false));
    assert!(a.protected);

    assert!(matches!(a.at(&estate.peaks, 59), Cow::Borrowed(_)), "the peak begins at 60");
    assert!(matches!(a.at(&estate.peaks, 600), Cow::Borrowed(_)), "the end is no longer part of it");
    let one = a.at(&estate.peaks, 60);
    assert_eq!((one.users, one.workers.web, one.workers.cron, one.workers.jobs), (60, Some(5), Some(1), Some(2)));
    let both = a.at(&estate.peaks, 300);
    // The later peak's users and web workers, the larger multiplier of the earlier one.
    assert_eq!((both.users, both.workers.web, both.workers.jobs), (93, Some(4), Some(2)));
    assert_eq!(b.at(&estate.peaks, 300).workers.web, Some(5));
    assert_eq!(a.frozen_by(&estate.peaks, 300).map(|peak| peak.name.as_str()), Some("two"));
    assert!(b.frozen_by(&estate.peaks, 300).is_none());
}

#[test]
fn local_times_follow_their_zone() {
    let text = "estate: a\nenvironments: [{ name: a }]\npeaks:\n  - { name: p, kind: quarter-end, environments: [a], from: 2026-06-30T06:00, to: 2026-12-01T06:00, timezone: Europe/Berlin }\n";
    let peak = &estate(text).peaks[0];
    assert_eq!(peak.from, 1_782_792_000, "summer: two hours ahead of UTC");
    assert_eq!(peak.to, 1_796_101_200, "winter: one hour");
}

#[test]
fn what_is_declared_is_noted() {
    let text = "estate: a\nenvironments:\n  - { name: a, database: { tier: gold }, backup: {}, odoo: { series: \"16.0\", accept_declared: true } }\n";
    let codes: Vec<&str> = estate(text).notes.iter().map(|note| note.code).collect();
    assert_eq!(codes, ["W0604", "W0601", "W0605"]);
    let keys = "stores: [{ name: one, endpoint: \"https://a\", credentials: /k }, { name: two, endpoint: \"https://b\", credentials: /k }]\n";
    let text = format!("estate: a\n{keys}environments: [{{ name: a, backup: {{ near: s3://one, far: s3://two }} }}]\n");
    let codes: Vec<&str> = estate(&text).notes.iter().map(|note| note.code).collect();
    assert_eq!(codes, ["W0606"]);
}

#[test]
fn production_is_backed_up_and_others_on_demand() {
    let of = |more: &str| {
        let text = format!("estate: a\n{STORES}environments: [{{ name: shop, {more} }}]\n");
        estate(&text).environments.remove(0).backup
    };
    let production = of("stage: production").unwrap();
    assert_eq!((&production.near, &production.far), (&Place::Own, &None));
    assert_eq!(production.recovery_window.to_string(), "7d");
    assert_eq!((production.full.to_string(), production.incremental.to_string()), ("7d".into(), "6h".into()));
    assert_eq!((production.restore_test, production.bandwidth), (Some(RestoreTest::Daily), None));
    for stage in ["staging", "test", "dev"] {
        assert_eq!(of(&format!("stage: {stage}")), None, "{stage}");
    }
    let staging = of("stage: staging, backup: {}").unwrap();
    assert_eq!((staging.near, staging.restore_test), (Place::Own, None));
    // A shorter time between full backups takes the other one along.
    assert_eq!(of("backup: { full: 1h }").unwrap().incremental.to_string(), "1h");

    let both = of("backup: { near: \"file:///mnt/near/\", far: s3://acme-far/a/b }").unwrap();
    assert_eq!(both.near.to_string(), "file:///mnt/near/shop");
    assert_eq!(both.far.unwrap().to_string(), "s3://acme-far/a/b/shop");
    let store = of("backup: { near: s3://acme-far }").unwrap().near.store().unwrap().clone();
    assert_eq!((store.endpoint().as_str(), store.region.as_str()), ("https://s3.far.example:9000", "us-east-1"));
}

#[test]
fn one_place_in_the_baseline_does_for_all() {
    let text = format!(
        "estate: a\n{STORES}baseline: {{ backup: {{ far: s3://acme-far, full: 2d }} }}\nenvironments:\n  - {{ name: one }}\n  - {{ name: two, backup: {{ full: 1d }} }}\n"
    );
    let estate = estate(&text);
    let told: Vec<_> = estate.environments.iter().map(|it| it.backup.as_ref().unwrap()).collect();
    let places: Vec<_> = told.iter().map(|it| it.far.as_ref().unwrap().to_string()).collect();
    assert_eq!(places, ["s3://acme-far/one", "s3://acme-far/two"]);
    assert_eq!((told[0].full.to_string(), told[1].full.to_string()), ("2d".into(), "1d".into()));
}

#[test]
fn all_mistakes_of_backups_are_told_at_once() {
    let text = "estate: a
stores:
  - { name: far, endpoint: \"http://a\", credentials: keys, region: \"\" }
environments:
  - { name: a, backup: { near: s3://fare, far: \"file:///tmp/x\", full: 40d, incremental: 1m, bandwidth: 1KiB, recovery_window: 1h } }
";
    let report = parse_and_check("estate.yaml", text).unwrap_err();
    let codes: Vec<&str> = report.diagnostics().iter().map(|one| one.code).collect();
    assert_eq!(codes, ["E1044", "E1045", "E1046", "E1040", "E1047", "E1048", "E1048", "E1048", "E0504"]);
    assert!(report.diagnostics().iter().all(|one| one.span.is_some()));
    assert!(report.to_string().contains("did you mean far?"), "{report}");
}

/// Twice in a file, its last line names a bucket twice.
const STORE: &str = "  - { name: acme-far, endpoint: \"https://s3.far.example:9000\", credentials: /etc/keys }\n";
const STORES: &str =
    "stores:\n  - { name: acme-far, endpoint: \"https://s3.far.example:9000\", credentials: /etc/keys }\n";

#[test]
fn rules_find_what_they_are_for() {
    let head = "estate: a\n";
    let environments = "environments: [{ name: a }]\n";
    let environment = |more: &str| format!("{head}environments: [{{ name: a, {more} }}]\n");
    let store =
        |more: &str| format!("{head}stores: [{{ name: acme-far, credentials: /etc/keys, {more} }}]\n{environments}");
    let peak = |more: &str| format!("{head}{environments}peaks: [{{ name: p, kind: holiday, {more} }}]\n");
    for (code, text) in [
        ("E0004", format!("{head}{environments}---\nestate: b\n")),
        ("E0005", format!("{head}{head}{environments}")),
        ("E0104", "# nothing\n".to_owned()),
        ("E0105", environment("users: 100001")),
        ("E0105", environment("database: { max_connections: 19 }")),
        ("E0105", environment("workers: { web: 65 }")),
        ("E0105", environment("resources: { memory: 1MiB }")),
        ("E0105", format!("{head}platform: {{ ingress: {{ http: 0 }} }}\n{environments}")),
        ("E0105", peak("environments: [a], from: 2026-01-01, to: 2026-01-02, multiplier: .nan")),
        ("E0105", peak("environments: [a], from: 2026-01-01, to: 2026-01-02, multiplier: 50.5")),
        ("E0202", format!("{head}environments: [{{ name: a }}, {{ name: a }}]\n")),
        ("E0203", format!("{head}environments: [{{ name: a }}, {{ name: b, host: a.localhost }}]\n")),
        ("E0207", head.to_owned()),
        ("E0210", format!("{head}environments: [{{ name: postgres }}]\n")),
        ("E0210", format!("{head}environments: [{{ name: template1 }}]\n")),
        ("E0210", format!("{head}environments: [{{ name: estate }}]\n")),
        ("E0210", format!("{head}environments: [{{ name: \"false\" }}]\n")),
        ("E0301", format!("{head}platform: {{ driver: docker }}\n{environments}")),
        ("E0301", format!("{head}platform: {{ driver: kubernetes }}\n{environments}")),
        ("E0302", environment("placement: { pool: small }")),
        ("E0304", environment("odoo: { series: \"13.0\" }")),
        ("E0305", environment("odoo: { series: \"16.0\" }")),
        ("E0402", peak("environments: [a], from: 2026-01-02, to: 2026-01-02")),
        ("E0404", peak("environments: [a], from: 2026-01-01T00:00Z, to: 2026-01-02")),
        ("E0404", peak("environments: [a], from: \"2026-01-01T00:00+02[Europe/Berlin]\", to: 2026-01-02")),
        ("E0405", peak("environments: [], from: 2026-01-01, to: 2026-01-02")),
        ("E0501", format!("{head}platform: {{ ingress: {{ http: 8443 }} }}\n{environments}")),
        ("E0502", format!("{head}platform: {{ ingress: {{ https: 21000 }} }}\n{environments}")),
        ("E0503", environment("budget: { burst_workers: 1, monthly: 0 EUR }")),
        ("E0504", environment("backup: { recovery_window: 23h }")),
        ("E0206", environment("backup: { near: \"s3://\" }")),
        ("E0206", environment("backup: { near: \"file:///\" }")),
        ("E0206", environment("backup: { near: \"file:///mnt//x\" }")),
        ("E0206", environment("backup: { near: \"file:///mnt/../x\" }")),
        ("E0206", environment("backup: { near: /mnt/x }")),
        ("E1040", environment("backup: { far: s3://acme-far/x }")),
        ("E1041", environment("backup: { near: \"file:///mnt/x\", far: \"file:///mnt/x/\" }")),
        (
            "E1042",
            format!(
                "{head}environments: [{{ name: a, backup: {{ far: \"file:///mnt\" }} }}, {{ name: b, backup: {{ far: \"file:///mnt/a\" }} }}]\n"
            ),
        ),
        ("E1043", format!("{head}{STORES}{STORE}{environments}")),
        ("E1044", store("endpoint: \"https://a:0\"")),
        ("E1044", store("endpoint: \"https://a/bucket\"")),
        ("E1044", store("endpoint: \"https://a:b@c\"")),
        ("E1045", store("endpoint: \"https://a\", authority: ca.pem")),
        ("E1046", store("endpoint: \"https://a\", region: EU")),
        ("E1047", environment("backup: { far: \"file:///tmp\" }")),
        ("E1047", environment("backup: { far: \"file:///srv/springtide/x\" }")),
        ("E1048", environment("backup: { full: 32d }")),
        ("E1048", environment("backup: { full: 2h, incremental: 3h }")),
        ("E1048", environment("backup: { incremental: 14m }")),
        ("E1048", environment("backup: { bandwidth: 63KiB }")),
    ] {
        let report = parse_and_check("estate.yaml", &text).expect_err(&text);
        let codes: Vec<&str> = report.diagnostics().iter().map(|one| one.code).collect();
        assert_eq!(codes, [code], "{text}{report}");
    }
}

#[test]
fn reports_for_programs_name_line_and_column() {
    let report =
        parse_and_check("estate.yaml", "estate: é\nenvironments: [{ name: a }, { name: b, users: 0 }]\n").unwrap_err();
    let rows = report.to_json();
    assert_eq!((&rows[0]["line"], &rows[0]["column"], &rows[0]["code"]), (&1.into(), &9.into(), &"E0201".into()));
    assert_eq!(
        (&rows[1]["line"], &rows[1]["column"], &rows[1]["file"]),
        (&2.into(), &47.into(), &"estate.yaml".into())
    );
    assert!(report.render(80, true, true).contains('\u{1b}') && !report.render(80, false, true).contains('\u{1b}'));
    assert!(report.render(80, false, true).contains('╭') && !report.render(80, false, false).contains('╭'));
}

#[test]
fn the_schema_describes_every_key_with_its_bounds() {
    let schema = spec::schema();
    let environment = &schema["$defs"]["RawEnvironment"];
    assert_eq!(environment["additionalProperties"], false);
    assert_eq!(environment["properties"]["users"]["maximum"], 100_000);
    assert_eq!(schema["$defs"]["EnvironmentName"]["maxLength"], 40);
    for (name, one) in schema["$defs"].as_object().unwrap() {
        for (key, property) in one["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{name}.{key} has no description");
        }
    }
}

/// Compares a rendered refusal with what is written here.
macro_rules! looks_like {
    ($text:expr, $expected:expr) => {
        let shown = refusal($text);
        assert_eq!(shown.trim(), $expected.trim(), "\n{shown}");
    };
}

#[test]
fn refusals_look_like_this() {
    looks_like!(
        "estate: acme\nevironments: []\n",
        r#"
  x unknown key "evironments"
   ,-[estate.yaml:2:1]
 1 | estate: acme
 2 | evironments: []
   : ^^^^^|^^^^^
   :      `-- here
   `----
  help: did you mean `environments`? valid keys here: estate, platform,
        baseline, stores, environments and peaks
  [E0101]
"#
    );
    looks_like!(
        "estate: acme\nenvironments:\n  - name: dev\n    stage: prodction\n",
        r#"
  x unknown word "prodction"
   ,-[estate.yaml:4:12]
 3 |   - name: dev
 4 |     stage: prodction
   :            ^^^^|^^^^
   :                `-- here
   `----
  help: did you mean `production`? valid words here: production, staging, test
        and dev
  [E0102]
"#
    );
    looks_like!(
        "estate: acme\nenvironments:\n  - name: dev\n    users: many\n",
        r#"
  x expected a whole number, found "many"
   ,-[estate.yaml:4:12]
 3 |   - name: dev
 4 |     users: many
   :            ^^|^
   :              `-- here
   `----
  help: write a whole number without quotes, sign or unit
  [E0103]
"#
    );
    looks_like!(
        "estate: acme\nenvironments:\n  - stage: dev\n",
        r#"
  x the key `name` is missing
   ,-[estate.yaml:3:5]
 2 | environments:
 3 |   - stage: dev
   :     ^^|^^
   :       `-- here
   `----
  help: write `name:` in this mapping; `springtide explain E0104` shows an
        example
  [E0104]
"#
    );
    looks_like!(
        "estate: acme\nenvironments:\n  - { name: prod, host: \"erp; rm\" }\n  - { name: prod }\n",
        r#"
  x host name "erp; rm" cannot be used
   ,-[estate.yaml:3:25]
 2 | environments:
 3 |   - { name: prod, host: "erp; rm" }
   :                         ^^^^|^^^^
   :                             `-- here
 4 |   - { name: prod }
   `----
  help: it must be labels of a-z, 0-9 and inner hyphens joined by dots, such
        as erp.acme.example
  [E0204]

  x two environments are called "prod"
   ,-[estate.yaml:4:13]
 3 |   - { name: prod, host: "erp; rm" }
 4 |   - { name: prod }
   :             ^^|^
   :               `-- here
   `----
  help: the first is number 1 of `environments`; rename one
  [E0202]
"#
    );
    looks_like!(
        "estate: acme\nenvironments: [{ name: prod }]\npeaks:\n  - { name: p, kind: holiday, environments: [prd], from: 2026-01-02, to: 2026-01-01 }\n",
        r#"
  x no environment is called "prd"
   ,-[estate.yaml:4:46]
 3 | peaks:
 4 |   - { name: p, kind: holiday, environments: [prd], from: 2026-01-02, to: 2026-01-01 }
   :                                              ^|^
   :                                               `-- here
   `----
  help: did you mean `prod`? environments of this estate: prod
  [E0401]

  x the peak ends before it begins
   ,-[estate.yaml:4:74]
 3 | peaks:
 4 |   - { name: p, kind: holiday, environments: [prd], from: 2026-01-02, to: 2026-01-01 }
   :                                                                          ^^^^^|^^^^
   :                                                                               `-- here
   `----
  help: `to` must be later than `from`
  [E0402]
"#
    );
}

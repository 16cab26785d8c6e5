//! Profiles: what is read, what is refused and where.

use std::time::Duration;

use springtide_rehearse::class::Class;
use springtide_rehearse::profile::shape::{Moment, Surge};
use springtide_rehearse::profile::{Profile, ProfileError, series};

const SMALL: &str = "name: small\nclasses:\n  scan:\n    per_minute: 60\n";

fn refused(text: &str) -> (u64, String) {
    match Profile::parse("mine.yaml", text) {
        Err(ProfileError::Invalid { file, line, message, .. }) => {
            assert_eq!(file, "mine.yaml");
            (line, message)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_built_in_profile_is_read_under_its_name() {
    let names: Vec<_> = Profile::built_in().collect();
    assert_eq!(names, ["holiday", "quiet", "quarter-end", "counting"]);
    for name in names {
        let profile = Profile::open(name).unwrap();
        assert_eq!(profile.name, name);
        assert!(!profile.about.is_empty());
        for (class, rates) in &profile.classes {
            assert!(
                rates.slo.p95_ms.is_some() && rates.slo.errors_percent.is_some(),
                "{name}: {class} promises nothing"
            );
        }
    }
    assert_eq!(Profile::open("holiday").unwrap().classes.len(), Class::ALL.len(), "holiday drives all classes");
}

#[test]
fn an_unknown_profile_names_the_known_ones_and_the_nearest() {
    let error = Profile::open("holidy").unwrap_err();
    assert_eq!(error.code(), "E0960");
    let text = error.to_string();
    for part in ["`holiday`", "quiet", "quarter-end", "counting", "./mine.yaml"] {
        assert!(text.contains(part), "{text}");
    }
    let error = Profile::open("./no-such-file.yaml").unwrap_err();
    assert!(matches!(error, ProfileError::Read { .. }), "{error}");
}

#[test]
fn mistakes_are_refused_with_their_line() {
    assert!(Profile::parse("mine.yaml", SMALL).is_ok(), "the text that the mistakes are made in is good");
    let cases = [
        ("per_minute: 60", "per_minute: -1", 4, "from 0.01"),
        ("per_minute: 60", "per_minute: .nan", 4, "from 0.01"),
        ("per_minute: 60", "per_minute: sixty", 4, ""),
        ("per_minute: 60", "per_minute: 60\n    burstiness: 9", 5, "burstiness"),
        ("per_minute: 60", "per_minute: 60\n    shape: { surge: { times: 2, at: 4x, for: 1m } }", 5, "40%"),
        ("per_minute: 60", "per_minute: 60\n    shape: { series: { file: nosuch, column: lines } }", 5, "retail-day"),
        (
            "per_minute: 60",
            "per_minute: 60\n    shape: { series: { file: retail-day, column: nosuch } }",
            5,
            "invoices",
        ),
        ("per_minute: 60", "per_minute: 60\n    slo: { p95: 3 }", 5, "p95_ms"),
        ("  scan:", "  scann:", 3, "order-api"),
        ("name: small", "name: ../small", 1, "hyphens"),
        ("name: small", "name: small\nname: twice", 2, ""),
    ];
    for (good, bad, line, said) in cases {
        let (found, message) = refused(&SMALL.replacen(good, bad, 1));
        assert_eq!(found, line, "{bad}: {message}");
        assert!(message.contains(said), "{bad}: {message}");
    }
    assert_eq!(refused("").0, 1);
    let error = Profile::parse("mine.yaml", &SMALL.replace("60", "-1")).unwrap_err();
    assert_eq!(error.code(), "E0961");
    assert!(error.to_string().starts_with("mine.yaml:4:17: scan: per_minute is -1"), "{error}");
    refused("name: small\nclasses: {}\n");
}

#[test]
fn a_file_may_name_a_series_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = SMALL.replace("60\n", "60\n    shape: { series: { file: day.csv, column: n } }\n");
    let profile = folder.path().join("mine.yaml");
    std::fs::write(&profile, text).unwrap();
    let open = || Profile::open(profile.to_str().unwrap());
    assert!(open().unwrap_err().to_string().contains("day.csv"));
    std::fs::write(folder.path().join("day.csv"), "ts,n\n2026-01-01 08:00,1\n2026-01-01 08:03,3\n").unwrap();
    assert_eq!(open().unwrap().classes[&Class::Scan].shape.series, [1.0, 0.0, 0.0, 3.0]);
}

#[test]
fn a_series_is_refused_with_its_line() {
    let rows = |rows: &str| series::factors(&format!("ts,n\n{rows}"), "n");
    assert_eq!(rows("2026-01-01 08:00,2\n2026-01-01 08:01,4\n").unwrap(), [2.0 / 3.0, 4.0 / 3.0]);
    let cases = [
        ("2026-01-01 08:00,x\n", "line 2"),
        ("2026-01-01 08:00,1\nyesterday,1\n", "line 3"),
        ("2026-01-01 08:01,1\n2026-01-01 08:00,1\n", "order of time"),
        ("2026-01-01 08:00,1\n2026-01-01 08:00,1\n", "order of time"),
        ("2026-01-01 08:00,1\n2027-01-01 08:00,1\n", "31 days"),
        ("2026-01-01 08:00,-1\n", "nothing happens"),
        ("", "nothing happens"),
    ];
    for (text, said) in cases {
        let error = rows(text).unwrap_err();
        assert!(error.contains(said), "{text:?}: {error}");
    }
}

#[test]
fn the_recorded_day_keeps_its_gaps_and_has_mean_one() {
    let day = series::factors(series::built_in("retail-day").unwrap(), "invoices").unwrap();
    assert_eq!(day.len(), 536, "from 08:34 to 17:29");
    assert!((day.iter().sum::<f64>() / day.len() as f64 - 1.0).abs() < 1e-9);
    assert!(day.iter().filter(|value| **value == 0.0).count() > 300, "a minute without orders stays one");
}

#[test]
fn a_surge_lasts_as_long_as_it_says() {
    let profile = Profile::parse(
        "mine.yaml",
        "name: x\nclasses:\n  scan: { per_minute: 60, shape: { surge: { times: 3, at: 50%, for: 30s }, step: { times: 2, at: 3m } } }\n",
    )
    .unwrap();
    let shape = &profile.classes[&Class::Scan].shape;
    assert_eq!(shape.surge, Some(Surge { times: 3.0, at: Moment::Share(0.5), lasts: Moment::After(30.0) }));
    let length = Duration::from_secs(240);
    let at = |seconds: f64| shape.factor(seconds, length);
    assert_eq!([at(0.0), at(119.9), at(120.0), at(149.9), at(150.0), at(180.0)], [1.0, 1.0, 3.0, 3.0, 1.0, 2.0]);
}

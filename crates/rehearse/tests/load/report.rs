//! Reports: percentiles of all who came, verdicts, the knee.

use std::time::Duration;

use springtide_rehearse::class::Class;
use springtide_rehearse::generator::{Outcome, Stop};
use springtide_rehearse::ledger::{Finding, Findings};
use springtide_rehearse::measure::{Judgement, Measured, Recorder, Report, Times, knee};
use springtide_rehearse::profile::Profile;
use springtide_rehearse::schedule::Schedule;

const DONE: Outcome = Outcome::Done { retries: 1 };

fn profile(slo: &str) -> Profile {
    Profile::parse("test", &format!("name: test\nclasses:\n  scan: {{ per_minute: 60, slo: {{ {slo} }} }}\n")).unwrap()
}

/// 100 scans, of which some fail at once; the others take from 1 ms to 100 ms.
fn measured(failed: u64) -> Measured {
    let length = Duration::from_secs(100);
    let plan = Schedule { profile: "test".into(), seed: 9, length, arrivals: Vec::new() };
    let mut record = Recorder::new(&plan, 1);
    for number in 0..100 {
        let at = Duration::from_secs(number);
        record.offered(Class::Scan, at);
        record.started(Duration::from_micros(300));
        if number < failed {
            let outcome = Outcome::Failed { status: Some(502), reason: "bad gateway".into() };
            record.ended(Class::Scan, at, Duration::from_millis(1), outcome);
        } else {
            record.ended(Class::Scan, at, Duration::from_millis(number + 1), DONE);
        }
    }
    record.finish(length, Duration::from_millis(1500))
}

#[test]
fn percentiles_are_of_all_who_came() {
    let mut times = Times::default();
    (1..=90).for_each(|millis| times.record(Duration::from_millis(millis)));
    let close =
        |found: Option<Duration>, millis: f64| (found.unwrap().as_secs_f64() * 1000.0 / millis - 1.0).abs() < 0.002;
    assert!(close(times.quantile(0.5), 45.0));
    assert!(close(times.quantile_of(0.5, 100), 50.0), "10 have no end, so half of all took longer");
    assert!(close(times.quantile_of(0.9, 100), 90.0));
    assert_eq!(times.quantile_of(0.91, 100), None);
    assert_eq!(Times::default().quantile(0.5), None);
    assert_eq!(Times::default().quantile_of(0.5, 0), None);
}

#[test]
fn promises_are_kept_or_broken() {
    let judge = |failed, slo: &str| Report::of(&measured(failed), &profile(slo), None);
    let good = judge(0, "p95_ms: 96, errors_percent: 0");
    assert!(good.pass, "{:?}", good.failures);
    let scan = good.class(Class::Scan).unwrap();
    assert_eq!((scan.offered, scan.done, scan.retries, scan.verdict), (100, 100, 100, Judgement::Kept));

    let slow = judge(0, "p95_ms: 90");
    assert_eq!(slow.failures, ["scan: P95 is 95 ms, promised are 90 ms"]);
    assert_eq!(slow.class(Class::Scan).unwrap().verdict, Judgement::Broken);
    let failing = judge(3, "p95_ms: 1000, errors_percent: 2");
    assert_eq!(failing.failures, ["scan: 3.0 % were not done, allowed are 2.0 %"]);
    // Failing fast does not make a system fast.
    let failing = judge(6, "p95_ms: 1000");
    assert!(!failing.pass && failing.class(Class::Scan).unwrap().p95_ms.is_none());
    let nothing = judge(6, "");
    assert!(nothing.pass && nothing.class(Class::Scan).unwrap().verdict == Judgement::None);
}

#[test]
fn a_ledger_a_stop_and_an_empty_run_fail_the_run() {
    let profile = profile("errors_percent: 1");
    assert!(Report::of(&measured(0), &profile, Some(Findings::default())).pass);
    let lost = vec![Finding { key: "K".into(), what: "gone".into() }];
    let report = Report::of(&measured(0), &profile, Some(Findings { lost, ..Findings::default() }));
    assert_eq!(report.failures, ["ledger: 1 lost (0 acknowledged of 0 acts)"]);
    for (why, said) in [(Stop::Asked, "stopped before"), (Stop::Broken("disk full".into()), "disk full")] {
        let report = Report::of(&Measured { stopped: Some(why), ..measured(0) }, &profile, None);
        assert!(!report.pass && report.failures[0].contains(said), "{:?}", report.failures);
    }
    assert!(!Report::of(&Measured::default(), &profile, None).pass);
}

#[test]
fn the_text_shows_what_was_measured() {
    let report = Report::of(&measured(6), &profile("p95_ms: 1000, errors_percent: 2"), Some(Findings::default()));
    let text = report.text().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "scan 100 94 6 94",
        "never",
        "1000 ms, 2 %",
        "broken",
        "scan: 6 x failed (502): bad gateway",
        "knee: not found",
        "ledger: clean",
        "verdict: fail",
        "within 0.30 ms",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn names_in_json_stay() {
    let json = serde_json::to_value(Report::of(&measured(0), &profile("p95_ms: 96"), None)).unwrap();
    for name in
        ["profile", "seed", "offered", "done", "errors", "retries", "knee_per_minute", "schedule_error_p99_ms", "pass"]
    {
        assert!(json.get(name).is_some(), "{name}");
    }
    let class = &json["classes"][0];
    for name in
        ["class", "offered", "done", "refused", "failed", "unknown", "p50_ms", "p95_ms", "p99_ms", "slo", "verdict"]
    {
        assert!(class.get(name).is_some(), "{name}");
    }
    assert_eq!((&class["class"], &class["verdict"]), (&"scan".into(), &"kept".into()));
    assert_eq!(json["windows"].as_array().unwrap().len(), 10, "100 s in windows of 10 s");
}

#[test]
fn the_knee_is_where_promises_begin_to_break() {
    let run = |kept: fn(f64) -> bool| {
        (1..=12).map(|step| (f64::from(step * 10), kept(f64::from(step * 10)))).collect::<Vec<_>>()
    };
    assert_eq!(knee(&run(|rate| rate < 75.0)), Some(80.0));
    assert_eq!(knee(&run(|rate| rate < 75.0 && rate != 20.0)), Some(80.0), "one bad window proves nothing");
    assert_eq!(knee(&run(|_| true)), None);
    assert_eq!(knee(&run(|_| false)), None);
    assert_eq!(knee(&run(|rate| rate > 75.0)), None, "what breaks at low rates is no knee");
    assert_eq!(knee(&run(|rate| (rate as u64).is_multiple_of(20))), None);
    assert_eq!(knee(&run(|rate| rate < 115.0)), None, "two windows prove nothing");
    assert_eq!(knee(&[]), None);
}

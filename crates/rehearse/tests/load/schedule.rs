//! Schedules: the same from the same, and as many arrivals as the profile says.

use std::time::Duration;

use proptest::prelude::*;
use springtide_rehearse::class::Class;
use springtide_rehearse::profile::Profile;
use springtide_rehearse::schedule::{Schedule, ScheduleError};

const MINUTE: Duration = Duration::from_secs(60);

fn scans(rest: &str) -> Profile {
    Profile::parse("test", &format!("name: test\nclasses:\n  scan: {{ {rest} }}\n")).unwrap()
}

/// Arrivals in each whole minute.
fn minutes(schedule: &Schedule) -> Vec<f64> {
    let mut counts = vec![0.0; (schedule.length.as_secs() / 60) as usize];
    for arrival in &schedule.arrivals {
        counts[((arrival.at.as_secs() / 60) as usize).min(schedule.length.as_secs() as usize / 60 - 1)] += 1.0;
    }
    counts
}

fn mean_and_variance(counts: &[f64]) -> (f64, f64) {
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    (mean, counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (counts.len() - 1) as f64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn same_seed_same_arrivals(
        seed: u64, other: u64, per_minute in 1.0..600.0, burstiness in 0.0..2.0, times in 0.0..5.0, seconds in 1_u64..400,
    ) {
        let profile = scans(&format!(
            "per_minute: {per_minute}, burstiness: {burstiness}, shape: {{ surge: {{ times: {times}, at: 30%, for: 20s }} }}"
        ));
        let length = Duration::from_secs(seconds);
        let one = Schedule::of(&profile, seed, length).unwrap();
        prop_assert_eq!(&one, &Schedule::of(&profile, seed, length).unwrap());
        if one.arrivals.len() > 3 && other != seed {
            prop_assert_ne!(&one.arrivals, &Schedule::of(&profile, other, length).unwrap().arrivals);
        }
        prop_assert!(one.arrivals.is_sorted_by_key(|arrival| arrival.at));
        prop_assert!(one.arrivals.iter().all(|arrival| arrival.at <= length));
        for (number, arrival) in one.arrivals.iter().enumerate() {
            prop_assert_eq!(arrival.number, number as u64);
        }
    }

    #[test]
    fn a_class_more_leaves_the_others_as_they_were(seed: u64) {
        let small = Profile::parse("a", "name: a\nclasses:\n  report: { per_minute: 90, burstiness: 0.5 }\n").unwrap();
        let large = Profile::parse(
            "b", "name: b\nclasses:\n  scan: { per_minute: 200 }\n  report: { per_minute: 90, burstiness: 0.5 }\n",
        ).unwrap();
        let of = |profile| Schedule::of(profile, seed, 2 * MINUTE).unwrap().arrivals;
        let mut reports = of(&large);
        reports.retain(|arrival| arrival.class == Class::Report);
        prop_assert_eq!(reports, of(&small));
    }

    #[test]
    fn a_longer_run_begins_like_a_shorter_one(seed: u64) {
        let profile = scans("per_minute: 120, burstiness: 0.4, shape: { step: { times: 2, at: 70s } }");
        let short = Schedule::of(&profile, seed, 2 * MINUTE).unwrap().arrivals;
        let long = Schedule::of(&profile, seed, 5 * MINUTE).unwrap().arrivals;
        prop_assert_eq!(&long[..short.len()], &short[..]);
    }
}

#[test]
fn these_arrivals_stay_what_they_are() {
    // A run is quoted by its profile and seed: a new release of a crate must not change what they mean.
    let schedule = Schedule::of(&scans("per_minute: 60, burstiness: 0.5"), 7, MINUTE).unwrap();
    let first: Vec<_> = schedule.arrivals.iter().take(3).map(|a| (a.at.as_micros(), a.seed)).collect();
    let expected = [
        (3_160_055, 9_550_697_614_518_232_044),
        (3_557_901, 1_128_036_509_335_482_220),
        (4_621_789, 4_576_034_567_299_055_149),
    ];
    assert_eq!((schedule.arrivals.len(), first.as_slice()), (56, &expected[..]));
}

#[test]
fn as_many_come_as_the_profile_says_and_more_unevenly_if_it_says_so() {
    let count = |burstiness: f64| {
        let profile = scans(&format!("per_minute: 300, burstiness: {burstiness}"));
        mean_and_variance(&minutes(&Schedule::of(&profile, 11, 600 * MINUTE).unwrap()))
    };
    // Of 600 minutes, five standard errors on either side.
    let (mean, variance) = count(0.0);
    assert!((mean - 300.0).abs() < 5.0 * (300.0_f64 / 600.0).sqrt(), "mean {mean}");
    assert!(
        (variance / mean - 1.0).abs() < 5.0 * (2.0_f64 / 600.0).sqrt(),
        "a Poisson count varies by its mean: {variance}"
    );
    let (mean, variance) = count(0.3);
    let expected = 300.0 + (0.3_f64 * 300.0).powi(2);
    assert!((mean - 300.0).abs() < 5.0 * (expected / 600.0).sqrt(), "mean {mean}");
    assert!((variance / expected - 1.0).abs() < 0.4, "variance {variance}, expected {expected}");
}

#[test]
fn a_surge_and_a_series_bring_people_when_they_say() {
    let count = |schedule: &Schedule, from: u64, to: u64| {
        let within = |at: Duration| at >= Duration::from_secs(from) && at < Duration::from_secs(to);
        schedule.arrivals.iter().filter(|arrival| within(arrival.at)).count() as f64 / (to - from) as f64
    };
    let surge = scans("per_minute: 6000, shape: { surge: { times: 4, at: 60s, for: 30s } }");
    let surge = Schedule::of(&surge, 3, 2 * MINUTE).unwrap();
    for (from, to, expected) in [(0, 60, 100.0), (60, 90, 400.0), (90, 120, 100.0)] {
        let found = count(&surge, from, to);
        assert!((found / expected - 1.0).abs() < 0.1, "{from} to {to}: {found} a second");
    }
    let day = scans("per_minute: 6000, shape: { series: { file: retail-day, column: invoices } }");
    let day = Schedule::of(&day, 3, 10 * MINUTE).unwrap();
    assert!((day.arrivals.len() as f64 / 60_000.0 - 1.0).abs() < 0.03, "the mean holds over the run");
}

#[test]
fn a_run_without_a_sensible_size_is_refused() {
    let profile = scans("per_minute: 100000");
    assert_eq!(Schedule::of(&profile, 1, Duration::ZERO), Err(ScheduleError::Length(Duration::ZERO)));
    assert!(matches!(Schedule::of(&profile, 1, 60 * MINUTE), Err(ScheduleError::TooMany(_))));
    assert!(Schedule::of(&scans("per_minute: 1"), 1, 60 * MINUTE).is_ok());
}

#[test]
fn the_holiday_has_room_above_what_it_must_give() {
    // 200 orders and 500 scans in three minutes, whatever the seed.
    let profile = Profile::open("holiday").unwrap();
    for seed in 0..200 {
        let schedule = Schedule::of(&profile, seed, 3 * MINUTE).unwrap();
        let orders = schedule.offered(Class::Order) + schedule.offered(Class::OrderApi);
        assert!(orders >= 200 && schedule.offered(Class::Scan) >= 500, "seed {seed}: {orders} orders");
        assert!(Class::ALL.iter().all(|class| schedule.offered(*class) > 0), "seed {seed}: a class is missing");
    }
}

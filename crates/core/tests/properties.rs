//! What holds of every estate file, name and plan, tried on arbitrary ones.
//!
//! Where it is not plain that a property can fail at all, a control shows that the same values do
//! break a rule that is wrong.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use springtide_core::check::{CheckedEstate, parse_and_check};
use springtide_core::layout::Slot;
use springtide_core::lint::lint;
use springtide_core::names::{EnvironmentName, HostName, ModuleName};
use springtide_core::observe::{HostFacts, Observation};
use springtide_core::plan::{Action, Plan, Risk, plan};
use springtide_core::role::Role;
use springtide_core::roles;
use springtide_core::sizing::size;
use springtide_core::spec::{self, RawEstate};
use springtide_core::workload::{WorkloadId, WorkloadSpec};

mod estates;
mod world;
use estates::{MOMENTS, accepted, machine};
use world::World;

fn cases(number: u32) -> Config {
    Config { cases: number, failure_persistence: None, ..Config::default() }
}

fn checked(text: &str) -> CheckedEstate {
    parse_and_check("estate.yaml", text).unwrap_or_else(|report| panic!("{report}{text}"))
}

/// The estate of `text` after an edit that restarts every PostgreSQL.
fn edited(text: &str) -> CheckedEstate {
    let mut estate = checked(text);
    estate.environments.iter_mut().for_each(|one| one.max_connections = Some(one.max_connections.unwrap_or(0) + 2_000));
    estate
}

fn world(text: &str, host: &HostFacts, now: i64) -> World {
    let seen = Observation { host: host.clone(), ..Observation::default() };
    World { estate: Some(checked(text)), seen, now, ..World::default() }
}

/// Whether some value of `strategy` breaks `rule`: the negative control of a property. The seed is
/// fixed, so that what was once found is found always; rare cases need many values.
fn is_broken<S: Strategy>(strategy: S, rule: impl Fn(S::Value) -> bool) -> bool {
    let mut runner = TestRunner::deterministic();
    (0..5000).any(|_| !rule(strategy.new_tree(&mut runner).expect("a value can be made").current()))
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn a_file_means_the_same_when_it_is_written_again(text in accepted()) {
        let (raw, _) = spec::parse("estate.yaml", &text).unwrap();
        let json = serde_json::to_string(&raw).unwrap();
        prop_assert_eq!(&serde_json::from_str::<RawEstate>(&json).unwrap(), &raw);
        prop_assert_eq!(checked(&json), checked(&text));
        let yaml = serde_saphyr::to_string(&raw).unwrap();
        prop_assert_eq!(checked(&yaml), checked(&text), "{}", yaml);
    }

    #[test]
    fn what_was_checked_can_be_told_to_programs(text in accepted()) {
        let estate = checked(&text);
        let told: serde_json::Value = serde_json::from_str(&serde_json::to_string(&estate).unwrap()).unwrap();
        prop_assert_eq!(&serde_json::to_value(&estate).unwrap(), &told);
        for (one, told) in estate.environments.iter().zip(told["environments"].as_array().unwrap()) {
            prop_assert_eq!(told["name"].as_str().unwrap().parse(), Ok(one.name.clone()));
            prop_assert_eq!(told["host"].as_str().unwrap().parse(), Ok(one.host.clone()));
            prop_assert_eq!(told["series"].as_str().unwrap().parse(), Ok(one.series));
        }
    }

    #[test]
    fn a_plan_depends_on_nothing_but_its_inputs(text in accepted(), host in machine(), now in MOMENTS) {
        let mut world = world(&text, &host, now);
        for _ in 0..2 {
            let planned = world.plan();
            let told: Observation = serde_json::from_str(&serde_json::to_string(&world.seen).unwrap()).unwrap();
            prop_assert_eq!(&plan(&checked(&text), &told, now), &planned);
            let saved: Plan = serde_json::from_str(&serde_json::to_string(&planned).unwrap()).unwrap();
            prop_assert_eq!(saved, planned);
            world.apply();
        }
    }

    #[test]
    fn a_plan_that_is_done_leaves_nothing(
        (text, next) in (accepted(), accepted()), host in machine(), now in MOMENTS, later in MOMENTS
    ) {
        let mut world = world(&text, &host, now);
        for (text, now) in [(&text, now), (&text, later), (&next, later)] {
            world.estate = Some(checked(text));
            world.now = now;
            let planned = world.plan();
            if planned.refusals.is_empty() {
                world.apply();
                let after = world.plan();
                prop_assert!(after.is_empty(), "{:?}\n{text}", after.environments);
                prop_assert_eq!(waits(&after), waits(&planned), "what waits still waits");
            } else {
                prop_assert_eq!(planned.steps().count(), 0, "a refused estate changes nothing");
            }
        }
    }

    #[test]
    fn a_freeze_lets_nothing_through_but_its_peak(
        text in accepted(), host in machine(), now in MOMENTS, later in MOMENTS, edit: bool
    ) {
        let mut world = world(&text, &host, now);
        world.apply();
        world.now = later;
        let estate = if edit { edited(&text) } else { checked(&text) };
        world.estate = Some(estate.clone());
        for planned in world.plan().environments {
            let Some(declared) = estate.environments.iter().find(|it| Some(&it.name) == planned.environment.as_ref()) else {
                continue;
            };
            if declared.frozen_by(&estate.peaks, later).is_none() {
                prop_assert_eq!(&planned.waits, &Vec::<String>::new());
                continue;
            }
            for step in planned.steps.iter().filter(|step| step.risk >= Risk::Restart) {
                prop_assert!(step.reason.starts_with("peak "), "{:?}", step);
            }
        }
    }

    #[test]
    fn one_digest_is_one_text((one, other) in (accepted(), accepted()), host in machine(), now in MOMENTS) {
        let (one, other) = (checked(&one), checked(&other));
        let sized = |estate: &'_ CheckedEstate, slot| {
            let mut first = estate.environments[0].clone();
            first.name = "same".parse().unwrap();
            first.host = "same.example".parse().unwrap();
            let sized = size(&first, &[], Slot(slot), &host, 2, now, now);
            Role::ENVIRONMENT.map(|role| (roles::digest(&sized, role), roles::workload(&sized, role)))
        };
        for slots in [(1, 1), (1, 2)] {
            for ((digest, text), (other_digest, other_text)) in sized(&one, slots.0).into_iter().zip(sized(&other, slots.1)) {
                prop_assert_eq!(digest, text.digest());
                let plain = |spec: WorkloadSpec| WorkloadSpec { made_from: None, ..spec };
                let id = text.id.clone();
                prop_assert_eq!(digest == other_digest, plain(text) == plain(other_text), "{}", id);
            }
        }
    }
}

fn waits(planned: &Plan) -> Vec<String> {
    planned.environments.iter().flat_map(|one| one.waits.clone()).collect()
}

#[test]
fn arbitrary_estates_are_refused_and_frozen_and_changed_by_peaks() {
    let at = |text: &str, host: &HostFacts, now, later| {
        let mut world = world(text, host, now);
        world.apply();
        world.now = later;
        world.estate = Some(edited(text));
        world.plan()
    };
    let all = || (accepted(), machine(), MOMENTS, MOMENTS);
    assert!(is_broken((accepted(), machine(), MOMENTS), |(text, host, now)| world(&text, &host, now)
        .plan()
        .refusals
        .is_empty()));
    assert!(is_broken(all(), |(text, host, now, later)| waits(&at(&text, &host, now, later)).is_empty()));
    let of_peaks = |planned: Plan| planned.steps().all(|step| !step.reason.starts_with("peak "));
    assert!(is_broken(all(), |(text, host, now, later)| of_peaks(at(&text, &host, now, later))));
}

#[test]
fn a_plan_in_another_order_is_not_clean() {
    assert!(is_broken((accepted(), machine(), MOMENTS), |(text, host, now)| {
        let mut planned = world(&text, &host, now).plan();
        planned.environments.iter_mut().for_each(|one| one.steps.reverse());
        lint(&planned).is_empty()
    }));
    assert!(is_broken((accepted(), machine(), MOMENTS), |(text, host, now)| {
        let mut world = world(&text, &host, now);
        // An effect that is forgotten is planned again.
        let steps: Vec<_> = world.plan().steps().map(|step| step.action.clone()).collect();
        steps.iter().filter(|action| !matches!(action, Action::EnsureRoute { .. })).for_each(|one| world.effect(one));
        world.plan().is_empty()
    }));
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn names_that_are_accepted_are_safe_wherever_they_go(name in "[a-z](-?[a-z0-9]){0,39}") {
        if let Ok(name) = name.parse::<EnvironmentName>() {
            safe(&name)?;
        } else {
            prop_assert!(name.len() > EnvironmentName::MAX);
        }
    }

    #[test]
    fn no_other_text_is_a_name(text in ".{0,45}") {
        if let Ok(name) = text.parse::<EnvironmentName>() {
            safe(&name)?;
        }
        if let Ok(host) = text.parse::<HostName>() {
            prop_assert!(host.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)));
        }
        if let Ok(module) = text.parse::<ModuleName>() {
            prop_assert!(module.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        }
    }
}

/// An estate with its far copy at `place`.
fn with_far(place: &str) -> Option<String> {
    let store = serde_json::json!({ "name": "store-one", "endpoint": "https://a.example", "credentials": "/keys" });
    let environment = serde_json::json!({ "name": "shop", "backup": { "far": place } });
    let text = serde_json::json!({ "estate": "acme", "stores": [store], "environments": [environment] }).to_string();
    let estate = parse_and_check("estate.yaml", &text).ok()?;
    Some(estate.environments[0].backup.as_ref().unwrap().far.as_ref().unwrap().to_string())
}

/// Places, things that look like places, and anything.
fn places() -> impl Strategy<Value = String> {
    prop_oneof!["(s3://store-one|file:///)[a-z0-9._-]{0,8}(/[a-z0-9._-]{0,8}){0,3}", "[a-z3:/.]{0,20}", ".{0,40}"]
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_place_that_is_accepted_names_one_folder_and_no_syntax(text in places()) {
        if let Some(place) = with_far(&text) {
            let inside = place.strip_prefix("s3://store-one/").or_else(|| place.strip_prefix("file:///"));
            prop_assert!(inside.is_some_and(|it| it == "shop" || it.ends_with("/shop")), "{}", place);
            let plain = |part: &str| {
                let bytes = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
                bytes && !matches!(part, "" | "." | "..")
            };
            prop_assert!(inside.is_some_and(|it| it.split('/').all(plain)), "{}", place);
        }
    }
}

#[test]
fn arbitrary_places_are_accepted_and_refused() {
    assert!(is_broken(places(), |text| with_far(&text).is_none()), "none is accepted");
    let step_up = |text: String| !text.starts_with("file:///") || !text.contains("/..") || with_far(&text).is_some();
    assert!(is_broken(places(), step_up), "none that steps up was tried and refused");
}

/// Everything that is derived from an environment's name fits and cannot be mistaken for syntax.
fn safe(name: &EnvironmentName) -> Result<(), TestCaseError> {
    let database = name.database();
    prop_assert!(database.len() + "_restore_20261127060000".len() <= 63, "{}", database);
    prop_assert!(database.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
    prop_assert!(database.as_bytes()[0].is_ascii_lowercase());
    let host = format!("{name}.localhost");
    prop_assert!(host.parse::<HostName>().is_ok(), "{}", host);
    for role in Role::ENVIRONMENT {
        let id = WorkloadId::of(name, role);
        prop_assert_eq!(id.to_string().parse(), Ok(id.clone()));
        prop_assert!(
            id.folder().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        );
        let connection = format!("springtide/{name}/{role}");
        prop_assert!(connection.len() <= 63, "{}", connection);
    }
    Ok(())
}

#[test]
fn a_longer_or_bolder_name_would_be_caught() {
    assert!(is_broken("[a-z]{41,60}", |text| format!("{text}_restore_20261127060000").len() <= 63));
    assert!(is_broken(".{1,45}", |text| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
}

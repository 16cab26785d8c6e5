//! Arbitrary estate files that the check accepts, and machines to plan them for.

// Each test uses a part of it.
#![allow(dead_code)]

use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};
use springtide_core::observe::HostFacts;

/// Moments that the peaks below begin and end around.
pub const MOMENTS: std::ops::Range<i64> = 1_795_000_000..1_797_000_000;

const MODULES: [&str; 6] = ["stock", "sale_management", "purchase", "mrp", "crm", "website_sale"];

/// An object of those pairs that are there.
fn object<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Value {
    Value::Object(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect::<Map<_, _>>())
}

fn some<T: Into<Value> + std::fmt::Debug + 'static>(
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<Value>> {
    of(strategy.prop_map(Into::into)).boxed()
}

fn workers() -> impl Strategy<Value = Value> {
    (some(1_u16..=64), some(1_u16..=64), some(1_u16..=64))
        .prop_map(|(web, cron, jobs)| object([("web", web), ("cron", cron), ("jobs", jobs)]))
}

fn resources() -> impl Strategy<Value = Value> {
    (some(1_u32..=64), some((256_u32..=65_536).prop_map(|mib| format!("{mib}MiB"))))
        .prop_map(|(cpus, memory)| object([("cpus", cpus), ("memory", memory)]))
}

fn odoo() -> impl Strategy<Value = Value> {
    let series = select(vec!["14.0", "16.0", "19.0"]);
    (some(series), some(any::<bool>()), some(subsequence(&MODULES, 0..=MODULES.len()))).prop_map(
        |(series, demo, modules)| {
            object([("series", series), ("demo", demo), ("modules", modules), ("accept_declared", Some(true.into()))])
        },
    )
}

/// Backups of any kind; the store is declared in every file.
fn backup() -> impl Strategy<Value = Value> {
    let place = |s3: &'static str, folder: &'static str| some(select(vec![s3, folder]));
    let hours = || (1_u32..=24).prop_map(|hours| format!("{hours}h"));
    (place("s3://store-one/near", "file:///mnt/near"), place("s3://store-two", "file:///mnt/far"), some(hours()))
        .prop_map(|(near, far, full)| object([("near", near), ("far", far), ("full", full)]))
}

/// The stores that places name.
fn stores() -> Value {
    let store = |name: &str, more| {
        object([
            ("name", Some(name.into())),
            ("endpoint", Some(format!("https://{name}.example").into())),
            ("credentials", Some(format!("/etc/{name}").into())),
            ("authority", more),
        ])
    };
    json!([store("store-one", None), store("store-two", Some("/etc/ca.pem".into()))])
}

/// An environment of any size; its name is put in where names have to differ.
fn environment() -> impl Strategy<Value = Value> {
    let stage = select(vec!["production", "staging", "test", "dev"]);
    let database = some(20_u16..=2_000).prop_map(|max| object([("max_connections", max)]));
    let budget = some(0_u16..=64).prop_map(|burst| object([("burst_workers", burst)]));
    (
        "[a-z](-?[a-z0-9]){0,15}",
        (some(stage), some(any::<bool>()), some(1_u32..=100_000), some(backup())),
        (some(odoo()), some(workers()), some(resources()), some(database), some(budget)),
    )
        .prop_map(|(name, (stage, protected, users, backup), (odoo, workers, resources, database, budget))| {
            object([
                ("name", Some(name.into())),
                ("stage", stage),
                ("protected", protected),
                ("users", users),
                ("backup", backup),
                ("odoo", odoo),
                ("workers", workers),
                ("resources", resources),
                ("database", database),
                ("budget", budget),
            ])
        })
}

/// Local time of Unix seconds in UTC, as a file says it.
fn local(second: i64) -> Value {
    let moment = jiff::Timestamp::from_second(second).expect("inside this century");
    moment.to_zoned(jiff::tz::TimeZone::UTC).datetime().to_string().into()
}

fn peak(environments: usize) -> impl Strategy<Value = (Value, Vec<usize>)> {
    let overlay = (some(1_u32..=1_000), some(workers()), some(resources())).prop_map(|(users, workers, resources)| {
        object([("users", users), ("workers", workers), ("resources", resources)])
    });
    (
        (MOMENTS, 1_i64..1_000_000),
        (some(10_u32..=60), some(any::<bool>()), some(overlay)),
        btree_set(0..environments, 1..=environments),
    )
        .prop_map(|((from, long), (tenths, freeze, overlay), touched)| {
            let multiplier = tenths.map(|tenths| (tenths.as_f64().expect("a number") / 10.0).into());
            let peak = object([
                ("kind", Some("holiday".into())),
                ("from", Some(local(from))),
                ("to", Some(local(from + long))),
                ("multiplier", multiplier),
                ("freeze", freeze),
                ("overlay", overlay),
            ]);
            (peak, touched.into_iter().collect())
        })
}

/// The text of an estate file that the check accepts: one to five environments, up to three peaks.
pub fn accepted() -> impl Strategy<Value = String> {
    (vec(environment(), 1..=5), some(odoo()))
        .prop_flat_map(|(environments, odoo)| {
            let peaks = vec(peak(environments.len()), 0..=3);
            (Just(environments), Just(odoo), peaks)
        })
        .prop_map(|(mut environments, odoo, peaks)| {
            for (index, one) in environments.iter_mut().enumerate() {
                // The number keeps names apart, and away from those that are taken.
                one["name"] = format!("{}-{index}", one["name"].as_str().expect("a text")).into();
            }
            let peaks: Vec<Value> = peaks
                .into_iter()
                .enumerate()
                .map(|(index, (mut peak, touched))| {
                    peak["name"] = format!("peak-{index}").into();
                    peak["environments"] = touched.iter().map(|at| environments[*at]["name"].clone()).collect();
                    peak
                })
                .collect();
            let baseline = object([("odoo", odoo)]);
            // JSON is YAML.
            json!({ "estate": "acme", "stores": stores(), "baseline": baseline, "environments": environments, "peaks": peaks }).to_string()
        })
}

/// A machine with all that is needed, of any size.
pub fn machine() -> impl Strategy<Value = HostFacts> {
    (1_u32..=128, 1_u64..=1024).prop_map(|(cpus, gib)| {
        let all = ["14.0", "16.0", "19.0"].map(|series| (series.parse().expect("a series"), "x".to_owned()));
        HostFacts {
            cpus,
            memory_bytes: gib << 30,
            postgres_major: Some(17),
            odoo_roots: all.into(),
            ..HostFacts::default()
        }
    })
}

//! What acts cost Odoo, from the request log of its web role.
//!
//! Every request of an act carries an id in which the class and the number stand, in the hexadecimal that
//! Odoo's request log keeps. So the log tells which requests belong together, without timing anything here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::class::Class;

/// How ids of the rig begin.
const MARK: &str = "5b7e";

/// The id that the requests of an act carry.
pub fn request_id(class: Class, number: u64) -> String {
    let at = Class::ALL.iter().position(|one| *one == class).unwrap_or_default();
    format!("{MARK}-{at:02x}-{number:08x}")
}

/// The act that a request id is of, if it is one of the rig.
pub fn act_of(id: &str) -> Option<(Class, u64)> {
    let (class, number) = id.strip_prefix(MARK)?.strip_prefix('-')?.split_once('-')?;
    let class = Class::ALL.get(usize::from_str_radix(class, 16).ok()?)?;
    Some((*class, u64::from_str_radix(number, 16).ok()?))
}

/// What the acts of one class cost, as a mean per act.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Acts that the log shows.
    pub acts: u64,
    /// Requests per act.
    pub requests: f64,
    /// Seconds that a worker was held per act.
    pub worker_s: f64,
    /// Of those, seconds in which it waited for the database.
    pub database_s: f64,
    /// Queries per act.
    pub queries: f64,
    /// Transactions per act that Odoo had to repeat, because of a conflict.
    pub retries: f64,
}

/// Costs by class, from lines of a web role's log; lines that are no request of the rig are passed over.
pub fn by_class<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeMap<Class, Cost> {
    by_class_of(lines, |_| true)
}

/// The same of the acts whose numbers `wanted` takes: a log holds many runs.
pub fn by_class_of<'a>(
    lines: impl IntoIterator<Item = &'a str>,
    wanted: impl Fn(u64) -> bool,
) -> BTreeMap<Class, Cost> {
    let mut sums: BTreeMap<Class, (BTreeSet<u64>, Cost)> = BTreeMap::new();
    for line in lines {
        // Most lines of a log are not of the rig; looking for the mark is cheaper than reading JSON.
        let ours = line.contains(MARK).then(|| line.find("{\"time\"")).flatten();
        let Some(line) = ours.and_then(|at| serde_json::from_str::<Value>(&line[at..]).ok()) else {
            continue;
        };
        let Some((class, number)) = line["id"].as_str().and_then(act_of) else { continue };
        if !wanted(number) {
            continue;
        }
        let (acts, sum) = sums.entry(class).or_default();
        acts.insert(number);
        sum.requests += 1.0;
        sum.worker_s += line["ms"].as_f64().unwrap_or_default() / 1_000.0;
        sum.database_s += line["sql_s"].as_f64().unwrap_or_default();
        sum.queries += line["sql"].as_f64().unwrap_or_default();
        sum.retries += line["retries"].as_f64().unwrap_or_default();
    }
    let mean = |(class, (acts, sum)): (Class, (BTreeSet<u64>, Cost))| {
        let count = acts.len() as f64;
        let cost = Cost {
            acts: acts.len() as u64,
            requests: sum.requests / count,
            worker_s: sum.worker_s / count,
            database_s: sum.database_s / count,
            queries: sum.queries / count,
            retries: sum.retries / count,
        };
        (class, cost)
    };
    sums.into_iter().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_its_act_and_fits_odoos_request_log() {
        for class in Class::ALL {
            let id = request_id(class, 77);
            assert_eq!(act_of(&id), Some((class, 77)));
            assert!((8..=64).contains(&id.len()));
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{id}");
        }
        assert_eq!(act_of("0123456789abcdef"), None);
        assert_eq!(act_of("5b7e-ff-00000001"), None);
    }

    #[test]
    fn requests_of_an_act_are_added_and_acts_are_averaged() {
        let line = |id: &str, ms: u32, retries: u32| {
            format!(
                "{{\"time\":\"t\",\"kind\":\"request\",\"ms\":{ms},\"sql\":4,\"sql_s\":0.01,\"retries\":{retries},\"id\":\"{id}\"}}"
            )
        };
        let first = request_id(Class::Scan, 1);
        let lines = [
            line(&first, 100, 1),
            line(&first, 200, 0),
            line(&request_id(Class::Scan, 2), 300, 0),
            line("0123456789abcdef", 9_000, 0),
            "2026-11-23 INFO not a request".to_owned(),
        ];
        let costs = by_class(lines.iter().map(String::as_str));
        assert_eq!(costs.len(), 1);
        let cost = costs[&Class::Scan];
        assert_eq!((cost.acts, cost.requests, cost.retries), (2, 1.5, 0.5));
        assert!((cost.worker_s - 0.3).abs() < 1e-9 && (cost.database_s - 0.015).abs() < 1e-9);
        let second = by_class_of(lines.iter().map(String::as_str), |number| number == 2);
        assert_eq!((second[&Class::Scan].acts, second[&Class::Scan].retries), (1, 0.0));
        assert!(by_class_of(lines.iter().map(String::as_str), |number| number > 2).is_empty());
    }
}

//! A calibration as a page in Markdown, to be kept beside the code. Pure.
//!
//! Rule: whoever reads only this page knows where, when and how it was measured, how far it came, and which goals
//! were missed. It holds no path and no name of this machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::grid::{Comparison, KNEE_GOAL, P95_GOAL, Seen, THROUGHPUT_GOAL, Times};
use super::results::{Crowd, Ended, Results};

/// Above this load average, times are those of a busy machine.
const BUSY: f64 = 0.5;

/// The page.
pub fn page(results: &Results) -> String {
    let mut out = String::new();
    head(&mut out, results);
    verdict(&mut out, results);
    classes(&mut out, results);
    sweep(&mut out, results);
    hot(&mut out, results);
    if let Some(comparison) = &results.comparison {
        grid(&mut out, comparison);
    }
    crews(&mut out, results);
    if !results.notes.is_empty() {
        out.push_str("\n## Notes\n\n");
        results.notes.iter().for_each(|note| line(&mut out, format_args!("- {}", plain(note))));
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}

/// A text of the system under test cannot break a table or the page.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    text.replace('|', "/").replace('`', "'").replace('<', "(").replace('>', ")")
}

fn table(out: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    line(out, format_args!("\n| {} |", head.join(" | ")));
    line(out, format_args!("|{}", " --- |".repeat(head.len())));
    rows.into_iter().for_each(|row| line(out, format_args!("| {} |", row.join(" | "))));
}

fn ms(seconds: f64) -> String {
    format!("{:.0}", seconds * 1000.0)
}

fn maybe<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), text)
}

/// With a sign, in percent.
fn off(error: f64) -> String {
    format!("{error:+.0} %")
}

fn head(out: &mut String, results: &Results) {
    let time = |second: i64| {
        Timestamp::from_second(second)
            .map_or_else(|_| second.to_string(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
    };
    let machine = &results.machine;
    let versions: Vec<_> =
        machine.versions.iter().map(|(name, version)| format!("{name} {}", plain(version))).collect();
    line(out, format_args!("# Calibration of {}, {}\n", plain(&results.environment), &time(results.made)[..10]));
    line(out, format_args!("- Date: {} UTC, {:.0} minutes", time(results.made), results.took / 60.0));
    line(
        out,
        format_args!(
            "- Machine: {}, {} cores, {:.0} GiB, Linux {}",
            plain(&machine.processor),
            machine.cores,
            machine.memory_mib as f64 / 1024.0,
            plain(&machine.kernel)
        ),
    );
    line(out, format_args!("- Versions: {}", versions.join(", ")));
    line(out, format_args!("- Web workers: {}", results.workers));
    line(out, format_args!("- Command: `{}`", plain(&results.command)));
    let busy = if results.load > BUSY { ": **the machine was busy, times are too long**" } else { "" };
    line(out, format_args!("- Load average when it began: {:.2}{busy}", results.load));
    let ended = match &results.ended {
        Ended::Whole => "everything was measured".to_owned(),
        Ended::GoesOn => "**it did not come to its end**; below is what was measured before".to_owned(),
        Ended::Stopped => "**stopped by hand**; below is what was measured before".to_owned(),
        Ended::Failed(why) => format!("**it failed**: {}; below is what was measured before", plain(why)),
    };
    line(out, format_args!("- State: {ended}"));
}

fn verdict(out: &mut String, results: &Results) {
    out.push_str("\n## Verdict\n");
    let Some(comparison) = &results.comparison else {
        out.push_str("\nThe model was not compared with anything, so no goal is met.\n");
        return;
    };
    let verdict = comparison.verdict();
    let word = |met: bool| if met { "met" } else { "**missed**" };
    let percent = |error: Option<f64>| maybe(error, |error| format!("{error:.1} %"));
    let knee = comparison
        .knee
        .map_or("not measured".to_owned(), |knee| format!("model {}, measured {}", knee.predicted, knee.measured));
    table(
        out,
        &["model against what it was not fitted to", "found", "goal", ""],
        [
            (
                "throughput, mean error",
                percent(comparison.throughput_mape),
                format!("{THROUGHPUT_GOAL:.0} %"),
                verdict.throughput,
            ),
            ("P95, mean error", percent(comparison.p95_mape), format!("{P95_GOAL:.0} %"), verdict.p95),
            ("knee, workers", knee, format!("{KNEE_GOAL} off"), verdict.knee),
            (
                "places that could not be compared",
                comparison.failed.len().to_string(),
                "0".into(),
                comparison.failed.is_empty(),
            ),
        ]
        .map(|(what, found, goal, met)| vec![what.to_owned(), found, goal, word(met).to_owned()]),
    );
    let all = comparison.compared as usize + comparison.failed.len();
    line(
        out,
        format_args!(
            "\nAll in all: {}. The mean of P95 is over {} of {all} pairs of place and class.",
            word(verdict.met),
            comparison.compared
        ),
    );
    comparison.failed.iter().for_each(|why| line(out, format_args!("- not compared: {}", plain(why))));
}

fn classes(out: &mut String, results: &Results) {
    out.push_str(
        "\n## What an act costs\n\nOne client, one act after another; milliseconds and counts per act. `of it jobs` ",
    );
    out.push_str("is Odoo's processor time outside the web role, waited for until the queue was empty.\n");
    if let Some(idle) = results.idle {
        let (app, db) = (100.0 * (idle.front + idle.behind), 100.0 * idle.db);
        line(out, format_args!("Without load Odoo took {app:.1} % of a core and PostgreSQL {db:.1} %; subtracted."));
    }
    let rows = results.classes.iter().map(|(class, fit)| {
        vec![
            class.to_string(),
            ms(fit.demand.app),
            ms(fit.behind),
            ms(fit.demand.db),
            ms(fit.demand.wait),
            maybe(fit.log, |cost| format!("{:.0}", cost.queries)),
            maybe(fit.log, |cost| format!("{:.1}", cost.requests)),
            ms(fit.p50),
            ms(fit.p95),
            maybe(fit.log, |cost| format!("{:.2}", cost.retries)),
            fit.client_retries.to_string(),
            format!("{} of {}", fit.done, fit.done + fit.failed),
        ]
    });
    let head = [
        "class",
        "Odoo CPU",
        "of it jobs",
        "PostgreSQL CPU",
        "waiting",
        "SQL",
        "requests",
        "P50",
        "P95",
        "Odoo retries per act",
        "client retries",
        "done",
    ];
    table(out, &head, rows);
    for (class, fit) in &results.classes {
        reasons(out, class.as_str(), &fit.reasons);
    }
}

fn reasons<N: std::fmt::Display>(out: &mut String, what: &str, reasons: &BTreeMap<String, N>) {
    for (reason, count) in reasons {
        line(out, format_args!("\n- {what}: {count} × {}", plain(reason)));
    }
}

fn crowd(crowd: &Crowd) -> Vec<String> {
    vec![
        crowd.clients.to_string(),
        format!("{:.2}", crowd.throughput),
        maybe(crowd.p50, ms),
        maybe(crowd.p95, ms),
        maybe(crowd.odoo_retries(), |retries| format!("{retries:.2}")),
        crowd.client_retries.to_string(),
        crowd.done.to_string(),
        crowd.failed.to_string(),
    ]
}

const CROWD: [&str; 8] =
    ["clients", "done a second", "P50 ms", "P95 ms", "Odoo retries per act", "client retries", "done", "failed"];

fn sweep(out: &mut String, results: &Results) {
    if results.sweep.is_empty() {
        return;
    }
    line(
        out,
        format_args!(
            "\n## Clients at once\n\n`{}`, each client begins its next act when its last has ended.",
            results.swept
        ),
    );
    table(out, &CROWD, results.sweep.iter().map(crowd));
    results.sweep.iter().for_each(|it| reasons(out, &format!("{} clients", it.clients), &it.reasons));
    if let Some(fit) = &results.fit {
        let law = fit.law;
        line(out, format_args!("\nFitted beside the processors: sigma {:.4}, kappa {:.5}.", law.sigma, law.kappa));
        let alone = fit.sweep_law.map_or("too few numbers of clients for a law of its own".to_owned(), |law| {
            format!("lambda {:.2} a second, sigma {:.4}, kappa {:.5}", law.lambda, law.sigma, law.kappa)
        });
        line(out, format_args!("The sweep as it is, with the processors' end in it: {alone}."));
    }
}

fn hot(out: &mut String, results: &Results) {
    if results.hot.is_empty() {
        return;
    }
    out.push_str(
        "\n## Retries by number of hot products\n\nPickers scan; each product as often as any other. Odoo repeats a ",
    );
    out.push_str(
        "transaction that met another one (`retries` in the web role's request log), up to five times; what fails ",
    );
    out.push_str("then is in the last column. Apart: never two acts at once on one product.\n");
    let rows = results.hot.iter().map(|it| {
        let products = if it.apart { format!("{}, apart", it.products) } else { it.products.to_string() };
        let mut row = vec![products];
        row.extend(crowd(&it.crowd));
        row
    });
    let mut head = vec!["hot products"];
    head.extend(CROWD);
    table(out, &head, rows);
    results.hot.iter().for_each(|it| reasons(out, &format!("{} products", it.products), &it.crowd.reasons));
}

fn grid(out: &mut String, comparison: &Comparison) {
    out.push_str("\n## The model at places it was not fitted to\n\nOpen loop, through the entrance; rates are shares of what the ");
    out.push_str("model says can be carried. Acts that failed count as longer than any. The model is given the rates that chance gave.\n");
    let rows = comparison.rows.iter().map(|row| {
        let errors: u64 = row.spot.classes.values().map(|seen| seen.errors).sum();
        let offered: u64 = row.spot.classes.values().map(|seen| seen.offered).sum();
        vec![
            row.spot.mix.clone(),
            format!("{:.0} %", 100.0 * row.spot.share),
            format!("{:.0}", row.spot.seconds),
            offered.to_string(),
            errors.to_string(),
            format!("{:.2}", row.spot.throughput),
            format!("{:.2}", row.throughput),
            maybe(row.off, off),
        ]
    });
    table(out, &["mix", "of capacity", "s", "came", "failed", "done a second", "model", "model off"], rows);
    let rows = comparison.rows.iter().flat_map(|row| {
        let all = row.times.iter().filter_map(|(class, times)| Some((class, times, row.spot.classes.get(class)?)));
        all.map(|(class, times, seen): (_, &Times, &Seen)| {
            vec![
                row.spot.mix.clone(),
                format!("{:.0} %", 100.0 * row.spot.share),
                class.to_string(),
                format!("{:.2}", row.spot.rate(seen)),
                seen.offered.to_string(),
                seen.errors.to_string(),
                maybe(seen.odoo_retries, |retries| format!("{retries:.2}")),
                maybe(seen.p50, ms),
                maybe(times.p50, ms),
                maybe(seen.p95, ms),
                maybe(times.p95, ms),
                maybe(times.off, off),
            ]
        })
    });
    let head = [
        "mix",
        "of capacity",
        "class",
        "a second",
        "came",
        "failed",
        "Odoo retries per act",
        "P50 ms",
        "model",
        "P95 ms",
        "model",
        "P95 off",
    ];
    table(out, &head, rows);
    for row in &comparison.rows {
        for (class, seen) in &row.spot.classes {
            let what = format!("{} at {:.0} %, {class}", row.spot.mix, 100.0 * row.spot.share);
            reasons(out, &what, &seen.reasons);
        }
    }
}

fn crews(out: &mut String, results: &Results) {
    if results.crews.is_empty() {
        return;
    }
    line(
        out,
        format_args!(
            "\n## Web workers\n\n`{}`, more clients than workers. The knee is the fewest that carry 95 % of the most.",
            results.swept
        ),
    );
    let mut head = vec!["web workers"];
    head.extend(CROWD);
    let rows = results.crews.iter().map(|it| {
        let mut row = vec![it.workers.to_string()];
        row.extend(crowd(it));
        row
    });
    table(out, &head, rows);
    results.crews.iter().for_each(|it| reasons(out, &format!("{} workers", it.workers), &it.reasons));
}

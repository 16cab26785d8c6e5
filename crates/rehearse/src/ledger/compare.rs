//! The judge: the ledger against Odoo's rows. Pure.
//!
//! Rule: an act that was acknowledged is there exactly once, as it was acknowledged and in time; an act that
//! was refused is not there; an act without an answer is there once or not at all, and the rows tell which.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use springtide_core::roles::odoo::LIMIT_TIME_REAL;

use super::state::{Act, acts};
use super::{ActKind, Entry, Facts, Phase};

/// What counts as what.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// An order or transfer may be this much younger than its acknowledgement, in microseconds: what was
    /// acknowledged must already be there, and only clocks may differ.
    pub late_after: i64,
    /// The jobs of an acknowledged batch may take this long, in microseconds.
    pub import_within: i64,
    /// States in which an order counts as confirmed.
    pub order_states: BTreeSet<String>,
    /// States in which a transfer counts as done.
    pub transfer_states: BTreeSet<String>,
    /// An act without an answer may still happen for so long after its last word, in microseconds: Odoo may work on
    /// what it was sent when nobody waits any more, for as long as it lets a request run.
    pub settled_after: i64,
    /// When the run ended, in microseconds since 1970: until then an act whose last word is an intention may have
    /// been sent. If it is not known it is the newest word of the ledger.
    pub ended: Option<i64>,
    /// How far quantities may differ before they are unequal: Odoo rounds to a product's unit.
    pub quantity_within: f64,
    /// If set, rows whose key begins like this must stand in the ledger.
    pub prefix: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        let set = |states: &[&str]| states.iter().map(|state| (*state).to_owned()).collect();
        Rules {
            late_after: 2_000_000,
            import_within: 120_000_000,
            settled_after: 1_000_000 * (i64::from(LIMIT_TIME_REAL) + 5),
            ended: None,
            order_states: set(&["sale", "done"]),
            transfer_states: set(&["done"]),
            quantity_within: 0.005,
            prefix: None,
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The act's key, or the product of a stock.
    pub key: String,
    /// What the ledger says and what is there.
    pub what: String,
}

/// What the judge found. The names are the names in JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Findings {
    /// Acts in the ledger.
    pub acts: u64,
    /// Of those, acknowledged.
    pub acknowledged: u64,
    /// Acknowledged and not there, or not in a state that counts.
    pub lost: Vec<Finding>,
    /// There more than once.
    pub doubled: Vec<Finding>,
    /// There, but after the time at which it had to be.
    pub late: Vec<Finding>,
    /// Done in another order than they came in.
    pub misordered: Vec<Finding>,
    /// There with other lines or another quantity than was acknowledged.
    pub altered: Vec<Finding>,
    /// Refused and there all the same.
    pub unwanted: Vec<Finding>,
    /// There under a key of this run that the ledger never intended.
    pub unexplained: Vec<Finding>,
    /// Products whose quants differ from what their moves add up to.
    pub stock_unequal: Vec<Finding>,
    /// Acknowledged imports that are not done and still have time: read the facts again later.
    pub pending: Vec<Finding>,
    /// Without an answer, and the rows show that it happened. Not wrong.
    pub unknown_happened: u64,
    /// Without an answer, and the rows show that it did not happen. Not wrong.
    pub unknown_not_happened: u64,
    /// Without an answer and not there, and Odoo may still be at it: read the facts again later. Not wrong.
    pub unknown_open: u64,
}

impl Findings {
    /// Whether nothing is wrong and nothing is open.
    pub fn clean(&self) -> bool {
        self.kinds().iter().all(|(_, found)| found.is_empty())
    }

    /// Each kind with its name, worst first.
    pub fn kinds(&self) -> [(&'static str, &[Finding]); 9] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("late", &self.late),
            ("misordered", &self.misordered),
            ("altered", &self.altered),
            ("unwanted", &self.unwanted),
            ("unexplained", &self.unexplained),
            ("stock unequal", &self.stock_unequal),
            ("pending", &self.pending),
        ]
    }

    /// In one line: `clean`, or how many of what; with the acts that were looked at.
    pub fn summary(&self) -> String {
        let wrong = self.kinds().into_iter().filter(|(_, found)| !found.is_empty());
        let wrong: Vec<String> = wrong.map(|(kind, found)| format!("{} {kind}", found.len())).collect();
        let verdict = if wrong.is_empty() { "clean".to_owned() } else { wrong.join(", ") };
        let unknown = self.unknown_happened + self.unknown_not_happened + self.unknown_open;
        let mut unknown = match unknown {
            0 => String::new(),
            some => format!(", {some} without an answer of which {} happened", self.unknown_happened),
        };
        if self.unknown_open > 0 {
            unknown.push_str(&format!(" and {} may still happen", self.unknown_open));
        }
        format!("{verdict} ({} acknowledged of {} acts{unknown})", self.acknowledged, self.acts)
    }
}

/// A row, whatever it is of, as far as all kinds are alike.
struct Row<'a> {
    id: i64,
    /// Whether its state counts.
    counts: bool,
    state: &'a str,
    /// Since when it has been there, in microseconds since 1970.
    since: Option<i64>,
}

/// Whether two numbers differ by more than is allowed. One that is no number differs from all.
fn beyond(difference: f64, within: f64) -> bool {
    difference.is_nan() || difference > within
}

/// Compares what was acknowledged with what is there.
pub fn compare(entries: &[Entry], facts: &Facts, rules: &Rules) -> Findings {
    let acts = acts(entries);
    let mut rows: BTreeMap<(ActKind, &str), Vec<Row<'_>>> = BTreeMap::new();
    for fact in &facts.orders {
        let counts = rules.order_states.contains(&fact.state);
        let row = Row { id: fact.id, counts, state: &fact.state, since: Some(fact.created) };
        rows.entry((ActKind::Order, &fact.key)).or_default().push(row);
    }
    for fact in &facts.transfers {
        let counts = rules.transfer_states.contains(&fact.state);
        let row = Row { id: fact.id, counts, state: &fact.state, since: fact.done };
        rows.entry((ActKind::Transfer, &fact.key)).or_default().push(row);
    }
    for fact in &facts.imports {
        let state = if fact.done.is_some() { "done" } else { "not done" };
        let row = Row { id: fact.id, counts: fact.done.is_some(), state, since: fact.done };
        rows.entry((ActKind::Import, &fact.key)).or_default().push(row);
    }

    let ended = rules.ended.or_else(|| entries.iter().map(|entry| entry.at).max()).unwrap_or(facts.taken);
    let mut findings = Findings { acts: acts.len() as u64, ..Findings::default() };
    for ((kind, key), act) in &acts {
        let found = rows.get(&(*kind, *key)).map(Vec::as_slice).unwrap_or_default();
        judge(*kind, key, act, found, (facts.taken, ended), rules, &mut findings);
    }
    for ((kind, key), found) in &rows {
        let ours = rules.prefix.as_ref().is_some_and(|prefix| key.starts_with(prefix.as_str()));
        if ours && !acts.contains_key(&(*kind, *key)) {
            let what = format!("the ledger never intended it; there as {}", ids(found));
            findings.unexplained.push(Finding { key: (*key).to_owned(), what });
        }
    }
    quantities(&acts, facts, rules, &mut findings);
    order(&acts, facts, &mut findings);
    for stock in &facts.stock {
        let differ = (stock.quants - stock.moves).abs();
        // Also when one of them is not a number.
        if beyond(differ, rules.quantity_within) {
            let what = format!("quants hold {}, moves add up to {}", stock.quants, stock.moves);
            findings.stock_unequal.push(Finding { key: stock.product.clone(), what });
        }
    }
    findings
}

fn ids(rows: &[Row<'_>]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| format!("{} ({})", row.id, row.state)).collect();
    rows.join(", ")
}

fn judge(
    kind: ActKind,
    key: &str,
    act: &Act<'_>,
    rows: &[Row<'_>],
    (taken, ended): (i64, i64),
    rules: &Rules,
    findings: &mut Findings,
) {
    let finding = |what: String| Finding { key: key.to_owned(), what };
    let counting = rows.iter().filter(|row| row.counts).count();
    // A second row of a key is one too many in whatever state, unless it was cancelled.
    if rows.iter().filter(|row| row.state != "cancel").count() > 1 {
        findings.doubled.push(finding(format!("there as {}", ids(rows))));
    }
    match act.phase {
        Phase::Acknowledged => {
            findings.acknowledged += 1;
            let since = act.acknowledged.unwrap_or(taken);
            let (word, most) = match kind {
                ActKind::Import => ("done", rules.import_within),
                ActKind::Order | ActKind::Transfer => ("there", rules.late_after),
            };
            let seconds = |micros: i64| micros as f64 / 1e6;
            if counting == 0 {
                let seen = if rows.is_empty() { "not there".to_owned() } else { format!("there as {}", ids(rows)) };
                let age = taken - since;
                if kind == ActKind::Import && age <= most {
                    findings.pending.push(finding(format!("{seen}, {:.1} s after its acknowledgement", seconds(age))));
                } else {
                    findings.lost.push(finding(format!("acknowledged and {seen}")));
                }
                return;
            }
            let first = rows.iter().filter(|row| row.counts).filter_map(|row| row.since).min();
            if let Some(after) = first.map(|first| first - since).filter(|after| *after > most) {
                let what = format!(
                    "{word} {:.1} s after its acknowledgement, allowed are {:.1} s",
                    seconds(after),
                    seconds(most)
                );
                findings.late.push(finding(what));
            }
        }
        Phase::Refused if counting > 0 => {
            findings.unwanted.push(finding(format!("refused and there as {}", ids(rows))))
        }
        Phase::Refused => {}
        Phase::Intended | Phase::Unknown if counting > 0 => findings.unknown_happened += 1,
        Phase::Intended | Phase::Unknown => {
            let last = if act.open { act.last.max(ended) } else { act.last };
            let settled = taken - last > rules.settled_after;
            *(if settled { &mut findings.unknown_not_happened } else { &mut findings.unknown_open }) += 1;
        }
    }
}

/// Lines and quantities, where the ledger wrote them down.
fn quantities(acts: &BTreeMap<(ActKind, &str), Act<'_>>, facts: &Facts, rules: &Rules, findings: &mut Findings) {
    let orders = facts.orders.iter().filter(|fact| rules.order_states.contains(&fact.state));
    let orders = orders.map(|fact| (ActKind::Order, &fact.key, Some(fact.lines), None, fact.quantity));
    let transfers = facts.transfers.iter().filter(|fact| rules.transfer_states.contains(&fact.state));
    let transfers = transfers.map(|fact| (ActKind::Transfer, &fact.key, None, Some(&fact.product), fact.quantity));
    for (kind, key, lines, product, quantity) in orders.chain(transfers) {
        let Some(act) = acts.get(&(kind, key.as_str())).filter(|act| act.phase == Phase::Acknowledged) else {
            continue;
        };
        let mut differ = Vec::new();
        if let (Some(said), Some(lines)) = (act.detail["lines"].as_u64(), lines)
            && said != u64::from(lines)
        {
            differ.push(format!("lines {lines} instead of {said}"));
        }
        if let (Some(said), Some(product)) = (act.detail["product"].as_str(), product)
            && said != product
        {
            differ.push(format!("product {product:?} instead of {said:?}"));
        }
        if let Some(said) = act.detail["quantity"].as_f64()
            && beyond((said - quantity).abs(), rules.quantity_within)
        {
            differ.push(format!("quantity {quantity} instead of {said}"));
        }
        if !differ.is_empty() {
            findings.altered.push(Finding { key: key.clone(), what: differ.join(", ") });
        }
    }
}

/// Whether the jobs of each stream were done in the order of their lines.
fn order(acts: &BTreeMap<(ActKind, &str), Act<'_>>, facts: &Facts, findings: &mut Findings) {
    let mut streams: BTreeMap<&str, Vec<(u64, i64, &str)>> = BTreeMap::new();
    for fact in &facts.imports {
        let Some(act) = acts.get(&(ActKind::Import, fact.key.as_str())) else { continue };
        // The ledger's word goes first: it is what the partner sent.
        let stream = act.detail["stream"].as_str().unwrap_or(&fact.stream);
        let sequence = act.detail["sequence"].as_u64().unwrap_or(fact.sequence);
        if sequence != fact.sequence {
            let what = format!("line {} of its stream instead of {sequence}", fact.sequence);
            findings.misordered.push(Finding { key: fact.key.clone(), what });
        }
        if let Some(done) = fact.done {
            streams.entry(stream).or_default().push((sequence, done, &fact.key));
        }
    }
    for (stream, mut lines) in streams {
        lines.sort_unstable();
        let mut newest: Option<(u64, i64)> = None;
        for (sequence, done, key) in lines {
            match newest {
                Some((earlier, before)) if sequence > earlier && done < before => {
                    let ahead = (before - done) as f64 / 1e6;
                    let what = format!("line {sequence} of {stream} was done {ahead:.1} s before line {earlier}");
                    findings.misordered.push(Finding { key: key.to_owned(), what });
                }
                _ => newest = Some((sequence, done)),
            }
        }
    }
}

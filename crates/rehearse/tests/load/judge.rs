//! The judge: each finding is found where it is planted, and only there.

use serde_json::{Value, json};
use springtide_rehearse::class::Class;
use springtide_rehearse::ledger::{
    ActKind, Entry, Facts, Findings, ImportFact, OrderFact, Phase, Rules, StockFact, TransferFact, compare,
};

const SECOND: i64 = 1_000_000;
/// When acts were acknowledged.
const THEN: i64 = 1_700_000_000 * SECOND;

fn entry(kind: ActKind, key: &str, phase: Phase, detail: Value) -> Entry {
    Entry { at: THEN, class: Class::Scan, key: key.into(), kind, phase, detail }
}

fn order(key: &str, id: i64) -> OrderFact {
    OrderFact { key: key.into(), id, state: "sale".into(), lines: 2, quantity: 7.0, created: THEN - SECOND }
}

fn import(key: &str, sequence: u64) -> ImportFact {
    let done = Some(THEN + sequence as i64 * SECOND);
    ImportFact { key: key.into(), id: sequence as i64, stream: "north".into(), sequence, done }
}

/// A day on which everything went well: an order, a transfer, three imports, a refusal, two without an answer.
fn good() -> (Vec<Entry>, Facts) {
    let mut entries = Vec::new();
    let mut acknowledged = |kind, key: &str, detail: Value| {
        entries.push(entry(kind, key, Phase::Intended, Value::Null));
        entries.push(entry(kind, key, Phase::Acknowledged, detail));
    };
    acknowledged(ActKind::Order, "run-o1", json!({ "lines": 2, "quantity": 7.0 }));
    acknowledged(ActKind::Transfer, "run-t1", json!({ "product": "P1", "quantity": 1.0 }));
    for sequence in 1..=3 {
        let detail = json!({ "stream": "north", "sequence": sequence });
        acknowledged(ActKind::Import, &format!("run-i{sequence}"), detail);
    }
    for (key, phase) in [("run-no", Phase::Refused), ("run-maybe", Phase::Unknown)] {
        entries.push(entry(ActKind::Order, key, Phase::Intended, Value::Null));
        entries.push(entry(ActKind::Order, key, phase, Value::Null));
    }
    // The client died before it could write down what came of it.
    entries.push(entry(ActKind::Order, "run-cut", Phase::Intended, Value::Null));
    let transfer = TransferFact {
        key: "run-t1".into(),
        id: 5,
        state: "done".into(),
        product: "P1".into(),
        quantity: 1.0,
        done: Some(THEN),
    };
    let facts = Facts {
        taken: THEN + 600 * SECOND,
        orders: vec![order("run-o1", 1), order("run-maybe", 2), order("seeded", 3)],
        transfers: vec![transfer],
        imports: vec![import("run-i1", 1), import("run-i2", 2), import("run-i3", 3)],
        stock: vec![StockFact { product: "P1".into(), quants: 4.0, moves: 4.0 }],
    };
    (entries, facts)
}

fn rules() -> Rules {
    Rules { prefix: Some("run-".into()), ..Rules::default() }
}

/// What is found after a mistake was planted, as `kind: key`. Without it nothing is.
fn planted(plant: impl FnOnce(&mut Vec<Entry>, &mut Facts)) -> Vec<String> {
    let (mut entries, mut facts) = good();
    assert!(compare(&entries, &facts, &rules()).clean(), "the day it is planted in is clean");
    plant(&mut entries, &mut facts);
    let findings = compare(&entries, &facts, &rules());
    let found = found(&findings);
    assert_eq!(findings.clean(), found.is_empty());
    found
}

fn found(findings: &Findings) -> Vec<String> {
    let of = |(kind, list): (&str, &[springtide_rehearse::ledger::Finding])| {
        list.iter().map(|finding| format!("{kind}: {}", finding.key)).collect::<Vec<_>>()
    };
    findings.kinds().into_iter().flat_map(of).collect()
}

#[test]
fn a_good_day_is_clean_and_what_had_no_answer_is_resolved() {
    let (entries, facts) = good();
    let findings = compare(&entries, &facts, &rules());
    assert_eq!(found(&findings), Vec::<String>::new());
    assert_eq!((findings.acts, findings.acknowledged), (8, 5));
    assert_eq!((findings.unknown_happened, findings.unknown_not_happened, findings.unknown_open), (1, 1, 0));
    assert_eq!(findings.summary(), "clean (5 acknowledged of 8 acts, 2 without an answer of which 1 happened)");
}

#[test]
fn what_odoo_may_still_be_at_is_not_said_not_to_have_happened() {
    let (mut entries, mut facts) = good();
    facts.orders.retain(|order| order.key != "run-maybe");
    let counts = |findings: &Findings| (findings.unknown_not_happened, findings.unknown_open);
    assert_eq!(counts(&compare(&entries, &facts, &rules())), (2, 0), "the control: after ten minutes all is over");
    facts.taken = THEN + 60 * SECOND;
    let early = compare(&entries, &facts, &rules());
    assert_eq!(counts(&early), (0, 2));
    assert!(early.summary().ends_with("2 without an answer of which 0 happened and 2 may still happen)"), "{early:?}");
    facts.taken = THEN + 126 * SECOND;
    assert_eq!(counts(&compare(&entries, &facts, &rules())), (2, 0));
    // The one that was cut off may have been sent until the run ended; of the other the client heard.
    let ended = Some(THEN + 100 * SECOND);
    assert_eq!(counts(&compare(&entries, &facts, &Rules { ended, ..rules() })), (1, 1));
    // Later words count.
    let late = |phase| Entry { at: THEN + 90 * SECOND, ..entry(ActKind::Order, "run-maybe", phase, Value::Null) };
    entries.push(late(Phase::Intended));
    entries.push(late(Phase::Unknown));
    assert_eq!(counts(&compare(&entries, &facts, &rules())), (0, 2));
}

#[test]
fn lost() {
    assert_eq!(planted(|_, facts| _ = facts.orders.remove(0)), ["lost: run-o1"]);
    assert_eq!(planted(|_, facts| facts.transfers.clear()), ["lost: run-t1"]);
    assert_eq!(planted(|_, facts| _ = facts.imports.pop()), ["lost: run-i3"]);
    assert_eq!(planted(|_, facts| facts.orders[0].state = "draft".into()), ["lost: run-o1"]);
    assert_eq!(planted(|_, facts| facts.orders[0].state = "cancel".into()), ["lost: run-o1"]);
    // A later try that failed takes nothing back.
    let again = |entries: &mut Vec<Entry>, facts: &mut Facts| {
        entries.push(entry(ActKind::Order, "run-o1", Phase::Intended, Value::Null));
        entries.push(entry(ActKind::Order, "run-o1", Phase::Refused, Value::Null));
        facts.orders.remove(0);
    };
    assert_eq!(planted(again), ["lost: run-o1"]);
}

#[test]
fn doubled() {
    assert_eq!(planted(|_, facts| facts.orders.push(order("run-o1", 9))), ["doubled: run-o1"]);
    assert_eq!(planted(|_, facts| facts.orders.push(order("run-maybe", 9))), ["doubled: run-maybe"]);
    let transfer = |_: &mut Vec<Entry>, facts: &mut Facts| facts.transfers.push(facts.transfers[0].clone());
    assert_eq!(planted(transfer), ["doubled: run-t1"]);
    assert_eq!(planted(|_, facts| facts.imports.push(import("run-i1", 1))), ["doubled: run-i1"]);
    // A second one that was cancelled is not there, and a message that came twice is one act.
    let cancelled = OrderFact { state: "cancel".into(), ..order("run-o1", 9) };
    assert!(planted(|_, facts| facts.orders.push(cancelled)).is_empty());
    let twice = entry(ActKind::Order, "run-o1", Phase::Acknowledged, Value::Null);
    assert!(planted(|entries, _| entries.push(twice)).is_empty());
}

#[test]
fn late() {
    assert_eq!(planted(|_, facts| facts.orders[0].created = THEN + 3 * SECOND), ["late: run-o1"]);
    assert!(planted(|_, facts| facts.orders[0].created = THEN + SECOND).is_empty(), "clocks may differ a little");
    assert_eq!(planted(|_, facts| facts.transfers[0].done = Some(THEN + 3 * SECOND)), ["late: run-t1"]);
    assert_eq!(planted(|_, facts| facts.imports[2].done = Some(THEN + 121 * SECOND)), ["late: run-i3"]);
    // What had no answer has no time at which it had to be there.
    assert!(planted(|_, facts| facts.orders[1].created = THEN + 300 * SECOND).is_empty());
}

#[test]
fn pending() {
    let early = |_: &mut Vec<Entry>, facts: &mut Facts| {
        facts.imports[2].done = None;
        facts.taken = THEN + 60 * SECOND;
    };
    assert_eq!(planted(early), ["pending: run-i3"]);
    assert_eq!(planted(|_, facts| facts.imports[2].done = None), ["lost: run-i3"], "its time is over");
}

#[test]
fn misordered() {
    let swap = |_: &mut Vec<Entry>, facts: &mut Facts| {
        facts.imports[1].done = Some(THEN + 9 * SECOND);
    };
    assert_eq!(planted(swap), ["misordered: run-i3"]);
    let renumbered = |_: &mut Vec<Entry>, facts: &mut Facts| facts.imports[0].sequence = 4;
    assert_eq!(planted(renumbered), ["misordered: run-i1"]);
    // Streams do not wait for each other, and what ended at the same time is in order.
    let other = |entries: &mut Vec<Entry>, facts: &mut Facts| {
        entries.retain(|entry| entry.kind != ActKind::Import);
        for fact in &mut facts.imports {
            let phase = Phase::Acknowledged;
            entries.push(entry(ActKind::Import, &fact.key, phase, Value::Null));
            fact.stream = fact.key.clone();
            fact.done = fact.done.map(|done| 2 * THEN - done);
        }
    };
    assert!(planted(other).is_empty());
    assert!(planted(|_, facts| facts.imports.iter_mut().for_each(|fact| fact.done = Some(THEN))).is_empty());
}

#[test]
fn altered() {
    assert_eq!(planted(|_, facts| facts.orders[0].quantity = 6.0), ["altered: run-o1"]);
    assert_eq!(planted(|_, facts| facts.orders[0].lines = 3), ["altered: run-o1"]);
    assert_eq!(planted(|_, facts| facts.transfers[0].product = "P2".into()), ["altered: run-t1"]);
    assert_eq!(planted(|_, facts| facts.transfers[0].quantity = f64::NAN), ["altered: run-t1"]);
    assert!(planted(|_, facts| facts.orders[0].quantity = 7.001).is_empty(), "rounding is not a difference");
}

#[test]
fn unwanted() {
    assert_eq!(planted(|_, facts| facts.orders.push(order("run-no", 9))), ["unwanted: run-no"]);
    let maybe = |entries: &mut Vec<Entry>, facts: &mut Facts| {
        // Refused at the second try; the first one had no answer and may well have happened.
        let first = entries.iter().position(|entry| entry.key == "run-no").unwrap();
        entries.insert(first + 1, entry(ActKind::Order, "run-no", Phase::Unknown, Value::Null));
        facts.orders.push(order("run-no", 9));
    };
    assert!(planted(maybe).is_empty());
}

#[test]
fn unexplained() {
    assert_eq!(planted(|_, facts| facts.orders.push(order("run-x", 9))), ["unexplained: run-x"]);
    assert!(planted(|_, facts| facts.orders.push(order("other-x", 9))).is_empty(), "not of this run");
}

#[test]
fn stock_unequal() {
    assert_eq!(planted(|_, facts| facts.stock[0].quants = 3.0), ["stock unequal: P1"]);
    assert_eq!(planted(|_, facts| facts.stock[0].moves = f64::NAN), ["stock unequal: P1"]);
    assert!(planted(|_, facts| facts.stock[0].quants = 4.000_1).is_empty());
}

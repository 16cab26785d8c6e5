//! The ledger's appends beside a file that is synced after every line.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use springtide_rehearse::class::Class;
use springtide_rehearse::ledger::{ActKind, Entry, Ledger, Phase};

use super::Printer;

/// Clients that wait for their own entry before they write the next one.
const CLIENTS: [usize; 3] = [1, 64, 1024];
const LASTS: Duration = Duration::from_secs(4);

fn entry(number: u64) -> Entry {
    Entry {
        at: 1_795_000_000_000_000,
        class: Class::OrderApi,
        key: format!("MKT-7-{number:08}"),
        kind: ActKind::Order,
        phase: Phase::Acknowledged,
        detail: json!({ "lines": 3, "quantity": 12.0, "id": number }),
    }
}

pub async fn compare(printer: &Printer) {
    // Beside what cargo builds: on a disk, where /tmp may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let plain = plain(&folder.path().join("plain"));
    let (mut text, mut figures) = (format!("fsync per line {plain:.0}/s"), json!({ "fsync_per_line": plain }));
    for clients in CLIENTS {
        let rate = ledger(&folder.path().join(format!("ledger-{clients}")), clients).await;
        text.push_str(&format!("; ledger with {clients} clients {rate:.0}/s ({:.1} times)", rate / plain));
        figures[format!("ledger_{clients}")] = json!({ "per_s": rate, "ratio": rate / plain });
    }
    printer.line("ledger append", &format!("{text} (goal 20000/s)"), figures);
}

fn plain(path: &Path) -> f64 {
    let mut file = std::fs::File::create(path).unwrap();
    let (began, mut lines) = (Instant::now(), 0);
    while began.elapsed() < LASTS {
        let line = serde_json::to_string(&entry(lines)).unwrap();
        writeln!(file, "{line}").unwrap();
        file.sync_data().unwrap();
        lines += 1;
    }
    lines as f64 / began.elapsed().as_secs_f64()
}

async fn ledger(path: &Path, clients: usize) -> f64 {
    let ledger = Ledger::open(path).unwrap();
    let began = Instant::now();
    let client = |first: usize| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let mut number = first as u64;
            while began.elapsed() < LASTS {
                ledger.append(entry(number)).await.unwrap();
                number += clients as u64;
            }
            (number - first as u64) / clients as u64
        })
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    let mut appended = 0;
    for client in clients {
        appended += client.await.unwrap();
    }
    let rate = appended as f64 / began.elapsed().as_secs_f64();
    assert_eq!(Ledger::read(path).unwrap().len() as u64, appended, "every appended entry is there");
    rate
}

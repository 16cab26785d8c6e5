//! Torn writes: a script of the store's own calls is recorded with the bytes of its files after each commit.
//! Then each commit is torn: its log is cut anywhere, ends in garbage, or has only some of its sectors; the
//! database file is torn while a checkpoint copies into it. Whoever opens what is left must find the state
//! before the commit or after it, whole.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_server::store::{Begin, ControllerKind, DONE, Epoch, EventKind, Intent, NewEvent, Store};

use crate::chance::Chance;
use crate::sim::folder;

/// Bytes of a page with its head in the log.
const FRAME: usize = 4096 + 24;
/// Bytes of the log's own head.
const HEAD: usize = 32;
/// What a disk writes at once.
const SECTOR: usize = 512;

/// One commit: the files before and after it, and what they say.
struct Commit {
    what: String,
    database: [Vec<u8>; 2],
    log: [Vec<u8>; 2],
    says: [String; 2],
}

/// Everything the store says, as one digest.
fn says(connection: &Connection) -> String {
    let mut tables = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = String::new();
    for table in tables {
        all.push_str(&table);
        let mut select = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Null => all.push('-'),
                    ValueRef::Integer(number) => all.push_str(&number.to_string()),
                    ValueRef::Real(number) => all.push_str(&number.to_string()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => all.push_str(&String::from_utf8_lossy(bytes)),
                }
                all.push('|');
            }
        }
    }
    springtide_core::digest::Digest::of_bytes(all.as_bytes()).to_string()
}

/// A state folder with a store in it.
struct Rig {
    folder: PathBuf,
}

impl Rig {
    fn new(name: &str) -> Self {
        let folder = folder(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("springtide.db")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("springtide.db-wal")
    }

    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        (std::fs::read(self.path()).unwrap(), std::fs::read(self.log()).unwrap_or_default())
    }

    /// What a new controller finds in these bytes.
    fn reopened(&self, database: &[u8], log: &[u8]) -> String {
        let _ = std::fs::remove_file(self.folder.join("springtide.db-shm"));
        std::fs::write(self.path(), database).unwrap();
        std::fs::write(self.log(), log).unwrap();
        let store = Store::open(&self.path()).unwrap();
        store.check().unwrap();
        says(&reader(&self.path()))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn reader(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

type Call = Box<dyn Fn(&Store)>;

/// The life of an environment, in calls of one transaction each.
fn script() -> Vec<(String, Call)> {
    let mut all: Vec<(String, Call)> = Vec::new();
    let mut call = |what: &str, call: Call| all.push((what.to_owned(), call));
    for round in 1..=3_u64 {
        let epoch = Epoch(round);
        let name: EnvironmentName = format!("prod-{round}").parse().unwrap();
        call(
            "take an epoch",
            Box::new(|it| assert!(it.take_epoch(ControllerKind::Server, "the server", 0, 10).unwrap() > Epoch(0))),
        );
        call("take over", Box::new(move |it| drop(it.take_over(epoch, 11).unwrap())));
        call("keep the file", Box::new(move |it| it.keep_file(epoch, &"estate: acme # ".repeat(900), 11).unwrap()));
        let part = [Some(name.clone())];
        call(
            "begin",
            Box::new(move |it| {
                let begin = Begin { epoch, plan: "p-1", parts: &part, approved: &[], by: "ann", steps: 2 };
                assert_eq!(it.begin(&begin, 12).unwrap(), round);
            }),
        );
        for number in 0..2 {
            let of = name.clone();
            call(
                "intend",
                Box::new(move |it| {
                    let environment = Some(&of);
                    let (title, action) = ("run prod/web", "{\"do\":\"ensure-workload\"}");
                    let intent = Intent { epoch, operation: round, number, environment, title, action };
                    it.intend(&intent, 13).unwrap();
                }),
            );
            let of = name.clone();
            call(
                "an effect in the store",
                Box::new(move |it| match number {
                    0 => it.reserve(epoch, &of, Slot(round as u16), "19.0".parse().unwrap()).unwrap(),
                    _ => it.certified(epoch, &of, "prod.localhost", 9_999).unwrap(),
                }),
            );
            call("settle", Box::new(move |it| it.settle(epoch, round, number, None, 14).unwrap()));
        }
        // The first is left open, for a takeover.
        if round > 1 {
            call("end", Box::new(move |it| it.end(epoch, round, DONE, 15).unwrap()));
        }
        call("hold", Box::new(|it| it.hold("let me look", "ann", 16).unwrap()));
        call("release", Box::new(|it| assert!(it.release("ann", 17).unwrap())));
        // At last enough that the log is copied into the database and begun anew.
        let lots = if round == 3 { 3 } else { 0 };
        for lot in 0..lots {
            call(
                "tell much",
                Box::new(move |it| {
                    let data = json!({ "lot": lot, "text": "x".repeat(9000) });
                    let event = NewEvent { kind: EventKind::Note, environment: None, operation: None, data };
                    it.append(&vec![event; 200], 18).unwrap();
                }),
            );
        }
        call("forget", Box::new(move |it| it.forget(epoch, &name).unwrap()));
    }
    all
}

fn record() -> Vec<Commit> {
    let rig = Rig::new("torn-script");
    let store = Store::open(&rig.path()).unwrap();
    let mut all: Vec<Commit> = Vec::new();
    let reader = reader(&rig.path());
    let (mut database, mut log) = rig.bytes();
    let mut said = says(&reader);
    for (what, call) in script() {
        call(&store);
        let (new_database, new_log) = rig.bytes();
        let now = says(&reader);
        let before = (std::mem::replace(&mut database, new_database), std::mem::replace(&mut log, new_log));
        let says = [std::mem::replace(&mut said, now.clone()), now];
        let (database, log) = ([before.0, database.clone()], [before.1, log.clone()]);
        all.push(Commit { what, database, log, says });
    }
    all
}

/// Where two files differ: from the first byte to behind the last.
fn differ(one: &[u8], other: &[u8]) -> (usize, usize) {
    let at = |it: &[u8], byte: usize| it.get(byte).copied();
    let end = one.len().max(other.len());
    let first = (0..end).find(|byte| at(one, *byte) != at(other, *byte)).unwrap_or(end);
    let last = (first..end).rev().find(|byte| at(one, *byte) != at(other, *byte)).map_or(first, |byte| byte + 1);
    (first, last)
}

/// The new bytes up to `at`, and what was there before from there on.
fn cut(before: &[u8], after: &[u8], at: usize) -> Vec<u8> {
    let mut all = after[..at.min(after.len())].to_vec();
    all.extend(before.get(at..).unwrap_or_default());
    all
}

/// Every sector either new or as before, by chance.
fn shuffled(before: &[u8], after: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut all = after.to_vec();
    for (number, sector) in all.chunks_mut(SECTOR).enumerate() {
        if chance.one_in(2) {
            for (byte, at) in sector.iter_mut().zip(number * SECTOR..) {
                *byte = before.get(at).copied().unwrap_or_default();
            }
        }
    }
    all
}

#[test]
fn a_torn_commit_is_done_or_not_done() {
    let commits = record();
    // Without one this shows nothing of checkpoints.
    assert!(commits.iter().any(|it| it.database[0] != it.database[1]), "no checkpoint");
    let everything = std::env::var("SPRINGTIDE_CUTS").is_ok_and(|it| it == "all");
    let (mut chance, rig) = (Chance::new(7), Rig::new("torn"));
    let (mut before, mut after, began) = (0_u64, 0_u64, Instant::now());
    let mut whole_done = false;
    for commit in &commits {
        let Commit { what, database, log, says } = commit;
        let (first, last) = differ(&log[0], &log[1]);
        if first == last {
            assert_eq!(says[0], says[1], "{what} changed something and wrote nothing");
            continue;
        }
        let mut found = |database: &[u8], log: &[u8], how: &str| {
            let now = rig.reopened(database, log);
            match (now == says[0], now == says[1]) {
                (true, _) => before += 1,
                (false, true) => after += 1,
                (false, false) => panic!("{what}, {how}: neither before nor after"),
            }
            now
        };
        assert_eq!(found(&database[0], &log[0], "before"), says[0]);
        assert_eq!(found(&database[0], &log[1], "after"), says[1]);
        // One small commit at every byte, or nearly; the others at some.
        let small = !whole_done && what == "settle";
        whole_done |= small;
        let near = |at: usize| at.saturating_sub(HEAD) % FRAME < 40 || (at + 8).saturating_sub(HEAD) % FRAME < 8;
        let points: Vec<usize> = match (small, everything) {
            (true, true) => (first..=last).collect(),
            (true, false) => (first..=last).filter(|at| near(*at) || at % 29 == 0).collect(),
            (false, all) => {
                // What is long takes long to open.
                let count = if log[1].len() > 1 << 20 { 2 } else { 12 };
                let count = if all { count * 20 } else { count };
                (0..count).map(|_| first + chance.below((last - first) as u64) as usize).collect()
            }
        };
        for at in points {
            let torn = cut(&log[0], &log[1], at);
            found(&database[0], &torn, &format!("the log cut at {at} of {first}..{last}"));
        }
        let times = if log[1].len() > 1 << 20 { 1 } else { 4 };
        for number in 0..times {
            let at = first + chance.below((last - first) as u64) as usize;
            let mut torn = log[1].clone();
            torn[at..last].iter_mut().for_each(|byte| *byte = chance.next() as u8);
            found(&database[0], &torn, &format!("garbage from {at}"));
            found(&database[0], &shuffled(&log[0], &log[1], &mut chance), &format!("some sectors, {number}"));
            // The log is whole before the first page is copied out of it.
            if database[0] != database[1] {
                let torn = shuffled(&database[0], &database[1], &mut chance);
                assert_eq!(found(&torn, &log[1], "a checkpoint cut off"), says[1], "{what}");
            }
        }
    }
    assert!(before > 500 && after > 40, "{before} {after}");
    let (count, seconds) = (commits.len(), began.elapsed().as_secs_f64());
    eprintln!("{count} commits torn in {} ways in {seconds:.1} s: {before} not done, {after} done", before + after);
}

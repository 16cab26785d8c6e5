//! The recipe on a plant whose demands are known: a process that burns a given time per act.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use springtide_capacity::plant::Processors;
use springtide_rehearse::calibrate::file::PlantFile;
use springtide_rehearse::calibrate::grid::{Spot, compare};
use springtide_rehearse::calibrate::machine::Machine;
use springtide_rehearse::calibrate::recipe::{Amount, Subject, run};
use springtide_rehearse::class::Class;
use springtide_rehearse::faults::Victim;
use springtide_rehearse::generator::{Arrival, Outcome, Traffic};

/// A shell that counts to a number for each line it reads, one after another.
struct Burner {
    child: Mutex<Child>,
    talk: Mutex<(std::process::ChildStdin, BufReader<std::process::ChildStdout>)>,
    victim: Victim,
}

impl Burner {
    fn start() -> Burner {
        let script = "while read n; do i=0; while [ $i -lt $n ]; do i=$((i+1)); done; echo done; done";
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let talk = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let victim = Victim::of(child.id() as i32).unwrap();
        Burner { child: Mutex::new(child), talk: Mutex::new(talk), victim }
    }

    fn burn(&self, count: u32) {
        let mut talk = self.talk.lock().unwrap();
        writeln!(talk.0, "{count}").unwrap();
        talk.1.read_line(&mut String::new()).unwrap();
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Burns two parts in one process and one in another, and waits 20 ms.
struct Known {
    app: Arc<Burner>,
    db: Arc<Burner>,
    fails: bool,
}

const PART: u32 = 15_000;

#[async_trait]
impl Traffic for Known {
    async fn act(&self, arrival: &Arrival) -> Outcome {
        if self.fails || (arrival.class == Class::Browse && arrival.number.is_multiple_of(5)) {
            return Outcome::Failed { status: Some(500), reason: "broken".into() };
        }
        let (app, db) = (self.app.clone(), self.db.clone());
        let burn = move || {
            app.burn(2 * PART);
            db.burn(PART);
        };
        tokio::task::spawn_blocking(burn).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        Outcome::Done { retries: 0 }
    }
}

fn subject(fails: bool) -> Subject {
    let (app, db) = (Arc::new(Burner::start()), Arc::new(Burner::start()));
    Subject {
        environment: "known".into(),
        app: vec![app.victim.clone()],
        db: vec![db.victim.clone()],
        traffic: Arc::new(Known { app, db, fails }),
        workers: 4,
        processors: Processors::Apart { app: 1, db: 1 },
        machine: Machine::here(BTreeMap::new()),
    }
}

fn amount() -> Amount {
    Amount {
        classes: vec![Class::Order, Class::Browse],
        acts: 40,
        idle: Duration::from_millis(300),
        swept: Class::Order,
        clients: vec![1, 2, 4],
        each: Duration::from_millis(1500),
        seed: 3,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_demands_are_measured_and_written() {
    let mut said = Vec::new();
    let file = run(&subject(false), &amount(), 1_795_000_000, |line| said.push(line)).await.unwrap();
    println!("{file:#?}");
    let order = &file.classes[&Class::Order];
    assert_eq!((order.done, order.failed), (40, 0));
    let ratio = order.demand.app / order.demand.db;
    assert!((1.6..2.5).contains(&ratio), "two parts to one: {ratio}");
    assert!(order.demand.wait >= 0.015, "{:?}", order.demand);
    assert!(order.p50 <= order.p95 && order.p50 > 0.02);
    let browse = &file.classes[&Class::Browse];
    assert_eq!((browse.done, browse.failed), (32, 8), "what fails is said");
    assert_eq!(said.len(), 1 + 2 + 3);
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("plant.yaml");
    file.write(&path).unwrap();
    assert_eq!(PlantFile::read(&path).unwrap(), file);

    // A grid that is the model's own word has no error; one that is twice as slow has.
    let rates = BTreeMap::from([(Class::Order, 1.0)]);
    let found =
        file.plant().predict(4, &[springtide_capacity::plant::predict::Load { demand: order.demand, rate: 1.0 }]);
    let found = found.unwrap();
    let p95 = found.p95.unwrap()[0];
    let spot = |factor: f64| Spot {
        workers: 4,
        rates: rates.clone(),
        throughput: 1.0,
        p95: BTreeMap::from([(Class::Order, p95 * factor)]),
    };
    let same = compare(&file, &[spot(1.0)]).unwrap();
    assert!(same.throughput_mape < 1e-6 && same.p95_mape.unwrap() < 1e-6);
    let other = compare(&file, &[spot(1.0), spot(2.0)]).unwrap();
    assert!((other.p95_mape.unwrap() - 25.0).abs() < 1e-6);
    assert!(compare(&file, &[]).is_err());
    let unknown = Spot { rates: BTreeMap::from([(Class::Edi, 1.0)]), ..spot(1.0) };
    assert!(compare(&file, &[unknown]).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_cannot_act_is_an_error() {
    let error = run(&subject(true), &amount(), 0, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("0 of 40 acts were done; broken"), "{error}");
    let swept = Amount { swept: Class::Edi, ..amount() };
    assert!(run(&subject(false), &swept, 0, |_| {}).await.is_err());
}

//! The recipe on a plant whose demands are known: processes that burn a given time per act, a job queue that works
//! behind, and a log of an Odoo that repeats more the fewer products are hot.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use springtide_capacity::plant::Processors;
use springtide_rehearse::calibrate::CalibrateError;
use springtide_rehearse::calibrate::crew::{Crew, workers};
use springtide_rehearse::calibrate::file::PlantFile;
use springtide_rehearse::calibrate::inside::Inside;
use springtide_rehearse::calibrate::machine::Machine;
use springtide_rehearse::calibrate::places::Mix;
use springtide_rehearse::calibrate::recipe::{Amount, Listener, Subject, run};
use springtide_rehearse::calibrate::results::{Ended, Results};
use springtide_rehearse::calibrate::told;
use springtide_rehearse::class::Class;
use springtide_rehearse::faults::Victim;
use springtide_rehearse::generator::{Arrival, Outcome, Traffic};
use springtide_rehearse::traffic::{Walk, cost};

/// A shell that counts to a number for each line it reads, one after another.
struct Burner {
    child: Mutex<Child>,
    talk: Mutex<(std::process::ChildStdin, BufReader<std::process::ChildStdout>)>,
    victim: Victim,
}

impl Burner {
    /// `before` runs first, such as children that are workers.
    fn start(before: &str) -> Burner {
        let script =
            format!("{before} while read n; do i=0; while [ $i -lt $n ]; do i=$((i+1)); done; echo done; done");
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
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
        for below in self.victim.tree() {
            let _ = below.signal(nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.get_mut().unwrap().wait();
    }
}

/// Burns two parts in one process and one in another, and waits 20 ms. A message of a partner leaves two more parts
/// behind, that a third process burns when the answer is long there.
struct Known {
    web: Burner,
    jobs: Arc<Burner>,
    db: Burner,
    open: Arc<AtomicU64>,
    log: Mutex<String>,
    walk: Mutex<Walk>,
    fails: Fails,
}

#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Nothing,
    AFifthOfBrowsing,
    Everything,
    /// Every order once the fit is there, which is when pickers walk elsewhere for the first time.
    OrdersBehindTheFit,
}

const PART: u32 = 15_000;
const LOST: Walk = Walk::Apart(99);

struct Handle(Arc<Known>);

#[async_trait]
impl Traffic for Handle {
    async fn act(&self, arrival: &Arrival) -> Outcome {
        let known = Arc::clone(&self.0);
        let broken = match known.fails {
            Fails::Nothing => false,
            Fails::AFifthOfBrowsing => arrival.class == Class::Browse && arrival.number.is_multiple_of(5),
            Fails::Everything => true,
            Fails::OrdersBehindTheFit => arrival.class == Class::Order && *known.walk.lock().unwrap() == LOST,
        };
        if broken {
            return Outcome::Failed { status: Some(500), reason: "broken | here".into() };
        }
        let (id, class) = (cost::request_id(arrival.class, arrival.number), arrival.class);
        let burnt = tokio::task::spawn_blocking(move || {
            known.web.burn(2 * PART);
            known.db.burn(PART);
            let retries = match *known.walk.lock().unwrap() {
                Walk::Even(count) if class == Class::Scan => 8 / count,
                _ => 0,
            };
            let line = format!(
                "{{\"time\":\"t\",\"kind\":\"request\",\"ms\":30,\"sql\":7,\"sql_s\":0.01,\"retries\":{retries},\"id\":\"{id}\"}}\n"
            );
            // A log that was rotated away when pickers walked elsewhere.
            if *known.walk.lock().unwrap() != LOST {
                known.log.lock().unwrap().push_str(&line);
            }
            if class == Class::Edi {
                let (jobs, open) = (Arc::clone(&known.jobs), Arc::clone(&known.open));
                open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(100));
                    jobs.burn(2 * PART);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        burnt.await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        Outcome::Done { retries: 0 }
    }
}

#[async_trait]
impl Inside for Handle {
    async fn open_jobs(&self) -> Result<u64, CalibrateError> {
        Ok(self.0.open.load(Ordering::SeqCst))
    }

    fn log(&self) -> Result<String, CalibrateError> {
        Ok(self.0.log.lock().unwrap().clone())
    }

    fn walk(&self, walk: Walk) {
        let broken = self.0.fails == Fails::OrdersBehindTheFit;
        *self.0.walk.lock().unwrap() = if broken { LOST } else { walk };
    }
}

fn subject(fails: Fails) -> Subject {
    let known = Arc::new(Known {
        // Two workers that do nothing: the shell itself is the one that answers.
        web: Burner::start("sleep 600 & sleep 600 & "),
        jobs: Arc::new(Burner::start("")),
        db: Burner::start(""),
        open: Arc::default(),
        log: Mutex::default(),
        walk: Mutex::default(),
        fails,
    });
    let end = Instant::now() + Duration::from_secs(20);
    while workers(&known.web.victim).len() < 2 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    Subject {
        environment: "known".into(),
        front: vec![known.web.victim.clone()],
        behind: vec![known.jobs.victim.clone()],
        db: vec![known.db.victim.clone()],
        crew: Crew::of(known.web.victim.clone()).unwrap(),
        traffic: Arc::new(Handle(Arc::clone(&known))),
        inside: Arc::new(Handle(known)),
        processors: Processors::Apart { app: 1, db: 1 },
        machine: Machine::here(BTreeMap::new()),
    }
}

fn amount() -> Amount {
    Amount {
        classes: vec![Class::Scan, Class::Order, Class::Edi, Class::Browse],
        acts: 20,
        idle: Duration::from_millis(300),
        swept: Class::Order,
        clients: vec![1, 2, 4],
        hot: vec![1, 4],
        workers: vec![2],
        each: Duration::from_millis(1500),
        mixes: vec![Mix { name: "orders".into(), parts: BTreeMap::from([(Class::Order, 1.0)]) }],
        shares: vec![0.3, 0.5],
        place: Duration::from_secs(3),
        seed: 3,
    }
}

/// Keeps what it hears.
#[derive(Default)]
struct Heard {
    said: Vec<String>,
    /// For each step whether there was a fit, and how many places.
    kept: Vec<(usize, bool, usize)>,
    full_after: Option<usize>,
}

impl Listener for Heard {
    fn say(&mut self, text: String) {
        self.said.push(text);
    }

    fn keep(&mut self, results: &Results) -> Result<(), CalibrateError> {
        self.kept.push((results.classes.len(), PlantFile::of(results).is_some(), results.spots.len()));
        match self.full_after {
            Some(most) if self.kept.len() > most => Err(CalibrateError::Measure("the disk is full".into())),
            _ => Ok(()),
        }
    }
}

async fn calibrate(fails: Fails, amount: &Amount, heard: &mut Heard) -> (Results, Result<(), CalibrateError>) {
    let subject = subject(fails);
    let mut results = Results::new(&subject, amount, 1_795_000_000, "springtide rehearse calibrate".into());
    let ended = run(&subject, amount, &mut results, heard).await;
    (results, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn known_demands_are_measured_and_compared() {
    let mut heard = Heard::default();
    let (results, ended) = calibrate(Fails::AFifthOfBrowsing, &amount(), &mut heard).await;
    ended.unwrap();
    println!("{results:#?}");
    assert_eq!((results.workers, &results.ended), (2, &Ended::Whole));
    let order = &results.classes[&Class::Order];
    assert_eq!((order.done, order.failed), (20, 0));
    let ratio = order.demand.app / order.demand.db;
    assert!((1.6..2.5).contains(&ratio), "two parts to one: {ratio}");
    assert!(order.demand.wait >= 0.015, "{:?}", order.demand);
    assert!(order.p50 <= order.p95 && order.p50 > 0.02);
    let log = order.log.unwrap();
    assert_eq!((log.acts, log.queries, log.retries), (20, 7.0, 0.0), "of these acts and of no other step's");
    let browse = &results.classes[&Class::Browse];
    assert_eq!((browse.done, browse.failed), (16, 4), "what fails is said");
    // What a message leaves behind is a part of it, and of nothing that is measured later.
    let edi = &results.classes[&Class::Edi];
    let ratio = edi.behind / order.demand.app;
    assert!(edi.done == 6 && (0.7..1.4).contains(&ratio), "{edi:?} {order:?}");
    assert!(edi.demand.app > 1.6 * order.demand.app && browse.behind < 0.1 * edi.behind, "{browse:?}");

    let retries: Vec<_> =
        results.hot.iter().map(|hot| (hot.products, hot.apart, hot.crowd.odoo_retries().unwrap())).collect();
    assert_eq!(retries, [(1, false, 8.0), (4, false, 2.0), (4, true, 0.0)]);
    let shares: Vec<f64> = results.spots.iter().map(|spot| spot.share).collect();
    assert_eq!(shares, [0.3, 0.5]);
    assert_eq!(results.notes, Vec::<String>::new());
    let comparison = results.comparison.clone().unwrap();
    assert!(comparison.knee.is_some() && comparison.rows.len() == 2, "{comparison:?}");
    assert_eq!((results.crews.len(), results.crews[0].workers, results.crews[0].clients), (1, 2, 4));

    // Every step is kept, and the parameters from the fit on.
    let first = heard.kept.iter().position(|kept| kept.1).unwrap();
    assert_eq!(heard.kept[first], (4, true, 0), "{:?}", heard.kept);
    assert!(heard.kept.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].2 <= pair[1].2));
    assert_eq!(heard.kept.len(), 4 + 3 + 1 + 3 + 2 + 1 + 2, "{:?}", heard.kept);
    assert_eq!(heard.said.len(), 1 + 4 + 3 + 3 + 2 + 1, "{:?}", heard.said);
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("plant.yaml");
    let file = PlantFile::of(&results).unwrap();
    file.write(&path).unwrap();
    assert_eq!(PlantFile::read(&path).unwrap(), file);

    let page = told::page(&results);
    println!("{page}");
    for words in
        ["Web workers: 2", "everything was measured", "| 4, apart |", "4 × failed: broken / here", "knee, workers"]
    {
        assert!(page.contains(words), "{words}");
    }
    let tables: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    let columns = |line: &&str| line.matches('|').count();
    let uneven =
        tables.windows(2).filter(|pair| pair[1].starts_with("| ---") && columns(&pair[0]) != columns(&pair[1]));
    assert_eq!(uneven.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_fail_are_in_the_verdict_and_on_the_page() {
    let amount = Amount { classes: vec![Class::Scan, Class::Order], hot: vec![1], workers: Vec::new(), ..amount() };
    let (results, ended) = calibrate(Fails::OrdersBehindTheFit, &amount, &mut Heard::default()).await;
    ended.unwrap();
    let comparison = results.comparison.as_ref().unwrap();
    assert!(!comparison.verdict().met && comparison.compared == 0, "{comparison:?}");
    assert_eq!(comparison.failed.len(), 4, "two places without a P95, and nothing done at either");
    let page = told::page(&results);
    assert!(page.contains("not compared: orders at 30 %, order: no P95 was measured"), "{page}");
    assert!(page.contains("All in all: **missed**"), "{page}");
    let done = results.hot[0].crowd.done;
    assert!(page.contains(&format!("scan: Odoo's request log shows 0 of {done} acts")), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_or_is_stopped_leaves_what_was_measured() {
    let (results, ended) = calibrate(Fails::Everything, &amount(), &mut Heard::default()).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("0 of 20 acts were done; failed: broken"), "{error}");
    assert!(results.idle.is_some() && results.classes.is_empty() && PlantFile::of(&results).is_none());
    let unknown = Amount { swept: Class::Report, ..amount() };
    assert!(calibrate(Fails::Nothing, &unknown, &mut Heard::default()).await.1.is_err());

    // A disk that is full ends it at once; two classes are there.
    let mut heard = Heard { full_after: Some(1), ..Heard::default() };
    let (results, ended) = calibrate(Fails::Nothing, &amount(), &mut heard).await;
    assert!(ended.unwrap_err().to_string().contains("full"));
    assert_eq!(results.classes.len(), 2);

    // Somebody drops it in the middle of the hot products, as Ctrl-C does.
    let subject = subject(Fails::Nothing);
    let amount = Amount { each: Duration::from_secs(2), hot: vec![1, 2, 3, 4, 5, 6, 7, 8], ..amount() };
    let mut results = Results::new(&subject, &amount, 1_795_000_000, String::new());
    let watched = Mutex::new(0);
    struct Watcher<'a>(&'a Mutex<usize>);
    impl Listener for Watcher<'_> {
        fn say(&mut self, _: String) {}
        fn keep(&mut self, results: &Results) -> Result<(), CalibrateError> {
            *self.0.lock().unwrap() = results.hot.len();
            Ok(())
        }
    }
    let mut watcher = Watcher(&watched);
    let some = async {
        while *watched.lock().unwrap() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = run(&subject, &amount, &mut results, &mut watcher) => panic!("it must not end: {ended:?}"),
        () = some => {}
    }
    results.ended = Ended::Stopped;
    assert!((2..8).contains(&results.hot.len()) && PlantFile::of(&results).is_some());
    let page = told::page(&results);
    assert!(page.contains("**stopped by hand**") && page.contains("no goal is met"), "{page}");
}

//! The open loop against traffic made of sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use springtide_rehearse::class::Class;
use springtide_rehearse::generator::{Arrival, Outcome, Settings, Stop, Traffic, Watch, run};
use springtide_rehearse::schedule::{Planned, Schedule};

/// Arrivals at these milliseconds.
fn plan(at: impl IntoIterator<Item = u64>) -> Schedule {
    let arrivals = at.into_iter().enumerate().map(|(number, millis)| Planned {
        at: Duration::from_millis(millis),
        class: Class::Scan,
        number: number as u64,
        seed: 1000 + number as u64,
    });
    let arrivals: Vec<Planned> = arrivals.collect();
    Schedule { profile: "test".into(), seed: 1, length: Duration::from_secs(1), arrivals }
}

/// Answers after a time that the number of the arrival decides.
struct Sleeps<F>(F);

#[async_trait]
impl<F: Fn(u64) -> (Duration, Outcome) + Send + Sync> Traffic for Sleeps<F> {
    async fn act(&self, arrival: &Arrival) -> Outcome {
        assert_eq!(arrival.seed, 1000 + arrival.number);
        let (time, outcome) = (self.0)(arrival.number);
        tokio::time::sleep(time).await;
        outcome
    }
}

const DONE: Outcome = Outcome::Done { retries: 0 };

#[tokio::test]
async fn outcomes_are_counted_by_what_they_are() {
    let outcomes = |number| {
        let outcome = match number {
            0 | 1 => Outcome::Done { retries: 2 },
            2 => Outcome::Refused { status: Some(409), reason: "taken".into() },
            3 => Outcome::Failed { status: Some(500), reason: "broken\u{1b}[31m".into() },
            _ => Outcome::Unknown { reason: "no answer".into() },
        };
        (Duration::from_millis(1), outcome)
    };
    let watch = Watch::default();
    let measured = run(&plan([0, 1, 2, 3, 4]), Arc::new(Sleeps(outcomes)), &watch).await;
    let scan = &measured.classes[&Class::Scan];
    assert_eq!((scan.offered, scan.done, scan.refused, scan.failed, scan.unknown, scan.retries), (5, 2, 1, 1, 1, 4));
    let reasons: Vec<&str> = scan.reasons.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["failed (500): broken[31m", "refused (409): taken", "unknown: no answer"]);
    assert_eq!(measured.schedule_error.count(), 5);
    let live = watch.live();
    assert_eq!((live.planned, live.offered, live.in_flight, live.done, live.errors), (5, 5, 0, 2, 3));
    assert_eq!(measured.stopped, None);
}

#[tokio::test]
async fn a_stall_is_seen_by_everybody_who_came_during_it() {
    // One at a time behind a lock, as a system that stands still: from arrival 5 on for 500 ms.
    struct Stalls(tokio::sync::Mutex<()>);
    #[async_trait]
    impl Traffic for Stalls {
        async fn act(&self, arrival: &Arrival) -> Outcome {
            let _turn = self.0.lock().await;
            if arrival.number == 5 {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            DONE
        }
    }
    let measured = run(&plan((0..50).map(|number| number * 10)), Arc::new(Stalls(().into())), &Watch::default()).await;
    let latency = &measured.classes[&Class::Scan].latency;
    // Those due at 50, 60, ... 540 ms wait until 550 ms: 45 of 50, evenly from 500 down.
    assert!(latency.longest().unwrap() >= Duration::from_millis(500));
    let waited = latency.longer_than(Duration::from_millis(100));
    assert!((35..=45).contains(&waited), "{waited} of 50 waited for more than 100 ms");
    // A closed loop would have seen one slow act of 50: its 95th percentile would be nothing.
    assert!(latency.quantile(0.95).unwrap() > Duration::from_millis(400));
}

#[tokio::test]
async fn what_came_when_too_many_were_under_way_is_an_error_and_not_forgotten() {
    let slow = |_| (Duration::from_millis(300), DONE);
    let settings = Settings { in_flight: 3, ..Settings::default() };
    let measured = run(&plan([0, 1, 2, 3, 4]), Arc::new(Sleeps(slow)), &Watch::new(settings)).await;
    let scan = &measured.classes[&Class::Scan];
    assert_eq!((scan.offered, scan.done, scan.failed), (5, 3, 2));
    assert_eq!(scan.reasons["failed: 3 acts were under way already"], 2);
}

#[tokio::test]
async fn the_stop_switch_ends_arrivals_and_waits_for_answers() {
    let slow = |_| (Duration::from_millis(400), DONE);
    let watch = Watch::default();
    let switch = watch.clone();
    // The second arrival is an hour away: the clock's thread sleeps and must be woken.
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        switch.stop(Stop::Asked);
        switch.stop(Stop::Broken("later".into()));
    });
    let began = Instant::now();
    let measured = run(&plan([0, 3_600_000]), Arc::new(Sleeps(slow)), &watch).await;
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(measured.stopped, Some(Stop::Asked), "the first reason stays");
    let scan = &measured.classes[&Class::Scan];
    assert_eq!((measured.planned, scan.offered, scan.done), (2, 1, 1));
}

#[tokio::test]
async fn what_has_no_answer_when_the_limit_ends_is_unknown() {
    let never = |number| (Duration::from_secs(if number == 0 { 0 } else { 3600 }), DONE);
    let settings = Settings { drain: Duration::from_millis(100), ..Settings::default() };
    let watch = Watch::new(settings);
    let measured = run(&plan([0, 1]), Arc::new(Sleeps(never)), &watch).await;
    let scan = &measured.classes[&Class::Scan];
    assert_eq!((scan.offered, scan.done, scan.unknown), (2, 1, 1));
    assert_eq!(measured.schedule_error.count(), 2, "also of what did not end");
    assert_eq!(watch.live().in_flight, 0);

    // The same without the limit, by giving up.
    let watch = Watch::default();
    let switch = watch.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        switch.give_up();
    });
    let measured = run(&plan([0, 1]), Arc::new(Sleeps(never)), &watch).await;
    assert_eq!(measured.classes[&Class::Scan].unknown, 1);
    assert_eq!(measured.stopped, Some(Stop::Asked));
}

#[tokio::test]
async fn an_act_that_panics_is_counted_and_ends_nothing() {
    let panics = |number| if number == 1 { panic!("planted") } else { (Duration::ZERO, DONE) };
    let measured = run(&plan([0, 1, 2]), Arc::new(Sleeps(panics)), &Watch::default()).await;
    let scan = &measured.classes[&Class::Scan];
    assert_eq!((scan.done, scan.unknown), (2, 1));
}

#[tokio::test]
async fn whoever_drops_the_run_ends_it() {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let counts = |_| {
        STARTED.fetch_add(1, Ordering::SeqCst);
        (Duration::ZERO, DONE)
    };
    let (plan, watch) = (plan((0..200).map(|number| number * 20)), Watch::default());
    let _ = tokio::time::timeout(Duration::from_millis(300), run(&plan, Arc::new(Sleeps(counts)), &watch)).await;
    assert_eq!(watch.stopped(), Some(Stop::Asked));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = STARTED.load(Ordering::SeqCst);
    assert!((1..200).contains(&after), "{after} were started");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(STARTED.load(Ordering::SeqCst), after, "nobody comes any more");
}

#[tokio::test]
async fn a_core_that_is_not_there_is_told() {
    let settings = Settings { core: Some(1000), ..Settings::default() };
    let measured = run(&plan([0]), Arc::new(Sleeps(|_| (Duration::ZERO, DONE))), &Watch::new(settings)).await;
    assert!(measured.notes.iter().any(|note| note.contains("core 1000")), "{:?}", measured.notes);
    let settings = Settings { core: Some(0), ..Settings::default() };
    let measured = run(&plan([0]), Arc::new(Sleeps(|_| (Duration::ZERO, DONE))), &Watch::new(settings)).await;
    assert_eq!(measured.notes, Vec::<String>::new());
    assert!(measured.cpu > Duration::ZERO);
}

//! The recipe: one client per class, then a sweep of clients, on one environment.
//!
//! Of the recipe's six steps this does the demands of each class (processor time per act of Odoo and of
//! PostgreSQL, the spread of latencies, retries) and the sweep. Speed of the disk's fsync, boot times and
//! memory per worker are not measured here and are not in the model.
//!
//! Acts are closed-loop: the next begins when the last ended. That is right for demands, and for nothing
//! that people feel; promises are judged by the open loop only.
//!
//! Rule: what ran beside is subtracted: processor time is measured without load first. An act that failed
//! is said, and a class without a done act is an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use springtide_capacity::plant::lognormal::LogNormal;
use springtide_capacity::plant::usl::{Point, Usl};
use springtide_capacity::plant::{Demand, Processors, law};

use super::file::{ClassFit, FORM, PlantFile};
use super::machine::Machine;
use super::{CalibrateError, cpu};
use crate::class::Class;
use crate::faults::Victim;
use crate::generator::{Arrival, Outcome, Traffic};

/// The environment that is measured.
pub struct Subject {
    /// Its name.
    pub environment: String,
    /// What an act does with it.
    pub traffic: Arc<dyn Traffic>,
    /// Odoo's processes (all roles), by their topmost.
    pub app: Vec<Victim>,
    /// PostgreSQL's, and the pooler's: what the database side costs.
    pub db: Vec<Victim>,
    /// Web workers.
    pub workers: u32,
    /// The processors as they are given to Odoo and PostgreSQL.
    pub processors: Processors,
    /// The machine, with versions.
    pub machine: Machine,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Amount {
    /// Classes, each with one client.
    pub classes: Vec<Class>,
    /// Acts of each.
    pub acts: u32,
    /// How long processor time without load is measured.
    pub idle: Duration,
    /// The class of the sweep; one of `classes`.
    pub swept: Class,
    /// Clients at once.
    pub clients: Vec<u32>,
    /// How long each number of clients acts.
    pub each: Duration,
    /// The seed of what acts choose.
    pub seed: u64,
}

/// Processor time per second without load.
#[derive(Debug, Clone, Copy)]
struct Idle {
    app: f64,
    db: f64,
}

/// Measures everything and fits. `say` hears what is being done. `made` is the time of day in seconds
/// since 1970.
///
/// # Errors
/// A class of which no act is done, processes that end meanwhile, or a sweep that cannot be fitted.
pub async fn run(
    subject: &Subject,
    amount: &Amount,
    made: i64,
    mut say: impl FnMut(String) + Send,
) -> Result<PlantFile, CalibrateError> {
    if !amount.classes.contains(&amount.swept) {
        return Err(CalibrateError::Measure(format!("{} is swept and must be measured as well", amount.swept)));
    }
    say("processor time without load".into());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    let idle = idle(subject, amount.idle).await?;
    let mut classes = BTreeMap::new();
    for class in &amount.classes {
        say(format!("{class}: {} acts, one after another", amount.acts));
        classes.insert(*class, class_fit(subject, amount, *class, idle).await?);
    }
    let mut sweep = Vec::new();
    for clients in &amount.clients {
        say(format!("{}: {clients} at once for {} s", amount.swept, amount.each.as_secs()));
        let throughput = closed(subject, amount, *clients).await?;
        sweep.push(Point { at_once: f64::from(*clients), throughput });
    }
    let demand = classes[&amount.swept].demand;
    let law = law::fit(&demand, subject.processors, subject.workers, &sweep)
        .ok_or_else(|| CalibrateError::Measure("the sweep has no throughput to fit".into()))?;
    let mut notes = vec![format!(
        "without load: {:.1} % of a core for Odoo, {:.1} % for PostgreSQL; subtracted",
        100.0 * idle.app,
        100.0 * idle.db
    )];
    // What waits for a processor that others use looks like waiting that needs none.
    notes.push(format!(
        "load average of the machine when it began: {load}; above 0.5 times are those of a busy machine"
    ));
    let sweep_law = Usl::fit(&sweep);
    if sweep_law.is_none() {
        notes.push("the sweep has fewer than three different numbers of clients, so it has no law of its own".into());
    }
    Ok(PlantFile {
        form: FORM,
        made,
        environment: subject.environment.clone(),
        machine: subject.machine.clone(),
        workers: subject.workers,
        processors: subject.processors,
        law,
        sweep_law,
        classes,
        swept: amount.swept,
        sweep,
        notes,
    })
}

async fn idle(subject: &Subject, time: Duration) -> Result<Idle, CalibrateError> {
    let (app, db, begun) = (cpu::seconds(&subject.app)?, cpu::seconds(&subject.db)?, Instant::now());
    tokio::time::sleep(time).await;
    let took = begun.elapsed().as_secs_f64().max(1e-3);
    let share = |before: f64, after: f64| ((after - before) / took).max(0.0);
    Ok(Idle { app: share(app, cpu::seconds(&subject.app)?), db: share(db, cpu::seconds(&subject.db)?) })
}

/// Numbers of acts of a calibration begin here, so that their keys are not those of a run's first acts.
const FIRST: u64 = 1 << 40;

fn arrival(class: Class, number: u64, seed: u64) -> Arrival {
    // SplitMix64: neighbours get seeds that have nothing in common.
    let mut mixed = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    Arrival { class, number: FIRST + number, seed: mixed ^ (mixed >> 31), due: tokio::time::Instant::now() }
}

async fn class_fit(subject: &Subject, amount: &Amount, class: Class, idle: Idle) -> Result<ClassFit, CalibrateError> {
    // Caches are warm and sessions open when measuring begins.
    for number in 0..3 {
        subject.traffic.act(&arrival(class, number, amount.seed)).await;
    }
    let (app, db, begun) = (cpu::seconds(&subject.app)?, cpu::seconds(&subject.db)?, Instant::now());
    let (mut times, mut retried, mut why) = (Vec::new(), 0_u32, String::new());
    for number in 0..u64::from(amount.acts) {
        let since = Instant::now();
        match subject.traffic.act(&arrival(class, 3 + number, amount.seed)).await {
            Outcome::Done { retries } => {
                times.push(since.elapsed().as_secs_f64());
                retried += retries;
            }
            Outcome::Refused { reason, .. } | Outcome::Failed { reason, .. } | Outcome::Unknown { reason } => {
                why = reason;
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let app = (cpu::seconds(&subject.app)? - app - idle.app * took).max(0.0);
    let db = (cpu::seconds(&subject.db)? - db - idle.db * took).max(0.0);
    let done = times.len() as u32;
    let Some(shape) = LogNormal::fit(&times) else {
        return Err(CalibrateError::Measure(format!("{class}: {done} of {} acts were done; {why}", amount.acts)));
    };
    let tries = f64::from(done + retried) / f64::from(done);
    // Failed acts cost processor time as well, so it is divided among all.
    let per_try = f64::from(amount.acts) * tries;
    let (app, db) = (app / per_try, db / per_try);
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let wait = (mean - (app + db) * tries).max(0.0);
    times.sort_by(f64::total_cmp);
    let quantile = |share: f64| times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1];
    Ok(ClassFit {
        demand: Demand { app, db, wait, sigma: shape.sigma, retries: tries - 1.0 },
        done,
        failed: amount.acts - done,
        p50: quantile(0.5),
        p95: quantile(0.95),
    })
}

/// Acts per second of so many clients, each of which begins its next act when its last has ended.
async fn closed(subject: &Subject, amount: &Amount, clients: u32) -> Result<f64, CalibrateError> {
    let numbers = Arc::new(std::sync::atomic::AtomicU64::new(u64::from(clients) << 24));
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (traffic, numbers) = (subject.traffic.clone(), numbers.clone());
        let (class, seed, each) = (amount.swept, amount.seed, amount.each);
        running.spawn(async move {
            let mut done = 0_u32;
            while begun.elapsed() < each {
                let number = numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                done += u32::from(matches!(traffic.act(&arrival(class, number, seed)).await, Outcome::Done { .. }));
            }
            done
        });
    }
    let mut done = 0;
    while let Some(ended) = running.join_next().await {
        done += ended.map_err(|why| CalibrateError::Measure(format!("a client broke down: {why}")))?;
    }
    if done == 0 {
        return Err(CalibrateError::Measure(format!("no act was done with {clients} clients at once")));
    }
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}

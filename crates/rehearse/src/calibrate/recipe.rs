//! The recipe, on one environment: one client per class, a sweep of clients, the fit; then pickers on few and on
//! many products, the places of the grid, and other numbers of web workers.
//!
//! Speed of the disk's fsync, boot times and memory per worker are not measured here and are not in the model.
//!
//! Rule: what ran beside is subtracted, and what an act leaves behind is waited for: processor time is measured
//! without load first, and no step begins while the job queue still works. An act that failed is said. What was
//! measured is in the results as soon as its step ends, so that nothing is lost when a later one fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use springtide_capacity::plant::predict::Load;
use springtide_capacity::plant::usl::{Point, Usl};
use springtide_capacity::plant::{Processors, law};

use super::acts::{self, Numbers, Tally};
use super::crew::Crew;
use super::file::PlantFile;
use super::grid::compare;
use super::inside::Inside;
use super::machine::Machine;
use super::places::{self, Mix};
use super::results::{Crowd, Ended, Fit, Hot, Knee, Results, measured_knee};
use super::{CalibrateError, demands};
use crate::class::Class;
use crate::faults::Victim;
use crate::generator::Traffic;
use crate::traffic::Walk;

/// The environment that is measured.
pub struct Subject {
    /// Its name.
    pub environment: String,
    /// What an act does with it.
    pub traffic: Arc<dyn Traffic>,
    /// What else is known of it.
    pub inside: Arc<dyn Inside>,
    /// Odoo's processes that answer people, by their topmost.
    pub front: Vec<Victim>,
    /// Odoo's other processes: jobs and scheduled actions.
    pub behind: Vec<Victim>,
    /// PostgreSQL's, and the pooler's: what the database side costs.
    pub db: Vec<Victim>,
    /// The web workers.
    pub crew: Crew,
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
    /// Acts of each; of messages that make several jobs a third.
    pub acts: u32,
    /// How long processor time without load is measured.
    pub idle: Duration,
    /// The class of the sweeps of clients and of workers; one of `classes`.
    pub swept: Class,
    /// Clients at once.
    pub clients: Vec<u32>,
    /// Hot products; the last number is also swept with acts that never meet.
    pub hot: Vec<u32>,
    /// Web workers.
    pub workers: Vec<u32>,
    /// How long each number of a sweep is kept up.
    pub each: Duration,
    /// Mixes of the grid.
    pub mixes: Vec<Mix>,
    /// Their rates, as shares of what the plant carries.
    pub shares: Vec<f64>,
    /// How long each place of the grid is measured.
    pub place: Duration,
    /// The seed of what acts choose.
    pub seed: u64,
}

/// How long new workers are warmed.
const WARM_CREW: Duration = Duration::from_secs(6);

impl Results {
    /// Nothing measured yet. `made` is the time of day in seconds since 1970, `command` what was asked.
    pub fn new(subject: &Subject, amount: &Amount, made: i64, command: String) -> Results {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Results {
            made,
            command,
            environment: subject.environment.clone(),
            machine: subject.machine.clone(),
            processors: subject.processors,
            workers: subject.crew.at_first(),
            load: load.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN),
            ended: Ended::GoesOn,
            took: 0.0,
            idle: None,
            classes: Default::default(),
            swept: amount.swept,
            sweep: Vec::new(),
            fit: None,
            hot: Vec::new(),
            spots: Vec::new(),
            crews: Vec::new(),
            comparison: None,
            notes: Vec::new(),
        }
    }
}

/// Hears what is being done, and is given the results behind every step.
pub trait Listener: Send {
    /// What begins now.
    fn say(&mut self, text: String);
    /// What there is so far.
    ///
    /// # Errors
    /// It could not be kept; nothing more is measured then.
    fn keep(&mut self, results: &Results) -> Result<(), CalibrateError>;
}

/// Measures everything, fits and compares. Whoever drops the future keeps the results; web workers are put back
/// when `subject` is dropped as well.
///
/// # Errors
/// A class of which no act is done, processes that end meanwhile, a sweep that cannot be fitted, or a listener that
/// cannot keep the results. What was measured before is in `results`.
pub async fn run(
    subject: &Subject,
    amount: &Amount,
    results: &mut Results,
    listener: &mut dyn Listener,
) -> Result<(), CalibrateError> {
    if !amount.classes.contains(&amount.swept) {
        return Err(CalibrateError::Measure(format!("{} is swept and must be measured as well", amount.swept)));
    }
    let numbers = Numbers::new(results.made);
    let mut run = Run { subject, amount, results, listener, numbers, begun: Instant::now() };
    run.classes().await?;
    run.sweep().await?;
    run.hot().await?;
    run.places().await?;
    run.crews().await?;
    run.results.ended = Ended::Whole;
    run.keep()
}

/// A calibration under way.
pub(super) struct Run<'a> {
    pub(super) subject: &'a Subject,
    pub(super) amount: &'a Amount,
    pub(super) results: &'a mut Results,
    listener: &'a mut dyn Listener,
    pub(super) numbers: Numbers,
    begun: Instant,
}

impl Run<'_> {
    pub(super) fn say(&mut self, text: String) {
        self.listener.say(text);
    }

    pub(super) fn keep(&mut self) -> Result<(), CalibrateError> {
        self.results.took = self.begun.elapsed().as_secs_f64();
        self.listener.keep(self.results)
    }

    async fn sweep(&mut self) -> Result<(), CalibrateError> {
        let (class, workers) = (self.amount.swept, self.results.workers);
        for clients in &self.amount.clients {
            self.say(format!("{class}: {clients} at once for {} s", self.amount.each.as_secs()));
            let crowd = self.crowd(class, workers, *clients, self.amount.each).await?;
            if crowd.done == 0 {
                return Err(CalibrateError::Measure(format!("no act was done with {clients} clients at once")));
            }
            self.results.sweep.push(crowd);
            self.keep()?;
        }
        let points = self.results.sweep.iter();
        let points = points.map(|it| Point { at_once: f64::from(it.clients), throughput: it.throughput });
        let points: Vec<Point> = points.collect();
        let demand = self.results.classes[&class].demand;
        let law = law::fit(&demand, self.subject.processors, workers, &points)
            .ok_or_else(|| CalibrateError::Measure("the sweep has no throughput to fit".into()))?;
        self.results.fit = Some(Fit { law, sweep_law: Usl::fit(&points) });
        self.keep()
    }

    async fn crowd(
        &mut self,
        class: Class,
        workers: u32,
        clients: u32,
        each: Duration,
    ) -> Result<Crowd, CalibrateError> {
        let block = self.numbers.block();
        let seed = self.amount.seed;
        let tally: Tally = acts::clients(&self.subject.traffic, class, block, clients, each, seed).await?;
        let log = self.cost(class, block, tally.done()).await?;
        Ok(Crowd {
            workers,
            clients,
            log,
            throughput: tally.throughput(),
            done: tally.done(),
            failed: tally.failed,
            p50: tally.quantile(0.5),
            p95: tally.quantile(0.95),
            client_retries: tally.client_retries,
            reasons: tally.reasons,
        })
    }

    async fn hot(&mut self) -> Result<(), CalibrateError> {
        let workers = self.results.workers;
        // As many pickers as can be served at the same time, and some who wait for them.
        let clients = workers + 2;
        let mut walks: Vec<(u32, bool)> = self.amount.hot.iter().map(|count| (*count, false)).collect();
        walks.extend(self.amount.hot.last().map(|count| (*count, true)));
        for (products, apart) in walks {
            let how = if apart { ", never two at once on one" } else { "" };
            self.say(format!("scan: {clients} pickers on {products} products{how}"));
            let walk = if apart { Walk::Apart(products) } else { Walk::Even(products) };
            self.subject.inside.walk(walk);
            let crowd = self.crowd(Class::Scan, workers, clients, self.amount.each).await;
            self.subject.inside.walk(Walk::default());
            self.results.hot.push(Hot { products, apart, crowd: crowd? });
            self.keep()?;
        }
        Ok(())
    }

    async fn places(&mut self) -> Result<(), CalibrateError> {
        let file = self.file()?;
        let workers = self.results.workers;
        let places = places::places(&file, workers, &self.amount.mixes, &self.amount.shares)?;
        for (number, place) in places.iter().enumerate() {
            self.settle().await?;
            let rates: Vec<_> = place.rates.iter().map(|(class, rate)| format!("{class} {rate:.2}/s")).collect();
            let (share, length) = (100.0 * place.share, self.amount.place);
            let text = format!("{} at {share:.0} % for {} s: {}", place.mix, length.as_secs(), rates.join(", "));
            self.say(text);
            let block = self.numbers.block();
            let log = async || {
                tokio::time::sleep(demands::LINE).await;
                self.subject.inside.log()
            };
            let seed = self.amount.seed + 100 + number as u64;
            let spot = places::measure(&self.subject.traffic, place, block, workers, length, seed, log).await?;
            self.results.spots.push(spot);
            self.results.comparison = Some(compare(&file, &self.results.spots, None)?);
            self.keep()?;
        }
        Ok(())
    }

    fn file(&self) -> Result<PlantFile, CalibrateError> {
        PlantFile::of(self.results).ok_or_else(|| CalibrateError::Measure("nothing was fitted".into()))
    }

    async fn crews(&mut self) -> Result<(), CalibrateError> {
        let class = self.amount.swept;
        let clients = self.amount.workers.iter().max().map_or(0, |most| most + 2);
        for workers in &self.amount.workers {
            self.settle().await?;
            self.say(format!("{class}: {workers} web workers, {clients} at once for {} s", self.amount.each.as_secs()));
            self.subject.crew.set(*workers).await?;
            // A new worker reads everything when its first request comes.
            let (warm, seed) = (self.numbers.block(), self.amount.seed);
            acts::clients(&self.subject.traffic, class, warm, clients, WARM_CREW.min(self.amount.each), seed).await?;
            let crowd = self.crowd(class, *workers, clients, self.amount.each).await?;
            self.results.crews.push(crowd);
            self.keep()?;
        }
        self.subject.crew.set(self.subject.crew.at_first()).await?;
        let file = self.file()?;
        let mix = [Load { demand: file.classes[&class].demand, rate: 1.0 }];
        let most = self.amount.workers.iter().max().copied().unwrap_or(0);
        let knee = file.plant().knee(&mix, most).zip(measured_knee(&self.results.crews));
        let knee = knee.map(|(predicted, measured)| Knee { predicted, measured });
        if !self.results.spots.is_empty() {
            self.results.comparison = Some(compare(&file, &self.results.spots, knee)?);
        }
        self.keep()
    }
}

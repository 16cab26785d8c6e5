//! The recipe's first step: what an act of each class asks of the processors, with one client.
//!
//! Rule: what ran beside is subtracted, and what an act leaves in the job queue belongs to it and to nothing that
//! is measured later.

use std::time::{Duration, Instant};

use springtide_capacity::plant::Demand;
use springtide_capacity::plant::lognormal::LogNormal;

use super::acts::{self, Block};
use super::recipe::Run;
use super::results::{ClassFit, Idle};
use super::{CalibrateError, cpu};
use crate::class::Class;
use crate::traffic::cost::{Cost, by_class_of};

/// Acts before a class is measured: caches are warm and sessions open then.
const WARM: u32 = 3;
/// Longest wait for the job queue to be empty.
const JOBS: Duration = Duration::from_secs(600);
/// Odoo writes its line when the answer is on its way.
pub(super) const LINE: Duration = Duration::from_millis(500);

impl Run<'_> {
    pub(super) async fn classes(&mut self) -> Result<(), CalibrateError> {
        self.settle().await?;
        self.say(format!("processor time without load, {} s", self.amount.idle.as_secs()));
        let idle = self.idle().await?;
        self.results.idle = Some(idle);
        for class in &self.amount.classes {
            // One message of a partner makes several jobs, and all of them are waited for.
            let acts = if *class == Class::Edi { (self.amount.acts / 3).max(3) } else { self.amount.acts };
            self.say(format!("{class}: {acts} acts, one after another"));
            let warm = self.numbers.block();
            acts::one_client(&*self.subject.traffic, *class, warm, WARM, self.amount.seed).await;
            self.settle().await?;
            let block = self.numbers.block();
            let fit = self.class(*class, acts, block, idle).await?;
            self.results.classes.insert(*class, fit);
            self.keep()?;
        }
        Ok(())
    }

    async fn idle(&self) -> Result<Idle, CalibrateError> {
        let (before, begun) = (self.used()?, Instant::now());
        tokio::time::sleep(self.amount.idle).await;
        let (after, took) = (self.used()?, begun.elapsed().as_secs_f64().max(1e-3));
        let share = |at: usize| ((after[at] - before[at]) / took).max(0.0);
        Ok(Idle { front: share(0), behind: share(1), db: share(2) })
    }

    /// Processor time of what answers, what works behind, and the database.
    fn used(&self) -> Result<[f64; 3], CalibrateError> {
        // An environment may have nothing that works behind.
        let behind = if self.subject.behind.is_empty() { 0.0 } else { cpu::seconds(&self.subject.behind)? };
        Ok([cpu::seconds(&self.subject.front)?, behind, cpu::seconds(&self.subject.db)?])
    }

    async fn class(&mut self, class: Class, acts: u32, block: Block, idle: Idle) -> Result<ClassFit, CalibrateError> {
        let (before, begun) = (self.used()?, Instant::now());
        let tally = acts::one_client(&*self.subject.traffic, class, block, acts, self.amount.seed).await;
        // What the acts left in the queue is a part of what they cost.
        self.settle().await?;
        let (after, took) = (self.used()?, begun.elapsed().as_secs_f64());
        let idle = [idle.front, idle.behind, idle.db];
        let of = |at: usize| (after[at] - before[at] - idle[at] * took).max(0.0);
        let (front, behind, db) = (of(0), of(1), of(2));
        let done = tally.done();
        let Some(shape) = LogNormal::fit(&tally.times) else {
            let why = tally.reasons.keys().next().cloned().unwrap_or_default();
            return Err(CalibrateError::Measure(format!("{class}: {done} of {acts} acts were done; {why}")));
        };
        let tries = f64::from(done + tally.client_retries) / f64::from(done);
        // Failed acts cost processor time as well, so it is divided among all.
        let per_try = f64::from(acts) * tries;
        let (app, behind, db) = ((front + behind) / per_try, behind / f64::from(acts), db / per_try);
        let mean = tally.times.iter().sum::<f64>() / f64::from(done);
        let wait = (mean - (app + db) * tries).max(0.0);
        let of_done = |share: f64| tally.times[((f64::from(done) * share).ceil() as usize).clamp(1, done as usize) - 1];
        Ok(ClassFit {
            demand: Demand { app, db, wait, sigma: shape.sigma, retries: tries - 1.0 },
            behind,
            done,
            failed: tally.failed,
            p50: of_done(0.5),
            p95: of_done(0.95),
            client_retries: tally.client_retries,
            reasons: tally.reasons,
            log: self.cost(class, block, done).await?,
        })
    }

    /// What Odoo's log says of the acts of a step, of which so many were done. Fewer in the log are noted: it may
    /// have been rotated away meanwhile.
    pub(super) async fn cost(&mut self, class: Class, block: Block, done: u32) -> Result<Option<Cost>, CalibrateError> {
        tokio::time::sleep(LINE).await;
        let log = self.subject.inside.log()?;
        let cost = by_class_of(log.lines(), |number| block.holds(number)).remove(&class);
        let seen = cost.map_or(0, |cost| cost.acts);
        if seen < u64::from(done) {
            self.results.notes.push(format!("{class}: Odoo's request log shows {seen} of {done} acts of a step"));
        }
        Ok(cost)
    }

    /// Waits until the job queue is empty.
    pub(super) async fn settle(&self) -> Result<(), CalibrateError> {
        let end = Instant::now() + JOBS;
        loop {
            let open = self.subject.inside.open_jobs().await?;
            if open == 0 {
                return Ok(());
            }
            if Instant::now() > end {
                let message = format!("{open} jobs are still open after {} s", JOBS.as_secs());
                return Err(CalibrateError::Measure(message));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

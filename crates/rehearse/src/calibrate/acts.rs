//! Acts in a closed loop: the next begins when the last ended. That is right for demands and for the most that a
//! plant carries, and for nothing that people feel; promises are judged by the open loop only.
//!
//! Rule: every act of a calibration has a number of its own, whichever calibration of this environment it is. By it
//! the act is found again in Odoo's request log, and its key in the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::CalibrateError;
use crate::class::Class;
use crate::generator::{Arrival, Outcome, Traffic};

/// Most acts of one step.
const SIZE: u64 = 1 << 20;
/// Most steps between two seconds' first numbers.
const STEPS: u64 = 1 << 8;

/// Hands out numbers, a block for each step.
#[derive(Debug)]
pub struct Numbers {
    base: u64,
    step: u64,
}

/// The numbers of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    first: u64,
    step: u64,
}

impl Numbers {
    /// Those of a calibration that began at this second since 1970.
    pub fn new(made: i64) -> Numbers {
        Numbers { base: (made.unsigned_abs() % (1 << 34)) * SIZE * STEPS, step: 0 }
    }

    /// The next step's.
    pub fn block(&mut self) -> Block {
        let step = self.step % STEPS;
        self.step += 1;
        Block { first: self.base + step * SIZE, step }
    }
}

impl Block {
    /// The act that comes as number `index` of this step.
    pub fn number(&self, index: u64) -> u64 {
        self.first + index % SIZE
    }

    /// Whether a number is of this step.
    pub fn holds(&self, number: u64) -> bool {
        (self.first..self.first + SIZE).contains(&number)
    }

    fn arrival(&self, class: Class, index: u64, seed: u64) -> Arrival {
        // SplitMix64: neighbours get seeds that have nothing in common. What acts choose does not depend on the
        // day, so two calibrations of one seed do the same.
        let mut mixed = seed.wrapping_add((self.step * SIZE + index).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Arrival { class, number: self.number(index), seed: mixed ^ (mixed >> 31), due: tokio::time::Instant::now() }
    }
}

/// What became of some acts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Latency of each that was done, in seconds, shortest first.
    pub times: Vec<f64>,
    /// Acts that were not.
    pub failed: u32,
    /// Times that a client tried again, in acts that were done.
    pub client_retries: u32,
    /// Why acts were not done, and how many.
    pub reasons: BTreeMap<String, u32>,
    /// From the first begin to the last end, in seconds.
    pub took: f64,
}

impl Tally {
    /// Acts that were done.
    pub fn done(&self) -> u32 {
        self.times.len() as u32
    }

    /// Acts done per second.
    pub fn throughput(&self) -> f64 {
        f64::from(self.done()) / self.took.max(1e-3)
    }

    /// The time that this share of all acts did not exceed; those that failed count as longer than any.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all = self.times.len() + self.failed as usize;
        let rank = ((all as f64 * share).ceil() as usize).max(1);
        self.times.get(rank - 1).copied()
    }

    fn add(&mut self, outcome: Outcome, took: Duration) {
        let (word, reason) = match outcome {
            Outcome::Done { retries } => {
                self.times.push(took.as_secs_f64());
                self.client_retries += retries;
                return;
            }
            Outcome::Refused { reason, .. } => ("refused", reason),
            Outcome::Failed { reason, .. } => ("failed", reason),
            Outcome::Unknown { reason } => ("unknown", reason),
        };
        self.failed += 1;
        *self.reasons.entry(format!("{word}: {reason}")).or_default() += 1;
    }
}

/// So many acts of one client, one after another.
pub async fn one_client(traffic: &dyn Traffic, class: Class, block: Block, count: u32, seed: u64) -> Tally {
    let mut tally = Tally::default();
    let begun = Instant::now();
    for index in 0..u64::from(count) {
        let since = Instant::now();
        let outcome = traffic.act(&block.arrival(class, index, seed)).await;
        tally.add(outcome, since.elapsed());
    }
    tally.took = begun.elapsed().as_secs_f64();
    tally.times.sort_by(f64::total_cmp);
    tally
}

/// So many clients for a time, each of which begins its next act when its last has ended.
///
/// # Errors
/// A client breaks down.
pub async fn clients(
    traffic: &Arc<dyn Traffic>,
    class: Class,
    block: Block,
    count: u32,
    each: Duration,
    seed: u64,
) -> Result<Tally, CalibrateError> {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (traffic, next) = (Arc::clone(traffic), Arc::clone(&next));
        running.spawn(async move {
            let mut ended = Vec::new();
            while begun.elapsed() < each {
                let arrival = block.arrival(class, next.fetch_add(1, Ordering::Relaxed), seed);
                let since = Instant::now();
                let outcome = traffic.act(&arrival).await;
                ended.push((outcome, since.elapsed()));
                // What is refused at once must not be refused a million times.
                if !matches!(ended.last(), Some((Outcome::Done { .. }, _))) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            ended
        });
    }
    let mut tally = Tally::default();
    while let Some(ended) = running.join_next().await {
        let ended = ended.map_err(|why| CalibrateError::Measure(format!("a client broke down: {why}")))?;
        ended.into_iter().for_each(|(outcome, took)| tally.add(outcome, took));
    }
    tally.took = begun.elapsed().as_secs_f64();
    tally.times.sort_by(f64::total_cmp);
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_steps_and_of_days_do_not_meet() {
        let (mut today, mut tomorrow) = (Numbers::new(1_795_000_000), Numbers::new(1_795_000_001));
        let blocks: Vec<Block> = (0..STEPS).map(|_| today.block()).collect();
        let other = tomorrow.block();
        for (at, block) in blocks.iter().enumerate() {
            let last = block.number(SIZE - 1);
            assert!(block.holds(block.number(0)) && block.holds(last) && !other.holds(last));
            assert_eq!(blocks.iter().filter(|one| one.holds(last)).count(), 1, "{at}");
        }
        // The same acts on both days, under other numbers.
        let (one, two) = (blocks[0].arrival(Class::Scan, 7, 1), other.arrival(Class::Scan, 7, 1));
        assert_eq!(one.seed, two.seed);
        assert_ne!(one.number, two.number);
        assert_ne!(one.seed, blocks[1].arrival(Class::Scan, 7, 1).seed);
    }

    #[test]
    fn acts_that_failed_are_longer_than_any() {
        let mut tally = Tally::default();
        for number in 1..=18 {
            tally.add(Outcome::Done { retries: 0 }, Duration::from_millis(number * 100));
        }
        assert_eq!(tally.quantile(0.95), Some(1.8));
        tally.add(Outcome::Unknown { reason: "lost".into() }, Duration::from_millis(1));
        assert_eq!(tally.quantile(0.5), Some(1.0));
        assert_eq!(tally.quantile(0.95), None, "the 19th of 19");
        assert_eq!(tally.reasons["unknown: lost"], 1);
        assert_eq!(Tally::default().quantile(0.5), None);
    }
}

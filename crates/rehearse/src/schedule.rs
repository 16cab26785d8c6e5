//! When everybody comes: arrival times from a profile, a seed and a length. Pure.
//!
//! Each class is a Poisson process whose rate is its mean, times its shape, times a gamma factor that is
//! drawn anew every minute. People do come in bursts, and a plain Poisson process has hardly any.
//!
//! Rule: same profile, same seed, same length: same arrivals, to the microsecond. Every class draws from
//! streams of its own, so changing one class leaves the others' arrivals as they were.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, Gamma};

use crate::class::Class;
use crate::profile::{ClassProfile, Profile};

/// Most arrivals of a run; they are kept in memory.
pub const MOST_ARRIVALS: f64 = 5_000_000.0;

/// One arrival, before the run has a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Since the beginning of the run.
    pub at: Duration,
    /// Who comes.
    pub class: Class,
    /// Which one of its class, from 0.
    pub number: u64,
    /// For what the act chooses (product, customer, quantity); its own for every arrival.
    pub seed: u64,
}

/// All arrivals of a run, in order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The profile's name.
    pub profile: String,
    /// What it was made from.
    pub seed: u64,
    /// How long people come. The last answers may take longer.
    pub length: Duration,
    /// Sorted by `at`, then class, then number.
    pub arrivals: Vec<Planned>,
}

/// No schedule can be made. Nothing was started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// The run has no length.
    #[error("a run must last at least a second and at most a week, not {0:?}")]
    Length(Duration),
    /// More than fit into memory.
    #[error("about {0:.0} would arrive; a run is limited to {MOST_ARRIVALS}: make it shorter or its rates lower")]
    TooMany(f64),
}

impl ScheduleError {
    /// The problem's code.
    pub fn code(&self) -> &'static str {
        "E0961"
    }
}

/// What the streams of a class are for.
#[derive(Clone, Copy)]
enum Stream {
    Bursts,
    Times,
    Acts,
}

fn stream(seed: u64, class: Class, stream: Stream) -> ChaCha8Rng {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    // The name and not the position: a class more leaves the others as they are.
    let name = class.as_str().as_bytes();
    key[16..16 + name.len()].copy_from_slice(name);
    key[8] = stream as u8;
    ChaCha8Rng::from_seed(key)
}

/// From 0, exclusive, to 1, inclusive.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

impl Schedule {
    /// Draws the arrivals of a run of `profile`.
    pub fn of(profile: &Profile, seed: u64, length: Duration) -> Result<Schedule, ScheduleError> {
        if length < Duration::from_secs(1) || length > Duration::from_secs(604_800) {
            return Err(ScheduleError::Length(length));
        }
        let expected: f64 =
            profile.classes.values().map(|class| pieces(class, length).map(Piece::arrivals).sum::<f64>()).sum();
        // Bursts can only be this much above what is expected without making the point moot.
        if expected > MOST_ARRIVALS / 2.0 {
            return Err(ScheduleError::TooMany(expected));
        }
        let mut arrivals = Vec::with_capacity(expected as usize + 64);
        for (class, rates) in &profile.classes {
            draw(*class, rates, seed, length, &mut arrivals);
        }
        arrivals.sort_by_key(|arrival| (arrival.at, arrival.class, arrival.number));
        Ok(Schedule { profile: profile.name.clone(), seed, length, arrivals })
    }

    /// Arrivals of one class.
    pub fn offered(&self, class: Class) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.class == class).count()
    }
}

/// A part of the run in which the rate (before bursts) does not move; never longer than a minute.
#[derive(Debug, Clone, Copy)]
struct Piece {
    begins: f64,
    ends: f64,
    /// Arrivals per second.
    rate: f64,
}

impl Piece {
    fn arrivals(self) -> f64 {
        self.rate * (self.ends - self.begins)
    }
}

fn pieces(class: &ClassProfile, length: Duration) -> impl Iterator<Item = Piece> {
    let end = length.as_secs_f64();
    let mut cuts = class.shape.jumps(length);
    cuts.extend((1..).map(|minute| f64::from(minute) * 60.0).take_while(|at| *at < end));
    cuts.extend([0.0, end]);
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    let mut cuts = cuts.into_iter().peekable();
    std::iter::from_fn(move || {
        let begins = cuts.next()?;
        let ends = *cuts.peek()?;
        let rate = class.per_minute / 60.0 * class.shape.factor((begins + ends) / 2.0, length);
        Some(Piece { begins, ends, rate })
    })
}

fn draw(class: Class, rates: &ClassProfile, seed: u64, length: Duration, arrivals: &mut Vec<Planned>) {
    let (mut bursts, mut times, mut acts) =
        (stream(seed, class, Stream::Bursts), stream(seed, class, Stream::Times), stream(seed, class, Stream::Acts));
    // Shape 1/cv² and scale cv² have mean 1 and the coefficient of variation cv.
    let spread = rates.burstiness * rates.burstiness;
    let gamma = (spread > 0.0).then(|| Gamma::new(1.0 / spread, spread).expect("both are above zero and finite"));
    let mut minute = None;
    let mut burst = 1.0;
    let mut number = 0;
    // The process in its own time: events come after exponential waits, and a piece lets so much of that
    // time pass as it expects arrivals.
    let mut wait = -uniform(&mut times).ln();
    for piece in pieces(rates, length) {
        let now = (piece.begins / 60.0 + 1e-9) as u64;
        if minute != Some(now) {
            minute = Some(now);
            burst = gamma.as_ref().map_or(1.0, |gamma| gamma.sample(&mut bursts));
        }
        let rate = piece.rate * burst;
        let mut passes = rate * (piece.ends - piece.begins);
        let mut at = piece.begins;
        while wait <= passes && rate > 0.0 {
            passes -= wait;
            at += wait / rate;
            let time = Duration::from_micros((at * 1e6) as u64).min(length);
            arrivals.push(Planned { at: time, class, number, seed: acts.next_u64() });
            number += 1;
            wait = -uniform(&mut times).ln();
        }
        wait -= passes;
    }
}

//! Who wants how much of what, and when. Pure.
//!
//! Products and customers follow Zipf's law, which gives the ABC curve that distributors have: a fifth of the
//! products makes about four fifths of the demand. A day's demand is a product of a week (Monday and Friday
//! high, Sunday almost nothing), a year (a long rise to December, a dip in January and August) and promotions
//! with a dip behind them.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday, date};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sha2::{Digest as _, Sha256};

/// A source of numbers of its own for each purpose, so that a new purpose changes nothing of the others.
pub fn source(seed: u64, purpose: &str, number: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(number.to_le_bytes());
    hash.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Weights to choose by, kept as their running sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    sums: Vec<f64>,
}

impl Weights {
    /// Of `weights`, which are not negative and not all zero.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let sums = weights.into_iter().map(|weight| {
            sum += weight;
            sum
        });
        Self { sums: sums.collect() }
    }

    /// Zipf's law over `count` ranks.
    pub fn zipf(count: u32, exponent: f64) -> Self {
        Self::new((1..=count).map(|rank| f64::from(rank).powf(-exponent)))
    }

    /// One of them, with a chance in proportion to its weight.
    pub fn choose(&self, rng: &mut ChaCha8Rng) -> usize {
        let all = self.sums.last().copied().unwrap_or_default();
        let at = rng.random_range(0.0..all.max(f64::MIN_POSITIVE));
        self.sums.partition_point(|sum| *sum <= at).min(self.sums.len().saturating_sub(1))
    }

    /// Share of all that the first `count` have, 0 to 1.
    pub fn share(&self, count: usize) -> f64 {
        match (count.checked_sub(1).and_then(|last| self.sums.get(last.min(self.sums.len() - 1))), self.sums.last()) {
            (Some(part), Some(all)) => part / all,
            _ => 0.0,
        }
    }
}

/// Class of a product by its part of the demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Abc {
    /// The few that make four fifths of the demand.
    A,
    /// Those that make the next 15 %.
    B,
    /// All the others.
    C,
}

impl Abc {
    /// Class of the product on this place of the ranking, from 0.
    pub fn of(ranks: &Weights, rank: usize) -> Self {
        match ranks.share(rank) {
            before if before < 0.80 => Abc::A,
            before if before < 0.95 => Abc::B,
            _ => Abc::C,
        }
    }
}

/// Some days on which people buy more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promotion {
    /// First day.
    pub from: Date,
    /// Days it lasts.
    pub days: i32,
    /// Factor on the demand.
    pub uplift: f64,
}

/// Days after a promotion on which people buy less, because they have it already.
const ECHO: i32 = 5;

/// The shape of demand over days.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    /// What was promoted.
    pub promotions: Vec<Promotion>,
}

impl Calendar {
    /// Promotions of the years that the days before `until` touch: the Friday at the end of November in each,
    /// and five more on days that the seed chooses.
    pub fn new(seed: u64, until: Date, days: u32) -> Self {
        let first = until.saturating_sub(i64::from(days).days());
        let mut promotions = Vec::new();
        for year in first.year()..=until.year() {
            let mut rng = source(seed, "promotions", u64::try_from(year).unwrap_or_default());
            // The day after the fourth Thursday of November, with its long weekend.
            let friday = date(year, 11, 1).nth_weekday_of_month(4, Weekday::Thursday).and_then(|day| day.tomorrow());
            if let Ok(from) = friday {
                promotions.push(Promotion { from, days: 4, uplift: rng.random_range(2.6..3.4) });
            }
            for _ in 0..5 {
                let from = date(year, 1, 1).saturating_add(i64::from(rng.random_range(0..300)).days());
                promotions.push(Promotion { from, days: rng.random_range(3..=10), uplift: rng.random_range(1.4..2.2) });
            }
        }
        promotions.sort_by_key(|promotion| promotion.from);
        Self { promotions }
    }

    /// Factor of a day on the mean demand.
    pub fn factor(&self, day: Date) -> f64 {
        week(day.weekday()) * year(day.day_of_year()) * self.promotion(day)
    }

    /// Factor of what is promoted on a day, or was just before.
    pub fn promotion(&self, day: Date) -> f64 {
        let mut factor: f64 = 1.0;
        for promotion in &self.promotions {
            let since = day.since(promotion.from).map_or(-1, |span| span.get_days());
            if (0..promotion.days).contains(&since) {
                factor = factor.max(promotion.uplift);
            } else if (promotion.days..promotion.days + ECHO).contains(&since) && factor == 1.0 {
                factor = 0.85;
            }
        }
        factor
    }
}

/// Factor of a day of the week; the mean is 1.
fn week(day: Weekday) -> f64 {
    match day {
        Weekday::Monday => 1.40,
        Weekday::Tuesday => 1.22,
        Weekday::Wednesday => 1.15,
        Weekday::Thursday => 1.15,
        Weekday::Friday => 1.28,
        Weekday::Saturday => 0.50,
        Weekday::Sunday => 0.30,
    }
}

/// Factor of a day of the year: a rise to the middle of December, dips in January and August.
fn year(day: i16) -> f64 {
    let bump = |middle: f64, width: f64, height: f64| {
        let away = f64::from(day) - middle;
        height * (-(away * away) / (2.0 * width * width)).exp()
    };
    0.94 + bump(345.0, 24.0, 0.75) - bump(20.0, 16.0, 0.22) - bump(225.0, 18.0, 0.15) + bump(90.0, 20.0, 0.08)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_ranks_has_about_four_fifths() {
        for count in [200, 1_000, 20_000, 100_000] {
            let share = Weights::zipf(count, 1.0).share(count as usize / 5);
            assert!((0.70..0.90).contains(&share), "{count}: {share}");
        }
        // The negative control: without the law a fifth has a fifth.
        assert!((Weights::zipf(1_000, 0.0).share(200) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn choosing_follows_the_weights() {
        let weights = Weights::new([1.0, 0.0, 3.0]);
        let mut rng = source(1, "test", 0);
        let mut seen = [0; 3];
        for _ in 0..10_000 {
            seen[weights.choose(&mut rng)] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!((2_300..2_700).contains(&seen[0]), "{seen:?}");
    }

    #[test]
    fn the_week_has_mean_one_and_december_beats_august() {
        let days = [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday]
            .into_iter()
            .chain([Weekday::Saturday, Weekday::Sunday]);
        let sum: f64 = days.map(week).sum();
        assert!((sum - 7.0).abs() < 1e-9, "{sum}");
        assert!(year(345) > 1.6 && year(225) < 0.85 && year(20) < 0.8);
        let mean = (1..=365).map(year).sum::<f64>() / 365.0;
        assert!((0.95..1.1).contains(&mean), "{mean}");
    }

    #[test]
    fn a_promotion_lifts_its_days_and_dips_behind() {
        let promotion = Promotion { from: date(2026, 5, 4), days: 3, uplift: 2.0 };
        let calendar = Calendar { promotions: vec![promotion] };
        let of = |day| calendar.promotion(date(2026, 5, day));
        assert_eq!([of(3), of(4), of(6), of(7), of(11), of(12)], [1.0, 2.0, 2.0, 0.85, 0.85, 1.0]);
    }
}

//! How a rate moves through a run: constant, a step, a surge, a recorded series, or several at once,
//! which multiply.

use std::str::FromStr;
use std::time::Duration;

/// Factors on the mean rate. Nothing set is a constant rate.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shape {
    /// From some moment on, a multiple.
    pub step: Option<Step>,
    /// For a while, a multiple.
    pub surge: Option<Surge>,
    /// A recording with mean 1, stretched over the whole run. Empty is none.
    pub series: Vec<f64>,
}

/// `times` the rate from `at` on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The multiple.
    pub times: f64,
    /// When.
    pub at: Moment,
}

/// `times` the rate from `at`, as long as it `lasts`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surge {
    /// The multiple.
    pub times: f64,
    /// When it begins.
    pub at: Moment,
    /// How long.
    pub lasts: Moment,
}

/// A time within a run: absolute (`90s`, `2m`, `1h`) or a part of its length (`40%`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// Seconds.
    After(f64),
    /// A share of the run, from 0 to 1.
    Share(f64),
}

impl Moment {
    /// In seconds, of a run this long.
    pub fn seconds(self, length: Duration) -> f64 {
        match self {
            Moment::After(seconds) => seconds,
            Moment::Share(share) => share * length.as_secs_f64(),
        }
    }
}

/// The text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time within a run; write 90s, 2m, 1h or a part of the run such as 40%")]
pub struct MomentError(String);

impl FromStr for Moment {
    type Err = MomentError;
    fn from_str(text: &str) -> Result<Self, MomentError> {
        let refuse = || MomentError(text.chars().take(40).collect());
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let number: f64 = text[..end].parse().map_err(|_| refuse())?;
        match &text[end..] {
            "s" if number <= 604_800.0 => Ok(Moment::After(number)),
            "m" if number <= 10_080.0 => Ok(Moment::After(number * 60.0)),
            "h" if number <= 168.0 => Ok(Moment::After(number * 3600.0)),
            "%" if number <= 100.0 => Ok(Moment::Share(number / 100.0)),
            _ => Err(refuse()),
        }
    }
}

impl Shape {
    /// The factor on the mean rate, so many seconds into a run of this length.
    pub fn factor(&self, seconds: f64, length: Duration) -> f64 {
        let mut factor = 1.0;
        if let Some(step) = self.step
            && seconds >= step.at.seconds(length)
        {
            factor *= step.times;
        }
        if let Some(surge) = self.surge {
            let begins = surge.at.seconds(length);
            if seconds >= begins && seconds < begins + surge.lasts.seconds(length) {
                factor *= surge.times;
            }
        }
        if !self.series.is_empty() {
            let share = seconds / length.as_secs_f64();
            let index = (share * self.series.len() as f64) as usize;
            factor *= self.series[index.min(self.series.len() - 1)];
        }
        factor
    }

    /// Moments at which the factor may jump, in seconds, sorted, within the run.
    pub(crate) fn jumps(&self, length: Duration) -> Vec<f64> {
        let mut jumps = Vec::new();
        if let Some(step) = self.step {
            jumps.push(step.at.seconds(length));
        }
        if let Some(surge) = self.surge {
            let begins = surge.at.seconds(length);
            jumps.extend([begins, begins + surge.lasts.seconds(length)]);
        }
        let end = length.as_secs_f64();
        let slots = self.series.len();
        jumps.extend((1..slots).map(|index| end * index as f64 / slots as f64));
        jumps.retain(|at| *at > 0.0 && *at < end);
        jumps.sort_by(f64::total_cmp);
        jumps
    }
}

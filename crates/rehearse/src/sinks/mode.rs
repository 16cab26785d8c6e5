//! How a sink behaves, and for which calls.
//!
//! Written `ok`, `fail`, `fail:502`, `stall`, `stall:20s`, `throttle`, `throttle:5s`, `drop`,
//! `lose-answer`; with `/N` behind it for every Nth call only, such as `fail:503/3`.
//!
//! Rule: every mode but [`Behaviour::LoseAnswer`] refuses before it takes effect. `lose-answer` is the
//! one that tests clients: it takes effect, and the caller does not hear of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a sink does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes it and answers.
    Ok,
    /// Answers with this 5xx status (SMTP: 451).
    Fail(u16),
    /// Waits this long, then takes it and answers.
    Stall(Duration),
    /// Answers 429 with `Retry-After` of this long (SMTP: 450).
    Throttle(Duration),
    /// Closes the connection without an answer and without effect.
    Drop,
    /// Takes it and closes the connection without an answer.
    LoseAnswer,
}

/// A behaviour, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode {
    /// What it does.
    pub behaviour: Behaviour,
    /// With every how many calls; the others are taken and answered. Never 0.
    pub every: u32,
}

impl Default for Mode {
    fn default() -> Self {
        Mode { behaviour: Behaviour::Ok, every: 1 }
    }
}

impl Mode {
    /// This behaviour for every call.
    pub fn always(behaviour: Behaviour) -> Mode {
        Mode { behaviour, every: 1 }
    }

    /// What becomes of the sink's call number `number`, from 1.
    pub fn of(&self, number: u64) -> Behaviour {
        if number.is_multiple_of(u64::from(self.every.max(1))) { self.behaviour } else { Behaviour::Ok }
    }
}

/// The text is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no mode; write ok, fail[:5xx], stall[:Ns], throttle[:Ns], drop or lose-answer, and /N for every Nth call"
)]
pub struct ModeError(String);

impl FromStr for Mode {
    type Err = ModeError;
    fn from_str(text: &str) -> Result<Mode, ModeError> {
        let wrong = || ModeError(text.chars().take(80).collect());
        let (word, every) = match text.split_once('/') {
            Some((word, every)) => (word, every.parse().ok().filter(|every| *every > 0).ok_or_else(wrong)?),
            None => (text, 1),
        };
        let (word, value) = word.split_once(':').map_or((word, None), |(word, value)| (word, Some(value)));
        let seconds = |standard: u64| match value {
            None => Ok(Duration::from_secs(standard)),
            Some(value) => {
                let count = value.strip_suffix('s').and_then(|count| count.parse::<u64>().ok());
                count.filter(|count| (1..=3600).contains(count)).map(Duration::from_secs).ok_or_else(wrong)
            }
        };
        let behaviour = match (word, value) {
            ("ok", None) => Behaviour::Ok,
            ("fail", None) => Behaviour::Fail(503),
            ("fail", Some(value)) => {
                let status = value.parse().ok().filter(|status| (500..600).contains(status));
                Behaviour::Fail(status.ok_or_else(wrong)?)
            }
            ("stall", _) => Behaviour::Stall(seconds(30)?),
            ("throttle", _) => Behaviour::Throttle(seconds(1)?),
            ("drop", None) => Behaviour::Drop,
            ("lose-answer", None) => Behaviour::LoseAnswer,
            _ => return Err(wrong()),
        };
        Ok(Mode { behaviour, every })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.behaviour {
            Behaviour::Ok => write!(f, "ok")?,
            Behaviour::Fail(status) => write!(f, "fail:{status}")?,
            Behaviour::Stall(time) => write!(f, "stall:{}s", time.as_secs())?,
            Behaviour::Throttle(time) => write!(f, "throttle:{}s", time.as_secs())?,
            Behaviour::Drop => write!(f, "drop")?,
            Behaviour::LoseAnswer => write!(f, "lose-answer")?,
        }
        if self.every == 1 { Ok(()) } else { write!(f, "/{}", self.every) }
    }
}

impl TryFrom<String> for Mode {
    type Error = ModeError;
    fn try_from(text: String) -> Result<Mode, ModeError> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> String {
        mode.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["ok", "fail:503", "fail:502/3", "stall:20s", "throttle:5s", "drop", "lose-answer/2"] {
            assert_eq!(text.parse::<Mode>().unwrap().to_string(), text);
        }
        for text in ["", "fail:404", "fail:x", "stall:0s", "stall:20", "stall:4000s", "drop:1", "ok/0", "ok/", "OK"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_third_call_is_every_third() {
        let mode: Mode = "fail/3".parse().unwrap();
        let failed = (1..=9).filter(|number| mode.of(*number) != Behaviour::Ok).collect::<Vec<_>>();
        assert_eq!(failed, [3, 6, 9]);
        assert!((1..=9).all(|number| Mode::always(Behaviour::Drop).of(number) == Behaviour::Drop));
    }
}

//! Profiles of arrivals: which class comes how often, in which shape, and what is promised to it.
//!
//! A profile is YAML: one of those in `profiles/`, which are compiled in, or a file of the user's. [`read`]
//! turns text into a checked [`Profile`], [`shape`] says how a rate moves through a run, and [`series`]
//! holds recorded days that a rate can follow.
//!
//! Rule: only a checked profile travels, and a refusal names the file, the line and what is valid there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use springtide_core::spec::suggest::{listed, nearest};

use crate::class::Class;

mod read;
pub mod series;
pub mod shape;

pub use shape::Shape;

/// Most bytes of a profile, and of a series that it names.
pub const MAX_BYTES: u64 = 4 << 20;

const BUILT_IN: [(&str, &str); 4] = [
    ("holiday", include_str!("../../profiles/holiday.yaml")),
    ("quiet", include_str!("../../profiles/quiet.yaml")),
    ("quarter-end", include_str!("../../profiles/quarter-end.yaml")),
    ("counting", include_str!("../../profiles/counting.yaml")),
];

/// Who comes how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name in reports.
    pub name: String,
    /// What it stands for, in one sentence.
    pub about: String,
    /// The classes that come at all.
    pub classes: BTreeMap<Class, ClassProfile>,
}

/// How one class comes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassProfile {
    /// Arrivals per minute where the shape is at 1, on average.
    pub per_minute: f64,
    /// How the rate moves through the run.
    pub shape: Shape,
    /// Spread of the rate from minute to minute beyond chance: the coefficient of variation of a gamma
    /// factor with mean 1. 0 is a plain Poisson process.
    pub burstiness: f64,
    /// What is promised.
    pub slo: Slo,
}

/// What a class is promised. What is not written is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Slo {
    /// The longest 95th percentile of the time from due to done, in milliseconds.
    pub p95_ms: Option<f64>,
    /// The largest share of arrivals that were not done, in percent.
    pub errors_percent: Option<f64>,
}

/// A profile cannot be used. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Neither a built-in profile nor a file.
    #[error("there is no profile {name:?}; {hint}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The known ones, and the nearest.
        hint: String,
    },
    /// The file cannot be read.
    #[error("the profile {} cannot be read: {reason}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's word.
        reason: String,
    },
    /// The text is not a profile.
    #[error("{}: {message}; nothing was started", place(file, *line, *column))]
    Invalid {
        /// Name of the profile or of its file.
        file: String,
        /// From 1; 0 if the place is not known.
        line: u64,
        /// From 1; 0 if the place is not known.
        column: u64,
        /// What is wrong and what is valid.
        message: String,
    },
}

fn place(file: &str, line: u64, column: u64) -> String {
    if line == 0 { file.to_owned() } else { format!("{file}:{line}:{column}") }
}

impl ProfileError {
    /// The problem's code, such as `E0960`.
    pub fn code(&self) -> &'static str {
        match self {
            ProfileError::Unknown { .. } => "E0960",
            ProfileError::Read { .. } | ProfileError::Invalid { .. } => "E0961",
        }
    }
}

impl Profile {
    /// Names of the built-in profiles.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        BUILT_IN.into_iter().map(|(name, _)| name)
    }

    /// The profile of this name, or in this file: what holds a `/` or ends in `.yaml` or `.yml` is a file.
    pub fn open(name: &str) -> Result<Profile, ProfileError> {
        if let Some((name, text)) = BUILT_IN.into_iter().find(|(known, _)| *known == name) {
            return read::read(name, text, None);
        }
        let path = Path::new(name);
        if name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml") {
            let text = read::text_of(path).map_err(|reason| ProfileError::Read { path: path.to_owned(), reason })?;
            return read::read(name, &text, path.parent());
        }
        let meant = nearest(name, Profile::built_in());
        let meant = meant.map_or(String::new(), |meant| format!("did you mean `{meant}`? "));
        let hint = format!("{meant}built in are {}; or give a file, such as ./mine.yaml", listed(Profile::built_in()));
        Err(ProfileError::Unknown { name: name.chars().take(80).collect(), hint })
    }

    /// Reads a profile from text. `file` is a name for messages; series are looked for among the
    /// built-in ones only.
    pub fn parse(file: &str, text: &str) -> Result<Profile, ProfileError> {
        read::read(file, text, None)
    }

    /// Arrivals per minute of all classes where every shape is at 1.
    pub fn per_minute(&self) -> f64 {
        self.classes.values().map(|class| class.per_minute).sum()
    }
}

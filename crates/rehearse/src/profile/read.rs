//! From YAML to a checked profile.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::shape::{Moment, Shape, Step, Surge};
use super::{ClassProfile, MAX_BYTES, Profile, ProfileError, Slo, series};
use crate::class::Class;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    name: Spanned<String>,
    #[serde(default)]
    about: String,
    classes: Spanned<BTreeMap<Class, RawClass>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    per_minute: Spanned<f64>,
    #[serde(default)]
    shape: RawShape,
    burstiness: Option<Spanned<f64>>,
    #[serde(default)]
    slo: RawSlo,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawShape {
    step: Option<RawStep>,
    surge: Option<RawSurge>,
    series: Option<RawSeries>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    times: Spanned<f64>,
    at: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSurge {
    times: Spanned<f64>,
    at: Spanned<String>,
    r#for: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSeries {
    file: Spanned<String>,
    column: Spanned<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawSlo {
    p95_ms: Option<Spanned<f64>>,
    errors_percent: Option<Spanned<f64>>,
}

/// The text of a file, if it is a plain file of no more than [`MAX_BYTES`].
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("it is not a plain file".into());
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    Ok(text)
}

/// Reads and checks. Series are looked for among the built-in ones and in `folder`.
pub(super) fn read(file: &str, text: &str, folder: Option<&Path>) -> Result<Profile, ProfileError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let raw: RawProfile = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        let message = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        ProfileError::Invalid { file: file.to_owned(), line, column, message: one_line(&message) }
    })?;
    let check = Check { file, folder };
    check.profile(raw)
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Check<'a> {
    file: &'a str,
    folder: Option<&'a Path>,
}

impl Check<'_> {
    fn refuse(&self, at: &Location, message: impl Into<String>) -> ProfileError {
        let message = message.into();
        ProfileError::Invalid { file: self.file.to_owned(), line: at.line(), column: at.column(), message }
    }

    fn number(&self, what: &str, found: &Spanned<f64>, least: f64, most: f64) -> Result<f64, ProfileError> {
        // NaN is in no range.
        if (least..=most).contains(&found.value) {
            return Ok(found.value);
        }
        let message = format!("{what} is {}; it must be from {least} to {most}", found.value);
        Err(self.refuse(&found.referenced, message))
    }

    fn moment(&self, what: &str, found: &Spanned<String>) -> Result<Moment, ProfileError> {
        found.value.parse().map_err(|error| self.refuse(&found.referenced, format!("{what}: {error}")))
    }

    fn profile(&self, raw: RawProfile) -> Result<Profile, ProfileError> {
        let name = &raw.name.value;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(fits) {
            let message = "name must be 1 to 40 characters of a-z, 0-9 and hyphens";
            return Err(self.refuse(&raw.name.referenced, message));
        }
        if raw.classes.value.is_empty() {
            return Err(self.refuse(&raw.classes.referenced, "classes is empty: nobody would come"));
        }
        let classes = raw.classes.value.into_iter().map(|(class, raw)| Ok((class, self.class(class, raw)?)));
        Ok(Profile { name: raw.name.value, about: one_line(&raw.about), classes: classes.collect::<Result<_, _>>()? })
    }

    fn class(&self, class: Class, raw: RawClass) -> Result<ClassProfile, ProfileError> {
        let per_minute = self.number(&format!("{class}: per_minute"), &raw.per_minute, 0.01, 100_000.0)?;
        let burstiness = match &raw.burstiness {
            Some(found) => self.number(&format!("{class}: burstiness"), found, 0.0, 3.0)?,
            None => 0.0,
        };
        let p95_ms = raw.slo.p95_ms.as_ref();
        let p95_ms = p95_ms.map(|found| self.number(&format!("{class}: p95_ms"), found, 1.0, 3_600_000.0));
        let errors = raw.slo.errors_percent.as_ref();
        let errors = errors.map(|found| self.number(&format!("{class}: errors_percent"), found, 0.0, 100.0));
        let slo = Slo { p95_ms: p95_ms.transpose()?, errors_percent: errors.transpose()? };
        Ok(ClassProfile { per_minute, shape: self.shape(class, raw.shape)?, burstiness, slo })
    }

    fn shape(&self, class: Class, raw: RawShape) -> Result<Shape, ProfileError> {
        let mut shape = Shape::default();
        if let Some(step) = raw.step {
            let times = self.number(&format!("{class}: step.times"), &step.times, 0.0, 100.0)?;
            shape.step = Some(Step { times, at: self.moment(&format!("{class}: step.at"), &step.at)? });
        }
        if let Some(surge) = raw.surge {
            let times = self.number(&format!("{class}: surge.times"), &surge.times, 0.0, 100.0)?;
            let at = self.moment(&format!("{class}: surge.at"), &surge.at)?;
            let lasts = self.moment(&format!("{class}: surge.for"), &surge.r#for)?;
            shape.surge = Some(Surge { times, at, lasts });
        }
        if let Some(raw) = raw.series {
            shape.series = self.series(class, &raw)?;
        }
        Ok(shape)
    }

    fn series(&self, class: Class, raw: &RawSeries) -> Result<Vec<f64>, ProfileError> {
        let file = raw.file.value.as_str();
        let text = match (series::built_in(file), self.folder) {
            (Some(text), _) => Ok(text.to_owned()),
            (None, Some(folder)) => text_of(&folder.join(file)),
            (None, None) => Err(format!("it is not built in ({})", series::NAMES.join(", "))),
        };
        let text = text
            .map_err(|reason| self.refuse(&raw.file.referenced, format!("{class}: the series {file:?}: {reason}")))?;
        series::factors(&text, &raw.column.value)
            .map_err(|error| self.refuse(&raw.column.referenced, format!("{class}: the series {file:?}: {error}")))
    }
}

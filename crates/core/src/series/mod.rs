//! Series profiles: what differs between Odoo majors, as data.
//!
//! One YAML file per series beside this module; code asks the profile and never compares versions.
//! `proven` means that this release ran that series in its own end-to-end test; `declared` means
//! that the facts are written down and nothing more.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An Odoo major version such as `19.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series(u8);

impl Series {
    /// Every series that has a profile, oldest first.
    pub const ALL: [Series; 6] = [Series(14), Series(15), Series(16), Series(17), Series(18), Series(19)];
    /// What an estate gets that names none.
    pub const DEFAULT: Series = Series(19);

    /// The major number.
    pub const fn major(self) -> u8 {
        self.0
    }
    /// The facts about this series.
    pub fn profile(self) -> &'static Profile {
        PROFILES
            .iter()
            .find(|profile| profile.series == self)
            .expect("Series can only hold a major that has a profile: FromStr checks it")
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.0", self.0)
    }
}

/// The text is not a series that has a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("odoo series {0:?} is unknown; known are 14.0, 15.0, 16.0, 17.0, 18.0 and 19.0 (write it in quotes)")]
pub struct SeriesError(String);

impl FromStr for Series {
    type Err = SeriesError;
    fn from_str(text: &str) -> Result<Self, SeriesError> {
        let digits = text.strip_suffix(".0").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        // Two digits: no other writing of the number is the same word.
        let major = digits.filter(|digits| digits.len() == 2).and_then(|digits| digits.parse().ok());
        Series::ALL
            .into_iter()
            .find(|series| Some(series.0) == major)
            .ok_or_else(|| SeriesError(text.chars().take(40).collect()))
    }
}
impl Serialize for Series {
    /// `"19.0"` for people; the major where a series goes into a digest.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match s.is_human_readable() {
            true => s.collect_str(self),
            false => s.serialize_u8(self.0),
        }
    }
}
impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
impl JsonSchema for Series {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Series".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let all: Vec<String> = Series::ALL.iter().map(Series::to_string).collect();
        json_schema!({ "type": "string", "enum": all })
    }
}

/// How far Springtide stands behind a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// This release's end-to-end test runs it.
    Proven,
    /// Its facts are written down; nothing of it has run here.
    Declared,
}

/// The facts about one series. Options that a series lacks are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Which series.
    pub series: Series,
    /// Proven or declared.
    pub standing: Standing,
    /// Lowest PostgreSQL major that the series supports.
    pub postgres_min: u16,
    /// The event server.
    pub event: EventProfile,
    /// Health routes.
    pub health: HealthProfile,
    /// Names of options in `odoo.conf`.
    pub conf: ConfProfile,
    /// How demo data is asked for or kept out.
    pub demo: DemoProfile,
    /// How a copy is made harmless.
    pub neutralize: NeutralizeProfile,
    /// Whether `db_replica_host` exists.
    pub read_replica: bool,
    /// Environment variable that names connections in `pg_stat_activity`; older series send what
    /// libpq's own variable says.
    pub application_name_variable: String,
    /// Options that still work and warn, with what replaces them.
    #[serde(default)]
    pub deprecated: Vec<Deprecated>,
}

/// Facts about the event (live) server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EventProfile {
    /// Path prefix that belongs to the live role.
    pub path: String,
    /// Option that sets its port.
    pub port_option: String,
    /// Whether it speaks WebSocket (true) or long polling (false).
    pub websocket: bool,
    /// Health route of the event server, if any.
    pub health: Option<String>,
}

/// Facts about health routes of the web role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HealthProfile {
    /// Route that shows the process alive without touching the database.
    pub alive: String,
    /// Route that answers 200 only if the database does too.
    pub ready: String,
    /// Whether the ready route stores a new session for a caller without a cookie.
    pub ready_makes_session: bool,
}

/// Names of options that differ.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConfProfile {
    /// `db_maxconn_gevent`, where it exists.
    pub db_maxconn_gevent: bool,
    /// `limit_memory_soft_gevent` and `_hard_gevent`.
    pub limit_memory_gevent: bool,
    /// `limit_time_worker_cron`.
    pub limit_time_worker_cron: bool,
    /// `x_sendfile`.
    pub x_sendfile: bool,
    /// `db_app_name`-like option in the file, if the series has one.
    #[serde(default)]
    pub db_app_name: bool,
    /// `server_wide_modules` that every role has; its own and the runtime add-on come after them.
    pub server_wide_modules: String,
}

/// How demo data is switched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DemoProfile {
    /// Arguments that load demo data.
    pub with: Vec<String>,
    /// Arguments that keep it out.
    pub without: Vec<String>,
}

/// How a copy is neutralised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NeutralizeProfile {
    /// Odoo's own command.
    Command,
    /// Guarded SQL of ours.
    Sql,
}

/// An option that still works and warns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deprecated {
    /// The old name.
    pub option: String,
    /// What to use.
    pub instead: String,
}

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    [
        include_str!("14.yaml"),
        include_str!("15.yaml"),
        include_str!("16.yaml"),
        include_str!("17.yaml"),
        include_str!("18.yaml"),
        include_str!("19.yaml"),
    ]
    .into_iter()
    .map(|text| serde_saphyr::from_str(text).expect("profiles are compiled in and a test reads each"))
    .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_its_profile_in_order() {
        let found: Vec<Series> = PROFILES.iter().map(|profile| profile.series).collect();
        assert_eq!(found, Series::ALL);
    }

    #[test]
    fn event_path_changes_at_16() {
        for series in Series::ALL {
            let event = &series.profile().event;
            assert_eq!(event.websocket, series.major() >= 16, "{series}");
            assert_eq!(event.path, if series.major() >= 16 { "/websocket" } else { "/longpolling" });
        }
    }

    #[test]
    fn unknown_series_is_refused() {
        for bad in ["13.0", "19", "20.0", "saas-17.2", "", "019.0", "+9.0", "19.0.0", "19.00"] {
            assert!(bad.parse::<Series>().is_err(), "{bad}");
        }
    }
}

//! Canaries: a mark in the log each minute, kept in the store as well, so that a time has a position also when the
//! database is gone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use springtide_core::backup::{Canary, Lsn, PointName};
use springtide_data::canary;

use super::Subject;
use crate::execute::Failure;
use crate::store::CanaryRecord;

/// Canaries are kept a little longer than the window, so that its first instant has one.
const MORE: Duration = Duration::from_secs(86_400);
/// How long the archive may take for a segment.
const SEAL: Duration = Duration::from_secs(30);

impl Subject<'_> {
    /// Writes a canary into the log and into the store.
    pub async fn mark(&self) -> Result<CanaryRecord, Failure> {
        let admin = self.admin().await?;
        canary::ensure(&admin).await?;
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let window = self.sized.environment.backup.as_ref().map_or(0, |it| it.recovery_window.seconds());
        let keep = Duration::from_secs(window) + MORE;
        let now = SystemTime::now();
        let written = canary::write(&admin, now, random, keep).await?;
        let record = CanaryRecord {
            id: written.id,
            at: micros(written.at),
            before: written.before,
            after: written.after,
            note: written.note,
        };
        let oldest = micros(now.checked_sub(keep).unwrap_or(UNIX_EPOCH));
        self.estate.store.keep_canary(self.name(), &record, oldest)?;
        Ok(record)
    }

    /// Writes a canary and sees that the log up to it is archived, so that it can be restored to at once.
    ///
    /// # Errors
    /// If the log is not archived within half a minute.
    pub async fn mark_and_seal(&self) -> Result<CanaryRecord, Failure> {
        let marked = self.mark().await?;
        if !canary::seal(&self.admin().await?, SEAL).await? {
            return Err("the log is not archived; see springtide doctor".into());
        }
        Ok(marked)
    }

    /// Names the moment, so that a restore can end exactly there. A canary before and after it tells it apart.
    ///
    /// # Errors
    /// If the name is taken.
    pub async fn name_point(&self, name: &PointName, now: i64) -> Result<Lsn, Failure> {
        if self.estate.store.points(self.name())?.iter().any(|(taken, ..)| taken == name.as_str()) {
            return Err(format!("{} has a point {} already", self.name(), name.as_str()).into());
        }
        self.mark().await?;
        let lsn = canary::restore_point(&self.admin().await?, name.as_str()).await?;
        if !self.estate.store.keep_point(self.name(), name.as_str(), lsn, now)? {
            return Err(format!("{} has a point {} already", self.name(), name.as_str()).into());
        }
        self.mark_and_seal().await?;
        Ok(Lsn::new(lsn))
    }

    /// All canaries as positions and times.
    pub fn canaries(&self) -> Result<Vec<Canary>, Failure> {
        let kept = self.estate.store.canaries(self.name())?;
        let canary = |it: &CanaryRecord| {
            Some(Canary { lsn: Lsn::new(it.after), time: Timestamp::from_microsecond(it.at).ok()? })
        };
        Ok(kept.iter().filter_map(canary).collect())
    }
}

/// Microseconds since 1970.
fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or_default()
}

//! A shifted clock, for our own code.
//!
//! The decisions of Springtide take `now` as an argument and the edges hand in a clock; there is no seam
//! by which a running release build takes a false one, and there must not be. A build that wants one (a
//! debug build, a test) asks [`offset`] for the seconds to add. The file ends by itself, so a forgotten
//! one shifts nothing.
//!
//! Rule: programs that are not ours (PostgreSQL, Odoo, Traefik) read the kernel's clock, which is never
//! touched.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::victim::{boot_id, uptime_ms};
use super::{Active, FaultError, FaultId, Journal, Undo};

/// Furthest shift, in seconds: ten years.
pub const FURTHEST: i64 = 10 * 366 * 86_400;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shift {
    seconds: i64,
    until_ms: u64,
    boot_id: String,
}

/// Shifts the time that readers of `file` see by `seconds`, until the time is over.
///
/// # Errors
/// A shift beyond [`FURTHEST`], or a file that cannot be written.
pub fn shift(journal: &Journal, file: &Path, seconds: i64, duration: Duration) -> Result<Active, FaultError> {
    let refuse = |why: String| FaultError::place("shift the clock", why);
    if seconds.unsigned_abs() > FURTHEST.unsigned_abs() {
        return Err(refuse("the furthest shift is ten years".into()));
    }
    let active = journal.begin(FaultId::Clock, Undo::Clock { file: file.to_owned() }, duration)?;
    let until_ms = uptime_ms().saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    let write = || -> std::io::Result<()> {
        let aside = file.with_extension("part");
        let mut text = fs::File::create(&aside)?;
        text.write_all(&serde_json::to_vec(&Shift { seconds, until_ms, boot_id: boot_id().to_owned() })?)?;
        text.sync_all()?;
        fs::rename(&aside, file)
    };
    write().map_err(|why| refuse(why.to_string()))?;
    Ok(active)
}

/// Seconds to add to the clock: 0 without a file, after its time, after another boot, and for a file that
/// is not ours.
pub fn offset(file: &Path) -> i64 {
    let owned = fs::symlink_metadata(file)
        .is_ok_and(|seen| seen.is_file() && seen.uid() == nix::unistd::geteuid().as_raw() && seen.mode() & 0o022 == 0);
    let Some(shift) = owned.then(|| fs::read(file).ok()).flatten() else { return 0 };
    match serde_json::from_slice::<Shift>(&shift) {
        Ok(shift) if shift.boot_id == boot_id() && uptime_ms() < shift.until_ms => {
            shift.seconds.clamp(-FURTHEST, FURTHEST)
        }
        _ => 0,
    }
}

/// Takes the shift away.
pub(super) fn reset(file: &Path) -> Result<(), FaultError> {
    match fs::remove_file(file) {
        Err(why) if why.kind() != ErrorKind::NotFound => {
            Err(FaultError::undo(format!("remove {}", file.display()), why))
        }
        _ => Ok(()),
    }
}

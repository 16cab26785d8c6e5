//! What backups need of the machine.

use super::{DISK, Finding, GIB, Verdict, finding, graded, unknown};
use crate::commands::doctor::facts::{Disk, Facts, Seen};

/// The oldest pgBackRest whose words are understood.
const PGBACKREST: (u32, u32) = (2, 45);

/// Findings of an estate of which something is backed up; none of another.
pub(super) fn backup(facts: &Facts) -> Vec<Finding> {
    if !facts.estate.as_ref().is_ok_and(|estate| estate.backed_up > 0) {
        return Vec::new();
    }
    let install = Some("scripts/setup --packages");
    let program = match &facts.pgbackrest {
        Err(why) => unknown("pgbackrest", why, install),
        Ok(None) => finding("pgbackrest", Verdict::Fail, "pgbackrest is missing (package pgbackrest)", install),
        Ok(Some(found @ (major, minor))) if *found < PGBACKREST => {
            let seen = format!("pgBackRest {major}.{minor} is older than {}.{}", PGBACKREST.0, PGBACKREST.1);
            finding("pgbackrest", Verdict::Fail, seen, install)
        }
        Ok(Some((major, minor))) => finding("pgbackrest", Verdict::Ok, format!("pgBackRest {major}.{minor}"), None),
    };
    let place = |(path, seen): &(String, Seen<Option<Disk>>)| {
        let id = format!("backup-{path}");
        match seen {
            Err(why) => unknown(&id, why, None),
            Ok(None) => {
                let fix = format!("mount its disk, or mkdir {path}");
                finding(id, Verdict::Fail, format!("{path} is not there, and backups are to lie in it"), Some(&fix))
            }
            Ok(Some(disk)) => {
                let verdict = graded(disk.free, DISK);
                let fix = (verdict != Verdict::Ok).then_some("df -h; free some room");
                finding(id, verdict, format!("{:.1} GiB are free for backups", disk.free as f64 / GIB as f64), fix)
            }
        }
    };
    std::iter::once(program).chain(facts.places.iter().map(place)).collect()
}

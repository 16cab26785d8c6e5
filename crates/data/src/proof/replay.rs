//! Replay: the recovery runs up to the target and stops there, or the data directory shows that it did.
//!
//! The target is set here whatever the data directory says, and the server pauses at it, so that its position is read
//! before it is promoted. A log that ends before the target makes PostgreSQL refuse to open, and never promotes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use springtide_driver::{Driver, Generation};

use super::look::{Look, damaged};
use super::{Replay, Spec, Target};
use crate::aside::{Aside, AsideError, Serving};
use crate::canary::lsn;
use crate::postgres::{Admin, AdminError};

/// Headers of a page and of a segment lie between the end of a record and the begin of the next, bytes.
const HEADER: u64 = 40;
/// A target in the middle of a record is passed by the rest of that record, bytes at most.
const RECORD: u64 = 1 << 20;
/// Seconds that a promotion may take.
const PROMOTE_SECONDS: i32 = 300;

/// Whether a recovery that ended at `position` ended at the target.
fn at_target(position: u64, target: &Target) -> bool {
    match target.name {
        Some(_) => position == target.lsn,
        None => position + HEADER >= target.lsn && position <= target.lsn + RECORD,
    }
}

/// Where the timeline of a data directory began: the end of its recovery. The newest line of its history.
pub(super) fn recovered_to(data: &Path, timeline: u32) -> Option<u64> {
    let text = fs::read_to_string(data.join("pg_wal").join(format!("{timeline:08X}.history"))).ok()?;
    let line = text.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    position(line.split_whitespace().nth(1)?)
}

/// A log position in PostgreSQL's writing.
fn position(text: &str) -> Option<u64> {
    text.parse::<tokio_postgres::types::PgLsn>().ok().map(u64::from)
}

/// Says whether a recovery ended where it must.
pub(super) fn judge(look: &mut Look, what: &str, found: Option<u64>, target: &Target) {
    match found {
        None => look.find(format!("{what}: there was no recovery; the target is {}", lsn(target.lsn))),
        Some(found) if !at_target(found, target) => {
            look.find(format!("{what}: the recovery ended at {}, the target is {}", lsn(found), lsn(target.lsn)));
        }
        Some(found) if found > target.lsn => {
            look.note(format!("the target lies {} bytes before the end of its record", found - target.lsn));
        }
        Some(_) => {}
    }
}

pub(super) async fn replay(driver: &dyn Driver, generation: Generation, spec: &Spec, aside: &Aside) -> Look {
    let control = match aside.control(driver, generation).await {
        Ok(control) => control,
        Err(error @ AsideError::Step { .. }) => return Look::found([error.to_string()]),
        Err(error) => return Look::missed(error.to_string()),
    };
    let waits = ["recovery.signal", "standby.signal"].iter().any(|name| spec.data.join(name).exists());
    if !waits && control.stopped_clean() {
        let mut look = Look::default();
        look.note("it was recovered before");
        judge(&mut look, "timeline", control.timeline().and_then(|it| recovered_to(&spec.data, it)), &spec.target);
        return look;
    }
    if !waits {
        return Look::found([format!("it is neither stopped nor to be recovered: {:?}", control.state())]);
    }
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut settings = vec![
        pair("recovery_target", ""),
        pair("recovery_target_time", ""),
        pair("recovery_target_xid", ""),
        pair("recovery_target_inclusive", "off"),
        pair("recovery_target_action", "pause"),
        pair("hot_standby", "on"),
    ];
    // The one that counts comes last: the server takes an empty one after it for a second target.
    settings.extend(match &spec.target.name {
        Some(name) => [pair("recovery_target_lsn", ""), pair("recovery_target_name", name)],
        None => [pair("recovery_target_name", ""), pair("recovery_target_lsn", &lsn(spec.target.lsn))],
    });
    let Replay { files, mounts, network, deadline_s } = spec.replay.clone();
    let deadline_s = deadline_s.max(60);
    // It answers as soon as it is consistent, which may be late in the log.
    let serving = Serving { settings, files, mounts, network, up_s: deadline_s, deadline_s: deadline_s + 900 };
    let started = Instant::now();
    let deadline = Duration::from_secs(deadline_s.into());
    let work = |admin: Admin| async move { follow(&admin, spec, started, deadline).await };
    match aside.serve(driver, generation, &serving, work).await {
        Ok(look) => look,
        // It ended by itself: a damaged page, or a log that ends before the target. Its own lines say which.
        Err(error @ AsideError::Step { .. }) => Look::found([error.to_string()]),
        Err(error) => Look::missed(error.to_string()),
    }
}

/// Waits for the target, reads where it stands and promotes.
async fn follow(admin: &Admin, spec: &Spec, started: Instant, deadline: Duration) -> Look {
    let sql = "SELECT pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn()::text, ''),
                      CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE '' END";
    loop {
        let rows = match admin.query("follow the recovery", sql, &[]).await {
            Ok(rows) => rows,
            Err(error) => return trouble(&error),
        };
        let Some(row) = rows.first() else { return Look::missed("the server does not say where it stands") };
        let (recovers, at, pause): (bool, String, String) = (row.get(0), row.get(1), row.get(2));
        if !recovers {
            return Look::found(["the recovery ended without stopping at a target".to_owned()]);
        }
        if pause == "paused" {
            let mut look = Look::default();
            judge(&mut look, "replay", position(&at), &spec.target);
            look.count("seconds_to_target", started.elapsed().as_secs());
            let promote = "SELECT pg_promote(true, $1)";
            match admin.query("promote the copy", promote, &[&PROMOTE_SECONDS]).await {
                Ok(rows) if rows.first().is_some_and(|row| row.get(0)) => {}
                Ok(_) => look.miss(format!("the copy was not promoted within {PROMOTE_SECONDS} s")),
                Err(error) => look.trouble("promote", &error),
            }
            return look;
        }
        if started.elapsed() > deadline {
            return Look::missed(format!("the target was not reached within {} s, only {at}", deadline.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn trouble(error: &AdminError) -> Look {
    match damaged(error) {
        true => Look::found([error.to_string()]),
        false => Look::missed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_exactly() {
        let free = Target { lsn: 10_000_000, name: None };
        for (position, fits) in
            [(0, true), (HEADER, true), (HEADER + 1, false), (1000, false)].map(|(d, f)| (free.lsn - d, f))
        {
            assert_eq!(at_target(position, &free), fits, "{position}");
        }
        assert!(at_target(free.lsn + 500, &free) && !at_target(free.lsn + RECORD + 1, &free));
        let named = Target { name: Some("before".into()), ..free };
        assert!(at_target(named.lsn, &named) && !at_target(named.lsn - 1, &named) && !at_target(named.lsn + 1, &named));
    }

    #[test]
    fn the_history_says_where_a_timeline_began() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pg_wal")).unwrap();
        let path = folder.path().join("pg_wal/00000003.history");
        fs::write(path, "1\t0/A000060\tbefore 2026\n\n2\t1/16B3748\tno recovery target specified\n").unwrap();
        assert_eq!(recovered_to(folder.path(), 3), Some(0x1_016B_3748));
        assert_eq!(recovered_to(folder.path(), 2), None, "a first timeline or one whose history is missing");
    }
}

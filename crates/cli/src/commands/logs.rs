//! `springtide logs`: the end of a workload's log, and what comes after it. A stream: with `--json`
//! one object a line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use springtide_core::workload::WorkloadId;
use springtide_data::mask::{Mask, harmless};
use springtide_driver::Driver as _;

use crate::args::Cli;
use crate::context::{driver, no_such, now, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::{printer, times};

/// Longest line that is held; the rest of a longer one comes as further lines.
const LONGEST: u64 = 1 << 20;

/// What of the log is wanted.
pub struct LogWishes<'a> {
    /// Lines at most.
    pub lines: usize,
    /// Only lines since.
    pub since: Option<&'a str>,
    /// Go on with new lines.
    pub follow: bool,
}

/// `springtide logs`
pub async fn logs(cli: &Cli, workload: &WorkloadId, wishes: &LogWishes<'_>) -> Result<u8, Failure> {
    let since = wishes.since.map(|text| times::since(text, now())).transpose().map_err(|why| {
        Failure::new(code::INVALID, "E0911", format!("--since: {why}"), NOTHING, "springtide logs --help")
    })?;
    let Some(estate) = open_there(cli)? else { return Err(no_log(workload)) };
    let driver = driver(cli)?;
    let files = driver.logs(workload);
    let Some(newest) = files.first() else {
        let known: Vec<_> = estate.store.environments()?.into_iter().map(|it| it.name).collect();
        return Err(match &workload.environment {
            Some(name) if !known.is_empty() && !known.contains(name) => no_such(name.as_str(), &known),
            _ => no_log(workload),
        });
    };
    let printer = Lines { json: cli.json, workload, mask: Mask::new(&estate.secrets) };
    let (kept, end) = last(&files, wishes.lines, since)?;
    for line in kept {
        if !printer.print(&line) {
            return Ok(0);
        }
    }
    if wishes.follow {
        follow(newest, end, &printer).await?;
    }
    Ok(0)
}

fn no_log(workload: &WorkloadId) -> Failure {
    let message = format!("{workload} has no log here; it was never started");
    Failure::new(code::INVALID, "E0904", message, NOTHING, "springtide status")
}

struct Lines<'a> {
    json: bool,
    workload: &'a WorkloadId,
    mask: Mask,
}

impl Lines<'_> {
    /// False if nobody reads any more.
    fn print(&self, line: &str) -> bool {
        let line = self.mask.apply(line);
        match self.json {
            true => printer::json(&json!({
                "version": 1, "workload": self.workload, "time": times::utc_json(times::of_line(&line)), "line": line,
            })),
            false => printer::raw(&format!("{line}\n")),
        }
    }
}

/// The last lines, oldest first, and how far the newest file was read. Older files are read only if
/// the newest does not hold enough.
fn last(files: &[PathBuf], most: usize, since: Option<i64>) -> std::io::Result<(Vec<String>, u64)> {
    let mut kept: Vec<String> = Vec::new();
    let mut end = 0;
    for (place, path) in files.iter().enumerate() {
        let mut lines = Vec::new();
        let mut reader = BufReader::new(File::open(path)?);
        while let Some(line) = next_line(&mut reader)? {
            lines.push(line);
        }
        if place == 0 {
            end = reader.stream_position()?;
        }
        let whole = lines.len();
        // A line without a time belongs to the one before it.
        let first = since.map_or(0, |since| {
            lines.iter().position(|line| times::of_line(line).is_some_and(|at| at >= since)).unwrap_or(whole)
        });
        lines.drain(..first);
        lines.append(&mut kept);
        kept = lines;
        if kept.len() >= most || first > 0 {
            break;
        }
    }
    kept.drain(..kept.len().saturating_sub(most));
    Ok((kept, end))
}

/// The next line without its end; a last one that is not whole counts.
fn next_line(reader: &mut impl std::io::BufRead) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.take(LONGEST).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(Some(harmless(&String::from_utf8_lossy(&bytes))))
}

/// Prints lines as they come. The file is truncated in place when it is rotated.
async fn follow(path: &Path, mut at: u64, printer: &Lines<'_>) -> std::io::Result<()> {
    let mut rest = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let Ok(mut file) = File::open(path) else { continue };
        if file.metadata()?.len() < at {
            at = 0;
            rest.clear();
        }
        file.seek(SeekFrom::Start(at))?;
        at += file.take(LONGEST).read_to_end(&mut rest)? as u64;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if !printer.print(&harmless(&String::from_utf8_lossy(&line[..end]))) {
                return Ok(());
            }
        }
        if rest.len() as u64 > LONGEST {
            rest.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_files_are_read_only_when_needed_and_since_cuts_whole_entries() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("current.log"), folder.path().join("current.log.1"));
        std::fs::write(&new, "2026-11-18 11:06:40,1 a\n  more of a\n2026-11-18 11:07:40,1 b\n  more \u{1b}[31mof b")
            .unwrap();
        std::fs::write(&old, "2026-11-18 11:05:00,1 old\n").unwrap();
        let files = [new, old];
        let text = |most, since| last(&files, most, since).unwrap().0.join("|");
        assert_eq!(text(1, None), "  more ?[31mof b");
        assert!(text(9, None).starts_with("2026-11-18 11:05:00,1 old|2026-11-18 11:06:40"));
        assert_eq!(text(9, Some(1_795_000_001)), "2026-11-18 11:07:40,1 b|  more ?[31mof b");
        assert_eq!(text(9, Some(1_795_100_000)), "");
    }
}

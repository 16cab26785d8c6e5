//! The lines of an Odoo log that say why it failed.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// The most lines an error shows.
const LINES: usize = 30;
/// The most characters of one line.
const WIDTH: usize = 300;
/// How much of the end of a log is read, bytes.
const TAIL: u64 = 4 << 20;

/// Errors, module warnings and the end of each traceback, at most 30 lines, the newest if there are
/// more. Without any such line: the last ten of the log.
pub fn relevant(log: &str) -> Vec<String> {
    let mut found: Vec<&str> = Vec::new();
    // Lines of the traceback that is open, kept until its last line shows.
    let mut trace: Option<Vec<&str>> = None;
    for line in log.lines() {
        if line.starts_with("Traceback (most recent call last)") {
            trace = Some(Vec::new());
            continue;
        }
        if let Some(lines) = trace.as_mut() {
            if line.starts_with(char::is_whitespace) || line.is_empty() {
                lines.push(line);
                continue;
            }
            // The exception itself ends it; of the frames the last two are enough.
            let frames = lines.len().saturating_sub(4);
            found.extend(lines[frames..].iter().filter(|l| !l.trim().is_empty()));
            found.push(line);
            trace = None;
            continue;
        }
        let bad = [" ERROR ", " CRITICAL ", "invalid module names", "FATAL:", "PANIC:", "rror: ", "No space left"];
        if bad.iter().any(|word| line.contains(word)) {
            found.push(line);
        }
    }
    if found.is_empty() {
        found = log.lines().filter(|line| !line.trim().is_empty()).collect();
        found.drain(..found.len().saturating_sub(10));
    }
    found.drain(..found.len().saturating_sub(LINES));
    found.into_iter().map(|line| line.chars().take(WIDTH).collect()).collect()
}

/// [`relevant`] of a log file, or of `tail` if it cannot be read.
pub fn relevant_of(log: &Path, tail: &str) -> Vec<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    relevant(&read().unwrap_or_else(|_| tail.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_the_end_of_a_traceback_are_found() {
        let log = "2026-11-23 10:00:00,0 7 INFO odoo odoo.modules.loading: loading 1 modules...\n\
                   2026-11-23 10:00:01,0 7 CRITICAL odoo odoo.modules.registry: Failed to initialize database `odoo`.\n\
                   Traceback (most recent call last):\n  File \"a.py\", line 1, in a\n    a()\n  File \"b.py\", line 2, in b\n    b()\n  File \"c.py\", line 3, in c\n    c()\n\
                   psycopg2.errors.UndefinedTable: relation \"x\" does not exist\n\
                   2026-11-23 10:00:02,0 7 INFO odoo odoo.service.server: Stopping\n";
        let lines = relevant(log);
        assert_eq!(lines.len(), 6, "{lines:#?}");
        assert!(lines[0].contains("CRITICAL"));
        assert!(lines[5].starts_with("psycopg2.errors.UndefinedTable"));
    }

    #[test]
    fn a_silent_log_shows_its_end_and_a_loud_one_is_cut() {
        assert_eq!(relevant("one\n\ntwo\n"), ["one", "two"]);
        assert_eq!(relevant(&"x ERROR y\n".repeat(100)).len(), 30);
    }
}

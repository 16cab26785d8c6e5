//! What can go wrong with a backup engine, and pgBackRest's words as that.
//!
//! Its exit codes tell kinds of errors inside the program, not what happened to a person's backup: a wrong key, a
//! missing repository and a full disk can all be the same code. So its text is read too, and what is not recognised
//! stays [`EngineError::Failed`] with the words as they were.

use std::path::{Path, PathBuf};

use springtide_core::backup::{NoSet, RepoKey, Segment};
use springtide_driver::DriverError;

/// Why the engine did not do what was asked. Says what was attempted and what the program said; holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The program is not there, or lacks what is needed.
    #[error("pgBackRest cannot be used: {0}")]
    Program(String),
    /// Another run of the engine works on this environment.
    #[error("another backup or restore is at work here: {0}")]
    Busy(String),
    /// PostgreSQL does not let the engine in.
    #[error("the database server cannot be reached for a backup: {0}")]
    Database(String),
    /// Something that is not recognised.
    #[error("{command} failed ({how}): {words}; its whole output is in {log}", log = .log.display())]
    Failed {
        /// The command of pgBackRest, or the step.
        command: &'static str,
        /// Exit code, or what ended it.
        how: String,
        /// What it said.
        words: String,
        /// Its whole output.
        log: PathBuf,
    },
    /// The repository does not answer.
    #[error("the {0} repository cannot be reached: {1}")]
    Unreachable(RepoKey, String),
    /// The repository refuses the credentials, or the file system the user.
    #[error("the {0} repository refuses the credentials: {1}")]
    Refused(RepoKey, String),
    /// What is there cannot be decrypted with the key.
    #[error("the {0} repository cannot be read with this environment's key: {1}")]
    WrongKey(RepoKey, String),
    /// Nothing was set up for this environment.
    #[error("the {0} repository holds nothing of this environment: {1}")]
    NoStanza(RepoKey, String),
    /// It was set up for another database.
    #[error("the {0} repository is of another database: {1}")]
    OtherDatabase(RepoKey, String),
    /// No space.
    #[error("a disk is full: {0}")]
    Full(String),
    /// A segment of the log is not in the archive.
    #[error("the archived log has a gap{}: {words}", .segment.map(|segment| format!(" at {segment}")).unwrap_or_default())]
    WalGap {
        /// Which, if it was told.
        segment: Option<Segment>,
        /// What was said.
        words: String,
    },
    /// No set serves the target.
    #[error("nothing was restored: {0}")]
    NoSet(#[from] NoSet),
    /// The set is gone, or the target does not lie after its end.
    #[error("backup set {label} does not serve: {words}")]
    Set {
        /// Which.
        label: String,
        /// Why.
        words: String,
    },
    /// The folder to restore into is not empty, or not ours.
    #[error("{folder} is not touched: {why}", folder = .folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        why: String,
    },
    /// What is in the repository is not what was put there.
    #[error("the {repo} repository is damaged: {words}")]
    Damaged {
        /// Which.
        repo: RepoKey,
        /// What.
        words: String,
    },
    /// What the program answered cannot be read.
    #[error("the answer to {command} cannot be read: {words}")]
    Answer {
        /// The command.
        command: &'static str,
        /// Why.
        words: String,
    },
    /// A set may not go.
    #[error("backup set {label} stays: {why}")]
    Stays {
        /// Which.
        label: String,
        /// Why.
        why: String,
    },
    /// A file-system call failed.
    #[error("cannot {verb} {path}", path = .path.display())]
    Io {
        /// What was attempted.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl EngineError {
    /// The code that `springtide explain` knows.
    pub fn code(&self) -> &'static str {
        match self {
            EngineError::Unreachable(..) => "E1011",
            EngineError::Refused(..) => "E1012",
            EngineError::WrongKey(..) => "E1013",
            EngineError::NoStanza(..) | EngineError::OtherDatabase(..) => "E1014",
            EngineError::Full(_) => "E1015",
            EngineError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => "E1015",
            EngineError::WalGap { .. } => "E1016",
            EngineError::NoSet(_) | EngineError::Set { .. } | EngineError::Stays { .. } => "E1017",
            EngineError::Folder { .. } => "E1018",
            EngineError::Damaged { .. } => "E1019",
            EngineError::Driver(_)
            | EngineError::Program(_)
            | EngineError::Busy(_)
            | EngineError::Database(_)
            | EngineError::Failed { .. }
            | EngineError::Answer { .. }
            | EngineError::Io { .. } => "E1010",
        }
    }
}

pub(super) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> EngineError {
    let path = path.to_owned();
    move |source| EngineError::Io { verb, path, source }
}

/// The first error in the program's output: its number, and its words on one line.
pub(super) fn first_error(output: &str) -> Option<(u16, String)> {
    let (_, rest) = output.split_once("ERROR: [")?;
    let (number, rest) = rest.split_once("]: ")?;
    let number = number.trim().parse().ok()?;
    // Lines of a message are indented; a line that begins at the margin is the next entry.
    let mut lines = rest.lines();
    let mut words = lines.next().unwrap_or_default().trim().to_owned();
    for line in lines.take_while(|line| line.starts_with(' ') && !line.trim().is_empty()) {
        words.push_str("; ");
        words.push_str(line.trim());
    }
    Some((number, shorten(&words)))
}

/// One line without what steers terminals, at most 600 characters; what was decrypted with a wrong key is cut off.
pub(super) fn shorten(words: &str) -> String {
    let readable = words.split(char::REPLACEMENT_CHARACTER).next().unwrap_or_default();
    readable.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect()
}

/// What an error of pgBackRest means. `repo` is the one the command was for.
pub(super) fn classify(
    command: &'static str,
    repo: RepoKey,
    code: Option<i32>,
    output: &str,
    log: &Path,
) -> EngineError {
    let (number, words) = first_error(output).unwrap_or_else(|| {
        let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        (0, shorten(last.trim()))
    });
    let has = |patterns: &[&str]| patterns.iter().any(|pattern| words.contains(pattern));
    // In the order of certainty: what a text names beyond doubt, then the program's numbers.
    if has(&["No space left on device", "[28]", "Disk quota exceeded"]) {
        return EngineError::Full(words);
    }
    if has(&[
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AccessDenied",
        "ExpiredToken",
        "InvalidToken",
        "failed with 401",
        "failed with 403",
    ]) {
        return EngineError::Refused(repo, words);
    }
    // It is an error of the same number as a wrong key's.
    if has(&["unable to verify certificate", "TLS error"]) {
        return EngineError::Unreachable(repo, words);
    }
    // With a wrong key the info files are noise, which is "format" if its padding happens to fit. Both copies of a
    // file were tried by then.
    let noise = has(&["unable to load info file"]) && has(&["FormatError", "key/value found outside of section"]);
    if noise {
        return EngineError::WrongKey(repo, words);
    }
    if has(&["CryptoError", "cipher header", "unable to flush"]) || number == 95 {
        return EngineError::WrongKey(repo, words);
    }
    if has(&["do not match the database", "version do not match", "system-id", "system id"])
        || matches!(number, 44 | 51 | 58)
    {
        return EngineError::OtherDatabase(repo, words);
    }
    if has(&[
        "unable to open missing file",
        "has a stanza-create been performed",
        "stanza-create",
        "missing stanza",
        "does not exist",
    ]) && has(&["archive.info", "backup.info", "stanza"])
    {
        return EngineError::NoStanza(repo, words);
    }
    if has(&[
        "failed with 5",
        "failed with 429",
        "NoSuchBucket",
        "unable to get address",
        "timeout connecting",
        "unable to connect",
        "TLS error",
        "timeout after",
        "certificate",
    ]) && !matches!(number, 56 | 82)
    {
        return EngineError::Unreachable(repo, words);
    }
    match number {
        26 | 29 | 100 => EngineError::Damaged { repo, words },
        28 | 42 if has(&["invalid", "checksum", "size"]) => EngineError::Damaged { repo, words },
        55 | 39 if has(&["backup.manifest", ".zst", "bundle", "/archive/"]) => EngineError::Damaged { repo, words },
        49 | 101 => EngineError::Unreachable(repo, words),
        47 | 53 | 73 if has(&["Permission denied", "[13]"]) => EngineError::Refused(repo, words),
        41 | 64 if has(&["Permission denied", "[13]"]) => EngineError::Refused(repo, words),
        50 => EngineError::Busy(words),
        38 | 56 | 57 | 59 | 80 | 81 => EngineError::Database(words),
        75 => EngineError::Set { label: "that was asked for".into(), words },
        82 | 87 => EngineError::WalGap { segment: segment_in(&words), words },
        _ => {
            let how = code.map_or("ended by a signal or its deadline".to_owned(), |code| format!("exit code {code}"));
            EngineError::Failed { command, how, words, log: log.to_owned() }
        }
    }
}

/// A name of a segment in a text.
pub(super) fn segment_in(words: &str) -> Option<Segment> {
    words.split(|c: char| !c.is_ascii_hexdigit()).find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(output: &str) -> EngineError {
        classify("backup", RepoKey::Far, Some(1), output, Path::new("/log"))
    }

    #[test]
    fn a_message_is_read_with_its_hints() {
        let output = "2026-11-24 03:15:00.123 P00   INFO: backup command begin 2.45: --x\n\
                      2026-11-24 03:15:00.200 P00  ERROR: [055]: unable to load info file\n\
                      \u{20}           HINT: has a stanza-create been performed?\n\
                      2026-11-24 03:15:00.201 P00   INFO: backup command end: aborted with exception [055]\n";
        let (number, words) = first_error(output).unwrap();
        assert_eq!(
            (number, words.as_str()),
            (55, "unable to load info file; HINT: has a stanza-create been performed?")
        );
        assert_eq!(first_error("ERROR: [x]: y"), None);
        assert_eq!(first_error("all is well"), None);
    }

    #[test]
    fn what_happened_is_recognised() {
        for (output, code) in [
            ("P00  ERROR: [064]: unable to write '/x': [28] No space left on device", "E1015"),
            (
                "P00  ERROR: [039]: HTTP request failed with 403 (Forbidden):\n   <Code>SignatureDoesNotMatch</Code>",
                "E1012",
            ),
            ("P00  ERROR: [039]: HTTP request failed with 503 (Slow Down):", "E1011"),
            ("P00  ERROR: [049]: unable to connect to 'x:443': [111] Connection refused", "E1011"),
            (
                "P00  ERROR: [095]: unable to load info file 'archive.info':\n   CryptoError: cipher header invalid",
                "E1013",
            ),
            (
                "P00  ERROR: [055]: unable to load info file\n   FileMissingError: unable to open missing file '/r/backup.info' for read",
                "E1014",
            ),
            (
                "P00  ERROR: [026]: error restoring '/x': actual checksum 'a' does not match expected checksum 'b'",
                "E1019",
            ),
            (
                "P00  ERROR: [082]: WAL segment 000000010000000000000003 was not archived before the 60000ms timeout",
                "E1016",
            ),
            ("P00  ERROR: [050]: unable to acquire lock on file '/x': Resource temporarily unavailable", "E1010"),
            (
                "P00  ERROR: [056]: unable to connect to 'dbname='postgres' port=1': could not connect to server",
                "E1010",
            ),
            ("P00  ERROR: [125]: something new", "E1010"),
            ("", "E1010"),
        ] {
            let error = of(output);
            assert_eq!(error.code(), code, "{output}: {error}");
        }
        let EngineError::WalGap { segment, .. } = of("ERROR: [082]: WAL segment 000000010000000000000003 was not")
        else {
            panic!()
        };
        assert_eq!(segment.map(|segment| segment.number()), Some(3));
    }
}

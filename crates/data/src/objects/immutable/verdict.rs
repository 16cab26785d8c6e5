//! What the attempts on locked objects mean. Pure.
//!
//! The rule: only a store that was asked and said no, while the object stayed as it was, refused. Whatever could not
//! be tried, or whose outcome could not be seen, is unknown; and an attempt that these keys may not even make on an
//! object that is not firmly locked says nothing about the lock.

use jiff::Timestamp;
use serde::Serialize;

use super::super::s3::{ObjectLock, Retention, RetentionMode, Versioning};
use super::super::{ObjectsError, Trouble};

/// Ways to lose what is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attempt {
    /// Delete the version.
    Delete,
    /// Delete the version by a bulk call.
    BulkDelete,
    /// Delete the version, asking to bypass governance.
    Bypass,
    /// The same by a bulk call.
    BulkBypass,
    /// Set an earlier end.
    Shorten,
    /// Set an earlier end, asking to bypass governance.
    BypassShorten,
    /// Change the mode to one that may be lifted.
    Weaken,
    /// Write another object of the same name.
    Overwrite,
    /// Delete the object without naming its version.
    Hide,
}

/// Requests that an attempt is made with; each is tried first on an object that may be unlocked by right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Delete a version.
    Delete,
    /// Delete versions by a bulk call.
    BulkDelete,
    /// Change a retention.
    Retention,
}

impl Attempt {
    /// All, in the order of trying.
    pub const ALL: [Self; 9] = [
        Self::Delete,
        Self::BulkDelete,
        Self::Bypass,
        Self::BulkBypass,
        Self::Shorten,
        Self::BypassShorten,
        Self::Weaken,
        Self::Overwrite,
        Self::Hide,
    ];

    /// Its name in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::BulkDelete => "bulk-delete",
            Self::Bypass => "bypass",
            Self::BulkBypass => "bulk-bypass",
            Self::Shorten => "shorten",
            Self::BypassShorten => "bypass-shorten",
            Self::Weaken => "weaken",
            Self::Overwrite => "overwrite",
            Self::Hide => "hide",
        }
    }

    /// What an immutable store does.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Delete | Self::BulkDelete | Self::Bypass | Self::BulkBypass => "refused; the version stays",
            Self::Shorten | Self::BypassShorten | Self::Weaken => "refused; the lock stays",
            Self::Overwrite => "the old version stays readable and equal",
            Self::Hide => "the version stays readable and equal",
        }
    }

    /// The request it is made with; none for what every writer may do.
    pub fn form(self) -> Option<Form> {
        match self {
            Self::Delete | Self::Bypass => Some(Form::Delete),
            Self::BulkDelete | Self::BulkBypass => Some(Form::BulkDelete),
            Self::Shorten | Self::BypassShorten | Self::Weaken => Some(Form::Retention),
            Self::Overwrite | Self::Hide => None,
        }
    }
}

/// Whether an attempt was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// The store said no and kept what was locked.
    Yes,
    /// What was locked was lost, or its lock became weaker.
    No,
    /// It could not be tried, or its outcome could not be seen.
    Unknown,
}

/// One attempt and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What was tried.
    pub attempt: Attempt,
    /// What an immutable store does.
    pub expected: &'static str,
    /// What was seen, for people.
    pub seen: String,
    /// The outcome.
    pub refused: Refused,
}

/// A reason why a store is not immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hole {
    /// It is a folder: who may write may delete.
    Folder,
    /// The bucket keeps no versions.
    NoVersions,
    /// The bucket has no Object Lock.
    NoLock,
    /// A lock was accepted, and the object is not locked.
    LockIgnored,
    /// An attempt succeeded.
    Allowed(Attempt),
}

impl std::fmt::Display for Hole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::NoVersions => "no-versions",
            Self::NoLock => "no-lock",
            Self::LockIgnored => "lock-ignored",
            Self::Allowed(attempt) => attempt.word(),
        })
    }
}

/// What the report comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every attempt was made and refused.
    Immutable,
    /// Something was allowed.
    NotImmutable {
        /// What.
        holes: Vec<Hole>,
    },
    /// Nothing was allowed, and not everything could be tried.
    Unknown {
        /// What was not.
        untried: Vec<Attempt>,
    },
}

impl Verdict {
    /// The code that `springtide explain` knows, for a store that is not immutable.
    pub fn code(&self) -> Option<&'static str> {
        matches!(self, Self::NotImmutable { .. }).then_some("E1009")
    }
}

/// `immutable`, `not immutable: shorten, …` or `unknown: delete, …`.
impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, details): (_, Vec<_>) = match self {
            Self::Immutable => return f.write_str("immutable"),
            Self::NotImmutable { holes } => ("not immutable", holes.iter().map(ToString::to_string).collect()),
            Self::Unknown { untried } => ("unknown", untried.iter().map(|one| one.word().to_owned()).collect()),
        };
        write!(f, "{word}: {}", details.join(", "))
    }
}

/// What was tried on a place, and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The place, for people.
    pub place: String,
    /// When it began.
    pub at: Timestamp,
    /// Whether the bucket keeps versions, if it says.
    pub versioning: Option<Versioning>,
    /// Object Lock of the bucket, if it says: the inner `None` is a bucket without.
    pub lock: Option<Option<ObjectLock>>,
    /// One row for each attempt; none for a folder.
    pub rows: Vec<Row>,
    /// What it comes to.
    pub verdict: Verdict,
}

impl Report {
    /// Whether what is written here without a word about locks is immutable for `days`: the store is, and the
    /// bucket's default says so. [`Verdict::Immutable`] alone only says that what is locked stays.
    pub fn covers(&self, days: u32) -> bool {
        let default = self.lock.flatten().and_then(|lock| lock.default);
        self.verdict == Verdict::Immutable
            && default.is_some_and(|default| default.mode == RetentionMode::Compliance && default.days >= days)
    }
}

/// What became of the locked object after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct After {
    /// Its bytes, read by its version.
    pub content: Content,
    /// Its lock; `Err` with the words if it could not be read.
    pub lock: Result<Option<Retention>, String>,
    /// Whether the lock's time had not run out when this was seen.
    pub in_time: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Equal,
    Changed,
    Gone,
    Unread(String),
}

/// Judges one attempt by its answer and by what was seen afterwards. `control` is what the same request did to an
/// object that may be unlocked by right: `Err` with the words if it did not work.
pub(super) fn judge(
    attempt: Attempt,
    lock: Retention,
    answer: &Result<(), ObjectsError>,
    after: &After,
    control: Result<(), &str>,
) -> Row {
    let said = match answer {
        Ok(()) => "the store said done".to_owned(),
        Err(error) => error.to_string(),
    };
    let (refused, seen) = outcome(attempt, lock, answer, after, control);
    Row { attempt, expected: attempt.expected(), seen: format!("{said}; {seen}"), refused }
}

fn outcome(
    attempt: Attempt,
    lock: Retention,
    answer: &Result<(), ObjectsError>,
    after: &After,
    control: Result<(), &str>,
) -> (Refused, String) {
    let unknown = |seen: String| (Refused::Unknown, seen);
    if !after.in_time {
        return unknown("the lock's time ran out before the outcome was seen".into());
    }
    match &after.content {
        Content::Gone => return (Refused::No, "the version is gone".into()),
        Content::Changed => return (Refused::No, "the version holds other bytes".into()),
        Content::Unread(why) => return unknown(format!("the version cannot be read: {why}")),
        Content::Equal => {}
    }
    match &after.lock {
        Ok(Some(now)) if now.mode == lock.mode && now.until >= lock.until => {}
        Ok(Some(now)) => {
            return (Refused::No, format!("the lock is {} until {} now", now.mode.word(), now.until));
        }
        Ok(None) => return (Refused::No, "the version is not locked any more".into()),
        Err(why) => return unknown(format!("the lock cannot be read: {why}")),
    }
    let kept = "the version and its lock are as before";
    match (answer, attempt.form()) {
        (Ok(()), None) => (Refused::Yes, kept.into()),
        (Ok(()), Some(_)) => unknown(format!("{kept}, so the answer means nothing")),
        (Err(error), form) => match error.trouble() {
            Some(Trouble::Refused | Trouble::Rejected | Trouble::Conflict) => match (form, control) {
                (Some(_), Err(why)) => {
                    unknown(format!("{kept}, but these keys cannot do it without a firm lock either: {why}"))
                }
                _ => (Refused::Yes, kept.into()),
            },
            _ => unknown(format!("{kept}, but the store did not refuse")),
        },
    }
}

/// What all rows and the bucket's own facts come to.
pub(super) fn verdict(mut holes: Vec<Hole>, rows: &[Row]) -> Verdict {
    let with = |refused| rows.iter().filter(move |row| row.refused == refused).map(|row| row.attempt);
    holes.extend(with(Refused::No).map(Hole::Allowed));
    let mut untried: Vec<_> = with(Refused::Unknown).collect();
    untried.extend(Attempt::ALL.into_iter().filter(|attempt| rows.iter().all(|row| row.attempt != *attempt)));
    match (holes.is_empty(), untried.is_empty()) {
        (false, _) => Verdict::NotImmutable { holes },
        (true, true) => Verdict::Immutable,
        (true, false) => Verdict::Unknown { untried },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Retention {
        Retention { mode: RetentionMode::Compliance, until: Timestamp::from_second(1_000_000).unwrap() }
    }

    fn intact() -> After {
        After { content: Content::Equal, lock: Ok(Some(lock())), in_time: true }
    }

    fn said(trouble: Trouble) -> Result<(), ObjectsError> {
        Err(ObjectsError::Store { action: "try".into(), place: "s3://x".into(), trouble, said: String::new() })
    }

    fn refused(
        attempt: Attempt,
        answer: &Result<(), ObjectsError>,
        after: &After,
        control: Result<(), &str>,
    ) -> Refused {
        judge(attempt, lock(), answer, after, control).refused
    }

    #[test]
    fn only_a_refusal_that_left_everything_is_one() {
        for attempt in Attempt::ALL {
            let no = said(Trouble::Refused);
            assert_eq!(refused(attempt, &no, &intact(), Ok(())), Refused::Yes, "{attempt:?}");
            // What the effect says outweighs the answer.
            for answer in [Ok(()), said(Trouble::Refused), said(Trouble::Slow)] {
                let loses = [
                    After { content: Content::Gone, ..intact() },
                    After { content: Content::Changed, ..intact() },
                    After { lock: Ok(None), ..intact() },
                    After { lock: Ok(Some(Retention { mode: RetentionMode::Governance, ..lock() })), ..intact() },
                    After {
                        lock: Ok(Some(Retention {
                            until: lock().until - jiff::SignedDuration::from_secs(1),
                            ..lock()
                        })),
                        ..intact()
                    },
                ];
                for after in loses {
                    assert_eq!(refused(attempt, &answer, &after, Ok(())), Refused::No, "{attempt:?} {after:?}");
                }
                let blind = [
                    After { content: Content::Unread("403".into()), ..intact() },
                    After { lock: Err("403".into()), ..intact() },
                    After { in_time: false, ..intact() },
                    After { content: Content::Gone, in_time: false, ..intact() },
                ];
                for after in blind {
                    assert_eq!(refused(attempt, &answer, &after, Ok(())), Refused::Unknown, "{attempt:?} {after:?}");
                }
            }
            for trouble in
                [Trouble::Slow, Trouble::Unreachable, Trouble::Failing, Trouble::Garbled, Trouble::Unsupported]
            {
                assert_eq!(
                    refused(attempt, &said(trouble), &intact(), Ok(())),
                    Refused::Unknown,
                    "{attempt:?} {trouble:?}"
                );
            }
        }
    }

    #[test]
    fn done_without_an_effect_is_unknown_but_for_what_writers_may() {
        for attempt in Attempt::ALL {
            let expected = if attempt.form().is_none() { Refused::Yes } else { Refused::Unknown };
            assert_eq!(refused(attempt, &Ok(()), &intact(), Ok(())), expected, "{attempt:?}");
        }
    }

    #[test]
    fn keys_without_the_right_prove_nothing() {
        let no = said(Trouble::Refused);
        assert_eq!(refused(Attempt::Delete, &no, &intact(), Err("AccessDenied")), Refused::Unknown);
        assert_eq!(refused(Attempt::Overwrite, &no, &intact(), Err("AccessDenied")), Refused::Yes);
        // But a loss is a loss.
        let gone = After { content: Content::Gone, ..intact() };
        assert_eq!(refused(Attempt::Delete, &no, &gone, Err("AccessDenied")), Refused::No);
    }

    #[test]
    fn a_verdict_needs_every_row() {
        let row = |attempt, refused| Row { attempt, expected: "", seen: String::new(), refused };
        let mut rows: Vec<_> = Attempt::ALL.map(|attempt| row(attempt, Refused::Yes)).into();
        assert_eq!(verdict(vec![], &rows), Verdict::Immutable);
        assert_eq!(verdict(vec![Hole::NoLock], &rows), Verdict::NotImmutable { holes: vec![Hole::NoLock] });
        let missing = rows.pop().unwrap();
        assert_eq!(verdict(vec![], &rows), Verdict::Unknown { untried: vec![missing.attempt] });
        rows.push(row(missing.attempt, Refused::No));
        rows[0].refused = Refused::Unknown;
        assert_eq!(verdict(vec![], &rows), Verdict::NotImmutable { holes: vec![Hole::Allowed(Attempt::Hide)] });
        assert_eq!(verdict(vec![], &[]), Verdict::Unknown { untried: Attempt::ALL.into() });
    }

    #[test]
    fn a_lock_that_nobody_sets_covers_nothing() {
        use crate::objects::s3::DefaultRetention;
        let report = |mode, verdict| Report {
            place: String::new(),
            at: Timestamp::UNIX_EPOCH,
            versioning: None,
            lock: Some(Some(ObjectLock { default: mode })),
            rows: vec![],
            verdict,
        };
        let days = |mode| Some(DefaultRetention { mode, days: 35 });
        assert!(report(days(RetentionMode::Compliance), Verdict::Immutable).covers(35));
        assert!(!report(days(RetentionMode::Compliance), Verdict::Immutable).covers(36));
        assert!(!report(days(RetentionMode::Governance), Verdict::Immutable).covers(35));
        assert!(!report(None, Verdict::Immutable).covers(1));
        assert!(!report(days(RetentionMode::Compliance), Verdict::Unknown { untried: vec![] }).covers(1));
    }
}

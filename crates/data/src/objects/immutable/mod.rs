//! Proves by trying that a store keeps what is locked: nothing is believed that a store only says of itself.
//!
//! For every attempt a small object is written and locked for some minutes in mode COMPLIANCE; then it is tried to
//! lose it. What a firm lock must refuse is first tried on an object that is locked in mode GOVERNANCE, which these
//! keys may lift, or on a marker of deletion, which nothing locks: if they cannot, refusals say nothing. [`verdict`] judges. The rule: each attempt has an object of
//! its own, so that what one breaks does not colour the next.

mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use self::verdict::{After, Content, judge, verdict};
pub use self::verdict::{Attempt, Form, Hole, Refused, Report, Row, Verdict};
use super::s3::{BulkRefusal, Retention, RetentionMode, S3, Versioning};
use super::{ObjectsError, Patience, Place, Trouble};

/// Below the place's prefix.
const FOLDER: &str = "immutability";
/// What was seen less than this before the lock's end is not trusted: S3 keeps whole seconds, and clocks differ.
const MARGIN: SignedDuration = SignedDuration::from_secs(3);
/// Shortest lock that leaves time to look.
const SHORTEST: Duration = Duration::from_secs(10);

/// Bytes that are read beyond an object's own, to see that it is another.
const ROOM: usize = 4096;
/// A store whose clock differs more refuses every signature.
const LARGEST_SKEW: SignedDuration = SignedDuration::from_mins(15);

/// How the proof is made.
#[derive(Clone, Copy, Debug)]
pub struct Proving {
    /// How long each object is locked; at least 10 s. It must outlast one attempt and the look at its outcome.
    pub hold: Duration,
    /// How long the store is waited for.
    pub patience: Patience,
}

impl Default for Proving {
    fn default() -> Self {
        let patience = Patience {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            whole: Duration::from_secs(20),
            repeats: 1,
            repeating: Duration::from_secs(20),
        };
        Self { hold: Duration::from_secs(120), patience }
    }
}

/// Tries to lose locked objects in `place`. `now` is the wall clock.
///
/// # Errors
/// Only if the place's words cannot be used; what a store does not answer is in the report.
pub async fn prove(place: &Place, now: Timestamp) -> Result<Report, ObjectsError> {
    prove_with(place, now, &Proving::default()).await
}

/// As [`prove`], with another lock or patience.
///
/// # Errors
/// As [`prove`].
pub async fn prove_with(place: &Place, now: Timestamp, how: &Proving) -> Result<Report, ObjectsError> {
    place.check()?;
    let mut report = Report {
        place: place.to_string(),
        at: now,
        versioning: None,
        lock: None,
        rows: Vec::new(),
        verdict: Verdict::NotImmutable { holes: vec![Hole::Folder] },
    };
    let Place::S3(bucket) = place else { return Ok(report) };
    let store = S3::new(bucket, how.patience)?;
    report.versioning = store.versioning().await.ok();
    report.lock = store.object_lock().await.ok();
    let mut holes = Vec::new();
    if report.versioning.is_some_and(|versioning| versioning != Versioning::Enabled) {
        holes.push(Hole::NoVersions);
    }
    if report.lock == Some(None) {
        holes.push(Hole::NoLock);
    }
    if holes.is_empty() {
        let mut trial = Trial::new(&store, now, how.hold.max(SHORTEST)).await?;
        report.rows = trial.all().await;
        if trial.ignored {
            holes.push(Hole::LockIgnored);
        }
    } else {
        let row = |attempt: Attempt| untried(attempt, "the bucket locks nothing");
        report.rows = Attempt::ALL.map(row).into();
    }
    report.verdict = verdict(holes, &report.rows);
    Ok(report)
}

fn untried(attempt: Attempt, why: &str) -> Row {
    Row { attempt, expected: attempt.expected(), seen: format!("not tried: {why}"), refused: Refused::Unknown }
}

/// A locked object.
struct Canary {
    key: String,
    version: String,
    body: Vec<u8>,
    lock: Retention,
}

struct Trial<'a> {
    store: &'a S3,
    /// Whole name that those of this trial begin with.
    folder: String,
    /// The store's time when the trial began, and our steady clock then.
    began: (Timestamp, Instant),
    hold: Duration,
    /// Whether a lock was accepted and not kept.
    ignored: bool,
}

impl<'a> Trial<'a> {
    async fn new(store: &'a S3, now: Timestamp, hold: Duration) -> Result<Self, ObjectsError> {
        // Locks end by the store's clock.
        let ahead = store.clock_ahead().await.filter(|ahead| ahead.abs() <= LARGEST_SKEW).unwrap_or_default();
        let began = (now.saturating_add(ahead).unwrap_or(now), Instant::now());
        let word = getrandom::u64()
            .map_err(|_| ObjectsError::Client { place: "the store".into(), why: "no random bytes".into() })?;
        let folder = store.key(&format!("{FOLDER}/{}-{word:016x}", now.as_second()));
        Ok(Self { store, folder, began, hold, ignored: false })
    }

    fn now(&self) -> Timestamp {
        self.began.0.saturating_add(self.began.1.elapsed()).unwrap_or(Timestamp::MAX)
    }

    async fn all(&mut self) -> Vec<Row> {
        self.sweep().await;
        let mut controls = BTreeMap::new();
        let bypass = self.control(Form::Retention).await;
        for form in [Form::Delete, Form::BulkDelete] {
            let control = match self.control(form).await {
                // A bucket may lock everything firmly. That these keys may bypass was seen above, then.
                Err(why) if bypass.is_ok() => {
                    self.control_by_marker(form).await.map_err(|also| format!("{why}; {also}"))
                }
                control => control,
            };
            controls.insert(form, control);
        }
        controls.insert(Form::Retention, bypass);
        let mut rows = Vec::new();
        for attempt in Attempt::ALL {
            let control = attempt.form().and_then(|form| controls.get(&form)).cloned().unwrap_or(Ok(()));
            rows.push(self.attempt(attempt, control).await);
        }
        rows
    }

    /// Removes what earlier proofs left and is free by now. It may well be refused; the proof does not need it.
    async fn sweep(&self) {
        let Ok(page) = self.store.versions(&self.store.key(&format!("{FOLDER}/")), None).await else { return };
        let hour_ago = self.now().saturating_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
        // Never a name that a wrong answer made up.
        let ours = self.store.key(&format!("{FOLDER}/"));
        for old in page.versions.iter().filter(|version| version.key.starts_with(&ours)) {
            if old.modified.is_some_and(|at| at < hour_ago)
                && self.store.delete_version(&old.key, &old.version, false).await.is_err()
            {
                return;
            }
        }
    }

    /// Writes an object and sees that it is locked.
    async fn canary(&mut self, name: &str, mode: RetentionMode) -> Result<Canary, String> {
        let end = self.now().saturating_add(self.hold).map_err(|error| error.to_string())?;
        let until = Timestamp::from_second(end.as_second()).map_err(|error| error.to_string())?;
        let key = format!("{}/{name}", self.folder);
        let body = format!("Springtide tries whether this can be lost: {name} until {until}\n").into_bytes();
        let words = |error: ObjectsError| error.to_string();
        let version = self.store.put(&key, &body, Some(Retention { mode, until })).await.map_err(words)?;
        let seen = self.store.retention(&key, &version).await.map_err(words)?;
        // A store may round the end up.
        let Some(lock) = seen.filter(|seen| seen.mode == mode && seen.until >= until) else {
            self.ignored = true;
            return Err(format!("the lock was accepted and is {seen:?}"));
        };
        let read = self.store.get_version(&key, &version, body.len() + ROOM).await.map_err(words)?;
        if read != body {
            return Err("what was written reads back differently".into());
        }
        Ok(Canary { key, version, body, lock })
    }

    /// Whether these keys can do it where they may: with a lock of mode GOVERNANCE, bypassed.
    async fn control(&mut self, form: Form) -> Result<(), String> {
        let name = match form {
            Form::Delete => "control-delete",
            Form::BulkDelete => "control-bulk-delete",
            Form::Retention => "control-retention",
        };
        let canary = self.canary(name, RetentionMode::Governance).await?;
        let (key, version) = (&canary.key, &canary.version);
        let earlier = self.earlier(&canary);
        match form {
            Form::Delete => self.store.delete_version(key, version, true).await,
            Form::BulkDelete => self.bulk(key, version, true).await,
            Form::Retention => self.store.put_retention(key, version, earlier, true).await,
        }
        .map_err(|error| error.to_string())?;
        // Done must also be seen.
        let after = self.look(&canary).await;
        match form {
            Form::Delete | Form::BulkDelete if after.content == Content::Gone => Ok(()),
            Form::Retention if after.lock == Ok(Some(earlier)) => Ok(()),
            _ => Err("the store said done, and nothing changed".into()),
        }
    }

    /// Whether these keys can delete a version that nothing locks.
    async fn control_by_marker(&self, form: Form) -> Result<(), String> {
        let words = |error: ObjectsError| error.to_string();
        let key = format!("{}/marker-{form:?}", self.folder);
        self.store.put(&key, b"hidden\n", None).await.map_err(words)?;
        let marker = self.store.delete(&key).await.map_err(words)?.ok_or("no marker of deletion is named")?;
        match form {
            Form::BulkDelete => self.bulk(&key, &marker, true).await,
            Form::Delete | Form::Retention => self.store.delete_version(&key, &marker, true).await,
        }
        .map_err(words)?;
        let left = self.store.versions(&key, None).await.map_err(words)?;
        let stays = left.versions.iter().any(|version| version.version == marker);
        if stays { Err("the store said done, and nothing changed".into()) } else { Ok(()) }
    }

    /// Half of what is left, so that it stays in the future.
    fn earlier(&self, canary: &Canary) -> Retention {
        let left = canary.lock.until.duration_since(self.now()).as_secs() / 2;
        let until = canary.lock.until.saturating_sub(SignedDuration::from_secs(left.max(1))).unwrap_or(Timestamp::MIN);
        Retention { until, ..canary.lock }
    }

    async fn bulk(&self, key: &str, version: &str, bypass: bool) -> Result<(), ObjectsError> {
        let asked = [(key.to_owned(), version.to_owned())];
        for outcome in self.store.delete_versions(&asked, bypass).await? {
            if let Some(BulkRefusal { trouble, said }) = outcome.refused {
                let action = format!("delete version {version} of {key} by a bulk call");
                return Err(ObjectsError::Store { action, place: self.store.place().to_string(), trouble, said });
            }
        }
        Ok(())
    }

    async fn attempt(&mut self, attempt: Attempt, control: Result<(), String>) -> Row {
        let canary = match self.canary(attempt.word(), RetentionMode::Compliance).await {
            Ok(canary) => canary,
            Err(why) => return untried(attempt, &why),
        };
        let (store, key, version) = (self.store, &canary.key, &canary.version);
        let earlier = self.earlier(&canary);
        let weaker = Retention { mode: RetentionMode::Governance, ..canary.lock };
        let answer = match attempt {
            Attempt::Delete => store.delete_version(key, version, false).await,
            Attempt::BulkDelete => self.bulk(key, version, false).await,
            Attempt::Bypass => store.delete_version(key, version, true).await,
            Attempt::BulkBypass => self.bulk(key, version, true).await,
            Attempt::Shorten => store.put_retention(key, version, earlier, false).await,
            Attempt::BypassShorten => store.put_retention(key, version, earlier, true).await,
            Attempt::Weaken => store.put_retention(key, version, weaker, true).await,
            Attempt::Overwrite => store.put(key, b"overwritten\n", None).await.map(drop),
            Attempt::Hide => store.delete(key).await.map(drop),
        };
        let after = self.look(&canary).await;
        let control = control.as_ref().copied().map_err(String::as_str);
        judge(attempt, canary.lock, &answer, &after, control)
    }

    async fn look(&self, canary: &Canary) -> After {
        let Canary { key, version, body, lock } = canary;
        let content = match self.store.get_version(key, version, body.len() + ROOM).await {
            Ok(read) if read == *body => Content::Equal,
            Ok(_) => Content::Changed,
            Err(error) => match error.trouble() {
                Some(Trouble::Missing) => Content::Gone,
                _ => Content::Unread(error.to_string()),
            },
        };
        let lock_now = self.store.retention(key, version).await.map_err(|error| error.to_string());
        let in_time = self.now().saturating_add(MARGIN).is_ok_and(|now| now < lock.until);
        After { content, lock: lock_now, in_time }
    }
}

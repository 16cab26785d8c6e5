//! Pushing: what Odoo's filestore has and a mirror lacks is read once, proven and sent to every mirror that lacks it.
//!
//! A file gets its name in the mirror only after its content was seen to have it. One that does not is read again
//! after a pause, because Odoo writes in place; if it is still the same then, it is told and kept below `wrong/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::attempt::{Attempt, Job, Pusher};
use super::error::{FilesError, local_error};
use super::index::Index;
use super::key::sealed_sizes;
use super::lane::{Lane, locked};
use super::mirror::{Mirror, apart, now, on_threads};
use super::name::FileName;
use super::records::Missing;
use super::scan::{Filestore, Refusals, Scan};

/// How far a push is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Files and bytes that are done.
    pub files: u64,
    /// See `files`.
    pub bytes: u64,
    /// Files and bytes in all.
    pub files_total: u64,
    /// See `files_total`.
    pub bytes_total: u64,
}

/// Is told how far it is; called from several threads and not to be slow.
pub type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

/// How a push is done.
#[derive(Clone)]
pub struct PushOptions {
    /// The store is listed when the index is older. Zero lists it with every push.
    pub list_after: Duration,
    /// Pause before a file that does not have its name is read again.
    pub again_after: Duration,
    /// Sent again although the mirror has them: what a verification found damaged. What Odoo lacks is passed over.
    pub again: BTreeSet<FileName>,
    /// Whether Odoo's collection is told what it may delete; see the head of `filestore`.
    pub acknowledge: bool,
    /// Is told how far it is.
    pub tell: Option<Tell>,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            list_after: Duration::ZERO,
            again_after: Duration::from_secs(1),
            again: BTreeSet::new(),
            acknowledge: true,
            tell: None,
        }
    }
}

impl PushOptions {
    /// For pushes that follow one another all day: a million objects are listed once a day and not once a minute.
    pub fn continuous() -> Self {
        Self { list_after: Duration::from_secs(24 * 3600), ..Self::default() }
    }
}

impl fmt::Debug for PushOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushOptions").field("list_after", &self.list_after).finish_non_exhaustive()
    }
}

/// A file that does not have its name, and did not change while it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The name it lies under.
    pub name: FileName,
    /// The SHA-1 of what it holds; none if it was seen by an earlier push and has not changed.
    pub found: Option<FileName>,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a push did to one mirror.
#[derive(Debug)]
pub struct PlacePushed {
    /// The mirror's name.
    pub place: String,
    /// Files that it has now and had not.
    pub new: u64,
    /// Files that it had already.
    pub skipped: u64,
    /// Bytes that were sent, encrypted.
    pub sent: u64,
    /// Objects that were doubted and are sent again: cut off, as their size shows, or asked for.
    pub mended: Vec<FileName>,
    /// The first hundred files that it did not take, with why.
    pub failed: Vec<(FileName, String)>,
    /// All of those.
    pub failures: u64,
    /// Why it lacks something; the first reason.
    pub trouble: Option<FilesError>,
}

/// What a push did.
#[derive(Debug)]
pub struct Pushed {
    /// Files in the filestore.
    pub files: u64,
    /// Bytes of files that were read to the end and sent to some mirror, each counted once.
    pub bytes: u64,
    /// Files that at least one mirror lacked and got.
    pub new: u64,
    /// Files that every mirror had.
    pub skipped: u64,
    /// Files that do not have their name.
    pub wrong: Vec<Wrong>,
    /// Files that were being written; the next push takes them.
    pub unsettled: Vec<FileName>,
    /// Files that were deleted between the walk and the reading. With Odoo's collection held back there are none.
    pub vanished: Vec<FileName>,
    /// Files that could not be read, with why.
    pub unread: Vec<(FileName, String)>,
    /// Whatever else lies in the folder.
    pub refused: Refusals,
    /// Names that Odoo's collection was told it may delete; none if it was not told, with why.
    pub acknowledged: Result<u64, String>,
    /// Each mirror, in the order they were given.
    pub places: Vec<PlacePushed>,
    /// How long it took.
    pub took: Duration,
}

impl Pushed {
    /// Whether every mirror has every file as it is now; wrong ones below `wrong/`.
    pub fn whole(&self) -> bool {
        self.unsettled.is_empty()
            && self.vanished.is_empty()
            && self.unread.is_empty()
            && self.places.iter().all(|place| place.trouble.is_none())
    }
}

/// Pushes what `filestore` has and `mirrors` lack; each file is read once for all of them. The slowest sets the pace:
/// where one is limited and another must not wait, push to each apart. Never deletes.
///
/// A mirror that fails is told in [`Pushed::places`] and does not hold up the others. May be cut off at any moment.
///
/// # Errors
/// [`FilesError::Source`] if the filestore cannot be listed, [`FilesError::KeysDiffer`] for mirrors of several keys.
pub async fn push(filestore: &Filestore, mirrors: &[&Mirror], options: &PushOptions) -> Result<Pushed, FilesError> {
    let started = Instant::now();
    let Some(first) = mirrors.first() else {
        return Err(local_error("push to", filestore.folder())(io::Error::other("no mirror was named")));
    };
    for other in &mirrors[1..] {
        if other.0.key.fingerprint() != first.0.key.fingerprint() {
            return Err(FilesError::KeysDiffer(first.name().to_owned(), other.name().to_owned()));
        }
    }
    let mut opened = Vec::new();
    for mirror in mirrors {
        opened.push(open_lane(mirror, options).await);
    }
    let lanes: Vec<Arc<Lane>> = opened.iter().filter_map(|one| Some(one.as_ref().ok()?.lane.clone())).collect();
    let listed = opened.iter().flatten().any(|one| one.sizes.is_some());
    let scan = {
        let (filestore, lanes) = (filestore.clone(), lanes.clone());
        apart(move || {
            let known = |name: &FileName| lanes.iter().all(|lane| locked(&lane.index).names.contains(name));
            filestore.scan(|name| listed || !known(name))
        })
        .await??
    };
    let mended: Vec<Vec<FileName>> =
        opened.iter().map(|one| one.as_ref().map_or(Vec::new(), |it| it.doubted(&scan, &options.again))).collect();
    let (jobs, known_wrong, skipped) = choose(&scan, &lanes);
    let had: Vec<u64> = lanes.iter().map(|lane| held_of(lane, &scan)).collect();

    let pusher = Pusher::new(Handle::current(), filestore.clone(), first.0.key.clone(), &jobs, options.tell.clone());
    let threads = mirrors.iter().map(|mirror| mirror.0.limits.threads).max().unwrap_or(1);
    let again_after = options.again_after;
    let done = apart(move || two_rounds(&pusher, threads, jobs, again_after)).await??;
    for lane in &lanes {
        lane.settle().await;
    }

    let mut pushed = Pushed {
        files: scan.files.len() as u64,
        bytes: 0,
        new: 0,
        skipped,
        wrong: known_wrong,
        unsettled: Vec::new(),
        vanished: Vec::new(),
        unread: Vec::new(),
        refused: scan.refused.clone(),
        acknowledged: Err("it was not asked for".to_owned()),
        places: Vec::new(),
        took: Duration::ZERO,
    };
    for (name, outcome) in done {
        match outcome {
            Attempt::Sent { bytes } => {
                // It was handed on; that it arrived stands in the index.
                let arrived = lanes.iter().any(|lane| locked(&lane.index).names.contains(&name));
                pushed.new += u64::from(arrived);
                pushed.bytes += bytes;
            }
            Attempt::Wrong { found, bytes } => pushed.wrong.push(Wrong { name, found: Some(found), bytes }),
            Attempt::Differs { .. } => pushed.unsettled.push(name),
            Attempt::Gone => pushed.vanished.push(name),
            Attempt::Unread(why) => pushed.unread.push((name, why)),
            Attempt::Undelivered => {}
        }
    }
    if options.acknowledge && lanes.len() == mirrors.len() {
        pushed.acknowledged = acknowledge_all(filestore, &scan, &lanes).map_err(|error| error.to_string());
    } else if options.acknowledge {
        pushed.acknowledged = Err("not every mirror could be asked".to_owned());
    }
    let mut had = had.into_iter();
    for ((mirror, opened), mended) in mirrors.iter().zip(opened).zip(mended) {
        pushed.places.push(match opened {
            Ok(one) => place(&one.lane, had.next().unwrap_or_default(), mended, &scan),
            Err(error) => PlacePushed {
                place: mirror.name().to_owned(),
                new: 0,
                skipped: 0,
                sent: 0,
                mended,
                failed: Vec::new(),
                failures: 0,
                trouble: Some(error),
            },
        });
    }
    pushed.took = started.elapsed();
    Ok(pushed)
}

impl Mirror {
    /// Pushes to this mirror alone; its trouble is the error.
    ///
    /// # Errors
    /// As [`push`], and whatever keeps the mirror from taking a file.
    pub async fn push(&self, filestore: &Filestore, options: &PushOptions) -> Result<Pushed, FilesError> {
        let mut pushed = push(filestore, &[self], options).await?;
        match pushed.places.first_mut().and_then(|place| place.trouble.take()) {
            Some(error) => Err(error),
            None => Ok(pushed),
        }
    }
}

struct Opened {
    lane: Arc<Lane>,
    /// Sizes of the objects, if the store was listed.
    sizes: Option<BTreeMap<FileName, u64>>,
}

async fn open_lane(mirror: &Mirror, options: &PushOptions) -> Result<Opened, FilesError> {
    let held = mirror.hold()?;
    let id = mirror.identify().await?;
    let path = mirror.index_path();
    let old = Index::read(&path, &id).map_err(local_error("read", &path))?;
    let at = now();
    let fresh = |index: &Index| {
        // An index from a clock that ran ahead is not fresh.
        at.checked_sub(index.listed).is_some_and(|age| u128::from(age) < options.list_after.as_secs() as u128)
    };
    let (index, sizes) = match old {
        Some(index) if fresh(&index) => (index, None),
        old => {
            let wrong = old.map(|index| index.wrong).unwrap_or_default();
            let sizes = mirror.list().await?;
            let names = sizes.keys().copied().collect();
            let index = Index::write(&path, &id, at, names, wrong).map_err(local_error("write", &path))?;
            (index, Some(sizes))
        }
    };
    Ok(Opened { lane: Arc::new(Lane::new(mirror.clone(), index, held)), sizes })
}

impl Opened {
    /// Objects that are sent again: those of `again`, and those whose size no whole object of the file on this machine
    /// can have.
    fn doubted(&self, scan: &Scan, again: &BTreeSet<FileName>) -> Vec<FileName> {
        let torn = |(name, size): (&FileName, &u64)| {
            let stamp = scan.files.get(name)?.stamp?;
            (!sealed_sizes(stamp.bytes).contains(size)).then_some(*name)
        };
        let mut doubted: BTreeSet<FileName> = self.sizes.iter().flatten().filter_map(torn).collect();
        let mut index = locked(&self.lane.index);
        doubted.extend(again.iter().filter(|it| scan.files.contains_key(it) && index.names.contains(it)));
        for name in &doubted {
            index.names.remove(name);
        }
        doubted.into_iter().collect()
    }
}

/// What is to be read and for whom; files that are known not to have their name; how many nobody lacks.
fn choose(scan: &Scan, lanes: &[Arc<Lane>]) -> (Vec<Job>, Vec<Wrong>, u64) {
    let (mut jobs, mut wrong, mut skipped) = (Vec::new(), Vec::new(), 0);
    for found in scan.files.values() {
        let lacking: Vec<Arc<Lane>> = lanes.iter().filter(|lane| lane.wants(&found.name)).cloned().collect();
        let kept_wrong = |lane: &Arc<Lane>| {
            found.stamp.is_some_and(|stamp| locked(&lane.index).wrong.get(&found.name) == Some(&stamp))
        };
        if lacking.is_empty() {
            skipped += 1;
        } else if lacking.iter().all(kept_wrong) {
            let bytes = found.stamp.map_or(0, |stamp| stamp.bytes);
            wrong.push(Wrong { name: found.name, found: None, bytes });
        } else {
            jobs.push(Job { found: *found, lanes: lacking, before: None });
        }
    }
    (jobs, wrong, skipped)
}

fn held_of(lane: &Lane, scan: &Scan) -> u64 {
    let index = locked(&lane.index);
    scan.files.keys().filter(|name| index.names.contains(*name)).count() as u64
}

fn two_rounds(
    pusher: &Pusher,
    threads: usize,
    jobs: Vec<Job>,
    again_after: Duration,
) -> Result<Vec<(FileName, Attempt)>, FilesError> {
    let first = on_threads(threads, jobs, |job, buffer| pusher.first(job, buffer))?;
    let (mut done, mut again) = (Vec::new(), Vec::new());
    for (job, attempt) in first {
        match attempt {
            Attempt::Differs { found, stamp } => again.push(Job { before: Some((found, stamp)), ..job }),
            other => done.push((job.found.name, other)),
        }
    }
    if !again.is_empty() {
        std::thread::sleep(again_after);
        let second = on_threads(threads, again, |job, buffer| pusher.second(job, buffer))?;
        done.extend(second.into_iter().map(|(job, attempt)| (job.found.name, attempt)));
    }
    done.sort_by_key(|(name, _)| *name);
    Ok(done)
}

/// Tells Odoo's collection what every one of `mirrors` has, by their indexes: where they are pushed to apart, each push
/// leaves it ([`PushOptions::acknowledge`]) and this follows. Returns how many names of the checklist those are.
///
/// # Errors
/// [`FilesError::Store`] if a mirror cannot be asked which one it is, [`FilesError::Source`] for the filestore.
pub async fn acknowledge(filestore: &Filestore, mirrors: &[&Mirror]) -> Result<u64, FilesError> {
    let mut indexes = Vec::new();
    for mirror in mirrors {
        let path = mirror.index_path();
        let id = mirror.known_id().await?.unwrap_or_default();
        indexes.push(Index::read(&path, &id).map_err(local_error("read", &path))?);
    }
    let filestore = filestore.clone();
    apart(move || {
        let wrong = |name: &FileName| indexes.iter().flatten().any(|index| index.wrong.contains_key(name));
        let scan = filestore.scan(wrong)?;
        let has = |name: &FileName| {
            !indexes.is_empty()
                && indexes.iter().all(|index| index.as_ref().is_some_and(|index| has(index, name, &scan)))
        };
        filestore.acknowledge(scan.checklist.iter().filter(|name| has(name)).copied())
    })
    .await?
}

/// Whether the mirror has the file as it is now: under its name, or below `wrong/`.
fn has(index: &Index, name: &FileName, scan: &Scan) -> bool {
    let stamp = || scan.files.get(name).and_then(|found| found.stamp);
    index.names.contains(name) || index.wrong.get(name).is_some_and(|kept| stamp() == Some(*kept))
}

/// Tells Odoo's collection what every mirror has: of its checklist, because it looks at nothing else.
fn acknowledge_all(filestore: &Filestore, scan: &Scan, lanes: &[Arc<Lane>]) -> Result<u64, FilesError> {
    let everywhere = |name: &FileName| lanes.iter().all(|lane| has(&locked(&lane.index), name, scan));
    filestore.acknowledge(scan.checklist.iter().filter(|name| everywhere(name)).copied())
}

fn place(lane: &Lane, had: u64, mended: Vec<FileName>, scan: &Scan) -> PlacePushed {
    let mut tally = lane.tally();
    // What Odoo has again is not missing any more.
    let path = lane.mirror.missing_path();
    let seen = Missing::read(&path).and_then(|mut missing| match missing.seen(scan.files.keys()) {
        true => missing.write(&path),
        false => Ok(()),
    });
    if let Err(error) = seen {
        tally.trouble.get_or_insert(local_error("write", &path)(error));
    }
    PlacePushed {
        place: lane.mirror.name().to_owned(),
        new: tally.new,
        skipped: had,
        sent: tally.bytes,
        mended,
        failed: tally.failed,
        failures: tally.failures,
        trouble: tally.trouble,
    }
}

//! A proof: the newest that can be had is restored to a place of its own, looked at stage by stage, signed, and thrown
//! away. Whatever fails on the way is part of the record; only what could not even be written down is an error.
//!
//! The record is kept in the store and beside the backups, in every place, so that it outlives both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, UNIX_EPOCH};

use jiff::Timestamp;
use springtide_core::backup::{Continuity, Lsn, RepoKey, Target};
use springtide_core::proof::{FINDINGS_MAX, Outcome, Record, Stage, StageResult};
use springtide_core::role::Role;
use springtide_core::workload::{SecretName, SecretRef};
use springtide_data::aside::{Aside, AsideSpec};
use springtide_data::backup::{BackupEngine as _, RestoreOrder};
use springtide_data::canary::Canary;
use springtide_data::filestore;
use springtide_data::neutralise::Wanted;
use springtide_data::proof::{self, About, Place, ProofKey, Replay, Share, Spec};

use super::choose::{Asked, Chosen};
use super::restore::rows;
use super::{Subject, word};
use crate::execute::{Clock, Failure};

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Wish {
    /// From which place.
    pub repo: RepoKey,
    /// Up to where.
    pub asked: Asked,
    /// Everything, or a sample that differs from day to day.
    pub whole: bool,
    /// Stages that are left out. What is left out is required all the same, so nothing is proven without it.
    pub without: BTreeSet<Stage>,
}

/// What came of it.
#[derive(Debug)]
pub struct Proved {
    /// The record that was signed.
    pub record: Record,
    /// As it is kept.
    pub signed: Vec<u8>,
    /// Number of the proof in the store.
    pub id: u64,
    /// Places in which the record could not be put, with why.
    pub not_kept: Vec<String>,
    /// How long all of it took.
    pub took: Duration,
}

impl Subject<'_> {
    /// Restores, looks, signs, throws away.
    ///
    /// # Errors
    /// If another proof of the environment is under way, or nothing could be written down.
    pub async fn prove(
        &self,
        wish: &Wish,
        clock: &Clock,
        tell: &(dyn Fn(Stage) + Send + Sync),
    ) -> Result<Proved, Failure> {
        let started = Instant::now();
        let place = Place::take(self.estate.driver.as_ref(), self.name()).await?;
        let id = self.estate.store.begin_proof(self.name(), clock())?;
        tell(Stage::Fetch);
        let seen = self.look(wish, &place, tell).await;
        let cleared = place.clear().await;
        let (label, record) = seen?;
        cleared?;
        let key = self.estate.secrets.get(&SecretRef { environment: None, name: SecretName::ProofKey })?;
        let signed = ProofKey::of(&key)?.sign(&record)?;
        let text = String::from_utf8_lossy(&signed).into_owned();
        self.estate.store.end_proof(id, label.as_deref(), &record.verdict.to_string(), &text, clock())?;
        let not_kept = self.keep(&record, &signed).await;
        Ok(Proved { record, signed, id, not_kept, took: started.elapsed() })
    }

    /// Runs everything that can be run, and says of the rest why not.
    async fn look(
        &self,
        wish: &Wish,
        place: &Place,
        tell: &(dyn Fn(Stage) + Send + Sync),
    ) -> Result<(Option<String>, Record), Failure> {
        let began = Instant::now();
        // A canary after the target, which must not be in the copy. Without a database to write it into, that stage
        // does not run and says so.
        if let Err(why) = self.mark().await {
            tracing::warn!(%why, environment = %self.name(), "no canary could be written before the proof");
        }
        let chosen = match self.choose(wish.repo, &wish.asked).await {
            Ok(chosen) => chosen,
            // Nothing that serves is a finding about the backups, not a trouble of the proof.
            Err(why) if why.is::<super::choose::ChooseError>() => {
                return Ok((None, self.record_of_nothing(failed(&why, began.elapsed()), wish)));
            }
            Err(why) => return Err(why),
        };
        let fetch = self.fetch(wish, &chosen, place).await;
        let took = began.elapsed();
        let fetch = match fetch {
            Ok(figures) => StageResult { outcome: Outcome::Passed, ms: millis(took), figures, notes: Vec::new() },
            Err(why) => self.named(wish.repo, failed(&why, took)).await,
        };
        let spec = self.spec(wish, &chosen, place, fetch)?;
        let (driver, generation) = (self.estate.driver.as_ref(), self.generation());
        let seen = proof::run(driver, generation, &spec, tell).await;
        let about = About {
            set: chosen.set.label.to_string(),
            target_time: chosen.moment.map(|it| it.asked.to_string()),
            required: Stage::ALL.into_iter().collect(),
            at: Timestamp::now().to_string(),
        };
        Ok((Some(chosen.set.label.to_string()), seen.record(&spec, about)))
    }

    /// The engine often says only that something is damaged; reading the place whole says what.
    async fn named(&self, repo: RepoKey, mut stage: StageResult) -> StageResult {
        if let Outcome::Failed { found } = &mut stage.outcome {
            match self.verify(repo).await {
                Ok((damaged, _)) => {
                    found.extend(damaged.into_iter().take(FINDINGS_MAX - found.len().min(FINDINGS_MAX)))
                }
                Err(why) => found.push(format!("what is damaged could not be found out: {why}")),
            }
        }
        stage
    }

    /// Brings database and files to the place.
    async fn fetch(&self, wish: &Wish, chosen: &Chosen, place: &Place) -> Result<BTreeMap<String, u64>, Failure> {
        let engine = self.engine()?;
        // A hole after the target does not stop this restore, and stops every later one.
        for log in engine.wal_continuity(wish.repo).await?.iter().filter(|log| log.label == chosen.set.label) {
            if let Continuity::Gap { missing, .. } | Continuity::Nothing { wanted: missing } = &log.continuity {
                return Err(format!("segment {missing} of the log is missing in the {} place", word(wish.repo)).into());
            }
        }
        let archive = engine.archive(wish.repo).await?;
        let sets = [engine.list(wish.repo).await?.sets];
        let sets: Vec<_> =
            sets.concat().into_iter().filter(|set| set.repo == wish.repo && set.label <= chosen.set.label).collect();
        let choice = springtide_core::backup::select(&sets, &archive, &chosen.target)?;
        let user = self.sized.slot.user(Role::Postgres);
        let order = RestoreOrder::new(&choice, chosen.target.clone(), place.data(), user);
        let restored = engine.restore(&order, &|_| {}).await?;
        let driver = self.estate.driver.as_ref();
        let server = Aside::new(driver, self.aside(place)).await?;
        let rows = rows(driver, self.generation(), &server).await;
        server.clear().await?;
        let near = self.mirror(wish.repo)?;
        let files = filestore::restore(rows?, &place.filestore(), user, &near, None).await?;
        if let Some((file, why)) = files.lost.first() {
            let count = files.lost.len();
            return Err(
                format!("{count} files are not in the {} place, such as {file} ({why})", word(wish.repo)).into()
            );
        }
        if let Some((row, why)) = files.refused.first() {
            return Err(format!("{} rows name no file, such as {row} ({why})", files.refused.len()).into());
        }
        Ok(BTreeMap::from([
            ("database_bytes".to_owned(), restored.bytes),
            ("database_ms".to_owned(), millis(restored.fetch)),
            ("replay_ms".to_owned(), millis(restored.replay)),
            ("files".to_owned(), files.files),
            ("files_bytes".to_owned(), files.bytes),
        ]))
    }

    fn aside(&self, place: &Place) -> AsideSpec {
        AsideSpec {
            word: self.name().to_string(),
            folder: place.work(),
            data: place.data(),
            filestore: place.filestore(),
            database: self.name().database(),
            series: self.sized.environment.series,
            user: self.sized.slot.user(Role::Postgres),
        }
    }

    fn spec(&self, wish: &Wish, chosen: &Chosen, place: &Place, fetch: StageResult) -> Result<Spec, Failure> {
        let canaries = self.estate.store.canaries(self.name())?.into_iter().map(|it| Canary {
            id: it.id,
            at: UNIX_EPOCH + Duration::from_micros(u64::try_from(it.at).unwrap_or_default()),
            before: it.before,
            after: it.after,
            note: it.note,
        });
        // Another sample each day, the same for whoever repeats it that day.
        let seed = u64::try_from(Timestamp::now().as_second() / 86_400).unwrap_or_default();
        let share = |share| if wish.whole { Share::All } else { Share::PerMille { share, seed } };
        let name = match &chosen.target {
            Target::Name { name, .. } => Some(name.as_str().to_owned()),
            Target::Lsn(_) => None,
        };
        Ok(Spec {
            environment: self.name().to_string(),
            series: self.sized.environment.series,
            database: self.name().database(),
            user: self.sized.slot.user(Role::Postgres),
            data: place.data(),
            filestore: place.filestore(),
            folder: place.work(),
            target: proof::Target { lsn: chosen.target.lsn().byte(), name },
            replay: Replay { deadline_s: 3_600, ..Replay::default() },
            canaries: canaries.collect(),
            // Every file was hashed on its way here; reading them again is a sample.
            attachments: share(100),
            indexes: share(200),
            accepted: BTreeMap::new(),
            neutralise: Wanted { base_url: "http://proof.invalid".into(), hooks: None },
            stages: Stage::ALL.into_iter().filter(|stage| !wish.without.contains(stage)).collect(),
            fetch,
        })
    }

    /// The record of a proof that found nothing to restore.
    fn record_of_nothing(&self, fetch: StageResult, wish: &Wish) -> Record {
        let required: BTreeSet<Stage> = Stage::ALL.into_iter().collect();
        let stages = BTreeMap::from([(Stage::Fetch, fetch)]);
        Record {
            form: Record::FORM,
            environment: self.name().to_string(),
            set: "none".into(),
            target_lsn: Lsn::new(0).to_string(),
            target_time: match &wish.asked {
                Asked::Time(time) => Some(time.to_string()),
                _ => None,
            },
            sizes: springtide_core::proof::Sizes::default(),
            verdict: springtide_core::proof::verdict(&stages, &required),
            required,
            stages,
            tools: BTreeMap::new(),
            at: Timestamp::now().to_string(),
        }
    }

    /// Puts the signed record beside the backups.
    async fn keep(&self, record: &Record, signed: &[u8]) -> Vec<String> {
        let mut not_kept = Vec::new();
        let name = format!("{}.json", record.at.replace(':', "-"));
        for repo in self.repos() {
            if let Err(why) = self.keep_record(repo, &name, signed).await {
                not_kept.push(format!("{}: {why}", word(repo)));
            }
        }
        not_kept
    }
}

fn failed(why: &Failure, took: Duration) -> StageResult {
    // With its causes: the outermost alone says that something failed, and not what.
    let mut found = vec![why.to_string()];
    let mut cause = why.source();
    while let Some(one) = cause.filter(|_| found.len() < FINDINGS_MAX) {
        found.push(one.to_string());
        cause = one.source();
    }
    StageResult { outcome: Outcome::Failed { found }, ms: millis(took), figures: BTreeMap::new(), notes: Vec::new() }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

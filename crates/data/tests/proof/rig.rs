//! Copies to prove: a template of each series with a little business in it, archived and recovered once, then copied
//! for every case.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use springtide_core::digest::Digest;
use springtide_core::layout::Slot;
use springtide_core::proof::{Outcome, Stage, StageResult, Stages};
use springtide_core::series::Series;
use springtide_data::aside::{Aside, AsideSpec, ODOO_CONF, Serving};
use springtide_data::canary::{self, Canary};
use springtide_data::neutralise::Wanted;
use springtide_data::postgres::{Configure, DbRole, TEMPLATE_DATABASE, configure};
use springtide_data::proof::{self, Replay, Seen, Share, Spec, Target};
use springtide_data::template::{self, TemplateSpec};
use springtide_driver::{Generation, ProcessDriver, TaskMount};

pub const G: Generation = Generation(1);
/// Name of the database, of environment `shop`.
pub const DATABASE: &str = "shop";
const KEEP: Duration = Duration::from_secs(86_400);
const ARCHIVE_AT: &str = "/srv/springtide/archive";

/// One series, ready to be copied.
pub struct Rig<'a> {
    pub driver: &'a ProcessDriver,
    pub series: Series,
    folder: PathBuf,
    pub canaries: Vec<Canary>,
    pub target: Target,
    pub point: Target,
}

/// A copy of one case.
pub struct Case<'a, 'b> {
    rig: &'a Rig<'b>,
    pub name: String,
    pub folder: PathBuf,
}

pub fn run(command: &mut Command) {
    let done = command.status().unwrap();
    assert!(done.success(), "{command:?}");
}

pub fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to));
}

fn folder(path: &Path) -> PathBuf {
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(path).unwrap();
    path.to_owned()
}

impl<'a> Rig<'a> {
    pub async fn new(driver: &'a ProcessDriver, series: Series, temp: &Path, cache: &Path) -> Self {
        let template = template(driver, series, cache).await;
        let folder = folder(&temp.join(series.to_string()));
        let mut rig = Self {
            driver,
            series,
            folder,
            canaries: Vec::new(),
            target: Target { lsn: 0, name: None },
            point: Target { lsn: 0, name: None },
        };
        let base = rig.folder.join("base");
        std::fs::create_dir(&base).unwrap();
        copy(&template.join("pgdata"), &base.join("pgdata"));
        copy(&template.join("filestore").join(TEMPLATE_DATABASE), &base.join("filestore"));
        rig.plant(&base).await;
        rig.history(&base).await;
        rig.recover(&base).await;
        rig
    }

    pub fn spec(&self, name: &str, of: &Path) -> AsideSpec {
        AsideSpec {
            word: format!("{name}-{}", self.series),
            folder: of.join("work"),
            data: of.join("pgdata"),
            filestore: of.join("filestore"),
            database: DATABASE.into(),
            series: self.series,
            user: Slot::ESTATE.installer(),
        }
    }

    /// A little business, by Odoo itself.
    async fn plant(&self, base: &Path) {
        let aside = Aside::new(self.driver, self.spec("plant", base)).await.unwrap();
        let serving = Serving { up_s: 60, deadline_s: 900, ..Serving::default() };
        aside
            .serve(self.driver, G, &serving, |admin| {
                let aside = &aside;
                async move {
                    configure(&admin, &as_an_environment()).await.unwrap();
                    let owner = aside.owner(&admin).await.unwrap();
                    let script = format!(
                        "exec /usr/bin/odoo shell -c {ODOO_CONF} -d {DATABASE} --no-http --shell-interface=python \
                         < /srv/springtide/config/plant.py"
                    );
                    let command = vec!["/bin/sh".into(), "-c".into(), script];
                    let mut task = aside.odoo("plant", &owner, command, 600).unwrap();
                    task.files.push(("plant.py".into(), include_str!("plant.py").into()));
                    let done = aside.run(self.driver, G, "planting", &task).await.unwrap();
                    let log = std::fs::read_to_string(&done.log).unwrap();
                    assert!(log.contains("planted"), "{log}");
                }
            })
            .await
            .unwrap();
        aside.clear().await.unwrap();
    }

    /// Canaries on both sides of a target and a named point, in a log that is archived.
    async fn history(&mut self, base: &Path) {
        let archive = self.archive();
        std::fs::create_dir(&archive).unwrap();
        std::fs::set_permissions(&archive, PermissionsExt::from_mode(0o777)).unwrap();
        let live = self.folder.join("live");
        copy(base, &live);
        let aside = Aside::new(self.driver, self.spec("live", &live)).await.unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let serving = Serving {
            settings: vec![
                pair("archive_mode", "on"),
                pair("archive_command", &format!("cp %p {ARCHIVE_AT}/%f")),
                pair("full_page_writes", "on"),
            ],
            mounts: vec![TaskMount { from: archive, at: ARCHIVE_AT.into(), read_only: false }],
            up_s: 60,
            deadline_s: 300,
            ..Serving::default()
        };
        let (canaries, target, point) = aside
            .serve(self.driver, G, &serving, |admin| async move {
                canary::ensure(&admin).await.unwrap();
                canary::ensure(&admin).await.unwrap();
                let mut all = Vec::new();
                let mut point = 0;
                for n in 0..6_u8 {
                    all.push(canary::write(&admin, SystemTime::now(), [n; 16], KEEP).await.unwrap());
                    if n == 3 {
                        point = canary::restore_point(&admin, "before the fifth").await.unwrap();
                    }
                }
                assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
                assert!(all.is_sorted_by(|a, b| a.after <= b.before && a.before < a.after), "{all:?}");
                let around = canary::around(&admin, all[2].at).await.unwrap();
                assert_eq!((around.0.unwrap().id, around.1.unwrap().id), (3, 4));
                assert!(canary::restore_point(&admin, "").await.is_err());
                let (client, connection) = tokio_postgres::Config::new()
                    .host_path(live.join("work/socket"))
                    .user("postgres")
                    .dbname("postgres")
                    .connect(tokio_postgres::NoTls)
                    .await
                    .unwrap();
                tokio::spawn(connection);
                client.batch_execute("SELECT pg_switch_wal()").await.unwrap();
                let until = Instant::now() + Duration::from_secs(60);
                let sql = "SELECT last_archived_wal IS NOT NULL AND failed_count = 0 FROM pg_stat_archiver";
                while !client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
                    assert!(Instant::now() < until, "nothing was archived");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                // Kept for a day, the newest longer: numbers go on.
                let late = SystemTime::now() + 3 * KEEP;
                canary::write(&admin, late, [9; 16], KEEP).await.unwrap();
                assert_eq!(canary::all(&admin).await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), [7]);
                let target = Target { lsn: all[3].after, name: None };
                (all, target, Target { lsn: point, name: Some("before the fifth".into()) })
            })
            .await
            .unwrap();
        aside.clear().await.unwrap();
        (self.canaries, self.target, self.point) = (canaries, target, point);
        std::fs::remove_dir_all(self.folder.join("live")).unwrap();
    }

    pub fn archive(&self) -> PathBuf {
        self.folder.join("archive")
    }

    /// Makes `to` what a restore leaves: files of the backup, and how the log is fetched.
    pub fn restored(&self, to: &Path) {
        copy(&self.folder.join("base"), to);
        let conf = to.join("pgdata/postgresql.auto.conf");
        // As a restore for another moment may have left it; the proof's target wins.
        let text = format!(
            "restore_command = 'cp {ARCHIVE_AT}/%f %p'\nrecovery_target_time = '2001-01-01 00:00:00+00'\narchive_mode = on\n"
        );
        std::fs::write(&conf, text).unwrap();
        std::fs::write(to.join("pgdata/recovery.signal"), "").unwrap();
        for path in [conf, to.join("pgdata/recovery.signal")] {
            let user = Slot::ESTATE.installer();
            std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).unwrap();
        }
    }

    /// Recovers one copy that all cases begin with.
    async fn recover(&self, _base: &Path) {
        let whole = self.folder.join("whole");
        self.restored(&whole);
        let case = Case { rig: self, name: "recover".into(), folder: whole.clone() };
        let seen = case.prove(&[Stage::Replay, Stage::Checksums]).await;
        assert!(seen.stages[&Stage::Replay].passed() && seen.stages[&Stage::Checksums].passed(), "{seen:#?}");
        assert!(!whole.join("work").exists(), "the proof leaves its own folder");
    }

    /// A copy for one case.
    pub fn case(&self, name: &str) -> Case<'_, 'a> {
        let folder = self.folder.join(name);
        copy(&self.folder.join("whole"), &folder);
        Case { rig: self, name: name.into(), folder }
    }

    /// A copy that is still to be recovered.
    pub fn unrecovered(&self, name: &str) -> Case<'_, 'a> {
        let folder = self.folder.join(name);
        self.restored(&folder);
        Case { rig: self, name: name.into(), folder }
    }
}

impl Case<'_, '_> {
    pub fn proof(&self, stages: &[Stage]) -> Spec {
        let of = self.rig.spec(&self.name, &self.folder);
        let mounts = vec![TaskMount { from: self.rig.archive(), at: ARCHIVE_AT.into(), read_only: true }];
        Spec {
            environment: of.word,
            series: of.series,
            database: of.database,
            user: of.user,
            data: of.data,
            filestore: of.filestore,
            folder: of.folder,
            target: self.rig.target.clone(),
            replay: Replay { mounts, deadline_s: 120, ..Replay::default() },
            canaries: self.rig.canaries.clone(),
            attachments: Share::All,
            indexes: Share::PerMille { share: 100, seed: 7 },
            accepted: BTreeMap::new(),
            neutralise: Wanted { base_url: "http://copy.localhost".into(), hooks: None },
            stages: stages.iter().copied().chain([Stage::Fetch]).collect(),
            fetch: StageResult { outcome: Outcome::Passed, ms: 1, figures: BTreeMap::new(), notes: Vec::new() },
        }
    }

    /// Runs the stages and says how long each took.
    pub async fn prove(&self, stages: &[Stage]) -> Seen {
        self.prove_as(&self.proof(stages)).await
    }

    pub async fn prove_as(&self, spec: &Spec) -> Seen {
        let seen = sendable(proof::run(self.rig.driver, G, spec, &|_| {})).await;
        let words = seen.stages.iter().map(|(stage, result)| {
            let word = match &result.outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::Failed { found } => format!("FAILED {found:?}"),
                Outcome::NotRun { why } if why == "switched off" => return String::new(),
                Outcome::NotRun { why } => format!("not run: {why}"),
            };
            format!("\n    {stage} {} ms {:?}: {word} {:?}", result.ms, result.figures, result.notes)
        });
        println!("{} {}:{}", self.rig.series, self.name, words.collect::<String>());
        seen
    }

    /// Changes the copy by SQL, as superuser in Odoo's database.
    pub async fn sql(&self, database: &str, sql: &str) {
        let aside = Aside::new(self.rig.driver, self.rig.spec(&self.name, &self.folder)).await.unwrap();
        let serving = Serving { up_s: 60, deadline_s: 120, ..Serving::default() };
        aside
            .serve(self.rig.driver, G, &serving, |_| async {
                let client = client(&self.folder, database).await;
                client.batch_execute(sql).await.unwrap();
            })
            .await
            .unwrap();
        aside.clear().await.unwrap();
    }

    pub fn gone(self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// The roles, rights and identity that an environment's database has.
fn as_an_environment() -> Configure {
    let verifier = || springtide_data::hash::scram_verifier(&springtide_data::hash::database_password().unwrap());
    Configure {
        restored_from: None,
        environment: "shop".parse().unwrap(),
        base_url: "https://shop.example".into(),
        report_url: "http://127.0.0.1:21002".into(),
        fingerprint: Digest::of_bytes(b"proof"),
        admin_password_hash: springtide_data::hash::unmatchable_hash().unwrap(),
        database_secret: springtide_data::hash::uuid().unwrap(),
        verifiers: DbRole::ALL.map(|role| (role, verifier())).into(),
        connection_limits: BTreeMap::from([(DbRole::Report, 5)]),
    }
}

/// A proof may be run by any thread of a server.
fn sendable<F: Future + Send>(future: F) -> F {
    future
}

/// A connection through the socket of an aside.
pub async fn client(folder: &Path, database: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::Config::new()
        .host_path(folder.join("work/socket"))
        .user("postgres")
        .dbname(database)
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// What a failed stage found, as one text.
pub fn found(stages: &Stages, stage: Stage) -> String {
    match &stages[&stage].outcome {
        Outcome::Failed { found } => found.join("\n"),
        other => panic!("{stage} is {other:?}"),
    }
}

/// Why a stage did not run.
pub fn why(stages: &Stages, stage: Stage) -> String {
    match &stages[&stage].outcome {
        Outcome::NotRun { why } => why.clone(),
        other => panic!("{stage} is {other:?}"),
    }
}

/// The template of a series, kept from one run to the next under a digest of all that decides its content.
async fn template(driver: &ProcessDriver, series: Series, cache: &Path) -> PathBuf {
    let mut modules = vec!["stock", "sale_management", "delivery", "queue_job"];
    if series == "14.0".parse().unwrap() {
        modules.push("fetchmail");
    }
    let spec = TemplateSpec { series, modules: modules.iter().map(|m| m.parse().unwrap()).collect(), demo: false };
    let whole = template::folder(driver).join(spec.key());
    let code = [
        include_str!("../../src/template/build.rs"),
        include_str!("../../src/template/assets.py"),
        include_str!("../../src/template/server.rs"),
    ];
    let stamp = std::fs::read_to_string(cache.join("odoo").join(series.to_string()).join("stamp")).unwrap();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("proof-templates");
    let kept = kept.join(Digest::of_bytes((code.concat() + &stamp).as_bytes()).short()).join(spec.key());
    if kept.join("manifest.json").is_file() {
        folder(whole.parent().unwrap());
        copy(&kept, &whole);
    }
    template::build(driver, &spec, G, &|step| println!("{series} template: {step}")).await.unwrap();
    if !kept.exists() {
        let new = kept.with_extension(format!("new{}", std::process::id()));
        std::fs::create_dir_all(new.parent().unwrap()).unwrap();
        copy(&whole, &new);
        std::fs::rename(&new, &kept).unwrap();
    }
    whole
}

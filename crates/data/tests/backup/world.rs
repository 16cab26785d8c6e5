//! A scratch PostgreSQL 15 with checksums, archiving through pgBackRest as a workload of ours would, in a state folder
//! of its own; a writer of numbered orders; and looking into what was restored.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use springtide_core::backup::conf::{
    CONF_FILE, Conf, DATA_AT, Part, Place, Repo, SOCKET_AT, WORK_AT, archive_settings,
};
use springtide_core::backup::{Lsn, RepoKey};
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_core::workload::{CONFIG_PATH, Root, UserSpec, Volume};
use springtide_data::backup::{PgBackRest, Progress, Site};
use springtide_driver::{Driver, Generation, ProcessDriver, Task, TaskMount};
use tokio::task::JoinHandle;

pub const G: Generation = Generation(1);
pub const SLOT: Slot = Slot(41);
pub const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A generator of numbers whose seed is printed, so that a run can be repeated.
pub struct Dice(u64);

impl Dice {
    /// From `SPRINGTIDE_SEED`, else from the clock.
    pub fn new() -> Self {
        let clock = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(since.subsec_nanos()) << 20 ^ since.as_secs()
        };
        let seed = std::env::var("SPRINGTIDE_SEED").map_or_else(|_| clock(), |text| text.parse().unwrap());
        println!("seed {seed} (SPRINGTIDE_SEED repeats it)");
        Self(seed | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// An order that was acknowledged: its number, and the end of the log right after its commit.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub number: i64,
    pub lsn: Lsn,
}

pub struct World {
    pub driver: Arc<ProcessDriver>,
    pub environment: EnvironmentName,
    pub folder: PathBuf,
    server: Option<JoinHandle<String>>,
}

pub fn user() -> UserSpec {
    SLOT.user(Role::Postgres)
}

pub fn port() -> u16 {
    SLOT.port(Role::Postgres).unwrap()
}

/// Told of progress where nobody looks.
pub fn nobody(_: Progress) {}

/// The site of the environment with one repository in `near`.
pub fn site(
    driver: &ProcessDriver,
    environment: &EnvironmentName,
    folder: &Path,
    near: PathBuf,
    passphrase: &str,
) -> Site {
    let repo = Repo { key: RepoKey::Near, place: Place::Folder, passphrase: passphrase.to_owned().into() };
    Site {
        conf: Conf {
            environment: environment.clone(),
            repos: vec![repo],
            port: port(),
            processes: 2,
            queue_bytes: 1 << 30,
            log_files: true,
        },
        user: user(),
        data: driver.volume(Some(environment), Volume::PostgresData),
        socket: driver.volume(Some(environment), Volume::PostgresSocket),
        work: folder.join("work"),
        folders: BTreeMap::from([(RepoKey::Near, near)]),
        authorities: BTreeMap::new(),
    }
}

pub const PASSPHRASE: &str = "correct-horse-battery-staple";

impl World {
    /// Makes the data directory and starts the server on it, archiving into `sites`' repositories.
    pub async fn new(driver: Arc<ProcessDriver>, folder: &Path) -> Self {
        assert!(Path::new("/usr/bin/pgbackrest").exists(), "pgbackrest is missing: run `make setup`");
        let environment: EnvironmentName = "shop".parse().unwrap();
        let mut world = Self { driver, environment, folder: folder.to_owned(), server: None };
        world.initdb().await;
        world.start(&world.near()).await;
        world
    }

    pub fn near_folder(&self) -> PathBuf {
        self.folder.join("near/pg")
    }

    pub fn near(&self) -> Site {
        site(&self.driver, &self.environment, &self.folder, self.near_folder(), PASSPHRASE)
    }

    pub fn engine(&self, site: Site) -> PgBackRest {
        PgBackRest::new(self.driver.clone(), G, site)
    }

    fn data(&self) -> PathBuf {
        self.driver.volume(Some(&self.environment), Volume::PostgresData)
    }

    pub fn socket(&self) -> PathBuf {
        self.driver.volume(Some(&self.environment), Volume::PostgresSocket)
    }

    fn task(&self, name: &str, command: Vec<String>, mounts: Vec<TaskMount>) -> Task {
        Task {
            name: name.into(),
            root: Root::Host,
            command,
            env: BTreeMap::from([("TZ".into(), "UTC".into())]),
            files: Vec::new(),
            mounts,
            user: user(),
            network: springtide_driver::Network::Machine,
            deadline_s: 1800,
        }
    }

    async fn initdb(&self) {
        let command = ["-k", "-U", "postgres", "-A", "peer", "--no-sync", "--no-instructions", "-D", DATA_AT];
        let command = std::iter::once(format!("{PROGRAMS}/initdb")).chain(command.map(str::to_owned)).collect();
        let mount = TaskMount { from: self.data(), at: DATA_AT.into(), read_only: false };
        let outcome = self.driver.run_task(&self.task("initdb", command, vec![mount]), G).await.unwrap();
        assert_eq!(outcome.code, Some(0), "{}", outcome.tail);
    }

    /// Starts the server with the archive settings that a workload gets.
    pub async fn start(&mut self, site: &Site) {
        for folder in site.folders.values().chain([&site.work]) {
            fs::create_dir_all(folder).unwrap();
            std::os::unix::fs::chown(folder, Some(user().uid), Some(user().gid)).unwrap();
        }
        let mount = |from: &Path, at: &str| TaskMount { from: from.to_owned(), at: at.into(), read_only: false };
        let mut mounts = vec![mount(&site.data, DATA_AT), mount(&site.socket, SOCKET_AT), mount(&site.work, WORK_AT)];
        mounts.extend(site.folders.iter().map(|(key, from)| mount(from, key.folder_at())));
        let command = [format!("{PROGRAMS}/postgres"), "-D".into(), DATA_AT.into(), "-c".into()];
        let command = command.into_iter().chain([format!("config_file={CONFIG_PATH}/postgresql.conf")]).collect();
        let mut task = self.task("server", command, mounts);
        let conf = format!(
            "listen_addresses = ''\nport = {}\nunix_socket_directories = '{SOCKET_AT}'\n\
             unix_socket_permissions = 0770\nhba_file = '{CONFIG_PATH}/hba'\nident_file = '{CONFIG_PATH}/ident'\n\
             shared_buffers = 64MB\nlog_line_prefix = '%m '\nfsync = off\nwal_level = replica\n{}",
            port(),
            archive_settings(&self.environment)
        );
        task.files = vec![
            ("postgresql.conf".into(), conf),
            ("hba".into(), "local all postgres peer map=x\n".into()),
            ("ident".into(), "x root postgres\nx springtide-task postgres\n".into()),
            (CONF_FILE.into(), text(site)),
        ];
        task.files.extend(site.authorities.iter().map(|(key, pem)| (key.authority_file().to_owned(), pem.clone())));
        let driver = self.driver.clone();
        self.server = Some(tokio::spawn(async move {
            let outcome = driver.run_task(&task, G).await.unwrap();
            fs::read_to_string(outcome.log).unwrap()
        }));
        self.client().await;
    }

    /// A session as superuser.
    pub async fn client(&self) -> tokio_postgres::Client {
        connect(&self.socket(), port()).await
    }

    /// Finishes the segment that is being written, and waits until it is in the archive.
    pub async fn switch(&self) {
        let client = self.client().await;
        let row = client.query_one("SELECT pg_walfile_name(pg_switch_wal())", &[]).await.unwrap();
        let name: String = row.get(0);
        for _ in 0..600 {
            let row = client
                .query_one("SELECT coalesce(last_archived_wal, '') >= $1 FROM pg_stat_archiver", &[&name])
                .await
                .unwrap();
            if row.get(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} was not archived within a minute");
    }

    /// Stops the server; what it logged comes back.
    pub async fn stop(&mut self) -> String {
        let pid = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        kill(Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()), Signal::SIGINT).unwrap();
        self.server.take().unwrap().await.unwrap()
    }

    /// Numbers of the orders in a restored data directory.
    pub async fn orders_in(&self, restored: &Path) -> Vec<i64> {
        let socket = self.folder.join("restored-socket");
        fs::create_dir_all(&socket).unwrap();
        std::os::unix::fs::chown(&socket, Some(user().uid), Some(user().gid)).unwrap();
        let mount = |from: &Path, at: &str| TaskMount { from: from.to_owned(), at: at.into(), read_only: false };
        let mut command = vec![format!("{PROGRAMS}/postgres"), "-D".into(), DATA_AT.into()];
        let settings = ["config_file", "hba_file", "ident_file"].map(|name| format!("{name}={CONFIG_PATH}/{name}"));
        let fixed = ["listen_addresses=", "unix_socket_permissions=0777", "port=5432", "fsync=off"].map(str::to_owned);
        let place = format!("unix_socket_directories={SOCKET_AT}");
        for setting in settings.into_iter().chain(fixed).chain([place]) {
            command.extend(["-c".into(), setting]);
        }
        let mut task = self.task("look", command, vec![mount(restored, DATA_AT), mount(&socket, SOCKET_AT)]);
        task.files = vec![
            ("config_file".into(), String::new()),
            ("hba_file".into(), "local all postgres peer map=x\n".into()),
            ("ident_file".into(), "x root postgres\n".into()),
        ];
        let driver = self.driver.clone();
        let server = tokio::spawn(async move { driver.run_task(&task, G).await.unwrap() });
        let client = connect(&socket, 5432).await;
        let rows = client.query("SELECT number FROM orders ORDER BY number", &[]).await.unwrap();
        let numbers = rows.iter().map(|row| row.get(0)).collect();
        let archives: String = client.query_one("SHOW archive_mode", &[]).await.unwrap().get(0);
        assert_eq!(archives, "off", "a restored server must not write into the source's archive");
        let pid = fs::read_to_string(restored.join("postmaster.pid")).unwrap();
        kill(Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()), Signal::SIGINT).unwrap();
        assert_eq!(server.await.unwrap().code, Some(0));
        numbers
    }
}

/// The configuration's text with its secrets.
pub fn text(site: &Site) -> String {
    use secrecy::ExposeSecret as _;
    let part = |part: Part<'_, secrecy::SecretString>| match part {
        Part::Plain(text) => text,
        Part::Secret(secret) => secret.expose_secret().to_owned(),
    };
    site.conf.render().unwrap().into_iter().map(part).collect()
}

async fn connect(socket: &Path, port: u16) -> tokio_postgres::Client {
    let mut last = None;
    for _ in 0..300 {
        let mut config = tokio_postgres::Config::new();
        config.host_path(socket).port(port).user("postgres").dbname("postgres");
        match config.connect(tokio_postgres::NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client;
            }
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{}: {last:?}", socket.display());
}

/// Writes an order every 0.2 s until it is dropped or stopped, and notes each that was acknowledged.
pub struct Writer {
    stop: Arc<AtomicBool>,
    running: JoinHandle<Vec<Order>>,
    noted: Arc<std::sync::Mutex<Vec<Order>>>,
}

impl Writer {
    pub async fn start(world: &World) -> Self {
        let client = world.client().await;
        client.batch_execute("CREATE TABLE IF NOT EXISTS orders (number bigint PRIMARY KEY, note text)").await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let noted = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (asked, list) = (stop.clone(), noted.clone());
        let running = tokio::spawn(async move {
            let mut number: i64 =
                client.query_one("SELECT coalesce(max(number), 0) FROM orders", &[]).await.unwrap().get(0);
            while !asked.load(Ordering::Relaxed) {
                number += 1;
                client
                    .execute("INSERT INTO orders VALUES ($1, repeat(md5($1::bigint::text), 40))", &[&number])
                    .await
                    .unwrap();
                let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap();
                list.lock().unwrap().push(Order { number, lsn: row.get::<_, String>(0).parse().unwrap() });
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            list.lock().unwrap().clone()
        });
        Self { stop, running, noted }
    }

    pub fn so_far(&self) -> Vec<Order> {
        self.noted.lock().unwrap().clone()
    }

    pub async fn stop(self) -> Vec<Order> {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.unwrap()
    }
}

/// Pids of pgBackRest's processes of our user whose command line holds `word`.
pub fn engine_pids(word: &str) -> Vec<Pid> {
    let ours = user().uid;
    let mut found: Vec<i32> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let mine = fs::metadata(format!("/proc/{pid}"))
                .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == ours);
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            mine && line.starts_with("pgbackrest ") && line.contains(word)
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(Pid::from_raw).collect()
}

/// Opens a folder for users that must pass through it.
pub fn passable(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).unwrap();
}

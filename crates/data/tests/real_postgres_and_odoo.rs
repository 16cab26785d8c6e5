//! Against the process driver, real PostgreSQL, the real Odoo 19 root and real passlib. Needs user
//! root, the PostgreSQL server programs and the root that `make setup` puts into the cache; there is
//! no way to pass without them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::ExposeSecret as _;
use springtide_core::digest::Digest;
use springtide_core::layout::Slot;
use springtide_core::names::{EnvironmentName, ModuleName};
use springtide_core::observe::{HalfModule, HostFacts};
use springtide_core::role::Role;
use springtide_core::series::Series;
use springtide_core::workload::{Root, SecretName, SecretRef, Volume};
use springtide_data::destroy::{final_backup, verify};
use springtide_data::postgres::{Admin, AdminError, Configure, DbRole, configure, observe, take_back};
use springtide_data::secrets::SecretStore;
use springtide_data::template::{self, CopyMethod, TemplateError, TemplateSpec};
use springtide_driver::{Driver, Generation, Network, ProcessDriver, Task, TaskMount, hidden_command};

const G: Generation = Generation(1);
const SLOT: Slot = Slot(39);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = hidden_command(&args) {
        std::process::exit(code);
    }
    let cache = PathBuf::from(std::env::var("SPRINGTIDE_CACHE").unwrap_or_else(|_| "/var/cache/springtide".into()));
    assert!(cache.join("odoo/19.0/root/usr/bin/odoo").exists(), "the Odoo 19 root is missing: run `make setup`");
    let temp = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let driver =
        Arc::new(ProcessDriver::new(temp.path().join("state"), std::env::current_exe().unwrap(), cache.clone()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(900), all(driver.clone(), temp.path(), &cache)).await.unwrap();
        });
    }));
    runtime.block_on(driver.shutdown()).unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn spec(modules: &[&str]) -> TemplateSpec {
    TemplateSpec { series: Series::DEFAULT, modules: modules.iter().map(|m| m.parse().unwrap()).collect(), demo: false }
}

async fn all(driver: Arc<ProcessDriver>, temp: &Path, cache: &Path) {
    let environment: EnvironmentName = "big-shop".parse().unwrap();
    let store = SecretStore::open(temp.join("secrets")).unwrap();
    store.ensure_environment(&environment).unwrap();
    passlib_agrees(&store, &environment, cache);

    // A module that does not exist is an error that names it, and nothing stays.
    let bad = spec(&["base", "no_such_module"]);
    match template::build(&*driver, &bad, G, &|_| {}).await {
        Err(TemplateError::Modules { modules, .. }) => assert_eq!(modules, ["no_such_module"]),
        other => panic!("{other:?}"),
    }
    assert!(std::fs::read_dir(template::folder(&*driver)).unwrap().next().is_none(), "leftovers of a failed build");

    let good = spec(&["base", "web"]);
    template::build(&*driver, &good, G, &|_| {}).await.unwrap();
    template::build(&*driver, &good, G, &|_| panic!("it exists")).await.unwrap();
    let host = driver.observe().await.unwrap().host;
    assert_eq!(template::list(&*driver, &host), BTreeSet::from([good.key()]));
    let newer = HostFacts { odoo_roots: [(good.series, "20.0".to_owned())].into(), ..host.clone() };
    assert!(template::list(&*driver, &newer).is_empty(), "a template of another Odoo package is none");
    let newer = HostFacts { postgres_major: Some(99), ..host };
    assert!(template::list(&*driver, &newer).is_empty(), "a template of another PostgreSQL is none");
    let manifest = template::manifest(&*driver, &good.key()).unwrap();
    assert!(manifest.modules.contains_key("web") && manifest.bytes > 10_000_000, "{manifest:?}");

    let copied = template::copy(&*driver, &good.key(), &environment, SLOT, CopyMethod::Auto).await.unwrap();
    assert!(copied.bytes > 10_000_000, "{copied:?}");
    assert_eq!(template::copy(&*driver, &good.key(), &environment, SLOT, CopyMethod::Auto).await.unwrap().bytes, 0);
    let pgdata = driver.volume(Some(&environment), Volume::PostgresData);
    let meta = std::fs::metadata(&pgdata).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (SLOT.user(Role::Postgres).uid, 0o700));
    let filestore = driver.volume(Some(&environment), Volume::OdooData).join("filestore/big_shop");
    assert_eq!(std::fs::metadata(&filestore).unwrap().mode() & 0o7777, 0o2770);

    let server = start(&driver, &environment).await;
    let socket = driver.volume(Some(&environment), Volume::PostgresSocket);
    let port = SLOT.port(Role::Postgres).unwrap();
    let admin = connect(&socket, port).await;
    identities(&admin, &store, &environment).await;
    roles(&socket, port, &store, &environment).await;
    let app = login(&socket, port, &store, &environment, ("app", SecretName::DbApp, "big_shop")).await.unwrap();
    caches(&admin, &app, &store, &environment).await;
    half_way(&admin, &app, &environment).await;

    let to = temp.join("final");
    let backup = final_backup(&*driver, &environment, SLOT, &to, G).await.unwrap();
    assert!(backup.tables > 50 && backup.files.contains_key("filestore.tar"), "{backup:?}");
    std::fs::OpenOptions::new()
        .append(true)
        .open(to.join("filestore.tar"))
        .and_then(|mut f| std::io::Write::write_all(&mut f, b"x"))
        .unwrap();
    assert!(verify(&to).is_err(), "a changed file was not noticed");

    let pid = std::fs::read_to_string(pgdata.join("postmaster.pid")).unwrap();
    kill(Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()), Signal::SIGINT).unwrap();
    let log = server.await.unwrap();
    assert!(!store.redact_check(&log).unwrap(), "a secret is in PostgreSQL's log");
}

fn passlib_agrees(store: &SecretStore, environment: &EnvironmentName, cache: &Path) {
    let get = |name| store.get(&SecretRef { environment: Some(environment.clone()), name }).unwrap();
    let script = "import sys; from passlib.context import CryptContext; w, h = sys.stdin.read().split(); \
                  c = CryptContext(schemes=['pbkdf2_sha512'], pbkdf2_sha512__rounds=600000); \
                  assert c.verify(w, h) and not c.verify(w + 'x', h) and not c.needs_update(h)";
    let mut child = Command::new("chroot")
        .args([cache.join("odoo/19.0/root").to_str().unwrap(), "/usr/bin/python3", "-c", script])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let input =
        format!("{} {}", get(SecretName::OdooAdmin).expose_secret(), get(SecretName::OdooAdminHash).expose_secret());
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "passlib refuses our hash");
}

/// Starts PostgreSQL on the copy with strict rules and full statement logging; its log comes back.
async fn start(driver: &Arc<ProcessDriver>, environment: &EnvironmentName) -> tokio::task::JoinHandle<String> {
    let major = driver.observe().await.unwrap().host.postgres_major.unwrap();
    let mount = |volume, at: &str| TaskMount {
        from: driver.volume(Some(environment), volume),
        at: at.into(),
        read_only: false,
    };
    let mut command =
        vec![format!("/usr/lib/postgresql/{major}/bin/postgres"), "-D".into(), "/srv/springtide/data".into()];
    for setting in [
        "hba_file=/srv/springtide/config/hba",
        "ident_file=/srv/springtide/config/ident",
        "unix_socket_directories=/srv/springtide/socket",
        "unix_socket_permissions=0770",
        "listen_addresses=",
        "fsync=off",
        "log_statement=all",
        "log_min_duration_statement=0",
        &format!("port={}", SLOT.port(Role::Postgres).unwrap()),
    ] {
        command.extend(["-c".into(), setting.into()]);
    }
    let task = Task {
        name: "bench-postgres".into(),
        root: Root::Host,
        command,
        env: BTreeMap::new(),
        files: vec![
            ("hba".into(), "local all postgres peer map=springtide\nlocal all all scram-sha-256\n".into()),
            ("ident".into(), "springtide root postgres\n".into()),
        ],
        mounts: vec![
            mount(Volume::PostgresData, "/srv/springtide/data"),
            mount(Volume::PostgresSocket, "/srv/springtide/socket"),
        ],
        user: SLOT.user(Role::Postgres),
        network: Network::Machine,
        deadline_s: 300,
    };
    let driver = driver.clone();
    tokio::spawn(async move {
        let outcome = driver.run_task(&task, G).await.unwrap();
        std::fs::read_to_string(outcome.log).unwrap()
    })
}

async fn connect(socket: &Path, port: u16) -> Admin {
    let mut last = None;
    for _ in 0..100 {
        match Admin::connect(socket, port, "postgres").await {
            Ok(admin) => return admin,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{last:?}");
}

async fn identities(admin: &Admin, store: &SecretStore, environment: &EnvironmentName) {
    let before = observe(admin, environment).await.unwrap();
    assert_eq!(before.configured, None);
    assert!(before.modules.contains(&"web".parse().unwrap()));
    let mut wanted = wanted(store, environment);
    configure(admin, &wanted).await.unwrap();
    assert_eq!(observe(admin, environment).await.unwrap().configured, Some(wanted.fingerprint));
    // A second time: a new fingerprint, the same identity.
    wanted.fingerprint = Digest::of_bytes(b"two");
    wanted.database_secret = "must not be used".to_owned().into();
    configure(admin, &wanted).await.unwrap();
    assert_eq!(observe(admin, environment).await.unwrap().configured, Some(wanted.fingerprint));
    let reserved: EnvironmentName = "postgres".parse().unwrap();
    assert!(matches!(observe(admin, &reserved).await, Err(AdminError::ReservedName(_))));
}

fn wanted(store: &SecretStore, environment: &EnvironmentName) -> Configure {
    let get = |name| store.get(&SecretRef { environment: Some(environment.clone()), name }).unwrap();
    Configure {
        environment: environment.clone(),
        restored_from: None,
        base_url: "https://shop.example".into(),
        report_url: "http://127.0.0.1:21392".into(),
        fingerprint: Digest::of_bytes(b"one"),
        admin_password_hash: get(SecretName::OdooAdminHash),
        database_secret: get(SecretName::OdooDatabaseSecret),
        verifiers: [
            (DbRole::Owner, SecretName::DbOwnerVerifier),
            (DbRole::App, SecretName::DbAppVerifier),
            (DbRole::Jobs, SecretName::DbJobsVerifier),
            (DbRole::Report, SecretName::DbReportVerifier),
            (DbRole::Monitor, SecretName::DbMonitorVerifier),
            (DbRole::Backup, SecretName::DbBackupVerifier),
        ]
        .map(|(role, name)| (role, get(name)))
        .into(),
        connection_limits: BTreeMap::from([(DbRole::Report, 5)]),
    }
}

/// A connection of a role with the password that a secret holds, to a database.
async fn login(
    socket: &Path,
    port: u16,
    store: &SecretStore,
    environment: &EnvironmentName,
    (role, name, database): (&str, SecretName, &str),
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let password = store.get(&SecretRef { environment: Some(environment.clone()), name }).unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket).port(port).user(role).dbname(database).password(password.expose_secret());
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A new address is news for every Odoo that runs, in the way of each series.
async fn caches(admin: &Admin, app: &tokio_postgres::Client, store: &SecretStore, environment: &EnvironmentName) {
    app.batch_execute("CREATE SEQUENCE base_cache_signaling; CREATE SEQUENCE base_cache_signaling_default")
        .await
        .unwrap();
    let told = async || {
        let sql =
            "SELECT (SELECT max(id)::bigint FROM orm_signaling_stable), (SELECT last_value FROM base_cache_signaling),
                          (SELECT last_value FROM base_cache_signaling_default)";
        let row = app.query_one(sql, &[]).await.unwrap();
        [0, 1, 2].map(|at| row.get::<_, i64>(at))
    };
    // The first value of a sequence does not tell whether it was taken.
    app.batch_execute("SELECT nextval('base_cache_signaling'), nextval('base_cache_signaling_default')").await.unwrap();
    let before = told().await;
    let elsewhere = Configure { base_url: "https://shop.example:8443".into(), ..wanted(store, environment) };
    configure(admin, &elsewhere).await.unwrap();
    let after = told().await;
    assert!(before.iter().zip(&after).all(|(before, after)| after > before), "{before:?} {after:?}");
}

/// What an installation that was cut off left is seen with what belongs to what, and can be taken back.
async fn half_way(admin: &Admin, app: &tokio_postgres::Client, environment: &EnvironmentName) {
    let half = async || observe(admin, environment).await.unwrap().half;
    assert_eq!(half().await, BTreeMap::new());
    app.batch_execute(
        "UPDATE ir_module_module SET state = 'to install' WHERE name IN ('contacts', 'mail', 'google_gmail');
         UPDATE ir_module_module SET state = 'to upgrade' WHERE name = 'web'",
    )
    .await
    .unwrap();
    let set = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<ModuleName>>();
    let seen = half().await;
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), set(&["contacts", "mail", "google_gmail", "web"]));
    let of = |name: &str| seen[&name.parse::<ModuleName>().unwrap()].clone();
    assert_eq!(of("contacts"), HalfModule { needs: set(&["mail"]), comes_with: None });
    assert_eq!(of("mail"), HalfModule::default());
    assert_eq!(of("google_gmail"), HalfModule { needs: set(&["mail"]), comes_with: Some(set(&["mail"])) });
    assert_eq!(of("web"), HalfModule { needs: set(&[]), comes_with: Some(set(&[])) });
    // With what brings it there, Odoo would have brought it.
    app.batch_execute("UPDATE ir_module_module SET state = 'installed' WHERE name IN ('mail', 'web')").await.unwrap();
    assert_eq!(half().await[&"google_gmail".parse::<ModuleName>().unwrap()].comes_with, Some(set(&[])));
    take_back(admin, environment).await.unwrap();
    let seen = observe(admin, environment).await.unwrap();
    assert_eq!(seen.half, BTreeMap::new());
    let none: [ModuleName; 2] = ["contacts", "google_gmail"].map(|name| name.parse().unwrap());
    assert!(none.iter().all(|name| !seen.modules.contains(name)), "{:?}", seen.modules);
    app.batch_execute("UPDATE ir_module_module SET state = 'uninstalled' WHERE name = 'mail'").await.unwrap();
}

async fn roles(socket: &Path, port: u16, store: &SecretStore, environment: &EnvironmentName) {
    let login = async |role: &str, secret, database: &str| {
        login(socket, port, store, environment, (role, secret, database)).await
    };
    let one = async |client: &tokio_postgres::Client, sql: &str| -> String {
        client.query_one(sql, &[]).await.unwrap().get(0)
    };

    let app = login("app", SecretName::DbApp, "big_shop").await.unwrap();
    assert_eq!(one(&app, "SELECT current_user::text").await, "owner");
    assert_eq!(one(&app, "SHOW lock_timeout").await, "15s");
    let secret = one(&app, "SELECT value FROM ir_config_parameter WHERE key = 'database.secret'").await;
    let wanted =
        store.get(&SecretRef { environment: Some(environment.clone()), name: SecretName::OdooDatabaseSecret }).unwrap();
    assert_eq!(secret, wanted.expose_secret());
    assert_eq!(
        one(&app, "SELECT value FROM ir_config_parameter WHERE key = 'web.base.url'").await,
        "https://shop.example"
    );
    app.batch_execute("CREATE TABLE made_as_owner (id serial primary key)").await.unwrap();
    // What psycopg2's reset() does keeps the role of the login.
    app.batch_execute("RESET ALL; SET SESSION AUTHORIZATION DEFAULT").await.unwrap();
    app.batch_execute("DISCARD ALL").await.unwrap();
    assert_eq!(one(&app, "SELECT current_user::text").await, "owner");
    // Even a client that drops the role leaves nothing that is not the owner's.
    app.batch_execute("SET ROLE NONE").await.unwrap();
    assert_eq!(one(&app, "SELECT current_user::text").await, "app");
    app.batch_execute(
        "CREATE TABLE made_as_app (id serial primary key); CREATE VIEW v_as_app AS SELECT * FROM made_as_app",
    )
    .await
    .unwrap();
    app.batch_execute(
        "CREATE TEMP TABLE passing AS SELECT 1 AS one; ALTER TABLE res_partner ADD COLUMN x_test integer",
    )
    .await
    .unwrap();
    let jobs = login("jobs", SecretName::DbJobs, "big_shop").await.unwrap();
    jobs.batch_execute("SET ROLE NONE").await.unwrap();
    jobs.batch_execute("ALTER TABLE made_as_app ADD COLUMN more text; INSERT INTO made_as_app (more) VALUES ('x')")
        .await
        .unwrap();
    let strangers = "SELECT count(*)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND pg_get_userbyid(relowner) IN ('app', 'jobs')";
    assert_eq!(one(&jobs, strangers).await, "0");
    let tables =
        "SELECT count(*)::text FROM pg_roles WHERE rolname IN ('owner','app','jobs','report','monitor','backup')
                  AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls)";
    assert_eq!(one(&jobs, tables).await, "0");

    let report = login("report", SecretName::DbReport, "big_shop").await.unwrap();
    assert_eq!(one(&report, "SELECT count(*)::text FROM made_as_app").await, "1");
    report.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    assert!(report.batch_execute("DELETE FROM made_as_app").await.is_err());
    for (role, secret, database, may) in [
        ("monitor", SecretName::DbMonitor, "postgres", true),
        ("owner", SecretName::DbOwner, "postgres", true),
        ("report", SecretName::DbReport, "postgres", false),
        ("backup", SecretName::DbBackup, "big_shop", true),
        ("app", SecretName::DbJobs, "big_shop", false),
        ("app", SecretName::DbApp, "template1", false),
    ] {
        assert_eq!(login(role, secret, database).await.is_ok(), may, "{role} into {database}");
    }
    let vacuum = "SELECT coalesce(array_to_string(reloptions, ','), '') FROM pg_class WHERE relname = 'res_users'";
    assert!(one(&report, vacuum).await.contains("fillfactor=70"));
}

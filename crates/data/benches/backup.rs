//! Backup and restore beside their peers, in one run on the same data: our take beside plain `pgbackrest backup` with
//! the same configuration, and our restore beside `cp -a` and a sync of the data directory.
//!
//! `cargo bench -p springtide-data --bench backup` prints a table; with `-- --json` one line of JSON. Needs root and what
//! `make setup` installs. `SPRINGTIDE_SCALE` is the size of pgbench's tables (20, about 300 MB). Each figure is the median
//! of three rounds, in which the peers take turns.

// A bench is read where it prints.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../tests/backup/world.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use springtide_core::backup::conf::{DATA_AT, SOCKET_AT, WORK_AT};
use springtide_core::backup::{Kind, RepoKey, Target, select};
use springtide_data::backup::{BackupEngine, RestoreOrder};
use springtide_driver::{ProcessDriver, hidden_command};
use world::{World, nobody, port, user};

const ROUNDS: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = hidden_command(&args) {
        std::process::exit(code);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let temp = tempfile::tempdir().unwrap();
    world::passable(temp.path());
    let cache = PathBuf::from("/var/cache/springtide");
    let driver = Arc::new(ProcessDriver::new(temp.path().join("state"), std::env::current_exe().unwrap(), cache));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(all(driver.clone(), temp.path(), args.iter().any(|arg| arg == "--json")));
    }));
    runtime.block_on(driver.shutdown()).unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Runs a command to its end and says how long it took.
fn timed(command: &mut Command) -> Duration {
    let since = Instant::now();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
    since.elapsed()
}

/// pgBackRest by hand with the same configuration, into a repository of its own: in a mount namespace in which the server's
/// places are where the server has them.
fn plain(world: &World, temp: &Path, words: &[&str]) -> Command {
    let site = world.near();
    for folder in ["plain", "plain-work", "plain-work/lock", "plain-work/log", "plain-work/spool"] {
        std::fs::create_dir_all(temp.join(folder)).unwrap();
        std::os::unix::fs::chown(temp.join(folder), Some(user().uid), Some(user().gid)).unwrap();
    }
    let conf = temp.join("plain.conf");
    std::fs::write(&conf, world::text(&site).replace("repo1-bundle=y", "repo1-bundle=y\narchive-check=n")).unwrap();
    std::os::unix::fs::chown(&conf, Some(user().uid), Some(user().gid)).unwrap();
    let script = "mount -t tmpfs plain /srv/springtide; uid=$1 gid=$2; shift 2; \
                  for pair in 1 2 3 4; do mkdir -p \"$2\"; mount --bind \"$1\" \"$2\"; shift 2; done; \
                  exec setpriv --reuid \"$uid\" --regid \"$gid\" --clear-groups pgbackrest \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-e", "-c", script, "bash", &user().uid.to_string(), &user().gid.to_string()]);
    let (repo, work) = (temp.join("plain"), temp.join("plain-work"));
    let pairs =
        [(&repo, RepoKey::Near.folder_at()), (&work, WORK_AT), (&site.data, DATA_AT), (&site.socket, SOCKET_AT)];
    for (from, at) in pairs {
        command.arg(from).arg(at);
    }
    command.arg(format!("--config={}", conf.display())).arg("--stanza=shop").args(words);
    command.env("TZ", "UTC").current_dir("/");
    command
}

async fn all(driver: Arc<ProcessDriver>, temp: &Path, json: bool) {
    let scale = std::env::var("SPRINGTIDE_SCALE").unwrap_or_else(|_| "20".into());
    let mut world = World::new(driver, temp).await;
    let engine = world.engine(world.near());
    engine.prepare().await.unwrap();
    let client = world.client().await;
    client.batch_execute("CREATE TABLE orders (number bigint)").await.unwrap();
    let socket = world.socket();
    let at = [socket.to_str().unwrap(), &port().to_string()].map(str::to_owned);
    let pgbench = ["-h", &at[0], "-p", &at[1], "-U", "postgres", "-i", "-q", "-s", &scale, "postgres"];
    timed(Command::new(format!("{}/pgbench", world::PROGRAMS)).args(pgbench));
    client.batch_execute("CHECKPOINT").await.unwrap();
    timed(&mut plain(&world, temp, &["stanza-create"]));

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let since = Instant::now();
        engine.take(RepoKey::Near, Kind::Full, &nobody).await.unwrap();
        ours.push(since.elapsed());
        theirs.push(timed(&mut plain(&world, temp, &["backup", "--type=full"])));
    }
    world.switch().await;
    let sets = engine.list(RepoKey::Near).await.unwrap().sets;
    let archive = engine.archive(RepoKey::Near).await.unwrap();
    let end = archive.segments.last().unwrap().start();
    let target = Target::Lsn(end);
    let choice = select(&sets, &archive, &target).unwrap();
    let (mut restores, mut fetches, mut copies) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let into = temp.join(format!("restored-{round}"));
        let order = RestoreOrder::new(&choice, target.clone(), into.clone(), user());
        let since = Instant::now();
        let restored = engine.restore(&order, &nobody).await.unwrap();
        restores.push(since.elapsed());
        fetches.push(restored.fetch);
        let copied = temp.join(format!("copied-{round}"));
        let since = Instant::now();
        timed(Command::new("cp").arg("-a").arg(&into).arg(&copied));
        timed(Command::new("sync").arg("-f").arg(&copied));
        copies.push(since.elapsed());
        std::fs::remove_dir_all(into).unwrap();
        std::fs::remove_dir_all(copied).unwrap();
    }
    world.stop().await;
    let (take, plain) = (median(ours), median(theirs));
    let (restore, fetch, copy) = (median(restores), median(fetches), median(copies));
    let megabytes = choice.set.bytes / 1_000_000;
    if json {
        println!(
            "{}",
            serde_json::json!({ "bench": "backup", "megabytes": megabytes, "take_s": take, "plain_s": plain,
                "take_ratio": take / plain, "restore_s": restore, "fetch_s": fetch, "copy_s": copy,
                "restore_ratio": restore / copy })
        );
        return;
    }
    println!("data directory                {megabytes:>8} MB");
    println!("our take of a full set        {take:>8.2} s");
    println!("plain pgbackrest backup       {plain:>8.2} s");
    println!("take / plain                  {:>8.2}   (goal: at most 1.05)", take / plain);
    println!("our restore, replay included  {restore:>8.2} s");
    println!("  of it fetching              {fetch:>8.2} s");
    println!("cp -a and sync                {copy:>8.2} s");
    println!("restore / copy                {:>8.2}   (goal: at most 0.6)", restore / copy);
}

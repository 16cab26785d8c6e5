//! The backup engine against the process driver, real PostgreSQL 15 and Debian's pgBackRest, with a folder as
//! repository. Needs user root and the packages that `make setup` installs; there is no way to pass without them.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "backup/damage.rs"]
mod damage;
#[path = "backup/far.rs"]
mod far;
#[path = "backup/killed.rs"]
mod killed;
#[path = "backup/refused.rs"]
mod refused;
mod stores;
#[path = "backup/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use springtide_core::backup::{BackupSet, Continuity, Kind, Lsn, NoSet, RepoKey, Target, select};
use springtide_data::backup::{BackupEngine, Phase, Progress, RestoreOrder, Restored};
use springtide_driver::{ProcessDriver, hidden_command};
use world::{Dice, Order, World, Writer, nobody, user};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = hidden_command(&args) {
        std::process::exit(code);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if args.first().is_some_and(|word| word == "engine") {
        runtime.block_on(killed::child(&args[1..]));
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    world::passable(temp.path());
    let driver = driver(temp.path());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(900), all(driver.clone(), temp.path())).await.unwrap();
        });
    }));
    runtime.block_on(driver.shutdown()).unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// The driver of a state folder; a child that is killed opens the same.
pub fn driver(temp: &Path) -> Arc<ProcessDriver> {
    let cache = PathBuf::from(std::env::var("SPRINGTIDE_CACHE").unwrap_or_else(|_| "/var/cache/springtide".into()));
    Arc::new(ProcessDriver::new(temp.join("state"), std::env::current_exe().unwrap(), cache))
}

async fn all(driver: Arc<ProcessDriver>, temp: &Path) {
    let mut dice = Dice::new();
    let mut world = World::new(driver, temp).await;
    let engine = world.engine(world.near());
    println!("pgBackRest {:?}", engine.version().await.unwrap());
    refused::before_set_up(&world).await;
    engine.prepare().await.unwrap();
    engine.prepare().await.unwrap();
    println!("set up");

    let early: Lsn = "0/1000100".parse().unwrap();
    let writer = Writer::start(&world).await;
    let full = take(&world, Kind::Incr).await;
    assert_eq!((full.kind, &full.prior), (Kind::Full, &None), "the first is a full one whatever was asked");
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.switch().await;
    let name = "before-import";
    let row = world.client().await.query_one("SELECT pg_create_restore_point($1)::text", &[&name]).await.unwrap();
    let named = Target::Name { name: name.parse().unwrap(), lsn: row.get::<_, String>(0).parse().unwrap() };
    let at_name = writer.so_far().len();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let incr = take(&world, Kind::Incr).await;
    assert_eq!((incr.kind, incr.prior.as_ref()), (Kind::Incr, Some(&full.label)));
    tokio::time::sleep(Duration::from_secs(4)).await;
    world.switch().await;
    let orders = writer.stop().await;
    world.switch().await;
    println!("{} orders, full {}, incr {}", orders.len(), full.label, incr.label);

    whole(&world, &[&full, &incr]).await;
    exact(&world, &orders, &mut dice).await;
    by_name(&world, &named, &orders, at_name, &full).await;
    outside(&world, early).await;
    refused::folders(&world, &orders).await;
    refused::keys(&world, &orders).await;
    damage::gap(&world, &orders).await;
    damage::mutations(&world, &orders, &mut dice).await;
    killed::everywhere(&world, &orders, &mut dice).await;
    prune(&world).await;
    far::all(&mut world).await;
    refused::full_disk(&mut world).await;

    let log = world.stop().await;
    assert!(!log.contains(world::PASSPHRASE), "the passphrase is in the server's log");
    no_secret_in(&temp.join("state/tasks"));
    no_secret_in(&temp.join("work"));
}

/// Logs and locks hold no passphrase; the configuration, which must, is nobody else's.
fn no_secret_in(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let meta = entry.metadata().unwrap();
        if meta.is_dir() {
            no_secret_in(&entry.path());
        } else if String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).contains(world::PASSPHRASE) {
            assert_eq!(entry.file_name(), "pgbackrest.conf", "{}", entry.path().display());
            assert_eq!(meta.permissions().mode() & 0o007, 0);
        }
    }
}

async fn take(world: &World, kind: Kind) -> BackupSet {
    let engine = world.engine(world.near());
    let since = Instant::now();
    let seen = Mutex::new(Vec::<Progress>::new());
    let set = engine.take(RepoKey::Near, kind, &|progress| seen.lock().unwrap().push(progress)).await.unwrap();
    let seen = seen.into_inner().unwrap();
    println!("take {kind}: {} in {:?}, {} looks", set.label, since.elapsed(), seen.len());
    assert!(seen.iter().all(|it| it.phase == Phase::Copy && it.done <= it.total && it.total > 1 << 20), "{seen:?}");
    let last = seen.last().unwrap();
    assert!(last.done > last.total * 9 / 10, "{last:?}");
    let listed = engine.list(RepoKey::Near).await.unwrap();
    assert!(listed.sets.contains(&set) && listed.left_out.is_empty(), "{listed:?}");
    set
}

/// The end of what can be replayed.
pub async fn restorable_to(world: &World) -> Lsn {
    let engine = world.engine(world.near());
    engine.wal_continuity(RepoKey::Near).await.unwrap()[0].continuity.up_to().unwrap()
}

async fn whole(world: &World, sets: &[&BackupSet]) {
    let engine = world.engine(world.near());
    let seen = engine.wal_continuity(RepoKey::Near).await.unwrap();
    assert_eq!(seen.len(), sets.len());
    assert!(seen.iter().all(|set| matches!(set.continuity, Continuity::Whole { .. })), "{seen:?}");
    let found = engine.verify(RepoKey::Near).await.unwrap();
    assert!(found.is_empty(), "control: nothing is damaged, and yet {found:?}");
}

/// The order for a target, as a caller makes it.
pub async fn order(world: &World, target: &Target, into: PathBuf) -> Result<RestoreOrder, NoSet> {
    let engine = world.engine(world.near());
    let sets = engine.list(RepoKey::Near).await.unwrap().sets;
    let archive = engine.archive(RepoKey::Near).await.unwrap();
    select(&sets, &archive, target).map(|choice| RestoreOrder::new(&choice, target.clone(), into, user()))
}

pub async fn restore(world: &World, target: &Target, into: &Path) -> Restored {
    let order = order(world, target, into.to_owned()).await.unwrap();
    let engine = world.engine(world.near());
    let seen = Mutex::new(Vec::<Progress>::new());
    let restored = engine.restore(&order, &|progress| seen.lock().unwrap().push(progress)).await.unwrap();
    assert!(!into.with_extension("building").exists());
    assert!(seen.into_inner().unwrap().iter().any(|it| it.phase == Phase::Fetch && it.done > it.total * 9 / 10));
    // Done is done, and says the same.
    assert_eq!(engine.restore(&order, &nobody).await.unwrap(), restored);
    restored
}

fn up_to(orders: &[Order], at: usize) -> Vec<i64> {
    orders[..=at].iter().map(|order| order.number).collect()
}

/// Five random instants: exactly the orders up to it, each time.
async fn exact(world: &World, orders: &[Order], dice: &mut Dice) {
    let engine = world.engine(world.near());
    let first = engine.list(RepoKey::Near).await.unwrap().sets[0].stop_lsn;
    let end = restorable_to(world).await;
    let possible: Vec<usize> =
        (0..orders.len()).filter(|at| orders[*at].lsn > first && orders[*at].lsn < end).collect();
    assert!(possible.len() > 20, "{} of {} orders can be restored to", possible.len(), orders.len());
    for round in 0..5 {
        let at = *dice.one(&possible);
        let into = world.folder.join(format!("exact-{round}"));
        let restored = restore(world, &Target::Lsn(orders[at].lsn), &into).await;
        assert!(restored.ended <= orders[at].lsn, "{restored:?}");
        assert_eq!(world.orders_in(&into).await, up_to(orders, at));
        println!(
            "restored {} of {} orders from {}: fetch {:?}, replay {:?}",
            at + 1,
            orders.len(),
            restored.set,
            restored.fetch,
            restored.replay
        );
        std::fs::remove_dir_all(into).unwrap();
    }
}

/// A named point takes the set before it, although there is a newer one.
async fn by_name(world: &World, named: &Target, orders: &[Order], count: usize, full: &BackupSet) {
    let into = world.folder.join("named");
    let restored = restore(world, named, &into).await;
    assert_eq!((&restored.set, restored.reason.as_str()), (&full.label, "at restore point \"before-import\""));
    let found = world.orders_in(&into).await;
    // Between the point and our look at the list, an order may have been under way.
    assert!(found == up_to(orders, count - 1) || found == up_to(orders, count), "{} of {count}", found.len());
    std::fs::remove_dir_all(into).unwrap();
}

/// What cannot be had is refused with a reason, before anything is written.
async fn outside(world: &World, early: Lsn) {
    let into = world.folder.join("outside");
    let before = order(world, &Target::Lsn(early), into.clone()).await.unwrap_err();
    assert!(matches!(before, NoSet::BeforeFirst { .. }), "{before}");
    let end = restorable_to(world).await;
    let after = order(world, &Target::Lsn(end), into.clone()).await.unwrap_err();
    assert!(matches!(after, NoSet::AfterNewest { newest } if newest == end), "{after}");
    // An order made by hand for what is not there fails, and leaves nothing under its name.
    let inside = Target::Lsn(end.plus(0).map_or(end, |end| Lsn::new(end.byte() - 100)));
    let mut wrong = order(world, &inside, into.clone()).await.unwrap();
    wrong.target = Target::Lsn(end.plus(1 << 30).unwrap());
    let engine = world.engine(world.near());
    let error = engine.restore(&wrong, &nobody).await.unwrap_err();
    assert_eq!(error.code(), "E1016", "{error}");
    wrong.target = Target::Lsn(wrong.set.start_lsn);
    let error = engine.restore(&wrong, &nobody).await.unwrap_err();
    assert_eq!(error.code(), "E1017", "{error}");
    assert!(!into.exists());
}

/// Sets go only by name, never the last full one, never one that others need; the log goes with them.
async fn prune(world: &World) {
    let engine = world.engine(world.near());
    let before = engine.list(RepoKey::Near).await.unwrap().sets;
    let labels: Vec<_> = before.iter().map(|set| set.label.clone()).collect();
    let error = engine.prune(RepoKey::Near, &labels[..1]).await.unwrap_err();
    assert_eq!(error.code(), "E1017", "{error}");
    let error = engine.prune(RepoKey::Near, &labels).await.unwrap_err();
    assert_eq!(error.code(), "E1017", "{error}");
    let second = take(world, Kind::Full).await;
    world.switch().await;
    let old = engine.archive(RepoKey::Near).await.unwrap();
    engine.prune(RepoKey::Near, &labels).await.unwrap();
    engine.prune(RepoKey::Near, &labels).await.unwrap();
    let left = engine.list(RepoKey::Near).await.unwrap().sets;
    assert_eq!(left.iter().map(|set| &set.label).collect::<Vec<_>>(), [&second.label]);
    let new = engine.archive(RepoKey::Near).await.unwrap();
    assert!(new.segments.len() < old.segments.len(), "the log of what went is there still");
    whole(world, &[&second]).await;
}

//! `kill -9` of pgBackRest, of PostgreSQL's replay and of the process that asked for it, at random moments: asked for
//! again, each comes to its end, and nothing half made is there under its name.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use springtide_core::backup::{Kind, RepoKey, Target};
use springtide_data::backup::{BackupEngine, PgBackRest, RestoreOrder};

use crate::world::{Dice, G, Order, PASSPHRASE, World, engine_pids, nobody, site, user};

/// What this program does when it is run to be killed: `take FOLDER` or `restore FOLDER LSN INTO`.
pub async fn child(args: &[String]) {
    let folder = Path::new(&args[1]);
    let driver = crate::driver(folder);
    let environment = "shop".parse().unwrap();
    let site = site(&driver, &environment, folder, folder.join("near/pg"), PASSPHRASE);
    let engine = PgBackRest::new(driver, G, site);
    if args[0] == "take" {
        engine.take(RepoKey::Near, Kind::Full, &nobody).await.unwrap();
        return;
    }
    let target = Target::Lsn(args[2].parse().unwrap());
    let sets = engine.list(RepoKey::Near).await.unwrap().sets;
    let archive = engine.archive(RepoKey::Near).await.unwrap();
    let choice = springtide_core::backup::select(&sets, &archive, &target).unwrap();
    let order = RestoreOrder::new(&choice, target.clone(), args[3].clone().into(), user());
    engine.restore(&order, &nobody).await.unwrap();
}

/// Runs this program for `args` and kills it after `pause`; whether it had ended before.
async fn kill_us(args: &[&str], pause: Duration) -> bool {
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new(this).arg("engine").args(args).stdin(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(pause).await;
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    ended
}

/// Waits for a process of the engine and kills it after `pause`; how many there were.
async fn kill_engine(word: &str, pause: Duration) -> usize {
    for _ in 0..2000 {
        let pids = engine_pids(word);
        if !pids.is_empty() {
            tokio::time::sleep(pause).await;
            return pids.into_iter().filter(|pid| kill(*pid, Signal::SIGKILL).is_ok()).count();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    0
}

fn pause(dice: &mut Dice, most: usize) -> Duration {
    Duration::from_millis(dice.below(most) as u64)
}

pub async fn everywhere(world: &World, orders: &[Order], dice: &mut Dice) {
    takes(world, dice).await;
    let target = Target::Lsn(orders[orders.len() - 2].lsn);
    let expected: Vec<i64> = orders[..orders.len() - 1].iter().map(|order| order.number).collect();
    let into = world.folder.join("killed");
    let folder = world.folder.to_str().unwrap();
    let lsn = target.lsn().to_string();
    let mut cut = 0;
    for round in 0..6 {
        if round % 2 == 0 {
            let ended = kill_us(&["restore", folder, &lsn, into.to_str().unwrap()], pause(dice, 4000)).await;
            cut += usize::from(!ended);
        } else {
            let engine = world.engine(world.near());
            let order = crate::order(world, &target, into.clone()).await.unwrap();
            let word = if round % 4 == 1 { " restore " } else { " archive-get " };
            let (result, killed) = tokio::join!(engine.restore(&order, &nobody), kill_engine(word, pause(dice, 300)));
            cut += usize::from(killed > 0 && result.is_err());
        }
        whole_or_absent(&into);
        if round < 5 {
            // The next round has all to do again.
            let _ = std::fs::remove_dir_all(&into);
        }
    }
    println!("{cut} of 6 restores were cut off");
    assert!(cut > 0, "no restore was cut off, so nothing was tried");
    let order = crate::order(world, &target, into.clone()).await.unwrap();
    world.engine(world.near()).restore(&order, &nobody).await.unwrap();
    assert_eq!(world.orders_in(&into).await, expected);
    assert!(!into.with_extension("building").exists());
    std::fs::remove_dir_all(into).unwrap();
}

/// Under its name there is nothing, or a whole restore.
fn whole_or_absent(into: &Path) {
    assert!(!into.exists() || into.join("springtide-restore.json").exists());
}

async fn takes(world: &World, dice: &mut Dice) {
    let folder = world.folder.to_str().unwrap();
    let mut cut = 0;
    for round in 0..4 {
        let before = world.engine(world.near()).list(RepoKey::Near).await.unwrap().sets.len();
        if round % 2 == 0 {
            cut += usize::from(!kill_us(&["take", folder], pause(dice, 2500)).await);
        } else {
            let engine = world.engine(world.near());
            let (result, killed) = tokio::join!(
                engine.take(RepoKey::Near, Kind::Full, &nobody),
                kill_engine(" backup ", pause(dice, 1500))
            );
            cut += usize::from(killed > 0 && result.is_err());
        }
        let listed = world.engine(world.near()).list(RepoKey::Near).await.unwrap();
        assert!(listed.left_out.is_empty() && listed.sets.len() <= before + 1, "{listed:?}");
    }
    println!("{cut} of 4 backups were cut off");
    assert!(cut > 0, "no backup was cut off, so nothing was tried");
    let engine = world.engine(world.near());
    let set = engine.take(RepoKey::Near, Kind::Full, &nobody).await.unwrap();
    assert!(!engine.list(RepoKey::Near).await.unwrap().running);
    let found = engine.verify(RepoKey::Near).await.unwrap();
    assert!(found.is_empty(), "after cut-off backups and {}: {found:?}", set.label);
}

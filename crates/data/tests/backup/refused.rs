//! What is refused, and in which words: no repository, another key, folders that are not empty, a full disk.

use std::fs;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use springtide_core::backup::info::RepoState;
use springtide_core::backup::{Kind, Line, RepoKey, Target};
use springtide_data::backup::{BackupEngine, RestoreOrder};

use crate::world::{Order, PASSPHRASE, World, nobody, site, user};

/// A repository that was not set up.
pub async fn before_set_up(world: &World) {
    let engine = world.engine(world.near());
    let listed = engine.list(RepoKey::Near).await.unwrap();
    assert_eq!((listed.sets.len(), listed.repos.get(&RepoKey::Near)), (0, Some(&RepoState::Missing)));
    let error = engine.take(RepoKey::Near, Kind::Full, &nobody).await.unwrap_err();
    assert_eq!(error.code(), "E1014", "{error}");
}

/// Folders that hold something, a restore that was opened since, another restore.
pub async fn folders(world: &World, orders: &[Order]) {
    let engine = world.engine(world.near());
    let target = Target::Lsn(orders[orders.len() / 2].lsn);
    let into = world.folder.join("taken");
    fs::create_dir(&into).unwrap();
    fs::write(into.join("letter.txt"), "precious").unwrap();
    let order = crate::order(world, &target, into.clone()).await.unwrap();
    let error = engine.restore(&order, &nobody).await.unwrap_err();
    assert_eq!(error.code(), "E1018", "{error}");
    assert_eq!(fs::read_to_string(into.join("letter.txt")).unwrap(), "precious");
    assert!(!world.folder.join("taken.building").exists());
    // Over the environment's own data, which is running.
    let own = crate::order(world, &target, world.near().data).await.unwrap();
    let error = engine.restore(&own, &nobody).await.unwrap_err();
    assert_eq!(error.code(), "E1018", "{error}");
    // An empty folder will do; what is opened afterwards is somebody's.
    fs::remove_file(into.join("letter.txt")).unwrap();
    let restored = crate::restore(world, &target, &into).await;
    assert_eq!(restored.set, order.set.label);
    world.orders_in(&into).await;
    let error = engine.restore(&order, &nobody).await.unwrap_err();
    assert_eq!(error.code(), "E1018", "{error}");
    fs::remove_dir_all(into).unwrap();
}

/// Another passphrase reads nothing, in no command, and is told as what it is.
pub async fn keys(world: &World, orders: &[Order]) {
    let into = world.folder.join("locked");
    let order = crate::order(world, &Target::Lsn(orders[orders.len() / 2].lsn), into.clone()).await.unwrap();
    let wrong = site(&world.driver, &world.environment, &world.folder, world.near_folder(), "another-passphrase");
    let engine = world.engine(wrong);
    let errors = [
        engine.list(RepoKey::Near).await.unwrap_err(),
        engine.take(RepoKey::Near, Kind::Incr, &nobody).await.unwrap_err(),
        engine.restore(&order, &nobody).await.unwrap_err(),
        engine.verify(RepoKey::Near).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), "E1013", "{error}");
        let words = error.to_string();
        assert!(!words.contains(PASSPHRASE) && !words.contains("another-passphrase"), "{words}");
    }
    assert!(!into.exists());
    // And the right one goes on: the attempts changed nothing.
    assert!(world.engine(world.near()).verify(RepoKey::Near).await.unwrap().is_empty());
}

/// A repository on a file system that is full: told as that; with more room the next backup is whole. And a restore that
/// cannot fit does not begin.
pub async fn full_disk(world: &mut World) {
    let small = world.folder.join("small");
    fs::create_dir_all(&small).unwrap();
    mount(Some("small"), &small, Some("tmpfs"), MsFlags::empty(), Some("size=2m,mode=0711")).unwrap();
    let site = site(&world.driver, &world.environment, &world.folder, small.join("pg"), PASSPHRASE);
    world.stop().await;
    world.start(&site).await;
    let engine = world.engine(site);
    engine.prepare().await.unwrap();
    let error = engine.take(RepoKey::Near, Kind::Full, &nobody).await.unwrap_err();
    assert_eq!(error.code(), "E1015", "{error}");
    let into = small.join("restored");
    let order = RestoreOrder { into: into.clone(), ..last_order(world).await };
    let error = world.engine(world.near()).restore(&order, &nobody).await.unwrap_err();
    assert_eq!(error.code(), "E1015", "{error}");
    assert!(!into.exists());
    mount(Some("small"), &small, Some("tmpfs"), MsFlags::MS_REMOUNT, Some("size=200m")).unwrap();
    let set = engine.take(RepoKey::Near, Kind::Full, &nobody).await.unwrap();
    world.switch().await;
    let found = engine.verify(RepoKey::Near).await.unwrap();
    umount2(&small, MntFlags::MNT_DETACH).unwrap();
    assert!(found.is_empty(), "after a full disk and {}: {found:?}", set.label);
}

/// An order for the newest that the near repository has.
async fn last_order(world: &World) -> RestoreOrder {
    let set = world.engine(world.near()).list(RepoKey::Near).await.unwrap().sets.pop().unwrap();
    let target = Target::Lsn(set.stop_lsn.plus(1).unwrap());
    RestoreOrder { line: Line::alone(set.timeline), set, target, into: "/nowhere".into(), owner: user() }
}

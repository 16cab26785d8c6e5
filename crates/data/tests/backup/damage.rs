//! Damage to a repository: a segment that is gone, and random mutations of copies of it. Each must be told by
//! `verify` or by the restore; a control without any mutation must not.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use springtide_core::backup::{Continuity, NoSet, RepoKey, Segment, Target};
use springtide_data::backup::{BackupEngine, EngineError};

use crate::world::{Dice, Order, PASSPHRASE, World, nobody, site};

/// Files of a repository, by their path in it. Links and old manifests, from which nothing is restored, are none.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && entry.file_name() != "backup.history" {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    name.split('-').next().unwrap().parse::<Segment>().is_ok()
}

/// A segment in the middle is gone: the engine's own words see nothing, ours name it.
pub async fn gap(world: &World, orders: &[Order]) {
    let engine = world.engine(world.near());
    let sets = engine.list(RepoKey::Near).await.unwrap().sets;
    let archive = world.near_folder().join("archive");
    let last = engine.archive(RepoKey::Near).await.unwrap().segments.last().copied().unwrap();
    let between = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let segment: Option<Segment> = name.split('-').next().unwrap().parse().ok();
        segment.is_some_and(|segment| segment.start() > sets[1].stop_lsn && segment < last)
    };
    let gone = files(&archive).into_iter().find(between).expect("a segment after the sets and before the last");
    let name = gone.file_name().unwrap().to_string_lossy().into_owned();
    let missing: Segment = name.split('-').next().unwrap().parse().unwrap();
    let aside = world.folder.join("aside");
    fs::rename(&gone, &aside).unwrap();
    let seen = engine.wal_continuity(RepoKey::Near).await.unwrap();
    for set in &seen {
        assert!(
            matches!(set.continuity, Continuity::Gap { missing: found, count: 1, .. } if found == missing),
            "{set:?}"
        );
    }
    let found = engine.verify(RepoKey::Near).await.unwrap();
    assert!(found.iter().any(|it| it.object == missing.to_string()), "{found:?}");
    let behind = orders.iter().rev().find(|order| order.lsn < last.start()).unwrap();
    let target = Target::Lsn(behind.lsn.max(missing.end().plus(100).unwrap()));
    let refused = crate::order(world, &target, world.folder.join("gap")).await.unwrap_err();
    assert_eq!(refused, NoSet::Gap { missing, up_to: missing.start() });
    // An order that was made before the segment went ends loudly, with nothing under its name.
    fs::rename(&aside, &gone).unwrap();
    let order = crate::order(world, &target, world.folder.join("gap")).await.unwrap();
    fs::rename(&gone, &aside).unwrap();
    let error = engine.restore(&order, &nobody).await.unwrap_err();
    assert!(matches!(&error, EngineError::WalGap { segment: Some(found), .. } if *found == missing), "{error}");
    assert!(!order.into.exists());
    fs::rename(&aside, &gone).unwrap();
    // Control: with it there, all is whole.
    let seen = engine.wal_continuity(RepoKey::Near).await.unwrap();
    assert!(seen.iter().all(|set| matches!(set.continuity, Continuity::Whole { .. })), "{seen:?}");
    println!("gap at {missing} was found");
}

#[derive(Debug, Clone, Copy)]
enum Mutation {
    Flip,
    Truncate,
    Delete,
}

fn mutate(path: &Path, mutation: Mutation, dice: &mut Dice) -> String {
    let length = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
    match mutation {
        Mutation::Flip => {
            let (at, bit) = (dice.below(length), dice.below(8));
            let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at as u64).unwrap();
            file.write_all_at(&[byte[0] ^ 1 << bit], at as u64).unwrap();
            format!("bit {bit} of byte {at}")
        }
        Mutation::Truncate => {
            let to = dice.below(length);
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(to as u64).unwrap();
            format!("cut to {to} of {length}")
        }
        Mutation::Delete => {
            fs::remove_file(path).unwrap();
            "deleted".into()
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// Random mutations: how many is said by `SPRINGTIDE_MUTATIONS` (20).
pub async fn mutations(world: &World, orders: &[Order], dice: &mut Dice) {
    let rounds: usize = std::env::var("SPRINGTIDE_MUTATIONS").map_or(20, |text| text.parse().unwrap());
    let copied = world.folder.join("mutated");
    let engine = || {
        let site = site(&world.driver, &world.environment, &world.folder, copied.clone(), PASSPHRASE);
        world.engine(site)
    };
    copy(&world.near_folder(), &copied);
    assert!(engine().verify(RepoKey::Near).await.unwrap().is_empty(), "control: a copy is as good as the original");
    let order = crate::order(world, &Target::Lsn(orders[orders.len() - 2].lsn), world.folder.join("from-mutated"))
        .await
        .unwrap();
    let needed = |path: &Path| path.to_string_lossy().contains(order.set.label.as_str());
    for round in 0..rounds {
        copy(&world.near_folder(), &copied);
        let all = files(&copied);
        let by = |pattern: &str| all.iter().filter(|path| path.to_string_lossy().contains(pattern)).cloned().collect();
        let kinds: [Vec<PathBuf>; 4] = [
            all.iter().filter(|path| is_segment(path)).cloned().collect(),
            by("backup.manifest"),
            by(".info"),
            all.iter()
                .filter(|path| {
                    path.to_string_lossy().contains("/backup/")
                        && !path.to_string_lossy().contains(".manifest")
                        && !path.to_string_lossy().contains(".info")
                })
                .cloned()
                .collect(),
        ];
        let path = dice.one(&kinds[round % 4]).clone();
        let mutation = *dice.one(&[Mutation::Flip, Mutation::Truncate, Mutation::Delete]);
        let how = mutate(&path, mutation, dice);
        let below = path.strip_prefix(&copied).unwrap().display().to_string();
        let by_verify = match engine().verify(RepoKey::Near).await {
            Ok(found) if found.is_empty() => None,
            Ok(found) => Some(format!("{}: {}", found[0].object, found[0].words)),
            Err(error) => Some(error.to_string()),
        };
        // Data of the set itself is what only a restore reads for certain.
        let by_restore = if by_verify.is_none() || (round % 4 == 3 && needed(&path)) {
            let result = engine().restore(&order, &nobody).await;
            let _ = fs::remove_dir_all(&order.into);
            result.err().map(|error| error.to_string())
        } else {
            None
        };
        println!("mutation {round}: {below}, {how} → verify: {by_verify:?}, restore: {by_restore:?}");
        assert!(by_verify.is_some() || by_restore.is_some(), "{below}, {how}: nobody noticed");
        assert!(round % 4 != 3 || !needed(&path) || by_restore.is_some(), "{below}, {how}: it was restored from");
    }
    fs::remove_dir_all(copied).unwrap();
}

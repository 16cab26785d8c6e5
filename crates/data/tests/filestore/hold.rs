//! Odoo's collection and the mirror: whatever a row named at any instant is in the mirror, if the collection waits.

use std::collections::BTreeSet;
use std::fs;

use springtide_data::filestore::{FileName, FilesKey, Mirror, PushOptions, Sample, acknowledge};

use super::odoo::{Odoo, Place, content, quick};
use super::stores::Store;

/// A week of an Odoo that makes and gives up files all day. Returns what rows named at some instant and the mirror
/// lacks at the end.
async fn week(mirror: &Mirror, odoo: &mut Odoo, held: bool) -> BTreeSet<FileName> {
    let mut ever = BTreeSet::new();
    let mut number = 0;
    for _day in 0..7 {
        for turn in 0..6 {
            for _ in 0..3 {
                number += 1;
                ever.insert(odoo.create(&content(number, 2_000)));
            }
            // Every other one is given up at once, before any push sees it.
            let given_up = odoo.create(&content(10_000 + number, 2_000));
            ever.insert(given_up);
            odoo.unlink(&given_up);
            // An older one is given up as well, and one comes again that was collected before.
            if let Some(old) = odoo.rows.iter().nth(turn).copied() {
                odoo.unlink(&old);
            }
            if turn == 3 && number > 20 {
                let again = odoo.create(&content(number - 20, 2_000));
                odoo.unlink(&again);
            }
            // The last files of a day come after the day's last push and before the collection.
            if turn < 5 {
                mirror.push(&odoo.filestore(), &quick()).await.unwrap();
            }
        }
        odoo.collect(held);
    }
    mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    let verified = mirror.verify(&Sample::Names(ever)).await.unwrap();
    assert!(verified.damaged.is_empty() && verified.unread.is_empty());
    verified.missing.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_collected_before_it_is_mirrored() {
    let key = FilesKey::generate();
    let (place, mut odoo) = (Place::new("near", Store::memory(), &key), Odoo::new());
    let lacking = week(&place.mirror, &mut odoo, true).await;
    assert!(lacking.is_empty(), "{lacking:?}");
    // It does collect: garbage that was acknowledged is gone.
    let there = odoo.filestore();
    let left = fs::read_dir(odoo.folder()).unwrap().flatten().filter(|it| it.file_name().len() == 2);
    let files: usize = left.map(|it| fs::read_dir(it.path()).unwrap().count()).sum();
    assert!(files < odoo.rows.len() + 15, "{files} files for {} rows", odoo.rows.len());
    drop(there);

    // The control: an Odoo whose collection does not wait loses some for good.
    let (place, mut odoo) = (Place::new("near", Store::memory(), &key), Odoo::new());
    let lacking = week(&place.mirror, &mut odoo, false).await;
    assert!(lacking.len() >= 7, "without the hold only {lacking:?} were lost, so the week tries nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_every_mirror_has_is_acknowledged() {
    let mut odoo = Odoo::new();
    let first = odoo.create(b"first");
    let place = Place::new("near", Store::memory(), &FilesKey::generate());
    let marker = odoo.folder().join("springtide_mirrored");
    let silent = PushOptions { acknowledge: false, ..quick() };
    let pushed = place.mirror.push(&odoo.filestore(), &silent).await.unwrap();
    assert!(pushed.acknowledged.is_err() && !marker.exists());
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    assert_eq!(fs::read_to_string(&marker).unwrap(), format!("{first}\n"));
    // A file that is no part of the filestore cannot be written over by way of a link.
    let precious = odoo.data.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    fs::remove_file(&marker).unwrap();
    std::os::unix::fs::symlink(&precious, &marker).unwrap();
    std::os::unix::fs::symlink(&precious, odoo.folder().join(".springtide_mirrored.writing")).unwrap();
    let pushed = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    assert_eq!(pushed.acknowledged, Ok(1));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(!fs::symlink_metadata(&marker).unwrap().is_symlink());
    // Where two mirrors are pushed to apart, only what both have counts.
    let far = Place::new("far", Store::memory(), &place.key);
    let both = [&place.mirror, &far.mirror];
    assert_eq!(acknowledge(&odoo.filestore(), &both).await.unwrap(), 0);
    assert_eq!(fs::read_to_string(&marker).unwrap(), "");
    far.mirror.push(&odoo.filestore(), &silent).await.unwrap();
    assert_eq!(fs::read_to_string(&marker).unwrap(), "");
    assert_eq!(acknowledge(&odoo.filestore(), &both).await.unwrap(), 1);
    assert_eq!(fs::read_to_string(&marker).unwrap(), format!("{first}\n"));
    // What is being looked at by a collection is told as well.
    let hex = first.to_string();
    let (from, to) = (odoo.folder().join("checklist"), odoo.folder().join("springtide_due"));
    fs::create_dir_all(to.join(&hex[..2])).unwrap();
    fs::rename(from.join(&hex[..2]).join(&hex), to.join(&hex[..2]).join(&hex)).unwrap();
    assert_eq!(place.mirror.push(&odoo.filestore(), &quick()).await.unwrap().acknowledged, Ok(1));
}

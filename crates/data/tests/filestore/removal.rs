//! Removing objects that nobody can need, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use springtide_data::filestore::{Due, FilesKey, Keep, Missing, Sample, collect};

use super::odoo::{Odoo, Place, content, quick};
use super::stores::Store;

const DAY: u64 = 24 * 3600;
const KEEP: Keep = Keep { window: Duration::from_secs(14 * DAY), legal_hold: false };

/// Due by pure decisions over sixteen daily looks.
fn due(
    stored: &BTreeSet<springtide_data::filestore::FileName>,
    named: &BTreeSet<springtide_data::filestore::FileName>,
) -> Due {
    let mut missing = Missing::default();
    let mut last = Due::default();
    for day in 1..=17 {
        let collected = collect(&KEEP, day * DAY, &missing, stored, named);
        (missing, last) = (collected.missing, collected.due);
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_goes_and_what_came_back_stays() {
    for (kind, store) in Store::all() {
        let mut odoo = Odoo::new();
        let names: Vec<_> = (0..4).map(|number| odoo.create(&content(number, 3_000))).collect();
        let place = Place::new("near", store, &FilesKey::generate());
        place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
        for name in &names[..3] {
            odoo.unlink(name);
        }
        odoo.collect(true);
        assert!(!odoo.path(&names[0]).exists());
        let stored: BTreeSet<_> = names.iter().copied().collect();
        let due = due(&stored, &odoo.rows);
        assert_eq!(due.names().copied().collect::<BTreeSet<_>>(), names[..3].iter().copied().collect(), "{kind}");
        // One comes back between the decision and the act.
        odoo.create(&content(1, 3_000));
        let removed = place.mirror.remove(due, &odoo.filestore()).await.unwrap();
        assert_eq!(
            (removed.back.as_slice(), removed.removed.len(), removed.failed.len()),
            ([names[1]].as_slice(), 2, 0)
        );
        assert!(!place.store.has(&names[0].object()).await && place.store.has(&names[1].object()).await, "{kind}");
        let verified = place.mirror.verify(&Sample::All).await.unwrap();
        assert!(verified.good() && verified.good == 2, "{kind}: what was removed is not called missing: {verified:?}");
        // What is made again is sent again, also with an index that is not listed anew.
        odoo.create(&content(0, 3_000));
        let continuous = springtide_data::filestore::PushOptions::continuous();
        let pushed = place.mirror.push(&odoo.filestore(), &continuous).await.unwrap();
        assert!(pushed.new == 1 && place.store.has(&names[0].object()).await, "{kind}: {pushed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_are_kept_beside_the_index_and_pushes_forget_what_is_there_again() {
    let mut odoo = Odoo::new();
    let (stays, goes) = (odoo.create(b"stays"), odoo.create(b"goes"));
    let place = Place::new("near", Store::memory(), &FilesKey::generate());
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    odoo.unlink(&goes);
    // Named by no row, and its file is there still: not missing.
    let looked = place.mirror.look(&KEEP, &odoo.filestore(), odoo.rows.clone()).await.unwrap();
    assert_eq!((looked.missing.since.len(), looked.due.names().count()), (0, 0));
    odoo.collect(true);
    let first = place.mirror.look(&KEEP, &odoo.filestore(), odoo.rows.clone()).await.unwrap();
    assert_eq!(first.missing.since.keys().collect::<Vec<_>>(), [&goes]);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let second = place.mirror.look(&KEEP, &odoo.filestore(), odoo.rows.clone()).await.unwrap();
    assert_eq!(second.missing.since, first.missing.since, "since when is kept");
    assert!(second.missing.last_look > first.missing.last_look && !second.anew);
    // It came and went between two looks; a push saw it.
    odoo.create(b"goes");
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    odoo.unlink(&goes);
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    odoo.collect(true);
    let third = place.mirror.look(&KEEP, &odoo.filestore(), odoo.rows.clone()).await.unwrap();
    assert!(third.missing.since[&goes] > first.missing.since[&goes], "waiting began anew");
    // Damaged records make everything wait anew, and nothing due.
    let record = place.local.path().join("files/missing.json");
    fs::write(&record, b"{\"last_look\": 1").unwrap();
    let fourth = place.mirror.look(&KEEP, &odoo.filestore(), odoo.rows.clone()).await.unwrap();
    assert!(fourth.anew && fourth.due.names().count() == 0);
    assert!(place.store.has(&stays.object()).await && place.store.has(&goes.object()).await);
    // Without a filestore nobody knows what is there: nothing is decided.
    let filestore = odoo.filestore();
    fs::remove_dir_all(odoo.folder()).unwrap();
    assert!(springtide_data::filestore::Filestore::open(odoo.data.path(), "shop").is_err());
    drop(filestore);
}

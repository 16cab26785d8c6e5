//! Restoring into a folder: what rows name and nothing else, proven, from near and else from far.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use object_store::ObjectStoreExt as _;
use springtide_core::workload::UserSpec;
use springtide_data::filestore::{FilesKey, Filestore, Row, check, push, restore};

use super::odoo::{Odoo, Place, content, quick};
use super::stores::Store;

const OWNER: UserSpec = UserSpec { uid: 2_100_007, gid: 2_100_010 };

#[tokio::test(flavor = "multi_thread")]
async fn what_near_lacks_or_has_damaged_comes_from_far_and_is_told() {
    let mut odoo = Odoo::new();
    let names: Vec<_> = (0..6).map(|number| odoo.create(&content(number, 90_000))).collect();
    let key = FilesKey::generate();
    let (near, far) = (Place::new("near", Store::folder(), &key), Place::new("far", Store::memory(), &key));
    push(&odoo.filestore(), &[&near.mirror, &far.mirror], &quick()).await.unwrap();
    near.store.store.delete(&names[0].object()).await.unwrap();
    let mut flipped = near.store.bytes(&names[1].object()).await;
    flipped[50_000] ^= 4;
    near.store.put(&names[1].object(), flipped).await;
    // Both lack one, and both have one damaged.
    for place in [&near, &far] {
        place.store.store.delete(&names[2].object()).await.unwrap();
        place.store.put(&names[3].object(), b"nothing of age's".to_vec()).await;
    }
    let into = odoo.data.path().join("copy");
    let alone = restore(odoo.rows(), &into, OWNER, &near.mirror, None).await.unwrap();
    assert_eq!((alone.files, alone.lost.len(), alone.from_far.len()), (2, 4, 0), "{alone:?}");

    let restored = restore(odoo.rows(), &into, OWNER, &near.mirror, Some(&far.mirror)).await.unwrap();
    assert_eq!((restored.files, restored.kept, restored.whole()), (4, 2, false), "{restored:?}");
    let from_far: BTreeMap<_, _> = restored.from_far.into_iter().collect();
    assert_eq!(from_far.len(), 2);
    assert_eq!(from_far[&names[0]], "near: missing");
    assert_eq!(from_far[&names[1]], "near: damaged: it cannot be decrypted");
    let lost: BTreeMap<_, _> = restored.lost.into_iter().collect();
    assert_eq!(lost[&names[2]], "near: missing; far: missing");
    assert!(lost[&names[3]].contains("far: damaged") && lost.len() == 2, "{lost:?}");

    // Nothing of what was lost lies there, not even beside its name.
    let there =
        fs::read_dir(&into).unwrap().flatten().flat_map(|it| fs::read_dir(it.path()).unwrap().flatten()).count();
    assert_eq!(there, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_where_it_was_cut_off_and_mends_what_is_wrong() {
    let mut odoo = Odoo::new();
    let names: Vec<_> = (0..5).map(|number| odoo.create(&content(number, 40_000))).collect();
    let place = Place::new("near", Store::folder(), &FilesKey::generate());
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    let data = odoo.data.path().join("new");
    let into = data.join("filestore/shop");
    fs::create_dir_all(into.parent().unwrap()).unwrap();
    let first = restore(odoo.rows(), &into, OWNER, &place.mirror, None).await.unwrap();
    assert_eq!((first.files, first.kept, first.bytes), (5, 0, 200_000));
    let path = |at: usize| into.join(&names[at].to_string()[..2]).join(names[at].to_string());
    for entry in [into.clone(), path(0).parent().unwrap().to_owned(), path(0)] {
        let meta = fs::metadata(&entry).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (OWNER.uid, OWNER.gid), "{}", entry.display());
        assert_eq!(meta.mode() & 0o7777, if meta.is_dir() { 0o2770 } else { 0o660 }, "{}", entry.display());
    }
    // One of the right size and wrong, one cut off, one gone, one a link to something of the same content.
    fs::write(path(0), content(77, 40_000)).unwrap();
    fs::write(path(1), &content(1, 40_000)[..9_000]).unwrap();
    fs::remove_file(path(2)).unwrap();
    let aside = data.join("aside");
    fs::rename(path(3), &aside).unwrap();
    symlink(&aside, path(3)).unwrap();
    // What a restore that was killed left beside a name.
    fs::write(path(2).with_extension("restoring"), b"half").unwrap();
    let of_it = Filestore::open(&data, "shop").unwrap();
    let checked = check(&of_it, odoo.rows(), 2).await.unwrap();
    assert_eq!((checked.good, checked.damaged.len() + checked.unread.len()), (1, 4), "{checked:?}");
    let again = restore(odoo.rows(), &into, OWNER, &place.mirror, None).await.unwrap();
    assert_eq!((again.files, again.kept, again.whole()), (5, 1, true), "{again:?}");
    let checked = check(&of_it, odoo.rows(), 2).await.unwrap();
    assert!(checked.good() && checked.good == 5, "{checked:?}");
    assert!(!fs::symlink_metadata(path(3)).unwrap().is_symlink() && !path(2).with_extension("restoring").exists());
    assert_eq!(restore(odoo.rows(), &into, OWNER, &place.mirror, None).await.unwrap().kept, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_not_believed() {
    let mut odoo = Odoo::new();
    let name = odoo.create(&content(1, 1_000));
    let place = Place::new("near", Store::memory(), &FilesKey::generate());
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    let row = |store_fname: &str, size| Row { store_fname: store_fname.to_owned(), checksum: None, size };
    let good = format!("{}/{name}", &name.to_string()[..2]);
    let into = odoo.data.path().join("copy");
    let rows = [
        row("../../../../etc/cron.d/evil", None),
        row("/etc/passwd", None),
        row(&format!("../{}", &good), None),
        row(&format!("{good}/../../x"), None),
        row("checklist/../x", None),
        row("", None),
    ];
    let restored = restore(rows, &into, OWNER, &place.mirror, None).await.unwrap();
    assert_eq!((restored.refused.len(), restored.files, restored.whole()), (6, 0, false));
    assert_eq!(fs::read_dir(&into).unwrap().count(), 0);
    // A size that the row tells and the file does not have.
    let lied = restore([row(&good, Some(999))], &into, OWNER, &place.mirror, None).await.unwrap();
    assert_eq!(lied.lost, [(name, "near: has 1000 bytes where 999 were told".to_owned())]);
    // Old names of three digits are restored where the row looks for them.
    let old = format!("{}/{name}", &name.to_string()[..3]);
    let restored =
        restore([row(&good, Some(1_000)), row(&old, None)], &into, OWNER, &place.mirror, None).await.unwrap();
    assert!(restored.whole(), "{restored:?}");
    assert!(into.join(&good).is_file() && into.join(&old).is_file());
    // A link where the folder belongs is refused.
    let linked = odoo.data.path().join("linked");
    symlink(&into, &linked).unwrap();
    assert!(restore([row(&good, None)], &linked, OWNER, &place.mirror, None).await.is_err());
    // The wrong key gives nothing, and says so.
    let other = Place::new("near", place.store.clone(), &FilesKey::generate());
    let lost = restore([row(&good, None)], &odoo.data.path().join("none"), OWNER, &other.mirror, None).await.unwrap();
    assert_eq!(lost.lost, [(name, "near: encrypted for another key".to_owned())]);
}

//! Every kind of damage in the mirror is found and named; without damage nothing is.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use object_store::ObjectStoreExt as _;
use springtide_data::filestore::{Damage, FileName, FilesError, FilesKey, PushOptions, Sample, sha1_of};

use super::odoo::{Odoo, Place, content, quick};
use super::stores::{Failing, Store};

async fn filled(store: Store) -> (Odoo, Place, Vec<FileName>) {
    let mut odoo = Odoo::new();
    let names = (0..6).map(|number| odoo.create(&content(number, 70_000 + number))).collect();
    let place = Place::new("near", store, &FilesKey::generate());
    place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    (odoo, place, names)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_is_found_and_named() {
    for (kind, store) in Store::all() {
        let (_odoo, place, names) = filled(store).await;
        let object = names[3].object();
        let whole = place.store.bytes(&object).await;
        // Header, key share, its end, the nonce and the first chunk, both sides of the second, the last tag.
        let places = [0, 30, 60, 120, 200, 400, 2_000, 65_000, 66_500, whole.len() - 17, whole.len() - 1];
        for at in places {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            place.store.put(&object, bytes).await;
            let verified = place.mirror.verify(&Sample::All).await.unwrap();
            let [(named, damage)] = verified.damaged.as_slice() else { panic!("{kind}, byte {at}: {verified:?}") };
            assert_eq!(*named, object.to_string(), "{kind}, byte {at}");
            assert!(matches!(damage, Damage::Broken | Damage::OtherKey), "{kind}, byte {at}: {damage}");
            assert_eq!((verified.good, verified.checked, verified.code()), (5, 6, Some("E1027")), "{kind}, byte {at}");
        }
        place.store.put(&object, whole).await;
        assert!(place.mirror.verify(&Sample::All).await.unwrap().good(), "{kind}: put back, it is good");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_cut_off_swapped_or_of_another_key_is_found_and_named() {
    for (kind, store) in Store::all() {
        let (_odoo, place, names) = filled(store).await;
        let objects: Vec<_> = names.iter().map(FileName::object).collect();
        place.store.store.delete(&objects[0]).await.unwrap();
        let cut = place.store.bytes(&objects[1]).await;
        place.store.put(&objects[1], cut[..cut.len() - 100].to_vec()).await;
        let (one, other) = (place.store.bytes(&objects[2]).await, place.store.bytes(&objects[3]).await);
        place.store.put(&objects[2], other).await;
        place.store.put(&objects[3], one).await;
        // Whole and right, and for somebody else's key.
        let stranger = FilesKey::generate();
        let elsewhere = Place::new("elsewhere", Store::memory(), &stranger);
        let mut his = Odoo::new();
        assert_eq!(his.create(&content(4, 70_004)), names[4]);
        elsewhere.mirror.push(&his.filestore(), &quick()).await.unwrap();
        place.store.put(&objects[4], elsewhere.store.bytes(&objects[4]).await).await;

        let verified = place.mirror.verify(&Sample::All).await.unwrap();
        assert_eq!((verified.missing.as_slice(), verified.good), ([names[0]].as_slice(), 1), "{kind}: {verified:?}");
        let mut expected = vec![
            (objects[1].to_string(), Damage::Broken),
            (objects[2].to_string(), Damage::Content { found: names[3] }),
            (objects[3].to_string(), Damage::Content { found: names[2] }),
            (objects[4].to_string(), Damage::OtherKey),
        ];
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(verified.damaged, expected, "{kind}");
        assert_eq!(verified.code(), Some("E1027"), "{kind}");

        // By name, and by what a database names beyond that.
        let never = sha1_of(b"never pushed");
        let asked = Sample::Names(BTreeSet::from([names[5], names[0], never]));
        let verified = place.mirror.verify(&asked).await.unwrap();
        let mut lacking = vec![names[0], never];
        lacking.sort();
        assert_eq!((verified.good, verified.missing), (1, lacking), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_object_is_mended_by_the_next_listing_and_an_empty_one_too() {
    let (odoo, place, names) = filled(Store::folder()).await;
    let whole = place.store.bytes(&names[0].object()).await;
    place.store.put(&names[0].object(), whole[..whole.len() / 2].to_vec()).await;
    place.store.put(&names[1].object(), Vec::new()).await;
    let pushed = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap();
    let mut expected = vec![names[0], names[1]];
    expected.sort();
    assert_eq!((&pushed.places[0].mended, pushed.new), (&expected, 2), "{pushed:?}");
    assert!(place.mirror.verify(&Sample::All).await.unwrap().good());
    // Damage of the same size is not seen by a listing: verifying is for that.
    let mut flipped = place.store.bytes(&names[2].object()).await;
    flipped[1_000] ^= 1;
    place.store.put(&names[2].object(), flipped).await;
    assert_eq!(place.mirror.push(&odoo.filestore(), &quick()).await.unwrap().new, 0);
    place.store.store.delete(&names[3].object()).await.unwrap();
    let verified = place.mirror.verify(&Sample::All).await.unwrap();
    assert_eq!((verified.damaged.len(), verified.missing.len()), (1, 1));
    // What was found is sent again, with an index that is not listed anew as well.
    let again = PushOptions { again: verified.again(), ..PushOptions::continuous() };
    let pushed = place.mirror.push(&odoo.filestore(), &again).await.unwrap();
    assert_eq!((pushed.new, pushed.skipped), (2, 4), "{pushed:?}");
    assert!(place.mirror.verify(&Sample::All).await.unwrap().good());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_is_refused_before_anything_is_sent_or_judged() {
    let (mut odoo, place, _) = filled(Store::memory()).await;
    odoo.create(b"one more");
    let other = Place::new("near", place.store.clone(), &FilesKey::generate());
    let pushed = other.mirror.push(&odoo.filestore(), &quick()).await.unwrap_err();
    assert!(matches!(&pushed, FilesError::OtherKey { place } if place == "near") && pushed.code() == "E1021");
    let verified = other.mirror.verify(&Sample::All).await.unwrap_err();
    assert!(matches!(&verified, FilesError::OtherKey { .. }));
    assert!(!place.store.has(&sha1_of(b"one more").object()).await);
    assert_eq!(place.mirror.push(&odoo.filestore(), &quick()).await.unwrap().new, 1, "its own key is taken");

    // An identity that somebody scribbled over stops pushes, not proofs.
    place.store.put(&"files/mirror.json".into(), b"{}".to_vec()).await;
    assert!(matches!(place.mirror.push(&odoo.filestore(), &quick()).await, Err(FilesError::Garbled { .. })));
    let verified = place.mirror.verify(&Sample::All).await.unwrap();
    assert_eq!((verified.good, verified.damaged.len()), (7, 1));
    assert_eq!(verified.damaged[0].0, "files/mirror.json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_is_not_called_damage() {
    let failing = Failing::new(Store::memory().store);
    let (_odoo, place, _) = filled(Store::of(failing.clone())).await;
    let sample = Sample::Share { seed: "day".to_owned(), share: 1.1 };
    assert!(place.mirror.verify(&sample).await.unwrap().good());
    // The identity and the list are had, then the store goes.
    failing.reads_left.store(1, Ordering::SeqCst);
    let verified = place.mirror.verify(&sample).await.unwrap();
    assert_eq!((verified.unread.len(), verified.damaged.len(), verified.missing.len()), (6, 0, 0), "{verified:?}");
    assert_eq!((verified.good(), verified.code()), (false, Some("E1028")));
    assert!(verified.unread.iter().all(|(object, why)| object.starts_with("files/") && why.contains("near")));
}

//! The contract again, behind S3: versitygw with TLS, versions and Object Lock.

use object_store::ObjectStoreExt as _;
use springtide_data::filestore::{FilesKey, Sample};
use springtide_data::objects::{Keys, Place as S3, open_with};

use super::contract::round_trip;
use super::odoo::{Odoo, Place, content, quick};
use super::stores::Store;
use super::versity::{Versity, patience};

#[tokio::test(flavor = "multi_thread")]
async fn behind_s3_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut versity = Versity::start(folder.path()).await;
    let store = Store::of(open_with(&versity.place(), "round", &patience()).unwrap());
    round_trip("versitygw", store).await;

    // Damage, deletion and a swap, named; then mended by what Odoo has.
    let store = Store::of(open_with(&versity.place(), "damage", &patience()).unwrap());
    let mut odoo = Odoo::new();
    let names: Vec<_> = (0..5).map(|number| odoo.create(&content(number, 80_000))).collect();
    let place = Place::new("far", store.clone(), &FilesKey::generate());
    assert_eq!(place.mirror.push(&odoo.filestore(), &quick()).await.unwrap().new, 5);
    let mut flipped = store.bytes(&names[0].object()).await;
    flipped[40_000] ^= 2;
    store.put(&names[0].object(), flipped).await;
    store.store.delete(&names[1].object()).await.unwrap();
    store.put(&names[2].object(), store.bytes(&names[3].object()).await).await;
    let verified = place.mirror.verify(&Sample::All).await.unwrap();
    let mut named: Vec<String> = verified.damaged.iter().map(|(object, _)| object.clone()).collect();
    named.sort();
    let mut expected = vec![names[0].object().to_string(), names[2].object().to_string()];
    expected.sort();
    assert_eq!((named, verified.missing.as_slice(), verified.good), (expected, [names[1]].as_slice(), 2));
    let again = springtide_data::filestore::PushOptions { again: verified.again(), ..quick() };
    assert_eq!(place.mirror.push(&odoo.filestore(), &again).await.unwrap().new, 3);
    assert!(place.mirror.verify(&Sample::All).await.unwrap().good());

    // Keys that are refused, and a store that is away, are told as such.
    let strangers = Keys { secret: "not-the-secret-of-anybody".to_owned().into(), ..versity.place.keys.clone() };
    let refused = S3::S3(springtide_data::objects::S3Place { keys: strangers, ..versity.place.clone() });
    let refused = Place::new("far", Store::of(open_with(&refused, "damage", &patience()).unwrap()), &place.key);
    let error = refused.mirror.push(&odoo.filestore(), &quick()).await.unwrap_err();
    assert_eq!(error.code(), "E1004", "{error}");
    versity.stop();
    let error = place.mirror.push(&odoo.filestore(), &quick()).await.unwrap_err();
    assert_eq!(error.code(), "E1003", "{error}");
    assert!(error.to_string().contains("far"), "{error}");
    versity.start_again().await;
    assert_eq!(place.mirror.push(&odoo.filestore(), &quick()).await.unwrap().skipped, 5);
}

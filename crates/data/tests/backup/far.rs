//! The same engine with a far repository behind S3 over TLS: versitygw, as for the stores' own tests. The near one stays
//! a folder; the server archives into both.

use std::time::{Duration, Instant};

use springtide_core::backup::conf::{Place, Repo};
use springtide_core::backup::{Continuity, Kind, RepoKey, Target, select};
use springtide_data::backup::{BackupEngine, RestoreOrder, Site};

use crate::stores::Versity;
use crate::world::{World, Writer, nobody, user};

/// The near site with a far repository in `store`, opened with `secret`.
fn both(world: &World, store: &Versity, secret: &str, passphrase: &str) -> Site {
    let mut site = world.near();
    let place = Place::S3 {
        // Its certificate has this name too; the engine compares names, not addresses.
        host: "localhost".into(),
        port: store.port,
        region: store.place.region.clone(),
        bucket: store.place.bucket.clone(),
        prefix: "/shop/pg".into(),
        own_authority: true,
        access_key: store.place.keys.access.clone().into(),
        secret_key: secret.to_owned().into(),
    };
    site.conf.repos.push(Repo { key: RepoKey::Far, place, passphrase: passphrase.to_owned().into() });
    site.authorities.insert(RepoKey::Far, std::fs::read_to_string(&store.authority).unwrap());
    site
}

const FAR: &str = "another-passphrase-for-afar";

pub async fn all(world: &mut World) {
    use secrecy::ExposeSecret as _;
    let mut store = Versity::start(&world.folder.join("store")).await;
    let secret = store.place.keys.secret.expose_secret().to_owned();
    let site = both(world, &store, &secret, FAR);
    world.stop().await;
    world.start(&site).await;
    let engine = world.engine(site);
    engine.prepare().await.unwrap();
    engine.prepare().await.unwrap();
    let writer = Writer::start(world).await;
    let before = writer.so_far().first().map_or(0, |order| order.number);
    let since = Instant::now();
    let full = engine.take(RepoKey::Far, Kind::Full, &nobody).await.unwrap();
    println!("far: took {} in {:?}", full.label, since.elapsed());
    assert_eq!(full.repo, RepoKey::Far);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let incr = engine.take(RepoKey::Far, Kind::Incr, &nobody).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.switch().await;
    let orders = writer.stop().await;
    assert!(orders.len() > 10 && orders[0].number > before);
    world.switch().await;
    // A set of one repository is none of the other.
    let near = engine.list(RepoKey::Near).await.unwrap().sets;
    assert!(near.iter().all(|set| set.label != full.label && set.label != incr.label));
    let sets = engine.list(RepoKey::Far).await.unwrap().sets;
    assert_eq!(sets.iter().map(|set| &set.label).collect::<Vec<_>>(), [&full.label, &incr.label]);
    for repo in RepoKey::ALL {
        let seen = engine.wal_continuity(repo).await.unwrap();
        assert!(seen.iter().all(|set| matches!(set.continuity, Continuity::Whole { .. })), "{repo}: {seen:?}");
    }
    let found = engine.verify(RepoKey::Far).await.unwrap();
    assert!(found.is_empty(), "{found:?}");

    let at = orders.iter().position(|order| order.lsn > incr.stop_lsn).unwrap() + 2;
    let target = Target::Lsn(orders[at].lsn);
    let archive = engine.archive(RepoKey::Far).await.unwrap();
    let choice = select(&sets, &archive, &target).unwrap();
    assert_eq!(choice.set.label, incr.label);
    let order = RestoreOrder::new(&choice, target.clone(), world.folder.join("from-far"), user());
    let restored = engine.restore(&order, &nobody).await.unwrap();
    println!("far: restored in {:?} and {:?}", restored.fetch, restored.replay);
    let numbers = world.orders_in(&order.into).await;
    assert_eq!(numbers.last(), Some(&orders[at].number));
    assert_eq!(numbers.len() as i64, orders[at].number, "none is missing");

    let wrong = world.engine(both(world, &store, "wrong-secret-key-of-nobody", FAR));
    let error = wrong.list(RepoKey::Far).await.unwrap_err();
    assert_eq!(error.code(), "E1012", "{error}");
    assert!(!error.to_string().contains("wrong-secret-key"));
    let locked = world.engine(both(world, &store, &secret, "not-the-passphrase"));
    let error = locked.list(RepoKey::Far).await.unwrap_err();
    assert_eq!(error.code(), "E1013", "{error}");
    // While the far one is away, the near one is listed and restored from as ever.
    store.stop();
    let error = engine.list(RepoKey::Far).await.unwrap_err();
    assert_eq!(error.code(), "E1011", "{error}");
    assert!(!engine.list(RepoKey::Near).await.unwrap().sets.is_empty());
    store.start_again().await;
    assert_eq!(engine.list(RepoKey::Far).await.unwrap().sets.len(), 2);
    // While it is there still: a server that stops waits for its archiver.
    world.stop().await;
    let near = world.near();
    world.start(&near).await;
    println!("far: all of it");
}

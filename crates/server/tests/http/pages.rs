//! Lists, page by page.

use crate::rig::{Rig, told};

#[tokio::test]
async fn pages_hold_everything_once() {
    let rig = Rig::new().await;
    rig.apply().await;
    for (list, key) in [("operations", "id"), ("events", "id")] {
        let all = rig.get(&format!("/api/v1/{list}?limit=500")).await;
        let all: Vec<u64> = all["items"].as_array().unwrap().iter().map(|it| it[key].as_u64().unwrap()).collect();
        assert!(all.len() >= 2, "{list} {all:?}");
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        while seen.len() < all.len() {
            let page = rig.get(&format!("/api/v1/{list}?limit=2{cursor}")).await;
            let items = page["items"].as_array().unwrap();
            assert!((1..=2).contains(&items.len()), "{page}");
            seen.extend(items.iter().map(|it| it[key].as_u64().unwrap()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen[..all.len()], all, "{list}");
    }
    let of = |name: &str| format!("/api/v1/operations?environment={name}");
    let prod = rig.get(&of("prod")).await;
    assert!(prod["items"].as_array().unwrap().iter().all(|it| it["environment"] == "prod"), "{prod}");
    assert!(!prod["items"].as_array().unwrap().is_empty());
    assert!(rig.get(&of("nobody")).await["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_cursor_or_number_that_is_none_is_refused() {
    let rig = Rig::new().await;
    rig.apply().await;
    let next = rig.get("/api/v1/operations?limit=1").await["next"].as_str().unwrap().to_owned();
    assert_eq!(told(rig.ask("GET", &format!("/api/v1/operations?cursor={next}"))).await.0, 200);
    let long = "9".repeat(3000);
    for wrong in ["x", "1", "", "1.00000000", "%00", "1.%F0%9F%92%A9", "'%20OR%201=1", long.as_str()] {
        for list in ["operations", "events"] {
            let (status, body) = told(rig.ask("GET", &format!("/api/v1/{list}?cursor={wrong}"))).await;
            assert_eq!((status, body["code"].as_str()), (400, Some("E0932")), "{list} {wrong}");
        }
    }
    assert_eq!(told(rig.ask("GET", &format!("/api/v1/events?cursor={next}"))).await.0, 400, "of another list");
    for wrong in ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=99999999999999"] {
        assert_eq!(told(rig.ask("GET", &format!("/api/v1/operations?{wrong}"))).await.0, 400, "{wrong}");
    }
    for wrong in ["Prod", "..", "a%2Fb", "x%00"] {
        let (status, _) = told(rig.ask("GET", &format!("/api/v1/environments/{wrong}"))).await;
        assert_eq!(status, 404, "{wrong}");
    }
    assert_eq!(told(rig.ask("GET", "/api/v1/environments/prod/logs/web")).await.0, 404, "never started here");
    assert_eq!(told(rig.ask("GET", "/api/v1/environments/prod/logs/proxy")).await.0, 404, "no role of it");
}

//! Plans: seen, approved once, refused when stale or held.

use serde_json::json;

use crate::rig::{Rig, told};

#[tokio::test]
async fn an_approved_plan_is_carried_out_and_then_there_is_none() {
    let rig = Rig::new().await;
    let plan = rig.get("/api/v1/plan").await;
    assert!(plan["summary"]["steps"].as_u64().unwrap() > 10, "{plan}");
    assert!(plan["summary"]["approvals"].as_u64().unwrap() >= 2, "{}", plan["summary"]);
    assert_eq!(plan["environments"][1]["verdict"], "approval");
    let numbers = rig.apply().await;
    assert!(!numbers.is_empty());
    let detail = rig.ended(numbers[0]).await;
    assert_eq!(detail["operation"]["state"], "done", "{detail}");
    assert_eq!(detail["operation"]["by"], "a test");
    rig.control.refresh().await.unwrap();
    assert_eq!(rig.get("/api/v1/plan").await["summary"]["steps"], 0);
    let prod = rig.get("/api/v1/environments/prod").await;
    assert_eq!(prod["summary"]["health"], "up", "{prod}");
    assert!(!prod["operations"].as_array().unwrap().is_empty());
    assert!(prod["numbers"].as_array().unwrap().iter().any(|it| it["why"] == "60 users / 6 per worker"), "{prod}");
}

#[tokio::test]
async fn a_stale_plan_is_not_begun() {
    let rig = Rig::new().await;
    let first = rig.get("/api/v1/plan").await["id"].as_str().unwrap().to_owned();
    let file = rig.folder.path().join("estate.yaml");
    std::fs::write(&file, crate::rig::ESTATE.replace("users: 60", "users: 120")).unwrap();
    let (status, body) = rig.post("/api/v1/plan/approve", &json!({ "plan": first })).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("E0801")), "{body}");
    let now = rig.control.refresh().await.unwrap().plan.id.clone();
    assert_ne!(first, now);
    let with = |tag: &str| {
        rig.ask("POST", "/api/v1/plan/approve").header("if-match", format!("\"{tag}\"")).json(&json!({ "plan": now }))
    };
    let (status, body) = told(with(&first)).await;
    assert_eq!((status, body["code"].as_str()), (412, Some("E0801")), "{body}");
    assert!(rig.get("/api/v1/operations").await["items"].as_array().unwrap().is_empty(), "nothing was begun");
    assert_eq!(told(with(&now)).await.0, 202, "the plan as it is now");
}

#[tokio::test]
async fn while_held_nothing_begins() {
    let rig = Rig::new().await;
    let plan = rig.get("/api/v1/plan").await["id"].clone();
    assert_eq!(rig.post("/api/v1/hold", &json!({ "reason": "stocktaking" })).await.0, 200);
    let held = rig.get("/api/v1/estate").await["held"].clone();
    assert_eq!((held["reason"].as_str(), held["by"].as_str()), (Some("stocktaking"), Some("a test")));
    let (status, body) = rig.post("/api/v1/plan/approve", &json!({ "plan": plan })).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("E0922")), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("stocktaking"));
    assert_eq!(told(rig.ask("DELETE", "/api/v1/hold")).await.0, 200);
    assert_eq!(rig.post("/api/v1/plan/approve", &json!({ "plan": plan })).await.0, 202);
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once() {
    let rig = Rig::new().await;
    let plan = rig.get("/api/v1/plan").await["id"].clone();
    let send = |key: &str, body: serde_json::Value| {
        rig.ask("POST", "/api/v1/plan/approve").header("idempotency-key", key).json(&body)
    };
    let first = told(send("k1", json!({ "plan": plan }))).await;
    assert_eq!(first.0, 202, "{}", first.1);
    for number in first.1["operations"].as_array().unwrap() {
        rig.ended(number.as_u64().unwrap()).await;
    }
    rig.control.refresh().await.unwrap();
    assert_eq!(told(send("k1", json!({ "plan": plan }))).await, first, "also when all is done");
    // Without the key the same request is another one, and its plan is stale by now.
    assert_eq!(rig.post("/api/v1/plan/approve", &json!({ "plan": plan })).await.0, 409);
    assert_eq!(
        rig.get("/api/v1/operations").await["items"].as_array().unwrap().len(),
        first.1["operations"].as_array().unwrap().len()
    );
    let (status, body) = told(send("k1", json!({ "plan": "p-other" }))).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("E0937")));
    // A refusal is an answer too, and stays the answer.
    let refused = told(send("k2", json!({ "plan": "p-other" }))).await;
    assert_eq!(refused.0, 409);
    let again = told(send("k2", json!({ "plan": "p-other" }))).await;
    assert_eq!((again.0, &again.1["code"]), (409, &refused.1["code"]));
    // Keys of others are theirs.
    let other = rig.bare("POST", "/api/v1/plan/approve").bearer_auth(rig.token(springtide_api::Scope::Operate));
    assert_eq!(told(other.header("idempotency-key", "k1").json(&json!({ "plan": "p-x" }))).await.0, 409);
    for wrong in ["", "x\u{7f}", &"k".repeat(201)] {
        let request = rig.ask("POST", "/api/v1/hold").header("idempotency-key", wrong.as_bytes());
        let Ok(answer) = request.json(&json!({ "reason": "a" })).send().await else { continue };
        assert_eq!(answer.status(), 400, "{wrong:?}");
    }
    let keyed = || {
        let body = json!({ "name": "ci", "scope": "read", "expires_in_s": 3600 });
        rig.ask("POST", "/api/v1/tokens").header("idempotency-key", "t").json(&body)
    };
    let made = told(keyed()).await;
    assert_eq!(made.0, 201);
    assert_eq!(told(keyed()).await.0, 409, "a secret is not kept to be shown again");
    let secret = made.1["secret"].as_str().unwrap().rsplit('_').next().unwrap().to_owned();
    for file in std::fs::read_dir(rig.folder.path().join("state")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(&secret), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn who_has_a_plan_already_is_told_so() {
    let rig = Rig::new().await;
    for path in ["/api/v1/plan", "/api/v1/estate", "/api/v1/environments/prod"] {
        let first = rig.ask("GET", path).send().await.unwrap();
        let tag = first.headers()["etag"].clone();
        let again = || async { rig.ask("GET", path).header("if-none-match", &tag).send().await.unwrap().status() };
        let same = again().await;
        if path == "/api/v1/plan" {
            assert_eq!(same, 304, "{path}");
            std::fs::write(rig.folder.path().join("estate.yaml"), "estate: acme\nenvironments: [{ name: dev }]")
                .unwrap();
            rig.control.refresh().await.unwrap();
            assert_eq!(again().await, 200, "{path} changed");
            std::fs::write(rig.folder.path().join("estate.yaml"), crate::rig::ESTATE).unwrap();
            rig.control.refresh().await.unwrap();
        } else {
            // A pass may come between the two.
            assert!(same == 304 || again().await == 200, "{path}: {same}");
        }
    }
}

#[tokio::test]
async fn an_operation_is_cancelled_between_steps_only_while_it_runs() {
    let rig = Rig::new().await;
    let numbers = rig.apply().await;
    let path = format!("/api/v1/operations/{}/cancel", numbers[0]);
    assert_eq!(told(rig.ask("POST", &path)).await.0, 404, "it has ended");
    for wrong in ["0", "99999", "-1", "x", "18446744073709551616"] {
        assert_eq!(told(rig.ask("GET", &format!("/api/v1/operations/{wrong}"))).await.0, 404, "{wrong}");
    }
}

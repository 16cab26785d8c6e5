//! The document, the router and the table of scopes say the same, and answers are as described.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use springtide_server::http::auth::{NEEDS, Need};

use crate::rig::{Rig, told};
use crate::schema::wrong;

/// Routes that the document describes.
fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let routes = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    });
    routes.collect()
}

#[tokio::test]
async fn every_route_is_described_and_has_its_scope() {
    let rig = Rig::new().await;
    let document = rig.get("/api/v1/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let mut table: BTreeSet<_> = NEEDS.iter().map(|(method, path, _)| (method.to_string(), path.to_string())).collect();
    // The document does not describe itself.
    assert!(table.remove(&("GET".to_owned(), "/api/v1/openapi.json".to_owned())));
    assert_eq!(described(&document), table);
    for (method, path, need) in NEEDS {
        let Some(operation) = document["paths"][path].get(method.to_lowercase()) else { continue };
        let closed = operation["security"].as_array().is_some_and(|it| !it.is_empty());
        assert_eq!(closed, matches!(need, Need::Scope(_)), "{method} {path}");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{method} {path} has no summary");
    }
    // What is described is there: no route answers like an address that does not exist.
    for (method, path) in table {
        let path = path.replace("{name}", "prod").replace("{role}", "web").replace("{id}", "1");
        let (_, body) = told(rig.ask(&method, &path)).await;
        assert!(!matches!(body["code"].as_str(), Some("E0939" | "E0936")), "{method} {path} {body}");
    }
}

#[tokio::test]
async fn answers_are_as_described() {
    let rig = Rig::new().await;
    let document = rig.get("/api/v1/openapi.json").await;
    let check = |method: &str, path: &str, status: u16, value: &Value| {
        let answers = &document["paths"][path][method.to_lowercase()]["responses"];
        let content = &answers[status.to_string()]["content"];
        let kind = if status < 400 { "application/json" } else { "application/problem+json" };
        let schema = &content[kind]["schema"];
        assert!(schema.is_object(), "{method} {path} does not describe {status}: {answers}");
        let wrong = wrong(&document, schema, value, path);
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?}");
    };
    let get = [
        ("/api/v1/estate", "/api/v1/estate"),
        ("/api/v1/environments/{name}", "/api/v1/environments/prod"),
        ("/api/v1/environments/{name}", "/api/v1/environments/none"),
        ("/api/v1/environments/{name}/logs/{role}", "/api/v1/environments/prod/logs/web"),
        ("/api/v1/logs/{role}", "/api/v1/logs/proxy"),
        ("/api/v1/plan", "/api/v1/plan"),
        ("/api/v1/operations", "/api/v1/operations"),
        ("/api/v1/operations", "/api/v1/operations?cursor=x"),
        ("/api/v1/operations", "/api/v1/operations?environment=A"),
        ("/api/v1/operations/{id}", "/api/v1/operations/1"),
        ("/api/v1/events", "/api/v1/events"),
        ("/api/v1/hold", "/api/v1/hold"),
        ("/api/v1/tokens", "/api/v1/tokens"),
        ("/api/v1/health", "/api/v1/health"),
    ];
    let mut found = 0;
    for round in 0..3 {
        for (path, asked) in get {
            let (status, body) = told(rig.ask("GET", asked)).await;
            check("GET", path, status, &body);
            found += u32::from(status == 200);
        }
        match round {
            0 => {
                rig.apply().await;
            }
            1 => {
                let (status, body) = rig.post("/api/v1/hold", &json!({ "reason": "a look" })).await;
                check("POST", "/api/v1/hold", status, &body);
                let token = json!({ "name": "ci", "scope": "read", "expires_in_s": 3600 });
                let (status, body) = rig.post("/api/v1/tokens", &token).await;
                check("POST", "/api/v1/tokens", status, &body);
                let id = body["token"]["id"].as_str().unwrap();
                let (status, body) = told(rig.ask("DELETE", &format!("/api/v1/tokens/{id}"))).await;
                check("DELETE", "/api/v1/tokens/{id}", status, &body);
                let (status, body) = rig.post("/api/v1/plan/refresh", &json!({})).await;
                check("POST", "/api/v1/plan/refresh", status, &body);
                let (status, body) = rig.post("/api/v1/plan/approve", &json!({ "plan": "p-x" })).await;
                check("POST", "/api/v1/plan/approve", status, &body);
                let (status, body) = told(rig.ask("POST", "/api/v1/operations/1/cancel")).await;
                check("POST", "/api/v1/operations/{id}/cancel", status, &body);
                std::fs::write(rig.folder.path().join("estate.yaml"), "estate: [").unwrap();
                let _ = rig.control.refresh().await;
                assert!(rig.get("/api/v1/estate").await["refusal"].is_string());
            }
            _ => {}
        }
    }
    assert!(found >= 24, "{found}");
}

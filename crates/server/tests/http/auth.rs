//! Every route with every credential.

use serde_json::json;
use springtide_api::Scope;
use springtide_server::http::auth::{NEEDS, Need};
use springtide_server::http::credentials::{begin_session, make_login_code, make_token};

use crate::rig::{Rig, now, told};

fn filled(path: &str) -> String {
    path.replace("{name}", "prod").replace("{role}", "web").replace("{id}", "1")
}

#[tokio::test]
async fn every_route_asks_for_its_scope() {
    let rig = Rig::new().await;
    let store = &rig.control.estate().store;
    let expired = make_token(store, "old", Scope::Admin, 1, now() - 100).unwrap().secret;
    let revoked = make_token(store, "gone", Scope::Admin, 3600, now()).unwrap();
    store.revoke_token(&revoked.token.id, now()).unwrap();
    let (id, _) = rig.token.strip_prefix("st_").unwrap().split_once('_').unwrap();
    let wrong_secret = format!("st_{id}_{}", "0".repeat(48));
    let no_good = [
        ("st_ffffffffffff_00".to_owned(), "the token is unknown"),
        (wrong_secret, "the token is unknown"),
        (expired, "the token has expired"),
        (revoked.secret, "the token was revoked"),
        ("nonsense".to_owned(), "this is not a token of Springtide"),
    ];
    let mut tried = 0;
    for (method, path, need) in NEEDS {
        let path = filled(path);
        let Need::Scope(least) = need else {
            let (status, _) = told(rig.bare(method, &path)).await;
            assert_eq!(status, 200, "{method} {path} needs nothing");
            continue;
        };
        let (status, body) = told(rig.bare(method, &path)).await;
        assert_eq!((status, body["code"].as_str()), (401, Some("E0930")), "{method} {path} without a token");
        for (token, why) in &no_good {
            let (status, body) = told(rig.bare(method, &path).bearer_auth(token)).await;
            assert_eq!((status, body["detail"].as_str()), (401, Some(*why)), "{method} {path}");
        }
        let (status, _) = told(rig.bare(method, &path).header("authorization", "Basic eDp5")).await;
        assert_eq!(status, 401, "{method} {path} with another kind of authorization");
        for scope in Scope::ALL {
            let (status, body) = told(rig.bare(method, &path).bearer_auth(rig.token(scope))).await;
            if scope < *least {
                assert_eq!((status, body["code"].as_str()), (403, Some("E0931")), "{method} {path} with {scope}");
            } else {
                // The same request with another credential gets past the door.
                assert!(!matches!(status, 401 | 403), "{method} {path} with {scope}: {status} {body}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 50, "{tried}");
}

#[tokio::test]
async fn an_address_or_a_method_that_is_not_there_is_a_problem() {
    let rig = Rig::new().await;
    let page = rig.ask("GET", "/nothing").send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), page.headers()["content-type"].to_str().unwrap()),
        (404, "text/html; charset=utf-8")
    );
    for path in ["/api/v1/nothing", "/api/v1/estate/", "/api/v2/estate"] {
        assert_eq!(told(rig.ask("GET", path)).await.0, 404, "{path}");
    }
    let answer = rig.ask("PUT", "/api/v1/hold").send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "GET, POST, DELETE");
    // The same again but for its number.
    let [first, second] = [told(rig.ask("PUT", "/api/v1/hold")).await, told(rig.ask("PUT", "/api/v1/hold")).await];
    assert_eq!((first.0, &first.1["detail"], &first.1["code"]), (405, &second.1["detail"], &second.1["code"]));
    assert_ne!(first.1["request"], second.1["request"]);
    assert_eq!(told(rig.ask("OPTIONS", "/api/v1/estate")).await.0, 405);
    let head = rig.ask("HEAD", "/api/v1/estate").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], "application/json");
    let head = rig.bare("HEAD", "/api/v1/estate").send().await.unwrap();
    assert_eq!(head.status(), 401);
    assert_eq!(head.headers()["content-type"], "application/problem+json");
}

/// What a repeated request says, but for its number.
#[tokio::test]
async fn a_login_link_makes_one_session_that_forms_must_belong_to() {
    let rig = Rig::new().await;
    let store = &rig.control.estate().store;
    let code = make_login_code(store, now()).unwrap();
    let enter = |code: &str| {
        let form = rig.bare("POST", "/login").header("content-type", "application/x-www-form-urlencoded");
        form.body(format!("code={code}")).send()
    };
    // A look at the link spends nothing.
    assert_eq!(rig.bare("GET", &format!("/login?code={code}")).send().await.unwrap().status(), 200);
    let answer = enter(&code).await.unwrap();
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert!(enter(&code).await.unwrap().headers().get("set-cookie").is_none(), "a link is good once");
    let late = make_login_code(store, now() - 601).unwrap();
    assert!(enter(&late).await.unwrap().headers().get("set-cookie").is_none(), "and for ten minutes");

    let with = |method: &str, path: &str| rig.bare(method, path).header("cookie", &cookie);
    assert_eq!(told(with("GET", "/api/v1/estate")).await.0, 200);
    assert_eq!(told(with("GET", "/api/v1/tokens")).await.0, 403, "a session is no administrator");
    let body = json!({ "reason": "a look" });
    let (status, refused) = told(with("POST", "/api/v1/hold").json(&body)).await;
    assert_eq!((status, refused["code"].as_str()), (403, Some("E0933")), "another site could send this");
    assert!(rig.control.held().unwrap().is_none());
    let other = begin_session(store, &make_login_code(store, now()).unwrap(), now()).unwrap().unwrap();
    let csrf = |secret: &str| {
        let hash = springtide_server::store::tokens::hash(secret);
        store.session(&hash, now()).unwrap().unwrap().csrf
    };
    let wrong = with("POST", "/api/v1/hold").header("x-csrf-token", csrf(&other)).json(&body);
    assert_eq!(told(wrong).await.0, 403, "a form of another session");
    let mine = csrf(cookie.split_once('=').unwrap().1);
    assert_eq!(told(with("POST", "/api/v1/hold").header("x-csrf-token", &mine).json(&body)).await.0, 200);
    assert!(rig.control.held().unwrap().is_some());

    let out = with("POST", "/logout").body(format!("a=b&csrf={mine}")).send().await.unwrap();
    assert_eq!(out.status(), 303);
    assert_eq!(told(with("GET", "/api/v1/estate")).await.0, 401);
}

#[tokio::test]
async fn a_page_without_a_session_leads_to_the_login() {
    let rig = Rig::new().await;
    for (method, path) in [("GET", "/"), ("GET", "/environments/prod"), ("POST", "/hold"), ("POST", "/logout")] {
        let answer = rig.bare(method, path).send().await.unwrap();
        let to = answer.headers().get("location").map(|it| it.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), to), (303, Some("/login")), "{method} {path}");
    }
    assert_eq!(rig.bare("GET", "/login").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_is_shown_once_and_is_good_until_revoked() {
    let rig = Rig::new().await;
    let (status, made) =
        rig.post("/api/v1/tokens", &json!({ "name": "ci", "scope": "read", "expires_in_s": 3600 })).await;
    assert_eq!(status, 201);
    let (secret, id) = (made["secret"].as_str().unwrap(), made["token"]["id"].as_str().unwrap());
    let estate = || rig.bare("GET", "/api/v1/estate").bearer_auth(secret);
    assert_eq!(told(estate()).await.0, 200);
    assert!(!rig.get("/api/v1/tokens").await.to_string().contains(secret.rsplit('_').next().unwrap()));
    assert_eq!(told(rig.ask("DELETE", &format!("/api/v1/tokens/{id}"))).await.0, 200);
    assert_eq!(told(estate()).await.0, 401);
    assert_eq!(told(rig.ask("DELETE", "/api/v1/tokens/none")).await.0, 404);
    for wrong in [
        json!({ "name": "", "scope": "read", "expires_in_s": 3600 }),
        json!({ "name": "a\nb", "scope": "read", "expires_in_s": 3600 }),
        json!({ "name": "x", "scope": "root", "expires_in_s": 3600 }),
        json!({ "name": "x", "scope": "read", "expires_in_s": 0 }),
        json!({ "name": "this machine", "scope": "read", "expires_in_s": 3600 }),
        json!({ "name": "x", "scope": "read", "expires_in_s": 3600, "more": 1 }),
    ] {
        assert_eq!(rig.post("/api/v1/tokens", &wrong).await.0, 422, "{wrong}");
    }
}

#[tokio::test]
async fn a_problem_is_shown_in_the_theme_that_its_reader_chose() {
    let rig = Rig::new().await;
    for (cookie, theme) in
        [("springtide_theme=dark", "dark"), ("springtide_theme=light", "light"), ("other=dark", "system")]
    {
        let answer = rig.bare("GET", "/nothing-here").header("cookie", cookie).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        let text = answer.text().await.unwrap();
        assert!(text.contains("E0939") && text.contains(&format!("data-theme=\"{theme}\"")), "{cookie}: {text}");
    }
}

//! The console in a real browser, over an estate in memory: somebody logs in by the link, changes the file,
//! reads the plan, approves, watches, and sees the new state, without loading a page again.
//!
//! On the way every page is looked at by axe-core in light and dark and at 360 pixels, nothing may be said in the
//! browser's console, and nothing may be asked of anybody else.
#![allow(clippy::unwrap_used)]

#[path = "console/browser.rs"]
mod browser;
#[path = "../../server/tests/console/rig.rs"]
mod rig;

use std::time::Duration;

use browser::Browser;
use rig::Rig;
use serde_json::json;

/// One step takes this long, so that it can be seen running.
const PACE: Duration = Duration::from_millis(600);
/// What happens in the server must be seen within this.
const SOON: Duration = Duration::from_secs(30);
/// Bytes of the first page with everything it needs.
const FIRST_PAGE: u64 = 150_000;
/// Time the server takes for a page, milliseconds.
const SERVER_MS: f64 = 100.0;

/// The file with a number of web workers in prod.
fn declare(rig: &Rig, web: u32) {
    let text = rig::FILE.replace("    users: 60\n", &format!("    users: 60\n    workers: {{ web: {web} }}\n"));
    assert_ne!(text, rig::FILE);
    std::fs::write(&rig.file, text).unwrap();
}

/// Nothing was said in the console, and nothing asked of others.
async fn quiet(browser: &Browser, rig: &Rig, expected: &[&str]) -> u64 {
    let said = browser.said().await;
    // What the browser says of its own start page is not ours.
    let own = |line: &str| line.contains("\"chrome://");
    let unexpected: Vec<_> =
        said.iter().filter(|line| !own(line) && !expected.iter().any(|it| line.contains(it))).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    let (addresses, bytes) = browser.asked().await;
    let ours = |address: &&String| {
        address.starts_with(&rig.url("/")) || address.starts_with("data:") || *address == "about:blank"
    };
    let others: Vec<_> = addresses.iter().filter(|address| !ours(address)).collect();
    assert!(others.is_empty(), "{others:?}");
    bytes
}

/// Axe in light and dark, and no sideways scrolling at 360 pixels.
async fn for_everybody(browser: &Browser, what: &str) {
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        // Colours move to their new values; axe must not measure half-way.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let barriers = browser.barriers().await;
        assert!(barriers.is_empty(), "{what}, {scheme}: {barriers:#?}");
    }
    browser.size(Some((360, 740))).await;
    let wide = browser.run("return document.documentElement.scrollWidth").await;
    let barriers = browser.barriers().await;
    browser.size(None).await;
    browser.prefer("").await;
    assert!(barriers.is_empty(), "{what}, narrow: {barriers:#?}");
    assert!(wide.as_u64().unwrap() <= 360, "{what} is {wide} pixels wide");
}

async fn log_in(browser: &Browser, rig: &Rig) {
    browser.open(&rig.link().unwrap()).await;
    browser.click("button[type=submit]").await;
    browser.see("of 2 up", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_changes_workers_and_watches() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::start(folder.path(), 0, PACE).await.unwrap();
    let browser = Browser::start(folder.path(), true).await;

    // Without a session every page is the way to one.
    browser.open(&rig.url("/plan")).await;
    browser.see("springtide open --console", SOON).await;
    for_everybody(&browser, "log-in").await;
    // What watches here can see: a button without a name, and a request to elsewhere.
    browser.run("document.querySelector('main').append(document.createElement('button'))").await;
    assert!(browser.barriers().await.iter().any(|it| it.starts_with("\"button-name\"")));
    browser.run("fetch('http://127.0.0.1:1/').catch(() => 0)").await;
    let said = browser.said().await;
    assert!(said.iter().any(|line| line.contains("Content Security Policy")), "{said:?}");
    browser.asked().await;

    // A fresh estate: all is planned, and approved here.
    log_in(&browser, &rig).await;
    quiet(&browser, &rig, &[]).await;
    // The first page of somebody who was never here.
    browser.tools("Network.enable", json!({})).await;
    browser.tools("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await;
    browser.open(&rig.url("/")).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let bytes = quiet(&browser, &rig, &[]).await;
    assert!(bytes <= FIRST_PAGE, "the first page is {bytes} bytes");
    let script = "const it = performance.getEntriesByType('navigation')[0]; return it.responseStart - it.requestStart";
    let server_ms = browser.run(script).await.as_f64().unwrap();
    assert!(server_ms <= SERVER_MS, "the server took {server_ms} ms");
    browser.tools("Network.setCacheDisabled", json!({ "cacheDisabled": false })).await;
    assert!(bytes > 30_000, "{bytes} bytes cannot be all of it");
    println!("first page: {bytes} bytes in all, {server_ms:.1} ms of the server");
    browser.see("planned", SOON).await;
    for_everybody(&browser, "an estate that is only planned").await;
    browser.click("#nav-plan").await;
    browser.see("waits for approval", SOON).await;
    for_everybody(&browser, "plan").await;
    browser.click("form[action='/plan/approve'] button[type=submit]").await;
    browser.see("Operations", SOON).await;
    browser.see("running", SOON).await;
    for_everybody(&browser, "operations").await;
    let nothing_left = |control: &springtide_server::control::Control| {
        control.snapshot().is_some_and(|it| it.plan.is_empty()) && control.running().is_empty()
    };
    rig.until("everything is made", nothing_left).await.unwrap();

    // The environment as it is, then the file changes; nobody loads anything again.
    browser.open(&rig.url("/")).await;
    browser.see("2 of 2 up", SOON).await;
    for_everybody(&browser, "estate").await;
    browser.click("a[href='/environments/prod']").await;
    browser.see("It is as the file declares it.", SOON).await;
    browser.see("60 users / 6 per worker", SOON).await;
    browser.see("served", SOON).await;
    declare(&rig, 12);
    let seen = browser.see("Review the plan", SOON).await;
    println!("a change of the file was seen after {seen:?}");
    for_everybody(&browser, "environment with a plan").await;
    browser.click("a[href='/plan?environment=prod']").await;
    browser.see("run prod/web", SOON).await;
    browser.see("restart, ~8 s", SOON).await;
    browser.click("form[action='/plan/approve'] button[type=submit]").await;
    let step = browser.see("run prod/web", SOON).await;
    println!("its first step was seen after {step:?}");
    browser.see("running", SOON).await;
    browser.see("End of the log of prod/web", SOON).await;
    browser.see("prod/web starts with new settings", SOON).await;
    for_everybody(&browser, "an operation that runs").await;
    rig.until("it is done", nothing_left).await.unwrap();
    browser.see("done", SOON).await;
    browser.see("took", SOON).await;
    let state = browser.run("return document.getElementById('operation-state').textContent").await;
    assert_eq!(state, json!("done"));
    browser.click("a[href='/environments/prod']").await;
    browser.see("It is as the file declares it.", SOON).await;
    browser.see("12 workers x 2", SOON).await;
    let canvas = "return document.querySelectorAll('.uplot canvas').length";
    let began = std::time::Instant::now();
    while browser.run(canvas).await != json!(1) {
        assert!(began.elapsed() < Duration::from_secs(30), "no chart of memory");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for_everybody(&browser, "environment").await;
    quiet(&browser, &rig, &[]).await;

    browser.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_stops_things_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::start(folder.path(), 0, Duration::from_millis(20)).await.unwrap();
    rig.settle().await.unwrap();
    let browser = Browser::start(folder.path(), true).await;
    log_in(&browser, &rig).await;

    // Held: told on the page it was done on and on others, at once; released by its button.
    browser.write("#reason", "stock count <b>until</b> 18:00").await;
    browser.click("form[action='/hold'] button").await;
    browser.see("stock count <b>until</b> 18:00", SOON).await;
    for_everybody(&browser, "held estate").await;
    rig.control.release("somebody else").unwrap();
    browser.see("Holding stops all changes", SOON).await;
    rig.control.hold("by hand", "somebody else").unwrap();
    browser.see("by hand", SOON).await;
    browser.click("form[action='/release'] button").await;
    browser.see("released", SOON).await;

    // A plan that is no longer the one that would be made now: told while it is read, refused when approved.
    declare(&rig, 12);
    rig.until("it is planned", |control| control.snapshot().is_some_and(|it| !it.plan.is_empty())).await.unwrap();
    browser.open(&rig.url("/plan")).await;
    browser.see("Approve and begin", SOON).await;
    // Held while it is read: the button goes, with the reason, and comes back.
    let off = "return document.querySelector('#begin').disabled";
    assert_eq!(browser.run(off).await, false);
    rig.control.hold("a look at the plan", "somebody else").unwrap();
    browser.see("Nothing can be begun until it is released.", SOON).await;
    browser.see("a look at the plan", SOON).await;
    assert_eq!(browser.run(off).await, true);
    for_everybody(&browser, "plan while held").await;
    rig.control.release("somebody else").unwrap();
    browser.see("It can be stopped between two steps.", SOON).await;
    assert_eq!(browser.run(off).await, false);
    declare(&rig, 14);
    browser.see("The world has moved on.", SOON).await;
    for_everybody(&browser, "plan that is stale").await;
    quiet(&browser, &rig, &[]).await;
    browser.click("form[action='/plan/approve'] button[type=submit]").await;
    browser.see("E0801", SOON).await;
    for_everybody(&browser, "problem").await;
    quiet(&browser, &rig, &["409"]).await;

    // A file that is not valid: told, and the last valid one stays in force.
    browser.open(&rig.url("/")).await;
    std::fs::write(&rig.file, rig::FILE.replace("users", "usres")).unwrap();
    browser.see("The estate file is not valid.", SOON).await;
    browser.see("usres", SOON).await;
    for_everybody(&browser, "a file that is not valid").await;
    std::fs::write(&rig.file, rig::FILE).unwrap();

    // Keys, search, theme, address that does not exist.
    browser.open(&rig.url("/")).await;
    let press = async |key: &str| {
        let script = "document.dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0], bubbles: true }))";
        let script = script.replace("document.dispatch", "document.body.dispatch");
        browser.client.execute(&script, vec![json!(key)]).await.unwrap();
    };
    press("/").await;
    let focused = browser.run("return document.activeElement.id").await;
    assert_eq!(focused, json!("q"));
    browser.write("#q", "stag").await;
    let tiles = "return [...document.querySelectorAll('.tile h2')].map((it) => it.textContent).join()";
    let began = std::time::Instant::now();
    while browser.run(tiles).await != json!("staging") {
        assert!(began.elapsed() < SOON, "the search finds {}", browser.run(tiles).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    browser.run("document.activeElement.blur()").await;
    press("g").await;
    press("o").await;
    browser.see("Began", SOON).await;
    browser.click("form[action='/theme'] button").await;
    browser.see("Theme: dark", SOON).await;
    let background = browser.run("return getComputedStyle(document.documentElement).colorScheme").await;
    assert_eq!(background, json!("dark"));
    quiet(&browser, &rig, &[]).await;
    browser.open(&rig.url("/environments/nowhere")).await;
    browser.see("E0908", SOON).await;
    quiet(&browser, &rig, &["404"]).await;

    // Logged out, also in a page that is open.
    browser.open(&rig.url("/")).await;
    browser.see("of 2 up", SOON).await;
    browser.click("form[action='/logout'] button").await;
    browser.see("springtide open --console", SOON).await;
    browser.open(&rig.url("/")).await;
    browser.see("springtide open --console", SOON).await;
    quiet(&browser, &rig, &[]).await;

    // A session that ends takes the open page along.
    log_in(&browser, &rig).await;
    let cookie = browser.client.get_named_cookie("springtide_session").await.unwrap();
    let key = springtide_server::store::tokens::hash(cookie.value());
    rig.control.estate().store.end_session(&key).unwrap();
    browser.see("springtide open --console", SOON).await;

    // A server that goes away is told, and so is that it is back; the session outlives it.
    log_in(&browser, &rig).await;
    let port = rig.address.port();
    rig.stop().await;
    browser.see("Not connected to the server.", SOON).await;
    let rig = Rig::start(folder.path(), port, Duration::from_millis(20)).await.unwrap();
    let gone = "return document.getElementById('offline').hidden";
    let began = std::time::Instant::now();
    while browser.run(gone).await != json!(true) {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    quiet(&browser, &rig, &["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "htmx"]).await;

    browser.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::start(folder.path(), 0, Duration::from_millis(20)).await.unwrap();
    let browser = Browser::start(folder.path(), false).await;
    log_in(&browser, &rig).await;
    browser.open(&rig.url("/plan")).await;
    browser.click("form[action='/plan/approve'] button[type=submit]").await;
    browser.see("Operations", SOON).await;
    rig.until("everything is made", |control| control.snapshot().is_some_and(|it| it.plan.is_empty())).await.unwrap();
    browser.open(&rig.url("/")).await;
    browser.see("2 of 2 up", SOON).await;
    browser.write("#q", "prod\n").await;
    browser.see("prod.localhost", SOON).await;
    assert!(!browser.text().await.contains("staging.localhost"));
    browser.write("#reason", "no scripts\n").await;
    browser.see("no scripts", SOON).await;
    browser.stop().await;
    rig.stop().await;
}

/// Not a test: writes the pictures of docs/console.md. `--ignored pictures`; of a server that runs if
/// SPRINGTIDE_LINK is a log-in link of it and SPRINGTIDE_FILE its estate file with a line `workers: { web: 3 }`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes into docs"]
async fn pictures() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/console");
    std::fs::create_dir_all(&docs).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (link, file, rig) = match (std::env::var("SPRINGTIDE_LINK"), std::env::var("SPRINGTIDE_FILE")) {
        (Ok(link), Ok(file)) => (link, file.into(), None),
        _ => {
            let rig = Rig::start(folder.path(), 0, Duration::from_millis(20)).await.unwrap();
            declare(&rig, 3);
            rig.settle().await.unwrap();
            rig.pace(Duration::from_secs(3));
            // For the chart.
            tokio::time::sleep(Duration::from_secs(90)).await;
            (rig.link().unwrap(), rig.file.clone(), Some(rig))
        }
    };
    let url = |path: &str| format!("{}{path}", link.split("/login").next().unwrap());
    let browser = Browser::start(folder.path(), true).await;
    let take = async |name: &str, scheme: &str, size: (u32, u32)| {
        browser.prefer(scheme).await;
        browser.size(Some(size)).await;
        browser.picture(&docs.join(format!("{name}.png"))).await;
    };
    browser.open(&link).await;
    take("login", "light", (640, 420)).await;
    browser.click("button[type=submit]").await;
    browser.see("of 2 up", SOON).await;
    take("estate", "light", (1180, 780)).await;
    take("estate-narrow", "dark", (360, 740)).await;
    browser.open(&url("/environments/prod")).await;
    browser.see("workers x 2", SOON).await;
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("web: 3", "web: 4")).unwrap();
    browser.see("Review the plan", SOON).await;
    take("environment", "light", (1180, 1180)).await;
    take("environment-dark", "dark", (1180, 1180)).await;
    browser.click("a[href='/plan?environment=prod']").await;
    browser.see("run prod/web", SOON).await;
    take("plan", "light", (1180, 720)).await;
    browser.click("form[action='/plan/approve'] button[type=submit]").await;
    browser.see("End of the log of prod/web", SOON).await;
    take("operation", "dark", (1180, 700)).await;
    browser.see("took", Duration::from_secs(120)).await;
    browser.stop().await;
    if let Some(rig) = rig {
        rig.stop().await;
    }
}

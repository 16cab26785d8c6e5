//! The console's main journey on a real estate: somebody logs in with the link, changes the number of web workers
//! in the file, reads the plan, approves it, watches the steps, and sees what then runs.
//!
//! Everything the pages say is compared with the machine: the number of worker processes, whose process is
//! another one, and that nothing else was touched.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::json;
use springtide_server::locks;

use super::browser::Browser;
use super::rig::{Rig, machine, until};

/// What happens in the server must be seen within this.
const SOON: Duration = Duration::from_secs(20);
/// An operation on real Odoo.
const DONE: Duration = Duration::from_secs(120);

/// A server that goes with its value.
struct Server(Child);

impl Server {
    async fn start(rig: &Rig) -> Self {
        let mut command = rig.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self(child.expect("springtide starts"));
        until("the server listens", 30, async || locks::server(&rig.state()).is_some_and(|it| !it.listen.is_empty()))
            .await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The link that `open --console` prints.
fn link(rig: &Rig) -> String {
    let text = rig.expect(&["open", "--console"], 0);
    let link = text.split_whitespace().find(|word| word.contains("/login?code="));
    link.unwrap_or_else(|| panic!("no link in {text}")).to_owned()
}

/// How many worker processes the web role has.
fn workers(rig: &Rig, environment: &str) -> usize {
    let master = rig.pid(&format!("{environment}/web")).expect("it runs");
    machine::tree(master).iter().filter(|it| it.command.contains("WorkerHTTP")).count()
}

/// Nothing that shuts somebody out, on a page with real words and numbers.
async fn for_everybody(browser: &Browser, what: &str) {
    let barriers = browser.barriers().await;
    assert!(barriers.is_empty(), "{what}: {barriers:#?}");
}

/// Changes the web workers of `environment`, the only one, from `before` to `after` by `declare`, in a browser
/// whose profile lies below `folder`.
pub async fn change_workers(rig: &Rig, folder: &Path, environment: &str, [before, after]: [usize; 2], declare: &str) {
    let _server = Server::start(rig).await;
    let browser = Browser::start(folder, true).await;
    let link = link(rig);
    browser.open(&link).await;
    browser.click("button[type=submit]").await;
    browser.see("1 of 1 up", SOON).await;
    for_everybody(&browser, "estate").await;
    browser.click(&format!("a[href='/environments/{environment}']")).await;
    browser.see("It is as the file declares it.", SOON).await;
    browser.see(&format!("{before} workers x 2"), SOON).await;
    let ran = rig.workloads();
    assert_eq!(workers(rig, environment), before, "the page is right and the machine is not");

    rig.declare(&[declare]);
    let seen = browser.see("Review the plan", SOON).await;
    rig.say(format!("console: a change of the file was seen after {:.1} s", seen.as_secs_f64()));
    browser.click(&format!("a[href='/plan?environment={environment}']")).await;
    let step = format!("run {environment}/web");
    browser.see(&step, SOON).await;
    browser.see("restart", SOON).await;
    for_everybody(&browser, "plan").await;
    // Nothing is done before somebody says yes.
    assert_eq!(rig.pid(&format!("{environment}/web")), ran[&format!("{environment}/web")].pid, "not approved yet");
    browser.click("form[action='/plan/approve'] button[type=submit]").await;
    browser.see(&step, SOON).await;
    browser.see("running", SOON).await;
    for_everybody(&browser, "an operation that runs").await;
    browser.see("took", DONE).await;
    let state = browser.run("return document.getElementById('operation-state').textContent").await;
    assert_eq!(state, json!("done"));
    browser.click(&format!("a[href='/environments/{environment}']")).await;
    browser.see("It is as the file declares it.", SOON).await;
    browser.see(&format!("{after} workers x 2"), SOON).await;
    for_everybody(&browser, "environment").await;
    // Chromium's own first page may say something too.
    let said: Vec<_> = browser.said().await.into_iter().filter(|line| !line.contains("chrome://")).collect();
    assert!(said.is_empty(), "said in the browser's console: {said:?}");
    browser.stop().await;

    assert_eq!(workers(rig, environment), after, "the page tells what is not there");
    let runs = rig.workloads();
    for (name, was) in &ran {
        let same = runs[name].pid == was.pid;
        assert_eq!(same, *name != format!("{environment}/web"), "{name}: {was:?} {:?}", runs[name]);
    }
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    // The link is spent.
    let again = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (site, code) = link.split_once("/login?code=").expect("it is a link with a code");
    let form = again.post(format!("{site}/login")).header("content-type", "application/x-www-form-urlencoded");
    let answer = form.body(format!("code={code}")).send().await.expect("the server answers");
    assert_eq!(answer.status().as_u16(), 401, "the link lets in twice");
    rig.say("console: workers changed by a browser, and seen");
}

//! The whole loop on real components: Odoo 19.0 and 14.0, PostgreSQL, PgBouncer, Traefik.
//!
//! Needs root and what `scripts/setup --series 19.0 --series 14.0` puts on the machine; without it
//! the test fails and says so. Everything lives in a state folder of its own and is stopped at the
//! end, also when an assertion fails.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const HTTPS: u16 = 18_453;

struct Rig {
    folder: PathBuf,
}

impl Rig {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("springtide-e2e-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be made");
        Self { folder }
    }

    fn declare(&self, web_of_new: u16) {
        let text = format!(
            "estate: e2e\nplatform: {{ ingress: {{ http: 18090, https: {HTTPS} }} }}\nenvironments:\n\
             \x20 - {{ name: new, workers: {{ web: {web_of_new} }}, odoo: {{ series: \"19.0\", modules: [stock, sale_management] }} }}\n\
             \x20 - {{ name: old, odoo: {{ series: \"14.0\", modules: [stock, sale_management] }} }}\n"
        );
        std::fs::write(self.folder.join("estate.yaml"), text).expect("the estate file can be written");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_springtide"));
        command.arg("--state").arg(self.folder.join("state")).arg("--file").arg(self.folder.join("estate.yaml"));
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command().args(words).output().expect("springtide starts")
    }

    /// Runs and expects an exit code; returns stdout.
    fn expect(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "springtide {words:?}\n{out}\n{err}");
        out
    }

    fn password(&self, environment: &str) -> String {
        let text = self.expect(&["open", environment], 0);
        let line = text.lines().find(|line| line.contains("password")).expect("open tells the password");
        line.rsplit(' ').next().expect("it is the last word").to_owned()
    }

    fn pid(&self, environment: &str, role: &str) -> Option<i64> {
        let text = String::from_utf8(self.run(&["status", "--json"]).stdout).ok()?;
        let status: Value = serde_json::from_str(&text).ok()?;
        status["observation"]["environments"][environment]["workloads"][role]["pid"].as_i64()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.run(&["stop"]);
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

struct Odoo {
    client: reqwest::Client,
    url: String,
    database: String,
    password: String,
}

impl Odoo {
    fn new(environment: &str, password: String) -> Self {
        let host = format!("{environment}.localhost");
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .resolve(&host, SocketAddr::from(([127, 0, 0, 1], HTTPS)))
            .timeout(Duration::from_secs(60))
            .build()
            .expect("the client can be made");
        Self { client, url: format!("https://{host}:{HTTPS}"), database: environment.to_owned(), password }
    }

    async fn status(&self, path: &str) -> Option<u16> {
        self.client.get(format!("{}{path}", self.url)).send().await.ok().map(|answer| answer.status().as_u16())
    }

    async fn rpc(&self, service: &str, method: &str, args: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "method": "call", "params": { "service": service, "method": method, "args": args } });
        let answer = self.client.post(format!("{}/jsonrpc", self.url)).json(&body).send().await.expect("odoo answers");
        let answer: Value = answer.json().await.expect("odoo answers JSON");
        assert!(answer.get("error").is_none(), "{}", answer["error"]["data"]["message"]);
        answer["result"].clone()
    }

    async fn call(&self, model: &str, method: &str, args: Value) -> Value {
        self.rpc("object", "execute_kw", json!([self.database, 2, self.password, model, method, args])).await
    }

    /// Creates and confirms a sale order; its delivery must exist.
    async fn sell(&self, product: Value) {
        let user = self.rpc("common", "authenticate", json!([self.database, "admin", self.password, {}])).await;
        assert_eq!(user, json!(2), "{}: login", self.database);
        let partner = self.call("res.partner", "create", json!([{ "name": "Customer" }])).await;
        let product = self.call("product.product", "create", json!([product])).await;
        let line = json!([0, 0, { "product_id": product, "product_uom_qty": 2, "price_unit": 5 }]);
        let order = self.call("sale.order", "create", json!([{ "partner_id": partner, "order_line": [line] }])).await;
        self.call("sale.order", "action_confirm", json!([[order]])).await;
        let seen = self.call("sale.order", "read", json!([[order], ["state", "picking_ids"]])).await;
        assert_eq!(seen[0]["state"], "sale", "{}: {seen}", self.database);
        assert_eq!(seen[0]["picking_ids"].as_array().map(Vec::len), Some(1), "{}: {seen}", self.database);
    }

    async fn back_within(&self, seconds: u64) -> bool {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < deadline {
            if self.status("/web/login").await == Some(200) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        false
    }
}

fn kill(pid: i64) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill starts");
    assert!(killed.success());
}

/// Every text a secret must not be in: command lines, logs, JSON.
fn everything_said(rig: &Rig) -> String {
    let mut text = rig.expect(&["plan", "--json"], 0);
    text.push_str(&String::from_utf8_lossy(&rig.run(&["status", "--json"]).stdout));
    text.push_str(&rig.expect(&["history", "--json"], 0));
    for process in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        text.push_str(&String::from_utf8_lossy(&std::fs::read(process.path().join("cmdline")).unwrap_or_default()));
    }
    let logs =
        Command::new("find").arg(rig.folder.join("state")).args(["-name", "*.log"]).output().expect("find starts");
    for path in String::from_utf8_lossy(&logs.stdout).lines() {
        text.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_becomes_two_running_odoos() {
    let rig = Rig::new();
    rig.declare(2);
    rig.expect(&["plan"], 2);

    // Cut off in the middle of its work, the next apply goes on.
    let mut cut_off = rig.command().args(["apply", "--yes"]).spawn().expect("springtide starts");
    tokio::time::sleep(Duration::from_secs(12)).await;
    cut_off.kill().expect("it is killed");
    let _ = cut_off.wait();
    rig.expect(&["apply", "--yes"], 0);
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");
    rig.expect(&["status"], 0);

    let new = Odoo::new("new", rig.password("new"));
    let old = Odoo::new("old", rig.password("old"));
    new.sell(json!({ "name": "Widget", "type": "consu", "is_storable": true })).await;
    old.sell(json!({ "name": "Widget", "type": "product" })).await;
    for odoo in [&new, &old] {
        assert_eq!(odoo.status("/web/database/manager").await, Some(404), "{}", odoo.url);
        assert_eq!(odoo.status("/queue_job/runjob").await, Some(404), "{}", odoo.url);
    }

    // A web master that dies is back within 30 s.
    kill(rig.pid("new", "web").expect("web runs"));
    assert!(new.back_within(30).await, "web of new did not come back");

    // Without its supervisor everything runs on; the next one adopts it.
    let before = rig.pid("old", "web").expect("web runs");
    let supervisor: Value = serde_json::from_slice(
        &std::fs::read(rig.folder.join("state/supervisor.json")).expect("the supervisor leaves its record"),
    )
    .expect("it is JSON");
    kill(supervisor["pid"].as_i64().expect("it holds the pid"));
    assert_eq!(old.status("/web/login").await, Some(200));
    rig.expect(&["apply", "--yes"], 0);
    assert_eq!(rig.pid("old", "web"), Some(before), "the web role was not adopted");

    // Edit, plan, apply, observe.
    rig.declare(3);
    assert!(rig.expect(&["plan"], 2).contains("RESTART"), "a worker change restarts web");
    rig.expect(&["apply", "--yes"], 0);
    assert_eq!(rig.expect(&["plan"], 0), "no changes\n");

    // Beyond the budget: refused, with the arithmetic.
    rig.declare(40);
    let refused = rig.run(&["plan"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("web 80 (40 workers x 2)"));
    rig.declare(3);

    let secrets =
        springtide_data::secrets::SecretStore::open(rig.folder.join("state/secrets")).expect("the store opens");
    assert!(!secrets.redact_check(&everything_said(&rig)).expect("the check runs"), "a secret was said");
    assert!(secrets.redact_check(&new.password).expect("the check runs"), "the check must be able to find one");
}

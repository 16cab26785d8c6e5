//! Times what people wait for, on real components: a new environment from an existing template
//! against the module install it saves, and what the entrance adds to the login page.
//!
//! Each figure stands beside its peer from the same run, so that a slow machine slows both. Needs
//! root and what `scripts/setup --series 19.0 --series 14.0` puts on the machine. `--json` prints one
//! line for scripts.

// A bench is read where it prints.
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const HTTPS: u16 = 18_463;
const REQUESTS: usize = 300;

struct Bench {
    folder: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("springtide-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be made");
        Self { folder }
    }

    fn declare(&self, environments: &[(String, &str)]) {
        let mut text =
            format!("estate: bench\nplatform: {{ ingress: {{ http: 18100, https: {HTTPS} }} }}\nenvironments:\n");
        for (name, series) in environments {
            text.push_str(&format!(
                "  - {{ name: {name}, workers: {{ web: 2 }}, resources: {{ cpus: 1, memory: 4GiB }}, odoo: {{ series: \"{series}\", modules: [stock, sale_management] }} }}\n"
            ));
        }
        std::fs::write(self.folder.join("estate.yaml"), text).expect("the estate file can be written");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_springtide"));
        command.arg("--state").arg(self.folder.join("state")).arg("--file").arg(self.folder.join("estate.yaml"));
        command.args(words);
        command
    }

    fn run(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("springtide starts");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "springtide {words:?}: {err}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The first password of `admin`, as soon as there is one.
    fn password(&self, environment: &str) -> Option<String> {
        let output = self.command(&["open", environment]).output().expect("springtide starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains("password"))?;
        Some(line.rsplit(' ').next()?.to_owned())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.command(&["stop"]).output();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn client(host: &str) -> reqwest::Client {
    reqwest::Client::builder()
        .http1_only()
        .tls_danger_accept_invalid_certs(true)
        .resolve(host, SocketAddr::from(([127, 0, 0, 1], HTTPS)))
        .cookie_store(true)
        .timeout(Duration::from_secs(60))
        .build()
        .expect("the client can be made")
}

/// Logs in as a browser does and opens the web client; a page without the user is no success.
async fn first_page(environment: &str, password: &str) -> Option<()> {
    let host = format!("{environment}.localhost");
    let (client, url) = (client(&host), format!("https://{host}:{HTTPS}"));
    let login = json!({ "jsonrpc": "2.0", "params": { "db": environment, "login": "admin", "password": password } });
    let answer = client.post(format!("{url}/web/session/authenticate")).json(&login).send().await.ok()?;
    let answer: Value = answer.json().await.ok()?;
    answer["result"]["uid"].as_i64()?;
    let page = client.get(format!("{url}/web")).send().await.ok()?;
    (page.status().as_u16() == 200 && page.text().await.ok()?.contains("session_info")).then_some(())
}

/// Milliseconds of one GET of the login page, body included.
async fn login_page(client: &reqwest::Client, url: &str, host: &str) -> f64 {
    let began = Instant::now();
    let answer = client.get(url).header("Host", host).send().await.expect("it answers");
    assert_eq!(answer.status().as_u16(), 200, "{url}");
    answer.bytes().await.expect("it has a body");
    began.elapsed().as_secs_f64() * 1000.0
}

fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

struct Figures {
    series: &'static str,
    install_s: f64,
    new_s: f64,
    apply_s: f64,
    direct_ms: [f64; 2],
    proxied_ms: [f64; 2],
}

async fn measure(bench: &Bench, series: &'static str, number: usize) -> Figures {
    let (first, second) = (format!("first{number}"), format!("second{number}"));
    bench.declare(&[(first.clone(), series)]);
    bench.run(&["apply", "--yes", "--quiet"]);
    // The peer: the module install inside the template, as the template's own record says.
    let install_s = installed(bench, series);

    bench.declare(&[(first.clone(), series), (second.clone(), series)]);
    let began = Instant::now();
    let mut apply = bench.command(&["apply", "--yes", "--quiet"]).stdout(Stdio::null()).spawn().expect("it starts");
    let password = loop {
        match bench.password(&second) {
            Some(password) => break password,
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    while first_page(&second, &password).await.is_none() {
        assert!(began.elapsed() < Duration::from_secs(300), "{second} never came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let new_s = began.elapsed().as_secs_f64();
    assert!(apply.wait().expect("it ends").success(), "apply of {second} failed");
    let apply_s = began.elapsed().as_secs_f64();

    // Slots are given in order; the second environment of this run is the last one.
    let status: Value = serde_json::from_str(&bench.run(&["status", "--json"])).expect("it is JSON");
    let slot = status["observation"]["environments"][&second]["slot"].as_u64().expect("it has a slot");
    let host = format!("{second}.localhost");
    let proxied = (client(&host), format!("https://{host}:{HTTPS}/web/login"), format!("{host}:{HTTPS}"));
    let direct =
        (client("unused.localhost"), format!("http://127.0.0.1:{}/web/login", 21_002 + slot * 10), host.clone());
    let (mut through, mut past) = (Vec::new(), Vec::new());
    for round in 0..REQUESTS + 20 {
        // In turns, so that noise meets both; the first ones warm up.
        let a = login_page(&direct.0, &direct.1, &direct.2).await;
        let b = login_page(&proxied.0, &proxied.1, &proxied.2).await;
        if round >= 20 {
            past.push(a);
            through.push(b);
        }
    }
    let both = |values: Vec<f64>| [percentile(values.clone(), 0.5), percentile(values, 0.95)];
    Figures { series, install_s, new_s, apply_s, direct_ms: both(past), proxied_ms: both(through) }
}

/// Seconds the module install of the template of `series` took.
fn installed(bench: &Bench, series: &str) -> f64 {
    let templates = std::fs::read_dir(bench.folder.join("state/estate/templates")).expect("there are templates");
    let manifest = templates
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(series))
        .map(|entry| entry.path().join("manifest.json"))
        .expect("the series has a template");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).expect("it has a manifest")).expect("JSON");
    manifest["install_seconds"].as_f64().expect("the manifest says how long the install took")
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs benches too; they measure only when asked to.
    if !std::env::args().any(|word| word == "--bench") {
        println!("a bench: run scripts/bench");
        return;
    }
    let bench = Bench::new();
    let mut all = Vec::new();
    for (number, series) in ["19.0", "14.0"].into_iter().enumerate() {
        all.push(measure(&bench, series, number).await);
    }
    if std::env::args().any(|word| word == "--json") {
        let figures: Vec<Value> = all
            .iter()
            .map(|it| {
                json!({ "series": it.series, "install_s": it.install_s, "new_s": it.new_s, "apply_s": it.apply_s, "direct_ms": it.direct_ms,
                    "proxied_ms": it.proxied_ms })
            })
            .collect();
        println!("{}", json!({ "version": 1, "live": figures }));
        return;
    }
    for it in &all {
        println!("Odoo {}", it.series);
        println!("  install of the modules                 {:>8.1} s   peer", it.install_s);
        let ratio = it.new_s / it.install_s;
        println!(
            "  template to first authenticated page   {:>8.1} s   {ratio:.2} of it   (limits 15 s, 0.20)",
            it.new_s
        );
        println!(
            "  /web/login at the web role     P50 {:>6.1} P95 {:>6.1} ms   peer",
            it.direct_ms[0], it.direct_ms[1]
        );
        let added = it.proxied_ms[0] - it.direct_ms[0];
        println!(
            "  /web/login through the proxy   P50 {:>6.1} P95 {:>6.1} ms   adds {added:.1} ms to P50   (limit 3 ms)",
            it.proxied_ms[0], it.proxied_ms[1]
        );
    }
}

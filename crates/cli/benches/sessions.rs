//! Times what sessions in Redis add to an authenticated page: the web role against a second web server
//! of the same environment, same configuration, same moment, whose sessions are files.
//!
//! Needs root and what `scripts/setup --series 19.0 --series 14.0` puts on the machine. `--json` prints
//! one line for scripts.

// A bench is read where it prints.
#![allow(clippy::print_stdout)]

#[path = "../tests/rig/mod.rs"]
mod rig;

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use springtide_core::role::Role;
use springtide_core::workload::Volume;

use rig::Rig;

/// Port of each series' peer, and one for the event server that its master starts. A peer that was told to end may
/// still answer for a moment, so the next one has ports of its own.
const PEERS: [[u16; 2]; 2] = [[18_465, 18_466], [18_467, 18_468]];
const REQUESTS: usize = 400;
const WARM_UP: usize = 40;

/// The same Odoo without the variables that name Redis.
struct Peer(Child);

impl Peer {
    fn start(rig: &Rig, name: &str, event_option: &str, [http, event]: [u16; 2]) -> Self {
        let unset = ["SOCKET", "USER", "PASSWORD_FILE", "KEYS_FILE", "PREFIX"];
        let unset: Vec<String> = unset.iter().map(|word| format!("--unset=SPRINGTIDE_SESSIONS_{word}")).collect();
        let mut words = vec!["exec".to_owned(), format!("{name}/web"), "--".into(), "env".into()];
        words.extend(unset);
        words.extend(["/usr/bin/odoo", "-c", "/srv/springtide/config/odoo.conf", "--workers=2"].map(String::from));
        words.extend([format!("--http-port={http}"), format!("--{event_option}={event}")]);
        let mut command = rig.command();
        let child = command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.expect("the peer starts"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // What exec runs ends with its caller.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One web server past the entrance, logged in.
struct Server {
    client: reqwest::Client,
    url: String,
}

impl Server {
    async fn logged_in(port: u16, name: &str, password: &str) -> Self {
        // Odoo finds its database by the host's name.
        let host = format!("{name}.localhost");
        let client = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .resolve(&host, SocketAddr::from(([127, 0, 0, 1], port)))
            .cookie_store(true)
            .timeout(Duration::from_secs(60))
            .build()
            .expect("the client can be made");
        let server = Self { client, url: format!("http://{host}:{port}") };
        let began = Instant::now();
        while !server.serves().await {
            assert!(began.elapsed() < Duration::from_secs(90), "{} never came", server.url);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let login = json!({ "jsonrpc": "2.0", "params": { "db": name, "login": "admin", "password": password } });
        let answer = server.client.post(format!("{}/web/session/authenticate", server.url)).json(&login).send();
        let answer: Value = answer.await.expect("it answers").json().await.expect("it is JSON");
        assert_eq!(answer["result"]["uid"], 2, "{answer}");
        server
    }

    async fn serves(&self) -> bool {
        let answer = self.client.get(format!("{}/springtide/health/ready", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Milliseconds of the web client's page, body included. None for a login page: Redis did not answer in its
    /// time, as on a machine that is busy to its limit.
    async fn page(&self, path: &str) -> Option<f64> {
        let began = Instant::now();
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.expect("it answers");
        let page = answer.text().await.expect("it has a body");
        let took = began.elapsed().as_secs_f64() * 1000.0;
        let inside = page.contains("session_info");
        assert!(inside != page.contains("name=\"login\""), "{}: neither a login page nor the web client", self.url);
        inside.then_some(took)
    }
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

struct Figures {
    series: &'static str,
    redis_ms: [f64; 2],
    files_ms: [f64; 2],
    /// The middle of the differences of each pair, which noise of the machine moves least.
    pair_ms: f64,
    /// Pairs without a figure, because one asked to log in.
    lost: usize,
}

async fn measure(rig: &Rig, name: &str, series: &'static str, ports: [u16; 2]) -> Figures {
    let (path, event_option) = if series == "14.0" { ("/web", "longpolling-port") } else { ("/odoo", "gevent-port") };
    let port = rig.slot(name).port(Role::Web).expect("it listens");
    let password = rig.password(name);
    let _peer = Peer::start(rig, name, event_option, ports);
    let redis = Server::logged_in(port, name, &password).await;
    let files = Server::logged_in(ports[0], name, &password).await;
    let sessions = rig.volume(name, Volume::OdooData).join("sessions");
    let found = std::fs::read_dir(&sessions).map_or(0, Iterator::count);
    assert!(found > 0, "the peer's sessions are no files");
    let (mut with, mut without, mut lost) = (Vec::new(), Vec::new(), 0);
    for round in 0..REQUESTS + WARM_UP {
        // In turns, so that noise meets both; the first ones warm up.
        let (Some(a), Some(b)) = (redis.page(path).await, files.page(path).await) else {
            lost += 1;
            continue;
        };
        if round >= WARM_UP {
            with.push(a);
            without.push(b);
        }
    }
    // A session that is lost for good is a failure, not a figure.
    assert!(lost <= REQUESTS / 100, "{name}: {lost} of {REQUESTS} pages asked to log in");
    let mut pairs: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
    let both = |values: &mut [f64]| [percentile(values, 0.5), percentile(values, 0.95)];
    Figures {
        series,
        redis_ms: both(&mut with),
        files_ms: both(&mut without),
        pair_ms: percentile(&mut pairs, 0.5),
        lost,
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs benches too; they measure only when asked to.
    if !std::env::args().any(|word| word == "--bench") {
        println!("a bench: run scripts/bench");
        return;
    }
    let rig = Rig::new("bench-sessions", true);
    let both = [("new", "19.0"), ("old", "14.0")];
    let declared = both.map(|(name, series)| {
        format!(
            "{{ name: {name}, workers: {{ web: 2 }}, resources: {{ cpus: 1, memory: 4GiB }}, odoo: {{ series: \"{series}\", modules: [stock, sale_management] }} }}"
        )
    });
    rig.declare(&declared.each_ref().map(String::as_str));
    rig.apply();
    let mut all = Vec::new();
    for ((name, series), ports) in both.into_iter().zip(PEERS) {
        all.push(measure(&rig, name, series, ports).await);
    }
    if std::env::args().any(|word| word == "--json") {
        let figures: Vec<Value> = all
            .iter()
            .map(|it| json!({ "series": it.series, "redis_ms": it.redis_ms, "files_ms": it.files_ms, "pair_ms": it.pair_ms, "lost": it.lost }))
            .collect();
        println!("{}", json!({ "version": 1, "sessions": figures }));
        return;
    }
    for it in &all {
        println!("Odoo {}: the web client's page, logged in, past the entrance", it.series);
        if it.lost > 0 {
            println!("  {} pairs without a figure: a page asked to log in, because Redis answered too late", it.lost);
        }
        println!("  sessions as files   P50 {:>6.1} P95 {:>6.1} ms   peer", it.files_ms[0], it.files_ms[1]);
        let added = it.redis_ms[0] - it.files_ms[0];
        println!(
            "  sessions in Redis   P50 {:>6.1} P95 {:>6.1} ms   adds {added:.1} ms to P50, {:.1} ms to the middle pair   (limit 1 ms)",
            it.redis_ms[0], it.redis_ms[1], it.pair_ms
        );
    }
}

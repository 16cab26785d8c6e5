//! The system under test of these benches: answers JSON-RPC calls on loopback, and stands still on demand.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// The sink's process; ends with its handle.
pub struct Sink {
    child: Child,
    pub url: String,
}

impl Sink {
    pub fn start() -> Sink {
        let program = std::env::current_exe().unwrap();
        let mut child =
            Command::new(program).arg("--sink").stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Sink { child, url: format!("http://{}", line.trim()) }
    }

    /// Stands still for so long, so long from now.
    pub async fn stall_after(&self, after: Duration, lasts: Duration) {
        tokio::time::sleep(after).await;
        let url = format!("{}/stall?ms={}", self.url, lasts.as_millis());
        reqwest::Client::new().post(url).send().await.unwrap();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(serde::Deserialize)]
struct Stall {
    ms: u64,
}

type Gate = Arc<RwLock<()>>;

/// What of a call is needed for its answer.
#[derive(serde::Deserialize)]
struct Numbered {
    id: u64,
}

/// The rows are written once: the sink is to be faster than who asks it.
static ROWS: LazyLock<String> = LazyLock::new(|| {
    let rows = (0..20).map(|id| json!({ "id": id, "name": format!("Product {id}"), "qty_available": 12.5 }));
    Value::Array(rows.collect()).to_string()
});

async fn answer(State(gate): State<Gate>, Json(call): Json<Numbered>) -> impl IntoResponse {
    let _open = gate.read().await;
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#, call.id, *ROWS);
    ([(CONTENT_TYPE, "application/json")], body)
}

async fn stall(State(gate): State<Gate>, Query(stall): Query<Stall>) {
    let _closed = gate.write().await;
    tokio::time::sleep(Duration::from_millis(stall.ms)).await;
}

/// Serves until it is killed or its parent is gone; prints its address first.
pub fn serve() {
    // Away from the generator's core, where there is another one.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut set = nix::sched::CpuSet::new();
    (1..cores.max(2)).for_each(|core| set.set(core).unwrap());
    if cores > 1 {
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).unwrap();
    }
    std::thread::spawn(|| {
        // The parent holds the other end and never writes: this returns when it is gone.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let router =
            Router::new().route("/jsonrpc", post(answer)).route("/stall", post(stall)).with_state(Gate::default());
        axum::serve(listener, router).await.unwrap();
    });
}

//! The flow of these benches: one JSON-RPC call, its answer read and checked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use springtide_rehearse::generator::{Arrival, Outcome, Traffic};
use springtide_rehearse::measure::Times;

use super::sink::Sink;

/// The call with this number. `locustfile.py` makes the same one.
fn call(number: u64) -> Value {
    let domain = json!([["sale_ok", "=", true], ["id", ">", number % 1000]]);
    let options = json!({ "fields": ["id", "name", "qty_available"], "limit": 20 });
    let args = json!(["prod", 2, "secret", "product.product", "search_read", [domain], options]);
    let params = json!({ "service": "object", "method": "execute_kw", "args": args });
    json!({ "jsonrpc": "2.0", "method": "call", "id": number, "params": params })
}

#[derive(serde::Deserialize)]
struct Answer {
    id: u64,
    result: Vec<Value>,
}

struct Posts {
    client: reqwest::Client,
    url: String,
}

impl Posts {
    async fn post(&self, number: u64) -> Result<(), String> {
        let sent = self.client.post(&self.url).json(&call(number)).send().await;
        let answer: Answer = sent.map_err(|_| "no answer")?.json().await.map_err(|_| "no JSON")?;
        (answer.id == number && answer.result.len() == 20).then_some(()).ok_or_else(|| "another answer".into())
    }
}

#[async_trait]
impl Traffic for Posts {
    async fn act(&self, arrival: &Arrival) -> Outcome {
        match self.post(arrival.number).await {
            Ok(()) => Outcome::Done { retries: 0 },
            Err(reason) => Outcome::Failed { status: None, reason },
        }
    }
}

pub fn posts(sink: &Sink) -> Arc<dyn Traffic> {
    Arc::new(Posts { client: reqwest::Client::new(), url: format!("{}/jsonrpc", sink.url) })
}

/// What most load tools do: one user who waits for an answer, then keeps the pace. The clock starts at the
/// send, so nobody is late who was never sent.
pub async fn closed_loop(sink: &Sink, per_second: u64, lasts: Duration) -> Times {
    let posts = Posts { client: reqwest::Client::new(), url: format!("{}/jsonrpc", sink.url) };
    let (mut times, began, mut number) = (Times::default(), Instant::now(), 0);
    while began.elapsed() < lasts {
        let sent = Instant::now();
        posts.post(number).await.unwrap();
        times.record(sent.elapsed());
        number += 1;
        let pace = Duration::from_secs(1) / u32::try_from(per_second).unwrap();
        tokio::time::sleep(pace.saturating_sub(sent.elapsed())).await;
    }
    times
}

//! A server of HTTP on loopback whose answers a test plants, or that passes requests on to a real one, changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use springtide_data::objects::S3Place;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug)]
pub struct Asked {
    /// Its number, from 0.
    pub number: usize,
    /// `GET /bucket/key?query`.
    pub line: String,
    /// Header lines, lower-case names.
    pub headers: Vec<String>,
}

impl Asked {
    /// Whether a header of this name came.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|line| line.starts_with(&format!("{name}:")))
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Plant {
    /// Answer it, with a status and a body.
    Answer(u16, String),
    /// Answer it with these header lines too.
    With(u16, &'static str, String),
    /// Read it, and be silent.
    Silence,
    /// Send the head of an answer and then bytes without end.
    Endless(u16),
    /// Send an answer's head and a part of its body, and hang up.
    Cut(String),
    /// Pass it on to this port, without header lines of these names.
    Pass(u16, &'static [&'static str]),
}

/// The server; it ends with its handle.
pub struct Planted {
    /// Port on 127.0.0.1.
    pub port: u16,
    seen: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Planted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Planted {
    /// Starts one that does with each request what `plant` says.
    pub async fn start(plant: impl Fn(&Asked) -> Plant + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(AtomicUsize::new(0));
        let (counter, plant) = (seen.clone(), Arc::new(plant));
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (counter, plant) = (counter.clone(), plant.clone());
                all.spawn(async move { serve(stream, &counter, &*plant).await });
            }
        });
        Self { port, seen, task }
    }

    /// How many requests came.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    /// A bucket behind it.
    pub fn place(&self) -> S3Place {
        S3Place {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            region: "us-east-1".into(),
            bucket: "far".into(),
            prefix: String::new(),
            authority_pem: None,
            keys: super::random_keys(),
        }
    }
}

/// One request for each connection.
async fn serve(
    mut stream: TcpStream,
    seen: &AtomicUsize,
    plant: &(dyn Fn(&Asked) -> Plant + Send + Sync),
) -> Option<()> {
    let mut whole = Vec::new();
    let head = loop {
        if let Some(end) = whole.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut whole).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&whole[..head]).into_owned();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let line = lines.next()?.to_owned();
    let headers: Vec<String> = lines
        .map(|line| {
            line.split_once(':').map_or(line.to_owned(), |(name, value)| format!("{}:{value}", name.to_lowercase()))
        })
        .collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    while whole.len() < head + length {
        if stream.read_buf(&mut whole).await.ok()? == 0 {
            return None;
        }
    }
    let asked = Asked { number: seen.fetch_add(1, Ordering::SeqCst), line, headers };
    let answer = |status: u16, more: &str, length: usize| {
        format!("HTTP/1.1 {status} Planted\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n")
    };
    match plant(&asked) {
        Plant::Answer(status, body) => {
            stream.write_all((answer(status, "", body.len()) + &body).as_bytes()).await.ok()?;
        }
        Plant::With(status, more, body) => {
            stream.write_all((answer(status, more, body.len()) + &body).as_bytes()).await.ok()?;
        }
        Plant::Silence => tokio::time::sleep(Duration::from_secs(600)).await,
        Plant::Endless(status) => {
            stream.write_all(answer(status, "content-type: application/xml\r\n", 1 << 40).as_bytes()).await.ok()?;
            loop {
                stream.write_all(&[b'x'; 65536]).await.ok()?;
            }
        }
        Plant::Cut(body) => {
            let more = "etag: \"x\"\r\nlast-modified: Tue, 24 Nov 2026 00:00:00 GMT\r\n";
            stream.write_all((answer(200, more, body.len() * 2) + &body).as_bytes()).await.ok()?;
        }
        Plant::Pass(port, without) => {
            let mut there = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            let mut request = format!("{}\r\nconnection: close\r\n", asked.line);
            let dropped = |line: &&String| without.iter().all(|name| !line.starts_with(&format!("{name}:")));
            for line in asked.headers.iter().filter(dropped).filter(|line| !line.starts_with("connection:")) {
                request.push_str(line);
                request.push_str("\r\n");
            }
            request.push_str("\r\n");
            there.write_all(request.as_bytes()).await.ok()?;
            there.write_all(&whole[head..]).await.ok()?;
            tokio::io::copy(&mut there, &mut stream).await.ok()?;
        }
    }
    stream.shutdown().await.ok()
}

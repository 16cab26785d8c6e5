//! Readiness: one look at a workload from outside, by its spec's [`Probe`]. A probe says ready or
//! why not; it never decides anything.

use std::path::Path;
use std::time::Duration;

use springtide_core::roles::sessions::SOCKET;
use springtide_core::workload::{Probe, Volume, WorkloadSpec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::paths::{Paths, socket_path};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks once. `up_s` is how long the process has run.
pub(crate) async fn look(paths: &Paths, spec: &WorkloadSpec, up_s: u64) -> Result<(), String> {
    let port = |name| spec.ports.get(name).copied().ok_or_else(|| format!("the spec has no port {name:?}"));
    let look = async {
        match &spec.ready {
            Probe::Alive { seconds } if up_s >= u64::from(*seconds) => Ok(()),
            Probe::Alive { seconds } => Err(format!("has run for {up_s} of {seconds} s")),
            Probe::Tcp { port: name } => connect(port(name)?).await.map(drop),
            Probe::Http { port: name, path, host, cookie, status } => {
                http(port(name)?, path, host, cookie.as_deref(), *status).await
            }
            Probe::Redis { user, password } => {
                let socket = paths.volume(spec.id.environment.as_ref(), Volume::SessionsSocket);
                let password = paths.workload(&spec.id).config().join(password);
                redis(&socket, user, &password).await
            }
            Probe::Postgres { port: name } => {
                let socket = paths.volume(spec.id.environment.as_ref(), Volume::PostgresSocket);
                postgres(&socket, port(name)?).await
            }
        }
    };
    timeout(PATIENCE, look).await.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| format!("port {port}: {error}"))
}

async fn http(port: u16, path: &str, host: &str, cookie: Option<&str>, wanted: u16) -> Result<(), String> {
    let mut stream = connect(port).await?;
    let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: springtide-probe\r\n{cookie}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("GET {path}: {error}"))?;
    // The status line is enough; a page may be large and slow.
    let mut head = Vec::with_capacity(64);
    while head.len() < 64 && !head.contains(&b'\n') {
        let mut part = [0; 64];
        match stream.read(&mut part).await {
            Ok(0) => break,
            Ok(n) => head.extend_from_slice(&part[..n]),
            Err(error) => return Err(format!("GET {path}: {error}")),
        }
    }
    let line = String::from_utf8_lossy(&head);
    let status = line.split_whitespace().nth(1).and_then(|word| word.parse::<u16>().ok());
    match status {
        Some(status) if line.starts_with("HTTP/") && status == wanted => Ok(()),
        Some(status) => Err(format!("GET {path} answers {status}, not {wanted}")),
        None => Err(format!("GET {path} has no HTTP answer")),
    }
}

/// Ready when it answers PING, which Redis does not while it reads its data.
async fn redis(folder: &Path, user: &str, password: &Path) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("socket {SOCKET}: {error}");
    let password = std::fs::read_to_string(password).map_err(|error| format!("the probe's password: {error}"))?;
    let (_handle, path) = socket_path(folder, SOCKET).map_err(wrong)?;
    let mut stream = UnixStream::connect(&path).await.map_err(wrong)?;
    let request = format!("AUTH {user} {}\r\nPING\r\nQUIT\r\n", password.trim());
    stream.write_all(request.as_bytes()).await.map_err(wrong)?;
    let mut answer = Vec::new();
    stream.take(1024).read_to_end(&mut answer).await.map_err(wrong)?;
    let answer = String::from_utf8_lossy(&answer);
    match answer.lines().find(|line| !line.starts_with("+OK")) {
        Some("+PONG") => Ok(()),
        // Redis' own words name no password.
        Some(other) => Err(format!("Redis answers {other}")),
        None => Err("Redis ended the connection".to_owned()),
    }
}

/// Ready as `pg_isready` judges: the server asks for authentication or refuses for a reason other
/// than "is starting up" (57P03).
async fn postgres(folder: &Path, port: u16) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("socket .s.PGSQL.{port}: {error}");
    let (_handle, path) = socket_path(folder, &format!(".s.PGSQL.{port}")).map_err(wrong)?;
    let mut stream = UnixStream::connect(&path).await.map_err(wrong)?;
    let mut body = 196_608u32.to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0monitor\0database\0postgres\0\0");
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.extend(body);
    stream.write_all(&packet).await.map_err(wrong)?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.map_err(wrong)?;
    match head[0] {
        b'R' => Ok(()),
        b'E' => {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]).clamp(4, 8192) - 4;
            let mut fields = vec![0; length as usize];
            stream.read_exact(&mut fields).await.map_err(wrong)?;
            let code = fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"));
            match code {
                Some(b"57P03") => Err("the server is starting up or shutting down".to_owned()),
                _ => Ok(()),
            }
        }
        other => Err(format!("the server answers {:?}", char::from(other))),
    }
}

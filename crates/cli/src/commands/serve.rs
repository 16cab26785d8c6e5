//! `springtide serve`: wires the estate, its control and its HTTP side, and waits for a signal.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use springtide_server::control::{Control, Settings};
use springtide_server::http::credentials::{leave_local_token, remove_local_token};
use springtide_server::http::tls::Tls;
use springtide_server::http::{self, Limits};
use springtide_server::locks::{self, LockError, ServerFile, ServerLock};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Cli;
use crate::context::{clock, guard, load, need_root, now, open, room_to_act, state};
use crate::failure::{Failure, NOTHING, code};
use crate::{printer, times};

/// `springtide serve`; `files` are certificate and key, if it answers over TLS.
pub async fn serve(cli: &Cli, listen: SocketAddr, files: Option<(&Path, &Path)>, dry_run: bool) -> Result<u8, Failure> {
    need_root()?;
    let state = state(cli)?;
    guard(&state)?;
    if !listen.ip().is_loopback() && files.is_none() {
        let message = format!("{listen} is not on loopback, and without a certificate the server speaks plain HTTP");
        let next = "springtide serve --listen 127.0.0.1:7979, or name --tls-cert and --tls-key";
        return Err(Failure::new(code::INVALID, "E0924", message, NOTHING, next));
    }
    let tls = files.map(|(certificate, key)| Tls::read(certificate, key)).transpose().map_err(|error| {
        let next = "springtide explain E0927";
        Failure::new(code::INVALID, "E0927", springtide_server::execute::chain(&error), NOTHING, next)
    })?;
    let over = if tls.is_some() { "https" } else { "http" };
    if let Some(server) = locks::server(&state) {
        return Err(runs_already(&server));
    }
    if dry_run {
        load(cli)?;
        say(cli, over, listen, false);
        return Ok(0);
    }
    let estate = open(cli)?;
    let lock = ServerLock::take(&state, now()).map_err(|error| match error {
        LockError::Held(_) => match locks::server(&state) {
            Some(server) => runs_already(&server),
            None => error.into(),
        },
        error => error.into(),
    })?;
    room_to_act(&estate)?;
    estate.store.check()?;
    // A file that is not valid now is no reason not to keep what was valid before.
    if estate.store.kept_file()?.is_none() {
        load(cli)?;
    }
    log();
    let outer = bind(listen).await?;
    let address = outer.local_addr()?;
    // Commands on this machine need no certificate: for them there is a port on loopback, as without TLS.
    let mut listeners = Vec::new();
    let inner = match tls {
        None => address,
        Some(_) => {
            let inner = bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
            let at = inner.local_addr()?;
            listeners.push((inner, None));
            at
        }
    };
    let over_tls = tls.is_some().then(|| address.to_string());
    listeners.push((outer, tls));
    let control = Control::new(Arc::new(estate), Settings::new(std::path::absolute(&cli.file)?, clock()));
    let server = ServerFile {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        since: now(),
        listen: inner.to_string(),
        tls: over_tls,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    // Who finds server.json may end the server, and finds the token too.
    let stop = stop()?;
    leave_local_token(&control.estate().store, &control.estate().state, now())?;
    lock.announce(&server)?;
    say(cli, over, address, true);
    let site = http::site(Arc::clone(&control), clock(), Limits::default());
    springtide_server::serve::serve_on(Arc::clone(&control), site, listeners, stop).await?;
    remove_local_token(&control.estate().store, &control.estate().state)?;
    drop(lock);
    printer::note("", "stopped; what runs goes on");
    Ok(0)
}

async fn bind(listen: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| {
        let message = format!("cannot listen on {listen}: {error}");
        Failure::new(code::FAILED, "E0925", message, NOTHING, "springtide serve --listen 127.0.0.1:0")
    })
}

fn say(cli: &Cli, over: &str, listen: SocketAddr, serving: bool) {
    if cli.json {
        let tls = over == "https";
        printer::json(&json!({ "version": 1, "listen": listen.to_string(), "tls": tls, "serving": serving }));
        return;
    }
    let verb = if serving { "serving" } else { "would serve" };
    printer::say(&format!("{verb} {} on {over}://{listen}", cli.file.display()));
}

/// What the server says while it runs goes to stderr, line by line.
fn log() {
    let level = match (printer::verbose(), printer::quiet()) {
        (true, _) => tracing::Level::DEBUG,
        (false, true) => tracing::Level::ERROR,
        (false, false) => tracing::Level::INFO,
    };
    let logging = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    // A second one in the same process is only ever a test's.
    let _ = logging.with_max_level(level).try_init();
}

/// The failure of who finds a server on the state folder.
pub(super) fn runs_already(server: &ServerFile) -> Failure {
    let at = match server.listen.as_str() {
        "" => String::new(),
        listen => format!(", on http://{listen}"),
    };
    let since = times::person(server.since, now());
    let message = format!("a server runs on this state folder already: pid {}, since {since}{at}", server.pid);
    let next = format!("use that one, or end it first: kill {}", server.pid);
    Failure::new(code::CONFLICT, "E0920", message, NOTHING, next)
}

/// Comes at the first SIGTERM or Ctrl-C; a second leaves at once, which is safe too.
fn stop() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (told, wait) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut told = Some(told);
        loop {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            match told.take() {
                Some(told) => {
                    printer::note("", "stopping after the steps under way");
                    let _ = told.send(());
                }
                None => std::process::exit(code::CANCELLED.into()),
            }
        }
    });
    Ok(async move {
        let _ = wait.await;
    })
}

//! Listening: connections served until told to stop, each with a bound on how long its head may take.
//!
//! A client that sends its head byte by byte holds one task and nothing else, and not for long. When it is
//! told to stop, requests under way are finished; streams, which never end by themselves, are cut after that.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::tls::{OverTls, Tls};

/// Stands among the extensions of every request: where its connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Longest time for the head of a request.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Connections at once.
const MOST: usize = 512;
/// Time for requests under way when it is told to stop.
const LAST: Duration = Duration::from_secs(3);
/// Largest head, bytes.
const HEAD_BYTES: usize = 64 << 10;

/// Serves `router` in plain HTTP until `stop` is done.
pub async fn listen(listener: TcpListener, router: Router, stop: impl Future<Output = ()>, head_within: Duration) {
    listen_with(None, listener, router, stop, head_within).await;
}

/// Serves `router` until `stop` is done, over TLS if there is a certificate.
pub async fn listen_with(
    tls: Option<Tls>,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    head_within: Duration,
) {
    let router = if tls.is_some() { router.layer(Extension(OverTls)) } else { router };
    let room = Arc::new(Semaphore::new(MOST));
    let (tell, told) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let accept = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let _ = stream.set_nodelay(true);
                let (router, told, tls) = (router.clone(), told.clone(), tls.as_ref().map(Tls::acceptor));
                connections.spawn(async move {
                    let _place = place;
                    let peer = Peer(from.ip());
                    let Some(tls) = tls else { return connection(stream, peer, router, told, head_within).await };
                    // Who does not get through the handshake takes no longer than who sends no head.
                    match tokio::time::timeout(head_within, tls.accept(stream)).await {
                        Ok(Ok(stream)) => connection(stream, peer, router, told, head_within).await,
                        Ok(Err(error)) => tracing::debug!(%error, "no TLS with a client"),
                        Err(_) => tracing::debug!("a client did not finish its TLS handshake"),
                    }
                });
            }
            // No file left to open: those that are open go on, and end some time.
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    drop(listener);
    let _ = tell.send(true);
    let rest = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST, rest).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    mut told: watch::Receiver<bool>,
    head_within: Duration,
) {
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer);
        async move { router.oneshot(request).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        // A sender that is gone says the same.
        _ = told.changed() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

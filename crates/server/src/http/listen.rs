//! Listening: connections served until told to stop, each with a bound on how long its head may take.
//!
//! A client that sends its head byte by byte holds one task and nothing else, and not for long. When it is
//! told to stop, requests under way are finished; streams, which never end by themselves, are cut after that.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Longest time for the head of a request.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Connections at once.
const MOST: usize = 512;
/// Time for requests under way when it is told to stop.
const LAST: Duration = Duration::from_secs(3);
/// Largest head, bytes.
const HEAD_BYTES: usize = 64 << 10;

/// Serves `router` until `stop` is done.
pub async fn listen(listener: TcpListener, router: Router, stop: impl Future<Output = ()>, head_within: Duration) {
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
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(stream, router.clone(), told.clone(), place.ok(), head_within));
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
    stream: tokio::net::TcpStream,
    router: Router,
    mut told: watch::Receiver<bool>,
    _place: Option<tokio::sync::OwnedSemaphorePermit>,
    head_within: Duration,
) {
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move { router.oneshot(request.map(axum::body::Body::new)).await }
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

//! Serve: an estate under control and its HTTP side in one process, until it is told to stop.
//!
//! Stopping finishes the step under way, begins no other, and touches nothing that runs.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::control::{Control, ControlError};
use crate::http::listen::{HEAD_WITHIN, listen_with};
use crate::http::tls::Tls;
use crate::recovery;

/// Keeps the estate and answers on `listener` until `stop` comes or another server takes over.
pub async fn serve(
    control: Arc<Control>,
    router: axum::Router,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ControlError> {
    serve_on(control, router, vec![(listener, None)], stop).await
}

/// The same on several listeners, plain or over TLS.
pub async fn serve_on(
    control: Arc<Control>,
    router: axum::Router,
    listeners: Vec<(TcpListener, Option<Tls>)>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ControlError> {
    let (closing, closed) = tokio::sync::watch::channel(false);
    let mut answering = JoinSet::new();
    for (listener, tls) in listeners {
        let mut closed = closed.clone();
        let closed = async move {
            let _ = closed.wait_for(|closing| *closing).await;
        };
        answering.spawn(listen_with(tls, listener, router.clone(), closed, HEAD_WITHIN));
    }
    let recovery = tokio::spawn({
        let (control, clock, closed) = (Arc::clone(&control), control.clock(), closed.clone());
        recovery::keep::keep(control, clock, closed)
    });
    let keeper = tokio::spawn({
        let control = Arc::clone(&control);
        async move { control.keep().await }
    });
    let ended = async {
        let mut keeper = keeper;
        tokio::select! {
            () = stop => {
                control.stop();
                keeper.await
            }
            kept = &mut keeper => kept,
        }
    };
    let kept = ended.await;
    closing.send_replace(true);
    while answering.join_next().await.is_some() {}
    // A backup or proof under way is given up: the next server clears it away and begins anew.
    recovery.abort();
    let _ = recovery.await;
    match kept {
        Ok(kept) => kept,
        Err(fault) => std::panic::resume_unwind(fault.into_panic()),
    }
}

//! Serve: an estate under control and its HTTP side in one process, until it is told to stop.
//!
//! Stopping finishes the step under way, begins no other, and touches nothing that runs.

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::control::{Control, ControlError};
use crate::http::listen::{HEAD_WITHIN, listen};

/// Keeps the estate and answers on `listener` until `stop` comes or another server takes over.
pub async fn serve(
    control: Arc<Control>,
    router: axum::Router,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ControlError> {
    let (closing, mut closed) = tokio::sync::watch::channel(false);
    let closed = async move {
        let _ = closed.wait_for(|closing| *closing).await;
    };
    let answering = tokio::spawn(listen(listener, router, closed, HEAD_WITHIN));
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
    let _ = answering.await;
    match kept {
        Ok(kept) => kept,
        Err(fault) => std::panic::resume_unwind(fault.into_panic()),
    }
}

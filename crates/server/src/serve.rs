//! Serve: an estate under control and its HTTP side in one process, until it is told to stop.
//!
//! Stopping finishes the step under way, begins no other, and touches nothing that runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::control::{Control, ControlError};

/// How long answers under way may take once the server stops; whoever follows events is cut off then.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Keeps the estate and answers on `listener` until `stop` comes or another server takes over.
pub async fn serve(
    control: Arc<Control>,
    router: axum::Router,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ControlError> {
    let (closing, closed) = tokio::sync::watch::channel(false);
    let mut wait = closed.clone();
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    let answers = axum::serve(listener, service).with_graceful_shutdown(async move {
        let _ = wait.wait_for(|closing| *closing).await;
    });
    let answering = tokio::spawn(answers.into_future());
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
    let abort = answering.abort_handle();
    if tokio::time::timeout(LAST_ANSWERS, answering).await.is_err() {
        abort.abort();
    }
    match kept {
        Ok(kept) => kept,
        Err(fault) => std::panic::resume_unwind(fault.into_panic()),
    }
}

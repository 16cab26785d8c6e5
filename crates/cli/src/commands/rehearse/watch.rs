//! What a person sees while a run goes on, and how it is stopped: the first Ctrl-C lets nobody new arrive and
//! waits for answers, the second gives up waiting.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use springtide_rehearse::generator::{Live, Stop, Watch};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, code};
use crate::printer;

/// Shows the figures of `watch` until it is dropped with the task that runs it.
pub async fn show(watch: Watch, length: Duration) {
    let began = Instant::now();
    let bar = printer::live().then(|| {
        let bar = ProgressBar::with_draw_target(Some(length.as_secs()), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} s  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar
    });
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let mut told = 0;
    loop {
        tick.tick().await;
        let passed = began.elapsed().as_secs();
        let text = line(&watch.live());
        match &bar {
            Some(bar) => {
                bar.set_position(passed.min(length.as_secs()));
                bar.set_message(text);
            }
            // Without a terminal a line every ten seconds.
            None if passed >= told + 10 => {
                told = passed;
                printer::note("", &format!("{passed} s: {text}"));
            }
            None => {}
        }
    }
}

fn line(live: &Live) -> String {
    format!(
        "{} of {} came, {} done, {} under way, {} errors",
        live.offered, live.planned, live.done, live.in_flight, live.errors
    )
}

/// Comes when a person asks to stop, from now on.
pub fn word() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    })
}

/// Does what comes before a run, unless a person asks to stop; then nobody has come yet.
pub async fn unless_asked<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let word = word()?;
    tokio::select! {
        done = work => done,
        () = word => {
            let unchanged = "What was made before stays; the same command goes on from there.";
            let message = "stopped at a person's wish, before anybody came";
            Err(Failure::new(code::CANCELLED, "E0805", message, unchanged, "the same command"))
        }
    }
}

/// Stops the run when a person asks to.
pub fn stop_at_a_word(watch: Watch) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::spawn(async move {
        for time in 0.. {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            if time == 0 {
                printer::note("", "stopping: nobody arrives any more; again to stop waiting for answers");
                watch.stop(Stop::Asked);
            } else {
                watch.give_up();
            }
        }
    }))
}

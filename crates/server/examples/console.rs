//! The console over an estate in memory, to click through:
//! `cargo run -p springtide-server --example console -- FOLDER [PORT]`. Prints a log-in link each time Enter
//! is pressed; the estate file in FOLDER may be edited meanwhile. Ends with the input.

#[allow(dead_code, missing_docs)]
#[path = "../tests/console/rig.rs"]
mod rig;

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), rig::Fault> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder")?;
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let rig = rig::Rig::start(Path::new(&folder), port, Duration::from_millis(1500)).await?;
    let (send, mut lines) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = send.blocking_send(line);
        }
    });
    let mut out = std::io::stdout();
    writeln!(out, "{}", rig.link()?)?;
    while lines.recv().await.is_some() {
        writeln!(out, "{}", rig.link()?)?;
    }
    rig.stop().await;
    Ok(())
}

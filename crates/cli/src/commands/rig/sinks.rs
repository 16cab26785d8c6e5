//! `springtide rig sinks`: the partners outside, until Ctrl-C.

use serde_json::json;
use springtide_rehearse::sinks::{Sink, Sinks};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Cli;
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, field};

/// `springtide rig sinks`
pub async fn sinks(cli: &Cli, dry_run: bool) -> Result<u8, Failure> {
    if dry_run {
        let all: Vec<_> = Sink::ALL.iter().map(|it| it.as_str()).collect();
        if cli.json {
            printer::json(&json!({ "version": 1, "sinks": all }));
        } else {
            printer::say(&format!("would answer as {} on ports of this machine alone", all.join(", ")));
        }
        return Ok(0);
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let sinks = Sinks::start()
        .await
        .map_err(|error| Failure::new(code::FAILED, "E0973", error.to_string(), NOTHING, "springtide doctor"))?;
    if !cli.json {
        let rows = sinks.addresses().iter().map(|(sink, at)| vec![field(sink.as_str()), field(at.to_string())]);
        printer::data(&printer::table(&["sink", "address"], rows.collect()));
        let control = sinks.control();
        printer::note("", &format!("counts: http://{control}/counts; modes: PUT http://{control}/modes/SINK"));
    }
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    let counts = sinks.counts();
    if cli.json {
        printer::json(&json!({ "version": 1, "addresses": sinks.addresses(), "counts": counts }));
    } else {
        printer::data(&format!("{}\n", serde_json::to_string_pretty(&counts)?));
    }
    Ok(0)
}

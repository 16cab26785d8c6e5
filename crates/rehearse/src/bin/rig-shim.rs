//! For this crate's own tests: a watchdog, and a rig that can be killed while its faults are in place.
//!
//! `rig-shim watch FOLDER PID START` watches. `rig-shim hold FOLDER FAULT SECONDS WHAT` starts a watchdog,
//! puts a fault in, says `in place` and waits; WHAT is a pid, a socket, a folder or a file.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use springtide_rehearse::faults::{Journal, Victim, Watchdog, clock, disk, process, proxy, takeover, watchdog};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["watch", folder, pid, start] => {
            watchdog::watch(Path::new(folder), pid.parse()?, start.parse()?, std::io::stdout())?;
            Ok(())
        }
        ["hold", folder, fault, seconds, what] => hold(folder, fault, seconds.parse()?, what),
        _ => Err("watch FOLDER PID START, or hold FOLDER FAULT SECONDS WHAT".into()),
    }
}

fn hold(folder: &str, fault: &str, seconds: u64, what: &str) -> Result<()> {
    let journal = Journal::open(folder)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("watch");
    let dog = Watchdog::start(&journal, command)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let (time, path) = (Duration::from_secs(seconds), Path::new(what));
    // Kept until the end of this function, which nobody waits for.
    let _held: Box<dyn std::any::Any> = match fault {
        "freeze" => Box::new(process::freeze(&journal, &[Victim::of(what.parse()?)?], time)?),
        "slow" => Box::new(process::slow(&journal, &[Victim::of(what.parse()?)?], 30, time)?),
        "blackhole" => {
            let taken = takeover::take(&journal, fault.parse()?, path, time)?;
            taken.set(proxy::Trouble::Blackhole(proxy::Way::Both));
            Box::new(taken)
        }
        "fill-disk" => {
            let quota = disk::quota(&journal, path, 8 << 20, time)?;
            Box::new((quota, disk::fill(&journal, path, time)?))
        }
        "clock" => Box::new(clock::shift(&journal, path, 3600, time)?),
        other => return Err(format!("no fault to hold: {other}").into()),
    };
    let mut out = std::io::stdout();
    writeln!(out, "in place {}", dog.pid())?;
    out.flush()?;
    // Longer than the fault: a rig that hangs is late, and its watchdog is not.
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

//! Plan files: a plan with the version of its form, written whole, for its owner only.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use springtide_core::plan::Plan;

use crate::failure::{Failure, NOTHING, code, trouble};
use crate::times;

/// Version of the form.
const VERSION: u64 = 1;
/// No plan of people's estates comes near; a wrong file should not fill the memory.
const MOST_BYTES: u64 = 256 << 20;

/// Writes `plan` in place of any file that was there.
pub fn write(path: &Path, plan: &Plan, now: i64) -> Result<(), Failure> {
    let envelope = serde_json::json!({ "springtide_plan": VERSION, "made": times::utc(now), "plan": plan });
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&envelope)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        let message = format!("cannot write the plan to {}: {error}", path.display());
        match trouble(&error) {
            Some((exit, id, next)) => Failure::new(exit, id, message, NOTHING, next),
            None => Failure::new(code::INVALID, "E0902", message, NOTHING, "name another file with -o"),
        }
    })
}

/// Reads a plan that [`write`] wrote.
pub fn read(path: &Path) -> Result<Plan, Failure> {
    let shown = path.display();
    let refuse = |why: String| {
        let message = format!("{shown} is not a plan that can be applied: {why}");
        Failure::new(code::INVALID, "E0811", message, NOTHING, format!("springtide plan -o {shown}"))
    };
    let file = std::fs::File::open(path).map_err(|error| refuse(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| match bytes.is_empty() {
        true => refuse("it is empty".to_owned()),
        false => refuse(format!("it is not JSON ({error})")),
    })?;
    match value.get("springtide_plan").and_then(serde_json::Value::as_u64) {
        Some(VERSION) => {}
        Some(other) => return Err(refuse(format!("it has version {other} and this program reads {VERSION}"))),
        None => return Err(refuse("it is JSON of something else".to_owned())),
    }
    serde_json::from_value(value["plan"].take()).map_err(|error| refuse(format!("it is damaged or edited ({error})")))
}

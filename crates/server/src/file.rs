//! The estate file as text, with its bounds, before anybody reads anything into it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use springtide_core::spec::MAX_BYTES;

/// The text of an estate file, at most a little more than what is allowed; or in a few words why not.
pub fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        _ => error.to_string(),
    })?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if meta.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if meta.len() > MAX_BYTES as u64 {
        return Err(format!("it has {} MiB; an estate file may have {}", meta.len() >> 20, MAX_BYTES >> 20));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("it is not text in UTF-8 (line {line}, byte {at})")
    })
}

//! The configuration files of a workload: written from its spec, and compared with what was written.
//!
//! Every start writes them anew, so that nobody's edit outlives a restart; between starts an edit is seen
//! and told, and the next `ensure` puts it back.

use std::path::Path;

use springtide_core::observe::EditedFile;

use super::Unit;
use crate::process::paths::Folder;
use crate::process::prepare;
use crate::{DriverError, ResolvedWorkload};

pub(super) fn write_config(folder: &Folder, workload: &ResolvedWorkload) -> Result<(), DriverError> {
    let names = workload.spec.files.iter().map(|file| file.name.as_str());
    let files: Vec<_> = names.zip(workload.files.iter().map(String::as_str)).collect();
    let config: &Path = &folder.config();
    prepare::write_config(config, workload.spec.user.gid, &files).map_err(DriverError::Supervisor)
}

/// Files that hold something else than was written, or are gone.
pub(super) fn edited(folder: &Folder, workload: &ResolvedWorkload) -> Vec<EditedFile> {
    let config = folder.config();
    let all = workload.spec.files.iter().zip(&workload.files);
    all.filter(|(file, content)| std::fs::read(config.join(&file.name)).ok().as_deref() != Some(content.as_bytes()))
        .map(|(file, _)| EditedFile { name: file.name.clone(), reloadable: file.reloadable })
        .collect()
}

impl Unit {
    /// Looks whether somebody edited a file.
    pub(super) fn compare(&mut self) {
        self.edited = match (&self.workload, &self.live) {
            // What does not run is written anew when it starts.
            (Some(workload), Some(_)) => edited(&self.folder, workload),
            _ => Vec::new(),
        };
    }

    /// Writes the files as they should be.
    pub(super) fn configure(&mut self) -> Result<(), String> {
        let Some(workload) = &self.workload else { return Ok(()) };
        write_config(&self.folder, workload).map_err(|error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
            format!("{error}{why}")
        })?;
        self.edited.clear();
        Ok(())
    }
}

//! Verbs that touch only the estate file, or nothing.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use crate::args::Cli;
use crate::context::load;
use crate::failure::{Failure, NOTHING, code, trouble};
use crate::{complete, printer, times};

const TEMPLATE: &str = "\
# One Odoo on this machine. `springtide schema` prints all fields for your editor.
estate: acme
environments:
  - name: prod
    stage: production            # production, staging, test or dev
    odoo:
      series: \"19.0\"             # 14.0 and 19.0 are proven
      modules: [stock, sale_management, purchase, delivery]
    users: 10                    # people who work at the same time
    host: prod.localhost         # what they type
";

/// `springtide init`
pub fn init(cli: &Cli, path: &Path, dry_run: bool) -> Result<u8, Failure> {
    let shown = path.display();
    let refuse = |error: std::io::Error| {
        let message = format!("cannot write {shown}: {error}");
        let (exit, id, next) =
            trouble(&error).unwrap_or((code::INVALID, "E0902", "choose another path, or edit that file".into()));
        Failure::new(exit, id, message, NOTHING, next)
    };
    if dry_run && path.symlink_metadata().is_ok() {
        return Err(refuse(std::io::ErrorKind::AlreadyExists.into()));
    }
    if !dry_run {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(refuse)?;
        file.write_all(TEMPLATE.as_bytes()).map_err(|error| {
            // Half a file would be in the way of the next try.
            let _ = std::fs::remove_file(path);
            refuse(error)
        })?;
    }
    if cli.json {
        printer::json(&json!({ "version": 1, "path": path, "written": !dry_run, "text": TEMPLATE }));
    } else if dry_run {
        printer::note("", &format!("would write {shown}:"));
        printer::data(TEMPLATE);
    } else {
        printer::note("wrote ", &format!("{shown}\nnext: springtide check | springtide plan | springtide apply"));
    }
    Ok(0)
}

/// `springtide check`
pub fn check(cli: &Cli) -> Result<u8, Failure> {
    let checked = load(cli)?;
    if cli.json {
        let mut estate = serde_json::to_value(&checked)?;
        for (peak, checked) in estate["peaks"].as_array_mut().into_iter().flatten().zip(&checked.peaks) {
            peak["from"] = times::utc(checked.from).into();
            peak["to"] = times::utc(checked.to).into();
        }
        printer::json(&json!({ "version": 1, "valid": true, "estate": estate }));
        return Ok(0);
    }
    for note in &checked.notes {
        let text = printer::wrap(&format!("note {}: {}", note.code, note.text), printer::width(), 2);
        printer::note(&printer::yellow("note"), text.strip_prefix("note").unwrap_or(&text));
    }
    let many = checked.environments.len();
    let (many, peaks) = (printer::counted(many, "environment"), printer::counted(checked.peaks.len(), "peak"));
    printer::data(&format!("{} is valid: {many}, {peaks}\n", cli.file.display()));
    Ok(0)
}

/// `springtide schema`
pub fn schema(cli: &Cli) -> Result<u8, Failure> {
    let schema = springtide_core::spec::schema();
    match cli.json {
        true => drop(printer::json(&json!({ "version": 1, "schema": schema }))),
        false => printer::data(&format!("{schema:#}\n")),
    }
    Ok(0)
}

/// `springtide completion SHELL`
pub fn completion(cli: &Cli, shell: clap_complete::Shell) -> Result<u8, Failure> {
    let shell = shell.to_string();
    let script = complete::registration(&shell)?;
    match cli.json {
        true => drop(printer::json(&json!({ "version": 1, "shell": shell, "script": script }))),
        false => drop(printer::raw(&script)),
    }
    Ok(0)
}

/// `springtide version`
pub fn version(cli: &Cli) -> Result<u8, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match cli.json {
        true => drop(printer::json(&json!({ "version": 1, "springtide": version }))),
        false => printer::data(&format!("springtide {version}\n")),
    }
    Ok(0)
}

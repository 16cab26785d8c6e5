//! Verbs that touch only the estate file, or nothing.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::context::load;
use crate::failure::{Failure, code};
use crate::printer;

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
pub fn init(cli: &Cli, path: &Path) -> Result<u8, Failure> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = made.map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(code::INVALID, "E0902", message, "Nothing was changed.", "choose another path, or edit that file")
    })?;
    file.write_all(TEMPLATE.as_bytes())?;
    if cli.json {
        printer::data(&format!("{}\n", serde_json::json!({ "version": 1, "written": path })));
    } else if !cli.quiet {
        printer::talk(
            "wrote ",
            &format!("{}\nnext: springtide check | springtide plan | springtide apply", path.display()),
        );
    }
    Ok(0)
}

/// `springtide check`
pub fn check(cli: &Cli) -> Result<u8, Failure> {
    let checked = load(cli)?;
    if cli.json {
        printer::data(&format!("{}\n", serde_json::json!({ "version": 1, "valid": true, "estate": checked })));
        return Ok(0);
    }
    for note in &checked.notes {
        printer::talk(&printer::yellow("note"), &format!(" {}: {}", note.code, note.text));
    }
    let many = checked.environments.len();
    printer::data(&format!("{} is valid: {many} environments, {} peaks\n", cli.file.display(), checked.peaks.len()));
    Ok(0)
}

/// `springtide schema`
pub fn schema() -> Result<u8, Failure> {
    printer::data(&format!("{:#}\n", springtide_core::spec::schema()));
    Ok(0)
}

/// `springtide completion SHELL`
pub fn completion(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "springtide", &mut text);
    printer::data(&String::from_utf8_lossy(&text));
    Ok(0)
}

/// `springtide version`
pub fn version(cli: &Cli) -> Result<u8, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match cli.json {
        true => printer::data(&format!("{}\n", serde_json::json!({ "version": 1, "springtide": version }))),
        false => printer::data(&format!("springtide {version}\n")),
    }
    Ok(0)
}

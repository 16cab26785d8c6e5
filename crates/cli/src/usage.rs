//! Command lines that are not understood, told like every other failure.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use springtide_core::spec::suggest::nearest;

use crate::args::Cli;
use crate::failure::{Failure, NOTHING, code};

/// Prints help and version as asked, everything else as a failure with a suggestion.
pub fn report(error: &clap::Error, words: &[String]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !json {
        let _ = error.print();
        return ExitCode::from(code::INVALID);
    }
    Failure::new(code::INVALID, "E0911", message(error), NOTHING, next(words)).report(json)
}

/// clap's own first sentence and its tips, on one line.
fn message(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no verb is given".to_owned();
    }
    let text = error.render().to_string();
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let said = said.join(" ").trim_start_matches("error: ").replace(" tip: ", "; ");
    match meant(error) {
        Some(verb) if !said.contains(&format!("'{verb}'")) => format!("{said}; a similar subcommand exists: '{verb}'"),
        _ => said,
    }
}

/// The verb that a mistyped one is nearest to; clap passes over short ones.
fn meant(error: &clap::Error) -> Option<String> {
    use clap::CommandFactory as _;
    let ContextValue::String(typed) = error.get(ContextKind::InvalidSubcommand)? else { return None };
    let command = Cli::command();
    nearest(typed, command.get_subcommands().map(clap::Command::get_name)).map(str::to_owned)
}

fn next(words: &[String]) -> String {
    use clap::CommandFactory as _;
    let command = Cli::command();
    let verb = words.iter().find_map(|word| command.find_subcommand(word));
    match verb {
        Some(verb) => format!("springtide {} --help", verb.get_name()),
        None => "springtide --help".to_owned(),
    }
}

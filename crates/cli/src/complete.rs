//! Completion: the shell asks this program at every TAB, so environments are those of the estate
//! file as it is now.
//!
//! It reads the estate file and names of folders, nothing else: no root, no lock, no network. What
//! cannot be read offers nothing.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, EnvCompleter, Shells};
use springtide_core::role::Role;

use crate::args::Cli;

const VARIABLE: &str = "COMPLETE";

/// Whether a shell asks for completions.
pub fn asked() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty() && shell != "0")
}

/// Answers the shell.
pub fn answer() -> ExitCode {
    let folder = std::env::current_dir().ok();
    let done = CompleteEnv::with_factory(live_command)
        .var(VARIABLE)
        .completer("springtide")
        .try_complete(std::env::args_os(), folder.as_deref());
    ExitCode::from(u8::from(done.is_err()))
}

/// The script that makes a shell ask.
pub fn registration(shell: &str) -> std::io::Result<String> {
    let shells = Shells::builtins();
    let completer: &dyn EnvCompleter =
        shells.completer(shell).ok_or_else(|| std::io::Error::other(format!("no completion for {shell}")))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "springtide", "springtide", "springtide", &mut script)?;
    String::from_utf8(script).map_err(std::io::Error::other)
}

/// The command tree with live values at every argument that names something live.
fn live_command() -> clap::Command {
    let mut command = Cli::command();
    let verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for verb in verbs {
        command = command.mut_subcommand(verb, |verb| {
            verb.mut_args(|arg| match arg.get_id().as_str() {
                "environment" | "environments" => arg.add(ArgValueCandidates::new(|| offered(environments()))),
                "workload" => arg.add(ArgValueCandidates::new(|| offered(workloads()))),
                "thing" => arg.add(ArgValueCandidates::new(|| offered(things()))),
                _ => arg,
            })
        });
    }
    command
}

fn offered(words: Vec<String>) -> Vec<CompletionCandidate> {
    words.into_iter().map(CompletionCandidate::new).collect()
}

fn workloads() -> Vec<String> {
    let mut all: Vec<String> = Role::ESTATE.into_iter().map(|role| role.to_string()).collect();
    for name in environments() {
        all.extend(Role::ENVIRONMENT.into_iter().map(|role| format!("{name}/{role}")));
    }
    all
}

fn things() -> Vec<String> {
    let codes = springtide_core::check::EXPLANATIONS
        .iter()
        .chain(springtide_core::plan::EXPLANATIONS)
        .chain(springtide_core::plan::COMMANDS);
    let roles = Role::ENVIRONMENT.into_iter().chain(Role::ESTATE).map(|role| role.to_string());
    environments().into_iter().chain(roles).chain(codes.map(|one| one.code.to_owned())).collect()
}

/// Environments of the estate file, and those whose folders this user may see.
fn environments() -> Vec<String> {
    let words: Vec<_> = std::env::args_os().collect();
    let named = |long: &str| -> Option<PathBuf> {
        words.iter().zip(words.iter().skip(1)).find_map(|(flag, value)| {
            let inline = flag.to_str().and_then(|flag| flag.strip_prefix(long)?.strip_prefix('=')).map(PathBuf::from);
            inline.or_else(|| (flag == OsStr::new(long)).then(|| PathBuf::from(value)))
        })
    };
    let file = named("--file").unwrap_or_else(|| "estate.yaml".into());
    let from_variable = || std::env::var_os("SPRINGTIDE_STATE").map(PathBuf::from);
    let state = named("--state").or_else(from_variable).unwrap_or_else(|| "/var/lib/springtide".into());

    let mut all = std::collections::BTreeSet::new();
    // A file as large as that would make the shell wait.
    if std::fs::metadata(&file).is_ok_and(|meta| meta.is_file() && meta.len() < 1 << 20)
        && let Ok(text) = std::fs::read_to_string(&file)
        && let Ok((estate, _)) = springtide_core::spec::parse("estate", &text)
    {
        all.extend(estate.environments.into_iter().map(|environment| environment.name));
    }
    if let Ok(folders) = std::fs::read_dir(state.join("environments")) {
        all.extend(folders.flatten().filter_map(|folder| folder.file_name().into_string().ok()));
    }
    // Names go to a shell: only those that can be names.
    all.retain(|name| name.parse::<springtide_core::names::EnvironmentName>().is_ok());
    all.into_iter().collect()
}

//! The one binary `springtide`: arguments, printing, commands, wiring. Nothing is decided here.

mod args;
mod commands;
mod context;
mod failure;
mod printer;

use clap::Parser as _;

use args::{Cli, Command};

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // The supervisor's own commands fork and change namespaces: before any thread exists.
    if let Some(code) = springtide_driver::hidden_command(&words) {
        return std::process::ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    if let [notice, flag, port] = words.as_slice()
        && notice == "notice"
        && flag == "--port"
    {
        return commands::notice(port);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return std::process::ExitCode::from(if error.use_stderr() { 3 } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure::Failure::from(error).report(cli.json),
    };
    let json = cli.json;
    match runtime.block_on(run(cli)) {
        Ok(code) => std::process::ExitCode::from(code),
        Err(failure) => failure.report(json),
    }
}

async fn run(cli: Cli) -> Result<u8, failure::Failure> {
    match &cli.command {
        Command::Init { path } => commands::init(&cli, path),
        Command::Check => commands::check(&cli),
        Command::Plan { out } => commands::plan(&cli, out.as_deref()).await,
        Command::Apply { plan, yes, dry_run } => commands::apply(&cli, plan.as_deref(), *yes, *dry_run).await,
        Command::Status { environment } => commands::status(&cli, environment.as_ref()).await,
        Command::Explain { thing } => commands::explain(&cli, thing).await,
        Command::Logs { workload, lines } => commands::logs(&cli, workload, *lines),
        Command::Open { environment } => commands::open(&cli, environment).await,
        Command::Destroy(options) => commands::destroy(&cli, options).await,
        Command::History => commands::history(&cli),
        Command::Stop => commands::stop(&cli).await,
        Command::Schema => commands::schema(),
        Command::Completion { shell } => commands::completion(*shell),
        Command::Version => commands::version(&cli),
    }
}

//! The one binary `springtide`: arguments, printing, commands, wiring. Nothing is decided here.

// A test that cannot go on says so best by panicking.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod commands;
mod complete;
mod context;
mod failure;
mod plan_file;
mod printer;
mod progress;
mod times;
mod usage;

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
    if let [watchdog, folder, pid, start] = words.as_slice()
        && watchdog == commands::WATCHDOG
    {
        return commands::watchdog(folder, pid, start);
    }
    if complete::asked() {
        return complete::answer();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error, &words),
    };
    printer::settle(printer::Wishes { quiet: cli.quiet, verbose: cli.verbose, json: cli.json });
    let json = cli.json;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure::Failure::from(error).report(json),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => std::process::ExitCode::from(code),
        Err(failure) => failure.report(json),
    }
}

async fn run(cli: Cli) -> Result<u8, failure::Failure> {
    match &cli.command {
        Command::Init { path, dry_run } => commands::init(&cli, path, *dry_run),
        Command::Check => commands::check(&cli),
        Command::Plan { out } => commands::plan(&cli, out.as_deref()).await,
        Command::Apply { plan, yes, dry_run } => commands::apply(&cli, plan.as_deref(), *yes, *dry_run).await,
        Command::Status { environment } => commands::status(&cli, environment.as_ref()).await,
        Command::Doctor => commands::doctor(&cli).await,
        Command::Explain { thing } => commands::explain(&cli, thing).await,
        Command::Logs { workload, lines, since, follow } => {
            commands::logs(
                &cli,
                workload,
                &commands::LogWishes { lines: *lines, since: since.as_deref(), follow: *follow },
            )
            .await
        }
        Command::Exec { workload, dry_run, command } => commands::exec(&cli, workload, command, *dry_run).await,
        Command::Open { environment: Some(environment), .. } => commands::open(&cli, environment).await,
        Command::Open { environment: None, .. } => commands::open_console(&cli),
        Command::Token { what, dry_run } => commands::token(&cli, what.as_ref(), *dry_run),
        Command::Session { action, environment, user, dry_run } => {
            commands::session(&cli, *action, environment, user.as_deref(), *dry_run).await
        }
        Command::Destroy(options) => commands::destroy(&cli, options).await,
        Command::History { environment, operation } => commands::history(&cli, environment.as_ref(), *operation),
        Command::Stop { dry_run } => commands::stop(&cli, *dry_run).await,
        Command::Serve { listen, tls_cert, tls_key, dry_run } => {
            commands::serve(&cli, *listen, tls_cert.as_deref().zip(tls_key.as_deref()), *dry_run).await
        }
        Command::Hold { reason, dry_run } => commands::hold(&cli, reason, *dry_run),
        Command::Release { dry_run } => commands::release(&cli, *dry_run),
        Command::Recover { dry_run } => commands::recover(&cli, *dry_run),
        Command::Backup { what, dry_run } => commands::backup(&cli, what.as_ref(), *dry_run).await,
        Command::Restore(options) => commands::restore(&cli, options).await,
        Command::Clone { environment, to, yes, dry_run } => {
            commands::clone(&cli, environment, to, *yes, *dry_run).await
        }
        Command::Prove(options) => commands::prove(&cli, options).await,
        Command::Rehearse { what, dry_run } => commands::rehearse(&cli, what.as_ref(), *dry_run).await,
        Command::Rig { what, dry_run } => commands::rig(&cli, what.as_ref(), *dry_run).await,
        Command::Schema => commands::schema(&cli),
        Command::Completion { shell } => commands::completion(&cli, *shell),
        Command::Version => commands::version(&cli),
    }
}

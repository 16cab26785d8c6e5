//! What can be typed. The doc comments are the help.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use springtide_core::names::EnvironmentName;
use springtide_core::workload::WorkloadId;

use crate::commands::DestroyOptions;

/// Runs Odoo through seasonal peaks: one estate file, planned and applied.
#[derive(Parser)]
#[command(name = "springtide", version, disable_help_subcommand = true)]
pub struct Cli {
    /// Folder that holds everything Springtide keeps on this machine
    #[arg(long, global = true, env = "SPRINGTIDE_STATE", default_value = "/var/lib/springtide")]
    pub state: PathBuf,
    /// Folder with the Odoo roots and tools that scripts/setup made
    #[arg(long, global = true, env = "SPRINGTIDE_CACHE", default_value = "/var/cache/springtide")]
    pub cache: PathBuf,
    /// The estate file
    #[arg(short, long, global = true, default_value = "estate.yaml")]
    pub file: PathBuf,
    /// One JSON object on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Say less
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Subcommand)]
pub enum Command {
    /// Write a commented estate file
    Init {
        /// Where to write it
        #[arg(default_value = "estate.yaml")]
        path: PathBuf,
    },
    /// Check the estate file
    Check,
    /// Show what apply would do; exit code 2 if there is something to do
    Plan {
        /// Write the plan to a file, for apply
        #[arg(short, long)]
        out: Option<PathBuf>,
    },
    /// Bring the machine to what the estate file says
    Apply {
        /// A plan written by `plan -o`; refused if the world has moved since
        plan: Option<PathBuf>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Only show the plan
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what runs, as observed now
    Status {
        /// Only this environment
        environment: Option<EnvironmentName>,
    },
    /// Explain an error code (E0701), an environment (prod) or a role (prod/web)
    Explain {
        /// What to explain
        thing: String,
    },
    /// Show the log of a workload, such as prod/web or proxy
    Logs {
        /// Which workload
        workload: WorkloadId,
        /// How many lines
        #[arg(short = 'n', long, default_value_t = 100)]
        lines: usize,
    },
    /// Show where an environment is and how to log in
    Open {
        /// Which environment
        environment: EnvironmentName,
    },
    /// Remove an environment with its data; production needs a last backup or a reason
    Destroy(DestroyOptions),
    /// Show past operations
    History,
    /// Stop every workload and the supervisor; data stays, apply starts them again
    Stop,
    /// Print the JSON Schema of the estate file
    Schema,
    /// Print shell completions
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

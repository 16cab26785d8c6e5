//! What can be typed. The doc comments are the help.
//!
//! Every verb that changes something has `--dry-run`; every environment or workload argument is
//! called `environment` or `workload`, which is how completion finds it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use springtide_api::Scope;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_core::spec::suggest::{listed, nearest};
use springtide_core::workload::WorkloadId;

/// Runs Odoo through seasonal peaks: one estate file, planned and applied.
#[derive(Parser)]
#[command(name = "springtide", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Folder that holds everything Springtide keeps on this machine
    #[arg(long, global = true, env = "SPRINGTIDE_STATE", default_value = "/var/lib/springtide")]
    pub state: PathBuf,
    /// Folder with the Odoo roots and tools that scripts/setup made
    #[arg(long, global = true, env = "SPRINGTIDE_CACHE", default_value = "/var/cache/springtide")]
    pub cache: PathBuf,
    /// The estate file
    #[arg(long, global = true, default_value = "estate.yaml")]
    pub file: PathBuf,
    /// One JSON object on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Nothing but errors and results
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Details of steps
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
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
        /// Only show what would be written
        #[arg(long)]
        dry_run: bool,
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
        /// Do not ask; refusals, freezes and protection stay
        #[arg(short, long)]
        yes: bool,
        /// Only show the plan
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what runs, as observed now; exit code 2 if something does not
    Status {
        /// Only this environment
        environment: Option<EnvironmentName>,
    },
    /// Look for what is missing or wrong on this machine; exit code 2 if something is
    Doctor,
    /// Explain a code (E0701), a step (copy-template), a role (web) or an environment (prod)
    Explain {
        /// What to explain
        thing: String,
    },
    /// Show the log of a workload, such as prod/web or proxy
    Logs {
        /// Which workload
        #[arg(value_parser = workload)]
        workload: WorkloadId,
        /// How many lines, at most
        #[arg(short = 'n', long, default_value_t = 100)]
        lines: usize,
        /// Only lines since then: a length of time (15m, 2h, 1d) or a moment (2026-11-27T06:00)
        #[arg(long)]
        since: Option<String>,
        /// Go on with new lines until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
    /// Run a command inside a running workload, such as `exec prod/postgres -- psql`
    ///
    /// It has the root, user, limits and environment of the workload and your terminal, and its exit
    /// code is passed on. Without a command: psql as the administrator for postgres, Odoo's shell for
    /// Odoo's roles, sh for the others. The call is recorded in the history without its arguments.
    /// With --json the command's output goes to stderr and one object to stdout when it has ended.
    Exec {
        /// Which workload
        #[arg(value_parser = workload)]
        workload: WorkloadId,
        /// Only show what would be run
        #[arg(long)]
        dry_run: bool,
        /// The command and its arguments
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Show where an environment is and how to log in; with --console a login link for the console
    Open {
        /// Which environment
        #[arg(required_unless_present = "console", conflicts_with = "console")]
        environment: Option<EnvironmentName>,
        /// Make a link that logs in to the server's console once, within ten minutes
        #[arg(long)]
        console: bool,
    },
    /// Tokens that programs ask the server with: show, make and revoke them
    Token {
        /// What to do; without it all tokens are shown
        #[command(subcommand)]
        what: Option<TokenCommand>,
        /// Only show what would be done
        #[arg(long, global = true)]
        dry_run: bool,
    },
    /// Count the sessions of logged-in people, or end those of one user
    ///
    /// `session list prod` counts them by user. `session revoke prod anna` ends every session of a
    /// user, who meets the login page at the next click. Passwords stay as they are.
    Session {
        /// What to do
        action: SessionAction,
        /// Which environment
        environment: EnvironmentName,
        /// Whose sessions to end: a login, or the number of a user
        #[arg(required_if_eq("action", "revoke"))]
        user: Option<String>,
        /// Only show how many sessions would be ended
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove an environment with its data; production needs a last backup or a reason
    Destroy(DestroyOptions),
    /// Show past operations, newest first
    History {
        /// Only operations that touched this environment
        environment: Option<EnvironmentName>,
        /// The steps of one operation
        #[arg(long)]
        operation: Option<u64>,
    },
    /// Stop every workload and the supervisor; data stays, apply starts them again
    Stop {
        /// Only show what would be stopped
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep the estate as it is approved, until it is told to stop; one server on a state folder
    Serve {
        /// Address and port; on loopback, unless there is a certificate
        #[arg(long, default_value = "127.0.0.1:7979")]
        listen: std::net::SocketAddr,
        /// Answer there over TLS with this certificate and its chain, a PEM file
        #[arg(long, value_name = "FILE", requires = "tls_key")]
        tls_cert: Option<PathBuf>,
        /// Its private key, a PEM file that not everybody may read
        #[arg(long, value_name = "FILE", requires = "tls_cert")]
        tls_key: Option<PathBuf>,
        /// Only say what would be served
        #[arg(long)]
        dry_run: bool,
    },
    /// Set the stop switch: no operation begins, one that runs stops before its next step
    Hold {
        /// Why, for those who find it set
        reason: String,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Release the stop switch
    Release {
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Put the newest copy of the store in the place of one that is damaged or gone
    Recover {
        /// Only show which copy that is
        #[arg(long)]
        dry_run: bool,
    },
    /// Backups of an environment: what there is, take one, name a moment; without a word after it: all environments
    Backup {
        /// What to do
        #[command(subcommand)]
        what: Option<BackupCommand>,
        /// Only show what would be done
        #[arg(long, global = true)]
        dry_run: bool,
    },
    /// Fill a new environment with what another one held at a moment
    ///
    /// `restore prod --to 2026-11-24T03:15:00Z --into prod-before` never touches prod. The new environment stands in the
    /// estate file and does not exist yet. It is made harmless (no mail, no scheduled actions, no keys of partners)
    /// before it starts, unless `--live` says that it is to take over.
    Restore(RestoreOptions),
    /// Copy an environment from its backups, made harmless; the original is not loaded
    Clone {
        /// Which environment
        environment: EnvironmentName,
        /// Into which: it stands in the estate file and does not exist yet
        #[arg(long, value_name = "ENVIRONMENT")]
        to: EnvironmentName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Prove that an environment can be restored: restore it aside, look at everything, sign, throw it away
    ///
    /// The exit code is 0 only for `proven`; 2 is failed or inconclusive.
    Prove(ProveOptions),
    /// Rehearse a peak: believable load on an environment, and a ledger that judges what came of it
    ///
    /// `rehearse run holiday --env prod --minutes 3` puts a distributor's data there if there is none,
    /// drives every kind of work at the pace of the profile, and compares what Odoo acknowledged with
    /// what its database holds. Without a word after it: the profiles that there are.
    Rehearse {
        /// What to do
        #[command(subcommand)]
        what: Option<RehearseCommand>,
        /// Only show what would be done
        #[arg(long, global = true)]
        dry_run: bool,
    },
    /// Faults, sinks and the rig's check of itself; without a word after it: the catalogue of faults
    Rig {
        /// What to do
        #[command(subcommand)]
        what: Option<RigCommand>,
        /// Only show what would be done
        #[arg(long, global = true)]
        dry_run: bool,
    },
    /// Print the JSON Schema of the estate file
    Schema,
    /// Print shell completions: `source <(springtide completion bash)`
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// What may be done with backups.
#[derive(Subcommand)]
pub enum BackupCommand {
    /// Sets, the span that can be restored, and what was proven
    List {
        /// Which environment
        environment: EnvironmentName,
    },
    /// Take one now
    Run {
        /// Which environment
        environment: EnvironmentName,
        /// Everything, and not only what changed since the last
        #[arg(long)]
        full: bool,
        /// Into the far place
        #[arg(long)]
        far: bool,
    },
    /// Name this moment, so that a restore can end exactly here
    Point {
        /// Which environment
        environment: EnvironmentName,
        /// 1 to 63 of a-z A-Z 0-9 . _ -
        name: String,
    },
    /// Read everything in a place and compare it with its checksums
    Verify {
        /// Which environment
        environment: EnvironmentName,
        /// The far place
        #[arg(long)]
        far: bool,
    },
}

/// What `restore` is told.
#[derive(clap::Args)]
pub struct RestoreOptions {
    /// Which environment
    pub environment: EnvironmentName,
    /// newest, a time with its offset, a position in the log, or a named point
    #[arg(long, value_name = "MOMENT")]
    pub to: String,
    /// Into which: it stands in the estate file and does not exist yet
    #[arg(long, value_name = "ENVIRONMENT")]
    pub into: EnvironmentName,
    /// From the far place
    #[arg(long)]
    pub far: bool,
    /// It takes over: mail, scheduled actions and keys stay as they are
    #[arg(long)]
    pub live: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// What `prove` is told.
#[derive(clap::Args)]
pub struct ProveOptions {
    /// Which environment
    pub environment: EnvironmentName,
    /// newest, a time with its offset, a position in the log, or a named point
    #[arg(long, value_name = "MOMENT", default_value = "newest")]
    pub to: String,
    /// From the far place
    #[arg(long)]
    pub far: bool,
    /// Every index and attachment, and not a sample
    #[arg(long)]
    pub whole: bool,
    /// Leave a stage out; nothing is proven without it. For trying whether a proof can fail
    #[arg(long, value_name = "STAGE")]
    pub without: Vec<String>,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// What `session` does.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SessionAction {
    /// Count sessions by user
    List,
    /// End all sessions of a user
    Revoke,
}

/// What may be done with tokens.
#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token and show it this once
    Create {
        /// What it is for
        name: String,
        /// What it allows: read, operate or admin, each with what stands before it
        #[arg(long, default_value = "read")]
        scope: Scope,
        /// How long it is good for, such as 12h or 30d; at most 365d
        #[arg(long, default_value = "30d")]
        expires: String,
        /// Write it to this new file, for nobody else to read, and do not show it
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Show all tokens, without what lets one in
    List,
    /// Make a token good no more, at once
    Revoke {
        /// Its id, as list shows it
        id: String,
    },
}

/// What can be rehearsed.
#[derive(Subcommand)]
pub enum RehearseCommand {
    /// Put a distributor's data into an environment: products, bins, customers, stock, orders open and delivered
    Prepare {
        /// Which environment
        #[arg(long = "env", value_name = "ENVIRONMENT")]
        environment: EnvironmentName,
        /// How much: s 1,000 products, m 20,000, l 100,000
        #[arg(long, default_value = "s")]
        size: String,
        /// The same seed makes the same data
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Also on production, if its file allows it
        #[arg(long)]
        i_know: bool,
    },
    /// Drive a profile, compare with the database, judge; exit code 2 if it did not pass
    Run {
        /// A profile by name, or a file with one
        profile: String,
        /// Which environment
        #[arg(long = "env", value_name = "ENVIRONMENT")]
        environment: EnvironmentName,
        /// How long, in minutes; 10 unless told
        #[arg(long)]
        minutes: Option<f64>,
        /// How much data, if there is none yet
        #[arg(long, default_value = "s")]
        size: String,
        /// The same seed makes the same arrivals
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Keep the generator on this processor, apart from Odoo
        #[arg(long, value_name = "NUMBER")]
        pin: Option<usize>,
        /// Also on production, if its file allows it
        #[arg(long)]
        i_know: bool,
    },
    /// Compare the ledger of an earlier run with the database as it is now; exit code 2 if it is not clean
    Check {
        /// The ledger's file
        ledger: PathBuf,
        /// Which environment
        #[arg(long = "env", value_name = "ENVIRONMENT")]
        environment: EnvironmentName,
    },
    /// Measure what each kind of work costs on this machine, into a file of parameters
    Calibrate {
        /// Which environment
        #[arg(long = "env", value_name = "ENVIRONMENT")]
        environment: EnvironmentName,
        /// Where to write the parameters, as YAML
        #[arg(short, long, default_value = "plant.yaml")]
        out: PathBuf,
        /// Where to write what was measured, as a page in Markdown
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// Acts of each kind, one after another
        #[arg(long, default_value_t = 60)]
        requests: u32,
        /// Seconds for each place where the model is compared; each number of a sweep has a third
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Also on production, if its file allows it
        #[arg(long)]
        i_know: bool,
    },
}

/// What the rig does besides load.
#[derive(Subcommand)]
pub enum RigCommand {
    /// Plant a lost, a doubled, a late order and more, and see whether each is found
    Selftest {
        /// Also plant them on this environment, in its real database
        #[arg(long = "env", value_name = "ENVIRONMENT")]
        environment: Option<EnvironmentName>,
        /// Switch a check off; the self-test must fail then
        #[arg(long, value_name = "CHECK")]
        without: Option<String>,
    },
    /// Answer as carrier, marketplace, EDI partner, mail server, payment and webhook receiver, and count, until Ctrl-C
    Sinks,
    /// Switch a fault on, for a time; it is undone even when this command dies
    Fault {
        /// Its id in the catalogue, such as kill
        id: String,
        /// Which workload, such as prod/web
        #[arg(long = "on", value_name = "WORKLOAD", value_parser = workload)]
        workload: WorkloadId,
        /// For how long
        #[arg(long = "for", value_name = "TIME", default_value = "30s")]
        time: String,
        /// How much: of slow the percent of time that is left (50), of delay milliseconds (200), of bandwidth bytes a second
        /// (16384), of kill the seconds between two workers; without it kill takes all at once
        #[arg(long, value_name = "NUMBER")]
        strength: Option<u64>,
        /// Also on production, if its file allows it
        #[arg(long)]
        i_know: bool,
    },
    /// Undo every fault that is still on
    Undo,
}

/// What `destroy` is asked besides the name.
#[derive(clap::Args)]
pub struct DestroyOptions {
    /// Environment to destroy
    pub environment: EnvironmentName,
    /// The name once more, in place of typing it
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Back up database and files first, into this new folder (default: in the state folder)
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, conflicts_with = "reason")]
    pub final_backup: Option<Option<PathBuf>>,
    /// Destroy without a backup, and keep this reason in the history
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Only show the plan
    #[arg(long)]
    pub dry_run: bool,
}

/// Reads a workload and says which word of it is wrong.
fn workload(text: &str) -> Result<WorkloadId, String> {
    let (environment, word) = text.split_once('/').map_or((None, text), |(name, word)| (Some(name), word));
    let roles: &[Role] = if environment.is_some() { &Role::ENVIRONMENT } else { &Role::ESTATE };
    match Role::from_word(word) {
        Some(role) if roles.contains(&role) => text.parse().map_err(|error| format!("{error}")),
        Some(_) if environment.is_some() => Err(format!("{word} belongs to the whole estate; write {word}")),
        Some(_) => Err(format!("{word} is a role of an environment; write it as prod/{word}")),
        None => {
            let all = Role::ENVIRONMENT.into_iter().chain(Role::ESTATE).map(Role::as_str);
            let known = listed(roles.iter().map(|role| role.as_str()));
            Err(match nearest(word, all) {
                Some(near) => format!("{word:?} is no role; did you mean {near}? There is {known}"),
                None if environment.is_some() => format!("{word:?} is no role; there is {known}"),
                None => format!("write environment/role, such as prod/web, or one of {known}"),
            })
        }
    }
}

//! The hidden subcommands alone, for this crate's own tests.

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    std::process::exit(springtide_driver::hidden_command(&args).unwrap_or(2));
}

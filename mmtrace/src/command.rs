//! One module a command.

mod analyze;
mod completions;
mod demo;
mod dump;
mod explain;
mod go;
mod import;
mod info;
mod man;
mod query;
mod record;
mod recover;
mod verify;
mod view;

use crate::args::{Cli, Command};
use crate::exit::{Failure, Outcome};

/// Does what the command line says.
///
/// # Errors
/// Why it cannot be done.
pub(crate) fn run(cli: Cli) -> Result<Outcome, Failure> {
    let shared = cli.shared;
    match cli.command {
        Command::Demo(args) => demo::run(&args, shared),
        Command::Go(args) => go::run(&args, shared),
        Command::Record(args) => record::run(&args, shared),
        Command::Analyze(args) => analyze::run(&args, shared),
        Command::Explain(args) => explain::run(&args, shared),
        Command::View(args) => view::run(&args, shared),
        Command::Query(args) => query::run(&args, shared),
        Command::Info(args) => info::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Recover(args) => recover::run(&args),
        Command::Import(args) => import::run(&args, shared),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::DemoWorkload => Ok(crate::demo::run()),
    }
}

//! The `mmtrace` command: records programs, and says from the log what is wrong in them.

#![forbid(unsafe_code)]

mod args;
mod child;
mod command;
mod demo;
mod exit;
mod go;
mod inputs;
mod output;
mod process;
mod progress;
mod quantity;

use std::process::ExitCode;

use clap::Parser as _;
use mmtrace_recorder::alloc::Recorded;

/// The demo records its heap. Everything else pays one predictable branch an allocation.
#[global_allocator]
static HEAP: Recorded = Recorded::system();

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    output::choose_color(cli.shared.color);
    match command::run(cli) {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.report(),
    }
}

//! `mmtrace man`: the manual page, from the same text as `--help`.

use std::io::Write as _;

use anyhow::anyhow;
use clap::CommandFactory as _;

use crate::args::{Cli, Man};
use crate::exit::{Failure, Outcome};
use crate::output::{Output, unwritten};

/// Prints the page as roff.
pub(crate) fn run(args: &Man) -> Result<Outcome, Failure> {
    let mut cli = Cli::command();
    cli.build();
    let page = match &args.command {
        None => clap_mangen::Man::new(cli),
        Some(name) => {
            let unknown = || Failure::usage(anyhow!("mmtrace has no command `{name}`"));
            let command = cli.find_subcommand(name).ok_or_else(unknown)?.clone();
            clap_mangen::Man::new(command).title(format!("mmtrace-{name}"))
        }
    };
    let mut roff = Vec::new();
    page.render(&mut roff).map_err(unwritten)?;
    let mut output = Output::standard();
    output.write_all(&roff).map_err(unwritten)?;
    output.finish()?;
    Ok(Outcome::Clean)
}

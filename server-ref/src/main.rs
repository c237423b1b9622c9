//! The program: reads flags and settings, starts the server, stops it on a signal.

mod cli;
mod commands;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(cli::Flags::parse())
}

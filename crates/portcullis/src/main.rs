//! The binary: arguments, logging, wiring, signals. No logic.

mod api;
mod args;
mod boot;
mod live;
mod logging;
mod node;
mod sealing;
mod source;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match args::Args::parse().action() {
        args::Action::Version => {
            use std::io::Write;
            let _ = writeln!(std::io::stdout(), "portcullis {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        args::Action::Run(run) => match boot::run(&run) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                use std::io::Write;
                let _ = writeln!(std::io::stderr(), "portcullis: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

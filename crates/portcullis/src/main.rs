//! The binary: arguments, logging, wiring, signals. No logic.

mod api;
mod args;
mod ask;
mod boot;
mod check;
mod dotted;
mod explain;
mod inspect;
mod live;
mod logging;
mod migrate;
mod node;
mod reload;
mod schema;
mod sealing;
mod settings;
mod source;

use args::Command;
use clap::{CommandFactory, Parser};
use std::{
    io::{self, Write},
    process::ExitCode,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match args::Args::parse().asked() {
        Command::Run(run) => boot::run(&run).map(|()| ExitCode::SUCCESS),
        Command::Check(check) => check::run(&check),
        Command::Explain(explain) => explain::run(&explain),
        Command::Migrate(migrate) => migrate::run(&migrate),
        Command::Schema(schema) => schema::run(schema.of),
        Command::Completions(completions) => {
            clap_complete::generate(
                completions.shell,
                &mut <args::Args as CommandFactory>::command(),
                "portcullis",
                &mut io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            let _ = writeln!(io::stdout(), "portcullis {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "portcullis: {error:#}");
        ExitCode::FAILURE
    })
}

//! Every habit of this repository is one of these commands; there is no other task runner.
#![forbid(unsafe_code)]

mod bench;
mod check;
mod command;
mod debian;
mod dependency_rule;
mod docs;
mod fuzz;
mod licences;
mod metadata;
mod new_plugin;
mod package;
mod test;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check [--only NAME,...]           fmt, clippy, test, docs, dependencies, licences, tidy
  test [--no-fuzz] [ARGUMENT...]    every test; arguments go to `cargo test`
  fuzz [SECONDS]                    each fuzz target, for so long
  bench [ARGUMENT...]               speed, beside other proxies
  package                           a static binary, a Debian package, the context of an image
  docs [--check]                    write docs/plugins and docs/differences.md, or fail if they are out of date
  new-plugin NAME [--family FAMILY] [--priority NUMBER]
                                    a new plugin that compiles and passes the rules for plugins";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let (command, args) = args.split_first().map_or(("", &[][..]), |(command, args)| (command.as_str(), args));
    match command {
        "check" => check::run(args),
        "test" => test::run(args),
        "fuzz" => fuzz::run(args),
        "bench" => bench::run(args),
        "docs" => docs::run(args),
        "package" => package::run(args),
        "new-plugin" => new_plugin::run(args),
        "help" | "--help" | "-h" => {
            eprintln!("{USAGE}");
            Ok(())
        }
        _ => bail!("{USAGE}"),
    }
}

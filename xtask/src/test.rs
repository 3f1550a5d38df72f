//! Every test: units, cases, the real binary, and a while of fuzzing.

use crate::{
    command::{cargo, run as run_command},
    debian, fuzz,
};
use anyhow::Result;

pub(crate) fn run(args: &[String]) -> Result<()> {
    debian::ensure_installed(debian::FOR_TESTS)?;
    // The end-to-end tests start this binary.
    run_command(&mut cargo(["build", "--package", "portcullis", "--locked"]))?;
    let rest = args.iter().filter(|arg| *arg != "--no-fuzz");
    run_command(cargo(["test", "--workspace", "--locked"]).args(rest))?;
    if args.iter().any(|arg| arg == "--no-fuzz") { Ok(()) } else { fuzz::run_for(fuzz::SECONDS) }
}

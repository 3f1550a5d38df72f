//! Everything that a change has to pass.

use crate::{
    command::{cargo, output, run as run_command},
    dependency_rule, docs, licences, test, tidy,
};
use anyhow::{Context, Result, bail, ensure};

/// A check and its name.
type Check = (&'static str, fn() -> Result<()>);

/// In the order in which they fail fastest.
const CHECKS: &[Check] = &[
    ("fmt", || run_command(&mut cargo(["fmt", "--all", "--check"]))),
    // The fuzz targets are a workspace of their own, whose lock file does not follow by itself.
    ("locks", || {
        let metadata = ["metadata", "--format-version", "1", "--locked", "--manifest-path"];
        for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
            output(cargo(metadata).arg(manifest))
                .context("`cargo metadata` without --locked brings the lock file up to date")?;
        }
        Ok(())
    }),
    ("dependencies", dependency_rule::run),
    ("licences", licences::run),
    ("tidy", tidy::run),
    ("docs", docs::check),
    ("clippy", || {
        run_command(&mut cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
    }),
    ("test", || test::run(&[])),
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut failed = Vec::new();
    for (name, check) in chosen(args)? {
        match check() {
            Ok(()) => eprintln!("{name}: ok"),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                failed.push(name);
            }
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn chosen(args: &[String]) -> Result<Vec<Check>> {
    let names: Vec<&str> = match args {
        [] => return Ok(CHECKS.to_vec()),
        [only, names] if only == "--only" => names.split(',').collect(),
        _ => bail!("usage: cargo xtask check [--only NAME,...]"),
    };
    for name in &names {
        ensure!(CHECKS.iter().any(|(known, _)| known == name), "there is no check {name:?}");
    }
    Ok(CHECKS.iter().filter(|(name, _)| names.contains(name)).copied().collect())
}

/// Fails with a list, unless it is empty.
pub(crate) fn refuse(problems: &[String]) -> Result<()> {
    ensure!(problems.is_empty(), "{} problem(s)\n  {}", problems.len(), problems.join("\n  "));
    Ok(())
}

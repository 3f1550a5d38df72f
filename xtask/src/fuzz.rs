//! Builds and runs the fuzz targets, each for a short while.

use crate::{
    command::{cargo, root, run as run_command},
    metadata::{self, PLATFORM, packages, text},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

/// How long each target runs as one of the tests.
pub(crate) const SECONDS: u32 = 20;

/// Coverage for libFuzzer, as a stable compiler offers it.
const RUSTFLAGS: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    match args {
        [] => run_for(SECONDS),
        [seconds] => run_for(seconds.parse().context("usage: cargo xtask fuzz [SECONDS]")?),
        _ => bail!("usage: cargo xtask fuzz [SECONDS]"),
    }
}

/// Every target, one after the other.
pub(crate) fn run_for(seconds: u32) -> Result<()> {
    let manifest = root().join("fuzz/Cargo.toml");
    if !manifest.is_file() {
        eprintln!("there are no fuzz targets");
        return Ok(());
    }
    let target_dir = metadata::target_dir()?.join("fuzz");
    run_command(
        cargo(["build", "--locked", "--release", "--target", PLATFORM, "--bins", "--manifest-path", "fuzz/Cargo.toml"])
            .arg("--target-dir")
            .arg(&target_dir)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", RUSTFLAGS.join(" ")),
    )?;
    for name in targets(&metadata::of_manifest(&manifest)?) {
        run_target(&name, &target_dir, seconds)?;
    }
    Ok(())
}

/// The binaries of the package.
fn targets(metadata: &Value) -> Vec<String> {
    packages(metadata)
        .flat_map(|package| package["targets"].as_array().into_iter().flatten())
        .filter(|target| target["kind"][0] == "bin")
        .map(|target| text(target, "name").to_owned())
        .collect()
}

/// New inputs go to the folder for builds; those worth keeping are copied to `fuzz/corpus` by hand.
fn run_target(name: &str, target_dir: &Path, seconds: u32) -> Result<()> {
    let (found, kept) = (target_dir.join("corpus").join(name), root().join("fuzz/corpus").join(name));
    let artifacts = target_dir.join("artifacts");
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(target_dir.join(PLATFORM).join("release").join(name));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{name}-", artifacts.display()))
        .arg("-verbosity=0")
        .arg(&found);
    if kept.is_dir() {
        command.arg(&kept);
    }
    run_command(&mut command)
}

//! `cargo xtask bench`: CPU per request and single figures, side by side with nginx and HAProxy in one run.
//!
//! A whole run with at least five rounds writes `docs/performance.md`; a partial one only prints.

mod admin;
mod configuration;
mod contender;
mod counters;
mod cpu;
mod guards;
mod load;
mod report;
mod scenarios;

use crate::{
    command::{cargo, root, write},
    debian, metadata,
};
use anyhow::{Context, Result, bail, ensure};
use contender::Scratch;
use report::Report;
use scenarios::Bench;
use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Rounds a published figure is the median of, at least.
const ROUNDS: u32 = 5;
const ROUTES: usize = 100_000;

/// Programs and the Debian packages they are in.
const PROGRAMS: [(&str, &str); 6] = [
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("taskset", "util-linux"),
    ("prlimit", "util-linux"),
];

struct Options {
    only: Option<String>,
    rounds: u32,
    seconds: u32,
    routes: usize,
}

impl Options {
    fn read(args: &[String]) -> Result<Self> {
        let mut options = Self { only: None, rounds: ROUNDS, seconds: 3, routes: ROUTES };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let value = args.next().with_context(|| format!("{arg} takes a value"))?;
            match arg.as_str() {
                "--only" => {
                    scenarios::check(value)?;
                    options.only = Some(value.clone());
                }
                "--rounds" => options.rounds = value.parse().context("--rounds")?,
                "--seconds" => options.seconds = value.parse().context("--seconds")?,
                "--routes" => options.routes = value.parse().context("--routes")?,
                _ => bail!("usage: cargo xtask bench [--only NAME] [--rounds N] [--seconds N] [--routes N]"),
            }
        }
        ensure!(options.rounds > 0 && options.seconds > 0 && options.routes > 0, "numbers must be above 0");
        Ok(options)
    }

    /// Whether the figures may stand in the documentation.
    fn is_whole(&self) -> bool {
        self.only.is_none() && self.rounds >= ROUNDS && self.routes >= ROUTES
    }
}

/// Runs the benchmarks.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::read(args)?;
    debian::ensure_installed(&PROGRAMS)?;
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores >= 2, "two cores are needed: one for the gateway, one for load and upstream");
    let portcullis = build();
    if let Err(why) = &portcullis {
        note(why);
    }
    prepare_process();
    let scratch = Scratch::new()?;
    let upstream = contender::upstream(&scratch)?;
    let mut report = Report::default();
    let bench = Bench { options: &options, scratch: &scratch, upstream: &upstream, portcullis };
    bench.run(&mut report)?;
    let text = report.markdown(options.rounds, options.seconds, options.routes);
    std::io::stdout().write_all(text.as_bytes())?;
    if options.is_whole() {
        let path = root().join("docs/performance.md");
        write(&path, &text)?;
        note(&format!("written to {}", path.display()));
    } else {
        note("docs/performance.md is written by whole runs of at least 5 rounds only");
    }
    Ok(())
}

/// Tells how far the run is.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}

/// Builds the release binary; the error says why there is none.
fn build() -> Result<PathBuf, String> {
    note("cargo build --release -p portcullis");
    let output = cargo(["build", "--release", "--quiet", "-p", "portcullis"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if output.status.success() {
        let target = metadata::target_dir().map_err(|error| format!("{error:#}"))?;
        return Ok(target.join("release/portcullis"));
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().find(|line| line.starts_with("error")).unwrap_or("no error was printed");
    Err(format!("cargo build --release -p portcullis failed: {first}"))
}

/// Moves this process to the load's core and raises its limit of open files; servers started later inherit the limit.
fn prepare_process() {
    let pid = std::process::id().to_string();
    let quiet = |program: &str, args: &[&str]| {
        let _ = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    };
    quiet("taskset", &["-apc", contender::LOAD_CORE, &pid]);
    quiet("prlimit", &["--pid", &pid, &format!("--nofile={}:", contender::OPEN_FILES)]);
}

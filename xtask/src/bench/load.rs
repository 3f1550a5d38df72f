//! Load from `wrk` and `h2load`, and whether every answer was the expected one.

use anyhow::{Context, Result, bail, ensure};
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What a load run sends.
pub(super) enum Load<'a> {
    /// `wrk` over 32 HTTP/1.1 connections, with a script unless it is a plain GET.
    Wrk { script: Option<&'a Path>, header: Option<&'a str>, expects: Expects },
    /// `h2load`, prior knowledge, 16 connections of 10 streams.
    H2load,
}

/// Which answers are right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expects {
    /// 2xx
    Success,
    /// `wrk` tells 2xx and 3xx from the rest only; that the rest is 401 is asked before.
    Refusal,
}

impl Load<'_> {
    /// Sends load and answers with the number of requests; an error if any answer was wrong.
    pub(super) fn run(&self, url: &str, seconds: u32) -> Result<u64> {
        let mut command = Command::new("taskset");
        command.args(["-c", super::contender::LOAD_CORE]);
        match self {
            Self::Wrk { script, header, .. } => {
                command.args(["wrk", "-t1", "-c32", &format!("-d{seconds}s")]);
                if let Some(script) = script {
                    command.arg("-s").arg(script);
                }
                if let Some(header) = header {
                    command.args(["-H", header]);
                }
            }
            Self::H2load => {
                command.args(["h2load", "-t1", "-c16", "-m10", &format!("-D{seconds}")]);
            }
        }
        let output = command.arg(url).stdin(Stdio::null()).output().context("cannot start taskset")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        match self {
            Self::Wrk { expects, .. } => wrk_requests(&text, *expects),
            Self::H2load => h2load_requests(&text),
        }
    }
}

fn wrk_requests(text: &str, expects: Expects) -> Result<u64> {
    let mut requests = None;
    let mut refused = 0;
    for line in text.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            requests = Some(count.parse::<u64>()?);
        } else if let Some(errors) = line.strip_prefix("Socket errors:") {
            bail!("socket errors:{errors}");
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            refused = count.trim().parse::<u64>()?;
        }
    }
    let requests = requests.context("wrk did not tell the number of requests")?;
    ensure!(requests > 0, "no request was answered");
    match expects {
        Expects::Success => ensure!(refused == 0, "{refused} of {requests} answers were not 2xx"),
        Expects::Refusal => ensure!(refused == requests, "only {refused} of {requests} requests were refused"),
    }
    Ok(requests)
}

fn h2load_requests(text: &str) -> Result<u64> {
    let line = |start: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(start))
            .with_context(|| format!("h2load printed no line {start:?}"))
    };
    let count = |line: &str, what: &str| {
        line.split(',')
            .find_map(|part| part.trim().strip_suffix(what))
            .and_then(|count| count.trim().parse::<u64>().ok())
            .with_context(|| format!("h2load told no number of {what}"))
    };
    let requests = line("requests:")?;
    let statuses = line("status codes:")?;
    let done = count(requests, "done")?;
    for what in ["failed", "errored", "timeout"] {
        let number = count(requests, what)?;
        ensure!(number == 0, "{number} requests {what}");
    }
    for what in ["3xx", "4xx", "5xx"] {
        let number = count(statuses, what)?;
        ensure!(number == 0, "{number} of {done} answers were {what}");
    }
    ensure!(done > 0, "no request was answered");
    Ok(done)
}

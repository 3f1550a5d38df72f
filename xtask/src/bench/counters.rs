//! Figures of the table that local limits count in: what a key costs, what is left of keys that are over, and whether two threads
//! get in each other's way.

use super::{
    contender::Server,
    cpu,
    report::{Report, Single, Target},
    scenarios::{Bench, text},
};
use crate::command::cargo;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    ops::Range,
    process::{Command, Stdio},
};

const KEYS: u64 = 1_000_000;

/// Windows whose keys are over when the next one's come, and keys of each.
const WINDOWS: u64 = 10;
const KEYS_OF_A_WINDOW: u64 = 100_000;

/// Requests that are under way at one time.
const PIPELINED: u64 = 64;

/// The measurement in the crate of limits, where the table is.
const TWO_THREADS: &str = "counters::tests::two_threads_on_different_keys";

impl Bench<'_> {
    pub(super) fn counters(&self, report: &mut Report) {
        if self.wants("live-keys") || self.wants("past-keys") {
            super::note("live-keys, past-keys");
            let measured = self.portcullis("portcullis-keys").and_then(|server| text(keys(&server)));
            let (live, past) = match measured {
                Ok((live, past)) => (Ok(live), Ok(past)),
                Err(why) => (Err(why.clone()), Err(why)),
            };
            let what = "growth of resident memory a key of limit-count, 1,000,000 alive at one time";
            report.single(Single::own("live-keys", what, "bytes", live, Some(Target::AtMost(128.0))));
            let what =
                "resident memory after ten windows of limit-count with 100,000 new keys each, to that after the second";
            report.single(Single::own("past-keys", what, "times", past, Some(Target::AtMost(1.1))));
        }
        if self.wants("two-workers") {
            super::note("two-workers");
            let what = "counts of two threads on keys of their own in the one table that all workers share, to those with a table each, \
                        which share nothing: 95 % are 1.9 times one worker where two cores are twice one. The table alone, inside one \
                        process; load over a network would need cores of its own";
            let share = text(two_threads());
            report.single(Single::own("two-workers", what, "%", share, Some(Target::AtLeast(95.0))));
        }
    }
}

/// Bytes of a key that is alive, and how much memory there is after many windows, to that after the second.
fn keys(server: &Server) -> Result<(f64, f64)> {
    let admin = server.admin.as_ref().context("no Admin API")?;
    for (id, window) in [("live", 86_400), ("past", 1)] {
        admin.put(&format!("routes/{id}"), &counted(&format!("/{id}"), window).to_string())?;
    }
    server.wait_for("/past", None, 200)?;
    // The buffers of a few exchanges are no cost of keys.
    ask(server.port, "/past", 0..10_000)?;
    let mut after_second = 0;
    for window in 1..=WINDOWS {
        let first = window * KEYS;
        ask(server.port, "/past", first..first + KEYS_OF_A_WINDOW)?;
        std::thread::sleep(std::time::Duration::from_millis(1100));
        if window == 2 {
            after_second = cpu::resident(server.pid())?;
        }
    }
    let before = cpu::resident(server.pid())?;
    ask(server.port, "/live", 0..KEYS)?;
    let after = cpu::resident(server.pid())?;
    Ok(((after as f64 - before as f64) / KEYS as f64, before as f64 / after_second as f64))
}

/// A route that counts by an argument and answers by itself.
fn counted(uri: &str, window: u64) -> Value {
    json!({
        "uri": uri,
        "plugins": {
            "limit-count": { "count": 1, "time_window": window, "key": "arg_k", "rejected_code": 429 },
            "mocking": { "response_example": "ok", "_meta": { "priority": 1 } },
        },
    })
}

/// Asks once for each key; every one has to be new.
fn ask(port: u16, path: &str, keys: Range<u64>) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut answers = Vec::new();
    let mut next = keys.start;
    while next < keys.end {
        let last = (next + PIPELINED).min(keys.end);
        let requests: String =
            (next..last).map(|key| format!("GET {path}?k={key} HTTP/1.1\r\nHost: bench\r\n\r\n")).collect();
        stream.write_all(requests.as_bytes())?;
        answers.clear();
        let mut buffer = [0; 16_384];
        while count(&answers, b"HTTP/1.1 ") < last - next || !answers.ends_with(b"ok") {
            let read = stream.read(&mut buffer)?;
            ensure!(read > 0, "the connection ended");
            answers.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if count(&answers, b"HTTP/1.1 429") > 0 {
                bail!("a key between {next} and {last} was counted before");
            }
        }
        ensure!(count(&answers, b"HTTP/1.1 200") == last - next, "not every answer was 200");
        next = last;
    }
    Ok(())
}

fn count(bytes: &[u8], what: &[u8]) -> u64 {
    bytes.windows(what.len()).filter(|window| *window == what).count() as u64
}

/// What two threads count in one table, in hundredths of what they count in two.
fn two_threads() -> Result<f64> {
    let test = cargo(["test", "--release", "--quiet", "-p", "plugins-limit", "--lib", TWO_THREADS]);
    // This process has only the load's core.
    let mut command = Command::new("taskset");
    command.args(["-c", "0,1"]).arg(test.get_program()).args(test.get_args());
    command.args(["--", "--exact", "--ignored", "--nocapture"]).stdin(Stdio::null());
    let output = command.output().context("cannot start taskset")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let share = text.lines().find_map(|line| line.split_once("two threads: ")?.1.split(' ').next()?.parse().ok());
    share.with_context(|| format!("the test printed no figure: {}", String::from_utf8_lossy(&output.stderr)))
}

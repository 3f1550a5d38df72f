//! What the kernel says about a process and everything it started.

use anyhow::{Context, Result};
use std::{collections::HashMap, fs};

/// Microseconds of one clock tick: `USER_HZ` is 100 on every Linux that Rust runs on.
const TICK_MICROS: u64 = 10_000;

/// CPU time of a process with all its threads and descendants, in microseconds.
pub(super) fn micros(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in family(pid)? {
        // One that has just ended counts no more: its time is small, and a gateway's own workers do not end.
        if let Some(stat) = Stat::read(pid) {
            sum += stat.ticks * TICK_MICROS;
        }
    }
    Ok(sum)
}

/// Resident memory of a process and its descendants, in bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in family(pid)? {
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kib| kib.parse().ok())
            .with_context(|| format!("no VmRSS for process {pid}"))?;
        sum += kib * 1024;
    }
    Ok(sum)
}

/// The process and its descendants, parents first.
pub(super) fn family(pid: u32) -> Result<Vec<u32>> {
    Stat::read(pid).with_context(|| format!("process {pid} is gone"))?;
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(child) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(stat) = Stat::read(child)
        {
            children.entry(stat.parent).or_default().push(child);
        }
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        found.extend(children.remove(parent).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

/// Whether a process has not ended; a child that has is there until it is waited for.
pub(super) fn is_running(pid: u32) -> bool {
    Stat::read(pid).is_some_and(|stat| !stat.has_ended)
}

struct Stat {
    has_ended: bool,
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may itself hold spaces and parentheses.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let user: u64 = fields.get(11)?.parse().ok()?;
        let system: u64 = fields.get(12)?.parse().ok()?;
        Some(Self {
            has_ended: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            ticks: user + system,
        })
    }
}

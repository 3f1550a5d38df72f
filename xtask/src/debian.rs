//! Programs that tests need beside Rust, and the Debian packages they come from.

use crate::command::{is_installed, run};
use anyhow::{Result, bail};
use std::process::Command;

/// A program, and the package that has it.
type Needed = (&'static str, &'static str);

/// For the tests; `g++` builds the fuzzer's runtime.
pub(crate) const FOR_TESTS: &[Needed] = &[
    ("chromium", "chromium"),
    ("python3", "python3"),
    ("curl", "curl"),
    ("g++", "g++"),
    ("nginx", "nginx-light"),
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("openssl", "openssl"),
];

/// Installs what is missing where that is possible (as root, with apt-get), and says what is missing elsewhere.
pub(crate) fn ensure_installed(needed: &[Needed]) -> Result<()> {
    let missing: Vec<&str> =
        needed.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !is_installed("apt-get") {
        bail!("please install: {}", missing.join(" "));
    }
    run(&mut apt_get(&["update", "-qq"]))?;
    run(apt_get(&["install", "-qq", "--yes", "--no-install-recommends"]).args(missing))
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

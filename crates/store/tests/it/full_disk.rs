//! A full disk stops writes only, and only while it is full.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use store::{Expect, Store, StoreError};

use crate::{key, load, open, run};

/// Fills the disk under `dir`, then makes space.
fn fill_then(dir: &Path, make_space: impl FnOnce()) {
    let store = open(dir);
    let mut stored = Vec::new();
    let value = json!({ "pad": "x".repeat(20_000) });
    for n in 0.. {
        assert!(n < 10_000, "the disk does not fill");
        let path = format!("/routes/{n}");
        match run(store.put(key(&path), value.clone(), Expect::Absent)) {
            Ok(_) => stored.push(path),
            Err(StoreError::Unavailable(_)) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(stored.len() > 3, "{}", stored.len());
    let seen: Vec<_> = load(&store).entries.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(seen, stored);
    assert!(matches!(run(store.put(key("/routes/full"), value.clone(), Expect::Any)), Err(StoreError::Unavailable(_))));

    make_space();
    run(store.put(key("/routes/after"), value, Expect::Absent)).unwrap();
    let after = load(&store);
    drop(store);
    let reopened = load(&open(dir));
    assert_eq!(reopened, after);
    for path in stored.iter().map(String::as_str).chain(["/routes/after"]) {
        assert!(reopened.find(&key(path)).is_some(), "lost {path}");
    }
}

#[test]
fn writes_resume_when_a_full_disk_has_space_again() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
        .arg(dir.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        // Needs root; the test below needs nothing.
        return;
    }
    let ballast = dir.path().join("ballast");
    fs::write(&ballast, vec![0; 4 << 20]).unwrap();
    let result = std::panic::catch_unwind(|| {
        fill_then(&dir.path().join("data"), || fs::remove_file(&ballast).unwrap());
    });
    Command::new("umount").arg(dir.path()).status().unwrap();
    result.unwrap();
}

#[test]
fn writes_resume_when_the_file_may_grow_again() {
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 6000; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "full_disk::child", "--ignored"])
        .env("STORE_DIR", dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "started by writes_resume_when_the_file_may_grow_again"]
fn child() {
    let dir = std::env::var("STORE_DIR").unwrap();
    fill_then(dir.as_ref(), || {
        let lifted =
            Command::new("prlimit").args(["--fsize=unlimited", "--pid", &std::process::id().to_string()]).status();
        assert!(lifted.unwrap().success());
    });
}

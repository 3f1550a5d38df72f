//! A damaged file is noticed and never served: it is restored from the last good copy, or refused.

use std::fs;
use std::path::Path;

use serde_json::json;
use store::{Documents, Embedded, Expect, Store, StoreError};

use crate::{document, key, load, open, open_recovered, run};

const MAIN: &str = "store.redb";
const COPY: &str = "last-good.json.sealed";

/// A directory with some documents in a store that was closed in order.
fn filled() -> (tempfile::TempDir, Documents) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..40 {
        run(store.put(key(&format!("/routes/{n}")), document(n), Expect::Any)).unwrap();
    }
    let documents = load(&store);
    (dir, documents)
}

type Damage = (&'static str, fn(&mut Vec<u8>));

fn damages() -> Vec<Damage> {
    vec![
        ("empty", |bytes| bytes.clear()),
        ("one byte", |bytes| bytes.truncate(1)),
        ("half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("header only", |bytes| bytes.truncate(4096)),
        ("zeroed", |bytes| bytes.fill(0)),
        ("other file", |bytes| *bytes = b"#!/bin/sh\nexit 0\n".repeat(1000)),
        ("magic", |bytes| bytes[0] ^= 1),
        ("a letter of a document", |bytes| {
            // In all copies: some are in pages that are free by now.
            let text = b"\"uri\":\"/7\"";
            let windows = bytes.windows(text.len()).enumerate();
            let places: Vec<_> = windows.filter(|(_, window)| window == text).map(|(at, _)| at).collect();
            assert!(!places.is_empty());
            for at in places {
                bytes[at + 8] ^= 1;
            }
        }),
    ]
}

fn damage(path: &Path, change: fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_file_is_restored_and_kept_aside() {
    for (name, change) in damages() {
        let (dir, before) = filled();
        damage(&dir.path().join(MAIN), change);
        let damaged = fs::read(dir.path().join(MAIN)).unwrap();
        let (store, recovered) = open_recovered(dir.path());
        let after = load(&store);
        assert_eq!(after.entries, before.entries, "{name}");
        assert!(after.revision > before.revision, "{name}");
        assert_eq!(recovered.revision, before.revision, "{name}");
        let aside = recovered.set_aside.unwrap();
        assert!(aside.ends_with("store.redb.corrupt-1"), "{name}");
        assert_eq!(fs::read(aside).unwrap().len(), damaged.len(), "{name}");

        run(store.put(key("/routes/new"), json!(1), Expect::Absent)).unwrap();
        drop(store);
        assert_eq!(load(&open(dir.path())).entries.len(), before.entries.len() + 1, "{name}");
    }
}

#[test]
fn without_a_copy_a_damaged_file_is_refused_and_left_alone() {
    for (name, change) in damages() {
        for copy in [None, Some("portcullis-copy-1 00\n{}")] {
            let (dir, _) = filled();
            match copy {
                None => fs::remove_file(dir.path().join(COPY)).unwrap(),
                Some(text) => fs::write(dir.path().join(COPY), text).unwrap(),
            }
            damage(&dir.path().join(MAIN), change);
            let size = fs::metadata(dir.path().join(MAIN)).unwrap().len();
            for _ in 0..2 {
                match Embedded::open(dir.path()) {
                    Err(StoreError::Corrupt { path, .. }) => assert!(path.ends_with(MAIN)),
                    Err(other) => panic!("{name}: {other}"),
                    Ok(_) => panic!("{name}: opened"),
                }
            }
            assert_eq!(fs::metadata(dir.path().join(MAIN)).unwrap().len(), size, "{name}");
        }
    }
}

#[test]
fn a_missing_file_is_restored() {
    let (dir, before) = filled();
    fs::remove_file(dir.path().join(MAIN)).unwrap();
    let (store, recovered) = open_recovered(dir.path());
    assert_eq!(recovered.set_aside, None);
    assert_eq!(load(&store).entries, before.entries);
}

#[test]
fn a_second_damage_is_kept_beside_the_first() {
    let (dir, _) = filled();
    for n in 1..=2 {
        damage(&dir.path().join(MAIN), |bytes| bytes.clear());
        let (_store, recovered) = open_recovered(dir.path());
        assert!(recovered.set_aside.unwrap().ends_with(format!("store.redb.corrupt-{n}")));
    }
}

/// Wherever a byte changes, all documents are there or the damage is noticed.
#[test]
fn no_flipped_byte_goes_unnoticed() {
    let (dir, before) = filled();
    let sound = fs::read(dir.path().join(MAIN)).unwrap();
    let copy = fs::read(dir.path().join(COPY)).unwrap();
    let mut noticed = 0;
    let dense = (0..512).step_by(5);
    let sparse = (512..sound.len()).step_by(sound.len() / 60);
    for at in dense.chain(sparse) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x41;
        fs::write(dir.path().join(MAIN), bytes).unwrap();
        fs::write(dir.path().join(COPY), &copy).unwrap();
        match Embedded::open(dir.path()) {
            Ok((store, recovered)) => {
                noticed += u32::from(recovered.is_some());
                assert_eq!(load(&store).entries, before.entries, "byte {at}");
            }
            // A header that claims another version of the format.
            Err(StoreError::Unavailable(_)) => noticed += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(noticed > 0);
}

#[test]
fn an_interrupted_first_start_leaves_nothing_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("store.redb.new"), b"half a file").unwrap();
    assert_eq!(load(&open(dir.path())), Documents::default());
}

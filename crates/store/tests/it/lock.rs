//! One data directory, one store.

use futures_util::FutureExt;
use store::{DocKey, Embedded, Expect, Op, Store, StoreError};

use crate::open;

#[test]
fn a_second_open_is_refused_until_the_first_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    match Embedded::open(dir.path()) {
        Err(error @ StoreError::Locked(_)) => {
            assert!(error.to_string().ends_with("is in use by another process"));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened twice"),
    }
    drop(first);
    open(dir.path());
}

#[test]
fn a_look_leaves_the_directory_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Embedded::peek(dir.path()).unwrap().is_none());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a look makes no store");
    let first = open(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = DocKey::parse("/routes/1").unwrap();
    let put = Op::Put { key: key.clone(), value: serde_json::json!({ "uri": "/" }), expect: Expect::Any };
    runtime.block_on(first.write(vec![put])).unwrap();
    assert!(matches!(Embedded::peek(dir.path()), Err(StoreError::Locked(_))));
    drop(first);
    let before = std::fs::read(dir.path().join("store.redb")).unwrap();
    let seen = Embedded::peek(dir.path()).unwrap().unwrap();
    assert_eq!(seen.entries.len(), 1);
    assert_eq!(seen.entries[0].key, key);
    assert_eq!(std::fs::read(dir.path().join("store.redb")).unwrap(), before);
    assert!(open(dir.path()).load().now_or_never().is_some(), "the lock is free again");
}

#[test]
fn a_look_at_a_damaged_store_says_so_and_does_not_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::write(dir.path().join("store.redb"), b"not a store").unwrap();
    assert!(Embedded::peek(dir.path()).is_err());
    assert_eq!(std::fs::read(dir.path().join("store.redb")).unwrap(), b"not a store");
}

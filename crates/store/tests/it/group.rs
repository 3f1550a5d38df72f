//! Writers that wait together share a transaction, but not their fate.

use futures_util::future::join_all;
use serde_json::json;
use store::{Expect, Store, StoreError};

use crate::{key, open, run};

#[test]
fn sixteen_writers_share_commits() {
    const WRITERS: u64 = 16;
    const EACH: u64 = 25;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let store = &store;
    run(join_all((0..WRITERS).map(|writer| async move {
        for n in 0..EACH {
            let path = format!("/routes/{writer}-{n}");
            store.put(key(&path), json!(n), Expect::Absent).await.unwrap();
        }
    })));
    let commits = store.commits();
    assert!(commits <= WRITERS * EACH / 4, "{commits} commits");
}

#[test]
fn a_conflict_fails_only_its_own_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let results = run(join_all((0..20).map(|n| {
        let path = format!("/routes/{}", n / 2);
        store.put(key(&path), json!(n), Expect::Absent)
    })));
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(_) => assert_eq!(n % 2, 0),
            Err(StoreError::Conflict { .. }) => assert_eq!(n % 2, 1),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(store.commits() < 20);
    let reopened = {
        let before = run(store.load()).unwrap();
        drop(store);
        (before, run(open(dir.path()).load()).unwrap())
    };
    assert_eq!(reopened.0, reopened.1);
    assert_eq!(reopened.0.entries.len(), 10);
}

#[test]
fn a_watch_ends_with_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let changes = store.watch(store::Revision(0));
    run(store.put(key("/routes/1"), json!(1), Expect::Any)).unwrap();
    drop(store);
    assert_eq!(run(futures_util::StreamExt::count(changes)), 1);
}

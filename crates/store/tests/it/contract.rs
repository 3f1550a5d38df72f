//! The suite every backend passes.

use futures_util::future::{join, join_all};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use store::{Change, Expect, Op, Revision, Store, StoreError};

use crate::key;

/// Runs the suite on a backend: `$make` is an expression that yields `(store, whatever must outlive it)`.
macro_rules! contract_tests {
    ($backend:ident, $make:expr) => {
        contract_tests!(@ $backend, $make,
            a_document_is_read_as_written
            replacing_keeps_created_and_moves_modified
            expectations_guard_writes
            deleting
            a_batch_is_taken_whole_or_not_at_all
            steps_of_a_batch_see_each_other
            load_is_in_order_of_creation
            ids_are_new_and_sortable
            watch_tells_changes_in_order
            watch_starts_in_the_past
            watch_asks_to_resync_when_it_cannot_follow
            watch_tells_what_comes_after_a_resync
            many_watchers_and_writers_agree
        );
    };
    (@ $backend:ident, $make:expr, $($test:ident)*) => {
        mod $backend {
            $(
                #[test]
                fn $test() {
                    let (store, _keep) = $make;
                    crate::run(super::$test(&store));
                }
            )*
        }
    };
}

contract_tests!(memory, (store::Memory::new(), ()));
contract_tests!(embedded, {
    let dir = tempfile::tempdir().unwrap();
    (crate::open(dir.path()), dir)
});
contract_tests!(sealed, {
    let dir = tempfile::tempdir().unwrap();
    let inner = std::sync::Arc::new(store::Memory::new());
    (crate::sealing::sealed(inner, dir.path()), dir)
});

fn put(path: &str, value: Value) -> Op {
    put_if(path, value, Expect::Any)
}

fn put_if(path: &str, value: Value, expect: Expect) -> Op {
    Op::Put { key: key(path), value, expect }
}

fn delete(path: &str) -> Op {
    Op::Delete { key: key(path), expect: Expect::Any }
}

async fn a_document_is_read_as_written(store: &dyn Store) {
    // The order of fields and the sizes of numbers are part of a document.
    let text = r#"{"z":1,"a":[{"y":18446744073709551615,"b":-1.5e-7,"c":31.245270191439438}],"é":"\u0000","":null}"#;
    let value: Value = serde_json::from_str(text).unwrap();
    let revision = store.put(key("/routes/1"), value, Expect::Any).await.unwrap();
    let documents = store.load().await.unwrap();
    assert_eq!(documents.revision, revision);
    let entry = documents.find(&key("/routes/1")).unwrap();
    assert_eq!(entry.text.to_string(), text);
    assert_eq!((entry.created, entry.modified), (revision, revision));
    assert_eq!(entry.problem, None);
}

async fn replacing_keeps_created_and_moves_modified(store: &dyn Store) {
    let first = store.put(key("/routes/1"), json!(1), Expect::Any).await.unwrap();
    let second = store.put(key("/routes/1"), json!(2), Expect::Any).await.unwrap();
    assert!(second > first);
    let documents = store.load().await.unwrap();
    let [entry] = documents.entries.as_slice() else {
        panic!("{documents:?}");
    };
    assert_eq!((entry.created, entry.modified), (first, second));
    assert_eq!(entry.value(), json!(2));

    store.delete(key("/routes/1"), Expect::Any).await.unwrap();
    let third = store.put(key("/routes/1"), json!(3), Expect::Any).await.unwrap();
    assert_eq!(store.load().await.unwrap().entries[0].created, third);
}

async fn expectations_guard_writes(store: &dyn Store) {
    let there = store.put(key("/a/there"), json!(0), Expect::Any).await.unwrap();
    let rows = [
        ("/a/there", Expect::Absent, false),
        ("/a/there", Expect::Revision(Revision(there.0 + 100)), false),
        ("/a/there", Expect::Revision(Revision(0)), false),
        ("/a/not", Expect::Present, false),
        ("/a/not", Expect::Revision(there), false),
        ("/a/there", Expect::Revision(there), true),
        ("/a/there", Expect::Present, true),
        ("/a/not", Expect::Absent, true),
    ];
    for (path, expect, taken) in rows {
        let before = store.load().await.unwrap();
        let result = store.put(key(path), json!(1), expect).await;
        let after = store.load().await.unwrap();
        if taken {
            assert_eq!(after.revision, result.unwrap(), "{path} {expect}");
            continue;
        }
        assert_eq!(before, after, "{path} {expect}");
        let was = before.find(&key(path)).map(|entry| entry.modified);
        match result {
            Err(StoreError::Conflict { key, found, .. }) => {
                assert_eq!((key.as_str(), found), (path, was));
            }
            other => panic!("{path} {expect}: {other:?}"),
        }
    }
}

async fn deleting(store: &dyn Store) {
    let made = store.put(key("/a/1"), json!(1), Expect::Any).await.unwrap();
    for expect in [Expect::Absent, Expect::Revision(Revision(made.0 + 1))] {
        store.delete(key("/a/1"), expect).await.unwrap_err();
    }
    let gone = store.delete(key("/a/1"), Expect::Revision(made)).await.unwrap();
    assert!(gone > made);
    assert_eq!(store.load().await.unwrap().entries, []);
    store.delete(key("/a/1"), Expect::Present).await.unwrap_err();
    store.delete(key("/a/1"), Expect::Any).await.unwrap();
}

async fn a_batch_is_taken_whole_or_not_at_all(store: &dyn Store) {
    store.put(key("/a/old"), json!(0), Expect::Any).await.unwrap();
    let before = store.load().await.unwrap();
    let refused = vec![put("/a/new", json!(1)), delete("/a/old"), put_if("/a/other", json!(1), Expect::Present)];
    store.write(refused).await.unwrap_err();
    assert_eq!(store.load().await.unwrap(), before);

    let taken = vec![put("/a/new", json!(1)), delete("/a/old"), put("/a/other", json!(2))];
    let revision = store.write(taken).await.unwrap();
    let after = store.load().await.unwrap();
    let seen: Vec<_> = after.entries.iter().map(|entry| (entry.key.as_str(), entry.created, entry.modified)).collect();
    assert_eq!(seen, [("/a/new", revision, revision), ("/a/other", revision, revision)]);
    assert_eq!(store.write(Vec::new()).await.unwrap(), revision);
}

async fn steps_of_a_batch_see_each_other(store: &dyn Store) {
    let ops = vec![
        put_if("/a/1", json!(1), Expect::Absent),
        put_if("/a/1", json!(2), Expect::Present),
        delete("/a/1"),
        put_if("/a/1", json!(3), Expect::Absent),
    ];
    store.write(ops).await.unwrap();
    assert_eq!(store.load().await.unwrap().entries[0].value(), json!(3));
}

async fn load_is_in_order_of_creation(store: &dyn Store) {
    for path in ["/z/1", "/a/1", "/m/1"] {
        store.put(key(path), json!(0), Expect::Any).await.unwrap();
    }
    store.put(key("/z/1"), json!(1), Expect::Any).await.unwrap();
    let documents = store.load().await.unwrap();
    let order: Vec<_> = documents.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(order, ["/z/1", "/a/1", "/m/1"]);
}

async fn ids_are_new_and_sortable(store: &dyn Store) {
    let mut last = String::new();
    for _ in 0..3 {
        let id = store.next_id().await.unwrap();
        assert_eq!(id.len(), 20);
        assert!(id.bytes().all(|byte| byte.is_ascii_digit()));
        assert!(id > last);
        let revision = store.put(key("/a/1"), json!(0), Expect::Any).await.unwrap();
        assert!(revision.as_id() > id);
        last = id;
    }
}

async fn watch_tells_changes_in_order(store: &dyn Store) {
    let start = store.load().await.unwrap().revision;
    let mut changes = store.watch(start);
    assert!(changes.next().now_or_never().is_none());
    for n in 0..5 {
        let path = format!("/a/{n}");
        let revision = store.put(key(&path), json!(n), Expect::Any).await.unwrap();
        match changes.next().await {
            Some(Change::Put(entry)) => {
                assert_eq!((entry.key.clone(), entry.value()), (key(&path), json!(n)));
                assert_eq!(entry.modified, revision);
            }
            other => panic!("{other:?}"),
        }
    }
    store.next_id().await.unwrap();
    store.put(key("/a/1"), json!(0), Expect::Absent).await.unwrap_err();
    let revision = store.write(vec![delete("/a/3"), put("/a/9", json!(9))]).await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Delete(key("/a/3"), revision)));
    assert!(matches!(changes.next().await, Some(Change::Put(entry)) if entry.key == key("/a/9")));
    assert!(changes.next().now_or_never().is_none());
}

async fn watch_starts_in_the_past(store: &dyn Store) {
    store.put(key("/a/1"), json!(1), Expect::Any).await.unwrap();
    let from = store.load().await.unwrap().revision;
    store.put(key("/a/2"), json!(2), Expect::Any).await.unwrap();
    store.delete(key("/a/1"), Expect::Any).await.unwrap();
    let mut changes = store.watch(from);
    assert!(matches!(changes.next().await, Some(Change::Put(entry)) if entry.key == key("/a/2")));
    assert!(matches!(changes.next().await, Some(Change::Delete(gone, _)) if gone == key("/a/1")));
    assert!(changes.next().now_or_never().is_none());
}

async fn watch_asks_to_resync_when_it_cannot_follow(store: &dyn Store) {
    store.put(key("/a/1"), json!(1), Expect::Any).await.unwrap();
    let now = store.load().await.unwrap().revision;
    // A revision the store never had: its data was replaced.
    let mut changes = store.watch(Revision(now.0 + 1000));
    assert_eq!(changes.next().await, Some(Change::Resync));
}

async fn watch_tells_what_comes_after_a_resync(store: &dyn Store) {
    let start = store.load().await.unwrap().revision;
    let mut changes = store.watch(start);
    // More than any backend keeps for a watcher that does not look.
    for round in 0..20 {
        let ops = (0..500).map(|n| put(&format!("/a/{n}"), json!(round))).collect();
        store.write(ops).await.unwrap();
    }
    assert_eq!(changes.next().await, Some(Change::Resync));
    let loaded = store.load().await.unwrap().revision;
    store.put(key("/b/1"), json!(1), Expect::Any).await.unwrap();
    loop {
        match changes.next().await {
            Some(Change::Put(entry)) if entry.modified <= loaded => {}
            Some(Change::Put(entry)) => break assert_eq!(entry.key, key("/b/1")),
            other => panic!("{other:?}"),
        }
    }
}

async fn many_watchers_and_writers_agree(store: &dyn Store) {
    let last = key("/last/1");
    let watching = (0..4).map(|_| {
        let mut changes = store.watch(Revision(0));
        let last = &last;
        async move {
            let mut seen = std::collections::BTreeMap::new();
            loop {
                match changes.next().await {
                    Some(Change::Put(entry)) if entry.key == *last => return seen,
                    Some(Change::Put(entry)) => seen.insert(entry.key.clone(), entry),
                    Some(Change::Delete(key, _)) => seen.remove(&key),
                    other => panic!("{other:?}"),
                };
            }
        }
    });
    let writing = async {
        join_all((0..8).map(|writer| async move {
            for n in 0..20 {
                let path = format!("/a/{}", (writer * 7 + n) % 11);
                let op = if n % 3 == 2 { delete(&path) } else { put(&path, json!([writer, n])) };
                store.write(vec![op]).await.unwrap();
            }
        }))
        .await;
        store.put(last.clone(), json!(0), Expect::Any).await.unwrap();
    };
    let (watched, ()) = join(join_all(watching), writing).await;
    let mut documents = store.load().await.unwrap().entries;
    documents.retain(|entry| entry.key != last);
    documents.sort_by(|a, b| a.key.cmp(&b.key));
    for seen in watched {
        assert_eq!(seen.into_values().collect::<Vec<_>>(), documents);
    }
}

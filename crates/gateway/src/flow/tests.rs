use super::*;
use serde_json::{Map, json};
use store::Memory;

async fn open(store: &Arc<Memory>) -> Arc<Flow> {
    let plugins = PluginSet::new(Vec::new(), None, &Map::new(), model::differences::Compat::default()).unwrap();
    Flow::open(store.clone(), Arc::new(plugins), Arc::new(Shared::default())).await.unwrap()
}

fn put(path: &str, mut value: Value) -> Write {
    let key = Key::parse(path).unwrap();
    value["id"] = json!(key.id());
    Write::Put { key, value, expect: Expect::Any }
}

fn delete(path: &str) -> Write {
    Write::Delete { key: Key::parse(path).unwrap(), expect: Expect::Any, is_forced: false }
}

fn upstream() -> Value {
    json!({ "nodes": { "10.0.0.1:80": 1 } })
}

fn on_upstream() -> Value {
    json!({ "uri": "/1", "upstream_id": "u" })
}

#[tokio::test]
async fn what_was_answered_is_in_force_and_is_loaded_again() {
    let store = Arc::new(Memory::new());
    let flow = open(&store).await;
    let before = flow.generation().load(Ordering::Acquire);
    flow.write(vec![put("/upstreams/u", upstream()), put("/routes/1", on_upstream())]).await.unwrap();
    let revision = flow.write(vec![put("/routes/2", on_upstream())]).await.unwrap();
    assert!(flow.generation().load(Ordering::Acquire) > before);
    assert_eq!(flow.snapshot().revision(), revision);
    assert_eq!(flow.documents().list(Kind::Route, None).len(), 2);
    let again = open(&store).await;
    assert_eq!(again.snapshot().digest(), flow.snapshot().digest());
    assert_eq!(again.snapshot().revision(), revision);
}

#[tokio::test]
async fn changes_at_once_see_each_other() {
    let flow = open(&Arc::new(Memory::new())).await;
    flow.write(vec![put("/upstreams/u", upstream())]).await.unwrap();
    // One after the other in the queue: the route comes after its upstream has gone.
    let (gone, refused) =
        tokio::join!(flow.write(vec![delete("/upstreams/u")]), flow.write(vec![put("/routes/1", on_upstream())]),);
    assert!(gone.is_ok());
    assert!(matches!(refused, Err(FlowError::Refused(text)) if text.contains("response code: 404")));
    let (there, accepted) = tokio::join!(
        flow.write(vec![put("/upstreams/u", upstream())]),
        flow.write(vec![put("/routes/1", on_upstream())]),
    );
    assert_eq!((there.is_ok(), accepted.is_ok()), (true, true));
}

#[tokio::test]
async fn one_refusal_is_nobody_elses() {
    let flow = open(&Arc::new(Memory::new())).await;
    let absent = |path: &str| match put(path, upstream()) {
        Write::Put { key, value, .. } => Write::Put { key, value, expect: Expect::Absent },
        other => other,
    };
    let (first, second, wrong, third) = tokio::join!(
        flow.write(vec![absent("/upstreams/a")]),
        flow.write(vec![absent("/upstreams/a")]),
        flow.write(vec![put("/upstreams/b", upstream()), put("/routes/1", on_upstream())]),
        flow.write(vec![absent("/upstreams/c")]),
    );
    assert!(first.is_ok() && third.is_ok());
    assert_eq!(second, Err(FlowError::Conflict));
    assert!(matches!(wrong, Err(FlowError::Refused(_))));
    let ids: Vec<_> = flow.documents().list(Kind::Upstream, None).iter().map(|d| d.key.id().to_owned()).collect();
    assert_eq!(ids, ["a", "c"]);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_stored_that_is_not_in_force() {
    let store = Arc::new(Memory::new());
    let flow = open(&store).await;
    {
        let mut write = std::pin::pin!(flow.write(vec![put("/upstreams/u", upstream())]));
        let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx).is_pending())).await;
        assert!(waits);
    }
    flow.write(vec![put("/upstreams/v", upstream())]).await.unwrap();
    let stored = store.load().await.unwrap().entries.len();
    assert_eq!(flow.documents().list(Kind::Upstream, None).len(), stored);
    assert_eq!(stored, 2);
}

/// What each write of a group came to: stored, refused, or in conflict.
async fn outcomes(flow: &Flow, writes: Vec<Write>) -> Vec<&'static str> {
    // Polled in their order, so that they wait together and are one group.
    let all = futures_util::future::join_all(writes.into_iter().map(|write| flow.write(vec![write]))).await;
    let named = all.iter().map(|outcome| match outcome {
        Ok(_) => "stored",
        Err(FlowError::Refused(_)) => "refused",
        Err(FlowError::Conflict) => "conflict",
        Err(FlowError::Unavailable(_)) => "unavailable",
    });
    named.collect()
}

#[tokio::test]
async fn no_order_of_changes_leaves_a_reference_to_nothing() {
    let stale = |path: &str| match delete(path) {
        Write::Delete { key, is_forced, .. } => {
            Write::Delete { key, expect: Expect::Revision(store::Revision(999)), is_forced }
        }
        other => other,
    };
    let rows: [(&str, Vec<Write>, &[&str]); 5] = [
        (
            "deleted while it is used",
            vec![put("/routes/1", on_upstream()), delete("/upstreams/u")],
            &["stored", "refused"],
        ),
        (
            "used after it was deleted",
            vec![delete("/upstreams/u"), put("/routes/1", on_upstream())],
            &["stored", "refused"],
        ),
        ("its user goes first", vec![delete("/routes/0"), delete("/upstreams/w")], &["stored", "stored"]),
        ("its user stays after all", vec![stale("/routes/0"), delete("/upstreams/w")], &["conflict", "refused"]),
        ("it stays after all", vec![stale("/upstreams/u"), put("/routes/1", on_upstream())], &["conflict", "stored"]),
    ];
    for (desc, writes, want) in rows {
        let flow = open(&Arc::new(Memory::new())).await;
        let on_w = json!({ "uri": "/0", "upstream_id": "w" });
        let before = vec![put("/upstreams/u", upstream()), put("/upstreams/w", upstream()), put("/routes/0", on_w)];
        flow.write(before).await.unwrap();
        assert_eq!(outcomes(&flow, writes).await, want, "{desc}");
        for route in flow.documents().list(Kind::Route, None) {
            let id = route.value["upstream_id"].as_str().unwrap();
            let upstream = Key::new(Kind::Upstream, id).unwrap();
            assert!(flow.documents().get(&upstream).is_some(), "{desc}: {} refers to nothing", route.key.path());
        }
    }
}

#[tokio::test]
async fn by_force_also_what_is_used_is_deleted() {
    let flow = open(&Arc::new(Memory::new())).await;
    flow.write(vec![put("/upstreams/u", upstream()), put("/routes/1", on_upstream())]).await.unwrap();
    let Write::Delete { key, expect, .. } = delete("/upstreams/u") else { panic!() };
    assert!(flow.write(vec![Write::Delete { key, expect, is_forced: true }]).await.is_ok());
    assert!(flow.documents().list(Kind::Upstream, None).is_empty());
}

/// Stores, and then says that it could not.
struct Liar {
    inner: Memory,
    lies: std::sync::atomic::AtomicBool,
}

impl Store for Liar {
    fn load(&self) -> futures_util::future::BoxFuture<'_, Result<store::Documents, StoreError>> {
        self.inner.load()
    }

    fn write(&self, ops: Vec<store::Op>) -> futures_util::future::BoxFuture<'_, Result<store::Revision, StoreError>> {
        Box::pin(async move {
            let stored = self.inner.write(ops).await?;
            if self.lies.swap(false, Ordering::Relaxed) {
                Err(StoreError::Unavailable("told to".to_owned()))
            } else {
                Ok(stored)
            }
        })
    }

    fn next_id(&self) -> futures_util::future::BoxFuture<'_, Result<String, StoreError>> {
        self.inner.next_id()
    }

    fn watch(&self, from: store::Revision) -> store::ChangeStream {
        self.inner.watch(from)
    }
}

#[tokio::test]
async fn a_failed_write_that_was_stored_after_all_is_in_force_with_the_next() {
    let store = Arc::new(Liar { inner: Memory::new(), lies: false.into() });
    let plugins = PluginSet::new(Vec::new(), None, &Map::new(), model::differences::Compat::default()).unwrap();
    let flow = Flow::open(store.clone(), Arc::new(plugins), Arc::new(Shared::default())).await.unwrap();
    flow.write(vec![put("/upstreams/u", upstream())]).await.unwrap();
    store.lies.store(true, Ordering::Relaxed);
    assert!(matches!(flow.write(vec![delete("/upstreams/u")]).await, Err(FlowError::Unavailable(_))));
    // The upstream has gone all the same: a route must not refer to it.
    let refused = flow.write(vec![put("/routes/1", on_upstream())]).await;
    assert!(matches!(refused, Err(FlowError::Refused(_))), "{refused:?}");
    assert!(flow.documents().list(Kind::Upstream, None).is_empty());
    let again = Flow::open(store.clone(), flow.plugins().clone(), flow.shared().clone()).await.unwrap();
    assert_eq!(again.snapshot().digest(), flow.snapshot().digest());
}

#[tokio::test]
async fn what_an_owner_has_goes_with_it() {
    let flow = open(&Arc::new(Memory::new())).await;
    let cost = |id: &str| format!("/services/s/graphql_cost_decorations/{id}");
    let field = |name: &str| json!({ "field_path": name });
    flow.write(vec![put("/services/s", json!({})), put(&cost("1"), field("a")), put("/services/t", json!({}))])
        .await
        .unwrap();
    // Somebody adds another while the service is deleted with the one that it had.
    let deletion = vec![delete("/services/s"), delete(&cost("1"))];
    let (added, refused) = tokio::join!(flow.write(vec![put(&cost("2"), field("b"))]), flow.write(deletion.clone()));
    assert_eq!((added.is_ok(), refused), (true, Err(FlowError::Conflict)));
    assert_eq!(flow.documents().list(Kind::CostDecoration, Some("s")).len(), 2);
    flow.write([deletion, vec![delete(&cost("2"))]].concat()).await.unwrap();
    flow.write(vec![delete("/services/t")]).await.unwrap();
    assert!(flow.documents().list(Kind::CostDecoration, None).is_empty());
}

/// A store that others write, too.
struct Common(Memory);

impl Store for Common {
    fn load(&self) -> futures_util::future::BoxFuture<'_, Result<store::Documents, StoreError>> {
        self.0.load()
    }

    fn write(&self, ops: Vec<store::Op>) -> futures_util::future::BoxFuture<'_, Result<store::Revision, StoreError>> {
        self.0.write(ops)
    }

    fn next_id(&self) -> futures_util::future::BoxFuture<'_, Result<String, StoreError>> {
        self.0.next_id()
    }

    fn watch(&self, from: store::Revision) -> store::ChangeStream {
        self.0.watch(from)
    }

    fn changes_by_itself(&self) -> bool {
        true
    }

    fn place(&self, key: &DocKey) -> Option<String> {
        Some(format!("file:{}", key.as_str().len()))
    }
}

fn op(path: &str, value: Option<Value>) -> store::Op {
    let (key, expect) = (DocKey::parse(path).unwrap(), Expect::Any);
    match value {
        Some(value) => store::Op::Put { key, value, expect },
        None => store::Op::Delete { key, expect },
    }
}

/// Waits until a revision is in force; gives the number of snapshots until then.
async fn until(flow: &Flow, revision: store::Revision) -> u64 {
    let wait = async {
        while flow.snapshot().revision() < revision.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("it is followed");
    flow.generation().load(Ordering::Acquire)
}

#[tokio::test]
async fn what_others_store_is_followed_with_one_snapshot_for_each_batch() {
    let store = Arc::new(Common(Memory::new()));
    let plugins = PluginSet::new(Vec::new(), None, &Map::new(), model::differences::Compat::default()).unwrap();
    let flow = Flow::open(store.clone(), Arc::new(plugins), Arc::new(Shared::default())).await.unwrap();
    // The route comes before what it refers to.
    let route = json!({ "id": "1", "uri": "/1", "service_id": "s" });
    let service = json!({ "id": "s", "upstream": upstream() });
    let both = vec![op("/routes/1", Some(route)), op("/services/s", Some(service))];
    let revision = store.write(both).await.unwrap();
    assert_eq!(until(&flow, revision).await, 2);
    assert_eq!(flow.documents().list(Kind::Route, None).len(), 1);
    assert_eq!(flow.problems(), []);

    let bad = json!({ "id": "2", "uri": "/2", "nonsense": 1 });
    let revision = store.write(vec![op("/routes/1", None), op("/routes/2", Some(bad))]).await.unwrap();
    assert_eq!(until(&flow, revision).await, 3);
    assert_eq!(flow.documents().list(Kind::Route, None).len(), 1);
    assert_eq!(flow.problems()[0].place.as_deref(), Some("file:9"));

    // More than a watcher is told one by one.
    let many = (0..5000).map(|n| op(&format!("/upstreams/{n}"), Some(upstream()))).collect();
    let revision = store.write(many).await.unwrap();
    assert_eq!(until(&flow, revision).await, 4);
    assert_eq!(flow.documents().list(Kind::Upstream, None).len(), 5000);
    let again = Flow::open(store.clone(), flow.plugins().clone(), flow.shared().clone()).await.unwrap();
    assert_eq!(again.snapshot().digest(), flow.snapshot().digest());

    // Our own writes come back and change nothing.
    let revision = flow.write(vec![put("/upstreams/mine", upstream()), delete("/upstreams/1")]).await.unwrap();
    let revision = store::Revision(revision).max(store.write(vec![op("/routes/2", None)]).await.unwrap());
    until(&flow, revision).await;
    let again = Flow::open(store.clone(), flow.plugins().clone(), flow.shared().clone()).await.unwrap();
    assert_eq!(again.snapshot().digest(), flow.snapshot().digest());
}

#[tokio::test]
async fn a_whole_configuration_takes_the_place_of_another() {
    let store = Arc::new(Memory::new());
    let flow = open(&store).await;
    let key = |path: &str| Key::parse(path).unwrap();
    let first = flow.replace(vec![(key("/routes/1"), on_upstream()), (key("/upstreams/u"), upstream())]).await.unwrap();
    assert!(first > 0);
    let modified = flow.documents().get(&key("/upstreams/u")).unwrap().modified;
    let second =
        flow.replace(vec![(key("/upstreams/u"), upstream()), (key("/routes/2"), on_upstream())]).await.unwrap();
    assert!(second > first);
    let documents = flow.documents();
    assert_eq!(documents.get(&key("/upstreams/u")).unwrap().modified, modified, "it did not change");
    assert!(documents.get(&key("/routes/1")).is_none() && documents.get(&key("/routes/2")).is_some());
    let again = open(&store).await;
    assert_eq!(again.snapshot().digest(), flow.snapshot().digest());
    // What others refer to may go: nobody checks a whole configuration against the one before.
    let third = flow.replace(vec![(key("/routes/2"), on_upstream())]).await.unwrap();
    let fourth = flow.replace(Vec::new()).await.unwrap();
    let fifth = flow.replace(Vec::new()).await.unwrap();
    assert!(fifth > fourth && fourth > third);
    assert_eq!(flow.snapshot().revision(), fifth);
}

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
    Write::Delete { key: Key::parse(path).unwrap(), expect: Expect::Any }
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

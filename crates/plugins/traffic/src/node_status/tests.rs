use super::*;

#[test]
fn counters_are_told_as_text() {
    let mut shared = Shared::default();
    shared.node.id = "node".to_owned();
    shared.stats.active.store(2, Ordering::Relaxed);
    shared.stats.requests.store(7, Ordering::Relaxed);
    let expected = r#"{"id":"node","status":{"active":"2","accepted":"0","handled":"0","total":"7","reading":"0","writing":"0","waiting":"0"}}"#;
    assert_eq!(status(&shared).to_string(), expected);
}

use super::*;
use std::time::Duration;

#[test]
fn the_control_api_tells_which_node_this_is() {
    let mut shared = Shared::default();
    shared.node.id = "node".to_owned();
    shared.node.started = Duration::from_millis(1_700_000_000_999);
    let apis = ServerInfo::control_apis();
    let [api] = &apis[..] else { panic!("{} endpoints", apis.len()) };
    let reply = (api.handle)(&ExportEnv { shared: &Arc::new(shared) });
    let plugin::ReplyBody::Bytes(body) = reply.body else { panic!("no body") };
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((body["id"].as_str(), body["boot_time"].as_u64()), (Some("node"), Some(1_700_000_000)));
    assert_eq!(body["etcd_version"], "unknown");
    assert!(body["hostname"].is_string() && body["version"].is_string());
}

#[test]
fn a_report_time_is_checked_and_has_no_effect() {
    let shared = Arc::new(Shared::default());
    for (ttl, notices) in [(json!(null), Some(0)), (json!(60), Some(1)), (json!(2), None), (json!("60"), None)] {
        let prepared = ServerInfo::prepare(&json!({ "report_ttl": ttl }), &shared);
        assert_eq!(prepared.ok().map(|notices| notices.len()), notices, "{ttl}");
    }
}

use super::*;

#[test]
fn the_configured_path_wins() {
    for (uri, requested, expected) in [
        (None, "/apisix/prometheus/metrics", "/apisix/prometheus/metrics"),
        (Some("/apisix/prometheus/metrics"), "/metrics", "/apisix/prometheus/metrics"),
    ] {
        let plugin = PublicApi { uri: uri.map(str::to_owned) };
        assert_eq!(plugin.path(requested.as_bytes()), expected);
    }
}

#[test]
fn an_endpoint_that_nobody_has_is_not_found() {
    let mut cx = plugin::testing::ctx("GET", "/apisix/nobody", &[]);
    let outcome = plugin::testing::ready(PublicApi { uri: None }.access(&mut cx)).unwrap();
    let plugin::Verdict::Respond(reply) = outcome else { panic!("it goes on") };
    assert_eq!(reply.status, 404);
}

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

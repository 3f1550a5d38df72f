use super::*;
use serde_json::json;

fn plugin(config: &Value, attr: &Value) -> Result<ProxyMirror, BuildError> {
    let env = BuildEnv {
        shared: &Arc::default(),
        owner: "/routes/1",
        config,
        attr,
        compat: model::differences::Compat::default(),
    };
    ProxyMirror::build(serde_json::from_value(config.clone()).unwrap(), &env)
}

fn config(host: &str, path: Option<&str>, mode: &str) -> Value {
    json!({ "host": host, "path": path, "path_concat_mode": mode, "sample_ratio": 1.0 })
}

#[test]
fn the_server_is_read() {
    for (host, server, port) in [
        ("http://a.example", "a.example", 80),
        ("http://a.example:81", "a.example", 81),
        ("http://127.0.0.1:82", "127.0.0.1", 82),
        ("http://[::1]:83", "[::1]", 83),
        ("http://[::1]", "[::1]", 80),
        ("https://a.example", "a.example", 443),
        ("https://a.example:84", "a.example", 84),
    ] {
        let plugin = plugin(&config(host, None, "replace"), &Value::Null).unwrap();
        assert_eq!((&*plugin.server, plugin.port), (server, port), "{host}");
        assert_eq!(plugin.tls.is_some(), host.starts_with("https"), "{host}");
    }
    for host in ["grpc://a:1", "grpcs://a", "http://a:0", "http://a:70000"] {
        assert!(plugin(&config(host, None, "replace"), &Value::Null).is_err(), "{host}");
    }
}

#[test]
fn the_target_is_made() {
    for (path, mode, original, target) in [
        (None, "replace", "/a%20b?x=1", "/a%20b?x=1"),
        (Some("/m"), "replace", "/a?x=1", "/m?x=1"),
        (Some("/m"), "replace", "/a", "/m"),
        (Some("/m"), "prefix", "/a?x=1", "/m/a?x=1"),
    ] {
        let plugin = plugin(&config("http://a", path, mode), &Value::Null).unwrap();
        assert_eq!(plugin.target(original.as_bytes()), target.as_bytes(), "{path:?} {mode}");
    }
}

#[test]
fn timeouts_are_read() {
    let ok = json!({ "timeout": { "connect": "500ms", "read": 2 } });
    let plugin_of = |attr: &Value| plugin(&config("http://a", None, "replace"), attr);
    let Timeouts { connect, send, read } = plugin_of(&ok).unwrap().timeouts;
    assert_eq!((connect.as_millis(), send.as_secs(), read.as_secs()), (500, 60, 2));
    let wrong = json!({ "timeout": { "send": "soon" } });
    assert_eq!(plugin_of(&wrong).unwrap_err().0, "plugin_attr.proxy-mirror.timeout.send is no duration");
    assert!(ProxyMirror::prepare(&wrong, &Arc::default()).is_err());
}

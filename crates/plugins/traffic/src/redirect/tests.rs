use super::*;
use model::differences::Compat;
use plugin::{Outcome, Shared, Verdict, testing};
use serde_json::json;

/// Where a request leads to, as `status location`.
fn run(config: &Value, attr: &Value, ports: &[u16], fields: &[(&str, &str)]) -> Option<String> {
    let mut shared = Shared::default();
    shared.https_ports = ports.to_vec();
    let shared = Arc::new(shared);
    let mut full = json!({ "ret_code": 302, "encode_uri": false, "append_query_string": false });
    full.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let env = BuildEnv { shared: &shared, owner: "/routes/1", config: &full, attr, compat: Compat::default() };
    let plugin = Redirect::build(serde_json::from_value(full.clone()).unwrap(), &env).unwrap();
    let mut cx = testing::ctx("GET", "/hello?a=b", fields);
    let outcome: Outcome = testing::ready(plugin.rewrite(&mut cx));
    match outcome.unwrap() {
        Verdict::Next => None,
        Verdict::Respond(reply) => {
            Some(format!("{} {}", reply.status, String::from_utf8_lossy(reply.fields.get("location").unwrap())))
        }
    }
}

#[test]
fn the_port_of_https_is_the_written_one_or_ours() {
    let config = json!({ "http_to_https": true });
    let host = [("Host", "foo.com")];
    for (desc, attr, ports, expected) in [
        ("written", json!({ "https_port": 8443 }), &[9443][..], "301 https://foo.com:8443/hello?a=b"),
        ("the usual one", json!({ "https_port": 443 }), &[9443], "301 https://foo.com/hello?a=b"),
        ("none that is one", json!({ "https_port": 0 }), &[9443], "301 https://foo.com/hello?a=b"),
        ("ours", json!(null), &[9443], "301 https://foo.com:9443/hello?a=b"),
        ("nobody listens", json!(null), &[], "301 https://foo.com/hello?a=b"),
    ] {
        assert_eq!(run(&config, &attr, ports, &host).as_deref(), Some(expected), "{desc}");
    }
    let several: std::collections::BTreeSet<_> =
        (0..200).map(|_| run(&config, &json!(null), &[6443, 7443], &host).unwrap()).collect();
    assert_eq!(several.len(), 2, "{several:?}");
}

#[test]
fn what_came_over_https_goes_on() {
    let config = json!({ "http_to_https": true });
    for (proto, goes_on) in [("https", true), ("http", false), ("any", false)] {
        let redirected = run(&config, &json!(null), &[], &[("X-Forwarded-Proto", proto)]);
        assert_eq!(redirected.is_none(), goes_on, "{proto}");
    }
}

use serde_json::{Value, json};

use super::{
    Consumer, Document, DocumentError, HashOn, Key, Kind, Node, PassHost, PluginHolder, Route, Scheme, Service, Ssl,
    Upstream, schema, secret_schema,
};

fn with(mut base: Value, extra: Value) -> Value {
    if let (Value::Object(base), Value::Object(extra)) = (&mut base, extra) {
        base.extend(extra);
    }
    base
}

fn route(extra: Value) -> Value {
    with(json!({"id": "1", "uri": "/a", "upstream": {"nodes": {"h:80": 1}}}), extra)
}

fn upstream(extra: Value) -> Value {
    with(json!({"nodes": {"h:80": 1}}), extra)
}

const INVALID: &str = "invalid configuration: ";

/// What the Admin API would say.
fn text(error: &DocumentError) -> String {
    match error {
        DocumentError::Invalid(violation) => format!("{INVALID}{violation}"),
        DocumentError::Refused(text) => text.clone(),
    }
}

#[test]
fn every_embedded_schema_compiles_and_names_its_kind() {
    for kind in Kind::ALL {
        assert_eq!(schema(kind).source()["type"], "object", "{kind}");
        assert_eq!(Kind::from_collection(kind.collection()), Some(kind));
        assert_eq!(Kind::from_schema_name(kind.schema_name()), Some(kind));
    }
    for manager in ["vault", "aws", "gcp"] {
        assert!(secret_schema(manager).is_some(), "{manager}");
    }
}

#[test]
fn routes_are_refused_in_the_words_and_order_of_apisix() {
    let v6 = json!([{"host": "::1", "port": 80, "weight": 1}]);
    let rows = [
        (route(json!({"host": "a", "hosts": ["b"], "uri": 1})), "only one of host or hosts is allowed"),
        (
            route(json!({"remote_addr": "1.1.1.1", "remote_addrs": ["1.1.1.1"]})),
            "only one of remote_addr or remote_addrs is allowed",
        ),
        (
            route(json!({"uri": 1})),
            "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        (
            json!({"plugins": {}}),
            "invalid configuration: allOf 1 failed: value should match only one schema, but matches none",
        ),
        (
            json!({"uri": "/"}),
            "invalid configuration: object matches none of the required: [\"plugins\",\"uri\"] or [\"upstream\",\"uri\"] or [\"upstream_id\",\"uri\"] or [\"service_id\",\"uri\"] or [\"plugins\",\"uris\"] or [\"upstream\",\"uris\"] or [\"upstream_id\",\"uris\"] or [\"service_id\",\"uris\"] or [\"script\",\"uri\"] or [\"script\",\"uris\"]",
        ),
        (
            route(json!({"script": "return {} ", "plugins": {}})),
            "invalid configuration: value wasn't supposed to match schema",
        ),
        (route(json!({"typo": 1})), "invalid configuration: additional properties forbidden, found typo"),
        (
            route(json!({"methods": ["GET", "FOO"]})),
            "invalid configuration: property \"methods\" validation failed: failed to validate item 2: matches none of the enum values",
        ),
        (
            route(json!({"remote_addr": "1.1.1"})),
            "invalid configuration: property \"remote_addr\" validation failed: object matches none of the required",
        ),
        (
            route(json!({"upstream": {"nodes": v6}})),
            "invalid configuration: IPv6 address must be enclosed with '[' and ']'",
        ),
        (route(json!({"upstream": upstream(json!({"nodes": {"h:0": 1}, "pass_host": "rewrite"}))})), "invalid port 0"),
    ];
    for (value, expected) in rows {
        assert_eq!(Route::parse(&value).map_err(|error| text(&error)), Err(expected.to_owned()), "{value}");
    }
}

#[test]
fn upstreams_are_refused_in_the_words_and_order_of_apisix() {
    let chash = |extra: Value| upstream(with(json!({"type": "chash"}), extra));
    let rows = [
        (json!({"nodes": [{"host": "::1"}]}), "invalid configuration: IPv6 address must be enclosed with '[' and ']'"),
        (json!({}), "invalid configuration: value should match only one schema, but matches none"),
        (
            json!({"nodes": [{"host": "a b", "weight": 1}]}),
            "invalid configuration: property \"nodes\" validation failed: object matches none of the required",
        ),
        (json!({"nodes": {"h:70000": 1}}), "invalid port 70000"),
        (
            upstream(json!({"pass_host": "rewrite", "type": "chash"})),
            "`upstream_host` can't be empty when `pass_host` is `rewrite`",
        ),
        (chash(json!({})), "missing key"),
        (chash(json!({"hash_on": "header"})), "missing key"),
        (
            chash(json!({"hash_on": "header", "key": "a b"})),
            "invalid configuration: failed to match pattern \"^[a-zA-Z0-9-_]+$\" with \"a b\"",
        ),
        (
            chash(json!({"hash_on": "other", "key": "a"})),
            "invalid configuration: property \"hash_on\" validation failed: matches none of the enum values",
        ),
        (
            upstream(json!({"tls": {"client_cert": "c".repeat(128)}})),
            "invalid configuration: property \"tls\" validation failed: failed to validate dependent schema for \"client_cert\": property \"client_key\" is required",
        ),
    ];
    for (value, expected) in rows {
        assert_eq!(Upstream::parse(&value).map_err(|error| text(&error)), Err(expected.to_owned()), "{value}");
    }
    for extra in [
        json!({"hash_on": "consumer"}),
        json!({"key": "arg_x"}),
        json!({"hash_on": "vars_combinations", "key": "$a$b"}),
    ] {
        assert!(Upstream::parse(&chash(extra.clone())).is_ok(), "{extra}");
    }
}

#[test]
fn other_kinds_are_refused_in_the_words_of_apisix() {
    let refusal = |result: Result<(), DocumentError>| result.map_err(|error| text(&error));
    let rows = [
        (
            refusal(
                Service::parse(&json!({"upstream": {"nodes": {"h:x:99999.1": 1}, "pass_host": "rewrite"}})).map(|_| ()),
            ),
            "`upstream_host` can't be empty when `pass_host` is `rewrite`",
        ),
        (refusal(Consumer::parse(&json!({})).map(|_| ())), "invalid configuration: property \"username\" is required"),
        (
            refusal(Consumer::parse(&json!({"username": "a.b"})).map(|_| ())),
            "invalid configuration: property \"username\" validation failed: failed to match pattern \"^[a-zA-Z0-9_\\\\-]+$\" with \"a.b\"",
        ),
        (
            refusal(PluginHolder::parse(Kind::Credential, &json!({"plugins": {"a": {}, "b": {}}})).map(|_| ())),
            "invalid configuration: property \"plugins\" validation failed: expect object to have at most 1 properties",
        ),
        (
            refusal(PluginHolder::parse(Kind::ConsumerGroup, &json!({"id": 1})).map(|_| ())),
            "invalid configuration: property \"plugins\" is required",
        ),
        (
            refusal(PluginHolder::parse(Kind::GlobalRule, &json!({"plugins": {}})).map(|_| ())),
            "invalid configuration: property \"id\" is required",
        ),
        (
            refusal(PluginHolder::parse(Kind::PluginConfig, &json!({"id": "1", "plugins": 1})).map(|_| ())),
            "invalid configuration: property \"plugins\" validation failed: wrong type: expected object, got number",
        ),
    ];
    for (found, expected) in rows {
        assert_eq!(found, Err(expected.to_owned()));
    }
}

#[test]
fn documents_are_read_with_their_defaults() {
    let route = Route::parse(&json!({
        "id": 7.0, "uris": ["/a", "/b"], "host": "h", "plugins": [], "service_id": 12,
        "upstream": {"nodes": [], "keepalive_pool": {"size": 8.0}, "retries": 2.0},
        "timeout": {"connect": 1, "send": 2.5, "read": 3},
    }))
    .expect("valid");
    assert_eq!((route.id.as_str(), route.service_id.as_deref(), route.priority), ("7", Some("12"), 0));
    assert_eq!(route.uris().chain(route.hosts()).collect::<Vec<_>>(), ["/a", "/b", "h"]);
    assert!(route.is_enabled() && route.plugins.is_empty() && route.remote_addrs().next().is_none());
    assert_eq!(route.timeout.map(|timeout| timeout.send), Some(2.5));
    let upstream = route.upstream.expect("an upstream");
    assert_eq!((upstream.algorithm.as_str(), upstream.hash_on), ("roundrobin", HashOn::Vars));
    assert_eq!((upstream.pass_host, upstream.scheme), (PassHost::Pass, Scheme::Http));
    assert_eq!((upstream.nodes, upstream.retries), (Some(Vec::new()), Some(2)));
    let pool = upstream.keepalive_pool.expect("a pool");
    assert_eq!((pool.size, pool.idle_timeout, pool.requests), (8, 60.0, 1000));
}

#[test]
fn nodes_of_both_forms_are_the_same() {
    let node =
        |host: &str, port: Option<u16>| Node { host: host.to_owned(), port, weight: 1, priority: 0, metadata: None };
    let rows = [
        (json!({"h:80": 1}), node("h", Some(80))),
        (json!({"h": 1}), node("h", None)),
        (json!({"10.0.0.1:8080": 1}), node("10.0.0.1", Some(8080))),
        (json!({"[::1]:80": 1}), node("[::1]", Some(80))),
        (json!({"[::1]": 1}), node("[::1]", None)),
        (json!({"2001:db8::68": 1}), node("[2001:db8::68]", None)),
        (json!({"h:": 1}), node("h:", None)),
        (json!({"h:x": 1}), node("h", None)),
        (json!([{"host": "h", "port": 80, "weight": 1}]), node("h", Some(80))),
        (json!([{"host": "::1", "port": 80, "weight": 1.0}]), node("[::1]", Some(80))),
    ];
    for (nodes, expected) in rows {
        let upstream = Upstream::load(&json!({"nodes": nodes}));
        assert_eq!(upstream.map(|upstream| upstream.nodes), Ok(Some(vec![expected])), "{nodes}");
    }
}

#[test]
fn keys_are_paths_and_paths_are_keys() {
    let keys = [
        (Key::new(Kind::Route, "1"), "/routes/1"),
        (Key::new(Kind::Consumer, "jack"), "/consumers/jack"),
        (Key::credential("jack", "c.1"), "/consumers/jack/credentials/c.1"),
        (Key::secret("vault", "1"), "/secrets/vault/1"),
        (Key::new(Kind::PluginMetadata, "http-logger"), "/plugin_metadata/http-logger"),
        (Key::below(Kind::CostDecoration, "s.1", "1"), "/services/s.1/graphql_cost_decorations/1"),
    ];
    for (key, path) in keys {
        let key = key.expect(path);
        assert_eq!(key.path(), path);
        assert_eq!(Key::parse(path), Ok(key));
    }
    let long = format!("/routes/{}", "a".repeat(65));
    for path in [
        "",
        "/",
        "routes/1",
        "/routes",
        "/routes/",
        "/routes/a b",
        "/routes/1/2",
        "/x/1",
        "/consumers/a.b",
        "/credentials/1",
        "/consumers/a/credentials/",
        "/secrets/1",
        "/secrets/x/1",
        "/graphql_cost_decorations/1",
        "/services/1/graphql_cost_decorations/",
        "/services/a b/graphql_cost_decorations/1",
        "/services/1/credentials/1",
        &long,
    ] {
        assert!(Key::parse(path).is_err(), "{path}");
    }
}

#[test]
fn debug_shows_no_content() {
    let value = json!({"username": "jack", "plugins": {"key-auth": {"key": "hush"}}});
    let key = Key::new(Kind::Consumer, "jack").expect("valid");
    let document = Document { key, value: value.clone(), created: 1, modified: 2 };
    let shown = format!("{document:?} {:?}", Consumer::parse(&value));
    assert_eq!(shown, "Document(/consumers/jack, created 1, modified 2) Ok(Consumer(jack))");
}

#[test]
fn a_server_has_as_many_keys_as_certificates() {
    let ssl = |usage: &str, keys: usize| {
        let written = json!({"type": usage, "sni": "a", "cert": "c".repeat(128), "key": "k".repeat(64),
            "certs": ["d".repeat(128)], "keys": vec!["l".repeat(64); keys]});
        Ssl::parse(&written).expect("fits the schema")
    };
    let count = |ssl: &Ssl| ssl.others().map(Iterator::count).map_err(|error| text(&error));
    let mismatched = Err("mismatched number of certs and keys".to_owned());
    assert_eq!((count(&ssl("server", 1)), count(&ssl("server", 0))), (Ok(1), mismatched));
    assert_eq!(count(&ssl("client", 0)), Ok(0));
    assert_eq!(format!("{:?}", ssl("client", 0)), "Ssl()");
}

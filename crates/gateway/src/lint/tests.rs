use super::*;
use crate::{
    flow::Write,
    snapshot::tests::{Door, Mark},
};
use model::{differences::Compat, documents::Key};
use plugin::{describe, describe_auth};
use serde_json::{Map, json};
use std::sync::Arc;
use store::{Expect, Memory};

async fn found(documents: &[(&str, Value)]) -> Vec<(String, &'static str)> {
    let all = vec![describe_auth::<Door>(), describe::<Mark>()];
    let plugins = Arc::new(PluginSet::new(all, None, &Map::new(), Compat::default()).unwrap());
    let flow = Flow::open(Arc::new(Memory::new()), plugins, Arc::default()).await.unwrap();
    let writes = documents.iter().map(|(path, value)| {
        let key = Key::parse(path).unwrap();
        let mut value = value.clone();
        value["id"] = json!(key.id());
        Write::Put { key, value, expect: Expect::Any }
    });
    flow.write(writes.collect()).await.unwrap();
    findings(&flow).into_iter().map(|finding| (format!("{}{}", finding.key, finding.json_path), finding.rule)).collect()
}

fn to(host: &str) -> Value {
    json!({ "nodes": { host: 1 } })
}

#[tokio::test]
async fn a_way_around_authentication_is_found() {
    let door = json!({ "door": {} });
    let rows = [
        (
            "the same node, written in two routes",
            vec![
                ("/routes/shut", json!({ "uri": "/a", "plugins": door, "upstream": to("10.0.0.1:80") })),
                ("/routes/open", json!({ "uri": "/b", "upstream": to("10.0.0.1:80") })),
                ("/routes/far", json!({ "uri": "/c", "upstream": to("10.0.0.2:80") })),
            ],
            vec!["/routes/open"],
        ),
        (
            "an authentication that may be left out is none",
            vec![
                ("/routes/shut", json!({ "uri": "/a", "plugins": door, "upstream": to("10.0.0.1:80") })),
                (
                    "/routes/half",
                    json!({ "uri": "/b", "plugins": { "door": { "_meta": { "filter": [["arg_a", "==", "1"]] } } },
                        "upstream": to("10.0.0.1:80") }),
                ),
            ],
            vec!["/routes/half"],
        ),
        (
            "a global rule asks everybody",
            vec![
                ("/global_rules/g", json!({ "plugins": door })),
                ("/routes/open", json!({ "uri": "/b", "upstream": to("10.0.0.1:80") })),
            ],
            vec![],
        ),
        (
            "nobody is asked anywhere",
            vec![("/routes/open", json!({ "uri": "/b", "upstream": to("10.0.0.1:80") }))],
            vec![],
        ),
        (
            "its service asks",
            vec![
                ("/services/s", json!({ "plugins": door, "upstream": to("10.0.0.1:80") })),
                ("/routes/shut", json!({ "uri": "/a", "service_id": "s" })),
                ("/routes/open", json!({ "uri": "/b", "upstream": to("10.0.0.1:80") })),
            ],
            vec!["/routes/open"],
        ),
    ];
    for (desc, documents, want) in rows {
        let want: Vec<_> = want.into_iter().map(|key| (key.to_owned(), "anonymous-route")).collect();
        assert_eq!(found(&documents).await, want, "{desc}");
    }
}

#[tokio::test]
async fn a_route_that_nothing_reaches_is_found() {
    let on = |fields: Value| {
        let mut route = json!({ "uri": "/a", "upstream": to("10.0.0.1:80") });
        for (name, value) in fields.as_object().unwrap() {
            route[name] = value.clone();
        }
        route
    };
    let rows = [
        ("the same twice", on(json!({})), on(json!({})), Some("/routes/2")),
        ("all methods before one", on(json!({})), on(json!({ "methods": ["GET"] })), Some("/routes/2")),
        ("one method before all", on(json!({ "methods": ["GET"] })), on(json!({})), None),
        ("a higher priority", on(json!({})), on(json!({ "priority": 1 })), Some("/routes/1")),
        ("a condition before", on(json!({ "vars": [["arg_a", "==", "1"]] })), on(json!({})), None),
        ("another host", on(json!({})), on(json!({ "host": "a.example" })), None),
        ("one of two uris", on(json!({})), on(json!({ "uri": null, "uris": ["/a", "/b"] })), None),
    ];
    for (desc, first, second, shadowed) in rows {
        let mut second = second;
        if second["uri"].is_null() {
            second.as_object_mut().unwrap().shift_remove("uri");
        }
        let found = found(&[("/routes/1", first.clone()), ("/routes/2", second)]).await;
        let want: Vec<_> = shadowed.into_iter().map(|key: &str| (key.to_owned(), "shadowed-route")).collect();
        assert_eq!(found, want, "{desc}");
    }
}

#[tokio::test]
async fn what_is_found_everywhere_is_not_told_everywhere() {
    let routes: Vec<(String, Value)> =
        (0..300).map(|n| (format!("/routes/{n}"), json!({ "uri": "/same", "upstream": to("10.0.0.1:80") }))).collect();
    let routes: Vec<(&str, Value)> = routes.iter().map(|(key, route)| (&**key, route.clone())).collect();
    let found = found(&routes).await;
    assert_eq!(found.len(), TOLD + 1);
    assert_eq!(found.last().unwrap(), &(String::new(), "shadowed-route"));
}

#[test]
fn switched_off_verification_is_found_by_the_name_of_the_attribute() {
    let mut found = Vec::new();
    let config = json!({
        "ssl_verify": false, "tls_verify": true,
        "redis_ssl": false, "redis_ssl_verify": false,
        "brokers": [{ "sasl": { "tls": true, "tls_verify": false } }],
    });
    attributes::of_plugin(&config, "", &mut found);
    let paths: Vec<_> = found.iter().map(|finding| &*finding.path).collect();
    assert_eq!(paths, ["/ssl_verify", "/brokers/0/sasl/tls_verify"]);
}

#[test]
fn nodes_that_are_not_verified_are_found() {
    for (desc, value, verifies, expected) in [
        ("in plain text", json!({ "tls": { "verify": false } }), true, &[][..]),
        ("verified", json!({ "scheme": "https" }), true, &[]),
        ("not verified by the profile", json!({ "scheme": "https" }), false, &["/tls/verify"]),
        ("verified on purpose", json!({ "scheme": "https", "tls": { "verify": true } }), false, &[]),
        ("switched off", json!({ "scheme": "https", "tls": { "verify": false } }), true, &["/tls/verify"]),
        (
            "checks",
            json!({ "checks": { "active": { "type": "https", "https_verify_certificate": false } } }),
            true,
            &["/checks/active/https_verify_certificate"],
        ),
        ("checks in plain text", json!({ "checks": { "active": { "https_verify_certificate": false } } }), true, &[]),
    ] {
        for (key, at) in [("/upstreams/u", ""), ("/routes/r", "/upstream")] {
            let key = Key::parse(key).unwrap();
            let value = if at.is_empty() { value.clone() } else { json!({ "upstream": value }) };
            let mut found = Vec::new();
            attributes::of_upstream(&Document { key, value, created: 0, modified: 0 }, verifies, &mut found);
            let paths: Vec<_> = found.iter().map(|finding| &*finding.json_path).collect();
            let expected: Vec<_> = expected.iter().map(|path| format!("{at}{path}")).collect();
            assert_eq!(paths, expected, "{desc}");
        }
    }
}

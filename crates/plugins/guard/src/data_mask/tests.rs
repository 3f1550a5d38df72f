use super::*;
use model::{
    differences::{Compat, Profile},
    vars::{Lookup, VarName},
};
use plugin::testing;
use serde_json::{Value, json};

fn plugin(request: &Value, profile: Profile) -> DataMask {
    let config = json!({ "request": request, "max_body_size": 60 });
    let env = BuildEnv {
        shared: &Arc::default(),
        owner: "/routes/1",
        config: &config,
        attr: &Value::Null,
        compat: Compat::of(profile),
    };
    DataMask::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap()
}

fn variable(cx: &Ctx, name: &str) -> String {
    let mut text = Vec::new();
    cx.var(&VarName::parse(name)).write_to(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn queries_are_masked_wherever_they_are_shown() {
    for (desc, item, target, expected) in [
        ("replaced", json!({ "name": "t", "action": "replace", "value": "*" }), "/a?x=%2f&t=1&t=2", "/a?x=%2f&t=*"),
        ("removed", json!({ "name": "t", "action": "remove" }), "/a?t=1&x=1&t=2", "/a?x=1"),
        ("removed all", json!({ "name": "t", "action": "remove" }), "/a?t=1", "/a"),
        (
            "a pattern",
            json!({ "name": "t", "action": "regex", "regex": "^(..).*", "value": "$1 &*" }),
            "/a?t=abcd&t=x",
            "/a?t=ab%20%26*&t=x",
        ),
        ("an encoded name", json!({ "name": "t", "action": "remove" }), "/a?%74=1&u=2", "/a?u=2"),
        ("another name", json!({ "name": "t", "action": "remove" }), "/a?T=1", "/a?T=1"),
        ("no query", json!({ "name": "t", "action": "remove" }), "/a", "/a"),
        (
            "a pattern that does not end",
            json!({ "name": "t", "action": "regex", "regex": "^(?:(?=a)(?:a|aa))+$", "value": "*" }),
            &*format!("/a?t={}b", "a".repeat(60)),
            "/a",
        ),
    ] {
        let mut item = item;
        item["type"] = json!("query");
        let mut cx = testing::ctx("GET", target, &[]);
        cx.upstream.target = Some(target.as_bytes().to_vec());
        plugin(&json!([item]), Profile::Secure).log(&mut cx);
        for name in ["request_uri", "real_request_uri", "upstream_uri"] {
            assert_eq!(variable(&cx, name), expected, "{desc} {name}");
        }
        assert_eq!(variable(&cx, "request"), format!("GET {expected} HTTP/1.1"), "{desc}");
        assert_eq!(variable(&cx, "args"), expected.split_once('?').map_or("", |(_, query)| query), "{desc}");
    }
}

#[test]
fn headers_are_masked() {
    for (item, expected) in [
        (json!({ "name": "x-key", "action": "remove" }), vec![]),
        (json!({ "name": "X-Key", "action": "replace", "value": "*" }), vec!["*"]),
        (json!({ "name": "X-KEY", "action": "regex", "regex": "b", "value": "*" }), vec!["a*", "*c"]),
    ] {
        let mut item = item;
        item["type"] = json!("header");
        let mut cx = testing::ctx("GET", "/", &[("X-Key", "ab"), ("X-Key", "bc"), ("X-Other", "b")]);
        plugin(&json!([item]), Profile::Secure).log(&mut cx);
        let values: Vec<&[u8]> = cx.request.fields.get_all("x-key").collect();
        assert_eq!(values, expected.iter().map(|value| value.as_bytes()).collect::<Vec<_>>(), "{item}");
        assert_eq!(variable(&cx, "http_x_other"), "b");
    }
}

#[test]
fn bodies_are_masked_or_not_shown() {
    let json_item = |name: &str, action: &str| json!([{ "type": "body", "body_format": "json", "name": name, "action": action, "regex": "^(.).*", "value": "$1*" }]);
    let form = json!([{ "type": "body", "body_format": "urlencoded", "name": "p", "action": "replace", "value": "*" }]);
    for (desc, items, body, expected, as_apisix) in [
        (
            "removed everywhere",
            json_item("$..p", "remove"),
            "{\"p\":1,\"a\":[{\"p\":2,\"b\":3}]}",
            "{\"a\":[{\"b\":3}]}",
            None,
        ),
        ("items removed", json_item("$.a[0,1]", "remove"), "{\"a\":[1,2,3]}", "{\"a\":[3]}", None),
        ("replaced", json_item("$.p", "replace"), "{\"p\":{\"q\":1}}", "{\"p\":\"$1*\"}", None),
        ("a pattern", json_item("$.a[*]", "regex"), "{\"a\":[\"xyz\",7]}", "{\"a\":[\"x*\",7]}", None),
        (
            "a path without its beginning",
            json_item("users[*].p", "remove"),
            "{\"users\":[{\"p\":1}]}",
            "{\"users\":[{}]}",
            None,
        ),
        ("a path that begins with an index", json_item("[0].p", "remove"), "[{\"p\":1}]", "[{}]", None),
        ("the whole body", json_item("$", "remove"), "{\"p\":1}", "null", None),
        ("nothing there", json_item("$.q", "remove"), "{ \"p\" : 1 }", "{ \"p\" : 1 }", None),
        ("no JSON", json_item("$.p", "remove"), "p=secret", "", Some("p=secret")),
        (
            "too long",
            json_item("$.p", "remove"),
            "{\"p\":\"secret\",\"q\":\"12345678901234567890123456789012345678901234567890\"}",
            "",
            Some("{\"p\":\"secret\",\"q\":\"12345678901234567890123456789012345678901234567890\"}"),
        ),
        ("a form", form, "a=1&p=secret&p=2", "a=1&p=*", None),
    ] {
        for (profile, expected) in [(Profile::Secure, expected), (Profile::Apisix, as_apisix.unwrap_or(expected))] {
            let mut cx = testing::ctx("POST", "/", &[]);
            cx.request.body.replace(Bytes::copy_from_slice(body.as_bytes()));
            plugin(&items, profile).log(&mut cx);
            let shown = cx.request.body.buffered().unwrap();
            assert_eq!(std::str::from_utf8(shown).unwrap(), expected, "{desc}, {profile:?}");
        }
    }
}

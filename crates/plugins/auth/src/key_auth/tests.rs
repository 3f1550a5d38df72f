use super::*;
use plugin::{ReplyBody, Verdict, testing, testing::World};
use serde_json::{Value, json};

fn plugin(extra: &Value) -> KeyAuth {
    let file: Value = serde_json::from_str(KeyAuth::SPEC.schema).unwrap();
    let mut config = extra.clone();
    model::schema::Schema::compile(&file["schema"]).unwrap().check_and_fill(&mut config).unwrap();
    let (shared, attr) = (Arc::default(), json!({}));
    let env = BuildEnv {
        shared: &shared,
        owner: "/routes/1",
        config: &config,
        attr: &attr,
        compat: model::differences::Compat::default(),
    };
    KeyAuth::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap()
}

fn world() -> World {
    let jack = testing::consumer("jack");
    World::default().with_credential("key-auth", b"k1", jack, Arc::new(())).with_consumer(testing::consumer("guest"))
}

#[test]
fn the_key_is_looked_for_in_the_header_and_then_in_the_query() {
    let (missing, invalid) = (Err("Missing API key in request"), Err("Invalid API key in request"));
    for (desc, config, target, fields, expected) in [
        ("nothing", json!({}), "/", &[][..], missing),
        ("header", json!({}), "/", &[("ApiKey", "k1")], Ok("jack")),
        ("query", json!({}), "/?apikey=k1", &[], Ok("jack")),
        ("encoded query", json!({}), "/?api%6bey=%6b1", &[], Ok("jack")),
        ("the header wins", json!({}), "/?apikey=k1", &[("apikey", "x")], invalid),
        ("the first of two headers", json!({}), "/", &[("apikey", "k1"), ("apikey", "x")], Ok("jack")),
        ("the second of two headers", json!({}), "/", &[("apikey", "x"), ("apikey", "k1")], invalid),
        ("an empty header", json!({}), "/?apikey=k1", &[("apikey", "")], invalid),
        ("an empty argument", json!({}), "/?apikey=", &[], invalid),
        ("an argument without a value", json!({}), "/?apikey", &[], invalid),
        ("two arguments", json!({}), "/?apikey=k1&apikey=k1", &[], invalid),
        ("a longer key", json!({}), "/", &[("apikey", "k11")], invalid),
        ("another header", json!({ "header": "X-Key" }), "/", &[("apikey", "k1")], missing),
        ("an underscore", json!({ "header": "x_key" }), "/", &[("X-Key", "k1")], Ok("jack")),
        ("anonymous", json!({ "anonymous_consumer": "guest" }), "/", &[("apikey", "x")], Ok("guest")),
        ("no such anonymous", json!({ "anonymous_consumer": "no" }), "/", &[], Err("Invalid user authorization")),
    ] {
        let mut cx = world().ctx("GET", target, fields);
        let verdict = testing::ready(plugin(&config).rewrite(&mut cx)).unwrap();
        let reply = match verdict {
            Verdict::Next => None,
            Verdict::Respond(reply) => Some(reply),
        };
        assert_eq!(cx.consumer().map(|consumer| &*consumer.name), expected.ok(), "{desc}");
        if let (Some(reply), Err(message)) = (reply, expected) {
            assert_eq!(reply.status, 401, "{desc}");
            assert_eq!(reply.fields.get("WWW-Authenticate"), Some(&b"apikey realm=\"key\""[..]), "{desc}");
            let body = format!("{{\"message\":\"{message}\"}}\n");
            assert_eq!(reply.body, ReplyBody::Bytes(body.into()), "{desc}");
        }
    }
}

#[test]
fn hidden_keys_are_seen_by_nobody_after() {
    for (desc, target, fields, expected) in [
        ("header", "/a?x=%41", &[("apikey", "k1"), ("APIKEY", "x")][..], "/a?x=%41"),
        ("query", "/a?x=%41&apikey=k1&y&=z", &[], "/a?x=%41&y&=z"),
        ("query alone", "/a?apikey=k1", &[], "/a"),
        ("encoded name", "/a?%61pikey=k1&x", &[], "/a?x"),
        ("both, anonymous", "/a?apikey=k1&apikey=k2", &[("apikey", "x")], "/a"),
        ("found in the header", "/a?apikey=k1", &[("apikey", "k1")], "/a?apikey=k1"),
    ] {
        let mut cx = world().ctx("GET", target, fields);
        let plugin = plugin(&json!({ "hide_credentials": true, "anonymous_consumer": "guest" }));
        testing::ready(plugin.rewrite(&mut cx)).unwrap();
        assert!(!cx.request.fields.contains("apikey"), "{desc}");
        let upstream = cx.upstream.target.as_ref().unwrap_or(&cx.request.target);
        assert_eq!(String::from_utf8_lossy(upstream), expected, "{desc}");
        let (_, query) = wire::path::split_query(upstream);
        assert_eq!(cx.request.query.as_deref(), query, "{desc}");
    }
}

#[test]
fn a_target_that_was_rewritten_before_is_kept() {
    let mut cx = world().ctx("GET", "/a?apikey=k1", &[]);
    cx.upstream.target = Some(b"/b?apikey=k1&z=1".to_vec());
    testing::ready(plugin(&json!({ "hide_credentials": true })).rewrite(&mut cx)).unwrap();
    assert_eq!(cx.upstream.target.as_deref(), Some(&b"/b?z=1"[..]));
}

#[test]
fn credentials_are_their_key_and_show_nothing() {
    let credential =
        |key: &str| KeyAuth::credential(serde_json::from_value(json!({ "key": key })).unwrap(), Compat::default());
    assert!(credential("k").is_ok_and(|(key, ())| key.0 == b"k"));
    assert!(credential("").is_err());
    let shown = format!("{:?}", serde_json::from_value::<Credential>(json!({ "key": "hunter2" })).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

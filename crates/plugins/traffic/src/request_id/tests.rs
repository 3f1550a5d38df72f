use super::*;
use serde_json::json;

fn plugin(algorithm: &str, length: usize, char_set: &str) -> Result<RequestId, BuildError> {
    let config = json!({
        "header_name": "X-Request-Id",
        "include_in_response": true,
        "algorithm": algorithm,
        "range_id": { "length": length, "char_set": char_set },
    });
    let (shared, attr) = (Arc::default(), json!({}));
    let env = BuildEnv {
        shared: &shared,
        owner: "/routes/1",
        config: &config,
        attr: &attr,
        compat: model::differences::Compat::default(),
    };
    RequestId::build(serde_json::from_value(config.clone()).unwrap(), &env)
}

#[test]
fn each_algorithm_makes_ids_of_its_own_form() {
    for (algorithm, length, alphabet) in [
        ("uuid", 36, "0123456789abcdef-"),
        ("uuidv7", 36, "0123456789abcdef-"),
        ("nanoid", 21, "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ("ksuid", 27, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        ("range_id", 12, "abcdef"),
    ] {
        let plugin = plugin(algorithm, 12, "abcdef").unwrap();
        let (one, two) = (plugin.generate(), plugin.generate());
        assert_eq!(one.len(), length, "{algorithm}: {one}");
        assert!(one.chars().all(|c| alphabet.contains(c)), "{algorithm}: {one}");
        assert_ne!(one, two, "{algorithm}");
    }
}

#[test]
fn ids_that_cannot_be_sent_are_refused_at_once() {
    for (desc, length, char_set) in
        [("too long", 1025, "abcdef"), ("line break", 6, "abcde\r\n"), ("space", 6, "abcde ")]
    {
        assert!(plugin("range_id", length, char_set).is_err(), "{desc}");
    }
}

#[test]
fn an_id_is_made_or_kept_and_shown() {
    for (desc, sent, upstream, expected) in [
        ("made", None, None, None),
        ("made for an empty one", Some(""), None, None),
        ("kept", Some("abc"), None, Some("abc")),
        ("the upstream's own stays", Some("abc"), Some("xyz"), Some("xyz")),
    ] {
        let plugin = plugin("uuid", 6, "abcdef").unwrap();
        let fields: Vec<_> = sent.map(|id| ("x-request-id", id)).into_iter().collect();
        let mut cx = plugin::testing::ctx("GET", "/hello", &fields);
        plugin::testing::ready(plugin.rewrite(&mut cx)).unwrap();
        let mut head = ResponseHead::new(200, wire::Source::Upstream);
        if let Some(id) = upstream {
            head.fields.push(b"X-Request-Id", id.as_bytes());
        }
        plugin.header_filter(&mut cx, &mut head).unwrap();
        let shown = head.fields.get_str("X-Request-Id").unwrap();
        match expected {
            Some(expected) => assert_eq!(shown, expected, "{desc}"),
            None => assert_eq!(Some(shown), cx.request.fields.get_str("X-Request-Id"), "{desc}"),
        }
        assert!(!shown.is_empty(), "{desc}");
    }
}

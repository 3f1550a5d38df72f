use super::*;
use flate2::{Compression, write::GzEncoder};
use model::differences::{Compat, Profile};
use plugin::testing;
use serde_json::json;
use std::io::Write;

fn plugin(config: Value, profile: Profile) -> RequestValidation {
    let mut config = config;
    let file: Value = serde_json::from_str(RequestValidation::SPEC.schema).unwrap();
    model::schema::Schema::compile(&file["schema"]).unwrap().check_and_fill(&mut config).unwrap();
    let env = BuildEnv {
        shared: &Arc::default(),
        owner: "/routes/1",
        config: &config,
        attr: &Value::Null,
        compat: Compat::of(profile),
    };
    RequestValidation::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap()
}

/// The status of the refusal, or what goes on.
fn run(plugin: &RequestValidation, fields: &[(&str, &str)], body: &[u8]) -> Result<Vec<u8>, u16> {
    let mut cx = testing::ctx("POST", "/", fields);
    cx.request.body.replace(Bytes::copy_from_slice(body));
    match testing::ready(plugin.rewrite(&mut cx)).unwrap() {
        Verdict::Next => Ok(cx.request.body.buffered().unwrap().to_vec()),
        Verdict::Respond(reply) => Err(reply.status),
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_body_is_looked_into_and_stays_so() {
    let config = json!({ "body_schema": { "required": ["a"] }, "max_req_body_size": 1_000_000 });
    let plugin = plugin(config, Profile::Secure);
    let coded = [("Content-Encoding", "gzip")];
    let fits = gzip(b"{\"a\":1}");
    assert_eq!(run(&plugin, &coded, &fits), Ok(fits.clone()));
    assert_eq!(run(&plugin, &coded, &gzip(b"{\"b\":1}")), Err(400));
    assert_eq!(run(&plugin, &coded, &[fits.clone(), fits.clone()].concat()), Err(400), "two members");
    assert_eq!(run(&plugin, &coded, &gzip(&vec![b' '; 1_000_001])), Err(413), "too long");
    assert_eq!(run(&plugin, &coded, &gzip(&vec![b' '; 900_000])), Err(413), "too dense");
    assert_eq!(run(&plugin, &[("Content-Encoding", "gzip, gzip")], &gzip(&fits)), Err(415));
    assert_eq!(run(&plugin, &coded, &gzip(b"")), Err(400), "nothing in it");
}

#[test]
fn deep_documents_are_refused() {
    for profile in [Profile::Secure, Profile::Apisix] {
        let plugin = plugin(json!({ "body_schema": {} }), profile);
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(run(&plugin, &[], nested(127).as_bytes()).is_ok(), "{profile:?}");
        assert_eq!(run(&plugin, &[], nested(128).as_bytes()), Err(400), "{profile:?}");
        assert_eq!(run(&plugin, &[], "[".repeat(100_000).as_bytes()), Err(400), "{profile:?}");
        assert_eq!(run(&plugin, &[], "{\"a\":".repeat(100_000).as_bytes()), Err(400), "{profile:?}");
    }
}

#[test]
fn names_of_headers_are_found_in_any_spelling() {
    for (desc, schema, fields, fits) in [
        ("upper case", json!({ "required": ["X-A"] }), vec![("x-a", "1")], true),
        ("an underscore", json!({ "required": ["x_a"] }), vec![("X-A", "1")], true),
        ("two spellings", json!({ "required": ["X-A", "x-a"] }), vec![("x-a", "1")], true),
        ("in a branch", json!({ "anyOf": [{ "required": ["X-A"] }] }), vec![("x-a", "1")], true),
        (
            "no others",
            json!({ "properties": { "X-A": true }, "additionalProperties": false }),
            vec![("x-a", "1")],
            true,
        ),
        ("another", json!({ "properties": { "X-A": true }, "additionalProperties": false }), vec![("x-b", "1")], false),
        (
            "several lines",
            json!({ "properties": { "X-A": { "type": "array", "maxItems": 2 } } }),
            vec![("x-a", "1"), ("X-A", "2")],
            true,
        ),
        (
            "too many lines",
            json!({ "properties": { "X-A": { "type": "array", "maxItems": 2 } } }),
            vec![("x-a", "1"); 3],
            false,
        ),
    ] {
        let plugin = plugin(json!({ "header_schema": schema }), Profile::Secure);
        assert_eq!(run(&plugin, &fields, b"").is_ok(), fits, "{desc}");
    }
}

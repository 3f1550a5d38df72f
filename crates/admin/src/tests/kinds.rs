//! Kinds with rules of their own.

use super::*;

const PAIR: &str = r#""cert":"CCCC","key":"KKKK","sni":"a.test""#;

fn pem(text: &str) -> String {
    text.replace("CCCC", &"c".repeat(128)).replace("KKKK", &"k".repeat(64))
}

#[test]
fn private_keys_are_in_no_answer() {
    let (api, fake) = api();
    let put = pem(&format!("{{{PAIR},\"certs\":[\"CCCC\"],\"keys\":[\"KKKK\"]}}"));
    let posted = pem(&format!("{{{PAIR}}}"));
    let patched = pem(r#"{"key":"KKKK","keys":["KKKK"],"labels":{"a":"b"}}"#);
    let calls = [
        ("PUT", "ssls/1", put.as_str(), 201),
        ("PUT", "ssls/1", &put, 200),
        ("POST", "ssls", &posted, 201),
        ("PATCH", "ssls/1", &patched, 200),
        ("PATCH", "ssls/1/key", &pem("\"KKKK\""), 200),
        ("PATCH", "ssls/1/keys", &pem("[\"KKKK\"]"), 200),
        ("GET", "ssls/1", "", 200),
        ("GET", "ssls", "", 200),
    ];
    for (method, target, body, want) in calls {
        let (status, text) = call(&api, method, target, body);
        assert_eq!(status, want, "{method} {target}: {text}");
        assert!(text.contains("a.test") && !text.contains("kkkk"), "{method} {target}: {text}");
        assert!(!text.contains("\"keys\"") && !text.contains("\"key\":\"k"), "{method} {target}: {text}");
    }
    let stored = fake.document(&model::documents::Key::new(Kind::Ssl, "1").unwrap()).unwrap();
    assert_eq!((stored.value["key"].as_str().map(str::len), stored.value["keys"][0].is_string()), (Some(64), true));
    play(
        &api,
        &[
            (
                "PUT",
                "ssls/2",
                r#"{"sni":"a"}"#,
                400,
                r#"{"error_msg":"invalid configuration: then clause did not match"}"#,
            ),
            ("PUT", "ssls/a%20b", &posted, 400, "~property \\\"id\\\" validation failed"),
            ("DELETE", "ssls/1", "", 200, r#"{"deleted":"1","key":"/apisix/ssls/1"}"#),
        ],
    );
}

#[test]
fn secrets_have_their_manager_in_front() {
    let (api, _) = api();
    let vault = r#"{"uri":"http://a","prefix":"p","token":"t"}"#;
    play(
        &api,
        &[
            ("GET", "secrets", "", 200, r#"{"list":[],"total":0}"#),
            (
                "PUT",
                "secrets/vault/1",
                vault,
                201,
                r#"{"key":"/apisix/secrets/vault/1","value":{"uri":"http://a","prefix":"p","token":"t","id":"vault/1","create_time":T,"update_time":T}}"#,
            ),
            ("PUT", "secrets/vault/1", r#"{"id":"vault/1"}"#, 200, r#"~"id":"vault/1""#),
            ("PUT", "secrets/vault/1", r#"{"id":"1"}"#, 400, r#"{"error_msg":"wrong secret id"}"#),
            ("PUT", "secrets/vault", "{}", 400, r#"{"error_msg":"missing secret id"}"#),
            ("PUT", "secrets/vault", r#"{"id":"vault/2"}"#, 400, r#"{"error_msg":"missing secret id"}"#),
            ("PUT", "secrets", "{}", 400, r#"{"error_msg":"missing secret id"}"#),
            ("PUT", "secrets/keyring/1", "{}", 400, r#"{"error_msg":"invalid secret manager: keyring"}"#),
            ("PUT", "secrets/vault/1", r#"{"create_time":1}"#, 400, "~the property is forbidden:  create_time"),
            ("GET", "secrets/keyring/1", "", 404, r#"{"message":"Key not found"}"#),
            ("GET", "secrets/vault/1", "", 200, r#"~"key":"/apisix/secrets/vault/1""#),
            ("GET", "secrets/aws", "", 200, r#"~"total":1"#),
            ("PATCH", "secrets/vault/1", r#"{"token":"u"}"#, 200, r#"~"token":"u""#),
            ("PATCH", "secrets/vault/1/token", r#""v""#, 200, r#"~"token":"v""#),
            ("PATCH", "secrets/vault", "{}", 400, r#"{"error_msg":"no secret id"}"#),
            ("PATCH", "secrets/vault/2", "{}", 404, r#"{"message":"Key not found"}"#),
            ("DELETE", "secrets/vault", "", 400, r#"{"error_msg":"missing secret id"}"#),
            ("DELETE", "secrets/vault/1", "", 200, r#"{"deleted":"1","key":"/apisix/secrets/vault/1"}"#),
        ],
    );
}

#[test]
fn cost_decorations_belong_to_a_service() {
    let (api, fake) = api();
    let path = "services/s/graphql_cost_decorations";
    let one = &format!("{path}/1");
    let cost = r#"{"field_path":"Query.a"}"#;
    play(
        &api,
        &[
            ("PUT", one, cost, 404, r#"{"error_msg":"service not found"}"#),
            ("POST", path, cost, 404, r#"{"error_msg":"service not found"}"#),
            ("PUT", "services/s", "{}", 201, "~"),
            ("GET", path, "", 404, r#"{"message":"Key not found"}"#),
            (
                "PUT",
                one,
                cost,
                201,
                r#"{"key":"/apisix/services/s/graphql_cost_decorations/1","value":{"field_path":"Query.a","service_id":"s","id":"1","create_time":T,"update_time":T}}"#,
            ),
            (
                "PUT",
                one,
                r#"{"service_id":"t"}"#,
                400,
                r#"{"error_msg":"wrong service_id, it is taken from the path"}"#,
            ),
            ("PUT", one, "{}", 400, r#"{"error_msg":"invalid configuration: property \"field_path\" is required"}"#),
            ("PATCH", one, r#"{"mul_value":2}"#, 200, r#"~"mul_value":2"#),
            ("PATCH", one, r#"{"service_id":"s"}"#, 400, r#"{"error_msg":"service_id can not be patched"}"#),
            ("PATCH", one, "1", 400, r#"{"error_msg":"invalid configuration"}"#),
            ("POST", path, r#"{"field_path":"Query.b"}"#, 201, r#"~"field_path":"Query.b""#),
            ("GET", path, "", 200, r#"~"total":2"#),
            ("GET", "services", "", 200, r#"~"total":1"#),
            ("DELETE", "services/s", "", 200, "~deleted"),
        ],
    );
    assert!(fake.documents(Kind::CostDecoration, None).is_empty(), "they go with their service");
}

#[test]
fn stream_routes_are_taken_where_streams_are_proxied() {
    let fake = Arc::new(Fake::default());
    let settings = Settings { is_key_required: false, has_streams: true, ..Settings::default() };
    let api = AdminApi::new(fake, settings);
    play(
        &api,
        &[
            ("GET", "stream_routes", "", 200, r#"{"list":[],"total":0}"#),
            ("PUT", "stream_routes/1", r#"{"server_port":9100,"upstream_id":"u"}"#, 201, "~/apisix/stream_routes/1"),
            ("POST", "stream_routes", r#"{"server_port":9100,"service_id":"s"}"#, 201, "~server_port"),
            ("PATCH", "stream_routes/1", "{}", 405, r#"{"error_msg":"not supported `PATCH` method for stream route"}"#),
            ("GET", "stream_routes?filter=upstream_id%3Du", "", 200, r#"~"total":1"#),
            ("DELETE", "stream_routes/1", "", 200, "~deleted"),
        ],
    );
}

#[test]
fn protos_are_documents() {
    let (api, _) = api();
    play(
        &api,
        &[
            ("PUT", "protos/1", r#"{"content":"message M {}"}"#, 201, "~/apisix/protos/1"),
            ("POST", "protos", r#"{"content":"message M {}"}"#, 201, "~content"),
            (
                "PUT",
                "protos/1",
                "{}",
                400,
                r#"{"error_msg":"invalid configuration: property \"content\" is required"}"#,
            ),
            ("GET", "protos/1", "", 200, "~message M"),
            // A text of several lines, as APISIX's documentation has it.
            ("PUT", "protos/1", "{\"content\":\"message M {\n}\"}", 200, r#"~"content":"message M {\n}""#),
            ("PUT", "protos/1", "{\"content\":\"message M {\0}\"}", 400, "~invalid request body"),
            ("DELETE", "protos/1", "", 200, "~deleted"),
        ],
    );
}

#[test]
fn a_whole_configuration_is_validated() {
    let (api, _) = api();
    let good = r#"{"consumers":[{"username":"jack"},{"id":"jack/credentials/one","plugins":{}}],
        "secrets":[{"id":"vault/1"}],"plugins":[{"name":"key-auth"}],"routes":[],"routes_conf_version":1,
        "protos":[{"id":1,"content":"x"}],"stream_routes":[{"id":"1"}]}"#;
    let bad = r#"{"consumers":[{"username":"jack"},{"username":"jack"},{"id":"jack/credentials/one","key":1}],
        "secrets":[{"id":"1"},{"id":"keyring/1"}],"plugins":[{"name":"none"}],"routes_conf_version":"x","rotes":[{}],
        "credentials":[{}]}"#;
    let want = concat!(
        r#"{"error_msg":"Configuration validation failed","errors":["#,
        r#"{"resource_type":"consumers","resource_id":"jack","index":1,"error":"found duplicate username jack in consumers"},"#,
        r#"{"resource_type":"consumers","resource_id":"jack/credentials/one","index":2,"error":"invalid configuration: additional properties forbidden, found key"},"#,
        r#"{"resource_type":"secrets","resource_id":"1","index":0,"error":"invalid secret id: 1"},"#,
        r#"{"resource_type":"secrets","resource_id":"keyring/1","index":1,"error":"invalid secret manager: keyring"},"#,
        r#"{"resource_type":"plugins","resource_id":"","index":0,"error":"unknown plugin [none]"},"#,
        r#"{"resource_type":"routes","error":"routes_conf_version must be a number, got string"},"#,
        r#"{"resource_type":"rotes","resource_id":"","index":0,"error":"Unsupported resource type: rotes"},"#,
        r#"{"resource_type":"credentials","resource_id":"","index":0,"error":"Unsupported resource type: credentials"}]}"#,
    );
    play(&api, &[("POST", "configs/validate", good, 200, "{}"), ("POST", "configs/validate", bad, 400, want)]);
}

//! What may be written and deleted, beside what else.

use crate::{
    flow::{Flow, FlowError, Write},
    plugins::PluginSet,
    snapshot::tests::{Door, Mark},
};
use model::documents::Key;
use plugin::{Shared, describe, describe_auth};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, generate_simple_self_signed};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Expect, Memory};

async fn flow() -> Arc<Flow> {
    let all = vec![describe::<Mark>(), describe_auth::<Door>()];
    let plugins = PluginSet::new(all, None, &Map::new(), model::differences::Compat::default()).unwrap();
    let pair = Pair::new(&PKCS_ECDSA_P256_SHA256);
    let plugins = plugins.with_environment(Arc::new(move |name| match name {
        "CERT" => Some(pair.cert.clone()),
        "KEY" => Some(pair.key.clone()),
        "JUNK" => Some("junk of the environment".to_owned()),
        _ => None,
    }));
    Flow::open(Arc::new(Memory::new()), Arc::new(plugins), Arc::new(Shared::default())).await.unwrap()
}

/// Stores rows, and compares what is said to each; `ok` when it is stored.
async fn play(flow: &Flow, rows: &[(&str, Value, &str)]) {
    for (path, value, want) in rows {
        let key = Key::parse(path).unwrap();
        let write = match value {
            Value::Null => Write::Delete { key, expect: Expect::Any, is_forced: false },
            value => Write::Put { key, value: value.clone(), expect: Expect::Any },
        };
        let said = match flow.write(vec![write]).await {
            Ok(_) => "ok".to_owned(),
            Err(FlowError::Refused(why)) => why,
            Err(other) => panic!("{path} {value}: {other}"),
        };
        assert_eq!(said, *want, "{path} {value}");
    }
}

fn consumer(name: &str, key: &str) -> Value {
    json!({ "username": name, "plugins": { "door": { "key": key } } })
}

#[tokio::test]
async fn a_key_is_one_consumers() {
    let flow = flow().await;
    let credential = |key: &str| json!({ "plugins": { "door": { "key": key } } });
    let jack = "/consumers/jack";
    let (one, two) = ("/consumers/jack/credentials/one", "/consumers/jack/credentials/two");
    play(
        &flow,
        &[
            (jack, consumer("jack", "a"), "ok"),
            (jack, consumer("jack", "a"), "ok"),
            ("/consumers/rose", consumer("rose", "a"), "duplicate key of plugin door found with consumer: jack"),
            (one, credential("a"), "duplicate key of plugin door found with consumer: jack"),
            (one, credential("b"), "ok"),
            (one, credential("b"), "ok"),
            (two, credential("b"), "duplicate key of plugin door found with credential: one of consumer: jack"),
            (
                "/consumers/rose",
                consumer("rose", "b"),
                "duplicate key of plugin door found with credential: one of consumer: jack",
            ),
            // A consumer may have what its own credential has, and giving it up leaves the credential its own.
            (jack, consumer("jack", "b"), "ok"),
            (jack, consumer("jack", "c"), "ok"),
            (
                "/consumers/rose",
                consumer("rose", "b"),
                "duplicate key of plugin door found with credential: one of consumer: jack",
            ),
            (one, Value::Null, "ok"),
            ("/consumers/rose", consumer("rose", "b"), "ok"),
            ("/consumers/nobody/credentials/one", credential("z"), "consumer not found"),
            (two, json!({ "plugins": { "mark": {} } }), "only supports auth type plugins in consumer credential"),
            (two, json!({ "plugins": { "none": {} } }), "invalid plugins configuration: unknown plugin [none]"),
            (
                jack,
                json!({ "username": "jack", "group_id": 7 }),
                "failed to fetch consumer group info by consumer group id [7], response code: 404",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_a_plugin_refers_to_is_kept() {
    let flow = flow().await;
    let upstream = json!({ "nodes": { "10.0.0.1:80": 1 } });
    let plugins = json!({ "mark": { "uses": [{}, { "upstream_id": "u", "proto_id": 7 }] } });
    let proto = json!({ "content": "message M {}" });
    play(
        &flow,
        &[("/upstreams/u", upstream.clone(), "ok"), ("/upstreams/v", upstream, "ok"), ("/protos/7", proto, "ok")],
    )
    .await;
    for (path, value, user) in [
        ("/routes/1", json!({ "uri": "/1", "plugins": plugins }), "route [1]"),
        ("/services/1", json!({ "plugins": plugins }), "service [1]"),
        ("/plugin_configs/1", json!({ "id": "1", "plugins": plugins }), "plugin_config [1]"),
        ("/consumers/jack", json!({ "username": "jack", "plugins": plugins }), "consumer [jack]"),
        ("/consumer_groups/1", json!({ "id": "1", "plugins": plugins }), "consumer_group [1]"),
        ("/global_rules/1", json!({ "id": "1", "plugins": plugins }), "global_rules [1]"),
    ] {
        play(
            &flow,
            &[
                (path, value, "ok"),
                (
                    "/upstreams/u",
                    Value::Null,
                    &format!("can not delete this upstream, plugin in {user} is still using it now"),
                ),
                ("/protos/7", Value::Null, &format!("can not delete this proto, {user} is still using it now")),
                (path, Value::Null, "ok"),
            ],
        )
        .await;
    }
    play(
        &flow,
        &[
            ("/stream_routes/1", json!({ "upstream_id": "u" }), "ok"),
            ("/upstreams/u", Value::Null, "can not delete this upstream, stream_route [1] is still using it now"),
            ("/stream_routes/1", Value::Null, "ok"),
            ("/upstreams/u", Value::Null, "ok"),
            ("/protos/7", Value::Null, "ok"),
        ],
    )
    .await;
}

#[tokio::test]
async fn stream_routes() {
    let flow = flow().await;
    let path = "/stream_routes/1";
    play(
        &flow,
        &[
            (path, json!({ "server_port": 9100, "remote_addr": "::1", "server_addr": "10.0.0.0/8" }), "ok"),
            (
                path,
                json!({ "remote_addr": "10.0.0.0/33" }),
                "invalid configuration: property \"remote_addr\" validation failed: object matches none of the required",
            ),
            (path, json!({ "plugins": { "mark": {} } }), "unknown plugin [mark]"),
            (path, json!({ "protocol": { "name": "redis" } }), "unknown protocol [redis]"),
            (
                path,
                json!({ "service_id": "1" }),
                "failed to fetch service info by service id [1], response code: 404",
            ),
            (path, json!({ "prot": 1 }), "invalid configuration: additional properties forbidden, found prot"),
        ],
    )
    .await;
}

#[tokio::test]
async fn costs_of_fields() {
    let flow = flow().await;
    let path = |id: &str| format!("/services/s/graphql_cost_decorations/{id}");
    let cost = json!({ "field_path": "Query.products" });
    play(
        &flow,
        &[
            (&path("1"), cost.clone(), "service not found"),
            ("/services/s", json!({}), "ok"),
            (&path("1"), cost.clone(), "ok"),
            (&path("1"), cost.clone(), "ok"),
            (&path("2"), cost, "field_path Query.products is already decorated on this service by [1]"),
            (&path("2"), json!({}), "invalid configuration: property \"field_path\" is required"),
        ],
    )
    .await;
}

#[tokio::test]
async fn secret_managers() {
    let flow = flow().await;
    let vault = json!({ "id": "vault/1", "uri": "http://a", "prefix": "p", "token": "t" });
    let misspelt = json!({ "uri": "http://a", "prefix": "p", "token": "t", "namspace": "n" });
    let said = "invalid configuration: unknown field \"namspace\" at /namspace, did you mean \"namespace\"?";
    play(
        &flow,
        &[
            ("/secrets/vault/1", vault, "ok"),
            ("/secrets/vault/1", misspelt, said),
            ("/secrets/vault/1", json!({}), "invalid configuration: property \"uri\" is required"),
            ("/secrets/aws/1", json!({ "access_key_id": "a", "secret_access_key": "$env://KEY" }), "ok"),
            (
                "/secrets/gcp/1",
                json!({}),
                "invalid configuration: value should match only one schema, but matches none",
            ),
            ("/secrets/gcp/1", json!({ "auth_file": "/a" }), "ok"),
        ],
    )
    .await;
}

struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
        Self { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }
}

fn ssl(cert: &str, key: &str) -> Value {
    json!({ "sni": "a.test", "cert": cert, "key": key })
}

#[tokio::test]
async fn certificates_and_their_keys() {
    let flow = flow().await;
    let (p256, p384, ed25519) =
        (Pair::new(&PKCS_ECDSA_P256_SHA256), Pair::new(&PKCS_ECDSA_P384_SHA384), Pair::new(&PKCS_ED25519));
    let (rsa, sec1) = (RSA, SEC1);
    let with = |mut ssl: Value, more: Value| {
        for (name, value) in more.as_object().unwrap() {
            ssl[name] = value.clone();
        }
        ssl
    };
    let good = ssl(&p256.cert, &p256.key);
    let (no_cert, no_key) = (
        "failed to parse cert: PEM_read_bio_X509_AUX() failed",
        "failed to parse key: PEM_read_bio_PrivateKey() failed",
    );
    let broken = p256.cert.replace('M', "A");
    let chain = format!("{}{}", p256.cert, p384.cert);
    let chain_broken = format!("{}{broken}", p256.cert);
    let short_rsa = format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", "MAAA\n".repeat(30));
    let path = "/ssls/1";
    play(
        &flow,
        &[
            (path, good.clone(), "ok"),
            (path, ssl(&p384.cert, &p384.key), "ok"),
            (path, ssl(&ed25519.cert, &ed25519.key), "ok"),
            (path, ssl(rsa.0, rsa.1), "ok"),
            (path, ssl(sec1.0, sec1.1), "ok"),
            (path, ssl(&chain, &p256.key), "ok"),
            (path, ssl(&p256.cert, &p384.key), "the private key does not belong to the certificate"),
            (path, ssl(rsa.0, &p256.key), "the private key does not belong to the certificate"),
            (path, ssl(&"c".repeat(200), &p256.key), no_cert),
            (path, ssl(&p256.key, &p256.key), no_cert),
            (path, ssl(&broken, &p256.key), no_cert),
            (path, ssl(&chain_broken, &p256.key), no_cert),
            (path, ssl(&p256.cert, &p256.cert), no_key),
            (path, ssl(&p256.cert, &"k".repeat(200)), "failed to decrypt previous encrypted key"),
            (
                path,
                ssl(&p256.cert, &short_rsa),
                "failed to parse key: it must be an RSA key of 2048 to 8192 bits, an ECDSA key on P-256, P-384 or P-521, \
                 or an Ed25519 key",
            ),
            (
                path,
                with(good.clone(), json!({ "certs": [ed25519.cert], "keys": [] })),
                "mismatched number of certs and keys",
            ),
            (path, with(good.clone(), json!({ "certs": [ed25519.cert], "keys": [ed25519.key] })), "ok"),
            (
                path,
                with(good.clone(), json!({ "certs": [p384.cert, ed25519.cert], "keys": [p384.key, p256.key] })),
                "failed to handle cert-key pair[2]: the private key does not belong to the certificate",
            ),
            (path, with(good.clone(), json!({ "client": { "ca": p384.cert } })), "ok"),
            (
                path,
                with(good.clone(), json!({ "client": { "ca": broken } })),
                &format!("failed to validate client_cert: {no_cert}"),
            ),
            (
                path,
                with(good.clone(), json!({ "type": "client", "sni": "a", "client": { "ca": broken } })),
                "ok",
            ),
            (path, json!({ "cert": p256.cert, "key": p256.key }), "invalid configuration: then clause did not match"),
            // References: what they lead to is checked, and what leads nowhere identifies nobody.
            (path, ssl("$env://CERT", "$ENV://KEY"), "ok"),
            (path, ssl("$env://JUNK", "$env://KEY"), no_cert),
            (path, ssl("$env://CERT", "$env://JUNK"), "failed to decrypt previous encrypted key"),
            (path, ssl("$env://CERT", &p384.key), "the private key does not belong to the certificate"),
            (path, ssl("$env://NONE", &p256.key), "ok"),
            (path, ssl("$secret://vault/1/a/cert", "$secret://vault/1/a/key"), "ok"),
        ],
    )
    .await;
    let patterns = with(good, json!({ "client": { "ca": p256.cert, "skip_mtls_uri_regex": ["("] } }));
    let key = Key::parse(path).unwrap();
    let refused = flow.write(vec![Write::Put { key, value: patterns, expect: Expect::Any }]).await;
    assert!(matches!(refused, Err(FlowError::Refused(why)) if why.contains("skip_mtls_uri_regex")));
}

#[tokio::test]
async fn an_upstream_shows_a_clients_certificate() {
    let flow = flow().await;
    let pair = generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let mut cert = ssl(&pair.cert.pem(), &pair.signing_key.serialize_pem());
    let upstream = json!({ "nodes": { "10.0.0.1:80": 1 }, "tls": { "client_cert_id": "c" } });
    let missing = "failed to fetch ssl info by ssl id [c], response code: 404";
    play(
        &flow,
        &[
            ("/upstreams/u", upstream.clone(), missing),
            ("/services/s", json!({ "upstream": upstream }), missing),
            ("/routes/r", json!({ "uri": "/", "upstream": upstream }), missing),
            ("/ssls/c", cert.clone(), "ok"),
            ("/upstreams/u", upstream.clone(), "failed to fetch ssl info by ssl id [c], wrong ssl type"),
        ],
    )
    .await;
    cert["type"] = json!("client");
    play(&flow, &[("/ssls/c", cert, "ok"), ("/upstreams/u", upstream, "ok")]).await;
}

#[tokio::test]
async fn an_upstreams_own_certificate_is_one() {
    let flow = flow().await;
    let (pair, other) = (Pair::new(&PKCS_ECDSA_P256_SHA256), Pair::new(&PKCS_ECDSA_P384_SHA384));
    let upstream = |cert: &str, key: &str| json!({ "nodes": { "10.0.0.1:80": 1 }, "tls": { "client_cert": cert, "client_key": key } });
    let (path, foreign) = ("/upstreams/u", "the private key does not belong to the certificate");
    let broken = "failed to parse cert: PEM_read_bio_X509_AUX() failed";
    play(
        &flow,
        &[
            (path, upstream(&pair.cert, &pair.key), "ok"),
            (path, upstream(&pair.cert, &other.key), foreign),
            (path, upstream(&"c".repeat(128), &pair.key), broken),
            ("/services/s", json!({ "upstream": upstream(&pair.cert, &other.key) }), foreign),
            (
                "/routes/r",
                json!({ "uri": "/", "upstream": upstream(&pair.cert, &"k".repeat(128)) }),
                "failed to decrypt previous encrypted key",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_first_of_several_mistakes_is_told() {
    let flow = flow().await;
    let none = json!({ "none": {} });
    let (upstream, service) = (
        "failed to fetch upstream info by upstream id [7], response code: 404",
        "failed to fetch service info by service id [7], response code: 404",
    );
    let group = "failed to fetch consumer group info by consumer group id [7], response code: 404";
    let script = "return {} -- none";
    play(
        &flow,
        &[
            // The document, its upstream, what it refers to, its plugins, its expressions and scripts.
            (
                "/routes/1",
                json!({ "uri": "/", "upstream": { "type": "chash", "nodes": {} }, "upstream_id": 7, "plugins": none }),
                "missing key",
            ),
            ("/routes/1", json!({ "uri": "/", "upstream_id": 7, "service_id": 7, "plugins": none }), upstream),
            ("/routes/1", json!({ "uri": "/", "service_id": 7, "plugin_config_id": 7, "plugins": none }), service),
            (
                "/routes/1",
                json!({ "uri": "/", "plugins": none, "vars": [["a"]], "filter_func": "function() end" }),
                "unknown plugin [none]",
            ),
            (
                "/routes/1",
                json!({ "uri": "/", "remote_addr": "$env://CERT", "upstream_id": 7 }),
                "invalid configuration: invalid ip address: $env://CERT",
            ),
            ("/services/1", json!({ "upstream_id": 7, "plugins": none, "script": script }), upstream),
            ("/services/1", json!({ "plugins": none, "script": script }), "unknown plugin [none]"),
            ("/stream_routes/1", json!({ "upstream_id": 7, "plugins": none }), upstream),
            ("/consumers/rose", consumer("rose", "a"), "ok"),
            (
                "/consumers/jack",
                json!({ "username": "jack", "group_id": 7, "plugins": { "door": { "key": "a" } } }),
                "duplicate key of plugin door found with consumer: rose",
            ),
            ("/consumers/jack", json!({ "username": "jack", "group_id": 7 }), group),
            ("/services/s/graphql_cost_decorations/1", json!({}), "service not found"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted() {
    let flow = flow().await;
    let node = json!({ "nodes": { "10.0.0.1:80": 1 } });
    let empty = json!({ "id": "x", "plugins": {} });
    for (path, value) in [
        ("/upstreams/x", node),
        ("/services/x", json!({})),
        ("/plugin_configs/x", empty.clone()),
        ("/consumer_groups/x", empty),
    ] {
        play(&flow, &[(path, value, "ok")]).await;
    }
    for (target, what, user, value) in [
        ("/upstreams/x", "upstream, route [1]", "/routes/1", json!({ "uri": "/", "upstream_id": "x" })),
        ("/upstreams/x", "upstream, service [1]", "/services/1", json!({ "upstream_id": "x" })),
        ("/services/x", "service directly, route [1]", "/routes/1", json!({ "uri": "/", "service_id": "x" })),
        ("/services/x", "service directly, stream_route [1]", "/stream_routes/1", json!({ "service_id": "x" })),
        (
            "/plugin_configs/x",
            "plugin config, route [1]",
            "/routes/1",
            json!({ "uri": "/", "plugins": {}, "plugin_config_id": "x" }),
        ),
        (
            "/consumer_groups/x",
            "consumer group, consumer [jack]",
            "/consumers/jack",
            json!({ "username": "jack", "group_id": "x" }),
        ),
    ] {
        let used = format!("can not delete this {what} is still using it now");
        play(&flow, &[(user, value, "ok"), (target, Value::Null, &used), (user, Value::Null, "ok")]).await;
    }
    for target in ["/upstreams/x", "/services/x", "/plugin_configs/x", "/consumer_groups/x"] {
        play(&flow, &[(target, Value::Null, "ok")]).await;
    }
}

#[tokio::test]
async fn texts_of_single_mistakes() {
    let flow = flow().await;
    let rule = |id: &str, plugins: Value| json!({ "id": id, "plugins": plugins });
    let marked = json!({ "mark": {} });
    play(
        &flow,
        &[
            ("/global_rules/1", rule("1", marked.clone()), "ok"),
            ("/global_rules/1", rule("1", marked.clone()), "ok"),
            ("/global_rules/2", rule("2", marked), "plugin 'mark' already exists in global rule with id '1'"),
            (
                "/routes/1",
                json!({ "uri": "/", "plugins": {}, "plugin_config_id": "x" }),
                "failed to fetch plugin config info by plugin config id [x], response code: 404",
            ),
            (
                "/routes/1",
                json!({ "uri": "/", "plugins": {}, "vars": [["a", "??", 1]] }),
                "failed to validate the 'vars' expression: invalid operator '??'",
            ),
            (
                "/routes/1",
                json!({ "uri": "/", "plugins": {}, "filter_func": "function() end" }),
                "failed to load 'filter_func' string: this version has no Lua",
            ),
            (
                "/routes/1",
                json!({ "uri": "/", "script": "return {} -- none" }),
                "failed to load 'script' string: this version has no Lua",
            ),
            (
                "/services/1",
                json!({ "script": "return {} -- none" }),
                "failed to load 'script' string: this version has no Lua",
            ),
        ],
    )
    .await;
    let key = Key::parse("/protos/1").unwrap();
    let proto = Write::Put { key, value: json!({ "id": "1", "content": "message {" }), expect: Expect::Any };
    let refused = flow.write(vec![proto]).await;
    assert!(matches!(&refused, Err(FlowError::Refused(why)) if why.starts_with("invalid content: ")), "{refused:?}");
}

/// Made with openssl, whose older forms rcgen does not write: an RSA key in PKCS #1, and an ECDSA key in SEC 1.
const RSA: (&str, &str) = (include_str!("certs/rsa.crt"), include_str!("certs/rsa.key"));
const SEC1: (&str, &str) = (include_str!("certs/sec1.crt"), include_str!("certs/sec1.key"));

/// Lua's tables are lists and mappings at once.
#[tokio::test]
async fn an_empty_list_is_an_empty_configuration() {
    let flow = flow().await;
    let route = |conf: Value| json!({ "uri": "/", "plugins": { "mark": conf }, "upstream": { "nodes": { "a:1": 1 } } });
    play(
        &flow,
        &[
            ("/routes/1", route(json!([])), "ok"),
            ("/routes/2", route(json!([1])), "invalid plugin conf [1] for plugin [mark]"),
            ("/routes/3", route(json!("x")), "invalid plugin conf \"x\" for plugin [mark]"),
        ],
    )
    .await;
    assert_eq!(flow.snapshot().problems(), []);
}

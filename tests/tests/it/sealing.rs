//! Secrets at rest.

use e2e::{Gateway, PATIENCE, Upstream, route_to};
use serde_json::{Value, json};
use std::time::Instant;

fn holds(gateway: &Gateway, text: &str) -> bool {
    let bytes = std::fs::read(gateway.dir.path().join("data/store.redb")).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn alice(key: &str) -> Value {
    json!({ "username": "alice", "plugins": { "key-auth": { "key": key } } })
}

#[test]
fn fields_are_sealed_unless_that_is_switched_off() {
    const KEY: &str = "the-key-of-alice-0123456789";
    for is_enabled in [true, false] {
        let upstream = Upstream::hello();
        let settings = json!({ "apisix": { "data_encryption": { "enable_encrypt_fields": is_enabled } } });
        let gateway = Gateway::start(settings);
        gateway.put("consumers", &alice(KEY));
        let mut route = route_to(upstream.addr);
        route["plugins"] = json!({ "key-auth": {} });
        gateway.put("routes/all", &route);
        assert_eq!(holds(&gateway, KEY), !is_enabled, "enabled: {is_enabled}");
        // The Admin API shows what was written, and the key works, either way.
        let (_, shown) = gateway.admin("GET", "consumers/alice", &Value::Null);
        assert_eq!(shown["value"]["plugins"]["key-auth"]["key"], KEY);
        let ask = |key: &str| gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\napikey: {key}\r\n\r\n"));
        assert_eq!((ask(KEY).status(), ask("other").status()), (200, 401), "enabled: {is_enabled}");
    }
}

#[test]
fn a_private_key_is_sealed_always() {
    let tls = json!({ "client_cert": CERT, "client_key": CERT_KEY });
    let settings = json!({ "apisix": { "data_encryption": { "enable_encrypt_fields": false } } });
    let gateway = Gateway::start(settings);
    let upstream = json!({ "nodes": { "127.0.0.1:1": 1 }, "tls": tls });
    gateway.put("upstreams/1", &upstream);
    gateway.put("services/1", &json!({ "upstream": upstream }));
    gateway.put("routes/1", &json!({ "uri": "/", "upstream": upstream }));
    let manager = json!({ "uri": "http://127.0.0.1:1", "prefix": "p", "token": "not-for-anybody" });
    gateway.put("secrets/vault/1", &manager);
    let mut certificate = json!({ "sni": "a.test", "cert": CERT, "key": CERT_KEY });
    certificate["certs"] = json!([CERT]);
    certificate["keys"] = json!([CERT_KEY]);
    gateway.put("ssls/1", &certificate);
    assert!(holds(&gateway, "/upstreams/1") && holds(&gateway, "/secrets/vault/1") && holds(&gateway, "/ssls/1"));
    let line = CERT_KEY.lines().nth(1).unwrap();
    assert!(!holds(&gateway, "not-for-anybody") && !holds(&gateway, line));
    let (_, shown) = gateway.admin("GET", "ssls", &Value::Null);
    assert!(shown.to_string().contains("a.test") && !shown.to_string().contains(line), "{shown}");
}

const CERT: &str = include_str!("../../../crates/gateway/src/check/certs/rsa.crt");
const CERT_KEY: &str = include_str!("../../../crates/gateway/src/check/certs/rsa.key");

#[test]
fn a_lost_key_keeps_the_gateway_from_starting() {
    let mut gateway = Gateway::start(json!({}));
    gateway.put("consumers", &alice("the-key-of-alice"));
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    let path = gateway.dir.path().join("data/seal.key");
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut child = gateway.spawn();
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until || child.kill().is_err(), "it runs without its key");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let said = gateway.file("stderr");
    assert_eq!(status.code(), Some(1), "{said}");
    let line = said.lines().last().unwrap_or_default();
    assert!(line.contains("seal.key is missing") && line.contains("/consumers/alice"), "{said}");
    assert!(!path.exists(), "a key was made");
    // With the key all is as it was.
    std::fs::write(&path, kept).unwrap();
    gateway.run();
    let (_, shown) = gateway.admin("GET", "consumers/alice", &Value::Null);
    assert_eq!(shown["value"]["plugins"]["key-auth"]["key"], "the-key-of-alice");
}

#[test]
fn what_apisix_sealed_is_opened_with_its_keyring() {
    // "secret", sealed by APISIX with the first key that it publishes, and with one of somebody's own.
    const PUBLISHED: &str = "3KxZfy/YIZ/ejJTEIbS09g==";
    const OWN: &str = "J/HncGZmWuXdJksQnF7dkg==";
    let ring = json!(["fedcba9876543210", "0123456789abcdef0123456789abcdef"]);
    for (stored, keyring, key) in [
        (PUBLISHED, Value::Null, "secret"),
        (OWN, ring.clone(), "secret"),
        (PUBLISHED, ring, PUBLISHED),
        (OWN, Value::Null, OWN),
    ] {
        // Stored as it is, for nothing is sealed here.
        let mut gateway =
            Gateway::start(json!({ "apisix": { "data_encryption": { "enable_encrypt_fields": false } } }));
        gateway.put("consumers", &alice(stored));
        assert!(holds(&gateway, stored));
        gateway.signal("TERM");
        assert_eq!(gateway.wait().code(), Some(0));
        let mut config: Value = serde_json::from_str(&gateway.file("config.yaml")).unwrap();
        config["apisix"]["data_encryption"] = json!({ "enable_encrypt_fields": true, "keyring": keyring });
        std::fs::write(gateway.dir.path().join("config.yaml"), config.to_string()).unwrap();
        gateway.run();
        let (_, shown) = gateway.admin("GET", "consumers/alice", &Value::Null);
        assert_eq!(shown["value"]["plugins"]["key-auth"]["key"], key, "{stored} with {keyring}");
    }
}

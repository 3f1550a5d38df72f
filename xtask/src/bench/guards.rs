//! Plugins that limit, restrict and validate, each on a route of its own, against nginx that passes the same request on.

use super::admin::Client;
use anyhow::Result;
use serde_json::{Value, json};

/// A protection that is measured.
pub(super) struct Guard {
    pub(super) name: &'static str,
    /// Where its requests go, on every contender.
    pub(super) path: &'static str,
    /// Whether they bring [`BODY`].
    pub(super) is_post: bool,
    /// The most that it may cost, as a part of nginx's bare proxying.
    pub(super) target: f64,
    plugins: fn() -> Value,
}

/// A JSON object of twenty members in 300 bytes, which [`schema`] is about.
pub(super) const BODY: &str = r#"{"id":1234567,"name":"Ada Lovelace","mail":"ada@example.com","age":36,"city":"London","zip":"NW1 4SA","score":98.5,"active":true,"role":"admin","level":7,"tags":["a","b"],"note":"first","lang":"en","unit":"kg","size":12,"weight":3.25,"count":42,"flag":false,"code":"AB-1234","kind":"person"}"#;

/// Every protection, in the order of the report.
pub(super) const ALL: [Guard; 6] = [
    Guard { name: "limit-count", path: "/r/limit-count", is_post: false, target: 1.05, plugins: limit_count },
    Guard { name: "limit-req", path: "/r/limit-req", is_post: false, target: 1.05, plugins: limit_req },
    Guard { name: "limit-conn", path: "/r/limit-conn", is_post: false, target: 1.05, plugins: limit_conn },
    Guard { name: "restrictions", path: "/r/restrictions", is_post: false, target: 1.15, plugins: restrictions },
    Guard { name: "validated", path: "/post/validated", is_post: true, target: 1.20, plugins: validated },
    Guard { name: "openapi-300", path: "/post/openapi", is_post: true, target: 1.25, plugins: openapi },
];

impl Guard {
    /// Puts its route.
    pub(super) fn put(&self, admin: &super::admin::Admin, upstream: u16) -> Result<()> {
        let route = json!({
            "uri": self.path,
            "plugins": (self.plugins)(),
            "upstream": { "type": "roundrobin", "nodes": { format!("127.0.0.1:{upstream}"): 1 } },
        });
        admin.put(&format!("routes/{}", self.name), &route.to_string())
    }

    /// Whether it does what it is measured for: a request that it has to refuse is refused.
    pub(super) fn is_on(&self, port: u16) -> Result<bool> {
        Ok(match self.name {
            "restrictions" => Client::connect(port)?.get(self.path, Some("Referer: http://evil.example/"))? == 403,
            "validated" | "openapi-300" => Client::connect(port)?.post(self.path, r#"{"id":"text"}"#)? == 400,
            // What they would refuse cannot be reached; that they count is in their headers and tests.
            _ => true,
        })
    }
}

fn limit_count() -> Value {
    json!({ "limit-count": { "count": 1_000_000_000_000_u64, "time_window": 86400, "key": "remote_addr", "policy": "local" } })
}

fn limit_req() -> Value {
    json!({ "limit-req": { "rate": 1e9, "burst": 1e6, "key": "remote_addr", "nodelay": true } })
}

fn limit_conn() -> Value {
    json!({ "limit-conn": { "conn": 100_000, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr" } })
}

fn restrictions() -> Value {
    // 100,000 addresses in a text that the Admin API takes.
    let addresses: Vec<String> =
        (0..100_000u32).map(|n| format!("11.{}.{}.{}", n >> 14, n >> 7 & 127, n & 127)).collect();
    let rules: Vec<String> = (0..20).map(|n| format!("/attack-{n}/.*\\.php|\\.\\./{n}")).collect();
    json!({
        "ip-restriction": { "blacklist": addresses },
        "ua-restriction": { "denylist": ["sqlmap", "(?i)nikto", "^$"], "bypass_missing": true },
        "referer-restriction": { "blacklist": ["evil.example", "*.evil.example"], "bypass_missing": true },
        "uri-blocker": { "block_rules": rules },
        "cors": { "allow_origins": "https://app.example.com" },
    })
}

fn schema() -> Value {
    let text = |most: u32| json!({ "type": "string", "maxLength": most });
    json!({
        "type": "object",
        "required": ["id", "name", "mail", "kind"],
        "properties": {
            "id": { "type": "integer", "minimum": 1 }, "name": text(100), "mail": { "type": "string", "pattern": "^[^@]+@[^@]+$" },
            "age": { "type": "integer", "minimum": 0, "maximum": 200 }, "city": text(100), "zip": text(10),
            "score": { "type": "number", "maximum": 100 }, "active": { "type": "boolean" },
            "role": { "enum": ["admin", "user", "guest"] }, "level": { "type": "integer" },
            "tags": { "type": "array", "maxItems": 10, "items": text(20) }, "note": text(200), "lang": text(5), "unit": text(5),
            "size": { "type": "integer" }, "weight": { "type": "number" }, "count": { "type": "integer" },
            "flag": { "type": "boolean" }, "code": { "type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$" }, "kind": text(20),
        },
        "additionalProperties": false,
    })
}

fn validated() -> Value {
    json!({ "request-validation": { "body_schema": schema() } })
}

fn openapi() -> Value {
    let operation = || {
        json!({ "post": {
            "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Person" } } } },
            "responses": { "200": { "description": "ok" } },
        } })
    };
    let mut paths: serde_json::Map<String, Value> = (0..299)
        .map(|n| {
            (
                format!("/things/{{id}}/{n}"),
                json!({
                    "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } }],
                    "get": { "responses": { "200": { "description": "ok" } } },
                }),
            )
        })
        .collect();
    paths.insert("/post/openapi".to_owned(), operation());
    let spec = json!({
        "openapi": "3.0.3", "info": { "title": "bench", "version": "1" }, "paths": paths,
        "components": { "schemas": { "Person": schema() } },
    });
    json!({ "oas-validator": { "spec": spec.to_string() } })
}

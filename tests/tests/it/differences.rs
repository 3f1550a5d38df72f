//! Both sides of every switch of the whole gateway; those of single plugins are among their cases.

use e2e::{
    Client, Gateway, KEY, Upstream, route_to,
    tls::{Nginx, self_signed},
};
use model::{
    differences::{DIFFERENCES, DifferenceId},
    settings::Settings,
};
use serde_json::{Value, json};
use std::net::TcpStream;

const EXAMPLE_KEY: &str = "edd1c9f034335f136f87ad84b625c8f1";

#[test]
fn each_switch_has_two_sides() {
    for difference in DIFFERENCES.iter().filter(|d| d.is_switchable && d.plugin.is_none()) {
        let (safe, like_apisix) = sides(difference.id);
        assert_ne!(safe, like_apisix);
        for (is_like_apisix, expected) in [(false, safe), (true, like_apisix)] {
            let compat = json!({ difference.name: is_like_apisix });
            assert_eq!(probe(difference.id, &compat), expected, "{} like APISIX: {is_like_apisix}", difference.name);
        }
    }
}

#[test]
fn the_profile_switches_all() {
    let (upstream, gateway) = started(&json!({ "portcullis": { "profile": "apisix" } }));
    let answer = gateway.client().ask("GET /a%2fb HTTP/1.1\r\nHost: a\r\nX-Consumer-Username: root\r\n\r\n");
    assert_eq!((answer.status(), answer.get("server")), (200, Some("APISIX/3.18.0")));
    assert_eq!(upstream.requests()[0].get("x-consumer-username"), Some("root"));
}

/// What [`probe`] finds with the safe behaviour, and with APISIX's.
fn sides(id: DifferenceId) -> (&'static str, &'static str) {
    match id {
        DifferenceId::AdminListen => ("refused", "connected"),
        DifferenceId::AdminKeyInQuery => ("401", "200"),
        DifferenceId::ExampleAdminKey => ("ended with 1", "runs"),
        DifferenceId::AdminCors => ("none", "*"),
        DifferenceId::UnknownPluginField | DifferenceId::SchemaDialect => ("400", "200"),
        DifferenceId::RequestBodyCap => ("413", "100"),
        DifferenceId::SlowClients => ("15s, 300s", "60s, none"),
        DifferenceId::AmbiguousPath | DifferenceId::RawUtf8Target => ("400", "200"),
        DifferenceId::IdentityHeaders => ("none", "root"),
        DifferenceId::AmbiguousFile => ("404", "200"),
        DifferenceId::ServerHeader => ("portcullis", "APISIX/3.18.0"),
        DifferenceId::RetryAfter => ("60", "none"),
        DifferenceId::UpstreamCertificates => ("502", "200"),
        other => panic!("{}: both sides of the switch have to be tried", other.as_str()),
    }
}

fn started(extra: &Value) -> (Upstream, Gateway) {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(extra.clone());
    gateway.put("routes/all", &route_to(upstream.addr));
    (upstream, gateway)
}

fn probe(id: DifferenceId, compat: &Value) -> String {
    if id == DifferenceId::SlowClients {
        // Nobody waits for a minute: what the settings come to is tried here, and elsewhere that they hold.
        let text = json!({ "portcullis": { "compat": compat } }).to_string();
        let limits = Settings::parse(Some(&text), &|_| None).unwrap().0.limits;
        let body = limits.body_timeout.map_or_else(|| "none".to_owned(), |time| format!("{time:?}"));
        return format!("{:?}, {body}", limits.head_timeout);
    }
    if id == DifferenceId::AmbiguousFile {
        let upstream = Upstream::hello();
        let node = json!({ "nodes": { upstream.addr.to_string(): 1 } });
        let file =
            json!({ "unknown": [], "routes": [{ "id": 1, "uri": "/b" }, { "id": 1, "uri": "/a", "upstream": node }] });
        let settings = json!({
            "portcullis": { "compat": compat },
            "deployment": { "role": "data_plane", "role_data_plane": { "config_provider": "json" } },
        });
        let gateway = Gateway::start_with(&[], &[("apisix.json", &file.to_string())], settings);
        return gateway.get("/a").status().to_string();
    }
    let (upstream, mut gateway) = started(&json!({
        "portcullis": { "compat": compat },
        // Without an address of its own.
        "deployment": { "admin": { "admin_listen": { "ip": null } } },
    }));
    let ask =
        |fields: &str, target: &str| gateway.client().ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let admin = |fields: &str, query: &str| {
        Client::connect(gateway.admin)
            .ask(format!("GET /apisix/admin/routes{query} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    };
    match id {
        DifferenceId::AdminListen => {
            let other = TcpStream::connect(("127.0.0.2", gateway.admin.port()));
            other.map_or("refused", |_| "connected").to_owned()
        }
        DifferenceId::AdminKeyInQuery => admin("", &format!("?api_key={KEY}")).status().to_string(),
        DifferenceId::ExampleAdminKey => {
            gateway.kill();
            let config = gateway.dir.path().join("config.yaml");
            std::fs::write(&config, gateway.file("config.yaml").replace(KEY, EXAMPLE_KEY)).unwrap();
            match gateway.try_run() {
                Ok(()) => "runs".to_owned(),
                Err(status) => format!("ended with {}", status.code().unwrap_or(-1)),
            }
        }
        DifferenceId::AdminCors => {
            let answer = admin(&format!("X-API-KEY: {KEY}\r\n"), "");
            answer.get("access-control-allow-origin").unwrap_or("none").to_owned()
        }
        DifferenceId::UnknownPluginField => {
            let mut route = route_to(upstream.addr);
            route["plugins"] = json!({ "key-auth": { "nonsense": true } });
            gateway.admin("PUT", "routes/all", &route).0.to_string()
        }
        DifferenceId::SchemaDialect => {
            let mut route = route_to(upstream.addr);
            route["plugins"] = json!({ "request-validation": { "body_schema": { "misspelt": true } } });
            gateway.admin("PUT", "routes/all", &route).0.to_string()
        }
        DifferenceId::RequestBodyCap => {
            let mut client = gateway.client();
            client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 67108865\r\n\r\n");
            client.head().unwrap().status().to_string()
        }
        DifferenceId::RetryAfter => {
            let mut route = route_to(upstream.addr);
            route["plugins"] = json!({ "limit-count": { "count": 1, "time_window": 60 } });
            gateway.put("routes/all", &route);
            assert_eq!(ask("", "/").status(), 200);
            ask("", "/").get("retry-after").unwrap_or("none").to_owned()
        }
        DifferenceId::UpstreamCertificates => {
            let mut nginx = Nginx::new();
            let node = nginx.server(&self_signed(&["a"]), "").to_string();
            nginx.run();
            gateway.put("routes/all", &json!({ "uri": "/*", "upstream": { "scheme": "https", "nodes": { node: 1 } } }));
            ask("", "/").status().to_string()
        }
        DifferenceId::AmbiguousPath => ask("", "/a%2fb").status().to_string(),
        DifferenceId::RawUtf8Target => ask("", "/\u{e9}").status().to_string(),
        DifferenceId::IdentityHeaders => {
            ask("X-Consumer-Username: root\r\n", "/");
            upstream.requests().pop().unwrap().get("x-consumer-username").unwrap_or("none").to_owned()
        }
        DifferenceId::ServerHeader => ask("", "/").get("server").unwrap_or("none").to_owned(),
        other => panic!("{}: nobody knows how to try it", other.as_str()),
    }
}

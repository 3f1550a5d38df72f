//! Upstreams over TLS: nginx and OpenSSL as they are, and servers that are not what they should be.

use e2e::{
    Client, Gateway, Message, Upstream, free_port,
    tls::{Authority, Nginx, OpensslServer, Pair, self_signed},
    wait_for,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
};

/// A name that the certificates of the servers here are for; clients ask for it, and it is passed on.
const NAME: &str = "shop.example";

/// Trusts this authority and has one worker, so that connections are kept in one place.
fn start(authority: &Authority, extra: &Value) -> Gateway {
    let mut settings = json!({
        "apisix": { "ssl": { "ssl_trusted_certificate": "authority.pem" } },
        "portcullis": { "workers": 1 },
    });
    for (name, value) in extra.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    Gateway::start_with(&[], &[("authority.pem", &authority.pem())], settings)
}

fn https(addr: SocketAddr, tls: &Value) -> Value {
    let mut upstream = json!({ "scheme": "https", "nodes": { addr.to_string(): 1 } });
    if !tls.is_null() {
        upstream["tls"] = tls.clone();
    }
    upstream
}

fn put(gateway: &Gateway, upstream: &Value) {
    gateway.put("routes/1", &json!({ "uri": "/*", "enable_websocket": true, "upstream": upstream }));
}

fn ask(gateway: &Gateway, host: &str) -> Message {
    gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

fn shown(pair: &Pair) -> Value {
    json!({ "client_cert": pair.cert, "client_key": pair.key })
}

/// Which servers are believed, and why the others are not.
#[test]
fn whom_to_believe() {
    let (authority, other) = (Authority::new("trusted"), Authority::new("other"));
    let mut nginx = Nginx::new();
    let good = authority.sign(&[NAME]);
    let rows = [
        ("good", nginx.server(&good, ""), 200, ""),
        ("good, by TLS 1.2", nginx.server(&good, "ssl_protocols TLSv1.2;"), 200, ""),
        ("for another name", nginx.server(&authority.sign(&["else.example"]), ""), 502, "not valid for name"),
        ("expired", nginx.server(&authority.sign_expired(&[NAME]), ""), 502, "expired"),
        ("self-signed", nginx.server(&self_signed(&[NAME]), ""), 502, "signed by nobody who is trusted"),
        ("by another authority", nginx.server(&other.sign(&[NAME]), ""), 502, "signed by nobody who is trusted"),
    ];
    nginx.run();
    let gateway = start(&authority, &json!({}));
    let log = |part: &str| wait_for(part, || gateway.file("error.log").contains(part).then_some(()));
    for (desc, addr, status, part) in &rows {
        put(&gateway, &https(*addr, &Value::Null));
        assert_eq!(ask(&gateway, NAME).status(), *status, "{desc}");
        log(part);
        put(&gateway, &https(*addr, &json!({ "verify": true })));
        assert_eq!(ask(&gateway, NAME).status(), *status, "{desc}, verified on purpose");
        put(&gateway, &https(*addr, &json!({ "verify": false })));
        assert_eq!(ask(&gateway, NAME).status(), 200, "{desc}, not verified");
    }
    // A certificate for the client is no word about verification.
    put(&gateway, &https(rows[4].1, &shown(&authority.sign(&["client"]))));
    assert_eq!(ask(&gateway, NAME).status(), 502);
    // Whoever asks by a name that it is not for does not get there.
    put(&gateway, &https(rows[0].1, &Value::Null));
    assert_eq!(ask(&gateway, "else.example").status(), 502);
}

/// What is no TLS, or not the TLS that it should be.
#[test]
fn servers_that_are_not_what_they_should_be() {
    let authority = Authority::new("trusted");
    let pair = authority.sign(&[NAME]);
    let plain = Upstream::start(|conn| {
        conn.client.raw(1);
        conn.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let old = OpensslServer::start(&pair, &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    let strict = OpensslServer::start(&pair, &["-Verify", "1"]);
    // It lets itself be connected to, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = start(&authority, &json!({}));
    for (desc, addr, status, part) in [
        ("in plain text", plain.addr, 502, "does not speak TLS on this port"),
        ("TLS 1.0 only", old.addr, 502, "no TLS with"),
        ("demands a certificate", strict.addr, 502, "an attempt to reach the upstream failed"),
        ("hangs in the handshake", silent.local_addr().unwrap(), 504, "did not accept the connection in time"),
        ("nobody", ([127, 0, 0, 1], free_port()).into(), 502, "Connection refused"),
    ] {
        let mut upstream = https(addr, &json!({ "verify": false }));
        upstream["timeout"] = json!({ "connect": 0.3, "send": 5, "read": 5 });
        put(&gateway, &upstream);
        assert_eq!(ask(&gateway, NAME).status(), status, "{desc}");
        wait_for(part, || gateway.file("error.log").contains(part).then_some(()));
    }
    let received = plain.received();
    assert!(!received.is_empty() && !received.windows(4).any(|bytes| bytes == b"GET "), "a request in plain text");
}

/// The name that servers are asked for is the `Host` that they see, without a port, and never an address.
#[test]
fn the_name_is_the_host() {
    let authority = Authority::new("trusted");
    let mut nginx = Nginx::new();
    let addr = nginx.server(&authority.sign(&[NAME, "localhost", "rewritten.example", "127.0.0.1"]), "");
    nginx.run();
    let gateway = start(&authority, &json!({}));
    let local = format!("localhost:{}", addr.port());
    for (desc, node, fields, host, expected) in [
        ("passed on", addr.to_string(), json!({}), NAME, Some(NAME)),
        ("passed on, with a port", addr.to_string(), json!({}), "shop.example:8080", Some(NAME)),
        ("passed on, an address", addr.to_string(), json!({}), "127.0.0.1", None),
        ("the node's", local.clone(), json!({ "pass_host": "node" }), "a.example", Some("localhost")),
        ("the node's, an address", addr.to_string(), json!({ "pass_host": "node" }), "a.example", None),
        (
            "rewritten",
            local,
            json!({ "pass_host": "rewrite", "upstream_host": "rewritten.example" }),
            "a.example",
            Some("rewritten.example"),
        ),
    ] {
        let mut upstream = json!({ "scheme": "https", "nodes": { node: 1 } });
        for (name, value) in fields.as_object().unwrap() {
            upstream[name] = value.clone();
        }
        put(&gateway, &upstream);
        let answer = ask(&gateway, host);
        // nginx leaves fields out that have no value.
        assert_eq!((answer.status(), answer.get("x-name")), (200, expected), "{desc}");
        assert_eq!(answer.get("x-alpn"), Some("http/1.1"), "{desc}");
    }
    let rewrite = json!({ "proxy-rewrite": { "host": "rewritten.example" } });
    gateway.put("routes/1", &json!({ "uri": "/*", "plugins": rewrite, "upstream": https(addr, &Value::Null) }));
    assert_eq!(ask(&gateway, "a.example").get("x-name"), Some("rewritten.example"));
}

/// Connections are kept, and never used for somebody else.
#[test]
fn connections_belong_to_who_made_them() {
    let authority = Authority::new("trusted");
    let mut nginx = Nginx::new();
    let demand = nginx.demanding(&authority).replace(" on;", " optional;");
    let addr = nginx.server(&authority.sign(&[NAME, "else.example"]), &demand);
    nginx.run();
    let gateway = start(&authority, &json!({}));
    let (one, two) = (authority.sign(&["one"]), authority.sign(&["two"]));
    let mut unverified = shown(&one);
    unverified["verify"] = false.into();
    for (id, tls) in [("one", shown(&one)), ("two", shown(&two)), ("nobody", Value::Null), ("careless", unverified)] {
        gateway.put(&format!("routes/{id}"), &json!({ "uri": format!("/{id}"), "upstream": https(addr, &tls) }));
    }
    let mut client = gateway.client();
    let mut ask = |path: &str, host: &str| {
        let answer = client.ask(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status(), 200, "{path} {host}");
        let connection: u64 = answer.get("x-connection").unwrap().parse().unwrap();
        (connection, answer.get("x-client").unwrap_or_default().to_owned(), answer.get("x-name").unwrap().to_owned())
    };
    let rows = [
        ("one", NAME, "CN=one"),
        ("two", NAME, "CN=two"),
        ("nobody", NAME, ""),
        ("careless", NAME, "CN=one"),
        ("one", "else.example", "CN=one"),
    ];
    let first: Vec<_> = rows.iter().map(|(path, host, _)| ask(path, host)).collect();
    for (index, (_, host, client)) in rows.iter().enumerate() {
        assert_eq!((&*first[index].1, &*first[index].2), (*client, *host));
        assert!(first[..index].iter().all(|other| other.0 != first[index].0), "{first:?}");
    }
    for _ in 0..3 {
        let again: Vec<_> = rows.iter().map(|(path, host, _)| ask(path, host)).collect();
        assert_eq!(again, first);
    }
    // What changes around the connections leaves them in use.
    gateway.put("routes/one", &json!({ "uri": "/one", "desc": "changed", "upstream": https(addr, &shown(&one)) }));
    assert_eq!(ask("one", NAME), first[0]);
}

/// A session that was there is gone on with, and a connection that its server has closed is replaced.
#[test]
fn sessions_are_resumed() {
    let authority = Authority::new("trusted");
    let mut nginx = Nginx::new();
    let pair = authority.sign(&[NAME]);
    let servers = ["TLSv1.2", "TLSv1.3"]
        .map(|version| nginx.server(&pair, &format!("ssl_protocols {version}; keepalive_requests 1;")));
    nginx.run();
    let gateway = start(&authority, &json!({}));
    for addr in servers {
        put(&gateway, &https(addr, &Value::Null));
        assert_eq!(ask(&gateway, NAME).get("x-resumed"), Some("."));
        for _ in 0..3 {
            assert_eq!(ask(&gateway, NAME).get("x-resumed"), Some("r"));
        }
    }
}

#[test]
fn connections_that_their_server_has_closed_are_replaced() {
    let authority = Authority::new("trusted");
    let mut nginx = Nginx::new();
    let addr = nginx.server(&authority.sign(&[NAME]), "keepalive_timeout 50ms;");
    nginx.run();
    let gateway = start(&authority, &json!({}));
    put(&gateway, &https(addr, &Value::Null));
    let mut connections = std::collections::BTreeSet::new();
    wait_for("three connections", || {
        let answer = ask(&gateway, NAME);
        assert_eq!(answer.status(), 200);
        connections.insert(answer.get("x-connection").unwrap().to_owned());
        (connections.len() == 3).then_some(())
    });
}

/// What is behind nginx here sees and says everything; nginx adds TLS.
fn behind_tls(authority: &Authority, upstream: &Upstream) -> (Nginx, SocketAddr) {
    let mut nginx = Nginx::new();
    let location = format!(
        "location /behind {{
            proxy_pass http://{};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
        }}
        chunked_transfer_encoding off;",
        upstream.addr
    );
    let addr = nginx.server(&authority.sign(&[NAME]), &location);
    nginx.run();
    (nginx, addr)
}

#[test]
fn long_bodies_in_both_directions() {
    let upstream = Upstream::start(|conn| {
        while let Some(request) = conn.request() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
            if !conn.send([head.as_bytes(), &request.body].concat()) {
                return;
            }
        }
    });
    let authority = Authority::new("trusted");
    let (_nginx, addr) = behind_tls(&authority, &upstream);
    let gateway = start(&authority, &json!({}));
    put(&gateway, &https(addr, &Value::Null));
    let body: Vec<u8> = (0..1_200_000u32).map(|n| (n % 251) as u8).collect();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send(format!("POST /behind HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {}\r\n\r\n", body.len()));
        let sender = client.stream.try_clone().unwrap();
        let sent = body.clone();
        let sending = std::thread::spawn(move || (&sender).write_all(&sent).unwrap());
        let answer = client.response().unwrap();
        sending.join().unwrap();
        assert!(answer.status() == 200 && answer.body == body, "{} {}", answer.status(), answer.body.len());
    }
}

/// An answer whose end is that of the connection is whole only if the server has said so.
#[test]
fn an_end_that_nobody_has_announced_breaks_the_answer_off() {
    let authority = Authority::new("trusted");
    let gateway = start(&authority, &json!({}));
    let upstream = Upstream::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole");
    });
    let (_nginx, addr) = behind_tls(&authority, &upstream);
    put(&gateway, &https(addr, &Value::Null));
    let mut client = gateway.client();
    let answer = client.ask(format!("GET /behind HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    assert_eq!((answer.status(), &*answer.text(), answer.is_complete), (200, "whole", true));

    let mut server = OpensslServer::start(&authority.sign(&[NAME]), &[]);
    put(&gateway, &https(server.addr, &Value::Null));
    let mut client = gateway.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    // It goes to the one connection, once that is there.
    let mut input = server.input.take().unwrap();
    input.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf\n").unwrap();
    let mut answer = client.head().unwrap();
    assert_eq!(answer.status(), 200);
    server.kill();
    client.body(&mut answer, true);
    assert!(!answer.is_complete, "a truncated answer was passed on as a whole one: {answer:?}");
}

#[test]
fn tunnels_over_tls() {
    let upstream = Upstream::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst");
        let got = conn.client.raw(5);
        conn.send(got);
    });
    let authority = Authority::new("trusted");
    let (_nginx, addr) = behind_tls(&authority, &upstream);
    let gateway = start(&authority, &json!({}));
    put(&gateway, &https(addr, &Value::Null));
    let mut client = gateway.client();
    client.send(format!(
        "GET /behind HTTP/1.1\r\nHost: {NAME}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ));
    assert_eq!(client.head().unwrap().status(), 101);
    assert_eq!(client.raw(5), b"first");
    client.send("again");
    assert_eq!(client.raw(5), b"again");
}

/// What upstreams are shown, in their own fields and in ssl objects, and its changes.
#[test]
fn client_certificates() {
    let (authority, other) = (Authority::new("trusted"), Authority::new("other"));
    let mut nginx = Nginx::new();
    let demand = nginx.demanding(&authority);
    let addr = nginx.server(&authority.sign(&[NAME]), &demand);
    nginx.run();
    let gateway = start(&authority, &json!({}));
    // nginx refuses with a page of its own.
    for (desc, tls, status, client) in [
        ("none", Value::Null, 400, None),
        ("the right one", shown(&authority.sign(&["one"])), 200, Some("CN=one")),
        ("one of somebody else", shown(&other.sign(&["two"])), 400, Some("CN=two")),
    ] {
        put(&gateway, &https(addr, &tls));
        let answer = ask(&gateway, NAME);
        assert_eq!((answer.status(), answer.get("x-client")), (status, client), "{desc}");
    }
    let object = |pair: &Pair| json!({ "type": "client", "cert": pair.cert, "key": pair.key });
    let by_id = https(addr, &json!({ "client_cert_id": "c" }));
    let (status, _) = gateway.admin("PUT", "routes/1", &json!({ "uri": "/*", "upstream": by_id }));
    assert_eq!(status, 400, "the object is not there yet");
    for name in ["three", "four", "three"] {
        gateway.put("ssls/c", &object(&authority.sign(&[name])));
        put(&gateway, &by_id);
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
            assert_eq!((answer.status(), answer.get("x-client")), (200, Some(&*format!("CN={name}"))));
        }
        // Only the object changes, and the next request shows the new one.
        let changed = authority.sign(&["five"]);
        gateway.put("ssls/c", &object(&changed));
        assert_eq!(ask(&gateway, NAME).get("x-client"), Some("CN=five"));
    }
    assert_eq!(gateway.admin("DELETE", "ssls/c", &Value::Null).0, 200);
    assert_eq!(ask(&gateway, NAME).status(), 502);
    for secret in ["PRIVATE KEY", "BEGIN"] {
        assert!(!gateway.file("error.log").contains(secret), "{secret} in the log");
    }
}

/// References lead to certificate and key, and a stored key is sealed.
#[test]
fn client_certificates_from_the_environment() {
    let authority = Authority::new("trusted");
    let mut nginx = Nginx::new();
    let demand = nginx.demanding(&authority);
    let addr = nginx.server(&authority.sign(&[NAME]), &demand);
    nginx.run();
    let pair = authority.sign(&["one"]);
    let environment = [("CLIENT_CERT", &*pair.cert), ("CLIENT_KEY", &*pair.key)];
    let settings = json!({ "apisix": { "ssl": { "ssl_trusted_certificate": "authority.pem" } } });
    let mut gateway = Gateway::start_with(&environment, &[("authority.pem", &authority.pem())], settings);
    let long = |name: &str| format!("$env://{name}");
    let object = json!({ "type": "client", "cert": long("CLIENT_CERT"), "key": long("CLIENT_KEY") });
    gateway.put("ssls/c", &object);
    put(&gateway, &https(addr, &json!({ "client_cert_id": "c" })));
    assert_eq!(ask(&gateway, NAME).get("x-client"), Some("CN=one"));
    let own = shown(&authority.sign(&["two"]));
    put(&gateway, &https(addr, &own));
    assert_eq!(ask(&gateway, NAME).get("x-client"), Some("CN=two"));
    // It survives a restart.
    gateway.kill();
    gateway.run();
    assert_eq!(ask(&gateway, NAME).get("x-client"), Some("CN=two"));
    let secret = own["client_key"].as_str().unwrap().lines().nth(1).unwrap();
    for entry in std::fs::read_dir(gateway.dir.path().join("data")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "a private key is on the disk");
    }
}

/// Another node is tried when one is not believed; one that is not is counted as one that cannot be reached.
#[test]
fn another_node_is_tried() {
    let authority = Authority::new("trusted");
    let mut nginx = Nginx::new();
    let (good, bad) = (nginx.server(&authority.sign(&[NAME]), ""), nginx.server(&self_signed(&[NAME]), ""));
    nginx.run();
    let gateway = start(&authority, &json!({}));
    let node = |addr: SocketAddr, priority: u32| json!({ "host": "127.0.0.1", "port": addr.port(), "weight": 1, "priority": priority });
    put(&gateway, &json!({ "scheme": "https", "nodes": [node(bad, 1), node(good, 0)] }));
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 3\r\n\r\nabc"));
    assert_eq!(client.response().unwrap().status(), 200);
}

#[test]
fn health_checks_over_tls() {
    let authority = Authority::new("trusted");
    let mut nginx = Nginx::new();
    let (good, bad) = (nginx.server(&authority.sign(&[NAME]), ""), nginx.server(&self_signed(&[NAME]), ""));
    nginx.run();
    let control: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let gateway = start(
        &authority,
        &json!({ "apisix": {
            "enable_control": true, "control": { "ip": "127.0.0.1", "port": control.port() },
            "ssl": { "ssl_trusted_certificate": "authority.pem" }
        } }),
    );
    let states = || {
        let answer = Client::connect(control)
            .ask("GET /v1/healthcheck/routes/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let checker: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
        let state = |addr: SocketAddr| {
            let nodes = checker["nodes"].as_array().into_iter().flatten();
            let mut found = nodes.filter(|node| node["port"] == addr.port());
            found.next().map_or_else(String::new, |node| node["status"].as_str().unwrap_or_default().to_owned())
        };
        (state(good), state(bad))
    };
    for (verifies, expected) in [(true, ("healthy", "unhealthy")), (false, ("healthy", "healthy"))] {
        let checks = json!({ "active": {
            "type": "https", "host": NAME, "https_verify_certificate": verifies,
            "healthy": { "interval": 1, "successes": 1 }, "unhealthy": { "interval": 1, "tcp_failures": 1 }
        } });
        let nodes = json!({ good.to_string(): 1, bad.to_string(): 1 });
        let upstream = json!({ "scheme": "https", "nodes": nodes, "tls": { "verify": false }, "checks": checks });
        put(&gateway, &upstream);
        assert_eq!(ask(&gateway, NAME).status(), 200);
        wait_for("the states", || {
            let (one, two) = states();
            ((&*one, &*two) == expected).then_some(())
        });
    }
}

/// Whom is trusted: a file, the system, or nobody.
#[test]
fn authorities() {
    let authority = Authority::new("trusted");
    let mut nginx = Nginx::new();
    let addr = nginx.server(&authority.sign(&[NAME]), "");
    nginx.run();
    let files = [("authority.pem", &*authority.pem())];
    for (desc, environment, status) in [
        ("the system trusts it", [("SSL_CERT_FILE", "authority.pem"), ("SSL_CERT_DIR", "nowhere")], 200),
        ("the system trusts nobody", [("SSL_CERT_FILE", "nothing.pem"), ("SSL_CERT_DIR", "nowhere")], 502),
    ] {
        for settings in [json!({}), json!({ "apisix": { "ssl": { "ssl_trusted_certificate": "system" } } })] {
            let gateway = Gateway::start_with(&environment, &files, settings);
            put(&gateway, &https(addr, &Value::Null));
            assert_eq!(ask(&gateway, NAME).status(), status, "{desc}");
            if status == 502 {
                let part = "the operating system has no certificates of authorities";
                wait_for(part, || gateway.file("error.log").contains(part).then_some(()));
            }
        }
    }
    // A file that is written has to be there, and to be one.
    let mut gateway = Gateway::start_with(&[], &files, json!({}));
    gateway.kill();
    let config = gateway.dir.path().join("config.yaml");
    let written: Value = serde_json::from_str(&gateway.file("config.yaml")).unwrap();
    for path in ["missing.pem", "config.yaml"] {
        let mut changed = written.clone();
        changed["apisix"]["ssl"] = json!({ "ssl_trusted_certificate": path });
        std::fs::write(&config, changed.to_string()).unwrap();
        std::fs::write(gateway.dir.path().join("stderr"), "").unwrap();
        assert!(gateway.try_run().is_err(), "{path}");
        let said = gateway.file("stderr");
        assert!(said.contains(&format!("apisix.ssl.ssl_trusted_certificate: {path}")), "{path}: {said}");
    }
}

/// Copies, and documents that plugins fetch.
#[test]
fn plugins_ask_over_tls() {
    let authority = Authority::new("trusted");
    let (mirror, upstream) = (Upstream::hello(), Upstream::hello());
    let mut nginx = Nginx::new();
    let forward = format!("location /copies {{ proxy_pass http://{}; }}", mirror.addr);
    let document = r#"{"openapi":"3.1.0","info":{"title":"a","version":"1"},"paths":{"/a":{"get":{}}}}"#;
    let serve = format!("location /openapi.json {{ return 200 '{document}'; }}");
    let good = nginx.server(&authority.sign(&["127.0.0.1"]), &format!("{forward} {serve}"));
    let bad = nginx.server(&self_signed(&["127.0.0.1"]), &format!("{forward} {serve}"));
    nginx.run();
    let gateway = start(&authority, &json!({ "nginx_config": { "error_log_level": "info" } }));
    let to = json!({ "nodes": { upstream.addr.to_string(): 1 } });
    for (addr, is_copied) in [(bad, false), (good, true)] {
        let plugins = json!({ "proxy-mirror": { "host": format!("https://{addr}"), "path": "/copies" } });
        gateway.put("routes/1", &json!({ "uri": "/*", "plugins": plugins, "upstream": to }));
        assert_eq!(ask(&gateway, NAME).status(), 200);
        if is_copied {
            // The one before did not come; this one did.
            assert_eq!(mirror.wait_requests(1).len(), 1);
        } else {
            let part = "signed by nobody who is trusted";
            wait_for(part, || gateway.file("error.log").contains(part).then_some(()));
        }
    }
    for (addr, verify, status) in [(good, true, 200), (bad, true, 500), (bad, false, 200)] {
        let config = json!({ "spec_url": format!("https://{addr}/openapi.json"), "ssl_verify": verify });
        gateway.put("routes/1", &json!({ "uri": "/*", "plugins": { "oas-validator": config }, "upstream": to }));
        let answer = gateway.get("/a");
        assert_eq!(answer.status(), status, "{addr} {verify}");
    }
}

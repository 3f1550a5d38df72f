//! Header fields: what passes, what is removed, what is added.

use e2e::{Gateway, Upstream, route_to};
use serde_json::json;

fn names(message: &e2e::Message) -> Vec<String> {
    message.fields.iter().map(|(n, _)| n.clone()).collect()
}

#[test]
fn order_and_case_of_fields_are_kept() {
    let upstream = Upstream::answering(
        "HTTP/1.1 201 Made\r\nx-lower: 1\r\nX-UPPER: 2\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\nSet-Cookie: b=2\r\nETaG: \"x\"\r\n\r\nok",
    );
    let gateway = Gateway::before(&upstream);
    let answer = gateway
        .client()
        .ask("GET / HTTP/1.1\r\nHost: a\r\nzeta: 1\r\nALPHA: 2\r\nX-Dup: a\r\nmId: 3\r\nX-Dup: b\r\n\r\n");
    let received = names(&upstream.requests().pop().unwrap());
    let own: Vec<&str> =
        received.iter().map(String::as_str).filter(|n| ["zeta", "ALPHA", "X-Dup", "mId"].contains(n)).collect();
    assert_eq!(own, ["zeta", "ALPHA", "X-Dup", "mId", "X-Dup"]);
    assert_eq!(answer.start, "HTTP/1.1 201 Made", "the reason too");
    let sent = names(&answer);
    let theirs: Vec<&str> =
        sent.iter().map(String::as_str).filter(|n| ["x-lower", "X-UPPER", "Set-Cookie", "ETaG"].contains(n)).collect();
    assert_eq!(theirs, ["x-lower", "X-UPPER", "Set-Cookie", "Set-Cookie", "ETaG"]);
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
}

#[test]
fn fields_of_the_connection_stay_on_it() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Kept: 1\r\n\r\nok",
    );
    let gateway = Gateway::before(&upstream);
    let answer = gateway.client().ask(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: X-Drop, keep-alive, Host, Content-Length, Authorization\r\n\
         X-Drop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: gzip\r\nUpgrade: h2c\r\n\
         X-Kept: 1\r\nContent-Length: 3\r\n\r\nabc",
    );
    let request = upstream.requests().pop().unwrap();
    for name in ["x-drop", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert_eq!(request.get(name), None, "{name} went to the upstream");
    }
    assert_eq!(
        (request.get("x-kept"), request.get("content-length"), request.text().as_str()),
        (Some("1"), Some("3"), "abc")
    );
    assert!(request.get("host").is_some());
    for name in ["x-theirs", "keep-alive", "proxy-connection"] {
        assert_eq!(answer.get(name), None, "{name} came to the client");
    }
    assert_eq!(answer.get("x-kept"), Some("1"));
}

#[test]
fn forwarded_fields_and_host() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    gateway.client().ask("GET /p?q=%20a HTTP/1.1\r\nHost: A.example:81\r\nX-Forwarded-For: 9.9.9.9\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n");
    let request = upstream.requests().pop().unwrap();
    assert_eq!(request.start, "GET /p?q=%20a HTTP/1.1");
    assert_eq!(request.all("host"), ["A.example:81"]);
    assert_eq!(request.all("x-forwarded-for"), ["9.9.9.9, 127.0.0.1"]);
    assert_eq!(request.all("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(request.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.all("x-forwarded-host"), ["A.example:81"]);
    assert_eq!(request.all("x-forwarded-port"), ["81"]);
    assert_eq!(request.get("forwarded"), None);
    assert!(!request.fields.iter().any(|(_, value)| value.contains("6.6.6.6")), "{:?}", request.fields);
    // The node's name, and a name of the upstream's own.
    let mut route = route_to(upstream.addr);
    route["upstream"]["pass_host"] = json!("node");
    gateway.put("routes/all", &route);
    gateway.get("/");
    assert_eq!(upstream.requests().pop().unwrap().get("host"), Some(upstream.addr.to_string().as_str()));
    route["upstream"]["pass_host"] = json!("rewrite");
    route["upstream"]["upstream_host"] = json!("inner.example");
    gateway.put("routes/all", &route);
    gateway.get("/");
    assert_eq!(upstream.requests().pop().unwrap().get("host"), Some("inner.example"));
}

#[test]
fn identity_cannot_be_claimed_in_any_spelling() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let fields: String = [
        "X-Consumer-Username",
        "x-consumer-username",
        "X_Consumer_Username",
        "X.Consumer.Username",
        "x-CONSUMER_username",
        "X-Credential-Identifier",
        "X_Credential-Identifier",
        "X-Consumer-Custom-Id",
        "X-Consumer-Custom_ID",
        "X-Consumer-Groups",
        "X-Consumer-Id",
    ]
    .iter()
    .map(|name| format!("{name}: root\r\n"))
    .collect();
    gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}X-Consumer-Other: 1\r\n\r\n"));
    let request = upstream.requests().pop().unwrap();
    assert!(!request.fields.iter().any(|(_, v)| v == "root"), "{:?}", request.fields);
    assert_eq!(request.get("x-consumer-other"), Some("1"));
}

//! Nodes that fall ill and get well again, as health checks see them.

use e2e::{Client, Gateway, Upstream, free_port, wait_for};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

/// An upstream whose checks (`/status`) and requests answer with statuses that the test sets.
struct Patient {
    upstream: Upstream,
    check: Arc<AtomicU16>,
    request: Arc<AtomicU16>,
}

impl Patient {
    fn new() -> Self {
        let (check, request) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(200)));
        let (to_check, to_request) = (check.clone(), request.clone());
        let upstream = Upstream::start(move |conn| {
            while let Some(asked) = conn.request() {
                let is_check = asked.start.contains(" /status");
                let status = if is_check { &to_check } else { &to_request }.load(Ordering::Acquire);
                let port = conn.client.stream.local_addr().unwrap().port().to_string();
                let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{port}", port.len());
                if status == 0 || !conn.send(answer) {
                    return;
                }
            }
        });
        Self { upstream, check, request }
    }

    fn addr(&self) -> SocketAddr {
        self.upstream.addr
    }

    fn port(&self) -> String {
        self.addr().port().to_string()
    }
}

fn start(extra: &Value) -> (Gateway, SocketAddr) {
    let control: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let mut config = json!({ "apisix": {
        "enable_control": true, "control": { "ip": "127.0.0.1", "port": control.port() }
    } });
    for (name, value) in extra.as_object().into_iter().flatten() {
        config["apisix"][name] = value.clone();
    }
    let gateway = Gateway::start(config);
    wait_for("the control API", || std::net::TcpStream::connect(control).ok());
    (gateway, control)
}

fn ask(addr: SocketAddr, path: &str, accept: &str) -> e2e::Message {
    Client::connect(addr)
        .ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"))
}

fn health(control: SocketAddr) -> Vec<Value> {
    let answer = ask(control, "/v1/healthcheck/upstreams/u", "*/*");
    assert_eq!(answer.status(), 200);
    let checker: Value = serde_json::from_str(&answer.text()).unwrap();
    // None yet are an object, as in APISIX.
    checker["nodes"].as_array().cloned().unwrap_or_default()
}

/// What a node is held to be.
fn state(control: SocketAddr, port: u16) -> String {
    let nodes = health(control);
    let node = nodes.iter().find(|node| node["port"] == port);
    node.map_or_else(String::new, |node| node["status"].as_str().unwrap().to_owned())
}

fn wait_state(control: SocketAddr, port: u16, expected: &str) {
    wait_for(expected, || (state(control, port) == expected).then_some(()));
}

/// Who answers.
fn who(gateway: &Gateway, requests: usize) -> BTreeSet<String> {
    (0..requests).map(|_| gateway.get("/").text()).collect()
}

fn put(gateway: &Gateway, nodes: &Value, checks: &Value) {
    gateway.put("upstreams/u", &json!({ "type": "roundrobin", "nodes": nodes, "checks": checks }));
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream_id": "u" }));
}

fn nodes(addrs: &[SocketAddr]) -> Value {
    addrs.iter().map(|addr| (addr.to_string(), json!(1))).collect()
}

fn actively() -> Value {
    json!({ "active": {
        "http_path": "/status", "req_headers": ["X-Check: yes"], "timeout": 0.3,
        "healthy": { "interval": 1, "successes": 1 },
        "unhealthy": { "interval": 1, "http_failures": 1, "tcp_failures": 1, "timeouts": 1 }
    } })
}

#[test]
fn a_node_that_fails_its_checks_gets_no_requests_until_it_passes() {
    let (good, ill) = (Patient::new(), Patient::new());
    let (gateway, control) = start(&json!({}));
    put(&gateway, &nodes(&[good.addr(), ill.addr()]), &actively());
    assert!(health(control).is_empty(), "nothing is checked before the first request");
    assert_eq!(who(&gateway, 10).len(), 2);
    wait_state(control, ill.addr().port(), "healthy");
    ill.check.store(500, Ordering::Release);
    wait_state(control, ill.addr().port(), "unhealthy");
    assert_eq!(who(&gateway, 10), BTreeSet::from([good.port()]));
    // Closing without an answer is ill, too, and a node stays so over changes of the upstream.
    ill.check.store(0, Ordering::Release);
    let mut nodes = nodes(&[good.addr(), ill.addr()]);
    nodes[good.addr().to_string()] = json!(7);
    put(&gateway, &nodes, &actively());
    assert_eq!(state(control, ill.addr().port()), "unhealthy");
    assert_eq!(who(&gateway, 10), BTreeSet::from([good.port()]));
    ill.check.store(200, Ordering::Release);
    wait_state(control, ill.addr().port(), "healthy");
    assert_eq!(who(&gateway, 10).len(), 2);
    let check = good.upstream.requests().into_iter().find(|request| request.start.contains("/status")).unwrap();
    assert_eq!(check.start, "GET /status HTTP/1.1");
    assert_eq!(
        (check.get("host"), check.get("x-check"), check.get("connection")),
        (Some("127.0.0.1"), Some("yes"), Some("close"))
    );
    // Without checks all is forgotten, and nobody is asked any more.
    ill.check.store(500, Ordering::Release);
    wait_state(control, ill.addr().port(), "unhealthy");
    gateway.put("upstreams/u", &json!({ "type": "roundrobin", "nodes": nodes }));
    assert_eq!(ask(control, "/v1/healthcheck/upstreams/u", "*/*").status(), 404);
    assert_eq!(who(&gateway, 16).len(), 2);
}

#[test]
fn checks_of_a_removed_upstream_end() {
    let (good, marker) = (Patient::new(), Patient::new());
    let (gateway, control) = start(&json!({}));
    put(&gateway, &nodes(&[good.addr()]), &actively());
    gateway.put("upstreams/marker", &json!({ "nodes": nodes(&[marker.addr()]), "checks": actively() }));
    gateway.put("routes/marker", &json!({ "uri": "/marker", "upstream_id": "marker" }));
    gateway.get("/");
    gateway.get("/marker");
    let checks = |patient: &Patient| {
        patient.upstream.requests().iter().filter(|request| request.start.contains("/status")).count()
    };
    wait_for("a check", || (checks(&good) > 0).then_some(()));
    gateway.admin("DELETE", "routes/1", &Value::Null);
    assert_eq!(gateway.admin("DELETE", "upstreams/u", &Value::Null).0, 200);
    assert_eq!(ask(control, "/v1/healthcheck/upstreams/u", "*/*").status(), 404);
    // One that was under way may end; by the next two of the other there would have been more.
    let (before, marked) = (checks(&good), checks(&marker));
    wait_for("checks of the other", || (checks(&marker) >= marked + 3).then_some(()));
    assert!(checks(&good) <= before + 1, "{before} checks before, {} now", checks(&good));
}

#[test]
fn answers_count_where_passive_checks_are_asked_for() {
    let (good, ill) = (Patient::new(), Patient::new());
    let (gateway, control) = start(&json!({}));
    let checks = json!({
        "active": { "http_path": "/status", "healthy": {}, "unhealthy": { "interval": 1 } },
        "passive": { "healthy": { "successes": 3 }, "unhealthy": { "http_statuses": [503], "http_failures": 2 } }
    });
    put(&gateway, &nodes(&[good.addr(), ill.addr()]), &checks);
    // The active check of the unhealthy does not heal it.
    ill.check.store(503, Ordering::Release);
    ill.request.store(503, Ordering::Release);
    wait_for("two failures", || {
        gateway.get("/");
        (state(control, ill.addr().port()) == "unhealthy").then_some(())
    });
    let before = ill.upstream.requests().iter().filter(|request| !request.start.contains("/status")).count();
    assert!(before >= 2);
    assert_eq!(who(&gateway, 10), BTreeSet::from([good.port()]));
    let html = ask(control, "/v1/healthcheck", "text/html");
    assert_eq!(html.get("content-type"), Some("text/html"));
    assert!(html.text().contains(&format!("<td>127.0.0.1:{}</td><td>unhealthy</td>", ill.port())), "{}", html.text());
    ill.check.store(200, Ordering::Release);
    ill.request.store(200, Ordering::Release);
    wait_state(control, ill.addr().port(), "healthy");
    assert_eq!(who(&gateway, 10).len(), 2);
}

#[test]
fn a_dead_node_is_found_by_the_requests_that_it_fails() {
    let good = Patient::new();
    let dead: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let (gateway, control) = start(&json!({}));
    // Nothing is asked actively: no interval without `healthy` and `unhealthy`.
    put(&gateway, &nodes(&[good.addr(), dead]), &json!({ "active": { "http_path": "/status" } }));
    for _ in 0..8 {
        assert_eq!(gateway.get("/").status(), 200);
    }
    assert_eq!(state(control, dead.port()), "unhealthy");
    let dead_node = health(control).into_iter().find(|node| node["port"] == dead.port()).unwrap();
    assert_eq!(dead_node["counter"]["tcp_failure"], 2);
    // When all are unhealthy all are used.
    let both = [([127, 0, 0, 1], free_port()).into(), dead];
    put(&gateway, &nodes(&both), &json!({ "active": { "http_path": "/status" } }));
    for _ in 0..8 {
        assert_eq!(gateway.get("/").status(), 502);
    }
    let tried = |port: u16| gateway.file("access.log").contains(&format!("127.0.0.1:{port}"));
    assert!(tried(both[0].port()) || state(control, both[0].port()) == "unhealthy");
}

#[test]
fn targets_that_never_answer_or_answer_garbage_harm_nobody() {
    let good = Patient::new();
    let silent = Upstream::start(|conn| {
        conn.client.rest();
    });
    let garbage = Upstream::start(|conn| {
        conn.client.head();
        let line = "g".repeat(1 << 16);
        while conn.send(&line) {}
    });
    let dripping = Upstream::start(|conn| {
        conn.client.head();
        // A byte now and then is no progress: the time for the whole line is bounded.
        while conn.send("H") {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let redirecting =
        Upstream::answering("HTTP/1.1 301 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    let (gateway, control) = start(&json!({}));
    let mut all = nodes(&[good.addr(), silent.addr, garbage.addr, dripping.addr, redirecting.addr]);
    all["no-such-name.invalid:80"] = json!(1);
    put(&gateway, &all, &actively());
    // It only has to begin: which node that request comes to does not matter.
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (what, port) in [("silent", silent.addr), ("garbage", garbage.addr), ("dripping", dripping.addr)] {
        wait_for(what, || (state(control, port.port()) == "unhealthy").then_some(()));
    }
    wait_state(control, 80, "unhealthy");
    // A redirect is not followed, and is in neither list.
    assert_eq!(state(control, redirecting.addr.port()), "healthy");
    assert_eq!(state(control, good.addr().port()), "healthy");
    wait_for("requests to the healthy only", || {
        let seen: BTreeSet<u16> = (0..6).map(|_| gateway.get("/").status()).collect();
        (seen == BTreeSet::from([200, 301])).then_some(())
    });
    // One connection at a time to what is silent.
    let before = silent.connections();
    wait_for("further checks", || (silent.connections() > before + 1).then_some(()));
}

#[test]
fn tcp_checks_and_other_ports_and_hosts() {
    let (node, checked) = (Patient::new(), Patient::new());
    let (gateway, control) = start(&json!({}));
    let mut checks = actively();
    checks["active"]["port"] = json!(checked.addr().port());
    checks["active"]["host"] = json!("checked.example");
    checks["active"]["http_method"] = json!("POST");
    checks["active"]["http_req_body"] = json!("are you well");
    put(&gateway, &nodes(&[node.addr()]), &checks);
    gateway.get("/");
    let check = &checked.upstream.wait_requests(1)[0];
    assert_eq!((check.start.as_str(), check.get("host")), ("POST /status HTTP/1.1", Some("checked.example")));
    assert_eq!(check.text(), "are you well");
    let shown = health(control);
    assert_eq!((&shown[0]["hostname"], &shown[0]["port"]), (&json!("checked.example"), &json!(checked.addr().port())));
    // A connection is enough, and nothing is sent on it.
    let silent = Upstream::start(|conn| {
        conn.client.rest();
    });
    let dead: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let mut checks = actively();
    checks["active"]["type"] = json!("tcp");
    put(&gateway, &nodes(&[silent.addr, dead]), &checks);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_state(control, dead.port(), "unhealthy");
    assert_eq!(state(control, silent.addr.port()), "healthy");
}

#[test]
fn settings_switch_checks_off_and_metrics_show_them() {
    let ill = Patient::new();
    ill.check.store(500, Ordering::Release);
    let other = Patient::new();
    let both = nodes(&[ill.addr(), other.addr()]);
    let export = free_port();
    let attr = json!({ "enable_export_server": true, "export_addr": { "ip": "127.0.0.1", "port": export } });
    let gateway = Gateway::start(json!({ "plugin_attr": { "prometheus": attr } }));
    put(&gateway, &both, &actively());
    gateway.get("/");
    let metric = |patient: &Patient, value: u8| {
        format!(
            "apisix_upstream_status{{name=\"/apisix/upstreams/u\",ip=\"127.0.0.1\",port=\"{}\"}} {value}\n",
            patient.port()
        )
    };
    wait_for("the metric", || {
        let text = ask(([127, 0, 0, 1], export).into(), "/apisix/prometheus/metrics", "*/*").text();
        (text.contains(&metric(&ill, 0)) && text.contains(&metric(&other, 1))).then_some(())
    });
    let (off, control) = start(&json!({ "disable_upstream_healthcheck": true }));
    assert_eq!(off.file("stderr"), "");
    put(&off, &both, &actively());
    ill.request.store(503, Ordering::Release);
    for _ in 0..10 {
        off.get("/");
    }
    assert!(health(control).is_empty());
    assert_eq!(who(&off, 10).len(), 2);
}

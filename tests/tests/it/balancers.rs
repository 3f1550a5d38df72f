//! Which node a request goes to.

use e2e::{Client, Gateway, Upstream, free_port, wait_for};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// An upstream that answers with its number.
fn numbered(number: usize) -> Upstream {
    Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"))
}

/// One that holds requests for `/hold` until it may let them go, and answers all others at once.
fn holding(number: usize) -> (Upstream, Arc<AtomicBool>) {
    let may_go = Arc::new(AtomicBool::new(false));
    let flag = may_go.clone();
    let upstream = Upstream::start(move |conn| {
        while let Some(request) = conn.request() {
            if request.start.contains("/hold") {
                wait_for("being let go", || flag.load(Ordering::Acquire).then_some(()));
            }
            if !conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}")) {
                return;
            }
        }
    });
    (upstream, may_go)
}

fn weights(upstreams: &[&Upstream], weights: &[u32]) -> Value {
    upstreams.iter().zip(weights).map(|(upstream, weight)| (upstream.addr.to_string(), json!(weight))).collect()
}

fn answers(gateway: &Gateway, path: &str, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = gateway.get(path);
        assert_eq!(answer.status(), 200);
        *counts.entry(answer.text()).or_default() += 1;
    }
    counts
}

/// Ends a held request even when the test fails.
struct LetGo(Arc<AtomicBool>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn round_robin_follows_weights_over_all_workers() {
    let upstreams = [numbered(0), numbered(1), numbered(2)];
    let gateway = Gateway::start(json!({}));
    let nodes = weights(&upstreams.each_ref(), &[3, 1, 0]);
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream": { "nodes": nodes } }));
    let expected = BTreeMap::from([("0".to_owned(), 30), ("1".to_owned(), 10)]);
    assert_eq!(answers(&gateway, "/", 40), expected);
}

#[test]
fn the_same_key_goes_to_the_same_node_and_to_the_next_when_that_is_dead() {
    let mut upstreams: Vec<Option<Upstream>> = (0..4).map(|number| Some(numbered(number))).collect();
    let gateway = Gateway::start(json!({}));
    let nodes = weights(&upstreams.iter().flatten().collect::<Vec<_>>(), &[1, 1, 1, 1]);
    let upstream = json!({ "type": "chash", "hash_on": "header", "key": "X-User", "nodes": nodes });
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream": upstream }));
    let node_of = |user: usize| {
        let answer = gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: user-{user}\r\n\r\n"));
        assert_eq!(answer.status(), 200);
        answer.text()
    };
    let before: Vec<String> = (0..60).map(node_of).collect();
    assert_eq!((0..60).map(node_of).collect::<Vec<_>>(), before);
    assert!((0..4).all(|number| before.contains(&number.to_string())), "{before:?}");
    // With the gateway's pooled connections closed, connecting is refused.
    let gone = upstreams[2].take().map(|upstream| upstream.addr).unwrap();
    wait_for("a refused connection", || std::net::TcpStream::connect(gone).is_err().then_some(()));
    for (user, was) in before.iter().enumerate().filter(|(_, was)| *was != "2").take(20) {
        assert_eq!(node_of(user), *was, "only the keys of the dead node move");
    }
}

#[test]
fn least_conn_leaves_the_busy_alone_and_remembers_them_over_changes() {
    let (slow, may_go) = holding(0);
    let quick = numbered(1);
    let gateway = Gateway::start(json!({}));
    let put = |nodes: &Value, desc: &str| {
        let upstream = json!({ "type": "least_conn", "nodes": nodes, "desc": desc });
        gateway.put("upstreams/u", &upstream);
    };
    put(&weights(&[&slow], &[1]), "one");
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream_id": "u" }));
    let let_go = LetGo(may_go);
    let held: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = gateway.client();
            client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    slow.wait_requests(3);
    // A node that comes gets all until it is as busy.
    put(&weights(&[&slow, &quick], &[1, 1]), "two");
    assert_eq!(answers(&gateway, "/", 12), BTreeMap::from([("1".to_owned(), 12)]));
    drop(let_go);
    for mut client in held {
        assert_eq!(client.response().map(|answer| answer.status()), Some(200));
    }
    // All are idle: they take turns.
    let both = wait_for("the held requests to have ended", || {
        let counts = answers(&gateway, "/", 10);
        (counts.len() == 2).then_some(counts)
    });
    assert_eq!(both.values().sum::<usize>(), 10);
}

#[test]
fn ewma_prefers_the_faster_node() {
    let slow = Upstream::start(|conn| {
        while conn.request().is_some() {
            // The time that it takes is what is tested.
            std::thread::sleep(std::time::Duration::from_millis(40));
            if !conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0") {
                return;
            }
        }
    });
    let quick = numbered(1);
    let gateway = Gateway::start(json!({}));
    let nodes = weights(&[&slow, &quick], &[1, 1]);
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream": { "type": "ewma", "nodes": nodes } }));
    // Both have answered once before there is anything to compare.
    wait_for("both to be known", || {
        (answers(&gateway, "/", 4).len() == 2 || !slow.requests().is_empty()).then_some(())
    });
    let counts = answers(&gateway, "/", 60);
    assert!(counts.get("1").is_some_and(|quick| *quick >= 55), "{counts:?}");
}

#[test]
fn lower_priorities_are_for_when_the_higher_are_dead() {
    let (high, low) = (numbered(0), numbered(1));
    let dead = free_port();
    let gateway = Gateway::start(json!({}));
    let node = |addr: SocketAddr, priority: i64| json!({ "host": "127.0.0.1", "port": addr.port(), "weight": 1, "priority": priority });
    let put = |nodes: Value| gateway.put("routes/1", &json!({ "uri": "/*", "upstream": { "nodes": nodes } }));
    put(json!([node(low.addr, -1), node(high.addr, 1)]));
    assert_eq!(answers(&gateway, "/", 10), BTreeMap::from([("0".to_owned(), 10)]));
    put(json!([node(low.addr, -1), node(([127, 0, 0, 1], dead).into(), 1)]));
    assert_eq!(answers(&gateway, "/", 10), BTreeMap::from([("1".to_owned(), 10)]));
    // More retries than nodes: when all were tried, that is the end.
    let nodes = json!([node(([127, 0, 0, 1], dead).into(), 0), node(([127, 0, 0, 1], free_port()).into(), 1)]);
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream": { "nodes": nodes, "retries": 9 } }));
    assert_eq!(gateway.get("/").status(), 502);
    assert!(gateway.file("error.log").contains("no valid upstream node"));
}

#[test]
fn nodes_that_come_and_go_under_load_cost_no_request() {
    let upstreams: Vec<Upstream> = (0..4).map(numbered).collect();
    let gateway = Gateway::start(json!({}));
    let put = |round: usize| {
        let nodes: Value = upstreams
            .iter()
            .enumerate()
            .filter(|(number, _)| number % 4 != round % 4)
            .map(|(number, upstream)| (upstream.addr.to_string(), json!(1 + (number + round) % 3)))
            .collect();
        let balancer = ["roundrobin", "least_conn", "chash", "ewma"][round / 3 % 4];
        let checks =
            json!({ "active": { "healthy": {}, "unhealthy": {} }, "passive": { "healthy": {}, "unhealthy": {} } });
        let upstream = json!({ "type": balancer, "key": "remote_addr", "nodes": nodes, "checks": checks });
        gateway.put("upstreams/u", &upstream);
    };
    put(0);
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream_id": "u" }));
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = gateway.client();
                while !is_over.load(Ordering::Relaxed) {
                    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    if answer.status() != 200 || !answer.is_complete {
                        is_over.store(true, Ordering::Relaxed);
                        panic!("{answer:?}");
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.get("connection").is_some_and(|field| field.eq_ignore_ascii_case("close")) {
                        client = gateway.client();
                    }
                }
            });
        }
        for round in 1..120 {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            put(round);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) > 100);
}

// === services in DNS

/// Records that a name server of the test has now, `(type, data)` by name.
type Records = Arc<Mutex<BTreeMap<(String, u16), Vec<Vec<u8>>>>>;

const A: u16 = 1;
const SRV: u16 = 33;

/// A name server whose records last a second. `silent` keeps it from answering.
fn name_server() -> (SocketAddr, Records, Arc<AtomicBool>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (addr, records, silent) = (socket.local_addr().unwrap(), Records::default(), Arc::new(AtomicBool::new(false)));
    let (known, is_silent) = (records.clone(), silent.clone());
    std::thread::spawn(move || {
        let mut buffer = [0u8; 512];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            if is_silent.load(Ordering::Acquire) {
                continue;
            }
            let query = &buffer[..len];
            let (mut at, mut name) = (12, Vec::new());
            while query[at] != 0 {
                let label = &query[at + 1..=at + usize::from(query[at])];
                name.push(String::from_utf8_lossy(label).to_lowercase());
                at += label.len() + 1;
            }
            let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
            let found = known.lock().unwrap().get(&(name.join("."), kind)).cloned().unwrap_or_default();
            let mut reply = query[..2].to_vec();
            let code = if found.is_empty() { 0x83 } else { 0x80 };
            reply.extend([0x81, code, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]);
            reply.extend(&query[12..at + 5]);
            for data in &found {
                reply.extend([0xc0, 12]);
                reply.extend(kind.to_be_bytes());
                reply.extend([0, 1, 0, 0, 0, 1]);
                reply.extend((data.len() as u16).to_be_bytes());
                reply.extend(data);
            }
            let _ = socket.send_to(&reply, from);
        }
    });
    (addr, records, silent)
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
    let mut data: Vec<u8> = [priority, weight, port].iter().flat_map(|number| number.to_be_bytes()).collect();
    for label in target.split('.') {
        data.push(label.len() as u8);
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

fn a(address: [u8; 4]) -> Vec<u8> {
    Ipv4Addr::from(address).octets().to_vec()
}

fn discovering(server: SocketAddr) -> Gateway {
    Gateway::start(json!({ "discovery": { "dns": { "servers": [server.to_string()] } } }))
}

fn route_to_service(gateway: &Gateway, name: &str) {
    let upstream = json!({ "service_name": name, "discovery_type": "dns", "type": "roundrobin" });
    gateway.put("upstreams/s", &upstream);
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream_id": "s" }));
}

#[test]
fn services_follow_their_records() {
    let upstreams = [numbered(0), numbered(1), numbered(2)];
    let (server, records, silent) = name_server();
    let set = |name: &str, kind: u16, data: Vec<Vec<u8>>| records.lock().unwrap().insert((name.to_owned(), kind), data);
    let port = |number: usize| upstreams[number].addr.port();
    set("node.svc.test", A, vec![a([127, 0, 0, 1])]);
    set(
        "_http.svc.test",
        SRV,
        vec![
            srv(1, 3, port(0), "node.svc.test"),
            srv(1, 1, port(1), "node.svc.test"),
            srv(2, 1, port(2), "node.svc.test"),
        ],
    );
    let gateway = discovering(server);
    route_to_service(&gateway, "_http.svc.test");
    // The first request waits for the records; weights and priorities are theirs.
    let expected = BTreeMap::from([("0".to_owned(), 9), ("1".to_owned(), 3)]);
    assert_eq!(answers(&gateway, "/", 12), expected);
    // Records change, requests go on.
    set("_http.svc.test", SRV, vec![srv(1, 1, port(2), "node.svc.test")]);
    wait_for("the new node", || (answers(&gateway, "/", 4) == BTreeMap::from([("2".to_owned(), 4)])).then_some(()));
    // A server that is silent takes nothing away.
    silent.store(true, Ordering::Release);
    wait_for("a lookup that fails", || gateway.file("error.log").contains("cannot be looked up").then_some(()));
    assert_eq!(answers(&gateway, "/", 4), BTreeMap::from([("2".to_owned(), 4)]));
    silent.store(false, Ordering::Release);
    // A service that is said not to exist has no nodes.
    records.lock().unwrap().remove(&("_http.svc.test".to_owned(), SRV));
    wait_for("no node", || (gateway.get("/").status() == 503).then_some(()));
    // Without SRV records the addresses count, with the port of the service's name.
    set("plain.svc.test", A, vec![a([127, 0, 0, 1])]);
    route_to_service(&gateway, &format!("plain.svc.test:{}", port(1)));
    assert_eq!(answers(&gateway, "/", 3), BTreeMap::from([("1".to_owned(), 3)]));
    // What is not there is an answer, and soon.
    route_to_service(&gateway, "nothing.svc.test");
    assert_eq!(gateway.get("/").status(), 503);
}

#[test]
fn records_that_change_under_load_cost_no_request() {
    let upstreams = [numbered(0), numbered(1), numbered(2)];
    let (server, records, _) = name_server();
    let set = |gone: usize| {
        let nodes = upstreams.iter().enumerate().filter(|(number, _)| *number != gone);
        let nodes = nodes.map(|(_, upstream)| srv(1, 1, upstream.addr.port(), "node.svc.test")).collect();
        let mut records = records.lock().unwrap();
        records.insert(("node.svc.test".to_owned(), A), vec![a([127, 0, 0, 1])]);
        records.insert(("_http.svc.test".to_owned(), SRV), nodes);
    };
    set(0);
    let gateway = discovering(server);
    route_to_service(&gateway, "_http.svc.test");
    for gone in [1, 2] {
        set(gone);
        // As long as somebody sees the old ones.
        wait_for("the change", || {
            let counts = answers(&gateway, "/", 8);
            (!counts.contains_key(&gone.to_string())).then_some(())
        });
    }
}

#[test]
fn a_name_that_leads_nowhere_is_no_node() {
    let (alive, (server, _, _)) = (numbered(0), name_server());
    let gateway = Gateway::start(json!({ "apisix": { "dns_resolver": [server.to_string()] } }));
    let mut nodes = json!({ "nowhere.test:80": 1 });
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream": { "nodes": nodes } }));
    let answer = gateway.get("/");
    assert_eq!((answer.status(), answer.get("x-apisix-upstream-status")), (503, None));
    nodes[alive.addr.to_string()] = json!(1);
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream": { "nodes": nodes } }));
    assert_eq!(answers(&gateway, "/", 6), BTreeMap::from([("0".to_owned(), 6)]));
    // Another node was reached, and failed.
    let nodes = json!({ "nowhere.test:80": 1, format!("127.0.0.1:{}", free_port()): 1 });
    gateway.put("routes/1", &json!({ "uri": "/*", "upstream": { "nodes": nodes } }));
    assert!((0..6).all(|_| gateway.get("/").status() == 502));
}

#[test]
fn a_real_name_server() {
    let upstreams = [numbered(0), numbered(1)];
    let port = free_port();
    let dir = tempfile::TempDir::new().unwrap();
    let mut dnsmasq = Command::new("dnsmasq");
    dnsmasq
        .args(["-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.1"])
        .args(["--bind-interfaces", "--user=root", "--host-record=a.svc.test,127.0.0.1,::1,60"])
        .arg(format!("--port={port}"))
        .arg(format!("--pid-file={}", dir.path().join("pid").display()))
        .stderr(Stdio::null());
    for (upstream, weight) in upstreams.iter().zip([10, 30]) {
        dnsmasq.arg(format!("--srv-host=_http._tcp.svc.test,a.svc.test,{},10,{weight}", upstream.addr.port()));
    }
    // Where it is not installed the name server of the test has to do.
    let Ok(child) = dnsmasq.spawn() else { return };
    let _running = Running(child);
    let gateway = discovering(([127, 0, 0, 1], port).into());
    route_to_service(&gateway, "_http._tcp.svc.test");
    wait_for("the name server", || (gateway.get("/").status() == 200).then_some(()));
    assert_eq!(answers(&gateway, "/", 12), BTreeMap::from([("0".to_owned(), 3), ("1".to_owned(), 9)]));
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_cannot_be_discovered_is_refused() {
    let gateway = Gateway::start(json!({}));
    for (kind, expected) in
        [("dns", "needs discovery.dns in config.yaml"), ("nacos", "is not available in this version")]
    {
        let upstream = json!({ "service_name": "a", "discovery_type": kind, "type": "roundrobin" });
        let (status, said) = gateway.admin("PUT", "upstreams/s", &upstream);
        assert_eq!(status, 400);
        assert!(said["error_msg"].as_str().is_some_and(|text| text.contains(expected)), "{said}");
    }
}

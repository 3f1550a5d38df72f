//! Changes of the configuration while requests run, and where they cannot be stored.

use e2e::{Client, Gateway, KEY, Upstream, route_to, wait_for};
use serde_json::{Value, json};
use std::{
    process::Command,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// One connection to the Admin API.
struct Admin(Client);

impl Admin {
    fn of(gateway: &Gateway) -> Self {
        Self(Client::connect(gateway.admin))
    }

    fn call(&mut self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.0.ask(format!(
            "{method} /apisix/admin/{path} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        (answer.status(), answer.text())
    }

    fn must(&mut self, method: &str, path: &str, body: &Value) {
        let (status, said) = self.call(method, path, body);
        assert!(matches!(status, 200 | 201), "{method} {path}: {status} {said}");
    }
}

/// Ends what waits for it even when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks until it is over, on one connection as long as it lasts; every answer must be a whole 200.
fn ask_on_and_on(gateway: &Gateway, is_over: &AtomicBool, answered: &AtomicUsize) {
    let mut client = gateway.client();
    while !is_over.load(Ordering::Relaxed) {
        let answer = client.ask("GET /load HTTP/1.1\r\nHost: a\r\n\r\n");
        let n = answered.fetch_add(1, Ordering::Relaxed);
        assert_eq!((answer.status(), answer.is_complete), (200, true), "after {n} requests");
        if answer.get("connection").is_some_and(|field| field.eq_ignore_ascii_case("close")) {
            client = gateway.client();
        }
    }
}

#[test]
fn ten_thousand_changes_lose_no_request_and_leave_memory_where_it_was() {
    /// Changes go on in so many places at once.
    const WRITERS: usize = 8;
    /// More than this, in KiB, and something is kept that nobody needs: 8,000 changes of about a KiB would be 8 MiB.
    const GROWTH: u64 = 6 << 10;
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let barrier = Barrier::new(WRITERS + 1);
    let (mut early, mut late) = (0, 0);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        for _ in 0..2 {
            scope.spawn(|| ask_on_and_on(&gateway, &is_over, &answered));
        }
        for writer in 0..WRITERS {
            let (gateway, upstream, barrier) = (&gateway, &upstream, &barrier);
            scope.spawn(move || {
                let mut admin = Admin::of(gateway);
                let mut change = |n: usize| {
                    let id = format!("w{writer}n{}", n / 5 % 10);
                    let mut route = route_to(upstream.addr);
                    route["uri"] = json!(format!("/changed/{id}/{n}"));
                    route["desc"] = json!("d".repeat(200));
                    route["plugins"] = json!({ "limit-count": { "count": n + 1, "time_window": 60 } });
                    match n % 5 {
                        0 => admin.must("PUT", &format!("routes/{id}"), &route),
                        1 => admin.must("PATCH", &format!("routes/{id}"), &json!({ "desc": format!("{n}") })),
                        2 => admin.must("PUT", &format!("upstreams/{id}"), &route["upstream"]),
                        3 => admin.must("DELETE", &format!("routes/{id}"), &Value::Null),
                        _ => admin.must("DELETE", &format!("upstreams/{id}"), &Value::Null),
                    }
                };
                (0..2_000 / WRITERS).for_each(&mut change);
                barrier.wait();
                barrier.wait();
                (2_000 / WRITERS..10_000 / WRITERS).for_each(&mut change);
                barrier.wait();
            });
        }
        barrier.wait();
        early = gateway.rss();
        barrier.wait();
        barrier.wait();
        late = gateway.rss();
    });
    assert!(answered.load(Ordering::Relaxed) > 500, "{} requests", answered.load(Ordering::Relaxed));
    assert!(late < early + GROWTH, "{early} KiB after 2,000 changes, {late} KiB after 10,000");
}

#[test]
fn a_full_disk_refuses_changes_and_nothing_else() {
    let upstream = Upstream::hello();
    let mut gateway = Gateway::before(&upstream);
    let limit = |soft: &str| {
        let limited = Command::new("prlimit")
            .args([format!("--fsize={soft}:"), "--pid".to_owned(), gateway.pid().to_string()])
            .status();
        assert!(limited.unwrap().success());
    };
    let store = gateway.dir.path().join("data/store.redb");
    limit(&(std::fs::metadata(&store).unwrap().len() + (1 << 20)).to_string());
    let document = |n: usize| {
        let mut route = route_to(upstream.addr);
        route["uri"] = json!(format!("/n{n}"));
        route["plugins"] = json!({ "echo": { "body": "x".repeat(40_000) } });
        route
    };
    let mut stored = Vec::new();
    let refusal = loop {
        assert!(stored.len() < 1000, "the disk does not fill");
        let id = format!("n{}", stored.len());
        match gateway.admin("PUT", &format!("routes/{id}"), &document(stored.len())) {
            (201, _) => stored.push(id),
            (status, said) => break (status, said),
        }
    };
    assert_eq!(refusal.0, 503, "{}", refusal.1);
    assert!(refusal.1["error_msg"].as_str().is_some_and(|why| why.contains("unavailable")), "{}", refusal.1);
    // Reading and proxying go on, with what was acknowledged and nothing else.
    let count = |gateway: &Gateway| gateway.admin("GET", "routes", &Value::Null).1["total"].as_u64().unwrap() as usize;
    assert_eq!(count(&gateway), stored.len() + 1);
    assert_eq!(gateway.get("/anything").status(), 200);
    assert_eq!(gateway.get(&format!("/n{}", stored.len() - 1)).body.len(), 40_000);
    let delete = gateway.admin("DELETE", "routes/none", &Value::Null);
    assert_eq!(delete.0, 404, "{}", delete.1);
    // With space again changes are taken again.
    limit("unlimited");
    let (status, said) = gateway.admin("PUT", "routes/after", &document(9999));
    assert_eq!(status, 201, "{said}");
    assert_eq!(gateway.get("/n9999").body.len(), 40_000);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    gateway.run();
    assert_eq!(count(&gateway), stored.len() + 2);
}

#[test]
fn deleting_and_referring_at_once_leaves_nothing_dangling() {
    let gateway = Gateway::start(json!({}));
    let upstream = json!({ "nodes": { "127.0.0.1:1": 1 } });
    let on_upstream = |n: usize| json!({ "uri": format!("/{n}"), "upstream_id": "u" });
    let (mut gone, mut kept) = (0, 0);
    for n in 0..60 {
        gateway.put("upstreams/u", &upstream);
        let barrier = Barrier::new(2);
        let (deleted, referred) = std::thread::scope(|scope| {
            let deleted = scope.spawn(|| {
                let mut admin = Admin::of(&gateway);
                barrier.wait();
                admin.call("DELETE", "upstreams/u", &Value::Null)
            });
            let mut admin = Admin::of(&gateway);
            barrier.wait();
            let referred = admin.call("PUT", "routes/r", &on_upstream(n));
            (deleted.join().unwrap(), referred)
        });
        match (deleted.0, referred.0) {
            (200, 400) => gone += 1,
            (400, 201) => kept += 1,
            _ => panic!("{deleted:?} {referred:?}"),
        }
        let said = if deleted.0 == 400 { deleted.1 } else { referred.1 };
        assert!(said.contains("is still using it now") || said.contains("response code: 404"), "{said}");
        gateway.admin("DELETE", "routes/r", &Value::Null);
    }
    assert_eq!(gone + kept, 60);
}

#[test]
fn a_drain_under_load_breaks_no_answer() {
    let upstream = Upstream::start(|conn| {
        while conn.request().is_some() {
            // In two pieces, so that there is something to break.
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            if !conn.send("x".repeat(100_000)) {
                return;
            }
        }
    });
    let mut gateway = Gateway::before(&upstream);
    let proxy = gateway.proxy;
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(proxy);
                loop {
                    if !client.send("GET /load HTTP/1.1\r\nHost: a\r\n\r\n") {
                        return;
                    }
                    // A connection that ends between two answers has lost none.
                    let Some(answer) = client.response() else { return };
                    assert_eq!((answer.status(), answer.is_complete), (200, true));
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.get("connection").is_some_and(|field| field.eq_ignore_ascii_case("close")) {
                        return;
                    }
                }
            });
        }
        wait_for("load", || (answered.load(Ordering::Relaxed) > 200).then_some(()));
        gateway.signal("TERM");
        assert_eq!(gateway.wait().code(), Some(0));
    });
    let log = gateway.file("access.log");
    let failed: Vec<_> = log.lines().filter(|line| line.contains("/load") && !line.contains("\" 200 ")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(log.lines().count() >= answered.load(Ordering::Relaxed));
}

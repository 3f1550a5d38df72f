use crate::fixture::{Gateway, Upstream, binary, free_port, wait_for, write_config};
use serde_json::json;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

#[test]
fn acknowledged_writes_survive_a_kill() {
    let mut gateway = Gateway::start();
    for round in 0..5 {
        for i in 0..10 {
            gateway.put(&format!("/upstreams/{round}-{i}"), &json!({"nodes": {"127.0.0.1:1": 1}}));
        }
        gateway.kill_and_restart();
        for i in 0..10 {
            let (status, body) = gateway.admin("GET", &format!("/upstreams/{round}-{i}"), "");
            assert_eq!(status, 200, "{round}-{i}: {body}");
        }
    }
}

#[test]
fn ten_changes_a_request_lose_no_request() {
    let gateway = Arc::new(Gateway::start());
    let upstream = Upstream::ok();
    gateway.route_to(upstream.addr);
    let is_done = Arc::new(AtomicBool::new(false));
    let client = {
        let (gateway, is_done) = (gateway.clone(), is_done.clone());
        thread::spawn(move || {
            let mut answered = 0;
            while !is_done.load(Ordering::Relaxed) {
                let answer = gateway.get("/", "");
                assert_eq!(answer.status(), 200, "{}", answer.text());
                answered += 1;
            }
            answered
        })
    };
    let nodes = json!({ upstream.addr.to_string(): 1 });
    for i in 0..500 {
        gateway.put("/routes/1", &json!({"uri": "/*", "desc": format!("{i}"), "upstream": {"nodes": nodes}}));
        gateway.put(&format!("/routes/x{}", i % 20), &json!({"uri": format!("/x{i}"), "upstream": {"nodes": nodes}}));
    }
    is_done.store(true, Ordering::Relaxed);
    assert!(client.join().unwrap() > 0);
}

#[test]
fn the_end_lets_requests_finish_and_a_new_log_is_opened_on_demand() {
    let mut gateway = Gateway::start();
    let upstream = Upstream::start(|_| {
        thread::sleep(std::time::Duration::from_millis(300));
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n".to_vec()
    });
    gateway.route_to(upstream.addr);
    let log = gateway.dir.path().join("access.log");
    assert_eq!(gateway.get("/first", "").status(), 200);
    wait_for("a line in the log", || fs::read_to_string(&log).ok().filter(|t| t.contains("/first")));
    fs::rename(&log, gateway.dir.path().join("old.log")).unwrap();
    gateway.signal("-USR1");
    wait_for("the new log", || log.exists().then_some(()));
    let proxy = gateway.proxy;
    let client = thread::spawn(move || {
        crate::fixture::exchange(proxy, b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    });
    wait_for("the request", || upstream.requests().iter().any(|r| r.contains("/last")).then_some(()));
    gateway.signal("-TERM");
    assert_eq!(client.join().unwrap().status(), 200);
    assert_eq!(gateway.wait_for_end(), Some(0));
    assert!(fs::read_to_string(&log).unwrap().contains("/last"));
}

#[test]
fn a_port_in_use_and_settings_that_cannot_be_honoured_end_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    write_config(dir.path(), free_port(), taken.local_addr().unwrap().port(), "");
    let run = || Command::new(binary()).args(["run", "-c"]).arg(dir.path().join("config.yaml")).output().unwrap();
    let ended = run();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen on") && said.lines().count() == 1, "{said}");
    write_config(
        dir.path(),
        free_port(),
        free_port(),
        "  no_such_compat: 1\n  compat:\n    no-such-difference: true\n",
    );
    assert_eq!(run().status.code(), Some(1));
    write_config(dir.path(), free_port(), free_port(), "");
    let path = dir.path().join("config.yaml");
    let recursive = fs::read_to_string(&path).unwrap().replace("  http:\n", "  http:\n    real_ip_recursive: \"on\"\n");
    fs::write(&path, recursive).unwrap();
    let ended = run();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("real_ip_recursive"), "{said}");
}

#[test]
fn secrets_are_neither_in_the_store_nor_in_the_logs() {
    let mut gateway = Gateway::start();
    gateway.put("/consumers", &json!({"username": "alice", "plugins": {"key-auth": {"key": "very-secret-key"}}}));
    let upstream = Upstream::ok();
    let nodes = json!({ upstream.addr.to_string(): 1 });
    gateway.put("/routes/1", &json!({"uri": "/*", "plugins": {"key-auth": {}}, "upstream": {"nodes": nodes}}));
    assert_eq!(gateway.get("/", "apikey: very-secret-key\r\n").status(), 200);
    gateway.signal("-TERM");
    gateway.wait_for_end();
    let mut folders = vec![gateway.dir.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let bytes = fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(15).any(|w| w == b"very-secret-key"), "{}", entry.path().display());
        }
    }
    assert!(files >= 3);
    let mode = fs::metadata(gateway.dir.path().join("data/seal.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn bad_documents_are_refused_with_the_place_and_not_stored() {
    let gateway = Gateway::start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("{{\"uri\":\"/{}\"}}", "a".repeat(2 << 20));
    let rows: &[(&str, &str, &str)] = &[
        (
            "unknown plugin",
            r#"{"uri":"/","plugins":{"no-such":{}},"upstream":{"nodes":{"127.0.0.1:1":1}}}"#,
            "unknown plugin [no-such]",
        ),
        (
            "unknown field",
            r#"{"uri":"/","plugins":{"key-auth":{"heder":"x"}},"upstream":{"nodes":{"127.0.0.1:1":1}}}"#,
            "did you mean \\\"header\\\"",
        ),
        (
            "bad pattern",
            r#"{"uri":"/","plugins":{"proxy-rewrite":{"regex_uri":["(","/"]}},"upstream":{"nodes":{"127.0.0.1:1":1}}}"#,
            "proxy-rewrite",
        ),
        (
            "nothing there",
            r#"{"uri":"/","upstream_id":"9"}"#,
            "failed to fetch upstream info by upstream id [9], response code: 404",
        ),
        (
            "filter_func",
            r#"{"uri":"/","filter_func":"function(vars) return true end","upstream":{"nodes":{"127.0.0.1:1":1}}}"#,
            "Lua",
        ),
        ("https", r#"{"uri":"/","upstream":{"scheme":"https","nodes":{"127.0.0.1:1":1}}}"#, "scheme http"),
        ("not json", "{uri", "invalid request body"),
        ("repeated key", r#"{"uri":"/","uri":"/b"}"#, "invalid request body"),
        ("deep", &deep, "invalid request body"),
        ("large", &large, "invalid request body"),
    ];
    for (desc, body, expected) in rows {
        let (status, said) = gateway.admin("PUT", "/routes/bad", body);
        assert_eq!(status, 400, "{desc}: {said}");
        assert!(said.contains(expected), "{desc}: {said}");
        assert_eq!(gateway.admin("GET", "/routes/bad", "").0, 404, "{desc}");
    }
}

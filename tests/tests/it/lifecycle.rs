//! Start, signals, and what survives.

use e2e::{Client, Gateway, KEY, Upstream, binary, free_port, route_to, wait_for};
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Runs until it ends by itself.
fn run_to_the_end(dir: &Path, config: &Value) -> Output {
    std::fs::write(dir.join("config.yaml"), config.to_string()).unwrap();
    let mut child = Command::new(binary())
        .args(["run", "-c", "config.yaml"])
        .current_dir(dir)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + e2e::PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("it runs, with {config}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

fn ports() -> Value {
    json!({
        "apisix": { "node_listen": [{ "ip": "127.0.0.1", "port": free_port() }], "enable_control": false },
        "deployment": { "admin": { "admin_listen": { "ip": "127.0.0.1", "port": free_port() } } },
        "plugin_attr": { "prometheus": { "enable_export_server": false } },
    })
}

#[test]
fn the_first_start_makes_what_it_needs() {
    let mut gateway = Gateway::start(json!({}));
    // Again with nothing but ports.
    gateway.kill();
    std::fs::remove_dir_all(gateway.dir.path().join("data")).unwrap();
    let mut config = ports();
    config["apisix"]["node_listen"][0]["port"] = json!(gateway.proxy.port());
    config["deployment"]["admin"]["admin_listen"]["port"] = json!(gateway.admin.port());
    std::fs::write(gateway.dir.path().join("config.yaml"), config.to_string()).unwrap();
    gateway.run();
    let path = gateway.dir.path().join("portcullis-data/admin.key");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&gateway.dir.path().join("portcullis-data/seal.key")) & 0o077, 0);
    assert_eq!(mode(&gateway.dir.path().join("portcullis-data/store.redb")) & 0o007, 0, "the store is readable by all");
    let key = std::fs::read_to_string(&path).unwrap();
    let ask = |key: &str| {
        Client::connect(gateway.admin)
            .ask(format!(
                "GET /apisix/admin/routes HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\nConnection: close\r\n\r\n"
            ))
            .status()
    };
    assert!(key.trim().len() >= 32, "a short key");
    assert_eq!((ask(key.trim()), ask(KEY), ask("")), (200, 401, 401));
    assert!(gateway.file("stdout").contains("admin.key") && !gateway.file("stdout").contains(key.trim()));
    // The key stays.
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    gateway.run();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), key);
}

#[test]
fn term_lets_a_request_finish_and_ends_with_0() {
    for signal in ["TERM", "INT", "QUIT"] {
        let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let wait = std::sync::Mutex::new(wait);
        let upstream = Upstream::start(move |conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            let _ = wait.lock().unwrap().recv();
            conn.send("world");
            conn.client.rest();
        });
        let mut gateway = Gateway::before(&upstream);
        let mut idle = gateway.client();
        let mut client = gateway.client();
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut answer = client.head().unwrap();
        gateway.signal(signal);
        assert!(idle.is_closed_within(Duration::from_secs(5)), "{signal}: an idle connection stays");
        go.send(()).unwrap();
        client.body(&mut answer, true);
        assert_eq!((answer.is_complete, answer.text().as_str()), (true, "helloworld"), "{signal}");
        assert!(client.is_closed_within(Duration::from_secs(5)), "{signal}: the connection stays");
        assert_eq!(gateway.wait().code(), Some(0), "{signal}");
        assert!(gateway.file("access.log").contains("/slow"), "{signal}: the last request is not logged");
    }
}

#[test]
fn no_new_connections_after_term() {
    let upstream = Upstream::hello();
    let mut gateway = Gateway::before(&upstream);
    let mut held = gateway.client();
    assert_eq!(held.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(std::net::TcpStream::connect(gateway.proxy).is_err());
}

#[test]
fn a_port_in_use_is_one_line_and_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for place in ["proxy", "admin"] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ports();
        match place {
            "proxy" => config["apisix"]["node_listen"][0]["port"] = json!(port),
            _ => config["deployment"]["admin"]["admin_listen"]["port"] = json!(port),
        }
        let ended = run_to_the_end(dir.path(), &config);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{place}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{place}: {said}");
        assert!(said.contains(&port.to_string()), "{place}: {said}");
        assert!(!String::from_utf8_lossy(&ended.stdout).contains("ready"), "{place}: says that it is ready");
    }
}

#[test]
fn settings_that_protect_and_cannot_be_honoured_end_the_start() {
    for (path, value) in [
        ("nginx_config/http_server_configuration_snippet", json!("deny all;")),
        ("nginx_config/main_configuration_snippet", json!("user x;")),
        ("apisix/lua_module_hook", json!("my_hook")),
        ("apisix/proxy_protocol", json!({ "listen_http_port": 9181 })),
        ("portcullis/no_such_setting", json!(1)),
        ("portcullis/compat/no-such-difference", json!(true)),
        ("portcullis/compat/secret-sealing", json!(true)),
        ("wasm", json!({ "plugins": [] })),
        ("ext-plugin", json!({ "cmd": ["x"] })),
        ("discovery", json!({ "consul": { "servers": ["http://127.0.0.1:8500"] } })),
        ("deployment/admin/https_admin", json!(true)),
        ("deployment/etcd/host", json!(["http://127.0.0.1:2379"])),
        ("deployment/role", json!("data_plane")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ports();
        let mut place = &mut config;
        for step in path.split('/') {
            place = &mut place[step];
        }
        *place = value;
        let ended = run_to_the_end(dir.path(), &config);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{path}: {said}");
        assert!(
            said.contains(path.rsplit('/').nth(usize::from(path.ends_with("host"))).unwrap()) || said.contains("etcd"),
            "{path}: {said}"
        );
        assert!(!String::from_utf8_lossy(&ended.stdout).contains("ready"), "{path}");
    }
}

#[test]
fn unreadable_settings_end_the_start() {
    for text in [
        "a: [",
        "apisix: 5",
        "apisix:\n  node_listen: x",
        "portcullis:\n  profile: none",
        "deployment:\n  admin:\n    admin_key:\n      - {name: a, key: edd1c9f034335f136f87ad84b625c8f1, role: admin}",
        "- a",
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c.yaml"), text).unwrap();
        let ended = Command::new("timeout")
            .arg("20")
            .arg(binary())
            .args(["run", "-c", "c.yaml"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{text:?}: {said}");
        assert!(said.contains("c.yaml"), "{text:?}: {said}");
        assert!(!said.contains("edd1c9f034335f136f87ad84b625c8f1"), "a key is printed: {said}");
    }
}

#[test]
fn usr1_opens_the_access_log_anew() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let log = gateway.dir.path().join("access.log");
    gateway.get("/before");
    wait_for("a line", || gateway.file("access.log").contains("/before").then_some(()));
    std::fs::rename(&log, gateway.dir.path().join("old.log")).unwrap();
    gateway.signal("USR1");
    wait_for("the new file", || log.exists().then_some(()));
    gateway.get("/after");
    wait_for("a line in the new file", || gateway.file("access.log").contains("/after").then_some(()));
    let old = gateway.file("old.log");
    assert!(old.contains("/before") && !old.contains("/after"), "{old}");
}

#[test]
fn acknowledged_writes_survive_kills_in_the_middle_of_writing() {
    let mut gateway = Gateway::start(json!({}));
    let mut all = Vec::new();
    for round in 0..10usize {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let (admin, count) = (gateway.admin, acknowledged.clone());
        let writer = std::thread::spawn(move || {
            let mut client = Client::connect(admin);
            for i in 0.. {
                let body = json!({ "nodes": { "127.0.0.1:1": 1 }, "desc": "d".repeat(200) }).to_string();
                client.send(format!(
                    "PUT /apisix/admin/upstreams/{round}-{i} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ));
                match client.response() {
                    Some(answer) if answer.is_complete && answer.status() == 201 => {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => return,
                }
            }
        });
        wait_for("some writes", || (acknowledged.load(Ordering::SeqCst) > 10 + round).then_some(()));
        gateway.kill();
        writer.join().unwrap();
        all.extend((0..acknowledged.load(Ordering::SeqCst)).map(|i| format!("{round}-{i}")));
        gateway.run();
        let (status, list) = gateway.admin("GET", "upstreams", &Value::Null);
        assert_eq!(status, 200);
        let there = list.to_string();
        for id in &all {
            assert!(there.contains(&format!("\"id\":\"{id}\"")), "{id} was acknowledged and is lost");
        }
    }
    assert!(!gateway.file("error.log").contains("damaged"), "{}", gateway.file("error.log"));
}

#[test]
fn a_damaged_store_never_becomes_an_empty_one() {
    let mut gateway = Gateway::start(json!({}));
    for i in 0..20 {
        gateway.put(&format!("upstreams/{i}"), &json!({ "nodes": { "127.0.0.1:1": 1 } }));
    }
    gateway.put("routes/all", &json!({ "uri": "/*", "plugins": { "key-auth": {} }, "upstream_id": "1" }));
    for _ in 0..2 {
        gateway.signal("TERM");
        assert_eq!(gateway.wait().code(), Some(0));
        gateway.run();
    }
    gateway.kill();
    let data = gateway.dir.path().join("data");
    let good: Vec<(std::path::PathBuf, Vec<u8>)> = std::fs::read_dir(&data)
        .unwrap()
        .flatten()
        .filter(|e| e.path().is_file())
        .map(|e| (e.path(), std::fs::read(e.path()).unwrap()))
        .collect();
    let store = data.join("store.redb");
    let whole = std::fs::read(&store).unwrap();
    let n = whole.len();
    let mut cases: Vec<(String, Option<Vec<u8>>)> = vec![
        ("empty".into(), Some(Vec::new())),
        ("missing".into(), None),
        ("garbage".into(), Some(b"garbage".repeat(1000))),
        ("zeros".into(), Some(vec![0; n])),
        ("cut in half".into(), Some(whole[..n / 2].to_vec())),
        ("cut at a page".into(), Some(whole[..4096].to_vec())),
        ("cut by a byte".into(), Some(whole[..n - 1].to_vec())),
        ("longer".into(), Some([&whole[..], &[0xff; 5000]].concat())),
    ];
    for at in (0..n.min(256 << 10)).step_by(4096) {
        let mut bytes = whole.clone();
        for byte in bytes.iter_mut().skip(at).take(512) {
            *byte ^= 0x5a;
        }
        cases.push((format!("512 bytes turned at {at}"), Some(bytes)));
    }
    let mut wrong = Vec::new();
    for with_copy in [true, false] {
        for (desc, bytes) in &cases {
            if desc == "missing" && !with_copy {
                // Nothing is left that tells this from a first start.
                continue;
            }
            for entry in std::fs::read_dir(&data).unwrap().flatten().filter(|e| e.path().is_file()) {
                std::fs::remove_file(entry.path()).unwrap();
            }
            for (path, bytes) in &good {
                std::fs::write(path, bytes).unwrap();
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
                let name = path.file_name().unwrap().to_string_lossy();
                if !with_copy && name.starts_with("last-good") {
                    std::fs::remove_file(path).unwrap();
                }
            }
            match bytes {
                Some(bytes) => std::fs::write(&store, bytes).unwrap(),
                None => std::fs::remove_file(&store).unwrap(),
            }
            match gateway.try_run() {
                Err(status) if status.code() == Some(1) => {}
                Err(status) => wrong.push(format!("{desc}, copy {with_copy}: ended with {status}")),
                Ok(()) => {
                    let there = gateway.admin("GET", "upstreams", &Value::Null).1.to_string();
                    let lost = (0..20).filter(|i| !there.contains(&format!("\"id\":\"{i}\""))).count();
                    if lost > 0 {
                        wrong.push(format!("{desc}, copy {with_copy}: started without {lost} of 20"));
                    }
                    if !matches!(gateway.get("/").status(), 401 | 502) {
                        wrong.push(format!("{desc}, copy {with_copy}: the route is gone"));
                    }
                    gateway.kill();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn two_thousand_changes_lose_no_request() {
    let one = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    let two = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    let gateway = Gateway::before(&one);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let (kept, fresh) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = gateway.client();
            while !is_over.load(Ordering::Relaxed) {
                let answer = client.ask("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
                let n = kept.fetch_add(1, Ordering::Relaxed);
                assert_eq!(answer.status(), 200, "after {n} requests");
                if answer.get("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) {
                    client = gateway.client();
                }
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let n = fresh.fetch_add(1, Ordering::Relaxed);
                assert_eq!(gateway.get("/y").status(), 200, "after {n} requests");
            }
        });
        let mut admin = Client::connect(gateway.admin);
        let mut call = |method: &str, path: &str, body: String| {
            let answer = admin.ask(format!(
                "{method} /apisix/admin/{path} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            assert!(matches!(answer.status(), 200 | 201), "{method} {path}: {} {}", answer.start, answer.text());
        };
        // Ends the clients even if a call fails.
        struct Over<'a>(&'a std::sync::atomic::AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _over = Over(&is_over);
        for i in 0..1000 {
            let (upstream, name) = if i % 2 == 0 { (&two, "two") } else { (&one, "one") };
            call("PUT", "routes/all", route_to(upstream.addr).to_string());
            if i % 20 == 0 {
                // What was acknowledged is in force.
                assert_eq!(gateway.get("/z").text(), name, "change {i}");
            }
            let id = format!("routes/r{}", i % 50);
            if (i / 50) % 2 == 0 {
                call(
                    "PUT",
                    &id,
                    json!({ "uri": format!("/r{i}/*"), "upstream": { "nodes": { one.addr.to_string(): 1 } } })
                        .to_string(),
                );
            } else {
                call("DELETE", &id, String::new());
            }
        }
    });
    assert!(kept.load(Ordering::Relaxed) > 100 && fresh.load(Ordering::Relaxed) > 100);
}

//! Configuration from a file, and whole configurations that are sent.

use e2e::{Client, Gateway, KEY, Message, Upstream, free_port, wait_for};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Instant};

/// A gateway that follows a file, with its control and status listeners.
struct Standalone {
    gateway: Gateway,
    control: SocketAddr,
    status: SocketAddr,
    name: &'static str,
}

impl Standalone {
    fn start(text: &str) -> Self {
        Self::start_in(&[], Some(text), json!({}))
    }

    fn start_in(environment: &[(&str, &str)], text: Option<&str>, deployment: Value) -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (control, status) = (local(free_port()), local(free_port()));
        let mut settings = json!({
            "apisix": {
                "enable_control": true,
                "control": { "ip": "127.0.0.1", "port": control.port() },
                "status": { "ip": "127.0.0.1", "port": status.port() },
            },
            "deployment": { "role": "data_plane", "role_data_plane": { "config_provider": "yaml" } },
        });
        let mut name = "apisix.yaml";
        if let Value::Object(fields) = deployment {
            for (key, value) in fields {
                if value["config_provider"] == "json" {
                    name = "apisix.json";
                }
                settings["deployment"][key] = value;
            }
        }
        let files: Vec<(&str, &str)> = text.into_iter().map(|text| (name, text)).collect();
        let gateway = Gateway::start_with(environment, &files, settings);
        for addr in [control, status] {
            wait_for("the control API to listen", || std::net::TcpStream::connect(addr).ok());
        }
        Self { gateway, control, status, name }
    }

    /// Puts another file in the place of the one there is.
    fn replace(&self, text: impl AsRef<[u8]>) {
        let folder = self.gateway.dir.path();
        std::fs::write(folder.join("new"), text).unwrap();
        std::fs::rename(folder.join("new"), folder.join(self.name)).unwrap();
    }

    fn ask(&self, path: &str) -> Message {
        self.gateway.get(path)
    }

    fn wait_for_status(&self, path: &str, status: u16) {
        wait_for(&format!("{path} to answer {status}"), || (self.ask(path).status() == status).then_some(()));
    }

    /// What the control API says of the configuration.
    fn report(&self) -> Value {
        let answer = get(self.control, "/v1/portcullis/status");
        serde_json::from_str(&answer.text()).unwrap()
    }

    /// Waits for another version of the file to be refused, and gives the reason.
    fn refusal(&self, failures: u64) -> String {
        let reason = wait_for("the file to be refused", || {
            let report = self.report();
            (report["reload_failures"] == failures).then(|| report["reload_problem"].as_str().unwrap().to_owned())
        });
        // The log escapes quotes.
        assert!(self.gateway.file("error.log").contains(reason.split('"').next().unwrap()), "{reason}");
        reason
    }
}

fn get(addr: SocketAddr, path: &str) -> Message {
    Client::connect(addr).ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
}

fn route(id: &str, path: &str, upstream: &Upstream) -> String {
    format!("- {{id: {id}, uri: {path}, upstream: {{nodes: {{'{}': 1}}}}}}\n", upstream.addr)
}

#[test]
fn a_file_is_served_and_its_changes_are_followed() {
    let upstream = Upstream::hello();
    let file = Standalone::start(&format!("routes:\n{}#END\n", route("1", "/a", &upstream)));
    assert_eq!(file.ask("/a").status(), 200);
    assert_eq!(get(file.status, "/status/ready").status(), 200);
    // No Admin API, but a control API.
    assert!(std::net::TcpStream::connect(file.gateway.admin).is_err());
    assert_eq!(get(file.control, "/v1/route/1").status(), 200);
    let before = file.report();
    assert_eq!((&before["problems"], &before["reload_failures"]), (&json!([]), &json!(0)));

    file.replace(format!("routes:\n{}{}#END", route("1", "/a", &upstream), route("2", "/b", &upstream)));
    file.wait_for_status("/b", 200);
    assert_eq!(file.report()["revision"], before["revision"].as_u64().unwrap() + 1);
    assert_eq!(file.ask("/a").status(), 200);
    file.replace(format!("routes:\n{}#END", route("2", "/b", &upstream)));
    file.wait_for_status("/a", 404);
    assert!(file.gateway.file("stdout").contains("apisix.yaml"), "{}", file.gateway.file("stdout"));
}

#[test]
fn json_and_the_traditional_role_without_admin_api() {
    let upstream = Upstream::hello();
    let json = json!({ "routes": [{ "uri": "/a", "upstream": { "nodes": { upstream.addr.to_string(): 1 } } }] });
    let file =
        Standalone::start_in(&[], Some(&json.to_string()), json!({ "role_data_plane": { "config_provider": "json" } }));
    assert_eq!(file.ask("/a").status(), 200);
    assert_eq!(get(file.control, "/v1/route/arr_1").status(), 200);
    file.replace("{\"routes\":[\n{\"uri\":\"/b\"]}");
    let reason = file.refusal(1);
    assert!(reason.contains("apisix.json: line 2: "), "{reason}");
    assert_eq!(file.ask("/a").status(), 200);

    let gateway = Gateway::start_with(
        &[],
        &[("apisix.yaml", &format!("routes:\n{}#END", route("1", "/a", &upstream)))],
        json!({
            "apisix": { "enable_admin": false },
            "deployment": { "role_traditional": { "config_provider": "yaml" } },
        }),
    );
    assert_eq!(gateway.get("/a").status(), 200);
}

#[test]
fn a_broken_file_leaves_the_configuration_as_it_was() {
    let upstream = Upstream::hello();
    let good = format!("routes:\n{}", route("1", "/a", &upstream));
    let file = Standalone::start(&format!("{good}#END"));
    let before = file.report();
    let bomb: String =
        (1..9).map(|n| format!("x-{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))).collect();
    let rows = [
        ("routes: []\n".to_owned(), "missing valid end flag"),
        ("routes:\n- id: 1\n  uri: /b\n  id: 2\n#END".to_owned(), "line 4, column 3: duplicate key \"id\""),
        ("routes:\n\t- uri: /b\n#END".to_owned(), "line 2, column"),
        (format!("x-0: &a0 [x,x,x,x,x,x,x,x,x,x]\n{bomb}#END"), "too many values"),
        ("routes: [{uri: '${{NOT_SET_ANYWHERE}}'}]\n#END".to_owned(), "environment variable NOT_SET_ANYWHERE"),
        ("global_rule: []\n#END".to_owned(), "line 1: unknown section \"global_rule\""),
        (format!("{good}- {{id: 1, uri: /b}}\n#END"), "line 3: found duplicate id 1 in routes, it is also on line 2"),
    ];
    for (failures, (text, reason)) in (1..).zip(&rows) {
        file.replace(text);
        let found = file.refusal(failures);
        assert!(found.contains(reason), "{found}");
        let now = file.report();
        assert_eq!((&now["digest"], &now["revision"]), (&before["digest"], &before["revision"]));
        assert_eq!(file.ask("/a").status(), 200);
    }
    let metrics = "- {id: m, uri: /apisix/prometheus/metrics, plugins: {public-api: {}}}\n";
    file.replace(format!("{good}{}{metrics}#END", route("2", "/b", &upstream)));
    file.wait_for_status("/b", 200);
    let counted = format!("apisix_config_reload_failures_total {}\n", rows.len());
    let metrics = file.ask("/apisix/prometheus/metrics").text();
    assert!(metrics.contains(&counted), "{metrics}");
    let after = file.report();
    assert_eq!((&after["reload_failures"], &after["reload_problem"]), (&json!(rows.len()), &Value::Null));
}

#[test]
fn a_bad_object_is_quarantined_alone() {
    let upstream = Upstream::hello();
    let file = Standalone::start(&format!("routes:\n{}#END", route("1", "/a", &upstream)));
    let protected = |key: &str, path: &str, plugin: &str| {
        format!(
            "- {{{key}uri: {path}, plugins: {{{plugin}: {{}}}}, upstream: {{nodes: {{'{}': 1}}}}}}\n",
            upstream.addr
        )
    };
    file.replace(format!(
        "routes:\n{}{}{}#END",
        protected("id: 1, ", "/a", "no-such-plugin"),
        protected("", "/b", "no-such-plugin"),
        route("3", "/*", &upstream),
    ));
    file.wait_for_status("/c", 200);
    // Last good version of the one, none of the other: it is closed, and not left to the route for everything.
    assert_eq!((file.ask("/a").status(), file.ask("/b").status()), (200, 503));
    let report = file.report();
    let problems: Vec<(&str, bool)> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["key"].as_str().unwrap(), p["message"].as_str().unwrap().contains("unknown plugin")))
        .collect();
    assert_eq!(problems, [("/routes/1", true), ("/routes/arr_2", true)]);
    let place = |n: usize| report["problems"][n]["place"].as_str().unwrap().to_owned();
    assert!(place(0).ends_with("apisix.yaml:2") && place(1).ends_with("apisix.yaml:3"), "{report}");
    assert!(file.gateway.file("error.log").contains("apisix.yaml:3"));
    assert_eq!(report["reload_failures"], 0);

    // The same one line further down: only its place is another.
    file.replace(format!(
        "# moved\nroutes:\n{}{}#END",
        protected("id: 1, ", "/a", "no-such-plugin"),
        route("4", "/d", &upstream)
    ));
    file.wait_for_status("/c", 404);
    let report = file.report();
    assert!(report["problems"][0]["place"].as_str().unwrap().ends_with("apisix.yaml:3"), "{report}");

    // A global rule that cannot be built closes everything.
    file.replace(format!(
        "global_rules: [{{id: 1, plugins: {{no-such-plugin: {{}}}}}}]\nroutes:\n{}#END",
        route("4", "/d", &upstream)
    ));
    file.wait_for_status("/d", 503);
}

#[test]
fn variables_of_the_environment_are_replaced() {
    let upstream = Upstream::hello();
    let text = "routes: [{id: 1, uri: '${{ROUTE_PATH}}', priority: ${{PRIORITY:=7}}, plugins: {key-auth: {}}, upstream_id: u}]\n\
                upstreams: [{id: u, nodes: {'${{NODE}}': 1}}]\n\
                consumers:\n- {username: jack, plugins: {key-auth: {key: '${{KEY}}'}}}\n\
                - {id: jack/credentials/two, plugins: {key-auth: {key: second}}}\n#END";
    let node = upstream.addr.to_string();
    let environment = [("ROUTE_PATH", "/a"), ("NODE", node.as_str()), ("KEY", "0123")];
    let file = Standalone::start_in(&environment, Some(text), json!({}));
    let with =
        |key: &str| file.gateway.client().ask(format!("GET /a HTTP/1.1\r\nHost: a\r\napikey: {key}\r\n\r\n")).status();
    assert_eq!((with("0123"), with("second"), with("123")), (200, 200, 401));
    let shown: Value = serde_json::from_str(&get(file.control, "/v1/route/1").text()).unwrap();
    assert_eq!(shown["value"]["priority"], 7);
}

#[test]
fn counters_outlive_changes_of_other_objects() {
    let upstream = Upstream::hello();
    let counted = format!(
        "- {{id: 1, uri: /a, plugins: {{limit-count: {{count: 2, time_window: 3600, rejected_code: 429}}}}, \
         upstream: {{nodes: {{'{}': 1}}}}}}\n",
        upstream.addr
    );
    let file = Standalone::start(&format!("routes:\n{counted}#END"));
    assert_eq!((file.ask("/a").status(), file.ask("/a").status()), (200, 200));
    file.replace(format!("routes:\n{}{counted}#END", route("2", "/b", &upstream)));
    file.wait_for_status("/b", 200);
    assert_eq!(file.ask("/a").status(), 429);
}

#[test]
fn the_order_of_a_file_decides_among_equals() {
    let (one, two, three) = (Upstream::hello(), Upstream::hello(), Upstream::hello());
    let version = |order: &[(&str, &Upstream)]| {
        let routes: String = order.iter().map(|(id, upstream)| route(id, "/a", upstream)).collect();
        format!("routes:\n{routes}#END")
    };
    let file = Standalone::start(&version(&[("1", &one)]));
    let versions: [&[(&str, &Upstream)]; 5] = [
        &[("1", &one), ("2", &two)],
        // One that comes later, and stands before those that were there.
        &[("3", &three), ("1", &one), ("2", &two)],
        &[("2", &two), ("3", &three), ("1", &one)],
        &[("1", &one), ("3", &three)],
        &[("3", &three), ("1", &one)],
    ];
    for order in versions {
        file.replace(version(order));
        let ids: Vec<&str> = order.iter().map(|(id, _)| *id).collect();
        wait_for("the file to be taken", || {
            let routes: Value = serde_json::from_str(&get(file.control, "/v1/routes").text()).unwrap();
            let shown: Vec<&str> =
                routes.as_array().unwrap().iter().map(|route| route["value"]["id"].as_str().unwrap()).collect();
            (shown == ids).then_some(())
        });
        let counts = || [&one, &two, &three].map(|upstream| upstream.requests().len());
        let before = counts();
        assert_eq!(file.ask("/a").status(), 200);
        let after = counts();
        let first = ["1", "2", "3"].iter().position(|id| *id == ids[0]).unwrap();
        assert_eq!(after[first], before[first] + 1, "{ids:?}");
    }
}

#[test]
fn the_plugins_that_a_file_lists_are_those_that_are_enabled() {
    let upstream = Upstream::hello();
    let guarded = |id: &str, plugins: &str| {
        format!("- {{id: {id}, uri: /{id}, plugins: {{{plugins}}}, upstream: {{nodes: {{'{}': 1}}}}}}\n", upstream.addr)
    };
    let counted = guarded("counted", "limit-count: {count: 2, time_window: 3600, rejected_code: 429}");
    // Nothing behind the name of a plugin is all of its defaults.
    let routes = format!("routes:\n{counted}{}{}", guarded("keyed", "key-auth: "), route("plain", "/plain", &upstream));
    let file = Standalone::start(&format!("{routes}#END"));
    let statuses = || ["/counted", "/keyed", "/plain"].map(|path| file.ask(path).status());
    assert_eq!(statuses(), [200, 401, 200]);

    file.replace(format!("{routes}plugins: [{{name: limit-count}}, {{name: mqtt-proxy, stream: true}}]\n#END"));
    file.wait_for_status("/keyed", 503);
    // What is left out closes what it should protect, and what stays has not forgotten what it has counted.
    assert_eq!([file.ask("/counted").status(), file.ask("/counted").status()], [200, 429]);
    assert_eq!(file.ask("/plain").status(), 200);
    let report = file.report();
    assert_eq!(report["problems"][0]["key"], "/routes/keyed");
    assert_eq!(report["problems"][0]["message"], "unknown plugin [key-auth]");
    let schema: Value = serde_json::from_str(&get(file.control, "/v1/schema").text()).unwrap();
    assert_eq!(schema["plugins"].as_object().unwrap().keys().collect::<Vec<_>>(), ["limit-count"]);

    file.replace(format!("{routes}plugins:\n#END"));
    file.wait_for_status("/counted", 503);
    assert_eq!([file.ask("/keyed").status(), file.ask("/plain").status()], [503, 200]);

    file.replace(format!("{routes}#END"));
    file.wait_for_status("/keyed", 401);
    assert_eq!(file.report()["problems"], json!([]));
    assert_eq!([file.ask("/counted").status(), file.ask("/plain").status()], [429, 200]);
}

#[test]
fn a_file_is_waited_for() {
    let upstream = Upstream::hello();
    let file = Standalone::start_in(&[], None, json!({}));
    assert_eq!((file.ask("/a").status(), get(file.status, "/status/ready").status()), (404, 503));
    assert_eq!(get(file.status, "/status").status(), 200);
    assert!(file.refusal(1).contains("cannot be read"));
    file.replace(format!("routes:\n{}#END", route("1", "/a", &upstream)));
    file.wait_for_status("/a", 200);
    assert_eq!(get(file.status, "/status/ready").status(), 200);
    std::fs::remove_file(file.gateway.dir.path().join("apisix.yaml")).unwrap();
    assert!(file.refusal(2).contains("cannot be read"));
    assert_eq!((file.ask("/a").status(), get(file.status, "/status/ready").status()), (200, 200));
}

/// The file is put in its place again and again, and written in place: every answer is that of a whole version.
#[test]
fn a_file_that_is_replaced_all_the_time_is_never_half_applied() {
    let upstream = Upstream::hello();
    let version = |n: usize| {
        let routes: String = (0..300).map(|at| route(&format!("r{at}"), &format!("/{n}/{at}"), &upstream)).collect();
        format!("routes:\n{routes}#END")
    };
    let file = Standalone::start(&version(0));
    let path = file.gateway.dir.path().join("apisix.yaml");
    let until = Instant::now() + std::time::Duration::from_secs(3);
    let mut n = 0;
    while Instant::now() < until {
        n += 1;
        if n % 2 == 0 {
            file.replace(version(n));
        } else {
            std::fs::write(&path, version(n)).unwrap();
        }
        let routes: Value = serde_json::from_str(&get(file.control, "/v1/routes").text()).unwrap();
        let versions: std::collections::BTreeSet<String> = routes
            .as_array()
            .unwrap()
            .iter()
            .map(|route| route["value"]["uri"].as_str().unwrap().split('/').nth(1).unwrap().to_owned())
            .collect();
        assert_eq!((routes.as_array().unwrap().len(), versions.len()), (300, 1), "{versions:?}");
    }
    file.replace(version(n + 1));
    file.wait_for_status(&format!("/{}/299", n + 1), 200);
}

#[test]
fn roles_that_cannot_be_played_are_refused_with_the_way_out() {
    for (deployment, reason) in [
        (json!({ "role": "control_plane" }), "control_plane needs etcd, which is not available"),
        (json!({ "role": "data_plane" }), "set deployment.role_data_plane.config_provider to yaml or json"),
        (json!({ "role_traditional": { "config_provider": "etcd" } }), "the store etcd is not available"),
        (json!({ "role_traditional": { "config_provider": "json" } }), "json is for role data_plane"),
        (
            json!({ "role": "data_plane", "role_data_plane": { "config_provider": "embedded" } }),
            "nothing would fill the embedded store",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = json!({ "deployment": deployment, "portcullis": { "data_dir": dir.path().join("data") } });
        std::fs::write(dir.path().join("config.yaml"), config.to_string()).unwrap();
        let ended = std::process::Command::new(e2e::binary())
            .args(["run", "-c", "config.yaml"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{text}");
        assert!(text.contains(reason), "{text}");
    }
}

/// The gateway of the API-driven mode, and a way to send it configurations.
struct Driven(Gateway);

impl Driven {
    fn start() -> Self {
        Self(Gateway::start(json!({ "deployment": { "role_traditional": { "config_provider": "yaml" } } })))
    }

    fn ask(&self, method: &str, fields: &str, body: &str) -> Message {
        let text = format!(
            "{method} /apisix/admin/configs HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\n{fields}Content-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        Client::connect(self.0.admin).ask(text)
    }

    fn put(&self, digest: &str, body: &Value) -> (u16, String) {
        let answer = self.ask("PUT", &format!("X-Digest: {digest}\r\n"), &body.to_string());
        (answer.status(), answer.text())
    }
}

#[test]
fn whole_configurations_are_sent() {
    let upstream = Upstream::hello();
    let mut driven = Driven::start();
    let config = |version: u64, path: &str| {
        json!({
            "routes_conf_version": version,
            "routes": [{ "id": "r", "uri": path, "upstream_id": "u", "modifiedIndex": version }],
            "upstreams": [{ "id": "u", "nodes": { upstream.addr.to_string(): 1 } }],
        })
    };
    assert_eq!(driven.0.get("/a").status(), 404);
    assert_eq!(driven.put("1", &config(7, "/a")), (202, String::new()));
    // It is in force when the answer is there.
    assert_eq!(driven.0.get("/a").status(), 200);
    assert_eq!(driven.put("1", &config(8, "/b")).0, 204);
    let (status, why) = driven.put("2", &config(6, "/b"));
    assert_eq!(
        (status, why.trim_end()),
        (400, r#"{"error_msg":"routes_conf_version must be greater than or equal to (7)"}"#)
    );
    assert_eq!(driven.ask("PUT", "", "{}").text().trim_end(), r#"{"error_msg":"missing digest header"}"#);
    assert_eq!(driven.0.get("/a").status(), 200);

    let shown = driven.ask("GET", "", "");
    assert_eq!((shown.status(), shown.get("x-digest")), (200, Some("1")));
    let shown: Value = serde_json::from_str(&shown.text()).unwrap();
    assert_eq!((&shown["routes_conf_version"], &shown["upstreams_conf_version"]), (&json!(7), &json!(1)));
    let head = driven.ask("HEAD", "", "");
    assert_eq!((head.status(), head.get("x-digest"), head.get("x-last-modified").is_some()), (200, Some("1"), true));
    let yaml = driven.ask("GET", "Accept: application/yaml\r\n", "").text();
    let yaml = yaml.replace("/a", "/c").replace(": 7", ": 9");
    let sent = driven.ask("PUT", "X-Digest: 3\r\nContent-Type: application/yaml\r\n", &yaml);
    assert_eq!(sent.status(), 202, "{}", sent.text());
    assert_eq!((driven.0.get("/a").status(), driven.0.get("/c").status()), (404, 200));

    assert_eq!(driven.0.admin("GET", "routes", &Value::Null).0, 404);
    let (status, found) = driven.0.admin("POST", "configs/validate", &json!({ "routes": [{ "id": "x", "uri": 1 }] }));
    assert_eq!((status, &found["errors"][0]["resource_id"]), (400, &json!("x")));

    // More than another body of the Admin API may have, and the counters of what did not change stay.
    let many: Vec<Value> = (0..30_000)
        .map(|n| json!({ "id": format!("r{n}"), "uri": format!("/many/{n}"), "plugins": {}, "upstream_id": "u" }))
        .collect();
    let large = json!({ "routes": many, "upstreams": config(1, "/")["upstreams"] });
    assert!(large.to_string().len() > 3 << 19);
    assert_eq!(driven.put("4", &large), (202, String::new()));
    assert_eq!(driven.0.get("/many/29999").status(), 200);

    // Nothing is kept.
    driven.0.kill();
    driven.0.run();
    assert_eq!((driven.0.get("/many/1").status(), driven.ask("HEAD", "", "").get("x-digest")), (404, None));
}

//! Metrics, as a server of them reads them.

use e2e::{Client, Gateway, PATIENCE, Upstream, free_port, route_to, wait_for};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Instant,
};

fn get(addr: SocketAddr, path: &str) -> e2e::Message {
    Client::connect(addr).ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
}

/// What Prometheus' own tool says of the text, where it is installed.
fn lint(text: &str) -> Option<String> {
    let tool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = tool.ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    let said = child.wait_with_output().ok()?;
    Some(String::from_utf8_lossy(&said.stderr).into_owned())
}

#[test]
fn settings_decide_where_metrics_are_and_how_they_look() {
    let export: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let attr = json!({
        "enable_export_server": true,
        "export_addr": { "ip": "127.0.0.1", "port": export.port() },
        "export_uri": "/own/metrics",
        "metric_prefix": "gate_",
        "default_buckets": [10, 60_000],
        "refresh_interval": 15,
        "metrics": {
            "http_status": { "extra_labels": [{ "verb": "$request_method" }, { "from": "$upstream_http_x_from" }] },
            "bandwidth": { "expire": 0 },
        },
    });
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nX-From: \"there\"\r\nContent-Length: 5\r\n\r\nhello");
    let gateway = Gateway::start(json!({ "plugin_attr": { "prometheus": attr } }));
    // Before there is anything that counts.
    wait_for("the export server", || std::net::TcpStream::connect(export).ok());
    let text = get(export, "/own/metrics").text();
    assert!(text.contains("gate_node_info{") && !text.contains("apisix_"), "{text}");
    assert_eq!(get(export, "/apisix/prometheus/metrics").status(), 404);
    assert_eq!(gateway.file("stderr"), "", "nothing is without effect");

    let mut route = route_to(upstream.addr);
    route["plugins"] = json!({ "prometheus": {} });
    gateway.put("routes/counted", &route);
    for _ in 0..3 {
        assert_eq!(gateway.get("/x").status(), 200);
    }
    let text = wait_for("three requests", || {
        let text = get(export, "/own/metrics").text();
        let counted = text.lines().find(|line| line.starts_with("gate_http_status{"))?;
        counted.ends_with(" 3").then_some(text.clone())
    });
    let line = |start: &str| {
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {text}")).to_owned()
    };
    let status = line("gate_http_status{code=\"200\",route=\"counted\"");
    assert!(status.contains("verb=\"GET\"") && status.contains("from=\"\\\"there\\\"\""), "{status}");
    let bounds: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("gate_http_latency_bucket{type=\"request\""))
        .filter_map(|line| line.split("le=\"").nth(1)?.split('"').next())
        .collect();
    assert_eq!(bounds, ["10", "60000", "+Inf"]);
    line("gate_bandwidth{type=\"egress\"");
    if let Some(said) = lint(&text) {
        // It also has opinions on names; those are APISIX's.
        let broken: Vec<_> = said.lines().filter(|line| line.contains("error while linting")).collect();
        assert!(broken.is_empty(), "{said}");
    }
}

#[test]
fn series_that_nobody_touches_expire() {
    let export: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let attr = json!({
        "enable_export_server": true,
        "export_addr": { "ip": "127.0.0.1", "port": export.port() },
        "metrics": { "http_status": { "expire": 1 } },
    });
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({ "plugin_attr": { "prometheus": attr } }));
    let mut route = route_to(upstream.addr);
    route["plugins"] = json!({ "prometheus": {} });
    gateway.put("routes/counted", &route);
    assert_eq!(gateway.get("/x").status(), 200);
    let metrics = || get(export, "/apisix/prometheus/metrics").text();
    wait_for("the bandwidth", || metrics().contains("apisix_bandwidth{").then_some(()));
    wait_for("the end of the series", || (!metrics().contains("apisix_http_status{")).then_some(()));
    assert!(metrics().contains("apisix_bandwidth{"), "what does not expire stays");
}

#[test]
fn wrong_settings_end_the_start_and_useless_ones_are_named() {
    for (wrong, named) in [
        (json!({ "export_addr": { "ip": "nonsense" } }), "export_addr.ip"),
        (json!({ "export_addr": { "port": 99_999 } }), "export_addr.port"),
        (json!({ "export_addr": "127.0.0.1:9091" }), "export_addr"),
        (json!({ "export_uri": 5 }), "export_uri"),
        (json!({ "enable_export_server": "yes" }), "enable_export_server"),
        (json!({ "metric_prefix": "1-" }), "metric_prefix"),
        (json!({ "default_buckets": ["a"] }), "default_buckets"),
        (
            json!({ "metrics": { "http_status": { "extra_labels": { "a": "$b" } } } }),
            "metrics.http_status.extra_labels",
        ),
        (json!({ "metrics": { "bandwidth": { "expire": "soon" } } }), "metrics.bandwidth.expire"),
        (json!({ "metrics": [] }), "metrics"),
    ] {
        let mut gateway = Gateway::start(json!({}));
        gateway.kill();
        let mut config: Value = serde_json::from_str(&gateway.file("config.yaml")).unwrap();
        for (name, value) in wrong.as_object().unwrap() {
            config["plugin_attr"]["prometheus"][name] = value.clone();
        }
        std::fs::write(gateway.dir.path().join("config.yaml"), config.to_string()).unwrap();
        let mut child = gateway.spawn();
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until || child.kill().is_err(), "it runs with {wrong}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let said = gateway.file("stderr");
        assert_eq!(status.code(), Some(1), "{wrong}: {said}");
        assert!(said.contains(&format!("plugin_attr.prometheus.{named} should be")), "{wrong}: {said}");
    }
    let attr = json!({
        "refresh_interval": 5,
        "llm_latency_buckets": [1],
        "metrics": { "upstream_status": { "expire": 1 }, "http_status": { "extra_label": [] } },
    });
    let gateway = Gateway::start(json!({ "plugin_attr": { "prometheus": attr } }));
    let said = gateway.file("stderr");
    for named in
        ["refresh_interval", "llm_latency_buckets", "metrics.upstream_status", "metrics.http_status.extra_label"]
    {
        assert!(said.contains(&format!("plugin_attr.prometheus.{named}: ")), "{named} is not in {said}");
    }
}

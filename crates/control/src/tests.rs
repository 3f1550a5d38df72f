//! Rows of a request and its answer.

use super::*;
use plugin::{Description, ReplyBody, Shared};

struct Fake {
    revision: Option<u64>,
    exports: bool,
}

impl View for Fake {
    fn document(&self, key: &Key) -> Option<Document> {
        self.documents(key.kind()).into_iter().find(|document| document.key == *key)
    }

    fn documents(&self, kind: Kind) -> Vec<Document> {
        let of = |key: &str, value| Document { key: Key::parse(key).unwrap(), value, created: 3, modified: 4 };
        match kind {
            Kind::Route => vec![of("/routes/1", json!({ "uri": "/a" }))],
            Kind::Upstream => vec![of("/upstreams/u", json!({ "checks": { "active": { "type": "http" } } }))],
            Kind::PluginMetadata => vec![of("/plugin_metadata/prometheus", json!({ "id": "prometheus" }))],
            _ => Vec::new(),
        }
    }

    fn completed(&self, document: &Document) -> Value {
        let mut value = document.value.clone();
        if document.key.kind() == Kind::Route {
            value["status"] = json!(1);
        }
        value
    }

    fn plugins(&self) -> Vec<Description> {
        let spec = plugin::Spec {
            schema: "{}",
            version: 0.1,
            class: plugin::PluginClass::Other,
            run_policy: plugin::RunPolicy::Always,
            posture: plugin::Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
        };
        let plugin = Description {
            name: "prometheus",
            priority: 500,
            spec,
            build: |_, _| Err(plugin::BuildError("not built here".to_owned())),
            metadata: |_| Err(plugin::BuildError("not built here".to_owned())),
            reword: |_, _| None,
            lint: |_| Vec::new(),
            credential: None,
            index_attribute: "",
            prepare: |_, _| Ok(Vec::new()),
            public_apis: |_| Vec::new(),
            control_apis: || {
                let handle = |_: &ExportEnv<'_>| Reply::json(200, &json!({ "of": "a plugin" }));
                vec![plugin::ControlApi { method: Method::Get, uri: "/v1/plugin_info", handle }]
            },
            decorations: None,
            export: Some(|_| b"up 1\n".to_vec()),
        };
        if self.exports { vec![plugin] } else { Vec::new() }
    }

    fn findings(&self) -> Value {
        json!([{ "rule": "a-rule" }])
    }

    fn explain(&self, question: &[u8]) -> Result<Value, String> {
        serde_json::from_slice(question).map_err(|error| error.to_string())
    }

    fn revision(&self) -> Option<u64> {
        self.revision
    }

    fn digest(&self) -> String {
        "ab".to_owned()
    }

    fn problems(&self) -> Vec<Problem> {
        vec![Problem {
            key: "/routes/9".to_owned(),
            json_path: "/uri".to_owned(),
            message: "wrong".to_owned(),
            place: Some("f:3".to_owned()),
        }]
    }

    fn health(&self, key: &Key) -> Vec<NodeHealth> {
        let node = NodeHealth {
            ip: "10.0.0.1".to_owned(),
            port: 80,
            hostname: "<h>".to_owned(),
            hostheader: Some("h".to_owned()),
            status: "mostly_unhealthy",
            success: 1,
            http_failure: 2,
            tcp_failure: 3,
            timeout_failure: 4,
        };
        if key.kind() == Kind::Upstream { vec![node] } else { Vec::new() }
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::new(Shared::default())
    }
}

fn api(revision: Option<u64>, exports: bool) -> ControlApi<Fake> {
    ControlApi::new(Arc::new(Fake { revision, exports }), |_| json!({ "p": {} }), None, "/apisix")
}

fn shown(reply: &Reply) -> (u16, String) {
    let text = match &reply.body {
        ReplyBody::Default => "<page>".to_owned(),
        ReplyBody::Bytes(bytes) => String::from_utf8_lossy(bytes).trim_end().to_owned(),
    };
    (reply.status, text)
}

#[test]
fn control() {
    let route = r#"{"key":"/apisix/routes/1","has_domain":false,"value":{"uri":"/a","status":1},"createdIndex":3,"modifiedIndex":4}"#;
    let routes = format!("[{route}]");
    let checker = r#"{"name":"/apisix/upstreams/u","nodes":[{"ip":"10.0.0.1","port":80,"hostname":"<h>","status":"mostly_unhealthy","counter":{"success":1,"http_failure":2,"tcp_failure":3,"timeout_failure":4},"hostheader":"h"}],"type":"http"}"#;
    let checkers = format!("[{checker}]");
    let rows: &[(&str, &str, u16, &str)] = &[
        ("GET", "/v1/routes", 200, &routes),
        ("GET", "/v1/route/1", 200, route),
        ("GET", "/v1/route/2", 404, r#"{"error_msg":"route[2] not found"}"#),
        ("GET", "/v1/route/", 404, r#"{"error_msg":"route[] not found"}"#),
        ("GET", "/v1/services", 200, "{}"),
        ("GET", "/v1/service/1", 404, r#"{"error_msg":"service[1] not found"}"#),
        ("GET", "/v1/upstream/x", 404, r#"{"error_msg":"upstream[x] not found"}"#),
        ("GET", "/v1/plugin_metadatas", 200, r#"[{"id":"prometheus"}]"#),
        ("GET", "/v1/plugin_metadata/prometheus", 200, r#"{"id":"prometheus"}"#),
        ("GET", "/v1/plugin_metadata/x", 404, r#"{"error_msg":"plugin metadata[x] not found"}"#),
        ("POST", "/v1/gc", 200, ""),
        ("GET", "/v1/gc", 404, "<page>"),
        ("PUT", "/v1/plugins/reload", 200, "done"),
        ("GET", "/v1/plugins/reload", 404, "<page>"),
        ("GET", "/v1/healthcheck", 200, &checkers),
        ("GET", "/v1/healthcheck/routes/1", 404, r#"{"error_msg":"no checker for routes[1]"}"#),
        ("GET", "/v1/healthcheck/routes/2", 404, r#"{"error_msg":"routes[2] not found"}"#),
        ("GET", "/v1/healthcheck/upstreams/u", 200, checker),
        ("GET", "/v1/healthcheck/x/1", 400, r#"{"error_msg":"invalid src type x"}"#),
        ("GET", "/v1/healthcheck/routes", 404, r#"{"error_msg":"missing src id for src type routes"}"#),
        (
            "GET",
            "/v1/portcullis/status",
            200,
            r#"{"revision":7,"digest":"ab","problems":[{"key":"/routes/9","json_path":"/uri","message":"wrong","place":"f:3"}],"reload_failures":0,"reload_problem":null,"plugin_panics":{}}"#,
        ),
        ("GET", "/", 404, "<page>"),
        ("GET", "/v1/", 404, "<page>"),
        // Services in DNS leave nothing that could be dumped.
        ("GET", "/v1/discovery/dns/dump", 404, "<page>"),
        ("GET", "/v1/discovery/nacos/show_dump_file", 404, "<page>"),
        ("DELETE", "/v1/route/1", 404, "<page>"),
        ("GET", "/apisix/admin/routes", 404, "<page>"),
    ];
    let api = api(Some(7), true);
    for (method, path, status, want) in rows {
        let reply = api.handle(ask(&Method::from_bytes(method.as_bytes()).unwrap(), path));
        assert_eq!(shown(&reply), (*status, (*want).to_owned()), "{method} {path}");
    }
}

#[test]
fn schemas() {
    let (status, text) = shown(&api(None, true).handle(ask(&Method::Get, "/v1/schema")));
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &body["plugins"], &body["stream_plugins"]), (200, &json!({ "p": {} }), &json!({})));
    assert_eq!(body["main"].as_object().unwrap().len(), MAIN_SCHEMAS.len());
    assert!(body["main"]["consumer_group"]["properties"].is_object());
}

#[test]
fn probes() {
    for (revision, path, status, want) in [
        (None, "/status", 200, r#"{"status":"ok"}"#),
        (Some(0), "/status/ready", 200, r#"{"status":"ok"}"#),
        (None, "/status/ready", 503, r#"{"status":"error","error":"worker id: 0 has not received configuration"}"#),
        (None, "/", 404, "<page>"),
    ] {
        assert_eq!(shown(&api(revision, true).status(path)), (status, want.to_owned()), "{path}");
    }
}

#[test]
fn exports() {
    let path = "/apisix/prometheus/metrics";
    for (exports, method, path, status, want) in [
        (true, Method::Get, path, 200, "up 1"),
        (true, Method::Post, path, 404, "<page>"),
        (true, Method::Get, "/", 404, "<page>"),
        (false, Method::Get, path, 200, "{}"),
    ] {
        assert_eq!(shown(&api(None, exports).export(&method, path)), (status, want.to_owned()), "{method} {path}");
    }
}

#[test]
fn plugins_answer_at_their_own_paths() {
    for (exports, method, path, want) in [
        (true, Method::Get, "/v1/plugin_info", (200, r#"{"of":"a plugin"}"#)),
        (true, Method::Post, "/v1/plugin_info", (404, "<page>")),
        (true, Method::Get, "/v1/plugin_info/x", (404, "<page>")),
        (false, Method::Get, "/v1/plugin_info", (404, "<page>")),
    ] {
        let (status, text) = shown(&api(None, exports).handle(ask(&method, path)));
        assert_eq!((status, text.trim_end()), want, "{method} {path}");
    }
}

#[test]
fn health_as_a_page() {
    for path in ["/v1/healthcheck", "/v1/healthcheck/upstreams/u"] {
        let reply = api(None, true).handle(Request { accept: Some(b"text/html,*/*"), ..ask(&Method::Get, path) });
        assert_eq!(reply.fields.get("content-type"), Some(&b"text/html"[..]));
        let (status, html) = shown(&reply);
        assert_eq!(status, 200);
        let row = "<tr bgcolor=\"#FF0000\"><td>1</td><td>/apisix/upstreams/u</td><td>http</td><td>10.0.0.1:80</td>\
                   <td>mostly_unhealthy</td><td>1</td><td>3</td><td>2</td><td>4</td></tr>";
        assert!(html.contains(row), "{html}");
    }
}

fn ask<'a>(method: &'a Method, path: &'a str) -> Request<'a> {
    Request { method, path, accept: None, body: b"" }
}

#[test]
fn a_configuration_is_checked_and_a_request_explained() {
    let api = api(Some(7), true);
    let (status, text) = shown(&api.handle(ask(&Method::Get, "/v1/portcullis/check")));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["findings"]), (200, &json!([{ "rule": "a-rule" }])));
    assert!(answer["problems"].is_array());
    for (body, status, part) in [(r#"{"url":"/a"}"#, 200, r#"{"url":"/a"}"#), ("{", 400, "error_msg")] {
        let request = Request { body: body.as_bytes(), ..ask(&Method::Post, "/v1/portcullis/explain") };
        let (got, text) = shown(&api.handle(request));
        assert_eq!(got, status, "{body}");
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(shown(&api.handle(ask(&Method::Get, "/v1/portcullis/explain"))).0, 404);
}

//! Rows of a request and its answer, over a configuration in memory.

use super::*;
use model::documents::{self, Document, Key};
use parking_lot::Mutex;
use plugin::{Description, ReplyBody};
use serde_json::json;
use std::{collections::BTreeMap, future::Future};

// === the configuration ===

#[derive(Default)]
struct Fake {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    revision: u64,
    documents: BTreeMap<String, Document>,
    /// How many writes still meet a change of somebody else.
    conflicts: usize,
    is_down: bool,
}

impl Configuration for Fake {
    fn document(&self, key: &Key) -> Option<Document> {
        self.state.lock().documents.get(&key.path()).cloned()
    }

    fn documents(&self, kind: Kind, consumer: Option<&str>) -> Vec<Document> {
        let state = self.state.lock();
        let is_of = |key: &Key| key.kind() == kind && key.parent() == consumer;
        state.documents.values().filter(|stored| is_of(&stored.key)).cloned().collect()
    }

    async fn next_id(&self) -> Result<String, WriteError> {
        Ok(format!("{:020}", self.state.lock().revision + 1))
    }

    fn check(&self, key: &Key, value: &Value) -> Result<(), String> {
        let checked = documents::schema(key.kind()).check(value);
        checked.map_err(|violation| format!("invalid configuration: {violation}"))
    }

    fn check_delete(&self, key: &Key) -> Result<(), String> {
        if key.kind() != Kind::Upstream {
            return Ok(());
        }
        let routes = self.documents(Kind::Route, None);
        let user = routes.into_iter().find(|route| route.value["upstream_id"] == key.id());
        user.map_or(Ok(()), |route| {
            Err(format!("can not delete this upstream, route [{}] is still using it now", route.key.id()))
        })
    }

    #[allow(clippy::manual_async_fn)]
    fn write(&self, changes: Vec<Change>) -> impl Future<Output = Result<(), WriteError>> + Send {
        async move {
            for change in &changes {
                if let Change::Put(key, value, _) = change {
                    self.check(key, value).map_err(WriteError::Refused)?;
                }
            }
            let mut state = self.state.lock();
            if state.is_down {
                return Err(WriteError::Unavailable("connection refused".to_owned()));
            }
            if state.conflicts > 0 {
                state.conflicts -= 1;
                return Err(WriteError::Conflict);
            }
            for change in &changes {
                let (Change::Put(key, _, expected) | Change::Delete(key, expected)) = change;
                let holds = match (state.documents.get(&key.path()), expected) {
                    (None, Expected::Absent) => true,
                    (Some(stored), Expected::Revision(revision)) => stored.modified == *revision,
                    _ => false,
                };
                if !holds {
                    return Err(WriteError::Conflict);
                }
            }
            state.revision += 1;
            let modified = state.revision;
            for change in changes {
                match change {
                    Change::Put(key, value, _) => {
                        let created = state.documents.get(&key.path()).map_or(modified, |stored| stored.created);
                        state.documents.insert(key.path(), Document { key, value, created, modified });
                    }
                    Change::Delete(key, _) => {
                        state.documents.remove(&key.path());
                    }
                }
            }
            Ok(())
        }
    }

    fn plugins(&self) -> Vec<Description> {
        let spec = |schema, class| plugin::Spec {
            schema,
            version: 0.1,
            class,
            run_policy: plugin::RunPolicy::Always,
            posture: plugin::Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
        };
        let describe = |name, priority, spec| Description {
            name,
            priority,
            spec,
            build: |_, _| Err(plugin::BuildError("not built here".to_owned())),
            reword: |_, _| None,
            metadata: |_| Err(plugin::BuildError("not built here".to_owned())),
            credential: None,
            public_apis: |_| Vec::new(),
            export: None,
        };
        let other = r#"{"schema":{"type":"object","properties":{"count":{"type":"integer"}}}}"#;
        let auth = r#"{"schema":{"type":"object"},"consumer_schema":{"type":"object","required":["key"]}}"#;
        vec![
            describe("limit-count", 1002, spec(other, plugin::PluginClass::Other)),
            describe("key-auth", 2500, spec(auth, plugin::PluginClass::Auth)),
        ]
    }
}

// === the harness ===

const ADMIN: &str = "edd1c9f034335f136f87ad84b625c8f2";

fn api() -> (AdminApi<Fake>, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let keys = vec![
        AdminKey { key: ADMIN.to_owned(), role: Role::Admin },
        AdminKey { key: "viewer-key".to_owned(), role: Role::Viewer },
    ];
    (AdminApi::new(fake.clone(), Settings { keys, ..Settings::default() }), fake)
}

fn request(method: &str, target: &str, body: &[u8]) -> AdminRequest {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    AdminRequest {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: if path.starts_with('/') { path.to_owned() } else { format!("/apisix/admin/{path}") },
        query: query.map(|query| query.as_bytes().to_vec()),
        fields: [("x-api-key", ADMIN)].into_iter().collect(),
        body: Bytes::copy_from_slice(body),
        peer: "127.0.0.1".parse().unwrap(),
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn text(reply: &Reply) -> String {
    match &reply.body {
        ReplyBody::Default => "<page>".to_owned(),
        ReplyBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn call(api: &AdminApi<Fake>, method: &str, target: &str, body: &str) -> (u16, String) {
    let reply = wait(api.handle(request(method, target, body.as_bytes())));
    (reply.status, text(&reply))
}

/// Plays rows in order. `~` in front of a wanted body asks for that part only; timestamps are shown as `T`.
fn play(api: &AdminApi<Fake>, rows: &[(&str, &str, &str, u16, &str)]) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (method, target, body, status, want) in rows {
        let (got_status, mut got) = call(api, method, target, body);
        for second in now - 1..now + 3 {
            got = got.replace(&second.to_string(), "T");
        }
        let fits = match want.strip_prefix('~') {
            Some(part) => got.contains(part),
            None => got.trim_end() == *want,
        };
        assert!(
            fits && got_status == *status,
            "{method} {target} {body}\n got {got_status} {got}\nwant {status} {want}"
        );
    }
}

// === contract ===

#[test]
fn routing_and_methods() {
    let (api, _) = api();
    play(
        &api,
        &[
            ("HEAD", "/apisix/admin", "", 200, ""),
            ("GET", "/apisix/admin", "", 404, "<page>"),
            ("GET", "/apisix/adminx", "", 404, "<page>"),
            ("HEAD", "routes", "", 404, "<page>"),
            ("PURGE", "routes", "", 404, "<page>"),
            ("GET", "nothing", "", 404, r#"{"error_msg":"Unsupported resource type: nothing"}"#),
            ("GET", "", "", 404, r#"{"error_msg":"Unsupported resource type: "}"#),
            ("GET", "credentials", "", 404, r#"{"error_msg":"Unsupported resource type: credentials"}"#),
            (
                "DELETE",
                "services/1/graphql_cost_decorations/2",
                "",
                404,
                r#"{"error_msg":"Unsupported resource type: graphql_cost_decorations"}"#,
            ),
            ("PUT", "schema/route", "", 404, r#"{"error_msg":"not found"}"#),
            ("DELETE", "plugins/key-auth", "", 404, r#"{"error_msg":"not found"}"#),
            ("POST", "consumers", "{}", 405, r#"{"error_msg":"not supported `POST` method for consumer"}"#),
            ("PATCH", "consumers/a", "{}", 405, r#"{"error_msg":"not supported `PATCH` method for consumer"}"#),
            (
                "POST",
                "consumers/a/credentials",
                "{}",
                405,
                r#"{"error_msg":"not supported `POST` method for credential"}"#,
            ),
            (
                "PATCH",
                "consumers/a/credentials/1",
                "{}",
                405,
                r#"{"error_msg":"not supported `PATCH` method for credential"}"#,
            ),
            ("POST", "global_rules", "{}", 405, r#"{"error_msg":"not supported `POST` method for global rule"}"#),
            ("POST", "plugin_configs", "{}", 405, r#"{"error_msg":"not supported `POST` method for plugin config"}"#),
            ("POST", "consumer_groups", "{}", 405, r#"{"error_msg":"not supported `POST` method for consumer group"}"#),
            (
                "POST",
                "plugin_metadata",
                "{}",
                405,
                r#"{"error_msg":"not supported `POST` method for plugin_metadata"}"#,
            ),
            (
                "PATCH",
                "plugin_metadata/x",
                "{}",
                405,
                r#"{"error_msg":"not supported `PATCH` method for plugin_metadata"}"#,
            ),
            ("GET", "routes", "", 200, r#"{"list":[],"total":0}"#),
            ("GET", "routes/", "", 200, r#"{"list":[],"total":0}"#),
            ("GET", "routes/1", "", 404, r#"{"message":"Key not found"}"#),
            ("DELETE", "routes/1", "", 404, r#"{"message":"Key not found"}"#),
            ("DELETE", "routes", "", 400, r#"{"error_msg":"missing route id"}"#),
            ("GET", "consumers/jack/credentials", "", 404, r#"{"message":"Key not found"}"#),
        ],
    );
}

#[test]
fn keys_and_addresses() {
    let (api, _) = api();
    for (key, method, status, want) in [
        (None, "GET", 401, r#"{"error_msg":"failed to check token","description":"missing apikey"}"#),
        (Some("x"), "GET", 401, r#"{"error_msg":"failed to check token","description":"wrong apikey"}"#),
        (
            Some("viewer-key"),
            "PUT",
            401,
            r#"{"error_msg":"failed to check token","description":"invalid method for role viewer"}"#,
        ),
        (Some("viewer-key"), "GET", 200, r#"{"list":[],"total":0}"#),
    ] {
        let mut request = request(method, "routes", b"");
        request.fields = key.map(|key| ("X-API-KEY", key)).into_iter().collect();
        let reply = wait(api.handle(request));
        assert_eq!((reply.status, text(&reply).trim_end()), (status, want));
        assert_eq!(reply.fields.get_str("content-type"), Some("application/json"));
        assert_eq!(reply.fields.contains("x-api-version"), status == 200);
        assert_eq!(reply.fields.get_str("access-control-allow-origin"), Some("*"));
    }
    let mut asked = request("OPTIONS", "routes", b"");
    asked.fields = Fields::new();
    let reply = wait(api.handle(asked));
    assert_eq!((reply.status, reply.fields.get_str("content-type")), (200, Some("text/plain")));
    let fake = Arc::new(Fake::default());
    let open = Settings { is_key_required: false, allow: vec!["127.0.0.0/24".parse().unwrap()], ..Settings::default() };
    let api = AdminApi::new(fake, open);
    let mut near = request("GET", "routes", b"");
    near.fields = Fields::new();
    let far = AdminRequest { peer: "10.0.0.1".parse().unwrap(), ..near.clone() };
    assert_eq!(wait(api.handle(near)).status, 200);
    let reply = wait(api.handle(far));
    assert_eq!((reply.status, text(&reply).as_str()), (403, "<page>"));
}

#[test]
fn documents_come_and_go() {
    let (api, _) = api();
    let route = r#"{"uri":"/a","plugins":{}}"#;
    play(
        &api,
        &[
            (
                "PUT",
                "routes/1",
                route,
                201,
                r#"{"key":"/apisix/routes/1","value":{"uri":"/a","plugins":{},"id":"1","create_time":T,"update_time":T}}"#,
            ),
            (
                "PUT",
                "routes/1",
                route,
                200,
                r#"{"key":"/apisix/routes/1","value":{"uri":"/a","plugins":{},"id":"1","create_time":T,"update_time":T}}"#,
            ),
            ("GET", "routes/1", "", 200, r#"~"createdIndex":1,"modifiedIndex":2}"#),
            ("PUT", "routes", r#"{"id":7,"uri":"/a","plugins":{}}"#, 201, r#"~"value":{"id":7,"uri":"/a","#),
            ("GET", "routes/7", "", 200, r#"~"id":7"#),
            ("PUT", "routes/1", r#"{"id":"2","uri":"/a","plugins":{}}"#, 400, r#"{"error_msg":"wrong route id"}"#),
            ("PUT", "routes/7", r#"{"id":7,"uri":"/a","plugins":{}}"#, 200, r#"~"id":"7""#),
            ("PUT", "routes", route, 400, r#"{"error_msg":"missing route id"}"#),
            ("PUT", "routes/1", "", 400, r#"{"error_msg":"missing configurations"}"#),
            ("POST", "routes", "", 400, r#"{"error_msg":"missing configurations"}"#),
            ("POST", "routes/3", route, 400, r#"{"error_msg":"wrong route id, do not need it"}"#),
            (
                "POST",
                "routes",
                r#"{"id":"3","uri":"/a","plugins":{}}"#,
                400,
                r#"{"error_msg":"wrong route id, do not need it"}"#,
            ),
            ("POST", "routes", route, 201, r#"~"key":"/apisix/routes/00000000000000000005","value""#),
            ("GET", "routes", "", 200, r#"~"total":3}"#),
            ("DELETE", "routes/7", "", 200, r#"{"deleted":"1","key":"/apisix/routes/7"}"#),
            (
                "PUT",
                "routes/1",
                r#"{"uri":"/a","plugins":{},"create_time":1}"#,
                400,
                r#"{"error_msg":"the property is forbidden:  create_time"}"#,
            ),
            (
                "PUT",
                "routes/1",
                r#"{"uri":"/a","upstream":{"update_time":1}}"#,
                400,
                r#"{"error_msg":"the property is forbidden:  upstream.update_time"}"#,
            ),
            (
                "PUT",
                "routes/1",
                r#"{"uri":"/a","plugins":{"create_time":1}}"#,
                400,
                r#"{"error_msg":"the property is forbidden:  plugins.create_time"}"#,
            ),
            (
                "PUT",
                "routes/1",
                r#"{"uri":"/a","plugins":{},"x":1}"#,
                400,
                r#"{"error_msg":"invalid configuration: additional properties forbidden, found x"}"#,
            ),
            ("PUT", "routes/1?ttl=x", route, 400, r#"{"error_msg":"invalid argument ttl: should be a number"}"#),
            ("PUT", "routes/1?ttl=5", route, 400, "~ttl needs etcd"),
        ],
    );
}

#[test]
fn consumers_and_credentials() {
    let (api, fake) = api();
    play(
        &api,
        &[
            (
                "PUT",
                "consumers",
                r#"{"username":"jack"}"#,
                201,
                r#"{"key":"/apisix/consumers/jack","value":{"username":"jack","create_time":T,"update_time":T}}"#,
            ),
            ("PUT", "consumers/jack", r#"{"username":"jack"}"#, 200, r#"~"key":"/apisix/consumers/jack""#),
            ("PUT", "consumers/jill", r#"{"username":"jack"}"#, 400, r#"{"error_msg":"wrong username"}"#),
            (
                "PUT",
                "consumers",
                "{}",
                400,
                r#"{"error_msg":"invalid configuration: property \"username\" is required"}"#,
            ),
            (
                "PUT",
                "consumers",
                r#"{"username":1}"#,
                400,
                r#"{"error_msg":"invalid configuration: property \"username\" validation failed: wrong type: expected string, got number"}"#,
            ),
            (
                "PUT",
                "consumers",
                r#"{"username":"a/b"}"#,
                400,
                r#"~property \"username\" validation failed: failed to match pattern"#,
            ),
            ("PUT", "consumers/none/credentials/c", "{}", 404, r#"{"error_msg":"consumer not found"}"#),
            (
                "PUT",
                "consumers/jack/credentials/c",
                r#"{"plugins":{"key-auth":{"key":"k"}}}"#,
                201,
                r#"~"key":"/apisix/consumers/jack/credentials/c","value":{"plugins":{"key-auth":{"key":"k"}},"id":"c""#,
            ),
            ("GET", "consumers/jack/credentials/c", "", 200, r#"~"createdIndex""#),
            ("GET", "consumers/jack/credentials", "", 200, r#"~"total":1}"#),
            ("PUT", "consumers/jack/credentials", "{}", 400, r#"{"error_msg":"missing credential id"}"#),
            ("GET", "consumers", "", 200, r#"~"total":1}"#),
            ("DELETE", "consumers/jack", "", 200, r#"{"deleted":"1","key":"/apisix/consumers/jack"}"#),
        ],
    );
    assert!(fake.state.lock().documents.is_empty());
}

#[test]
fn metadata() {
    let (api, _) = api();
    play(
        &api,
        &[
            (
                "PUT",
                "plugin_metadata/limit-count",
                r#"{"a":1}"#,
                201,
                r#"{"key":"/apisix/plugin_metadata/limit-count","value":{"a":1,"id":"limit-count"}}"#,
            ),
            ("PUT", "plugin_metadata/none", "{}", 400, r#"{"error_msg":"invalid plugin name"}"#),
            ("PUT", "plugin_metadata", "{}", 400, r#"{"error_msg":"missing plugin name"}"#),
            ("DELETE", "plugin_metadata/limit-count", "", 200, r#"~"deleted":"1""#),
        ],
    );
}

#[test]
fn patches() {
    let (api, _) = api();
    let route = r#"{"uri":"/a","methods":["GET","PUT"],"labels":{"a":"1","b":"2"},"plugins":{}}"#;
    play(
        &api,
        &[
            ("PUT", "routes/1", route, 201, "~"),
            ("PATCH", "routes/1", "", 400, r#"{"error_msg":"missing new configuration"}"#),
            ("PATCH", "routes/1", "3", 400, r#"{"error_msg":"invalid configuration"}"#),
            ("PATCH", "routes/1", "null", 400, r#"{"error_msg":"invalid configuration"}"#),
            ("PATCH", "routes", "{}", 400, r#"{"error_msg":"missing route id"}"#),
            ("PATCH", "routes/2", "{}", 404, r#"{"message":"Key not found"}"#),
            (
                "PATCH",
                "routes/1",
                r#"{"methods":["POST"],"labels":{"a":null,"c":"3"}}"#,
                200,
                r#"{"key":"/apisix/routes/1","value":{"uri":"/a","methods":["POST"],"labels":{"b":"2","c":"3"},"plugins":{},"id":"1","create_time":T,"update_time":T}}"#,
            ),
            ("PATCH", "routes/1", r#"{"update_time":7,"create_time":5}"#, 200, r#"~"create_time":5,"update_time":7"#),
            ("PATCH", "routes/1/labels", r#"{"z":"1"}"#, 200, r#"~"labels":{"z":"1"}"#),
            (
                "PATCH",
                "routes/1/labels/y",
                r#""2""#,
                200,
                r#"~"labels":{"z":"1","y":"2"},"plugins":{},"id":"1","create_time":5,"update_time":T"#,
            ),
            ("PATCH", "routes/1/uri/deep", "1", 400, r#"{"error_msg":"invalid sub-path: /uri"}"#),
            ("PATCH", "routes/1/methods/0", r#""GET""#, 400, r#"{"error_msg":"invalid sub-path: /methods"}"#),
            ("PATCH", "routes/1", r#"{"id":"2"}"#, 400, r#"{"error_msg":"wrong route id"}"#),
            ("PATCH", "routes/1/__proto__/x", "1", 400, r#"~additional properties forbidden, found __proto__"#),
            ("PATCH", "routes/1", r#"{"uri":{"a":1}}"#, 400, "~invalid configuration: property"),
        ],
    );
}

#[test]
fn lists() {
    let (api, _) = api();
    for at in 0..25 {
        let body = json!({
            "uri": format!("/p{at}"), "name": format!("n{at}"), "plugins": {},
            "labels": if at % 2 == 0 { json!({"even": "y"}) } else { json!({"odd": "y"}) },
            "service_id": if at < 5 { "a" } else { "b" },
        });
        assert_eq!(call(&api, "PUT", &format!("routes/r{}", 99 - at), &body.to_string()).0, 201);
    }
    let count = |query: &str| {
        let (status, body) = call(&api, "GET", &format!("routes?{query}"), "");
        assert_eq!(status, 200, "{query}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let list = body["list"].as_array().unwrap();
        let first = list.first().map(|one| one["value"]["name"].as_str().unwrap().to_owned());
        (body["total"].as_u64().unwrap(), list.len(), first)
    };
    let n = |name: &str| Some(name.to_owned());
    for (query, want) in [
        ("", (25, 25, n("n0"))),
        ("page=1&page_size=10", (25, 10, n("n0"))),
        ("page=3&page_size=10", (25, 5, n("n20"))),
        ("page=4&page_size=10", (25, 0, None)),
        ("page=-3&page_size=10", (25, 10, n("n0"))),
        ("page=1e300&page_size=10", (25, 0, None)),
        ("page=1", (25, 25, n("n0"))),
        ("page=x&page_size=1", (25, 25, n("n0"))),
        ("name=%5En1%24", (1, 1, n("n1"))),
        ("name=(", (0, 0, None)),
        ("uri=p2", (6, 6, n("n2"))),
        ("label=even", (13, 13, n("n0"))),
        ("label=none", (0, 0, None)),
        ("filter=service_id%3Da", (5, 5, n("n0"))),
        ("filter=service_id%3Db%26service_id%3Da", (5, 5, n("n0"))),
        ("filter=name%3Dzzz", (25, 25, n("n0"))),
        ("filter=upstream_id%3Da", (0, 0, None)),
    ] {
        assert_eq!(count(query), want, "{query}");
    }
    play(
        &api,
        &[
            ("GET", "routes?page=1&page_size=1000000000", "", 400, "page_size must be between 10 and 500"),
            ("GET", "routes?page=1&page_size=9", "", 400, "page_size must be between 10 and 500"),
        ],
    );
}

#[test]
fn deletes_check_references() {
    let (api, _) = api();
    play(
        &api,
        &[
            ("PUT", "upstreams/u", r#"{"nodes":{"a:1":1},"type":"roundrobin"}"#, 201, "~"),
            ("PUT", "routes/1", r#"{"uri":"/a","upstream_id":"u"}"#, 201, "~"),
            (
                "DELETE",
                "upstreams/u",
                "",
                400,
                r#"{"error_msg":"can not delete this upstream, route [1] is still using it now"}"#,
            ),
            ("DELETE", "upstreams/u?force=1", "", 400, "~can not delete"),
            ("DELETE", "upstreams/u?force=true", "", 200, "~deleted"),
        ],
    );
}

#[test]
fn schemas_and_plugins() {
    let (api, _) = api();
    play(
        &api,
        &[
            ("GET", "schema/route", "", 200, r#"~"properties""#),
            ("GET", "schema/nope", "", 400, r#"{"error_msg":"not found schema: nope"}"#),
            ("GET", "schema/plugins/limit-count", "", 200, r#"~"_meta""#),
            ("GET", "plugins/limit-count", "", 200, r#"~"count":{"type":"integer"}"#),
            ("GET", "plugins/key-auth?schema_type=consumer", "", 200, r#"{"type":"object","required":["key"]}"#),
            ("GET", "plugins/limit-count?schema_type=consumer", "", 400, r#"{"error_msg":"not found schema"}"#),
            ("GET", "plugins/nope", "", 404, r#"{"error_msg":"plugin not found in subsystem http"}"#),
            (
                "GET",
                "plugins/key-auth?subsystem=stream",
                "",
                404,
                r#"{"error_msg":"plugin not found in subsystem stream"}"#,
            ),
            ("GET", "plugins/key-auth?subsystem=x", "", 400, r#"{"error_msg":"unsupported subsystem: x"}"#),
            ("GET", "plugins/list", "", 200, r#"["key-auth","limit-count"]"#),
            ("GET", "plugins/list?subsystem=x", "", 400, "invalid subsystem passed"),
            ("GET", "plugins?all=true", "", 200, r#"~"type":"auth""#),
            ("PUT", "plugins/reload", "", 200, "done"),
            (
                "GET",
                "plugins/reload",
                "",
                405,
                r#"{"error_msg":"please use PUT method to reload the plugins, GET method is not allowed."}"#,
            ),
            ("POST", "schema/validate/routes", r#"{"uri":"/a","plugins":{"unknown":{}}}"#, 200, ""),
            (
                "POST",
                "schema/validate/routes",
                r#"{"uri":1}"#,
                400,
                r#"~property \"uri\" validation failed: wrong type: expected string, got number"#,
            ),
            ("POST", "schema/validate/none", "{}", 404, r#"{"error_msg":"Unsupported resource type: none"}"#),
            ("POST", "configs/validate", "", 400, r#"{"error_msg":"invalid request body: empty request body"}"#),
            (
                "POST",
                "configs/validate",
                r#"{"routes":[{"id":"1","uri":"/a","plugins":{}}],"consumers":[{"username":"a"}]}"#,
                200,
                "{}",
            ),
            (
                "POST",
                "configs/validate",
                r#"{"routes":[{"id":"1","uri":"/a","plugins":{}},{"id":"1","uri":"/a","plugins":{}}]}"#,
                400,
                r#"{"error_msg":"Configuration validation failed","errors":[{"resource_type":"routes","resource_id":"1","index":1,"error":"found duplicate id 1 in routes"}]}"#,
            ),
        ],
    );
}

#[test]
fn yaml_is_validated_too() {
    let (api, _) = api();
    for (body, status, want) in [
        ("routes:\n- id: 1\n  uri: /a\n  plugins: {}\n", 200, "{}"),
        ("routes: [", 400, r#"{"error_msg":"invalid request body: invalid yaml request body"}"#),
        ("text", 400, r#"{"error_msg":"invalid request body: invalid yaml request body"}"#),
        ("", 400, r#"{"error_msg":"invalid request body: empty request body"}"#),
    ] {
        let mut request = request("POST", "configs/validate", body.as_bytes());
        request.fields.push(b"Content-Type", b"application/yaml");
        let reply = wait(api.handle(request));
        assert_eq!((reply.status, text(&reply).trim_end()), (status, want), "{body}");
    }
}

#[test]
fn hostile_bodies() {
    let (api, _) = api();
    play(
        &api,
        &[
            ("PUT", "routes/1", r#"{"uri":"/a","uri":"/b"}"#, 400, "~duplicate key"),
            ("PUT", "routes/1", r#"{"a""#, 400, r#"~"req_body":"{\"a\"""#),
            ("PUT", "routes/1", "[]", 400, r#"{"error_msg":"invalid configuration"}"#),
            ("PUT", "routes/1", r#""x""#, 400, r#"{"error_msg":"invalid configuration"}"#),
            ("PUT", "routes/1", r#"{"__proto__":{},"uri":"/a","plugins":{}}"#, 400, "~found __proto__"),
            ("PUT", "routes/1", r#"{"upstream":"x","plugins":3,"uri":"/a"}"#, 400, "~invalid configuration"),
            ("PUT", "routes/a%2Fb", r#"{"uri":"/a","plugins":{}}"#, 400, "~property \\\"id\\\" validation failed"),
            (
                "PUT",
                "routes",
                r#"{"id":{"a":1},"uri":"/a","plugins":{}}"#,
                400,
                "~property \\\"id\\\" validation failed",
            ),
            ("PUT", "routes", r#"{"id":0,"uri":"/a","plugins":{}}"#, 400, "~property \\\"id\\\" validation failed"),
            ("PUT", "routes", r#"{"id":1.5,"uri":"/a","plugins":{}}"#, 400, "~property \\\"id\\\" validation failed"),
            (
                "PUT",
                "routes",
                r#"{"id":"../x","uri":"/a","plugins":{}}"#,
                400,
                "~property \\\"id\\\" validation failed",
            ),
            ("GET", "routes/..%2f..%2fx", "", 404, r#"{"message":"Key not found"}"#),
        ],
    );
    for id in ["a b", "ü", "\0", &"x".repeat(65)] {
        assert_eq!(call(&api, "PUT", &format!("routes/{id}"), r#"{"uri":"/a","plugins":{}}"#).0, 400, "{id:?}");
    }
    let deep = "[".repeat(10_000);
    let (status, body) = call(&api, "PUT", "routes/1", &deep);
    assert!(status == 400 && body.contains("invalid request body: nested deeper"), "{body:.200}");
    let large = vec![b' '; 2 << 20];
    let reply = wait(api.handle(request("PUT", "routes/1", &large)));
    let want = r#"{"error_msg":"invalid request body: request size 2097152 is greater than the maximum size 1572864 allowed"}"#;
    assert_eq!((reply.status, text(&reply).trim_end()), (400, want));
    let reply = wait(api.handle(request("PUT", "routes/1", b"\xff\xfe")));
    assert_eq!(reply.status, 400);
}

#[test]
fn conflicts_and_outages() {
    let (api, fake) = api();
    let route = r#"{"uri":"/a","plugins":{}}"#;
    let changed = r#"{"error_msg":"value changed before overwritten"}"#;
    play(&api, &[("PUT", "routes/1", route, 201, "~")]);
    fake.state.lock().conflicts = 1;
    play(&api, &[("PUT", "routes/1", route, 200, "~")]);
    fake.state.lock().conflicts = 9;
    play(
        &api,
        &[
            ("PUT", "routes/1", route, 503, changed),
            ("POST", "routes", route, 503, changed),
            ("PATCH", "routes/1", "{}", 503, changed),
        ],
    );
    fake.state.lock().conflicts = 0;
    fake.state.lock().is_down = true;
    let down = r#"{"error_msg":"connection refused"}"#;
    play(
        &api,
        &[
            ("PUT", "routes/1", route, 503, down),
            ("POST", "routes", route, 503, down),
            ("PATCH", "routes/1", "{}", 503, down),
            ("DELETE", "routes/1", "", 503, down),
            ("GET", "routes/1", "", 200, "~"),
        ],
    );
}

#[test]
fn the_old_shape() {
    let fake = Arc::new(Fake::default());
    let api = AdminApi::new(fake, Settings { is_key_required: false, is_v3: false, ..Settings::default() });
    play(
        &api,
        &[
            (
                "PUT",
                "routes/1",
                r#"{"uri":"/a","plugins":{}}"#,
                201,
                r#"~{"action":"set","node":{"key":"/apisix/routes/1","value":{"#,
            ),
            ("GET", "routes/1", "", 200, r#"~{"action":"get","node":{"key":"/apisix/routes/1","#),
            ("GET", "routes", "", 200, r#"~{"action":"get","node":{"key":"/apisix/routes","dir":true,"nodes":[{"#),
            ("PATCH", "routes/1", r#"{"name":"x"}"#, 200, r#"~{"action":"compareAndSwap","node":{"#),
            ("DELETE", "routes/1", "", 200, r#"{"action":"delete","deleted":"1","key":"/apisix/routes/1","node":{}}"#),
        ],
    );
    let reply = wait(api.handle(request("GET", "routes", b"")));
    assert_eq!(reply.fields.get_str("x-api-version"), Some("v2"));
}

#[test]
fn any_request_is_answered() {
    let (api, _) = api();
    let methods = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PURGE"];
    let parts = [
        "routes",
        "consumers",
        "credentials",
        "plugin_metadata",
        "schema",
        "plugins",
        "validate",
        "configs",
        "list",
        "reload",
        "1",
        "jack",
        "..",
        "%",
        "ü",
        "__proto__",
        "limit-count",
        "upstreams",
        "services",
        "labels",
        "",
    ];
    let queries = [
        "",
        "?force=true",
        "?ttl=1",
        "?page=1&page_size=10",
        "?name=(a+)+$&label=%00",
        "?all=true",
        "?subsystem=stream",
        "?filter=%",
    ];
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "1",
        "\"s\"",
        "{\"id\":null}",
        "{\"id\":[]}",
        "{\"username\":\"jack\"}",
        "{\"uri\":\"/a\",\"plugins\":{},\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"}",
        "{\"plugins\":{\"key-auth\":null}}",
        "{\"nodes\":{},\"type\":\"roundrobin\"}",
        "{\"routes\":[null,1,{}],\"x\":{}}",
        "{\"labels\":{\"a\":null}}",
        "{",
    ];
    // A small generator with a fixed seed: the same requests in every run.
    let mut state = 0x9e37_79b9_u64;
    let mut pick = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let path: Vec<&str> = (0..1 + pick(4)).map(|_| parts[pick(parts.len())]).collect();
        let target = format!("/apisix/admin/{}{}", path.join("/"), queries[pick(queries.len())]);
        let (method, body) = (methods[pick(methods.len())], bodies[pick(bodies.len())]);
        let (status, text) = call(&api, method, &target, body);
        assert!(matches!(status, 200 | 201 | 400 | 404 | 405), "{method} {target} {body}: {status} {text}");
        let is_json = serde_json::from_str::<Value>(&text).is_ok();
        let is_text = ["<page>", "", "done", "invalid subsystem passed", "page_size must be between 10 and 500"];
        assert!(is_json || is_text.contains(&text.as_str()), "{method} {target} {body}: {text}");
    }
}

//! Documents of each kind, from their first to their last version.

use super::*;

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
                "POST",
                "routes",
                r#"{"uri":"/a","update_time":1}"#,
                400,
                r#"{"error_msg":"the property is forbidden:  update_time"}"#,
            ),
            (
                "POST",
                "routes",
                r#"{"uri":"/a","upstream":{"create_time":1}}"#,
                400,
                r#"{"error_msg":"the property is forbidden:  upstream.create_time"}"#,
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
            (
                "PUT",
                "consumers/none/credentials/c",
                r#"{"plugins":{"key-auth":{"key":"k"}}}"#,
                404,
                r#"{"error_msg":"consumer not found"}"#,
            ),
            (
                "PUT",
                "consumers/none/credentials/c",
                r#"{"plugins":{"a":{},"b":{}}}"#,
                400,
                "~expect object to have at most 1",
            ),
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
            ("PATCH", "routes/1/", r#"{"name":"x"}"#, 200, r#"~"name":"x""#),
        ],
    );
    let limit = r#"{"error_msg":"invalid sub-path: nested deeper than 127 levels"}"#;
    play(
        &api,
        &[
            ("PATCH", &format!("routes/1{}", "/a".repeat(10_000)), "1", 400, limit),
            ("PATCH", &format!("routes/1{}", "/a".repeat(127)), "1", 400, "~found a"),
            ("PATCH", &format!("routes/1{}", "/a".repeat(127)), "{}", 400, limit),
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
            // What is gone is still in use, and says so first.
            (
                "DELETE",
                "upstreams/u",
                "",
                400,
                r#"{"error_msg":"can not delete this upstream, route [1] is still using it now"}"#,
            ),
            ("DELETE", "upstreams/u?force=true", "", 404, r#"{"message":"Key not found"}"#),
            ("DELETE", "upstreams/v", "", 404, r#"{"message":"Key not found"}"#),
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
            // Filters and pages came with v3.
            ("GET", "routes?name=none&page=9&page_size=1", "", 200, r#"~"nodes":[{"#),
            ("PATCH", "routes/1", r#"{"name":"x"}"#, 200, r#"~{"action":"compareAndSwap","node":{"#),
            ("DELETE", "routes/1", "", 200, r#"{"action":"delete","deleted":"1","key":"/apisix/routes/1","node":{}}"#),
        ],
    );
    let reply = wait(api.handle(request("GET", "routes", b"")));
    assert_eq!(reply.fields.get_str("x-api-version"), Some("v2"));
}

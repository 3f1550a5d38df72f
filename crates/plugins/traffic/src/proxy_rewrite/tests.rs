use super::*;

fn build(config: &Value) -> Result<ProxyRewrite, BuildError> {
    let (shared, attr) = (Arc::default(), json!({}));
    let env = BuildEnv {
        shared: &shared,
        owner: "/routes/1",
        config,
        attr: &attr,
        compat: model::differences::Compat::default(),
    };
    ProxyRewrite::build(serde_json::from_value(config.clone()).unwrap(), &env)
}

#[test]
fn every_method_of_the_schema_is_known() {
    let schema: Value = serde_json::from_str(ProxyRewrite::SPEC.schema).unwrap();
    for method in schema["schema"]["properties"]["method"]["enum"].as_array().unwrap() {
        let plugin = build(&json!({ "method": method, "use_real_request_uri_unsafe": false })).unwrap();
        assert_eq!(plugin.method.unwrap().as_str(), method.as_str().unwrap());
    }
}

#[test]
fn what_goes_upstream_is_changed_and_the_request_stays() {
    let plugin = build(&json!({
        "regex_uri": ["^/v1/(.*)", "/$1"],
        "host": "internal.test:8080",
        "method": "POST",
        "headers": { "set": { "X-Path": "$1 of $uri for $arg_a" } },
        "use_real_request_uri_unsafe": false,
    }))
    .unwrap();
    let mut cx = plugin::testing::ctx("GET", "/v1/a%20b?a=1", &[]);
    plugin::testing::ready(plugin.rewrite(&mut cx)).unwrap();
    assert_eq!(cx.upstream.target.as_deref(), Some(&b"/a%20b?a=1"[..]));
    assert_eq!(cx.upstream.host.as_deref(), Some("internal.test:8080"));
    assert_eq!(cx.upstream.method, Some(Method::Post));
    assert_eq!(cx.request.fields.get_str("X-Path"), Some("a b of /v1/a b for 1"));
    assert_eq!((cx.request.target.as_slice(), &cx.request.method), (&b"/v1/a%20b?a=1"[..], &Method::Get));
}

#[test]
fn a_pattern_that_runs_out_of_steps_is_answered_500() {
    let pair = ["^/(?:(?=a)(?:a|aa))+$", "/x"];
    let plugin = build(&json!({ "regex_uri": pair, "use_real_request_uri_unsafe": false })).unwrap();
    let mut cx = plugin::testing::ctx("GET", &format!("/{}b", "a".repeat(200)), &[]);
    let plugin::Verdict::Respond(reply) = plugin::testing::ready(plugin.rewrite(&mut cx)).unwrap() else {
        panic!("it goes on")
    };
    assert_eq!(reply.status, 500);
    assert!(cx.upstream.target.is_none());
}

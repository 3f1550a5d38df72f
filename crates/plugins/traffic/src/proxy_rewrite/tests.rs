use super::*;

fn build(config: &Value) -> Result<ProxyRewrite, BuildError> {
    let (shared, attr) = (Arc::default(), json!({}));
    let env = BuildEnv { shared: &shared, owner: "/routes/1", config, attr: &attr };
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

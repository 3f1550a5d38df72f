use super::*;
use plugin::{Verdict, testing::World};
use serde_json::json;

fn build(world: &World, config: &Value) -> Result<Workflow, String> {
    let attr = json!({});
    let compat = model::differences::Compat::default();
    let env = BuildEnv { shared: &world.shared, owner: "/routes/1", config, attr: &attr, compat };
    Workflow::build(serde_json::from_value(config.clone()).unwrap(), &env).map_err(|error| error.0)
}

fn status(world: &World, plugin: &Workflow, fields: &[(&str, &str)]) -> u16 {
    let mut cx = world.ctx("GET", "/", fields);
    match plugin::testing::ready(plugin.access(&mut cx)) {
        Ok(Verdict::Next) => 200,
        Ok(Verdict::Respond(reply)) => reply.status,
        Err(_) => 500,
    }
}

#[test]
fn only_the_action_that_runs_keeps_its_plugin_from_running_again() {
    let world = World::default();
    let limit = json!({ "count": 9, "time_window": 60 });
    let rules = json!([
        { "case": [["http_x", "==", "a"]], "actions": [["limit-count", limit]] },
        { "actions": [["return", { "code": 403 }]] },
    ]);
    let plugin = build(&world, &json!({ "rules": rules })).unwrap();
    for (value, skips) in [("a", true), ("b", false)] {
        let mut cx = world.ctx("GET", "/", &[("X", value)]);
        let _ = plugin::testing::ready(plugin.access(&mut cx));
        assert_eq!((cx.skips("limit-count"), cx.skips("limit-conn")), (skips, false), "{value}");
    }
}

#[test]
fn a_case_that_takes_too_long_refuses() {
    let world = World::default();
    let rules = json!([
        { "case": [["http_x", "~~", "(?=a)(a+)+$"]], "actions": [["return", { "code": 403 }]] },
        { "case": [["http_y", "==", "b"]], "actions": [["return", { "code": 404 }]] },
    ]);
    let plugin = build(&world, &json!({ "rules": rules })).unwrap();
    assert_eq!(status(&world, &plugin, &[("X", "aaa")]), 403);
    assert_eq!(status(&world, &plugin, &[("Y", "b")]), 404);
    let long = "a".repeat(2_000) + "!";
    assert_eq!(status(&world, &plugin, &[("X", &long), ("Y", "b")]), 500);
}

#[test]
fn an_actions_attributes_are_those_of_its_plugin() {
    let world = World::default();
    let unknown = json!({ "rules": [{ "actions": [["limit-conn", {
        "conn": 1, "burst": 0, "default_conn_delay": 1, "key": "uri", "nonsense": 1,
    }]] }] });
    assert!(build(&world, &unknown).err().unwrap().contains("nonsense"));
}

#[test]
fn keys_that_clients_choose_are_found() {
    let limit = json!({ "count": 1, "time_window": 60, "key": "http_x" });
    let rules = json!([{ "actions": [["return", { "code": 403 }]] }, { "actions": [["limit-count", limit]] }]);
    let found = Workflow::lint(&json!({ "rules": rules }));
    let paths: Vec<&str> = found.iter().map(|finding| &*finding.path).collect();
    assert_eq!(paths, ["/rules/1/actions/0/1/key"]);
}

#[test]
fn counters_of_a_rule_stay_when_it_is_built_again() {
    let world = World::default();
    let config = json!({ "rules": [{ "actions": [["limit-count", { "count": 1, "time_window": 60 }]] }] });
    assert_eq!(status(&world, &build(&world, &config).unwrap(), &[]), 200);
    assert_eq!(status(&world, &build(&world, &config).unwrap(), &[]), 503);
}

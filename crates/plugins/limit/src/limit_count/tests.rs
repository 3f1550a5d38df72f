use super::*;
use model::differences::Compat;
use plugin::{ReplyBody, Verdict, testing, testing::World};
use serde_json::json;
use std::time::Duration;
use wire::Source;

fn schema(name: &str) -> model::schema::Schema {
    let file: Value = serde_json::from_str(LimitCount::SPEC.schema).unwrap();
    model::schema::Schema::compile(&file[name]).unwrap()
}

fn build(world: &World, owner: &str, mut config: Value) -> Result<LimitCount, String> {
    schema("schema").check_and_fill(&mut config).map_err(|violation| violation.to_string())?;
    let attr = json!({});
    let env = BuildEnv { shared: &world.shared, owner, config: &config, attr: &attr, compat: Compat::default() };
    LimitCount::build(serde_json::from_value(config.clone()).unwrap(), &env).map_err(|error| error.0)
}

/// The status of a request, 200 when it may go on and 500 when the plugin fails, and the headers of the response.
fn send(world: &World, plugin: &LimitCount, fields: &[(&str, &str)]) -> (u16, Vec<(String, String)>) {
    let mut cx = world.ctx("GET", "/", fields);
    let status = match testing::ready(plugin.access(&mut cx)) {
        Ok(Verdict::Next) => 200,
        Ok(Verdict::Respond(reply)) => reply.status,
        Err(_) => 500,
    };
    let mut head = ResponseHead::new(status, Source::Upstream);
    if plugin.0.shows_quota {
        plugin.header_filter(&mut cx, &mut head).unwrap();
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (status, head.fields.iter().map(|(name, value)| (text(name), text(value))).collect())
}

fn statuses(world: &World, plugin: &LimitCount, fields: &[(&str, &str)], times: usize) -> Vec<u16> {
    (0..times).map(|_| send(world, plugin, fields).0).collect()
}

#[test]
fn responses_show_the_quota_in_order() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", json!({ "count": 1, "time_window": 60 })).unwrap();
    let shown = |remaining: &str, reset: &str| {
        [("X-RateLimit-Limit", "1"), ("X-RateLimit-Remaining", remaining), ("X-RateLimit-Reset", reset)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    assert_eq!(send(&world, &plugin, &[]), (200, shown("0", "60")));
    world.pass(Duration::from_millis(15_500));
    assert_eq!(send(&world, &plugin, &[]), (503, shown("0", "44.5")));
    world.pass(Duration::from_secs(45));
    assert_eq!(send(&world, &plugin, &[]), (200, shown("0", "60")));
}

#[test]
fn metadata_names_the_headers_also_with_a_prefix() {
    let names = json!({
        "limit_header": "X-AI-RateLimit-Limit", "remaining_header": "Left", "reset_header": "Reset", "ietf_fields": false,
    });
    let metadata: quota::Metadata = serde_json::from_value(names).unwrap();
    let world = World::default().with_metadata("limit-count", Arc::new(metadata));
    let rules = json!({ "rules": [{ "count": 5, "time_window": 9, "key": "$remote_addr" }] });
    let plugin = build(&world, "/routes/1", rules).unwrap();
    let (_, fields) = send(&world, &plugin, &[]);
    let expected = [("X-AI-1-RateLimit-Limit", "5"), ("Left", "4"), ("Reset", "9")];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    for (name, is_valid) in [("X-Limit", true), ("", false), ("X\r\nX-Admin", false)] {
        let mut metadata = json!({ "limit_header": name });
        schema("metadata_schema").check_and_fill(&mut metadata).unwrap();
        assert_eq!(serde_json::from_value::<quota::Metadata>(metadata).is_ok(), is_valid, "{name:?}");
    }
}

#[test]
fn requests_are_counted_by_their_key() {
    for (desc, config, one, other, is_shared) in [
        ("variable", json!({ "key": "http_x" }), ("X", "a"), ("X", "b"), false),
        ("no value: the address", json!({ "key": "http_x" }), ("Y", "a"), ("Y", "b"), true),
        ("two", json!({ "key": "$http_x $http_y", "key_type": "var_combination" }), ("X", "a"), ("Y", "a"), false),
        ("constant", json!({ "key": "http_x", "key_type": "constant" }), ("X", "a"), ("X", "b"), true),
        ("no variable", json!({ "key": "x", "key_type": "var_combination" }), ("X", "a"), ("X", "b"), true),
    ] {
        let world = World::default();
        let mut config = config;
        config["count"] = json!(1);
        config["time_window"] = json!(60);
        let plugin = build(&world, "/routes/1", config).unwrap();
        assert_eq!(statuses(&world, &plugin, &[one], 2), [200, 503], "{desc}");
        assert_eq!(statuses(&world, &plugin, &[other], 1), [if is_shared { 503 } else { 200 }], "{desc}");
    }
}

#[test]
fn counters_outlive_whatever_else_changes() {
    let world = World::default();
    let config = json!({ "count": 1, "time_window": 60 });
    let before = build(&world, "/routes/1", config.clone()).unwrap();
    assert_eq!(statuses(&world, &before, &[], 2), [200, 503]);
    drop(before);
    for (desc, owner, config, status) in [
        ("built again", "/routes/1", config.clone(), 503),
        ("another document", "/routes/2", config, 200),
        ("another configuration", "/routes/1", json!({ "count": 1, "time_window": 61 }), 200),
    ] {
        assert_eq!(statuses(&world, &build(&world, owner, config).unwrap(), &[], 1), [status], "{desc}");
    }
}

#[test]
fn a_group_shares_counters_and_has_one_configuration() {
    let world = World::default();
    let config = |count| json!({ "count": count, "time_window": 60, "group": "g" });
    let one = build(&world, "/routes/1", config(2)).unwrap();
    let two = build(&world, "/routes/2", config(2)).unwrap();
    assert_eq!(statuses(&world, &one, &[], 1), [200]);
    assert_eq!(statuses(&world, &two, &[], 2), [200, 503]);
    assert_eq!(build(&world, "/routes/3", config(3)).err().unwrap(), "group conf mismatched");
    drop((one, two));
    assert!(build(&world, "/routes/3", config(3)).is_ok(), "nobody is in the group any more");
}

#[test]
fn amounts_come_from_variables() {
    let world = World::default();
    for (desc, count, fields, expected) in [
        ("a number", "$http_x", &[("X", "1")][..], &[200, 503][..]),
        ("a default", "${http_x ?? 1}", &[], &[200, 503]),
        ("absent", "$http_x", &[], &[500]),
        ("zero", "$http_x", &[("X", "0")], &[500]),
        ("negative", "$http_x", &[("X", "-1")], &[500]),
        ("a fraction", "$http_x", &[("X", "1.5")], &[500]),
        ("too large", "$http_x", &[("X", "9007199254740993")], &[500]),
        ("not a number", "$http_x", &[("X", "nan")], &[500]),
        ("infinite", "$http_x", &[("X", "1e999")], &[500]),
    ] {
        let config = |degrades| json!({ "count": count, "time_window": 60, "rejected_msg": desc, "allow_degradation": degrades });
        let plugin = build(&world, "/routes/1", config(false)).unwrap();
        assert_eq!(statuses(&world, &plugin, fields, expected.len()), expected, "{desc}");
        if expected == [500] {
            let plugin = build(&world, "/routes/1", config(true)).unwrap();
            assert_eq!(statuses(&world, &plugin, fields, 1), [200], "{desc}");
        }
    }
}

#[test]
fn rules_apply_where_their_variables_have_values() {
    let world = World::default();
    let rule = |key: &str, count: Value| json!({ "count": count, "time_window": 60, "key": key });
    let rules = [rule("$http_x", json!(2)), rule("$http_y", json!("$http_count")), rule("constant", json!(1))];
    let plugin = build(&world, "/routes/1", json!({ "rules": rules })).unwrap();
    assert_eq!(statuses(&world, &plugin, &[], 1), [500], "none applies");
    assert_eq!(statuses(&world, &plugin, &[("Y", "a")], 1), [500], "a bad count refuses");
    assert_eq!(statuses(&world, &plugin, &[("X", "a"), ("Y", "a")], 1), [500], "and nothing was taken");
    assert_eq!(statuses(&world, &plugin, &[("X", "a")], 3), [200, 200, 503]);
    assert_eq!(statuses(&world, &plugin, &[("X", "b"), ("Y", "a"), ("Count", "1")], 2), [200, 503]);
}

#[test]
fn exactly_the_quota_passes_in_eight_threads() {
    let world = World::default();
    let config = json!({ "count": 100, "time_window": 60, "key": "all", "key_type": "constant" });
    let plugin = build(&world, "/routes/1", config).unwrap();
    let passed: usize = std::thread::scope(|threads| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                threads.spawn(|| statuses(&world, &plugin, &[], 50).into_iter().filter(|&status| status == 200).count())
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(passed, 100);
}

#[test]
fn refusals_have_apisixs_bodies() {
    for (config, status, body) in [
        (json!({}), 503, ReplyBody::Default),
        (json!({ "rejected_code": 429 }), 429, ReplyBody::Default),
        (json!({ "rejected_msg": "stop" }), 503, ReplyBody::Bytes("{\"error_msg\":\"stop\"}\n".into())),
    ] {
        let world = World::default();
        let mut config = config;
        config["count"] = json!(1);
        config["time_window"] = json!(60);
        let plugin = build(&world, "/routes/1", config).unwrap();
        send(&world, &plugin, &[]);
        world.pass(Duration::from_millis(500));
        let mut cx = world.ctx("GET", "/", &[]);
        let Ok(Verdict::Respond(reply)) = testing::ready(plugin.access(&mut cx)) else { panic!("it passes") };
        assert_eq!((reply.status, reply.body), (status, body));
        assert_eq!(reply.fields.get("retry-after"), Some(&b"60"[..]));
    }
}

#[test]
fn what_cannot_work_is_refused_when_it_is_written() {
    let world = World::default();
    let rule = |prefix: &str| json!([{ "count": 1, "time_window": 1, "key": "$uri", "header_prefix": prefix }]);
    for (config, reason) in [
        (json!({ "count": 1 }), ""),
        (json!({ "count": 0, "time_window": 1 }), "count"),
        (json!({ "rules": rule("a b") }), "header_prefix"),
        (json!({ "rules": rule("x"), "group": "g" }), "group and rules cannot be specified at the same time"),
        (
            json!({ "count": 1, "time_window": 1, "policy": "redis", "redis_host": "h1", "redis_password": "hunter2", "sync_interval": 1.5 }),
            "sync_interval should be smaller than time_window",
        ),
        (
            json!({ "count": 1, "time_window": 1, "policy": "redis", "redis_host": "h1", "redis_port": 65536 }),
            "redis_port 65536 is no port",
        ),
        (json!({ "count": 1, "time_window": 1, "policy": "redis" }), "then clause did not match"),
        (json!({ "count": 1, "rules": rule("x") }), "count/time_window and rules cannot be specified at the same time"),
    ] {
        let error = build(&world, "/routes/1", config.clone()).err().unwrap_or_else(|| panic!("{config} is accepted"));
        assert!(error.contains(reason) && !error.contains("hunter2"), "{config}: {error}");
    }
}

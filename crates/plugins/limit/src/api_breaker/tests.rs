use super::*;
use plugin::{ReplyBody, Verdict, testing, testing::World};
use serde_json::{Value, json};
use std::time::Duration;

fn build(world: &World, owner: &str, mut config: Value) -> ApiBreaker {
    let file: Value = serde_json::from_str(ApiBreaker::SPEC.schema).unwrap();
    let schema = model::schema::Schema::compile(&file["schema"]).unwrap();
    schema.check_and_fill(&mut config).unwrap();
    let attr = json!({});
    let compat = model::differences::Compat::default();
    let env = BuildEnv { shared: &world.shared, owner, config: &config, attr: &attr, compat };
    ApiBreaker::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap()
}

/// Sends a request that the upstream answers with `status`, if it is asked. Gives what the client gets.
fn send(world: &World, plugin: &ApiBreaker, target: &str, status: u16) -> u16 {
    let mut cx = world.ctx("GET", target, &[]);
    match testing::ready(plugin.access(&mut cx)).unwrap() {
        Verdict::Respond(reply) => {
            plugin.log(&mut cx);
            reply.status
        }
        Verdict::Next => {
            cx.response.upstream_status = Some(status);
            plugin.log(&mut cx);
            status
        }
    }
}

fn config(failures: u64, successes: u64, longest: u64) -> Value {
    json!({
        "break_response_code": 599, "max_breaker_sec": longest,
        "unhealthy": { "failures": failures }, "healthy": { "successes": successes },
    })
}

#[test]
fn it_opens_for_twice_as_long_each_time() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(2, 3, 10));
    for seconds in [2, 4, 8, 10, 10] {
        assert_eq!([send(&world, &plugin, "/", 500), send(&world, &plugin, "/", 500)], [500, 500]);
        // To the end of the last second.
        for _ in 0..=seconds {
            assert_eq!(send(&world, &plugin, "/", 200), 599, "{seconds}");
            world.pass(Duration::from_secs(1));
        }
    }
}

#[test]
fn successes_close_it() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(1, 2, 300));
    assert_eq!(send(&world, &plugin, "/", 500), 500);
    world.pass(Duration::from_secs(3));
    assert_eq!([send(&world, &plugin, "/", 200), send(&world, &plugin, "/", 404)], [200, 404]);
    assert_eq!(send(&world, &plugin, "/", 200), 200, "the second success");
    assert_eq!(send(&world, &plugin, "/", 500), 500);
    world.pass(Duration::from_secs(3));
    assert_eq!(send(&world, &plugin, "/", 200), 200, "it was two seconds again");
    assert_eq!(send(&world, &plugin, "/", 500), 500, "a failure takes the successes back");
    world.pass(Duration::from_secs(4));
    assert_eq!(send(&world, &plugin, "/", 200), 599, "four seconds this time");
}

#[test]
fn paths_and_documents_have_breakers_of_their_own() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(1, 1, 300));
    assert_eq!(send(&world, &plugin, "/a", 500), 500);
    for (owner, target, expected) in [
        ("/routes/1", "/a", 599),
        ("/routes/1", "/a?b", 599),
        ("/routes/1", "//a", 599),
        ("/routes/1", "/b", 200),
        ("/routes/2", "/a", 200),
    ] {
        // Another configuration of the same document keeps what is known.
        let plugin = build(&world, owner, config(3, 1, 300));
        assert_eq!(send(&world, &plugin, target, 200), expected, "{owner} {target}");
    }
}

#[test]
fn what_a_client_brings_does_not_end_a_header() {
    let world = World::default();
    let mut config = config(1, 1, 300);
    config["break_response_body"] = json!("later");
    config["break_response_headers"] = json!([{ "key": "X-A", "value": "$arg_a" }, { "key": "X-B", "value": "b" }]);
    let plugin = build(&world, "/routes/1", config);
    send(&world, &plugin, "/", 500);
    let mut cx = world.ctx("GET", "/?a=1%0d%0aX-Admin:%201", &[]);
    cx.request.query = Some(b"a=1\r\nX-Admin: 1".to_vec());
    let Ok(Verdict::Respond(reply)) = testing::ready(plugin.access(&mut cx)) else { panic!("it passes") };
    assert_eq!(reply.body, ReplyBody::Bytes("later".into()));
    let names: Vec<&[u8]> = reply.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [b"X-B"]);
}

#[test]
fn failures_are_forgotten() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(3, 3, 3));
    for round in 0..3 {
        for n in 0..5_000 {
            send(&world, &plugin, &format!("/{round}/{n}"), 500);
        }
        world.pass(Duration::from_secs(601));
    }
    assert!(plugin.breakers.len() < 7_000, "{}", plugin.breakers.len());
    assert_eq!(send(&world, &plugin, "/0/0", 500), 500);
}

#[test]
fn the_longest_time_is_kept_however_often_it_fails() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(1, 1, 1 << 40));
    for _ in 0..70 {
        send(&world, &plugin, "/", 500);
        let mut cx = world.ctx("GET", "/", &[]);
        cx.response.upstream_status = Some(500);
        plugin.log(&mut cx);
    }
    assert_eq!(send(&world, &plugin, "/", 200), 599);
}

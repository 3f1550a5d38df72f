use super::*;
use plugin::{Outcome, testing, testing::World};
use serde_json::json;
use std::task::{Context, Poll, Waker};

fn build(world: &World, owner: &str, mut config: Value) -> LimitConn {
    let file: Value = serde_json::from_str(LimitConn::SPEC.schema).unwrap();
    let schema = model::schema::Schema::compile(&file["schema"]).unwrap();
    schema.check_and_fill(&mut config).unwrap();
    let attr = json!({});
    let compat = model::differences::Compat::default();
    let env = BuildEnv { shared: &world.shared, owner, config: &config, attr: &attr, compat };
    LimitConn::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap()
}

fn config(conn: u64, burst: u64) -> Value {
    json!({ "conn": conn, "burst": burst, "default_conn_delay": 0.05, "key": "http_x" })
}

/// The status of an outcome, 200 when the request may go on.
fn status(outcome: Outcome) -> u16 {
    match outcome.unwrap() {
        Verdict::Next => 200,
        Verdict::Respond(reply) => reply.status,
    }
}

/// A request that runs: with its status, or 0 while it waits.
fn start(world: &World, plugin: &LimitConn, value: &str) -> (Ctx, u16) {
    let mut cx = world.ctx("GET", "/", &[("X", value)]);
    let status = match plugin.access(&mut cx) {
        Step::Ready(outcome) => status(outcome),
        Step::Wait(mut future) => match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => status(outcome),
            Poll::Pending => 0,
        },
    };
    (cx, status)
}

#[test]
fn requests_at_a_time_pass_wait_and_are_refused() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(2, 1));
    let started: Vec<(Ctx, u16)> = (0..4).map(|_| start(&world, &plugin, "a")).collect();
    let (running, statuses): (Vec<Ctx>, Vec<u16>) = started.into_iter().unzip();
    assert_eq!(statuses, [200, 200, 0, 503]);
    assert_eq!(start(&world, &plugin, "b").1, 200, "another key");
    drop(running);
    assert_eq!(start(&world, &plugin, "a").1, 200, "places come back");
}

#[test]
fn a_place_comes_back_once_whichever_way_a_request_ends() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(1, 0));
    type End = fn(&LimitConn, Ctx);
    let ends: [(&str, End); 3] = [
        ("logged", |plugin, mut cx| plugin.log(&mut cx)),
        ("logged twice, and dropped", |plugin, mut cx| {
            plugin.log(&mut cx);
            plugin.log(&mut cx);
        }),
        ("dropped without a log phase", |_, cx| drop(cx)),
    ];
    for (desc, end) in ends {
        let (cx, first) = start(&world, &plugin, "a");
        assert_eq!((first, start(&world, &plugin, "a").1), (200, 503), "{desc}");
        end(&plugin, cx);
    }
    assert_eq!(start(&world, &plugin, "a").1, 200);
}

#[test]
fn a_request_that_goes_away_while_it_waits_leaves_its_place() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(1, 1));
    let (_running, _) = start(&world, &plugin, "a");
    let (waiting, status) = start(&world, &plugin, "a");
    assert_eq!((status, start(&world, &plugin, "a").1), (0, 503));
    drop(waiting);
    assert_eq!(start(&world, &plugin, "a").1, 0);
}

#[test]
fn a_request_that_waited_goes_on() {
    let world = World::default();
    let rules = json!([{ "conn": 1, "burst": 1, "key": "$http_x" }, { "conn": 1, "burst": 1, "key": "all $http_x" }]);
    let plugin = build(&world, "/routes/1", json!({ "default_conn_delay": 0.05, "rules": rules }));
    let (running, _) = start(&world, &plugin, "a");
    let mut cx = world.ctx("GET", "/", &[("X", "a")]);
    let Step::Wait(mut future) = plugin.access(&mut cx) else { panic!("it does not wait") };
    let begun = std::time::Instant::now();
    let outcome = loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break outcome;
        }
        std::thread::yield_now();
    };
    drop(future);
    assert_eq!(status(outcome), 200);
    assert!(begun.elapsed() >= Duration::from_millis(100), "once for each rule");
    assert_eq!(start(&world, &plugin, "a").1, 503);
    drop((running, cx));
}

#[test]
fn a_rule_that_refuses_takes_nothing_from_those_before() {
    let world = World::default();
    let rules = json!([{ "conn": 9, "burst": 0, "key": "$http_x" }, { "conn": 1, "burst": 0, "key": "all $http_all" }]);
    let plugin = build(&world, "/routes/1", json!({ "default_conn_delay": 0.05, "rules": rules }));
    let all = |value: &str| {
        let mut cx = world.ctx("GET", "/", &[("X", value), ("All", "1")]);
        let status = status(testing::ready(plugin.access(&mut cx)));
        (cx, status)
    };
    let (_running, _) = all("a");
    for _ in 0..20 {
        assert_eq!(all("b").1, 503);
    }
    assert_eq!(start(&world, &plugin, "b").1, 200, "refused requests have left");
}

#[test]
fn places_stay_taken_whatever_else_changes() {
    let world = World::default();
    let before = build(&world, "/routes/1", config(1, 0));
    let (running, _) = start(&world, &before, "a");
    drop(before);
    for (desc, owner, config, status) in [
        ("built again", "/routes/1", config(1, 0), 503),
        ("another document", "/routes/2", config(1, 0), 200),
        ("another configuration", "/routes/1", config(2, 0), 200),
    ] {
        assert_eq!(start(&world, &build(&world, owner, config), "a").1, status, "{desc}");
    }
    drop(running);
    assert_eq!(start(&world, &build(&world, "/routes/1", config(1, 0)), "a").1, 200);
}

#[test]
fn the_delay_follows_what_requests_take() {
    let world = World::default();
    for (only_default, expected) in [(false, 125), (true, 50)] {
        let mut config = config(1, 0);
        config["only_use_default_delay"] = json!(only_default);
        let plugin = build(&world, "/routes/1", config);
        let (mut cx, _) = start(&world, &plugin, "a");
        cx.timings.upstream = Some(Duration::from_millis(200));
        plugin.log(&mut cx);
        assert_eq!(plugin.rules[0].delay.unit(), Duration::from_millis(expected));
    }
}

#[test]
fn keys_of_requests_that_have_ended_are_forgotten() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", config(1, 0));
    for n in 0..20_000 {
        drop(start(&world, &plugin, &n.to_string()));
    }
    let connections = &plugin.connections;
    assert!(connections.keys() < 2_000, "{}", connections.keys());
}

//! Limits that several gateways share by a Redis, with a real one.

use e2e::{
    Client, Gateway, Upstream,
    redis::{PASSWORD, Redis, RedisCluster, RedisSentinels},
    route_to, wait_for,
};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How many of `each` requests on each of eight connections, spread over all gateways, got `status`.
pub(crate) fn count(gateways: &[&Gateway], each: usize, status: u16) -> usize {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|n| {
                let mut client: Client = gateways[n % gateways.len()].client();
                scope.spawn(move || {
                    let answers = (0..each).map(|_| client.ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").status());
                    answers.filter(|&seen| seen == status).count()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

/// Gateways of two workers each with one route, whose plugins are these.
pub(crate) fn gateways(number: usize, upstream: &Upstream, plugins: &Value) -> Vec<Gateway> {
    let mut route = route_to(upstream.addr);
    route["plugins"] = plugins.clone();
    (0..number)
        .map(|_| {
            let gateway = Gateway::start(json!({}));
            gateway.put("routes/limited", &route);
            gateway
        })
        .collect()
}

pub(crate) fn merged(mut config: Value, more: &Value) -> Value {
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

pub(crate) fn server(redis: &Redis) -> Value {
    json!({ "policy": "redis", "redis_host": "127.0.0.1", "redis_port": redis.port, "redis_timeout": 1000 })
}

pub(crate) fn limit_count(count: u64, more: &Value) -> Value {
    json!({ "limit-count": merged(json!({ "count": count, "time_window": 600, "key": "server_addr" }), more) })
}

#[test]
fn exactly_the_quota_passes_on_two_gateways_with_one_redis() {
    let upstream = Upstream::hello();
    let redis = Redis::start_with(Some(PASSWORD), &[]);
    let login = merged(server(&redis), &json!({ "redis_password": PASSWORD, "redis_database": 3 }));
    for window in ["fixed", "sliding"] {
        let plugins = limit_count(100, &merged(json!({ "window_type": window }), &login));
        let gateways = gateways(2, &upstream, &plugins);
        let all: Vec<&Gateway> = gateways.iter().collect();
        assert_eq!(count(&all, 25, 200), 100, "{window}");
        assert_eq!(count(&all, 2, 503), 16, "{window}");
        // Whatever else changes, and whoever starts again, what was used stays used.
        gateways[0].put("routes/other", &json!({ "uri": "/other", "plugins": {} }));
        assert_eq!(count(&all, 2, 503), 16, "{window}");
    }
}

#[test]
fn one_quota_of_rules_is_one_step() {
    let upstream = Upstream::hello();
    let redis = Redis::start();
    let rule = |count: u64, key: &str| json!({ "count": count, "time_window": 600, "key": key });
    let rules = json!([rule(60, "$server_addr"), rule(40, "$request_method $server_addr")]);
    let plugins = json!({ "limit-count": merged(json!({ "rules": rules }), &server(&redis)) });
    let gateways = gateways(2, &upstream, &plugins);
    let all: Vec<&Gateway> = gateways.iter().collect();
    assert_eq!(count(&all, 10, 200), 40);
    let answer = gateways[0].get("/hello");
    assert_eq!(answer.status(), 503);
    assert_eq!((answer.get("X-1-RateLimit-Remaining"), answer.get("X-2-RateLimit-Remaining")), (Some("0"), None));
}

/// How often a command was run, those that failed too.
fn calls(redis: &Redis, command: &str) -> usize {
    let stats = redis.ask(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

#[test]
fn a_request_asks_redis_once_for_each_plugin_over_one_connection() {
    let upstream = Upstream::hello();
    let redis = Redis::start();
    let rules = |parts: [&str; 3], limits: &Value| -> Value {
        parts.iter().map(|key| merged(json!({ "key": format!("{key}$server_addr") }), limits)).collect()
    };
    let count = json!({ "rules": rules(["a", "b", "c"], &json!({ "count": 1000, "time_window": 600 })) });
    let conn = json!({
        "rules": rules(["a", "b", "c"], &json!({ "conn": 1000, "burst": 0 })), "default_conn_delay": 0.1,
    });
    let req = json!({ "rate": 1000, "burst": 1000, "key": "server_addr" });
    let plugins = [("limit-count", count), ("limit-conn", conn), ("limit-req", req)];
    for (asked_plugins, leaves) in [(1, 0), (2, 3), (3, 3)] {
        let configured = plugins.iter().take(asked_plugins);
        let configured: serde_json::Map<String, Value> =
            configured.map(|(name, config)| ((*name).to_owned(), merged(config.clone(), &server(&redis)))).collect();
        let gateway = &gateways(1, &upstream, &Value::Object(configured))[0];
        // Redis gets to know the scripts, and the places of this request are given back.
        assert_eq!(gateway.get("/hello").status(), 200);
        let expected = asked_plugins + leaves;
        let settled = || calls(&redis, "zrem") == calls(&redis, "zadd");
        wait_for("all places", || settled().then_some(()));
        assert_eq!(redis.ask(&["CONFIG", "RESETSTAT"]), "+OK");
        assert_eq!(count_of_passed(gateway), 80);
        wait_for("all places", || settled().then_some(()));
        // Every rule of a plugin in one step, whatever the number of rules; a place is given back behind the request.
        assert_eq!((calls(&redis, "evalsha"), calls(&redis, "eval")), (80 * expected, 0), "{asked_plugins} plugins");
        let connections = redis.ask(&["CLIENT", "LIST"]);
        // One is the test's own.
        assert_eq!(connections.lines().filter(|line| line.contains("addr=")).count(), 2, "{connections}");
    }
}

/// Ten requests on each of eight connections.
fn count_of_passed(gateway: &Gateway) -> usize {
    count(&[gateway], 10, 200)
}

#[test]
fn exactly_the_quota_passes_in_a_cluster_while_a_slot_moves() {
    let upstream = Upstream::hello();
    let cluster = RedisCluster::start();
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.addr().to_string()).collect();
    let plugins = limit_count(
        300,
        &json!({
            "policy": "redis-cluster", "redis_cluster_name": "c", "redis_password": PASSWORD,
            "redis_cluster_nodes": &nodes[..1], "redis_timeout": 5000,
        }),
    );
    let gateways = gateways(2, &upstream, &plugins);
    let all: Vec<&Gateway> = gateways.iter().collect();
    let mut passed = count(&all, 5, 200);
    let from = cluster.nodes.iter().find(|node| node.ask(&["DBSIZE"]) == ":1").expect("the counter");
    let to = cluster.nodes.iter().find(|node| node.ask(&["DBSIZE"]) == ":0").expect("a node without it");
    let key = from.ask(&["RANDOMKEY"]);
    let slot = from.ask(&["CLUSTER", "KEYSLOT", &*key]).split_off(1);
    let (from_id, to_id) = (from.ask(&["CLUSTER", "MYID"]), to.ask(&["CLUSTER", "MYID"]));
    let to_port = to.port.to_string();
    let is_ok = |answer: String| assert_eq!(answer, "+OK");
    is_ok(to.ask(&["CLUSTER", "SETSLOT", &*slot, "IMPORTING", &*from_id]));
    is_ok(from.ask(&["CLUSTER", "SETSLOT", &*slot, "MIGRATING", &*to_id]));
    passed += count(&all, 5, 200);
    is_ok(from.ask(&["MIGRATE", "127.0.0.1", &*to_port, &*key, "0", "5000", "AUTH", PASSWORD]));
    // Now the old node answers ASK,
    passed += count(&all, 5, 200);
    for node in &cluster.nodes {
        is_ok(node.ask(&["CLUSTER", "SETSLOT", &*slot, "NODE", &*to_id]));
    }
    // and now MOVED.
    passed += count(&all, 5, 200);
    assert_eq!(passed, 160, "none was refused");
    assert_eq!(passed + count(&all, 40, 200), 300);
    assert_eq!((from.ask(&["DBSIZE"]), to.ask(&["DBSIZE"])), (":0".to_owned(), ":1".to_owned()));
}

#[test]
fn a_failover_of_sentinels_is_followed() {
    let upstream = Upstream::hello();
    let mut redis = RedisSentinels::start();
    let sentinels: Vec<Value> =
        redis.sentinels.iter().map(|node| json!({ "host": "127.0.0.1", "port": node.port })).collect();
    let login = json!({
        "policy": "redis-sentinel", "redis_sentinels": sentinels, "redis_master_name": "mymaster",
        "redis_password": PASSWORD, "sentinel_password": PASSWORD,
    });
    let gateways = gateways(2, &upstream, &limit_count(50, &login));
    let all: Vec<&Gateway> = gateways.iter().collect();
    assert_eq!(count(&all, 4, 200), 32);
    wait_for("the replica to have it", || (redis.replica.ask(&["DBSIZE"]) == ":1").then_some(()));
    wait_for("the replica to have all of it", || {
        let offset = |node: &Redis| {
            let info = node.ask(&["INFO", "replication"]);
            info.lines().find_map(|line| line.strip_prefix("master_repl_offset:").map(str::to_owned))
        };
        (offset(&redis.master) == offset(&redis.replica)).then_some(())
    });
    redis.master.kill();
    let mut passed = 32;
    for gateway in &all {
        passed += wait_for("the new master to be found", || (gateway.get("/hello").status() == 200).then_some(1));
    }
    assert_eq!(passed + count(&all, 20, 200), 50);
}

#[test]
fn a_redis_that_goes_away_is_noticed_once_and_found_again() {
    let upstream = Upstream::hello();
    let mut redis = Redis::start();
    let strict = limit_count(1000, &server(&redis));
    let lenient = limit_count(1000, &merged(server(&redis), &json!({ "allow_degradation": true })));
    let gateway = &gateways(1, &upstream, &strict)[0];
    let mut other = route_to(upstream.addr);
    (other["uri"], other["plugins"]) = (json!("/lenient"), lenient);
    gateway.put("routes/lenient", &other);
    assert_eq!(gateway.get("/hello").status(), 200);

    for (how, stop, start) in [("it hangs", "STOP", "CONT"), ("it is gone", "KILL", "run")] {
        if stop == "KILL" {
            redis.kill()
        } else {
            redis.signal(stop)
        }
        let begun = Instant::now();
        let answer = gateway.get("/hello");
        assert_eq!(
            (answer.status(), answer.text().trim_end()),
            (500, r#"{"error_msg":"failed to limit count"}"#),
            "{how}"
        );
        for _ in 0..20 {
            assert_eq!(gateway.get("/hello").status(), 500, "{how}");
            assert_eq!(gateway.get("/lenient").status(), 200, "{how}");
        }
        // One timeout, and not one for each request.
        assert!(begun.elapsed() < Duration::from_secs(4), "{how}: {:?}", begun.elapsed());
        if start == "run" {
            redis.run()
        } else {
            redis.signal(start)
        }
        wait_for("it is used again", || (gateway.get("/hello").status() == 200).then_some(()));
    }
    let log = gateway.file("error.log") + &gateway.file("stderr");
    assert!(log.matches("Redis is away").count() <= 4, "{log}");
}

#[test]
fn a_redis_that_lets_nobody_write_closes_the_door() {
    let upstream = Upstream::hello();
    let master = Redis::start_with(Some(PASSWORD), &[]);
    let replica = Redis::start_with(Some(PASSWORD), &["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let full = Redis::start_with(None, &["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let wrong = merged(server(&master), &json!({ "redis_password": "wrong-password" }));
    for (desc, more) in [
        ("wrong password", wrong.clone()),
        ("none", server(&master)),
        ("read only", merged(server(&replica), &json!({ "redis_password": PASSWORD }))),
        ("full", server(&full)),
    ] {
        let gateway = &gateways(1, &upstream, &limit_count(5, &more))[0];
        for _ in 0..3 {
            let answer = gateway.get("/hello");
            assert_eq!(
                (answer.status(), answer.text().trim_end()),
                (500, r#"{"error_msg":"failed to limit count"}"#),
                "{desc}"
            );
        }
        let log = gateway.file("error.log") + &gateway.file("stderr");
        assert!(!log.contains("wrong-password") && !log.contains(PASSWORD), "{log}");
    }
}

#[test]
fn a_user_needs_to_run_scripts_and_nothing_else() {
    let upstream = Upstream::hello();
    let redis = Redis::start();
    let permissions = ["resetchannels", "~plugin-limit-count:*", "+eval", "+evalsha", "+pttl", "+set", "+incrby"];
    let user = [&["ACL", "SETUSER", "gateway", "on", ">a-long-password"][..], &permissions].concat();
    assert_eq!(redis.ask(&user), "+OK");
    for (password, status) in [("a-long-password", 200), ("another-password", 500)] {
        let login = json!({ "redis_username": "gateway", "redis_password": password });
        let gateway = &gateways(1, &upstream, &limit_count(5, &merged(server(&redis), &login)))[0];
        assert_eq!(gateway.get("/hello").status(), status, "{}", gateway.file("error.log"));
    }
}

#[test]
fn tls_is_verified_where_it_is_asked_for() {
    let upstream = Upstream::hello();
    let (redis, authority) = Redis::with_tls();
    let tls = |verify: bool| merged(server(&redis), &json!({ "redis_ssl": true, "redis_ssl_verify": verify }));
    let mut route = route_to(upstream.addr);
    for (desc, verify, is_trusted, status) in [
        ("not verified", false, false, 200),
        ("verified and trusted", true, true, 200),
        ("verified and not trusted", true, false, 500),
    ] {
        let file = authority.path().join("authority.pem").display().to_string();
        let environment = [("SSL_CERT_FILE", &*file)];
        let gateway = Gateway::start_in(if is_trusted { &environment } else { &[] }, json!({}));
        route["plugins"] = limit_count(5, &tls(verify));
        gateway.put("routes/limited", &route);
        assert_eq!(gateway.get("/hello").status(), status, "{desc}: {}", gateway.file("error.log"));
    }
}

#[test]
fn a_rate_is_shared_by_all_gateways_of_one_redis() {
    let upstream = Upstream::hello();
    let redis = Redis::start();
    let cluster = RedisCluster::start();
    let in_cluster = json!({
        "policy": "redis-cluster", "redis_cluster_name": "c", "redis_password": PASSWORD,
        "redis_cluster_nodes": [cluster.nodes[0].addr().to_string()],
    });
    for more in [server(&redis), in_cluster] {
        let config = merged(json!({ "rate": 0.001, "burst": 20, "nodelay": true, "key": "server_addr" }), &more);
        let gateways = gateways(2, &upstream, &json!({ "limit-req": config }));
        let all: Vec<&Gateway> = gateways.iter().collect();
        assert_eq!(count(&all, 10, 200), 21, "one at once, and the burst");
        assert_eq!(count(&all, 1, 503), 8);
    }
    // It is kept until it is dry, however slow that is: 21 seconds at a thousandth of a request each.
    let key = redis.ask(&["RANDOMKEY"]);
    let left: u64 = redis.ask(&["TTL", &*key])[1..].parse().unwrap();
    assert!((20_900..=21_001).contains(&left), "{left}");
}

#[test]
fn a_rate_in_redis_leaks_by_its_clock() {
    let upstream = Upstream::hello();
    let redis = Redis::start();
    let config = merged(json!({ "rate": 20, "burst": 1, "key": "server_addr" }), &server(&redis));
    let gateway = &gateways(1, &upstream, &json!({ "limit-req": config }))[0];
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(gateway.get("/hello").status(), 200, "each waits for its turn");
    }
    assert!(begun.elapsed() >= Duration::from_millis(9 * 50 - 60), "{:?}", begun.elapsed());
}

#[test]
fn counts_that_are_told_later_are_told_and_bounded() {
    let upstream = Upstream::hello();
    let mut redis = Redis::start();
    for window in ["fixed", "sliding"] {
        let more = merged(json!({ "sync_interval": 0.2, "window_type": window }), &server(&redis));
        let gateways = gateways(2, &upstream, &limit_count(100, &more));
        let (one, two) = (&gateways[0], &gateways[1]);
        assert_eq!(count(&[one], 20, 200), 100, "{window}: alone it is exact");
        // The other knows when it has asked, and never lets more through than was left then.
        let mut passed = 100;
        wait_for("both to know", || {
            let more = count(&[two], 1, 200);
            passed += more;
            (more == 0).then_some(())
        });
        assert!(passed <= 200, "{window}: {passed}");
        assert_eq!(count(&[one, two], 10, 503), 80, "{window}");
        let key = redis.ask(&["RANDOMKEY"]);
        wait_for("Redis to be told of each, once", || {
            let used = if window == "fixed" { redis.ask(&["GET", &*key]) } else { redis.ask(&["HGET", &*key, "used"]) };
            (used == passed.to_string()).then_some(())
        });
        assert_eq!(redis.ask(&["FLUSHALL"]), "+OK");
    }
    // While it is away each gateway counts for itself.
    let more = merged(json!({ "sync_interval": 0.2, "key": "server_port" }), &server(&redis));
    let gateways = gateways(1, &upstream, &limit_count(50, &more));
    redis.kill();
    assert_eq!(count(&[&gateways[0]], 10, 200), 50);
    redis.run();
    wait_for("it to be told", || (redis.ask(&["DBSIZE"]) == ":1").then_some(()));
    assert_eq!(redis.ask(&["GET", &*redis.ask(&["RANDOMKEY"])]), "50");
}

#[test]
fn passwords_of_actions_are_sealed() {
    let upstream = Upstream::hello();
    let redis = Redis::start_with(Some(PASSWORD), &[]);
    let login = merged(server(&redis), &json!({ "redis_password": PASSWORD }));
    let action = limit_count(1, &login)["limit-count"].take();
    let workflow = json!({ "workflow": { "rules": [{ "actions": [["limit-count", action]] }] } });
    let gateway = &gateways(1, &upstream, &workflow)[0];
    let statuses = [gateway.get("/hello").status(), gateway.get("/hello").status()];
    assert_eq!(statuses, [200, 503], "it is opened where it is used");
    let store = std::fs::read(gateway.dir.path().join("data/store.redb")).unwrap();
    assert!(!store.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
}

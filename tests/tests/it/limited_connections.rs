//! limit-conn: requests that run at the same time, with the real program.

use e2e::{Client, Gateway, Upstream, redis::Redis, route_to, wait_for};
use serde_json::{Value, json};
use std::sync::{Arc, Condvar, Mutex};

/// An upstream that answers when the gate is open.
struct Gate {
    upstream: Upstream,
    is_open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn closed() -> Self {
        let is_open = Arc::new((Mutex::new(false), Condvar::new()));
        let seen = is_open.clone();
        let upstream = Upstream::start(move |incoming| {
            while incoming.request().is_some() {
                let (is_open, changed) = &*seen;
                drop(changed.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
                incoming.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            }
        });
        Self { upstream, is_open }
    }

    fn open(&self) {
        *self.is_open.0.lock().unwrap() = true;
        self.is_open.1.notify_all();
    }

    fn gateway(&self, more: &Value) -> Gateway {
        let mut config = json!({
            "conn": 3, "burst": 2, "default_conn_delay": 0.001, "only_use_default_delay": true, "key": "server_addr",
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut route = route_to(self.upstream.addr);
        route["plugins"] = json!({ "limit-conn": config });
        let gateway = Gateway::start(json!({}));
        gateway.put("routes/limited", &route);
        gateway
    }
}

fn begin(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    assert!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

/// Exactly five run at a time on all gateways together, whoever leaves makes room, and in the end nobody is left.
fn five_run_at_a_time(gate: &Gate, gateways: &[Gateway]) {
    let next = |n: usize| &gateways[n % gateways.len()];
    let mut running: Vec<Client> = (0..5).map(|n| begin(next(n))).collect();
    gate.upstream.wait_requests(5);
    for n in 0..4 {
        assert_eq!(next(n).get("/").status(), 503);
    }
    // A client that goes away leaves its place, without a byte from the upstream.
    drop(running.pop());
    let last = wait_for("a place", || {
        let client = begin(next(0));
        client.stream.set_nonblocking(true).unwrap();
        let is_running = wait_for("an answer or a request", || {
            let mut byte = [0];
            let is_answered = client.stream.peek(&mut byte).is_ok_and(|n| n > 0);
            if is_answered { Some(false) } else { (gate.upstream.requests().len() > 5).then_some(true) }
        });
        client.stream.set_nonblocking(false).unwrap();
        is_running.then_some(client)
    });
    running.push(last);
    assert_eq!(next(1).get("/").status(), 503);
    gate.open();
    for client in &mut running {
        assert_eq!(client.response().expect("an answer").status(), 200);
    }
    wait_for("all places", || {
        let mut clients: Vec<Client> = (0..5).map(|n| begin(next(n))).collect();
        clients.iter_mut().all(|client| client.response().unwrap().status() == 200).then_some(())
    });
}

#[test]
fn as_many_as_allowed_run_on_all_workers() {
    let gate = Gate::closed();
    five_run_at_a_time(&gate, &[gate.gateway(&json!({}))]);
}

#[test]
fn as_many_as_allowed_run_on_all_gateways_of_one_redis() {
    let gate = Gate::closed();
    let redis = Redis::start();
    let policy = json!({ "policy": "redis", "redis_host": "127.0.0.1", "redis_port": redis.port });
    let gateways = [gate.gateway(&policy), gate.gateway(&policy)];
    five_run_at_a_time(&gate, &gateways);
    wait_for("Redis to have no place left", || (redis.ask(&["DBSIZE"]) == ":0").then_some(()));
}

#[test]
fn a_gateway_that_ends_leaves_no_place_behind() {
    let gate = Gate::closed();
    let redis = Redis::start();
    let policy = json!({ "policy": "redis", "redis_host": "127.0.0.1", "redis_port": redis.port });
    let mut gateway = gate.gateway(&policy);
    let mut running: Vec<Client> = (0..5).map(|_| begin(&gateway)).collect();
    gate.upstream.wait_requests(5);
    gateway.signal("QUIT");
    gate.open();
    for client in &mut running {
        assert_eq!(client.response().expect("an answer").status(), 200);
    }
    assert!(gateway.wait().success());
    assert_eq!(redis.ask(&["DBSIZE"]), ":0");
}

#[test]
fn places_are_given_back_when_redis_is_there_again() {
    let gate = Gate::closed();
    let redis = Redis::start();
    let gateway = gate.gateway(&json!({
        "policy": "redis", "redis_host": "127.0.0.1", "redis_port": redis.port, "redis_timeout": 200,
    }));
    let mut running: Vec<Client> = (0..5).map(|_| begin(&gateway)).collect();
    gate.upstream.wait_requests(5);
    redis.signal("STOP");
    gate.open();
    for client in &mut running {
        assert_eq!(client.response().expect("an answer").status(), 200);
    }
    assert_eq!(gateway.get("/").status(), 500, "nobody can be counted");
    redis.signal("CONT");
    wait_for("Redis to have no place left", || (redis.ask(&["DBSIZE"]) == ":0").then_some(()));
    wait_for("it is used again", || (gateway.get("/").status() == 200).then_some(()));
}

#[test]
fn as_many_as_allowed_run_on_each_node_while_redis_is_away() {
    let gate = Gate::closed();
    let mut redis = Redis::start();
    let policy = json!({
        "policy": "redis", "redis_host": "127.0.0.1", "redis_port": redis.port, "redis_fallback": "local", "key_ttl": 600,
    });
    let gateway = gate.gateway(&policy);
    // Two that began while it was there.
    let mut before: Vec<Client> = (0..2).map(|_| begin(&gateway)).collect();
    gate.upstream.wait_requests(2);
    redis.kill();
    let mut here: Vec<Client> = (0..5).map(|_| begin(&gateway)).collect();
    gate.upstream.wait_requests(7);
    for _ in 0..4 {
        assert_eq!(gateway.get("/").status(), 503);
    }
    gate.open();
    for client in before.iter_mut().chain(&mut here) {
        assert_eq!(client.response().expect("an answer").status(), 200);
    }
    wait_for("the places here", || {
        let mut clients: Vec<Client> = (0..5).map(|_| begin(&gateway)).collect();
        clients.iter_mut().all(|client| client.response().unwrap().status() == 200).then_some(())
    });
    redis.run();
    // When it is there again it has all its places, also those of requests that ended meanwhile.
    wait_for("places in Redis", || {
        let status = gateway.get("/").status();
        (status == 200 && redis.ask(&["INFO", "commandstats"]).contains("cmdstat_zadd")).then_some(())
    });
    wait_for("Redis to have no place left", || (redis.ask(&["DBSIZE"]) == ":0").then_some(()));
}

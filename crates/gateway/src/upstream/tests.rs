use super::*;
use model::vars::{Lookup, Value, VarName};
use serde_json::json;
use std::{collections::BTreeMap, io::Write as _, time::Instant};

/// A request of which nothing is known.
pub(crate) struct NoRequest;

impl Lookup for NoRequest {
    fn var(&self, _: &VarName) -> Value<'_> {
        Value::Absent
    }
}

/// A request with some variables.
struct Request(&'static [(&'static str, &'static str)]);

impl Lookup for Request {
    fn var(&self, name: &VarName) -> Value<'_> {
        let name = name.to_string();
        self.0.iter().find(|(known, _)| *known == name).map_or(Value::Absent, |(_, value)| Value::text(value))
    }
}

fn compile(registry: &Arc<Registry>, value: &serde_json::Value) -> Arc<CompiledUpstream> {
    CompiledUpstream::compile(
        &documents::Upstream::parse(value).unwrap(),
        "/upstreams/u",
        Shown::This(registry.nobody()),
        registry,
    )
    .unwrap()
}

fn alone(value: &serde_json::Value) -> Arc<CompiledUpstream> {
    compile(&Arc::default(), value)
}

fn first(upstream: &Arc<CompiledUpstream>) -> String {
    upstream.picks().next(&NoRequest).unwrap().name.to_string()
}

/// Every node that a request comes to when all fail.
fn walk(upstream: &Arc<CompiledUpstream>, request: &dyn Lookup) -> Vec<String> {
    let mut picks = upstream.picks();
    std::iter::from_fn(|| picks.next(request)).take(12).map(|pick| pick.name.to_string()).collect()
}

fn counts(upstream: &Arc<CompiledUpstream>, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(first(upstream)).or_default() += 1;
    }
    counts
}

#[test]
fn weights_are_kept_over_a_cycle_and_zero_is_never_picked() {
    let upstream = alone(&json!({"nodes": {"10.0.0.1:80": 3, "10.0.0.2:80": 1, "10.0.0.3:80": 0}}));
    let expected = BTreeMap::from([("10.0.0.1:80".to_owned(), 300), ("10.0.0.2:80".to_owned(), 100)]);
    assert_eq!(counts(&upstream, 400), expected);
}

#[test]
fn every_balancer_tries_each_node_once_and_lower_priorities_last() {
    for balancer in ["roundrobin", "chash", "least_conn", "ewma"] {
        let upstream = alone(&json!({"type": balancer, "key": "remote_addr", "nodes": [
            {"host": "10.0.0.1", "port": 1, "weight": 1},
            {"host": "10.0.0.2", "port": 1, "weight": 1},
            {"host": "10.0.0.3", "port": 1, "weight": 9, "priority": -1},
            {"host": "10.0.0.4", "port": 1, "weight": 1, "priority": 5}
        ]}));
        for _ in 0..20 {
            let mut names = walk(&upstream, &NoRequest);
            assert_eq!((names.len(), &*names[0], &*names[3]), (4, "10.0.0.4:1", "10.0.0.3:1"), "{balancer}");
            names.sort();
            names.dedup();
            assert_eq!(names.len(), 4, "{balancer}");
        }
        assert_eq!(upstream.retries(4), 3);
    }
}

#[test]
fn nodes_without_weight() {
    let none = |balancer: &str| {
        let nodes = json!({"10.0.0.1:80": 0, "10.0.0.2:80": 0});
        walk(&alone(&json!({"type": balancer, "key": "remote_addr", "nodes": nodes})), &NoRequest).len()
    };
    // As in APISIX: where none has weight, all are alike; only a ring has no place for them.
    assert_eq!((none("roundrobin"), none("least_conn"), none("ewma"), none("chash")), (2, 2, 2, 0));
    // A single node is used whatever its weight, and again for each retry.
    let single = alone(&json!({"retries": 3, "nodes": {"10.0.0.1:80": 0}}));
    assert_eq!(walk(&single, &NoRequest).len(), 12);
    let single = alone(&json!({"type": "least_conn", "nodes": {"10.0.0.1:80": 1}}));
    assert_eq!(walk(&single, &NoRequest).len(), 12);
}

#[test]
fn no_nodes_no_pick() {
    let upstream = alone(&json!({"nodes": []}));
    assert!(upstream.picks().next(&NoRequest).is_none());
    assert_eq!((upstream.retries(0), upstream.picks().count()), (0, 0));
}

#[test]
fn every_kind_of_hash_key() {
    let nodes = json!({"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1, "10.0.0.4:80": 1, "10.0.0.5:80": 1});
    let request = Request(&[
        ("remote_addr", "192.0.2.1"),
        ("uri", "/the-path"),
        ("arg_user", "u-1"),
        ("http_x_tenant", "t-42"),
        ("cookie_sid", "s-7"),
        ("consumer_name", "jack"),
    ]);
    for (hash_on, key, hashed) in [
        ("vars", "uri", "/the-path"),
        ("vars", "arg_user", "u-1"),
        ("vars", "arg_nobody", "192.0.2.1"),
        ("header", "X-Tenant", "t-42"),
        ("header", "x-nothing", "192.0.2.1"),
        ("cookie", "sid", "s-7"),
        ("consumer", "", "jack"),
        ("vars_combinations", "$uri#$arg_user", "/the-path#u-1"),
        ("vars_combinations", "$arg_a$arg_b", "192.0.2.1"),
        ("vars_combinations", "constant", "192.0.2.1"),
    ] {
        let mut value = json!({"type": "chash", "hash_on": hash_on, "nodes": nodes});
        if !key.is_empty() {
            value["key"] = json!(key);
        }
        let upstream = alone(&value);
        let Algorithm::Chash(compiled) = &upstream.algorithm else { panic!("{hash_on}") };
        assert_eq!(compiled.hash(&request), crc32fast::hash(hashed.as_bytes()), "{hash_on} {key}");
        let node = upstream.picks().next(&request).unwrap().name.to_string();
        assert!((0..9).all(|_| upstream.picks().next(&request).unwrap().name.to_string() == node), "{hash_on} {key}");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    for (value, expected) in [
        (json!({"nodes": {}, "type": "magic"}), "the balancer \"magic\" does not exist"),
        (
            json!({"service_name": "a", "discovery_type": "dns"}),
            "discovery_type dns needs discovery.dns in config.yaml",
        ),
        (json!({"service_name": "a", "discovery_type": "nacos"}), "\"nacos\" is not available in this version"),
        (json!({"nodes": {}, "scheme": "grpcs"}), "only upstreams of the schemes http and https"),
        (json!({"nodes": {}, "checks": {"active": {"http_path": "/a b"}}}), "http_path has spaces"),
        (json!({"nodes": {}, "checks": {"active": {"req_headers": ["A: b", "C: d\r\nHost: e"]}}}), "req_headers[1]"),
    ] {
        let written = documents::Upstream::parse(&value).unwrap();
        let error = CompiledUpstream::check(&written, &Registry::default()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

/// `cargo test --release -p gateway -- --ignored --nocapture picking`.
#[test]
#[ignore = "a measurement"]
fn picking_among_a_thousand_nodes() {
    let nodes: serde_json::Map<_, _> =
        (0..1000).map(|i| (format!("10.0.{}.{}:80", i / 250, i % 250), json!(1))).collect();
    for balancer in ["roundrobin", "chash", "least_conn", "ewma"] {
        let upstream = alone(&json!({"type": balancer, "key": "remote_addr", "nodes": nodes}));
        let addresses: Vec<String> = (0..1 << 16).map(|i| format!("192.0.{i}.1")).collect();
        struct Client<'a>(&'a str);
        impl Lookup for Client<'_> {
            fn var(&self, _: &VarName) -> Value<'_> {
                Value::text(self.0)
            }
        }
        let begun = Instant::now();
        for address in &addresses {
            std::hint::black_box(upstream.picks().next(&Client(address)));
        }
        let took = begun.elapsed() / addresses.len() as u32;
        writeln!(std::io::stderr(), "{balancer}: {took:?} a pick").unwrap();
    }
}

use super::*;
use crate::upstream::{CompiledUpstream, Registry, Shown, tests::NoRequest};
use model::documents;
use serde_json::{Value, json};
use std::sync::Arc;

const OWNER: &str = "/upstreams/u";

fn compile(registry: &Arc<Registry>, value: &Value) -> Arc<CompiledUpstream> {
    CompiledUpstream::compile(
        &documents::Upstream::parse(value).unwrap(),
        OWNER,
        Shown::This(registry.nobody()),
        registry,
    )
    .unwrap()
}

fn checked(checks: &Value) -> (Arc<Registry>, Arc<CompiledUpstream>) {
    let registry = Arc::<Registry>::default();
    let value = json!({"nodes": {"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1}, "checks": checks});
    let upstream = compile(&registry, &value);
    (registry, upstream)
}

fn sets(value: &mut Value, path: &str, to: &Value) {
    *value.pointer_mut(path).unwrap() = to.clone();
}

/// `(state, success, http, tcp, timeout)` of a node.
fn seen(registry: &Registry, host: &str) -> (&'static str, [u8; 4]) {
    let targets = registry.targets(OWNER);
    let target = targets.iter().find(|target| &*target.host == host).unwrap();
    let Counts { success, http_failure, tcp_failure, timeout_failure } = target.counts();
    (target.state().name(), [success, http_failure, tcp_failure, timeout_failure])
}

fn first_of(upstream: &Arc<CompiledUpstream>) -> Vec<String> {
    let mut names: Vec<_> = (0..60).map(|_| upstream.picks().next(&NoRequest).unwrap().name.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn states_are_those_of_lua_resty_healthcheck() {
    use Report::{Connected, Status, Tcp, Timeout};
    let limits = json!({"active": {}, "passive": {
        "healthy": {"successes": 2, "http_statuses": [200]},
        "unhealthy": {"http_failures": 2, "tcp_failures": 2, "timeouts": 3, "http_statuses": [500]}
    }});
    let rows: &[(&str, &[Report], &str, [u8; 4])] = &[
        ("successes of the healthy are not counted", &[Status(200), Status(200)], "healthy", [0, 0, 0, 0]),
        ("a first failure", &[Status(500)], "mostly_healthy", [0, 1, 0, 0]),
        ("a status that is in no list", &[Status(404)], "healthy", [0, 0, 0, 0]),
        ("an answer without status", &[Status(0)], "mostly_healthy", [0, 1, 0, 0]),
        ("one success does not make it good again", &[Status(500), Status(200)], "mostly_healthy", [1, 0, 0, 0]),
        ("two do", &[Status(500), Status(200), Status(200)], "healthy", [2, 0, 0, 0]),
        ("enough of one kind", &[Status(500), Status(500)], "unhealthy", [0, 2, 0, 0]),
        ("kinds are counted apart", &[Status(500), Tcp, Timeout, Timeout], "mostly_healthy", [0, 1, 1, 2]),
        ("connections", &[Tcp, Tcp], "unhealthy", [0, 0, 2, 0]),
        ("timeouts", &[Timeout, Timeout, Timeout], "unhealthy", [0, 0, 0, 3]),
        ("failures of the unhealthy are not counted", &[Tcp, Tcp, Tcp], "unhealthy", [0, 0, 2, 0]),
        ("a first success", &[Tcp, Tcp, Status(200)], "mostly_unhealthy", [1, 0, 0, 0]),
        ("a failure in between", &[Tcp, Tcp, Status(200), Status(500)], "mostly_unhealthy", [0, 1, 0, 0]),
        ("well again", &[Tcp, Tcp, Status(200), Connected], "healthy", [2, 0, 0, 0]),
    ];
    for (desc, reports, state, counts) in rows {
        let (registry, upstream) = checked(&limits);
        let mut picks = upstream.picks();
        let node = picks.next(&NoRequest).unwrap();
        for report in *reports {
            upstream.report(&node, *report);
        }
        assert_eq!(seen(&registry, &node.host), (*state, *counts), "{desc}");
    }
}

#[test]
fn a_limit_of_zero_counts_nothing_and_absent_passive_checks_count_retries() {
    let (registry, upstream) = checked(&json!({"active": {}, "passive": {"unhealthy": {"tcp_failures": 0}}}));
    let node = upstream.picks().next(&NoRequest).unwrap();
    for _ in 0..9 {
        upstream.report(&node, Report::Tcp);
    }
    assert_eq!(seen(&registry, &node.host), ("healthy", [0; 4]));
    let (registry, upstream) = checked(&json!({"active": {}}));
    assert!(!upstream.counts_answers());
    for _ in 0..2 {
        let mut picks = upstream.picks();
        while picks.next(&NoRequest).is_some_and(|pick| &*pick.host != "10.0.0.2") {}
        picks.failed(false);
    }
    assert_eq!(seen(&registry, "10.0.0.2"), ("unhealthy", [0, 0, 2, 0]));
}

#[test]
fn the_unhealthy_get_nothing_until_all_are() {
    for balancer in ["roundrobin", "least_conn", "ewma", "chash"] {
        let registry = Arc::<Registry>::default();
        let value = json!({"type": balancer, "key": "remote_addr", "checks": {"active": {}},
            "nodes": {"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1}});
        let upstream = compile(&registry, &value);
        let mut picks = upstream.picks();
        let nodes: Vec<_> = std::iter::from_fn(|| picks.next(&NoRequest)).collect();
        drop(picks);
        let fall = |index: usize| (0..2).for_each(|_| upstream.report(&nodes[index], Report::Tcp));
        fall(0);
        assert!(!first_of(&upstream).contains(&nodes[0].name.to_string()), "{balancer}");
        // A ring sends the keys of the one that fell where a retry would have sent them.
        fall(1);
        assert_eq!(first_of(&upstream), [nodes[2].name.to_string()], "{balancer}");
        fall(2);
        let mut picks = upstream.picks();
        assert_eq!(std::iter::from_fn(|| picks.next(&NoRequest)).count(), 3, "{balancer}");
        (0..5).for_each(|_| upstream.report(&nodes[0], Report::Status(200)));
        assert_eq!(first_of(&upstream), [nodes[0].name.to_string()], "{balancer}");
    }
}

#[test]
fn an_unhealthy_priority_gives_way_to_the_next() {
    let registry = Arc::<Registry>::default();
    let upstream = compile(
        &registry,
        &json!({"checks": {"active": {}}, "nodes": [
            {"host": "10.0.0.1", "port": 80, "weight": 1, "priority": 1},
            {"host": "10.0.0.2", "port": 80, "weight": 1}
        ]}),
    );
    let node = upstream.picks().next(&NoRequest).unwrap();
    assert_eq!(&*node.host, "10.0.0.1");
    (0..2).for_each(|_| upstream.report(&node, Report::Tcp));
    assert_eq!(first_of(&upstream), ["10.0.0.2:80"]);
}

#[test]
fn states_stay_over_changes_and_end_with_the_checks() {
    let registry = Arc::<Registry>::default();
    let mut value = json!({"nodes": {"10.0.0.1:80": 1, "10.0.0.2:80": 1}, "checks": {"active": {"http_path": "/a"}}});
    let before = compile(&registry, &value);
    assert!(registry.targets(OWNER).is_empty(), "nothing is checked before the first request");
    let node = before.picks().next(&NoRequest).unwrap();
    (0..2).for_each(|_| before.report(&node, Report::Tcp));
    let host = node.host.clone();
    // Other checks, other nodes, another balancer.
    sets(&mut value, "/checks/active/http_path", &json!("/b"));
    sets(&mut value, "/nodes", &json!({"10.0.0.1:80": 5, "10.0.0.2:80": 1, "10.0.0.3:80": 1}));
    value["type"] = json!("least_conn");
    let after = compile(&registry, &value);
    assert_eq!((seen(&registry, &host).0, registry.targets(OWNER).len()), ("unhealthy", 3));
    assert!(!first_of(&after).contains(&node.name.to_string()));
    // A request that still runs on what was before reports to the same target.
    (0..5).for_each(|_| before.report(&node, Report::Status(200)));
    assert_eq!(seen(&registry, &host).0, "healthy");
    // A node that is gone is forgotten.
    sets(&mut value, "/nodes", &json!({"10.0.0.3:80": 1}));
    compile(&registry, &value);
    assert_eq!(registry.targets(OWNER).len(), 1);
    value.as_object_mut().unwrap().remove("checks");
    compile(&registry, &value);
    assert!(registry.targets(OWNER).is_empty() && registry.all_targets().is_empty());
}

#[test]
fn what_is_checked() {
    for (desc, extra, expected) in [
        ("an address", json!({}), ("10.0.0.1", 80, "10.0.0.1", None)),
        (
            "host and port of the checks",
            json!({"checks": {"active": {"host": "h", "port": 9}}}),
            ("10.0.0.1", 9, "h", None),
        ),
        (
            "a rewritten host",
            json!({"pass_host": "rewrite", "upstream_host": "r"}),
            ("10.0.0.1", 80, "10.0.0.1", Some("r")),
        ),
        ("a name", json!({"nodes": {"a.example:80": 1}}), ("a.example", 80, "a.example", Some("a.example"))),
        ("no port", json!({"nodes": {"10.0.0.1": 1}}), ("10.0.0.1", 80, "10.0.0.1", None)),
    ] {
        let mut value = json!({"nodes": {"10.0.0.1:80": 1}, "checks": {"active": {}}});
        for (name, field) in extra.as_object().unwrap() {
            value[name] = field.clone();
        }
        let registry = Arc::<Registry>::default();
        let upstream = compile(&registry, &value);
        drop(upstream.picks());
        let targets = registry.targets(OWNER);
        let target = &targets[0];
        let found = (&*target.host, target.port, &*target.hostname, target.host_header.as_deref());
        assert_eq!((found, targets.len()), (expected, 1), "{desc}");
    }
}

#[test]
fn nothing_is_checked_where_settings_say_so() {
    let registry = Arc::<Registry>::default();
    registry.configure(crate::upstream::RegistryOptions { checks_nothing: true, ..Default::default() });
    let upstream =
        compile(&registry, &json!({"nodes": {"10.0.0.1:80": 1, "10.0.0.2:80": 1}, "checks": {"active": {}}}));
    let node = upstream.picks().next(&NoRequest).unwrap();
    (0..9).for_each(|_| upstream.report(&node, Report::Tcp));
    assert_eq!((first_of(&upstream).len(), registry.targets(OWNER).len()), (2, 0));
}

#[test]
fn the_checks_of_a_plugins_own_upstream_end_with_it() {
    let registry = Arc::<Registry>::default();
    let written = json!({"nodes": {"10.0.0.1:80": 1, "10.0.0.2:80": 1}, "checks": {"active": {}}});
    let written = documents::Upstream::parse(&written).unwrap();
    let own = |instance| {
        CompiledUpstream::compile_own(
            &written,
            "/routes/1#split[0]",
            instance,
            Shown::This(registry.nobody()),
            &registry,
        )
        .unwrap()
    };
    let (old, new) = (own(7), own(8));
    for upstream in [&old, &new] {
        let _ = upstream.picks().next(&NoRequest);
    }
    drop(old);
    let all = registry.all_targets();
    let shown: Vec<_> = all.iter().map(|(owner, targets)| (&**owner, targets.len())).collect();
    assert_eq!(shown, [("/routes/1#split[0]", 2)]);
    drop(new);
    assert!(registry.all_targets().is_empty());
}

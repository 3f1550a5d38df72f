use super::*;
use crate::{
    chain::Chain,
    snapshot::{CompiledRoute, UpstreamRef},
};
use model::vars::{Value, VarName};
use plugin::RouteFacts;
use proptest::prelude::*;

struct NoVars;

impl Lookup for NoVars {
    fn var(&self, _: &VarName) -> Value<'_> {
        Value::Absent
    }
}

#[derive(Debug, Clone)]
struct Written {
    uris: Vec<&'static str>,
    hosts: Vec<&'static str>,
    methods: Vec<&'static str>,
    priority: i64,
}

fn compile(id: usize, written: &Written) -> Arc<CompiledRoute> {
    Arc::new(CompiledRoute {
        facts: Arc::new(RouteFacts { id: id.to_string().into(), ..RouteFacts::default() }),
        uris: written.uris.iter().map(|uri| UriPattern::new(uri)).collect(),
        hosts: written.hosts.iter().map(|host| (*host).into()).collect(),
        conditions: Conditions { methods: written.methods.iter().map(|m| (*m).into()).collect(), ..Default::default() },
        priority: written.priority,
        arrival: id as u64,
        chain: Arc::<Chain>::default(),
        upstream: UpstreamRef::None,
        timeouts: None,
        enable_websocket: false,
        quarantined: None,
        missing: None,
    })
}

fn find(table: &RouteTable, method: &str, host: &str, path: &str) -> Option<String> {
    let query = RouteQuery { method, host, path: path.as_bytes(), client: [10, 0, 0, 1].into() };
    table.find(&query, &NoVars).unwrap().map(|found| found.route.facts.id.to_string())
}

/// The rules in words, over every route: the best of all places that fit.
fn expected(routes: &[(usize, Written)], method: &str, host: &str, path: &str) -> Option<String> {
    let mut fitting = Vec::new();
    for (id, route) in routes {
        let hosts = if route.hosts.is_empty() { vec![""] } else { route.hosts.clone() };
        for (host_pattern, uri) in hosts.iter().flat_map(|host| route.uris.iter().map(move |uri| (*host, *uri))) {
            let host_rank = match host_pattern.strip_prefix('*') {
                _ if host_pattern.is_empty() => Some((0, 0)),
                Some(suffix) => host.ends_with(suffix).then_some((1, suffix.len())),
                None => (host == host_pattern).then_some((2, 0)),
            };
            let path_rank = match uri.split_once('*') {
                None => (path == uri).then_some((1, 0)),
                Some((prefix, "")) => path.starts_with(prefix).then_some((0, prefix.len())),
                Some((prefix, rest)) => {
                    let fits = path.strip_prefix(prefix).is_some_and(|tail| tail.ends_with(rest));
                    fits.then_some((0, prefix.len()))
                }
            };
            let has_method = route.methods.is_empty() || route.methods.contains(&method);
            if let (Some(host), Some(path), true) = (host_rank, path_rank, has_method) {
                fitting.push(((host, path, route.priority, uri.len(), std::cmp::Reverse(*id)), *id));
            }
        }
    }
    fitting.into_iter().max().map(|(_, id)| id.to_string())
}

const URIS: &[&str] = &["/", "/a", "/a/b", "/a/b/c", "/*", "/a*", "/a/*", "/a/b*", "/a/*/c", "/a/b/*"];
const HOSTS: &[&str] = &["x.com", "a.x.com", "b.a.x.com", "*.x.com", "*.a.x.com", "*", "*x.com"];
const METHODS: &[&str] = &["GET", "POST"];

fn route() -> impl Strategy<Value = Written> {
    let some = prop::sample::subsequence::<&'static str>;
    (some(URIS.to_vec(), 1..=3), some(HOSTS.to_vec(), 0..=2), some(METHODS.to_vec(), 0..=1), -1..=1i64)
        .prop_map(|(uris, hosts, methods, priority)| Written { uris, hosts, methods, priority })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_finds_what_the_rules_say_however_it_came_about(
        routes in prop::collection::vec(route(), 0..12),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        moved in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut table = RouteTable::default();
        let mut live: Vec<(usize, Written)> = routes.into_iter().enumerate().collect();
        for (id, written) in &live {
            table.insert(&compile(*id, written));
        }
        let before = table.clone();
        // An update takes a route out and puts it back: it must not lose its place among equals.
        for index in moved.iter().filter(|_| !live.is_empty()) {
            let (id, written) = index.get(&live);
            table.remove(&compile(*id, written));
            table.insert(&compile(*id, written));
        }
        let all = live.clone();
        for index in removed {
            if !live.is_empty() {
                let (id, written) = live.remove(index.index(live.len()));
                table.remove(&compile(id, &written));
            }
        }
        for method in ["GET", "POST"] {
            for host in ["", "x.com", "a.x.com", "b.a.x.com", "c.b.a.x.com", "yx.com", "other.org"] {
                for path in ["/", "/a", "/a/", "/ab", "/a/b", "/a/b/", "/a/b/c", "/a/x/c", "/a/x/y/c", "/z"] {
                    let query = format!("{method} {host}{path}");
                    prop_assert_eq!(find(&table, method, host, path), expected(&live, method, host, path), "{}", &query);
                    prop_assert_eq!(find(&before, method, host, path), expected(&all, method, host, path), "{}", &query);
                }
            }
        }
    }
}

#[test]
fn rows_of_the_rules() {
    let route = |uri, hosts: &[&'static str], priority| Written {
        uris: vec![uri],
        hosts: hosts.to_vec(),
        methods: Vec::new(),
        priority,
    };
    let rows = [
        (
            "priority never beats a longer prefix",
            vec![route("/a/*", &[], 99), route("/a/b/*", &[], 0)],
            "",
            "/a/b/c",
            Some("1"),
        ),
        ("exact beats prefix", vec![route("/a*", &[], 99), route("/a", &[], 0)], "", "/a", Some("1")),
        ("priority decides in one place", vec![route("/a", &[], 0), route("/a", &[], 1)], "", "/a", Some("1")),
        (
            "the longer pattern decides next",
            vec![route("/a/*", &[], 0), route("/a/*/c", &[], 0)],
            "",
            "/a/b/c",
            Some("1"),
        ),
        ("then who came first", vec![route("/a", &[], 0), route("/a", &[], 0)], "", "/a", Some("0")),
        ("a host beats none", vec![route("/a", &[], 9), route("/*", &["x.com"], 0)], "x.com", "/a", Some("1")),
        (
            "a host without a winner gives way",
            vec![route("/a", &[], 0), route("/b", &["x.com"], 0)],
            "x.com",
            "/a",
            Some("0"),
        ),
        ("hosts are compared without case", vec![route("/a", &["X.CoM"], 0)], "x.com", "/a", Some("0")),
        ("* spans line ends", vec![route("/a/*/c", &[], 0)], "", "/a/\n/c", Some("0")),
    ];
    for (desc, routes, host, path, want) in rows {
        let mut table = RouteTable::default();
        for (id, written) in routes.iter().enumerate() {
            table.insert(&compile(id, written));
        }
        assert_eq!(find(&table, "GET", host, path).as_deref(), want, "{desc}");
    }
}

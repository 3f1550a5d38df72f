use super::*;
use crate::{
    chain::Chain,
    snapshot::{CompiledRoute, UpstreamRef},
};
use model::{
    pattern::{Case, Pattern},
    vars::{Value, VarName},
};
use plugin::RouteFacts;
use proptest::prelude::*;
use std::cmp::Reverse;

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

fn compile(router: Router, id: usize, written: &Written) -> Arc<CompiledRoute> {
    Arc::new(CompiledRoute {
        facts: Arc::new(RouteFacts { id: id.to_string().into(), ..RouteFacts::default() }),
        uris: written.uris.iter().map(|uri| UriPattern::new(uri, router)).collect(),
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

/// Route, pattern, host pattern and parameters.
type Found = (String, String, Option<String>, Vec<(String, String)>);

fn find(table: &RouteTable, method: &str, authority: &str, path: &str) -> Option<Found> {
    let host = authority.split(':').next().unwrap();
    let client = [10, 0, 0, 1].into();
    let query = RouteQuery { method, host, authority: authority.as_bytes(), path: path.as_bytes(), client };
    let found = table.find(&query, &NoVars).unwrap()?;
    let parameters = found.parameters.into_iter().map(|(n, v)| (n.to_string(), String::from_utf8(v).unwrap()));
    let host = found.host.map(|host| host.to_string());
    Some((found.route.facts.id.to_string(), found.uri.to_string(), host, parameters.collect()))
}

/// The rules in words: a list of all places in the order of precedence, of which the first wins whose conditions hold.
fn expected(router: Router, routes: &[(usize, Written)], method: &str, authority: &str, path: &str) -> Option<Found> {
    let mut places = Vec::new();
    for (id, route) in routes {
        let hosts = match router {
            Router::HostUri if !route.hosts.is_empty() => route.hosts.iter().map(|host| vec![*host]).collect(),
            _ => vec![route.hosts.clone()],
        };
        for (hosts, uri) in hosts.iter().flat_map(|hosts| route.uris.iter().map(move |uri| (hosts, *uri))) {
            // 1. Exact hosts, then wildcards from the longest to the shortest, then no host; only where hosts come first.
            let host_rank = match hosts.first().map(|host| (host, host.starts_with('*'))) {
                _ if router != Router::HostUri => (0, 0),
                None => (2, 0),
                Some((host, true)) => (1, usize::MAX - host.len()),
                Some((_, false)) => (0, 0),
            };
            // 2. Exact paths, then prefixes from the longest to the shortest.
            let cut = match router {
                Router::UriWithParameter if uri.contains(':') => uri.find(':'),
                _ => uri.find('*'),
            };
            let path_rank = cut.map_or((0, 0), |at| (1, usize::MAX - at));
            // 3. The higher priority, the longer pattern, who came first.
            let rank = (host_rank, path_rank, Reverse(route.priority), Reverse(uri.len()), *id);
            places.push((rank, id, route, hosts.clone(), uri, cut));
        }
    }
    places.sort_by_key(|place| place.0);
    places.into_iter().find_map(|(_, id, route, hosts, uri, cut)| {
        let host = hosts.iter().find(|pattern| {
            let has_port = router != Router::HostUri && pattern.contains(':');
            let host = if has_port { authority } else { authority.split(':').next().unwrap() };
            pattern.strip_prefix('*').map_or(host == **pattern, |suffix| host.ends_with(suffix))
        });
        let has_host = hosts.is_empty() || host.is_some();
        let has_method = route.methods.is_empty() || route.methods.contains(&method);
        let parameters = parameters(uri, cut, path)?;
        let host = host.map(|host| (*host).to_owned());
        (has_host && has_method).then(|| (id.to_string(), uri.to_owned(), host, parameters))
    })
}

/// A pattern as the regular expression that APISIX makes of it.
fn parameters(uri: &str, cut: Option<usize>, path: &str) -> Option<Vec<(String, String)>> {
    let Some(cut) = cut else { return (uri == path).then(Vec::new) };
    if !path.starts_with(&uri[..cut]) {
        return None;
    }
    let is_plain = cut + 1 == uri.len() && uri.ends_with('*');
    let mut names = Vec::new();
    let mut segments = Vec::new();
    for segment in uri.split('/') {
        let (name, expression) = match segment.split_at_checked(1) {
            Some((":", name)) => (name, "([^/]+)"),
            Some(("*", "")) => (":ext", "((?:.|\\n)*)"),
            Some(("*", name)) => (name, "((?:.|\\n)*)"),
            _ => {
                segments.push(segment);
                continue;
            }
        };
        names.push(name);
        segments.push(expression);
    }
    if is_plain || names.is_empty() {
        return Some(Vec::new());
    }
    let pattern = Pattern::compile(&format!("\\A{}\\z", segments.join("/")), Case::Sensitive).unwrap();
    let captures = pattern.captures(path.as_bytes()).unwrap()?;
    let mut found: Vec<(String, String)> = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let value = path[captures.group(at + 1).unwrap()].to_owned();
        match found.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => found.push((name.to_owned(), value)),
        }
    }
    Some(found)
}

const ROUTERS: [Router; 3] = [Router::HostUri, Router::Uri, Router::UriWithParameter];
const URIS: &[&str] = &[
    "/", "/a", "/a/b", "/a/b/c", "/*", "/a*", "/a/*", "/a/b*", "/a/*/c", "/a/b/*", "/a/:x", "/a/:x/c", "/:x/*y", "/:x",
    "/*x/b/*y", "/a/:x/:x", "/a/b:c", "/:x/b",
];
const HOSTS: &[&str] =
    &["x.com", "a.x.com", "b.a.x.com", "*.x.com", "*.a.x.com", "*", "*x.com", "x.com:81", "*.x.com:81"];
const METHODS: &[&str] = &["GET", "POST"];
const ASKED_HOSTS: &[&str] =
    &["", "x.com", "x.com:80", "x.com:81", "a.x.com", "a.x.com:81", "b.a.x.com", "c.b.a.x.com", "yx.com", "other.org"];
const ASKED_PATHS: &[&str] = &[
    "/", "/a", "/a/", "/ab", "/a/b", "/a/b/", "/a/b/c", "/a/x/c", "/a/x/y/c", "/z", "/z/b", "/a/:x", "/a/b:c",
    "/b/b/b/b", "/a/b/b/c",
];

fn route() -> impl Strategy<Value = Written> {
    let some = prop::sample::subsequence::<&'static str>;
    (some(URIS.to_vec(), 1..=3), some(HOSTS.to_vec(), 0..=2), some(METHODS.to_vec(), 0..=1), -1..=1i64)
        .prop_map(|(uris, hosts, methods, priority)| Written { uris, hosts, methods, priority })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_finds_what_the_rules_say_however_it_came_about(
        router in prop::sample::select(ROUTERS.to_vec()),
        routes in prop::collection::vec(route(), 0..12),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        moved in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut table = RouteTable::new(router);
        let mut live: Vec<(usize, Written)> = routes.into_iter().enumerate().collect();
        for (id, written) in &live {
            table.insert(&compile(router, *id, written));
        }
        let before = table.clone();
        // An update takes a route out and puts it back: it must not lose its place among equals.
        for index in moved.iter().filter(|_| !live.is_empty()) {
            let (id, written) = index.get(&live);
            table.remove(&compile(router, *id, written));
            table.insert(&compile(router, *id, written));
        }
        let all = live.clone();
        for index in removed {
            if !live.is_empty() {
                let (id, written) = live.remove(index.index(live.len()));
                table.remove(&compile(router, id, &written));
            }
        }
        for host in ASKED_HOSTS {
            for path in ASKED_PATHS {
                let query = format!("{router:?} {host}{path}");
                let (now, then) = (expected(router, &live, "GET", host, path), expected(router, &all, "POST", host, path));
                prop_assert_eq!(find(&table, "GET", host, path), now, "{}", &query);
                prop_assert_eq!(find(&before, "POST", host, path), then, "{}", &query);
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
            table.insert(&compile(Router::HostUri, id, written));
        }
        assert_eq!(find(&table, "GET", host, path).map(|found| found.0).as_deref(), want, "{desc}");
    }
}

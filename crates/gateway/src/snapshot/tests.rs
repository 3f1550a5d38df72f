mod decorations;

use super::*;
use crate::{route::RouteQuery, upstream::tests::NoRequest};
use model::{
    documents::Key,
    vars::{Lookup, Value as VarValue, VarName},
};
use plugin::{
    AuthPlugin, BuildEnv, BuildError, CompileDecorations, Ctx, Hooks, IndexKey, Plugin, PluginClass, Posture, Rewrite,
    RunPolicy, Shared, Spec, Step, describe, describe_auth,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const POSTURE: Posture = Posture { reads_untrusted: false, reads_bodies: false, calls_out: false };

/// A plugin that does nothing; it refuses to be built with `fails`, which no schema could say.
pub(crate) struct Mark;

#[derive(Deserialize)]
pub(crate) struct MarkConfig {
    fails: bool,
}

impl Plugin for Mark {
    const NAME: &'static str = "mark";
    const PRIORITY: i32 = 10;
    const SPEC: Spec = Spec {
        schema: r#"{"schema": {"type": "object", "properties": {
            "tag": {"type": "string"}, "fails": {"type": "boolean", "default": false},
            "uses": {"type": "array"}}},
            "references": {"upstream": ["uses.upstream_id"], "proto": ["uses.proto_id"]}}"#,
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: POSTURE,
    };
    type Config = MarkConfig;
    type Metadata = ();
    const DECORATIONS: Option<CompileDecorations> =
        Some(|written| Arc::new(written.iter().map(|one| one.field_path.clone()).collect::<Vec<String>>()));

    fn build(config: MarkConfig, _: &BuildEnv<'_>) -> Result<Self, BuildError> {
        if config.fails { Err(BuildError("told to fail".to_owned())) } else { Ok(Self) }
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for Mark {
    fn rewrite<'a>(&'a self, _: &'a mut Ctx) -> Step<'a> {
        Step::NEXT
    }
}

/// A plugin that authenticates.
pub(crate) struct Door;

#[derive(Deserialize)]
pub(crate) struct DoorKey {
    key: String,
}

impl Plugin for Door {
    const NAME: &'static str = "door";
    const PRIORITY: i32 = 20;
    const SPEC: Spec = Spec {
        schema: r#"{"schema": {"type": "object", "properties": {}},
            "consumer_schema": {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}}"#,
        class: PluginClass::Auth,
        ..Mark::SPEC
    };
    type Config = Value;
    type Metadata = ();

    fn build(_: Value, _: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }

    fn attach(self: Arc<Self>, _: &mut Hooks) {}
}

impl AuthPlugin for Door {
    const INDEX_ATTRIBUTE: &'static str = "key";
    type Credential = DoorKey;
    type Compiled = ();

    fn credential(credential: DoorKey, _: model::differences::Compat) -> Result<(IndexKey, ()), BuildError> {
        Ok((IndexKey(credential.key.into_bytes()), ()))
    }
}

struct NoVars;

impl Lookup for NoVars {
    fn var(&self, _: &VarName) -> VarValue<'_> {
        VarValue::Absent
    }
}

/// Documents, and the compiler that follows them.
struct World {
    compiler: Compiler,
    documents: BTreeMap<String, Value>,
}

impl World {
    fn new() -> Self {
        let all = vec![describe::<Mark>(), describe_auth::<Door>()];
        let plugins = PluginSet::new(all, None, &Map::new(), model::differences::Compat::default()).unwrap();
        Self {
            compiler: Compiler::new(Arc::new(plugins), Arc::new(Shared::default()), Router::default()),
            documents: BTreeMap::new(),
        }
    }

    fn of(documents: &[(&str, Value)]) -> Self {
        let mut world = Self::new();
        for (path, value) in documents {
            world.set(path, Some(value.clone()));
        }
        world
    }

    fn set(&mut self, path: &str, value: Option<Value>) {
        self.set_with_problem(path, value, None);
    }

    fn set_with_problem(&mut self, path: &str, mut value: Option<Value>, problem: Option<&str>) {
        let key = Key::parse(path).unwrap();
        // As the Admin API does before it stores.
        if let Some(value) = value.as_mut().filter(|_| !path.starts_with("/consumers/")) {
            value["id"] = json!(key.id());
        }
        let old = self.documents.remove(path);
        if old.is_some() || value.is_some() {
            let old = old.map(|old| old.to_string());
            let written = value.as_ref().map(Written::new);
            self.compiler.change(&key, old.as_deref(), written.as_ref(), problem);
        }
        if let Some(value) = value {
            self.documents.insert(path.to_owned(), value);
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        self.compiler.snapshot(1)
    }
}

fn found(snapshot: &Snapshot, host: &str, path: &str) -> Option<Arc<CompiledRoute>> {
    let query = RouteQuery {
        method: "GET",
        host,
        authority: host.as_bytes(),
        path: path.as_bytes(),
        client: [10, 0, 0, 1].into(),
    };
    snapshot.routes().find(&query, &NoVars).unwrap().map(|found| found.route)
}

/// What requests can tell of a snapshot.
fn behaviour(snapshot: &Snapshot) -> Value {
    let mut seen = Vec::new();
    for host in ["", "s.com"] {
        for path in ["/0", "/1", "/2", "/3"] {
            let route = found(snapshot, host, path).map(|route| {
                let upstream = snapshot.upstream_of(&route, None);
                json!({
                    "id": &*route.facts.id,
                    "service": route.facts.service_name.as_deref(),
                    "plugins": route.chain.slots().iter().map(|s| (s.name, s.priority)).collect::<Vec<_>>(),
                    "missing": route.missing,
                    "quarantined": route.quarantined,
                    "upstream": upstream.map(|u| u.picks().next(&NoRequest).map(|node| node.name.to_string())).map_err(|e| e.to_string()),
                })
            });
            seen.push(route);
        }
    }
    let credentials: Vec<_> = ["k0", "k1", "k2"]
        .map(|key| {
            snapshot
                .find("door", key.as_bytes())
                .map(|(c, _)| (c.name.to_string(), c.credential_id.clone().map(|i| i.to_string())))
        })
        .into();
    let global: Vec<_> = snapshot.global().slots().iter().map(|s| s.name).collect();
    json!([seen, credentials, global, snapshot.closed(), snapshot.digest().to_string()])
}

fn node(name: &str) -> Value {
    json!({ "nodes": { name: 1 } })
}

fn change() -> impl Strategy<Value = (String, Option<Value>)> {
    let plugins = prop_oneof![
        Just(json!({})),
        (0..3u8).prop_map(|tag| json!({ "mark": { "tag": tag.to_string() } })),
        Just(json!({ "mark": { "_meta": { "priority": 77 } } })),
        Just(json!({ "mark": { "_meta": { "disable": true } } })),
    ]
    .boxed();
    let route = (0..4u8, plugins.clone(), 0..4u8, 0..3u8, 0..2i64).prop_map(|(id, plugins, target, config, status)| {
        let mut route = json!({ "uris": [format!("/{id}"), "/2*"], "plugins": plugins, "status": status });
        match target {
            0 => route["service_id"] = json!("s"),
            1 => route["upstream_id"] = json!("u"),
            2 => route["upstream"] = node("10.0.0.9:80"),
            _ => {}
        }
        if config == 0 {
            route["plugin_config_id"] = json!("c");
        }
        (format!("/routes/{id}"), route)
    });
    let service = (plugins.clone(), any::<bool>()).prop_map(|(plugins, has_hosts)| {
        let mut service = json!({ "name": "named", "plugins": plugins, "upstream_id": "u" });
        if has_hosts {
            service["hosts"] = json!(["s.com"]);
        }
        ("/services/s".to_owned(), service)
    });
    let consumer = (0..2u8, 0..3u8, plugins.clone()).prop_map(|(name, key, mut plugins)| {
        plugins["door"] = json!({ "key": format!("k{key}") });
        (format!("/consumers/c{name}"), json!({ "username": format!("c{name}"), "plugins": plugins }))
    });
    let credential = (0..2u8).prop_map(|name| {
        (
            format!("/consumers/c{name}/credentials/x"),
            json!({ "plugins": { "door": { "key": format!("k{}", name + 1) } } }),
        )
    });
    let decoration = (0..2u8).prop_map(|id| {
        (format!("/services/s/graphql_cost_decorations/{id}"), json!({ "field_path": format!("A.a{id}") }))
    });
    let document = prop_oneof![
        4 => route,
        2 => service,
        1 => plugins.clone().prop_map(|plugins| ("/plugin_configs/c".to_owned(), json!({ "plugins": plugins }))),
        1 => (1..4u8).prop_map(|n| ("/upstreams/u".to_owned(), node(&format!("10.0.0.{n}:80")))),
        1 => plugins.prop_map(|plugins| ("/global_rules/g".to_owned(), json!({ "plugins": plugins }))),
        1 => consumer,
        1 => credential,
        1 => decoration,
    ];
    (document, prop::bool::weighted(0.7)).prop_map(|((path, value), is_put)| (path, is_put.then_some(value)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn following_changes_comes_to_the_same_as_compiling_all(changes in prop::collection::vec(change(), 1..40)) {
        let mut followed = World::new();
        // Routes in the order in which those that are there arrived; a key written anew after a removal is new.
        let mut order: Vec<String> = Vec::new();
        for (path, value) in changes {
            match &value {
                None => order.retain(|have| *have != path),
                Some(_) if order.contains(&path) => {}
                Some(_) => order.push(path.clone()),
            }
            followed.set(&path, value);
        }
        // Two owners of one credential: who was loaded last wins, which a different order may change. The Admin API refuses it.
        let keys: Vec<String> = followed.documents.values().filter_map(|v| v.pointer("/plugins/door/key")).map(Value::to_string).collect();
        let unique: std::collections::BTreeSet<_> = keys.iter().collect();
        prop_assume!(unique.len() == keys.len());
        let mut whole = World::new();
        for path in &order {
            whole.set(path, followed.documents.get(path).cloned());
        }
        prop_assert_eq!(behaviour(&followed.snapshot()), behaviour(&whole.snapshot()));
        // Nothing is left of what is gone.
        let gone: Vec<String> = followed.documents.keys().cloned().collect();
        for path in gone {
            followed.set(&path, None);
        }
        prop_assert_eq!(followed.compiler.leftovers(), 0);
        let empty = followed.snapshot();
        prop_assert_eq!(empty.digest(), &Digest::default());
    }
}

#[test]
fn a_plugin_is_replaced_whole_by_the_nearer_document() {
    let tag = |tag: &str| json!({ "mark": { "tag": tag } });
    let all = [("service", "/services/s"), ("plugin_config", "/plugin_configs/c"), ("route", "/routes/1")];
    for (winner, with) in [("service", &all[..1]), ("plugin_config", &all[..2]), ("route", &all[..3])] {
        let mut world = World::new();
        world.set("/services/s", Some(json!({ "plugins": {} })));
        world.set("/plugin_configs/c", Some(json!({ "plugins": {} })));
        let mut route = json!({ "uri": "/1", "service_id": "s", "plugin_config_id": "c" });
        for (name, path) in with {
            if *name == "route" {
                route["plugins"] = tag(name);
            } else {
                world.set(path, Some(json!({ "plugins": tag(name) })));
            }
        }
        world.set("/routes/1", Some(route));
        let snapshot = world.snapshot();
        let chain = found(&snapshot, "", "/1").unwrap().chain.clone();
        assert_eq!(chain.slots().len(), 1, "{winner}");
        let owner = all.iter().find(|(name, _)| *name == winner).unwrap().1;
        assert!(world.compiler.owns(owner, chain.slots()[0].id), "{winner}");
    }
}

#[test]
fn instances_live_on_while_their_own_configuration_is_the_same() {
    let mut world = World::of(&[
        ("/services/s", json!({ "plugins": {} })),
        ("/upstreams/u", node("10.0.0.1:80")),
        (
            "/routes/1",
            json!({ "uri": "/1", "service_id": "s", "upstream_id": "u", "plugins": { "mark": { "tag": "a" } } }),
        ),
    ]);
    let slot = |world: &mut World| {
        let chain = found(&world.snapshot(), "", "/1").unwrap().chain.clone();
        chain.slots().iter().find(|slot| slot.name == "mark").unwrap().id
    };
    let first = slot(&mut world);
    let route = |tag: &str| json!({ "uri": "/1", "desc": "x", "service_id": "s", "upstream_id": "u", "plugins": { "mark": { "tag": tag } } });
    let rows = [
        ("/services/s", json!({ "name": "new", "plugins": { "door": {} } }), true),
        ("/upstreams/u", node("10.0.0.2:80"), true),
        ("/routes/1", route("a"), true),
        ("/routes/1", route("b"), false),
    ];
    for (path, value, is_kept) in rows {
        world.set(path, Some(value));
        assert_eq!(slot(&mut world) == first, is_kept, "{path}");
    }
    let snapshot = world.snapshot();
    assert_eq!(found(&snapshot, "", "/1").unwrap().facts.service_name.as_deref(), Some("new"));
}

/// Each row: what is stored, and whether a request for `s.com/1` must come to a closed route.
#[test]
fn what_cannot_be_used_is_closed_and_never_skipped() {
    let open = || ("/routes/open", json!({ "uri": "/*", "upstream": node("10.0.0.1:80") }));
    let wild = || ("/routes/wild", json!({ "uri": "/*", "host": "*.com", "upstream": node("10.0.0.1:80") }));
    let on_service = || ("/routes/1", json!({ "uri": "/1", "service_id": "s", "upstream": node("10.0.0.2:80") }));
    let rows = [
        ("a plugin nobody knows", vec![open(), ("/routes/1", json!({ "uri": "/1", "plugins": { "nobody": {} } }))]),
        (
            "a plugin that cannot be built",
            vec![open(), ("/routes/1", json!({ "uri": "/1", "plugins": { "mark": { "fails": true } } }))],
        ),
        (
            "a reference that leads nowhere",
            vec![open(), ("/routes/1", json!({ "uri": "/1", "plugins": { "mark": { "tag": "$env://NONE" } } }))],
        ),
        (
            "an expression that cannot be read",
            vec![open(), ("/routes/1", json!({ "uri": "/1", "vars": [["a", "??", 1]] }))],
        ),
        ("a script", vec![open(), ("/routes/1", json!({ "uri": "/1", "filter_func": "function() end" }))]),
        ("a broken service", vec![open(), ("/services/s", json!({ "plugins": { "nobody": {} } })), on_service()]),
        (
            "a broken service keeps its routes on its hosts",
            vec![wild(), ("/services/s", json!({ "hosts": ["s.com"], "plugins": { "nobody": {} } })), on_service()],
        ),
        (
            "a broken route keeps to its service's hosts",
            vec![
                wild(),
                ("/services/s", json!({ "hosts": ["s.com"] })),
                ("/routes/1", json!({ "uri": "/1", "service_id": "s", "plugins": { "nobody": {} } })),
            ],
        ),
        (
            "a broken plugin config",
            vec![
                open(),
                ("/plugin_configs/c", json!({ "plugins": { "nobody": {} } })),
                ("/routes/1", json!({ "uri": "/1", "plugin_config_id": "c", "upstream": node("10.0.0.2:80") })),
            ],
        ),
    ];
    for (desc, documents) in rows {
        let mut world = World::of(&documents);
        let snapshot = world.snapshot();
        let route = found(&snapshot, "s.com", "/1").unwrap();
        assert_eq!(&*route.facts.id, "1", "{desc}");
        assert!(route.quarantined.is_some(), "{desc}");
        assert!(!snapshot.problems().is_empty(), "{desc}");
        // It opens again when it is mended, and leaves no problem.
        for (path, _) in documents {
            if path != "/routes/open" && path != "/routes/wild" {
                let good =
                    if path == "/routes/1" { json!({ "uri": "/1", "plugins": {} }) } else { json!({ "plugins": {} }) };
                world.set(path, Some(good));
            }
        }
        assert_eq!(world.snapshot().problems(), [], "{desc}");
        assert!(found(&world.snapshot(), "", "/1").unwrap().quarantined.is_none(), "{desc}");
    }
}

#[test]
fn what_was_good_stays_as_it_was() {
    let good = json!({ "uri": "/1", "upstream": node("10.0.0.1:80"), "plugins": { "mark": {} } });
    let mut world = World::of(&[("/routes/1", good), ("/global_rules/g", json!({ "plugins": { "mark": {} } }))]);
    world.set("/routes/1", Some(json!({ "uri": "/1", "plugins": { "nobody": {} } })));
    world.set("/global_rules/g", Some(json!({ "plugins": { "nobody": {} } })));
    let snapshot = world.snapshot();
    let route = found(&snapshot, "", "/1").unwrap();
    assert!(route.quarantined.is_none() && route.chain.has("mark"));
    assert!(snapshot.closed().is_none() && snapshot.global().has("mark"));
    assert_eq!(snapshot.problems().len(), 2);
}

#[test]
fn what_the_store_cannot_open_is_closed() {
    let open = json!({ "uri": "/*", "upstream": node("10.0.0.1:80") });
    let route = json!({ "uri": "/1", "upstream_id": "u", "plugins": { "mark": { "tag": null } } });
    let user = json!({ "uri": "/2", "upstream_id": "u" });
    let mut world = World::of(&[("/routes/open", open), ("/routes/user", user)]);
    world.set_with_problem("/routes/1", Some(route), Some("a secret cannot be opened"));
    world.set_with_problem("/upstreams/u", Some(node("10.0.0.1:80")), Some("a secret cannot be opened"));
    let snapshot = world.snapshot();
    assert!(found(&snapshot, "", "/1").unwrap().quarantined.is_some());
    let user = found(&snapshot, "", "/2").unwrap();
    assert_eq!(snapshot.upstream_of(&user, None).map(drop), Err(503));
    world.set_with_problem("/global_rules/g", Some(json!({ "plugins": {} })), Some("a secret cannot be opened"));
    assert!(world.snapshot().closed().is_some());
}

#[test]
fn a_broken_global_rule_closes_everything_and_a_broken_consumer_nothing_but_itself() {
    let door = |key: &str| json!({ "door": { "key": key } });
    let mut world = World::of(&[
        ("/consumers/good", json!({ "username": "good", "plugins": door("k1") })),
        ("/consumers/bad", json!({ "username": "bad", "plugins": { "door": { "key": "k2" }, "nobody": {} } })),
        ("/consumers/bad/credentials/x", json!({ "plugins": door("k3") })),
    ]);
    let snapshot = world.snapshot();
    assert!(snapshot.closed().is_none());
    let finds = |key: &str| snapshot.find("door", key.as_bytes()).is_some();
    assert_eq!(["k1", "k2", "k3", "k"].map(finds), [true, false, false, false]);
    world.set("/global_rules/g", Some(json!({ "plugins": { "nobody": {} } })));
    assert!(world.snapshot().closed().is_some());
    world.set("/global_rules/g", None);
    assert!(world.snapshot().closed().is_none());
}

#[test]
fn a_credential_whose_reference_leads_nowhere_is_nobodys() {
    let door = |key: &str| json!({ "door": { "key": key } });
    let mut world = World::of(&[
        ("/consumers/a", json!({ "username": "a", "plugins": door("$env://NONE") })),
        ("/consumers/b", json!({ "username": "b", "plugins": door("k") })),
        ("/consumers/b/credentials/x", json!({ "plugins": door("$secret://vault/1/k") })),
    ]);
    let snapshot = world.snapshot();
    let finds = |key: &str| snapshot.find("door", key.as_bytes()).is_some();
    assert_eq!(["k", "$env://NONE", "$secret://vault/1/k", ""].map(finds), [true, false, false, false]);
}

#[test]
fn a_stored_field_that_nobody_knows_closes_nothing() {
    let mut world = World::of(&[("/routes/1", json!({ "uri": "/1", "plugins": { "mark": { "tga": "x" } } }))]);
    assert!(found(&world.snapshot(), "", "/1").unwrap().quarantined.is_none());
}

#[test]
#[ignore = "a measurement: run it in release"]
fn one_change_among_100_000_routes() {
    let mut world = World::new();
    let route = |n: u32, up: u32| json!({ "uri": format!("/r/{n}/*"), "upstream": node(&format!("10.0.0.{up}:80")) });
    for n in 0..100_000 {
        world.set(&format!("/routes/{n}"), Some(route(n, 1)));
    }
    let mut held = world.snapshot();
    let started = std::time::Instant::now();
    for n in 0..1000 {
        world.set(&format!("/routes/{n}"), Some(route(n, 2)));
        held = world.snapshot();
    }
    let each = started.elapsed() / 1000;
    assert!(found(&held, "", "/r/5/x").is_some());
    assert!(each < std::time::Duration::from_millis(1), "{each:?}");
}

/// The item of a list that has no id may be another one than before.
#[test]
fn the_last_good_version_of_an_item_without_id_is_not_kept() {
    let good = json!({ "uri": "/0", "plugins": { "mark": {} } });
    let bad = json!({ "uri": "/1", "plugins": { "nonsense": {} } });
    for (path, still_there) in [("/routes/arr_1", false), ("/routes/r", true)] {
        let mut world = World::of(&[(path, good.clone())]);
        world.set(path, Some(bad.clone()));
        let snapshot = world.snapshot();
        assert_eq!(found(&snapshot, "", "/0").is_some(), still_there, "{path}");
        let closed = found(&snapshot, "", "/1").is_some_and(|route| route.quarantined.is_some());
        assert_eq!(closed, !still_there, "{path}");
        assert_eq!(snapshot.problems().len(), 1);
        world.set(path, Some(good.clone()));
        assert!(found(&world.snapshot(), "", "/0").is_some_and(|route| route.quarantined.is_none()));
    }
}

#[test]
fn an_upstream_id_comes_before_an_upstream_beside_it() {
    let upstream = |port: u16| json!({ "nodes": { format!("10.0.0.1:{port}"): 1 } });
    let both = json!({ "upstream": upstream(1), "upstream_id": "u" });
    let mut route = both.clone();
    route["uri"] = json!("/0");
    let of_service = json!({ "uri": "/1", "service_id": "s" });
    let mut world = World::of(&[
        ("/upstreams/u", upstream(2)),
        ("/services/s", both),
        ("/routes/0", route),
        ("/routes/1", of_service),
    ]);
    let snapshot = world.snapshot();
    for path in ["/0", "/1"] {
        let route = found(&snapshot, "", path).unwrap();
        assert!(matches!(&route.upstream, crate::snapshot::UpstreamRef::Id(id) if **id == *"u"), "{path}");
    }
}

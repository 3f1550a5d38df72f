//! Whatever may be written can be used: documents made from the schemas, with all plugins, and with things put into them that are
//! none of theirs.

use gateway::{
    flow::{Flow, FlowError, Write},
    plugins::PluginSet,
};
use model::{
    differences::Profile,
    documents::{self, Key, Kind},
    schema::Schema,
    settings::Settings,
};
use plugin::Shared;
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::Arc};
use store::{Expect, Memory};
use tokio::runtime::{Builder, Runtime};

/// Texts of which every pattern of the schemas takes some.
const TEXTS: [&str; 24] = [
    "a",
    "/a",
    "/a/*",
    "/a/:b",
    "a.test",
    "*.a.test",
    "127.0.0.1",
    "10.0.0.0/8",
    "::1",
    "http://a.test/",
    "https://a.test/x?y=z",
    "remote_addr",
    "$remote_addr $http_x",
    "arg_x",
    "x-header",
    "GET",
    "application/json",
    "200",
    "1m",
    "$env://NONE",
    "^/a/(.*)$",
    "(",
    "**",
    "function() return true end",
];

/// Values that fit nowhere, or only by chance.
fn oddities() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(1e300),
        json!(0.5),
        json!(""),
        json!("\u{0}ü"),
        json!("x".repeat(5000)),
        json!([]),
        json!({}),
        json!([[]]),
        json!({ "__proto__": 1 }),
    ]
}

struct Maker {
    rng: TestRng,
}

impl Maker {
    fn new(seed: [u8; 32]) -> Self {
        Self { rng: TestRng::from_seed(RngAlgorithm::ChaCha, &seed) }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound.max(1))
    }

    fn happens(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len());
        &all[at]
    }

    /// A value that a schema describes, as far as this reads schemas.
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        let schema = self.chosen(schema);
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return self.one_of(values).clone();
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(default) = schema.get("default")
            && self.happens(4)
        {
            return default.clone();
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            Some(Value::Array(kinds)) => self.one_of(kinds).as_str().unwrap().to_owned(),
            _ if schema.get("properties").is_some() || schema.get("required").is_some() => "object".to_owned(),
            _ => (*self.one_of(&["string", "object", "integer"])).to_owned(),
        };
        match kind.as_str() {
            "object" => self.object(&schema, depth),
            "array" => self.array(&schema, depth),
            "string" => self.text(&schema),
            "integer" => json!(self.number(&schema) as i64),
            "number" => json!(self.number(&schema)),
            "boolean" => json!(self.happens(2)),
            _ => Value::Null,
        }
    }

    /// A schema with one of its alternatives.
    fn chosen(&mut self, schema: &Value) -> Value {
        let mut chosen = schema.clone();
        for list in ["oneOf", "anyOf", "allOf"] {
            let Some(branches) = schema.get(list).and_then(Value::as_array).filter(|all| !all.is_empty()) else {
                continue;
            };
            let branches = if list == "allOf" { branches.clone() } else { vec![self.one_of(branches).clone()] };
            for branch in &branches {
                let branch = self.chosen(branch);
                for (name, value) in branch.as_object().into_iter().flatten() {
                    match (chosen.get_mut(name), value) {
                        (Some(Value::Object(old)), Value::Object(new)) => old.extend(new.clone()),
                        (Some(Value::Array(old)), Value::Array(new)) if name == "required" => old.extend(new.clone()),
                        _ => chosen[name] = value.clone(),
                    }
                }
            }
        }
        chosen
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let required: BTreeSet<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut made = Map::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if required.contains(name.as_str()) || (depth < 6 && self.happens(3)) {
                made.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        for name in required {
            if !made.contains_key(name) {
                made.insert(name.to_owned(), json!("a"));
            }
        }
        let open = schema
            .get("patternProperties")
            .and_then(|patterns| patterns.as_object()?.values().next())
            .or_else(|| schema.get("additionalProperties"))
            .filter(|open| open.is_object());
        let least = schema.get("minProperties").and_then(Value::as_u64).unwrap_or(0) as usize;
        if let Some(open) = open {
            for name in ["a", "x-b", "127.0.0.1:80"].into_iter().take(least.max(self.below(3))) {
                made.entry(name).or_insert(self.value(open, depth + 1));
            }
        }
        Value::Object(made)
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Value {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) as usize;
        let items = schema.get("items").cloned().unwrap_or_else(|| json!({}));
        let count = least + self.below(if depth < 6 { 3 } else { 1 });
        let mut made: Vec<Value> = Vec::new();
        for _ in 0..count {
            let item = self.value(&items, depth + 1);
            if schema.get("uniqueItems") != Some(&json!(true)) || !made.contains(&item) {
                made.push(item);
            }
        }
        Value::Array(made)
    }

    fn text(&mut self, schema: &Value) -> Value {
        let length = schema.get("minLength").and_then(Value::as_u64).unwrap_or(1) as usize;
        let long = "a".repeat(length.max(1));
        let fitting: Vec<&str> = match Schema::compile(schema) {
            Ok(schema) => {
                TEXTS.into_iter().chain([long.as_str()]).filter(|text| schema.check(&json!(text)).is_ok()).collect()
            }
            Err(_) => Vec::new(),
        };
        if fitting.is_empty() { json!(long) } else { json!(self.one_of(&fitting)) }
    }

    fn number(&mut self, schema: &Value) -> f64 {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let least = bound("minimum").or(bound("exclusiveMinimum").map(|least| least + 1.0)).unwrap_or(0.0);
        let most = bound("maximum").unwrap_or(least + 1000.0);
        match self.below(4) {
            0 => least,
            1 => most,
            _ => (least + self.below(100) as f64).min(most),
        }
    }

    /// Most made-up upstreams ask for more than this version has: leaves that out.
    fn temper(&mut self, upstream: &mut Map<String, Value>) {
        if self.happens(6) {
            return;
        }
        for name in ["scheme", "tls", "service_name", "discovery_type", "discovery_args"] {
            upstream.remove(name);
        }
        upstream.insert("type".to_owned(), json!(*self.one_of(&["roundrobin", "chash", "least_conn", "ewma"])));
        upstream.insert("nodes".to_owned(), self.one_of(&[json!({ "10.0.0.1:80": 1 }), json!([])]).clone());
    }

    /// Puts something odd somewhere into a value.
    fn spoil(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && !self.happens(4) => {
                let at = self.below(fields.len());
                if let Some(field) = fields.values_mut().nth(at) {
                    self.spoil(field);
                }
            }
            Value::Array(items) if !items.is_empty() && !self.happens(4) => {
                let at = self.below(items.len());
                self.spoil(&mut items[at]);
            }
            other => *other = self.one_of(&oddities()).clone(),
        }
    }
}

/// A gateway's configuration without a gateway.
struct World {
    runtime: Runtime,
    flow: Arc<Flow>,
    store: Arc<Memory>,
    plugins: Arc<PluginSet>,
    /// Schemas of plugins' configurations, credentials and metadata.
    schemas: Vec<(&'static str, Value)>,
    /// What was accepted, and how often: kinds and plugins.
    accepted: BTreeSet<String>,
}

impl World {
    fn new(profile: Profile) -> Self {
        let name = match profile {
            Profile::Secure => "secure",
            Profile::Apisix => "apisix",
        };
        let (settings, _) = Settings::parse(Some(&format!("portcullis: {{ profile: {name} }}")), &|_| None).unwrap();
        let plugins = PluginSet::new(catalog::all(), None, &settings.plugin_attr, settings.compat).unwrap();
        let plugins = Arc::new(plugins.with_environment(Arc::new(|_| None)));
        let schemas = plugins
            .iter()
            .map(|plugin| (plugin.description.name, serde_json::from_str(plugin.description.spec.schema).unwrap()));
        let schemas = schemas.collect();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let store = Arc::new(Memory::new());
        let flow = runtime.block_on(Flow::open(store.clone(), plugins.clone(), Arc::new(Shared::default()))).unwrap();
        let world = Self { runtime, flow, store, plugins, schemas, accepted: BTreeSet::new() };
        // What others may refer to.
        for (path, value) in [
            ("/upstreams/1", json!({ "nodes": { "10.0.0.1:80": 1 } })),
            ("/services/1", json!({ "upstream_id": "1" })),
            ("/plugin_configs/1", json!({ "plugins": {} })),
            ("/consumer_groups/1", json!({ "plugins": {} })),
            ("/consumers/a", json!({ "username": "a" })),
        ] {
            world.write(path, &value).unwrap();
        }
        world
    }

    /// With the id of the path, as the Admin API does.
    fn write(&self, path: &str, value: &Value) -> Result<(), FlowError> {
        let key = Key::parse(path).unwrap();
        let mut value = value.clone();
        if let Value::Object(fields) = &mut value
            && key.kind() != Kind::Consumer
        {
            let id = if key.kind() == Kind::Secret { path.trim_start_matches("/secrets/") } else { key.id() };
            fields.insert("id".to_owned(), json!(id));
        }
        let write = Write::Put { key, value, expect: Expect::Any };
        self.runtime.block_on(self.flow.write(vec![write])).map(drop)
    }

    /// A document of some kind, and where it is to be stored.
    fn document(&self, make: &mut Maker) -> (String, Value, Vec<&'static str>) {
        let kinds = [
            Kind::Route,
            Kind::Route,
            Kind::Service,
            Kind::Upstream,
            Kind::Consumer,
            Kind::Credential,
            Kind::ConsumerGroup,
            Kind::GlobalRule,
            Kind::PluginConfig,
            Kind::PluginMetadata,
            Kind::StreamRoute,
            Kind::Secret,
        ];
        let kind = *make.one_of(&kinds);
        let id = *make.one_of(&["1", "2", "3"]);
        if kind == Kind::PluginMetadata {
            let (name, schema) = make.one_of(&self.schemas);
            let schema = schema.get("metadata_schema").cloned().unwrap_or_else(|| json!({ "type": "object" }));
            return (format!("/plugin_metadata/{name}"), make.value(&schema, 0), vec![name]);
        }
        if kind == Kind::Secret {
            let manager = *make.one_of(&["vault", "aws", "gcp"]);
            let schema = documents::secret_schema(manager).unwrap().source();
            return (format!("/secrets/{manager}/{id}"), make.value(schema, 0), Vec::new());
        }
        let mut value = make.value(documents::schema(kind).source(), 0);
        let mut used = Vec::new();
        if let Value::Object(fields) = &mut value {
            fields
                .retain(|name, _| !matches!(name.as_str(), "id" | "script" | "script_id" | "filter_func" | "protocol"));
            for name in ["upstream_id", "service_id", "plugin_config_id", "group_id"] {
                if let Some(reference) = fields.get_mut(name) {
                    *reference = json!("1");
                }
            }
            fields.remove("plugins");
            if kind == Kind::Upstream {
                make.temper(fields);
            } else if let Some(Value::Object(upstream)) = fields.get_mut("upstream") {
                make.temper(upstream);
            }
            let most = match kind {
                Kind::Credential => 1,
                Kind::Upstream | Kind::StreamRoute => 0,
                _ => 3,
            };
            let mut plugins = Map::new();
            for _ in 0..make.below(most + 1) {
                let (name, files) = make.one_of(&self.schemas);
                let is_holder = matches!(kind, Kind::Consumer | Kind::Credential);
                let schema = files.get("consumer_schema").filter(|_| is_holder).unwrap_or(&files["schema"]);
                plugins.insert((*name).to_owned(), make.value(schema, 0));
                used.push(*name);
            }
            if !matches!(kind, Kind::Upstream | Kind::StreamRoute) {
                fields.insert("plugins".to_owned(), Value::Object(plugins));
            }
        }
        let path = match kind {
            Kind::Consumer => {
                let name = *make.one_of(&["a", "b"]);
                value["username"] = json!(name);
                format!("/consumers/{name}")
            }
            Kind::Credential => format!("/consumers/a/credentials/{id}"),
            kind => format!("/{}/{id}", kind.collection()),
        };
        (path, value, used)
    }

    /// Offers documents; whatever is accepted must be in force without a problem, now and for who reads it again.
    fn play(&mut self, seed: [u8; 32], count: usize) -> Result<(), TestCaseError> {
        let mut make = Maker::new(seed);
        for _ in 0..count {
            let (path, mut value, used) = self.document(&mut make);
            if make.happens(4) {
                make.spoil(&mut value);
            }
            if self.write(&path, &value).is_err() {
                continue;
            }
            prop_assert!(self.flow.problems().is_empty(), "{} {}: {:?}", path, value, self.flow.problems());
            prop_assert!(self.flow.snapshot().closed().is_none(), "{} {}", path, value);
            self.accepted.insert(Key::parse(&path).unwrap().kind().collection().to_owned());
            self.accepted.extend(used.into_iter().map(str::to_owned));
        }
        let open = Flow::open(self.store.clone(), self.plugins.clone(), Arc::new(Shared::default()));
        let again = self.runtime.block_on(open).unwrap();
        prop_assert!(again.problems().is_empty(), "{:?}", again.problems());
        let (again, now) = (again.snapshot(), self.flow.snapshot());
        prop_assert_eq!(again.digest(), now.digest());
        Ok(())
    }
}

#[test]
fn what_is_accepted_is_in_force() {
    let mut accepted = BTreeSet::new();
    for profile in [Profile::Secure, Profile::Apisix] {
        let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
        let found = std::cell::RefCell::new(BTreeSet::new());
        runner
            .run(&any::<[u8; 32]>().no_shrink(), |seed| {
                let mut world = World::new(profile);
                let outcome = world.play(seed, 120);
                found.borrow_mut().append(&mut world.accepted);
                outcome
            })
            .unwrap();
        accepted.append(&mut found.into_inner());
    }
    // Otherwise it says nothing.
    for kind in ["routes", "services", "upstreams", "consumers", "credentials", "consumer_groups", "global_rules"] {
        let collection = if kind == "credentials" { Kind::Credential.collection() } else { kind };
        assert!(accepted.contains(collection), "no document of {kind} was accepted: {accepted:?}");
    }
    let plugins = catalog::all();
    let known = plugins.iter().filter(|plugin| accepted.contains(plugin.name)).count();
    assert!(known * 4 >= plugins.len() * 3, "only {known} of {} plugins were accepted: {accepted:?}", plugins.len());
}

//! What keeps a hundred plugins alike, checked by a machine (see CONTRIBUTING.md).

use crate::all;
use model::{documents::Kind, schema::Schema};
use plugin::{BuildEnv, BuildError, Built, Description, PluginClass, Shared};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use testkit::{Case, CaseFile};

/// Phases in the order in which they run.
const PHASES: [&str; 7] =
    ["rewrite", "access", "before_proxy", "whole_response", "header_filter", "body_filter", "log"];

/// Headings that every doc.md has.
const HEADINGS: [&str; 2] = ["## Example", "## Differences from APISIX"];

// === 1: names, priorities and attributes are APISIX's

#[test]
fn names_are_unique_kebab_case_and_sorted_by_priority() {
    let plugins = all();
    let names: BTreeSet<_> = plugins.iter().map(|plugin| plugin.name).collect();
    assert_eq!(names.len(), plugins.len());
    for plugin in &plugins {
        assert!(
            plugin.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{}",
            plugin.name
        );
    }
    assert!(plugins.is_sorted_by_key(|plugin| -plugin.priority));
}

#[test]
fn the_surface_is_apisixs() {
    let surface: Vec<Value> = serde_json::from_str(include_str!("../surface.json")).unwrap();
    let surface: BTreeMap<&str, &Value> =
        surface.iter().map(|facts| (facts["name"].as_str().unwrap(), facts)).collect();
    for plugin in all() {
        let facts = surface.get(plugin.name).unwrap_or_else(|| panic!("{} is not in surface.json", plugin.name));
        assert_eq!(facts["priority"], plugin.priority, "{}", plugin.name);
        let attributes: Map<String, Value> = properties(&schema_of(&plugin, "schema"))
            .into_iter()
            .map(|(name, schema)| {
                let kept = ["type", "default"].map(|key| (key.to_owned(), schema[key].clone()));
                (name, kept.into_iter().filter(|(_, value)| !value.is_null()).collect())
            })
            .collect();
        let mut known = facts["attributes"].as_object().cloned().unwrap_or_default();
        // What APISIX's plugin does not have.
        known.extend(facts["own_attributes"].as_object().cloned().unwrap_or_default());
        assert_eq!(known, attributes, "{}", plugin.name);
    }
}

// === 2: a plugin is a folder with the known files

#[test]
fn the_folder_has_the_known_files() {
    for plugin in all() {
        let folder = folder_of(&plugin);
        for name in ["mod.rs", "schema.json", "doc.md", "cases.yaml", "tests.rs"] {
            assert!(folder.join(name).is_file(), "{}: {name} is missing", plugin.name);
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                name.ends_with(".rs") || ["schema.json", "doc.md", "cases.yaml"].contains(&&*name),
                "{}: {name}",
                plugin.name
            );
        }
    }
}

#[test]
fn the_page_has_its_headings_and_an_example_that_is_valid() {
    for plugin in all() {
        let page = read(&plugin, "doc.md");
        for heading in HEADINGS {
            assert!(page.lines().any(|line| line == heading), "{}: {heading}", plugin.name);
        }
        let example = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
        let example = example.unwrap_or_else(|| panic!("{} has no example", plugin.name));
        build(&plugin, serde_json::from_str(example).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", plugin.name));
    }
}

// === 3: the schema is sound

#[test]
fn every_schema_compiles() {
    for plugin in all() {
        let file = file_of(&plugin);
        for (key, value) in file.as_object().unwrap() {
            match key.as_str() {
                "schema" | "consumer_schema" | "metadata_schema" => drop(Schema::compile(value).unwrap()),
                "scope" => assert_eq!(value, "global"),
                "encrypt_fields" => assert!(value.as_array().unwrap().iter().all(Value::is_string)),
                // Paths of what names other documents, by the kind of these.
                "references" => {
                    for (kind, paths) in value.as_object().unwrap() {
                        assert!(Kind::from_schema_name(kind).is_some(), "{}: {kind}", plugin.name);
                        assert!(paths.as_array().unwrap().iter().all(Value::is_string), "{}: {paths}", plugin.name);
                    }
                }
                other => panic!("{}: {other}", plugin.name),
            }
        }
    }
}

#[test]
fn every_property_is_described_and_its_default_allowed() {
    fn walk(at: &str, schema: &Value) {
        for (name, property) in properties(schema) {
            let at = format!("{at}.{name}");
            assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()), "{at} has no description");
            if let Some(default) = property.get("default") {
                Schema::compile(&property).unwrap().check(default).unwrap_or_else(|error| panic!("{at}: {error}"));
            }
        }
        match schema {
            // A name in `properties` below an `if` only chooses.
            Value::Object(object) => object.iter().filter(|(key, _)| *key != "if").for_each(|(key, value)| {
                walk(&format!("{at}/{key}"), value);
            }),
            Value::Array(list) => list.iter().for_each(|value| walk(at, value)),
            _ => {}
        }
    }
    for plugin in all() {
        walk(plugin.name, &file_of(&plugin));
    }
}

// === 4: what is configured and the schema agree

#[test]
fn the_configuration_takes_what_the_schema_allows() {
    for plugin in all() {
        let schema = schema_of(&plugin, "schema");
        let mut tried = 0;
        // What a pattern asks for is only written in the cases.
        let written = cases_of(&plugin).into_iter().filter(|case| case.valid).map(|case| case.config);
        for config in instances(&schema).into_iter().chain(written) {
            if Schema::compile(&schema).unwrap().check(&config).is_ok() {
                tried += 1;
                // A plugin may refuse what a schema cannot say; its type must hold all that the schema allows.
                if let Err(error) = build(&plugin, config.clone())
                    && error.to_string().contains(plugin::MISFIT)
                {
                    panic!("{}: {config}: {error}", plugin.name);
                }
            }
        }
        assert!(tried >= 2, "{}: {tried} instances", plugin.name);
    }
}

#[test]
fn unknown_fields_are_found() {
    for plugin in all() {
        let schema = Schema::compile(&schema_of(&plugin, "schema")).unwrap();
        assert_eq!(schema.unknown_fields(&json!({ "portcullis_probe": 1 })).len(), 1, "{}", plugin.name);
    }
}

// === 5: phases

#[test]
fn attached_phases_are_in_the_surface() {
    let surface: Vec<Value> = serde_json::from_str(include_str!("../surface.json")).unwrap();
    for plugin in all() {
        let facts = surface.iter().find(|facts| facts["name"] == plugin.name).unwrap();
        let listed = |name: &str| facts[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        let allowed: BTreeSet<&str> = listed("phases").chain(listed("own_phases")).collect();
        assert!(allowed.iter().all(|phase| PHASES.contains(phase)), "{}", plugin.name);
        let schema = schema_of(&plugin, "schema");
        let written = cases_of(&plugin).into_iter().filter(|case| case.valid).map(|case| case.config);
        let attached: BTreeSet<&str> = instances(&schema)
            .into_iter()
            .chain(written)
            .filter(|config| Schema::compile(&schema).unwrap().check(config).is_ok())
            .filter_map(|config| build(&plugin, config).ok())
            .flat_map(|built| built.hooks.phases())
            .collect();
        let has_api = !(plugin.public_apis)(&json!({})).is_empty() || !(plugin.control_apis)().is_empty();
        assert!(has_api || !attached.is_empty(), "{} does nothing", plugin.name);
        assert!(attached.is_subset(&allowed), "{}: {attached:?}", plugin.name);
    }
}

#[test]
fn plugins_that_authenticate_have_credentials() {
    for plugin in all() {
        let is_auth = plugin.spec.class == PluginClass::Auth;
        assert_eq!(is_auth, plugin.credential.is_some(), "{}", plugin.name);
        assert_eq!(is_auth, file_of(&plugin).get("consumer_schema").is_some(), "{}", plugin.name);
    }
}

// === 6: cases

#[test]
fn cases_cover_the_least() {
    for plugin in all() {
        let cases = cases_of(&plugin);
        assert!(cases.iter().any(|case| case.valid), "{}: no valid configuration", plugin.name);
        let refused = cases.iter().filter(|case| !case.valid).count();
        let required = schema_of(&plugin, "schema")["required"].as_array().map_or(0, Vec::len);
        assert!(refused >= required.max(1), "{}: a missing required field is not tried", plugin.name);
        let has_secrets = file_of(&plugin).get("encrypt_fields").is_some();
        assert!(
            !has_secrets || cases.iter().any(|case| case.desc.contains("secret")),
            "{}: no case about its secrets",
            plugin.name
        );
        let descs: BTreeSet<&str> = cases.iter().map(|case| case.desc.as_str()).collect();
        assert_eq!(descs.len(), cases.len(), "{}: two cases have the same desc", plugin.name);
    }
}

#[test]
fn cases_use_every_attribute() {
    for plugin in all() {
        let cases = cases_of(&plugin);
        let credentials = || {
            cases.iter().flat_map(|case| &case.consumers).filter_map(|consumer| consumer["plugins"].get(plugin.name))
        };
        let metadata = || cases.iter().filter_map(|case| case.metadata.as_ref());
        for name in properties(&schema_of(&plugin, "schema")).keys() {
            let is_used = cases.iter().any(|case| case.config.get(name).is_some());
            assert!(is_used, "{}: no case has {name}", plugin.name);
        }
        for name in properties(&schema_of(&plugin, "consumer_schema")).keys() {
            assert!(credentials().any(|config| config.get(name).is_some()), "{}: no case has {name}", plugin.name);
        }
        for name in properties(&schema_of(&plugin, "metadata_schema")).keys() {
            assert!(metadata().any(|config| config.get(name).is_some()), "{}: no case has {name}", plugin.name);
        }
    }
}

// === 7: posture

#[test]
fn what_the_code_does_is_in_the_posture() {
    for plugin in all() {
        let folder = folder_of(&plugin);
        let code: String = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        if code.contains("request.body.bytes(") {
            assert!(plugin.spec.posture.reads_bodies, "{}", plugin.name);
        }
    }
}

// === what the rules need

fn file_of(plugin: &Description) -> Value {
    serde_json::from_str(plugin.spec.schema).unwrap_or_else(|error| panic!("{}: {error}", plugin.name))
}

fn schema_of(plugin: &Description, name: &str) -> Value {
    file_of(plugin)[name].clone()
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The one folder of a family that has the plugin's name.
fn folder_of(plugin: &Description) -> PathBuf {
    let families = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let name = plugin.name.replace('-', "_");
    let mut found: Vec<PathBuf> = fs::read_dir(families)
        .unwrap()
        .map(|family| family.unwrap().path().join("src").join(&name))
        .filter(|folder| folder.is_dir())
        .collect();
    assert_eq!(found.len(), 1, "{}", plugin.name);
    found.remove(0)
}

fn cases_of(plugin: &Description) -> Vec<Case> {
    CaseFile::read(&folder_of(plugin).join("cases.yaml")).unwrap_or_else(|error| panic!("{error}")).cases
}

fn read(plugin: &Description, name: &str) -> String {
    fs::read_to_string(folder_of(plugin).join(name)).unwrap()
}

/// Checks, fills and builds, as the gateway does with what is written.
fn build(plugin: &Description, mut config: Value) -> Result<Built, BuildError> {
    let schema = Schema::compile(&schema_of(plugin, "schema")).unwrap();
    schema.check_and_fill(&mut config).map_err(|violation| BuildError(violation.to_string()))?;
    let (shared, attr) = (Arc::new(Shared::default()), json!({}));
    let env = BuildEnv {
        shared: &shared,
        owner: "/routes/1",
        config: &config,
        attr: &attr,
        compat: model::differences::Compat::default(),
    };
    (plugin.build)(&config, &env)
}

/// The least that is allowed, the least with each further property, and everything at once.
fn instances(schema: &Value) -> Vec<Value> {
    let properties = properties(schema);
    let pick = |names: &BTreeSet<&str>| -> Value {
        properties
            .iter()
            .filter(|(name, _)| names.contains(name.as_str()))
            .map(|(name, s)| (name.clone(), sample(s)))
            .collect()
    };
    let names = |schema: &Value| -> Vec<String> {
        schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    };
    let required = names(schema);
    let mut choices: Vec<Vec<String>> = ["oneOf", "anyOf"]
        .iter()
        .flat_map(|key| schema[key].as_array().into_iter().flatten())
        .map(|choice| required.iter().cloned().chain(names(choice)).collect())
        .collect();
    if choices.is_empty() {
        choices.push(required);
    }
    let mut instances = Vec::new();
    for least in &choices {
        let least: BTreeSet<&str> = least.iter().map(String::as_str).collect();
        instances.push(pick(&least));
        for name in properties.keys() {
            instances.push(pick(&least.iter().copied().chain([name.as_str()]).collect()));
        }
    }
    instances.push(pick(&properties.keys().map(String::as_str).collect()));
    instances
}

/// A value that a property's schema allows.
fn sample(schema: &Value) -> Value {
    if let Some(value) = schema.get("default").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    if let Some(first) = schema["oneOf"].get(0).or_else(|| schema["anyOf"].get(0)) {
        return sample(first);
    }
    match schema["type"].as_str() {
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(schema["minimum"].as_f64().map_or(10, |least| least as i64 + 1)),
        Some("array") => {
            let len = schema["minItems"].as_u64().unwrap_or(1) as usize;
            json!(vec![sample(&schema["items"]); len])
        }
        Some("object") => {
            let named: Map<String, Value> =
                properties(schema).iter().map(|(name, property)| (name.clone(), sample(property))).collect();
            if named.is_empty() { json!({ "x-sample": "sample" }) } else { named.into() }
        }
        _ if schema["pattern"].as_str().is_some_and(|pattern| pattern.starts_with("^\\/")) => json!("/sample"),
        _ if schema["format"] == "ipv4" => json!("192.0.2.1"),
        _ => json!("sample"),
    }
}

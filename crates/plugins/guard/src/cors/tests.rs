use super::*;
use serde_json::{Value, json};

fn plugin(config: Value) -> Cors {
    let mut config = config;
    let file: Value = serde_json::from_str(Cors::SPEC.schema).unwrap();
    model::schema::Schema::compile(&file["schema"]).unwrap().check_and_fill(&mut config).unwrap();
    let env = BuildEnv {
        shared: &Arc::default(),
        owner: "/routes/1",
        config: &config,
        attr: &Value::Null,
        compat: model::differences::Compat::default(),
    };
    Cors::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap()
}

fn allowed(config: Value, metadata: Option<Value>, origin: Option<&str>) -> Option<String> {
    let metadata: Option<Metadata> = metadata.map(|value| serde_json::from_value(value).unwrap());
    let mut fields = Fields::new();
    plugin(config).edit(&mut fields, origin.map(str::as_bytes), metadata.as_ref(), None);
    fields.get_str("access-control-allow-origin").map(str::to_owned)
}

#[test]
fn the_sources_of_origins_have_an_order() {
    let (a, b) = ("https://a.example", "https://b.example");
    let metadata = Some(json!({ "allow_origins": { "m": a } }));
    for (desc, config, metadata, origin, expected) in [
        (
            "the metadata first",
            json!({ "allow_origins": b, "allow_origins_by_metadata": ["m"] }),
            metadata.clone(),
            Some(a),
            Some(a),
        ),
        (
            "then the list",
            json!({ "allow_origins": b, "allow_origins_by_metadata": ["m"] }),
            metadata.clone(),
            Some(b),
            Some(b),
        ),
        (
            "patterns wait for a list that says something",
            json!({ "allow_origins_by_regex": ["b"], "allow_origins_by_metadata": ["m"] }),
            metadata.clone(),
            Some(b),
            None,
        ),
        (
            "patterns come in place of the list",
            json!({ "allow_origins": a, "allow_origins_by_regex": ["b"], "allow_origins_by_metadata": ["x"] }),
            metadata.clone(),
            Some(b),
            Some(b),
        ),
        ("no metadata", json!({ "allow_origins_by_metadata": ["m"] }), None, Some(a), None),
        ("no origin", json!({ "allow_origins_by_metadata": ["m"], "allow_origins": "**" }), metadata, None, None),
    ] {
        assert_eq!(allowed(config, metadata, origin).as_deref(), expected, "{desc}");
    }
}

#[test]
fn origins_that_should_not_be_let_in_are_found() {
    for (config, paths) in [
        (json!({ "allow_origins": "**", "allow_credential": true }), &["/allow_origins"][..]),
        (json!({ "allow_origins": "**", "allow_credential": false }), &[]),
        (json!({ "allow_origins": "https://a.test", "allow_credential": true }), &[]),
        (json!({ "allow_origins_by_regex": ["^https://.*\\.a\\.test$", ".*a.test"] }), &["/allow_origins_by_regex/1"]),
    ] {
        let found = Cors::lint(&config);
        let found: Vec<_> = found.iter().map(|finding| &*finding.path).collect();
        assert_eq!(found, paths, "{config}");
    }
}

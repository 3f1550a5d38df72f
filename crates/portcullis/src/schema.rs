//! `portcullis schema`: JSON Schemas for editors.

use crate::args::SchemaOf;
use gateway::plugins::meta_schema;
use model::{
    declared,
    documents::{self, Kind},
    settings::Settings,
};
use serde_json::{Map, Value, json};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Prints the schema of a file.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn run(of: SchemaOf) -> anyhow::Result<ExitCode> {
    let schema = match of {
        SchemaOf::Config => Settings::schema(),
        SchemaOf::Apisix => apisix(),
    };
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Of `apisix.yaml`: lists of documents, whose plugins are those that there are.
fn apisix() -> Value {
    let described = catalog::all().into_iter().filter_map(|plugin| {
        let files: Value = serde_json::from_str(plugin.spec.schema).ok()?;
        Some((plugin.name, files))
    });
    let (mut plugins, mut credentials, mut metadata) = (Map::new(), Map::new(), Vec::new());
    for (name, files) in described {
        plugins.insert(name.to_owned(), with_meta(&files["schema"]));
        let credential = files.get("consumer_schema").unwrap_or(&files["schema"]);
        credentials.insert(name.to_owned(), with_meta(credential));
        if let Some(schema) = files.get("metadata_schema") {
            let mut schema = schema.clone();
            schema["properties"]["id"] = json!({ "const": name });
            metadata.push(schema);
        }
    }
    let only = |properties: Map<String, Value>| json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let mut sections = Map::new();
    for kind in Kind::ALL.into_iter().filter(|kind| declared::section(kind.collection()).is_some()) {
        let mut item = documents::schema(kind).source().clone();
        let reference = match kind {
            Kind::Consumer => "#/definitions/credentials",
            _ => "#/definitions/plugins",
        };
        if let Some(slot) = item.pointer_mut("/properties/plugins") {
            *slot = json!({ "$ref": reference });
        }
        if kind == Kind::PluginMetadata {
            item = json!({ "type": "object", "required": ["id"], "anyOf": metadata });
        }
        sections.insert(kind.collection().to_owned(), json!({ "type": ["array", "null"], "items": item }));
    }
    let enabled = json!({
        "type": "object",
        "required": ["name"],
        "properties": { "name": { "type": "string", "minLength": 1 }, "stream": { "type": "boolean" } },
    });
    sections.insert("plugins".to_owned(), json!({ "type": ["array", "null"], "items": enabled }));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "apisix.yaml of Portcullis",
        "type": ["object", "null"],
        "properties": sections,
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
        "definitions": { "plugins": only(plugins), "credentials": only(credentials) },
    })
}

fn with_meta(schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["properties"]["_meta"] = meta_schema();
    schema
}

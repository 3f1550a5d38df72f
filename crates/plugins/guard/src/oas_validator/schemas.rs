//! The schemas of a document, compiled together.

use super::{
    convert::{DOCUMENT, Reading, escape},
    spec::Invalid,
};
use crate::content::{Tree, Trees};
use jsonschema::{PatternOptions, Registry, Validator};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Upper bound of the memory of one compiled pattern.
const PATTERN_SIZE: usize = 4 << 20;

/// Which of the schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// The schemas that operations use. They are one schema of an object with a property for each, so that what they share is compiled
/// once and not for each of them.
pub(super) struct Schemas {
    validator: Validator<Trees>,
    /// What the properties are called.
    names: Vec<String>,
}

impl Schemas {
    /// Whether a value fits one of them.
    pub(super) fn fits(&self, slot: Slot, value: &Tree<'_>) -> bool {
        let name = self.names.get(slot.0).map_or("", String::as_str);
        self.validator.is_valid(&Tree::object_of(name, value))
    }
}

/// Collects the schemas.
pub(super) struct Collected<'d> {
    reading: Reading<'d>,
    /// Each with the place that it comes from.
    all: Vec<(Value, String)>,
    known: HashMap<String, Slot>,
}

impl<'d> Collected<'d> {
    pub(super) fn new(reading: Reading<'d>) -> Self {
        Self { reading, all: Vec::new(), known: HashMap::new() }
    }

    /// Adds a schema of the document.
    pub(super) fn add(&mut self, schema: &Value, at: &str) -> Result<Slot, Invalid> {
        let converted = self.reading.convert(schema, at)?;
        let next = Slot(self.all.len());
        let slot = *self.known.entry(converted.to_string()).or_insert(next);
        if slot == next {
            self.all.push((converted, at.to_owned()));
        }
        Ok(slot)
    }

    /// Compiles them, with those of the document's components.
    pub(super) fn compile(self) -> Result<Schemas, Invalid> {
        let document = self.reading.document;
        let mut components = Map::new();
        for (name, schema) in document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten() {
            let at = format!("/components/schemas/{}", escape(name));
            components.insert(name.clone(), self.reading.convert(schema, &at)?);
        }
        let draft = self.reading.version.draft();
        let shared = draft.create_resource(json!({ "components": { "schemas": components } }));
        let wrong = |error: jsonschema::ReferencingError| Invalid::new("/components/schemas", error.to_string());
        let registry = Registry::new().add(DOCUMENT, shared).map_err(wrong)?.prepare().map_err(wrong)?;
        let mut options = jsonschema::options_for::<Trees>()
            .with_draft(draft)
            .with_registry(&registry)
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_SIZE))
            .should_validate_formats(true)
            // OpenAPI leaves the list of formats open.
            .should_ignore_unknown_formats(true);
        for format in ["byte", "binary", "password"] {
            options = options.with_format(format, |_: &str| true);
        }
        let (mut properties, mut places) = (Map::new(), Vec::new());
        let names: Vec<String> = (0..self.all.len()).map(|index| index.to_string()).collect();
        for (name, (schema, at)) in names.iter().zip(self.all) {
            properties.insert(name.clone(), schema);
            places.push(at);
        }
        let all = json!({ "properties": properties, "additionalProperties": false });
        let validator = options.build(&all).map_err(|error| {
            let path = error.instance_path().to_string();
            let rest = path.strip_prefix("/properties/").unwrap_or_default();
            let (index, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let place = index.parse().ok().and_then(|index: usize| places.get(index));
            let place = place.map_or("/components/schemas", String::as_str);
            Invalid::new(&format!("{place}/{rest}"), error.masked().to_string())
        })?;
        Ok(Schemas { validator, names })
    }
}

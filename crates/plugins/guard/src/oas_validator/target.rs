//! What a text stands for, by the schema that it is for.

use serde_json::{Map, Number, Value};

/// References followed within each other; below that a schema may be anything.
const DEEPEST: usize = 16;

/// The types that a schema allows, as far as texts have to be told apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    has_string: bool,
    has_number: bool,
    has_boolean: bool,
    has_null: bool,
    has_array: bool,
    has_object: bool,
    items: Option<Box<Target>>,
    pub(super) properties: Vec<(String, Target)>,
}

impl Target {
    /// Of a schema as it is written in the document.
    pub(super) fn of(document: &Value, schema: &Value) -> Self {
        let mut target = Self::default();
        target.add(document, schema, 0);
        target
    }

    fn add(&mut self, document: &Value, schema: &Value, depth: usize) {
        if depth >= DEEPEST {
            return;
        }
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        if let Some(target) = reference.and_then(|pointer| document.pointer(pointer)) {
            self.add(document, target, depth + 1);
        }
        let types = match schema.get("type") {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(name)) => vec![name.as_str()],
            _ => Vec::new(),
        };
        for name in types {
            match name {
                "string" => self.has_string = true,
                "integer" | "number" => self.has_number = true,
                "boolean" => self.has_boolean = true,
                "null" => self.has_null = true,
                "array" => self.has_array = true,
                "object" => self.has_object = true,
                _ => {}
            }
        }
        self.has_null |= schema.get("nullable") == Some(&Value::Bool(true));
        if let Some(items) = schema.get("items") {
            let mut target = Self::default();
            target.add(document, items, depth + 1);
            self.has_array = true;
            self.items = Some(Box::new(target));
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut target = Self::default();
            target.add(document, property, depth + 1);
            self.has_object = true;
            self.properties.push((name.clone(), target));
        }
        for name in ["allOf", "anyOf", "oneOf"] {
            for branch in schema.get(name).and_then(Value::as_array).into_iter().flatten() {
                self.add(document, branch, depth + 1);
            }
        }
    }

    pub(super) fn is_array(&self) -> bool {
        self.has_array && !self.has_string
    }

    pub(super) fn is_object(&self) -> bool {
        self.has_object && !self.has_string && !self.has_array
    }

    /// What a text stands for: as far as possible a text, or as far as possible something else.
    pub(super) fn value(&self, text: String, prefers_text: bool) -> Value {
        let says_nothing = !(self.has_number || self.has_boolean || self.has_null || self.has_string);
        if self.has_string && prefers_text {
            return Value::String(text);
        }
        // Also where the schema does not say which type, a number may be meant.
        let may = |has: bool| has || (says_nothing && !prefers_text);
        if may(self.has_number)
            && let Ok(number) = serde_json::from_str::<Number>(&text)
            && !text.starts_with([' ', '\t', '\r', '\n'])
            && !text.ends_with([' ', '\t', '\r', '\n'])
        {
            return Value::Number(number);
        }
        match text.as_str() {
            "true" if may(self.has_boolean) => Value::Bool(true),
            "false" if may(self.has_boolean) => Value::Bool(false),
            "" | "null" if self.has_null => Value::Null,
            _ => Value::String(text),
        }
    }

    pub(super) fn items(&self, texts: impl Iterator<Item = String>, prefers_text: bool) -> Value {
        let nothing = Self::default();
        let items = self.items.as_deref().unwrap_or(&nothing);
        texts.map(|text| items.value(text, prefers_text)).collect()
    }

    pub(super) fn members(&self, pairs: impl Iterator<Item = (String, String)>, prefers_text: bool) -> Value {
        let nothing = Self::default();
        let object: Map<String, Value> = pairs
            .map(|(name, text)| {
                let target =
                    self.properties.iter().find(|(own, _)| *own == name).map_or(&nothing, |(_, target)| target);
                let value = target.value(text, prefers_text);
                (name, value)
            })
            .collect();
        Value::Object(object)
    }

    /// An object of texts and lists of texts, such as a form is.
    pub(super) fn form(&self, form: Value, prefers_text: bool) -> Value {
        let Value::Object(form) = form else { return form };
        let nothing = Self::default();
        let object: Map<String, Value> = form
            .into_iter()
            .map(|(name, value)| {
                let target =
                    self.properties.iter().find(|(own, _)| *own == name).map_or(&nothing, |(_, target)| target);
                let value = match value {
                    Value::String(text) if target.is_array() => target.items(std::iter::once(text), prefers_text),
                    // A part of a form may be a document of its own.
                    Value::String(text) if target.is_object() => {
                        model::json::parse(text.as_bytes(), model::json::Limits::default())
                            .unwrap_or(Value::String(text))
                    }
                    Value::String(text) => target.value(text, prefers_text),
                    Value::Array(list) => {
                        let texts = list.into_iter().map(|item| item.as_str().unwrap_or_default().to_owned());
                        target.items(texts, prefers_text)
                    }
                    other => other,
                };
                (name, value)
            })
            .collect();
        Value::Object(object)
    }
}

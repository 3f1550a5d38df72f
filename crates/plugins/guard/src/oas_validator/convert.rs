//! Schemas of OpenAPI as JSON schemas.

use super::spec::Invalid;
use crate::schema::keywords::{self, Shape};
use jsonschema::Draft;
use serde_json::{Map, Value, json};

/// Where the schemas of the document are kept for each other.
pub(super) const DOCUMENT: &str = "urn:portcullis:openapi";

/// Schemas nested deeper than this are refused.
const DEEPEST: usize = 64;

/// The versions that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Schemas are nearly those of draft 5, with words of their own.
    V30,
    /// Schemas are those of draft 2020-12.
    V31,
}

impl Version {
    pub(super) fn of(document: &Value) -> Result<Self, Invalid> {
        let text = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
        let version = match text.get(..4) {
            Some("3.0.") => Self::V30,
            Some("3.1.") => Self::V31,
            _ => return Err(Invalid::new("/openapi", format!("version {text:?} is neither 3.0 nor 3.1"))),
        };
        let dialect = document.get("jsonSchemaDialect").and_then(Value::as_str);
        let is_known = |dialect| {
            ["https://spec.openapis.org/oas/3.1/dialect/base", "https://json-schema.org/draft/2020-12/schema"]
                .contains(&dialect)
        };
        match dialect {
            Some(dialect) if !is_known(dialect) => {
                Err(Invalid::new("/jsonSchemaDialect", format!("{dialect:?} is no dialect that is known")))
            }
            _ => Ok(version),
        }
    }

    pub(super) const fn draft(self) -> Draft {
        match self {
            Self::V30 => Draft::Draft7,
            Self::V31 => Draft::Draft202012,
        }
    }
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Answer,
}

impl Side {
    /// The keyword of properties that have no place in messages of this side.
    pub(super) const fn hidden(self) -> &'static str {
        match self {
            Self::Request => "readOnly",
            Self::Answer => "writeOnly",
        }
    }
}

/// How schemas of a document are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'d> {
    pub(super) document: &'d Value,
    pub(super) version: Version,
    pub(super) side: Side,
    /// Whether a value fits that would if it had not more members than are declared.
    pub(super) is_open: bool,
}

impl<'d> Reading<'d> {
    /// The schema as it holds for this side: what is hidden there need not be there.
    pub(super) fn convert(&self, schema: &Value, at: &str) -> Result<Value, Invalid> {
        self.schema(schema, at, 0)
    }

    /// What a reference leads to.
    pub(super) fn target(&self, reference: &Value) -> Option<&'d Value> {
        self.document.pointer(reference.as_str()?.strip_prefix('#')?)
    }

    /// Whether messages of this side do not have what the schema describes.
    fn is_hidden(&self, schema: &Value, depth: usize) -> bool {
        if depth >= 8 {
            return false;
        }
        let is_target_hidden = || {
            let target = schema.get("$ref").and_then(|reference| self.target(reference));
            target.is_some_and(|target| self.is_hidden(target, depth + 1))
        };
        let mut all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        schema.get(self.side.hidden()) == Some(&Value::Bool(true))
            || is_target_hidden()
            || all.any(|part| self.is_hidden(part, depth + 1))
    }

    fn schema(&self, schema: &Value, at: &str, depth: usize) -> Result<Value, Invalid> {
        let fields = match schema {
            Value::Bool(_) if self.version == Version::V31 => return Ok(schema.clone()),
            Value::Object(fields) => fields,
            _ => return Err(Invalid::new(at, "is no schema")),
        };
        if depth >= DEEPEST {
            return Err(Invalid::new(at, "is nested too deeply"));
        }
        if let (Version::V30, Some(reference)) = (self.version, fields.get("$ref")) {
            // What is beside it does not count.
            return Ok(json!({ "$ref": absolute(reference, at)? }));
        }
        let mut converted = Map::new();
        for (name, value) in fields {
            let at = format!("{at}/{}", escape(name));
            match name.as_str() {
                "nullable" | "discriminator" | "xml" | "externalDocs" | "example" | "examples" | "default" => {}
                "$ref" => {
                    converted.insert(name.clone(), absolute(value, &at)?.into());
                }
                "required" => {
                    converted.insert(name.clone(), self.required(fields, value));
                }
                "additionalProperties" | "unevaluatedProperties" if self.is_open && *value == Value::Bool(false) => {}
                "maxProperties" | "propertyNames" if self.is_open => {}
                "exclusiveMinimum" | "exclusiveMaximum" if value.is_boolean() => {}
                name if name.starts_with("x-") => {}
                _ => {
                    let converted_value = self.value(name, value, &at, depth + 1)?;
                    converted.insert(name.clone(), converted_value);
                }
            }
        }
        for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
            if fields.get(flag) == Some(&Value::Bool(true))
                && let Some(value) = converted.shift_remove(bound)
            {
                converted.insert(flag.to_owned(), value);
            }
        }
        if fields.get("type").and_then(Value::as_str) == Some("integer") {
            let bounds = match fields.get("format").and_then(Value::as_str) {
                Some("int32") => Some((json!(i32::MIN), json!(i32::MAX))),
                Some("int64") => Some((json!(i64::MIN), json!(i64::MAX))),
                _ => None,
            };
            if let Some((least, most)) = bounds {
                push_all(&mut converted, vec![json!({ "minimum": least, "maximum": most })]);
            }
        }
        if let Some(discriminator) = fields.get("discriminator") {
            discriminate(fields, discriminator, &mut converted, at)?;
        }
        if self.is_open
            && let Some(choices) = converted.shift_remove("oneOf")
        {
            // More of them may fit once they are open.
            push_all(&mut converted, vec![json!({ "anyOf": choices })]);
        }
        let converted = Value::Object(converted);
        let is_nullable = self.version == Version::V30 && fields.get("nullable") == Some(&Value::Bool(true));
        Ok(if is_nullable { json!({ "anyOf": [{ "type": "null" }, converted] }) } else { converted })
    }

    /// Without the properties that only messages of the other side have.
    fn required(&self, fields: &Map<String, Value>, names: &Value) -> Value {
        let is_hidden = |name: &Value| {
            let property = name.as_str().and_then(|name| fields.get("properties")?.get(name));
            property.is_some_and(|property| self.is_hidden(property, 0))
        };
        match names {
            Value::Array(names) => names.iter().filter(|name| !is_hidden(name)).cloned().collect(),
            other => other.clone(),
        }
    }

    /// A keyword's value with the schemas in it.
    fn value(&self, name: &str, value: &Value, at: &str, depth: usize) -> Result<Value, Invalid> {
        let shape = keywords::find(name).map_or(Shape::Plain, |known| known.shape);
        match (shape, value) {
            // Also in 3.0 additional properties may be a boolean.
            (Shape::Schema, Value::Bool(_)) => Ok(value.clone()),
            (Shape::Schema | Shape::SchemaOrList, Value::Object(_) | Value::Bool(_)) => self.schema(value, at, depth),
            (Shape::List | Shape::SchemaOrList, Value::Array(list)) => {
                let each =
                    list.iter().enumerate().map(|(index, item)| self.schema(item, &format!("{at}/{index}"), depth));
                Ok(Value::Array(each.collect::<Result<_, _>>()?))
            }
            (Shape::Map, Value::Object(map)) => {
                let each = map.iter().map(|(name, field)| {
                    Ok((name.clone(), self.schema(field, &format!("{at}/{}", escape(name)), depth)?))
                });
                Ok(Value::Object(each.collect::<Result<_, Invalid>>()?))
            }
            _ => Ok(value.clone()),
        }
    }
}

/// A reference within the document, from wherever it is.
pub(super) fn absolute(reference: &Value, at: &str) -> Result<String, Invalid> {
    match reference.as_str() {
        Some(text) if text.starts_with("#/components/schemas/") => Ok(format!("{DOCUMENT}{text}")),
        Some(text) if text.starts_with('#') => Err(Invalid::new(
            at,
            format!(
                "{reference} is no schema of this document's components: put it under /components/schemas, and refer to it there;"
            ),
        )),
        _ => Err(Invalid::new(at, outside(reference))),
    }
}

/// What is said of a reference that leads out of the document.
pub(super) fn outside(reference: &Value) -> String {
    format!(
        "the reference {reference} leads out of this document, and nothing is fetched: put what it leads to under /components, and refer to it there;"
    )
}

/// Adds schemas that have to fit as well.
fn push_all(converted: &mut Map<String, Value>, more: Vec<Value>) {
    match converted.entry("allOf").or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(list) => list.extend(more),
        other => *other = Value::Array(more),
    }
}

/// A discriminator's property, and its values with the schemas that they stand for.
pub(super) type Cases = (String, Vec<(String, String)>);

/// What a discriminator says; by the names of its choices also where it has no mapping for them.
pub(super) fn cases(discriminator: &Value, choices: &[Value], at: &str) -> Result<Cases, Invalid> {
    let property = discriminator.get("propertyName").and_then(Value::as_str);
    let property = property.ok_or_else(|| Invalid::new(&format!("{at}/discriminator"), "has no propertyName"))?;
    let mut cases: Vec<(String, String)> = Vec::new();
    for (value, target) in discriminator.get("mapping").and_then(Value::as_object).into_iter().flatten() {
        let text = target.as_str().unwrap_or_default();
        let reference = if text.contains('/') { text.to_owned() } else { format!("#/components/schemas/{text}") };
        cases.push((value.clone(), absolute(&reference.into(), &format!("{at}/discriminator/mapping"))?));
    }
    for choice in choices {
        let reference =
            choice.get("$ref").ok_or_else(|| Invalid::new(at, "has a discriminator beside schemas without a name"))?;
        let target = absolute(reference, at)?;
        let name = target.rsplit('/').next().unwrap_or_default().to_owned();
        if !cases.iter().any(|(value, mapped)| *value == name || *mapped == target) {
            cases.push((name, target));
        }
    }
    Ok((property.to_owned(), cases))
}

/// Lets the property decide which of the schemas has to fit.
fn discriminate(
    fields: &Map<String, Value>,
    discriminator: &Value,
    converted: &mut Map<String, Value>,
    at: &str,
) -> Result<(), Invalid> {
    let choices = fields.get("oneOf").or_else(|| fields.get("anyOf")).and_then(Value::as_array);
    // Without choices it is for those who refer to this schema.
    let Some(choices) = choices else {
        let named = discriminator.get("propertyName").and_then(Value::as_str);
        return named.map(drop).ok_or_else(|| Invalid::new(&format!("{at}/discriminator"), "has no propertyName"));
    };
    let (property, cases) = cases(discriminator, choices, at)?;
    let property = &*property;
    let values: Vec<&String> = cases.iter().map(|(value, _)| value).collect();
    let mut all = vec![json!({ "required": [property], "properties": { property: { "enum": values } } })];
    for (value, target) in &cases {
        all.push(json!({ "if": { "properties": { property: { "const": value } } }, "then": { "$ref": target } }));
    }
    converted.shift_remove("oneOf");
    converted.shift_remove("anyOf");
    push_all(converted, all);
    Ok(())
}

pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

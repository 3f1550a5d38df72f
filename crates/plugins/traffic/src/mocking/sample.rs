//! Values made from a JSON schema.

use model::vars::number::write_number;
use plugin::BuildError;
use rand::RngExt;
use serde_json::{Map, Number, Value};

/// Values that one sample may have: arrays within arrays multiply.
const VALUES_MAX: usize = 10_000;

/// What a value is made from.
#[derive(Debug)]
pub(super) enum Sample {
    Object(Vec<(String, Sample)>),
    /// Without `items` there is nothing to make it from, and it is left out.
    Array(Option<Box<Sample>>),
    Text(Option<String>),
    Number(Option<f64>),
    Integer(Option<f64>),
    Boolean(Option<bool>),
    /// A type that nothing is made for.
    Unknown,
}

impl Sample {
    /// The whole body is an object, whatever its `type` says.
    pub(super) fn of_object(schema: &Map<String, Value>) -> Result<Self, BuildError> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let fields =
            properties.into_iter().flatten().map(|(name, property)| Ok((name.clone(), Self::of(name, property)?)));
        Ok(Self::Object(fields.collect::<Result<_, BuildError>>()?))
    }

    fn of(name: &str, schema: &Value) -> Result<Self, BuildError> {
        let (Some(schema), Some(kind)) = (schema.as_object(), schema["type"].as_str()) else {
            return Err(BuildError(format!("response_schema: property \"{name}\" has no type")));
        };
        let example = schema.get("example").unwrap_or(&Value::Null);
        Ok(match &*kind.to_ascii_lowercase() {
            "object" => Self::of_object(schema)?,
            "array" => {
                let items = schema.get("items").map(|items| Self::of(name, items)).transpose()?;
                Self::Array(items.map(Box::new))
            }
            "string" => Self::Text(example.as_str().map(str::to_owned)),
            "number" => Self::Number(example.as_f64()),
            "integer" => Self::Integer(example.as_f64().map(f64::floor)),
            "boolean" => Self::Boolean(example.as_bool()),
            _ => Self::Unknown,
        })
    }

    /// One value.
    pub(super) fn make(&self) -> Value {
        let mut left = VALUES_MAX;
        self.value(&mut left).unwrap_or(Value::Null)
    }

    fn value(&self, left: &mut usize) -> Option<Value> {
        *left = left.saturating_sub(1);
        let mut random = rand::rng();
        Some(match self {
            Self::Object(fields) => {
                fields.iter().filter_map(|(name, sample)| Some((name.clone(), sample.value(left)?))).collect()
            }
            Self::Array(items) => {
                let items = items.as_deref()?;
                let len = if *left == 0 { 1 } else { random.random_range(1..=3) };
                (0..len).filter_map(|_| items.value(left)).collect()
            }
            Self::Text(Some(example)) => example.clone().into(),
            Self::Text(None) => {
                let len = random.random_range(1..=10);
                (0..len).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect::<String>().into()
            }
            Self::Number(example) => number(example.unwrap_or_else(|| random.random_range(0.0..10_000.0))),
            Self::Integer(example) => number(example.unwrap_or_else(|| f64::from(random.random_range(1..=10_000)))),
            Self::Boolean(example) => example.unwrap_or_else(|| random.random()).into(),
            Self::Unknown => return None,
        })
    }
}

/// A number with the digits that Lua writes.
fn number(number: f64) -> Value {
    let mut text = Vec::new();
    write_number(number, &mut text);
    let written: Option<Number> = serde_json::from_slice(&text).ok();
    written.map_or(Value::Null, Value::Number)
}

/// A value as XML below `data`; the elements of an array are elements of its name.
pub(super) fn xml(value: &Value) -> String {
    let mut out = "<data>\n".to_owned();
    for (name, value) in value.as_object().into_iter().flatten() {
        element(name, value, 1, &mut out);
    }
    out.push_str("</data>\n");
    out
}

fn element(name: &str, value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Array(items) => items.iter().for_each(|item| element(name, item, depth, out)),
        Value::Object(fields) => {
            out.push_str(&format!("{indent}<{name}>\n"));
            for (name, value) in fields {
                element(name, value, depth + 1, out);
            }
            out.push_str(&format!("{indent}</{name}>\n"));
        }
        value => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            out.push_str(&format!("{indent}<{name}>{text}</{name}>\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(properties: &Value) -> Sample {
        Sample::of_object(json!({ "properties": properties }).as_object().unwrap()).unwrap()
    }

    #[test]
    fn examples_are_taken() {
        let made = sample(&json!({
            "text": { "type": "String", "example": "a" },
            "number": { "type": "number", "example": 5.5 },
            "integer": { "type": "integer", "example": 4.5 },
            "yes": { "type": "boolean", "example": true },
            "object": { "type": "object" },
            "deep": { "type": "object", "properties": { "a": { "type": "string", "example": "b" } } },
            "none": { "type": "array" },
            "null": { "type": "null" },
        }))
        .make();
        let expected = r#"{"text":"a","number":5.5,"integer":4,"yes":true,"object":{},"deep":{"a":"b"}}"#;
        assert_eq!(made.to_string(), expected);
    }

    #[test]
    fn what_has_no_example_is_random() {
        let sample = sample(&json!({
            "a": { "type": "array", "items": { "type": "integer" } },
            "s": { "type": "string", "example": 1 },
        }));
        for _ in 0..100 {
            let made = sample.make();
            let items = made["a"].as_array().unwrap();
            assert!((1..=3).contains(&items.len()), "{made}");
            assert!(items.iter().all(|item| (1..=10_000).contains(&item.as_u64().unwrap())), "{made}");
            let text = made["s"].as_str().unwrap();
            assert!((1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase()), "{made}");
        }
    }

    #[test]
    fn arrays_within_arrays_are_bounded() {
        let mut schema = json!({ "type": "boolean" });
        for _ in 0..40 {
            schema = json!({ "type": "array", "items": schema });
        }
        let made = sample(&json!({ "a": schema })).make().to_string();
        assert!(made.len() < 40 * 10 * VALUES_MAX, "{}", made.len());
    }

    #[test]
    fn values_are_written_as_xml() {
        let value = json!({ "a": "<b>&", "list": [1, 2], "deep": { "c": true } });
        let expected = "<data>\n  <a>&lt;b&gt;&amp;</a>\n  <list>1</list>\n  <list>2</list>\n  <deep>\n    <c>true</c>\n  </deep>\n</data>\n";
        assert_eq!(xml(&value), expected);
    }
}

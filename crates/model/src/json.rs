//! Reading JSON that somebody else wrote: bounded in size and depth, and without the ambiguity of repeated keys.

mod complaint;

pub use complaint::complaint;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How much JSON [`parse`] is willing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest accepted text, in bytes.
    pub bytes: usize,
    /// Deepest accepted nesting of objects and arrays; never more than [`Limits::DEEPEST`].
    pub depth: usize,
}

impl Limits {
    /// The nesting no setting can exceed: `serde_json` reads recursively and stops there.
    pub const DEEPEST: usize = 127;
}

impl Default for Limits {
    /// APISIX's Admin API body limit of 1.5 MiB, and the deepest nesting.
    fn default() -> Self {
        Limits { bytes: 3 * 512 * 1024, depth: Limits::DEEPEST }
    }
}

/// Why a text was not accepted as JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is longer than the limit.
    #[error("text of {found} bytes is larger than {limit} bytes")]
    TooLarge {
        /// Bytes offered.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Objects and arrays are nested deeper than the limit.
    #[error("nested deeper than {limit} levels at line {line} column {column}")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
        /// 1-based line of the first container that is too deep.
        line: usize,
        /// Column as `serde_json` counts it.
        column: usize,
    },
    /// An object names a key twice, so readers could disagree about its value.
    #[error("duplicate key \"{key}\" in object at \"{path}\", line {line} column {column}")]
    DuplicateKey {
        /// The repeated key.
        key: String,
        /// JSON pointer of the object; empty for the whole text.
        path: String,
        /// 1-based line of the second key.
        line: usize,
        /// Column as `serde_json` counts it.
        column: usize,
    },
    /// The text is not JSON. The message ends with the line and the column.
    #[error("{message}")]
    Syntax {
        /// What is wrong and where.
        message: String,
        /// 1-based line.
        line: usize,
        /// Column as `serde_json` counts it.
        column: usize,
    },
}

/// Reads one JSON value that fills `bytes` completely.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Value, JsonError> {
    if bytes.len() > limits.bytes {
        return Err(JsonError::TooLarge { found: bytes.len(), limit: limits.bytes });
    }
    let limit = limits.depth.min(Limits::DEEPEST);
    let mut refusal = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let result = Reader { left: limit, refusal: &mut refusal }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    result.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match refusal {
            Some(Refusal::Deep) => JsonError::TooDeep { limit, line, column },
            Some(Refusal::Duplicate { key, path }) => JsonError::DuplicateKey { key, path, line, column },
            // serde_json counts the levels of its own recursion, and notices the level after the deepest first.
            None if error.to_string().starts_with("recursion limit exceeded") => {
                JsonError::TooDeep { limit, line, column }
            }
            None => JsonError::Syntax { message: error.to_string(), line, column },
        }
    })
}

/// Puts `segment` in front of the JSON pointer `path`.
pub(crate) fn prepend(path: &str, segment: &str) -> String {
    let escaped = segment.replace('~', "~0").replace('/', "~1");
    format!("/{escaped}{path}")
}

/// A refusal of ours, beside `serde_json`'s own complaints about the syntax.
enum Refusal {
    Deep,
    Duplicate { key: String, path: String },
}

/// Reads one value, `left` levels above the limit.
struct Reader<'a> {
    left: usize,
    refusal: &'a mut Option<Refusal>,
}

impl Reader<'_> {
    fn child(&mut self) -> Reader<'_> {
        Reader { left: self.left.saturating_sub(1), refusal: self.refusal }
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.left == 0 {
            *self.refusal = Some(Refusal::Deep);
            return Err(E::custom("nested too deeply"));
        }
        Ok(())
    }

    /// Completes the path of a refusal while it travels outwards.
    fn locate(&mut self, segment: &str) {
        if let Some(Refusal::Duplicate { path, .. }) = self.refusal {
            *path = prepend(path, segment);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut array = Vec::new();
        loop {
            match items.next_element_seed(self.child()) {
                Ok(Some(item)) => array.push(item),
                Ok(None) => return Ok(Value::Array(array)),
                Err(error) => {
                    self.locate(&array.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut object = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if object.contains_key(&key) {
                *self.refusal = Some(Refusal::Duplicate { key, path: String::new() });
                return Err(A::Error::custom("duplicate key"));
            }
            match fields.next_value_seed(self.child()) {
                Ok(value) => {
                    object.insert(key, value);
                }
                Err(error) => {
                    self.locate(&key);
                    return Err(error);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

/// Escapes the control characters within strings. JSON does not allow them there, but APISIX's parser does, and its
/// documentation has bodies with texts of several lines. NUL stays as it is, and is refused.
pub fn escape_controls(text: &[u8]) -> Cow<'_, [u8]> {
    let mut escaped: Option<Vec<u8>> = None;
    let (mut is_in_string, mut is_after_backslash) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        if is_in_string && !is_after_backslash && matches!(byte, 1..0x20) {
            let escaped = escaped.get_or_insert_with(|| text.get(..at).unwrap_or_default().to_vec());
            escaped.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else if let Some(escaped) = &mut escaped {
            escaped.push(byte);
        }
        match byte {
            b'"' if !is_after_backslash => is_in_string = !is_in_string,
            b'\\' if is_in_string && !is_after_backslash => {
                is_after_backslash = true;
                continue;
            }
            _ => {}
        }
        is_after_backslash = false;
    }
    escaped.map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn texts_may_have_lines_where_that_is_asked_for() {
        for (text, expected) in [
            ("{\"a\":\"b\\nc\"}", "{\"a\":\"b\\nc\"}"),
            ("{\n\"a\":\t\"b\nc\td\"\n}", "{\n\"a\":\t\"b\\u000ac\\u0009d\"\n}"),
            ("[\"\\\"\n\",\n\"\\\\\",\n1]", "[\"\\\"\\u000a\",\n\"\\\\\",\n1]"),
            ("\"a\0\"", "\"a\0\""),
            // A backslash before a line's end is still none that JSON knows.
            ("\"\\\n\"", "\"\\\n\""),
        ] {
            assert_eq!(escape_controls(text.as_bytes()), expected.as_bytes(), "{text:?}");
        }
    }

    use super::*;

    #[test]
    fn refuses_with_the_reason_and_the_place() {
        let deep = "[".repeat(10_000);
        let rows: &[(&str, &str)] = &[
            (r#"{"a":1,"a":2}"#, r#"duplicate key "a" in object at "", line 1 column 10"#),
            (r#"{"x":[0,{"a/b":{"k":1,"k":1}}]}"#, r#"duplicate key "k" in object at "/x/1/a~1b", line 1 column 25"#),
            ("{} x", "trailing characters at line 1 column 4"),
            ("{\n\"a\":}", "expected value at line 2 column 5"),
            ("", "EOF while parsing a value at line 1 column 0"),
            ("[01]", "invalid number at line 1 column 3"),
            (&deep, "nested deeper than 127 levels at line 1 column 128"),
        ];
        for (text, expected) in rows {
            let found = parse(text.as_bytes(), Limits::default()).map_err(|error| error.to_string());
            assert_eq!(found, Err((*expected).to_owned()), "{text:.40}");
        }
    }

    #[test]
    fn reads_what_is_within_the_limits() {
        let limits = Limits { bytes: 24, depth: 2 };
        assert!(parse(br#"{"a":[1,2.5,-3,null,""]}"#, limits).is_ok());
        assert!(matches!(parse(br#"{"a":[1,2.5,-3,null,"x"]}"#, limits), Err(JsonError::TooLarge { .. })));
        assert!(matches!(parse(b"[[[]]]", limits), Err(JsonError::TooDeep { limit: 2, .. })));
    }

    #[test]
    fn keeps_order_and_numbers() {
        let text = br#"{"z":1,"a":1.5,"m":18446744073709551615,"e":[]}"#;
        let value = parse(text, Limits::default()).expect("valid");
        assert_eq!(value.to_string().as_bytes(), text);
    }
}

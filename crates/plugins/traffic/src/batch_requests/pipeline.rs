use model::schema::Schema;
use plugin::Ctx;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::OnceLock, time::Duration};
use wire::Fields;

/// Fields that belong to the outer message, or that the gateway writes itself.
const NOT_INHERITED: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect", "transfer-encoding"];

/// A batch.
pub(super) struct Pipeline {
    pub(super) items: Vec<Item>,
    /// Time that one request may take.
    pub(super) timeout: Duration,
    headers: BTreeMap<String, Value>,
    query: Map<String, Value>,
}

/// One request of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    version: f64,
    method: String,
    path: String,
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    pub(super) body: String,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    timeout: f64,
    pipeline: Vec<Item>,
}

impl Pipeline {
    /// Checks and reads a batch, in APISIX's words.
    pub(super) fn read(mut value: Value) -> Result<Self, String> {
        let wrong = |message: &str| format!("bad request body: {message}");
        schema().check_and_fill(&mut value).map_err(|violation| wrong(&violation.message))?;
        let written = Written::deserialize(value).map_err(|error| wrong(&error.to_string()))?;
        Ok(Self {
            items: written.pipeline,
            timeout: Duration::from_millis(written.timeout as u64),
            headers: folded(written.headers),
            query: written.query,
        })
    }

    /// Request line and fields of one request: its own, then the batch's, then those that the batch itself came with.
    pub(super) fn head(&self, item: &Item, cx: &Ctx) -> Result<Vec<u8>, String> {
        let mut fields = folded(item.headers.clone());
        for (name, value) in &self.headers {
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let mut query = item.query.clone();
        for (name, value) in &self.query {
            if !query.contains_key(name) {
                query.insert(name.clone(), value.clone());
            }
        }
        if item.path.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err("a path has a character that must be encoded".to_owned());
        }
        let mut head = format!("{} {}", item.method, item.path).into_bytes();
        let encoded = encode(&query)?;
        if !encoded.is_empty() {
            head.push(if item.path.contains('?') { b'&' } else { b'?' });
            head.extend_from_slice(encoded.as_bytes());
        }
        head.extend_from_slice(if item.version < 1.1 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
        for (name, value) in &fields {
            // The body has its own length.
            if name != "content-length" && !NOT_INHERITED.contains(&&**name) {
                push(&mut head, name.as_bytes(), scalar(value)?.as_bytes())?;
            }
        }
        if !fields.contains_key("host") && !cx.request.authority.is_empty() {
            push(&mut head, b"host", &cx.request.authority)?;
        }
        for (name, value) in cx.request.fields.iter() {
            let folded = String::from_utf8_lossy(name).to_ascii_lowercase();
            let is_own = folded == "host" || folded.starts_with("content-") || NOT_INHERITED.contains(&&*folded);
            if !is_own && !fields.contains_key(&folded) {
                push(&mut head, folded.as_bytes(), value)?;
            }
        }
        if !item.body.is_empty() {
            push(&mut head, b"content-length", item.body.len().to_string().as_bytes())?;
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

fn push(head: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), String> {
    if !Fields::is_name(name) || !Fields::is_value(value) {
        return Err("a header has a character that it must not have".to_owned());
    }
    head.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    Ok(())
}

fn folded(fields: Map<String, Value>) -> BTreeMap<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err("a header or argument is no text".to_owned()),
    }
}

/// A query, as nginx encodes one: `true` is a name alone, `false` nothing, a list several.
fn encode(query: &Map<String, Value>) -> Result<String, String> {
    let mut pairs = Vec::new();
    for (name, value) in query {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                Value::Bool(true) => pairs.push(escape(name)),
                Value::Bool(false) => {}
                value => pairs.push(format!("{}={}", escape(name), escape(&scalar(value)?))),
            }
        }
    }
    Ok(pairs.join("&"))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let source = json!({
            "type": "object",
            "properties": {
                "query": { "type": "object" },
                "headers": { "type": "object" },
                "timeout": { "type": "integer", "minimum": 1, "default": 30000 },
                "pipeline": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": {
                            "version": { "type": "number", "enum": [1.0, 1.1], "default": 1.1 },
                            "method": {
                                "type": "string",
                                "default": "GET",
                                "enum": [
                                    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE",
                                ],
                            },
                            "path": { "type": "string", "minLength": 1 },
                            "query": { "type": "object" },
                            "headers": { "type": "object" },
                            "body": { "type": "string" },
                            "ssl_verify": { "type": "boolean", "default": false },
                        },
                        "required": ["path"],
                    },
                },
            },
            "anyOf": [{ "required": ["pipeline"] }],
        });
        match Schema::compile(&source) {
            Ok(schema) => schema,
            Err(error) => unreachable!("the schema is a constant: {error}"),
        }
    })
}

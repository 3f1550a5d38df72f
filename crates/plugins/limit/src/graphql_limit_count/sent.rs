use plugin::Ctx;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::fmt;

/// A query as a client sends it.
pub(super) struct Sent {
    pub(super) query: String,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Map<String, Value>,
}

/// A request in JSON. Two members of one name are none: servers do not agree which of them counts.
#[derive(Deserialize)]
struct Written {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<Value>,
    #[serde(default)]
    variables: Variables,
}

/// What is no object has no variables, as in APISIX.
#[derive(Default)]
struct Variables(Map<String, Value>);

impl Sent {
    /// Reads a request's body; or says what the client is told is wrong with it.
    pub(super) fn read(cx: &Ctx, body: &[u8]) -> Result<Self, String> {
        let invalid = |reason: &str| Err(format!("invalid graphql request, {reason}"));
        let kind = cx.request.fields.get_str("content-type").unwrap_or_default();
        if kind.starts_with("application/json") {
            match serde_json::from_slice(body) {
                Ok(Written { query: Some(query), operation_name, variables }) => Ok(Self {
                    query,
                    operation_name: operation_name.as_ref().and_then(Value::as_str).map(str::to_owned),
                    variables: variables.0,
                }),
                Ok(Written { query: None, .. }) => invalid("json body[query] is nil"),
                Err(_) => invalid("the body is no JSON of a request"),
            }
        } else if kind.starts_with("application/graphql") {
            match std::str::from_utf8(body) {
                Ok(query) => Ok(Self { query: query.to_owned(), operation_name: None, variables: Map::new() }),
                Err(_) => Err("Invalid graphql request: failed to parse graphql query".to_owned()),
            }
        } else {
            invalid(&format!("error content-type: {kind}"))
        }
    }
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Variables;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("variables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Variables, A::Error> {
        let mut variables = Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if variables.insert(name, value).is_some() {
                return Err(A::Error::custom("a variable is there twice"));
            }
        }
        Ok(Variables(variables))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Variables, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Variables::default())
    }

    fn visit_unit<E: Error>(self) -> Result<Variables, E> {
        Ok(Variables::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Variables, E> {
        Ok(Variables::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Variables, E> {
        Ok(Variables::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Variables, E> {
        Ok(Variables::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Variables, E> {
        Ok(Variables::default())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Variables, E> {
        Ok(Variables::default())
    }
}

use super::document::OperationKind;
use model::vars::number::parse_number;
use serde::Deserialize;
use std::collections::HashMap;

/// What an upstream says of its GraphQL schema.
#[derive(Debug, PartialEq)]
pub(super) struct UpstreamSchema {
    query: String,
    mutation: String,
    subscription: String,
    /// Fields by type and name.
    types: HashMap<String, HashMap<String, FieldOfType>>,
}

#[derive(Debug, PartialEq)]
pub(super) struct FieldOfType {
    /// The type that it gives, whether once, in lists, or not always.
    pub(super) result: Option<String>,
    /// Arguments that have a default, and the number that it is.
    pub(super) defaults: HashMap<String, Option<f64>>,
}

/// The question: names of types, their fields, what these give, and defaults of arguments.
pub(super) const QUESTION: &str = "query { __schema { queryType { name } mutationType { name } subscriptionType { name } \
    types { kind name fields { name args { name defaultValue } type { ...named } } } } } \
    fragment named on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

const NO_TYPES: &str = "the answer has no __schema.types";

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "__schema")]
    schema: Option<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    query_type: Option<Named>,
    mutation_type: Option<Named>,
    subscription_type: Option<Named>,
    types: Option<Vec<WrittenType>>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

#[derive(Deserialize)]
struct WrittenType {
    name: Option<String>,
    fields: Option<Vec<WrittenField>>,
}

#[derive(Deserialize)]
struct WrittenField {
    name: Option<String>,
    args: Option<Vec<WrittenArgument>>,
    #[serde(rename = "type")]
    result: Option<WrittenReference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenArgument {
    name: Option<String>,
    default_value: Option<String>,
}

/// Lists and the like have no name, but what they are of has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenReference {
    name: Option<String>,
    of_type: Option<Box<WrittenReference>>,
}

impl UpstreamSchema {
    /// Reads an answer to [`QUESTION`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(answer: &[u8]) -> Result<Self, String> {
        let answer: Answer =
            serde_json::from_slice(answer).map_err(|error| format!("the answer is no schema in JSON: {error}"))?;
        let schema = answer.data.ok_or("the answer has no data")?.schema.ok_or(NO_TYPES)?;
        let types = schema.types.ok_or(NO_TYPES)?;
        let name = |named: Option<Named>, usual: &str| named.and_then(|n| n.name).unwrap_or_else(|| usual.to_owned());
        let types =
            types.into_iter().filter_map(|of| Some((of.name?, of.fields?.into_iter().filter_map(field).collect())));
        Ok(Self {
            query: name(schema.query_type, "Query"),
            mutation: name(schema.mutation_type, "Mutation"),
            subscription: name(schema.subscription_type, "Subscription"),
            types: types.collect(),
        })
    }

    /// The type that operations begin with.
    pub(super) fn root(&self, kind: OperationKind) -> &str {
        match kind {
            OperationKind::Query => &self.query,
            OperationKind::Mutation => &self.mutation,
            OperationKind::Subscription => &self.subscription,
        }
    }

    /// Whether there is a type of this name that has fields.
    pub(super) fn has(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }

    pub(super) fn field(&self, on: &str, name: &str) -> Option<&FieldOfType> {
        self.types.get(on)?.get(name)
    }
}

fn field(written: WrittenField) -> Option<(String, FieldOfType)> {
    let mut reference = written.result.as_ref();
    let result = loop {
        match reference {
            Some(WrittenReference { name: Some(name), .. }) => break Some(name.clone()),
            Some(of) => reference = of.of_type.as_deref(),
            None => break None,
        }
    };
    let arguments = written.args.unwrap_or_default().into_iter();
    let defaults = arguments.filter_map(|arg| Some((arg.name?, parse_number(arg.default_value?.as_bytes()))));
    Some((written.name?, FieldOfType { result, defaults: defaults.collect() }))
}

//! What of a request body has to be read before variables are known.

/// Kinds of bodies that variables look into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyNeed {
    /// Forms, JSON and the like: `post_arg*` and `request_body`.
    pub arguments: bool,
    /// GraphQL: `graphql_*`.
    pub graphql: bool,
}

impl BodyNeed {
    /// No body.
    pub const NONE: Self = Self { arguments: false, graphql: false };

    /// Whether no body is needed.
    pub const fn is_none(self) -> bool {
        !self.arguments && !self.graphql
    }

    /// Both needs.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { arguments: self.arguments || other.arguments, graphql: self.graphql || other.graphql }
    }

    /// What the variables need that a configuration may name anywhere in its texts.
    pub fn of_config(config: &serde_json::Value) -> Self {
        use serde_json::Value;
        match config {
            Value::String(text) => Self {
                arguments: text.contains("post_arg") || text.contains("request_body"),
                graphql: text.contains("graphql_"),
            },
            Value::Array(items) => items.iter().map(Self::of_config).fold(Self::NONE, Self::and),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| Self::of_config(&Value::String(name.clone())).and(Self::of_config(value)))
                .fold(Self::NONE, Self::and),
            _ => Self::NONE,
        }
    }
}

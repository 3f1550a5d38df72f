//! JSON schema as APISIX checks it: the keywords, the order of checks and the wording of the Lua `jsonschema` library.
//!
//! A [`Schema`] is compiled once and used for many values. Like the library, checking fills defaults on the way, because
//! a later `if` or `dependencies` may look at a field that only a default provides. Differences from the library:
//! where it walks a hash table in arbitrary order we follow the order of the schema; `$` does not match before a final
//! newline; a branch that did not match leaves no defaults behind; and `items: true` does not switch other checks off.

mod check;
mod compile;
mod format;
mod keyword;
mod lua;
mod matcher;
mod node;
#[cfg(test)]
mod tests;
mod unknown;
mod value;

use serde_json::Value;
use std::borrow::Cow;

use self::check::Run;
pub use self::lua::number;
pub use self::lua::type_name as lua_type;
use self::node::Node;
pub use self::unknown::UnknownField;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    source: Value,
    /// The first node is the root; the others are reached by index, so that `$ref` may be recursive.
    nodes: Vec<Node>,
}

/// The first way in which a value does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// APISIX's wording, nested from the outside to the inside.
    pub message: String,
    /// JSON pointer of the value that does not fit; empty for the whole value.
    pub path: String,
}

/// Why a schema cannot be compiled. Paths are JSON pointers into the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A schema is neither an object nor a boolean.
    #[error("schema at \"{path}\" is neither an object nor a boolean")]
    NotASchema {
        /// Where.
        path: String,
    },
    /// A type name that JSON schema does not know.
    #[error("invalid JSON type: {name} at \"{path}\"")]
    UnknownType {
        /// Where.
        path: String,
        /// The name.
        name: String,
    },
    /// A keyword has a value of the wrong kind.
    #[error("\"{keyword}\" at \"{path}\" should be {expected}")]
    Keyword {
        /// Where.
        path: String,
        /// The keyword.
        keyword: &'static str,
        /// What it should be.
        expected: Cow<'static, str>,
    },
    /// A regular expression that does not compile.
    #[error("invalid pattern \"{pattern}\" at \"{path}\": {reason}")]
    Pattern {
        /// Where.
        path: String,
        /// The pattern.
        pattern: String,
        /// What the regex engine says.
        reason: String,
    },
    /// A `$ref` to something that is not in this document.
    #[error("unknown reference \"{reference}\" at \"{path}\"")]
    Reference {
        /// Where.
        path: String,
        /// The reference.
        reference: String,
    },
    /// The schema is nested, or refers to itself, too deeply.
    #[error("schema is nested too deeply")]
    TooDeep,
}

impl Schema {
    /// Compiles `source`. Unknown keywords are ignored.
    pub fn compile(source: &Value) -> Result<Schema, SchemaError> {
        let nodes = compile::compile(source)?;
        Ok(Schema { source: source.clone(), nodes })
    }

    /// The schema as it was written.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Checks `value` and reports the first failure in APISIX's wording.
    pub fn check(&self, value: &Value) -> Result<(), Violation> {
        self.check_and_fill(&mut value.clone())
    }

    /// Adds the defaults of absent fields, everywhere the value matches. Meant for a value that was checked before: it
    /// stops silently at the first violation.
    pub fn fill_defaults(&self, value: &mut Value) {
        // The caller has checked the value, or does not mind: what was filled up to the violation is kept.
        let _ = self.check_and_fill(value);
    }

    /// [`Schema::check`] and [`Schema::fill_defaults`] in one walk. An empty array where an object belongs, and an empty
    /// object where an array belongs, take the form the schema asks for: Lua cannot tell them apart.
    pub fn check_and_fill(&self, value: &mut Value) -> Result<(), Violation> {
        self.check_and_fill_within(value, check::MOST_STEPS)
    }

    /// [`Schema::check_and_fill`] for what a client sends: a value that takes more steps than these does not fit.
    pub fn check_and_fill_within(&self, value: &mut Value, steps: usize) -> Result<(), Violation> {
        Run::new(&self.nodes, steps).root(value)
    }

    /// Every field that no part of the schema declares. Objects that are open by design (no properties declared,
    /// `patternProperties`, or `additionalProperties` given as a schema or as `true`) are not reported.
    pub fn unknown_fields(&self, value: &Value) -> Vec<UnknownField> {
        unknown::find(&self.nodes, value)
    }
}

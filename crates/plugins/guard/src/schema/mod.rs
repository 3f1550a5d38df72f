//! JSON schemas that users write for what clients send.
//!
//! Two engines: the crate `jsonschema` decides what fits, by the draft that the schema is of. It knows every keyword and
//! compares numbers exactly. What a client is told of a misfit is in the words of APISIX's library, which `model::schema` has.
//! With APISIX's behaviour that library's meaning decides, too.

pub(crate) mod keywords;
mod prepare;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use crate::content::{Tree, Trees};
use jsonschema::{PatternOptions, Validator};
use model::schema::Schema;
use plugin::BuildError;
use serde_json::Value;
use std::fmt;

/// What a client is told where APISIX's library has no words.
const MISFIT: &str = "the value does not fit its schema";

/// Upper bound of the memory of one compiled pattern.
const PATTERN_SIZE: usize = 4 << 20;

/// Formats of OpenAPI that describe and do not restrict.
const DESCRIBING_FORMATS: [&str; 7] = ["int32", "int64", "float", "double", "password", "byte", "binary"];

/// A compiled schema.
pub(crate) struct UserSchema {
    /// Decides; where there is none, the words do.
    validator: Option<Validator<Trees>>,
    words: Option<Schema>,
}

impl fmt::Debug for UserSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSchema").finish_non_exhaustive()
    }
}

impl UserSchema {
    /// Compiles a schema that means what its draft says.
    ///
    /// # Errors
    /// What is wrong with it and where: also a keyword or a format that nobody knows, a pattern that does not run in linear time,
    /// and a reference to another document.
    pub(crate) fn compile(what: &str, source: &Value) -> Result<Self, BuildError> {
        let wrong = |error: &dyn fmt::Display| BuildError(format!("{what}: {error}"));
        let draft = prepare::draft(source).map_err(|error| wrong(&error))?;
        let mut options = jsonschema::options_for::<Trees>()
            .with_draft(draft)
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_SIZE))
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false);
        for format in DESCRIBING_FORMATS {
            options = options.with_format(format, |_: &str| true);
        }
        let validator = options.build(source).map_err(|error| {
            let at = error.instance_path().as_str().to_owned();
            wrong(&format!("{} at \"{at}\"", error.masked()))
        })?;
        // Where APISIX's library has another opinion of the schema it has no words.
        Ok(Self { validator: Some(validator), words: Schema::compile(source).ok() })
    }

    /// Compiles a schema that means what it means to APISIX's library.
    ///
    /// # Errors
    /// What is wrong with it and where.
    pub(crate) fn compile_like_apisix(source: &Value) -> Result<Self, BuildError> {
        let words = Schema::compile(source).map_err(|error| BuildError(error.to_string()))?;
        Ok(Self { validator: None, words: Some(words) })
    }

    /// Checks a value that was read from so many bytes. With APISIX's meaning defaults are added to it.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn check(&self, value: &mut Value, bytes: usize) -> Result<(), String> {
        let words = |value: &mut Value| {
            let check = self.words.as_ref().map(|words| words.check_and_fill_within(value, steps(bytes)));
            check.unwrap_or(Ok(())).map_err(|violation| violation.message)
        };
        match &self.validator {
            None => words(value),
            Some(validator) if validator.is_valid(&Tree::of(value)) => Ok(()),
            Some(_) => Err(words(&mut value.clone()).err().unwrap_or_else(|| MISFIT.to_owned())),
        }
    }

    /// The same of what a text of so many bytes says; with APISIX's meaning as well.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn check_tree(&self, tree: &Tree<'_>, bytes: usize) -> Result<(), String> {
        match &self.validator {
            // It remembers what it has found out, so that a recursive schema takes no more time for a deep value than for a wide one.
            Some(validator) if validator.is_valid(tree) => Ok(()),
            _ => self.check(&mut tree.to_value(), bytes),
        }
    }
}

/// Steps that a value of so many bytes is worth to the library, which remembers nothing.
fn steps(bytes: usize) -> usize {
    bytes.saturating_mul(32).saturating_add(10_000)
}

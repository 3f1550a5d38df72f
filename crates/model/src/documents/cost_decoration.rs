use serde::Deserialize;
use serde_json::Value;

use super::{DocumentError, Kind, read};

/// What a field of a service's GraphQL schema is said to cost.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CostDecoration {
    /// A type, a field of a type, or a chain of fields below one: names with dots between them.
    pub field_path: String,
    /// Cost of the field itself.
    pub add_value: f64,
    /// Arguments whose values are added to it.
    pub add_arguments: Option<Vec<String>>,
    /// Factor for the cost of what is selected below the field.
    pub mul_value: f64,
    /// Arguments whose values are multiplied into it.
    pub mul_arguments: Option<Vec<String>>,
}

impl CostDecoration {
    /// Checks and reads a decoration.
    pub fn parse(value: &Value) -> Result<CostDecoration, DocumentError> {
        read(Kind::CostDecoration, value)
    }
}

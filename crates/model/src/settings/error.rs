//! Why a `config.yaml` was refused.

use serde_json::Value;

use crate::differences::BadSwitch;
use crate::yaml::{MissingVariable, YamlError};

/// A `config.yaml` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// It is not YAML.
    #[error("config.yaml: {0}")]
    Yaml(#[from] YamlError),
    /// It needs an environment variable that is not set.
    #[error(transparent)]
    MissingVariable(#[from] MissingVariable),
    /// A value is of the wrong type or out of range.
    #[error("{path}: expected {expected}, got {got}")]
    Wrong {
        /// The key, dotted.
        path: String,
        /// What would be right.
        expected: &'static str,
        /// What is there; the type only, when it could be a secret.
        got: String,
    },
    /// `portcullis.compat` asks for what there is not.
    #[error(transparent)]
    BadSwitch(#[from] BadSwitch),
    /// An admin key that is printed in APISIX's documentation.
    #[error(
        "deployment.admin.admin_key: the key of \"{0}\" is a published example; choose another, or set portcullis.compat.example-admin-key"
    )]
    ExampleAdminKey(String),
}

impl SettingsError {
    /// A value that is not what its key needs.
    pub(super) fn wrong(path: impl Into<String>, expected: &'static str, got: &Value) -> Self {
        Self::Wrong { path: path.into(), expected, got: describe(got) }
    }
}

/// Scalars but texts are shown; texts and structures could hold a secret.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "another text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

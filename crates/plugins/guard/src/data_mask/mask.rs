//! What is done to one value.

use super::{ItemConfig, Kind};
use model::pattern::{Case, Pattern, Replacement, Scope};
use plugin::BuildError;

/// Longest value that a pattern makes.
const LONGEST: usize = 64 << 10;

/// A mask.
#[derive(Debug)]
pub(super) enum Mask {
    Remove,
    Replace(String),
    Regex(Box<Pattern>, Replacement),
}

impl Mask {
    pub(super) fn compile(config: &ItemConfig) -> Result<Self, BuildError> {
        let value = config.value.clone().unwrap_or_default();
        Ok(match config.action {
            Kind::Remove => Self::Remove,
            Kind::Replace => Self::Replace(value),
            Kind::Regex => {
                let source = config.regex.as_deref().unwrap_or_default();
                let pattern =
                    Pattern::compile(source, Case::Sensitive).map_err(|error| BuildError(error.to_string()))?;
                let replacement = Replacement::compile(&value).map_err(|reason| BuildError(reason.to_owned()))?;
                Self::Regex(Box::new(pattern), replacement)
            }
        })
    }

    /// The masked value; `None` where nothing is left of it. What cannot be masked is not shown.
    pub(super) fn apply(&self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Remove => None,
            Self::Replace(with) => Some(with.as_bytes().to_vec()),
            Self::Regex(pattern, with) => match pattern.replace(value, with, Scope::Once, LONGEST) {
                Ok(Some(masked)) => Some(masked),
                Ok(None) => Some(value.to_vec()),
                Err(error) => {
                    tracing::warn!(%error, "a value is not shown, for its pattern could not be run");
                    None
                }
            },
        }
    }
}

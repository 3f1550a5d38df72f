//! Settings that were written and do nothing.

use std::fmt;

/// What a written setting that is not honoured means for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is lost; worth a line in the log.
    Ignored,
    /// Going on would drop a protection or a service that was asked for: refuse to start.
    Refuse,
}

/// A key of `config.yaml` that was written but is not honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The key, dotted.
    pub path: String,
    /// Why it does nothing, and what to do instead.
    pub message: String,
    /// Whether the node may start.
    pub severity: Severity,
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.message)
    }
}

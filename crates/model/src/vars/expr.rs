//! Conditions over variables: the language of lua-resty-expr.

mod compile;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;

use super::{BodyNeed, Lookup, Value, VarName};
use crate::pattern::{Pattern, PatternError, StepLimit};

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Expr {
    root: Option<Node>,
}

/// Why a condition was refused; the texts are those of lua-resty-expr.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// `null` instead of a list.
    #[error("missing argument rule")]
    Missing,
    /// `["a", "==", "b"]` instead of `[["a", "==", "b"]]`.
    #[error("rule should be wrapped inside brackets")]
    NotWrapped,
    /// An empty list, or `AND`/`OR` over fewer than two conditions.
    #[error("rule too short")]
    TooShort,
    /// Four elements without `!` in the second place.
    #[error("bad 'not' expression")]
    BadNot,
    /// Not a condition at all.
    #[error("invalid expression")]
    Invalid,
    /// An operator that does not exist.
    #[error("invalid operator '{0}'")]
    UnknownOperator(String),
    /// `ipmatch` without an address, or with something that is none.
    #[error("invalid ip address{}", .0.as_ref().map(|address| format!(": {address}")).unwrap_or_default())]
    InvalidAddress(Option<String>),
    /// `~~` or `~*` with a pattern that cannot be compiled (lua-resty-expr finds out per request).
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// A condition that could not be decided; the request must be refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprFault {
    /// A pattern ran out of steps.
    #[error("variable {name}: pattern \"{pattern}\" exceeded its step limit")]
    StepLimit {
        /// The variable that was matched.
        name: VarName,
        /// The pattern as written.
        pattern: String,
    },
    /// The body is longer, or more complex, than what may be looked into.
    #[error("variable {name}: the body is too long or too complex to look into")]
    Unread {
        /// The variable.
        name: VarName,
    },
    /// A list or boolean met a pattern (an error in lua-resty-expr as well).
    #[error("variable {name} is not text")]
    NotText {
        /// The variable that was matched.
        name: VarName,
    },
}

#[derive(Clone, Debug)]
enum Node {
    All { nodes: Vec<Node>, negated: bool },
    Any { nodes: Vec<Node>, negated: bool },
    Test { name: VarName, test: Test, negated: bool },
}

#[derive(Clone, Debug)]
enum Test {
    Equal(Operand),
    NotEqual(Operand),
    Greater(Option<f64>),
    GreaterOrEqual(Option<f64>),
    Less(Option<f64>),
    LessOrEqual(Option<f64>),
    Matches(Pattern),
    In(Vec<Operand>),
    Has(Operand),
    Address(Vec<IpNet>),
}

/// The right side of a comparison.
#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Null,
    Text(Vec<u8>),
    Number(f64),
    Bool(bool),
    /// A list or object; equal to nothing.
    Structure,
}

impl Expr {
    /// Compiles a condition as it is written in JSON.
    pub fn compile(rule: &serde_json::Value) -> Result<Self, ExprError> {
        compile::root(rule).map(|root| Self { root })
    }

    /// Whether the condition holds.
    pub fn eval(&self, lookup: &dyn Lookup) -> Result<bool, ExprFault> {
        self.root.as_ref().map_or(Ok(true), |root| root.eval(lookup))
    }

    /// Whether the condition is empty, and so always holds.
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The variables it looks at, in the order of evaluation.
    pub fn names(&self) -> Vec<&VarName> {
        let mut names = Vec::new();
        if let Some(root) = &self.root {
            root.collect_names(&mut names);
        }
        names
    }

    /// The request body that must have been read before evaluation.
    pub fn body_need(&self) -> BodyNeed {
        self.names().into_iter().map(VarName::body_need).fold(BodyNeed::NONE, BodyNeed::and)
    }
}

impl Node {
    fn eval(&self, lookup: &dyn Lookup) -> Result<bool, ExprFault> {
        match self {
            Self::All { nodes, negated } => {
                for node in nodes {
                    if !node.eval(lookup)? {
                        return Ok(*negated);
                    }
                }
                Ok(!*negated)
            }
            Self::Any { nodes, negated } => {
                for node in nodes {
                    if node.eval(lookup)? {
                        return Ok(!*negated);
                    }
                }
                Ok(*negated)
            }
            Self::Test { name, .. } if lookup.is_hidden(name) => Err(ExprFault::Unread { name: name.clone() }),
            Self::Test { name, test, negated } => Ok(test.holds(name, &lookup.var(name))? != *negated),
        }
    }

    fn collect_names<'n>(&'n self, names: &mut Vec<&'n VarName>) {
        match self {
            Self::All { nodes, .. } | Self::Any { nodes, .. } => {
                for node in nodes {
                    node.collect_names(names);
                }
            }
            Self::Test { name, .. } => names.push(name),
        }
    }
}

impl Test {
    fn holds(&self, name: &VarName, left: &Value<'_>) -> Result<bool, ExprFault> {
        let ordered = |right: &Option<f64>, holds: fn(f64, f64) -> bool| {
            left.to_number().zip(*right).is_some_and(|(left, right)| holds(left, right))
        };
        Ok(match self {
            Self::Equal(right) => right.equals_converted(left),
            Self::NotEqual(right) => !right.equals_converted(left),
            Self::Greater(right) => ordered(right, |left, right| left > right),
            Self::GreaterOrEqual(right) => ordered(right, |left, right| left >= right),
            Self::Less(right) => ordered(right, |left, right| left < right),
            Self::LessOrEqual(right) => ordered(right, |left, right| left <= right),
            Self::Matches(pattern) => matches(pattern, name, left)?,
            Self::In(items) => items.iter().any(|item| item.equals(left)),
            Self::Has(right) => match left {
                Value::List(items) => items.iter().any(|item| right.equals(item)),
                _ => false,
            },
            Self::Address(nets) => address(left).is_some_and(|address| nets.iter().any(|net| net.contains(&address))),
        })
    }
}

fn matches(pattern: &Pattern, name: &VarName, left: &Value<'_>) -> Result<bool, ExprFault> {
    let found = match left {
        Value::Absent | Value::Bool(false) => Ok(false),
        Value::Str(text) => pattern.is_match(text),
        Value::Num(_) => {
            let mut text = Vec::new();
            left.write_to(&mut text);
            pattern.is_match(&text)
        }
        Value::Bool(true) | Value::List(_) => {
            return Err(ExprFault::NotText { name: name.clone() });
        }
    };
    found.map_err(|StepLimit| ExprFault::StepLimit { name: name.clone(), pattern: pattern.as_str().to_owned() })
}

fn address(value: &Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Str(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

impl Operand {
    /// `==` converts the left side when the right one is a number.
    fn equals_converted(&self, left: &Value<'_>) -> bool {
        match self {
            Self::Number(right) => left.to_number() == Some(*right),
            _ => self.equals(left),
        }
    }

    /// Lua's own `==`: no conversion.
    fn equals(&self, left: &Value<'_>) -> bool {
        match (self, left) {
            (Self::Null, Value::Absent) => true,
            (Self::Text(right), Value::Str(left)) => right.as_slice() == left.as_ref(),
            (Self::Number(right), Value::Num(left)) => right == left,
            (Self::Bool(right), Value::Bool(left)) => right == left,
            _ => false,
        }
    }
}

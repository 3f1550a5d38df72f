//! From JSON to nodes, with the reading rules (and quirks) of lua-resty-expr.

use ipnet::IpNet;
use serde_json::Value as Json;

use super::{ExprError, Node, Operand, Test};
use crate::pattern::{Case, Pattern};
use crate::vars::VarName;
use crate::vars::number::{parse_number, write_number};

/// Deeper conditions are refused rather than evaluated recursively.
const DEPTH_LIMIT: usize = 32;

pub(super) fn root(rule: &Json) -> Result<Option<Node>, ExprError> {
    let rules = match rule {
        Json::Null => return Err(ExprError::Missing),
        // Lua cannot tell `{}` from `[]`.
        Json::Object(map) if map.is_empty() => return Ok(None),
        Json::Array(rules) => rules,
        _ => return Err(ExprError::NotWrapped),
    };
    let Some(first) = rules.first() else {
        return Ok(None);
    };
    if !first.is_array() && Logic::parse(first).is_none() {
        return Err(ExprError::NotWrapped);
    }
    node(rule, 0).map(Some)
}

fn node(rule: &Json, depth: usize) -> Result<Node, ExprError> {
    let Json::Array(rules) = rule else {
        return Err(ExprError::Invalid);
    };
    let Some((first, rest)) = rules.split_first() else {
        return Err(ExprError::TooShort);
    };
    if depth > DEPTH_LIMIT {
        return Err(ExprError::Invalid);
    }
    if first.is_array() {
        return Ok(Node::All { nodes: nodes(rules, depth)?, negated: false });
    }
    let Some(logic) = Logic::parse(first) else {
        return test(rules);
    };
    if rest.len() < 2 {
        return Err(ExprError::TooShort);
    }
    let nodes = nodes(rest, depth)?;
    Ok(match logic {
        Logic::And { negated } => Node::All { nodes, negated },
        Logic::Or { negated } => Node::Any { nodes, negated },
    })
}

fn nodes(rules: &[Json], depth: usize) -> Result<Vec<Node>, ExprError> {
    rules.iter().map(|rule| node(rule, depth + 1)).collect()
}

enum Logic {
    And { negated: bool },
    Or { negated: bool },
}

impl Logic {
    fn parse(word: &Json) -> Option<Self> {
        match word.as_str()?.to_ascii_uppercase().as_str() {
            "AND" => Some(Self::And { negated: false }),
            "!AND" => Some(Self::And { negated: true }),
            "OR" => Some(Self::Or { negated: false }),
            "!OR" => Some(Self::Or { negated: true }),
            _ => None,
        }
    }
}

/// `[var, op, value]`, `[var, "!", op, value]` or `[var, value]`.
fn test(rule: &[Json]) -> Result<Node, ExprError> {
    let (left, operator, right, negated) = match rule {
        [left, not, operator, right] => {
            if not.as_str() != Some("!") {
                return Err(ExprError::BadNot);
            }
            (left, operator, Some(right), true)
        }
        [left, operator] => (left, operator, None, false),
        [left, operator, right, ..] => (left, operator, Some(right), false),
        _ => return Err(ExprError::Invalid),
    };
    let name = left.as_str().ok_or(ExprError::Invalid)?;
    let word = operator_word(operator)?;
    let test = match (Operator::parse(&word), right) {
        (Some(operator), right) => operator.compile(right.unwrap_or(&Json::Null))?,
        // The value has been through the lower-casing of operators, there as here.
        (None, None) => Test::Equal(Operand::Text(word.into_bytes())),
        (None, Some(_)) => return Err(ExprError::UnknownOperator(word)),
    };
    Ok(Node::Test { name: VarName::parse(name), test, negated })
}

fn operator_word(operator: &Json) -> Result<String, ExprError> {
    match operator {
        Json::String(word) => Ok(word.to_ascii_lowercase()),
        Json::Number(number) => Ok(number_text(number)),
        _ => Err(ExprError::Invalid),
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Matches(Case),
    In,
    Has,
    IpMatch,
}

impl Operator {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "==" => Self::Equal,
            "~=" => Self::NotEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            "~~" => Self::Matches(Case::Sensitive),
            "~*" => Self::Matches(Case::Insensitive),
            "in" => Self::In,
            "has" => Self::Has,
            "ipmatch" => Self::IpMatch,
            _ => return None,
        })
    }

    fn compile(self, right: &Json) -> Result<Test, ExprError> {
        Ok(match self {
            Self::Equal => Test::Equal(operand(right)),
            Self::NotEqual => Test::NotEqual(operand(right)),
            Self::Greater => Test::Greater(number(right)),
            Self::GreaterOrEqual => Test::GreaterOrEqual(number(right)),
            Self::Less => Test::Less(number(right)),
            Self::LessOrEqual => Test::LessOrEqual(number(right)),
            Self::Matches(case) => {
                let pattern = match right {
                    Json::String(pattern) => pattern.clone(),
                    Json::Number(number) => number_text(number),
                    _ => return Err(ExprError::Invalid),
                };
                Test::Matches(Pattern::compile(&pattern, case)?)
            }
            // An element `null` is equal to nothing, unlike a right side `null`.
            Self::In => Test::In(match right {
                Json::Array(items) => items.iter().filter(|item| !item.is_null()).map(operand).collect(),
                _ => Vec::new(),
            }),
            Self::Has => Test::Has(match operand(right) {
                Operand::Null => Operand::Structure,
                right => right,
            }),
            Self::IpMatch => Test::Address(addresses(right)?),
        })
    }
}

fn operand(right: &Json) -> Operand {
    match right {
        Json::Null => Operand::Null,
        Json::Bool(truth) => Operand::Bool(*truth),
        Json::Number(number) => number.as_f64().map_or(Operand::Structure, Operand::Number),
        Json::String(text) => Operand::Text(text.clone().into_bytes()),
        Json::Array(_) | Json::Object(_) => Operand::Structure,
    }
}

fn number(right: &Json) -> Option<f64> {
    match right {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => parse_number(text.as_bytes()),
        _ => None,
    }
}

fn number_text(number: &serde_json::Number) -> String {
    let mut text = Vec::new();
    write_number(number.as_f64().unwrap_or_default(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn addresses(right: &Json) -> Result<Vec<IpNet>, ExprError> {
    let items = match right {
        Json::Array(items) => items.as_slice(),
        item => std::slice::from_ref(item),
    };
    if items.is_empty() {
        return Err(ExprError::InvalidAddress(None));
    }
    items
        .iter()
        .map(|item| match item.as_str() {
            None | Some("") => Err(ExprError::InvalidAddress(None)),
            Some(text) => parse_net(text).ok_or_else(|| ExprError::InvalidAddress(Some(text.to_owned()))),
        })
        .collect()
}

fn parse_net(text: &str) -> Option<IpNet> {
    match text.parse::<std::net::IpAddr>() {
        Ok(address) => Some(address.into()),
        Err(_) => text.parse().ok(),
    }
}

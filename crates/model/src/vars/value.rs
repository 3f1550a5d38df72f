//! What a variable evaluates to.

use std::borrow::Cow;
use std::io::Write as _;

use super::VarName;
use super::number::{parse_number, write_number};

/// The value of a variable for one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// The variable does not exist here; Lua's `nil`.
    #[default]
    Absent,
    /// Text, as almost every variable is.
    Str(Cow<'a, [u8]>),
    /// A number, from a JSON body.
    Num(f64),
    /// A boolean, from a JSON body.
    Bool(bool),
    /// Several values: `graphql_root_fields`, a list of a body.
    List(Vec<Value<'a>>),
}

/// Gives the variables of one request.
pub trait Lookup {
    /// The value of `name`, [`Value::Absent`] when the request has none.
    fn var(&self, name: &VarName) -> Value<'_>;

    /// Whether there may be a value that cannot be known, because the body that it is in was too much to look into.
    fn is_hidden(&self, _name: &VarName) -> bool {
        false
    }
}

impl<'a> Value<'a> {
    /// Borrowed text.
    pub const fn text(text: &'a str) -> Self {
        Self::Str(Cow::Borrowed(text.as_bytes()))
    }

    /// Borrowed bytes.
    pub const fn bytes(bytes: &'a [u8]) -> Self {
        Self::Str(Cow::Borrowed(bytes))
    }

    /// Whether the variable does not exist.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value as a number, with Lua's `tonumber`.
    pub fn to_number(&self) -> Option<f64> {
        match self {
            Self::Num(number) => Some(*number),
            Self::Str(text) => parse_number(text),
            Self::Absent | Self::Bool(_) | Self::List(_) => None,
        }
    }

    /// Appends the value as text; nothing for an absent one, a list separated by commas.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent => {}
            Self::Str(text) => out.extend_from_slice(text),
            Self::Num(number) => write_number(*number, out),
            // Writing to a Vec cannot fail.
            Self::Bool(truth) => drop(write!(out, "{truth}")),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write_to(out);
                }
            }
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::bytes(bytes)
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Str(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Str(Cow::Owned(bytes))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

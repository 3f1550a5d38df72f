use model::vars::{Lookup as _, Template, Value, VarName};
use plugin::Ctx;
use serde::Deserialize;
use smallvec::SmallVec;

/// How a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyType {
    Var,
    VarCombination,
    Constant,
}

/// A key's text; usual ones need no allocation.
pub(crate) type Bytes = SmallVec<[u8; 64]>;

/// What requests are counted by.
#[derive(Debug)]
pub(crate) enum Key {
    Constant(String),
    Variable(VarName),
    /// Variables in a text; `is_optional` when the rule does not apply without them.
    Combination {
        template: Template,
        is_optional: bool,
    },
}

impl Key {
    pub(crate) fn compile(key: String, key_type: KeyType) -> Self {
        match key_type {
            KeyType::Var => Self::Variable(VarName::parse(&key)),
            KeyType::VarCombination => Self::Combination { template: Template::compile(&key), is_optional: false },
            KeyType::Constant => Self::Constant(key),
        }
    }

    /// The key of one of several rules.
    pub(crate) fn of_rule(key: &str) -> Self {
        Self::Combination { template: Template::compile(key), is_optional: true }
    }

    /// The variables in it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &VarName> {
        let (one, many) = match self {
            Self::Constant(_) => (None, None),
            Self::Variable(name) => (Some(name), None),
            Self::Combination { template, .. } => (None, Some(template.names())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The key of a request, where it is not optional.
    pub(crate) fn resolve_or_address(&self, cx: &Ctx) -> Bytes {
        self.resolve(cx).unwrap_or_else(|| address(cx))
    }

    /// The key of a request. Without a value it is the client's address, or nothing where the rule does not apply then.
    pub(crate) fn resolve(&self, cx: &Ctx) -> Option<Bytes> {
        match self {
            Self::Constant(text) => Some(Bytes::from_slice(text.as_bytes())),
            Self::Variable(VarName::RemoteAddr) => Some(address(cx)),
            Self::Variable(name) => Some(match cx.var(name) {
                Value::Absent => address(cx),
                Value::Str(text) => Bytes::from_slice(&text),
                value => {
                    let mut text = Vec::new();
                    value.write_to(&mut text);
                    text.into()
                }
            }),
            Self::Combination { template, is_optional } => {
                let mut text = Vec::with_capacity(64);
                match template.render(cx, &mut text) {
                    0 if *is_optional => None,
                    0 => Some(address(cx)),
                    _ => Some(text.into()),
                }
            }
        }
    }
}

fn address(cx: &Ctx) -> Bytes {
    Bytes::from_slice(&wire::Text::address(cx.client.ip()))
}

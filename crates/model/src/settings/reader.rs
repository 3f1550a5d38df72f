//! Typed access to the written tree, remembering what was asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::SettingsError;
use super::notice::{Notice, Severity};
use super::unhonoured::{UNHONOURED, Unhonoured};
use super::units::FromSetting;

/// Reads keys by their dotted path; `null` counts as not written, as it does in APISIX.
pub(super) struct Reader<'a> {
    root: &'a Value,
    taken: RefCell<BTreeMap<&'static str, Form>>,
}

/// How the value of a key is written, as far as it is known.
#[derive(Clone, Copy, Default)]
pub(super) struct Form {
    /// In words.
    pub(super) expected: &'static str,
    /// Types of JSON; any when there are none.
    pub(super) types: &'static [&'static str],
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, taken: RefCell::default() }
    }

    /// The value at `path`, which is honoured from now on.
    pub(super) fn take<T: FromSetting>(&self, path: &'static str) -> Result<Option<T>, SettingsError> {
        self.taken.borrow_mut().insert(path, Form { expected: T::EXPECTED, types: T::TYPES });
        self.peek(path)?
            .map(|value| T::read(value).ok_or_else(|| SettingsError::wrong(path, T::EXPECTED, value)))
            .transpose()
    }

    /// Like [`Reader::take`], not yet understood.
    pub(super) fn raw(&self, path: &'static str) -> Result<Option<&'a Value>, SettingsError> {
        self.taken.borrow_mut().entry(path).or_default();
        self.peek(path)
    }

    /// Like [`Reader::raw`], for a key that has a meaning elsewhere, too: this does not make it an honoured one.
    pub(super) fn peek(&self, path: &'static str) -> Result<Option<&'a Value>, SettingsError> {
        let mut at = self.root;
        for (depth, segment) in path.split('.').enumerate() {
            let map = match at {
                Value::Object(map) => map,
                Value::Null => return Ok(None),
                other => {
                    let parent: Vec<_> = path.split('.').take(depth).collect();
                    return Err(SettingsError::wrong(parent.join("."), "a mapping", other));
                }
            };
            match map.get(segment) {
                None | Some(Value::Null) => return Ok(None),
                Some(value) => at = value,
            }
        }
        Ok(Some(at))
    }

    /// Every key that was asked for, and how it is written.
    pub(super) fn into_taken(self) -> BTreeMap<&'static str, Form> {
        self.taken.into_inner()
    }

    /// A notice for each written key that nobody asked for.
    pub(super) fn leftovers(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.walk(self.root, String::new(), &mut notices);
        notices
    }

    fn walk(&self, value: &Value, path: String, notices: &mut Vec<Notice>) {
        if value.is_null() || self.taken.borrow().contains_key(path.as_str()) {
            return;
        }
        if let Some(known) = UNHONOURED.iter().find(|known| known.path == path) {
            if !known.is_restated_by(value) {
                notices.push(known.notice());
            }
            return;
        }
        match value {
            Value::Object(map) if self.is_section(&path) => {
                for (key, item) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.walk(item, path, notices);
                }
            }
            _ => notices.push(unknown(path)),
        }
    }

    /// Whether keys below `path` are known.
    fn is_section(&self, path: &str) -> bool {
        let is_below =
            |known: &str| known.strip_prefix(path).is_some_and(|rest| path.is_empty() || rest.starts_with('.'));
        self.taken.borrow().keys().any(|taken| is_below(taken))
            || UNHONOURED.iter().any(|known: &Unhonoured| is_below(known.path))
    }
}

/// Our own section is strict; APISIX's holds keys of other versions.
fn unknown(path: String) -> Notice {
    let severity = if path.starts_with("portcullis.") { Severity::Refuse } else { Severity::Ignored };
    Notice { path, message: "unknown setting".to_owned(), severity }
}

//! Where a redirection leads to.

use crate::escape::escape_path;
use model::{
    pattern::{Case, Pattern, ReplaceError, Replacement, Scope},
    vars::{Lookup, VarName},
};
use plugin::BuildError;

/// Longest `Location` that a pattern may make.
const LOCATION_MAX: usize = 64 << 10;

/// What makes the new URI.
#[derive(Debug)]
pub(super) enum Target {
    /// `uri`
    Text(Text),
    /// `regex_uri`
    Pattern { pattern: Pattern, replacement: Replacement },
}

/// A text with `$name` and `${name}` in it. Not the template that other plugins have: a name has no dots, `${}` takes no default,
/// and a backslash that is not before a variable is lost.
#[derive(Debug)]
pub(super) struct Text(Vec<Part>);

#[derive(Debug)]
enum Part {
    Literal(String),
    Variable(VarName),
}

impl Target {
    pub(super) fn of_patterns(pair: &[String]) -> Result<Self, BuildError> {
        let [pattern, replacement] = pair else {
            return Err("regex_uri is a pattern and a replacement".to_owned().into());
        };
        let refuse = |reason: &str| BuildError(format!("invalid regex_uri ({pattern}, {replacement}), err:{reason}"));
        Ok(Self::Pattern {
            pattern: Pattern::compile(pattern, Case::Sensitive).map_err(|error| refuse(&error.reason))?,
            replacement: Replacement::compile(replacement).map_err(refuse)?,
        })
    }

    /// The new URI; `None` where the pattern does not match.
    pub(super) fn render(&self, path: &[u8], lookup: &dyn Lookup) -> Result<Option<Vec<u8>>, ReplaceError> {
        match self {
            Self::Text(text) => Ok(Some(text.render(lookup))),
            Self::Pattern { pattern, replacement } => pattern.replace(path, replacement, Scope::Once, LOCATION_MAX),
        }
    }
}

impl Text {
    pub(super) fn compile(text: &str) -> Self {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['$', '\\']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            let is_escaped = from.starts_with('\\');
            let behind = from.get(1..).unwrap_or_default();
            if is_escaped {
                rest = behind;
                if let Some((name, after)) = behind.strip_prefix('$').and_then(split_name) {
                    literal.push_str("\\$");
                    literal.push_str(name);
                    rest = after;
                }
                continue;
            }
            let inside = behind.strip_prefix('{');
            let found = match inside {
                Some(inside) => split_name(inside).and_then(|(name, after)| Some((name, after.strip_prefix('}')?))),
                None => split_name(behind),
            };
            match found {
                Some((name, after)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Variable(VarName::parse(name)));
                    rest = after;
                }
                None => {
                    literal.push('$');
                    rest = behind;
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self(parts)
    }

    fn render(&self, lookup: &dyn Lookup) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(name) => lookup.var(name).write_to(&mut out),
            }
        }
        out
    }
}

fn split_name(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_alphanumeric() && b != b'_').unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Encodes the path of a new URI, and appends a query.
pub(super) fn finish(uri: Vec<u8>, is_encoded: bool, query: Option<&[u8]>) -> Vec<u8> {
    let at = uri.iter().position(|&b| b == b'?');
    let mut out = if is_encoded {
        let (path, own_query) = uri.split_at(at.unwrap_or(uri.len()));
        [&escape_path(path), own_query].concat()
    } else {
        uri
    };
    if let Some(query) = query {
        out.push(if at.is_some() { b'&' } else { b'?' });
        out.extend_from_slice(query);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::vars::Value;

    struct Vars;

    impl Lookup for Vars {
        fn var(&self, name: &VarName) -> Value<'_> {
            match name {
                VarName::Uri => Value::text("/hello"),
                VarName::Host => Value::text("h"),
                _ => Value::Absent,
            }
        }
    }

    #[test]
    fn texts_have_variables() {
        for (text, expected) in [
            ("/new", "/new"),
            ("$uri/x", "/hello/x"),
            ("$uri.html", "/hello.html"),
            ("https://${host}$uri", "https://h/hello"),
            ("/foo$$uri", "/foo$/hello"),
            ("\\$uri/foo$uri", "\\$uri/foo/hello"),
            ("a\\b", "ab"),
            ("\\${uri}", "/hello"),
            ("/$arg_none/x", "//x"),
            ("${uri", "${uri"),
            ("${uri ?? d}", "${uri ?? d}"),
            ("x$", "x$"),
        ] {
            assert_eq!(Text::compile(text).render(&Vars), expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn paths_are_encoded_and_queries_appended() {
        for (uri, is_encoded, query, expected) in [
            ("/a b", false, None, "/a b"),
            ("http://a/b c?d=e f", true, None, "http://a/b%20c?d=e f"),
            ("/a", false, Some("b=c"), "/a?b=c"),
            ("/a?x=1", true, Some("b=c"), "/a?x=1&b=c"),
        ] {
            let finished = finish(uri.as_bytes().to_vec(), is_encoded, query.map(str::as_bytes));
            assert_eq!(finished, expected.as_bytes(), "{uri}");
        }
    }
}

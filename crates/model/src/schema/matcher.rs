//! Regular expressions of schemas, which are written for PCRE without UTF mode.

use super::lua;

/// A search took too many steps: neither that it finds something nor that it does not is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GivenUp;

/// A compiled pattern and the text it was written as.
#[derive(Debug)]
pub(super) struct Matcher {
    source: String,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    /// Linear time, on bytes: what almost every pattern needs.
    Linear(regex::bytes::Regex),
    /// Look-around and back references; bounded by the engine's backtracking limit.
    Backtracking(Box<fancy_regex::Regex>),
}

impl Matcher {
    pub(super) fn new(source: &str) -> Result<Matcher, String> {
        let text = translate(source);
        let bytes = |unicode: bool| regex::bytes::RegexBuilder::new(&text).unicode(unicode).build();
        let engine = match bytes(false).or_else(|_| bytes(true)) {
            Ok(regex) => Engine::Linear(regex),
            Err(_) => match fancy_regex::Regex::new(&text) {
                Ok(regex) => Engine::Backtracking(Box::new(regex)),
                Err(error) => return Err(error.to_string()),
            },
        };
        Ok(Matcher { source: source.to_owned(), engine })
    }

    /// Whether the pattern is found anywhere in `text`.
    pub(super) fn is_match(&self, text: &str) -> Result<bool, GivenUp> {
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.is_match(text.as_bytes())),
            Engine::Backtracking(regex) => regex.is_match(text).map_err(|_| GivenUp),
        }
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// APISIX's complaint about a string that does not match.
    pub(super) fn complaint(&self, text: &str) -> String {
        format!("failed to match pattern {} with {}", lua::quote(&self.source), lua::quote(text))
    }
}

/// Escapes what PCRE takes literally and Rust's engine does not: `[`, `&&`, `--` and `~~` inside a class, `{` that
/// starts no quantifier, and `\<` `\>`.
fn translate(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    // In a class: whether nothing but `^` was seen since its `[`.
    let mut class: Option<bool> = None;
    while let Some(c) = chars.next() {
        match (c, class) {
            ('\\', _) => {
                match chars.next() {
                    Some(escaped @ ('<' | '>')) => text.push(escaped),
                    Some(escaped) => text.extend(['\\', escaped]),
                    None => text.push('\\'),
                }
                class = class.map(|_| false);
            }
            ('[', None) => {
                text.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    text.push('^');
                }
                class = Some(true);
            }
            (']', Some(false)) => {
                text.push(']');
                class = None;
            }
            ('[', Some(_)) => {
                text.push_str(if chars.peek() == Some(&':') { "[" } else { "\\[" });
                if chars.next_if_eq(&':').is_some() {
                    text.push(':');
                    for c in chars.by_ref() {
                        text.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
                class = Some(false);
            }
            ('&' | '~', Some(_)) => {
                text.extend(['\\', c]);
                class = Some(false);
            }
            ('-', Some(_)) if chars.peek() == Some(&'-') => {
                text.push_str("\\-");
                class = Some(false);
            }
            ('{', None) => {
                let rest: String = chars.clone().take_while(|c| *c != '}').take(16).collect();
                let quantifier = rest.starts_with(|c: char| c.is_ascii_digit())
                    && rest.chars().all(|c| c.is_ascii_digit() || c == ',');
                text.push_str(if quantifier { "{" } else { "\\{" });
            }
            (c, state) => {
                text.push(c);
                class = state.map(|_| false);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_pcre() {
        let rows = [
            ("^[a-zA-Z0-9-_.]+$", "a-b_c.9", true),
            (r"^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$", "[::1]:80", true),
            (r"^[^\/]+:\/\/([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?", "http://[::1]:80", true),
            ("^[[a]+$", "[a[", true),
            ("^[]a]+$", "]a", true),
            ("^[[:alpha:]_]+$", "ab_", true),
            ("^[a&&b]+$", "&a", true),
            ("^{x}$", "{x}", true),
            ("^a{2,3}$", "aaa", true),
            (r"^\d+$", "٣", false),
            ("^(?!x)a", "a", true),
            (r"^\<a\>$", "<a>", true),
            ("^é$", "é", true),
        ];
        for (pattern, text, expected) in rows {
            let matcher = Matcher::new(pattern).expect(pattern);
            assert_eq!(matcher.is_match(text), Ok(expected), "{pattern} {text}");
        }
        assert!(Matcher::new("(").is_err());
    }
}

//! A scenario as written. Nothing that is not known is accepted: a misspelt expectation would be one that nobody checks.

use indexmap::IndexMap;
use model::{differences::Profile, yaml};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The cases of one plugin.
#[derive(Debug)]
pub struct CaseFile {
    /// Where they were read.
    pub path: PathBuf,
    /// The plugin, by its folder.
    pub plugin: String,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// One scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in words.
    pub desc: String,
    /// The one profile that it is for; both when it says nothing.
    #[serde(default)]
    pub profile: Option<ProfileName>,
    /// The plugin's configuration.
    pub config: Value,
    /// Whether the documents are accepted.
    pub valid: bool,
    /// A part of the message, when they are not.
    #[serde(default)]
    pub error: Option<String>,
    /// Plugins on the same route.
    #[serde(default)]
    pub other_plugins: Map<String, Value>,
    /// Consumers, as documents.
    #[serde(default)]
    pub consumers: Vec<Value>,
    /// Further documents by their paths, such as `consumers/jack/credentials/one`; stored after the consumers.
    #[serde(default)]
    pub documents: IndexMap<String, Value>,
    /// The plugin's metadata.
    #[serde(default)]
    pub metadata: Option<Value>,
    /// Further fields of the route.
    #[serde(default)]
    pub route: Map<String, Value>,
    /// What the upstream answers; 200 with `ok` and a line's end when it says nothing.
    #[serde(default)]
    pub upstream: Upstream,
    /// Requests, one after the other.
    #[serde(default)]
    pub requests: Vec<Request>,
}

/// A profile by its name in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileName {
    /// Every difference in force.
    Secure,
    /// As APISIX.
    Apisix,
}

impl ProfileName {
    /// Whether it means this one.
    pub fn is(self, profile: Profile) -> bool {
        matches!((self, profile), (Self::Secure, Profile::Secure) | (Self::Apisix, Profile::Apisix))
    }
}

/// The upstream's answer to every request of a case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// Status.
    pub status: u16,
    /// Header fields; those that frame the message come by themselves.
    pub headers: IndexMap<String, String>,
    /// Body.
    pub body: String,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { status: 200, headers: IndexMap::new(), body: "ok\n".to_owned() }
    }
}

/// A request and what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Target, as it stands in the request line.
    pub uri: String,
    /// Header fields that are sent; a list is sent as several.
    #[serde(default)]
    pub headers: IndexMap<String, Sent>,
    /// The body that is sent.
    #[serde(default)]
    pub request_body: Option<String>,
    /// How often it is sent; all answers are alike.
    #[serde(default = "once")]
    pub repeat: usize,
    /// Status of the answer.
    pub status: u16,
    /// Header fields of the answer.
    #[serde(default)]
    pub response_headers: IndexMap<String, Expected>,
    /// The whole body of the answer.
    #[serde(default)]
    pub body: Option<String>,
    /// A pattern that the body of the answer has in it.
    #[serde(default)]
    pub body_like: Option<String>,
    /// A pattern that the body of the answer does not have in it.
    #[serde(default)]
    pub body_unlike: Option<String>,
    /// Whether the request came to the upstream; what is expected of it there says so, too.
    #[serde(default)]
    pub reaches_upstream: Option<bool>,
    /// Method with which it came to the upstream.
    #[serde(default)]
    pub upstream_method: Option<String>,
    /// Target with which it came to the upstream.
    #[serde(default)]
    pub upstream_uri: Option<String>,
    /// Header fields with which it came to the upstream.
    #[serde(default)]
    pub upstream_headers: IndexMap<String, Expected>,
    /// Body with which it came to the upstream.
    #[serde(default)]
    pub upstream_body: Option<String>,
}

fn once() -> usize {
    1
}

/// A header field that is sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Sent {
    /// Once.
    One(String),
    /// Several times.
    Several(Vec<String>),
}

impl Sent {
    /// The values, in order.
    pub fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

/// What is expected of a header field.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Expected {
    /// It is there once, with this value.
    One(String),
    /// It is there so many times, with these values.
    Several(Vec<String>),
    /// It is there once, with a value that has this pattern in it.
    Like {
        /// The pattern.
        like: String,
    },
    /// It is not there.
    Absent(()),
}

/// A file that is no list of cases.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct BadFile {
    path: PathBuf,
    reason: String,
}

impl CaseFile {
    /// Reads a plugin's cases.
    ///
    /// # Errors
    /// The file cannot be read, or says something that nobody would check.
    pub fn read(path: &Path) -> Result<Self, BadFile> {
        let bad = |reason: String| BadFile { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        let cases = parse(&text).map_err(bad)?;
        Ok(Self { path: path.to_owned(), plugin: folder.to_string_lossy().replace('_', "-"), cases })
    }
}

fn parse(text: &str) -> Result<Vec<Case>, String> {
    let value = yaml::parse(text).map_err(|error| error.to_string())?;
    let cases: Vec<Case> = serde_path_to_error::deserialize(value).map_err(|error| error.to_string())?;
    for case in &cases {
        case.refuse_what_is_not_checked().map_err(|reason| format!("\"{}\": {reason}", case.desc))?;
    }
    Ok(cases)
}

impl Case {
    fn refuse_what_is_not_checked(&self) -> Result<(), &'static str> {
        match (self.valid, &self.error) {
            (true, Some(_)) => return Err("a valid case has no error"),
            (false, None) => return Err("a case that is not valid says its error"),
            (false, Some(error)) if error.is_empty() => return Err("an empty error is in every message"),
            (false, Some(_)) if !self.requests.is_empty() => return Err("nobody sends requests to what is not stored"),
            (true, None) if self.requests.is_empty() => return Err("a valid case has requests"),
            _ => {}
        }
        for request in &self.requests {
            if request.repeat == 0 {
                return Err("a request that is repeated no time is never sent");
            }
            if request.reaches_upstream == Some(false) && request.describes_upstream() {
                return Err("a request that does not reach the upstream has nothing to show there");
            }
        }
        Ok(())
    }
}

impl Request {
    /// The header fields that are sent, with those that every request has.
    pub fn lines(&self) -> Vec<(&str, String)> {
        let mut lines = Vec::new();
        if !self.headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
            lines.push(("Host", "localhost".to_owned()));
        }
        for (name, sent) in &self.headers {
            lines.extend(sent.values().iter().map(|value| (name.as_str(), value.clone())));
        }
        if let Some(body) = &self.request_body {
            lines.push(("Content-Length", body.len().to_string()));
        }
        lines
    }

    /// Whether something is expected of it at the upstream.
    pub fn describes_upstream(&self) -> bool {
        self.upstream_method.is_some()
            || self.upstream_uri.is_some()
            || self.upstream_body.is_some()
            || !self.upstream_headers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_would_check_is_refused() {
        let row = |fields: &str| format!("- {{ desc: d, config: {{}}, {fields} }}");
        for (desc, text, reason) in [
            ("no list", "desc: d".to_owned(), "invalid type: map"),
            ("misspelt field", row("valid: true, request: []"), "unknown field `request`"),
            (
                "misspelt expectation",
                row("valid: true, requests: [{ method: GET, uri: /, status: 200, statsu: 1 }]"),
                "unknown field `statsu`",
            ),
            (
                "misspelt pattern",
                row(
                    "valid: true, requests: [{ method: GET, uri: /, status: 200, response_headers: { A: { lik: x } } }]",
                ),
                "response_headers.A",
            ),
            ("no status", row("valid: true, requests: [{ method: GET, uri: / }]"), "missing field `status`"),
            ("no error", row("valid: false"), "\"d\": a case that is not valid says its error"),
            ("empty error", row("valid: false, error: ''"), "an empty error"),
            ("error of a valid one", row("valid: true, error: e"), "a valid case has no error"),
            ("no requests", row("valid: true"), "a valid case has requests"),
            (
                "requests to nothing",
                row("valid: false, error: e, requests: [{ method: GET, uri: /, status: 200 }]"),
                "nobody sends",
            ),
            (
                "never sent",
                row("valid: true, requests: [{ method: GET, uri: /, status: 200, repeat: 0 }]"),
                "never sent",
            ),
            (
                "seen where it is not",
                row(
                    "valid: true, requests: [{ method: GET, uri: /, status: 200, reaches_upstream: false, upstream_uri: / }]",
                ),
                "does not reach",
            ),
        ] {
            let error = parse(&text).expect_err(desc);
            assert!(error.contains(reason), "{desc}: {error}");
        }
    }
}

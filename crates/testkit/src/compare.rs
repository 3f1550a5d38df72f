//! What is expected against what came.

use crate::case::{Expected, Request};
use indexmap::IndexMap;
use model::pattern::{Case as Letters, Pattern};
use std::fmt::Write;

/// What the client was sent.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Header fields.
    pub fields: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// What the upstream was sent.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Target.
    pub target: String,
    /// Header fields.
    pub fields: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// Everything that differs, a line each.
pub(crate) fn differences(request: &Request, answer: &Answer, seen: &[Seen]) -> String {
    let mut wrong = Wrong(String::new());
    if request.status != answer.status {
        wrong.say("status", &request.status, &format_args!("{} with {:?}", answer.status, text(&answer.body)));
    }
    wrong.fields("response_headers", &request.response_headers, &answer.fields);
    if let Some(body) = &request.body
        && body.as_bytes() != answer.body
    {
        wrong.say("body", body, &text(&answer.body));
    }
    if let Some(pattern) = &request.body_like
        && !has(pattern, &answer.body)
    {
        wrong.say("body_like", pattern, &text(&answer.body));
    }
    if let Some(pattern) = &request.body_unlike
        && has(pattern, &answer.body)
    {
        wrong.say("body_unlike", pattern, &text(&answer.body));
    }
    if seen.len() > 1 {
        wrong.say("requests at the upstream", &"one at most", &seen.len());
    }
    let seen = seen.first();
    if let Some(expected) = request.reaches_upstream
        && expected != seen.is_some()
    {
        wrong.say("reaches_upstream", &expected, &seen.is_some());
    }
    match seen {
        Some(seen) => {
            if let Some(method) = &request.upstream_method
                && *method != seen.method
            {
                wrong.say("upstream_method", method, &seen.method);
            }
            if let Some(target) = &request.upstream_uri
                && *target != seen.target
            {
                wrong.say("upstream_uri", target, &seen.target);
            }
            if let Some(body) = &request.upstream_body
                && body.as_bytes() != seen.body
            {
                wrong.say("upstream_body", body, &text(&seen.body));
            }
            wrong.fields("upstream_headers", &request.upstream_headers, &seen.fields);
        }
        None if request.describes_upstream() => wrong.say("upstream", &"the request", &"nothing"),
        None => {}
    }
    wrong.0
}

struct Wrong(String);

impl Wrong {
    fn say(&mut self, what: &str, expected: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "\n    {what}: expected {expected:?}, got {got:?}");
    }

    fn fields(&mut self, what: &str, expected: &IndexMap<String, Expected>, got: &[(String, String)]) {
        for (name, expected) in expected {
            let values: Vec<&str> =
                got.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect();
            let fits = match (expected, values.as_slice()) {
                (Expected::Absent(()), []) => true,
                (Expected::One(expected), [value]) => expected == value,
                (Expected::Like { like }, [value]) => has(like, value.as_bytes()),
                (Expected::Several(expected), values) => expected == values,
                _ => false,
            };
            if !fits {
                self.say(&format!("{what}.{name}"), expected, &values);
            }
        }
    }
}

/// A body as text, as much of it as somebody reads.
fn text(body: &[u8]) -> String {
    const SHOWN: usize = 2000;
    let mut text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
    if body.len() > SHOWN {
        text.push_str(" ...");
    }
    text
}

fn has(pattern: &str, text: &[u8]) -> bool {
    let compiled = Pattern::compile(pattern, Letters::Sensitive).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    compiled.is_match(text).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn compare(expected: &Value) -> String {
        let mut request = json!({ "method": "GET", "uri": "/", "status": 200 });
        request.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        let request: Request = serde_json::from_value(request).unwrap();
        let fields = |list: &[(&str, &str)]| list.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        let answer =
            Answer { status: 200, fields: fields(&[("A", "1"), ("B", "2"), ("b", "3")]), body: b"text".to_vec() };
        let seen = Seen {
            method: "GET".to_owned(),
            target: "/x".to_owned(),
            fields: fields(&[("C", "4")]),
            body: b"sent".to_vec(),
        };
        differences(&request, &answer, &[seen])
    }

    #[test]
    fn what_fits_is_silent_and_what_does_not_is_named() {
        for (fits, differs, named) in [
            (json!({}), json!({ "status": 201 }), "status"),
            (json!({ "body": "text" }), json!({ "body": "tex" }), "body"),
            (json!({ "body_like": "^te" }), json!({ "body_like": "^ex" }), "body_like"),
            (json!({ "body_unlike": "no" }), json!({ "body_unlike": "t$" }), "body_unlike"),
            (
                json!({ "response_headers": { "a": "1" } }),
                json!({ "response_headers": { "a": "2" } }),
                "response_headers.a",
            ),
            (
                json!({ "response_headers": { "Z": null } }),
                json!({ "response_headers": { "A": null } }),
                "response_headers.A",
            ),
            (
                json!({ "response_headers": { "B": ["2", "3"] } }),
                json!({ "response_headers": { "B": "2" } }),
                "response_headers.B",
            ),
            (
                json!({ "response_headers": { "A": { "like": "^[0-9]$" } } }),
                json!({ "response_headers": { "A": { "like": "[a-z]" } } }),
                "response_headers.A",
            ),
            (json!({ "reaches_upstream": true }), json!({ "reaches_upstream": false }), "reaches_upstream"),
            (json!({ "upstream_method": "GET" }), json!({ "upstream_method": "PUT" }), "upstream_method"),
            (json!({ "upstream_uri": "/x" }), json!({ "upstream_uri": "/" }), "upstream_uri"),
            (json!({ "upstream_body": "sent" }), json!({ "upstream_body": "" }), "upstream_body"),
            (
                json!({ "upstream_headers": { "C": "4" } }),
                json!({ "upstream_headers": { "C": null } }),
                "upstream_headers.C",
            ),
        ] {
            assert_eq!(compare(&fits), "", "{fits}");
            let said = compare(&differs);
            assert!(
                said.starts_with(&format!("\n    {named}: expected")) && said.lines().count() == 2,
                "{differs}: {said}"
            );
        }
    }
}

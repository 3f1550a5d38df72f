//! The official test suite of JSON Schema, as it was on 2026-08-22: every verdict is the suite's, or the schema is refused when it is
//! written, for a reason that is named here.

use super::*;
use serde_json::json;

#[derive(serde::Deserialize)]
struct Group {
    file: String,
    description: String,
    schema: Value,
    /// What, data, and whether it is valid.
    tests: Vec<(String, Value, bool)>,
}

/// Wrong verdicts, and the groups whose schema is refused with why.
fn play(text: &str, draft: Option<&str>) -> (Vec<String>, Vec<(String, String)>) {
    let groups: Vec<Group> = serde_json::from_str(text).unwrap();
    let (mut wrong, mut refused) = (Vec::new(), Vec::new());
    for Group { file, description, mut schema, tests } in groups {
        if let (Value::Object(fields), Some(draft)) = (&mut schema, draft)
            && !fields.contains_key("$schema")
        {
            fields.shift_insert(0, "$schema".to_owned(), json!(draft));
        }
        let at = format!("{file}: {description}");
        let compiled = match UserSchema::compile("", &schema) {
            Ok(compiled) => compiled,
            Err(error) => {
                refused.push((at, error.to_string()));
                continue;
            }
        };
        for (what, data, is_valid) in tests {
            if compiled.check(&mut data.clone(), data.to_string().len()).is_ok() != is_valid {
                wrong.push(format!("{at}: {what}"));
            }
        }
    }
    (wrong, refused)
}

/// Why a schema may be refused when it is written.
const REASONS: [&str; 6] = [
    // A document that a request would have to wait for.
    "is not present in a registry",
    "and nothing is fetched",
    "Unknown format: 'idn-",
    "Unknown format: 'unknown'",
    "is no draft that is known",
    "is not checked before draft",
];

fn check(text: &str, draft: Option<&str>, refused_at_most: usize) {
    let (wrong, refused) = play(text, draft);
    // Formats are checked here in every draft, where newer ones leave that open.
    let wrong: Vec<_> = wrong.into_iter().filter(|at| !at.ends_with("is only an annotation by default")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unexplained: Vec<_> =
        refused.iter().filter(|(_, reason)| !REASONS.iter().any(|known| reason.contains(known))).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert!(refused.len() <= refused_at_most, "{refused:#?}");
}

#[test]
fn draft_4() {
    let text = include_str!("../../suites/json-schema-draft4.json");
    check(text, Some("http://json-schema.org/draft-04/schema#"), 10);
}

#[test]
fn draft_6() {
    let text = include_str!("../../suites/json-schema-draft6.json");
    check(text, Some("http://json-schema.org/draft-06/schema#"), 13);
}

#[test]
fn draft_7() {
    let text = include_str!("../../suites/json-schema-draft7.json");
    check(text, Some("http://json-schema.org/draft-07/schema#"), 18);
}

#[test]
fn draft_2019_09() {
    check(include_str!("../../suites/json-schema-draft2019-09.json"), None, 23);
}

#[test]
fn draft_2020_12() {
    check(include_str!("../../suites/json-schema-draft2020-12.json"), None, 28);
}

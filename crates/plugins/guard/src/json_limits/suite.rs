//! The texts of the JSON Parsing Test Suite (Nicolas Seriot): what is JSON, what is none, and what parsers disagree about.

use super::scanner::{Limits, Wrong, scan};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

const LIMITS: Limits = Limits {
    depth: 100,
    members: 10_000,
    items: 10_000,
    string: 1 << 20,
    name: 1 << 10,
    number: 128,
    allows_duplicates: false,
};

fn texts() -> Vec<(String, Vec<u8>)> {
    let rows: Vec<(String, String)> = serde_json::from_str(include_str!("../../suites/json-parsing.json")).unwrap();
    let row = |(name, text): (String, String)| (name, BASE64_STANDARD.decode(text).unwrap());
    // Two of the suite's texts are long and made here.
    let long = [
        ("n_structure_100000_opening_arrays".to_owned(), b"[".repeat(100_000)),
        ("n_structure_open_array_object".to_owned(), br#"[{"":"#.repeat(50_000)),
    ];
    rows.into_iter().map(row).chain(long).collect()
}

#[test]
fn what_is_no_json_is_refused() {
    for (name, text) in texts().into_iter().filter(|(name, _)| name.starts_with("n_")) {
        assert!(scan(&text, &LIMITS).is_err(), "{name}");
    }
}

/// What is JSON passes, but for what readers of it understand in different ways.
#[test]
fn what_is_json_passes() {
    for (name, text) in texts().into_iter().filter(|(name, _)| name.starts_with("y_")) {
        let want = match &*name {
            "y_object_duplicated_key" | "y_object_duplicated_key_and_value" => Err(Wrong::Duplicate),
            "y_object_escaped_null_in_key" => Err(Wrong::Nul),
            _ => Ok(()),
        };
        assert_eq!(scan(&text, &LIMITS), want, "{name}");
    }
}

/// Whatever passes, other parsers take as well.
#[test]
fn what_passes_is_read_by_others() {
    let mut passed = 0;
    for (name, text) in texts() {
        if scan(&text, &LIMITS).is_ok() {
            passed += 1;
            let strict: Result<Value, _> = serde_json::from_slice(&text);
            assert!(strict.is_ok(), "{name}: {strict:?}");
        }
    }
    assert!(passed > 90, "{passed}");
}

//! Any JSON as a schema, any JSON checked against it: an answer in bounded time, and the same for what was filled.
#![no_main]

use model::schema::Schema;
use serde_json::Value;
use std::time::{Duration, Instant};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Two JSON values, one behind the other.
    let mut values = serde_json::Deserializer::from_slice(data).into_iter::<Value>();
    let (Some(Ok(source)), Some(Ok(value))) = (values.next(), values.next()) else { return };
    let start = Instant::now();
    let Ok(schema) = Schema::compile(&source) else { return };
    let checked = schema.check(&value);
    let mut filled = value.clone();
    assert_eq!(schema.check_and_fill(&mut filled), checked, "checking and filling disagree");
    let _ = schema.unknown_fields(&value);
    if let Err(violation) = checked {
        assert!(violation.path.is_empty() || violation.path.starts_with('/'), "{violation:?} is no JSON pointer");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "not bounded");
});

use super::*;
use model::json::{self, Limits};
use proptest::prelude::*;
use serde_json::json;

fn parsed(text: &[u8]) -> Option<Value> {
    Tree::parse(text).map(|tree| tree.to_value())
}

fn expected(text: &[u8]) -> Option<Value> {
    json::parse(text, Limits { bytes: usize::MAX, depth: Limits::DEEPEST }).ok()
}

#[test]
fn a_tree_is_what_a_parser_reads() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let many = |last: &str| {
        let members: Vec<String> = (0..40).map(|n| format!("\"n{n}\":{n}")).collect();
        format!("{{{},\"{last}\":0}}", members.join(","))
    };
    for text in [
        "{}",
        "[]",
        " \t\r\n[ ] ",
        "0",
        "-0",
        "00",
        "01",
        "-",
        "1.",
        "1.0",
        "-1.50e+3",
        "1E400",
        "1e-400",
        "123456789012345678",
        "1234567890123456789",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "1-2",
        "+1",
        "1 2",
        "true",
        "tru",
        "truee",
        "null",
        "nul",
        "\"\"",
        "\"a",
        "\"\\\"\"",
        "\"\\",
        "\"\\u00e9\\ud83d\\ude00\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"\n\"",
        "\"\u{e9}\u{1f600}\"",
        "{\"a\":1,\"b\":[{\"a\":null}]}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"a\" : 1 , \"b\" : 2}",
        "{\"a\":1,}",
        "{,}",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{1:2}",
        "{a:1}",
        "[1 2]",
        "[",
        "{",
        "",
        " ",
        "\u{feff}1",
        "[1]]",
        "NaN",
        &deep(127),
        &deep(128),
        &many("m"),
        &many("n7"),
        &many("n\\u0037"),
    ] {
        assert_eq!(parsed(text.as_bytes()), expected(text.as_bytes()), "{text}");
    }
    assert_eq!(parsed(b"\"\xff\""), None);
    let text = many("m");
    let tree = Tree::parse(text.as_bytes()).unwrap();
    assert!(tree.get("n39").is_some() && tree.get("m").is_some() && tree.get("n40").is_none());
    assert_eq!(Tree::object_of("a", &tree).to_value(), json!({ "a": tree.to_value() }));
}

#[test]
fn values_are_compared_as_the_library_compares_them() {
    for (text, value, is_equal) in [
        ("1", json!(1.0), true),
        ("1.0", json!(1), true),
        ("1", json!(true), false),
        ("\"1\"", json!(1), false),
        ("1", json!("1"), false),
        ("\"\\u0061\"", json!("a"), true),
        ("{\"b\":[1.0],\"a\":null}", json!({ "a": null, "b": [1] }), true),
        ("[1,2]", json!([2, 1]), false),
    ] {
        let tree = Tree::parse(text.as_bytes()).unwrap();
        let other = Tree::Other(&tree);
        assert_eq!((&tree).equals_value(&value), is_equal, "{text} {value}");
        assert_eq!((&other).equals_value(&value), is_equal, "{text} {value}");
        assert_eq!((&tree).identity(), (&other).identity(), "{text}");
    }
    let tree = Tree::parse("\"h\u{e9}\u{1f600}\"".as_bytes()).unwrap();
    for (min, max, fits) in [(3, 3, true), (0, 2, false), (4, 9, false), (8, 9, false), (1, 9, true), (0, 0, false)] {
        assert_eq!((&tree).string_length_within(min, max), Some(fits), "{min} {max}");
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[ -~\u{e9}\u{1f600}\"\\\\\n]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec(("[a-c\"\\\\\u{e9}]{0,3}", inner), 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Nothing is a tree that the parser refuses, and a tree says what the parser says, also after some bytes were changed.
    #[test]
    fn trees_and_the_parser_agree(
        value in document(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\ u0e-.+\x00\xffa".to_vec())), 0..4),
    ) {
        let mut text = value.to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        prop_assert_eq!(parsed(&text), expected(&text), "{:?}", String::from_utf8_lossy(&text));
    }
}

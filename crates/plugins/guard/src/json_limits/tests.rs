use super::*;
use model::json;
use proptest::prelude::*;
use scanner::{Wrong, scan};

const WIDE: Limits = Limits {
    depth: 127,
    members: usize::MAX,
    items: usize::MAX,
    string: usize::MAX,
    name: usize::MAX,
    number: usize::MAX,
    allows_duplicates: false,
};

#[test]
fn texts_are_json_by_rfc_8259() {
    for text in [
        "{}",
        "[]",
        "0",
        "-0",
        "-0.0",
        "1.5e+10",
        "1E5",
        "1e-999",
        "\"\"",
        "true",
        "false",
        "null",
        " \t\r\n[ ] ",
        "{\"a\":{\"a\":1}}",
        "[[],{}]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\u{1f600}\"",
        "\"\\u0000\"",
        "\"\u{7f}\"",
        "123456789012345678901234567890",
        "{\"\":1}",
        "{\"a\":1,\"A\":2}",
        "{\"e\u{301}\":1,\"\u{e9}\":2}",
        "[1,2 ,3]",
        "{\"a\" : 1 , \"b\" : 2}",
    ] {
        assert_eq!(scan(text.as_bytes(), &WIDE), Ok(()), "{text}");
    }
    for text in [
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "[}",
        "{]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{a:1}",
        "{'a':1}",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "-Infinity",
        "tru",
        "truee",
        "TRUE",
        "nul",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"\n\"",
        "\"\0\"",
        "\"\t\"",
        "\"\u{1f}\"",
        "[1]x",
        "[1][2]",
        "1 2",
        "// a\n1",
        "/**/1",
        "\u{feff}1",
        "1\0",
        "\u{a0}1",
        "\u{b}1",
        "\u{c}1",
        "[\"a\",\n4\n,1,",
        "[1,\n1\n,1",
        "[{}",
        "{\"a\":[}",
        "\u{2028}1",
    ] {
        assert_eq!(scan(text.as_bytes(), &WIDE), Err(Wrong::Syntax), "{text:?}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let limits = Limits { depth: 2, members: 2, items: 2, string: 4, name: 2, number: 3, allows_duplicates: false };
    for (text, expected) in [
        (&b"[[[]]]"[..], Err(Wrong::Depth)),
        (b"[[],[]]", Ok(())),
        (b"[{\"a\":[", Err(Wrong::Depth)),
        (b"{\"a\":1,\"b\":1}", Ok(())),
        (b"{\"a\":1,\"b\":1,\"c\":1}", Err(Wrong::Members)),
        (b"[1,[1,2],3]", Err(Wrong::Items)),
        (b"\"abcd\"", Ok(())),
        (b"\"abcde\"", Err(Wrong::String)),
        (b"\"\\u0061\"", Err(Wrong::String)),
        (b"\"abcdefghijkl", Err(Wrong::Syntax)),
        (b"{\"abc\":1}", Err(Wrong::Name)),
        (b"1000", Err(Wrong::Number)),
        (b"1e9999999999", Err(Wrong::Number)),
        (b"9e999", Err(Wrong::Number)),
        (b"{\"a\":1,\"a\":1}", Err(Wrong::Duplicate)),
        (b"\"\xff\"", Err(Wrong::Utf8)),
        (b"\"\xed\xa0\x80\"", Err(Wrong::Utf8)),
        (b"\"\xc0\xaf\"", Err(Wrong::Utf8)),
    ] {
        assert_eq!(scan(text, &limits), expected, "{}", String::from_utf8_lossy(text));
    }
    for (text, expected) in [
        ("1e400", Wrong::Range),
        ("-1e400", Wrong::Range),
        ("\"\\ud800\"", Wrong::Surrogate),
        ("\"\\udc00\\ud800\"", Wrong::Surrogate),
        ("\"\\ud800\\ud800\"", Wrong::Surrogate),
        ("\"\\ud800x\"", Wrong::Surrogate),
        ("\"\\ud800\\n\"", Wrong::Surrogate),
        ("{\"a\\u0000b\":1}", Wrong::Nul),
        ("{\"a\":1,\"\\u0061\":1}", Wrong::Duplicate),
        ("{\"/\":1,\"\\/\":1}", Wrong::Duplicate),
        ("{\"\u{1f600}\":1,\"\\ud83d\\ude00\":1}", Wrong::Duplicate),
    ] {
        assert_eq!(scan(text.as_bytes(), &WIDE), Err(expected), "{text}");
    }
    let digits = "9".repeat(400);
    assert_eq!(scan(digits.as_bytes(), &WIDE), Err(Wrong::Range));
    assert_eq!(scan("[".repeat(100_000).as_bytes(), &WIDE), Err(Wrong::Depth));
    let deep = Limits { depth: 100_000, ..WIDE };
    assert_eq!(scan(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).as_bytes(), &deep), Ok(()));
}

#[test]
fn a_name_that_comes_twice_is_found_among_many() {
    for count in [2, 15, 16, 17, 18, 1000] {
        let mut members: Vec<String> = (0..count).map(|n| format!("\"n{n}\":{{\"n0\":1}}")).collect();
        let text = |members: &[String]| format!("{{{}}}", members.join(","));
        assert_eq!(scan(text(&members).as_bytes(), &WIDE), Ok(()), "{count}");
        members.push(format!("\"n{}\":1", count / 2));
        assert_eq!(scan(text(&members).as_bytes(), &WIDE), Err(Wrong::Duplicate), "{count}");
        assert_eq!(scan(text(&members).as_bytes(), &Limits { allows_duplicates: true, ..WIDE }), Ok(()), "{count}");
    }
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[ -~\u{e9}\u{1f600}\"\\\\\n]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec(("[a-c\"\\\\\u{e9}]{0,3}", inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What is found when the text comes in pieces that end at these places.
fn scan_pieces(text: &[u8], limits: &Limits, mut ends: Vec<usize>) -> Result<(), Wrong> {
    ends.sort_unstable();
    let mut scanner = Scanner::new(*limits);
    for end in ends {
        scanner.advance(&text[..end])?;
    }
    scanner.end(text)
}

#[test]
fn what_is_wrong_is_found_before_the_text_ends() {
    let limits = Limits { depth: 3, members: 2, items: 2, string: 4, name: 2, number: 3, allows_duplicates: false };
    for (text, expected) in [
        (&b"[[["[..], Ok(())),
        (b"[[[[", Err(Wrong::Depth)),
        (b"[1,2,", Err(Wrong::Items)),
        (b"{\"a\":1,\"b\":2,\"", Err(Wrong::Members)),
        (b"\"abcd", Ok(())),
        (b"\"abcde", Err(Wrong::String)),
        (b"{\"abc", Err(Wrong::Name)),
        (b"123", Ok(())),
        (b"1234", Err(Wrong::Number)),
        (b"tr", Ok(())),
        (b"tx", Err(Wrong::Syntax)),
        (b"-", Ok(())),
        (b"-x", Err(Wrong::Syntax)),
        (b"1.", Ok(())),
        (b"{\"a\":1,\"a\"", Err(Wrong::Duplicate)),
        (b"\"\\ud8", Ok(())),
        (b"\"\\ux", Err(Wrong::Syntax)),
        (b"\"\xe2\x82", Ok(())),
        (b"\"\xe2\x28", Err(Wrong::Utf8)),
        (b"1 2", Err(Wrong::Syntax)),
        (b"", Ok(())),
    ] {
        let mut scanner = Scanner::new(limits);
        assert_eq!(scanner.advance(text), expected, "{}", String::from_utf8_lossy(text));
    }
    let wide = Limits { string: usize::MAX, ..limits };
    let mut scanner = Scanner::new(wide);
    assert_eq!(scanner.advance(b"\"\\ud800"), Ok(()));
    assert_eq!(scanner.advance(b"\"\\ud800\\"), Ok(()));
    assert_eq!(scanner.advance(b"\"\\ud800\\n"), Err(Wrong::Surrogate));
}

/// A byte at a time costs no more than the text is long, whatever is in it.
#[test]
fn pieces_are_not_looked_at_again() {
    let name = "n".repeat(300_000);
    let text = format!("{{\"{name}\":\"{name}\",\"a\":{}1{}}}", " ".repeat(300_000), " ".repeat(300_000));
    let mut scanner = Scanner::new(WIDE);
    let begun = std::time::Instant::now();
    for end in (0..text.len()).step_by(100) {
        // What is checked is that this ends: 12,000 times 1.2 MB would take minutes here.
        assert_eq!(scanner.advance(&text.as_bytes()[..end]), Ok(()));
    }
    assert_eq!(scanner.end(text.as_bytes()), Ok(()));
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

proptest! {
    /// A text that comes in pieces is taken where it is taken whole; if it is not, what is wrong may be seen earlier.
    #[test]
    fn pieces_are_one_text(
        value in document(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\ u0e-.\x00\xffa".to_vec())), 0..3),
        ends in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut text = value.to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let ends: Vec<usize> = ends.into_iter().map(|end| end.index(text.len() + 1)).collect();
        let limits = Limits { depth: 4, members: 4, items: 4, string: 12, name: 3, number: 12, allows_duplicates: false };
        for limits in [limits, WIDE] {
            let (whole, pieces) = (scan(&text, &limits), scan_pieces(&text, &limits, ends.clone()));
            prop_assert_eq!(whole.is_ok(), pieces.is_ok(), "{:?} {:?}: {:?}, {:?}", String::from_utf8_lossy(&text), ends, whole, pieces);
        }
    }

    /// What a parser takes is taken, and what it refuses is refused, also after some bytes were changed.
    #[test]
    fn the_scanner_and_a_parser_agree(
        value in document(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\ u0e-.\x00\xffa".to_vec())), 0..4),
    ) {
        let mut text = value.to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let limits = json::Limits { bytes: usize::MAX, depth: json::Limits::DEEPEST };
        let parsed = json::parse(&text, limits).is_ok();
        let scanned = scan(&text, &WIDE);
        prop_assert!(scanned.is_ok() == parsed || scanned == Err(Wrong::Nul), "{:?}: {:?}", String::from_utf8_lossy(&text), scanned);
    }
}

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn documents_read_as_lyaml_reads_them() {
    for (text, expected) in [
        ("", json!(null)),
        ("# nothing\n", json!(null)),
        ("a: 1", json!({"a": 1})),
        ("[yes, No, on, OFF, true, y]", json!([true, false, true, false, true, "y"])),
        ("['yes', \"1\", !!str 1]", json!(["yes", "1", "1"])),
        ("[010, 09, 0, -010, 0_7, 1_000]", json!([8, 9, 0, -8, 7, 1000])),
        ("[0x1F, 0b101, +5, -3]", json!([31, 5, 5, -3])),
        ("[1:30, 190:20:30, 1:99, 1:30.5]", json!([90, 685_230, "1:99", 90.5])),
        ("[1.5, .5, 1e3, 1.2.3, 1_0.5]", json!([1.5, 0.5, 1000.0, "1.2.3", 10.5])),
        ("[127.0.0.1:80, 12e, e1, 60s]", json!(["127.0.0.1:80", "12e", "e1", "60s"])),
        ("[~, null, '']", json!([null, null, ""])),
        ("[18446744073709551615, 18446744073709551616]", json!([u64::MAX, 18_446_744_073_709_551_616.0])),
        ("a: &x {k: 1}\nb: *x", json!({"a": {"k": 1}, "b": {"k": 1}})),
        ("a: &x {k: 1, m: 2}\nb: {<<: *x, k: 3}", json!({"a": {"k": 1, "m": 2}, "b": {"k": 3, "m": 2}})),
        (
            "a: &x {k: 1}\nb: &y {k: 2, l: 3}\nc: {<<: [*x, *y]}",
            json!({"a": {"k": 1}, "b": {"k": 2, "l": 3}, "c": {"k": 1, "l": 3}}),
        ),
        ("{8080: a, on: b, '<<': c}", json!({"8080": "a", "on": "b", "<<": "c"})),
        ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
        ("---\na: 1\n...\n", json!({"a": 1})),
        ("routes:\n  - uri: /a\n#END\n", json!({"routes": [{"uri": "/a"}]})),
        ("\u{feff}a: 1", json!({"a": 1})),
    ] {
        assert_eq!(parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn refusals_say_where() {
    for (text, line, column, reason) in [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key \"a\""),
        ("a: .inf", 1, 4, "the number \".inf\" cannot be represented"),
        ("a: 1\n---\nb: 2\n", 2, 1, "more than one document"),
        ("<<: 1", 1, 5, "only mappings can be merged with \"<<\""),
        ("? [a]\n: b", 1, 3, "a key must be a scalar"),
    ] {
        let error = parse(text).expect_err("refused");
        assert_eq!((error.line, error.column, error.reason.as_str()), (line, column, reason), "{text}");
    }
    for text in ["a: [", "a: *x", "a: !foo b", "a: &x [*x]", "\tb: c: d", "a: !!int x"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn bombs_are_refused() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(parse(&laughs).is_err());
    assert!(parse(&"[".repeat(100_000)).is_err());
    assert!(parse(&format!("{}1{}", "[".repeat(80), "]".repeat(80))).is_err());
}

fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("h".to_owned()),
        "PORT" => Some("9080".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

#[test]
fn variables_are_replaced() {
    for (text, expected) in [
        ("plain $x ${y}", "plain $x ${y}"),
        ("a: ${{HOST}}:${{ PORT }}", "a: h:9080"),
        ("${{NOPE:=d}}", "d"),
        ("${{NOPE:= d e }}", "d e"),
        ("${{NOPE:=}}", ""),
        ("${{HOST:=d}}", "h"),
        ("${{EMPTY:=d}}", ""),
        ("${{}} ${{-}}", "${{}} ${{-}}"),
        ("${{HOST", "${{HOST"),
        ("$${{HOST}}", "$h"),
    ] {
        assert_eq!(substitute(text, &env).as_deref(), Ok(expected), "{text}");
    }
    assert_eq!(
        substitute("${{NOPE}}", &env).expect_err("missing").to_string(),
        "failed to handle configuration: can't find environment variable NOPE"
    );
}

#[test]
fn replaced_values_get_their_type() {
    let mut value = json!({"${{HOST}}": ["${{PORT}}", "p${{PORT}}", "9080", "${{X:=true}}"]});
    substitute_values(&mut value, &env).expect("all set");
    assert_eq!(value, json!({"h": [9080, "p9080", "9080", true]}));
}

#[test]
fn items_are_handed_out_with_their_lines() {
    let text = "a: &one [1]\nb:\n- x: 1\n  y: [2]\n-\n  z\n- - 3\nc: *one\nd: {e: [4]}\n";
    let mut items = Vec::new();
    let rest = parse_items(text, &mut |item| items.push((item.section, item.line, item.value))).expect("valid");
    assert_eq!(rest, json!({ "a": [1], "b": [], "c": [1], "d": { "e": [4] } }));
    let want = [(3, json!({ "x": 1, "y": [2] })), (6, json!("z")), (7, json!([3]))];
    assert_eq!(items, want.map(|(line, value)| ("b".to_owned(), line, value)));
}

#[test]
fn what_is_dumped_is_read_again() {
    let value = json!({
        "routes": [{ "id": "r1", "uri": "/hello", "on": "yes", "n": [1, -2.5, [], {}, [[1], { "a": null }]] }, "a b", true],
        "empty": {}, "text": "line\n\"two\"\u{7f}\u{1f600}", "null": "null", "1": "0x10", "": "~", "y": "y", "12:30": "1_000",
    });
    let text = dump(&value);
    assert!(text.starts_with("routes:\n  - id: r1\n    uri: /hello\n    \"on\": \"yes\"\n"), "{text}");
    assert_eq!(parse(&text).as_ref(), Ok(&value), "{text}");
    for value in [json!({}), json!([]), json!(null), json!("x y"), json!([[]])] {
        assert_eq!(parse(&dump(&value)), Ok(value));
    }
}

proptest! {
    #[test]
    fn any_text_is_dumped_and_read_again(key in ".{0,12}", text in ".{0,24}") {
        let value = json!({ key: [text.clone(), { "a": text }] });
        prop_assert_eq!(parse(&dump(&value)), Ok(value));
    }

    #[test]
    fn any_text_parses_or_is_refused(text in ".{0,64}") {
        let _ = parse(&text);
    }

    #[test]
    fn yaml_soup_parses_or_is_refused(text in "[a-c0-9:.\\[\\]{},&*<>|?!'\"\\n _+x#~%@-]{0,48}") {
        let _ = parse(&text);
    }

    #[test]
    fn quoted_text_stays(text in "[ -~]{0,24}") {
        let quoted = serde_json::to_string(&text).expect("a string");
        prop_assert_eq!(parse(&quoted), Ok(Value::String(text)));
    }

    #[test]
    fn substitution_never_panics(text in "[${}A-Z:= é]{0,32}") {
        let _ = substitute(&text, &env);
    }
}
